package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSafetensors(t *testing.T) {
	checkSamples(t, "safetensors", map[string]sample{
		"weights.safetensors":                {verdicts: [5]string{unsure, dormant, no, no, no}},
		"plain.safetensors":                  {verdicts: [5]string{unsure, unsure, no, no, no}},
		"types.safetensors":                  {verdicts: [5]string{unsure, unsure, no, no, no}},
		"optimizer.safetensors":              {[5]string{unsure, dormant, unsure, unsure, unsure}, []string{OptimizerStored}},
		"moments.safetensors":                {[5]string{unsure, unsure, unsure, unsure, unsure}, []string{OptimizerStored}},
		"sharded.safetensors.index.json":     {verdicts: [5]string{unsure, dormant, no, no, no}},
		"sharded-00001-of-00003.safetensors": {verdicts: [5]string{unsure, unsure, no, no, no}},
		"sharded-00002-of-00003.safetensors": {verdicts: [5]string{unsure, dormant, no, no, no}},
		"sharded-00003-of-00003.safetensors": {verdicts: [5]string{unsure, unsure, no, no, no}},
	})
}

// What the safetensors library says of each tensor, and of the metadata.
func TestAgainstSafetensors(t *testing.T) {
	var want map[string]struct {
		Metadata map[string]string
		Tensors  map[string][2]int64
	}
	libraryFacts(t, "safetensors", &want)
	for file, facts := range want {
		path := filepath.Join(modelDir, "safetensors", file)
		opened, size, err := openRegular(path)
		if err != nil {
			t.Fatal(err)
		}
		h, err := readSafetensors(opened, size, file)
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Error(err)
			continue
		}
		got, parameters := map[string][2]int64{}, int64(0)
		for _, tensor := range h.tensors {
			got[tensor.name] = [2]int64{tensor.elements, tensor.length}
			if !isOptimizers(tensor.name) {
				parameters += tensor.elements
			}
		}
		if !reflect.DeepEqual(got, facts.Tensors) || !reflect.DeepEqual(h.metadata, facts.Metadata) {
			t.Errorf("%s:\n got %v %v\nwant %v %v", file, got, h.metadata, facts.Tensors, facts.Metadata)
		}
		if m, err := Inspect(path); err != nil || m.Parameters != parameters {
			t.Errorf("%s: %d parameters, want %d (%v)", file, m.Parameters, parameters, err)
		}
	}
}

// header is a file with this header and so many bytes of data.
func header(json string, data int) []byte {
	return join(binary.LittleEndian.AppendUint64(nil, uint64(len(json))), []byte(json), make([]byte, data))
}

func entry(name, kind, shape string, from, to int) string {
	return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, kind, shape, from, to)
}

func TestSafetensorsLayout(t *testing.T) {
	a, b := entry("a", "F32", "[2]", 0, 8), entry("b", "U8", "[2]", 8, 10)
	for _, test := range []struct {
		name string
		json string
		data int
		says string
	}{
		{"as it should be", a + "," + b, 10, ""},
		{"in another order", b + "," + a, 10, ""},
		{"empty tensors", a + "," + entry("e", "F32", "[0,9223372036854775807,9223372036854775807]", 8, 8), 8, ""},
		{"sub-byte types", entry("a", "F4", "[3]", 0, 2), 2, ""},
		{"overlap", a + "," + entry("b", "U8", "[2]", 7, 9), 9, `tensor "b" starts at byte 7, before`},
		{"the same bytes", a + "," + entry("b", "F32", "[2]", 0, 8), 8, `tensor "b" starts at byte 0, before`},
		{"gap", a + "," + entry("b", "U8", "[2]", 9, 11), 11, `1 bytes in front of tensor "b"`},
		{"gap at the start", entry("b", "U8", "[2]", 1, 3), 3, `1 bytes in front of tensor "b"`},
		{"rest at the end", a, 9, "1 bytes at the end belong to no tensor"},
		{"cut off", a, 7, "ends at byte 8 of the data, which has 7"},
		{"too long for its shape", entry("a", "F32", "[2]", 0, 9), 9, "has 9 bytes, its type and shape need 8"},
		{"backwards", entry("a", "U8", "[2]", 2, 0), 0, "ends before it starts"},
		{"type of tomorrow", entry("a", "F33", "[2]", 0, 8), 8, `element type "F33" of tensor "a" is not known`},
		{"two problems", a + "," + entry("b", "U8", "[2]", 9, 11), 12, "; and 1 more"},
	} {
		m, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), header("{"+test.json+"}", test.data)))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkComplete(t, test.name, m)
		switch n := m.found(TensorLayout); {
		case (n == 1) != (test.says != ""):
			t.Errorf("%s: findings %v", test.name, m.Findings)
		case n == 1 && !strings.Contains(m.Findings[0].Evidence, test.says):
			t.Errorf("%s: %q, want %q", test.name, m.Findings[0].Evidence, test.says)
		}
	}
}

func TestSafetensorsRefused(t *testing.T) {
	a := entry("a", "U8", "[2]", 0, 2)
	nested := strings.Repeat(`{"x":`, maxJSONDepth+1) + "1" + strings.Repeat("}", maxJSONDepth+1)
	for _, test := range []struct{ name, json, says string }{
		{"twice", a + "," + a, `expected each key once, found "a" twice`},
		{"two shapes", `"a":{"dtype":"U8","shape":[2],"shape":[3],"data_offsets":[0,2]}`, `found "shape" twice`},
		{"no offsets", `"a":{"dtype":"U8","shape":[2]}`, "not all of them"},
		{"one offset", `"a":{"dtype":"U8","shape":[2],"data_offsets":[0]}`, "not all of them"},
		{"three offsets", `"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1,2]}`, "at most 2 integers"},
		{"shape of text", `"a":{"dtype":"U8","shape":["2"],"data_offsets":[0,2]}`, "expected an integer, found a string"},
		{"negative offset", entry("a", "U8", "[2]", -2, 0), "that are positive"},
		{"negative dimension", entry("a", "U8", "[-2]", 0, 2), "that are positive"},
		{"more than can be counted", entry("a", "U8", "[4294967296,4294967296]", 0, 2), "no more than 2^53 elements"},
		{"more parameters than can be counted", entry("a", "U8", "[9007199254740992]", 0, 2) + "," + entry("b", "U8", "[1]", 0, 2), "at most 2^53 parameters"},
		{"offset of 65 bits", `"a":{"dtype":"U8","shape":[2],"data_offsets":[0,36893488147419103232]}`, "at most 64 bits"},
		{"metadata of numbers", `"__metadata__":{"a":1}`, "expected a string, found a number"},
		{"a list", `"a":[]`, "expected an object, found an array"},
		{"deep", `"a":{"extra":` + nested + `}`, "values within each other"},
		{"no JSON", `"a":{"dtype" "U8"}`, "expected JSON"},
		{"long name", fmt.Sprintf(`"%s":{}`, strings.Repeat("n", maxString+1)), "a tensor's name of at most"},
	} {
		_, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), header("{"+test.json+"}", 2)))
		refused(t, test.name, err, "x: ")
		refused(t, test.name, err, test.says)
	}
}

// Headers that ask for as much memory as their size allows get what there is,
// or an error.
func TestSafetensorsMemory(t *testing.T) {
	list := func(n int, format string) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, format, i)
		}
		return text.String()[1:]
	}
	tensor := `,"a.name.as.they.are.layers.%d.weight":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`
	long := func(n int) string { return strings.Repeat("n", maxJSONValue-n) }
	for name, test := range map[string]struct {
		json func() string
		says string
	}{
		"most tensors":     {func() string { return list(maxTensors, tensor) }, ""},
		"one more":         {func() string { return list(maxTensors+1, tensor) }, fmt.Sprintf("at most %d tensors", maxTensors)},
		"keys to skip":     {func() string { return `"a":{"extra":{` + list(1<<19, `,"%x":{}`) + `}}` }, "not all of them"},
		"entries":          {func() string { return `"__metadata__":{` + list(maxMetadata+1, `,"%x":""`) + `}` }, fmt.Sprintf("at most %d entries", maxMetadata)},
		"keys of a tensor": {func() string { return `"a":{` + list(1<<21, `,"%x":0`) + `}` }, "JSON whose names fit into"},
		"long value":       {func() string { return `"__metadata__":{"a":"` + long(1000) + `"}` }, ""},
		"longer value":     {func() string { return `"__metadata__":{"a":"` + long(0) + `"}` }, fmt.Sprintf("a JSON value of at most %d bytes", maxJSONValue)},
		"long values": {func() string {
			return fmt.Sprintf(`"__metadata__":{"a":%q,"b":%[1]q,"c":%[1]q,"d":%[1]q,"e":%[1]q}`, long(1000))
		}, ""},
	} {
		data := header("{"+test.json()+"}", 0)
		var err error
		bounded(t, name, func() { _, err = readSafetensors(bytes.NewReader(data), int64(len(data)), "x") })
		if test.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if test.says != "" {
			refused(t, name, err, test.says)
		}
	}
}

// index is a folder with two shards and an index of this text.
func index(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "1.safetensors"), header("{"+entry("a", "F32", "[2]", 0, 8)+"}", 8))
	write(t, filepath.Join(dir, "2.safetensors"), header("{"+entry("b", "F32", "[3]", 0, 12)+"}", 12))
	return write(t, filepath.Join(dir, "m.safetensors.index.json"), []byte(text))
}

func TestSafetensorsIndex(t *testing.T) {
	for _, test := range []struct {
		name, text string
		parameters int64
		problem    string // of the part that is not whole
		layout     string
	}{
		{"whole", `{"metadata":{"total_size":20},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`, 5, "", ""},
		{"size with a fraction", `{"metadata":{"total_size":20.0,"more":{"a":[1]},"format":"pt"},"weight_map":{"a":"1.safetensors","b":"2.safetensors"},"x":null}`, 5, "", ""},
		{"no size", `{"weight_map":{"a":"1.safetensors","b":"./2.safetensors"}}`, 5, "", ""},
		{"other size", `{"metadata":{"total_size":21},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`, 5, "", "the index states 21 bytes of tensors, the shards have 20"},
		{"missing shard", `{"metadata":{"total_size":20},"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}`, -1, "file not found", ""},
		{"missing tensor", `{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}}`, 5, `tensor "c" is missing in it`, ""},
		{"tensor too many", `{"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}`, 5, `tensor "c" is missing in it`, ""},
		{"wrong shard", `{"weight_map":{"a":"1.safetensors","b":"2.safetensors","d":"m.safetensors.index.json"}}`, -1, "expected a header of at most", ""},
		{"outside", `{"weight_map":{"a":"1.safetensors","b":"../2.safetensors"}}`, -1, "the location leads out of the model's folder", ""},
		{"absolute", `{"weight_map":{"a":"1.safetensors","b":"/2.safetensors"}}`, -1, "the location is absolute", ""},
		{"not named", `{"weight_map":{"a":"1.safetensors","b":"2.safetensors"},"weight_map ":{}}`, 5, "", ""},
	} {
		m, err := Inspect(index(t, test.text))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkComplete(t, test.name, m)
		problem, layout := "", ""
		for _, part := range m.Parts {
			problem += part.Problem
		}
		for _, f := range m.Findings {
			if f.ID == TensorLayout {
				layout = f.Evidence
			}
		}
		if m.Parameters != test.parameters || !strings.Contains(problem, test.problem) || (problem == "") != (test.problem == "") || layout != test.layout ||
			(problem != "") != (m.found(PartProblem) > 0) {
			t.Errorf("%s: %d parameters, problem %q, layout %q, findings %v", test.name, m.Parameters, problem, layout, m.Findings)
		}
	}
	m, err := Inspect(index(t, `{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`))
	if err != nil || !reflect.DeepEqual(partNames(m), []string{"1.safetensors", "2.safetensors"}) || m.Main != "m.safetensors.index.json" {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = Inspect(index(t, `{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}`))
	refused(t, "tensor in two shards", err, `found "a" twice`)
}

// A shard that a link leads out to is refused, not read.
func TestSafetensorsShardLink(t *testing.T) {
	path := index(t, `{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}`)
	secret := write(t, filepath.Join(t.TempDir(), "secret"), header("{"+entry("b", "F32", "[3]", 0, 12)+"}", 12))
	link(t, secret, filepath.Join(filepath.Dir(path), "3.safetensors"))
	m, err := Inspect(path)
	if err != nil || m.found(PartProblem) != 1 || !strings.Contains(m.Parts[1].Problem, "leads out of the model's folder") {
		t.Errorf("%+v, %v", m, err)
	}
}

// Other JSON is no index, and is told soon.
func TestNotAnIndex(t *testing.T) {
	for name, text := range map[string]string{
		"torch's own shards": `{"metadata":{"total_size":20},"weight_map":{"a":"pytorch_model-1.bin"}}`,
		"something else":     `{"version":1,"weight_map":{"a":"1.safetensors"}}`,
		"empty map":          `{"weight_map":{}}`,
		"a list":             `{"weight_map":["1.safetensors"]}`,
		"metadata alone":     `{"metadata":{` + strings.Repeat(`"a":{`, 100000) + `}`,
	} {
		if f, ok, err := Detect(write(t, filepath.Join(t.TempDir(), "x.json"), []byte(text))); ok || err != nil {
			t.Errorf("%s: %q, %v", name, f.Name, err)
		}
	}
}

// FuzzSafetensors holds that any bytes give an error that names the file or a
// complete model, and that padding, which writers may add, changes nothing.
func FuzzSafetensors(f *testing.F) {
	seeds(f, filepath.Join(modelDir, "safetensors", "*.safetensors"))
	format := Format{Name: "safetensors"}
	f.Fuzz(func(t *testing.T, data []byte) {
		look := func(data []byte) (*Model, error) {
			return inspectSafetensors(write(t, filepath.Join(t.TempDir(), "test.safetensors"), data), format)
		}
		m, err := look(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.safetensors") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		n := binary.LittleEndian.Uint64(data)
		padded := join(binary.LittleEndian.AppendUint64(nil, n+8), data[8:8+n], []byte("        "), data[8+n:])
		again, err := look(padded)
		if err != nil || fmt.Sprint(m) != fmt.Sprint(again) {
			t.Fatalf("padding changed the model (%v):\n%+v\n%+v", err, m, again)
		}
	})
}

// FuzzSafetensorsIndex holds the same of an index, and that no shard outside
// its folder is looked at.
func FuzzSafetensorsIndex(f *testing.F) {
	seeds(f, filepath.Join(modelDir, "safetensors", "*.index.json"))
	root := emptyRoot(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := readSafetensorsIndex(bytes.NewReader(data), int64(len(data)), "test.json")
		if err != nil {
			if !strings.Contains(err.Error(), "test.json") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		m, err := parsed.model(root, newSafetensors(Format{Name: "safetensors"}, "test.json", parsed.metadata))
		if err != nil {
			t.Fatal(err)
		}
		checkComplete(t, "fuzz", m)
		for _, part := range m.Parts {
			if part.Size != -1 || part.Problem == "" {
				t.Fatalf("part %+v in an empty folder", part)
			}
		}
	})
}
