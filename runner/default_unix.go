//go:build unix && !linux

package runner

import (
	"os/signal"
	"syscall"
)

func defaultAction(number syscall.Signal) { signal.Reset(number) }
