// Package trace starts one command unchanged and tells which files its process
// tree opens, executes, renames and removes, at the moment it does so.
//
// It knows nothing of file contents: it neither hashes nor decides what an
// event means. It never alters a call of the traced command.
package trace

import (
	"errors"
	"os"
	"syscall"
)

// Methods of watching a command, as the log names them.
const (
	// SeccompNotify has the kernel report each call, seccomp_unotify(2).
	SeccompNotify = "seccomp-notify"
	// Ptrace stops processes at each call that a seccomp filter picks, ptrace(2).
	Ptrace = "ptrace"
	// PtraceAll stops them at every call.
	PtraceAll = "ptrace-all"
	// Snapshot compares folders before and after.
	Snapshot = "snapshot"
)

// ErrUnsupported is wrapped by every error that says that a method of watching
// cannot work on this machine.
var ErrUnsupported = errors.New("tracing is not supported here")

// Op is what a process asked the kernel to do.
type Op uint8

// The operations that an Event reports.
const (
	// Open of a regular file, or of a name where none exists yet.
	Open Op = iota + 1
	// Exec of a program.
	Exec
	// Rename Path to Path2.
	Rename
	// Exchange Path and Path2.
	Exchange
	// Remove the name Path.
	Remove
	// Link makes Path2 another name of Path.
	Link
	// Truncate the file Path.
	Truncate
	// Connect to Address.
	Connect
	// Signal sends Number to Target, which is convrun or a group it is in.
	Signal
	// Gap is something that cannot be followed; Reason says what.
	Gap
)

// Access is how a file is opened.
type Access uint8

// The bits of Access.
const (
	Read Access = 1 << iota
	Write
	Create
	Discard   // O_TRUNC, or a Truncate to nothing: the old content is not used
	Exclusive // O_EXCL with Create: there was no file before
)

// FileID is a file and the state of its content. Two equal values stand for
// equal bytes, unless a write came through a shared mapping or within the same
// tick of the file system's clock.
type FileID struct {
	Dev, Ino uint64
	Size     int64
	MtimeNs  int64
	CtimeNs  int64
}

// Inode is the part of a FileID that stays when the content changes.
type Inode struct{ Dev, Ino uint64 }

// Inode of the file.
func (id FileID) Inode() Inode { return Inode{id.Dev, id.Ino} }

// Event is one call of a traced process, reported before the kernel performs
// it: while a Sink looks at an Event, the caller waits.
type Event struct {
	Op  Op
	TID int
	// Path and Path2 are absolute and free of links, except that the last
	// element of a Rename, Remove or Link is the name itself. Path is empty for
	// a file that has no name, or not any more, unless it is executed.
	Path, Path2 string
	// Requested is the path as the process gave it.
	Requested string
	Access    Access
	// ID is zero when the file does not exist yet.
	ID FileID
	// Handle is an O_PATH descriptor of the file, valid during the call; -1
	// when there is none.
	Handle int
	// Mode is the file's type and permission bits, st_mode.
	Mode uint32
	// Links is how many names the file has; 0 is unknown.
	Links uint64
	// ID2 and Mode2 are set by Exchange: those of what Path2 names.
	ID2   FileID
	Mode2 uint32
	// PID, Parent and Argv are set by Exec.
	PID, Parent int
	Argv        []string
	// Address is set by Connect: "ip4 192.0.2.1:443", "ip6 [::1]:443", or
	// "unix /run/x" for a socket on this machine, with "@" before the name of
	// one that is no file.
	Address string
	// Reason is set by Gap.
	Reason string
	// Number is set by Signal.
	Number syscall.Signal
}

// Sink receives Events one at a time. Until it returns, the process that made
// the call is held.
type Sink func(*Event)

// Command is what to start. It runs in the working directory, with the
// descriptors and in the process group of the calling process.
type Command struct {
	// Argv is the command; Argv[0] is looked up as execvp(3) does.
	Argv []string
	// Environ is the raw environment block, "NAME=value" each.
	Environ []string
	// Private is the absolute path of a folder that is removed at the tree's
	// end should this process have been killed; "" is none.
	Private string
}

// Exit is how the command ended.
type Exit struct {
	// Code is the exit code, -1 when a signal ended the command.
	Code int
	// Signal is 0 unless a signal ended the command.
	Signal syscall.Signal
	// Core is set when the command left a core dump.
	Core bool
}

// StartError says that the command could not be executed. Err is
// fs.ErrNotExist, fs.ErrPermission or the system's own word.
type StartError struct {
	Name string
	Err  error
}

func (e *StartError) Error() string { return e.Name + ": " + e.Err.Error() }

// Unwrap gives the system's error.
func (e *StartError) Unwrap() error { return e.Err }

// Status is the exit status that a shell would give: 127 when the command was
// not found, 126 when it could not be executed.
func (e *StartError) Status() int {
	if errors.Is(e.Err, os.ErrNotExist) {
		return 127
	}
	return 126
}
