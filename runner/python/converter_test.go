package python

import (
	"encoding/json"
	"fmt"
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

// What a script sets by the framework's own functions is told as it was set.
func TestTorchSettings(t *testing.T) {
	t.Parallel()
	python := environment(t, "torch")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	code := `
import torch, onnxruntime
torch.manual_seed(1234)
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.use_deterministic_algorithms(True, warn_only=True)
torch.utils.deterministic.fill_uninitialized_memory = False
torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = True
torch.set_float32_matmul_precision("high")
torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
torch.backends.mkldnn.set_flags(False, True)
torch.backends.nnpack.set_flags(False)
print(onnxruntime.get_build_info(), *onnxruntime.get_available_providers())
print(torch.__config__.parallel_info())`
	result, record := b.transparent(t, python, "-c", code)
	if result.exit != 0 {
		t.Fatal(result.stderr)
	}
	found := map[string]Framework{}
	for _, f := range record.Frameworks {
		found[f.Name] = f
	}
	for name, want := range map[string]string{
		"torch.initial_seed": "1234", "torch.num_threads": "1", "torch.default_dtype": "torch.float64", "torch.default_device": "meta",
		"torch.deterministic_algorithms": "true", "torch.deterministic_algorithms_warn_only": "true", "torch.deterministic_fill_uninitialized_memory": "false",
		"torch.cudnn_deterministic": "true", "torch.cudnn_benchmark": "true", "torch.float32_matmul_precision": "high",
		"torch.cuda_matmul_allow_bf16_reduction": "false", "torch.cuda_matmul_allow_fp16_reduction": "true",
		"torch.onednn_enabled": "false", "torch.onednn_deterministic": "true", "torch.nnpack_enabled": "false",
	} {
		if got := found["torch"].Numerics[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"torch.cuda_matmul_precision", "torch.cudnn_conv_precision", "torch.onednn_matmul_precision"} {
		if found["torch"].Numerics[name] == "" {
			t.Errorf("no setting %s in %v", name, found["torch"].Numerics)
		}
	}
	if backend := found["torch"].Build["parallel_backend"]; backend == "" || !strings.Contains(result.stdout, "parallel backend: "+backend+"\n") {
		t.Errorf("parallel backend %q", backend)
	}
	runtime := found["onnxruntime"]
	if info := runtime.Build["info"]; info == "" || !strings.HasPrefix(result.stdout, "ORT Build Info: "+info+" "+strings.ReplaceAll(runtime.Build["providers"], ", ", " ")+"\n") {
		t.Errorf("onnxruntime %+v, which itself says %s", runtime, result.stdout)
	}
}

// The program that torch.onnx.export returns is saved later: one conversion,
// and one call that only saves.
func TestTorchSave(t *testing.T) {
	t.Parallel()
	python := environment(t, "torch")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	argv := []string{python, script(t, "torch_export.py")}
	want := bindings(t, b, argv, []string{"saved"})
	_, record := b.observed(t, append(argv, "saved")...)
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
	holdsBindings(t, want, record.Calls)
}

// The other ways to freeze a network, and to write it: what is made first for a
// call to save is a call of its own.
func TestTorchExportedProgramsAndTorchScript(t *testing.T) {
	t.Parallel()
	python := environment(t, "torch")
	// TorchScript writes the attributes of a module in the order of a set.
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0")
	cases := []string{"export", "export_save", "trace", "trace_module", "script", "jit_save", "method_save"}
	argv := []string{python, script(t, "torch_export.py")}
	want := bindings(t, b, argv, cases)
	_, record := b.transparent(t, slices.Concat(argv, cases, []string{"script_function"})...)
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	functions := []string{}
	for _, call := range record.Calls {
		functions = append(functions, call.Function)
		if call.Outcome != "returned" || call.Package != "torch" || call.Saves != strings.HasSuffix(call.Function, "save") {
			t.Errorf("call %+v", call)
		}
	}
	expected := []string{
		"torch.export.export", "torch.export.export", "torch.export.save",
		"torch.jit.trace", "torch.jit.trace_module", "torch.jit.script", "torch.jit.trace", "torch.jit.save", "torch.jit.script", "torch.jit.ScriptModule.save",
	}
	if !slices.Equal(functions, expected) {
		t.Fatalf("calls %q, want %q", functions, expected)
	}
	holdsBindings(t, want, record.Calls)
	for i, name := range map[int]string{2: "exported.pt2", 7: "traced.pt", 9: "scripted.pt"} {
		if want := []string{filepath.Join(b.work, name)}; !slices.Equal(record.Calls[i].Writes, want) {
			t.Errorf("%s writes %q, want %q", record.Calls[i].Function, record.Calls[i].Writes, want)
		}
	}
	for _, i := range []int{0, 3, 4} {
		holdsSmall(t, record.Calls[i].Model, false)
	}
	holdsSmall(t, record.Calls[5].Model, true)
	if m := record.Calls[2].Model; m == nil || m.Class != "torch.export.exported_program.ExportedProgram" || m.Parameters != record.Calls[0].Model.Parameters {
		t.Errorf("model of torch.export.save: %+v", m)
	}
	if m := record.Calls[9].Model; m == nil || m.Parameters != record.Calls[0].Model.Parameters || !slices.Contains(m.Modules, ModuleCount{"torch.jit._script.RecursiveScriptModule[Dropout]", 1, 0}) {
		t.Errorf("model of ScriptModule.save: %+v", m)
	}
}

func TestJAXSettings(t *testing.T) {
	if os.Getenv("CONVRUN_FULL") == "" {
		t.Skip("CONVRUN_FULL is not set")
	}
	t.Parallel()
	python := environment(t, "jax")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1", "JAX_PLATFORMS=cpu")
	_, record := b.transparent(t, python, "-c", "import jax; jax.config.update('jax_enable_x64', True); jax.config.update('jax_default_matmul_precision', 'highest'); print(jax.numpy.ones(2) + 1)")
	if len(record.Frameworks) != 1 || record.Frameworks[0].Version == "" || record.Frameworks[0].Build["jaxlib"] == "" || len(record.Problems) > 0 {
		t.Fatalf("frameworks %+v, problems %q", record.Frameworks, record.Problems)
	}
	for name, want := range map[string]string{
		"jax.enable_x64": "true", "jax.default_matmul_precision": "highest", "jax.default_prng_impl": "threefry2x32",
		"jax.numpy_dtype_promotion": "standard", "jax.platforms": "cpu",
	} {
		if got := record.Frameworks[0].Numerics[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// Versions of torch whose functions are others: 2.1 exports by tracing alone,
// 2.6 has its first exporter of programs beside the present one.
func TestOlderTorch(t *testing.T) {
	if os.Getenv("CONVRUN_FULL") == "" {
		t.Skip("CONVRUN_FULL is not set")
	}
	both := []string{"legacy", "training", "buffer", "fail", "export_plain", "trace", "trace_module", "script", "export_buffer", "jit_save", "method_save"}
	for name, cases := range map[string][]string{"torch21": both, "torch26": append([]string{"saved", "dynamo_export"}, both...)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			python := environment(t, name)
			b := newBench(t, "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0")
			argv := []string{python, script(t, "torch_export.py")}
			want := bindings(t, b, argv, cases)
			_, record := b.transparent(t, slices.Concat(argv, cases)...)
			if len(record.Problems) > 0 {
				t.Errorf("problems %q", record.Problems)
			}
			holdsBindings(t, want, record.Calls)
		})
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

// Everything that makes or changes an ONNX model without a network of torch or
// TensorFlow.
func TestONNXConverters(t *testing.T) {
	t.Parallel()
	python := environment(t, "converters")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	cases := []string{"sklearn", "to_onnx", "mltools", "dynamic", "dynamic_proto", "static", "quantize", "simplify", "simplify_proto", "version", "training", "early", "version_wrong", "save"}
	argv := []string{python, script(t, "onnx_convert.py")}
	want := bindings(t, b, argv, cases)
	result, record := b.transparent(t, slices.Concat(argv, cases, []string{"simplify_wrong"})...)
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	if len(record.Calls) != len(cases)+1 || !strings.Contains(result.stderr, "in wrapper") {
		t.Fatalf("calls %+v\n%s", record.Calls, result.stderr)
	}
	wrong := record.Calls[len(cases)]
	holdsBindings(t, want, record.Calls[:len(cases)])
	for i, expected := range []struct{ function, reads, writes string }{
		{"skl2onnx.convert_sklearn", "", ""},
		{"skl2onnx.to_onnx", "", ""},
		{"onnxmltools.convert_sklearn", "", ""},
		{"onnxruntime.quantization.quantize_dynamic", "network.onnx", "dynamic.onnx"},
		{"onnxruntime.quantization.quantize_dynamic", "", "proto.onnx"},
		{"onnxruntime.quantization.quantize_static", "network.onnx", "static.onnx"},
		{"onnxruntime.quantization.quantize", "network.onnx", "configured.onnx"},
		{"onnxsim.simplify", "network.onnx", "simple.onnx"},
		{"onnxsim.simplify", "", ""},
		{"onnx.version_converter.convert_version", "", ""},
		{"onnx.version_converter.convert_version", "", ""},
		{"onnx.version_converter.convert_version", "", ""},
		{"onnx.version_converter.convert_version", "", ""},
		{"onnx.save_model", "", "saved.onnx"},
	} {
		call := record.Calls[i]
		if call.Function != expected.function || call.Version == "" || call.Saves != (cases[i] == "save") {
			t.Errorf("%s: call %+v", cases[i], call)
		}
		if !slices.Equal(call.Reads, inside(b.work, expected.reads)) || !slices.Equal(call.Writes, inside(b.work, expected.writes)) {
			t.Errorf("%s: reads %q, writes %q, want %q, %q", cases[i], call.Reads, call.Writes, expected.reads, expected.writes)
		}
		if outcome := call.Outcome; (outcome != "returned") != (cases[i] == "version_wrong") {
			t.Errorf("%s: %s", cases[i], outcome)
		}
	}
	// What does not fit the function that is shown is recorded as it was given.
	if _, ok := wrong.Arguments["kwargs"].(map[string]any)["simpler"]; !ok || !strings.HasPrefix(wrong.Outcome, "raised: TypeError: simplify() got an unexpected keyword") {
		t.Errorf("a call that cannot be: %+v", wrong)
	}
	for i, model := range map[int]*Model{
		0: {Class: "sklearn.pipeline.Pipeline", Parameters: -1, Modules: []ModuleCount{
			{"sklearn.linear_model._logistic.LogisticRegression", 1, 0}, {"sklearn.pipeline.Pipeline", 1, 0}, {"sklearn.preprocessing._data.StandardScaler", 1, 0},
		}},
		// The forest keeps the tree that it has made the three others from.
		1: {Class: "sklearn.ensemble._forest.RandomForestClassifier", Parameters: -1, Modules: []ModuleCount{
			{"sklearn.ensemble._forest.RandomForestClassifier", 1, 0}, {"sklearn.tree._classes.DecisionTreeClassifier", 4, 0},
		}},
		3:  nil,
		4:  {Class: "onnx.onnx_ml_pb2.ModelProto", Parameters: 16, Modules: []ModuleCount{{"Identity", 1, 0}, {"MatMul", 2, 0}, {"Relu", 1, 0}}},
		10: {Class: "onnx.onnx_ml_pb2.ModelProto", Parameters: 4 + 1, Modules: []ModuleCount{{"BatchNormalization", 2, 1}, {"Cast", 1, 0}, {"Constant", 1, 0}, {"Dropout", 4, 2}}},
		11: {Class: "onnx.onnx_ml_pb2.ModelProto", Modules: []ModuleCount{{"Dropout", 2, 1}}},
	} {
		if !reflect.DeepEqual(record.Calls[i].Model, model) {
			t.Errorf("%s: model %+v, want %+v", cases[i], record.Calls[i].Model, model)
		}
	}
	// onnxruntime warns through the root logger.
	if !slices.ContainsFunc(record.Warnings, func(w Warning) bool {
		return w.Source == "root" && strings.HasPrefix(w.Message, "Please consider to run pre-processing") && strings.Contains(w.File, "/onnxruntime/")
	}) {
		t.Errorf("no log record of onnxruntime among %+v", record.Warnings)
	}
}

// inside is the list of the file's one path, empty for no file.
func inside(folder, name string) []string {
	if name == "" {
		return []string{}
	}
	return []string{filepath.Join(folder, name)}
}

// The program of onnxsim hands on to the function.
func TestOnnxsimCommandLine(t *testing.T) {
	t.Parallel()
	python := environment(t, "converters")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	if result := b.run(t, b.environ, python, script(t, "onnx_convert.py")); result.exit != 0 {
		t.Fatal(result.stderr)
	}
	model := filepath.Join(b.home, "network.onnx")
	if err := os.Rename(filepath.Join(b.work, "network.onnx"), model); err != nil {
		t.Fatal(err)
	}
	_, record := b.transparent(t, filepath.Join(filepath.Dir(python), "onnxsim"), model, "small.onnx", "--overwrite-input-shape", "x:1,4")
	if len(record.Problems) > 0 || len(record.Calls) == 0 {
		t.Fatalf("problems %q, calls %+v", record.Problems, record.Calls)
	}
	call := record.Calls[0]
	if call.Function != "onnxsim.simplify" || call.Outcome != "returned" || !slices.Equal(call.Reads, []string{model}) || !slices.Contains(call.Given, "certify") {
		t.Errorf("call %+v", call)
	}
	if got, want := call.Arguments["overwrite_input_shapes"], map[string]any{"x": []any{json.Number("1"), json.Number("4")}}; !reflect.DeepEqual(got, want) {
		t.Errorf("overwrite_input_shapes is recorded as %v, want %v", got, want)
	}
	if !slices.ContainsFunc(record.Calls, func(c Call) bool {
		return c.Function == "onnx.save_model" && slices.Equal(c.Writes, []string{filepath.Join(b.work, "small.onnx")})
	}) {
		t.Errorf("calls %+v, want one that writes the model", record.Calls)
	}
}

// main_export loads the model by itself: the function that it hands the model
// to is recorded too.
func TestOptimumExport(t *testing.T) {
	t.Parallel()
	python := environment(t, "converters")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0")
	argv := []string{python, script(t, "optimum_export.py")}
	want := bindings(t, b, argv, []string{"main", "model", "export"})
	result, record := b.transparent(t, slices.Concat(argv, []string{"main", "model", "export"})...)
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	functions := []string{}
	for _, call := range record.Calls {
		functions = append(functions, strings.TrimPrefix(call.Function, "optimum.exporters.onnx."))
		if call.Outcome != "returned" {
			t.Errorf("call %+v", call)
		}
	}
	if !slices.Equal(functions, []string{"main_export", "onnx_export_from_model", "onnx_export_from_model", "export"}) || result.files["/main/model.onnx"] == "" {
		t.Fatalf("calls %q, files %v\n%s", functions, result.files, result.stderr)
	}
	holdsBindings(t, want, slices.Concat(record.Calls[:1], record.Calls[2:]))
	for i, file := range []string{"main", "main", "model", "bert.onnx"} {
		if got := record.Calls[i].Writes; !slices.Equal(got, inside(b.work, file)) {
			t.Errorf("%s writes %q, want %s", functions[i], got, file)
		}
	}
	var parameters int64
	var dropouts int
	fmt.Sscan(result.stdout, &parameters, &dropouts)
	for _, call := range record.Calls[1:] {
		m := call.Model
		if m == nil || m.Class != "transformers.models.bert.modeling_bert.BertModel" || m.Training == nil || *m.Training || m.Parameters != parameters ||
			!slices.Contains(m.Modules, ModuleCount{"torch.nn.modules.dropout.Dropout", dropouts, 0}) {
			t.Errorf("%s: model %+v, want %d parameters and %d layers of dropout", call.Function, m, parameters, dropouts)
		}
	}
	if !slices.ContainsFunc(record.Warnings, func(w Warning) bool {
		return strings.HasPrefix(w.Source, "optimum.") && strings.HasPrefix(w.Message, "Opset 17 is lower")
	}) {
		t.Errorf("no record of optimum's logger among %+v", record.Warnings)
	}
}

func TestBoostedTrees(t *testing.T) {
	t.Parallel()
	python := environment(t, "boosting")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	argv := []string{python, script(t, "boosting_convert.py")}
	want := bindings(t, b, argv, []string{"lightgbm", "xgboost"})
	_, record := b.transparent(t, slices.Concat(argv, []string{"lightgbm", "xgboost_as_called"})...)
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	holdsBindings(t, want, record.Calls)
	for i, expected := range []struct{ function, class string }{
		{"onnxmltools.convert_lightgbm", "lightgbm.sklearn.LGBMClassifier"},
		{"onnxmltools.convert_xgboost", "xgboost.sklearn.XGBClassifier"},
	} {
		call := record.Calls[i]
		if call.Function != expected.function || call.Version == "" || call.Outcome != "returned" || call.Model == nil || call.Model.Class != expected.class {
			t.Errorf("call %+v, want %+v", call, expected)
		}
	}
}
