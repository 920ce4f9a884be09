package python

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// binding is what testdata/python/bind.py says of one call.
type binding struct {
	Case      string         `json:"case"`
	Given     []string       `json:"given"`
	Arguments map[string]any `json:"arguments"`
}

// bindings runs a converter script without the observer to learn what
// inspect.signature makes of its calls.
func bindings(t *testing.T, b bench, argv []string, cases []string) []binding {
	t.Helper()
	file := filepath.Join(b.home, "bindings.json")
	result := b.run(t, b.environ, slices.Concat(argv, []string{"--bind", file}, cases)...)
	if result.exit != 0 {
		t.Fatalf("%q: %s", argv, result.stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []binding
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

func script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "testdata", "python", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// conversions leaves out the calls that only save.
func conversions(record Record) []Call {
	return slices.DeleteFunc(slices.Clone(record.Calls), func(c Call) bool { return c.Saves })
}

// holdsBindings holds that each call was recorded with the arguments that the
// binding of the same call has.
func holdsBindings(t *testing.T, want []binding, calls []Call) {
	t.Helper()
	want = slices.DeleteFunc(slices.Clone(want), func(b binding) bool { return b.Arguments == nil })
	if len(want) != len(calls) {
		t.Fatalf("%d calls recorded, want %d", len(calls), len(want))
	}
	for i, call := range calls {
		if !slices.Equal(call.Given, want[i].Given) {
			t.Errorf("%s: given %q, want %q", want[i].Case, call.Given, want[i].Given)
		}
		if len(call.Arguments) != len(want[i].Arguments) {
			t.Errorf("%s: %d arguments recorded, want %d", want[i].Case, len(call.Arguments), len(want[i].Arguments))
		}
		for name, value := range want[i].Arguments {
			if got, ok := call.Arguments[name]; !ok || !reflect.DeepEqual(got, value) {
				t.Errorf("%s: %s is recorded as %v, want %v", want[i].Case, name, got, value)
			}
		}
	}
}

func TestTorchExport(t *testing.T) {
	t.Parallel()
	python := environment(t, "torch")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	cases := []string{"legacy", "verbose", "training", "buffer", "dynamo", "fail", "wrong"}
	argv := []string{python, script(t, "torch_export.py")}
	want := bindings(t, b, argv, cases)
	result, record := b.transparent(t, slices.Concat(argv, cases)...)
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	if !strings.Contains(result.stderr, "ValueError: no such layer") || result.files["/dynamo.onnx.data"] == "" || result.files["/legacy.onnx"] == "" {
		t.Fatalf("the script did not do what the test is about: %+v", result)
	}
	holdsBindings(t, want, record.Calls)
	for i, call := range record.Calls {
		if call.Function != "torch.onnx.export" || call.Package != "torch" || !strings.HasSuffix(call.File, "/torch/onnx/__init__.py") || len(call.Arguments) < 25 {
			t.Errorf("call %+v", call)
		}
		wantOutcome := "returned"
		if cases[i] == "fail" {
			wantOutcome = "raised: ValueError: no such layer: 3"
		}
		if call.Outcome != wantOutcome || call.Duration <= 0 {
			t.Errorf("%s: %s after %v, want %s", cases[i], call.Outcome, call.Duration, wantOutcome)
		}
		wantFile := []string{filepath.Join(b.work, cases[i]+".onnx")}
		if cases[i] == "buffer" {
			wantFile = []string{}
		}
		if !slices.Equal(call.Writes, wantFile) {
			t.Errorf("%s: writes %q, want %q", cases[i], call.Writes, wantFile)
		}
	}
	holdsSmall(t, record.Calls[0].Model, false)
	holdsSmall(t, record.Calls[2].Model, true)
	holdsTorchWarnings(t, record.Warnings)
	holdsTorchFacts(t, record.Frameworks)
}

// holdsSmall holds a census against the network of torch_export.py.
func holdsSmall(t *testing.T, got *Model, training bool) {
	t.Helper()
	count := 0
	if training {
		count = 1
	}
	want := &Model{
		Class: "__main__.Small", Training: &training,
		Parameters: 3*4*3*3 + 4 + 4 + 4 + 4*2 + 2,
		Modules: []ModuleCount{
			{"__main__.Small", 1, count},
			{"torch.nn.modules.batchnorm.BatchNorm2d", 1, count},
			{"torch.nn.modules.conv.Conv2d", 1, count},
			{"torch.nn.modules.dropout.Dropout", 1, count},
			{"torch.nn.modules.linear.Linear", 1, count},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("model %+v, want %+v", got, want)
	}
}

func holdsTorchWarnings(t *testing.T, warnings []Warning) {
	t.Helper()
	for _, want := range []struct{ category, message, file string }{
		{"UserWarning", "one of the script's own", "/torch_export.py"},
		{"DeprecationWarning", "You are using the legacy TorchScript-based ONNX export.", ""},
		{"torch.jit._trace.TracerWarning", "Converting a tensor to a Python integer", "/torch_export.py"},
	} {
		if !slices.ContainsFunc(warnings, func(w Warning) bool {
			return w.Source == "warnings" && w.Category == want.category && strings.HasPrefix(w.Message, want.message) && strings.HasSuffix(w.File, want.file) && w.Line > 0
		}) && want.category != "DeprecationWarning" { // shown only for calls made in __main__
			t.Errorf("no warning %+v among %+v", want, warnings)
		}
	}
}

func holdsTorchFacts(t *testing.T, frameworks []Framework) {
	t.Helper()
	var names []string
	for _, f := range frameworks {
		names = append(names, f.Name)
		if f.Name != "torch" {
			continue
		}
		for _, name := range []string{"git_version", "debug", "onednn", "mkl"} {
			if f.Build[name] == "" {
				t.Errorf("torch: no build fact %s in %v", name, f.Build)
			}
		}
		for name, want := range map[string]string{
			"torch.initial_seed": "0", "torch.default_dtype": "torch.float32",
			"torch.deterministic_algorithms": "false", "torch.cudnn_benchmark": "false",
		} {
			if f.Numerics[name] != want {
				t.Errorf("torch: %s is %q, want %q", name, f.Numerics[name], want)
			}
		}
		if f.Numerics["torch.num_threads"] == "" || f.Version == "" {
			t.Errorf("torch: %+v", f)
		}
	}
	if want := []string{"onnx", "torch"}; !slices.Equal(names, want) {
		t.Errorf("frameworks %q, want %q", names, want)
	}
}

// The program that torch.onnx.export returns is saved later: one conversion,
// and one call that only saves.
func TestTorchSave(t *testing.T) {
	t.Parallel()
	python := environment(t, "torch")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	_, record := b.observed(t, python, script(t, "torch_export.py"), "saved")
	if len(record.Calls) != 2 || len(conversions(record)) != 1 {
		t.Fatalf("calls %+v", record.Calls)
	}
	export, save := record.Calls[0], record.Calls[1]
	if export.Function != "torch.onnx.export" || len(export.Writes) != 0 || export.Arguments["f"] != nil || export.Saves {
		t.Errorf("export %+v", export)
	}
	if save.Function != "torch.onnx.ONNXProgram.save" || !save.Saves || !slices.Equal(save.Writes, []string{filepath.Join(b.work, "saved.onnx")}) {
		t.Errorf("save %+v", save)
	}
	if want := []string{"self", "destination", "include_initializers"}; !slices.Equal(save.Given, want) {
		t.Errorf("save was given %q, want %q", save.Given, want)
	}
}

// With -W error the exporter's own deprecation warning ends the call.
func TestTorchWarningsAsErrors(t *testing.T) {
	t.Parallel()
	python := environment(t, "torch")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	code := "import torch; torch.onnx.export(torch.nn.Identity(), (torch.zeros(1),), 'a.onnx', dynamo=False)"
	result, record := b.transparent(t, python, "-W", "error::DeprecationWarning:__main__", "-c", code)
	if result.exit != 1 || len(record.Calls) != 1 || !strings.HasPrefix(record.Calls[0].Outcome, "raised: DeprecationWarning: You are using the legacy") {
		t.Errorf("%+v, recorded %+v", result, record.Calls)
	}
	if !strings.Contains(result.stderr, `File "<string>", line 1`) {
		t.Errorf("the traceback does not show the caller: %s", result.stderr)
	}
}

func TestTF2ONNXFunctions(t *testing.T) {
	t.Parallel()
	python := environment(t, "tensorflow")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	cases := []string{"keras", "function", "graph_def", "tflite", "fail"}
	argv := []string{python, script(t, "tensorflow_convert.py")}
	want := bindings(t, b, argv, cases)
	result, record := b.transparent(t, slices.Concat(argv, cases)...)
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	if result.files["/keras.onnx"] == "" || result.files["/tflite.onnx"] == "" || !strings.Contains(result.stderr, "KeyError: 'dense'") {
		t.Fatalf("the script did not do what the test is about: %+v", result)
	}
	// What the converters call among themselves is no call of its own; the
	// script makes others before it calls from_tflite.
	calls := slices.DeleteFunc(slices.Clone(record.Calls), func(c Call) bool { return c.Package != "tf2onnx" })
	holdsBindings(t, want, calls)
	for i, call := range calls {
		function := "tf2onnx.convert.from_" + cases[i]
		outcome := "returned"
		if cases[i] == "fail" {
			function, outcome = "tf2onnx.convert.from_keras", "raised: KeyError: 'dense'"
		}
		if call.Function != function || call.Outcome != outcome || call.Version == "" {
			t.Errorf("%s: call %+v", cases[i], call)
		}
	}
	if want := []string{filepath.Join(b.work, "double.tflite")}; !slices.Equal(calls[3].Reads, want) {
		t.Errorf("from_tflite reads %q, want %q", calls[3].Reads, want)
	}
	if want := []string{filepath.Join(b.work, "keras.onnx")}; !slices.Equal(calls[0].Writes, want) {
		t.Errorf("from_keras writes %q, want %q", calls[0].Writes, want)
	}
	model := &Model{
		Class: "keras.src.models.functional.Functional", Parameters: 8*2 + 2,
		Modules: []ModuleCount{
			{"keras.src.layers.core.dense.Dense", 1, 0},
			{"keras.src.layers.core.input_layer.InputLayer", 1, 0},
			{"keras.src.layers.regularization.dropout.Dropout", 1, 0},
			{"keras.src.models.functional.Functional", 1, 0},
		},
	}
	// A dropout layer has a seed generator, whose state is a weight of two.
	got := calls[0].Model
	if got != nil && got.Parameters == model.Parameters+2 {
		got.Parameters -= 2
	}
	if !reflect.DeepEqual(got, model) {
		t.Errorf("model %+v, want %+v", got, model)
	}
	if !slices.ContainsFunc(record.Warnings, func(w Warning) bool { return w.Source == "tensorflow" && w.Category == "WARNING" }) {
		t.Errorf("no record of the logger tensorflow among %+v", record.Warnings)
	}
	holdsTensorFlowFacts(t, record.Frameworks)
}

func holdsTensorFlowFacts(t *testing.T, frameworks []Framework) {
	t.Helper()
	var names []string
	for _, f := range frameworks {
		names = append(names, f.Name)
		switch f.Name {
		case "tensorflow":
			if f.Build["git_version"] == "" || f.Build["is_cuda_build"] == "" || f.Numerics["tensorflow.deterministic_ops"] != "false" {
				t.Errorf("tensorflow: %+v", f)
			}
		case "keras":
			if f.Build["backend"] != "tensorflow" || f.Numerics["keras.floatx"] != "float32" {
				t.Errorf("keras: %+v", f)
			}
		}
	}
	if want := []string{"keras", "onnx", "tensorflow", "tf2onnx"}; !slices.Equal(names, want) {
		t.Errorf("frameworks %q, want %q", names, want)
	}
}

func TestTF2ONNXCommandLine(t *testing.T) {
	t.Parallel()
	python := environment(t, "tensorflow")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1", "TF_CPP_MIN_LOG_LEVEL=3")
	if result := b.run(t, b.environ, python, script(t, "tensorflow_convert.py"), "saved_model"); result.exit != 0 {
		t.Fatal(result.stderr)
	}
	model := filepath.Join(b.home, "saved")
	if err := os.Rename(filepath.Join(b.work, "saved"), model); err != nil {
		t.Fatal(err)
	}
	_, record := b.transparent(t, python, "-m", "tf2onnx.convert", "--saved-model", model, "--output", "cli.onnx", "--opset", "15", "--rename-inputs", "pair")
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	main := conversions(record)
	if len(main) != 1 || len(record.Calls) != 3 {
		t.Fatalf("calls %+v", record.Calls)
	}
	if freeze := record.Calls[0]; freeze.Package != "tensorflow" || !freeze.Saves {
		t.Errorf("freeze %+v", freeze)
	}
	if main[0].Function != "tf2onnx.tfonnx.process_tf_graph" || main[0].Outcome != "returned" {
		t.Errorf("call %+v", main[0])
	}
	for name, want := range map[string]any{
		"opset": json.Number("15"), "input_names": []any{"x:0"}, "dequantize": false, "custom_rewriter": nil,
		"tensors_to_rename": map[string]any{"x:0": "pair", "Identity:0": "output_0"},
	} {
		if got := main[0].Arguments[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is recorded as %v, want %v", name, got, want)
		}
	}
	if save := record.Calls[2]; save.Function != "tf2onnx.utils.save_protobuf" || !slices.Equal(save.Writes, []string{filepath.Join(b.work, "cli.onnx")}) {
		t.Errorf("save %+v", save)
	}
	if !slices.ContainsFunc(record.Warnings, func(w Warning) bool {
		return w.Source == "tf2onnx.tf_loader" && strings.Contains(w.Message, "'--tag' not specified")
	}) {
		t.Errorf("no record of the logger tf2onnx.tf_loader among %+v", record.Warnings)
	}
}
