package runner

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// defaultAction takes Go's own handler away, which signal.Reset leaves in
// place, and lets the signal through on this thread.
func defaultAction(number syscall.Signal) {
	runtime.LockOSThread()
	const setBytes = 8
	var action [4]uint64 // struct kernel_sigaction with SIG_DFL and an empty mask
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(number), uintptr(unsafe.Pointer(&action)), 0, setBytes, 0, 0)
	set := uint64(1) << (uint(number) - 1)
	const sigUnblock = 1
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, sigUnblock, uintptr(unsafe.Pointer(&set)), 0, setBytes, 0, 0)
}

// raise sends the signal to this very thread, so that it arrives before raise
// returns.
func raise(number syscall.Signal) { _ = unix.Tgkill(unix.Getpid(), unix.Gettid(), number) }
