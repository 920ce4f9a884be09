package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Limits of a JSON text.
const (
	// maxJSONValue bounds one string or number, in bytes: what trainers write
	// into metadata is long, names are not.
	maxJSONValue = 16 << 20
	// maxJSONDepth bounds values within each other.
	maxJSONDepth = 256
	// maxJSONKept bounds what the keys of open objects and all strings that are
	// given out take, in bytes, roughly.
	maxJSONKept = 128 << 20
)

// jsonReader reads a JSON text value by value: no more of it is in memory than
// its longest string. Numbers stay as they are written.
type jsonReader struct {
	decoder *json.Decoder
	text    *boundedText
	name    string // for errors
	start   int64  // of the text in the file
	depth   int
	kept    int64
}

// boundedText lets the decoder see at most limit bytes, so that it cannot be
// made to collect a value without end.
type boundedText struct {
	io.Reader
	read, limit int64
}

var errLongValue = errors.New("a longer one")

func (b *boundedText) Read(p []byte) (int, error) {
	if b.read >= b.limit {
		return 0, errLongValue
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.limit-b.read)])
	b.read += int64(n)
	return n, err
}

// newJSON reads the text that fills s.
func newJSON(file io.ReaderAt, s span, name string) *jsonReader {
	text := &boundedText{Reader: io.NewSectionReader(file, s.start, s.len())}
	decoder := json.NewDecoder(text)
	decoder.UseNumber()
	return &jsonReader{decoder: decoder, text: text, name: name, start: s.start}
}

func (j *jsonReader) malformed(expected, found string) error {
	return fmt.Errorf("%s: at byte %d: expected %s, found %s", j.name, j.start+j.decoder.InputOffset(), expected, found)
}

func (j *jsonReader) token() (json.Token, error) {
	j.text.limit = j.decoder.InputOffset() + maxJSONValue
	token, err := j.decoder.Token()
	switch {
	case errors.Is(err, errLongValue):
		return nil, j.malformed(fmt.Sprintf("a JSON value of at most %d bytes", maxJSONValue), err.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, j.malformed("JSON", "its end")
	case err != nil:
		return nil, j.malformed("JSON", clip(err.Error()))
	}
	return token, nil
}

// open reads the bracket that an object or array starts with.
func (j *jsonReader) open(bracket json.Delim, what string) error {
	token, err := j.token()
	if err != nil {
		return err
	}
	if token != bracket {
		return j.malformed(what, kindOf(token))
	}
	if j.depth++; j.depth > maxJSONDepth {
		return j.malformed(fmt.Sprintf("at most %d values within each other", maxJSONDepth), "more")
	}
	return nil
}

func (j *jsonReader) close() error {
	j.depth--
	_, err := j.token()
	return err
}

// object calls visit for each key of an object; visit reads the value. A key
// that stands twice is an error: two readers would see two things.
func (j *jsonReader) object(visit func(key string) error) error {
	if err := j.open('{', "an object"); err != nil {
		return err
	}
	seen, kept := map[string]bool{}, int64(0)
	for j.decoder.More() {
		token, err := j.token()
		if err != nil {
			return err
		}
		key := token.(string) // the decoder takes nothing else for a key
		kept += int64(len(key) + 64)
		if err := j.keep(int64(len(key) + 64)); err != nil {
			return err
		}
		if seen[key] {
			return j.malformed("each key once", quote(key)+" twice")
		}
		seen[key] = true
		if err := visit(key); err != nil {
			return err
		}
	}
	j.kept -= kept
	return j.close()
}

// array calls visit for each element of an array; visit reads it.
func (j *jsonReader) array(visit func() error) error {
	if err := j.open('[', "an array"); err != nil {
		return err
	}
	for j.decoder.More() {
		if err := visit(); err != nil {
			return err
		}
	}
	return j.close()
}

// skip reads over one value.
func (j *jsonReader) skip() error {
	token, err := j.token()
	if err != nil {
		return err
	}
	return j.rest(token)
}

// rest reads over what follows a value's first token.
func (j *jsonReader) rest(token json.Token) (err error) {
	for depth := j.depth; ; {
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == j.depth {
			return nil
		}
		if depth > maxJSONDepth {
			return j.malformed(fmt.Sprintf("at most %d values within each other", maxJSONDepth), "more")
		}
		if token, err = j.token(); err != nil {
			return err
		}
	}
}

func (j *jsonReader) string(into *string) error {
	token, err := j.token()
	if err != nil {
		return err
	}
	s, ok := token.(string)
	if !ok {
		return j.malformed("a string", kindOf(token))
	}
	*into = s
	return j.keep(int64(len(s) + 16))
}

// keep accounts for memory that n bytes of the result take.
func (j *jsonReader) keep(n int64) error {
	if j.kept += n; j.kept > maxJSONKept {
		return j.malformed(fmt.Sprintf("JSON whose names fit into %d MiB", maxJSONKept>>20), "more")
	}
	return nil
}

func (j *jsonReader) integer(into *int64) error {
	token, err := j.token()
	if err != nil {
		return err
	}
	number, ok := token.(json.Number)
	if !ok {
		return j.malformed("an integer", kindOf(token))
	}
	if *into, err = number.Int64(); err != nil {
		return j.malformed("an integer of at most 64 bits", clip(number.String()))
	}
	return nil
}

// integers reads an array of at most max integers.
func (j *jsonReader) integers(max int, into *[]int64) error {
	*into = []int64{}
	return j.array(func() error {
		if len(*into) == max {
			return j.malformed(fmt.Sprintf("at most %d integers", max), "more")
		}
		var v int64
		err := j.integer(&v)
		*into = append(*into, v)
		return err
	})
}

// strings reads an object whose values are strings, at most max of them.
func (j *jsonReader) strings(max int, into map[string]string) error {
	return j.object(func(key string) error {
		if len(into) == max {
			return j.malformed(fmt.Sprintf("at most %d entries", max), "more")
		}
		var value string
		err := j.string(&value)
		into[key] = value
		return err
	})
}

// end is an error when something follows the value that was read.
func (j *jsonReader) end() error {
	j.text.limit = j.decoder.InputOffset() + maxJSONValue
	if token, err := j.decoder.Token(); err == nil {
		return j.malformed("the end of the JSON text", kindOf(token))
	} else if err != io.EOF {
		return j.malformed("the end of the JSON text", clip(err.Error()))
	}
	return nil
}

// kindOf names what a token is, for errors.
func kindOf(token json.Token) string {
	switch t := token.(type) {
	case json.Delim:
		return map[json.Delim]string{'{': "an object", '[': "an array"}[t]
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "null"
}
