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
	fd   int
	page []byte // shared with the keeper: the notification that is answered next
}

func newListener(fd int, page []byte) *listener {
	// From 6.6 on the answering thread and the asking one can share a
	// processor without a detour; older kernels refuse, and are slower.
	unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), stage.IoctlSetFlags, 1)
	return &listener{fd: fd, page: page}
}

func (l *listener) descriptor() int { return l.fd }

// receive takes one notification, unless its call was interrupted meanwhile.
func (l *listener) receive() (heldCall, bool, error) {
	clear(l.page[:stage.NotifSize])
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(l.fd), stage.IoctlRecv, uintptr(unsafe.Pointer(&l.page[0])))
	switch errno {
	case 0:
		return l.decode(), true, nil
	case unix.ENOENT, unix.EINTR:
		return heldCall{}, false, nil
	}
	return heldCall{}, false, fmt.Errorf("receive a notification: %w", errno)
}

// decode reads struct seccomp_notif, include/uapi/linux/seccomp.h.
func (l *listener) decode() heldCall {
	le := binary.LittleEndian
	call := heldCall{by: l, tid: int(le.Uint32(l.page[8:])), nr: int(int32(le.Uint32(l.page[16:]))), arch: le.Uint32(l.page[20:])}
	for i := range call.args {
		call.args[i] = le.Uint64(l.page[32+8*i:])
	}
	return call
}

func (l *listener) notificationID() uint64 { return binary.LittleEndian.Uint64(l.page) }

func (l *listener) holds() bool {
	id := l.notificationID()
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(l.fd), stage.IoctlIDValid, uintptr(unsafe.Pointer(&id)))
	return errno == 0
}

// release lets the call go on; one that was interrupted meanwhile comes again.
func (l *listener) release() error {
	if err := stage.Continue(l.fd, l.notificationID()); err != 0 && !errors.Is(err, unix.ENOENT) {
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
