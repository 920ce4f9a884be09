package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// hit is one thing seen in a file that bears on a verdict.
type hit struct {
	status Status
	mode   Mode
	text   string
}

// gravity orders what was seen: one operation that acts in training mode
// decides, whatever else is there; what is not known goes before what is
// harmless.
var gravity = []Verdict{
	{Status: Present, Mode: Training},
	{Status: Unknown},
	{Status: Present, Mode: Inference},
	{Status: Present, Mode: Latent},
	{Status: Folded},
	{Status: Absent},
	{Status: Absent, Mode: NotRepresentable},
}

// judge is the verdict over all that was seen; what decides comes first in the
// evidence.
func judge(op Operation, hits []hit) Verdict {
	var verdict Verdict
	var evidence []string
	for _, grave := range gravity {
		for _, h := range hits {
			if h.status != grave.Status || h.mode != grave.Mode {
				continue
			}
			if verdict.Status == "" {
				verdict = grave
			}
			if grave.Status == Absent && verdict.Status != Absent {
				continue // "none of …" would contradict what was found
			}
			evidence = append(evidence, clip(h.text))
		}
	}
	verdict.Operation = op
	verdict.Evidence = limit(evidence)
	return verdict
}

// limit keeps MaxEvidence entries, the last of which counts what was left out.
func limit(evidence []string) []string {
	if len(evidence) <= MaxEvidence {
		return slices.Clip(append([]string{}, evidence...))
	}
	kept := append([]string{}, evidence[:MaxEvidence-1]...)
	return append(kept, fmt.Sprintf("and %d more", len(evidence)-len(kept)))
}

// clip bounds a text that something from a file went into, and escapes what a
// terminal could take for a command.
func clip(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		q := strconv.Quote(s)
		s = q[1 : len(q)-1]
	}
	if len(s) <= maxEvidenceLength {
		return s
	}
	cut := maxEvidenceLength - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// maxShownName bounds one name within a text, in bytes.
const maxShownName = 80

// quote shows a name from a file: quoted, with what a terminal could take for
// a command escaped.
func quote(name string) string {
	return strconv.Quote(shorten(name))
}

// shown is a name from a file without quotation marks, for names that are
// usually words.
func shown(name string) string {
	q := quote(name)
	return q[1 : len(q)-1]
}

func shorten(name string) string {
	if len(name) <= maxShownName {
		return name
	}
	half := maxShownName/2 - 2
	return strings.ToValidUTF8(name[:half]+"…"+name[len(name)-half:], "")
}
