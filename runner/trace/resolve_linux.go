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
	// errDeep: relative names lead to files that no absolute one can.
	errDeep = errors.New("its path has more than 4095 bytes")
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

// isNameless tells whether the file cannot be found at its path: it has lost
// that name, or never had one.
func (l *located) isNameless() bool {
	if l.handle < 0 || !strings.HasSuffix(l.path, " (deleted)") {
		return false
	}
	var stat unix.Stat_t // a name may end like this, too
	return unix.Lstat(l.path, &stat) != nil || idOf(&stat).Inode() != l.id.Inode()
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
	if len(name) >= pathMax {
		return none, errDeep
	}
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
	directory, base := splitPath(path)
	if base == "" {
		return "", "", errNotThere
	}
	handle, err := r.open(tid, dir, directory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return "", "", err
	}
	defer unix.Close(handle)
	parent, err = pathOf(handle)
	return parent, base, err
}

// splitPath gives the last element of path, empty when that is no name, and the
// directory that holds it.
func splitPath(path string) (directory, base string) {
	path = strings.TrimRight(path, "/")
	slash := strings.LastIndexByte(path, '/')
	directory, base = path[:slash+1], path[slash+1:]
	if directory == "" {
		directory = "."
	}
	if base == "." || base == ".." {
		base = ""
	}
	return directory, base
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
	return own.Dev != theirs.Dev || own.Ino != theirs.Ino || inOther("mnt", proc)
}

// inOther tells whether the process has a namespace of a kind, "mnt" or "user",
// that is not convrun's. What cannot be compared counts as another.
func inOther(kind, proc string) bool {
	own, err1 := os.Readlink("/proc/self/ns/" + kind)
	theirs, err2 := os.Readlink(proc + "/ns/" + kind)
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
			rest, below := strings.CutPrefix(start+"/", prefix+"/")
			if !below {
				return openOutside(startOf(proc, dir), path, flags)
			}
			start = "/" + rest
		}
		path = start + "/" + path
	}
	return retryOpenat2(root, path, flags, unix.RESOLVE_IN_ROOT)
}

// openOutside resolves from a directory that is not in the thread's root, where
// chroot(2) left it.
func openOutside(start, path string, flags int) (int, error) {
	from, err := retryOpen(start, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(from)
	return retryOpenat(from, path, flags)
}

// restricted is file for the resolve field of openat2(2), which is left to the
// kernel again.
func (r *resolver) restricted(tid, dir int, path string, noFollow, create bool, resolve uint64) (located, error) {
	none := located{handle: -1}
	proc := "/proc/" + strconv.Itoa(tid)
	start, err := retryOpen(startOf(proc, dir), unix.O_PATH|unix.O_CLOEXEC)
	if resolve &^= resolveCached; strings.HasPrefix(path, "/") && resolve&(unix.RESOLVE_BENEATH|unix.RESOLVE_IN_ROOT) == 0 {
		// Absolute: the directory does not matter.
		path = ownProc(proc, path)
		if err == nil {
			unix.Close(start)
		}
		start, err = retryOpen(proc+"/root", unix.O_PATH|unix.O_CLOEXEC)
		if r.foreignRoots && hasOtherRoot(proc) {
			resolve |= unix.RESOLVE_IN_ROOT
		}
	}
	if err != nil {
		return none, err
	}
	defer unix.Close(start)
	flags := unix.O_PATH | unix.O_CLOEXEC
	if noFollow {
		flags |= unix.O_NOFOLLOW
	}
	handle, err := retryOpenat2(start, path, flags, resolve)
	if err == nil {
		return locate(handle)
	}
	directory, base := splitPath(path)
	if !errors.Is(err, unix.ENOENT) || !create || base == "" {
		return none, err
	}
	if handle, err = retryOpenat2(start, directory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, resolve); err != nil {
		return none, err
	}
	defer unix.Close(handle)
	if link, err := retryOpenat(handle, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC); err == nil {
		unix.Close(link)
		return none, errDangling
	}
	parent, err := pathOf(handle)
	if none.path = filepath.Join(parent, base); err == nil && len(none.path) >= pathMax {
		err = errDeep
	}
	return none, err
}

var errDangling = errors.New("openat2 with restrictions makes a file through a link")

func retryOpenat2(dir int, path string, flags int, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags), Resolve: resolve}
	for {
		fd, err := unix.Openat2(dir, path, &how)
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
	switch {
	case errors.Is(err, unix.ENAMETOOLONG):
		return "", errDeep
	case err != nil:
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
