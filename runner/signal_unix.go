//go:build unix

package runner

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// signals keeps convrun alive while the command decides what a signal means,
// and hands on what was sent to convrun alone.
type signals struct {
	caught chan os.Signal
	done   chan struct{}
	// own counts signals that the command's own tree sends to convrun's
	// process or group: the command has had those already.
	own [65]atomic.Int32
}

// relayed are handed on to the command: a process, not a terminal, sends them.
var relayed = map[os.Signal]bool{unix.SIGTERM: true, unix.SIGHUP: true, unix.SIGUSR1: true, unix.SIGUSR2: true}

func catchSignals() *signals {
	s := &signals{caught: make(chan os.Signal, 16), done: make(chan struct{})}
	// Caught, not ignored: an ignored signal would stay ignored in the command.
	// What convrun was started with as ignored (nohup) stays so.
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP} {
		if !signal.Ignored(sig) {
			signal.Notify(s.caught, sig)
		}
	}
	return s
}

// relay hands signals on to pid until stop.
func (s *signals) relay(pid int) {
	go func() {
		for {
			select {
			case sig := <-s.caught:
				number := sig.(syscall.Signal)
				if relayed[sig] && s.own[number].Add(-1) < 0 {
					s.own[number].Store(0)
					_ = unix.Kill(pid, number)
				}
			case <-s.done:
				return
			}
		}
	}()
}

// sent notes that a process of the tree sends number to convrun's group.
func (s *signals) sent(number syscall.Signal) {
	if int(number) > 0 && int(number) < len(s.own) {
		s.own[number].Add(1)
	}
}

func (s *signals) stop() {
	signal.Stop(s.caught)
	close(s.done)
}

// stopToo stops convrun when its command was stopped from a terminal, so that
// the shell sees the job as stopped.
func stopToo(sig syscall.Signal) {
	switch sig {
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	}
}

// signalName is "SIGTERM" for 15.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return sig.String()
}
