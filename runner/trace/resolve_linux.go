//go:build amd64 || arm64

package trace

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // as the kernel, MAXSYMLINKS

var errNotThere = errors.New("no such file")

// resolver finds the file that a thread means by a path, while that thread is
// held.
type resolver struct {
	// foreignRoots is set once any process may have another root directory or
	// mount namespace than convrun.
	foreignRoots bool
}

// located is a file, or a name where no file exists yet.
type located struct {
	path   string
	handle int // O_PATH descriptor, -1 when there is no file
	id     FileID
	mode   uint32
}

func (l *located) close() {
	if l.handle >= 0 {
		unix.Close(l.handle)
		l.handle = -1
	}
}

// file locates what path means to thread tid. Links are followed unless
// noFollow; with create, the name where the kernel would make a file is
// located too.
func (r *resolver) file(tid, dir int, path string, noFollow, create bool) (located, error) {
	flags := unix.O_PATH | unix.O_CLOEXEC
	if noFollow {
		flags |= unix.O_NOFOLLOW
	}
	handle, err := r.open(tid, dir, path, flags)
	if err == nil {
		return locate(handle)
	}
	if !errors.Is(err, unix.ENOENT) || !create {
		return located{handle: -1}, err
	}
	return r.newName(tid, dir, path, maxLinks)
}

// newName locates the name of a file that is about to be made, through links
// whose target is missing.
func (r *resolver) newName(tid, dir int, path string, links int) (located, error) {
	none := located{handle: -1}
	parent, base, err := r.parent(tid, dir, path)
	if err != nil {
		return none, err
	}
	name := filepath.Join(parent, base)
	link, err := r.open(tid, unix.AT_FDCWD, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	if err != nil {
		none.path = name
		return none, nil
	}
	defer unix.Close(link)
	var target [pathMax]byte
	n, err := unix.Readlinkat(link, "", target[:])
	if err != nil || n == 0 || links == 0 {
		return none, errNotThere
	}
	next := string(target[:n])
	if !strings.HasPrefix(next, "/") {
		next = filepath.Join(parent, next)
	}
	return r.newName(tid, unix.AT_FDCWD, next, links-1)
}

// parent locates the directory that holds the last element of path.
func (r *resolver) parent(tid, dir int, path string) (parent, base string, err error) {
	path = strings.TrimRight(path, "/")
	slash := strings.LastIndexByte(path, '/')
	base = path[slash+1:]
	if base == "" || base == "." || base == ".." {
		return "", "", errNotThere
	}
	directory := path[:slash+1]
	if directory == "" {
		directory = "."
	}
	handle, err := r.open(tid, dir, directory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return "", "", err
	}
	defer unix.Close(handle)
	parent, err = pathOf(handle)
	return parent, base, err
}

// open opens path as thread tid would see it.
func (r *resolver) open(tid, dir int, path string, flags int) (int, error) {
	proc := "/proc/" + strconv.Itoa(tid)
	if r.foreignRoots {
		return openInRoot(proc, dir, path, flags)
	}
	switch {
	case !strings.HasPrefix(path, "/"):
		if path == "" {
			return -1, errNotThere
		}
		return retryOpen(startOf(proc, dir)+"/"+path, flags)
	case strings.HasPrefix(path, "/proc/"), strings.HasPrefix(path, "/dev/"):
		path = ownProc(proc, path)
	}
	return retryOpen(path, flags)
}

// startOf is the directory that a relative path starts from.
func startOf(proc string, dir int) string {
	if dir == unix.AT_FDCWD {
		return proc + "/cwd"
	}
	return proc + "/fd/" + strconv.Itoa(dir)
}

// ownProc rewrites the names that mean another thing to every process.
func ownProc(proc, path string) string {
	for _, self := range [...]struct{ name, means string }{
		{"/proc/self/", proc + "/"}, {"/proc/thread-self/", proc + "/"}, {"/dev/fd/", proc + "/fd/"},
	} {
		if rest, ok := strings.CutPrefix(path, self.name); ok {
			return self.means + rest
		}
	}
	for i, name := range [...]string{"/dev/stdin", "/dev/stdout", "/dev/stderr"} {
		if path == name {
			return proc + "/fd/" + strconv.Itoa(i)
		}
	}
	return path
}

// openInRoot resolves under the thread's own root directory, so that absolute
// links stay inside it.
func openInRoot(proc string, dir int, path string, flags int) (int, error) {
	root, err := retryOpen(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	if !strings.HasPrefix(path, "/") {
		start, err := os.Readlink(startOf(proc, dir))
		if err != nil {
			return -1, err
		}
		// The link is in convrun's view; beneath the root it loses the prefix.
		if prefix, err := pathOf(root); err == nil && prefix != "/" {
			start = strings.TrimPrefix(start, prefix)
		}
		path = start + "/" + path
	}
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_IN_ROOT}
	for {
		fd, err := unix.Openat2(root, path, &how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

func retryOpen(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// locate describes what handle is open on, and keeps handle.
func locate(handle int) (located, error) {
	l := located{handle: handle}
	var stat unix.Stat_t
	err := unix.Fstat(handle, &stat)
	if err == nil {
		l.id, l.mode = idOf(&stat), stat.Mode
		l.path, err = pathOf(handle)
	}
	if err != nil {
		l.close()
		return located{handle: -1}, err
	}
	return l, nil
}

// pathOf is the path of an open descriptor, without links.
func pathOf(handle int) (string, error) {
	var buffer [pathMax]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(handle), buffer[:])
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

func idOf(stat *unix.Stat_t) FileID {
	return FileID{
		Dev: stat.Dev, Ino: stat.Ino, Size: stat.Size,
		MtimeNs: stat.Mtim.Nano(), CtimeNs: stat.Ctim.Nano(),
	}
}
