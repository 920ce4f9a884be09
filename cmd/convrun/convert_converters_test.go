package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance"
)

// conversion is a case of a script of testdata/python that a real converter
// carries out; runner/python tests what is recorded of its calls.
type conversion struct {
	environment, script, name string
	// calls in their order, and the one that the conversion is named after.
	calls     []string
	converter string
	framework string
	// frozen is the frozen model, with its files.
	frozen string
	files  []string
	// varies are those of the files that no two runs write alike.
	varies []string
	slow   bool
}

var conversions = []conversion{
	{
		environment: "tensorflow", script: "tensorflow_calls.py", name: "keras",
		calls:     []string{"tf.lite.TFLiteConverter.from_keras_model", "tf.lite.TFLiteConverter.convert"},
		converter: "tf.lite.TFLiteConverter.convert", framework: "tensorflow", frozen: "keras.tflite", files: []string{"keras.tflite"},
	},
	{
		environment: "converters", script: "openvino_calls.py", name: "torch",
		calls: []string{"openvino.convert_model"}, converter: "openvino.convert_model", framework: "torch",
		frozen: "torch.xml", files: []string{"torch.bin", "torch.xml"},
	},
	{
		environment: "converters", script: "coreml_calls.py", name: "program",
		calls: []string{"torch.jit.trace", "coremltools.convert", "coremltools.models.MLModel.save"}, converter: "coremltools.convert", framework: "torch",
		frozen: "program.mlpackage",
		files: []string{
			"program.mlpackage/Data/com.apple.CoreML/model.mlmodel", "program.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
			"program.mlpackage/Manifest.json",
		},
		varies: []string{"program.mlpackage/Data/com.apple.CoreML/model.mlmodel", "program.mlpackage/Manifest.json"},
	},
	{
		environment: "paddle", script: "paddle_calls.py", name: "layer",
		calls: []string{"paddle2onnx.dygraph2onnx"}, converter: "paddle2onnx.dygraph2onnx", framework: "paddlepaddle",
		frozen: "layer.onnx", files: []string{"layer.onnx"},
	},
	{
		environment: "litert", script: "litert_calls.py", name: "export",
		calls: []string{"litert_torch.convert", "litert_torch.model.LiteRTModel.export"}, converter: "litert_torch.convert", framework: "torch",
		frozen: "exported.tflite", files: []string{"exported.tflite"}, slow: true,
	},
}

// TestConvertersAreLogged holds that each converter's run is named after its
// call, that the frozen model is what it wrote, and that it wrote the same
// bytes as without convrun.
func TestConvertersAreLogged(t *testing.T) {
	t.Parallel()
	for _, c := range conversions {
		t.Run(c.environment+" "+c.name, func(t *testing.T) {
			t.Parallel()
			if c.slow && os.Getenv("CONVRUN_FULL") == "" {
				t.Skip("takes half a minute; CONVRUN_FULL runs it")
			}
			w := newWorkshop(t, c.environment, c.script, "bind.py", "convert_torch_net.py")
			w.environ = append(w.environ, "PYTHONDONTWRITEBYTECODE=1")
			_, bytes := w.bare(c.script, c.name)
			w.convert(0, c.script, c.name)

			st := w.log(c.frozen)
			p := &st.Predicate
			w.equal("calls", named(p.Converter.Calls), c.calls)
			w.equal("converter", p.Converter.Name, c.converter)
			w.equal("framework", p.Framework.Name, c.framework)
			w.equal("purl of the framework", strings.HasPrefix(p.Framework.PURL, "pkg:pypi/"+c.framework+"@"), true)
			w.equal("models", len(p.FrozenModels), 1)
			var subjects []string
			for _, subject := range st.Subject {
				subjects = append(subjects, subject.Name)
			}
			w.equal("subjects", slices.Sorted(slices.Values(subjects)), c.files)
			w.equal("files of a bare run", subset(bytes, c.files), c.files)
			for _, file := range c.files {
				if !slices.Contains(c.varies, file) {
					w.equal(file+" that a bare run makes", w.sum(file), bytes[file])
				}
			}
			for _, finding := range p.Findings {
				if finding.ID == "CR-OBSERVER" {
					t.Errorf("finding %+v", finding)
				}
			}
			w.convrun(0, "verify", c.frozen)
		})
	}
}

// subset are those of the names that are keys of files, sorted.
func subset(files map[string]string, names []string) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range maps.Keys(files) {
			if slices.Contains(names, name) && !yield(name) {
				return
			}
		}
	})
}

// TestCommandLineConvertersAreLogged runs the commands that OpenVINO and Paddle
// install; both parse their arguments in Python.
func TestCommandLineConvertersAreLogged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environment, script, prepare, converter, frozen string
		// command begins with the program, in the environment's folder.
		command []string
	}{
		{
			"converters", "openvino_calls.py", "made", "openvino.tools.ovc.convert_impl.driver", "out.xml",
			[]string{"ovc", "HOME/relu.onnx", "--output_model", "out"},
		},
		{
			"paddle", "paddle_calls.py", "save", "paddle2onnx.export", "out.onnx",
			[]string{"paddle2onnx", "--model_dir", "HOME", "--model_filename", "net.json", "--params_filename", "net.pdiparams", "--save_file", "out.onnx", "--optimize_tool", "None"},
		},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, c.environment, c.script, "bind.py", "convert_torch_net.py")
			w.must(w.python, c.script, c.prepare)
			command := []string{filepath.Join(filepath.Dir(w.python), c.command[0])}
			for _, word := range c.command[1:] {
				command = append(command, strings.Replace(word, "HOME", w.path("home"), 1))
			}
			w.convert(0, command...)
			st := w.log(c.frozen)
			w.equal("converter", st.Predicate.Converter.Name, c.converter)
			w.equal("calls", len(st.Predicate.Converter.Calls), 1)
			w.equal("outcome", st.Predicate.Converter.Calls[0].Outcome, "returned")
			w.convrun(0, "verify", c.frozen)
		})
	}
}

// TestNotebookIsObserved executes a notebook: its kernel is another process.
func TestNotebookIsObserved(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "notebook", "notebook_convert.ipynb")
	w.must(w.python, "-c", `
import onnx
value = onnx.helper.make_tensor_value_info
graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", 1, ["n", 2])], [value("y", 1, ["n", 2])])
onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), "net.onnx")
`)
	// jupyter looks for its sub-commands and kernels beside its own Python.
	for i, variable := range w.environ {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			w.environ[i] = "PATH=" + filepath.Dir(w.python) + string(os.PathListSeparator) + path
		}
	}
	w.convert(0, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "executed.ipynb", "notebook_convert.ipynb")
	st := w.log("net.xml")
	calls := st.Predicate.Converter.Calls
	w.equal("calls", named(calls), []string{"openvino.convert_model"})
	w.equal("arguments", []any{calls[0].Given, calls[0].Arguments["input_model"], asJSON(t, calls[0].Arguments["input"])}, []any{[]string{"input_model", "input"}, "net.onnx", `{"x":[1,2]}`})
	w.equal("outcome", calls[0].Outcome, "returned")
	w.equal("notebook is an input", slices.ContainsFunc(st.Predicate.Inputs, func(in provenance.ResourceDescriptor) bool { return in.Name == "notebook_convert.ipynb" }), true)
	w.convrun(0, "verify", "net.xml")
}
