package trace

import "slices"

// Audit architecture numbers, include/uapi/linux/audit.h.
const (
	archAMD64 = 0xc000003e
	archI386  = 0x40000003
	archARM64 = 0xc00000b7
)

// x32Bit marks the x32 ABI's calls on amd64.
const x32Bit = 0x40000000

// call says how to read the arguments of one system call. An index of -1
// stands for "not an argument of this call".
type call struct {
	name string
	op   Op
	// dir and path are the arguments that hold the directory descriptor and
	// the path; dir2 and path2 those of a second path.
	dir, path, dir2, path2 int
	// flags is the argument with the open or rename flags; fixed is or-ed in.
	flags int
	fixed uint64
	// argv is the argument with an Exec's arguments.
	argv int
	// methods are those that watch the call; nil is all.
	methods []string
}

// abi is one calling convention: an architecture with its call numbers.
type abi struct {
	name  string
	arch  uint32
	calls map[int]call
	// pointerBytes is 4 or 8.
	pointerBytes int
	directory    uint32 // O_DIRECTORY of open(2)
}

// Flags of open(2) that have one value on every Linux architecture here.
const (
	oWronly   = 0x1
	oAccmode  = 0x3
	oCreat    = 0x40
	oExcl     = 0x80
	oTrunc    = 0x200
	oPath     = 0x200000
	oTmpfile  = 0x400000 // with O_DIRECTORY, whose value differs
	creatFlag = oCreat | oWronly | oTrunc
)

// Values of renameat2(2), openat(2) and openat2(2).
const (
	renameNoReplace = 1 << 0
	renameExchange  = 1 << 1
	atFDCWD         = -100
	atSymlinkFollow = 0x400
	atEmptyPath     = 0x1000
	resolveCached   = 0x20
)

// shapes are the calls that are watched, with the positions of what matters;
// each ABI's table gives their numbers.
var shapes = []call{
	{name: "open", op: Open, dir: -1, path: 0, flags: 1, path2: -1},
	{name: "openat", op: Open, dir: 0, path: 1, flags: 2, path2: -1},
	{name: "openat2", op: Open, dir: 0, path: 1, flags: 2, path2: -1},
	{name: "creat", op: Open, dir: -1, path: 0, flags: -1, fixed: creatFlag, path2: -1},
	{name: "truncate", op: Truncate, dir: -1, path: 0, flags: -1, path2: -1},
	{name: "truncate64", op: Truncate, dir: -1, path: 0, flags: -1, path2: -1},
	{name: "execve", op: Exec, dir: -1, path: 0, argv: 1, flags: -1, path2: -1},
	{name: "execveat", op: Exec, dir: 0, path: 1, argv: 2, flags: 4, path2: -1},
	{name: "rename", op: Rename, dir: -1, path: 0, dir2: -1, path2: 1, flags: -1},
	{name: "renameat", op: Rename, dir: 0, path: 1, dir2: 2, path2: 3, flags: -1},
	{name: "renameat2", op: Rename, dir: 0, path: 1, dir2: 2, path2: 3, flags: 4},
	{name: "unlink", op: Remove, dir: -1, path: 0, flags: -1, path2: -1},
	{name: "unlinkat", op: Remove, dir: 0, path: 1, flags: 2, path2: -1},
	{name: "link", op: Link, dir: -1, path: 0, dir2: -1, path2: 1, flags: -1},
	{name: "linkat", op: Link, dir: 0, path: 1, dir2: 2, path2: 3, flags: 4},
	{name: "connect", op: Connect, dir: -1, path: -1, flags: -1, path2: -1},
	{name: "socketcall", op: Connect, dir: -1, path: -1, flags: -1, path2: -1},
	{name: "kill", op: Signal, path: -1, path2: -1},
	{name: "io_uring_setup", op: Gap, path: -1, path2: -1},
	{name: "open_by_handle_at", op: Gap, path: -1, path2: -1},
	{name: "chroot", op: Gap, path: -1, path2: -1},
	{name: "pivot_root", op: Gap, path: -1, path2: -1},
	{name: "unshare", op: Gap, path: -1, path2: -1},
	{name: "setns", op: Gap, path: -1, path2: -1},
	{name: "mount", op: Gap, path: -1, path2: -1},
	{name: "move_mount", op: Gap, path: -1, path2: -1},
	// They can get in the way of a tracer.
	{name: "clone", op: Gap, path: -1, path2: -1, methods: []string{Ptrace, PtraceAll}},
	{name: "clone3", op: Gap, path: -1, path2: -1, methods: []string{Ptrace, PtraceAll}},
	{name: "ptrace", op: Gap, path: -1, path2: -1, methods: []string{Ptrace, PtraceAll}},
	{name: "seccomp", op: Gap, path: -1, path2: -1, methods: []string{Ptrace}},
	// Those that change a thread's rights.
	{name: "setuid", op: Gap, path: -1, path2: -1},
	{name: "setgid", op: Gap, path: -1, path2: -1},
	{name: "setreuid", op: Gap, path: -1, path2: -1},
	{name: "setregid", op: Gap, path: -1, path2: -1},
	{name: "setresuid", op: Gap, path: -1, path2: -1},
	{name: "setresgid", op: Gap, path: -1, path2: -1},
	{name: "setfsuid", op: Gap, path: -1, path2: -1},
	{name: "setfsgid", op: Gap, path: -1, path2: -1},
	{name: "setgroups", op: Gap, path: -1, path2: -1},
	{name: "capset", op: Gap, path: -1, path2: -1},
	{name: "setuid32", op: Gap, path: -1, path2: -1},
	{name: "setgid32", op: Gap, path: -1, path2: -1},
	{name: "setreuid32", op: Gap, path: -1, path2: -1},
	{name: "setregid32", op: Gap, path: -1, path2: -1},
	{name: "setresuid32", op: Gap, path: -1, path2: -1},
	{name: "setresgid32", op: Gap, path: -1, path2: -1},
	{name: "setfsuid32", op: Gap, path: -1, path2: -1},
	{name: "setfsgid32", op: Gap, path: -1, path2: -1},
	{name: "setgroups32", op: Gap, path: -1, path2: -1},
}

// numbers of the calls by ABI: include/uapi/asm-generic/unistd.h (arm64),
// arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl.
var (
	amd64Numbers = map[string]int{
		"open": 2, "connect": 42, "clone": 56, "kill": 62, "execve": 59, "truncate": 76, "rename": 82, "creat": 85, "link": 86, "unlink": 87,
		"pivot_root": 155, "ptrace": 101, "chroot": 161, "mount": 165, "openat": 257, "unlinkat": 263, "renameat": 264, "linkat": 265,
		"unshare": 272, "open_by_handle_at": 304, "setns": 308, "renameat2": 316, "seccomp": 317, "execveat": 322, "io_uring_setup": 425,
		"move_mount": 429, "clone3": 435, "openat2": 437,
		"setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setgroups": 116, "setresuid": 117, "setresgid": 119, "setfsuid": 122, "setfsgid": 123, "capset": 126,
	}
	i386Numbers = map[string]int{
		"open": 5, "creat": 8, "link": 9, "unlink": 10, "execve": 11, "mount": 21, "ptrace": 26, "kill": 37, "rename": 38, "chroot": 61,
		"truncate": 92, "socketcall": 102, "clone": 120, "truncate64": 193, "pivot_root": 217, "openat": 295, "unlinkat": 301, "renameat": 302, "linkat": 303,
		"unshare": 310, "open_by_handle_at": 342, "setns": 346, "renameat2": 353, "seccomp": 354, "execveat": 358, "connect": 362,
		"io_uring_setup": 425, "move_mount": 429, "clone3": 435, "openat2": 437,
		"setuid": 23, "setgid": 46, "setreuid": 70, "setregid": 71, "setgroups": 81, "setfsuid": 138, "setfsgid": 139, "setresuid": 164, "setresgid": 170, "capset": 185,
		"setreuid32": 203, "setregid32": 204, "setgroups32": 206, "setresuid32": 208, "setresgid32": 210, "setuid32": 213, "setgid32": 214, "setfsuid32": 215, "setfsgid32": 216,
	}
	arm64Numbers = map[string]int{
		"unlinkat": 35, "linkat": 37, "renameat": 38, "mount": 40, "pivot_root": 41, "truncate": 45, "chroot": 51,
		"openat": 56, "unshare": 97, "ptrace": 117, "kill": 129, "connect": 203, "clone": 220, "execve": 221, "open_by_handle_at": 265, "setns": 268,
		"renameat2": 276, "seccomp": 277, "execveat": 281, "io_uring_setup": 425, "move_mount": 429, "clone3": 435, "openat2": 437,
		"capset": 91, "setregid": 143, "setgid": 144, "setreuid": 145, "setuid": 146, "setresuid": 147, "setresgid": 149, "setfsuid": 151, "setfsgid": 152, "setgroups": 159,
	}
)

// abisOf lists the ABIs that a process on goarch can use, with the calls that
// method watches; nil where there is no table.
func abisOf(goarch, method string) []abi {
	switch goarch {
	case "amd64":
		return []abi{
			{name: "amd64", arch: archAMD64, calls: callTable(amd64Numbers, method), pointerBytes: 8, directory: 0x10000},
			{name: "i386", arch: archI386, calls: callTable(i386Numbers, method), pointerBytes: 4, directory: 0x10000},
		}
	case "arm64":
		return []abi{{name: "arm64", arch: archARM64, calls: callTable(arm64Numbers, method), pointerBytes: 8, directory: 0x4000}}
	}
	return nil
}

func callTable(numbers map[string]int, method string) map[int]call {
	table := make(map[int]call, len(numbers))
	for _, shape := range shapes {
		if nr, ok := numbers[shape.name]; ok && (shape.methods == nil || slices.Contains(shape.methods, method)) {
			table[nr] = shape
		}
	}
	return table
}
