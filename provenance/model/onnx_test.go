package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const onnxDir = "../../testdata/model/onnx"

// The verdicts of expected, in short.
const (
	trains  = "present/training"
	infers  = "present/inference"
	dormant = "present/latent"
	folded  = "folded/"
	none    = "absent/"
	unsure  = "unknown/"
	no      = "absent/not-representable"
)

// expected is what each fixture must say of the five operations, and what it
// must be found to be.
var expected = map[string]struct {
	verdicts [5]string
	findings []string
}{
	// torch's TorchScript exporter.
	"torchscript_eval_9":                {verdicts: [5]string{none, infers, no, no, no}},
	"torchscript_eval_11":               {verdicts: [5]string{none, infers, no, no, no}},
	"torchscript_eval_13":               {verdicts: [5]string{none, infers, no, no, no}},
	"torchscript_eval_17":               {verdicts: [5]string{none, infers, no, no, no}},
	"torchscript_eval_20":               {verdicts: [5]string{none, infers, no, no, no}},
	"torchscript_eval_unfolded_17":      {verdicts: [5]string{none, infers, no, no, no}},
	"torchscript_train_9":               {[5]string{infers, trains, no, no, no}, []string{DropoutLeft, BatchNormActive}},
	"torchscript_train_12":              {[5]string{trains, trains, no, no, no}, []string{DropoutActive, BatchNormActive}},
	"torchscript_train_13":              {[5]string{trains, trains, no, no, no}, []string{DropoutActive, BatchNormActive}},
	"torchscript_train_14":              {[5]string{trains, trains, no, no, no}, []string{DropoutActive, BatchNormActive}},
	"torchscript_train_17":              {[5]string{trains, trains, no, no, no}, []string{DropoutActive, BatchNormActive}},
	"torchscript_train_20":              {[5]string{trains, trains, no, no, no}, []string{DropoutActive, BatchNormActive}},
	"torchscript_preserve_17":           {[5]string{trains, trains, no, no, no}, []string{DropoutActive, BatchNormActive}},
	"torchscript_nostats_17":            {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"torchscript_functional_dropout_17": {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	// torch's dynamo exporter.
	"dynamo_eval_18":              {verdicts: [5]string{none, infers, no, no, no}},
	"dynamo_eval_20":              {verdicts: [5]string{none, infers, no, no, no}},
	"dynamo_eval_unoptimized_20":  {verdicts: [5]string{none, infers, no, no, no}},
	"dynamo_train_18":             {[5]string{trains, infers, no, no, no}, []string{DropoutActive, BatchNormSource}},
	"dynamo_train_20":             {[5]string{trains, infers, no, no, no}, []string{DropoutActive, BatchNormSource}},
	"dynamo_train_unoptimized_20": {[5]string{trains, infers, no, no, no}, []string{DropoutActive, BatchNormSource}},
	"dynamo_nostats_20":           {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"dynamo_channel_dropout_20":   {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"dynamo_dynamic_20":           {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	// ONNX Runtime's optimizer, and its training operators.
	"ort_train_17":        {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"ort_eval_17":         {verdicts: [5]string{none, infers, no, no, no}},
	"ort_bias_dropout_17": {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"ort_optimizer_17":    {[5]string{none, none, trains, unsure, trains}, []string{TrainingState}},
	"ort_gradient_17":     {[5]string{none, none, unsure, unsure, unsure}, []string{TrainingState}},
	// tf2onnx.
	"tf2onnx_eval_13":    {verdicts: [5]string{none, folded, no, no, no}},
	"tf2onnx_eval_17":    {verdicts: [5]string{none, folded, no, no, no}},
	"tf2onnx_train_17":   {[5]string{unsure, trains, no, no, no}, []string{BatchNormActive, ConstantMask}},
	"tf2onnx_dropout_17": {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	// Dropout nodes.
	"dropout_1_default":        {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"dropout_6_default":        {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"dropout_6_test":           {verdicts: [5]string{infers, none, no, no, no}},
	"dropout_10":               {[5]string{infers, none, no, no, no}, []string{DropoutLeft}},
	"dropout_10_mask":          {[5]string{infers, none, no, no, no}, []string{DropoutLeft}},
	"dropout_12_missing":       {verdicts: [5]string{infers, none, no, no, no}},
	"dropout_12_empty":         {verdicts: [5]string{infers, none, no, no, no}},
	"dropout_12_ir3":           {verdicts: [5]string{infers, none, no, no, no}},
	"dropout_13_false":         {verdicts: [5]string{infers, none, no, no, no}},
	"dropout_17_default_ratio": {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"dropout_17_ratio_zero":    {verdicts: [5]string{infers, none, no, no, no}},
	"dropout_17_input":         {[5]string{unsure, none, no, no, no}, []string{DropoutSwitch}},
	"dropout_17_overridable":   {[5]string{unsure, none, no, no, no}, []string{DropoutSwitch, OverridableInitializer}},
	"dropout_17_computed":      {[5]string{unsure, none, no, no, no}, []string{DropoutSwitch}},
	"dropout_17_cast_not":      {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"dropout_17_dead":          {verdicts: [5]string{dormant, none, no, no, no}},
	"dropout_22_true":          {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"if_dropout_17":            {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"loop_dropout_17":          {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	// Functions.
	"function_attribute_true_17":  {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"function_attribute_false_17": {verdicts: [5]string{infers, none, no, no, no}},
	"function_input_true_17":      {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"function_nested_17":          {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"function_uncalled_17":        {[5]string{dormant, none, no, no, no}, []string{UncalledFunction}},
	// Dropout without a Dropout node.
	"mask_rng_17":        {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"mask_rng_where_17":  {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"mask_bernoulli_17":  {[5]string{trains, none, no, no, no}, []string{DropoutActive}},
	"rng_noise_17":       {[5]string{unsure, none, no, no, no}, []string{RandomOperator}},
	"mask_constant_17":   {[5]string{unsure, none, no, no, no}, []string{ConstantMask}},
	"mask_not_binary_17": {verdicts: [5]string{none, none, no, no, no}},
	// BatchNormalization nodes and what stands for them.
	"bn_1_test":                 {verdicts: [5]string{none, infers, no, no, no}},
	"bn_6_test":                 {verdicts: [5]string{none, infers, no, no, no}},
	"bn_6_default":              {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"bn_9_one_output":           {verdicts: [5]string{none, infers, no, no, no}},
	"bn_9_empty_outputs":        {verdicts: [5]string{none, infers, no, no, no}},
	"bn_9_five_outputs":         {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"bn_14_inference":           {verdicts: [5]string{none, infers, no, no, no}},
	"bn_15_three_outputs":       {verdicts: [5]string{none, infers, no, no, no}},
	"bn_15_training":            {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"bn_17_computed":            {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"bn_17_constant_expression": {verdicts: [5]string{none, infers, no, no, no}},
	"bn_17_inputs":              {[5]string{none, infers, no, no, no}, []string{BatchNormInputs}},
	"bn_instance_norm_17":       {verdicts: [5]string{none, unsure, no, no, no}},
	"batch_statistics_18":       {[5]string{none, trains, no, no, no}, []string{BatchNormActive}},
	"layer_statistics_18":       {verdicts: [5]string{none, none, no, no, no}},
	// Training state.
	"training_info_plain_17":      {[5]string{none, none, none, none, none}, []string{TrainingState}},
	"training_info_lr_input_17":   {[5]string{none, none, none, unsure, none}, []string{TrainingState}},
	"training_info_schedule_17":   {[5]string{none, none, none, trains, none}, []string{TrainingState}},
	"training_info_clip_norm_17":  {[5]string{none, none, trains, none, none}, []string{TrainingState}},
	"training_info_clip_value_17": {[5]string{none, none, trains, none, none}, []string{TrainingState}},
	"training_info_decay_17":      {[5]string{none, none, none, none, trains}, []string{TrainingState}},
	"training_info_l2_loss_17":    {[5]string{none, none, none, none, trains}, []string{TrainingState}},
	"loss_17":                     {[5]string{none, none, no, no, no}, []string{LossInGraph}},
	"clip_activation_17":          {verdicts: [5]string{none, none, no, no, no}},
	// Facts, and files that cannot be judged.
	"types_19":              {verdicts: [5]string{none, none, no, no, no}},
	"sparse_initializer_17": {verdicts: [5]string{none, none, no, no, no}},
	"custom_domain_17":      {[5]string{unsure, unsure, no, no, no}, []string{UnknownOperator}},
	"unknown_operator_17":   {[5]string{unsure, unsure, no, no, no}, []string{UnknownOperator}},
	"external_17":           {verdicts: [5]string{none, none, no, no, no}},
	"external_no_length_17": {verdicts: [5]string{none, none, no, no, no}},
	"external_short_17":     {[5]string{unsure, unsure, no, no, no}, []string{PartProblem}},
	"external_missing_17":   {[5]string{unsure, unsure, no, no, no}, []string{PartProblem}},
	"external_escape_17":    {[5]string{unsure, unsure, no, no, no}, []string{PartProblem}},
	"external_absolute_17":  {[5]string{unsure, unsure, no, no, no}, []string{PartProblem}},
}

func fixtures(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(onnxDir, "*.onnx"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures in %s: %v", onnxDir, err)
	}
	return paths
}

func stem(path string) string { return strings.TrimSuffix(filepath.Base(path), ".onnx") }

func verdictsOf(m *Model) (v [5]string) {
	for i, verdict := range m.Elimination {
		v[i] = string(verdict.Status) + "/" + string(verdict.Mode)
	}
	return v
}

func findingsOf(m *Model) (ids []string) {
	for _, f := range m.Findings {
		ids = append(ids, f.ID)
	}
	return ids
}

func TestElimination(t *testing.T) {
	left := maps.Clone(expected)
	for _, path := range fixtures(t) {
		want, ok := expected[stem(path)]
		if !ok {
			t.Errorf("%s: no expectation", path)
		}
		delete(left, stem(path))
		m, err := Inspect(path)
		if err != nil {
			t.Error(err)
			continue
		}
		checkComplete(t, stem(path), m)
		if got := verdictsOf(m); got != want.verdicts {
			t.Errorf("%s:\n got %v\nwant %v\nevidence %v", stem(path), got, want.verdicts, m.Elimination)
		}
		got := findingsOf(m)
		slices.Sort(got)
		sorted := slices.Sorted(slices.Values(want.findings))
		if !slices.Equal(got, sorted) {
			t.Errorf("%s: findings %v, want %v", stem(path), got, sorted)
		}
	}
	for name := range left {
		t.Errorf("%s: no such fixture", name)
	}
}

// Two readings give the same bytes, whatever order maps come in.
func TestDeterministic(t *testing.T) {
	for _, path := range fixtures(t) {
		var first []byte
		for range 5 {
			m, err := Inspect(path)
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			}
			if !bytes.Equal(first, data) {
				t.Fatalf("%s: two readings differ\n%s\n%s", path, first, data)
			}
		}
	}
}

func evidenceOf(t *testing.T, fixture string, op Operation) string {
	t.Helper()
	m, err := Inspect(filepath.Join(onnxDir, fixture+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Elimination {
		if v.Operation == op {
			return strings.Join(v.Evidence, "\n")
		}
	}
	return ""
}

// Evidence names what a person would look for.
func TestEvidence(t *testing.T) {
	for _, test := range []struct {
		fixture string
		op      Operation
		want    string
	}{
		{"dropout_17_cast_not", Dropout, `Dropout "drop": opset 17, training_mode is constant true, ratio 0.4`},
		{"if_dropout_17", Dropout, `Dropout "drop" in then_branch of If "choose": opset 17`},
		{"function_nested_17", Dropout, `in function local.Given, called by "inner" in function local.Outer, called by "call"`},
		{"torchscript_train_9", BatchNormalization, "5 outputs, which means training mode"},
		{"dynamo_eval_20", BatchNormalization, `Conv "node_Conv_27": made by rewrite rule FuseBatchNormIntoConv`},
		{"torchscript_eval_17", BatchNormalization, `as torch's TorchScript exporter names folded weights`},
		{"ort_eval_17", BatchNormalization, "as ONNX Runtime names folded weights"},
		{"training_info_decay_17", WeightRegularization, "norm_coefficient is 0.01"},
		{"ort_optimizer_17", GradientClipping, "max_norm 1"},
		{"mask_constant_17", Dropout, `constant "mask" [1 8 8]`},
	} {
		if got := evidenceOf(t, test.fixture, test.op); !strings.Contains(got, test.want) {
			t.Errorf("%s, %s:\n got %s\nwant %s", test.fixture, test.op, got, test.want)
		}
	}
}

func TestExternalParts(t *testing.T) {
	for fixture, want := range map[string]Part{
		"external_17":           {"external_17.onnx.data", 80, ""},
		"external_no_length_17": {"external_17.onnx.data", 80, ""},
		"external_short_17":     {"external_17.onnx.data", 80, `tensor "w" needs 64 bytes from byte 32, the file has 80`},
		"external_missing_17":   {"nowhere.bin", -1, "file not found"},
		"external_escape_17":    {"../../../go.mod", -1, "the location leads out of the model's folder"},
		"external_absolute_17":  {"/etc/hostname", -1, "the location is absolute"},
	} {
		m, err := Inspect(filepath.Join(onnxDir, fixture+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m.Parts, []Part{want}) {
			t.Errorf("%s:\n got %+v\nwant %+v", fixture, m.Parts, want)
		}
		if m.Parameters != 16 {
			t.Errorf("%s: %d parameters", fixture, m.Parameters)
		}
	}
}

// externalModel is a model of one float tensor of 16 elements elsewhere.
func externalModel(pairs ...string) []byte {
	fields := [][]byte{number(1, 16), number(2, 1), str(8, "w"), number(14, 1)}
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, block(13, str(1, pairs[i]), str(2, pairs[i+1])))
	}
	return testModel(block(5, fields...))
}

// No location leads out of the model's folder.
func TestExternalConfined(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret"), make([]byte, 64))
	write(t, filepath.Join(dir, "model", "w.bin"), make([]byte, 64))
	write(t, filepath.Join(dir, "model", "sub", "w.bin"), make([]byte, 64))
	if err := os.Mkdir(filepath.Join(dir, "model", "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, "../secret", filepath.Join(dir, "model", "out"))
	link(t, "w.bin", filepath.Join(dir, "model", "in"))
	link(t, "..", filepath.Join(dir, "model", "up"))
	link(t, "loop", filepath.Join(dir, "model", "loop"))
	root, err := os.OpenRoot(filepath.Join(dir, "model"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for location, want := range map[string]string{
		"w.bin": "", "./w.bin": "", "sub//w.bin": "", "in": "",
		"":                        "no location is given",
		".":                       "the location is a folder",
		"folder":                  "not a regular file",
		"out":                     "symbolic link that leads out of the model's folder",
		"up/secret":               "cannot be reached within the model's folder",
		"loop":                    "symbolic link that leads out of the model's folder",
		"../secret":               "the location leads out of the model's folder",
		"sub/../../secret":        "the location leads out of the model's folder",
		`sub\..\..\secret`:        "the location leads out of the model's folder",
		`sub\w.bin`:               "the location holds a backslash",
		"/w.bin":                  "the location is absolute",
		`\\server\share\x`:        "the location is absolute",
		`C:\w.bin`:                "the location is absolute",
		"w.bin\x00.txt":           "the location holds a NUL byte",
		"absent/w.bin":            "file not found",
		strings.Repeat("x", 5000): "cannot be reached within the model's folder",
	} {
		data := externalModel("location", location, "length", "64")
		m, err := readONNX(bytes.NewReader(data), int64(len(data)), "m.onnx", root)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Parts[0].Problem; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("location %.30q: problem %q, want %q", location, got, want)
		}
	}
}

func TestExternalBounds(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "w.bin"), make([]byte, 64))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, test := range []struct{ offset, length, want string }{
		{"", "", ""}, {"0", "64", ""},
		{"1", "", `tensor "w" needs 64 bytes from byte 1, the file has 64`},
		{"9223372036854775807", "64", "needs 64 bytes from byte 9223372036854775807"},
		{"0", "60", `tensor "w" states a length of 60 bytes, its type and shape need 64`},
		{"-1", "64", `offset of tensor "w": expected a number of bytes, found "-1"`},
		{"0", "1e3", `length of tensor "w": expected a number of bytes, found "1e3"`},
		{"99999999999999999999", "", "expected a number of bytes"},
	} {
		data := externalModel("location", "w.bin", "offset", test.offset, "length", test.length)
		m, err := readONNX(bytes.NewReader(data), int64(len(data)), "m.onnx", root)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Parts[0].Problem; !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("offset %q, length %q: problem %q, want %q", test.offset, test.length, got, test.want)
		}
	}
}

// A model with more files than are allowed is refused, one with as many is not.
func TestExternalCount(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	for n, ok := range map[int]bool{maxParts: true, maxParts + 1: false} {
		var tensors []byte
		for i := range n {
			tensors = append(tensors, block(5, number(2, 1), number(14, 1), block(13, str(1, "location"), str(2, fmt.Sprint("w", i))))...)
		}
		m, err := read(t, testModel(tensors))
		if (err == nil) != ok {
			t.Errorf("%d parts: %v", n, err)
		}
		if ok && (len(m.Parts) != n || len(m.Findings) != MaxEvidence) {
			t.Errorf("%d parts, %d findings", len(m.Parts), len(m.Findings))
		}
	}
}

// oracle prints what python onnx says of each file given, as one JSON object.
const oracle = `
import json, os, sys
import onnx
from onnx import helper, TensorProto as T

def dtype(kind):
    if kind == 0: return "unknown"
    if kind == T.STRING: return "str"
    return str(helper.tensor_dtype_to_np_dtype(kind).name)

def value(v):
    t, which = v.type, v.type.WhichOneof("value")
    if which == "sequence_type": return [v.name, "sequence(%s)" % dtype(t.sequence_type.elem_type.tensor_type.elem_type), None]
    if which == "optional_type": return [v.name, "optional(%s)" % dtype(t.optional_type.elem_type.tensor_type.elem_type), None]
    t = t.tensor_type
    shape = None
    if t.HasField("shape"):
        shape = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in t.shape.dim]
    return [v.name, dtype(t.elem_type), shape]

def size(dims):
    n = 1
    for d in dims: n *= d
    return n

def look(path):
    m = onnx.load(path, load_external_data=False)
    functions = {(f.domain, f.name, f.overload): f for f in m.functions}
    operators, parameters, met = {}, 0, []

    def graph(g):
        nonlocal parameters
        parameters += sum(size(t.dims) for t in g.initializer) + sum(size(t.values.dims) for t in g.sparse_initializer)
        nodes(g.node)

    def nodes(list):
        for n in list:
            kind = n.domain + "." + n.op_type if n.domain not in ("", "ai.onnx") else n.op_type
            operators[kind] = operators.get(kind, 0) + 1
            for a in n.attribute:
                if a.HasField("g"): graph(a.g)
                for g in a.graphs: graph(g)
            f = functions.get((n.domain, n.op_type, n.overload))
            if f is not None and f not in met:
                met.append(f)
                nodes(f.node)

    graph(m.graph)
    initialized = {t.name for t in m.graph.initializer} | {t.values.name for t in m.graph.sparse_initializer}
    producer = (m.producer_name + " " + m.producer_version).strip()
    return {
        "formatVersion": "IR %d" % m.ir_version, "producer": producer,
        "opsets": {o.domain: o.version for o in m.opset_import},
        "inputs": [value(v) for v in m.graph.input if v.name not in initialized],
        "outputs": [value(v) for v in m.graph.output],
        "operators": operators, "parameters": parameters,
    }

print(json.dumps({os.path.basename(p): look(p) for p in sys.argv[1:]}))
`

// facts is what the oracle tells of one file.
type facts struct {
	FormatVersion string           `json:"formatVersion"`
	Producer      string           `json:"producer"`
	Opsets        map[string]int64 `json:"opsets"`
	Inputs        [][3]any         `json:"inputs"`
	Outputs       [][3]any         `json:"outputs"`
	Operators     map[string]int   `json:"operators"`
	Parameters    int64            `json:"parameters"`
}

func factsOf(m *Model) facts {
	values := func(list []Value) [][3]any {
		out := [][3]any{}
		for _, v := range list {
			var shape any
			if v.Shape != nil {
				dims := []any{}
				for _, d := range v.Shape {
					dims = append(dims, d)
				}
				shape = dims
			}
			out = append(out, [3]any{v.Name, v.DType, shape})
		}
		return out
	}
	return facts{m.FormatVersion, m.Producer, m.Opsets, values(m.Inputs), values(m.Outputs), m.Operators, m.Parameters}
}

// python is an interpreter that has the module; the test is skipped, or failed
// when nothing may be skipped, if there is none.
func python(t testing.TB, environment, module string) string {
	t.Helper()
	path := filepath.Join("..", "..", ".cache", "python", environment, "bin", "python")
	if err := exec.Command(path, "-c", "import "+module).Run(); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatalf("%s with %s: %v", path, module, err)
		}
		t.Skipf("%s with %s: %v", path, module, err)
	}
	return path
}

func TestAgainstPythonONNX(t *testing.T) {
	interpreter := python(t, "torch", "onnx")
	out, err := exec.Command(interpreter, append([]string{"-c", oracle}, fixtures(t)...)...).Output()
	if err != nil {
		t.Fatalf("python: %v", err)
	}
	var want map[string]facts
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for _, path := range fixtures(t) {
		m, err := Inspect(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, want := factsOf(m), want[filepath.Base(path)]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", stem(path), got, want)
		}
	}
}
