//go:build !linux

package python

import "os"

// exists tells whether there is a file.
func exists(path []byte) bool {
	_, err := os.Lstat(string(path))
	return err == nil
}
