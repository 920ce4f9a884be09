package report

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
)

// writeMarkdown writes GitHub Flavored Markdown,
// https://github.github.com/gfm/. Every character with a meaning in Markdown
// is escaped in text from d, and addresses are kept from becoming links.
func writeMarkdown(w io.Writer, d Document) error {
	m := &markdown{anchors: map[string]string{}}
	m.anchor(d.Sections)
	m.document(d)
	_, err := w.Write(m.out.Bytes())
	return err
}

type markdown struct {
	out bytes.Buffer
	// anchors maps a section's number to GitHub's anchor of its heading.
	anchors map[string]string
}

func (m *markdown) anchor(sections []Section) {
	for _, s := range sections {
		m.anchors[s.Number] = headingAnchor(s.Number + " " + s.Title)
		m.anchor(s.Sections)
	}
}

// headingAnchor is GitHub's anchor of a heading: lower case, letters, digits,
// hyphens and underscores, and hyphens for spaces.
func headingAnchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func (m *markdown) document(d Document) {
	fmt.Fprintf(&m.out, "# %s\n\n", mdEscape(d.Title))
	fmt.Fprintf(&m.out, "%s\n\n", m.line(d.Subtitle))
	for _, n := range d.Notices {
		fmt.Fprintf(&m.out, "> %s\n\n", m.line(n.Text))
	}
	m.facts(d.Information)
	fmt.Fprintf(&m.out, "## Contents\n\n")
	m.contents(d.Sections, "")
	m.out.WriteByte('\n')
	m.sections(d.Sections, "##")
}

func (m *markdown) contents(sections []Section, indent string) {
	for _, s := range sections {
		fmt.Fprintf(&m.out, "%s- [%s %s](#%s)\n", indent, mdEscape(s.Number), mdEscape(s.Title), m.anchors[s.Number])
		m.contents(s.Sections, indent+"  ")
	}
}

func (m *markdown) sections(sections []Section, heading string) {
	for _, s := range sections {
		fmt.Fprintf(&m.out, "%s %s %s\n\n", heading, mdEscape(s.Number), mdEscape(s.Title))
		for _, b := range s.Blocks {
			m.block(b)
		}
		m.sections(s.Sections, heading+"#")
	}
}

func (m *markdown) block(b Block) {
	switch {
	case b.Table != nil:
		m.table(*b.Table)
	case b.Code != nil:
		m.code(*b.Code)
	case b.Facts != nil:
		m.facts(b.Facts)
	case b.List != nil:
		for _, item := range b.List {
			fmt.Fprintf(&m.out, "- %s\n", m.line(item))
		}
		m.out.WriteByte('\n')
	default:
		fmt.Fprintf(&m.out, "%s\n\n", m.line(b.Paragraph))
	}
}

func (m *markdown) facts(facts []Fact) {
	for _, f := range facts {
		fmt.Fprintf(&m.out, "- **%s:** %s\n", mdEscape(f.Label), m.cell(f.Value))
	}
	m.out.WriteByte('\n')
}

func (m *markdown) table(t Table) {
	fmt.Fprintf(&m.out, "**%s**\n\n", mdEscape(t.Caption))
	fmt.Fprintf(&m.out, "| %s |\n", strings.Join(each(t.Columns, mdEscape), " | "))
	fmt.Fprintf(&m.out, "|%s\n", strings.Repeat(" --- |", len(t.Columns)))
	for _, row := range t.Rows {
		cells := each(row.Cells, m.cell)
		if row.Group && len(cells) > 0 {
			cells[0] = m.cell(emphasized(row.Cells[0]))
		}
		fmt.Fprintf(&m.out, "| %s |\n", strings.Join(cells, " | "))
	}
	m.out.WriteByte('\n')
}

// emphasized makes the plain words of c strong.
func emphasized(c Cell) Cell {
	return each(c, func(t Text) Text {
		return each(t, func(s Span) Span {
			if s.Tone == Neutral {
				s.Tone = Strong
			}
			return s
		})
	})
}

func (m *markdown) cell(c Cell) string {
	return strings.Join(each(c, m.line), "<br/>")
}

// line writes a line that cannot open a block.
func (m *markdown) line(t Text) string {
	var b strings.Builder
	last := ""
	for _, s := range t {
		next := m.span(s)
		if marker := next[:min(1, len(next))]; strings.ContainsAny(marker, "`*") && strings.HasSuffix(last, marker) {
			b.WriteString(mdNothing) // two spans must not become one
		}
		b.WriteString(next)
		last = next
	}
	line := b.String()
	switch {
	case strings.HasPrefix(line, "-"), strings.HasPrefix(line, "+"): // a list item or a rule
		return `\` + line
	case strings.HasPrefix(line, " "): // with three more, a block of code
		return "&#32;" + line[1:]
	}
	return ordered.ReplaceAllString(line, `$1\$2$3`)
}

// ordered is how an ordered list opens. All other blocks open with characters
// that mdSpecial escapes anywhere.
var ordered = regexp.MustCompile(`^([0-9]+)([.)])( |$)`)

func (m *markdown) span(s Span) string {
	text := mdEscape(s.Words)
	switch {
	case s.Code:
		return mdCode(s.Words)
	case s.Section != "" && m.anchors[s.Section] != "":
		return "[" + text + "](#" + m.anchors[s.Section] + ")"
	case s.Tone != Strong && s.Tone != Bad:
		return text
	case wordEnds.MatchString(s.Words):
		return "**" + text + "**"
	}
	return "<strong>" + text + "</strong>"
}

// wordEnds matches what asterisks can always make strong (GFM 6.4: flanking).
var wordEnds = regexp.MustCompile(`^[A-Za-z0-9](.*[A-Za-z0-9])?$`)

// mdCode writes a code span. Backticks cannot hold a backtick, and in a table
// neither a bar nor a backslash safely (GFM 4.10 splits cells first); such
// text goes, escaped, between tags instead.
func mdCode(s string) string {
	if strings.ContainsAny(s, "`|\\") || s != strings.TrimSpace(s) || s == "" {
		return "<code>" + mdEscape(s) + "</code>"
	}
	return "`" + s + "`"
}

// mdEscape escapes one line of text for any place of a paragraph, heading or
// table cell.
func mdEscape(s string) string { return mdSpecial.Replace(s) }

// mdNothing shows nothing and ends what stands before it.
const mdNothing = "<!-- -->"

// mdSpecial also breaks what GFM 6.9 turns into links by itself: "www.",
// "scheme://" and e-mail addresses.
var mdSpecial = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`,
	`#`, `\#`, `~`, `\~`, `$`, `\$`, `!`, `\!`,
	`|`, `&#124;`, `<`, `&lt;`, `>`, `&gt;`, `&`, `&amp;`,
	`://`, `\://`, `www.`, `www\.`, `WWW.`, `WWW\.`, `@`, `@`+mdNothing,
)

// code writes a fenced block whose fence is longer than any run of backticks
// inside it.
func (m *markdown) code(c Code) {
	longest, run := 2, 0
	for _, r := range c.Text {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	fmt.Fprintf(&m.out, "%s%s\n%s\n%s\n\n", fence, c.Language, strings.TrimSuffix(c.Text, "\n"), fence)
}
