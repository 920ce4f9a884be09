//go:build unix

package runner

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// endBySignal raises the signal with its default action, and no core dump:
// the command has left one if it wanted to.
func endBySignal(name string) int {
	number := unix.SignalNum(name)
	if number == 0 {
		// A real-time signal has no name, see signalName.
		if _, err := fmt.Sscanf(name, "signal %d", &number); err != nil {
			return 125
		}
	}
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	defaultAction(number)
	raise(number)
	return 128 + int(number)
}
