//go:build !(linux && (amd64 || arm64))

package trace

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Run is one command. On this system nothing of it is seen but its end.
type Run struct {
	command Command
	reason  string
	process *os.Process
}

// Prepare checks that method can work here; "" takes what does.
func Prepare(command Command, method string, _ Sink) (*Run, error) {
	reason := fmt.Sprintf("there is no tracer for %s/%s; only %s works here", runtime.GOOS, runtime.GOARCH, Snapshot)
	if method != "" && method != Snapshot {
		return nil, unsupported(method, "%s", reason)
	}
	return &Run{command: command, reason: reason}, nil
}

// Method is how the command is watched.
func (r *Run) Method() string { return Snapshot }

// Reason says why a better method could not be used.
func (r *Run) Reason() string { return r.reason }

// Notes are side effects of the method that the command can notice.
func (r *Run) Notes() []string { return nil }

// Degraded lists what the command could not do because it was watched.
func (r *Run) Degraded() []string { return nil }

// PID of the command.
func (r *Run) PID() int { return r.process.Pid }

// Start lets the command begin. A command that cannot be executed gives a
// *StartError.
func (r *Run) Start(func(syscall.Signal)) error {
	path, err := exec.LookPath(r.command.Argv[0])
	if err == nil {
		r.process, err = os.StartProcess(path, r.command.Argv, &os.ProcAttr{
			Env: r.command.Environ, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		})
	}
	if err != nil {
		return &StartError{Name: r.command.Argv[0], Err: err}
	}
	return nil
}

// Wait blocks until the command itself has ended.
func (r *Run) Wait() Exit {
	state, err := r.process.Wait()
	if err != nil {
		return Exit{Code: -1}
	}
	return exitOf(state)
}

// Signal sends a signal to the command, unless it has ended.
func (r *Run) Signal(number syscall.Signal) { _ = r.process.Signal(number) }

// Finish lists the command's descendants that still run: none can be seen.
func (r *Run) Finish(context.Context, time.Duration) ([]int, error) { return nil, nil }

// Close frees what Prepare took.
func (r *Run) Close() {}
