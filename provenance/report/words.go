package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/convrun/convrun/printable"
	"github.com/convrun/convrun/provenance"
)

func words(s string) Span  { return Span{Words: s} }
func mono(s string) Span   { return Span{Words: s, Code: true} }
func strong(s string) Span { return Span{Words: s, Tone: Strong} }

// see is a span that leads to the section or annex of that number.
func see(number string) Span {
	if strings.HasPrefix(number, "Annex") {
		return Span{Words: number, Section: number}
	}
	return Span{Words: "section " + number, Section: number}
}

func paragraph(s string) Block { return Block{Paragraph: Text{words(s)}} }

// nameVersion is a name and its version, or why there is no name.
func nameVersion(name, version string) Text {
	if !known(name) && !known(version) {
		return Text{value(name)}
	}
	return Text{value(name), words(" "), value(orWhy(version, "unknown: version not recorded"))}
}

// absent starts what stands for a fact that is not there; provenance.Unknown
// is the log's own.
var absent = []string{provenance.Unknown, "unknown:", "not stated:", "none:"}

// known tells whether s is a fact.
func known(s string) bool {
	for _, prefix := range absent {
		if strings.HasPrefix(s, prefix) {
			return false
		}
	}
	return s != ""
}

// value is a fact in words, or why there is none.
func value(s string) Span {
	s = orWhy(s, "unknown: the log has an empty value here")
	if !known(s) {
		return Span{Words: s, Tone: Missing}
	}
	return words(s)
}

// monoValue is value for what a machine reads.
func monoValue(s string) Span {
	v := value(s)
	v.Code = v.Tone != Missing
	return v
}

func orWhy(s, why string) string { return cmp.Or(s, why) }

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// templateDate writes a log's date as the template wants it, YYYY/MM/DD.
func templateDate(date string) string {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return cmp.Or(date, "unknown: the log has no date")
	}
	return day.Format("2006/01/02")
}

// count is "1 file" or "3 files".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, y := strings.CutSuffix(noun, "y"); y {
		noun = stem + "ie"
	}
	return thousands(int64(n)) + " " + noun + "s"
}

// thousands writes n with commas: 11,689,512.
func thousands[N int64 | uint64](n N) string {
	digits := fmt.Sprint(n)
	sign := ""
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		sign, digits = "-", rest
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// bytesOf writes a size exactly, and from 1 MiB on also so that it is seen.
func bytesOf[N int64 | uint64](n N) string {
	exact := thousands(n) + " bytes"
	for _, unit := range []struct {
		name string
		size float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if float64(n) >= unit.size {
			return fmt.Sprintf("%.1f %s (%s)", float64(n)/unit.size, unit.name, exact)
		}
	}
	return exact
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'g', 4, 64) + " s" }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// jsonOf writes a recorded value as compact JSON with sorted keys.
func jsonOf(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "unknown: the value cannot be shown: " + err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// digestLines has one line for each digest, or one that says why there is
// none.
func digestLines(digest map[string]string, a *provenance.Annotations) Cell {
	var c Cell
	for _, algorithm := range sortedKeys(digest) {
		c = append(c, Text{mono(algorithm + ":" + digest[algorithm])})
	}
	if c == nil {
		why := "no reason is recorded"
		if a != nil && a.Reason != "" {
			why = a.Reason
		}
		c = Cell{{value("unknown: " + strings.TrimPrefix(why, provenance.Unknown))}}
	}
	return c
}

// digests is digestLines on one line.
func digests(digest map[string]string, a *provenance.Annotations) Text {
	var t Text
	for i, line := range digestLines(digest, a) {
		if i > 0 {
			t = append(t, words(", "))
		}
		t = append(t, line...)
	}
	return t
}

// artifact is a file on one line: name, digests and remarks.
func artifact(rd provenance.ResourceDescriptor) Text {
	t := Text{monoValue(orWhy(rd.Name, "unknown: the file has no name in the log")), words(", ")}
	t = append(t, digests(rd.Digest, rd.Annotations)...)
	for _, remark := range remarks(rd) {
		t = append(t, words(", "))
		t = append(t, remark...)
	}
	return t
}

// remarks is what the log says of a file besides its name and digest.
func remarks(rd provenance.ResourceDescriptor) []Text {
	var list []Text
	if rd.MediaType != "" {
		list = append(list, Text{words("media type "), mono(rd.MediaType)})
	}
	a := rd.Annotations
	if a == nil {
		return list
	}
	if a.Size != nil {
		list = append(list, Text{words(bytesOf(*a.Size))})
	}
	if a.Format != "" {
		list = append(list, Text{words("format " + a.Format)})
	}
	if a.RequestedAs != "" {
		list = append(list, Text{words("asked for as "), mono(a.RequestedAs)})
	}
	if a.Declared {
		list = append(list, Text{words("named by the user")})
	}
	if a.Manifest != nil {
		list = append(list, append(Text{words("the whole model: ")}, manifest(*a.Manifest)...))
	}
	if a.Signature != nil {
		list = append(list, claimed(*a.Signature))
	}
	if a.Overwritten {
		list = append(list, Text{words("the run wrote to it afterwards: the digest is of what was read")})
	}
	if a.Reason != "" && len(rd.Digest) > 0 {
		list = append(list, Text{words(a.Reason)})
	}
	return list
}

// manifest is the digest of a model of several files, or why there is none.
func manifest(m provenance.Manifest) Text {
	if len(m.Digest) == 0 {
		return digests(nil, &provenance.Annotations{Reason: m.Reason})
	}
	t := append(digests(m.Digest, nil), words(" over "+count(m.Files, "file")))
	if m.Reason != "" {
		t = append(t, words(", "), value(m.Reason))
	}
	return t
}

// claimed is what a signature beside a model says, on one line.
func claimed(s provenance.ModelSignature) Text {
	t := append(Text{words("a signature lay beside it, not verified: "), monoValue(s.Name), words(", ")}, digests(s.Digest, nil)...)
	t = append(t, words(", of type "), monoValue(s.PredicateType), words(", by "), monoValue(s.Signer), words(", over "), monoValue(s.Subject), words(", "))
	return append(append(t, digests(s.SubjectDigest, nil)...), words(": "), value(s.Covers))
}

// commandLine joins arguments as a POSIX shell would read them.
func commandLine(argv []string) string {
	return strings.Join(each(argv, shellQuote), " ")
}

// shellQuote quotes one argument for a POSIX shell.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// pasteable is shellQuote for a command that a reader is told to run. A name
// that would not survive being shown, or that a program takes for a flag,
// must not be pasted as it stands.
func pasteable(name, placeholder string) string {
	if name == "" || printable.String(name) != name {
		return placeholder
	}
	if strings.HasPrefix(name, "-") {
		name = "./" + name
	}
	return shellQuote(name)
}
