package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/convrun/convrun/runner/trace"
)

// maxFolderFiles bounds what is listed of a folder as a whole.
const maxFolderFiles = 10_000

// settle compares the records with what is on disk at the end: a call is seen
// before the kernel performs it, and the kernel may have refused it.
func (w *watch) settle() {
	for i, moved := range w.files.moved.list {
		if w.files.moved.isLast(i) {
			w.listMoved(moved)
		}
	}
	for _, r := range w.files.records {
		w.files.settle(r, w.regular)
	}
}

// settle decides what became of one file. look gives the identity of a regular
// file.
func (c *collector) settle(r *record, look func(string) (trace.FileID, bool)) {
	same := func() bool {
		id, there := look(r.path)
		return there && r.inode != (trace.Inode{}) && id.Inode() == r.inode
	}
	switch {
	case r.removed:
		if (c.byPath.at(r.path) == r || c.hasOther(r.path, r.inode)) && same() {
			r.removed, r.successor = false, nil // the removal, or the rename over it, was refused
			c.byPath.set(r.path, r)
		}
	case r.written:
		c.confirm(r, look)
	case r.existed && r.path != r.first && same():
		// A folder that it is in has another name: so has the file.
		r.read, r.written, r.renamed = true, true, true
	}
}

// confirm finds the name that r has in the end, and whether it was written at
// all.
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
		if c.byPath.at(r.former[i]) == nil || c.hasOther(r.former[i], r.inode) {
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
		r.inode = id.Inode()
		return id, true
	}
	return trace.FileID{}, false
}

// hasOther tells whether the file that should be called name has certainly not
// the given inode, so that finding that there shows that a call was refused. A
// new file may have got the inode of a removed one.
func (c *collector) hasOther(name string, inode trace.Inode) bool {
	other := c.byPath.at(name)
	return other != nil && other.inode != (trace.Inode{}) && inode != (trace.Inode{}) && other.inode != inode
}

// regular is the identity of the regular file at path.
func (w *watch) regular(path string) (trace.FileID, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		// A name that cannot be had leads to no file.
		if gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG); !gone {
			w.gaps = append(w.gaps, "it is not known what became of a file: "+err.Error())
		}
		return trace.FileID{}, false
	}
	if !info.Mode().IsRegular() {
		return trace.FileID{}, false
	}
	return trace.IDOf(info), true
}

// listMoved files what a renamed folder holds: under its new name the run
// wrote it, also what no process opened.
func (w *watch) listMoved(moved move) {
	if _, err := os.Lstat(moved.to); err != nil {
		return // the rename was refused, or the folder went on from there
	}
	list := func(path string, id trace.FileID) {
		origin := w.files.moved.origin(path)
		if known := w.files.byInode[id.Inode()]; known != nil && !known.removed && id.Ino != 0 || w.files.byPath.at(path) != nil || origin == path {
			return
		}
		r := w.files.fresh(path, id)
		r.read, r.written, r.renamed = true, true, true
		w.files.take(path, r)
	}
	w.walk(moved.to, list)
	if moved.exchanged {
		w.walk(moved.from, list)
	}
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
