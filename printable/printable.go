// Package printable makes text from strangers safe to show: file names,
// arguments, environment variables, model metadata, certificate fields.
//
// It replaces what could move the cursor, hide or reorder text by a visible
// escape, and changes nothing else. It knows no output format: HTML, Markdown
// and shells need their own quoting on top. It is for showing and cannot be
// undone; the lossless form of a file name is its URI.
package printable

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String returns s as one line. Control characters, bidirectional controls,
// invisible characters, every space but U+0020, unassigned and private code
// points become \t, \n, \r, \xNN, \uNNNN or \UNNNNNNNN, and so does each byte
// that is not UTF-8 (\xNN). A backslash of the text itself stays as it is, so
// that paths of Windows stay readable.
func String(s string) string {
	return quote(s, func(rune) bool { return false })
}

// Lines is String for text of several lines: line feeds and tabs stay, and a
// carriage return before a line feed, as Windows ends lines, is dropped.
func Lines(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return quote(s, func(r rune) bool { return r == '\n' || r == '\t' })
}

func quote(s string, keep func(rune) bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case visible(r) || keep(r):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
		i += size
	}
	return b.String()
}

// visible tells whether r shows as itself wherever text is shown.
// unicode.IsPrint leaves out controls, formats (bidi, zero-width), separators,
// private and unassigned code points; what it lets through and still draws
// nothing are the fillers and selectors of DerivedCoreProperties'
// Default_Ignorable_Code_Point.
func visible(r rune) bool {
	return unicode.IsPrint(r) &&
		!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) &&
		!unicode.Is(unicode.Variation_Selector, r) &&
		r != '\u2800' // BRAILLE PATTERN BLANK: a symbol without any ink
}

func escape(r rune) string {
	switch {
	case r == '\t':
		return `\t`
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	default:
		return fmt.Sprintf(`\U%08x`, r)
	}
}
