//go:build unix

package runner

import (
	"golang.org/x/sys/unix"
)

// endBySignal raises the signal with its default action, and no core dump:
// the command has left one if it wanted to.
func endBySignal(name string) int {
	number := unix.SignalNum(name)
	if number == 0 {
		return 125
	}
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	defaultAction(number)
	raise(number)
	return 128 + int(number)
}
