//go:build amd64 || arm64

package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/convrun/convrun/runner/trace/stage"
)

// listener is the mechanism of seccomp user notification, seccomp_unotify(2).
type listener struct {
	fd int
	// page is shared with the keeper: the notifications that are being looked
	// at, from its start on.
	page []byte
}

func newListener(fd int, page []byte) *listener {
	// From 6.6 on the answering thread and the asking one can share a
	// processor without a detour; older kernels refuse, and are slower.
	unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), stage.IoctlSetFlags, 1)
	return &listener{fd: fd, page: page}
}

func (l *listener) descriptor() int { return l.fd }

// receive takes every notification that waits: as long as none has taken it, a
// signal interrupts the call.
func (l *listener) receive(calls []heldCall) ([]heldCall, error) {
	for room := l.page; len(room) >= stage.NotifSize && (len(calls) == 0 || l.more()); room = room[stage.NotifSize:] {
		notification := room[:stage.NotifSize]
		clear(notification)
		_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(l.fd), stage.IoctlRecv, uintptr(unsafe.Pointer(&notification[0])))
		switch errno {
		case 0:
			calls = append(calls, l.decode(notification))
		case unix.ENOENT, unix.EINTR: // the call was interrupted just now
			return calls, nil
		default:
			return calls, fmt.Errorf("receive a notification: %w", errno)
		}
	}
	return calls, nil
}

// more tells whether another notification waits.
func (l *listener) more() bool {
	entry := unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&entry)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return errno == 0 && n == 1 && entry.Revents&unix.POLLIN != 0
}

// decode reads struct seccomp_notif, include/uapi/linux/seccomp.h.
func (l *listener) decode(notification []byte) heldCall {
	le := binary.LittleEndian
	call := heldCall{
		by: l, id: le.Uint64(notification),
		tid: int(le.Uint32(notification[8:])), nr: int(int32(le.Uint32(notification[16:]))), arch: le.Uint32(notification[20:]),
	}
	for i := range call.args {
		call.args[i] = le.Uint64(notification[32+8*i:])
	}
	return call
}

func (l *listener) holds(call *heldCall) (bool, error) {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(l.fd), stage.IoctlIDValid, uintptr(unsafe.Pointer(&call.id)))
	if errno == 0 || errno == unix.ENOENT {
		return errno == 0, nil
	}
	return false, errno
}

// release lets the call go on; one that was interrupted meanwhile comes again.
func (l *listener) release(call *heldCall) error {
	if err := stage.Continue(l.fd, call.id); err != 0 && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("let a call go on: %w", err)
	}
	return nil
}

// hungUp means that no process uses the filter any more.
func (l *listener) hungUp() error { return errTreeGone }

func (l *listener) close() {
	unix.Close(l.fd)
	_ = unix.Munmap(l.page)
}
