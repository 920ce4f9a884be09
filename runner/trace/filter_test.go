package trace

import (
	"encoding/binary"
	"testing"
)

// seccompData is struct seccomp_data of a call, with the low halves of its
// arguments.
func seccompData(arch, nr uint32, args ...uint32) (data [64]byte) {
	binary.LittleEndian.PutUint32(data[offsetNumber:], nr)
	binary.LittleEndian.PutUint32(data[offsetArch:], arch)
	for i, arg := range args {
		binary.LittleEndian.PutUint32(data[offsetArguments+8*i:], arg)
	}
	return data
}

// simulate runs a program as the kernel's BPF machine does, for one call.
func simulate(t *testing.T, program []instruction, data [64]byte) uint32 {
	t.Helper()
	var accumulator uint32
	for pc := 0; ; pc++ {
		if pc >= len(program) {
			t.Fatalf("% x: the program runs past its end", data)
		}
		in := program[pc]
		jump := false
		switch in.code {
		case bpfLoadWord:
			accumulator = binary.LittleEndian.Uint32(data[in.k:])
			continue
		case bpfReturn:
			return in.k
		case bpfJumpEqual:
			jump = accumulator == in.k
		case bpfJumpAtLeast:
			jump = accumulator >= in.k
		case bpfJumpAnyBit:
			jump = accumulator&in.k != 0
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
				if got := simulate(t, program, seccompData(abi.arch, nr, 77)); got != want {
					t.Errorf("%s call %d on %s gives %#x, want %#x", abi.name, nr, goarch, got, want)
				}
			}
		}
		for i, abi := range abis {
			kill := map[uint32]uint32{archAMD64: 62, archI386: 37, archARM64: 129}[abi.arch]
			for target, want := range map[int]uint32{0: told(i), -1: told(i), 77: told(i), -66: told(i), 66: retAllow, -77: retAllow, 1: retAllow} {
				if got := simulate(t, program, seccompData(abi.arch, kill, uint32(target))); got != want {
					t.Errorf("%s: kill(%d) gives %#x, want %#x", abi.name, target, got, want)
				}
			}
		}
		testOpens(t, program, abis, told)
		for _, arch := range []uint32{0, 0x40000028 /* ARM */, 0xc00000f3 /* RISC-V */, 0x80000016 /* S390X */} {
			if got := simulate(t, program, seccompData(arch, 39, 77)); got != told(-1) {
				t.Errorf("%s: a call of the foreign architecture %#x gives %#x, want it reported", goarch, arch, got)
			}
		}
	}
	program := filterProgram(abisOf("amd64", method), method, nil)
	for _, nr := range []uint32{x32Bit, x32Bit | 2, x32Bit | 39, 0xffffffff} {
		if got := simulate(t, program, seccompData(archAMD64, nr)); got != told(0) {
			t.Errorf("the x32 call %#x gives %#x, want it reported", nr, got)
		}
	}
	if abisOf("riscv64", method) != nil {
		t.Error("an architecture without a table must have none")
	}
}

// testOpens tries the flags of open(2), which differ between the ABIs.
func testOpens(t *testing.T, program []instruction, abis []abi, told func(abi int) uint32) {
	t.Helper()
	for i, abi := range abis {
		directory := map[uint32]uint32{archAMD64: 0o200000, archI386: 0o200000, archARM64: 0o40000}[abi.arch]
		for nr, call := range abi.calls {
			if call.op != Open {
				continue
			}
			for flags, reported := range map[uint32]bool{
				0: true, oWronly: true, oCreat | oTrunc: true, directory: false, oPath: false, directory | oPath: false,
				directory | oTmpfile | oWronly: false, directory | oCreat: true, ^directory &^ oPath: true, 0o240000 &^ directory: true,
			} {
				want := told(i)
				if !reported && (call.name == "open" || call.name == "openat") {
					want = retAllow
				}
				args := [6]uint32{flags, flags, flags, flags, flags, flags}
				if call.flags >= 0 { // those of another place do not count
					args = [6]uint32{}
					args[call.flags] = flags
				}
				if got := simulate(t, program, seccompData(abi.arch, uint32(nr), args[:]...)); got != want {
					t.Errorf("%s: %s with flags %#o gives %#x, want %#x", abi.name, call.name, flags, got, want)
				}
			}
		}
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
