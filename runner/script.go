package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// byteOrderMarks tell an encoding, the longer ones first; Unicode 16.0, section
// 23.8.
var byteOrderMarks = []struct {
	mark, name string
	encoding   encoding.Encoding
}{
	{"\x00\x00\xfe\xff", "utf-32be", utf32.UTF32(utf32.BigEndian, utf32.UseBOM)},
	{"\xff\xfe\x00\x00", "utf-32le", utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)},
	{"\xef\xbb\xbf", "utf-8", unicode.UTF8BOM},
	{"\xfe\xff", "utf-16be", unicode.UTF16(unicode.BigEndian, unicode.UseBOM)},
	{"\xff\xfe", "utf-16le", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)},
}

// codingCookie declares an encoding in one of the first two lines, PEP 263; Emacs and
// Vim read the same.
var codingCookie = lazy(`^[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)`)

// emptyLine is what may stand before the line with the cookie.
var emptyLine = lazy(`^[ \t\f]*(?:#.*)?\r?$`)

// ScriptText gives a script's text and the encoding that it is in, by a byte
// order mark, by what it declares (PEP 263), else UTF-8. The error says why
// there is no text: nothing is guessed, and no byte replaced.
func ScriptText(data []byte) (text, name string, err error) {
	for _, bom := range byteOrderMarks {
		if bytes.HasPrefix(data, []byte(bom.mark)) {
			text, err := decoded(data, bom.encoding, bom.name)
			return text, bom.name, err
		}
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return "", "", errors.New("it is not text: there are zero bytes in it")
	}
	if declared := declaredEncoding(data); declared != "" && !isUTF8Name(declared) {
		known, err := ianaindex.IANA.Encoding(ianaName(declared))
		if err != nil || known == nil {
			return "", "", fmt.Errorf("it declares the encoding %q, which convrun does not know", declared)
		}
		text, err := decoded(data, known, declared)
		return text, declared, err
	}
	if !utf8.Valid(data) {
		return "", "", errors.New("it is not in UTF-8, and declares no other encoding")
	}
	return string(data), "utf-8", nil
}

// decoded refuses what the encoding cannot have: decoders write U+FFFD for it.
func decoded(data []byte, from encoding.Encoding, name string) (string, error) {
	text, err := from.NewDecoder().Bytes(data)
	if err == nil && bytes.ContainsRune(text, utf8.RuneError) {
		err = errors.New("there are bytes that it does not have")
	}
	if err != nil {
		return "", fmt.Errorf("it is not in the encoding %s that it says it is in: %w", name, err)
	}
	return string(text), nil
}

func declaredEncoding(data []byte) string {
	for range 2 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		if found := codingCookie().FindSubmatch(line); found != nil {
			return strings.ToLower(string(found[1]))
		}
		if !emptyLine().Match(line) {
			return ""
		}
		data = rest
	}
	return ""
}

func isUTF8Name(name string) bool {
	name = strings.ReplaceAll(name, "_", "-")
	return name == "utf-8" || name == "utf8" || strings.HasPrefix(name, "utf-8-")
}

// ianaName is IANA's for one of Python's codecs.
func ianaName(name string) string {
	name = strings.ReplaceAll(name, "_", "-")
	for python, iana := range map[string]string{"cp125": "windows-125", "iso8859-": "iso-8859-"} {
		if rest, ok := strings.CutPrefix(name, python); ok {
			return iana + rest
		}
	}
	switch name {
	case "latin-1", "latin1", "iso-latin-1":
		return "iso-8859-1"
	case "ascii":
		return "us-ascii"
	case "sjis", "shift-jis":
		return "shift_jis"
	case "eucjp":
		return "euc-jp"
	}
	return name
}

// NotebookSources are the sources of the cells of a Jupyter notebook (nbformat
// 4), without what they have printed and drawn.
func NotebookSources(data []byte) (string, error) {
	var notebook struct {
		Cells []struct {
			Type   string          `json:"cell_type"`
			Source json.RawMessage `json:"source"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(data, &notebook); err != nil {
		return "", fmt.Errorf("it is no Jupyter notebook: %w", err)
	}
	var text strings.Builder
	for i, cell := range notebook.Cells {
		fmt.Fprintf(&text, "# cell %d (%s)\n%s\n", i+1, cell.Type, cellSource(cell.Source))
	}
	return text.String(), nil
}

// cellSource reads a text, or a list of lines.
func cellSource(source json.RawMessage) string {
	var lines []string
	if json.Unmarshal(source, &lines) == nil {
		return strings.Join(lines, "")
	}
	var text string
	_ = json.Unmarshal(source, &text)
	return text
}
