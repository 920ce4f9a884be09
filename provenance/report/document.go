package report

import "github.com/convrun/convrun/printable"

// Document is a report before it has a format. It holds words and their
// structure and nothing that only one format could show, so that every writer
// of Formats tells the same.
type Document struct {
	Title string
	// Subtitle says which conversion the document is about.
	Subtitle Text
	// Notices are what a reader must not miss, worst first.
	Notices []Notice
	// Information is the template's first page.
	Information []Fact
	Sections    []Section
}

// Section is a numbered part of a Document.
type Section struct {
	// Number is "4", "4.2" or, for an annex, "Annex A"; it is unique.
	Number string
	// Title never holds text from the log.
	Title    string
	Blocks   []Block
	Sections []Section
}

// Block is one piece of a Section; exactly one field is set.
type Block struct {
	Paragraph Text
	List      []Text
	Facts     []Fact
	Table     *Table
	Code      *Code
}

// Fact is a label, which never holds text from the log, and what is known.
type Fact struct {
	Label string
	Value Cell
}

// Table has a caption and rows of as many cells as there are columns; the
// first cell of a row is its heading.
type Table struct {
	Caption string
	Columns []string
	Rows    []Row
}

// Row of a Table.
type Row struct {
	// Group marks a row that opens a group of the rows below it.
	Group bool
	Cells []Cell
}

// Cell holds one or more lines.
type Cell []Text

// Code is text that is shown as it is, line by line.
type Code struct {
	// Language names the syntax: a word of the Markdown info string.
	Language string
	Text     string
}

// Notice stands out from the text around it.
type Notice struct {
	Tone Tone
	Text Text
}

// Text is one line of spans without anything between them.
type Text []Span

// Span is a run of words of one kind.
type Span struct {
	Words string
	// Code is for what a machine reads: digests, paths, parameters.
	Code bool
	Tone Tone
	// Section is the number of the section that the words lead to, or empty.
	Section string
}

// Tone is how a Span or Notice is meant. The words alone must say it too.
type Tone string

// The tones. Missing is for what could not be told.
const (
	Neutral Tone = ""
	Good    Tone = "good"
	Caution Tone = "caution"
	Bad     Tone = "bad"
	Missing Tone = "missing"
	Strong  Tone = "strong"
)

// printed returns a copy of d in which nothing controls a terminal, hides or
// reorders text: the one door between strangers' text and every writer.
func (d Document) printed() Document {
	return Document{
		Title:       printable.String(d.Title),
		Subtitle:    d.Subtitle.printed(),
		Notices:     each(d.Notices, Notice.printed),
		Information: each(d.Information, Fact.printed),
		Sections:    each(d.Sections, Section.printed),
	}
}

func (s Section) printed() Section {
	return Section{
		Number:   printable.String(s.Number),
		Title:    printable.String(s.Title),
		Blocks:   each(s.Blocks, Block.printed),
		Sections: each(s.Sections, Section.printed),
	}
}

func (b Block) printed() Block {
	out := Block{
		Paragraph: b.Paragraph.printed(),
		List:      each(b.List, Text.printed),
		Facts:     each(b.Facts, Fact.printed),
	}
	if b.Table != nil {
		out.Table = &Table{
			Caption: printable.String(b.Table.Caption),
			Columns: each(b.Table.Columns, printable.String),
			Rows:    each(b.Table.Rows, Row.printed),
		}
	}
	if b.Code != nil {
		out.Code = &Code{Language: printable.String(b.Code.Language), Text: printable.Lines(b.Code.Text)}
	}
	return out
}

func (f Fact) printed() Fact {
	return Fact{Label: printable.String(f.Label), Value: f.Value.printed()}
}

func (r Row) printed() Row { return Row{Group: r.Group, Cells: each(r.Cells, Cell.printed)} }

func (c Cell) printed() Cell { return each(c, Text.printed) }

func (n Notice) printed() Notice { return Notice{Tone: n.Tone, Text: n.Text.printed()} }

func (t Text) printed() Text { return each(t, Span.printed) }

func (s Span) printed() Span {
	s.Words = printable.String(s.Words)
	s.Section = printable.String(s.Section)
	return s
}

// each returns f of every element; nil stays nil.
func each[S ~[]E, E, R any](list S, f func(E) R) []R {
	if list == nil {
		return nil
	}
	out := make([]R, len(list))
	for i, e := range list {
		out[i] = f(e)
	}
	return out
}
