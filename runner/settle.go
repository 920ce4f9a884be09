package runner

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/trace"
)

// maxFolderFiles bounds what is listed of a folder as a whole.
const maxFolderFiles = 10_000

// settle compares the records with what is on disk at the end: a call is seen
// before the kernel performs it, and the kernel may have refused it.
func (w *watch) settle() {
	for _, moved := range w.files.moved {
		w.listMoved(moved)
	}
	for _, r := range w.files.records {
		switch {
		case r.removed:
			if id, ok := regular(r.path); ok && r.inode != (trace.Inode{}) && id.Inode() == r.inode && w.files.byPath[r.path] == r {
				r.removed = false // the removal was refused
			}
		case r.written:
			w.files.confirm(r, regular)
		}
	}
}

// confirm finds the name that r has in the end, and whether it was written at
// all. look gives the identity of a regular file.
func (c *collector) confirm(r *record, look func(string) (trace.FileID, bool)) {
	id, found := c.nameOf(r, look)
	if !found {
		return
	}
	unchanged := r.existed && !r.mapped && !r.renamed && !r.inherited && id == r.before
	backAgain := r.renamed && r.path == r.first
	if unchanged || backAgain {
		// The open or the rename was refused, or nothing came of it.
		r.written, r.read = false, r.opened
	}
}

// nameOf settles r.path: its name, one of its aliases, or a former name when
// the kernel refused to give it another.
func (c *collector) nameOf(r *record, look func(string) (trace.FileID, bool)) (trace.FileID, bool) {
	names := append([]string{r.path}, r.aliases...)
	for i := len(r.former) - 1; i >= 0; i-- {
		if c.byPath[r.former[i]] == nil {
			names = append(names, r.former[i])
		}
	}
	for _, name := range names {
		id, ok := look(name)
		if !ok || r.inode != (trace.Inode{}) && id.Inode() != r.inode {
			continue
		}
		if name != r.path {
			r.aliases = slices.DeleteFunc(r.aliases, func(alias string) bool { return alias == name })
			r.path = name
		}
		return id, true
	}
	return trace.FileID{}, false
}

// regular is the identity of the regular file at path.
func regular(path string) (trace.FileID, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return trace.FileID{}, false
	}
	return trace.IDOf(info), true
}

// listMoved files what a renamed folder holds: under its new name the run
// wrote it, also what no process opened.
func (w *watch) listMoved(moved move) {
	if _, err := os.Lstat(moved.from); err == nil && !slices.Contains(w.files.moved, move{moved.to, moved.from}) {
		return // the rename was refused, or the old name is in use again
	}
	w.walk(moved.to, func(path string, id trace.FileID) {
		if known := w.files.byInode[id.Inode()]; known != nil && !known.removed && id.Ino != 0 || w.files.byPath[path] != nil {
			return
		}
		r := w.files.fresh(path, id)
		r.first = moved.from + strings.TrimPrefix(path, moved.to)
		r.read, r.written, r.renamed = true, true, true
		w.files.take(path, r)
	})
}

// walk gives do each regular file below folder, without following links.
func (w *watch) walk(folder string, do func(path string, id trace.FileID)) {
	files := 0
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if path != folder {
				w.gaps = append(w.gaps, fmt.Sprintf("the folder %s could not be listed: %v", folder, err))
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		if files++; files > maxFolderFiles {
			w.gaps = append(w.gaps, fmt.Sprintf("of the folder %s only %d files are listed", folder, maxFolderFiles))
			return filepath.SkipAll
		}
		if info, err := entry.Info(); err == nil {
			do(path, trace.IDOf(info))
		}
		return nil
	})
}
