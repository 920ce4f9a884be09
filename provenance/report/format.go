package report

import (
	"fmt"
	"io"
	"strings"
)

// Format is a kind of file that a Document can be written as.
type Format struct {
	// Name is the word that asks for it, Extension that of its files.
	Name, Extension string
	write           func(io.Writer, Document) error
}

// Formats lists what Write can write, the default first.
var Formats = []Format{
	{"md", ".md", writeMarkdown},
	{"html", ".html", writeHTML},
}

// Write writes d to w in the format of that name, which is one of Formats.
// The same document gives the same bytes.
func Write(w io.Writer, d Document, format string) error {
	for _, f := range Formats {
		if f.Name == format {
			if err := f.write(w, d.printed()); err != nil {
				return fmt.Errorf("write the report as %s: %w", format, err)
			}
			return nil
		}
	}
	names := each(Formats, func(f Format) string { return f.Name })
	return fmt.Errorf("report format %q is unknown: expected %s", format, strings.Join(names, " or "))
}
