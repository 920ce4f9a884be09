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
	reason string // why method is not SeccompNotify
	notes  []string

	name     string
	pid      int
	sock     int // to the stage; -1 once the command runs
	keeper   keeper
	listener *listener
	stop     int        // event descriptor that ends the listener's loop
	serving  bool       // the listener's loop runs: its end comes through served
	served   chan error // the listener's loop has ended
	exited   chan Exit  // the command has ended
	child    chan os.Signal
	done     chan struct{}  // closed: stop reaping
	reaper   sync.WaitGroup // the reaper's loop
	stopped  func(syscall.Signal)
	mu       sync.Mutex // held while statuses are taken, so that pid means the command
	ended    bool       // the command's status was taken: pid is nobody's
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

// Prepare starts everything but the command itself. With method "" it takes
// the best method that works here; any other method that does not work is an
// error that wraps ErrUnsupported. Close frees what Prepare took when Start is
// never called.
func Prepare(command Command, method string, sink Sink) (*Run, error) {
	r := &Run{
		name:   command.Argv[0],
		method: SeccompNotify, sock: -1, stop: -1, keeper: keeper{sock: -1},
		served: make(chan error, 1), exited: make(chan Exit, 1), child: make(chan os.Signal, 1), done: make(chan struct{}),
	}
	signal.Notify(r.child, unix.SIGCHLD)
	abis := abisOf(runtime.GOARCH)
	if method == Snapshot {
		r.method = Snapshot
	} else if ok, release := kernelIsAtLeast(5, 5); !ok {
		r.method, r.reason = Snapshot, fmt.Sprintf("kernel %s lets no observed call go on, which takes 5.5 or newer", release)
	} else if !procIsOurs() {
		r.method, r.reason = Snapshot, "/proc shows the processes of another PID namespace, and not the command's"
	}
	if err := r.launch(command, abis, sink); err != nil {
		r.Close()
		return nil, err
	}
	if r.reason != "" && method == SeccompNotify {
		defer r.Close()
		return nil, fmt.Errorf("%w: %s: %s", ErrUnsupported, SeccompNotify, r.reason)
	}
	return r, nil
}

func (r *Run) launch(command Command, abis []abi, sink Sink) (err error) {
	// Orphans of the tree come to convrun, so that their end is seen and Yama
	// still counts them as its descendants.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	var filter []byte
	var page []byte
	if r.method == SeccompNotify {
		filter = encodeFilter(filterProgram(abis))
		if page, err = r.startKeeper(); err != nil {
			return err
		}
	}
	argv := append([]string{stage.ExecName, ""}, command.Argv...)
	r.pid, r.sock, err = spawn(argv, command.Environ, func(theirs int) []uintptr {
		// At its own number: the command's inherited descriptors stay where
		// they are.
		argv[1] = strconv.Itoa(theirs)
		return inheritedAnd(theirs)
	}, nil)
	if err != nil {
		return err
	}
	if err := send(r.sock, append([]byte{0}, filter...), nil); err != nil {
		return fmt.Errorf("hand the filter to the new process: %w", err)
	}
	if r.method != SeccompNotify {
		return nil
	}
	fd, err := r.receiveListener()
	if err != nil || fd < 0 {
		return err
	}
	// From 6.6 on the answering thread and the asking one can share a
	// processor without a detour; older kernels refuse, and are slower.
	unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), stage.IoctlSetFlags, 1)
	r.listener = &listener{
		fd: fd, page: page, sink: sink, abis: abis, gaps: map[string]bool{},
		ownPID: os.Getpid(), ownGroup: unix.Getpgrp(),
	}
	return r.handToKeeper(fd)
}

// procIsOurs tells whether the numbers in /proc are those of convrun's PID
// namespace. Otherwise a number there is another process, or none.
func procIsOurs() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// spawn starts convrun's own binary in the role that argv[0] names, with one
// end of a new packet socket. files says which descriptors it gets, given the
// number of its end; none loses close-on-exec here, where another thread could
// pass it on to a program of its own.
func spawn(argv, environ []string, files func(theirs int) []uintptr, sys *syscall.SysProcAttr) (pid, sock int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, -1, fmt.Errorf("make a socket pair: %w", err)
	}
	defer unix.Close(pair[1])
	pid, err = syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{Env: environ, Files: files(pair[1]), Sys: sys})
	if err != nil {
		unix.Close(pair[0])
		return 0, -1, fmt.Errorf("start %s from /proc/self/exe: %w", argv[0], err)
	}
	return pid, pair[0], nil
}

// inheritedAnd lists convrun's own inherited descriptors and one more, each at
// its own number. Those above it are inherited without being listed.
func inheritedAnd(more int) []uintptr {
	const none = ^uintptr(0)
	files := make([]uintptr, more+1)
	for fd := range files {
		files[fd] = uintptr(fd)
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); fd != more && (err != nil || flags&unix.FD_CLOEXEC != 0) {
			files[fd] = none
		}
	}
	return files
}

func (r *Run) startKeeper() (page []byte, err error) {
	shared, err := unix.MemfdCreate("convrun", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	defer unix.Close(shared)
	if err := unix.Ftruncate(shared, pageSize); err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	page, err = unix.Mmap(shared, 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	const theirSock, theirShared = 3, 4
	argv := []string{stage.KeeperName, strconv.Itoa(theirSock), strconv.Itoa(theirShared)}
	// Its own process group: a ^C at the terminal is not meant for it.
	r.keeper.pid, r.keeper.sock, err = spawn(argv, []string{}, func(theirs int) []uintptr {
		return []uintptr{null.Fd(), null.Fd(), null.Fd(), theirSock: uintptr(theirs), theirShared: uintptr(shared)}
	}, &syscall.SysProcAttr{Setpgid: true})
	return page, err
}

// receiveListener gives the listener of the stage's filter; -1 without an
// error means that the kernel refused the filter.
func (r *Run) receiveListener() (int, error) {
	var packet [8]byte
	control := make([]byte, unix.CmsgSpace(4))
	n, controlLen, err := receive(r.sock, packet[:], control)
	if err != nil || n < 2 {
		return -1, fmt.Errorf("hear from the new process: %w", errors.Join(err, errNoAnswer))
	}
	if packet[0] == stage.NoFilter {
		r.method, r.reason = Snapshot, refusal(stage.Errno(packet[1:n]))
		return -1, nil
	}
	if packet[1] == stage.NoNewPriv {
		r.notes = append(r.notes, "the command ran with no_new_privs: set-user-ID programs such as sudo gain no rights")
	}
	fd, err := stage.ReceivedFD(control[:controlLen])
	if err != nil {
		return -1, fmt.Errorf("receive the listener: %w", err)
	}
	return fd, nil
}

var errNoAnswer = errors.New("it went away without an answer")

func refusal(errno syscall.Errno) string {
	switch errno {
	case unix.EBUSY:
		return "another program already watches this process (EBUSY), perhaps an outer convrun"
	case unix.EINVAL, unix.ENOSYS:
		return fmt.Sprintf("this kernel or sandbox has no seccomp user notification (%v)", errno)
	}
	return fmt.Sprintf("the seccomp filter was refused: %v", errno)
}

func (r *Run) handToKeeper(fd int) error {
	// No answer is waited for: once sent, the listener lives as long as the
	// keeper, whether that has received it yet or not.
	if err := send(r.keeper.sock, []byte{stage.Listener}, unix.UnixRights(fd)); err != nil {
		return fmt.Errorf("hand the listener to the keeper: %w", err)
	}
	return nil
}

func send(sock int, packet, control []byte) error {
	for {
		if err := unix.Sendmsg(sock, packet, control, nil, 0); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func receive(sock int, packet, control []byte) (n, controlLen int, err error) {
	for {
		n, controlLen, _, _, err = unix.Recvmsg(sock, packet, control, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			return n, controlLen, err
		}
	}
}

// Method is how the command is watched.
func (r *Run) Method() string { return r.method }

// Reason says why a better method could not be used, or is empty.
func (r *Run) Reason() string { return r.reason }

// Notes are side effects of the method that the command can notice.
func (r *Run) Notes() []string { return r.notes }

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
	if r.listener != nil {
		// The loop holds a processor of the scheduler's while it blocks.
		before := runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)+1))
		r.serving = true
		go func() {
			err := r.listener.serve(r.stop)
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
	var packet [8]byte
	n, _, err := receive(r.sock, packet[:], nil)
	unix.Close(r.sock)
	r.sock = -1
	r.reaper.Go(r.reap)
	if err == nil && n > 1 && packet[0] == stage.Failed {
		<-r.exited
		return &StartError{Name: r.name, Err: stage.Errno(packet[1:n])}
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

// stopServing ends the listener's loop and gives what ended it.
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
	if r.sock >= 0 {
		unix.Close(r.sock) // the stage ends without an order
		r.sock = -1
		for {
			if _, err := unix.Wait4(r.pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
	if r.serving {
		_ = r.stopServing()
	}
	r.keeper.quit()
	if r.listener != nil {
		unix.Close(r.listener.fd)
		_ = unix.Munmap(r.listener.page)
		r.listener = nil
	}
	if r.stop >= 0 {
		unix.Close(r.stop)
		r.stop = -1
	}
}
