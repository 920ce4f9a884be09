package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// large is a run with many of everything; name makes a path of its kind.
func large(t *testing.T, files, distributions int, name func(kind string, i int) string) (*runner.Observation, []Artifact, Meta) {
	t.Helper()
	o := exportRun(t)
	meta := Meta{Scripts: map[string]ScriptText{}}
	for i := range files {
		o.Files = append(o.Files,
			runner.File{Path: name("in", i), Class: runner.Input, Read: true, SHA256: hash(i)},
			runner.File{Path: name("out", i) + ".txt", Class: runner.Output, Written: true, SHA256: hash(i)})
	}
	for i := range 20 {
		script := fmt.Sprintf("/work/s%02d.py", i)
		o.Files = append(o.Files, runner.File{Path: script, Class: runner.Code, Read: true, SHA256: hash(i)})
		meta.Scripts[script] = ScriptText{Text: strings.Repeat("x", 60_000)}
	}
	for i := range distributions {
		o.Distributions = append(o.Distributions, python.Distribution{
			Name: fmt.Sprintf("dist%05d", i), Version: "1.0", PURL: "pkg:pypi/x@1.0", Files: 20, Digest: hash(i), Integrity: "matches"})
	}
	for i := range 1000 {
		o.Processes = append(o.Processes, runner.Process{PID: i + 10, Parent: 1, Path: "/bin/true", Argv: []string{"true", strings.Repeat("a", 300)}, SHA256: hash(1)})
		o.Python.Warnings = append(o.Python.Warnings, python.Warning{Category: "UserWarning", Message: fmt.Sprintf("warning %d", i)})
	}
	return o, exportArtifacts(), meta
}

func short(kind string, i int) string { return fmt.Sprintf("/work/data/%s%06d", kind, i) }

func long(kind string, i int) string {
	return "/" + strings.Repeat(strings.Repeat("é", 120)+"/", 16) + fmt.Sprintf("%s%06d", kind, i)
}

// shortened makes the log of a run and gives it whole, and with what it had no
// room for in a by-product.
func shortened(t *testing.T, o *runner.Observation, artifacts []Artifact, meta Meta) (whole, st Statement, byproduct []byte) {
	t.Helper()
	whole, st = New(o, artifacts, meta), New(o, artifacts, meta)
	moved, err := st.Shorten()
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	if err := WriteByproduct(&lines, st.Predicate.Run.InvocationID, moved); err != nil {
		t.Fatal(err)
	}
	return whole, st, lines.Bytes()
}

func payload(t *testing.T, st Statement) []byte {
	t.Helper()
	text, err := st.Payload()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestShortenKeepsALogBelowItsBound(t *testing.T) {
	o, artifacts, meta := large(t, 10_000, 5000, short)
	whole, st, byproduct := shortened(t, o, artifacts, meta)
	text := payload(t, st)
	if len(text) > maxInline || len(text) < maxInline/2 {
		t.Errorf("a payload of %d bytes, wanted at most %d and not much less", len(text), maxInline)
	}
	p, all := st.Predicate, whole.Predicate
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"subjects", st.Subject, whole.Subject},
		{"learning model", p.VerifiedLearningModel, all.VerifiedLearningModel},
		{"frozen models", p.FrozenModels, all.FrozenModels},
		{"elimination", p.Elimination, all.Elimination},
		{"calls", p.Converter.Calls, all.Converter.Calls},
		{"findings of weight", serious(p.Findings), serious(all.Findings)},
		{"inputs of weight", weighty(p.Inputs, "data"), weighty(all.Inputs, "data")},
		{"outputs of weight", weighty(p.Outputs, "other", "report", "cache"), weighty(all.Outputs, "other", "report", "cache")},
		{"scripts' digests", digestsOf(p.Converter.Scripts), digestsOf(all.Converter.Scripts)},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s were not kept: %v", c.what, c.got)
		}
	}
	for _, needed := range []string{"torch", "numpy"} { // the framework, and what was modified
		has := func(x Package) bool { return x.Name == needed }
		if slices.ContainsFunc(all.Packages, has) && !slices.ContainsFunc(p.Packages, has) {
			t.Errorf("package %s was moved out", needed)
		}
	}
	if p.Shortened[0].List != "inputs" || p.Shortened[0].Total != len(all.Inputs) || p.Shortened[0].Moved != len(all.Inputs)-len(p.Inputs)+1 {
		t.Errorf("%+v, of %d inputs, %d in the log", p.Shortened[0], len(all.Inputs), len(p.Inputs))
	}
	restores(t, whole, text, byproduct)
}

// restores checks that a log and its by-product are together the whole log.
func restores(t *testing.T, whole Statement, text, byproduct []byte) {
	t.Helper()
	read, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Restore(bytes.NewReader(byproduct)); err != nil {
		t.Fatal(err)
	}
	read.Predicate.Shortened = nil
	got, err := encode(read)
	if err != nil {
		t.Fatal(err)
	}
	want, err := encode(whole)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("restored, the log differs from the whole one:\n%.300s\n%.300s", got[max(at-100, 0):], want[max(at-100, 0):])
	}
}

func serious(findings []Finding) (list []Finding) {
	for _, f := range findings {
		if f.Severity != "note" {
			list = append(list, f)
		}
	}
	return list
}

func weighty(files []ResourceDescriptor, light ...string) (list []ResourceDescriptor) {
	for _, d := range files {
		if !slices.Contains(light, d.Annotations.Role) {
			list = append(list, d)
		}
	}
	return list
}

func digestsOf(scripts []Script) (list []string) {
	for _, s := range scripts {
		list = append(list, s.Name+s.Digest["sha256"])
	}
	return list
}

// TestShortenAlwaysFits has runs of which even what should stay is too much.
func TestShortenAlwaysFits(t *testing.T) {
	for name, change := range map[string]func(*runner.Observation, []Artifact) []Artifact{
		"long paths": func(o *runner.Observation, a []Artifact) []Artifact { return a },
		"models of many files": func(o *runner.Observation, a []Artifact) []Artifact {
			for i := range 1200 {
				path := long("part", i)
				a[1].Files = append(a[1].Files, path)
				o.Files = append(o.Files, runner.File{Path: path, Class: runner.Output, Written: true, SHA256: hash(i)})
			}
			return a
		},
		"code alone": func(o *runner.Observation, a []Artifact) []Artifact {
			for i := range 1200 {
				o.Files = append(o.Files, runner.File{Path: long("code", i) + ".py", Class: runner.Code, Read: true, SHA256: hash(i)})
			}
			return a
		},
		"arguments": func(o *runner.Observation, a []Artifact) []Artifact {
			for range 100 {
				o.Argv = append(o.Argv, strings.Repeat("a", 128<<10))
			}
			o.Argv[0] = strings.Repeat("b", 12<<20)
			o.Python.Calls[0].Arguments = map[string]any{"x": strings.Repeat("c", 12<<20), "n": json.Number("17"), "list": slices.Repeat([]any{"element"}, 100_000), "none": nil}
			return a
		},
		"a wide graph": func(o *runner.Observation, a []Artifact) []Artifact {
			m := onnxModel()
			for i := range 100_000 {
				m.Operators[fmt.Sprintf("%0100d", i)] = 1
				m.Inputs = append(m.Inputs, model.Value{Name: fmt.Sprintf("%0100d", i), DType: "float32", Shape: []string{"1"}})
			}
			a[1].Model = m
			return a
		},
		"many errors": func(o *runner.Observation, a []Artifact) []Artifact {
			for i := range 10_000 {
				o.Python.Warnings = append(o.Python.Warnings, python.Warning{Source: python.Uncaught, Category: "E", Message: fmt.Sprint(i, strings.Repeat("e", 1000))})
			}
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, artifacts, meta := large(t, 300, 10, long)
			whole, st, byproduct := shortened(t, o, change(o, artifacts), meta)
			text := payload(t, st)
			if len(text) > maxKept {
				t.Errorf("a payload of %d bytes, wanted at most %d", len(text), maxKept)
			}
			if st.Subject[0].Digest["sha256"] != whole.Subject[0].Digest["sha256"] || len(st.Subject) > maxSubjects {
				t.Errorf("%d subjects, the first is %v", len(st.Subject), st.Subject[0])
			}
			if slices.ContainsFunc(st.Predicate.Shortened, func(s Shortened) bool { return s.List == "*" }) {
				if _, err := Parse(text); err != nil {
					t.Error(err)
				}
				return // texts were cut: the log cannot be had whole again
			}
			restores(t, whole, text, byproduct)
		})
	}
}

// TestShortenLeavesAnOrdinaryLog holds that nothing is said where nothing was
// moved.
func TestShortenLeavesAnOrdinaryLog(t *testing.T) {
	whole, st, _ := shortened(t, exportRun(t), exportArtifacts(), Meta{})
	if !bytes.Equal(payload(t, st), payload(t, whole)) {
		t.Errorf("the log of a small run was changed")
	}
}

func TestRestoreRefuses(t *testing.T) {
	st := New(exportRun(t), exportArtifacts(), Meta{})
	head := fmt.Sprintf(`{"_type":%q,"invocationId":%q}`+"\n", ByproductType, st.Predicate.Run.InvocationID)
	for name, text := range map[string]string{
		"nothing":            "",
		"another run's":      strings.Replace(head, st.Predicate.Run.InvocationID, "other", 1),
		"another type":       strings.Replace(head, "byproduct/v1", "byproduct/v2", 1),
		"no JSON":            head + "{\n",
		"a duplicate key":    head + `{"list":"inputs","list":"outputs","item":{}}` + "\n",
		"another kind":       head + `{"list":"inputs","item":"text"}` + "\n",
		"a line too long":    head + `{"list":"capture.notes","item":"` + strings.Repeat("x", maxLine) + `"}` + "\n",
		"a key's other case": head + `{"list":"inputs","item":{"Name":"x"}}` + "\n",
	} {
		if err := st.Restore(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), "read by-product: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := st.Restore(strings.NewReader(head + `{"list":"later","item":{}}` + "\n")); err != nil {
		t.Errorf("a list that is not known: %v", err)
	}
}
