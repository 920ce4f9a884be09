//go:build amd64 || arm64

package trace

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
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
	served   chan error // the listener's loop has ended
	exited   chan Exit  // the command has ended
	child    chan os.Signal
	done     chan struct{} // closed: stop reaping
	stopped  func(syscall.Signal)
}

// keeper is the process that answers for convrun should convrun die.
type keeper struct{ pid, sock int }

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
	r.pid, r.sock, err = spawn(argv, 1, command.Environ, []uintptr{0, 1, 2}, -1, nil)
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

// spawn starts convrun's own binary in the role that argv[0] names. Its end of
// a new packet socket goes into argv[at]; shared, when not negative, into the
// argument after.
func spawn(argv []string, at int, environ []string, files []uintptr, shared int, sys *syscall.SysProcAttr) (pid, sock int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, -1, fmt.Errorf("make a socket pair: %w", err)
	}
	theirs := pair[1]
	defer unix.Close(theirs)
	// A descriptor at its own number, inherited: the command's own inherited
	// descriptors stay where they are.
	inherit := []int{theirs}
	argv[at] = strconv.Itoa(theirs)
	if shared >= 0 {
		argv[at+1] = strconv.Itoa(shared)
		inherit = append(inherit, shared)
	}
	for _, fd := range inherit {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			unix.Close(pair[0])
			return 0, -1, fmt.Errorf("pass a descriptor on: %w", err)
		}
	}
	pid, err = syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{Env: environ, Files: files, Sys: sys})
	if err != nil {
		unix.Close(pair[0])
		return 0, -1, fmt.Errorf("start %s from /proc/self/exe: %w", argv[0], err)
	}
	return pid, pair[0], nil
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
	// Its own process group: a ^C at the terminal is not meant for it.
	r.keeper.pid, r.keeper.sock, err = spawn([]string{stage.KeeperName, "", ""}, 1, []string{}, []uintptr{null.Fd(), null.Fd(), null.Fd()}, shared, &syscall.SysProcAttr{Setpgid: true})
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
	if err := send(r.keeper.sock, []byte{stage.Listener}, unix.UnixRights(fd)); err != nil {
		return fmt.Errorf("hand the listener to the keeper: %w", err)
	}
	var answer [1]byte
	if n, _, err := receive(r.keeper.sock, answer[:], nil); err != nil || n != 1 {
		return fmt.Errorf("hear from the keeper: %w", errors.Join(err, errNoAnswer))
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
		runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)+1))
		go func() { r.served <- r.listener.serve(r.stop) }()
	}
	if err := send(r.sock, []byte{stage.Go}, nil); err != nil {
		return fmt.Errorf("start the command: %w", err)
	}
	var packet [8]byte
	n, _, err := receive(r.sock, packet[:], nil)
	unix.Close(r.sock)
	r.sock = -1
	go r.reap()
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
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WALL|unix.WUNTRACED|unix.WNOHANG, nil)
	switch {
	case errors.Is(err, unix.EINTR):
	case err != nil || pid <= 0:
		return false
	case pid != r.pid:
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

// Finish waits up to grace for the command's descendants, and lists those that
// still run; they go on undisturbed, but unseen.
func (r *Run) Finish(grace time.Duration) (left []int, err error) {
	defer r.Close()
	if r.listener == nil {
		for deadline := time.Now().Add(grace); ; time.Sleep(5 * time.Millisecond) {
			if left = r.descendants(); len(left) == 0 || time.Now().After(deadline) {
				return left, nil
			}
		}
	}
	select {
	case err = <-r.served:
	case <-time.After(grace):
		left = r.descendants()
		if _, err := unix.Write(r.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			return left, fmt.Errorf("stop listening: %w", err)
		}
		err = <-r.served
		unix.Close(r.keeper.sock) // without Quit: from now on it answers
		r.keeper.sock = -1
	}
	if errors.Is(err, errTreeGone) || errors.Is(err, errStopped) {
		err = nil
	}
	return left, err
}

// descendants are the processes below convrun, without the keeper.
func (r *Run) descendants() []int {
	parents := map[int]int{}
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		if stat, err := os.ReadFile(entry); err == nil {
			pid, _ := strconv.Atoi(strings.Split(entry, "/")[2])
			// The name in parentheses may hold anything; the state and the
			// parent follow its last one.
			fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
			if len(fields) > 1 && fields[0] != "Z" {
				parents[pid], _ = strconv.Atoi(fields[1])
			}
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

// Close frees what is left. A command that was never started is ended.
func (r *Run) Close() {
	signal.Stop(r.child)
	select {
	case <-r.done:
	default:
		close(r.done)
	}
	if r.sock >= 0 {
		unix.Close(r.sock) // the stage ends without an order
		unix.Wait4(r.pid, nil, 0, nil)
		r.sock = -1
	}
	if r.keeper.sock >= 0 {
		_ = send(r.keeper.sock, []byte{stage.Quit}, nil)
		unix.Close(r.keeper.sock)
		r.keeper.sock = -1
	}
	if r.listener != nil {
		unix.Close(r.listener.fd)
		r.listener = nil
	}
	if r.stop >= 0 {
		unix.Close(r.stop)
		r.stop = -1
	}
}
