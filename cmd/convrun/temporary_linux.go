package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// newTemporary makes a file in dir. If it can, the file has no name yet, so
// that nothing is left of it should convrun die.
func newTemporary(dir string) (file *os.File, name string, err error) {
	if file, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600); err == nil {
		return file, "", nil
	}
	return namedTemporary(dir)
}

// nameTemporary gives a file without a name one in dir.
func nameTemporary(file *os.File, dir string) (string, error) {
	name := filepath.Join(dir, ".convrun-"+rand.Text())
	// AT_EMPTY_PATH would take a capability, see open(2).
	if err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(file.Fd())), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return "", fmt.Errorf("name a new file %s: %w", name, err)
	}
	return name, nil
}
