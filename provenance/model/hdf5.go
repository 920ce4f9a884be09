package model

import (
	"fmt"
	"io"
	"strings"
)

// hdf5 is what is read of an HDF5 file,
// https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html: the names
// and shapes of its datasets, and the strings among the root's attributes. Data
// are never read.
type hdf5 struct {
	superblock int
	strings    map[string]string // the root's attributes
	datasets   []hdf5Dataset
	// external are the paths of links to other files, which are not followed.
	external []string
	// incomplete says what could not be looked into; "" is nothing.
	incomplete string
}

type hdf5Dataset struct {
	path     string // without a slash in front
	elements int64
	shape    []int64
	// kind is the type of floating-point elements that lie in one piece from
	// byte at on; "" for all others.
	kind string
	at   int64
}

// Limits of reading HDF5.
const (
	maxHDF5Objects  = 1 << 18
	maxHDF5Messages = 1 << 12 // of one object
	maxHDF5Heap     = 64 << 20
	undefined64     = 1<<64 - 1
)

// The types of header messages that are looked at, section IV.A.2.
const (
	dataspaceMessage     = 0x01
	linkInfoMessage      = 0x02
	datatypeMessage      = 0x03
	linkMessage          = 0x06
	layoutMessage        = 0x08
	externalDataMessage  = 0x07
	attributeMessage     = 0x0c
	continuationMessage  = 0x10
	symbolTableMessage   = 0x11
	attributeInfoMessage = 0x15
)

type hdf5Reader struct {
	*pager
	*hdf5
	offsets, lengths int // sizes of an address and of a length, in bytes
	base             int64
	seen             map[int64]bool // object headers
	steps            int
}

// readHDF5 reads the file; name stands in errors.
func readHDF5(file io.ReaderAt, size int64, name string) (*hdf5, error) {
	r := &hdf5Reader{pager: newPager(file, size, name), hdf5: &hdf5{strings: map[string]string{}}, seen: map[int64]bool{}}
	root, err := r.open()
	if err != nil {
		return nil, err
	}
	return r.hdf5, r.object(root, "", 0)
}

// cursor reads fields one after the other and remembers the first error.
type cursor struct {
	*hdf5Reader
	at, end int64
	err     error
}

func (r *hdf5Reader) cursor(s span) *cursor { return &cursor{hdf5Reader: r, at: s.start, end: s.end} }

func (c *cursor) take(bytes int) uint64 {
	if c.err != nil {
		return 0
	}
	if bytes > 8 || int64(bytes) > c.end-c.at {
		c.err = c.malformed(c.at, fmt.Sprintf("%d bytes", bytes), fmt.Sprintf("%d before the end", c.end-c.at))
		return 0
	}
	v, err := c.uint(c.at, bytes)
	c.at, c.err = c.at+int64(bytes), err
	return v
}

func (c *cursor) skip(n int64) {
	if c.err == nil && (n < 0 || n > c.end-c.at) {
		c.err = c.malformed(c.at, fmt.Sprintf("%d bytes", n), fmt.Sprintf("%d before the end", c.end-c.at))
	}
	if c.err == nil {
		c.at += n
	}
}

func (c *cursor) text(n int64) string {
	start := c.at
	c.skip(n)
	if c.err != nil {
		return ""
	}
	if n > maxString {
		c.err = c.malformed(start, fmt.Sprintf("a name of at most %d bytes", maxString), fmt.Sprintf("%d bytes", n))
		return ""
	}
	b, err := c.bytes(span{start, start + n})
	c.err = err
	return strings.TrimRight(string(b), "\x00")
}

// address is where an address leads; ok is false for the undefined one.
func (c *cursor) address() (at int64, ok bool) {
	v := c.take(c.offsets)
	if c.err != nil || v == undefined64>>(64-8*c.offsets) {
		return 0, false
	}
	if v > uint64(c.size-c.base) {
		c.err = c.malformed(c.at, "an address within the file", fmt.Sprint(v))
		return 0, false
	}
	return c.base + int64(v), true
}

func (c *cursor) sign(want string) {
	if at := c.at; c.text(int64(len(want))) != want && c.err == nil {
		c.err = c.malformed(at, fmt.Sprintf("the signature %q", want), "another")
	}
}

// open reads the superblock and returns the address of the root's header.
func (r *hdf5Reader) open() (int64, error) {
	c := r.cursor(span{0, r.size})
	c.skip(8)
	r.superblock = int(c.take(1))
	switch r.superblock {
	case 0, 1:
		c.skip(4)
		r.offsets, r.lengths = int(c.take(1)), int(c.take(1))
		c.skip(1 + 4 + 4)
		if r.superblock == 1 {
			c.skip(4)
		}
	case 2, 3:
		r.offsets, r.lengths = int(c.take(1)), int(c.take(1))
		c.skip(1)
	default:
		if c.err == nil {
			c.err = r.malformed(8, "a superblock of version 0 to 3", fmt.Sprint(r.superblock))
		}
	}
	for _, n := range []int{r.offsets, r.lengths} {
		if c.err == nil && n != 2 && n != 4 && n != 8 {
			c.err = r.malformed(8, "addresses and lengths of 2, 4 or 8 bytes", fmt.Sprint(n))
		}
	}
	if c.err != nil {
		return 0, c.err
	}
	base, _ := c.address()
	r.base = base
	if r.superblock < 2 {
		c.skip(int64(3*r.offsets + r.offsets)) // free space, end of file, driver; the root's name
	} else {
		c.skip(int64(2 * r.offsets)) // extension, end of file
	}
	root, ok := c.address()
	if c.err == nil && !ok {
		c.err = r.malformed(c.at, "the root group", "none")
	}
	return root, c.err
}

// message is one of an object header's.
type message struct {
	kind   int
	shared bool
	span
}

// object reads an object header and, when it is a group, what is in it.
func (r *hdf5Reader) object(at int64, path string, depth int) error {
	if r.seen[at] {
		return nil // another link to the same object
	}
	r.seen[at] = true
	if depth > maxDepth {
		return r.malformed(at, fmt.Sprintf("at most %d groups within each other", maxDepth), "more")
	}
	if len(r.seen) > maxHDF5Objects {
		return r.malformed(at, fmt.Sprintf("at most %d objects", maxHDF5Objects), "more")
	}
	messages, err := r.header(at)
	if err != nil {
		return err
	}
	data, typed, placed := hdf5Dataset{path: path, elements: -1}, false, false
	for _, m := range messages {
		if m.shared && m.kind != datatypeMessage {
			r.cannot("a header that shares what it says, of " + quote(path))
			continue
		}
		switch m.kind {
		case dataspaceMessage:
			err = r.dataspace(m.span, &data)
		case datatypeMessage:
			typed = true
			if !m.shared {
				data.kind, err = r.floatKind(m.span)
			}
		case layoutMessage:
			data.at, placed, err = r.contiguous(m.span)
		case externalDataMessage:
			r.external = append(r.external, path)
		case attributeMessage:
			if depth == 0 {
				err = r.attribute(m.span)
			}
		case attributeInfoMessage:
			if depth == 0 {
				err = r.dense(m.span, 2, "attributes")
			}
		case linkInfoMessage:
			err = r.dense(m.span, 8, "links of "+quote(path))
		case linkMessage:
			err = r.link(m.span, path, depth)
		case symbolTableMessage:
			err = r.symbolTable(m.span, path, depth)
		}
		if err != nil {
			return err
		}
	}
	if typed && data.elements >= 0 {
		if err := r.keep(at, int64(len(path)+8*len(data.shape))+80); err != nil {
			return err
		}
		if !placed {
			data.kind = ""
		}
		r.datasets = append(r.datasets, data)
	}
	return nil
}

func (r *hdf5Reader) cannot(what string) {
	if r.incomplete == "" {
		r.incomplete = what
	}
}

// dense notes what is stored in a heap of its own, which is not read. The
// address of the heap stands behind a version, flags and, by a flag, a number.
func (r *hdf5Reader) dense(s span, number int64, what string) error {
	c := r.cursor(s)
	c.skip(1)
	if c.take(1)&1 != 0 {
		c.skip(number)
	}
	if _, ok := c.address(); ok {
		r.cannot(what + ", which are stored densely")
	}
	return c.err
}

// header lists the messages of an object header, of version 1 or 2.
func (r *hdf5Reader) header(at int64) (list []message, err error) {
	c := r.cursor(span{at, r.size})
	version := c.take(1)
	if c.err == nil && version == 'O' {
		return r.header2(at)
	}
	c.skip(1)
	c.take(2)
	c.skip(4)
	length := c.take(4)
	c.skip(4)
	if c.err == nil && version != 1 {
		c.err = r.malformed(at, "an object header of version 1 or 2", fmt.Sprint(version))
	}
	if c.err == nil {
		c.err = r.within(c.at, int64(length))
	}
	if c.err != nil {
		return nil, c.err
	}
	blocks := []span{{c.at, c.at + int64(length)}}
	for i := 0; i < len(blocks); i++ { // blocks grow while they are read
		c := r.cursor(blocks[i])
		for c.err == nil && c.end-c.at >= 8 {
			kind, size, flags := c.take(2), c.take(2), c.take(1)
			c.skip(3)
			start := c.at
			c.skip(int64(size))
			if c.err == nil {
				list, blocks, c.err = r.listed(list, blocks, message{int(kind), flags&2 != 0, span{start, c.at}}, "")
			}
		}
		if c.err != nil {
			return nil, c.err
		}
	}
	return list, nil
}

func (r *hdf5Reader) header2(at int64) (list []message, err error) {
	c := r.cursor(span{at, r.size})
	c.sign("OHDR")
	c.skip(1)
	flags := c.take(1)
	if flags&0x20 != 0 {
		c.skip(16)
	}
	if flags&0x10 != 0 {
		c.skip(4)
	}
	length := c.take(1 << (flags & 3))
	if c.err == nil {
		c.err = r.within(c.at, int64(length))
	}
	if c.err != nil {
		return nil, c.err
	}
	blocks := []span{{c.at, c.at + int64(length)}}
	for i := 0; i < len(blocks); i++ {
		c := r.cursor(blocks[i])
		for c.err == nil && c.end-c.at >= 4 {
			kind, size, bits := c.take(1), c.take(2), c.take(1)
			if flags&4 != 0 {
				c.skip(2)
			}
			start := c.at
			c.skip(int64(size))
			if c.err == nil {
				list, blocks, c.err = r.listed(list, blocks, message{int(kind), bits&2 != 0, span{start, c.at}}, "OCHK")
			}
		}
		if c.err != nil {
			return nil, c.err
		}
	}
	return list, nil
}

// listed adds a message, or the block that it says the header goes on in;
// blocks of version 2 have a signature, and a checksum at their end.
func (r *hdf5Reader) listed(list []message, blocks []span, m message, signature string) ([]message, []span, error) {
	if len(list) == maxHDF5Messages || len(blocks) == maxHDF5Messages {
		return nil, nil, r.malformed(m.start, fmt.Sprintf("at most %d messages in a header", maxHDF5Messages), "more")
	}
	if r.steps++; r.steps > maxWork {
		return nil, nil, r.malformed(m.start, fmt.Sprintf("at most %d messages", maxWork), "more")
	}
	if m.kind != continuationMessage {
		return append(list, m), blocks, nil
	}
	c := r.cursor(m.span)
	at, ok := c.address()
	length := int64(c.take(r.lengths))
	if c.err != nil {
		return nil, nil, c.err
	}
	if !ok {
		return list, blocks, nil
	}
	if err := r.within(at, length); err != nil {
		return nil, nil, err
	}
	s := span{at, at + length}
	if signature != "" {
		inner := r.cursor(s)
		inner.sign(signature)
		if inner.err != nil {
			return nil, nil, inner.err
		}
		s = span{inner.at, max(inner.at, s.end-4)}
	}
	return list, append(blocks, s), nil
}

// floatKind is the type of elements, section IV.A.2.d of the specification,
// when it is one of IEEE 754 with the lowest byte first; else "".
func (r *hdf5Reader) floatKind(s span) (string, error) {
	c := r.cursor(s)
	class, order := c.take(1)&15, c.take(1)&0x41
	c.skip(2)
	size := c.take(4)
	const float, little = 1, 0
	if c.err != nil || class != float || order != little {
		return "", c.err
	}
	return map[uint64]string{2: "float16", 4: "float32", 8: "float64"}[size], nil
}

// contiguous is where the elements lie when they do in one piece, section
// IV.A.2.i.
func (r *hdf5Reader) contiguous(s span) (at int64, ok bool, err error) {
	c := r.cursor(s)
	version, class := c.take(1), c.take(1)
	if c.err != nil || version != 3 && version != 4 || class != 1 {
		return 0, false, c.err
	}
	at, ok = c.address()
	return at, ok, nil // an address past the end is one where nothing lies
}

// dataspace reads the shape.
func (r *hdf5Reader) dataspace(s span, into *hdf5Dataset) error {
	c := r.cursor(s)
	version, rank := c.take(1), c.take(1)
	c.skip(1)
	kind := c.take(1)
	if version == 1 {
		c.skip(4)
	}
	if c.err == nil && version != 1 && version != 2 {
		c.err = r.malformed(s.start, "a dataspace of version 1 or 2", fmt.Sprint(version))
	}
	if version == 2 && kind == 2 { // no element
		into.elements = 0
		return c.err
	}
	shape := []int64{}
	for range rank {
		shape = append(shape, int64(c.take(r.lengths)))
	}
	if c.err != nil {
		return c.err
	}
	n, ok := elements(shape)
	if !ok || n > maxParameters {
		return r.malformed(s.start, "at most 2^53 elements", fmt.Sprintf("the shape %v", shape))
	}
	into.elements, into.shape = n, shape
	return nil
}

// attribute keeps an attribute of the root if it is one string.
func (r *hdf5Reader) attribute(s span) error {
	c := r.cursor(s)
	version := c.take(1)
	flags := c.take(1)
	name, kind, space := int64(c.take(2)), int64(c.take(2)), int64(c.take(2))
	padded := func(n int64) int64 { return n }
	switch {
	case c.err != nil:
		return c.err
	case version == 1:
		padded = func(n int64) int64 { return (n + 7) / 8 * 8 }
	case version == 3:
		c.skip(1)
	case version != 2:
		return r.malformed(s.start, "an attribute of version 1 to 3", fmt.Sprint(version))
	}
	if version > 1 && flags&3 != 0 {
		r.cannot("an attribute that shares its type")
		return nil
	}
	key := c.text(padded(name))
	at := c.at
	class := c.take(1) & 15
	bits := c.take(1)
	c.skip(2)
	size := int64(c.take(4))
	c.skip(at + padded(kind) - c.at)
	at = c.at
	var held hdf5Dataset
	err := r.dataspace(span{at, min(at+space, c.end)}, &held)
	c.skip(padded(space))
	switch {
	case c.err != nil:
		return c.err
	case err != nil:
		return err
	case held.elements != 1:
		return nil
	}
	const fixedString, variable = 3, 9
	switch {
	case class == fixedString:
		return r.stringAt(key, span{c.at, c.at + size})
	case class == variable && bits&15 == 1:
		length := int64(c.take(4))
		heap, ok := c.address()
		index := c.take(4)
		if c.err != nil || !ok {
			return c.err
		}
		object, err := r.heapObject(heap, index)
		if err != nil {
			return err
		}
		if length > object.len() {
			return r.malformed(object.start, fmt.Sprintf("a string of %d bytes", length), fmt.Sprintf("an object of %d", object.len()))
		}
		return r.stringAt(key, span{object.start, object.start + length})
	}
	return nil
}

func (r *hdf5Reader) stringAt(key string, s span) error {
	if err := r.within(s.start, s.len()); err != nil {
		return err
	}
	if s.len() > maxKerasConfig {
		return r.malformed(s.start, fmt.Sprintf("a string of at most %d bytes", maxKerasConfig), fmt.Sprint(s.len()))
	}
	b, err := r.bytes(s)
	r.strings[key] = strings.TrimRight(string(b), "\x00")
	return err
}

// heapObject finds an object of a global heap, section III.E.
func (r *hdf5Reader) heapObject(at int64, want uint64) (span, error) {
	c := r.cursor(span{at, r.size})
	c.sign("GCOL")
	c.skip(4)
	size := int64(c.take(r.lengths))
	if c.err != nil {
		return span{}, c.err
	}
	if size > maxHDF5Heap || r.within(at, size) != nil {
		return span{}, r.malformed(at, fmt.Sprintf("a heap of at most %d bytes within the file", maxHDF5Heap), fmt.Sprint(size))
	}
	c.end = at + size
	for c.err == nil && c.end-c.at >= int64(8+r.lengths) {
		index := c.take(2)
		c.skip(6)
		n := int64(c.take(r.lengths))
		if index == 0 {
			break
		}
		start := c.at
		c.skip(min(max(n, 0), c.end-c.at))
		if index == want {
			return span{start, c.at}, c.err
		}
		c.skip(min((8-n%8)%8, c.end-c.at))
		if r.steps++; r.steps > maxWork {
			return span{}, r.malformed(start, fmt.Sprintf("at most %d objects in heaps", maxWork), "more")
		}
	}
	if c.err != nil {
		return span{}, c.err
	}
	return span{}, r.malformed(at, fmt.Sprintf("object %d in the heap", want), "none")
}

func below(path, name string) string { return strings.TrimPrefix(path+"/"+name, "/") }

// link follows a link message, section IV.A.2.g.
func (r *hdf5Reader) link(s span, path string, depth int) error {
	c := r.cursor(s)
	c.skip(1)
	flags := c.take(1)
	kind := uint64(0)
	if flags&8 != 0 {
		kind = c.take(1)
	}
	if flags&4 != 0 {
		c.skip(8)
	}
	if flags&16 != 0 {
		c.skip(1)
	}
	name := c.text(int64(c.take(1 << (flags & 3))))
	const hard, external = 0, 64
	switch {
	case c.err != nil:
		return c.err
	case kind == external:
		r.external = append(r.external, below(path, name))
	case kind == hard:
		if at, ok := c.address(); ok {
			return r.object(at, below(path, name), depth+1)
		}
		return c.err
	}
	return nil
}

// symbolTable reads a group of the older kind: a tree whose leaves are lists of
// names and addresses, sections III.A to III.D.
func (r *hdf5Reader) symbolTable(s span, path string, depth int) error {
	c := r.cursor(s)
	tree, _ := c.address()
	heap, ok := c.address()
	if c.err != nil || !ok {
		return c.err
	}
	c = r.cursor(span{heap, r.size})
	c.sign("HEAP")
	c.skip(4)
	size := int64(c.take(r.lengths))
	c.skip(int64(r.lengths))
	data, _ := c.address()
	if c.err == nil {
		c.err = r.within(data, size)
	}
	if c.err != nil {
		return c.err
	}
	return r.tree(tree, span{data, data + size}, path, depth, 0)
}

func (r *hdf5Reader) tree(at int64, names span, path string, depth, level int) error {
	if level > maxDepth || r.seen[at] {
		return r.malformed(at, "a tree", "a circle")
	}
	r.seen[at] = true
	c := r.cursor(span{at, r.size})
	c.sign("TREE")
	c.skip(1)
	height, count := c.take(1), c.take(2)
	c.skip(int64(2 * r.offsets))
	for range count {
		c.skip(int64(r.lengths))
		child, ok := c.address()
		if c.err != nil {
			return c.err
		}
		if !ok {
			continue
		}
		next := func() error { return r.symbols(child, names, path, depth) }
		if height > 0 {
			next = func() error { return r.tree(child, names, path, depth, level+1) }
		}
		if err := next(); err != nil {
			return err
		}
	}
	return c.err
}

func (r *hdf5Reader) symbols(at int64, names span, path string, depth int) error {
	c := r.cursor(span{at, r.size})
	c.sign("SNOD")
	c.skip(2)
	count := c.take(2)
	for range count {
		offset := int64(c.take(r.offsets))
		object, ok := c.address()
		const softLink = 2
		cached := c.take(4)
		c.skip(4 + 16)
		if r.steps++; r.steps > maxWork && c.err == nil {
			c.err = r.malformed(at, fmt.Sprintf("at most %d links", maxWork), "more")
		}
		if c.err != nil {
			return c.err
		}
		if !ok || cached == softLink {
			continue
		}
		name, err := r.nameIn(names, offset)
		if err != nil {
			return err
		}
		if err := r.object(object, below(path, name), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// nameIn is the name at an offset of a local heap, up to a NUL.
func (r *hdf5Reader) nameIn(names span, offset int64) (string, error) {
	if offset < 0 || offset >= names.len() {
		return "", r.malformed(names.start, "a name within the heap", fmt.Sprintf("offset %d", offset))
	}
	var name []byte
	for at := names.start + offset; at < names.end; at++ {
		b, err := r.uint(at, 1)
		if err != nil || b == 0 {
			return string(name), err
		}
		if name = append(name, byte(b)); len(name) > maxString {
			break
		}
	}
	return "", r.malformed(names.start+offset, fmt.Sprintf("a name of at most %d bytes that ends within the heap", maxString), "a longer one")
}
