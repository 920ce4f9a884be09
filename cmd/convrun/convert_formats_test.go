package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/convrun/convrun/provenance/model"
)

// bring copies a file of testdata/model into the repository.
func (w *workshop) bring(from, to string) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata/model", from))
	must(w.t, err)
	must(w.t, os.WriteFile(filepath.Join(w.repo, to), data, 0o644))
}

// refuses changes a file, expects that verify says why it fails, and changes it
// back.
func (w *workshop) refuses(artifact, name, says string, change func(path string)) {
	w.t.Helper()
	path := filepath.Join(w.repo, filepath.FromSlash(name))
	before, err := os.ReadFile(path)
	there := err == nil
	change(path)
	w.contains("verify", w.convrun(1, "verify", artifact).stderr, says)
	if there {
		must(w.t, os.WriteFile(path, before, 0o644))
	} else {
		must(w.t, os.Remove(path))
	}
	w.convrun(0, "verify", artifact)
}

// turn turns one bit of a file round.
func turn(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, os.WriteFile(path, data, 0o644))
}

// The weights beside an .xml belong to the model, and verifying checks them.
func TestOpenVINOModelIsBoundWithItsWeights(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "converters")
	w.bring("onnx/torchscript_eval_17.onnx", "net.onnx")
	ovc := filepath.Join(filepath.Dir(w.python), "ovc")
	w.convrun(0, "run", "--", ovc, "net.onnx", "--output_model", "net.xml")

	st := w.log("net.xml")
	names := []string{}
	for _, subject := range st.Subject {
		names = append(names, subject.Name)
		w.equal("digest of "+subject.Name, subject.Digest["sha256"], w.sum(subject.Name))
	}
	w.equal("subjects, the model first", names, []string{"net.xml", "net.bin"})
	w.equal("format", st.Predicate.FrozenModels[0].Format, "openvino")
	w.checkElimination(st, noTrainingState(model.Unknown, map[model.Operation]row{
		model.Dropout:            {"pass", model.Absent, model.None, model.Absent},
		model.BatchNormalization: {"pass", model.Folded, model.None, model.Present},
	}))
	w.verifies("net.xml", "net.xml", "net.bin")
	change := func(path string) { turn(t, path) }
	w.refuses("net.xml", "net.bin", "net.bin: expected sha256", change)
	w.refuses("net.xml", "net.xml", "net.xml: expected sha256", change)
	w.refuses("net.xml", "net.bin", "net.bin: expected this file, found none", func(path string) { must(t, os.Remove(path)) })
}

// A package is its files: a changed, a missing and an added one are refused.
func TestCoreMLPackageIsBoundWithItsItems(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "converters")
	w.bring("torchscript/traced_train.pt", "net.pt")
	w.convert(0, "-c", `import coremltools as ct
ct.convert("net.pt", inputs=[ct.TensorType(shape=(2, 1, 8, 8))], convert_to="mlprogram").save("net.mlpackage")`)

	st := w.log("net.mlpackage")
	const folder = "net.mlpackage/Data/com.apple.CoreML/"
	names := []string{}
	for _, subject := range st.Subject {
		names = append(names, subject.Name)
		w.equal("digest of "+subject.Name, subject.Digest["sha256"], w.sum(subject.Name))
	}
	files := []string{folder + "model.mlmodel", folder + "weights/weight.bin", "net.mlpackage/Manifest.json"}
	w.names("subjects", names, files)
	w.equal("format", st.Predicate.FrozenModels[0].Format, "coreml")
	w.verifies("net.mlpackage", files...)
	w.refuses("net.mlpackage", folder+"weights/weight.bin", "weight.bin: expected sha256", func(path string) { turn(t, path) })
	w.refuses("net.mlpackage", folder+"weights/weight.bin", "weight.bin: expected this file, found none", func(path string) { must(t, os.Remove(path)) })
	w.refuses("net.mlpackage", folder+"weights/more.bin", "more.bin", func(path string) { must(t, os.WriteFile(path, []byte("x"), 0o644)) })
}
