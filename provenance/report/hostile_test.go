package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

// payload is an attempt at everything a format could act upon.
const payload = "</code></td></table></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>" +
	"`|\\|``` ~~~ **b** _i_ [l](javascript:alert(1)) ![i](https://evil.example/i) <https://evil.example> https://evil.example www.evil.example a@evil.example " +
	"&lt;&#60; $x$ {{.}} <!-- - 1. # " + "\r\n# heading\n\n- item\n```\n===\n" +
	"\x00\x1b[31m\x7f\u009b\u202e\u2066\u200b\ufeff\u2028\u2029\U000e0041\xff\xc3"

// planter fills a value with strings that each can be found again.
type planter struct {
	payload string
	// paths maps a marker to the field that it was planted in.
	paths map[string]string
	// keep tells which fields stay as they are, longest how many elements of a
	// slice do; 0 is all.
	keep    func(path string) bool
	longest int
}

func (p *planter) mark(path string) string {
	marker := fmt.Sprintf("q%dz", len(p.paths))
	p.paths[marker] = path
	return marker + p.payload + marker
}

// plant puts a marked string into every string of v, after giving every
// pointer, slice and map something to hold.
func (p *planter) plant(v reflect.Value, path string) {
	if p.keep != nil && p.keep(path) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(p.mark(path))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		p.plant(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			p.plant(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		if p.longest > 0 && v.Len() > p.longest {
			v.SetLen(p.longest)
		}
		for i := range v.Len() {
			p.plant(v.Index(i), path+"[]")
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		p.plant(key, path+".key")
		p.plant(elem, path+".value")
		v.SetMapIndex(key, elem)
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]any{p.mark(path): []any{p.mark(path), nil, 1.5, true}}))
	}
}

// notShown are the fields that the document leaves out on purpose.
var notShown = []string{
	"st.Type",          // always the same
	"st.PredicateType", // always the same
	// A file on one line has its name; its URI and role stand in the tables.
	"st.Predicate.Conversion.Supersedes.URI",
	"st.Predicate.Conversion.Supersedes.MediaType",
	"st.Predicate.Conversion.Supersedes.Annotations",
	"st.Predicate.Converter.Command.Executable.URI",
	"st.Predicate.Converter.Command.Executable.Annotations.Role",
	"st.Predicate.FrozenModels[].Parts[].URI",
	"st.Predicate.FrozenModels[].Parts[].Annotations.Role",
	"st.Predicate.Run.Processes[].Executable.URI",
	"st.Predicate.Run.Processes[].Executable.Annotations.Role",
	"st.Predicate.Capture.Configuration[].URI",
	"st.Predicate.Capture.Configuration[].Annotations.Role",
}

func planted(text string) (Document, map[string]string) {
	p := &planter{payload: text, paths: map[string]string{}}
	var st provenance.Statement
	var sig Signature
	p.plant(reflect.ValueOf(&st).Elem(), "st")
	p.plant(reflect.ValueOf(&sig).Elem(), "sig")
	return New(&st, sig), p.paths
}

// A field that is added to the log must be shown, or named in notShown.
func TestEveryFieldIsShown(t *testing.T) {
	doc, paths := planted("")
	for _, f := range Formats {
		out := string(written(t, doc, f.Name))
		for marker, path := range paths {
			skip := slices.ContainsFunc(notShown, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
			if !skip && !strings.Contains(out, marker) {
				t.Errorf("%s: %s does not show", f.Name, path)
			}
		}
	}
}

func TestHostileText(t *testing.T) {
	doc, paths := planted(payload)
	if len(paths) < 150 {
		t.Fatalf("only %d strings planted", len(paths))
	}
	checkStructure(t, doc)
	for _, f := range Formats {
		checkCharacters(t, written(t, doc, f.Name))
	}
	checkHTML(t, doc)
	checkMarkdown(t, doc)
}

// TestHostileStatement writes the canned hostile statement: hostile in every
// string whose words the specification leaves open.
func TestHostileStatement(t *testing.T) {
	path := filepath.Join(statements, "hostile.json")
	if *update {
		st := statement(t, filepath.Join(statements, "torch.json"))
		closed := []string{".Type", ".PredicateType", ".Operation", ".Status", ".Mode", ".Verdict", ".Severity", ".Method"}
		p := &planter{
			payload: "<script>alert(1)</script>\"'`|\n# [l](javascript:alert(1)) www.evil.example \x1b[31m\u202e\u200b",
			paths:   map[string]string{},
			longest: len(model.Operations),
			keep: func(path string) bool {
				return slices.ContainsFunc(closed, func(suffix string) bool { return strings.HasSuffix(path, suffix) })
			},
		}
		p.plant(reflect.ValueOf(st).Elem(), "st")
		data, err := json.MarshalIndent(st, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkHTML(t, New(statement(t, path), Signature{}))
}

// checkStructure holds what the writers rely on: strangers' text only in
// values, no empty row, no reference into nothing, whole rows.
func checkStructure(t *testing.T, d Document) {
	t.Helper()
	ours := func(what, s string) {
		if s == "" || strings.ContainsAny(s, "<`\x00\x1b") {
			t.Errorf("%s %q is empty or holds text from the log", what, s)
		}
	}
	numbers := map[string]bool{}
	var sections []Section
	var collect func([]Section)
	collect = func(list []Section) {
		for _, s := range list {
			if numbers[s.Number] {
				t.Errorf("section number %s is there twice", s.Number)
			}
			numbers[s.Number] = true
			sections = append(sections, s)
			collect(s.Sections)
		}
	}
	collect(d.Sections)
	line := func(where string, text Text) {
		all := ""
		for _, s := range text {
			all += s.Words
			if s.Section != "" && !numbers[s.Section] {
				t.Errorf("%s refers to section %s, which is not there", where, s.Section)
			}
		}
		if strings.TrimSpace(all) == "" {
			t.Errorf("%s has an empty line", where)
		}
	}
	cell := func(where string, c Cell) {
		if len(c) == 0 {
			t.Errorf("%s is empty", where)
		}
		for _, text := range c {
			line(where, text)
		}
	}
	facts := func(list []Fact) {
		for _, f := range list {
			ours("label", f.Label)
			cell(f.Label, f.Value)
		}
	}
	ours("title", d.Title)
	facts(d.Information)
	for _, n := range d.Notices {
		line("notice", n.Text)
	}
	for _, s := range sections {
		ours("title", s.Title)
		if len(s.Blocks)+len(s.Sections) == 0 {
			t.Errorf("section %s is empty", s.Number)
		}
		for _, b := range s.Blocks {
			facts(b.Facts)
			for _, item := range b.List {
				line("section "+s.Number, item)
			}
			if b.Paragraph != nil {
				line("section "+s.Number, b.Paragraph)
			}
			if b.Code != nil {
				ours("language", b.Code.Language)
			}
			if b.Table == nil {
				continue
			}
			ours("caption", b.Table.Caption)
			for _, r := range b.Table.Rows {
				if len(r.Cells) != len(b.Table.Columns) {
					t.Errorf("%s: a row has %d cells, expected %d", b.Table.Caption, len(r.Cells), len(b.Table.Columns))
				}
				for _, c := range r.Cells {
					cell(b.Table.Caption, c)
				}
			}
		}
	}
}

func TestStructure(t *testing.T) {
	for name, doc := range documents(t) {
		t.Run(name, func(t *testing.T) { checkStructure(t, doc) })
	}
	t.Run("nothing", func(t *testing.T) {
		doc := New(nil, Signature{})
		checkStructure(t, doc)
		checkHTML(t, doc)
	})
}

func checkCharacters(t *testing.T, out []byte) {
	t.Helper()
	if !utf8.Valid(out) {
		t.Fatal("not UTF-8")
	}
	for i, r := range string(out) {
		if r == '\n' || r == '\t' {
			continue
		}
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			t.Fatalf("%U at byte %d: …%q", r, i, out[max(0, i-40):i])
		}
	}
}

// text lists everything that d says, in reading order.
func text(d Document) []string {
	d = d.printed()
	var out []string
	line := func(t Text) {
		for _, s := range t {
			out = append(out, s.Words)
		}
	}
	facts := func(list []Fact) {
		for _, f := range list {
			out = append(out, f.Label)
			for _, t := range f.Value {
				line(t)
			}
		}
	}
	var contents, body func([]Section)
	contents = func(list []Section) {
		for _, s := range list {
			out = append(out, s.Number, s.Title)
			contents(s.Sections)
		}
	}
	body = func(list []Section) {
		for _, s := range list {
			out = append(out, s.Number, s.Title)
			for _, b := range s.Blocks {
				line(b.Paragraph)
				for _, item := range b.List {
					line(item)
				}
				facts(b.Facts)
				if b.Code != nil {
					out = append(out, b.Code.Text)
				}
				if b.Table != nil {
					out = append(append(out, b.Table.Caption), b.Table.Columns...)
					for _, r := range b.Table.Rows {
						for _, c := range r.Cells {
							for _, t := range c {
								line(t)
							}
						}
					}
				}
			}
			body(s.Sections)
		}
	}
	out = append(out, d.Title)
	line(d.Subtitle)
	for _, n := range d.Notices {
		line(n.Text)
	}
	facts(d.Information)
	out = append(out, "Contents")
	contents(d.Sections)
	body(d.Sections)
	return out
}

// sameText compares what a format says with what d says, whitespace and the
// colon after a label aside.
func sameText(t *testing.T, d Document, got string) {
	t.Helper()
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	got = squeeze(got)
	for _, want := range text(d) {
		want = squeeze(want)
		if !strings.HasPrefix(got, want) {
			got = strings.TrimPrefix(got, ":")
		}
		if !strings.HasPrefix(got, want) {
			t.Fatalf("expected %q, found %q", want, got[:min(len(got), len(want)+80)])
		}
		got = got[len(want):]
	}
	if got != "" {
		t.Fatalf("more text than the document has: %q", got)
	}
}

// page is what an XML reader finds in a page; the writers close every element
// and quote every attribute, so that a page is XML besides being HTML.
type page struct {
	text, style, policy string
}

// readPage refuses every element and attribute that is not in allowed, and
// every link that leads out of the page.
func readPage(t *testing.T, data []byte, allowed map[string]string) page {
	t.Helper()
	var p page
	var text, style strings.Builder
	var open []string
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			p.text, p.style = text.String(), style.String()
			return p
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			attributes, ok := allowed[token.Name.Local]
			if !ok {
				t.Fatalf("element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if !slices.Contains(strings.Fields(attributes), a.Name.Local) {
					t.Fatalf("attribute %s=%q of %s", a.Name.Local, a.Value, token.Name.Local)
				}
				if a.Name.Local == "href" && !strings.HasPrefix(a.Value, "#") {
					t.Fatalf("link to %q", a.Value)
				}
				if a.Name.Local == "content" && strings.HasPrefix(a.Value, "default-src") {
					p.policy = a.Value
				}
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			switch {
			case slices.Contains(open, "style"):
				style.Write(token)
			case !slices.Contains(open, "head"):
				text.Write(token)
				text.WriteByte(' ')
			}
		}
	}
}

var htmlElements = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "",
	"header": "", "nav": "aria-labelledby", "main": "", "section": "id", "h1": "", "h2": "id", "h3": "", "h4": "",
	"p": "class", "ul": "", "li": "", "dl": "", "dt": "", "dd": "", "div": "class role aria-label tabindex", "span": "class", "a": "href", "code": "class", "pre": "tabindex",
	"table": "class", "caption": "", "thead": "", "tbody": "", "tr": "class", "th": "scope", "td": "",
}

func checkHTML(t *testing.T, d Document) {
	t.Helper()
	out := written(t, d, "html")
	checkCharacters(t, out)
	p := readPage(t, out, htmlElements)
	sameText(t, d, p.text)
	digest := sha256.Sum256([]byte(p.style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'; base-uri 'none'; form-action 'none'"
	if p.policy != want {
		t.Errorf("policy is %q, expected %q", p.policy, want)
	}
}

// markdownElements are what a Markdown reader may make of a report.
var markdownElements = map[string]string{
	"root": "", "h1": "", "h2": "", "h3": "", "h4": "", "p": "", "ul": "", "li": "", "strong": "", "code": "", "a": "href", "br": "", "blockquote": "",
	"table": "", "thead": "", "tbody": "", "tr": "", "th": "", "td": "", "pre": "lang",
}

// checkMarkdown lets GitHub's own reader read the Markdown, raw HTML and all.
func checkMarkdown(t *testing.T, d Document) {
	t.Helper()
	const tool = "cmark-gfm"
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatalf("%s is required: %v (Debian: apt-get install %s)", tool, err, tool)
		}
		t.Skipf("no %s: %v", tool, err)
	}
	out := written(t, d, "md")
	checkCharacters(t, out)
	cmd := exec.Command(tool, "--unsafe", "--github-pre-lang", "-e", "table", "-e", "autolink", "-e", "strikethrough", "-e", "tasklist")
	cmd.Stdin = bytes.NewReader(out)
	html, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	p := readPage(t, []byte("<root>"+string(html)+"</root>"), markdownElements)
	sameText(t, d, p.text)
}

// TestSameFacts holds that every format tells all that the document holds, and
// nothing else.
func TestSameFacts(t *testing.T) {
	for name, doc := range documents(t) {
		t.Run(name+"/html", func(t *testing.T) { checkHTML(t, doc) })
		t.Run(name+"/markdown", func(t *testing.T) { checkMarkdown(t, doc) })
	}
}

// TestMarkdownNoise plants made-up lines out of what Markdown acts upon.
func TestMarkdownNoise(t *testing.T) {
	pieces := []string{"`", "``", "|", "\\", "*", "**", "_", "~~", "[", "]", "(", ")", "<", ">", "&", "&lt;", "#", "!", "$", "-", "+", "1.", "=", ":", "//", "http://x", "www.", "www.x.yz", "a@b.cd", "mailto:", "\n", "\t", " ", "    ", "a", "é", "<b>", "</b>", "<!--", "-->", "^", "{", "\x1b", "---", "[x]", "ftp://x.yz"}
	random := rand.New(rand.NewPCG(1, 2))
	noise := func() Text {
		var t Text
		for range 1 + random.IntN(3) {
			s := "m"
			if random.IntN(2) == 0 {
				s = ""
			}
			for range 1 + random.IntN(8) {
				s += pieces[random.IntN(len(pieces))]
			}
			t = append(t, Span{Words: s, Code: random.IntN(3) == 0, Tone: []Tone{Neutral, Bad, Missing}[random.IntN(3)]})
		}
		return t
	}
	for range 30 {
		s := Section{Number: "1", Title: "Noise"}
		for range 20 {
			s.Blocks = append(s.Blocks,
				Block{Paragraph: noise()},
				Block{List: []Text{noise(), noise()}},
				Block{Facts: []Fact{{"Label", Cell{noise(), noise()}}}},
				Block{Table: &Table{"Caption", []string{"A", "B"}, []Row{{Cells: []Cell{{noise()}, {noise(), noise()}}}, {Group: true, Cells: []Cell{{noise()}, {noise()}}}}}},
				Block{Code: &Code{"text", noise()[0].Words + "\n" + noise()[0].Words + "\n"}},
			)
		}
		checkMarkdown(t, Document{Title: "Noise", Subtitle: noise(), Notices: []Notice{{Bad, noise()}}, Sections: []Section{s}})
	}
}

// FuzzHTML plants any text everywhere: the page stays well-formed, of known
// elements, and says what the document says.
func FuzzHTML(f *testing.F) {
	f.Add(payload)
	f.Add("")
	f.Add("]]>--><![CDATA[")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 500 {
			t.Skip("planted in hundreds of places, this only takes longer")
		}
		doc, _ := planted(s)
		checkHTML(t, doc)
		checkCharacters(t, written(t, doc, "md"))
	})
}
