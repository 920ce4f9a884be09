//go:build amd64 || arm64

package trace

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // as the kernel, MAXSYMLINKS

var (
	errNotThere = errors.New("no such file")
	errNotPlain = errors.New("not an absolute path without detours")
)

// resolver finds the file that a thread means by a path, while that thread is
// held.
type resolver struct {
	// foreignRoots is set once any process may have another root directory or
	// mount namespace than convrun.
	foreignRoots bool
	// pseudo remembers which devices are windows into the kernel.
	pseudo map[uint64]bool
}

// located is a file, or a name where no file exists yet.
type located struct {
	path   string
	handle int // O_PATH descriptor, -1 when there is no file
	id     FileID
	mode   uint32
	// links is how many names the file has: none (any more) for a memory file, a
	// deleted one or one of O_TMPFILE.
	links uint64
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
	handle, err := r.openPlain(path, flags)
	if err == nil {
		return locateAt(handle, path)
	}
	if !errors.Is(err, unix.ENOENT) {
		if handle, err = r.open(tid, dir, path, flags); err == nil {
			return locate(handle)
		}
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
	if path == "" {
		return -1, errNotThere
	}
	if own := ownProc(proc, path); own != path {
		return retryOpen(own, flags)
	}
	if r.foreignRoots && hasOtherRoot(proc) {
		return openInRoot(proc, dir, path, flags)
	}
	if strings.HasPrefix(path, "/") {
		return retryOpen(path, flags)
	}
	start := startOf(proc, dir)
	if len(start)+1+len(path) < pathMax {
		return retryOpen(start+"/"+path, flags)
	}
	from, err := retryOpen(start, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(from)
	return retryOpenat(from, path, flags)
}

// openPlain opens an absolute path that needs no resolving: it has no detours
// and leads through no link, which the kernel checks, openat2(2). Such a path
// is the file's own, so that it need not be asked for again: that question
// costs more than all the rest of a look.
func (r *resolver) openPlain(path string, flags int) (int, error) {
	if r.foreignRoots || !strings.HasPrefix(path, "/") || path != filepath.Clean(path) {
		return -1, errNotPlain
	}
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_SYMLINKS}
	return unix.Openat2(unix.AT_FDCWD, path, &how)
}

// hasOtherRoot tells whether the thread's root directory is not convrun's.
// What cannot be compared counts as another.
func hasOtherRoot(proc string) bool {
	var own, theirs unix.Stat_t
	if unix.Stat("/", &own) != nil || unix.Stat(proc+"/root", &theirs) != nil {
		return true
	}
	return own.Dev != theirs.Dev || own.Ino != theirs.Ino || inOtherNamespace(proc)
}

// inOtherNamespace tells whether the thread has mounts of its own.
func inOtherNamespace(proc string) bool {
	own, err1 := os.Readlink("/proc/self/ns/mnt")
	theirs, err2 := os.Readlink(proc + "/ns/mnt")
	return err1 != nil || err2 != nil || own != theirs
}

// Magic numbers of file systems whose files are windows into the kernel,
// include/uapi/linux/magic.h: proc, sysfs, cgroup, cgroup2, debugfs, tracefs,
// securityfs, bpf, configfs (in fs/configfs/mount.c), efivarfs, pstorefs,
// binderfs, selinuxfs, smackfs, nsfs.
var pseudoFileSystems = []uint32{
	0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0xcafe4a11, 0x62656570, 0xde5e81e4,
	0x6165676c, 0x6c6f6f70, 0xf97cff8c, 0x43415d53, 0x6e736673,
}

// isPseudo tells whether what handle is open on is no file with content: its
// bytes are made up when they are read, and reading may even act.
func (r *resolver) isPseudo(l *located) bool {
	known, ok := r.pseudo[l.id.Dev]
	if !ok {
		var stat unix.Statfs_t
		known = unix.Fstatfs(l.handle, &stat) == nil && slices.Contains(pseudoFileSystems, uint32(stat.Type))
		if r.pseudo == nil {
			r.pseudo = map[uint64]bool{}
		}
		r.pseudo[l.id.Dev] = known
	}
	return known
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
	if !strings.HasPrefix(path, "/proc/") && !strings.HasPrefix(path, "/dev/") {
		return path
	}
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
	return retryOpenat(unix.AT_FDCWD, path, flags)
}

func retryOpenat(dir int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// locate describes what handle is open on, and keeps handle.
func locate(handle int) (located, error) {
	path, err := pathOf(handle)
	if err != nil {
		unix.Close(handle)
		return located{handle: -1}, err
	}
	return locateAt(handle, path)
}

// locateAt describes what handle is open on when its path is known.
func locateAt(handle int, path string) (located, error) {
	l := located{path: path, handle: handle}
	var stat unix.Stat_t
	if err := unix.Fstat(handle, &stat); err != nil {
		l.close()
		return located{handle: -1}, err
	}
	l.id, l.mode, l.links = idOf(&stat), stat.Mode, uint64(stat.Nlink)
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
