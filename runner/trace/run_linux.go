//go:build amd64 || arm64

package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/convrun/convrun/runner/trace/stage"
)

// Run is one command, from before its first instruction to after its last
// descendant's.
type Run struct {
	method string
	reason string // why no better method was taken
	notes  []string

	name     string
	private  string // see Command
	pid      int
	sock     int // to the stage; -1 once the command runs
	keeper   keeper
	reporter *reporter
	// mechanism is nil when calls are not watched.
	mechanism mechanism
	stop      int        // event descriptor that ends serve
	serving   bool       // serve runs: its end comes through served
	served    chan error // serve has ended
	exited    chan Exit  // the command has ended
	child     chan os.Signal
	done      chan struct{}  // closed: stop reaping
	reaper    sync.WaitGroup // the reaper's loop
	stopped   func(syscall.Signal)
	mu        sync.Mutex // held while statuses are taken, so that pid means the command
	ended     bool       // the command's status was taken: pid is nobody's
}

// keeper is the process that answers for convrun should convrun die.
type keeper struct {
	pid  int
	mu   sync.Mutex
	sock int // -1 once it has its last order
}

// takeOver makes the keeper answer from now on.
func (k *keeper) takeOver() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sock >= 0 {
		unix.Close(k.sock) // without Quit
		k.sock = -1
	}
}

// quit ends the keeper: there is nothing to keep.
func (k *keeper) quit() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sock >= 0 {
		_ = send(k.sock, []byte{stage.Quit}, nil)
		unix.Close(k.sock)
		k.sock = -1
	}
}

// Method is how the command is watched.
func (r *Run) Method() string { return r.method }

// Reason says why better methods could not be used, or is empty.
func (r *Run) Reason() string { return r.reason }

// Notes are side effects of the method that the command can notice, and why no
// better one was taken. They are complete after Finish.
func (r *Run) Notes() []string {
	notes := r.notes
	if r.reason != "" && r.method != Snapshot {
		notes = append(notes, "watched by "+r.method+", because better methods do not work here: "+r.reason)
	}
	if r.reporter != nil {
		notes = append(notes, r.reporter.notes...)
	}
	return notes
}

// Degraded lists what programs of the command could not do because they were
// watched. It is complete after Finish.
func (r *Run) Degraded() []string {
	if r.reporter == nil {
		return nil
	}
	return r.reporter.degraded
}

// PID of the command.
func (r *Run) PID() int { return r.pid }

// Start lets the command begin. A command that cannot be executed gives a
// *StartError. onStop is told when the command was stopped by a terminal's
// signal, so that the caller can stop too.
func (r *Run) Start(onStop func(syscall.Signal)) error {
	r.stopped = onStop
	var err error
	if r.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("make an event descriptor: %w", err)
	}
	if r.mechanism != nil {
		// The loop holds a processor of the scheduler's while it blocks.
		before := runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)+1))
		r.serving = true
		go func() {
			err := serve(r.mechanism, r.stop, r.reporter.look)
			if !errors.Is(err, errTreeGone) && !errors.Is(err, errStopped) {
				r.keeper.takeOver() // the tree must not wait for ever
			}
			runtime.GOMAXPROCS(before)
			r.served <- err
		}()
	}
	if err := send(r.sock, []byte{stage.Go}, nil); err != nil {
		return fmt.Errorf("start the command: %w", err)
	}
	// Its end of the socket closes when the command executes.
	answer, _, err := receiveAnswer(r.sock)
	unix.Close(r.sock)
	r.sock = -1
	r.reaper.Go(r.reap)
	if err == nil {
		<-r.exited
		return &StartError{Name: r.name, Err: answer.errno}
	}
	return nil
}

// reap takes the status of every child, adopted orphans included, until done.
// It never blocks in wait4: later children of convrun's own wait for
// themselves.
func (r *Run) reap() {
	for {
		for r.reapOne() {
		}
		select {
		case <-r.child:
		case <-r.done:
			return
		}
	}
}

func (r *Run) reapOne() bool {
	r.mu.Lock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WALL|unix.WUNTRACED|unix.WNOHANG, nil)
	isCommand := err == nil && pid == r.pid
	if isCommand && !status.Stopped() {
		r.ended = true
	}
	r.mu.Unlock()
	switch {
	case errors.Is(err, unix.EINTR):
	case err != nil || pid <= 0:
		return false
	case !isCommand:
	case status.Stopped():
		r.stopped(status.StopSignal())
	case status.Signaled():
		r.exited <- Exit{Code: -1, Signal: status.Signal(), Core: status.CoreDump()}
	default:
		r.exited <- Exit{Code: status.ExitStatus()}
	}
	return true
}

// Wait blocks until the command itself has ended.
func (r *Run) Wait() Exit { return <-r.exited }

// Signal sends a signal to the command, unless it has ended.
func (r *Run) Signal(number syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		_ = unix.Kill(r.pid, number)
	}
}

var errHidden = errors.New("processes of the command still run, but cannot be found below convrun")

// Finish waits up to grace, or until ctx is done, for the command's
// descendants, and lists those that still run; they go on undisturbed, but
// unseen.
func (r *Run) Finish(ctx context.Context, grace time.Duration) (left []int, err error) {
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if !r.serving {
		return r.awaitDescendants(ctx), nil
	}
	select {
	case err = <-r.served:
		r.serving = false
		if errors.Is(err, errTreeGone) {
			return nil, nil
		}
		return r.descendants(), err
	case <-ctx.Done():
	}
	if left = r.descendants(); len(left) == 0 {
		err = errHidden
	}
	if stopErr := r.stopServing(); !errors.Is(stopErr, errStopped) {
		err = stopErr // the last one has gone, or the listener failed, just now
	}
	if keeperErr := r.replaceKeeper(); err == nil {
		err = keeperErr
	}
	r.keeper.takeOver()
	if errors.Is(err, errTreeGone) {
		return nil, nil
	}
	return left, err
}

// awaitDescendants waits without a listener's help.
func (r *Run) awaitDescendants(ctx context.Context) []int {
	for {
		left := r.descendants()
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return left
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stopServing ends serve and gives what ended it.
func (r *Run) stopServing() error {
	r.serving = false
	if _, err := unix.Write(r.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("stop listening: %w", err)
	}
	return <-r.served
}

// descendants are the processes below convrun, without the keeper.
func (r *Run) descendants() []int {
	if !procIsOurs() {
		return nil
	}
	parents := map[int]int{}
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		stat, err := os.ReadFile(entry)
		if err != nil {
			continue
		}
		pid, parent, zombie := parseStat(stat)
		if pid > 0 && !zombie {
			parents[pid] = parent
		}
	}
	var found []int
	for pid := range parents {
		for ancestor, depth := parents[pid], 0; ancestor > 1 && depth < 1000; ancestor, depth = parents[ancestor], depth+1 {
			if ancestor == os.Getpid() && pid != r.keeper.pid {
				found = append(found, pid)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// parseStat reads a line of /proc/PID/stat; pid is 0 when it is none.
func parseStat(line []byte) (pid, parent int, zombie bool) {
	number, rest, _ := bytes.Cut(line, []byte(" ("))
	// The name in parentheses may hold anything; the state and the parent
	// follow its last one.
	fields := bytes.Fields(rest[bytes.LastIndexByte(rest, ')')+1:])
	pid, err := strconv.Atoi(string(number))
	if err != nil || pid <= 0 || len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil || parent < 0 {
		return 0, 0, false
	}
	return pid, parent, string(fields[0]) == "Z"
}

// Close frees what is left. A command that was never started is ended.
func (r *Run) Close() {
	signal.Stop(r.child)
	select {
	case <-r.done:
	default:
		close(r.done)
	}
	r.reaper.Wait()
	if r.serving {
		_ = r.stopServing()
	}
	if r.sock >= 0 { // never started
		_ = unix.Kill(r.pid, unix.SIGKILL)
		unix.Close(r.sock)
		r.sock = -1
		defer await(r.keeper.pid)
		defer await(r.pid)
	}
	r.keeper.quit()
	if r.mechanism != nil {
		r.mechanism.close()
		r.mechanism = nil
	}
	if r.stop >= 0 {
		unix.Close(r.stop)
		r.stop = -1
	}
}

// await takes the status of a child that is about to end.
func await(pid int) {
	for pid > 0 {
		if _, err := unix.Wait4(pid, nil, unix.WALL, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
