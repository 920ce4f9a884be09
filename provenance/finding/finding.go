// Package finding lists every kind of finding that convrun can make: what it
// is called, how much it weighs, what it means and what to do about it. It
// judges nothing: that is for those who raise one.
package finding

import (
	"slices"
	"strings"
)

// Kind is one row of Kinds.
type Kind struct {
	// ID is part of the log's format: it keeps its meaning and is never used
	// again for another.
	ID string
	// Severity is Error, Warning or Note.
	Severity string
	// Title is what was found, in a few words.
	Title string
	// Means is the message of a finding whose maker has nothing more exact to
	// say: a clause without a full stop.
	Means string
	// Do is what a reader can do about it, in a sentence or two.
	Do string
}

// The severities of findings.
const (
	// Error is what makes the model, or the log, unfit for most uses.
	Error = "error"
	// Warning is what a person should look at.
	Warning = "warning"
	// Note is what is good to know.
	Note = "note"
)

// Of is the row of Kinds with this ID; ok is false when there is none.
func Of(id string) (kind Kind, ok bool) {
	i, ok := slices.BinarySearchFunc(Kinds, id, func(k Kind, id string) int { return strings.Compare(k.ID, id) })
	if !ok {
		return Kind{}, false
	}
	return Kinds[i], true
}

// Must is Of for an ID that the program itself names; it panics when the table
// lacks it.
func Must(id string) Kind {
	kind, ok := Of(id)
	if !ok {
		panic("finding without a row in finding.Kinds: " + id)
	}
	return kind
}
