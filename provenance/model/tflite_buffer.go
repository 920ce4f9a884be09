package model

import "fmt"

// table is a FlatBuffers table, https://flatbuffers.dev/internals/: a vtable
// says where each field lies. The zero table has no field.
type table struct {
	at     int64 // of the table; 0 is no table
	fields []uint16
}

// maxVtable bounds a vtable, in bytes; a schema with so many fields exists nowhere.
const maxVtable = 512

// root is the table that the file starts with.
func (p *pager) root() (table, error) { return p.follow(0) }

// follow reads the table that the offset at position at leads to.
func (p *pager) follow(at int64) (table, error) {
	target, err := p.indirect(at)
	if err != nil {
		return table{}, err
	}
	back, err := p.uint(target, 4)
	if err != nil {
		return table{}, err
	}
	vtable := target - int64(int32(back))
	length, err := p.uint(vtable, 2)
	if err != nil {
		return table{}, err
	}
	size, err := p.uint(vtable+2, 2)
	if err != nil {
		return table{}, err
	}
	if length < 4 || length > maxVtable || length%2 != 0 {
		return table{}, p.malformed(vtable, fmt.Sprintf("a vtable of 4 to %d bytes", maxVtable), fmt.Sprint(length))
	}
	if err := p.within(target, int64(size)); err != nil {
		return table{}, err
	}
	t := table{at: target, fields: make([]uint16, (length-4)/2)}
	for i := range t.fields {
		v, err := p.uint(vtable+4+2*int64(i), 2)
		if err != nil {
			return table{}, err
		}
		t.fields[i] = uint16(v)
	}
	return t, p.keep(target, int64(length)+16)
}

// indirect is where the unsigned offset at a position leads.
func (p *pager) indirect(at int64) (int64, error) {
	offset, err := p.uint(at, 4)
	if err != nil {
		return 0, err
	}
	if offset == 0 {
		return 0, p.malformed(at, "an offset", "0")
	}
	return at + int64(offset), p.within(at+int64(offset), 4)
}

// field is where the table's field number id lies; ok is false when it is not
// there and has its default value.
func (t table) field(id int) (at int64, ok bool) {
	if id >= len(t.fields) || t.fields[id] == 0 {
		return 0, false
	}
	return t.at + int64(t.fields[id]), true
}

// number is a scalar field of so many bytes, unset when it is not there.
func (p *pager) number(t table, id, bytes int, unset uint64) (uint64, error) {
	at, ok := t.field(id)
	if !ok {
		return unset, nil
	}
	return p.uint(at, bytes)
}

// child is a field that is a table; the zero table when it is not there.
func (p *pager) child(t table, id int) (table, error) {
	at, ok := t.field(id)
	if !ok {
		return table{}, nil
	}
	return p.follow(at)
}

// vector is a field that is a vector of elements of so many bytes: where its
// first element lies, and how many there are.
func (p *pager) vector(t table, id int, bytes int64) (at, n int64, err error) {
	at, ok := t.field(id)
	if !ok {
		return 0, 0, nil
	}
	if at, err = p.indirect(at); err != nil {
		return 0, 0, err
	}
	count, err := p.uint(at, 4)
	if err != nil {
		return 0, 0, err
	}
	n = int64(count)
	if n > (p.size-at-4)/bytes {
		return 0, 0, p.malformed(at, fmt.Sprintf("a vector of at most %d elements, for which there is room", (p.size-at-4)/bytes), fmt.Sprint(n))
	}
	return at + 4, n, nil
}

// tables visits the tables of a vector.
func (p *pager) tables(t table, id int, visit func(table) error) error {
	at, n, err := p.vector(t, id, 4)
	for i := int64(0); i < n && err == nil; i++ {
		var element table
		if element, err = p.follow(at + 4*i); err == nil {
			err = visit(element)
		}
	}
	return err
}

// integers are the elements of a vector of signed numbers of 4 bytes.
func (p *pager) integers(t table, id int) ([]int64, error) {
	at, n, err := p.vector(t, id, 4)
	if err != nil {
		return nil, err
	}
	if err := p.keep(at, 8*n+16); err != nil {
		return nil, err
	}
	values := make([]int64, n)
	for i := range values {
		v, err := p.uint(at+4*int64(i), 4)
		if err != nil {
			return nil, err
		}
		values[i] = int64(int32(v))
	}
	return values, nil
}

// string is a field that is a string or a vector of bytes, of at most max bytes.
func (p *pager) string(t table, id int, max int64) (string, error) {
	at, n, err := p.vector(t, id, 1)
	if err != nil {
		return "", err
	}
	if n > max {
		return "", p.malformed(at, fmt.Sprintf("a string of at most %d bytes", max), fmt.Sprintf("%d bytes", n))
	}
	if err := p.keep(at, n+16); err != nil {
		return "", err
	}
	b := make([]byte, n)
	err = p.read(b, at)
	return string(b), err
}
