package model

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Limits on what one file may make us keep. None of them is near what a real
// model needs; each is an error that names it, so that a file past it is never
// half read.
const (
	// windowSize is how much is read at once. A page is enough: tensors are
	// skipped, so that reads of more would mostly fetch weights.
	windowSize = 4096
	// maxDepth bounds messages within messages; protobuf's own limit is 100.
	maxDepth = 64
	// maxString bounds one name, in bytes.
	maxString = 64 << 10
	// maxOpset bounds an operator set's version; ONNX has reached 28 in ten years.
	maxOpset = 1 << 31
	// maxKept bounds what all names, nodes, attributes and tensors of a file
	// take in memory, in bytes, roughly.
	maxKept = 256 << 20
)

// wire reads protobuf's wire format,
// https://protobuf.dev/programming-guides/encoding/, from a file of any size
// through a window of a page. It skips what it is not asked for by offset, and
// it never believes a length: each is checked against the bytes that remain.
type wire struct {
	file io.ReaderAt
	name string // for errors
	size int64
	kept int64
	// foreign is the first field met that the format does not define, "" when
	// there was none.
	foreign string
	// counted is set to count nodes by operator instead of keeping them.
	counted map[string]int

	window [windowSize]byte
	at     int64 // the window's offset in the file
	filled int
}

func newWire(file io.ReaderAt, size int64, name string) *wire {
	return &wire{file: file, size: size, name: name}
}

// The wire types of protobuf that ONNX uses; groups (3, 4) ended with proto1.
const (
	varintType  = 0
	fixed64Type = 1
	bytesType   = 2
	fixed32Type = 5
)

var wireTypeNames = [8]string{
	"a varint", "a 64-bit value", "a length-delimited value", "the start of a group",
	"the end of a group", "a 32-bit value", "wire type 6", "wire type 7",
}

// span is a range of bytes of the file: [start, end).
type span struct{ start, end int64 }

func (s span) len() int64 { return s.end - s.start }

// field is one field of a message: number holds a varint's or a fixed value's
// bits, span a length-delimited value's bytes.
type field struct {
	id     int
	kind   int
	offset int64 // of its tag
	number uint64
	span
}

// malformed says where a file is not what it should be.
func (w *wire) malformed(offset int64, expected, found string) error {
	return fmt.Errorf("%s: at byte %d: expected %s, found %s", w.name, offset, expected, found)
}

// keep accounts for memory that n bytes of the result take.
func (w *wire) keep(offset int64, n int64) error {
	if w.kept += n; w.kept > maxKept {
		return &tooLargeError{w.malformed(offset, fmt.Sprintf("a graph that fits into %d MiB", maxKept>>20), "more")}
	}
	return nil
}

// tooLargeError is a file that would take more memory than maxKept.
type tooLargeError struct{ error }

func (e *tooLargeError) Unwrap() error { return e.error }

func (w *wire) byteAt(offset int64) (byte, error) {
	if offset < w.at || offset >= w.at+int64(w.filled) {
		n := min(w.size-offset, windowSize)
		w.at, w.filled = offset, 0
		if err := w.readFull(w.window[:n], offset); err != nil {
			return 0, err
		}
		w.filled = int(n)
	}
	return w.window[offset-w.at], nil
}

func (w *wire) readFull(b []byte, offset int64) error {
	n, err := w.file.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return w.malformed(offset, fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("only %d; the file shrank while it was read", n))
	}
	return fmt.Errorf("read %s at byte %d: %w", w.name, offset, err)
}

// varint reads a varint at offset that must end before end.
func (w *wire) varint(offset, end int64) (v uint64, next int64, err error) {
	for i := range int64(10) {
		if offset+i >= end {
			return 0, 0, w.malformed(offset, "a varint", "the end of the message")
		}
		b, err := w.byteAt(offset + i)
		if err != nil {
			return 0, 0, err
		}
		if i == 9 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, offset + i + 1, nil
		}
	}
	return 0, 0, w.malformed(offset, "a varint of at most 64 bits", "a longer one")
}

// field reads the field at offset and returns where the next one starts.
func (w *wire) field(offset, end int64) (f field, next int64, err error) {
	tag, next, err := w.varint(offset, end)
	if err != nil {
		return f, 0, err
	}
	if tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f, 0, w.malformed(offset, "a field number from 1 to 536870911", fmt.Sprint(tag>>3))
	}
	f = field{id: int(tag >> 3), kind: int(tag & 7), offset: offset}
	switch f.kind {
	case varintType:
		f.number, next, err = w.varint(next, end)
		return f, next, err
	case fixed32Type, fixed64Type:
		f.number, next, err = w.fixed(next, end, f.kind)
		return f, next, err
	case bytesType:
		n, start, err := w.varint(next, end)
		if err != nil {
			return f, 0, err
		}
		if n > uint64(end-start) {
			f.span = span{start, end} // what there is of it, for detection
			return f, 0, &overrunError{w.malformed(next, fmt.Sprintf("at most %d bytes, which remain in the message", end-start), fmt.Sprintf("a length of %d", n))}
		}
		f.span = span{start, start + int64(n)}
		return f, f.end, nil
	}
	return f, 0, w.malformed(offset, "a varint, a 32-bit, a 64-bit or a length-delimited value", wireTypeNames[f.kind])
}

// foreignField notes a field that the format does not define.
func (w *wire) foreignField(message string, f field) {
	if w.foreign == "" {
		w.foreign = fmt.Sprintf("field %d of a %s, at byte %d", f.id, message, f.offset)
	}
}

// overrunError is a length past the end, as a file that was cut off has.
type overrunError struct{ error }

func (e *overrunError) Unwrap() error { return e.error }

// each calls visit for every field of the message that fills s.
func (w *wire) each(s span, depth int, visit func(field) error) error {
	if depth > maxDepth {
		return w.malformed(s.start, fmt.Sprintf("at most %d messages within each other", maxDepth), "more")
	}
	for offset := s.start; offset < s.end; {
		f, next, err := w.field(offset, s.end)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		offset = next
	}
	return nil
}

// want is an error unless f has the wire type.
func (w *wire) want(f field, kind int) error {
	if f.kind != kind {
		return w.malformed(f.offset, fmt.Sprintf("%s in field %d", wireTypeNames[kind], f.id), wireTypeNames[f.kind])
	}
	return nil
}

// text reads a string field, at most maxString bytes long.
func (w *wire) text(f field, into *string) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	if f.len() > maxString {
		return w.malformed(f.start, fmt.Sprintf("a string of at most %d bytes in field %d", maxString, f.id), fmt.Sprintf("%d bytes", f.len()))
	}
	b, err := w.bytes(f.span)
	*into = string(b)
	return err
}

// prefix reads the first max bytes of a string field.
func (w *wire) prefix(f field, max int64, into *string) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	f.end = min(f.end, f.start+max)
	b, err := w.bytes(f.span)
	*into = string(b)
	return err
}

// texts appends a repeated string field's next value.
func (w *wire) texts(f field, into *[]string) error {
	var s string
	if err := w.text(f, &s); err != nil {
		return err
	}
	*into = append(*into, s)
	return nil
}

// bytes copies s, which a caller has bounded, out of the file.
func (w *wire) bytes(s span) ([]byte, error) {
	if err := w.keep(s.start, s.len()+16); err != nil {
		return nil, err
	}
	b := make([]byte, s.len())
	if s.start >= w.at && s.end <= w.at+int64(w.filled) {
		copy(b, w.window[s.start-w.at:])
		return b, nil
	}
	return b, w.readFull(b, s.start)
}

// integer reads an int64 field.
func (w *wire) integer(f field, into *int64) error {
	*into = int64(f.number)
	return w.want(f, varintType)
}

// enum reads an enum or int32 field; protobuf drops the upper 32 bits, so a
// reader that did not would see another value than a runtime does.
func (w *wire) enum(f field, into *int32) error {
	*into = int32(f.number)
	return w.want(f, varintType)
}

// numbers visits the values of a repeated numeric field, packed or not; kind
// is the wire type of a single value.
func (w *wire) numbers(f field, kind int, visit func(uint64) error) error {
	if f.kind == kind {
		return visit(f.number)
	}
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	for offset := f.start; offset < f.end; {
		var v uint64
		var err error
		if kind == varintType {
			v, offset, err = w.varint(offset, f.end)
		} else {
			v, offset, err = w.fixed(offset, f.end, kind)
		}
		if err != nil {
			return err
		}
		if err := visit(v); err != nil {
			return err
		}
	}
	return nil
}

// fixed reads a 32-bit or 64-bit value.
func (w *wire) fixed(offset, end int64, kind int) (v uint64, next int64, err error) {
	n := int64(4)
	if kind == fixed64Type {
		n = 8
	}
	if end-offset < n {
		return 0, 0, w.malformed(offset, fmt.Sprintf("%d bytes", n), fmt.Sprintf("%d before the end of the message", end-offset))
	}
	var b [8]byte
	for i := range n {
		if b[i], err = w.byteAt(offset + i); err != nil {
			return 0, 0, err
		}
	}
	return binary.LittleEndian.Uint64(b[:]), offset + n, nil
}
