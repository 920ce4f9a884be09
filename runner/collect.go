package runner

import (
	"path"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/trace"
)

// collector turns the events of a run into one record for each file. It does
// no I/O: what is on disk at the end is asked for by settle.
type collector struct {
	records []*record
	// byPath has the latest record of each name, removed ones included: a
	// removal that the kernel refused shows when the same file comes again.
	byPath  map[string]*record
	byInode map[trace.Inode]*record
	// moved are the folders that were renamed, in order.
	moved []move
}

type move struct{ from, to string }

// record is what the run did to one file.
type record struct {
	path, first, requested string
	inode                  trace.Inode
	// before is the file as the run found it; zero when the run made it, or
	// when that is not known.
	before trace.FileID
	// existed is set when there was a file before the run touched the name.
	existed bool
	// read is set when content from before the run went into the run or stayed
	// in the file; opened when it was opened for reading, or executed.
	read, opened               bool
	written, executed, removed bool
	declared, inherited        bool
	// renamed is set when only a new name makes the file one that the run
	// wrote, mapped when its content may change without its times telling.
	renamed, mapped bool
	// former are names it had before path, aliases its further names.
	former, aliases []string
	// successor has taken over the name path.
	successor *record
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
	case kind == typeDirectory && e.Op == trace.Rename:
		c.renameDirectory(e.Path, e.Path2)
		return nil
	case kind == typeDirectory && e.Op == trace.Exchange:
		const aside = "\x00aside" // no file's name
		c.renameDirectory(e.Path, aside)
		c.renameDirectory(e.Path2, e.Path)
		c.renameDirectory(aside, e.Path2)
		c.moved = append(c.moved[:len(c.moved)-3], move{e.Path, e.Path2}, move{e.Path2, e.Path})
		return nil
	case kind != typeRegular && kind != 0, ignored(e.Path):
		return nil
	}
	switch e.Op {
	case trace.Open:
		return c.open(e)
	case trace.Exec:
		r := c.at(e)
		r.executed, r.opened, r.read = true, true, r.read || !r.written
		return r
	case trace.Truncate:
		r := c.at(e)
		r.read, r.written = r.read || !r.written, true
		return r
	case trace.Rename:
		return c.rename(e)
	case trace.Exchange:
		return c.exchange(e)
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
	switch {
	case e.Access&trace.Write == 0:
		r.opened = true
	case e.Access&(trace.Read|trace.Discard) == trace.Read:
		r.written, r.opened, r.mapped = true, true, true
	default:
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
	case named == nil:
	case named.removed && exists && named.inode == inode:
		named.removed = false // the removal was refused
		c.bind(named, inode)
		return named
	case named.removed:
	case !exists, named.inode == inode, named.inode == (trace.Inode{}):
		c.bind(named, inode)
		return named
	}
	known := c.byInode[inode]
	// An inode with a single name, and that a new one, is another file: the
	// number was used again after something else than the run removed the first.
	reused := known != nil && e.Links == 1 && !slices.Contains(known.former, e.Path)
	if known == nil || known.removed || inode == (trace.Inode{}) || reused {
		known = c.fresh(e.Path, e.ID)
		if !samePath(e.Path, e.Requested) {
			known.requested = e.Requested
		}
	} else {
		known.aliases = append(known.aliases, e.Path)
	}
	c.take(e.Path, known)
	return known
}

// fresh makes a record that has no name yet.
func (c *collector) fresh(path string, id trace.FileID) *record {
	r := &record{path: path, first: path, before: id, existed: id != trace.FileID{}}
	c.records = append(c.records, r)
	c.bind(r, id.Inode())
	return r
}

// take gives name to r; whoever had it is succeeded.
func (c *collector) take(name string, r *record) {
	if old := c.byPath[name]; old != nil && old != r {
		if i := slices.Index(old.aliases, name); i >= 0 {
			old.aliases = slices.Delete(old.aliases, i, i+1)
		} else if len(old.aliases) > 0 {
			old.former = append(old.former, old.path)
			old.path, old.aliases = old.aliases[0], old.aliases[1:]
		} else {
			c.forget(old)
			old.removed, old.successor = true, r
		}
	}
	c.byPath[name] = r
}

// forget makes the inode free for another file to have.
func (c *collector) forget(r *record) {
	if c.byInode[r.inode] == r {
		delete(c.byInode, r.inode)
	}
}

func (c *collector) bind(r *record, inode trace.Inode) {
	if inode != (trace.Inode{}) {
		r.inode = inode
		c.byInode[inode] = r
	}
}

func (c *collector) rename(e *trace.Event) *record {
	r := c.at(e)
	if e.Path != e.Path2 {
		r.moveTo(e.Path, e.Path2)
		delete(c.byPath, e.Path)
		c.take(e.Path2, r)
	}
	return r
}

// moveTo makes the name from of r the name to. A file that was there before
// the run is the run's doing under its new name.
func (r *record) moveTo(from, to string) {
	if !r.written {
		r.read, r.written, r.renamed = true, true, true
	}
	if i := slices.Index(r.aliases, from); i >= 0 {
		r.aliases[i] = to
		return
	}
	r.former = append(r.former, r.path)
	r.path = to
}

func (c *collector) exchange(e *trace.Event) *record {
	a, b := c.at(e), c.byPath[e.Path2]
	if b == nil || b.removed {
		b = c.fresh(e.Path2, trace.FileID{})
		b.existed = true
	}
	a.moveTo(e.Path, e.Path2)
	b.moveTo(e.Path2, e.Path)
	c.byPath[e.Path], c.byPath[e.Path2] = b, a
	return a
}

func (c *collector) renameDirectory(from, to string) {
	c.moved = append(c.moved, move{from, to})
	var names []string
	for name := range c.byPath {
		if strings.HasPrefix(name, from+"/") {
			names = append(names, name)
		}
	}
	for _, name := range names {
		r := c.byPath[name]
		delete(c.byPath, name)
		if !r.removed {
			next := to + strings.TrimPrefix(name, from)
			r.moveTo(name, next)
			c.byPath[next] = r
		}
	}
}

func (c *collector) remove(e *trace.Event) *record {
	r := c.at(e)
	if i := slices.Index(r.aliases, e.Path); i >= 0 {
		r.aliases = slices.Delete(r.aliases, i, i+1)
		delete(c.byPath, e.Path)
		return r
	}
	if len(r.aliases) > 0 {
		r.former = append(r.former, r.path)
		r.path, r.aliases = r.aliases[0], r.aliases[1:]
		delete(c.byPath, e.Path)
		return r
	}
	r.removed = true
	c.forget(r)
	return r
}

func (c *collector) link(e *trace.Event) *record {
	r := c.at(e)
	if r.written {
		r.aliases = append(r.aliases, e.Path2)
		c.take(e.Path2, r)
		return r
	}
	// A new name for a file that was there before, or that never had a name
	// (O_TMPFILE): under this name the run wrote it.
	output := c.fresh(e.Path2, trace.FileID{})
	output.written = true
	c.take(e.Path2, output)
	return r
}

// samePath tells whether requested, made absolute, can be real: whether no
// link led elsewhere.
func samePath(real, requested string) bool {
	if real == requested {
		return true
	}
	rest := path.Clean(requested)
	for strings.HasPrefix(rest, "../") {
		rest = rest[len("../"):]
	}
	return real == rest || !strings.HasPrefix(rest, "/") && strings.HasSuffix(real, "/"+rest)
}
