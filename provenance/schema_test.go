package provenance_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	generate "github.com/invopop/jsonschema"
	validate "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	schemaFile = "../docs/spec/conversion-log-v1.schema.json"
	specFile   = "../docs/spec/conversion-log-v1.md"
)

// schema derives the JSON Schema of a Statement from the Go types and their
// comments. It lives in a test so that no generator is linked into convrun.
func schema(t *testing.T) *generate.Schema {
	t.Helper()
	r := &generate.Reflector{
		BaseSchemaID:              "https://convrun.github.io/conversion-log/v1",
		AllowAdditionalProperties: true, // readers ignore what they do not know
		ExpandedStruct:            true,
		Mapper:                    closedWords,
	}
	if err := r.AddGoComments("github.com/convrun/convrun/provenance", "./", generate.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	for name, comment := range r.CommentMap {
		comment = strings.Join(strings.Fields(comment), " ")
		r.CommentMap[name] = strings.ReplaceAll(comment, " nil", " null") // Go's word, JSON's word
	}
	s := r.Reflect(&provenance.Statement{})
	s.ID = provenance.PredicateType + "/schema.json"
	s.Title = "Statement of a conversion log, version 1"
	shape, ok := s.Definitions["Value"].Properties.Get("shape")
	if !ok {
		t.Fatal("Value has no shape")
	}
	s.Definitions["Value"].Properties.Set("shape", &generate.Schema{OneOf: []*generate.Schema{shape, {Type: "null"}}})
	return s
}

// closedWords lists the words of the types whose words are part of the format.
func closedWords(t reflect.Type) *generate.Schema {
	words := func(list ...string) *generate.Schema {
		s := &generate.Schema{Type: "string"}
		for _, w := range list {
			s.Enum = append(s.Enum, w)
		}
		return s
	}
	switch t {
	case reflect.TypeFor[model.Operation]():
		s := words()
		for _, op := range model.Operations {
			s.Enum = append(s.Enum, string(op))
		}
		return s
	case reflect.TypeFor[model.Status]():
		return words(string(model.Present), string(model.Folded), string(model.Eliminated), string(model.Absent), string(model.Unknown))
	case reflect.TypeFor[model.Mode]():
		modes := words(string(model.Training), string(model.Inference), string(model.Latent), string(model.NotRepresentable))
		return &generate.Schema{OneOf: []*generate.Schema{modes, {Type: "null"}}}
	}
	return nil
}

// TestSchema holds that docs/spec has the schema of the types as they are.
func TestSchema(t *testing.T) {
	got, err := json.MarshalIndent(schema(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from the types; run go test -update ./provenance and look at the difference", schemaFile)
	}
}

// TestSpecification holds that the specification describes every field of
// every object, in a table under the object's name, and no other.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	s := schema(t)
	s.Definitions["Statement"] = s
	for name, object := range s.Definitions {
		_, section, ok := strings.Cut(string(text), "\n### "+name+"\n")
		if !ok {
			t.Errorf("%s has no heading %q", specFile, "### "+name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n##")
		described := map[string]bool{}
		for line := range strings.Lines(section) {
			if rest, ok := strings.CutPrefix(line, "| `"); ok {
				field, _, _ := strings.Cut(rest, "`")
				described[field] = true
			}
		}
		for p := object.Properties.Oldest(); p != nil; p = p.Next() {
			if !described[p.Key] {
				t.Errorf("%s: %s has no row for %s", specFile, name, p.Key)
			}
			delete(described, p.Key)
		}
		for field := range described {
			t.Errorf("%s: %s has a row for %s, which is no field of it", specFile, name, field)
		}
	}
}

// TestSpecificationExample holds that the example is of fields that exist.
func TestSpecificationExample(t *testing.T) {
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(text), "```json\n")
	if !ok {
		t.Fatalf("%s has no example", specFile)
	}
	example, _, _ = strings.Cut(example, "```")
	d := json.NewDecoder(strings.NewReader(example))
	d.DisallowUnknownFields()
	var log provenance.ConversionLog
	if err := d.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if len(log.Elimination) == 0 || log.Elimination[0].Status != model.Eliminated {
		t.Errorf("expected a row that is eliminated, found %v", log.Elimination)
	}
}

func compiled(t *testing.T) *validate.Schema {
	t.Helper()
	s, err := validate.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatementsAreValid(t *testing.T) {
	s := compiled(t)
	paths, err := filepath.Glob("../testdata/statement/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no statement: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(instance(t, data)); err != nil {
				t.Error(err)
			}
			var st provenance.Statement
			d := json.NewDecoder(bytes.NewReader(data))
			d.DisallowUnknownFields()
			if err := d.Decode(&st); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(instance(t, again)); err != nil {
				t.Errorf("written again from the types: %v", err)
			}
		})
	}
}

// TestSchemaRefuses changes one thing in a valid statement at a time.
func TestSchemaRefuses(t *testing.T) {
	s := compiled(t)
	data, err := os.ReadFile("../testdata/statement/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	predicate := func(v map[string]any) map[string]any { return v["predicate"].(map[string]any) }
	for _, tt := range []struct {
		name   string
		valid  bool
		change func(map[string]any)
	}{
		{"unknown field", true, func(v map[string]any) { predicate(v)["later"] = 1 }},
		{"unknown mode as null", true, func(v map[string]any) { row(v)["mode"] = nil }},
		{"other predicate type", false, func(v map[string]any) { v["predicateType"] = "https://example.org/v1" }},
		{"missing section", false, func(v map[string]any) { delete(predicate(v), "capture") }},
		{"null for a list", false, func(v map[string]any) { predicate(v)["inputs"] = nil }},
		{"other verdict", false, func(v map[string]any) { row(v)["verdict"] = "ok" }},
		{"other status", false, func(v map[string]any) { row(v)["status"] = "gone" }},
		{"other mode", false, func(v map[string]any) { row(v)["mode"] = "" }},
		{"other operation", false, func(v map[string]any) { row(v)["operation"] = "Dropout" }},
		{"exit code in words", false, func(v map[string]any) { predicate(v)["run"].(map[string]any)["exitCode"] = "0" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := instance(t, data).(map[string]any)
			tt.change(v)
			if err := s.Validate(v); (err == nil) != tt.valid {
				t.Errorf("valid is %t, expected %t: %v", err == nil, tt.valid, err)
			}
		})
	}
}

func row(v map[string]any) map[string]any {
	return v["predicate"].(map[string]any)["elimination"].([]any)[0].(map[string]any)
}

func instance(t *testing.T, data []byte) any {
	t.Helper()
	v, err := validate.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
