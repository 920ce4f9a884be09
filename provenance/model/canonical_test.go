package model

import (
	"errors"
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

// What is noise leaves the digest as it is; every single change gives another
// one, or a model that has none.
func TestCanonicalONNXChanges(t *testing.T) {
	interpreter := python(t, "torch", "onnx")
	for _, name := range []string{
		"dynamo_eval_20", "torchscript_eval_17", "torchscript_train_17", "tf2onnx_eval_17", "if_dropout_17", "loop_dropout_17",
		"function_nested_17", "function_attribute_true_17", "dropout_17_input", "bn_17_inputs", "types_19",
	} {
		t.Run(name, func(t *testing.T) {
			source, folder := filepath.Join(modelDir, "onnx", name+".onnx"), t.TempDir()
			output(t, interpreter, filepath.Join(modelDir, "onnx", "changes.py"), source, folder)
			want := canonical(t, source)
			seen := map[string]string{want: source}
			variants, err := filepath.Glob(filepath.Join(folder, "*.onnx"))
			if err != nil || len(variants) < 15 {
				t.Fatal(len(variants), err)
			}
			for _, path := range variants {
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
}
