package provenance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/convrun/convrun/strictjson"
)

const (
	// ByproductType is the type of a by-product, in its first line.
	ByproductType = "https://convrun.github.io/conversion-log/byproduct/v1"
	// ByproductMediaType is that of JSON Lines, https://jsonlines.org.
	ByproductMediaType = "application/jsonl"
	// ByproductRole is the role of a by-product that holds what a log has no
	// room for.
	ByproductRole = "lists"
	// maxLine bounds one line of a by-product in bytes, and maxLines how many
	// are read: a run lists at most 500,000 files.
	maxLine  = 4 << 20
	maxLines = 2_000_000
)

// byproductHead is the first line of a by-product.
type byproductHead struct {
	Type         string `json:"_type"`
	InvocationID string `json:"invocationId"`
}

// WriteByproduct writes what was moved out of the log of a run as JSON Lines:
// a head, then an element a line.
func WriteByproduct(w io.Writer, invocation string, moved []Moved) error {
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(byproductHead{ByproductType, invocation}); err != nil {
		return err
	}
	for _, m := range moved {
		if err := encoder.Encode(m); err != nil {
			return err
		}
	}
	return out.Flush()
}

// Restore puts back into the log what Shorten moved out of it. The by-product
// must be the one whose digest the log has: that is for the caller to check.
// After an error the log is unspecified.
func (s *Statement) Restore(byproduct io.Reader) error {
	lines := bufio.NewScanner(byproduct)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	if !lines.Scan() {
		return errors.Join(errors.New("read by-product: expected a first line"), lines.Err())
	}
	var head byproductHead
	if err := strictjson.Decode(lines.Bytes(), maxLine, &head); err != nil {
		return fmt.Errorf("read by-product: line 1: %w", err)
	}
	if head.Type != ByproductType || head.InvocationID != s.Predicate.Run.InvocationID {
		return fmt.Errorf("read by-product: expected %s of the run %s, found %s of %s", ByproductType, s.Predicate.Run.InvocationID, head.Type, head.InvocationID)
	}
	lists := s.Predicate.lists()
	for n := 2; lines.Scan(); n++ {
		if n > maxLines {
			return fmt.Errorf("read by-product: expected at most %d lines, found more", maxLines)
		}
		if err := restoreLine(lists, lines.Bytes()); err != nil {
			return fmt.Errorf("read by-product: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read by-product: %w", err)
	}
	for _, l := range lists {
		l.settle()
	}
	return nil
}

func restoreLine(lists []list, line []byte) error {
	var moved struct {
		List string          `json:"list"`
		Item json.RawMessage `json:"item"`
	}
	if err := strictjson.Decode(line, maxLine, &moved); err != nil {
		return err
	}
	i := slices.IndexFunc(lists, func(l list) bool { return l.name() == moved.List })
	if i < 0 {
		return nil // a list that this version does not know
	}
	return lists[i].restore(moved.Item)
}

func (e *elements[T]) restore(text json.RawMessage) error {
	var item T
	if err := strictjson.Decode(text, maxLine, &item); err != nil {
		return err
	}
	if e.rest != nil && !e.restored && len(*e.items) > 0 {
		*e.items = (*e.items)[:len(*e.items)-1] // what stood for the rest
	}
	e.restored = true
	e.out = append(e.out, item)
	return nil
}

func (e *elements[T]) settle() {
	if e.key != nil {
		whole := map[string]bool{}
		for _, item := range e.out {
			whole[e.key(item)] = true
		}
		*e.items = slices.DeleteFunc(*e.items, func(x T) bool { return whole[e.key(x)] })
	}
	if *e.items = append(*e.items, e.out...); e.order != nil && e.restored {
		slices.SortStableFunc(*e.items, e.order)
	}
}
