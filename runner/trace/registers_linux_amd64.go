package trace

import "encoding/binary"

// readRegisters finds a call in struct user_regs_struct as PTRACE_GETREGSET
// gives it, arch/x86/include/asm/user_64.h and user_32.h; nr is -1 when that is
// something else.
func readRegisters(set []byte, arch uint32) (nr int, args [6]uint64) {
	var order [6]int
	var number, width int
	switch {
	case len(set) == 27*8 && arch != archI386: // rdi, rsi, rdx, r10, r8, r9; orig_rax
		order, number, width = [6]int{14, 13, 12, 7, 9, 8}, 15, 8
	case len(set) == 27*8: // int 0x80 of a 64-bit program: ebx, ecx, edx, esi, edi, ebp
		order, number, width = [6]int{5, 11, 12, 13, 14, 4}, 15, 8
	case len(set) == 17*4: // the same of a 32-bit one; orig_eax
		order, number, width = [6]int{0, 1, 2, 3, 4, 5}, 11, 4
	default:
		return -1, args
	}
	for i, register := range order {
		if width == 4 || arch == archI386 {
			args[i] = uint64(binary.LittleEndian.Uint32(set[width*register:]))
		} else {
			args[i] = binary.LittleEndian.Uint64(set[width*register:])
		}
	}
	return int(int32(binary.LittleEndian.Uint32(set[width*number:]))), args
}
