package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// expectedSavedModel is what each SavedModel must say.
var expectedSavedModel = map[string]expectation{
	"network_inference": {verdicts: [5]string{none, infers, none, none, none}},
	"network_training":  {[5]string{trains, trains, none, none, none}, []string{FlowDropoutActive, FlowBatchNormActive}},
	"compiled":          {[5]string{none, infers, unsure, unsure, unsure}, []string{OptimizerStored}},
	"keras2":            {[5]string{dormant, infers, trains, trains, trains}, []string{OptimizerStored}},
	"dropout":           {[5]string{trains, none, none, none, none}, []string{FlowDropoutActive}},
	"no_signature":      {verdicts: [5]string{unsure, unsure, none, none, none}},
	"tf1_inference":     {verdicts: [5]string{none, none, none, none, none}},
	"tf1_training":      {[5]string{trains, none, dormant, dormant, dormant}, []string{FlowDropoutActive, OptimizerStored}},
}

// expectedGraphDef is what each GraphDef must say.
var expectedGraphDef = map[string]expectation{
	"network_inference":       {verdicts: [5]string{none, infers, no, no, no}},
	"network_training":        {[5]string{trains, trains, no, no, no}, []string{FlowDropoutActive, FlowBatchNormActive}},
	"plain":                   {verdicts: [5]string{none, none, no, no, no}},
	"dropout":                 {[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}},
	"dropout_stateless":       {[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}},
	"noise":                   {[5]string{unsure, none, no, no, no}, []string{FlowRandom}},
	"batch_statistics":        {[5]string{none, trains, no, no, no}, []string{FlowBatchNormActive}},
	"layer_statistics":        {verdicts: [5]string{none, none, no, no, no}},
	"branch":                  {[5]string{unsure, none, no, no, no}, []string{FlowSwitch}},
	"loop":                    {[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}},
	"norm_of_activation":      {verdicts: [5]string{none, none, no, no, no}},
	"learning_phase":          {[5]string{unsure, none, no, no, no}, []string{FlowSwitch}},
	"learning_phase_constant": {verdicts: [5]string{dormant, none, no, no, no}},
	"train_plain":             {[5]string{none, none, none, none, unsure}, []string{FlowTraining}},
	"train_clip_norm":         {[5]string{none, none, trains, none, unsure}, []string{FlowTraining}},
	"train_clip_value":        {[5]string{none, none, trains, none, unsure}, []string{FlowTraining}},
	"train_schedule":          {[5]string{none, none, none, trains, unsure}, []string{FlowTraining}},
	"train_decay":             {[5]string{none, none, none, none, trains}, []string{FlowTraining}},
}

func TestEliminationSavedModel(t *testing.T) {
	checkExpected(t, filepath.Join(tensorFlowDir, "*.saved_model"), expectedSavedModel)
}

func TestEliminationGraphDef(t *testing.T) {
	checkExpected(t, filepath.Join(tensorFlowDir, "*.pb"), expectedGraphDef)
}

func TestEvidenceTensorFlow(t *testing.T) {
	for _, test := range []struct {
		fixture string
		op      Operation
		want    string
	}{
		{"network_training.saved_model", BatchNormalization, `writes the variable "sequential/bn/moving_variance"`},
		{"network_training.saved_model", Dropout, `in function "__inference_`},
		{"network_inference.saved_model", BatchNormalization, `of the variable "sequential/bn/moving_variance", which is stored`},
		{"compiled.saved_model", LearningRateScheduling, `such as "optimizer/_iterations/`},
		{"keras2.saved_model", GradientClipping, "optimizer Custom>Adam: clipnorm is 1"},
		{"keras2.saved_model", LearningRateScheduling, "its learning rate is ExponentialDecay"},
		{"keras2.saved_model", WeightRegularization, `Dense "fc1": kernel_regularizer is L2`},
		{"keras2.saved_model", Dropout, "which no signature calls"},
		{"tf1_training.saved_model", GradientClipping, "no signature depends on it"},
		{"branch.pb", Dropout, `which runs or not by "Greater"`},
		{"learning_phase.pb", Dropout, `which runs or not by "keras_learning_phase"`},
		{"loop.pb", Dropout, `in While "while"`},
		{"train_clip_norm.pb", GradientClipping, `Sum "clip_by_norm/Sum": the norm of a gradient`},
		{"train_clip_value.pb", GradientClipping, "limited on both sides"},
		{"train_plain.pb", GradientClipping, "the gradient goes into ResourceApplyGradientDescent"},
	} {
		if got := evidenceIn(t, filepath.Join(tensorFlowDir, test.fixture), test.op); !strings.Contains(got, test.want) {
			t.Errorf("%s, %s:\n got %s\nwant %s", test.fixture, test.op, got, test.want)
		}
	}
}

// tensorFlowOracle prints what TensorFlow's own messages and its reader of
// checkpoints say.
const tensorFlowOracle = `
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2

def dtype(kind):
    if not kind: return "unknown"
    name = tf.dtypes.as_dtype(kind).name
    return "str" if name == "string" else name

def shape(s):
    return None if s.unknown_rank else ["?" if d.size < 0 else str(d.size) for d in s.dim]

def size(s):
    n = 1
    for d in s.dim: n *= d.size
    return n

def called(graph):
    functions = {f.signature.name: f for f in graph.library.function}
    met, order = set(), []
    def look(nodes):
        for n in nodes:
            names = [n.op]
            for a in n.attr.values():
                names += [a.func.name] + [f.name for f in a.list.func]
            for name in names:
                if name in functions and name not in met:
                    met.add(name)
                    order.append(functions[name])
    look(graph.node)
    for f in order: look(f.node_def)
    return order

def nodes(graph):
    yield from graph.node
    for f in called(graph): yield from f.node_def

def histogram(graph):
    count = {}
    for n in nodes(graph): count[n.op] = count.get(n.op, 0) + 1
    return count

def saved(path):
    m = saved_model_pb2.SavedModel()
    m.ParseFromString(open(os.path.join(path, "saved_model.pb"), "rb").read())
    meta = m.meta_graphs[0]
    names = sorted(n for n in meta.signature_def if n != "__saved_model_init_op")
    main = "serving_default" if "serving_default" in names else (names or [None])[0]
    def values(infos): return [[k, dtype(infos[k].dtype), shape(infos[k].tensor_shape)] for k in sorted(infos)]
    s = meta.signature_def[main] if main else None
    parameters, prefix = 0, os.path.join(path, "variables", "variables")
    if os.path.exists(prefix + ".index"):
        reader = tf.train.load_checkpoint(prefix)
        kinds = reader.get_variable_to_dtype_map()
        for name, dims in reader.get_variable_to_shape_map().items():
            if kinds[name] == tf.string: continue
            n = 1
            for d in dims: n *= d
            parameters += n
    return {"formatVersion": "schema %d" % m.saved_model_schema_version, "producer": "tensorflow " + meta.meta_info_def.tensorflow_version,
            "opsets": {}, "inputs": values(s.inputs) if s else [], "outputs": values(s.outputs) if s else [],
            "operators": histogram(meta.graph_def), "parameters": parameters}

def frozen(path):
    g = graph_pb2.GraphDef()
    g.ParseFromString(open(path, "rb").read())
    used = {i.lstrip("^").split(":")[0] for n in g.node for i in n.input}
    def kind(n):
        for key in ("dtype", "T"):
            if key in n.attr: return dtype(n.attr[key].type)
        return "unknown"
    def given(n): return n.op.startswith("Placeholder")
    return {"formatVersion": "graph version %d" % g.versions.producer, "producer": "unknown: the file names no producer", "opsets": {},
            "inputs": [[n.name, kind(n), shape(n.attr["shape"].shape) if "shape" in n.attr else None] for n in g.node if given(n)],
            "outputs": [[n.name, kind(n), None] for n in g.node if n.name not in used and n.op not in ("Const", "NoOp") and not given(n)],
            "operators": histogram(g), "parameters": sum(size(n.attr["value"].tensor.tensor_shape) for n in nodes(g) if n.op == "Const")}

print(json.dumps({os.path.basename(p): (saved if os.path.isdir(p) else frozen)(p) for p in sys.argv[1:]}))
`

func TestAgainstPythonTensorFlow(t *testing.T) {
	paths := append(glob(t, filepath.Join(tensorFlowDir, "*.pb")), glob(t, filepath.Join(tensorFlowDir, "*.saved_model"))...)
	agrees(t, "tensorflow", tensorFlowOracle, append(paths, filepath.Join(formatsDir, "saved_model"), filepath.Join(formatsDir, "frozen.pb")))
}

// The functions below write TensorFlow's messages by hand.

// tfNodeOf is a NodeDef in field id.
func tfNodeOf(id int, op, name string, inputs []string, attributes ...[]byte) []byte {
	fields := [][]byte{str(1, name), str(2, op)}
	for _, in := range inputs {
		fields = append(fields, str(3, in))
	}
	return block(id, append(fields, attributes...)...)
}

func tfAttr(name string, value ...[]byte) []byte { return block(5, str(1, name), block(2, value...)) }

func tfFunctionAttr(name, function string) []byte { return tfAttr(name, block(10, str(1, function))) }

// tfFunctionOf is a function with one input "x" and one output "y", which is
// what the reference result says.
func tfFunctionOf(name, result string, nodes ...[]byte) []byte {
	return block(2, block(1, block(1, str(1, name), block(2, str(1, "x")), block(3, str(1, "y"))), join(nodes...), block(4, str(1, "y"), str(2, result))))
}

func tfConst(id int, name string, shape []int64, ints ...uint64) []byte {
	dims := []byte{}
	for _, d := range shape {
		dims = append(dims, block(2, number(1, uint64(d)))...)
	}
	values := [][]byte{number(1, 3), block(2, dims)}
	for _, i := range ints {
		values = append(values, number(7, i))
	}
	return tfNodeOf(id, "Const", name, nil, tfAttr("value", block(8, values...)))
}

func readGraph(t testing.TB, data []byte) (*Model, error) {
	t.Helper()
	return readGraphDef(bytes.NewReader(data), int64(len(data)), "test.pb")
}

// Rules that no fixture has a file for.
func TestJudgementsTensorFlow(t *testing.T) {
	in := tfNodeOf(1, "Placeholder", "x", nil)
	mask := func(id int, from, of string) []byte { // of a body's or a graph's nodes
		random, less := "r", "l"
		if id == 3 {
			random, less = "r:output:0", "l:z:0"
		}
		return join(tfNodeOf(id, "RandomUniform", "r", []string{from}), tfNodeOf(id, "Less", "l", []string{random, of}), tfNodeOf(id, "Mul", "m", []string{of, less}))
	}
	norm := func(attributes ...[]byte) []byte {
		return join(in, tfConst(1, "c", []int64{2}, 1), tfNodeOf(1, "FusedBatchNormV3", "bn", []string{"x", "c", "c", "c", "c"}, attributes...))
	}
	call := func(op string, attributes ...[]byte) []byte {
		return join(in, tfNodeOf(1, op, "call", []string{"x", "x"}, attributes...), tfNodeOf(1, "Identity", "y", []string{"call"}))
	}
	drops := tfFunctionOf("f", "m:z:0", mask(3, "x", "x"))
	plain := tfFunctionOf("g", "i:output:0", tfNodeOf(3, "Identity", "i", []string{"x"}))
	for _, test := range []struct {
		name string
		data []byte
		op   Operation
		want string
		says string
	}{
		{"mask", join(in, mask(1, "x", "x")), Dropout, trains, "random mask"},
		{"mask behind a call", join(call("PartitionedCall", tfFunctionAttr("f", "f")), drops), Dropout, trains, `in function "f"`},
		{"mask behind a call of the oldest kind", join(call("f"), drops), Dropout, trains, "in function f"},
		{"mask in a branch", join(call("StatelessIf", tfFunctionAttr("then_branch", "g"), tfFunctionAttr("else_branch", "f")), drops, plain), Dropout, unsure, `runs or not by "x"`},
		{"mask in a case", join(call("Case", tfAttr("branches", block(1, block(9, str(1, "g")), block(9, str(1, "f"))))), drops, plain), Dropout, unsure, `runs or not by "x"`},
		{"mask in a loop's body", join(call("While", tfFunctionAttr("cond", "g"), tfFunctionAttr("body", "f")), drops, plain), Dropout, trains, "in While"},
		{"mask that is only called for its effect", join(in, tfNodeOf(1, "NoOp", "end", []string{"^call"}), tfNodeOf(1, "PartitionedCall", "call", []string{"x"}, tfFunctionAttr("f", "f")), drops), Dropout, dormant, ""},
		{"function that nothing calls", join(in, tfNodeOf(1, "Identity", "y", []string{"x"}), drops), Dropout, dormant, "which no signature calls"},
		{"function that is not there", call("PartitionedCall", tfFunctionAttr("f", "nowhere")), Dropout, unsure, "function that is not in the file"},
		{"function that calls itself", join(call("PartitionedCall", tfFunctionAttr("f", "h")), tfFunctionOf("h", "i:output:0", tfNodeOf(3, "PartitionedCall", "i", []string{"x"}, tfFunctionAttr("f", "h")))), Dropout, unsure, "nested more than"},
		{"first values of a variable", join(in, tfNodeOf(1, "Identity", "y", []string{"x"}), tfNodeOf(1, "RandomUniform", "r", nil), tfNodeOf(1, "VarHandleOp", "v", nil), tfNodeOf(1, "AssignVariableOp", "a", []string{"v", "r"})), Dropout, none, ""},
		{"a program of Python", join(in, tfNodeOf(1, "PyFunc", "p", []string{"x"})), Dropout, unsure, "what PyFunc"},
		{"a compiled module", join(in, tfNodeOf(1, "XlaCallModule", "p", []string{"x"})), BatchNormalization, unsure, "what XlaCallModule"},
		{"an operator of nobody", join(in, tfNodeOf(1, "MyOp", "p", []string{"x"})), WeightRegularization, unsure, "what MyOp"},
		{"batch normalization, nothing said", norm(), BatchNormalization, trains, "is_training is not stated, which means true"},
		{"batch normalization, true", norm(tfAttr("is_training", number(5, 1))), BatchNormalization, trains, "is_training is true"},
		{"batch normalization, said twice", norm(tfAttr("is_training", number(5, 0)), tfAttr("is_training", number(5, 1))), BatchNormalization, trains, "is_training is true"},
		{"batch normalization, its name last", norm(block(5, block(2, number(5, 0)), str(1, "is_training"))), BatchNormalization, infers, "is_training is false"},
		{"batch normalization, false", norm(tfAttr("is_training", number(5, 0))), BatchNormalization, infers, "is_training is false"},
		{"batch normalization, computed statistics", join(in, tfConst(1, "c", []int64{2}, 1), tfNodeOf(1, "FusedBatchNormV3", "bn", []string{"x", "c", "c", "x", "c"}, tfAttr("is_training", number(5, 0)))), BatchNormalization, trains, "computed when the model runs"},
		{"layer normalization in the form of Keras 2", join(in, tfConst(1, "c", []int64{2}, 1), tfNodeOf(1, "Reshape", "before", []string{"x", "c"}), tfNodeOf(1, "FusedBatchNormV3", "bn", []string{"before", "c", "c", "c", "c"}),
			tfNodeOf(1, "Reshape", "after", []string{"bn", "c"})), BatchNormalization, unsure, "between two reshapes"},
		{"writes a moving mean", join(in, tfNodeOf(1, "VarHandleOp", "v", nil, tfAttr("shared_name", str(2, "bn/moving_mean"))), tfNodeOf(1, "AssignVariableOp", "a", []string{"v", "x"})), BatchNormalization, trains, `"bn/moving_mean"`},
		{"writes another variable", join(in, tfNodeOf(1, "VarHandleOp", "v", nil), tfNodeOf(1, "AssignVariableOp", "a", []string{"v", "x"})), GradientClipping, unsure, "changes a variable"},
		{"axes that are zeros, unwritten", join(in, tfConst(1, "axes", []int64{1}), tfNodeOf(1, "Mean", "mean", []string{"x", "axes"}, tfAttr("keep_dims", number(5, 1))), tfNodeOf(1, "Sqrt", "s", []string{"mean"})), BatchNormalization, trains, "axis 0"},
		{"axes that are not constant", join(in, tfNodeOf(1, "Mean", "mean", []string{"x", "x"}), tfNodeOf(1, "Sqrt", "s", []string{"mean"})), BatchNormalization, unsure, "include the batch"},
		{"a switch without a choice, in a circle", join(in, tfNodeOf(1, "Switch", "s", []string{"i"}), tfNodeOf(1, "Identity", "i", []string{"s"}), tfNodeOf(1, "Identity", "y", []string{"i"})), Dropout, none, ""},
		{"an optimizer that is not listed", join(in, tfNodeOf(1, "VarHandleOp", "v", nil), tfNodeOf(1, "ResourceApplyPowerSign", "a", []string{"v", "x"})), LearningRateScheduling, unsure, "which input of"},
	} {
		m, err := readGraph(t, test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkJudgement(t, test.name, m, test.op, test.want, test.says)
	}
}

// Functions that call each other 2^50 times end in "unknown", soon.
func TestBombsTensorFlow(t *testing.T) {
	library := []byte{}
	for i := range 50 {
		callee := tfFunctionAttr("f", fmt.Sprint("f", i))
		library = append(library, tfFunctionOf(fmt.Sprint("f", i+1), "b:output:0",
			tfNodeOf(3, "PartitionedCall", "a", []string{"x"}, callee), tfNodeOf(3, "PartitionedCall", "b", []string{"a:output:0"}, callee))...)
	}
	library = append(library, tfFunctionOf("f0", "x")...)
	start := time.Now()
	m, err := readGraph(t, join(tfNodeOf(1, "Placeholder", "x", nil), tfNodeOf(1, "PartitionedCall", "y", []string{"x"}, tfFunctionAttr("f", "f50")), library))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Elimination {
		if v.Status != Unknown {
			t.Errorf("%s: %+v", v.Operation, v)
		}
	}
	if m.found(FlowTooLarge) != 1 {
		t.Errorf("findings %v", findingsOf(m))
	}
	// A long chain is linear.
	const n = 100_000
	nodes := tfNodeOf(1, "Placeholder", "v0", nil)
	for i := range n {
		nodes = append(nodes, tfNodeOf(1, "Relu", fmt.Sprint("v", i+1), []string{fmt.Sprint("v", i)})...)
	}
	if m, err = readGraph(t, nodes); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, m, Dropout); v.Status != Absent || m.Operators["Relu"] != n {
		t.Errorf("%+v, %v", v, m.Operators)
	}
	if spent := time.Since(start); spent > 60*time.Second {
		t.Errorf("took %v", spent)
	}
}

// copyDir copies a folder of fixtures, so that a test can change it.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "m")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// What lies beside saved_model.pb is believed no more than it is.
func TestSavedModelFolder(t *testing.T) {
	index := filepath.Join("variables", "variables.index")
	for name, test := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string // in the error, or in the findings
	}{
		"variables are missing": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "variables", "variables.data-00000-of-00001")); err != nil {
				t.Fatal(err)
			}
		}, PartProblem},
		"the index is cut off": {func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, index), 100) }, "the magic number of a table"},
		"the index is empty":   {func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, index), 0) }, "a footer of 48 bytes"},
		"Keras's words are no JSON": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "keras_metadata.pb"), block(1, str(3, "root"), str(5, "{")))
		}, "keras_metadata.pb"},
		"the index is a folder": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, index)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, index), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "expected a regular file"},
		"the index lies elsewhere": {func(t *testing.T, dir string) {
			outside := write(t, filepath.Join(filepath.Dir(dir), "outside"), []byte("x"))
			if err := os.Remove(filepath.Join(dir, index)); err != nil {
				t.Fatal(err)
			}
			link(t, outside, filepath.Join(dir, index))
		}, "escapes"},
	} {
		dir := copyDir(t, filepath.Join(tensorFlowDir, "tf1_inference.saved_model"))
		test.change(t, dir)
		m, err := Inspect(dir)
		said := fmt.Sprint(err)
		if err == nil {
			said = fmt.Sprint(findingsOf(m))
		}
		if !strings.Contains(said, test.want) {
			t.Errorf("%s: %s, want %s", name, said, test.want)
		}
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// A graph as text is recognised and not read.
func TestSavedModelText(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "saved_model.pbtxt"), []byte("saved_model_schema_version: 1\n"))
	m, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, m, Dropout); v.Status != Unknown || v.Evidence[0] != notRead {
		t.Errorf("%+v", v)
	}
}

// indexFile writes a table with one block of entries, each with its whole key.
func indexFile(entries ...[2]string) []byte {
	block := func(entries [][2]string) []byte {
		b := []byte{}
		for _, e := range entries {
			b = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, 0), uint64(len(e[0]))), uint64(len(e[1])))
			b = append(b, e[0]+e[1]...)
		}
		b = append(b, 0, 0, 0, 0) // where keys start anew: nowhere
		return append(b, 0, 0, 0, 0, 0)
	}
	handle := func(at, n int) string {
		return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(at)), uint64(n)))
	}
	data := block(entries)
	list := block([][2]string{{"zzz", handle(0, len(data)-5)}})
	footer := make([]byte, indexFooter)
	copy(footer, handle(0, 0)+handle(len(data), len(list)-5))
	binary.LittleEndian.PutUint64(footer[40:], indexMagic)
	return join(data, list, footer)
}

func readIndex(data []byte) (variableIndex, error) {
	var index variableIndex
	err := newWire(bytes.NewReader(data), int64(len(data)), "test.index").variableIndex(&index)
	return index, err
}

func TestVariableIndex(t *testing.T) {
	entry := func(kind uint64, dims ...uint64) string {
		shape := []byte{}
		for _, d := range dims {
			shape = append(shape, block(2, number(1, d))...)
		}
		return string(join(number(1, kind), block(2, shape)))
	}
	index, err := readIndex(indexFile([2]string{"", string(number(1, 3))}, [2]string{"a", entry(1, 2, 3)}, [2]string{"b", entry(7, 100)},
		[2]string{"optimizer/iterations", entry(9)}, [2]string{"w/Adam_1", entry(1, 4)}, [2]string{"Adam", entry(1, 0)}))
	if err != nil {
		t.Fatal(err)
	}
	if want := (variableIndex{11, map[string]int64{"float32": 10, "int64": 1}, 3, []string{"optimizer/iterations", "w/Adam_1", "Adam"}}); !reflect.DeepEqual(index, want) {
		t.Errorf("got %+v, want %+v", index, want)
	}
	good := indexFile([2]string{"a", entry(1, 2, 3)})
	at := func(i int, v byte) []byte {
		data := bytes.Clone(good)
		data[i] = v
		return data
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"compressed":            {at(bytes.Index(good, []byte("\x00\x00\x00\x00\x00"))+4, 1), "not compressed"},
		"shares a longer key":   {at(0, 9), "an entry within the block"},
		"key past the block":    {at(1, 100), "an entry within the block"},
		"block past the file":   {at(len(good)-indexFooter+2, 0x7f), "a block of at most"},
		"too many elements":     {indexFile([2]string{"a", entry(1, 1<<40, 1<<40)}), "2^53 parameters"},
		"too many shards":       {indexFile([2]string{"", string(number(1, 1<<40))}), "files of variables"},
		"too large a dimension": {indexFile([2]string{"a", entry(1, 1<<54)}), "2^53 parameters"},
	} {
		if _, err := readIndex(test.data); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "test.index") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// FuzzGraphDef holds that any bytes give either an error that names the file or
// a complete model, and that a field which TensorFlow does not have changes
// nothing.
func FuzzGraphDef(f *testing.F) {
	seeds(f, filepath.Join(tensorFlowDir, "*.pb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readGraph(t, data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.pb") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		again, err := readGraph(t, append(data[:len(data):len(data)], str(1000, "new")...))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("a field more changed the model: %v\n%+v\n%+v", err, m, again)
		}
	})
}

// FuzzSavedModel holds that any graph, and any node in it, that a SavedModel is
// made to hold gives either an error that names the file or a complete model,
// and that a field which TensorFlow does not have changes nothing. Around the
// graph stands what a real file has around its own, so that lengths fit and
// signatures lead into it.
func FuzzSavedModel(f *testing.F) {
	wrappers := savedModelSeeds(f)
	root := emptyRoot(f)
	read := func(data []byte) (*Model, error) {
		var p savedModel
		if err := newWire(bytes.NewReader(data), int64(len(data)), "test.pb").savedModel(&p); err != nil || len(p.metas) == 0 {
			return nil, err
		}
		m := newModel("saved_model", "test.pb")
		m.FormatVersion = "schema"
		return m, m.savedModel(&p, root)
	}
	f.Fuzz(func(t *testing.T, wrapper uint8, graph, node []byte) {
		data := join(number(1, 1), block(2, wrappers[int(wrapper)%len(wrappers)], block(2, graph, block(1, node))))
		m, err := read(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.pb") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		again, err := read(append(data[:len(data):len(data)], str(1000, "new")...))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("a field more changed the model: %v\n%+v\n%+v", err, m, again)
		}
	})
}

// savedModelSeeds adds the graph of each real file, with one of its nodes, and
// returns what its meta graph has besides.
func savedModelSeeds(f *testing.F) (wrappers [][]byte) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join(tensorFlowDir, "*.saved_model", "saved_model.pb"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seed: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		meta := fieldsOf(f, data, 2)[0]
		graph := fieldsOf(f, meta, 2)[0]
		f.Add(uint8(len(wrappers)), graph, append(fieldsOf(f, graph, 1), nil)[0])
		wrappers = append(wrappers, join(withoutField(f, meta, 2)...))
	}
	return wrappers
}

// fieldsOf are the contents of a message's fields with this number.
func fieldsOf(f *testing.F, message []byte, id int) (contents [][]byte) {
	f.Helper()
	eachField(f, message, func(of field, whole []byte) {
		if of.id == id {
			contents = append(contents, message[of.start:of.end])
		}
	})
	return contents
}

// withoutField are all fields of a message but those with this number.
func withoutField(f *testing.F, message []byte, id int) (fields [][]byte) {
	f.Helper()
	eachField(f, message, func(of field, whole []byte) {
		if of.id != id {
			fields = append(fields, whole)
		}
	})
	return fields
}

func eachField(f *testing.F, message []byte, visit func(of field, whole []byte)) {
	f.Helper()
	w := newWire(bytes.NewReader(message), int64(len(message)), "seed")
	for at := int64(0); at < int64(len(message)); {
		of, next, err := w.field(at, int64(len(message)))
		if err != nil {
			f.Fatal(err)
		}
		visit(of, message[at:next])
		at = next
	}
}

// FuzzVariableIndex holds that any bytes give either an error that names the
// file or a count, the same once more.
func FuzzVariableIndex(f *testing.F) {
	seeds(f, filepath.Join(tensorFlowDir, "*.saved_model", "variables", "variables.index"))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := readIndex(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.index") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		if index.parameters < 0 || index.parameters > maxParameters || index.shards > maxShards || len(index.optimizer) > MaxEvidence {
			t.Fatalf("%+v", index)
		}
		if again, err := readIndex(data); err != nil || !reflect.DeepEqual(index, again) {
			t.Fatalf("read once more: %v\n%+v\n%+v", err, index, again)
		}
	})
}
