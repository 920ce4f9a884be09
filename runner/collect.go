package runner

import (
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/trace"
)

// collector turns the events of a run into one record for each file. It does
// no I/O: what is on disk at the end is asked for by finish.
type collector struct {
	records []*record
	byPath  map[string]*record
	byInode map[trace.Inode]*record
}

// record is what the run did to one file.
type record struct {
	path, first, requested string
	inode                  trace.Inode
	// existed is set when there was a file before the run touched the name.
	existed                              bool
	read                                 bool // content from before the run
	written, executed, removed, declared, inherited bool
	// aliases are further names of the same file.
	aliases []string
	// content is the digest of what was read, before any write of the run.
	content *digest
	class   Class
}

func newCollector() *collector {
	return &collector{byPath: map[string]*record{}, byInode: map[trace.Inode]*record{}}
}

// Type bits of st_mode.
const (
	typeMask      = 0o170000
	typeRegular   = 0o100000
	typeDirectory = 0o040000
)

// add files an event that concerns regular files, and gives the record of its
// Path; nil when the event concerns none.
func (c *collector) add(e *trace.Event) *record {
	kind := e.Mode & typeMask
	switch {
	case e.Op == trace.Rename && kind == typeDirectory:
		c.renameDirectory(e.Path, e.Path2)
		return nil
	case e.Op == trace.Exchange:
		c.exchange(e)
		return nil
	case kind != typeRegular && kind != 0, ignored(e.Path):
		return nil
	}
	switch e.Op {
	case trace.Open:
		return c.open(e)
	case trace.Exec:
		r := c.at(e)
		r.executed, r.read = true, r.read || !r.written
		return r
	case trace.Truncate:
		r := c.at(e)
		r.read, r.written = r.read || !r.written, true
		return r
	case trace.Rename:
		return c.rename(e)
	case trace.Remove:
		return c.remove(e)
	case trace.Link:
		return c.link(e)
	}
	return nil
}

func (c *collector) open(e *trace.Event) *record {
	r := c.at(e)
	fresh := e.ID == (trace.FileID{}) || e.Access&trace.Discard != 0 || r.written
	if !fresh {
		// A write that keeps what was there makes the old content an input.
		r.read = true
	}
	if e.Access&trace.Write != 0 {
		r.written = true
	}
	return r
}

// at finds or makes the record of the file that e.Path names now.
func (c *collector) at(e *trace.Event) *record {
	exists := e.ID != (trace.FileID{})
	inode := e.ID.Inode()
	named := c.byPath[e.Path]
	switch {
	case named != nil && !exists:
		return named
	case named != nil && (named.inode == inode || named.inode == (trace.Inode{})):
		c.bind(named, inode)
		return named
	}
	if known := c.byInode[inode]; exists && known != nil && !known.removed && inode != (trace.Inode{}) {
		if named == nil {
			known.aliases = append(known.aliases, e.Path)
			c.byPath[e.Path] = known
		}
		return known
	}
	if named != nil {
		named.removed = true // another file has taken the name
	}
	r := &record{path: e.Path, first: e.Path, existed: exists}
	if e.Requested != e.Path {
		r.requested = e.Requested
	}
	c.records = append(c.records, r)
	c.byPath[e.Path] = r
	c.bind(r, inode)
	return r
}

func (c *collector) bind(r *record, inode trace.Inode) {
	if inode != (trace.Inode{}) {
		r.inode = inode
		c.byInode[inode] = r
	}
}

func (c *collector) rename(e *trace.Event) *record {
	r := c.at(e)
	if e.Path == e.Path2 {
		return r
	}
	if over := c.byPath[e.Path2]; over != nil && over != r {
		over.removed = true
	}
	if !r.written {
		// The file was there before; under its new name it is the run's doing.
		r.read, r.written = true, true
	}
	delete(c.byPath, e.Path)
	r.path = e.Path2
	c.byPath[e.Path2] = r
	return r
}

func (c *collector) renameDirectory(from, to string) {
	var moved []string
	for path := range c.byPath {
		if strings.HasPrefix(path, from+"/") {
			moved = append(moved, path)
		}
	}
	for _, old := range moved {
		r := c.byPath[old]
		name := to + strings.TrimPrefix(old, from)
		delete(c.byPath, old)
		c.byPath[name] = r
		if r.path == old {
			r.path = name
		}
	}
}

func (c *collector) exchange(e *trace.Event) {
	a, b := c.byPath[e.Path], c.byPath[e.Path2]
	delete(c.byPath, e.Path)
	delete(c.byPath, e.Path2)
	for _, move := range []struct {
		r  *record
		to string
	}{{a, e.Path2}, {b, e.Path}} {
		if move.r != nil {
			move.r.path, move.r.written = move.to, true
			c.byPath[move.to] = move.r
		}
	}
}

func (c *collector) remove(e *trace.Event) *record {
	r := c.at(e)
	delete(c.byPath, e.Path)
	if i := slices.Index(r.aliases, e.Path); i >= 0 {
		r.aliases = slices.Delete(r.aliases, i, i+1)
		return r
	}
	if len(r.aliases) > 0 {
		r.path, r.aliases = r.aliases[0], r.aliases[1:]
		return r
	}
	r.removed = true
	delete(c.byInode, r.inode)
	return r
}

func (c *collector) link(e *trace.Event) *record {
	r := c.at(e)
	if r.written {
		r.aliases = append(r.aliases, e.Path2)
		c.byPath[e.Path2] = r
		return r
	}
	// A new name for a file that was there before, or that never had a name
	// (O_TMPFILE): under this name the run wrote it.
	output := &record{path: e.Path2, first: e.Path2, written: true}
	c.records = append(c.records, output)
	c.byPath[e.Path2] = output
	return r
}
