//go:build unix

package runner

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// signals keeps convrun alive while the command decides what a signal means,
// and hands on what was sent to convrun alone.
type signals struct {
	caught chan os.Signal
	done   chan struct{}
	// own is when, in Unix nanoseconds, the command's own tree last sent each
	// signal to convrun's process or group: the command has had that already.
	own [65]atomic.Int64
	// ended is when the command ended, 0 before.
	ended atomic.Int64
}

// echo is how long after it was sent a signal is still the same one.
const echo = 500 * time.Millisecond

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

// relay hands signals on through send until stop. Once the command has ended,
// a signal calls endGrace: nobody needs to be waited for any longer.
func (s *signals) relay(send func(syscall.Signal), endGrace func()) {
	go func() {
		for {
			select {
			case sig := <-s.caught:
				number := sig.(syscall.Signal)
				if ended := s.ended.Load(); ended != 0 {
					// The ^C that ended the command may come late.
					if since(ended) > echo/5 {
						endGrace()
					}
				} else if relayed[sig] && since(s.own[number].Load()) > echo {
					send(number)
				}
			case <-s.done:
				return
			}
		}
	}()
}

func since(unixNano int64) time.Duration { return time.Since(time.Unix(0, unixNano)) }

// commandEnded is told once, when there is nobody to hand signals on to.
func (s *signals) commandEnded() { s.ended.Store(time.Now().UnixNano()) }

// sent notes that a process of the tree sends number to convrun's group.
func (s *signals) sent(number syscall.Signal) {
	if int(number) > 0 && int(number) < len(s.own) {
		s.own[number].Store(time.Now().UnixNano())
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
