package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"
)

var (
	//go:embed html.css
	htmlStyle string
	//go:embed html.tmpl
	htmlPage string
)

// htmlTemplate escapes every value by its place (html/template).
var htmlTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"anchor":  anchor,
	"deeper":  func(level int) int { return level + 1 },
	"level":   func(level int, s []Section) leveled { return leveled{level, s} },
	"heading": func(row Row) []Cell { return row.Cells[:min(1, len(row.Cells))] },
	"data":    func(row Row) []Cell { return row.Cells[min(1, len(row.Cells)):] },
}).Parse(htmlPage))

// leveled is sections with the level of their headings.
type leveled struct {
	Level    int
	Sections []Section
}

// anchor is the id of the section of that number.
func anchor(number string) string {
	return "s-" + strings.NewReplacer(".", "-", " ", "-").Replace(number)
}

// writeHTML writes one file that needs, loads and runs nothing: the policy in
// it allows its own style sheet, by digest, and nothing else.
func writeHTML(w io.Writer, d Document) error {
	digest := sha256.Sum256([]byte(htmlStyle))
	return htmlTemplate.Execute(w, struct {
		Document
		Style  template.CSS
		Policy string
	}{
		d,
		template.CSS(htmlStyle),
		"default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'; base-uri 'none'; form-action 'none'",
	})
}
