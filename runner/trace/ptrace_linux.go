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

// traced is the mechanism of ptrace(2): a tracer in a process of its own holds
// the calls, and sends them here.
type traced struct {
	sock   int // the keeper's: it closes it
	every  bool
	abis   []abi
	packet [stage.MaxCall]byte
}

var errTracerGone = errors.New("the tracing process was killed")

func (t *traced) descriptor() int { return t.sock }

func (t *traced) receive(calls []heldCall) ([]heldCall, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(t.sock), uintptr(unsafe.Pointer(&t.packet)), stage.MaxCall, 0, 0, 0)
	switch {
	case errno == unix.EINTR:
		return calls, nil
	case errno == unix.ECONNRESET, errno == 0 && n == 0:
		return calls, errTracerGone
	case errno != 0:
		return calls, fmt.Errorf("hear from the tracer: %w", errno)
	case n < stage.CallHeader:
		return calls, errTreeGone
	}
	return append(calls, t.decode(t.packet[:n])), nil
}

func (t *traced) decode(packet []byte) heldCall {
	le := binary.LittleEndian
	call := heldCall{by: t, tid: int(le.Uint32(packet)), nr: -1}
	told, state := int(le.Uint32(packet[4:])), packet[stage.CallHeader:]
	switch {
	case t.every && len(state) >= 80:
		// struct ptrace_syscall_info, include/uapi/linux/ptrace.h.
		call.arch, call.nr = le.Uint32(state[4:]), int(int32(le.Uint32(state[24:])))
		for i := range call.args {
			call.args[i] = le.Uint64(state[32+8*i:])
		}
	case !t.every:
		// What the filter returned names the ABI, which the registers do not.
		if told > 0 && told <= len(t.abis) {
			call.arch = t.abis[told-1].arch
		}
		call.nr, call.args = readRegisters(state, call.arch)
	}
	return call
}

// holds is true: the tracer, which waits for the release, has not let the
// thread's number go. Only an execve of another thread could have given it
// away, and a call that this cuts off comes to nothing.
func (t *traced) holds(*heldCall) (bool, error) { return true, nil }

func (t *traced) release(*heldCall) error {
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(t.sock), uintptr(unsafe.Pointer(&t.packet)), 1, unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		case unix.EPIPE, unix.ECONNRESET:
			return errTracerGone
		default:
			return fmt.Errorf("answer the tracer: %w", errno)
		}
	}
}

func (t *traced) hungUp() error { return errTracerGone }

func (t *traced) close() {}
