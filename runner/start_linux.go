package runner

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/convrun/convrun/runner/trace"
)

// loadersOf are the files that the kernel itself opens to run the program
// behind handle: the interpreter of a #! line, or the one an ELF file asks for.
func loadersOf(handle int) []string {
	file, err := openHandle(handle, "")
	if err != nil {
		return nil
	}
	defer file.Close()
	var head [256]byte // BINPRM_BUF_SIZE
	n, _ := file.ReadAt(head[:], 0)
	if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if fields := strings.Fields(string(line)); len(fields) > 0 {
			return fields[:1]
		}
		return nil
	}
	program, err := elf.NewFile(file)
	if err != nil {
		return nil
	}
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP && segment.Filesz < 4096 {
			path := make([]byte, segment.Filesz)
			if _, err := segment.ReadAt(path, 0); err == nil {
				return []string{string(bytes.TrimRight(path, "\x00"))}
			}
		}
	}
	return nil
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

func closeHandle(handle int) { _ = unix.Close(handle) }

// unseenInput tells what the command can read that was opened before the run
// and is no file.
func unseenInput() string {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return ""
	}
	return "standard input was a pipe: what the command read from it is not recorded"
}

// inherited are the regular files that convrun's own descriptors, and so the
// command's, were open on at the start.
func inherited() []*trace.Event {
	var events []*trace.Event
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		path, err := os.Readlink(filepath.Join("/proc/self/fd", entry.Name()))
		if err != nil {
			continue
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		e := &trace.Event{Op: trace.Open, Path: path, Requested: path, ID: trace.IDOf(info), Handle: -1, Mode: typeRegular}
		switch status & unix.O_ACCMODE {
		case unix.O_RDONLY:
			e.Access = trace.Read
		case unix.O_WRONLY:
			e.Access = trace.Write
		default:
			e.Access = trace.Read | trace.Write
		}
		if e.Access == trace.Write && status&unix.O_APPEND == 0 {
			// What whoever opened it left in it cannot be read through it.
			e.Access |= trace.Discard
		}
		events = append(events, e)
	}
	return events
}
