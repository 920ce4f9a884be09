package trace

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Classic BPF as seccomp uses it, include/uapi/linux/bpf_common.h and
// include/uapi/linux/seccomp.h.
const (
	bpfLoadWord    = 0x20 // BPF_LD | BPF_W | BPF_ABS
	bpfJumpEqual   = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	bpfJumpAtLeast = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	bpfReturn      = 0x06 // BPF_RET | BPF_K

	offsetNumber = 0  // struct seccomp_data.nr
	offsetArch   = 4  // struct seccomp_data.arch
	offsetFirst  = 16 // the low half of struct seccomp_data.args[0]

	retAllow  = 0x7fff0000 // SECCOMP_RET_ALLOW
	retNotify = 0x7fc00000 // SECCOMP_RET_USER_NOTIF
	retTrace  = 0x7ff00000 // SECCOMP_RET_TRACE, with 16 bits of data for the tracer
)

// instruction is struct sock_filter, include/uapi/linux/filter.h.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// filterProgram asks to be told of every listed call and lets the rest pass.
// An x32 call, and any call of an architecture without a table, is reported
// too, so that it can be said that it was not understood. A Signal is reported
// only when its first argument is one of targets: a call that waits to be
// looked at can be interrupted, and who sends many signals gets many.
//
// A tracer is told, in the data of the result, which of abis the call belongs
// to, from 1 on; 0 is none.
func filterProgram(abis []abi, method string, targets []int) []instruction {
	told := func(which int) uint32 {
		if method == SeccompNotify {
			return retNotify
		}
		return retTrace + uint32(which)
	}
	program := []instruction{{code: bpfLoadWord, k: offsetArch}}
	for i, abi := range abis {
		body := abiProgram(abi, targets, told(i+1))
		program = append(program, instruction{code: bpfJumpEqual, k: abi.arch, jt: 0, jf: uint8(len(body))})
		program = append(program, body...)
	}
	return append(program, instruction{code: bpfReturn, k: told(0)})
}

func abiProgram(abi abi, targets []int, told uint32) []instruction {
	program := []instruction{{code: bpfLoadWord, k: offsetNumber}}
	numbers := slices.Sorted(maps.Keys(abi.calls))
	// Every jump goes to the last instruction, "told", or to the comparison of
	// targets before it, or falls through.
	comparison := len(targets) + 2
	remaining := len(numbers) + 1 + comparison
	if abi.arch == archAMD64 {
		program = append(program, instruction{code: bpfJumpAtLeast, k: x32Bit, jt: uint8(remaining)})
	}
	for _, nr := range numbers {
		remaining--
		to := remaining
		if abi.calls[nr].op == Signal {
			to -= comparison
		}
		program = append(program, instruction{code: bpfJumpEqual, k: uint32(nr), jt: uint8(to)})
	}
	program = append(program, instruction{code: bpfReturn, k: retAllow}, instruction{code: bpfLoadWord, k: offsetFirst})
	for i, target := range targets {
		program = append(program, instruction{code: bpfJumpEqual, k: uint32(target), jt: uint8(len(targets) - i)})
	}
	return append(program, instruction{code: bpfReturn, k: retAllow}, instruction{code: bpfReturn, k: told})
}

// encodeFilter is the program as the kernel of a little-endian machine reads
// it: 8 bytes an instruction.
func encodeFilter(program []instruction) []byte {
	encoded := make([]byte, 0, 8*len(program))
	for _, in := range program {
		encoded = binary.LittleEndian.AppendUint16(encoded, in.code)
		encoded = append(encoded, in.jt, in.jf)
		encoded = binary.LittleEndian.AppendUint32(encoded, in.k)
	}
	return encoded
}
