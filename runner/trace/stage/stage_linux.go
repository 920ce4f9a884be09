//go:build amd64 || arm64

// Package stage holds the small roles that convrun plays in processes of its
// own: the last step before the wrapped command starts (install the filter in
// this process only, hand its listener over, exec), the keeper that answers
// for convrun should convrun die, and the tracer of the methods by ptrace.
//
// It imports next to nothing, so that its init runs before every other
// package's and a stage pays no start-up for code that it never uses. It never
// returns when it was asked to play a role.
package stage

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// Names of the roles, found in argv[0] of a process that convrun started from
// its own binary.
const (
	ExecName   = "convrun-stage"
	KeeperName = "convrun-keeper"
	TracerName = "convrun-tracer"
)

// Orders of convrun to its stages, one byte each, first in a packet. What
// follows is said with each.
const (
	Allow    = 'a' // let a process trace this one; its number
	Notify   = 'n' // install a filter and hand its listener over; the filter
	Trace    = 't' // install a filter for a tracer; the filter
	Probe    = 'p' // make one call that the filter tells of
	Go       = 'g' // execute the command
	Seize    = 's' // tracer: trace a process; its number, Filtered or Every, for Every the filter
	Listener = 'l' // keeper: hold the attached listener
	Quit     = 'q' // keeper: the tree is gone, there is nothing to keep
)

// What a tracer stops its processes at.
const (
	Filtered = 0 // calls for which their filter asks it
	Every    = 1 // every call; it runs the filter itself
)

// ProbePath is what Probe opens.
const ProbePath = "/"

// AnswerSize is the length of an answer to an order: four bytes of errno, and
// one that is 1 when the process runs with no_new_privs from now on. Go is
// answered only when nothing could be executed, Listener and Quit never.
const AnswerSize = 5

// maxPacket bounds every packet; the filter is the largest, 8 bytes for each
// of at most 4096 instructions (BPF_MAXINSNS).
const maxPacket = 8*4096 + 8

func init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case ExecName:
		runtime.LockOSThread()
		os.Exit(runExec(os.Args[1:]))
	case KeeperName:
		runtime.LockOSThread()
		os.Exit(runKeeper(os.Args[1:]))
	case TracerName:
		runtime.LockOSThread()
		os.Exit(runTracer(os.Args[1:]))
	}
}

// runExec is `convrun-stage FD ARGV…`: do as it is told until it is Go.
func runExec(args []string) int {
	if len(args) < 2 {
		return 125
	}
	sock, err := strconv.Atoi(args[0])
	if err != nil {
		return 125
	}
	syscall.CloseOnExec(sock)
	argv := args[1:]
	environ := rawEnviron() // before the filter: it opens a file

	packet := make([]byte, maxPacket)
	for {
		n, err := receive(sock, packet)
		if err != nil || n == 0 {
			return 125
		}
		switch rest := packet[1:n]; packet[0] {
		case Allow:
			answer(sock, allow(int(uint32At(rest))), false, -1)
		case Notify:
			fd, privileged, errno := install(rest, flagNewListener|flagWaitKillable, flagNewListener)
			answer(sock, errno, !privileged, fd)
		case Trace:
			_, privileged, errno := install(rest, 0)
			answer(sock, errno, !privileged, -1)
		case Probe:
			answer(sock, probe(), false, -1)
		case Go:
			answer(sock, execute(argv, environ), false, -1)
			return 126
		default:
			return 125
		}
	}
}

// answer sends an answer, and a descriptor with it, which is closed here, when
// that is not -1.
func answer(sock int, errno syscall.Errno, noNewPrivs bool, fd int) {
	packet := []byte{byte(errno), byte(errno >> 8), byte(errno >> 16), byte(errno >> 24), 0}
	if noNewPrivs {
		packet[4] = 1
	}
	var control []byte
	if fd >= 0 {
		control = syscall.UnixRights(fd)
		defer syscall.Close(fd)
	}
	for {
		if err := syscall.Sendmsg(sock, packet, control, nil, 0); err != syscall.EINTR {
			return
		}
	}
}

// allow lets process pid trace this one where Yama keeps that to ancestors;
// without Yama there is nothing to allow (EINVAL).
func allow(pid int) syscall.Errno {
	const prSetPtracer = 0x59616d61
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetPtracer, uintptr(pid), 0, 0, 0, 0)
	if errno == syscall.EINVAL {
		return 0
	}
	return errno
}

func probe() syscall.Errno {
	// Neither O_PATH nor O_DIRECTORY: the filter lets those pass.
	fd, err := syscall.Open(ProbePath, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err == syscall.EACCES {
		return 0 // the call has gone on
	}
	if err != nil {
		return err.(syscall.Errno)
	}
	syscall.Close(fd)
	return 0
}

// Flags of SECCOMP_SET_MODE_FILTER, include/uapi/linux/seccomp.h.
const (
	flagSpecAllow    = 1 << 2
	flagNewListener  = 1 << 3
	flagWaitKillable = 1 << 5
)

// install installs filter on this thread, with the first flags that the kernel
// takes, and gives the listener if one was asked for. privileged is false when
// that took no_new_privs.
func install(filter []byte, flags ...uintptr) (fd int, privileged bool, errno syscall.Errno) {
	fd, errno = installWith(filter, flags)
	if errno != syscall.EACCES {
		return fd, true, errno
	}
	const prSetNoNewPrivs = 38
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return -1, true, errno
	}
	fd, errno = installWith(filter, flags)
	return fd, false, errno
}

// installWith is seccomp(2).
func installWith(filter []byte, flags []uintptr) (int, syscall.Errno) {
	const (
		setModeFilter    = 1
		instructionBytes = 8
	)
	prog := struct {
		len    uint16
		filter unsafe.Pointer
	}{uint16(len(filter) / instructionBytes), unsafe.Pointer(&filter[0])}
	var errno syscall.Errno
	// WAIT_KILLABLE_RECV came with 5.19; without it a signal can interrupt a
	// call between its notification and the answer. SPEC_ALLOW came with 4.17;
	// sandboxes may not know it.
	for _, more := range []uintptr{flagSpecAllow, 0} {
		for _, flag := range flags {
			var fd uintptr
			fd, _, errno = syscall.RawSyscall(sysSeccomp, setModeFilter, flag|more, uintptr(unsafe.Pointer(&prog)))
			if errno == 0 && flag&flagNewListener == 0 {
				return -1, 0
			}
			if errno == 0 || errno != syscall.EINVAL {
				return int(fd), errno
			}
		}
	}
	runtime.KeepAlive(filter)
	return -1, errno
}

// execute is execvp(3): argv[0] is looked up in PATH unless it has a slash, a
// file without a known format is given to /bin/sh. It returns only on failure.
func execute(argv, environ []string) syscall.Errno {
	name := argv[0]
	if strings.Contains(name, "/") {
		return execOne(name, argv, environ)
	}
	if name == "" {
		return syscall.ENOENT
	}
	path, found := syscall.Getenv("PATH")
	if !found {
		path = "/bin:/usr/bin" // _CS_PATH, confstr(3)
	}
	last := syscall.ENOENT
	for dir := range strings.SplitSeq(path, ":") {
		candidate := name
		if dir != "" {
			candidate = dir + "/" + name
		}
		switch errno := execOne(candidate, argv, environ); errno {
		case syscall.ENOENT, syscall.ENOTDIR, syscall.ESTALE, syscall.ENODEV, syscall.ETIMEDOUT, syscall.ENAMETOOLONG:
		case syscall.EACCES:
			last = errno
		default:
			return errno
		}
	}
	return last
}

// rawEnviron is the environment block as it is: Go's own view drops the second
// of two equal names.
func rawEnviron() []string {
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return syscall.Environ()
	}
	if len(block) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(block), "\x00"), "\x00")
}

func execOne(path string, argv, environ []string) syscall.Errno {
	err := syscall.Exec(path, argv, environ)
	if errors.Is(err, syscall.ENOEXEC) {
		err = syscall.Exec("/bin/sh", append([]string{"/bin/sh", path}, argv[1:]...), environ)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EINVAL
}

func receive(sock int, packet []byte) (int, error) {
	for {
		n, _, _, _, err := syscall.Recvmsg(sock, packet, nil, 0)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// uint32At reads the number that starts packet; 0 when there is none.
func uint32At(packet []byte) uint32 {
	if len(packet) < 4 {
		return 0
	}
	return uint32(packet[0]) | uint32(packet[1])<<8 | uint32(packet[2])<<16 | uint32(packet[3])<<24
}

// Answer reads an answer.
func Answer(packet []byte) (errno syscall.Errno, noNewPrivs bool) {
	if len(packet) != AnswerSize {
		return syscall.EBADMSG, false
	}
	return syscall.Errno(uint32At(packet)), packet[4] == 1
}
