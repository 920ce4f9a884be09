package python

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// conversion is a case of a script of testdata/python, and what its call must
// be recorded as.
type conversion struct {
	name, function string
	// outcome is how it ends, "" for "returned"; an exception's text may be cut.
	outcome string
	// reads and writes are names in the home and the working directory.
	reads, writes []string
	// saves is set when it is no conversion.
	saves bool
	// model is the class of the model that the call is given, and parameters
	// the size of that.
	model      string
	parameters int64
}

// holdsConversions makes the calls of a script with and without the observer,
// and holds what was recorded against the bindings of the same calls. varies
// are files that no two runs write alike, by their end.
func holdsConversions(t *testing.T, b bench, argv []string, conversions []conversion, varies ...string) Record {
	t.Helper()
	var cases []string
	for _, c := range conversions {
		cases = append(cases, c.name)
	}
	bare := b.run(t, b.environ, slices.Concat(argv, cases)...)
	want := bindings(t, b, argv, cases)
	result, record := b.observed(t, slices.Concat(argv, cases)...)
	if len(record.Problems) > 0 {
		t.Errorf("problems %q", record.Problems)
	}
	if bare.exit != 0 || result.exit != 0 {
		t.Fatalf("exit status %d, observed %d: %s", bare.exit, result.exit, result.stderr)
	}
	holdsFiles(t, bare.files, result.files, varies)
	calls := matching(t, record.Calls, conversions)
	holdsBindings(t, want, calls)
	for i, call := range calls {
		holdsConversion(t, b, call, conversions[i])
	}
	return record
}

// holdsFiles holds that a run wrote the same files as another one, with the
// same content but for those whose names end in one of varies.
func holdsFiles(t *testing.T, bare, observed map[string]string, varies []string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(union(bare, observed))) {
		if bare[name] == "" || observed[name] == "" {
			t.Errorf("file %s: %q, observed %q", name, bare[name], observed[name])
		}
		if bare[name] != observed[name] && !slices.ContainsFunc(varies, func(end string) bool { return strings.HasSuffix(name, end) }) {
			t.Errorf("file %s has %q, observed %q", name, bare[name], observed[name])
		}
	}
}

// matching picks the calls of the conversions in their order: a script makes
// others in preparation.
func matching(t *testing.T, calls []Call, conversions []conversion) (found []Call) {
	t.Helper()
	for _, c := range conversions {
		i := slices.IndexFunc(calls, func(call Call) bool { return call.Function == c.function })
		if i < 0 {
			t.Fatalf("%s: no call of %s is recorded", c.name, c.function)
		}
		found, calls = append(found, calls[i]), calls[i+1:]
	}
	return found
}

func holdsConversion(t *testing.T, b bench, call Call, want conversion) {
	t.Helper()
	outcome := want.outcome
	if outcome == "" {
		outcome = "returned"
	}
	if !strings.HasPrefix(call.Outcome, outcome) || call.Duration <= 0 || call.Version == "" {
		t.Errorf("%s: %s after %v in version %q, want %s", want.name, call.Outcome, call.Duration, call.Version, outcome)
	}
	if call.Saves != want.saves || call.Added {
		t.Errorf("%s: saves %v, added %v", want.name, call.Saves, call.Added)
	}
	if got := below(b.home, call.Reads); !slices.Equal(got, want.reads) {
		t.Errorf("%s: reads %q, want %q", want.name, got, want.reads)
	}
	if got := below(b.work, call.Writes); !slices.Equal(got, want.writes) {
		t.Errorf("%s: writes %q, want %q", want.name, got, want.writes)
	}
	switch {
	case want.model == "" && call.Model != nil:
		t.Errorf("%s: model %+v, want none", want.name, call.Model)
	case want.model != "" && (call.Model == nil || call.Model.Class != want.model || call.Model.Parameters != want.parameters || call.Model.Problem != ""):
		t.Errorf("%s: model %+v, want %d parameters of a %s", want.name, call.Model, want.parameters, want.model)
	}
}

// below makes paths relative to a folder where they lie in it.
func below(folder string, paths []string) (relative []string) {
	for _, path := range paths {
		relative = append(relative, strings.TrimPrefix(path, folder+string(filepath.Separator)))
	}
	return relative
}

// frameworkOf is what a framework said of itself.
func frameworkOf(t *testing.T, record Record, name string) Framework {
	t.Helper()
	i := slices.IndexFunc(record.Frameworks, func(f Framework) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("no framework %s among %+v", name, record.Frameworks)
	}
	return record.Frameworks[i]
}

func holdsNumerics(t *testing.T, f Framework, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if f.Numerics[name] != value {
			t.Errorf("%s: %s is %q, want %q", f.Name, name, f.Numerics[name], value)
		}
	}
}

func TestTensorFlowConverters(t *testing.T) {
	t.Parallel()
	python := environment(t, "tensorflow")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	const net, class = 3*3*2 + 2 + 6*6*2*2 + 2, "keras.src.models.functional.Functional"
	record := holdsConversions(t, b, []string{python, script(t, "tensorflow_calls.py")}, []conversion{
		{name: "saved", function: "tf.saved_model.save", writes: []string{filepath.Join(b.home, "saved")}, saves: true, model: "tensorflow.python.module.module.Module"},
		{name: "save", function: "keras.Model.save", writes: []string{"net.keras"}, saves: true, model: class, parameters: net},
		{name: "h5", function: "keras.Model.save", writes: []string{"net.h5"}, saves: true, model: class, parameters: net},
		{name: "save_model", function: "keras.saving.save_model", writes: []string{"same.keras"}, saves: true, model: class, parameters: net},
		{name: "export", function: "keras.Model.export", writes: []string{"exported"}, model: class, parameters: net},
		{name: "freeze_v2", function: "tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2", saves: true},
		{name: "freeze", function: "tf.compat.v1.graph_util.convert_variables_to_constants", saves: true},
		{name: "from_keras", function: "tf.lite.TFLiteConverter.from_keras_model", saves: true, model: class, parameters: net},
		{name: "from_functions", function: "tf.lite.TFLiteConverter.from_concrete_functions", saves: true},
		{name: "from_folder", function: "tf.lite.TFLiteConverter.from_saved_model", saves: true, reads: []string{"saved"}},
		{name: "keras", function: "tf.lite.TFLiteConverter.convert"},
		{name: "functions", function: "tf.lite.TFLiteConverter.convert"},
		{name: "folder", function: "tf.lite.TFLiteConverter.convert"},
		{name: "wrong", function: "tf.lite.TFLiteConverter.convert", outcome: "raised: ValueError: The inference_input_type and inference_output_type must be tf.float32."},
	}, ".keras", ".pb", "/variables.index", "/variables.data-00000-of-00001")
	last := record.Calls[len(record.Calls)-1].Arguments
	if last["self.inference_input_type"] != "int8" || last["self.representative_dataset"] != nil || !reflect.DeepEqual(last["self.optimizations"], []any{}) {
		t.Errorf("options of the last conversion: %v", last)
	}
	holdsNumerics(t, frameworkOf(t, record, "tensorflow"), map[string]string{"tensorflow.seed": "7", "tensorflow.deterministic_ops": "false", "tensorflow.jit_compile_rewrite": "false"})
	holdsNumerics(t, frameworkOf(t, record, "keras"), map[string]string{"keras.seed": "7", "keras.floatx": "float32"})
	for _, want := range []Warning{
		{Source: "absl", Message: "You are saving your model as an HDF5 file"},
		{Source: "tensorflow", Message: "From "},
		{Source: "warnings", Message: "Statistics for quantized inputs were expected"},
	} {
		if !slices.ContainsFunc(record.Warnings, func(w Warning) bool {
			return w.Source == want.Source && strings.HasPrefix(w.Message, want.Message)
		}) {
			t.Errorf("no warning %+v among %+v", want, record.Warnings)
		}
	}
}

// What TensorFlow was told in its environment or by calls is what it says.
func TestTensorFlowSettings(t *testing.T) {
	t.Parallel()
	python := environment(t, "tensorflow")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1", "TF_ENABLE_ONEDNN_OPTS=0", "TF_CPP_MIN_LOG_LEVEL=3")
	_, record := b.observed(t, python, "-c", `
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(3)
tf.config.experimental.enable_op_determinism()
tf.config.experimental.enable_tensor_float_32_execution(False)
tf.config.optimizer.set_jit("autoclustering")
`)
	f := frameworkOf(t, record, "tensorflow")
	holdsNumerics(t, f, map[string]string{
		"tensorflow.onednn": "false", "tensorflow.intra_op_threads": "3", "tensorflow.deterministic_ops": "true",
		"tensorflow.tensor_float_32": "false", "tensorflow.optimizer_jit": "true",
	})
	if len(f.Accelerators) > 0 {
		t.Errorf("accelerators %v of a process that used none", f.Accelerators)
	}
}

// net is the class of convert_torch_net.py, with its number of parameters.
const net, netParameters = "convert_torch_net.Net", 3*4*3*3 + 4 + 4 + 4 + 4*2 + 2

func TestOpenVINO(t *testing.T) {
	t.Parallel()
	python := environment(t, "converters")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	argv := []string{python, script(t, "openvino_calls.py")}
	if made := b.run(t, b.environ, slices.Concat(argv, []string{"made"})...); made.exit != 0 {
		t.Fatal(made.stderr)
	}
	record := holdsConversions(t, b, argv, []conversion{
		{name: "torch", function: "openvino.convert_model", model: net, parameters: netParameters},
		{name: "onnx", function: "openvino.convert_model", reads: []string{"relu.onnx"}},
		{name: "fail", function: "openvino.convert_model", reads: []string{"relu.onnx"}, outcome: "raised: openvino.tools.ovc.error.Error: No node with name nothing"},
	})
	if f := frameworkOf(t, record, "openvino"); f.Version == "" {
		t.Errorf("%+v", f)
	}
	if len(record.Calls) != 3 {
		t.Errorf("calls %+v", record.Calls) // save_model is no Python function
	}
}

// The command ovc parses its own command line.
func TestOpenVINOCommandLine(t *testing.T) {
	t.Parallel()
	python := environment(t, "converters")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	if made := b.run(t, b.environ, python, script(t, "openvino_calls.py"), "made"); made.exit != 0 {
		t.Fatal(made.stderr)
	}
	model := filepath.Join(b.home, "relu.onnx")
	result, record := b.transparent(t, python, filepath.Join(filepath.Dir(python), "ovc"), model, "--output_model", "out", "--input", "x[1,2]", "--compress_to_fp16=False")
	if result.files["/out.xml"] == "" || len(record.Calls) != 1 || len(record.Problems) > 0 {
		t.Fatalf("%+v, recorded %+v", result, record)
	}
	call := record.Calls[0]
	if call.Function != "openvino.tools.ovc.convert_impl.driver" || call.Outcome != "returned" || call.Saves ||
		!slices.Equal(call.Reads, []string{model}) || !slices.Equal(call.Writes, []string{filepath.Join(b.work, "out")}) {
		t.Errorf("call %+v", call)
	}
	for name, want := range map[string]any{
		"argv.input": "x[1,2]", "argv.compress_to_fp16": false, "argv.output_model": "out", "argv.output": nil,
		"argv.input_model": []any{model}, "argv.verbose": false,
	} {
		if got, ok := call.Arguments[name]; !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is recorded as %v, want %v", name, got, want)
		}
	}
}

func TestCoreML(t *testing.T) {
	t.Parallel()
	python := environment(t, "converters")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	const traced = "torch.jit._trace.TopLevelTracedModule"
	record := holdsConversions(t, b, []string{python, script(t, "coreml_calls.py")}, []conversion{
		{name: "program", function: "coremltools.convert", model: traced, parameters: netParameters},
		{name: "network", function: "coremltools.convert", model: traced, parameters: netParameters},
		{name: "fail", function: "coremltools.convert", model: traced, parameters: netParameters, outcome: `raised: ValueError: Expected argument "inputs"`},
		{name: "save", function: "coremltools.models.MLModel.save", writes: []string{"saved.mlpackage"}, saves: true},
	}, ".mlmodel", "/Manifest.json")
	if !slices.ContainsFunc(record.Warnings, func(w Warning) bool {
		return w.Source == "coremltools" && strings.HasPrefix(w.Message, "Torch version")
	}) {
		t.Errorf("no record of the logger coremltools among %+v", record.Warnings)
	}
}

func TestLiteRTTorch(t *testing.T) {
	t.Parallel()
	if os.Getenv("CONVRUN_FULL") == "" {
		t.Skip("takes half a minute; CONVRUN_FULL runs it")
	}
	python := environment(t, "litert")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	record := holdsConversions(t, b, []string{python, script(t, "litert_calls.py")}, []conversion{
		{name: "convert", function: "litert_torch.convert", model: net, parameters: netParameters},
		{name: "signature", function: "litert_torch.signature", model: net, parameters: netParameters, saves: true},
		{name: "several", function: "litert_torch.Converter.convert"},
		{name: "export", function: "litert_torch.model.LiteRTModel.export", writes: []string{"exported.tflite"}, saves: true},
		{name: "fail", function: "litert_torch.convert", model: net, parameters: netParameters, outcome: "raised: ValueError: sample_args or sample_kwargs must be provided"},
	})
	if f := frameworkOf(t, record, "litert-torch"); f.Version == "" {
		t.Errorf("%+v", f)
	}
}

func TestPaddle(t *testing.T) {
	t.Parallel()
	python := environment(t, "paddle")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	const class, size = "paddle.nn.layer.container.Sequential", 3*3*2 + 2 + 4*2 + 72*2 + 2
	record := holdsConversions(t, b, []string{python, script(t, "paddle_calls.py")}, []conversion{
		{name: "save", function: "paddle.jit.save", writes: []string{filepath.Join(b.home, "net")}, saves: true, model: class, parameters: size},
		{name: "export", function: "paddle2onnx.export", reads: []string{"net.json", "net.pdiparams"}, writes: []string{"export.onnx"}},
		{name: "layer", function: "paddle2onnx.dygraph2onnx", writes: []string{"layer.onnx"}, model: class, parameters: size},
		{name: "onnx", function: "paddle.onnx.export", writes: []string{"onnx"}, model: class, parameters: size},
		{name: "fail", function: "paddle2onnx.export", reads: []string{filepath.Join(b.work, "nothing.json")}, outcome: "raised: AssertionError: Model file nothing.json does not exist."},
	})
	f := frameworkOf(t, record, "paddlepaddle")
	holdsNumerics(t, f, map[string]string{"paddle.seed": "3", "paddle.default_dtype": "float32"})
	if f.Build["compiled_with_cuda"] != "false" || f.Build["commit"] == "" {
		t.Errorf("paddle: %+v", f)
	}
	model := record.Calls[0].Model
	if model.Training == nil || *model.Training || !slices.Contains(model.Modules, ModuleCount{Class: "paddle.nn.layer.norm.BatchNorm2D", Count: 1}) {
		t.Errorf("model %+v", model)
	}
}

func TestPaddleCommandLine(t *testing.T) {
	t.Parallel()
	python := environment(t, "paddle")
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	if made := b.run(t, b.environ, python, script(t, "paddle_calls.py"), "save"); made.exit != 0 {
		t.Fatal(made.stderr)
	}
	result, record := b.observed(t, python, filepath.Join(filepath.Dir(python), "paddle2onnx"), "--model_dir", b.home,
		"--model_filename", "net.json", "--params_filename", "net.pdiparams", "--save_file", "out.onnx", "--opset_version", "13")
	if result.files["/out.onnx"] == "" || len(record.Calls) != 1 {
		t.Fatalf("%+v, recorded %+v", result, record)
	}
	call := record.Calls[0]
	if call.Function != "paddle2onnx.export" || !slices.Equal(call.Writes, []string{filepath.Join(b.work, "out.onnx")}) || call.Arguments["optimize_tool"] != "polygraphy" {
		t.Errorf("call %+v", call)
	}
}
