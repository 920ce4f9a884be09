//go:build amd64 || arm64

package trace

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mechanism holds the threads of a tree at the calls that are watched.
type mechanism interface {
	// descriptor is readable when there is something to receive.
	descriptor() int
	// receive appends the calls that wait; there may be none after all. They
	// are released before the next receive.
	receive(calls []heldCall) ([]heldCall, error)
	// holds tells whether the thread of a received call is still held, so that
	// what was read of it since is its own.
	holds(call *heldCall) (bool, error)
	// release lets a received call go on.
	release(call *heldCall) error
	// hungUp says what it means that the descriptor's other end has gone.
	hungUp() error
	close()
}

// heldCall is a system call that waits for its release.
type heldCall struct {
	by   mechanism
	id   uint64 // the mechanism's own
	tid  int    // 0 when it is outside convrun's PID namespace
	nr   int
	arch uint32 // AUDIT_ARCH_…
	args [6]uint64
}

var (
	// errTreeGone ends serve: no process of the tree is left.
	errTreeGone = errors.New("the process tree is gone")
	errStopped  = errors.New("told to stop")
)

// serve gives every call to look, until the last process of the tree has gone
// or stop is readable. It keeps its thread, and blocks in raw system calls:
// announcing each block to the Go scheduler costs more than the call it
// watches.
func serve(m mechanism, stop int, look func(*heldCall)) error {
	runtime.LockOSThread()
	var calls []heldCall
	for {
		ready, err := wait(m, stop)
		calls = calls[:0]
		if err == nil && ready {
			calls, err = m.receive(calls)
		}
		for i := range calls {
			look(&calls[i])
			err = errors.Join(err, m.release(&calls[i]))
		}
		if err != nil {
			return err
		}
	}
}

// wait blocks until a call is there; false is an interruption, which the Go
// scheduler uses to get its processor back.
func wait(m mechanism, stop int) (bool, error) {
	entries := [2]unix.PollFd{{Fd: int32(m.descriptor()), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&entries)), 2, 0, 0, 0, 0)
	switch {
	case errno == unix.EINTR:
		return false, nil
	case errno != 0:
		return false, fmt.Errorf("wait for a call: %w", errno)
	case entries[1].Revents != 0:
		return false, errStopped
	case entries[0].Revents&unix.POLLIN != 0:
		return true, nil
	case entries[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0:
		return false, m.hungUp()
	}
	return false, nil
}
