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
	// gone has the files that lost their last name, which may still be open.
	gone map[trace.Inode]*record
	// moved are the folders that were renamed, in order.
	moved []move
}

// move is a folder, inode, that got another name. When exchanged is set, what
// had that name has the former one now.
type move struct {
	from, to  string
	inode     trace.Inode
	exchanged bool
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
	return &collector{byPath: map[string]*record{}, byInode: map[trace.Inode]*record{}, gone: map[trace.Inode]*record{}}
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
		c.moved = append(c.moved, move{from: e.Path, to: e.Path2, inode: e.ID.Inode()})
		c.renameAll(e.Path, e.Path2, false)
		return nil
	case kind != typeRegular && kind != 0:
		if over := c.byPath[e.Path2]; e.Op == trace.Rename && over != nil && !over.removed {
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
	if r.existed {
		r.first = c.origin(path)
	}
	c.records = append(c.records, r)
	c.bind(r, id.Inode())
	return r
}

// origin is the name that what is at path had at the start, as far as renamed
// folders go.
func (c *collector) origin(path string) string {
	for _, m := range slices.Backward(c.moved) {
		if rest, ok := strings.CutPrefix(path, m.to+"/"); ok {
			path = m.from + "/" + rest
		} else if rest, ok := strings.CutPrefix(path, m.from+"/"); ok && m.exchanged {
			path = m.to + "/" + rest
		}
	}
	return path
}

// take gives name to r; whoever had it is succeeded.
func (c *collector) take(name string, r *record) {
	if old := c.byPath[name]; old != nil && old != r {
		if !old.removed {
			c.loseName(old, name)
		}
		if old.removed {
			old.successor = r
		}
	}
	c.byPath[name] = r
}

// loseName takes name from r. With its last one r is removed, and keeps it.
func (c *collector) loseName(r *record, name string) {
	linked := func(alias string) bool { return slices.Contains(r.linked, alias) }
	if i := slices.Index(r.aliases, name); i >= 0 {
		r.aliases = slices.Delete(r.aliases, i, i+1)
		delete(c.byPath, name)
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
	delete(c.byPath, name)
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
		delete(c.byPath, e.Path)
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
	for _, side := range []*trace.Event{e, &other} {
		switch side.Mode & typeMask {
		case typeDirectory:
			c.moved = append(c.moved, move{from: side.Path, to: side.Path2, inode: side.ID.Inode()})
		case typeRegular:
			c.at(side)
		}
	}
	if both := len(c.moved) - 2; e.Mode&typeMask == typeDirectory && e.Mode2&typeMask == typeDirectory {
		c.moved = c.moved[:both+1] // the two are one
		c.moved[both].exchanged = true
	}
	c.renameAll(e.Path, e.Path2, true)
	if e.Mode&typeMask != typeRegular {
		return nil
	}
	return c.byPath[e.Path2]
}

// renameAll gives the file named from, and all files in a folder of that name,
// the name to instead; those under to, if they are exchanged, the name from.
func (c *collector) renameAll(from, to string, exchanged bool) {
	type step struct {
		r          *record
		name, next string
	}
	var steps []step
	for name, r := range c.byPath {
		if rest, ok := cutName(name, from); ok {
			steps = append(steps, step{r, name, to + rest})
		} else if rest, ok := cutName(name, to); ok && exchanged {
			steps = append(steps, step{r, name, from + rest})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.name, b.name) })
	for _, s := range steps {
		delete(c.byPath, s.name)
	}
	for _, s := range steps {
		if !s.r.removed {
			s.r.moveTo(s.name, s.next)
			c.byPath[s.next] = s.r
		}
	}
}

// cutName gives what follows folder in name: nothing when they are the same.
func cutName(name, folder string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, folder)
	return rest, ok && (rest == "" || rest[0] == '/')
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
