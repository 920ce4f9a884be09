//go:build !linux

package trace

import "io/fs"

// IDOf is the identity of the file that info describes, as far as this system
// tells without opening it: size and time of the last change.
func IDOf(info fs.FileInfo) FileID {
	return FileID{Size: info.Size(), MtimeNs: info.ModTime().UnixNano()}
}
