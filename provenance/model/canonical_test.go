package model

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// output is what a program of Python printed.
func output(t testing.TB, interpreter string, arguments ...string) string {
	t.Helper()
	out, err := exec.Command(interpreter, arguments...).Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%v: %v\n%s", arguments, err, exit.Stderr)
	}
	return strings.TrimSpace(string(out))
}

// A second implementation, in Python over the onnx package, gives the same
// digests, and has none for the same files.
func TestCanonicalONNXAgrees(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(modelDir, "onnx", "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	arguments := append([]string{filepath.Join(modelDir, "onnx", "canonical.py")}, files...)
	lines := strings.Split(output(t, python(t, "torch", "onnx"), arguments...), "\n")
	if len(lines) != len(files) {
		t.Fatalf("%d lines for %d files", len(lines), len(files))
	}
	for i, file := range files {
		got, err := Canonical(file)
		_, none := strings.CutPrefix(lines[i], "none:")
		switch {
		case none != errors.Is(err, ErrNotCanonical):
			t.Errorf("%s: %v, Python says %s", file, err, lines[i])
		case !none && (err != nil || got != lines[i]):
			t.Errorf("%s: %s, %v, Python says %s", file, got, err, lines[i])
		}
	}
}

func canonical(t testing.TB, path string) string {
	t.Helper()
	sum, err := Canonical(path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// changed holds that what is noise leaves the digest as it is, and that every
// single change gives another one, or a model that has none.
func changed(t *testing.T, interpreter, folder, name string) {
	t.Run(name, func(t *testing.T) {
		source, variants := filepath.Join(modelDir, folder, name), t.TempDir()
		output(t, interpreter, filepath.Join(modelDir, folder, "changes.py"), source, variants)
		want := canonical(t, source)
		seen := map[string]string{want: source}
		paths, err := filepath.Glob(filepath.Join(variants, "*"+filepath.Ext(name)))
		if err != nil || len(paths) < 15 {
			t.Fatal(len(paths), err)
		}
		for _, path := range paths {
			sum, err := Canonical(path)
			if strings.HasPrefix(filepath.Base(path), "noise_") {
				if err != nil || sum != want {
					t.Errorf("%s: %s, %v; want %s", filepath.Base(path), sum, err, want)
				}
				continue
			}
			if err != nil && !errors.Is(err, ErrNotCanonical) {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
			if twin, twice := seen[sum]; twice && err == nil {
				t.Errorf("%s has the digest of %s", filepath.Base(path), filepath.Base(twin))
			}
			seen[sum] = path
		}
	})
}

func TestCanonicalONNXChanges(t *testing.T) {
	interpreter := python(t, "torch", "onnx")
	for _, name := range []string{
		"dynamo_eval_20", "torchscript_eval_17", "torchscript_train_17", "tf2onnx_eval_17", "if_dropout_17", "loop_dropout_17",
		"function_nested_17", "function_attribute_true_17", "dropout_17_input", "bn_17_inputs", "types_19",
	} {
		changed(t, interpreter, "onnx", name+".onnx")
	}
}

func TestCanonicalTFLiteChanges(t *testing.T) {
	interpreter := python(t, "tensorflow", "flatbuffers")
	for _, name := range []string{
		"network_inference", "network_int8", "network_variables", "loop", "branch", "fused_flex_inference", "batch_statistics",
	} {
		changed(t, interpreter, "tensorflow", name+".tflite")
	}
}

// Two conversions by a real exporter, in other folders, with other names for
// whatever a user names, give other bytes and one digest.
func TestCanonicalRepeats(t *testing.T) {
	script, err := filepath.Abs(filepath.Join(modelDir, "repeat.py"))
	if err != nil {
		t.Fatal(err)
	}
	for framework, files := range map[string][]string{
		"torch":      {"torchscript.onnx", "dynamo.onnx"},
		"tensorflow": {"tf2onnx.onnx", "float.tflite", "int8.tflite"},
	} {
		t.Run(framework, func(t *testing.T) {
			t.Parallel()
			interpreter, err := filepath.Abs(python(t, framework, "onnx"))
			if err != nil {
				t.Fatal(err)
			}
			convert := func(names, seed string) string {
				folder := filepath.Join(t.TempDir(), names)
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				command := exec.Command(interpreter, script, framework, ".", names)
				command.Dir, command.Env = folder, append(os.Environ(), "PYTHONHASHSEED="+seed)
				if out, err := command.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				return folder
			}
			first, second := convert("a", "1"), convert("other", "2")
			for _, file := range files {
				a, b := filepath.Join(first, "a"+file), filepath.Join(second, "other"+file)
				if canonical(t, a) != canonical(t, b) {
					t.Errorf("%s: two digests", file)
				}
				one, err := os.ReadFile(a)
				if err != nil {
					t.Fatal(err)
				}
				other, err := os.ReadFile(b)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(one, other) {
					t.Errorf("%s: two conversions gave the same bytes, so that nothing was shown", file)
				}
			}
		})
	}
}
