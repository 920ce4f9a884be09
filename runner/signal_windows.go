package runner

import (
	"os"
	"os/signal"
	"syscall"
)

// signals keeps convrun alive on ^C, which the console sends to the command
// too.
type signals struct{ caught chan os.Signal }

func catchSignals() *signals {
	s := &signals{caught: make(chan os.Signal, 1)}
	signal.Notify(s.caught, os.Interrupt)
	return s
}

func (s *signals) relay(func(syscall.Signal), func()) {}

func (s *signals) commandEnded() {}

func (s *signals) sent(syscall.Signal) {}

func (s *signals) stop() { signal.Stop(s.caught) }

func stopToo(syscall.Signal) {}

func signalName(sig syscall.Signal) string { return sig.String() }
