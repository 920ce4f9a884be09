//go:build amd64 || arm64

package stage

import (
	"os"
	"slices"
	"strconv"
	"syscall"
	"unsafe"
)

// Layout of struct seccomp_notif and struct seccomp_notif_resp,
// include/uapi/linux/seccomp.h.
const (
	NotifSize    = 80
	SharedSize   = 4096 // of the notifications that convrun works on
	flagContinue = 1
)

// ioctl numbers of a seccomp listener, include/uapi/linux/seccomp.h.
const (
	IoctlRecv     = 0xc0502100
	IoctlSend     = 0xc0182101
	IoctlIDValid  = 0x40082102
	IoctlSetFlags = 0x40082104
)

// runKeeper is `convrun-keeper PRIVATE SOCK SHARED`: hold the listener, and answer
// "go on" to everything once convrun's end of SOCK is closed without Quit.
// SHARED is a memory file in which convrun receives its notifications, so that
// those it was working on when it died can be answered too.
// At the end it removes the folder PRIVATE, as removePrivate says.
func runKeeper(args []string) int {
	if len(args) != 3 {
		return 125
	}
	convrun := os.Getppid()
	sock, err1 := strconv.Atoi(args[1])
	shared, err2 := strconv.Atoi(args[2])
	if err1 != nil || err2 != nil {
		return 125
	}
	closeInherited(sock, shared)
	standAside()
	page, err := syscall.Mmap(shared, 0, SharedSize, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return 125
	}
	var order [1]byte
	control := make([]byte, syscall.CmsgSpace(4))
	var n, controlLen int
	for {
		n, controlLen, _, _, err = syscall.Recvmsg(sock, order[:], control, syscall.MSG_CMSG_CLOEXEC)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil || n != 1 || order[0] == Quit {
		return 0
	}
	listener, err := ReceivedFD(control[:controlLen])
	if err != nil {
		return 125
	}
	if n, err := receive(sock, order[:]); err == nil && n == 1 && order[0] == Quit {
		return 0
	}
	for at := 0; at+NotifSize <= SharedSize; at += NotifSize {
		Continue(listener, *(*uint64)(unsafe.Pointer(&page[at])))
	}
	status := answerAll(listener)
	removePrivate(args[0], convrun)
	return status
}

// removePrivate removes, at the end of the tree, a folder that convrun cannot
// remove any more: it has been killed, and this process has another parent.
func removePrivate(folder string, convrun int) {
	if folder != "" && os.Getppid() != convrun {
		os.RemoveAll(folder)
	}
}

// closeInherited closes every descriptor that came from convrun, 0 to 2 and the
// two given apart: the keeper may outlive convrun, and must not keep a pipe
// open whose reader waits for its end. Those of Go's own runtime, which it
// cannot do without, are close-on-exec and so tell themselves apart.
func closeInherited(keep ...int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= 2 || slices.Contains(keep, fd) {
			continue
		}
		flags, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			syscall.Close(fd)
		}
	}
}

// answerAll lets every call go on until the last process of the tree is gone.
func answerAll(listener int) int {
	const pollIn, pollErr, pollHup = 1, 8, 16
	for {
		entry := struct {
			fd              int32
			events, revents int16
		}{fd: int32(listener), events: pollIn}
		_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&entry)), 1, 0, 0, 0, 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0 || entry.revents&(pollHup|pollErr) != 0:
			return 0
		}
		var notif [NotifSize]byte
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(listener), IoctlRecv, uintptr(unsafe.Pointer(&notif))); errno == 0 {
			Continue(listener, *(*uint64)(unsafe.Pointer(&notif)))
		}
	}
}

// Continue answers the notification id so that the kernel performs the call as
// if nobody had looked. ENOENT says that the id no longer waits.
func Continue(listener int, id uint64) syscall.Errno {
	response := struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: id, flags: flagContinue}
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(listener), IoctlSend, uintptr(unsafe.Pointer(&response)))
	return errno
}

// ReceivedFD is the one descriptor in a control message.
func ReceivedFD(control []byte) (int, error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return -1, syscall.EBADMSG
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, syscall.EBADMSG
	}
	return fds[0], nil
}
