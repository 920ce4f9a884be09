//go:build amd64 || arm64

package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/convrun/convrun/runner/trace/stage"
)

// Prepare starts everything but the command itself. With method "" it takes
// the first of Methods that works here; any other method that does not work is
// an error that wraps ErrUnsupported. Close frees what Prepare took when Start
// is never called.
func Prepare(command Command, method string, sink Sink) (*Run, error) {
	// Orphans of the tree come to convrun, so that their end is seen and Yama
	// still counts them as its descendants.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphans: %w", err)
	}
	if method != "" {
		return prepare(command, method, sink)
	}
	var reasons []string
	for _, method := range Methods() {
		run, err := prepare(command, method, sink)
		var why *unsupportedError
		switch {
		case err == nil:
			run.reason = strings.Join(reasons, "; ")
			return run, nil
		case !errors.As(err, &why):
			return nil, err
		}
		reasons = append(reasons, why.method+": "+why.reason)
	}
	return nil, fmt.Errorf("%w: %s", ErrUnsupported, strings.Join(reasons, "; "))
}

// prepare is Prepare with one method.
func prepare(command Command, method string, sink Sink) (*Run, error) {
	r := &Run{
		name: command.Argv[0], private: command.Private, method: method, sock: -1, stop: -1, keeper: keeper{sock: -1},
		served: make(chan error, 1), exited: make(chan Exit, 1), child: make(chan os.Signal, 1), done: make(chan struct{}),
	}
	signal.Notify(r.child, unix.SIGCHLD)
	err := r.launch(command)
	if err == nil {
		err = r.watch(sink)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// launch starts the process that becomes the command, in the role of a stage.
func (r *Run) launch(command Command) (err error) {
	argv := append([]string{stage.ExecName, ""}, command.Argv...)
	r.pid, r.sock, err = spawn(argv, command.Environ, func(theirs int) []uintptr {
		// At its own number: the command's inherited descriptors stay where
		// they are.
		argv[1] = strconv.Itoa(theirs)
		return inheritedAnd(theirs)
	}, nil)
	return err
}

// procIsOurs tells whether the numbers in /proc are those of convrun's PID
// namespace. Otherwise a number there is another process, or none.
func procIsOurs() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// watch puts r.method in place, and tries it on the stage.
func (r *Run) watch(sink Sink) error {
	if r.method != Snapshot && !procIsOurs() {
		return unsupported(r.method, "/proc shows the processes of another PID namespace, and not the command's")
	}
	abis := abisOf(runtime.GOARCH, r.method)
	// What a kill(2) that reaches convrun can be aimed at.
	targets := []int{0, -1, os.Getpid(), -unix.Getpgrp()}
	filter := encodeFilter(filterProgram(abis, r.method, targets))
	var err error
	switch r.method {
	case Snapshot:
		return nil
	case SeccompNotify:
		err = r.listen(filter)
	case Ptrace, PtraceAll:
		err = r.trace(abis, filter)
	default:
		return unsupported(r.method, "expected one of %s", strings.Join(Methods(), ", "))
	}
	if err != nil {
		return err
	}
	r.reporter = newReporter(sink, abis)
	return r.probe()
}

// listen takes over the listener of a filter that the stage installs.
func (r *Run) listen(filter []byte) error {
	page, err := r.startKeeper()
	if err != nil {
		return err
	}
	answer, err := r.order(stage.Notify, filter)
	fd := -1
	switch {
	case err != nil:
	case answer.errno != 0:
		err = unsupported(r.method, "%s", refusal(answer.errno, "seccomp user notification"))
	default:
		fd, err = stage.ReceivedFD(answer.control)
	}
	if err != nil {
		_ = unix.Munmap(page)
		return err
	}
	r.mechanism = newListener(fd, page)
	return r.handToKeeper(fd)
}

// handToKeeper waits for no answer: once sent, the listener lives as long as
// the keeper, whether that has received it yet or not.
func (r *Run) handToKeeper(listener int) error {
	if err := send(r.keeper.sock, []byte{stage.Listener}, unix.UnixRights(listener)); err != nil {
		return fmt.Errorf("hand the listener to the keeper: %w", err)
	}
	return nil
}

// replaceKeeper starts another keeper when somebody has killed the first, while
// no notification is being looked at.
func (r *Run) replaceKeeper() error {
	l, ok := r.mechanism.(*listener)
	entry := []unix.PollFd{{Fd: int32(r.keeper.sock), Events: unix.POLLIN}}
	if n, err := unix.Poll(entry, 0); !ok || err != nil || n == 0 {
		return nil
	}
	unix.Close(r.keeper.sock)
	page, err := r.startKeeper()
	if err != nil {
		return fmt.Errorf("replace the keeper, which was killed: %w", err)
	}
	defer func() { _ = unix.Munmap(page) }()
	return r.handToKeeper(l.fd)
}

// refusal says why what, a filter, was not installed.
func refusal(errno syscall.Errno, what string) string {
	switch errno {
	case unix.EBUSY:
		return "another program already watches this process (EBUSY), perhaps an outer convrun"
	case unix.EINVAL, unix.ENOSYS:
		return fmt.Sprintf("this kernel or sandbox has no %s (%v)", what, errno)
	}
	return fmt.Sprintf("%s was refused: %v", what, errno)
}

// trace has a tracer of its own seize the stage.
func (r *Run) trace(abis []abi, filter []byte) error {
	if err := r.spawnKeeper(stage.TracerName); err != nil {
		return err
	}
	if _, err := r.order(stage.Allow, binary.LittleEndian.AppendUint32(nil, uint32(r.keeper.pid))); err != nil {
		return err
	}
	seize := binary.LittleEndian.AppendUint32(nil, uint32(r.pid))
	every := r.method == PtraceAll
	if every {
		seize = append(append(seize, stage.Every), filter...)
	} else {
		seize = append(seize, stage.Filtered)
	}
	switch answer, _, err := order(r.keeper.sock, stage.Seize, seize); {
	case err != nil:
		return err
	case answer.errno != 0:
		return unsupported(r.method, "%s", r.notSeized(answer.errno))
	}
	r.mechanism = &traced{sock: r.keeper.sock, every: every, abis: abis}
	if every {
		if unix.Geteuid() != 0 {
			r.notes = append(r.notes, "the command was traced without the right to trace all: "+noRights)
		}
		return nil
	}
	answer, err := r.order(stage.Trace, filter)
	if err == nil && answer.errno != 0 {
		err = unsupported(r.method, "%s", refusal(answer.errno, "seccomp filter"))
	}
	return err
}

// notSeized says why the stage could not be traced.
func (r *Run) notSeized(errno syscall.Errno) string {
	if errno == unix.EIO || errno == unix.EINVAL {
		return fmt.Sprintf("this kernel or sandbox lacks a part of ptrace that it takes (%v)", errno)
	}
	if tracer := tracerOf(r.pid); tracer != "" {
		return fmt.Sprintf("%s traces this process already: run convrun without it (%v)", tracer, errno)
	}
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && scope[0] > '1' {
		return fmt.Sprintf("kernel.yama.ptrace_scope is %c: set it to 1, or run as root where it is 2 (%v)", scope[0], errno)
	}
	return fmt.Sprintf("tracing a process was refused: give the container the right to (CAP_SYS_PTRACE) (%v)", errno)
}

// tracerOf names the process that traces pid, or is empty.
func tracerOf(pid int) string {
	tracer, _ := strconv.Atoi(status(pid, "TracerPid")[0])
	if tracer == 0 {
		return ""
	}
	return fmt.Sprintf("%s (process %d)", status(tracer, "Name")[0], tracer)
}

// probeWait is how long a call of the stage may take to come. On a machine
// that is merely slow it comes.
const probeWait = 10 * time.Second

// probe has the stage make a call, and checks that it is held, that its memory
// can be read, and that it goes on when it is released.
func (r *Run) probe() error {
	if err := send(r.sock, []byte{stage.Probe}, nil); err != nil {
		return fmt.Errorf("try to watch a call: %w", err)
	}
	seen := false
	for deadline := time.Now().Add(probeWait); ; {
		entries := []unix.PollFd{{Fd: int32(r.mechanism.descriptor()), Events: unix.POLLIN}, {Fd: int32(r.sock), Events: unix.POLLIN}}
		n, err := unix.Poll(entries, int(time.Until(deadline).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for a watched call: %w", err)
		case n == 0:
			return unsupported(r.method, "a watched call did not come within %v", probeWait)
		case entries[0].Revents != 0:
			ok, err := r.probed()
			if err != nil {
				return unsupported(r.method, "a watched call could not be looked at: %v", err)
			}
			seen = seen || ok
		default:
			return r.probeAnswer(seen)
		}
	}
}

// probed takes the call of a probe.
func (r *Run) probed() (bool, error) {
	calls, err := r.mechanism.receive(nil)
	if err != nil || len(calls) == 0 {
		return false, err
	}
	call := calls[0]
	abi, shape, ok := r.reporter.find(&call)
	if !ok || shape.op != Open || call.tid != r.pid {
		return false, fmt.Errorf("it came as number %d of process %d", call.nr, call.tid)
	}
	path, err := memory(call.tid).text(call.args[shape.path], pathMax)
	if err == nil && path != stage.ProbePath {
		err = fmt.Errorf("its path, by the table of %s, is %q", abi.name, path)
	}
	return true, errors.Join(err, r.mechanism.release(&call))
}

func (r *Run) probeAnswer(seen bool) error {
	answer, _, err := receiveAnswer(r.sock)
	switch {
	case err != nil:
		return err
	case !seen:
		return unsupported(r.method, "calls are not reported: an outer filter that comes first, perhaps of an outer convrun, takes them")
	case answer.errno != 0:
		return unsupported(r.method, "a watched call did not go on: %v", answer.errno)
	}
	return nil
}

// answer is what a stage says to an order.
type answer struct {
	errno   syscall.Errno
	control []byte // with a descriptor
}

const noRights = "set-user-ID programs such as sudo gain no rights"

// order gives the stage an order and waits for the answer.
func (r *Run) order(code byte, rest []byte) (answer, error) {
	a, noNewPrivs, err := order(r.sock, code, rest)
	if noNewPrivs {
		r.notes = append(r.notes, "the command ran with no_new_privs: "+noRights)
	}
	return a, err
}

func order(sock int, code byte, rest []byte) (a answer, noNewPrivs bool, err error) {
	if err := send(sock, append([]byte{code}, rest...), nil); err != nil {
		return a, false, fmt.Errorf("tell a new process what to do: %w", err)
	}
	return receiveAnswer(sock)
}

func receiveAnswer(sock int) (a answer, noNewPrivs bool, err error) {
	var packet [stage.AnswerSize]byte
	control := make([]byte, unix.CmsgSpace(4))
	n, controlLen, err := receive(sock, packet[:], control)
	if err != nil || n == 0 {
		return a, false, fmt.Errorf("hear from a new process: %w", errors.Join(err, errNoAnswer))
	}
	a.errno, noNewPrivs = stage.Answer(packet[:n])
	a.control = control[:controlLen]
	return a, noNewPrivs, nil
}

var errNoAnswer = errors.New("it went away without an answer")

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
	if err := unix.Ftruncate(shared, stage.SharedSize); err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	page, err = unix.Mmap(shared, 0, stage.SharedSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	return page, r.spawnKeeper(stage.KeeperName, shared)
}

// spawnKeeper starts the process that r.keeper is, with descriptor 3 as its
// socket and further ones from 4 on.
func (r *Run) spawnKeeper(role string, more ...int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	argv := []string{role, r.private, "3"}
	for i := range more {
		argv = append(argv, strconv.Itoa(4+i))
	}
	// Its own process group: a ^C at the terminal is not meant for it.
	r.keeper.pid, r.keeper.sock, err = spawn(argv, []string{}, func(theirs int) []uintptr {
		files := []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(theirs)}
		for _, fd := range more {
			files = append(files, uintptr(fd))
		}
		return files
	}, &syscall.SysProcAttr{Setpgid: true})
	return err
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
