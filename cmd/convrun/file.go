package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// writeFile puts data at path as a whole or not at all: a temporary file in
// the same folder, flushed to disk, then renamed. What was at path before is
// never truncated, and where the system can do so, no name leads to the file
// before it is whole.
func writeFile(path string, data []byte, mode os.FileMode) error {
	return placeFile(path, inFull(data), mode, os.Rename, true)
}

// writeStream is writeFile for what is written piece by piece.
func writeStream(path string, write func(io.Writer) error, mode os.FileMode) error {
	return placeFile(path, write, mode, os.Rename, true)
}

// inFull writes data at once.
func inFull(data []byte) func(io.Writer) error {
	return func(to io.Writer) error {
		_, err := to.Write(data)
		return err
	}
}

// rescueFile is writeFile where a disk has just failed: to have the file on no
// more than the system's word is better than to have none.
func rescueFile(path string, data []byte, mode os.FileMode) error {
	return placeFile(path, inFull(data), mode, os.Rename, false)
}

// createFile is writeFile for a new file: one that is there is left alone.
func createFile(path string, data []byte, mode os.FileMode) error {
	return placeFile(path, inFull(data), mode, os.Link, true)
}

func placeFile(path string, write func(io.Writer) error, mode os.FileMode, place func(from, to string) error, flushed bool) error {
	dir := filepath.Dir(path)
	temporary, name, err := newTemporary(dir)
	if err != nil {
		return err
	}
	if err = fill(temporary, write, mode); err == nil && flushed {
		err = temporary.Sync()
	}
	if err == nil && name == "" {
		name, err = nameTemporary(temporary, dir)
	}
	if name != "" {
		defer os.Remove(name)
	}
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := place(name, path); err != nil || !flushed {
		return err
	}
	return syncDir(dir)
}

func fill(file *os.File, write func(io.Writer) error, mode os.FileMode) error {
	if err := write(file); err != nil {
		return err
	}
	if mode == 0o600 {
		return nil // as it was made
	}
	return file.Chmod(mode)
}

// namedTemporary makes a file in dir under a name of its own.
func namedTemporary(dir string) (*os.File, string, error) {
	file, err := os.CreateTemp(dir, ".convrun-*")
	if err != nil {
		return nil, "", err
	}
	return file, file.Name(), nil
}

// syncDir makes a rename in dir survive a power failure, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer handle.Close()
	if err := handle.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// readBounded reads a file, or a pipe, of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, limit)
}

// readRegular reads a regular file of at most limit bytes. It never waits for
// a FIFO that lies where a stranger was expected to put a file.
func readRegular(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: expected a regular file, found %s", path, info.Mode().Type())
	}
	return readAll(file, limit)
}

func readAll(file *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: expected at most %d bytes, found more", file.Name(), limit)
	}
	return data, nil
}
