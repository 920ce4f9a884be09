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
	byPath  names
	byInode map[trace.Inode]*record
	// gone has the files that lost their last name, which may still be open.
	gone  map[trace.Inode]*record
	moved moves
}

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
	// former are names it had before path, aliases its further names, linked
	// those of the latter that the run gave it.
	former, aliases, linked []string
	// successor has taken over the name path.
	successor *record
	// content is the digest of what was read, before any write of the run.
	content *digest
	class   Class
}

func newCollector() *collector {
	return &collector{byPath: newNames(), byInode: map[trace.Inode]*record{}, gone: map[trace.Inode]*record{}, moved: moves{to: map[string][]int{}}}
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
	case e.Op == trace.Exchange:
		return c.exchange(e)
	case kind == typeDirectory && e.Op == trace.Rename:
		c.moved.add(move{from: e.Path, to: e.Path2, inode: e.ID.Inode()})
		c.renameAll(e.Path, e.Path2, false)
		return nil
	case kind != typeRegular && kind != 0:
		if over := c.byPath.at(e.Path2); e.Op == trace.Rename && over != nil && !over.removed {
			c.loseName(over, e.Path2) // to a link, for example
		}
		return nil
	case ignored(e.Path):
		return nil
	case e.Path == "":
		return c.nameless(e)
	}
	switch e.Op {
	case trace.Open:
		return c.at(e).open(e)
	case trace.Exec:
		r := c.at(e)
		r.executed, r.opened, r.read = true, true, r.read || !r.written
		return r
	case trace.Truncate:
		return c.at(e).truncate(e)
	case trace.Rename:
		return c.rename(e)
	case trace.Remove:
		r := c.at(e)
		c.loseName(r, e.Path)
		return r
	case trace.Link:
		return c.link(e, c.at(e))
	}
	return nil
}

// nameless files the use of a file that has lost its names, or never had one.
func (c *collector) nameless(e *trace.Event) *record {
	r := c.byInode[e.ID.Inode()]
	if e.Op == trace.Link {
		return c.link(e, r)
	}
	if r == nil {
		r = c.gone[e.ID.Inode()]
	}
	switch {
	case r == nil, r.removed && !r.written && (e.ID.Size != r.before.Size || e.ID.MtimeNs != r.before.MtimeNs):
		// Not seen before; or another one has the inode now.
	case e.Op == trace.Open:
		return r.open(e)
	case e.Op == trace.Truncate:
		return r.truncate(e)
	}
	return nil
}

func (r *record) open(e *trace.Event) *record {
	fresh := e.ID == (trace.FileID{}) || e.Access&trace.Discard != 0 || r.written
	if !fresh {
		// A write that keeps what was there makes the old content an input.
		r.read = true
	}
	switch {
	case e.Access&trace.Write == 0:
		r.opened = true
	case e.Access&(trace.Read|trace.Discard) == trace.Read:
		r.written, r.opened, r.mapped, r.renamed = true, true, true, false
	default:
		r.written, r.renamed = true, false
	}
	return r
}

func (r *record) truncate(e *trace.Event) *record {
	if e.Access&trace.Discard == 0 && !r.written {
		r.read = true
	}
	r.written, r.renamed = true, false
	return r
}

// at finds or makes the record of the file that e.Path names now.
func (c *collector) at(e *trace.Event) *record {
	exists := e.ID != (trace.FileID{})
	inode := e.ID.Inode()
	named := c.byPath.at(e.Path)
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
	if r.existed {
		r.first = c.moved.origin(path)
	}
	c.records = append(c.records, r)
	c.bind(r, id.Inode())
	return r
}

// take gives name to r; whoever had it is succeeded.
func (c *collector) take(name string, r *record) {
	if old := c.byPath.at(name); old != nil && old != r {
		if !old.removed {
			c.loseName(old, name)
		}
		if old.removed {
			old.successor = r
		}
	}
	c.byPath.set(name, r)
}

// loseName takes name from r. With its last one r is removed, and keeps it.
func (c *collector) loseName(r *record, name string) {
	linked := func(alias string) bool { return slices.Contains(r.linked, alias) }
	if i := slices.Index(r.aliases, name); i >= 0 {
		r.aliases = slices.Delete(r.aliases, i, i+1)
		c.byPath.remove(name)
		return
	}
	if len(r.aliases) == 0 {
		r.removed = true
		if r.inode != (trace.Inode{}) {
			c.gone[r.inode] = r
		}
		if c.byInode[r.inode] == r {
			delete(c.byInode, r.inode) // for another file to have
		}
		return
	}
	c.byPath.remove(name)
	if next := r.aliases[0]; r.written || linked(next) {
		r.moveTo(name, next)
	} else {
		// The names were there before the run: each is a file of its own.
		lost := *r
		lost.aliases, lost.removed = nil, true
		c.records = append(c.records, &lost)
		r.path, r.first = next, next
	}
	r.aliases = slices.Delete(r.aliases, 0, 1)
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
		c.byPath.remove(e.Path)
		c.take(e.Path2, r)
	}
	return r
}

// moveTo makes the name from of r the name to. A file that was there before
// the run is the run's doing under its new name.
func (r *record) moveTo(from, to string) {
	if i := slices.Index(r.aliases, from); i >= 0 {
		r.aliases[i] = to
		r.linked = append(r.linked, to)
		return
	}
	if !r.written {
		r.read, r.written, r.renamed = true, true, true
	}
	r.former = append(r.former, r.path)
	r.path = to
}

// exchange files that two names, of files or folders, were exchanged.
func (c *collector) exchange(e *trace.Event) *record {
	other := trace.Event{Path: e.Path2, Path2: e.Path, Requested: e.Path2, ID: e.ID2, Mode: e.Mode2}
	folders := e.Mode&typeMask == typeDirectory && e.Mode2&typeMask == typeDirectory
	for _, side := range []*trace.Event{e, &other} {
		switch side.Mode & typeMask {
		case typeDirectory:
			if !folders || side == e { // the two are one move
				c.moved.add(move{from: side.Path, to: side.Path2, inode: side.ID.Inode(), exchanged: folders})
			}
		case typeRegular:
			c.at(side)
		}
	}
	c.renameAll(e.Path, e.Path2, true)
	if e.Mode&typeMask != typeRegular {
		return nil
	}
	return c.byPath.at(e.Path2)
}

// renameAll gives the file named from, and all files in a folder of that name,
// the name to instead; those under to, if they are exchanged, the name from.
func (c *collector) renameAll(from, to string, exchanged bool) {
	type step struct {
		r          *record
		name, next string
	}
	var steps []step
	for _, name := range c.byPath.below(from) {
		steps = append(steps, step{c.byPath.at(name), name, to + strings.TrimPrefix(name, from)})
	}
	if exchanged {
		for _, name := range c.byPath.below(to) {
			steps = append(steps, step{c.byPath.at(name), name, from + strings.TrimPrefix(name, to)})
		}
	}
	for _, s := range steps {
		c.byPath.remove(s.name)
	}
	for _, s := range steps {
		if !s.r.removed {
			s.r.moveTo(s.name, s.next)
			c.byPath.set(s.next, s.r)
		}
	}
}

// link gives r, nil for a file without a name (O_TMPFILE), the name e.Path2.
func (c *collector) link(e *trace.Event, r *record) *record {
	if r == nil {
		r = c.fresh(e.Path2, trace.FileID{})
		r.written = true
		c.byInode[e.ID.Inode()] = r
	} else {
		r.aliases, r.linked = append(r.aliases, e.Path2), append(r.linked, e.Path2)
	}
	c.take(e.Path2, r)
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
