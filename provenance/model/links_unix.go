//go:build unix

package model

import (
	"io/fs"
	"syscall"
)

// hasOtherNames tells whether a file has more than one name on its file system.
func hasOtherNames(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}
