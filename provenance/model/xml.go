package model

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of an XML text.
const (
	// maxXMLToken bounds one tag, or the text between two, in bytes.
	maxXMLToken = 4 << 20
	// maxXMLNumber bounds what is kept of text between tags, in bytes, roughly.
	maxXMLNumber = 64
	// maxXMLDepth bounds elements within each other.
	maxXMLDepth = 256
)

// xmlReader reads an XML text element by element; no more of it is in memory
// than its longest tag. Entities that the text defines are refused, so that
// nothing grows by them.
type xmlReader struct {
	*wire
	decoder *xml.Decoder
	text    *boundedText
	depth   int
	// inner is the text since the last tag that was asked for its own.
	inner []byte
}

func newXML(file io.ReaderAt, size int64, name string) *xmlReader {
	text := &boundedText{Reader: io.NewSectionReader(file, 0, size)}
	return &xmlReader{wire: newWire(file, size, name), decoder: xml.NewDecoder(text), text: text}
}

func (x *xmlReader) wrong(expected, found string) error {
	return x.malformed(x.decoder.InputOffset(), expected, found)
}

// token is the next tag; text, comments and the like are passed over. Prefixes
// are kept as they stand.
func (x *xmlReader) token() (xml.Token, error) {
	for {
		x.text.limit = x.decoder.InputOffset() + maxXMLToken
		token, err := x.decoder.RawToken()
		switch {
		case errors.Is(err, errLongValue):
			return nil, x.wrong(fmt.Sprintf("a tag or text of at most %d bytes", maxXMLToken), err.Error())
		case errors.Is(err, io.EOF):
			return nil, x.wrong("XML", "its end")
		case err != nil:
			return nil, x.wrong("XML", clip(err.Error()))
		}
		switch t := token.(type) {
		case xml.StartElement, xml.EndElement:
			return token, nil
		case xml.CharData:
			if len(x.inner) < maxXMLNumber {
				x.inner = append(x.inner, t[:min(len(t), maxXMLNumber)]...)
			}
		}
	}
}

// root is the text's outermost element.
func (x *xmlReader) root() (*xmlElement, error) {
	token, err := x.token()
	if err != nil {
		return nil, err
	}
	start, ok := token.(xml.StartElement)
	if !ok {
		return nil, x.wrong("an element", "the end of one")
	}
	return x.element(start)
}

// xmlElement is an element whose content has not been read.
type xmlElement struct {
	*xmlReader
	name       string // with its prefix
	attributes map[string]string
}

func (x *xmlReader) element(start xml.StartElement) (*xmlElement, error) {
	e := &xmlElement{xmlReader: x, name: plainName(start.Name), attributes: make(map[string]string, len(start.Attr))}
	for _, a := range start.Attr {
		name := plainName(a.Name)
		if _, twice := e.attributes[name]; twice {
			return nil, x.wrong("each attribute once", quote(name)+" twice")
		}
		e.attributes[name] = a.Value
	}
	return e, nil
}

func plainName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// children calls visit for each element within e; visit reads its content,
// with children or skip.
func (e *xmlElement) children(visit func(*xmlElement) error) error {
	if e.depth++; e.depth > maxXMLDepth {
		return e.wrong(fmt.Sprintf("at most %d elements within each other", maxXMLDepth), "more")
	}
	for {
		token, err := e.token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.EndElement:
			if plainName(t.Name) != e.name {
				return e.wrong("the end of "+quote(e.name), "that of "+quote(plainName(t.Name)))
			}
			e.depth--
			return nil
		case xml.StartElement:
			child, err := e.element(t)
			if err != nil {
				return err
			}
			if err := visit(child); err != nil {
				return err
			}
		}
	}
}

// once is children for an element in which none of these may stand twice: of
// two, readers would take different ones.
func (e *xmlElement) once(visit map[string]func(*xmlElement) error) error {
	seen := map[string]bool{}
	return e.children(func(child *xmlElement) error {
		read, ok := visit[child.name]
		if !ok {
			return child.skip()
		}
		if seen[child.name] {
			return e.wrong("one "+quote(child.name), "two")
		}
		seen[child.name] = true
		return read(child)
	})
}

// each is children for an element in which only those of a name count.
func (e *xmlElement) each(name string, visit func(*xmlElement) error) error {
	return e.children(func(child *xmlElement) error {
		if child.name != name {
			return child.skip()
		}
		return visit(child)
	})
}

// skip reads over the content.
func (e *xmlElement) skip() error {
	return e.children(func(child *xmlElement) error { return child.skip() })
}

// integer is an attribute's value.
func (e *xmlElement) integer(name string) (int64, error) {
	v, err := strconv.ParseInt(e.attributes[name], 10, 64)
	if err != nil {
		return 0, e.wrong(fmt.Sprintf("an integer in %s of %s", name, quote(e.name)), quote(e.attributes[name]))
	}
	return v, nil
}

// integers are several attributes' values, in order.
func (e *xmlElement) integers(names ...string) (values []int64, err error) {
	for _, name := range names {
		v, err := e.integer(name)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// number is the text within e, an integer.
func (e *xmlElement) number() (int64, error) {
	e.inner = e.inner[:0]
	if err := e.skip(); err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(e.inner)), 10, 64)
	if err != nil {
		return 0, e.wrong("an integer within "+quote(e.name), quote(string(e.inner)))
	}
	return v, nil
}
