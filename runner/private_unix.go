//go:build unix

package runner

import (
	"os"

	"golang.org/x/sys/unix"
)

// hold locks a folder for as long as this process lives, and no program that it
// starts.
func hold(dir string) (letGo func()) {
	folder, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	_ = unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return func() { folder.Close() }
}

// isHeld tells whether a process holds a folder, or that cannot be told.
func isHeld(dir string) bool {
	folder, err := os.Open(dir)
	if err != nil {
		return true
	}
	defer folder.Close()
	return unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}
