package runner

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/convrun/convrun/runner/trace"
)

// canWork tells why convrun can do nothing here: it starts its own stages, and
// looks at the command's processes, through /proc.
func canWork() error {
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		return fmt.Errorf("expected the proc file system at /proc, found none (%w): mount it there, or run the command without convrun", err)
	}
	return nil
}

// loadersOf are the files that the kernel itself opens to run the program
// behind handle: the interpreter of a #! line, or the one an ELF file asks for.
// known is false for a file in neither form, which the kernel refuses unless
// it was told of another program for it, binfmt_misc.
func loadersOf(handle int) (loaders []string, known bool) {
	file, err := openHandle(handle, "")
	if err != nil {
		return nil, true // who may execute a program may not always read it
	}
	defer file.Close()
	var head [256]byte // BINPRM_BUF_SIZE
	n, _ := file.ReadAt(head[:], 0)
	if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if fields := strings.Fields(string(line)); len(fields) > 0 {
			return fields[:1], true
		}
		return nil, false
	}
	if !bytes.HasPrefix(head[:n], []byte(elf.ELFMAG)) {
		return nil, false
	}
	program, err := elf.NewFile(file)
	if err != nil {
		return nil, true
	}
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP && segment.Filesz < 4096 {
			path := make([]byte, segment.Filesz)
			if _, err := segment.ReadAt(path, 0); err == nil {
				return []string{string(bytes.TrimRight(path, "\x00"))}, true
			}
		}
	}
	return nil, true
}

// cannotStart tells whether the kernel will refuse to execute a program that
// the caller may execute: execve(2), ENOEXEC and ENOENT.
func cannotStart(e *trace.Event) bool {
	loaders, known := loadersOf(e.Handle)
	if !known {
		// Besides "register" and "status".
		formats, _ := filepath.Glob("/proc/sys/fs/binfmt_misc/*")
		return len(formats) <= 2
	}
	if len(loaders) == 0 || !filepath.IsAbs(loaders[0]) || !sharesRoot(e.TID) {
		return false // nothing is missing, or that cannot be told from here
	}
	_, err := os.Stat(loaders[0])
	return errors.Is(err, fs.ErrNotExist)
}

func sharesRoot(tid int) bool {
	own, err := os.Stat("/")
	theirs, err2 := os.Stat("/proc/" + strconv.Itoa(tid) + "/root")
	return err == nil && err2 == nil && os.SameFile(own, theirs)
}

// ownProgram is the file that this process runs from, also when its name has
// been given to another one since.
func ownProgram() (string, error) { return "/proc/self/exe", nil }

// openLoader finds the file that name means to thread tid. The event's Handle
// is for closeHandle.
func openLoader(tid int, name string) (*trace.Event, error) {
	if tid > 0 && strings.HasPrefix(name, "/") {
		name = "/proc/" + strconv.Itoa(tid) + "/root" + name
	}
	handle, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(handle))
	info, statErr := os.Stat("/proc/self/fd/" + strconv.Itoa(handle))
	if err = errors.Join(err, statErr); err == nil && !info.Mode().IsRegular() {
		err = fs.ErrInvalid
	}
	if err != nil {
		closeHandle(handle)
		return nil, err
	}
	return &trace.Event{Op: trace.Exec, TID: tid, Path: path, Requested: path, ID: trace.IDOf(info), Handle: handle, Mode: typeRegular}, nil
}

// losesRights tells whether thread tid is about to execute, without the rights
// that its file would give it, the program behind handle: because of
// no_new_privs (prctl(2)), which convrun itself was not started with.
func losesRights(tid, handle int) bool {
	if convruns, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || convruns != 0 || !givesRights(handle) {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	return err == nil && bytes.Contains(status, []byte("\nNoNewPrivs:\t1\n"))
}

// givesRights tells whether the program behind handle is set-user-ID or
// set-group-ID to somebody else, or has capabilities, capabilities(7).
func givesRights(handle int) bool {
	var stat unix.Stat_t
	var system unix.Statfs_t
	if unix.Fstat(handle, &stat) != nil || unix.Fstatfs(handle, &system) != nil || system.Flags&unix.ST_NOSUID != 0 {
		return false
	}
	// A set-group-ID bit alone means mandatory locking, stat(2).
	const setGroup = unix.S_ISGID | unix.S_IXGRP
	switch {
	case stat.Mode&unix.S_ISUID != 0 && int(stat.Uid) != unix.Geteuid():
		return true
	case stat.Mode&setGroup == setGroup && int(stat.Gid) != unix.Getegid():
		return true
	}
	size, err := unix.Getxattr("/proc/self/fd/"+strconv.Itoa(handle), "security.capability", nil)
	return err == nil && size > 0
}

func closeHandle(handle int) { _ = unix.Close(handle) }

// inherited are the regular files that convrun's own descriptors, and so the
// command's, were open on at the start. unseen says what else the command can
// read by them.
func inherited() (events []*trace.Event, unseen []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, []string{"the inherited descriptors could not be listed: " + err.Error()}
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		e, kind := inheritedFile(fd)
		if e != nil {
			events = append(events, e)
		} else if kind != "" {
			name := fmt.Sprintf("the inherited descriptor %d", fd)
			if fd == 0 {
				name = "standard input"
			}
			unseen = append(unseen, name+" was "+kind+": what the command read from it is not recorded")
		}
	}
	return events, unseen
}

// inheritedFile describes a descriptor as if it were being opened now. For one
// that is no file with a name kind says what it is, if it can be read.
func inheritedFile(fd int) (e *trace.Event, kind string) {
	link := "/proc/self/fd/" + strconv.Itoa(fd)
	path, err := os.Readlink(link)
	info, statErr := os.Stat(link)
	status, flagErr := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if errors.Join(err, statErr, flagErr) != nil || status&unix.O_PATH != 0 {
		return nil, ""
	}
	access := trace.Read | trace.Write
	switch status & unix.O_ACCMODE {
	case unix.O_RDONLY:
		access = trace.Read
	case unix.O_WRONLY:
		access = trace.Write
		if status&unix.O_APPEND == 0 {
			// What whoever opened it left in it cannot be read through it.
			access |= trace.Discard
		}
	}
	named, err := os.Lstat(path)
	switch {
	case info.Mode().IsRegular() && err == nil && os.SameFile(info, named):
		return &trace.Event{Op: trace.Open, Path: path, Requested: path, Access: access, ID: trace.IDOf(info), Handle: -1, Mode: typeRegular}, ""
	case access&trace.Read == 0:
	case info.Mode().IsRegular():
		return nil, "a file without a name"
	case info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 && fd != 1 && fd != 2:
		return nil, "a pipe"
	}
	return nil, ""
}
