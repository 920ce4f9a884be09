package installed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// sqlite reads tables of an SQLite database, https://sqlite.org/fileformat2.html,
// row by row: what a package database needs and no more. The write-ahead log is
// not looked into.
type sqlite struct {
	file io.ReaderAt
	// size of a page, and what of it is usable.
	size, usable int
	pages        uint32
	seen         map[uint32]bool
}

var errSQLite = errors.New("it is no sound SQLite database")

const maxDepth = 40

func openSQLite(file io.ReaderAt, length int64) (*sqlite, error) {
	head := make([]byte, 100)
	if _, err := file.ReadAt(head, 0); err != nil || !bytes.HasPrefix(head, []byte("SQLite format 3\x00")) {
		return nil, errSQLite
	}
	size := int(binary.BigEndian.Uint16(head[16:]))
	if size == 1 {
		size = 1 << 16
	}
	usable := size - int(head[20])
	if size < 512 || size&(size-1) != 0 || usable < 480 {
		return nil, errSQLite
	}
	return &sqlite{file: file, size: size, usable: usable, pages: uint32(length / int64(size)), seen: map[uint32]bool{}}, nil
}

// rows calls each with the columns of every row of a table; the bytes of text
// and blobs, nil for anything else.
func (q *sqlite) rows(table string, each func(columns [][]byte) error) error {
	var root uint32
	err := q.walk(1, 0, func(schema [][]byte) error {
		// type, name, tbl_name, rootpage, sql
		if len(schema) >= 4 && string(schema[0]) == "table" && string(schema[1]) == table {
			root = integer(schema[3])
		}
		return nil
	})
	if err != nil {
		return err
	}
	if root == 0 {
		return fmt.Errorf("it has no table %s", table)
	}
	q.seen = map[uint32]bool{}
	return q.walk(root, 0, each)
}

func integer(raw []byte) (n uint32) {
	for _, b := range raw {
		n = n<<8 | uint32(b)
	}
	return n
}

// page reads a page; the numbers start from 1. No page is part of a table twice.
func (q *sqlite) page(number uint32) ([]byte, error) {
	if number == 0 || number > q.pages || q.seen[number] {
		return nil, errSQLite
	}
	q.seen[number] = true
	page := make([]byte, q.size)
	if _, err := q.file.ReadAt(page, int64(number-1)*int64(q.size)); err != nil {
		return nil, errSQLite
	}
	return page, nil
}

// walk goes through the b-tree of a table (section 1.6).
func (q *sqlite) walk(number uint32, depth int, each func([][]byte) error) error {
	page, err := q.page(number)
	if err != nil || depth > maxDepth {
		return errSQLite
	}
	header := 0
	if number == 1 {
		header = 100
	}
	kind, cells := page[header], int(binary.BigEndian.Uint16(page[header+3:]))
	pointers := header + 8
	if kind == 5 {
		pointers = header + 12
	} else if kind != 13 {
		return errSQLite
	}
	if pointers+2*cells > len(page) {
		return errSQLite
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(page[pointers+2*i:]))
		if at+4 > q.usable {
			return errSQLite
		}
		if kind == 5 {
			err = q.walk(binary.BigEndian.Uint32(page[at:]), depth+1, each)
		} else {
			err = q.cell(page[:q.usable], at, each)
		}
		if err != nil {
			return err
		}
	}
	if kind == 5 {
		return q.walk(binary.BigEndian.Uint32(page[header+8:]), depth+1, each)
	}
	return nil
}

// cell reads a row from a leaf, and from the pages that it overflows to.
func (q *sqlite) cell(page []byte, at int, each func([][]byte) error) error {
	length, n := varint(page[at:])
	_, m := varint(page[min(at+n, len(page)):]) // the row's number
	if n == 0 || m == 0 || length > maxList {
		return errSQLite
	}
	start := at + n + m
	local := int(length)
	if limit := q.usable - 35; local > limit {
		least := (q.usable-12)*32/255 - 23
		if local = least + (int(length)-least)%(q.usable-4); local > limit {
			local = least
		}
	}
	if start+local > len(page) {
		return errSQLite
	}
	payload := append(make([]byte, 0, min(int(length), 1<<20)), page[start:start+local]...)
	if len(payload) < int(length) {
		if start+local+4 > len(page) {
			return errSQLite
		}
		next := binary.BigEndian.Uint32(page[start+local:])
		for len(payload) < int(length) {
			more, err := q.page(next)
			if err != nil {
				return err
			}
			next = binary.BigEndian.Uint32(more)
			payload = append(payload, more[4:min(q.usable, 4+int(length)-len(payload))]...)
		}
	}
	columns, ok := record(payload)
	if !ok {
		return errSQLite
	}
	return each(columns)
}

// record splits a row into its columns (section 2.1).
func record(payload []byte) (columns [][]byte, ok bool) {
	length, n := varint(payload)
	if n == 0 || length < uint64(n) || length > uint64(len(payload)) {
		return nil, false
	}
	types, body := payload[n:length], payload[length:]
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 {
			return nil, false
		}
		types = types[n:]
		var size uint64
		switch {
		case kind >= 12:
			size = (kind - 12) / 2
		case kind <= 4:
			size = kind
		case kind == 5:
			size = 6
		case kind == 6 || kind == 7:
			size = 8
		}
		if size > uint64(len(body)) {
			return nil, false
		}
		columns, body = append(columns, body[:size]), body[size:]
	}
	return columns, true
}

// varint is SQLite's: seven bits a byte, the high ones first, eight in the
// ninth. n is 0 when it is cut off.
func varint(data []byte) (value uint64, n int) {
	for i := 0; i < 9 && i < len(data); i++ {
		if i == 8 {
			return value<<8 | uint64(data[i]), 9
		}
		value = value<<7 | uint64(data[i]&0x7f)
		if data[i] < 0x80 {
			return value, i + 1
		}
	}
	return 0, 0
}
