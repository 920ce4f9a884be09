package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// lowerPriority lets the calling thread work only when nobody else wants to.
func lowerPriority() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19) }

// openLimit is how many descriptors convrun may have.
func openLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// openHandle opens the file behind an O_PATH descriptor for reading, or path
// when there is none. It never waits for a FIFO.
func openHandle(handle int, path string) (*os.File, error) {
	name := path
	if handle >= 0 {
		name = "/proc/self/fd/" + strconv.Itoa(handle)
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// nonBlocking keeps an open from waiting for a FIFO's other end.
const nonBlocking = unix.O_NONBLOCK

// onlyMine refuses a file, or folder, that another user could have written.
func onlyMine(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("its owner is not known")
	}
	if int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("expected one of user %d that nobody else may write, found %v of user %d", os.Geteuid(), info.Mode(), stat.Uid)
	}
	return nil
}

// localFileSystems keep a ctime that changes with every change of content:
// ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS (linux/magic.h).
var localFileSystems = []uint32{0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010, 0x2fc12fc1}

func onLocalFileSystem(file *os.File) bool {
	var stat unix.Statfs_t
	return unix.Fstatfs(int(file.Fd()), &stat) == nil && slices.Contains(localFileSystems, uint32(stat.Type))
}
