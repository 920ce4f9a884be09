// Package strictjson reads JSON that a stranger may have written and that two
// readers must understand alike: signed documents above all.
//
// encoding/json alone is too kind for that. It matches keys without regard to
// case, keeps the last of duplicate keys and turns broken text into U+FFFD, so
// that what is shown may differ from what another program saw. This package
// refuses such documents, in the spirit of I-JSON (RFC 7493), and leaves the
// decoding itself to encoding/json. It never repairs anything.
package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// MaxDepth is how many arrays and objects may be open at once.
	MaxDepth = 100
	// MaxValues is how many values a document may hold, arrays and objects
	// included: in memory each may take forty times its two bytes of text.
	MaxValues = 1 << 20
	// MaxInteger is the largest integer, and -MaxInteger the smallest, that
	// may be written as a JSON number without fraction and exponent: 2^53,
	// beyond which a float64 skips integers. Larger ones belong in strings.
	MaxInteger = 1 << 53
)

// maxShown is how many bytes of a foreign string an error message repeats.
const maxShown = 80

// Decode checks data as Check does and stores it in the value that v points
// to, as json.Unmarshal would. Beyond Check, it refuses an object key that
// encoding/json would take for a field of v although it is spelled with
// another case. Keys that match no field are ignored. What is inside a value
// that decodes itself (json.Unmarshaler, encoding.TextUnmarshaler) or inside
// an interface is held to the rules of Check only.
//
// After an error the value is unspecified.
func Decode(data []byte, maxBytes int, v any) error {
	if err := check(data, maxBytes, reflect.TypeOf(v)); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// Check reports why data is not exactly one JSON value (RFC 8259) of at most
// maxBytes bytes that every reader understands alike: valid UTF-8, no escaped
// lone surrogate, no duplicate key, at most MaxDepth levels and MaxValues
// values, no integer beyond MaxInteger and no number beyond float64. Errors
// name the byte offset.
func Check(data []byte, maxBytes int) error {
	return check(data, maxBytes, nil)
}

func check(data []byte, maxBytes int, target reflect.Type) error {
	if len(data) > maxBytes {
		return fmt.Errorf("JSON of %d bytes: expected at most %d", len(data), maxBytes)
	}
	if at := invalidUTF8(data); at >= 0 {
		return fmt.Errorf("JSON at byte %d: expected UTF-8, found byte 0x%02x", at, data[at])
	}
	// The whole grammar first: the passes below may then rely on it, and
	// Decoder.Token alone is laxer than the grammar.
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("JSON at byte %d: %w", syntax.Offset, err)
		}
		return err
	}
	if at := loneSurrogate(data); at >= 0 {
		return fmt.Errorf("JSON at byte %d: escaped surrogate without its partner", at)
	}
	w := walker{dec: json.NewDecoder(bytes.NewReader(data)), fields: map[reflect.Type]map[string]reflect.Type{}}
	w.dec.UseNumber()
	return w.value(target, 0)
}

// invalidUTF8 returns the offset of the first byte that is not part of valid
// UTF-8, or -1.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for at := 0; ; {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
}

// loneSurrogate returns the offset of the first \u escape in syntactically
// valid JSON that is half of a surrogate pair without the other half, or -1.
func loneSurrogate(data []byte) int {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(data[i:])
		switch {
		case !ok: // a two-byte escape such as \n or \\
			i++
		case unit < 0xd800 || unit > 0xdfff:
			i += 5
		default:
			low, ok := escapedUnit(data[min(i+6, len(data)):])
			if unit > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
				return i
			}
			i += 11
		}
	}
	return -1
}

// escapedUnit reads the UTF-16 code unit of the escape \uXXXX that data starts
// with.
func escapedUnit(data []byte) (unit uint64, ok bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return unit, err == nil
}

// walker visits every token of one document beside the type that the token
// will be decoded into; a nil type stands for "any".
type walker struct {
	dec    *json.Decoder
	fields map[reflect.Type]map[string]reflect.Type
	values int
}

func (w *walker) value(target reflect.Type, depth int) error {
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	if w.values++; w.values > MaxValues {
		return w.errorf("more than %d values", MaxValues)
	}
	switch token := token.(type) {
	case json.Number:
		return w.number(token.String())
	case json.Delim:
		if depth == MaxDepth {
			return w.errorf("nested deeper than %d levels", MaxDepth)
		}
		if token == '{' {
			return w.object(target, depth+1)
		}
		return w.array(target, depth+1)
	}
	return nil
}

func (w *walker) array(target reflect.Type, depth int) error {
	element := elementType(target)
	for w.dec.More() {
		if err := w.value(element, depth); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

func (w *walker) object(target reflect.Type, depth int) error {
	fields, element := w.fieldsOf(target), elementType(target)
	seen := map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return w.errorf("duplicate key %s", shown(key))
		}
		seen[key] = true

		member, known := fields[key]
		if !known {
			member = element
			if name := otherCase(fields, key); name != "" {
				return w.errorf("expected key %q, found %s", name, shown(key))
			}
		}
		if err := w.value(member, depth); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

func (w *walker) number(literal string) error {
	if strings.ContainsAny(literal, ".eE") {
		if _, err := strconv.ParseFloat(literal, 64); err != nil {
			return w.errorf("number %s does not fit a float64", shown(literal))
		}
		return nil
	}
	n, err := strconv.ParseInt(literal, 10, 64)
	if err != nil || n > MaxInteger || n < -MaxInteger {
		return w.errorf("integer %s is beyond ±2^53; larger ones must be strings", shown(literal))
	}
	return nil
}

func (w *walker) errorf(format string, args ...any) error {
	return fmt.Errorf("JSON at byte %d: %s", w.dec.InputOffset(), fmt.Sprintf(format, args...))
}

// fieldsOf returns the keys that encoding/json matches with fields of target,
// and what they are decoded into; nil if target is no struct.
func (w *walker) fieldsOf(target reflect.Type) map[string]reflect.Type {
	target = decoded(target)
	if target == nil || target.Kind() != reflect.Struct {
		return nil
	}
	if fields, ok := w.fields[target]; ok {
		return fields
	}
	fields := map[string]reflect.Type{}
	collectFields(target, fields, map[reflect.Type]bool{})
	w.fields[target] = fields
	return fields
}

// collectFields adds the keys of a struct type, its embedded structs' last so
// that the outer field wins. Where encoding/json would drop ambiguous fields,
// the set is larger than needed, which only makes the check stricter.
func collectFields(structType reflect.Type, into map[string]reflect.Type, visited map[reflect.Type]bool) {
	if visited[structType] {
		return
	}
	visited[structType] = true
	var embedded []reflect.Type
	for field := range structType.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Tag.Get("json") == "-" {
			continue
		}
		if inner := pointed(field.Type); field.Anonymous && name == "" && inner.Kind() == reflect.Struct {
			embedded = append(embedded, inner)
			continue
		}
		if !field.IsExported() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if _, taken := into[name]; !taken {
			into[name] = field.Type
		}
	}
	for _, inner := range embedded {
		collectFields(inner, into, visited)
	}
}

// elementType returns what the elements of target are decoded into.
func elementType(target reflect.Type) reflect.Type {
	if target = decoded(target); target == nil {
		return nil
	}
	switch target.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return target.Elem()
	}
	return nil
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decoded returns the type that encoding/json itself fills for target, or nil
// if target decodes itself or may hold anything.
func decoded(target reflect.Type) reflect.Type {
	if target == nil {
		return nil
	}
	target = pointed(target)
	pointer := reflect.PointerTo(target)
	if target.Kind() == reflect.Interface || pointer.Implements(jsonUnmarshaler) || pointer.Implements(textUnmarshaler) {
		return nil
	}
	return target
}

func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// otherCase returns the field that encoding/json would match with key although
// they differ in case, or "". It folds as encoding/json does: Unicode simple
// folding, so that U+017F matches "s".
func otherCase(fields map[string]reflect.Type, key string) string {
	for name := range fields {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return ""
}

// shown quotes a foreign string for a message, cut to a bounded length.
func shown(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
