package model

import (
	"bytes"
	"fmt"
	"io"
)

// storedConstant says where the elements of a constant are.
type storedConstant struct {
	file io.ReaderAt
	span
	size int64 // of an element in bytes
	dims []int64
}

// constantMask judges a multiplication by a constant: a converter that folds
// constants can turn dropout's random mask into a tensor of zeros and ones.
func (e *inspector) constantMask(s *step) {
	if !s.isProduct() {
		return
	}
	a, b := e.source(s.in(0)), e.source(s.in(1))
	if e.values[a].varies {
		a, b = b, a
	}
	c, ok := e.stored[a]
	if !ok || !e.values[b].varies || len(c.dims) < 2 {
		return
	}
	verdict, looked := e.masks[c.span]
	if !looked {
		verdict = e.isMask(c)
		e.masks[c.span] = verdict
	}
	name := quote(e.values[a].name)
	switch verdict {
	case maskFound:
		why := fmt.Sprintf("%s: multiplies by the constant %s %v, which has only zeros and one other value", e.describe(s), name, c.dims)
		e.hit(Dropout, Unknown, None, "unknown: whether a dropout mask was folded into %s", why)
		e.find(FlowConstantMask, "", why)
	case maskUnread:
		if broad(c.dims) {
			e.find(FlowConstantMaskUnread, "", e.describe(s)+": "+name)
		}
	}
}

func (e *inspector) isMask(c storedConstant) maskVerdict {
	if c.file == nil || c.size == 0 || c.len()%c.size != 0 || c.len() > maxMask {
		return maskUnread
	}
	verdict, err := maskIn(func(b []byte, at int64) error {
		n, err := c.file.ReadAt(b, at)
		if n == len(b) {
			return nil
		}
		return err
	}, c.span, c.size, &e.masksRead)
	if err != nil {
		return maskUnread
	}
	return verdict
}

// maskIn tells whether the elements that lie in s are zero and one other value,
// both of which occur; total counts what is read.
func maskIn(read func([]byte, int64) error, s span, size int64, total *int64) (maskVerdict, error) {
	zero, one := make([]byte, size), []byte(nil)
	zeros := false
	var chunk [windowSize]byte // every element size divides it
	for at := s.start; at < s.end; {
		part := chunk[:min(int64(len(chunk)), s.end-at)]
		if *total += int64(len(part)); *total > maxMasks {
			return maskUnread, nil
		}
		if err := read(part, at); err != nil {
			return maskUnread, err
		}
		at += int64(len(part))
		for ; len(part) > 0; part = part[size:] {
			element := part[:size]
			switch {
			case bytes.Equal(element, zero):
				zeros = true
			case one == nil:
				one = bytes.Clone(element)
			case !bytes.Equal(element, one):
				return noMask, nil
			}
		}
	}
	if zeros && one != nil {
		return maskFound, nil
	}
	return noMask, nil
}
