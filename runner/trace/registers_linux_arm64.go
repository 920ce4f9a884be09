package trace

import "encoding/binary"

// readRegisters finds a call in struct user_pt_regs as PTRACE_GETREGSET gives
// it, arch/arm64/include/uapi/asm/ptrace.h: x0 to x5, the number in x8. nr is
// -1 when that is something else, such as the registers of a 32-bit program.
func readRegisters(set []byte, _ uint32) (nr int, args [6]uint64) {
	if len(set) != 34*8 {
		return -1, args
	}
	for i := range args {
		args[i] = binary.LittleEndian.Uint64(set[8*i:])
	}
	return int(int32(binary.LittleEndian.Uint32(set[8*8:]))), args
}
