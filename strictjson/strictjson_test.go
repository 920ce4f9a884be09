package strictjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const roomy = 1 << 20

func TestCheck(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat("[", depth) + strings.Repeat("]", depth)
	}
	nestedObjects := func(depth int) string {
		return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
	}
	for _, tt := range []struct {
		name, in string
		want     string // in the error; "" when accepted
	}{
		{"object", `{"a": [1, -2.5e3, true, null, "b"], "c": {}}`, ""},
		{"scalar", ` 1 `, ""},
		{"same key in different objects", `{"a": {"a": 1}, "b": {"a": 1}}`, ""},
		{"keys that differ in case", `{"PATH": 1, "Path": 2}`, ""},
		{"empty key", `{"": 1}`, ""},
		{"all of Unicode", `"é模🙂\u00e9\ud83d\ude42\u0000"`, ""},
		{"replacement character itself", `"\ufffd�"`, ""},
		{"escaped backslash before u", `"\\ud800"`, ""},

		{"nothing", ``, "unexpected end"},
		{"only space", ` `, "unexpected end"},
		{"byte order mark", "\ufeff{}", "invalid character"},
		{"trailing value", `{} {}`, "after top-level value"},
		{"trailing comma", `[1,]`, "invalid character"},
		{"missing comma", `[1 2]`, "invalid character"},
		{"missing colon", `{"a" 1}`, "invalid character"},
		{"comment", `/**/{}`, "invalid character"},
		{"NaN", `[NaN]`, "invalid character"},
		{"leading zero", `01`, "invalid character"},
		{"raw control character", "\"\n\"", "invalid character"},

		{"duplicate key", `{"a": 1, "b": 2, "a": 3}`, `duplicate key "a"`},
		{"duplicate key, escaped", `{"a": 1, "\u0061": 3}`, `duplicate key "a"`},
		{"duplicate empty key", `{"": 1, "": 3}`, `duplicate key ""`},
		{"duplicate key, nested", `[{"x": {"a": 1, "a": 1}}]`, `duplicate key "a"`},
		{"duplicate key after a nested object", `{"a": {"b": [1]}, "a": 1}`, `duplicate key "a"`},

		{"invalid UTF-8", "{\"a\": \"\xff\"}", "at byte 7: expected UTF-8, found byte 0xff"},
		{"cut UTF-8", "\"\xe2\x82\"", "expected UTF-8"},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", "expected UTF-8"},
		{"overlong UTF-8", "\"\xc0\xaf\"", "expected UTF-8"},
		{"lone high surrogate", `"\ud800"`, "at byte 1: escaped surrogate"},
		{"lone low surrogate", `"a\uDC00"`, "at byte 2: escaped surrogate"},
		{"surrogates in wrong order", `"\udc00\ud800"`, "escaped surrogate"},
		{"two high surrogates", `"\ud800\ud800"`, "escaped surrogate"},
		{"high surrogate before a letter", `"\ud800a"`, "escaped surrogate"},
		{"high surrogate before another escape", `"\ud800\n\u0041"`, "escaped surrogate"},
		{"lone surrogate in a key", `{"\udfff": 1}`, "escaped surrogate"},
		{"lone surrogate after a pair", `"\ud83d\ude42\ud83d"`, "at byte 13: escaped surrogate"},

		{"depth at the cap", nested(MaxDepth), ""},
		{"depth past the cap", nested(MaxDepth + 1), "nested deeper than 100"},
		{"object depth at the cap", nestedObjects(MaxDepth), ""},
		{"object depth past the cap", nestedObjects(MaxDepth + 1), "nested deeper than 100"},
		{"far too deep", nested(9000), "nested deeper than 100"},
		{"deeper than encoding/json", nested(20000), "exceeded max depth"},

		{"largest integer", `9007199254740992`, ""},
		{"past the largest integer", `9007199254740993`, "beyond ±2^53"},
		{"smallest integer", `-9007199254740992`, ""},
		{"past the smallest integer", `[-9007199254740993]`, "beyond ±2^53"},
		{"integer beyond int64", `18446744073709551616`, "beyond ±2^53"},
		{"very long integer", strings.Repeat("1", 5000), "beyond ±2^53"},
		{"negative zero", `-0`, ""},
		{"large float", `1e300`, ""},
		{"float with fraction", `9007199254740993.5`, ""},
		{"float too large", `{"a": 1e999}`, "does not fit a float64"},
		{"long digits in quotes", `"9007199254740993"`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkError(t, Check([]byte(tt.in), roomy), tt.want)
			var v any
			checkError(t, Decode([]byte(tt.in), roomy, &v), tt.want)
		})
	}
}

func TestCheckSize(t *testing.T) {
	checkError(t, Check([]byte(`[1,2]`), 5), "")
	checkError(t, Check([]byte(`[1,2]`), 4), "5 bytes: expected at most 4")
}

func TestCheckValues(t *testing.T) {
	values := func(n int) []byte { // the array is one of them
		return []byte("[" + strings.Repeat("0,", n-2) + "0]")
	}
	checkError(t, Check(values(MaxValues), 4*MaxValues), "")
	checkError(t, Check(values(MaxValues+1), 4*MaxValues), "more than 1048576 values")
}

func TestMessageIsBounded(t *testing.T) {
	key := strings.Repeat("\u202e", 10000)
	err := Check(fmt.Appendf(nil, `{"%s":1,"%s":1}`, key, key), roomy)
	if err == nil || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\u202e") {
		t.Errorf("got %v, want a short message without bidi controls", err)
	}
}

// text decodes itself, so that its content is nobody else's business.
type text struct{ s string }

func (v *text) UnmarshalJSON(data []byte) error { v.s = string(data); return nil }

type Inner struct {
	Digest map[string]string `json:"digest"`
	Plain  int
}

type base struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

type document struct {
	base
	*Inner
	Subject []Inner          `json:"subject"`
	ByName  map[string]Inner `json:"byName"`
	Pointer **Inner          `json:"pointer,omitempty"`
	Any     any              `json:"any"`
	Raw     json.RawMessage  `json:"raw"`
	Text    text             `json:"text"`
	Time    time.Time        `json:"time"`
	Self    *document        `json:"self"`
	Hidden  string           `json:"-"`
	//lint:ignore SA5008 the comma is meant: the key is "-"
	Dash     string `json:"-,"`
	internal string
}

func TestDecodeFields(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"exact", `{"subject": [{"digest": {"sha256": "00"}}], "name": "n"}`, ""},
		{"unknown key", `{"other": {"Subject": 1}}`, ""},
		{"other case", `{"Subject": []}`, `expected key "subject", found "Subject"`},
		{"other case beside the exact one", `{"subject": [], "SUBJECT": []}`, `found "SUBJECT"`},
		{"long s", `{"ſubject": []}`, `found "\u017fubject"`},
		{"Kelvin sign", `{"\u212aind": ""}`, `expected key "kind"`},
		{"in an array", `{"subject": [{}, {"Digest": {}}]}`, `expected key "digest"`},
		{"in a map", `{"byName": {"X": {"DIGEST": {}}}}`, `expected key "digest"`},
		{"map keys are free", `{"byName": {"a": {}, "A": {}}}`, ""},
		{"behind pointers", `{"pointer": {"Digest": {}}}`, `expected key "digest"`},
		{"recursive type", `{"self": {"self": {"Self": {}}}}`, `expected key "self"`},
		{"embedded", `{"Name": "n"}`, `expected key "name"`},
		{"embedded pointer", `{"Digest": {}}`, `expected key "digest"`},
		{"field without tag", `{"Plain": 1}`, ""},
		{"field without tag, other case", `{"plain": 1}`, `expected key "Plain"`},
		{"name is a dash", `{"-": "x"}`, ""},
		{"ignored field", `{"hidden": 1, "HIDDEN": 2}`, ""},
		{"unexported field", `{"Internal": 1}`, ""},
		{"inside any", `{"any": {"a": 1, "A": 2}}`, ""},
		{"inside a raw message", `{"raw": {"a": 1, "A": 2}}`, ""},
		{"inside what decodes itself", `{"text": {"S": 1, "s": 2}}`, ""},
		{"duplicate inside what decodes itself", `{"text": {"s": 1, "s": 2}}`, `duplicate key "s"`},
		{"text unmarshaler", `{"time": "2026-11-23T00:00:00Z"}`, ""},
		{"object for an array", `{"subject": {"Digest": 1}}`, "cannot unmarshal object"},
		{"wrong type", `{"name": 1}`, "cannot unmarshal number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d document
			checkError(t, Decode([]byte(tt.in), roomy, &d), tt.want)
			if d.internal != "" || d.Hidden != "" {
				t.Errorf("set a field that JSON has no name for: %+v", d)
			}
		})
	}
}

func TestDecodeFills(t *testing.T) {
	var d document
	if err := Decode([]byte(`{"name": "n", "subject": [{"digest": {"sha256": "00"}}]}`), roomy, &d); err != nil {
		t.Fatal(err)
	}
	if d.Name != "n" || len(d.Subject) != 1 || d.Subject[0].Digest["sha256"] != "00" {
		t.Errorf("got %+v", d)
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want error with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("got error %q, want one with %q", err, want)
	}
}

// FuzzDecode holds Decode to its promise: what it accepts, encoding/json reads
// to the same value, and nothing is lost or merged on the way.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"subject":[{"digest":{"sha256":"00"}}],"name":"é","any":[1,-2.5e3,null,{"a":{}}]}`,
		`{"a":1,"\u0061":2}`, `"\ud83d\ude42"`, `"\ud83d"`, `{"ſubject":[]}`, `9007199254740993`, `[[[[1e5]]]]`, "\"\xff\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d document
		if Decode(data, roomy, &d) == nil {
			var plain document
			if err := json.Unmarshal(data, &plain); err != nil || !reflect.DeepEqual(d, plain) {
				t.Fatalf("Decode and encoding/json differ on %q: %v", data, err)
			}
		}
		if Check(data, roomy) != nil {
			return
		}
		var v any
		decoder := json.NewDecoder(strings.NewReader(string(data)))
		decoder.UseNumber()
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("Check accepted %q, encoding/json did not: %v", data, err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(again, 8*len(data)+8); err != nil {
			t.Fatalf("%q was accepted, %q not: %v", data, again, err)
		}
		if got, want := keys(again), keys(data); got != want {
			t.Fatalf("%q has %d strings, %q %d: some were merged", data, want, again, got)
		}
	})
}

// keys counts the strings, keys included, in valid JSON.
func keys(data []byte) (n int) {
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	for {
		token, err := decoder.Token()
		if err != nil {
			return n
		}
		if _, ok := token.(string); ok {
			n++
		}
	}
}
