//go:build !linux

package runner

import (
	"errors"
	"io/fs"
	"os"
)

const nonBlocking = 0

func lowerPriority() {}

func openLimit() int { return 256 } // as macOS has it

func openHandle(_ int, path string) (*os.File, error) { return os.Open(path) }

func onlyMine(fs.FileInfo) error { return errors.New("file owners are not compared on this system") }

func onLocalFileSystem(*os.File) bool { return false }
