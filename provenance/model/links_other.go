//go:build !unix

package model

import "io/fs"

// hasOtherNames is not told by what Go says of a file on this system.
func hasOtherNames(fs.FileInfo) bool { return false }
