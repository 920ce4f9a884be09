//go:build amd64 || arm64

package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reporter looks at the calls of one process tree while their threads are
// held, and reports them to the sink.
type reporter struct {
	sink Sink
	res  resolver
	abis []abi
	// rights are those of the thread that is looked at.
	rights borrowed
	// ownPID and ownGroup are convrun's own process and process group.
	ownPID, ownGroup int
	said             map[string]bool // gaps, notes and what is degraded
	notes, degraded  []string
}

func newReporter(sink Sink, abis []abi) *reporter {
	return &reporter{sink: sink, abis: abis, ownPID: os.Getpid(), ownGroup: unix.Getpgrp(), said: map[string]bool{}}
}

// look reports a held call. A panic in it, or in the sink, must cost the record
// only.
func (r *reporter) look(n *heldCall) {
	defer func() {
		if failure := recover(); failure != nil {
			r.gap(n.tid, fmt.Sprintf("convrun failed while it looked at a call: %v", failure))
		}
	}()
	abi, call, ok := r.find(n)
	if !ok {
		r.gap(n.tid, fmt.Sprintf("a call of an unknown kind (architecture %#x, number %d)", n.arch, n.nr))
		return
	}
	if n.tid == 0 {
		r.gap(n.tid, "a process outside convrun's PID namespace cannot be looked at")
		return
	}
	switch call.op {
	case Gap:
		r.special(n, call.name)
	case Connect:
		r.connect(n, call)
	case Signal:
		r.signal(n)
	default:
		r.paths(n, abi, call)
	}
}

func (r *reporter) find(n *heldCall) (*abi, call, bool) {
	for i := range r.abis {
		if r.abis[i].arch == n.arch {
			call, ok := r.abis[i].calls[n.nr]
			return &r.abis[i], call, ok
		}
	}
	return nil, call{}, false
}

// gap reports each kind of gap once for each program that causes it.
func (r *reporter) gap(tid int, reason string) {
	if first, exe := r.first(tid, reason); first {
		r.sink(&Event{Op: Gap, TID: tid, Handle: -1, Reason: exe + ": " + reason})
	}
}

// first tells whether the program of thread tid causes text for the first time.
func (r *reporter) first(tid int, text string) (first bool, exe string) {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(tid) + "/exe")
	if err != nil {
		exe = "an unknown program"
	}
	key := text + "\x00" + exe
	first = !r.said[key]
	r.said[key] = true
	return first, exe
}

func (r *reporter) special(n *heldCall, name string) {
	switch name {
	case "io_uring_setup":
		r.gap(n.tid, "it uses io_uring, whose file operations are invisible to tracing")
	case "open_by_handle_at":
		r.gap(n.tid, "it opens files by handle, whose names cannot be seen")
	case "clone", "clone3":
		r.untraced(n, name)
	case "ptrace":
		r.debugger(n)
	case "seccomp":
		const setModeFilter, newListener = 1, 1 << 3 // include/uapi/linux/seccomp.h
		if n.args[0] == setModeFilter && n.args[1]&newListener != 0 {
			r.gap(n.tid, "it has calls of its own reported to it (seccomp user notification), which ptrace then no longer shows")
		}
	case "chroot", "pivot_root", "unshare", "setns", "mount", "move_mount":
		// From here on a path may mean another file than it does to convrun.
		r.res.foreignRoots, r.rights.possible = true, true
	default:
		r.rights.possible = true
	}
}

// untraced tells of a child that no tracer is given. Under the filter's ptrace
// its calls fail, too.
func (r *reporter) untraced(n *heldCall, name string) {
	flags := n.args[0]
	if name == "clone3" {
		// struct clone_args begins with the 64-bit flags.
		var raw [8]byte
		if got, err := memory(n.tid).read(raw[:], n.args[0]); err != nil || got < len(raw) {
			return
		}
		flags = binary.LittleEndian.Uint64(raw[:])
	}
	if flags&unix.CLONE_UNTRACED != 0 {
		r.gap(n.tid, "it starts a process that must not be traced (CLONE_UNTRACED), and may fail to open files where ptrace is used")
	}
}

// debugger tells that a program wants to trace another, or to be traced.
func (r *reporter) debugger(n *heldCall) {
	switch n.args[0] {
	case unix.PTRACE_TRACEME, unix.PTRACE_ATTACH, unix.PTRACE_SEIZE:
		const text = "debuggers, strace and profilers that use ptrace are refused (EPERM) inside, since convrun watches by ptrace itself"
		if first, exe := r.first(n.tid, text); first {
			r.degraded = append(r.degraded, exe+": "+text)
		}
	}
}

// note keeps each kind of note once for each program that causes it.
func (r *reporter) note(tid int, text string) {
	if first, exe := r.first(tid, text); first {
		r.notes = append(r.notes, exe+": "+text)
	}
}

// otherMounts says so when a thread's paths are not convrun's.
func (r *reporter) otherMounts(tid int) {
	if r.res.foreignRoots && inOther("mnt", "/proc/"+strconv.Itoa(tid)) {
		r.gap(tid, "it has mounts of its own, so the paths of its files may lead elsewhere outside of it")
	}
}

func (r *reporter) connect(n *heldCall, call call) {
	at, size := n.args[1], n.args[2]
	if call.name == "socketcall" {
		const connect = 3 // SYS_CONNECT, include/uapi/linux/net.h
		var raw [12]byte  // the arguments proper, 32 bits each
		if got, err := memory(n.tid).read(raw[:], at); n.args[0] != connect || err != nil || got < len(raw) {
			return
		}
		at, size = uint64(binary.LittleEndian.Uint32(raw[4:])), uint64(binary.LittleEndian.Uint32(raw[8:]))
	}
	if size < 2 || size > 128 {
		return
	}
	raw := make([]byte, size)
	if got, err := memory(n.tid).read(raw, at); err != nil || got < len(raw) || !r.holds(n) {
		return
	}
	address := endpoint(raw)
	if binary.NativeEndian.Uint16(raw) == unix.AF_UNIX {
		address = r.localSocket(n.tid, string(raw[2:]))
	}
	if address != "" {
		r.sink(&Event{Op: Connect, TID: n.tid, Handle: -1, Address: address})
	}
}

// localSocket reads the name in a struct sockaddr_un, unix(7): a path, or after
// a NUL any bytes; "" when nobody can be listening there.
func (r *reporter) localSocket(tid int, name string) string {
	if abstract, ok := strings.CutPrefix(name, "\x00"); ok {
		return "unix @" + abstract
	}
	path, _, _ := strings.Cut(name, "\x00")
	found, err := r.res.file(tid, atFDCWD, path, false, false)
	if err != nil {
		return ""
	}
	defer found.close()
	if found.mode&unix.S_IFMT != unix.S_IFSOCK || !r.permitted(found.handle, unix.W_OK) {
		return ""
	}
	return "unix " + found.path
}

// endpoint reads a struct sockaddr_in or sockaddr_in6; "" is any other family.
func endpoint(raw []byte) string {
	port := func() string { return strconv.Itoa(int(binary.BigEndian.Uint16(raw[2:]))) }
	if len(raw) < 2 {
		return ""
	}
	switch family := binary.NativeEndian.Uint16(raw); {
	case family == unix.AF_INET && len(raw) >= 8:
		return "ip4 " + net.JoinHostPort(net.IP(raw[4:8]).String(), port())
	case family == unix.AF_INET6 && len(raw) >= 24:
		return "ip6 " + net.JoinHostPort(net.IP(raw[8:24]).String(), port())
	}
	return ""
}

func (r *reporter) signal(n *heldCall) {
	target := int(int32(n.args[0]))
	switch target {
	case r.ownPID, -r.ownGroup, -1:
	case 0:
		if group, err := unix.Getpgid(n.tid); err != nil || group != r.ownGroup {
			return
		}
	default:
		return
	}
	r.sink(&Event{Op: Signal, TID: n.tid, Handle: -1, Number: unix.Signal(n.args[1])})
}

// paths reports a call that names one or two files.
func (r *reporter) paths(n *heldCall, abi *abi, call call) {
	first, err := r.path(n, call.path)
	var second string
	if err == nil && call.path2 >= 0 {
		second, err = r.path(n, call.path2)
	}
	if err != nil {
		r.unreadable(n.tid, err)
		return
	}
	how := unix.OpenHow{Flags: call.fixed}
	if call.flags >= 0 {
		how.Flags |= n.args[call.flags]
		if call.name == "openat2" {
			var ok bool
			if how, ok = openHow(n); !ok {
				return
			}
		}
	}
	flags := how.Flags
	if !r.holds(n) {
		return
	}
	r.otherMounts(n.tid)
	if !r.rights.borrow(n.tid) {
		r.gap(n.tid, "it has a user namespace of its own, so that it is not known which files it was refused")
	}
	defer r.rights.giveBack()
	event := Event{Op: call.op, TID: n.tid, Requested: first, Handle: -1}
	dir, dir2 := dirArgument(n, call.dir), dirArgument(n, call.dir2)
	switch call.op {
	case Open:
		r.open(&event, dir, first, how)
	case Exec:
		r.exec(&event, n, abi, call, dir, first, flags)
	case Truncate:
		// 32-bit systems have another call with a longer length, in two registers.
		r.truncate(&event, dir, first, n.args[1] == 0 && (call.name != "truncate64" || n.args[2] == 0))
	case Remove:
		r.name(&event, dir, first)
	case Rename, Link:
		if call.op == Rename && flags&renameExchange != 0 {
			event.Op = Exchange
		}
		r.twoNames(&event, dir, first, dir2, second, flags)
	}
}

// holds tells whether the thread of a call is still held.
func (r *reporter) holds(n *heldCall) bool {
	held, err := n.by.holds(n)
	if err != nil {
		r.gap(n.tid, fmt.Sprintf("it is not known whether a call of it was read whole (%v)", err))
	}
	return held
}

// openHow reads the third argument of openat2(2); ok is false when the kernel
// will refuse it.
func openHow(n *heldCall) (how unix.OpenHow, ok bool) {
	var raw [unix.SizeofOpenHow]byte
	if n.args[3] < uint64(len(raw)) {
		return how, false
	}
	if got, err := memory(n.tid).read(raw[:], n.args[2]); err != nil || got < len(raw) {
		return how, false
	}
	le := binary.LittleEndian
	how = unix.OpenHow{Flags: le.Uint64(raw[:]), Mode: le.Uint64(raw[8:]), Resolve: le.Uint64(raw[16:])}
	return how, how.Mode == 0 || how.Flags&(oCreat|oTmpfile) != 0
}

func (r *reporter) path(n *heldCall, argument int) (string, error) {
	if n.args[argument] == 0 {
		return "", nil // the kernel will say EFAULT, or AT_EMPTY_PATH is meant
	}
	text, err := memory(n.tid).text(n.args[argument], pathMax)
	if errors.Is(err, unix.EFAULT) || errors.Is(err, errTooLong) {
		return "", nil // the kernel will refuse it too
	}
	return text, err
}

func (r *reporter) unreadable(tid int, err error) {
	if errors.Is(err, unix.ESRCH) {
		return
	}
	r.gap(tid, fmt.Sprintf("its memory cannot be read (%v), so not all of what it does is known", err))
}

func dirArgument(n *heldCall, argument int) int {
	if argument < 0 {
		return atFDCWD
	}
	return int(int32(n.args[argument]))
}

// missed notes that a file could not be looked up though the process may well
// reach it. Where the kernel will refuse the process too, nothing is missed.
func (r *reporter) missed(tid int, err error) {
	for _, same := range []error{
		errNotThere, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES, unix.ENAMETOOLONG, unix.EBADF, unix.EINVAL, unix.ENXIO, unix.ESRCH, unix.EXDEV,
	} {
		if errors.Is(err, same) {
			return
		}
	}
	r.gap(tid, fmt.Sprintf("a file that it uses could not be looked up (%v)", err))
}

func (r *reporter) truncate(event *Event, dir int, path string, toNothing bool) {
	if toNothing {
		event.Access = Discard
	}
	found, err := r.res.file(event.TID, dir, path, false, false)
	if err != nil {
		r.missed(event.TID, err)
		return
	}
	defer found.close()
	if r.hasContent(&found) && r.permitted(found.handle, unix.W_OK) {
		r.report(event, found)
	}
}

// hasContent tells whether l is a file whose bytes can be recorded.
func (r *reporter) hasContent(found *located) bool {
	return found.mode&unix.S_IFMT == unix.S_IFREG && !r.res.isPseudo(found)
}

func (r *reporter) open(event *Event, dir int, path string, how unix.OpenHow) {
	flags := how.Flags
	tmpfile := uint64(oTmpfile | unix.O_DIRECTORY)
	if flags&oPath != 0 || flags&tmpfile == tmpfile {
		return // no content is reached, or none that has a name yet
	}
	exclusive := flags&(oCreat|oExcl) == oCreat|oExcl
	noFollow, create := flags&unix.O_NOFOLLOW != 0 || exclusive, flags&oCreat != 0
	var found located
	var err error
	if how.Resolve == 0 {
		found, err = r.res.file(event.TID, dir, path, noFollow, create)
	} else {
		found, err = r.res.restricted(event.TID, dir, path, noFollow, create, how.Resolve)
	}
	if err != nil {
		r.missed(event.TID, err)
		return
	}
	defer found.close()
	event.Access = accessOf(flags)
	if found.handle >= 0 {
		if exclusive || flags&unix.O_DIRECTORY != 0 || !r.hasContent(&found) || !r.permitted(found.handle, event.Access.mode()) {
			return
		}
	}
	if !lacksDescriptor(event.TID) {
		r.report(event, found)
	}
}

// lacksDescriptor tells whether a thread has as many files open as it may:
// open(2), EMFILE.
func lacksDescriptor(tid int) bool {
	var limit unix.Rlimit
	if err := unix.Prlimit(tid, unix.RLIMIT_NOFILE, nil, &limit); err != nil || limit.Cur > 1<<30 {
		return false
	}
	// The lowest free number is given out first, so the last one tells enough
	// as a rule.
	open := "/proc/" + strconv.Itoa(tid) + "/fd"
	var stat unix.Stat_t
	if limit.Cur > 0 && unix.Lstat(open+"/"+strconv.Itoa(int(limit.Cur)-1), &stat) != nil {
		return false
	}
	taken := 0
	entries, err := os.ReadDir(open)
	for _, entry := range entries {
		if number, err := strconv.ParseUint(entry.Name(), 10, 64); err == nil && number < limit.Cur {
			taken++
		}
	}
	return err == nil && uint64(taken) == limit.Cur
}

// permitted tells whether the thread's rights, and read-only mounts, allow the
// access.
func (r *reporter) permitted(handle int, mode uint32) bool {
	if mode == unix.R_OK && !r.rights.taken && unix.Geteuid() == 0 {
		return true
	}
	err := unix.Faccessat2(handle, "", mode, unix.AT_EMPTY_PATH|unix.AT_EACCESS)
	return err == nil || errors.Is(err, unix.ENOSYS)
}

// mode is the access as faccessat(2) takes it.
func (a Access) mode() (mode uint32) {
	if a&Read != 0 {
		mode |= unix.R_OK
	}
	if a&Write != 0 {
		mode |= unix.W_OK
	}
	return mode
}

// accessOf reads the flags of open(2).
func accessOf(flags uint64) Access {
	var access Access
	switch flags & oAccmode {
	case unix.O_RDONLY:
		access = Read
	case unix.O_WRONLY:
		access = Write
	default:
		access = Read | Write
	}
	if flags&oCreat != 0 {
		access |= Create
	}
	if flags&oTrunc != 0 {
		access |= Discard | Write
	}
	if flags&(oCreat|oExcl) == oCreat|oExcl {
		access |= Exclusive
	}
	return access
}

func (r *reporter) report(event *Event, found located) {
	event.Path, event.Handle, event.ID = found.path, found.handle, found.id
	event.Mode, event.Links = found.mode, found.links
	if found.isNameless() && event.Op != Exec {
		event.Path = ""
	}
	r.rights.giveBack()
	r.sink(event)
}

func (r *reporter) exec(event *Event, n *heldCall, abi *abi, call call, dir int, path string, flags uint64) {
	var found located
	var err error
	if path == "" && call.name == "execveat" && flags&atEmptyPath != 0 {
		found, err = r.res.file(n.tid, atFDCWD, "/proc/self/fd/"+strconv.Itoa(dir), false, false)
	} else {
		found, err = r.res.file(n.tid, dir, path, false, false)
	}
	if err != nil {
		r.missed(n.tid, err)
		return
	}
	defer found.close()
	if found.mode&unix.S_IFMT != unix.S_IFREG || !r.permitted(found.handle, unix.X_OK) {
		return
	}
	if found.mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		r.rights.possible = true
	}
	switch event.Argv, err = memory(n.tid).argv(n.args[call.argv], abi.pointerBytes); {
	case errors.Is(err, errTooLong):
		r.note(n.tid, "it started a program with more arguments than are recorded")
	case err != nil && !errors.Is(err, unix.EFAULT): // which the kernel will find, too
		r.unreadable(n.tid, err)
	}
	event.PID, event.Parent = family(n.tid)
	r.report(event, found)
}

// family is the thread group and the parent of a thread; 0 is unknown.
func family(tid int) (pid, parent int) {
	fields := status(tid, "Tgid", "PPid")
	pid, _ = strconv.Atoi(fields[0])
	parent, _ = strconv.Atoi(fields[1])
	return pid, parent
}

// status reads fields of /proc/TID/status; what cannot be read is empty.
func status(tid int, names ...string) []string {
	values := make([]string, len(names))
	text, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return values
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if i := slices.Index(names, name); i >= 0 {
			values[i] = strings.TrimSpace(value)
		}
	}
	return values
}

// name reports the removal of a name that exists.
func (r *reporter) name(event *Event, dir int, path string) {
	found, err := r.existing(event.TID, dir, path, true)
	if err != nil {
		r.missed(event.TID, err)
		return
	}
	defer found.close()
	r.report(event, found)
}

// existing locates a name, and what it is the name of.
func (r *reporter) existing(tid, dir int, path string, noFollow bool) (located, error) {
	return r.res.file(tid, dir, strings.TrimRight(path, "/"), noFollow, false)
}

func (r *reporter) twoNames(event *Event, dir int, path string, dir2 int, path2 string, flags uint64) {
	noFollow := event.Op != Link || flags&atSymlinkFollow == 0
	var found located
	var err error
	if path == "" && event.Op == Link && flags&atEmptyPath != 0 {
		found, err = r.res.file(event.TID, atFDCWD, "/proc/self/fd/"+strconv.Itoa(dir), false, false)
	} else {
		found, err = r.existing(event.TID, dir, path, noFollow)
	}
	if err != nil {
		r.missed(event.TID, err)
		return
	}
	defer found.close()
	parent, base, err := r.res.parent(event.TID, dir2, path2)
	if err != nil {
		r.missed(event.TID, err)
		return
	}
	event.Path2 = strings.TrimRight(parent, "/") + "/" + base
	if len(event.Path2) >= pathMax {
		r.missed(event.TID, errDeep)
		return
	}
	if !r.refused(event, parent, flags, &found) {
		r.report(event, found)
	}
}

// refused tells whether the kernel will not give found the name event.Path2 in
// parent, rename(2) and link(2). Of an Exchange it describes what has that name.
func (r *reporter) refused(event *Event, parent string, flags uint64, found *located) bool {
	var stat unix.Stat_t
	if onOtherMount(parent, found.handle) {
		return true // EXDEV
	}
	if err := unix.Lstat(event.Path2, &stat); err != nil {
		r.missed(event.TID, err)
		return event.Op == Exchange // there is nothing to exchange it for
	}
	directory := stat.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case event.Op == Exchange:
		event.ID2, event.Mode2 = idOf(&stat), stat.Mode
		return false
	case event.Op == Link, flags&renameNoReplace != 0:
		return true // EEXIST
	case directory != (found.mode&unix.S_IFMT == unix.S_IFDIR):
		return true // EISDIR, ENOTDIR
	case stat.Ino == found.id.Ino:
		return true // two names of one file: nothing happens
	}
	return directory && !isEmpty(event.Path2)
}

// onOtherMount tells whether directory is known to lie on another mount than
// what handle is open on. Device numbers do not tell: a file and its folder can
// have two in an overlay.
func onOtherMount(directory string, handle int) bool {
	var one, other unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, directory, 0, unix.STATX_MNT_ID, &one) != nil || unix.Statx(handle, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &other) != nil {
		return false
	}
	return one.Mask&other.Mask&unix.STATX_MNT_ID != 0 && one.Mnt_id != other.Mnt_id
}

func isEmpty(directory string) bool {
	file, err := os.Open(directory)
	if err != nil {
		return true
	}
	defer file.Close()
	names, _ := file.Readdirnames(1)
	return len(names) == 0
}
