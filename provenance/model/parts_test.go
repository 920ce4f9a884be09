package model

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A part that has a second name elsewhere is a finding, in every format that
// has parts.
func TestHardLinks(t *testing.T) {
	for sample, part := range map[string]string{
		"onnx/external_17.onnx":                      "external_17.onnx.data",
		"openvino/network_eval.xml":                  "network_eval.bin",
		"coreml/network_eval.mlpackage":              "Data/com.apple.CoreML/weights/weight.bin",
		"formats/saved_model":                        "variables/variables.index",
		"safetensors/sharded.safetensors.index.json": "sharded-00002-of-00003.safetensors",
	} {
		// The folder that holds the model, or is it.
		from, model := filepath.Join(modelDir, filepath.Dir(sample)), filepath.Base(sample)
		if info, err := os.Stat(filepath.Join(modelDir, sample)); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			from, model = filepath.Join(modelDir, sample), "."
		}
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		inspect := func() []string {
			m, err := Inspect(filepath.Join(copied, model))
			if err != nil {
				t.Fatal(err)
			}
			return findingsOf(m)
		}
		if got := inspect(); slices.Contains(got, LinkedPart) {
			t.Errorf("%s: %v without a link", sample, got)
		}
		if err := os.Link(filepath.Join(copied, filepath.FromSlash(part)), filepath.Join(t.TempDir(), "other")); err != nil {
			t.Skipf("no hard links here: %v", err)
		}
		if got := inspect(); !slices.Contains(got, LinkedPart) {
			t.Errorf("%s: %v with a link to %s", sample, got, part)
		}
	}
}
