package provenance

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// Redact passes every text of the log that comes from the run, a file or a
// person through clean, with the name that it stands under in a map, or "". The
// names in maps go through it too.
//
// Convrun's own words stay, and what a reader compares: digests, identifiers
// and times. A file whose name holds a secret is then found by its digest only.
func (st *Statement) Redact(clean func(name, text string) string) {
	r := redaction{clean}
	r.value("", reflect.ValueOf(&st.Subject).Elem())
	r.value("", reflect.ValueOf(&st.Predicate).Elem())
}

type redaction struct {
	clean func(name, text string) string
}

// kept are the fields that hold no text of strangers.
var kept = []string{"Digest", "InvocationID", "StartedOn", "FinishedOn", "Date", "Phase", "Verdict", "Severity", "Role", "Family", "Method", "Convrun"}

func (r redaction) value(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() { // words of a closed list have types of their own
			v.SetString(r.clean(name, v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			r.value(name, v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(r.copied(name, v.Elem()))
		}
	case reflect.Slice:
		for i := range v.Len() {
			r.value(name, v.Index(i))
		}
	case reflect.Map:
		r.mapping(name, v)
	case reflect.Struct:
		r.fields(v)
	}
}

// copied is v, which cannot be set, redacted.
func (r redaction) copied(name string, v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	r.value(name, c)
	return c
}

// mapping redacts the values of a map under their names.
func (r redaction) mapping(name string, m reflect.Value) {
	for _, key := range m.MapKeys() {
		value := m.MapIndex(key)
		m.SetMapIndex(key, reflect.Value{})
		m.SetMapIndex(r.copied("", key), r.copied(key.String(), value))
	}
}

func (r redaction) fields(v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch {
		case slices.Contains(kept, field.Name), field.Name == "ID" && v.Type() == reflect.TypeFor[Finding]():
		case field.Name == "URI":
			v.Field(i).SetString(r.uri(v.Field(i).String()))
		default:
			r.value("", v.Field(i))
		}
	}
}

// uri redacts the path in a "file:" URI, which stays one.
func (r redaction) uri(uri string) string {
	path, err := url.PathUnescape(strings.TrimPrefix(uri, "file://"))
	if err != nil || !strings.HasPrefix(uri, "file://") {
		return r.clean("", uri)
	}
	if cleaned := r.clean("", path); cleaned != path {
		return FileURI(cleaned)
	}
	return uri
}
