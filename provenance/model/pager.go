package model

import (
	"encoding/binary"
	"fmt"
	"io"
)

// pager reads here and there in a file of any size, as formats with offsets
// need it, through a few pages that it remembers.
type pager struct {
	*wire
	pages [64]struct {
		at   int64
		data []byte
	}
}

func newPager(file io.ReaderAt, size int64, name string) *pager {
	return &pager{wire: newWire(file, size, name)}
}

// page returns the bytes of the page that offset lies in, from offset on.
func (p *pager) page(offset int64) ([]byte, error) {
	at := offset / windowSize * windowSize
	slot := &p.pages[at/windowSize%int64(len(p.pages))]
	if slot.data == nil || slot.at != at {
		data := make([]byte, min(windowSize, p.size-at))
		if err := p.readFull(data, at); err != nil {
			return nil, err
		}
		slot.at, slot.data = at, data
	}
	return slot.data[offset-at:], nil
}

// within is an error unless n bytes lie at offset.
func (p *pager) within(offset, n int64) error {
	if offset < 0 || n < 0 || offset > p.size || n > p.size-offset {
		return p.malformed(offset, fmt.Sprintf("%d bytes within a file of %d", n, p.size), "an offset or a length that leads past its end")
	}
	return nil
}

// read fills b with the bytes at offset.
func (p *pager) read(b []byte, offset int64) error {
	if err := p.within(offset, int64(len(b))); err != nil {
		return err
	}
	for len(b) > 0 {
		page, err := p.page(offset)
		if err != nil {
			return err
		}
		n := copy(b, page)
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

// uint reads a little-endian number of 1 to 8 bytes.
func (p *pager) uint(offset int64, bytes int) (uint64, error) {
	var b [8]byte
	if err := p.read(b[:bytes], offset); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}
