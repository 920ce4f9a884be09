package main

import (
	"maps"
	"slices"
	"testing"
)

// TestWhatWasAskedIsHeldAgainstWhatCameOut exports with both exporters of
// PyTorch: what came out as asked is accused of nothing, the rest of just that.
func TestWhatWasAskedIsHeldAgainstWhatCameOut(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", "convert_asked.py")
	w.convert(0, "convert_asked.py")

	st := w.log("inside.onnx")
	got := map[string][]string{}
	for _, m := range st.Predicate.FrozenModels {
		got[m.Name] = nil
	}
	for _, f := range st.Predicate.Findings {
		if _, ofModel := got[f.Subject]; ofModel {
			got[f.Subject] = append(got[f.Subject], f.ID+": "+f.Message)
		}
	}
	want := map[string][]string{
		"good_legacy.onnx": nil, "good_parameters.onnx": nil, "good_by_place.onnx": nil, "good_by_name.onnx": nil, "good_auto.onnx": nil,
		"training.onnx": nil, "training_legacy.onnx": nil,
		"opset.onnx":   {"CR-OPSET: opset 11 was asked for, the model has opset 18"},
		"unused.onnx":  {"CR-ASKED-NAMES: inputs a, b were asked for, the model has a"},
		"dynamic.onnx": {`CR-ASKED-DYNAMIC: dimension 0 of "y" was to be dynamic, the model has it fixed: [1, 4]`},
		"inside.onnx":  {"CR-ASKED-EXTERNAL-DATA: weights beside the model were asked for, they are in it"},
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w.equal("findings of "+name, got[name], want[name])
	}
	w.equal("models", len(got), len(want))

	// Each exporter has its own words for a model in training mode.
	trains := 0
	for _, f := range st.Predicate.Findings {
		if f.ID == "CR-SOURCE-TRAINING" {
			trains++
		}
	}
	w.equal("warnings about the source's mode", trains, 2)
}
