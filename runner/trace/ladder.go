package trace

import (
	"errors"
	"fmt"
)

// Methods are the ways of watching a command, the best first.
func Methods() []string { return []string{SeccompNotify, Ptrace, PtraceAll, Snapshot} }

// Rung is one of the Methods, and whether it works on this machine.
type Rung struct {
	Method string `json:"method"`
	Works  bool   `json:"works"`
	// Reason says why it does not work and what to do, or is empty.
	Reason string `json:"reason"`
}

// Rungs tries each of the Methods, in their order, with a real process. It
// makes the calling process the reaper of orphans below it, as Prepare does.
func Rungs() []Rung {
	var rungs []Rung
	for _, method := range Methods() {
		run, err := Prepare(Command{Argv: []string{"true"}}, method, func(*Event) {})
		rung := Rung{Method: method, Works: err == nil}
		if err == nil {
			run.Close()
		} else {
			rung.Reason = err.Error()
			if why := (*unsupportedError)(nil); errors.As(err, &why) {
				rung.Reason = why.reason
			}
		}
		rungs = append(rungs, rung)
	}
	return rungs
}

// unsupportedError says why a method of watching cannot work here.
type unsupportedError struct{ method, reason string }

func unsupported(method, format string, arguments ...any) error {
	return &unsupportedError{method, fmt.Sprintf(format, arguments...)}
}

func (e *unsupportedError) Error() string {
	return fmt.Sprintf("%v: %s: %s", ErrUnsupported, e.method, e.reason)
}

// Unwrap gives ErrUnsupported.
func (e *unsupportedError) Unwrap() error { return ErrUnsupported }
