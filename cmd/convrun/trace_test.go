package main

import (
	"sync"

	"github.com/convrun/convrun/runner/trace"
)

// canTrace tells whether this machine lets convrun watch system calls.
var canTrace = sync.OnceValue(func() bool {
	run, err := trace.Prepare(trace.Command{Argv: []string{"true"}}, trace.SeccompNotify, func(*trace.Event) {})
	if err != nil {
		return false
	}
	run.Close()
	return true
})
