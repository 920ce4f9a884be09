// Package bounded reads files that strangers made: never more than a limit,
// never from what is no file. It extracts and executes nothing.
package bounded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// Read reads a file that must not be larger than limit.
func Read(name string, limit int64) ([]byte, error) {
	text, size, err := Head(name, limit)
	if err == nil && size > limit {
		return nil, fmt.Errorf("read %s: expected at most %d bytes, found %d", name, limit, size)
	}
	return text, err
}

// Head reads the first bytes of a file and tells its size.
func Head(name string, limit int64) (head []byte, size int64, err error) {
	// Opening a pipe would wait for ever.
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("read %s: expected a file, found %s", name, info.Mode())
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	head = make([]byte, min(info.Size(), limit))
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	return head[:n], info.Size(), nil
}

// Lines yields the lines of text that are not empty, without their ends.
func Lines(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(text) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// MaxText bounds a name, a version or an address that a stranger wrote, in
// bytes.
const MaxText = 500

// Shortened cuts such text to what a log has room for, and makes it valid UTF-8.
func Shortened(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= MaxText {
		return text
	}
	return strings.ToValidUTF8(text[:MaxText], "") + "…"
}
