//go:build unix && !linux

package runner

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

func defaultAction(number syscall.Signal) { signal.Reset(number) }

// raise waits a moment: another thread may take the signal.
func raise(number syscall.Signal) {
	_ = syscall.Kill(os.Getpid(), number)
	time.Sleep(100 * time.Millisecond)
}
