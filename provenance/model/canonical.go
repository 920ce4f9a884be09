package model

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// CanonicalKey names the digest that Canonical gives in a set of digests; a
// later way to make one gets another name. docs/spec/canonical-digest-v1.md
// says what goes into it.
const CanonicalKey = "canonicalV1"

// ErrNotCanonical is what Canonical wraps when a model has no canonical digest:
// its format has none, or it holds what the digest does not cover. Nothing is
// left out of a digest instead.
var ErrNotCanonical = errors.New("no canonical digest")

// Canonical is a digest of what the model at path does, 64 hexadecimal digits:
// equal for two files that differ in names, documentation, metadata, the order
// of independent nodes, where weights lie and how the file is encoded, and
// different when an operator, an attribute, a weight, a type, a shape or the
// order of inputs is. It reads the model's weights once, in pieces.
func Canonical(path string) (string, error) {
	root := Root(path)
	format, ok, err := Detect(root)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", fmt.Errorf("canonical digest of %s: %w", path, ErrNoModel)
	case format.canonical == nil:
		return "", notCanonical("not defined for format %s", format.Name)
	}
	sum, err := format.canonical(root)
	switch {
	case errors.Is(err, ErrNotCanonical):
		return "", err // a reason, which a log states beside the model's name
	case err != nil:
		return "", fmt.Errorf("canonical digest of %s: %w", path, err)
	}
	return fmt.Sprintf("%x", sum), nil
}

func notCanonical(format string, arguments ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotCanonical}, arguments...)...)
}

// checksum is a SHA-256 digest.
type checksum [sha256.Size]byte

// listing writes what is digested: numbers of eight bytes, texts with their
// length before them, digests. Each is read back without knowing what follows,
// so that no two different listings are the same bytes.
type listing struct {
	hash   hash.Hash
	buffer []byte
}

// listingBuffer is how much of a listing is gathered before it is hashed, and
// how much of a weight is read at once, in bytes.
const listingBuffer = 256 << 10

func newListing(kind string) *listing {
	l := &listing{hash: sha256.New()}
	l.text(kind)
	return l
}

func (l *listing) write(b ...byte) {
	if len(l.buffer)+len(b) > listingBuffer {
		l.hash.Write(l.buffer)
		l.buffer = l.buffer[:0]
	}
	l.buffer = append(l.buffer, b...)
}

func (l *listing) number(n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	l.write(b[:]...)
}

func (l *listing) flag(set bool) {
	if set {
		l.number(1)
	} else {
		l.number(0)
	}
}

func (l *listing) numbers(list []int64) {
	l.number(int64(len(list)))
	for _, n := range list {
		l.number(n)
	}
}

func (l *listing) text(s string) {
	l.number(int64(len(s)))
	l.write([]byte(s)...)
}

func (l *listing) digest(s checksum) { l.write(s[:]...) }

// passage is what data goes through on its way from a file into a listing.
type passage struct {
	piece []byte
	// left is how many bytes may still pass: a few times what the files have,
	// since parts that overlap could make a small file endless.
	left int64
}

// maxPasses is how often each byte of a file may go into a digest.
const maxPasses = 4

func newPassage(size int64) *passage {
	return &passage{piece: make([]byte, listingBuffer), left: maxPasses * size}
}

// data writes n bytes of a file as a text.
func (l *listing) data(from io.ReaderAt, at, n int64, through *passage) error {
	if through.left -= n; through.left < 0 {
		return notCanonical("parts of the file are used more than %d times, each as something else", maxPasses)
	}
	l.number(n)
	l.hash.Write(l.buffer)
	l.buffer = l.buffer[:0]
	for n > 0 {
		piece := through.piece[:min(n, listingBuffer)]
		if read, err := from.ReadAt(piece, at); read < len(piece) {
			return fmt.Errorf("read %d bytes at byte %d: %w", len(piece), at, err)
		}
		l.hash.Write(piece)
		at, n = at+int64(len(piece)), n-int64(len(piece))
	}
	return nil
}

func (l *listing) sum() (s checksum) {
	l.hash.Write(l.buffer)
	l.buffer = l.buffer[:0]
	l.hash.Sum(s[:0])
	return s
}
