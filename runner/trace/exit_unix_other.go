//go:build unix && !(linux && (amd64 || arm64))

package trace

import (
	"os"
	"syscall"
)

func exitOf(state *os.ProcessState) Exit {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return Exit{Code: -1, Signal: status.Signal(), Core: status.CoreDump()}
	}
	return Exit{Code: state.ExitCode()}
}
