//go:build amd64 || arm64

package stage

import (
	"encoding/binary"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// Requests, options and events, include/uapi/linux/ptrace.h.
const (
	ptraceCont           = 7
	ptraceSyscall        = 24
	ptraceGetEventMsg    = 0x4201
	ptraceGetRegSet      = 0x4204
	ptraceSeize          = 0x4206
	ptraceInterrupt      = 0x4207
	ptraceListen         = 0x4208
	ptraceGetSyscallInfo = 0x420e

	optionSysGood  = 1 << 0
	optionFork     = 1 << 1
	optionVfork    = 1 << 2
	optionClone    = 1 << 3
	optionSeccomp  = 1 << 7
	optionExitKill = 1 << 20

	eventSeccomp = 7
	eventStop    = 128

	noteRegisters = 1 // NT_PRSTATUS, include/uapi/linux/elf.h
	syscallEntry  = 1 // PTRACE_SYSCALL_INFO_ENTRY
	syscallTrap   = syscall.SIGTRAP | 0x80
)

// A held call is told in one packet: the thread's number, four bytes of what
// its filter returned as data (0 with Every), and the registers as
// PTRACE_GETREGSET gives them, or with Every struct ptrace_syscall_info. A
// packet of one byte says that the tree is gone.
const (
	CallHeader = 8
	MaxCall    = CallHeader + 512
)

// tracer holds every listed call of one tree until convrun has looked at it.
type tracer struct {
	sock   int
	every  bool
	filter []byte // with every: what decides which calls are held
	alone  bool   // convrun is gone, or wants to hear no more
	packet [MaxCall]byte
}

// runTracer is `convrun-tracer PRIVATE SOCK`. It is a process of its own because a
// process whose filter asks for a tracer cannot go on without one: should
// convrun die, or end before a daemon of the tree, the tracer stays and lets
// every call go on. At the end it removes the folder PRIVATE, as removePrivate
// says.
func runTracer(args []string) int {
	if len(args) != 2 {
		return 125
	}
	convrun := os.Getppid()
	sock, err := strconv.Atoi(args[1])
	if err != nil {
		return 125
	}
	closeInherited(sock)
	standAside()
	t := tracer{sock: sock}
	order := make([]byte, maxPacket)
	n, err := receive(sock, order)
	if err != nil || n < 6 || order[0] != Seize {
		return 0
	}
	t.every, t.filter = order[5] == Every, order[6:n]
	errno := t.seize(int(uint32At(order[1:])))
	answer(sock, errno, false, -1)
	if errno != 0 {
		return 0
	}
	t.trace()
	removePrivate(args[0], convrun)
	if !t.alone {
		t.packet[0] = 0
		t.send(1)
	}
	return 0
}

// standAside makes the process one that nothing but SIGKILL ends, since others
// depend on it, and that keeps no folder busy.
func standAside() {
	_ = syscall.Chdir("/")
	const ignore = 1 // SIG_IGN
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2} {
		setAction(sig, ignore, 0)
	}
	const noStops = 1 // SA_NOCLDSTOP: no signal for each stop of a traced process
	setAction(syscall.SIGCHLD, 0, noStops)
}

// setAction is rt_sigaction(2) past Go's runtime.
func setAction(sig syscall.Signal, handler uintptr, flags uint64) {
	action := struct {
		handler        uintptr
		flags          uint64
		restorer, mask uint64
	}{handler: handler, flags: flags}
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}

// seize begins to trace the thread that leads process pid, and with it all that
// it starts from now on.
func (t *tracer) seize(pid int) syscall.Errno {
	options := uintptr(optionFork | optionVfork | optionClone)
	if t.every {
		options |= optionSysGood
	} else {
		// Without a tracer its calls would fail: better that it ends at once.
		options |= optionSeccomp | optionExitKill
	}
	if errno := ptrace(ptraceSeize, pid, 0, options); errno != 0 || !t.every {
		return errno
	}
	if errno := ptrace(ptraceInterrupt, pid, 0, 0); errno != 0 {
		return errno
	}
	for {
		_, err := syscall.Wait4(pid, nil, syscall.WALL, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err.(syscall.Errno)
		}
		break
	}
	if _, errno := t.syscallInfo(pid); errno != 0 {
		return errno // before 5.3 the two stops of a call look alike
	}
	return t.resume(pid, 0)
}

// trace runs until no process of the tree is left.
func (t *tracer) trace() {
	for {
		if t.alone && t.every {
			return // nothing holds a process whose tracer has ended
		}
		pid, status, errno := t.wait()
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return
		case status.Stopped():
			t.stopped(pid, status)
		}
	}
}

// wait is wait4(2). While convrun is there it blocks in a raw call: announcing
// that to the Go scheduler costs more than what is waited for.
func (t *tracer) wait() (int, syscall.WaitStatus, syscall.Errno) {
	var status syscall.WaitStatus
	call := syscall.RawSyscall6
	if t.alone {
		call = syscall.Syscall6
	}
	pid, _, errno := call(syscall.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), syscall.WALL, 0, 0, 0)
	return int(pid), status, errno
}

// stopped sees to a stop of any kind, ptrace(2). That the process has been
// killed meanwhile (ESRCH) shows at the next wait.
func (t *tracer) stopped(pid int, status syscall.WaitStatus) {
	sig := status.StopSignal()
	switch event := int(status) >> 16; {
	case event == eventSeccomp:
		t.filtered(pid)
		t.resume(pid, 0)
	case event == eventStop && isStop(sig):
		// The whole process was stopped by a signal: it stays so until SIGCONT.
		ptrace(ptraceListen, pid, 0, 0)
	case event != 0:
		t.resume(pid, 0) // a new child, or the end of a stop
	case t.every && sig == syscallTrap:
		t.everyCall(pid)
		t.resume(pid, 0)
	default:
		t.resume(pid, sig) // a signal on its way to the process
	}
}

func isStop(sig syscall.Signal) bool {
	return sig == syscall.SIGSTOP || sig == syscall.SIGTSTP || sig == syscall.SIGTTIN || sig == syscall.SIGTTOU
}

func (t *tracer) resume(pid int, sig syscall.Signal) syscall.Errno {
	request := uintptr(ptraceCont)
	if t.every {
		request = ptraceSyscall
	}
	return ptrace(request, pid, 0, uintptr(sig))
}

// filtered tells convrun of a call for which the filter asked.
func (t *tracer) filtered(pid int) {
	if t.alone {
		return
	}
	var data uint64
	registers := syscall.Iovec{Base: &t.packet[CallHeader]}
	registers.SetLen(MaxCall - CallHeader)
	if ptrace(ptraceGetEventMsg, pid, 0, uintptr(unsafe.Pointer(&data))) != 0 ||
		ptrace(ptraceGetRegSet, pid, noteRegisters, uintptr(unsafe.Pointer(&registers))) != 0 {
		return
	}
	t.tell(pid, uint32(data), int(registers.Len))
}

// everyCall tells convrun of a call that begins, if the filter asks for it.
func (t *tracer) everyCall(pid int) {
	if t.alone {
		return
	}
	n, errno := t.syscallInfo(pid)
	info := t.packet[CallHeader:]
	if errno != 0 || info[0] != syscallEntry || !Asks(t.filter, seccompData(info)) {
		return
	}
	t.tell(pid, 0, n)
}

// syscallInfo puts struct ptrace_syscall_info into the packet.
func (t *tracer) syscallInfo(pid int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(pid), MaxCall-CallHeader, uintptr(unsafe.Pointer(&t.packet[CallHeader])), 0, 0)
	return min(int(n), MaxCall-CallHeader), errno
}

// tell sends the packet and waits for convrun's leave.
func (t *tracer) tell(pid int, data uint32, n int) {
	binary.LittleEndian.PutUint32(t.packet[:], uint32(pid))
	binary.LittleEndian.PutUint32(t.packet[4:], data)
	t.send(CallHeader + n)
	var leave [1]byte
	for !t.alone {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(t.sock), uintptr(unsafe.Pointer(&leave)), 1, 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		t.alone = errno != 0 || n == 0
		return
	}
}

func (t *tracer) send(n int) {
	for {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(t.sock), uintptr(unsafe.Pointer(&t.packet)), uintptr(n), syscall.MSG_NOSIGNAL, 0, 0)
		if errno != syscall.EINTR {
			t.alone = t.alone || errno != 0
			return
		}
	}
}

// Data is struct seccomp_data, include/uapi/linux/seccomp.h: what a filter
// decides on.
type Data [64]byte

// seccompData makes it from struct ptrace_syscall_info at a call's beginning,
// include/uapi/linux/ptrace.h.
func seccompData(info []byte) (data Data) {
	copy(data[0:4], info[24:])   // nr
	copy(data[4:8], info[4:])    // arch
	copy(data[8:16], info[8:])   // instruction_pointer
	copy(data[16:64], info[32:]) // args
	return data
}

// Asks runs a filter of package trace's making, 8 bytes an instruction, in
// which every result but SECCOMP_RET_ALLOW is a question to the tracer.
func Asks(filter []byte, data Data) bool {
	const (
		loadWord    = 0x20 // BPF_LD | BPF_W | BPF_ABS
		jumpEqual   = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
		jumpAtLeast = 0x35 // BPF_JMP | BPF_JGE | BPF_K
		jumpAnyBit  = 0x45 // BPF_JMP | BPF_JSET | BPF_K
		doReturn    = 0x06 // BPF_RET | BPF_K
		allow       = 0x7fff0000
	)
	var word uint32
	for pc := 0; pc+8 <= len(filter); pc += 8 {
		k := binary.LittleEndian.Uint32(filter[pc+4:])
		jump := false
		switch binary.LittleEndian.Uint16(filter[pc:]) {
		case doReturn:
			return k != allow
		case loadWord:
			word = binary.LittleEndian.Uint32(data[k:])
			continue
		case jumpEqual:
			jump = word == k
		case jumpAtLeast:
			jump = word >= k
		case jumpAnyBit:
			jump = word&k != 0
		}
		if jump {
			pc += 8 * int(filter[pc+2]) // jt
		} else {
			pc += 8 * int(filter[pc+3]) // jf
		}
	}
	return true
}

func ptrace(request uintptr, pid int, address, data uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, request, uintptr(pid), address, data, 0, 0)
	return errno
}
