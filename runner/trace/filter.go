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
	bpfJumpAnyBit  = 0x45 // BPF_JMP | BPF_JSET | BPF_K
	bpfReturn      = 0x06 // BPF_RET | BPF_K

	offsetNumber    = 0  // struct seccomp_data.nr
	offsetArch      = 4  // struct seccomp_data.arch
	offsetArguments = 16 // struct seccomp_data.args, 64 bits each, the low half first

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
// too, so that it can be said that it was not understood.
//
// Two kinds of call are reported only when an argument says so, since a call
// that waits to be looked at costs time, and can be interrupted: a Signal when
// its first argument is one of targets, and an Open unless its flags say that
// it reaches no file's content.
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

// abiProgram jumps from a call's number to the question that decides about it.
func abiProgram(abi abi, targets []int, told uint32) []instruction {
	numbers := slices.Sorted(maps.Keys(abi.calls))
	// What stands after the comparisons, and where in it each question begins.
	after := []instruction{{code: bpfReturn, k: retAllow}}
	begins := map[question]int{}
	for _, nr := range numbers {
		q := abi.question(nr)
		if _, known := begins[q]; !known {
			begins[q] = len(after)
			after = append(after, q.program(targets, told)...)
		}
	}
	program := []instruction{{code: bpfLoadWord, k: offsetNumber}}
	if abi.arch == archAMD64 {
		program = append(program, instruction{code: bpfJumpAtLeast, k: x32Bit, jt: uint8(len(numbers) + begins[question{}])})
	}
	for i, nr := range numbers {
		to := len(numbers) - 1 - i + begins[abi.question(nr)]
		program = append(program, instruction{code: bpfJumpEqual, k: uint32(nr), jt: uint8(to)})
	}
	return append(program, after...)
}

// question is what decides whether a listed call is reported; the zero value
// is always answered with yes.
type question struct {
	op       Op     // Signal, Open or nothing
	argument int    // that is looked at
	without  uint32 // flags of an Open that reaches no content
}

func (a *abi) question(nr int) question {
	switch call := a.calls[nr]; {
	case call.op == Signal:
		return question{op: Signal}
	case call.op == Open && call.flags >= 0 && call.name != "openat2": // whose flags are in memory
		return question{op: Open, argument: call.flags, without: oPath | a.directory}
	}
	return question{}
}

func (q question) program(targets []int, told uint32) []instruction {
	report, pass := instruction{code: bpfReturn, k: told}, instruction{code: bpfReturn, k: retAllow}
	load := instruction{code: bpfLoadWord, k: uint32(offsetArguments + 8*q.argument)}
	switch q.op {
	case Signal:
		program := []instruction{load}
		for i, target := range targets {
			program = append(program, instruction{code: bpfJumpEqual, k: uint32(target), jt: uint8(len(targets) - i)})
		}
		return append(program, pass, report)
	case Open:
		// O_CREAT makes a file even where O_DIRECTORY then fails: Linux below 6.4.
		return []instruction{
			load,
			{code: bpfJumpAnyBit, k: oCreat, jt: 2},
			{code: bpfJumpAnyBit, k: q.without, jf: 1},
			pass, report,
		}
	}
	return []instruction{report}
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
