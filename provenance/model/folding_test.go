package model

import (
	"path/filepath"
	"slices"
	"testing"
)

// Real trained and frozen models: what became of each batch normalization is
// told from its numbers alone.
func TestProveFolding(t *testing.T) {
	// torch's TorchScript exporter folds no transposed convolution, tf2onnx no
	// depthwise one.
	some, all := Folding{Layers: 5, Kept: 2, Folded: 3}, Folding{Layers: 5, Kept: 1, Folded: 4}
	none := []string{"bn1", "bn2", "bn3", "bn4", "bn5"}
	for _, c := range []struct {
		trained, frozen string
		want            *Folding
	}{
		{"convolutions.pt", "torchscript.onnx", &some},
		{"convolutions.pt", "dynamo.onnx", &all},
		{"convolutions.pt", "onnxruntime.onnx", &all},
		{"convolutions.pt", "external.onnx", &some},
		{"convolutions.pt", "unfolded.onnx", &Folding{Layers: 5, Kept: 5}},
		{"convolutions_module.pt", "torchscript.onnx", &some},
		{"convolutions_checkpoint.pt", "torchscript.onnx", &some},
		{"convolutions.safetensors", "dynamo.onnx", &all},
		{"convolutions.pt", "altered_weight.onnx", &Folding{Layers: 5, Kept: 2, Folded: 2, Missing: []string{"bn3"}}},
		{"convolutions.pt", "altered_bias.onnx", &Folding{Layers: 5, Kept: 2, Folded: 2, Missing: []string{"bn3"}}},
		{"shifted.safetensors", "torchscript.onnx", &Folding{Layers: 5, Missing: none}},
		{"keras.h5", "tf2onnx.onnx", &Folding{Layers: 4, Folded: 2, Affine: 2}},
		{"torchscript.onnx", "torchscript.onnx", nil},
		{"../safetensors/plain.safetensors", "torchscript.onnx", nil},
		{"convolutions.pt", "convolutions.pt", nil},
	} {
		folder := filepath.Join(modelDir, "folding")
		got, err := ProveFolding(filepath.Join(folder, c.trained), filepath.Join(folder, c.frozen))
		switch {
		case err != nil || (got == nil) != (c.want == nil):
			t.Errorf("%s, %s: %v, %v", c.trained, c.frozen, got, err)
		case got == nil:
		case got.Layers != c.want.Layers || got.Kept != c.want.Kept || got.Folded != c.want.Folded || got.Affine != c.want.Affine || !slices.Equal(got.Missing, c.want.Missing):
			t.Errorf("%s, %s: %v, want %v", c.trained, c.frozen, got, c.want)
		case got.Difference > 1e-6:
			t.Errorf("%s, %s: weights differ by %g", c.trained, c.frozen, got.Difference)
		}
	}
}
