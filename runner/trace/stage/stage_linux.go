//go:build amd64 || arm64

// Package stage holds the two small roles that convrun plays in processes of
// its own: the last step before the wrapped command starts (install the filter
// in this process only, hand its listener over, exec), and the keeper that
// answers for convrun should convrun die.
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
)

// Messages between convrun and its stages, one byte each, first in a packet.
const (
	Listener  = 'L' // stage: the filter is installed, the listener is attached
	NoFilter  = 'N' // stage: the filter was refused; four bytes of errno follow
	Failed    = 'E' // stage: no candidate could be executed; errno follows
	Go        = 'g' // convrun: execute the command
	Quit      = 'q' // convrun: the tree is gone, there is nothing to keep
	NewPrivs  = 0   // second byte of Listener: privileges are as they were
	NoNewPriv = 1   // second byte of Listener: set-uid programs gain nothing
)

// maxPacket bounds every packet; the filter is the largest, 8 bytes for each
// of at most 4096 instructions (BPF_MAXINSNS).
const maxPacket = 8*4096 + 1

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
	}
}

// runExec is `convrun-stage FD ARGV…`: receive the filter, install it, send
// the listener, wait for Go, execute.
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

	filter := make([]byte, maxPacket)
	n, err := receive(sock, filter)
	if err != nil || n == 0 {
		return 125
	}
	if filter = filter[1:n]; len(filter) > 0 {
		installFilter(sock, filter)
	}
	var order [1]byte
	if n, err := receive(sock, order[:]); err != nil || n != 1 || order[0] != Go {
		return 125
	}
	errno := execute(argv, environ)
	_ = send(sock, append([]byte{Failed}, errnoBytes(errno)...))
	return 126
}

// installFilter reports to sock whether the filter stands, with the listener.
func installFilter(sock int, filter []byte) {
	privs := byte(NewPrivs)
	fd, errno := seccompListener(filter)
	if errno == syscall.EACCES {
		const prSetNoNewPrivs = 38
		if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e == 0 {
			privs = NoNewPriv
			fd, errno = seccompListener(filter)
		}
	}
	if errno != 0 {
		_ = send(sock, append([]byte{NoFilter}, errnoBytes(errno)...))
		return
	}
	_ = syscall.Sendmsg(sock, []byte{Listener, privs}, syscall.UnixRights(fd), nil, 0)
	_ = syscall.Close(fd)
}

// seccompListener installs filter on this thread, seccomp(2).
func seccompListener(filter []byte) (int, syscall.Errno) {
	const (
		setModeFilter    = 1
		flagSpecAllow    = 1 << 2
		flagNewListener  = 1 << 3
		flagWaitKillable = 1 << 5
		instructionBytes = 8
	)
	prog := struct {
		len    uint16
		filter unsafe.Pointer
	}{uint16(len(filter) / instructionBytes), unsafe.Pointer(&filter[0])}
	var errno syscall.Errno
	// WAIT_KILLABLE_RECV came with 5.19; without it a signal can interrupt a
	// call between its notification and the answer.
	for _, flags := range []uintptr{flagSpecAllow | flagNewListener | flagWaitKillable, flagSpecAllow | flagNewListener} {
		var fd uintptr
		fd, _, errno = syscall.RawSyscall(sysSeccomp, setModeFilter, flags, uintptr(unsafe.Pointer(&prog)))
		if errno == 0 {
			return int(fd), 0
		}
		if errno != syscall.EINVAL {
			break
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

func send(sock int, packet []byte) error {
	for {
		err := syscall.Sendmsg(sock, packet, nil, nil, 0)
		if err != syscall.EINTR {
			return err
		}
	}
}

func receive(sock int, packet []byte) (int, error) {
	for {
		n, _, _, _, err := syscall.Recvmsg(sock, packet, nil, 0)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func errnoBytes(errno syscall.Errno) []byte {
	return []byte{byte(errno), byte(errno >> 8), byte(errno >> 16), byte(errno >> 24)}
}

// Errno reads the number that follows NoFilter and Failed.
func Errno(packet []byte) syscall.Errno {
	if len(packet) < 4 {
		return syscall.EINVAL
	}
	return syscall.Errno(packet[0]) | syscall.Errno(packet[1])<<8 | syscall.Errno(packet[2])<<16 | syscall.Errno(packet[3])<<24
}
