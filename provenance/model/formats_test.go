package model

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const formatsDir = "../../testdata/model/formats"

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every real file is told by content: under a name that says nothing, too.
func TestDetectRealFiles(t *testing.T) {
	tried := map[string]bool{}
	for file, want := range map[string]string{
		"torch_zip.pt": "torch", "torch_legacy.pt": "torch", "torchscript_traced.pt": "torchscript",
		"torchscript_frozen.pt": "torchscript", "exported.pt2": "pt2", "model.keras": "keras",
		"model.h5": "keras_h5", "model.tflite": "tflite", "frozen.pb": "graphdef", "saved_model": "saved_model",
		"../torchscript/scripted_train.pt": "torchscript", "../pt2/network_train.pt2": "pt2", "../gguf/weights.gguf": "gguf", "../torch/module_train.pt": "torch", "model.ort": "ort", "ort_checkpoint": "ort_checkpoint", "../openvino/network_train.xml": "openvino", "../coreml/nn_train.mlmodel": "coreml", "../coreml/network_train.mlpackage": "coreml", "../safetensors/weights.safetensors": "safetensors", "../safetensors/sharded.safetensors.index.json": "safetensors",
		"../onnx/dynamo_eval_20.onnx": "onnx", "../onnx/types_19.onnx": "onnx", "../onnx/dropout_1_default.onnx": "onnx",
	} {
		path := filepath.Join(formatsDir, file)
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if !info.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			path = write(t, filepath.Join(t.TempDir(), "x"), data)
		}
		f, ok, err := Detect(path)
		if err != nil || !ok || f.Name != want {
			t.Errorf("%s: format %q, %v, %v; want %q", file, f.Name, ok, err, want)
		}
		m, err := Inspect(path)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		checkComplete(t, file, m)
		tried[want] = true
	}
	for _, f := range Formats {
		if tried[f.Name] == f.Untried {
			t.Errorf("format %s: Untried is %v, but tried with a real file: %v", f.Name, f.Untried, tried[f.Name])
		}
	}
}

// madeUp are files for the formats whose writers are not at hand.
var madeUp = map[string][]byte{
	"gguf":        ggufHeader(0, 0),
	"tensorrt":    []byte("ftrt\x00\x00\x00\x00"),
	"ncnn":        []byte("7767517\n1 1\nInput x 0 1 x\n"),
	"openvino":    []byte("<?xml version=\"1.0\"?>\n<!-- x -->\n<net name=\"m\" version=\"11\"><layers><layer id=\"0\" type=\"Result\"/></layers></net>"),
	"coreml":      join(number(1, 7), block(2, block(1, str(1, "x"))), block(500)),
	"safetensors": safetensors(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  `),
}

func safetensors(header string) []byte {
	return join(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), []byte(header), []byte{0, 0, 0, 0})
}

func TestDetectMadeUp(t *testing.T) {
	for want, data := range madeUp {
		path := write(t, filepath.Join(t.TempDir(), "x"), data)
		f, ok, err := Detect(path)
		if err != nil || !ok || f.Name != want {
			t.Errorf("format %q, %v, %v; want %q", f.Name, ok, err, want)
		}
		if m, err := Inspect(path); err != nil {
			t.Error(err)
		} else {
			checkComplete(t, want, m)
		}
	}
}

func TestDetectNothing(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty.onnx":    nil,
		"text.onnx":     []byte("this is no model\n"),
		"zeros.pt":      make([]byte, 1000),
		"broken.pt":     []byte("PK\x03\x04 and then nothing of a zip"),
		"page.xml":      []byte("<html><body/></html>"),
		"data.json":     []byte(`{"a": 1}`),
		"other.pb":      join(str(1, "x"), number(9, 1)),
		"lonely":        []byte("{"),
		"pickle.pkl":    []byte("\x80\x04K\x01."),
		"short":         {8},
		"nographs.onnx": join(number(1, 8), str(2, "pytorch")),
		"notagraph":     join(number(1, 8), block(7, number(1, 1))),
		"table.hdf":     []byte("\x89HDF\r\n\x1a\n and no attribute of Keras"),
	} {
		if f, ok, err := Detect(write(t, filepath.Join(t.TempDir(), name), data)); ok || err != nil {
			t.Errorf("%s: %q, %v", name, f.Name, err)
		}
	}
	if _, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), nil)); err == nil || !strings.Contains(err.Error(), "expected a model") {
		t.Errorf("Inspect of no model: %v", err)
	}
	if _, _, err := Detect(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("Detect of a missing file: no error")
	}
	if f, ok, err := Detect(t.TempDir()); ok || err != nil {
		t.Errorf("Detect of an empty folder: %q, %v", f.Name, err)
	}
}

// An ending decides about HDF5 alone, where content cannot be found quickly.
func TestDetectByEnding(t *testing.T) {
	f, ok, err := Detect(write(t, filepath.Join(t.TempDir(), "m.H5"), []byte("\x89HDF\r\n\x1a\n")))
	if err != nil || !ok || f.Name != "keras_h5" {
		t.Errorf("%q, %v, %v", f.Name, ok, err)
	}
}

// A file that was cut off is still taken for what it is, so that its error says
// where it ends.
func TestDetectCutOff(t *testing.T) {
	data, err := os.ReadFile("../../testdata/model/onnx/torchscript_eval_17.onnx")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Inspect(write(t, filepath.Join(t.TempDir(), "m.onnx"), data[:len(data)/2]))
	if err == nil || !strings.Contains(err.Error(), "m.onnx: at byte") || !strings.Contains(err.Error(), "which remain in the message") {
		t.Errorf("got %v", err)
	}
}

// checkComplete holds what every model promises.
func checkComplete(t testing.TB, name string, m *Model) {
	t.Helper()
	v := reflect.ValueOf(*m)
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Slice, reflect.Map:
			if f.IsNil() {
				t.Errorf("%s: %s is nil", name, v.Type().Field(i).Name)
			}
		case reflect.String:
			if f.Len() == 0 {
				t.Errorf("%s: %s is empty", name, v.Type().Field(i).Name)
			}
		}
	}
	total := int64(0)
	for _, n := range m.DTypes {
		total += n
	}
	if len(m.DTypes) > 0 && total != m.Parameters || len(m.DTypes) == 0 && m.Parameters > 0 && !strings.HasPrefix(m.Format, "keras") {
		t.Errorf("%s: %d parameters, by type %v", name, m.Parameters, m.DTypes)
	}
	if len(m.Elimination) != len(Operations) {
		t.Fatalf("%s: %d verdicts", name, len(m.Elimination))
	}
	for i, verdict := range m.Elimination {
		switch {
		case verdict.Operation != Operations[i]:
			t.Errorf("%s: verdict %d is about %s", name, i, verdict.Operation)
		case len(verdict.Evidence) == 0 || len(verdict.Evidence) > MaxEvidence:
			t.Errorf("%s: %s: %d entries of evidence", name, verdict.Operation, len(verdict.Evidence))
		case verdict.Status == Eliminated || verdict.Status == "":
			t.Errorf("%s: %s: status %q about one file alone", name, verdict.Operation, verdict.Status)
		}
		for _, e := range verdict.Evidence {
			if len(e) == 0 || len(e) > maxEvidenceLength {
				t.Errorf("%s: %s: evidence of %d bytes", name, verdict.Operation, len(e))
			}
		}
	}
	for _, f := range m.Findings {
		if f.ID == "" || f.Message == "" || f.Severity == "" || len(f.Evidence) > maxEvidenceLength {
			t.Errorf("%s: finding %+v", name, f)
		}
	}
}

func partNames(m *Model) (names []string) {
	for _, p := range m.Parts {
		names = append(names, p.Name)
	}
	return names
}

func TestSavedModelParts(t *testing.T) {
	dir := filepath.Join(formatsDir, "saved_model")
	m, err := Inspect(filepath.Join(dir, "variables", "variables.index"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"fingerprint.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"}
	if got := partNames(m); m.Main != "saved_model.pb" || !reflect.DeepEqual(got, want) {
		t.Errorf("main %s, parts %v", m.Main, got)
	}
	for _, p := range m.Parts {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(p.Name)))
		if err != nil || info.Size() != p.Size || p.Problem != "" {
			t.Errorf("part %+v: %v", p, err)
		}
	}
}

const manifest = `{"fileFormatVersion":"1.0.0","itemInfoEntries":{"A":{"path":"com.apple.CoreML/weights"},"B":{"path":"com.apple.CoreML/model.mlmodel"}},"rootModelIdentifier":"B"}`

func TestPackageParts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "M.mlpackage")
	write(t, filepath.Join(dir, "Manifest.json"), []byte(manifest))
	write(t, filepath.Join(dir, "Data", "com.apple.CoreML", "model.mlmodel"), madeUp["coreml"])
	weights := write(t, filepath.Join(dir, "Data", "com.apple.CoreML", "weights", "weight.bin"), []byte("1234"))
	secret := write(t, filepath.Join(filepath.Dir(dir), "secret"), []byte("not ours"))
	link(t, secret, filepath.Join(dir, "Data", "out"))
	link(t, "com.apple.CoreML/weights/weight.bin", filepath.Join(dir, "Data", "in"))
	m, err := Inspect(weights)
	if err != nil {
		t.Fatal(err)
	}
	want := []Part{
		{"Data/com.apple.CoreML/weights/weight.bin", 4, ""},
		{"Data/in", 4, ""},
		{"Data/out", -1, "symbolic link that leads out of the model's folder"},
		{"Manifest.json", int64(len(manifest)), ""},
	}
	if m.Main != "Data/com.apple.CoreML/model.mlmodel" || !reflect.DeepEqual(m.Parts, want) {
		t.Errorf("main %s\n got %+v\nwant %+v", m.Main, m.Parts, want)
	}
	if len(m.Findings) != 1 || m.Findings[0].ID != PartProblem {
		t.Errorf("findings %+v", m.Findings)
	}
}

func link(t testing.TB, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}

func TestRoot(t *testing.T) {
	top := t.TempDir()
	for _, f := range []string{"sm/saved_model.pb", "sm/variables/variables.index", "sm/assets/a/b/c.txt", "sm/notes.txt", "plain/variables/x", "m.onnx"} {
		write(t, filepath.Join(top, filepath.FromSlash(f)), []byte("x"))
	}
	write(t, filepath.Join(top, "M.mlpackage", "Manifest.json"), []byte(manifest))
	write(t, filepath.Join(top, "E.mlpackage", "Manifest.json"), []byte(`{"itemInfoEntries":{"B":{"path":"../../x"}},"rootModelIdentifier":"B"}`))
	for path, want := range map[string]string{
		"sm/saved_model.pb": "sm", "sm/variables/variables.index": "sm", "sm/assets/a/b/c.txt": "sm",
		"sm/notes.txt": "sm/notes.txt", "sm": "sm", "plain/variables/x": "plain/variables/x", "m.onnx": "m.onnx",
		"M.mlpackage/Manifest.json": "M.mlpackage", "M.mlpackage/Data/a/b": "M.mlpackage", "M.mlpackage/other": "M.mlpackage/other",
		"E.mlpackage/Manifest.json": "E.mlpackage/Manifest.json",
	} {
		in := filepath.Join(top, filepath.FromSlash(path))
		if got, want := Root(in), filepath.Join(top, filepath.FromSlash(want)); got != want {
			t.Errorf("Root(%s) = %s, want %s", path, got, want)
		}
	}
	t.Chdir(filepath.Join(top, "sm"))
	if got := Root("saved_model.pb"); got != "." {
		t.Errorf("Root of a relative path: %s", got)
	}
}

// Detection never takes more of a zip than it has bounded.
func TestZipLimits(t *testing.T) {
	end := func(entries uint16, bytes uint32) []byte {
		b := append([]byte("PK\x03\x04PK\x05\x06"), make([]byte, 18)...)
		binary.LittleEndian.PutUint16(b[4+10:], entries)
		binary.LittleEndian.PutUint32(b[4+12:], bytes)
		return b
	}
	for _, test := range []struct {
		data []byte
		want bool
	}{
		{end(1, maxZipDirectory), true},
		{end(1, maxZipDirectory+1), false},
		{end(1<<16-1, 10), false}, // says 64-bit, has none
		{nil, false},
		{[]byte("PK\x03\x04"), false},
	} {
		got, err := zipIsSmall(bytes.NewReader(test.data), int64(len(test.data)))
		if got != test.want || err != nil {
			t.Errorf("%d bytes: %v, %v; want %v", len(test.data), got, err, test.want)
		}
	}
}
