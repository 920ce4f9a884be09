package trace

import (
	"testing"
)

// simulate runs a program as the kernel's BPF machine does, for one call.
func simulate(t *testing.T, program []instruction, arch, nr, first uint32) uint32 {
	t.Helper()
	data := map[uint32]uint32{offsetNumber: nr, offsetArch: arch, offsetFirst: first}
	var accumulator uint32
	for pc := 0; ; pc++ {
		if pc >= len(program) {
			t.Fatalf("arch %#x, call %d: the program runs past its end", arch, nr)
		}
		in := program[pc]
		jump := false
		switch in.code {
		case bpfLoadWord:
			accumulator = data[in.k]
			continue
		case bpfReturn:
			return in.k
		case bpfJumpEqual:
			jump = accumulator == in.k
		case bpfJumpAtLeast:
			jump = accumulator >= in.k
		default:
			t.Fatalf("unknown instruction %#x", in.code)
		}
		if jump {
			pc += int(in.jt)
		} else {
			pc += int(in.jf)
		}
	}
}

func TestFilterReportsExactlyTheListedCalls(t *testing.T) {
	for _, method := range []string{SeccompNotify, Ptrace, PtraceAll} {
		t.Run(method, func(t *testing.T) { testFilter(t, method) })
	}
}

func testFilter(t *testing.T, method string) {
	// told is what the filter gives for a listed call of the ABI with this index.
	told := func(abi int) uint32 {
		if method == SeccompNotify {
			return retNotify
		}
		return retTrace | uint32(abi+1)
	}
	for _, goarch := range []string{"amd64", "arm64"} {
		abis := abisOf(goarch, method)
		program := filterProgram(abis, method, []int{0, -1, 77, -66})
		if len(program) > 4096 {
			t.Fatalf("%s: %d instructions, more than BPF_MAXINSNS", goarch, len(program))
		}
		if got := len(encodeFilter(program)); got != 8*len(program) {
			t.Errorf("%s: %d bytes for %d instructions", goarch, got, len(program))
		}
		for i, abi := range abis {
			if _, listed := abi.calls[map[uint32]int{archAMD64: 101, archI386: 26, archARM64: 117}[abi.arch]]; listed != (method != SeccompNotify) {
				t.Errorf("%s: ptrace(2) is listed: %v", abi.name, listed)
			}
			for nr := range uint32(600) {
				want := uint32(retAllow)
				if _, listed := abi.calls[int(nr)]; listed {
					want = told(i)
				}
				if got := simulate(t, program, abi.arch, nr, 77); got != want {
					t.Errorf("%s call %d on %s gives %#x, want %#x", abi.name, nr, goarch, got, want)
				}
			}
		}
		for i, abi := range abis {
			kill := map[uint32]uint32{archAMD64: 62, archI386: 37, archARM64: 129}[abi.arch]
			for target, want := range map[int]uint32{0: told(i), -1: told(i), 77: told(i), -66: told(i), 66: retAllow, -77: retAllow, 1: retAllow} {
				if got := simulate(t, program, abi.arch, kill, uint32(target)); got != want {
					t.Errorf("%s: kill(%d) gives %#x, want %#x", abi.name, target, got, want)
				}
			}
		}
		for _, arch := range []uint32{0, 0x40000028 /* ARM */, 0xc00000f3 /* RISC-V */, 0x80000016 /* S390X */} {
			if got := simulate(t, program, arch, 39, 77); got != told(-1) {
				t.Errorf("%s: a call of the foreign architecture %#x gives %#x, want it reported", goarch, arch, got)
			}
		}
	}
	program := filterProgram(abisOf("amd64", method), method, nil)
	for _, nr := range []uint32{x32Bit, x32Bit | 2, x32Bit | 39, 0xffffffff} {
		if got := simulate(t, program, archAMD64, nr, 0); got != told(0) {
			t.Errorf("the x32 call %#x gives %#x, want it reported", nr, got)
		}
	}
	if abisOf("riscv64", method) != nil {
		t.Error("an architecture without a table must have none")
	}
}

func TestEveryCallHasAShape(t *testing.T) {
	known := map[string]bool{}
	for _, shape := range shapes {
		known[shape.name] = true
	}
	for name, numbers := range map[string]map[string]int{"amd64": amd64Numbers, "i386": i386Numbers, "arm64": arm64Numbers} {
		seen := map[int]string{}
		for call, nr := range numbers {
			if !known[call] {
				t.Errorf("%s: %s has a number and no shape", name, call)
			}
			if other, twice := seen[nr]; twice {
				t.Errorf("%s: %s and %s share the number %d", name, call, other, nr)
			}
			seen[nr] = call
		}
	}
}
