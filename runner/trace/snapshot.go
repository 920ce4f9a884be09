package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSnapshotFiles bounds a Tree; a working directory with more files is
// compared only as far as that.
const maxSnapshotFiles = 200_000

// Tree is what lay below a directory at one moment.
type Tree struct {
	// Root is the directory.
	Root  string
	files map[string]FileID
	// Incomplete says what of the directory is not in the Tree, or is empty.
	Incomplete string
}

// TakeSnapshot lists the regular files below root without following links.
func TakeSnapshot(root string) Tree {
	tree := Tree{Root: root, files: map[string]FileID{}}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil && path == root && errors.Is(err, fs.ErrNotExist) {
			return nil // nothing is there, and that is all of it
		}
		if err != nil {
			tree.Incomplete = err.Error()
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		if len(tree.files) == maxSnapshotFiles {
			tree.Incomplete = fmt.Sprintf("%s holds more than %d files", root, maxSnapshotFiles)
			return filepath.SkipAll
		}
		if info, err := entry.Info(); err == nil {
			tree.files[path] = IDOf(info)
		}
		return nil
	})
	if err != nil {
		tree.Incomplete = err.Error()
	}
	return tree
}

// Changes reports to sink every file that is in after and was not, or not so,
// in before, and every one that is gone; ID is that of before. What was read
// or written elsewhere cannot be told.
func (before Tree) Changes(after Tree, sink Sink) {
	for path, id := range after.files {
		if old, existed := before.files[path]; !existed || old != id {
			sink(&Event{Op: Open, Path: path, Requested: path, Access: Write | Create | Discard, ID: old, Handle: -1})
		}
	}
	for path, id := range before.files {
		if _, err := os.Lstat(path); err != nil {
			sink(&Event{Op: Remove, Path: path, Requested: path, ID: id, Handle: -1})
		}
	}
}
