package model

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// expectedKeras is what each .keras file must say. Keras 3.12 writes the
// optimizer with include_optimizer=False, too.
var expectedKeras = map[string]expectation{
	"inference":                  {verdicts: [5]string{none, none, none, none, none}},
	"network":                    {verdicts: [5]string{dormant, dormant, none, none, none}},
	"compiled":                   {[5]string{dormant, dormant, trains, trains, trains}, []string{OptimizerStored}},
	"compiled_without_optimizer": {[5]string{dormant, dormant, trains, trains, trains}, []string{OptimizerStored}},
	"decayed":                    {[5]string{dormant, dormant, trains, none, trains}, []string{OptimizerStored}},
	"functional":                 {verdicts: [5]string{trains, dormant, none, none, trains}},
	"custom":                     {[5]string{unsure, unsure, none, none, unsure}, []string{KerasCustomClass}},
	"keras2":                     {[5]string{dormant, dormant, trains, trains, trains}, []string{OptimizerStored}},
}

// expectedKerasH5 is what each .h5 file must say.
var expectedKerasH5 = map[string]expectation{
	"inference":                  {verdicts: [5]string{none, none, none, none, none}},
	"network":                    {verdicts: [5]string{dormant, dormant, none, none, none}},
	"compiled":                   {[5]string{dormant, dormant, trains, trains, trains}, []string{OptimizerStored}},
	"compiled_without_optimizer": {verdicts: [5]string{dormant, dormant, none, none, trains}},
	"functional":                 {verdicts: [5]string{trains, dormant, none, none, trains}},
	"keras2":                     {[5]string{dormant, dormant, trains, trains, trains}, []string{OptimizerStored}},
	"latest":                     {[5]string{dormant, dormant, trains, trains, trains}, []string{OptimizerStored}},
	"weights_only.weights":       {verdicts: [5]string{unsure, dormant, unsure, unsure, unsure}},
	"odd":                        {[5]string{none, none, none, none, none}, []string{PartProblem}},
	"dense":                      {verdicts: [5]string{none, none, unsure, unsure, unsure}},
}

func TestEliminationKeras(t *testing.T) {
	checkExpected(t, filepath.Join(tensorFlowDir, "*.keras"), expectedKeras)
	checkExpected(t, filepath.Join(tensorFlowDir, "*.h5"), expectedKerasH5)
}

func TestEvidenceKeras(t *testing.T) {
	for _, test := range []struct {
		fixture string
		op      Operation
		want    string
	}{
		{"functional.keras", Dropout, `Dropout "forced": rate 0.3: called with training=True`},
		{"functional.keras", Dropout, `LSTM "forward_lstm": recurrent_dropout 0.2`},
		{"functional.keras", Dropout, `SpatialDropout1D "spatial": rate 0.1`},
		{"functional.h5", BatchNormalization, `BatchNormalization "nested"`},
		{"functional.h5", WeightRegularization, `Dense "inner": kernel_regularizer is L1`},
		{"compiled.h5", LearningRateScheduling, "optimizer Adam: its learning rate is ExponentialDecay"},
		{"decayed.keras", WeightRegularization, "optimizer AdamW: weight_decay is 0.004"},
		{"decayed.keras", GradientClipping, "clipvalue is 0.5"},
		{"custom.keras", Dropout, `what Mine "mine" does`},
		{"dense.h5", GradientClipping, `links of "many", which are stored densely`},
	} {
		if got := evidenceIn(t, filepath.Join(tensorFlowDir, test.fixture), test.op); !strings.Contains(got, test.want) {
			t.Errorf("%s, %s:\n got %s\nwant %s", test.fixture, test.op, got, test.want)
		}
	}
}

// kerasOracle prints what Keras says of the models that it loads.
const kerasOracle = `
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import zipfile
import h5py, keras

@keras.saving.register_keras_serializable("mine")
class Mine(keras.layers.Layer):
    def call(self, x): return x

def flatten(layer):
    yield layer
    inner = []
    if isinstance(layer, keras.Sequential): inner = layer._layers
    elif isinstance(layer, keras.Model): inner = layer.operations
    elif isinstance(layer, keras.layers.Bidirectional): inner = [layer.forward_layer, layer.backward_layer]
    elif isinstance(layer, keras.layers.TimeDistributed): inner = [layer.layer]
    for l in inner: yield from flatten(l)

def version(path):
    if path.endswith(".keras"): return json.loads(zipfile.ZipFile(path).read("metadata.json"))["keras_version"]
    value = h5py.File(path).attrs["keras_version"]
    return value.decode() if isinstance(value, bytes) else value

def superblock(path):
    return open(path, "rb").read(9)[8]

def look(path):
    m = keras.models.load_model(path, compile=False)
    operators = {}
    for l in flatten(m): operators[type(l).__name__] = operators.get(type(l).__name__, 0) + 1
    outputs = m._layers[-1:] if isinstance(m, keras.Sequential) else None
    names = [l.name for l in outputs] if outputs else m.output_names
    return {"formatVersion": "HDF5 superblock %d" % superblock(path) if path.endswith(".h5") else "unknown: the format states no version of its own",
            "producer": "keras " + version(path), "opsets": {}, "operators": operators, "parameters": m.count_params(),
            "inputs": [[t.name, str(t.dtype), ["?" if d is None else str(d) for d in t.shape]] for t in m.inputs],
            "outputs": [[n, "unknown", None] for n in names]}

print(json.dumps({os.path.basename(p): look(p) for p in sys.argv[1:]}))
`

func TestAgainstPythonKeras(t *testing.T) {
	paths := append(glob(t, filepath.Join(tensorFlowDir, "*.keras")), glob(t, filepath.Join(tensorFlowDir, "*.h5"))...)
	// Not models, of another Keras than the one that is asked, or what Keras 3
	// wrote and cannot load: operations in .h5.
	paths = slices.DeleteFunc(paths, func(path string) bool {
		return slices.Contains([]string{"functional.h5", "weights_only.weights.h5", "odd.h5", "dense.h5", "keras2.h5", "keras2.keras"}, filepath.Base(path))
	})
	agrees(t, "tensorflow, keras", kerasOracle, paths)
}

// hdf5Oracle prints what h5py finds in each file: every dataset that a hard
// link leads to, under each object's first path, and the root's strings.
const hdf5Oracle = `
import h5py, json, sys

def look(path):
    datasets, seen = {}, set()
    def walk(group, at):
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink): continue
            o = group[name]
            if o.id.__hash__() in seen: continue
            seen.add(o.id.__hash__())
            if isinstance(o, h5py.Group): walk(o, at + name + "/")
            else: datasets[at + name] = int(o.size or 0)
    with h5py.File(path) as f:
        seen.add(f["/"].id.__hash__())
        walk(f, "")
        strings = {k: v.decode() if isinstance(v, bytes) else str(v) for k, v in f.attrs.items() if isinstance(v, (str, bytes))}
    return [datasets, strings]

print(json.dumps({p: look(p) for p in sys.argv[1:]}))
`

func TestAgainstH5py(t *testing.T) {
	interpreter := python(t, "tensorflow", "h5py")
	paths := slices.DeleteFunc(glob(t, filepath.Join(tensorFlowDir, "*.h5")), func(path string) bool { return filepath.Base(path) == "dense.h5" })
	paths = append(paths, unzipped(t, filepath.Join(tensorFlowDir, "functional.keras")), unzipped(t, filepath.Join(tensorFlowDir, "keras2.keras")))
	out, err := exec.Command(interpreter, append([]string{"-c", hdf5Oracle}, paths...)...).Output()
	if err != nil {
		t.Fatalf("python: %v", err)
	}
	var want map[string][2]map[string]any
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h, err := readHDF5(bytes.NewReader(data), int64(len(data)), path)
		if err != nil {
			t.Error(err)
			continue
		}
		datasets, strings := map[string]any{}, map[string]any{}
		for _, d := range h.datasets {
			datasets[d.path] = float64(d.elements)
		}
		for key, value := range h.strings {
			strings[key] = value
		}
		if got := [2]map[string]any{datasets, strings}; !reflect.DeepEqual(got, want[path]) || len(datasets) == 0 {
			t.Errorf("%s:\n got %v\nwant %v", path, got, want[path])
		}
	}
}

// unzipped writes the weights of a .keras file into one of their own.
func unzipped(t *testing.T, path string) string {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, f := range archive.File {
		if strings.HasSuffix(f.Name, ".weights.h5") {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var b bytes.Buffer
			if _, err := b.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			return write(t, filepath.Join(t.TempDir(), "w.h5"), b.Bytes())
		}
	}
	t.Fatalf("%s: no weights", path)
	return ""
}

// zipped is a zip of names and contents in turn; method is that of all.
func zipped(t testing.TB, method uint16, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		f, err := w.CreateHeader(&zip.FileHeader{Name: entries[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(entries[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readArchive(t testing.TB, data []byte) (*Model, error) {
	t.Helper()
	return readKeras(bytes.NewReader(data), int64(len(data)), "test.keras")
}

// sequential is the configuration of a model of some layers.
func sequential(layers ...string) string {
	return fmt.Sprintf(`{"class_name":"Sequential","config":{"name":"n","layers":[%s]}}`, strings.Join(layers, ","))
}

func compiledWith(optimizer string) string {
	return fmt.Sprintf(`{"class_name":"Sequential","config":{"name":"n","layers":[]},"compile_config":{"optimizer":%s}}`, optimizer)
}

// Rules that no fixture has a file for.
func TestJudgementsKeras(t *testing.T) {
	const adam = `{"module":"keras.optimizers","class_name":"Adam","config":{"learning_rate":0.1%s}}`
	with := func(more string) string { return compiledWith(fmt.Sprintf(adam, more)) }
	layer := func(class, config string) string {
		return sequential(fmt.Sprintf(`{"module":"keras.layers","class_name":%q,"config":{"name":"l","trainable":true%s}}`, class, config))
	}
	for _, test := range []struct {
		name, config string
		op           Operation
		want, says   string
	}{
		{"no dropout", layer("Dropout", `,"rate":0`), Dropout, none, ""},
		{"noise", layer("GaussianNoise", `,"stddev":0.1`), Dropout, dormant, "stddev 0.1"},
		{"attention", layer("MultiHeadAttention", `,"dropout":0.1`), Dropout, dormant, "dropout 0.1"},
		{"synchronized", layer("SyncBatchNormalization", ""), BatchNormalization, dormant, ""},
		{"layer normalization", layer("LayerNormalization", ""), BatchNormalization, none, ""},
		{"lambda", layer("Lambda", ""), Dropout, unsure, "another program's"},
		{"another package", sequential(`{"module":"keras_hub.layers","class_name":"Block","config":{"name":"l"}}`), BatchNormalization, unsure, `what Block "l" does`},
		{"layer of tomorrow", layer("Tomorrow", ""), Dropout, unsure, `what Tomorrow "l" does`},
		{"package before the class", sequential(`{"class_name":"mine>Layer","config":{"name":"l"}}`), Dropout, unsure, ""},
		{"regularizer of activities", layer("Dense", `,"activity_regularizer":{"class_name":"L2","config":{}}`), WeightRegularization, none, ""},
		{"regularizer of biases", layer("Dense", `,"bias_regularizer":"l2"`), WeightRegularization, trains, "bias_regularizer is l2"},
		{"wrapped", sequential(`{"class_name":"Wrapper","config":{"layer":{"class_name":"SpatialDropout2D","config":{"name":"deep","rate":0.5}}}}`), Dropout, dormant, `"deep"`},
		{"called for training in Keras 2", `{"class_name":"Functional","config":{"layers":[{"class_name":"BatchNormalization","config":{"name":"b"},"inbound_nodes":[[["x",0,0,{"training":true}]]]}]}}`, BatchNormalization, trains, "training=True"},
		{"called for inference", `{"class_name":"Functional","config":{"layers":[{"class_name":"Dropout","config":{"name":"d","rate":0.5},"inbound_nodes":[[["x",0,0,{"training":false}]]]}]}}`, Dropout, dormant, ""},
		{"clipping by all gradients", with(`,"global_clipnorm":1.5`), GradientClipping, trains, "global_clipnorm is 1.5"},
		{"no clipping", with(`,"clipnorm":null,"clipvalue":null`), GradientClipping, none, "neither clipnorm"},
		{"constant rate", with(""), LearningRateScheduling, none, "learning rate is 0.1"},
		{"rate that decays in the old way", with(`,"decay":0.01`), LearningRateScheduling, trains, "decays by 0.01"},
		{"no decay of weights", with(`,"weight_decay":null`), WeightRegularization, none, "no weight_decay"},
		{"optimizer by name", compiledWith(`"adam"`), GradientClipping, none, "optimizer adam"},
		{"optimizer of the program's own", compiledWith(`{"module":"mine","class_name":"Mine","config":{}}`), GradientClipping, unsure, "no class of Keras"},
		{"optimizer around another", compiledWith(`{"module":"keras.optimizers","class_name":"LossScaleOptimizer","config":{"inner_optimizer":` + fmt.Sprintf(adam, `,"clipnorm":2`) + `}}`), GradientClipping, trains, "clipnorm is 2"},
	} {
		m, err := readArchive(t, zipped(t, zip.Deflate, "metadata.json", `{"keras_version":"3"}`, "config.json", test.config))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkJudgement(t, test.name, m, test.op, test.want, test.says)
	}
}

// An archive that is odd is refused, or read no further than it can be.
func TestKerasArchive(t *testing.T) {
	weights, err := os.ReadFile(unzipped(t, filepath.Join(tensorFlowDir, "network.keras")))
	if err != nil {
		t.Fatal(err)
	}
	about := []string{"metadata.json", "{}", "config.json", sequential()}
	m, err := readArchive(t, zipped(t, zip.Deflate, append(about, "model.weights.h5", string(weights))...))
	if err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, m, GradientClipping); v.Status != Unknown || m.Parameters != -1 {
		t.Errorf("compressed weights: %+v, %d parameters", v, m.Parameters)
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"two configurations":       {zipped(t, zip.Store, append(about, "config.json", "{}")...), `expected one entry "config.json", found two`},
		"no configuration":         {zipped(t, zip.Store, "metadata.json", "{}"), "found not both"},
		"no JSON":                  {zipped(t, zip.Store, "metadata.json", "{}", "config.json", "{"), "config.json"},
		"a list":                   {zipped(t, zip.Store, "metadata.json", "{}", "config.json", "[]"), "config.json"},
		"a bomb":                   {zipped(t, zip.Deflate, "metadata.json", "{}", "config.json", strings.Repeat(" ", maxKerasConfig+1)), "expected at most"},
		"weights that are none":    {zipped(t, zip.Store, append(about, "model.weights.h5", strings.Repeat("x", 100))...), "model.weights.h5: at byte 8"},
		"no zip":                   {[]byte("PK\x03\x04"), "expected a zip"},
		"weights that are cut off": {zipped(t, zip.Store, append(about, "model.weights.h5", string(weights[:len(weights)/4]))...), "model.weights.h5: at byte"},
	} {
		if _, err := readArchive(t, test.data); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "test.keras") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	// Nested as deep as JSON allows.
	deep := strings.Repeat(`{"config":[`, 4000) + strings.Repeat(`]}`, 4000)
	m, err = readArchive(t, zipped(t, zip.Store, "metadata.json", "{}", "config.json", deep))
	if err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, m, Dropout); v.Status != Unknown {
		t.Errorf("deep configuration: %+v", v)
	}
}

func readH5(data []byte) (*Model, error) {
	return readKerasH5(bytes.NewReader(data), int64(len(data)), "test.h5")
}

// Whatever one byte of a file's structure is changed to, reading ends soon, in
// an error that says where or in a complete model.
func TestHDF5Damaged(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(tensorFlowDir, "network.h5"))
	if err != nil {
		t.Fatal(err)
	}
	start, refused := time.Now(), 0
	for at := 8; at < min(len(data), 6000); at++ {
		for _, v := range []byte{0, 1, 0x7f, 0xff} {
			changed := bytes.Clone(data)
			changed[at] = v
			m, err := readH5(changed)
			switch {
			case err != nil:
				refused++
				if !strings.Contains(err.Error(), "test.h5") {
					t.Fatalf("byte %d: error does not name the file: %v", at, err)
				}
			default:
				checkComplete(t, fmt.Sprint("byte ", at), m)
			}
		}
	}
	if refused < 100 {
		t.Errorf("%d of the changed files were refused", refused)
	}
	if spent := time.Since(start); spent > 60*time.Second {
		t.Errorf("took %v", spent)
	}
}

// FuzzKerasH5 holds that any bytes give either an error that names the file or
// a complete model, and that bytes behind the end change nothing.
func FuzzKerasH5(f *testing.F) {
	seeds(f, filepath.Join(tensorFlowDir, "*.h5"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readH5(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.h5") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		again, err := readH5(append(data[:len(data):len(data)], "behind"...))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("bytes behind the end changed the model: %v\n%+v\n%+v", err, m, again)
		}
	})
}

// FuzzKeras holds that any configuration gives either an error that names the
// file or a complete model, which is the same when the configuration is written
// with its keys in order.
func FuzzKeras(f *testing.F) {
	for _, path := range []string{"functional.keras", "compiled.keras", "custom.keras", "keras2.keras"} {
		archive, err := zip.OpenReader(filepath.Join(tensorFlowDir, path))
		if err != nil {
			f.Fatal(err)
		}
		for _, entry := range archive.File {
			if entry.Name == "config.json" {
				config, err := unzip(entry, path)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(config)
			}
		}
		archive.Close()
	}
	f.Fuzz(func(t *testing.T, config string) {
		m, err := readArchive(t, zipped(t, zip.Store, "metadata.json", "{}", "config.json", config))
		if err != nil {
			if !strings.Contains(err.Error(), "test.keras") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		var object any
		if err := json.Unmarshal([]byte(config), &object); err != nil {
			t.Fatal(err)
		}
		sorted, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readArchive(t, zipped(t, zip.Store, "metadata.json", "{}", "config.json", string(sorted)))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("written anew, the model is another: %v\n%+v\n%+v", err, m, again)
		}
	})
}
