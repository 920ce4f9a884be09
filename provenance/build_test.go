package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// hash is a made-up SHA-256 that tells one file from another.
func hash(n int) string { return fmt.Sprintf("%064x", n) }

// exportRun is a run of export.py that reads a checkpoint and writes a model
// with external data, a report, a cache and something temporary.
func exportRun(t *testing.T) *runner.Observation {
	t.Helper()
	data, err := os.ReadFile("../testdata/observation/export.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var o runner.Observation
	if err := decoder.Decode(&o); err != nil {
		t.Fatal(err)
	}
	return &o
}

func onnxModel() *model.Model {
	m := &model.Model{
		Format: "onnx", FormatVersion: "IR 8", Producer: "pytorch", Main: "m.onnx", Opsets: map[string]int64{"": 18},
		Inputs: []model.Value{}, Outputs: []model.Value{}, Operators: map[string]int{"Conv": 1}, Parameters: 12, Parts: []model.Part{}, Findings: []model.Finding{},
	}
	for _, operation := range model.Operations {
		m.Elimination = append(m.Elimination, model.Verdict{Operation: operation, Status: model.Absent, Evidence: []string{"none"}})
	}
	return m
}

func exportArtifacts() []Artifact {
	checkpoint := onnxModel()
	checkpoint.Format, checkpoint.Elimination = "torch", nil
	return []Artifact{
		{Path: "/data/real.pt", Purpose: model.ForTraining, Model: checkpoint, Files: []string{"/data/real.pt"}},
		{Path: "/work/out/m.onnx", Purpose: model.ForDeployment, Model: onnxModel(), Files: []string{"/work/out/m.onnx", "/work/out/m.onnx.data"}},
	}
}

func names(descriptors []ResourceDescriptor) (names []string) {
	for _, d := range descriptors {
		role := ""
		if d.Annotations != nil {
			role = d.Annotations.Role + " "
		}
		names = append(names, role+d.Name)
	}
	return names
}

func TestNew(t *testing.T) {
	st := New(exportRun(t), exportArtifacts(), Meta{Responsible: Responsible{Name: "Ada", Source: "flag"}, Scripts: map[string]ScriptText{"/work/export.py": {Text: "import net", Encoding: "utf-8"}}})
	p := st.Predicate
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"ID", p.Conversion.ID, "m-20261123-0d9c7a52"},
		{"date", p.Conversion.Date, "2026-11-23"},
		{"subjects", names(st.Subject), []string{"m.onnx", "m.onnx.data"}},
		{"outputs", names(p.Outputs), []string{"cache /work/__pycache__/net.pyc", "report /work/export.log", "model m.onnx", "external-data m.onnx.data"}},
		{"inputs", names(p.Inputs), []string{"model /data/real.pt", "data export.log", "code export.py"}},
		{"input behind a link", p.Inputs[0].Annotations.RequestedAs, "weights.pt"},
		{"input by its own name", p.Inputs[2].Annotations.RequestedAs, ""},
		{"overwritten input", p.Inputs[1].Digest["sha256"], hash(7)},
		{"overwritten input is marked", p.Inputs[1].Annotations.Overwritten, true},
		{"learning model", names(p.VerifiedLearningModel.Artifacts), []string{"model /data/real.pt"}},
		{"learning model's format", p.VerifiedLearningModel.Artifacts[0].Annotations.Format, "torch"},
		{"learning model's ID is not guessed", p.VerifiedLearningModel.ID, "unknown: not given (--model ID@VERSION)"},
		{"converter", p.Converter.Name + " " + p.Converter.Version, "torch.onnx.export 2.15.0"},
		{"script", p.Converter.Scripts[0].Text, "import net"},
		{"framework", p.Framework.PURL, "pkg:pypi/torch@2.15.0"},
		{"dropout", string(p.Elimination[0].Status) + " " + p.Elimination[0].Verdict, "eliminated pass"},
		{"batch normalisation", string(p.Elimination[1].Status) + " " + p.Elimination[1].Verdict, "absent pass"},
		{"libraries", names(p.Environment.Libraries), []string{"/usr/lib/libc.so.6"}},
		{"further system files", p.Environment.SystemFiles, 1},
		{"endpoint", p.Run.Network[1], Endpoint{Family: "ip6", Address: "::1", Port: 443}},
		{"interpreter's digest", p.Environment.Interpreters[0].Digest["sha256"], hash(1)},
		{"commit", p.Converter.Source.Commit, "unknown: not in a git repository"},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("%s is %v, wanted %v", c.what, c.got, c.want)
		}
	}
	var ids []string
	for _, f := range p.Findings {
		ids = append(ids, f.ID)
	}
	if want := []string{"CR-OPSET", "CR-PACKAGE-MODIFIED"}; !slices.Equal(ids, want) {
		t.Errorf("findings are %v, wanted %v", ids, want)
	}
}

func TestFrozen(t *testing.T) {
	output := func(path string, size int64) runner.File {
		return runner.File{Path: path, Class: runner.Output, Written: true, Size: size}
	}
	artifact := func(path string, purpose model.Purpose) Artifact {
		return Artifact{Path: path, Purpose: purpose, Model: &model.Model{}, Files: []string{path}}
	}
	encoder, decoder := artifact("/w/enc/m.onnx", model.ForDeployment), artifact("/w/dec/m.onnx", model.ForDeployment)
	checkpoint, source := artifact("/w/last.pt", model.ForTraining), artifact("/w/source.onnx", model.ForDeployment)
	for _, c := range []struct {
		name      string
		files     []runner.File
		artifacts []Artifact
		writes    []string
		declared  string
		want      string
		base      string
		reads     []string
	}{
		{"none", []runner.File{output("/w/a.txt", 1)}, nil, nil, "", "", "/w", nil},
		{"an input is none", []runner.File{{Path: "/w/source.onnx", Class: runner.Input, Read: true}}, []Artifact{source}, nil, "", "", "/w", nil},
		{"deployment before training", []runner.File{output("/w/last.pt", 9), output("/w/enc/m.onnx", 1)}, []Artifact{checkpoint, encoder}, nil, "", "/w/enc/m.onnx", "/w/enc", nil},
		{"training when it is all", []runner.File{output("/w/last.pt", 9)}, []Artifact{checkpoint}, nil, "", "/w/last.pt", "/w", nil},
		{"several, the larger first", []runner.File{output("/w/dec/m.onnx", 2), output("/w/enc/m.onnx", 3)}, []Artifact{decoder, encoder}, nil, "", "/w/enc/m.onnx /w/dec/m.onnx", "/w", nil},
		{"what the call wrote comes first", []runner.File{output("/w/dec/m.onnx", 2), output("/w/enc/m.onnx", 3)}, []Artifact{decoder, encoder}, []string{"/w/dec/m.onnx"}, "", "/w/dec/m.onnx /w/enc/m.onnx", "/w", nil},
		{"what was declared", []runner.File{output("/w/dec/m.onnx", 2), output("/w/enc/m.onnx", 3)}, []Artifact{decoder, encoder}, []string{"/w/dec/m.onnx"}, "/w/enc/m.onnx", "/w/enc/m.onnx", "/w/enc", nil},
		{"what was written into a folder", []runner.File{output("/w/dec/m.onnx", 2), output("/w/enc/m.onnx", 3)}, []Artifact{decoder, encoder}, []string{"/w/dec/"}, "", "/w/dec/m.onnx /w/enc/m.onnx", "/w", nil},
		{"a folder whose name only begins so", []runner.File{output("/w/dec/m.onnx", 2), output("/w/enc/m.onnx", 3)}, []Artifact{decoder, encoder}, []string{"/w/de"}, "", "/w/enc/m.onnx /w/dec/m.onnx", "/w", nil},
		{"a step on the way comes last", []runner.File{output("/w/dec/m.onnx", 2), output("/w/enc/m.onnx", 3)}, []Artifact{decoder, encoder}, []string{"/w/dec/m.onnx", "/w/enc/m.onnx"}, "", "/w/dec/m.onnx /w/enc/m.onnx", "/w", []string{"/w/enc/m.onnx"}},
	} {
		o := &runner.Observation{WorkingDirectory: "/w", Files: c.files}
		for i := range o.Files {
			o.Files[i].Declared = o.Files[i].Path == c.declared
		}
		if c.writes != nil {
			o.Python.Calls = []python.Call{{Writes: c.writes}, {Reads: c.reads}}
		}
		var paths []string
		frozen := Frozen(o, c.artifacts)
		for _, a := range frozen {
			paths = append(paths, a.Path)
		}
		if got := strings.Join(paths, " "); got != c.want {
			t.Errorf("%s: %q, wanted %q", c.name, got, c.want)
		}
		if got := Base(o, frozen); got != c.base {
			t.Errorf("%s: base %q, wanted %q", c.name, got, c.base)
		}
	}
}

// TestOpsetOfSeveralCalls holds each call against what it made, and no call
// that made nothing against anything.
func TestOpsetOfSeveralCalls(t *testing.T) {
	asks := func(opset, outcome string, writes ...string) python.Call {
		return python.Call{
			Function: "torch.onnx.export", Given: []string{"opset_version"}, Arguments: map[string]any{"opset_version": json.Number(opset)},
			Writes: writes, Outcome: outcome,
		}
	}
	for _, c := range []struct {
		name  string
		calls []python.Call
		want  bool
	}{
		{"as asked", []python.Call{asks("18", "returned", "/w/m.onnx")}, false},
		{"not as asked", []python.Call{asks("17", "returned", "/w/m.onnx")}, true},
		{"renamed since", []python.Call{asks("17", "returned", "/w/part")}, true},
		{"another call wrote it since", []python.Call{asks("17", "returned", "/w/m.onnx"), asks("18", "returned", "/w/m.onnx")}, false},
		{"another file", []python.Call{asks("18", "returned", "/w/m.onnx"), asks("13", "returned", "/w/other.onnx")}, false},
		{"it failed", []python.Call{asks("99", "raised: ValueError", "/w/m.onnx"), asks("18", "returned", "/w/m.onnx")}, false},
		{"into a buffer, nothing else", []python.Call{asks("17", "returned")}, true},
		{"into a buffer, beside another", []python.Call{asks("17", "returned"), asks("18", "returned", "/w/m.onnx")}, false},
	} {
		o := &runner.Observation{WorkingDirectory: "/w", Argv: []string{"python", "x.py"}, Files: []runner.File{{Path: "/w/m.onnx", RenamedFrom: "/w/part", Class: runner.Output, Written: true, SHA256: strings.Repeat("a", 64)}}}
		o.Python.Calls = c.calls
		st := New(o, []Artifact{{Path: "/w/m.onnx", Purpose: model.ForDeployment, Model: onnxModel(), Files: []string{"/w/m.onnx"}}}, Meta{})
		got := slices.ContainsFunc(st.Predicate.Findings, func(f Finding) bool { return f.ID == "CR-OPSET" })
		if got != c.want {
			t.Errorf("%s: CR-OPSET %v, wanted %v", c.name, got, c.want)
		}
	}
}

// TestConverterIsWhatMadeTheMainModel holds that a call on the way to it, and
// one that only saves, do not name the conversion.
func TestConverterIsWhatMadeTheMainModel(t *testing.T) {
	call := func(function string, saves bool, writes ...string) python.Call {
		return python.Call{Function: function, Package: "skl2onnx", Saves: saves, Writes: writes, Outcome: "returned"}
	}
	for want, calls := range map[string][]python.Call{
		"last":  {call("first", false), call("last", false, "/w/m.onnx")},
		"first": {call("save", true, "/w/m.onnx"), call("first", false), call("last", false, "/w/other.onnx")},
	} {
		o := &runner.Observation{WorkingDirectory: "/w", Argv: []string{"python", "x.py"}, Files: []runner.File{{Path: "/w/m.onnx", Class: runner.Output, Written: true, SHA256: strings.Repeat("a", 64)}}}
		o.Python.Calls = calls
		o.Distributions = []python.Distribution{{Name: "torch", Version: "2.15.0"}, {Name: "scikit-learn", Version: "1.9.1"}}
		p := New(o, []Artifact{{Path: "/w/m.onnx", Purpose: model.ForDeployment, Model: onnxModel(), Files: []string{"/w/m.onnx"}}}, Meta{}).Predicate
		if p.Converter.Name != want || p.Framework.Name != "scikit-learn" {
			t.Errorf("converter %s of framework %s, wanted %s of scikit-learn", p.Converter.Name, p.Framework.Name, want)
		}
	}
}

func TestFrameworkIsThatOfTheConverter(t *testing.T) {
	for _, c := range []struct {
		calls []python.Call
		want  string
	}{
		{nil, "torch"},
		{[]python.Call{{Package: "onnxsim"}}, "onnx"},
		{[]python.Call{{Package: "onnx", Saves: true}}, "torch"},
		{[]python.Call{{Package: "skl2onnx"}, {Package: "onnxruntime"}}, "scikit-learn"},
		{[]python.Call{{Package: "onnxmltools", Function: "onnxmltools.convert_lightgbm"}}, "lightgbm"},
		{[]python.Call{{Package: "onnxmltools", Function: "onnxmltools.convert_sklearn"}}, "scikit-learn"},
	} {
		o := &runner.Observation{}
		for _, name := range []string{"torch", "onnx", "scikit-learn", "lightgbm"} {
			o.Distributions = append(o.Distributions, python.Distribution{Name: name, Version: "1"})
		}
		o.Python.Calls = c.calls
		if got := frameworkOf(o); got.Name != c.want {
			t.Errorf("%+v: framework %s, wanted %s", c.calls, got.Name, c.want)
		}
	}
}

func TestScriptedModulesAreCounted(t *testing.T) {
	m := &python.Model{Class: "torch.jit.RecursiveScriptModule", Modules: []python.ModuleCount{{Class: "torch.jit._script.RecursiveScriptModule[Dropout]", Count: 2}}}
	if side := census("torch.onnx.export", m, graphClasses[model.Dropout]); side.Status != model.Present || side.Mode != model.Inference {
		t.Errorf("%+v", side)
	}
}

func TestEvidenceNamesItsModel(t *testing.T) {
	frozen := []Artifact{{Path: "/w/enc.onnx", Model: onnxModel()}, {Path: "/w/dec.onnx", Model: onnxModel()}}
	if side := frozenSide(frozen, model.Dropout); !slices.Equal(side.Evidence, []string{"enc.onnx: none", "dec.onnx: none"}) {
		t.Errorf("%q", side.Evidence)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		status model.Status
		mode   model.Mode
		want   string
	}{
		{model.Present, model.Training, "fail"}, {model.Present, model.Inference, "pass"}, {model.Present, model.Latent, "review"},
		{model.Folded, model.None, "pass"}, {model.Eliminated, model.None, "pass"}, {model.Absent, model.None, "pass"},
		{model.Absent, model.NotRepresentable, "pass"}, {model.Unknown, model.None, "review"},
	} {
		if got := verdict(c.status, c.mode); got != c.want {
			t.Errorf("%s/%s is %s, wanted %s", c.status, c.mode, got, c.want)
		}
	}
}

// TestEliminationNeedsASource holds that nothing counts as eliminated because
// the frozen model alone does not have it, and that unknown stays unknown.
func TestEliminationNeedsASource(t *testing.T) {
	frozen := exportArtifacts()[1:]
	for _, c := range []struct {
		source, frozen, want model.Status
	}{
		{model.Present, model.Absent, model.Eliminated}, {model.Unknown, model.Absent, model.Absent}, {model.Absent, model.Absent, model.Absent},
		{model.Present, model.Unknown, model.Unknown}, {model.Present, model.Folded, model.Folded}, {model.Present, model.Present, model.Present},
	} {
		frozen[0].Model.Elimination[0].Status = c.frozen
		rows := eliminationRows(frozen, map[model.Operation]EliminationSide{model.Dropout: {Status: c.source}})
		if rows[0].Status != c.want {
			t.Errorf("source %s, frozen %s gives %s, wanted %s", c.source, c.frozen, rows[0].Status, c.want)
		}
	}
	if rows := eliminationRows(nil, nil); rows[0].Verdict != "review" {
		t.Errorf("no frozen model gives %s", rows[0].Verdict)
	}
}

// TestSourceThatCannotTell holds that a trained model whose format has no place
// for an operation does not say that it was trained without it.
func TestSourceThatCannotTell(t *testing.T) {
	artifacts := exportArtifacts()
	for _, c := range []struct {
		status model.Status
		mode   model.Mode
		want   model.Status
	}{
		{model.Absent, model.NotRepresentable, model.Unknown},
		{model.Absent, model.None, model.Absent},
		{model.Present, model.Latent, model.Present},
	} {
		artifacts[0].Model.Elimination = []model.Verdict{{Operation: model.WeightRegularization, Status: c.status, Mode: c.mode, Evidence: []string{"seen"}}}
		side := sourceVerdicts(exportRun(t), artifacts)[model.WeightRegularization]
		if side.Status != c.want || c.want == model.Unknown && side.Mode != model.None || len(side.Evidence) != 1 || side.Evidence[0] != "seen" {
			t.Errorf("%s %s: %+v", c.status, c.mode, side)
		}
	}
}

func TestFileURI(t *testing.T) {
	for path, want := range map[string]string{
		"/a/b.onnx": "file:///a/b.onnx", "/a b": "file:///a%20b", "/\xff\n": "file:///%FF%0A", "/ü": "file:///%C3%BC", "/a#?%": "file:///a%23%3F%25",
	} {
		if got := FileURI(path); got != want {
			t.Errorf("%q gives %s, wanted %s", path, got, want)
		}
	}
}

func TestTextName(t *testing.T) {
	for name, want := range map[string]string{"a b%20.onnx": "a b%20.onnx", "bad\xff\xfe%.onnx": "bad%FF%FE%25.onnx", "ü\xff": "ü%FF"} {
		text := TextName(name)
		if text != want {
			t.Errorf("%q is written %q, wanted %q", name, text, want)
		}
		if back, ok := FileName(text); ok != (text != name) || ok && back != name {
			t.Errorf("%q is read back as %q, %v", text, back, ok)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good, err := os.ReadFile("../testdata/statement/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"another type":          {StatementType, "https://in-toto.io/Statement/v0.1"},
		"another predicate":     {PredicateType, "https://slsa.dev/provenance/v1"},
		"a key of another case": {`"subject"`, `"Subject"`},
		"trailing data":         {"", "x"},
	} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("../testdata/statement/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := Parse(data)
		if err != nil {
			return
		}
		if st.Type != StatementType || st.PredicateType != PredicateType {
			t.Errorf("accepted %q, %q", st.Type, st.PredicateType)
		}
		if _, err := st.Payload(); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func TestEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"ip4 192.0.2.1:443": {Family: "ip4", Address: "192.0.2.1", Port: 443}, "ip6 [::1]:9": {Family: "ip6", Address: "::1", Port: 9},
		"unix /run/a b:1": {Family: "unix", Address: "/run/a b:1"}, "unix @a\xff": {Family: "unix", Address: "@a%FF"},
	} {
		if got, ok := endpointOf(text); !ok || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, ok, want)
		}
	}
	if got, ok := endpointOf("ip4 nonsense"); ok {
		t.Errorf("nonsense: %+v", got)
	}
}

// What the numbers of the models show goes into the row, and raises a finding
// when a batch normalization was not found.
func TestFoldingProof(t *testing.T) {
	frozen := func(f *model.Folding) []Artifact {
		verdicts := []model.Verdict{{Operation: model.BatchNormalization, Status: model.Absent}}
		return []Artifact{{Path: "/w/m.onnx", Model: &model.Model{Elimination: verdicts}, Folding: f, FoldedFrom: "/w/weights.pt"}}
	}
	source := map[model.Operation]EliminationSide{model.BatchNormalization: {Status: model.Present}}
	for _, c := range []struct {
		folding *model.Folding
		status  model.Status
		proof   string
	}{
		{nil, model.Eliminated, ""},
		{&model.Folding{Layers: 2, Folded: 2}, model.Folded, "weights.pt in m.onnx: 2 of 2 are accounted for"},
		{&model.Folding{Layers: 2, Folded: 1, Missing: []string{"bn2"}}, model.Eliminated, "not found: bn2"},
	} {
		for _, row := range eliminationRows(frozen(c.folding), source) {
			if row.Operation != model.BatchNormalization {
				continue
			}
			if row.Status != c.status || !strings.Contains(row.Proof, c.proof) || (c.proof == "") != (row.Proof == "") {
				t.Errorf("%v: %s, %q", c.folding, row.Status, row.Proof)
			}
		}
	}
}

// TestMainCall holds which call a conversion is named after.
func TestMainCall(t *testing.T) {
	save := python.Call{Function: "save", Saves: true, Writes: []string{"/w/m.onnx"}}
	elsewhere := python.Call{Function: "elsewhere", Writes: []string{"/w/first.onnx"}}
	unseen := python.Call{Function: "unseen"}
	made := python.Call{Function: "made", Writes: []string{"/w/m"}}
	added := python.Call{Function: "added", Added: true, Writes: []string{"/w/m.onnx"}}
	for want, calls := range map[string][]python.Call{
		"made":      {save, added, elsewhere, unseen, made},
		"unseen":    {save, added, elsewhere, unseen},
		"elsewhere": {save, added, elsewhere},
		"added":     {save, added},
		"save":      {save},
	} {
		o := &runner.Observation{WorkingDirectory: "/w", Argv: []string{"python", "x.py"}, Files: []runner.File{{Path: "/w/m.onnx", Class: runner.Output, Written: true, SHA256: strings.Repeat("a", 64)}}}
		o.Python.Calls = calls
		st := New(o, []Artifact{{Path: "/w/m.onnx", Purpose: model.ForDeployment, Model: onnxModel(), Files: []string{"/w/m.onnx"}}}, Meta{})
		if got := st.Predicate.Converter.Name; got != want {
			t.Errorf("named after %s, wanted %s", got, want)
		}
	}
}
