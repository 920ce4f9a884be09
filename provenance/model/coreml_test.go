package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var coreMLDir = filepath.Join(modelDir, "coreml")

func TestCoreML(t *testing.T) {
	plain := sample{[5]string{none, none, no, no, no}, nil}
	drops := sample{[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}}
	norms := sample{[5]string{none, trains, no, no, no}, []string{FlowBatchNormActive}}
	kept := sample{[5]string{none, infers, no, no, no}, nil}
	switched := sample{[5]string{unsure, none, no, no, no}, []string{FlowSwitch}}
	quantized := sample{plain.verdicts, []string{QuantizedModel}}
	updatable := sample{[5]string{none, none, no, unsure, no}, []string{UpdatableModel}}
	checkSamples(t, "coreml", map[string]sample{
		"network_eval.mlpackage":        kept,
		"network_f32_eval.mlpackage":    kept,
		"nn_eval.mlmodel":               kept,
		"network_train.mlpackage":       norms, // the converter drops dropout
		"network_f32_train.mlpackage":   norms,
		"nn_train.mlmodel":              norms,
		"functional_dropout.mlpackage":  plain,
		"mask.mlpackage":                drops,
		"nn_mask.mlmodel":               drops,
		"bernoulli.mlpackage":           drops,
		"nn_bernoulli.mlmodel":          drops,
		"loop.mlpackage":                drops,
		"branch.mlpackage":              switched,
		"nn_branch.mlmodel":             switched,
		"noise.mlpackage":               {[5]string{unsure, none, no, no, no}, []string{FlowRandom}},
		"mask_constant.mlpackage":       {[5]string{unsure, none, no, no, no}, []string{FlowConstantMask}},
		"statistics.mlpackage":          norms,
		"nn_statistics.mlmodel":         norms,
		"statistics_layer.mlpackage":    plain,
		"batchnorm.mlpackage":           kept,
		"nn_batchnorm.mlmodel":          kept,
		"nn_batchnorm_computed.mlmodel": norms,
		"nn_batchnorm_instance.mlmodel": plain,
		"instance.mlpackage":            plain,
		"nn_instance.mlmodel":           plain,
		"state.mlpackage":               plain,
		"dynamic.mlpackage":             plain,
		"features.mlmodel":              plain,
		"weights_int8.mlpackage":        quantized,
		"weights_palette.mlpackage":     quantized,
		"weights_int4.mlpackage":        quantized,
		"nn_custom.mlmodel":             {[5]string{unsure, unsure, unsure, unsure, unsure}, []string{FlowUnknownOperator}},
		"nn_updatable_sgd.mlmodel":      updatable,
		"nn_updatable_adam.mlmodel":     updatable,
		"glm.mlmodel":                   {[5]string{no, no, no, no, no}, nil},
		"pipeline.mlmodel":              norms,
		"functions.mlpackage":           {[5]string{trains, trains, no, no, no}, []string{FlowDropoutActive, FlowBatchNormActive}},
	})
}

// The learning rate of an updatable model is told, and what it is trained with.
func TestEvidenceCoreML(t *testing.T) {
	for file, says := range map[string]string{
		"nn_updatable_sgd.mlmodel":  `optimizer SGD, loss "loss"; the program that trains may change the learning rate, which starts at 0.01`,
		"nn_updatable_adam.mlmodel": "which starts at 0.02",
	} {
		m, err := Inspect(filepath.Join(coreMLDir, file))
		if err != nil {
			t.Fatal(err)
		}
		checkJudgement(t, file, m, LearningRateScheduling, unsure, says)
	}
}

// What coremltools says of each file once it has loaded it.
func TestAgainstCoreMLTools(t *testing.T) {
	var want map[string]struct {
		Version         int
		Type            string
		Inputs, Outputs [][4]any
		Operators       map[string]int
		Parameters      int64
		Opsets          []string
		Blobs           [][6]any
		Source          map[string]string
	}
	libraryFacts(t, "coreml", &want)
	for file, facts := range want {
		m, err := Inspect(filepath.Join(coreMLDir, file))
		if err != nil {
			t.Error(err)
			continue
		}
		if version := fmt.Sprintf("specification %d, %s", facts.Version, facts.Type); m.FormatVersion != version {
			t.Errorf("%s: %s, want %s", file, m.FormatVersion, version)
		}
		checkFeatures(t, file+": inputs", m.Inputs, facts.Inputs)
		checkFeatures(t, file+": outputs", m.Outputs, facts.Outputs)
		if facts.Type == "mlProgram" || facts.Type == "neuralNetwork" {
			operators := maps.Clone(m.Operators)
			if n := operators["custom.Halve"]; n > 0 {
				operators["custom"] = n
				delete(operators, "custom.Halve")
			}
			if !maps.Equal(operators, facts.Operators) || m.Parameters != facts.Parameters {
				t.Errorf("%s:\n got %d parameters, %v\nwant %d, %v", file, m.Parameters, operators, facts.Parameters, facts.Operators)
			}
		}
		made := facts.Source["com.github.apple.coremltools.version"]
		if made != "" && m.Producer != "coremltools "+made {
			t.Errorf("%s: made by %s", file, m.Producer)
		}
		for _, opset := range facts.Opsets {
			if opset != "CoreML"+strconv.FormatInt(m.Opsets["CoreML"], 10) {
				t.Errorf("%s: opset %s, got %v", file, opset, m.Opsets)
			}
		}
		checkBlobs(t, file, facts.Blobs)
	}
}

var featureTypes = map[string]string{
	"FLOAT32": "float32", "DOUBLE": "float64", "INT32": "int32", "FLOAT16": "float16", "INVALID_ARRAY_DATA_TYPE": "unknown",
	"int64Type": "int64", "doubleType": "float64", "stringType": "str", "imageType": "image",
	"dictionaryType int64KeyType": "map(int64,float64)", "dictionaryType stringKeyType": "map(str,float64)",
	"sequenceType int64Type": "sequence(int64)", "sequenceType stringType": "sequence(str)",
}

// checkFeatures compares inputs or outputs with their name, kind, type and
// shape, which may be intervals or a list of shapes.
func checkFeatures(t *testing.T, what string, got []Value, want [][4]any) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for i, v := range got {
		name, kind, sort := want[i][0].(string), want[i][1].(string), want[i][2].(string)
		dtype, ok := featureTypes[sort]
		if both, nested := featureTypes[kind+" "+sort]; nested {
			dtype, ok = both, true
		}
		if !ok || v.Name != name || v.DType != dtype {
			t.Errorf("%s: %s %s, want %v", what, v.Name, v.DType, want[i])
		}
		shape, _ := want[i][3].([]any)
		if expected := featureShape(name, shape); len(shape) > 0 && strings.Join(v.Shape, " ") != expected {
			t.Errorf("%s: %s has shape %v, want %s", what, name, v.Shape, expected)
		}
	}
}

func featureShape(name string, shape []any) string {
	if name == "listed" {
		return "2..4 3" // all of its shapes
	}
	dims := []string{}
	for _, d := range shape {
		interval, ok := d.([]any)
		switch {
		case !ok:
			dims = append(dims, fmt.Sprint(d))
		case interval[0] == interval[1]:
			dims = append(dims, fmt.Sprint(interval[0]))
		case interval[1].(float64) < 0:
			dims = append(dims, fmt.Sprint(interval[0])+"..")
		default:
			dims = append(dims, fmt.Sprint(interval[0])+".."+fmt.Sprint(interval[1]))
		}
	}
	return strings.Join(dims, " ")
}

// checkBlobs compares the places of weights with type, shape, offset of the
// header, and what the header says: type, bytes and their place.
func checkBlobs(t *testing.T, file string, want [][6]any) {
	t.Helper()
	if len(want) == 0 {
		return
	}
	path := filepath.Join(coreMLDir, file, "Data", "com.apple.CoreML", "model.mlmodel")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(bytes.NewReader(data), int64(len(data)), file)
	spec, models := &mlModel{}, 0
	if err := w.mlModel(span{0, int64(len(data))}, 1, &models, spec); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(coreMLDir, file))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	b := &blobs{model: newModel("coreml", "m"), root: root, folder: "Data/com.apple.CoreML", files: map[string]*blobFile{}}
	defer b.close()
	got, expected := []string{}, []string{}
	var look func(k *mlBlock)
	look = func(k *mlBlock) {
		for _, op := range k.operations {
			for _, v := range op.constants() {
				if v.file == "" {
					continue
				}
				c, ok := b.stored(v, op.label())
				if !ok {
					t.Errorf("%s: %v", file, b.problems)
				}
				got = append(got, fmt.Sprint(v.dtype(), " ", v.dims, " ", v.offset, " ", c.len(), " ", c.start))
			}
			for _, inner := range op.blocks {
				look(inner)
			}
		}
	}
	for _, f := range spec.program.functions {
		look(f.block)
	}
	for _, b := range want {
		expected = append(expected, fmt.Sprint(strings.ToLower(b[0].(string)), " ", b[1], " ", b[2], " ", b[4], " ", b[5]))
	}
	slices.Sort(got)
	slices.Sort(expected)
	if !slices.Equal(got, expected) {
		t.Errorf("%s:\n got %v\nwant %v", file, got, expected)
	}
}

// The functions below write specifications that no converter would.

// mlSpec is a specification with one model in a field of Model.
func mlSpec(kind int, fields ...[]byte) []byte {
	return join(number(1, 7), block(2, block(1, str(1, "x")), block(10, str(1, "y"))), block(kind, fields...))
}

// mlEntryOf is an entry of a map.
func mlEntryOf(id int, key string, value ...[]byte) []byte {
	return block(id, str(1, key), block(2, value...))
}

// mlProgramOf is a program whose function main has these operations.
func mlProgramOf(operations ...[]byte) []byte {
	return mlSpec(502, number(1, 1), mlEntryOf(2, "main", block(1, str(1, "x"), mlTensorOf(11, 4, 4)), str(2, "CoreML5"),
		mlEntryOf(3, "CoreML5", str(2, "y"), join(operations...))))
}

// mlTensorOf is a type in field 2.
func mlTensorOf(kind uint64, dims ...uint64) []byte {
	shape := []byte{}
	for _, d := range dims {
		shape = append(shape, block(3, block(1, number(1, d)))...)
	}
	return block(2, block(1, number(1, kind), number(2, uint64(len(dims))), shape))
}

// mlOp is an operation that takes names under keys, "x=a,y=b", and gives out.
func mlOp(kind, inputs, out string, more ...[]byte) []byte {
	op := str(1, kind)
	for _, in := range strings.Split(inputs, ",") {
		if key, name, ok := strings.Cut(in, "="); ok {
			op = append(op, mlEntryOf(2, key, block(1, str(1, name)))...)
		}
	}
	return block(3, op, block(3, str(1, out), mlTensorOf(11, 4, 4)), join(more...))
}

// mlConst is a constant with a value, the fields of Value.
func mlConst(out string, value ...[]byte) []byte {
	return mlOp("const", "", out, mlEntryOf(5, "val", value...))
}

func mlIntsOf(v ...uint64) []byte {
	packed := []byte{}
	for _, n := range v {
		packed = binary.AppendUvarint(packed, n)
	}
	return join(mlTensorOf(23, uint64(len(v))), block(3, block(1, block(2, block(1, packed)))))
}

// mlFileOf is a value in another file, of four float32.
func mlFileOf(name string, offset uint64) []byte {
	return join(mlTensorOf(11, 4), block(5, str(1, name), number(2, offset)))
}

func readML(t testing.TB, data []byte) (*Model, error) {
	t.Helper()
	m := newModel("coreml", "test.mlmodel")
	return m, m.coreML(bytes.NewReader(data), int64(len(data)), "test.mlmodel", emptyRoot(t))
}

func TestJudgementsCoreML(t *testing.T) {
	layer := func(kind int, fields ...[]byte) []byte {
		return block(1, str(1, "l"), str(2, "x"), str(3, "y"), block(kind, fields...))
	}
	mean := mlOp("reduce_mean", "x=x,axes=a", "m")
	for _, test := range []struct {
		name string
		data []byte
		op   Operation
		want string
		says string
	}{
		{"an operator that MIL does not have", mlProgramOf(mlOp("dropout", "x=x", "y")), Dropout, unsure, "what dropout"},
		{"random numbers that nothing uses", mlProgramOf(mlOp("random_uniform", "", "r"), mlOp("relu", "x=x", "y")), Dropout, "present/latent", "on which no output"},
		{"mean of the batch under a power that is not known", mlProgramOf(mlConst("a", mlIntsOf(0)), mean, mlOp("pow", "x=m,y=x", "y")), BatchNormalization, trains, "used by pow"},
		{"mean that keeps its dimensions, under a root", mlProgramOf(mlConst("a", mlIntsOf(0)), mlConst("k", mlTensorOf(1), block(3, block(1, block(3, block(1, []byte{1}))))),
			mlOp("reduce_mean", "x=x,axes=a,keep_dims=k", "m"), mlOp("rsqrt", "x=m", "y")), BatchNormalization, trains, "axis 0"},
		{"axes that are computed", mlProgramOf(mlOp("relu", "x=x", "a"), mean, mlOp("sqrt", "x=m", "y")), BatchNormalization, unsure, "include the batch"},
		{"no axes", mlProgramOf(mlOp("reduce_mean", "x=x", "m"), mlOp("sqrt", "x=m", "y")), BatchNormalization, none, ""},
		{"statistics that are computed", mlProgramOf(mlOp("batch_norm", "x=x,mean=x,variance=x", "y")), BatchNormalization, trains, "its statistics are computed"},
		{"writes a running mean", mlProgramOf(mlOp("write_state", "input=bn_running_mean,data=x", ""), mlOp("relu", "x=x", "y")), BatchNormalization, trains, "bn_running_mean"},
		{"a loop without a body", mlProgramOf(mlOp("while_loop", "loop_vars=x", "y")), Dropout, unsure, "what while_loop"},
		{"a kind of layer that is not known", mlSpec(500, layer(99999)), Dropout, unsure, "what layer 99999"},
		{"a layer without settings", mlSpec(500, block(1, str(2, "x"), str(3, "y"))), Dropout, unsure, "what layer 0"},
		{"a power that is computed", mlSpec(500, block(1, str(1, "m"), str(2, "x"), str(3, "m"), block(4, number(1, 4)), block(1280, number(1, 0), number(2, 1))),
			block(1, str(1, "p"), str(2, "m"), str(2, "x"), str(3, "y"), block(885))), BatchNormalization, trains, "powBroadcastable"},
		{"dropout in a loop", mlSpec(500, block(1, str(1, "go"), block(615, block(4, block(1, str(1, "r"), str(2, "x"), str(3, "m"), block(1210)),
			block(1, str(1, "mul"), str(2, "x"), str(2, "m"), str(3, "y"), block(231)))))), Dropout, trains, `in loop "go"`},
		{"a model of a kind that holds a program", mlSpec(555, str(10, "Foreign")), Dropout, unsure, "customModel"},
		{"a model of a kind that is not known", mlSpec(3999), GradientClipping, unsure, "kind 3999"},
		{"nearest neighbours that may learn", join(mlSpec(404), number(10, 1)), LearningRateScheduling, unsure, "isUpdatable is set"},
	} {
		m, err := readML(t, test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkJudgement(t, test.name, m, test.op, test.want, test.says)
	}
}

func TestRefusedCoreML(t *testing.T) {
	deep := []byte{}
	for range 80 {
		deep = block(202, block(1, number(1, 1), deep))
	}
	blocks := mlOp("relu", "x=x", "y")
	for range 40 {
		blocks = block(3, str(1, "cond"), block(4, blocks))
	}
	many := bytes.Repeat(block(1, number(1, 1), block(900)), maxMLModels)
	for says, data := range map[string][]byte{
		"one model in a specification": join(mlSpec(500), block(502)),
		"a model in the specification": join(number(1, 1), block(2)),
		"a function in the program":    mlSpec(502, mlEntryOf(2, "main", str(2, "CoreML5"))),
		"one kind of layer":            mlSpec(500, block(1, block(100), block(120))),
		"messages within each other":   join(number(1, 1), deep),
		"at most 1024 models":          mlSpec(202, many),
		"messages within each":         mlProgramOf(blocks),
	} {
		bounded(t, says, func() {
			_, err := readML(t, data)
			refused(t, says, err, says)
			refused(t, says, err, "test.mlmodel")
		})
	}
}

// A program that writes out to more than is looked at is not judged.
func TestBombsCoreML(t *testing.T) {
	layers := bytes.Repeat(block(1, str(2, "x"), str(3, "x"), block(130)), 250_000)
	bounded(t, "layers", func() {
		m, err := readML(t, mlSpec(500, layers))
		if err != nil {
			t.Fatal(err)
		}
		if m.found(FlowTooLarge) != 1 || verdict(t, m, Dropout).Status != Unknown {
			t.Errorf("%v", m.Findings)
		}
	})
}

// mlPackage is a package whose program has a constant of four float32 in a file
// of weights; change may change what is in it.
func mlPackage(t *testing.T, location string, change func(dir string)) (*Model, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "M.mlpackage")
	write(t, filepath.Join(dir, "Manifest.json"), []byte(manifest))
	write(t, filepath.Join(dir, "Data/com.apple.CoreML/model.mlmodel"), mlProgramOf(mlConst("w", mlFileOf(location, 64)), mlOp("mul", "x=x,y=w", "y")))
	write(t, filepath.Join(dir, "Data/com.apple.CoreML/weights/weight.bin"), blobFileOf(blobMark, 2, 16, 128))
	change(dir)
	return Inspect(dir)
}

// blobFileOf is a file of weights with one header, at byte 64.
func blobFileOf(mark, kind uint32, size, offset uint64) []byte {
	b := make([]byte, 64, 144)
	b = binary.LittleEndian.AppendUint32(b, mark)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = binary.LittleEndian.AppendUint64(b, size)
	b = binary.LittleEndian.AppendUint64(b, offset)
	return b[:cap(b)]
}

// Whatever belongs to a package is a part of it, and has what is referred to.
func TestCoreMLPackage(t *testing.T) {
	const weights = "@model_path/weights/weight.bin"
	const bin = "Data/com.apple.CoreML/weights/weight.bin"
	fill := func(data []byte) func(string) {
		return func(dir string) { write(t, filepath.Join(dir, bin), data) }
	}
	for name, test := range map[string]struct {
		location string
		change   func(dir string)
		id, says string // "" when nothing is wrong
	}{
		"whole":            {weights, func(string) {}, "", ""},
		"missing weights":  {"@model_path/weights/other.bin", func(string) {}, PartProblem, "file not found"},
		"escaping weights": {"@model_path/../../../x", func(string) {}, PartProblem, "leads out of the model's folder"},
		"absolute weights": {"/etc/passwd", func(string) {}, PartProblem, "does not start with @model_path/"},
		"absolute within":  {"@model_path//etc/passwd", func(string) {}, PartProblem, "the location is absolute"},
		"link that leads out": {weights, func(dir string) {
			remove(t, filepath.Join(dir, bin))
			link(t, "/etc/hostname", filepath.Join(dir, bin))
		}, PartProblem, "symbolic link that leads out"},
		"missing item": {weights, func(dir string) {
			write(t, filepath.Join(dir, "Manifest.json"), []byte(strings.Replace(manifest, "CoreML/weights", "CoreML/more", 1)))
		}, PartProblem, "file not found"},
		"escaping item": {weights, func(dir string) {
			write(t, filepath.Join(dir, "Manifest.json"), []byte(strings.Replace(manifest, "com.apple.CoreML/weights", "../../x", 1)))
		}, PartProblem, "leads out of the model's folder"},
		"header elsewhere":       {weights, fill(make([]byte, 144)), TensorLayout, "no header at byte 64"},
		"header of another type": {weights, fill(blobFileOf(blobMark, 1, 16, 128)), TensorLayout, `is float32, its header says "float16"`},
		"fewer bytes":            {weights, fill(blobFileOf(blobMark, 2, 12, 128)), TensorLayout, "has 12 bytes, its type and shape need 16"},
		"bytes behind the end":   {weights, fill(blobFileOf(blobMark, 2, 16, 129)), TensorLayout, "has 16 bytes at byte 129 of a file of 144"},
		"cut off":                {weights, fill(make([]byte, 70)), TensorLayout, "lies at byte 64 of a file of 70"},
	} {
		m, err := mlPackage(t, test.location, test.change)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkComplete(t, name, m)
		if test.id == "" && len(m.Findings) == 0 {
			continue
		}
		if len(m.Findings) != 1 || m.Findings[0].ID != test.id || !strings.Contains(m.Findings[0].Message+m.Findings[0].Evidence, test.says) {
			t.Errorf("%s: %+v, want %s that says %q", name, m.Findings, test.id, test.says)
		}
		if test.id == PartProblem && !slices.ContainsFunc(m.Parts, func(p Part) bool { return p.Problem != "" }) {
			t.Errorf("%s: no part is the one: %v", name, m.Parts)
		}
	}
}

// A package without its model cannot be read.
func TestCoreMLPackageWithoutModel(t *testing.T) {
	_, err := mlPackage(t, "x", func(dir string) { remove(t, filepath.Join(dir, "Data/com.apple.CoreML/model.mlmodel")) })
	refused(t, "no model", err, "model.mlmodel: file not found")
}

func FuzzCoreML(f *testing.F) {
	seeds(f, filepath.Join(coreMLDir, "*.mlmodel"), filepath.Join(coreMLDir, "*.mlpackage", "Data", "com.apple.CoreML", "model.mlmodel"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readML(t, data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.mlmodel") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		again, err := readML(t, append(data[:len(data):len(data)], str(99, "new")...))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("a field more changed the model: %v\n%+v\n%+v", err, m, again)
		}
	})
}
