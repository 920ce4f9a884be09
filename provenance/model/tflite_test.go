package model

import (
	"bytes"
	"encoding/binary"
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
	"time"
)

const tensorFlowDir = "../../testdata/model/tensorflow"

// expectedTFLite is what each fixture must say of the five operations, and what
// it must be found to be.
var expectedTFLite = map[string]expectation{
	"network_inference":    {verdicts: [5]string{none, folded, no, no, no}},
	"network_variables":    {verdicts: [5]string{none, infers, no, no, no}},
	"network_int8":         {[5]string{none, folded, no, no, no}, []string{QuantizedTensors}},
	"network_training":     {[5]string{trains, trains, no, no, no}, []string{FlowDropoutActive, FlowBatchNormActive}},
	"plain":                {verdicts: [5]string{none, none, no, no, no}},
	"dropout":              {[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}},
	"dropout_stateless":    {[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}},
	"noise":                {[5]string{unsure, none, no, no, no}, []string{FlowRandom}},
	"batch_statistics":     {[5]string{none, trains, no, no, no}, []string{FlowBatchNormActive}},
	"layer_statistics":     {verdicts: [5]string{none, none, no, no, no}},
	"fused_inference":      {verdicts: [5]string{none, folded, no, no, no}},
	"fused_training":       {[5]string{none, trains, no, no, no}, []string{FlowBatchNormActive}},
	"fused_flex_training":  {[5]string{none, trains, no, no, no}, []string{FlowBatchNormActive}},
	"fused_flex_inference": {verdicts: [5]string{none, infers, no, no, no}},
	"branch":               {[5]string{unsure, none, no, no, no}, []string{FlowSwitch}},
	"loop":                 {[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}},
	"norm_of_activation":   {verdicts: [5]string{none, none, no, no, no}},
	"clip_of_activation":   {verdicts: [5]string{none, none, no, no, no}},
	"device_training":      {[5]string{none, none, unsure, unsure, unsure}, []string{FlowTraining}},
	"device_clipping":      {[5]string{none, none, trains, unsure, unsure}, []string{FlowTraining}},
	"device_decay":         {[5]string{none, none, unsure, unsure, trains}, []string{FlowTraining}},
	"device_infer":         {verdicts: [5]string{none, none, no, no, no}},
}

// expectation is what a fixture must say: five verdicts, and findings.
type expectation struct {
	verdicts [5]string
	findings []string
}

// checkExpected compares every file of a pattern with what is expected of it;
// a file without an expectation, or one that is missing, fails.
func checkExpected(t *testing.T, pattern string, want map[string]expectation) {
	t.Helper()
	left := maps.Clone(want)
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures in %s: %v", pattern, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		want, ok := want[name]
		if !ok {
			t.Errorf("%s: no expectation", path)
		}
		delete(left, name)
		m, err := Inspect(path)
		if err != nil {
			t.Error(err)
			continue
		}
		checkComplete(t, name, m)
		if got := verdictsOf(m); got != want.verdicts {
			t.Errorf("%s:\n got %v\nwant %v\nevidence %v", path, got, want.verdicts, m.Elimination)
		}
		got := findingsOf(m)
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(want.findings)); !slices.Equal(got, want) {
			t.Errorf("%s: findings %v, want %v", path, got, want)
		}
	}
	for name := range left {
		t.Errorf("%s: no such fixture", name)
	}
}

func TestEliminationTFLite(t *testing.T) {
	checkExpected(t, filepath.Join(tensorFlowDir, "*.tflite"), expectedTFLite)
}

func evidenceIn(t *testing.T, path string, op Operation) string {
	t.Helper()
	m, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(verdict(t, m, op).Evidence, "\n")
}

func TestEvidenceTFLite(t *testing.T) {
	for _, test := range []struct {
		fixture string
		op      Operation
		want    string
	}{
		{"network_training", Dropout, `custom.FlexStatelessRandomUniformV2 "sequential`},
		{"network_training", BatchNormalization, `statistics over axis 0, the batch, used by RSQRT "sequential`},
		{"network_training", BatchNormalization, `writes the variable "sequential/bn2/moving_variance"`},
		{"network_inference", BatchNormalization, "by its name alone"},
		{"fused_flex_training", BatchNormalization, "custom.FlexFusedBatchNormV3"},
		{"branch", Dropout, `in one branch of IF, which runs or not by "Greater"`},
		{"loop", Dropout, "in WHILE: a random mask, applied by SELECT_V2"},
		{"device_clipping", GradientClipping, `in signature "train": the norm of a gradient`},
		{"device_decay", WeightRegularization, `a sum over the weight "w"`},
	} {
		if got := evidenceIn(t, filepath.Join(tensorFlowDir, test.fixture+".tflite"), test.op); !strings.Contains(got, test.want) {
			t.Errorf("%s, %s:\n got %s\nwant %s", test.fixture, test.op, got, test.want)
		}
	}
}

// Names are hints: without them no operation that was there becomes absent.
func TestTFLiteWithoutNames(t *testing.T) {
	for name, want := range expectedTFLite {
		data, err := os.ReadFile(filepath.Join(tensorFlowDir, name+".tflite"))
		if err != nil {
			t.Fatal(err)
		}
		before, err := readTFLite(bytes.NewReader(data), int64(len(data)), name)
		if err != nil {
			t.Fatal(err)
		}
		data = withoutNames(t, data)
		after, err := readTFLite(bytes.NewReader(data), int64(len(data)), name)
		if err != nil {
			t.Fatal(err)
		}
		if before.Outputs[0].Name == after.Outputs[0].Name {
			t.Fatalf("%s: the name of an output is still there", name)
		}
		for i, verdict := range after.Elimination {
			if strings.HasPrefix(want.verdicts[i], "present/training") && verdict.Status == Absent {
				t.Errorf("%s, %s: %s without names", name, verdict.Operation, verdict.Status)
			}
		}
	}
}

// withoutNames overwrites the names of a file's tensors.
func withoutNames(t *testing.T, data []byte) []byte {
	t.Helper()
	data = bytes.Clone(data)
	p := newPager(bytes.NewReader(data), int64(len(data)), "test")
	root, err := p.root()
	if err != nil {
		t.Fatal(err)
	}
	err = p.tables(root, 2, func(g table) error {
		return p.tables(g, 0, func(tensor table) error {
			at, n, err := p.vector(tensor, 3, 1)
			copy(data[at:at+n], bytes.Repeat([]byte{'x'}, int(n)))
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tfliteOracle prints what TensorFlow's own reader of the schema says.
const tfliteOracle = `
import json, os, sys
import importlib.util

def load(name):
    """A module of TensorFlow alone: importing TensorFlow takes many seconds."""
    folder = os.path.dirname(importlib.util.find_spec("tensorflow").origin)
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, "lite", "python", name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

schema = load("schema_py_generated")
conversion = load("conversion_metadata_schema_py_generated")

builtins = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
types = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
known = {"STRING": "str"}

def value(t):
    shape = None
    if t.shape is not None and len(t.shape) or t.hasRank:
        dims = t.shapeSignature if t.shapeSignature is not None else t.shape
        shape = ["?" if d < 0 else str(d) for d in (dims if dims is not None else [])]
    kind = types[t.type]
    return [t.name.decode(), known.get(kind, kind.lower()), shape]

def look(path):
    data = open(path, "rb").read()
    m = schema.ModelT.InitFromPackedBuf(data, 0)
    producer = ""
    for entry in m.metadata or []:
        if entry.name == b"CONVERSION_METADATA":
            inner = bytes(bytearray(m.buffers[entry.buffer].data))
            producer = "tensorflow " + conversion.ConversionMetadataT.InitFromPackedBuf(inner, 0).environment.tensorflowVersion.decode()
    operators, filled = {}, {}
    for g in m.subgraphs:
        for o in g.operators if g.operators is not None else []:
            c = m.operatorCodes[o.opcodeIndex]
            kind = builtins[max(c.builtinCode, c.deprecatedBuiltinCode)]
            if kind == "CUSTOM": kind = "custom." + c.customCode.decode()
            operators[kind] = operators.get(kind, 0) + 1
        for t in g.tensors:
            b = m.buffers[t.buffer]
            if b.data is not None and len(b.data) and t.buffer not in filled:
                n = 1
                for d in (t.shape if t.shape is not None else []): n *= int(d)
                filled[t.buffer] = n
    g = m.subgraphs[0]
    return {
        "formatVersion": "schema %d" % m.version, "producer": producer, "opsets": {},
        "inputs": [value(g.tensors[i]) for i in g.inputs], "outputs": [value(g.tensors[i]) for i in g.outputs],
        "operators": operators, "parameters": sum(filled.values()),
    }

print(json.dumps({os.path.basename(p): look(p) for p in sys.argv[1:]}))
`

// agrees compares what is read of files with what an oracle, a Python program
// that is given their paths, says.
func agrees(t *testing.T, module, oracle string, paths []string) {
	t.Helper()
	if len(paths) == 0 {
		t.Fatal("no fixtures")
	}
	interpreter := python(t, "tensorflow", module)
	command := exec.Command(interpreter, append([]string{"-c", oracle}, paths...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.Bytes())
	}
	var want map[string]facts
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, path := range paths {
		m, err := Inspect(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, want := factsOf(m), want[filepath.Base(path)]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", path, got, want)
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestAgainstPythonTFLite(t *testing.T) {
	agrees(t, "flatbuffers, numpy", tfliteOracle, glob(t, filepath.Join(tensorFlowDir, "*.tflite")))
}

// The functions below write FlatBuffers, so that tests can write what no
// converter would.

// fbTable has a table's fields in the order of their numbers: nil, a number, a
// string, a list of numbers, a table or a list of tables.
type fbTable []any

// flatBuffer writes a table and what it holds.
func flatBuffer(root fbTable) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0)
	at := 0
	b, at = appendTable(b, root)
	binary.LittleEndian.PutUint32(b, uint32(at))
	return b
}

// appendTable writes a vtable, a table with 8 bytes a field, and what its
// fields hold behind it.
func appendTable(b []byte, t fbTable) (all []byte, at int) {
	start := len(b)
	b = binary.LittleEndian.AppendUint16(b, uint16(4+2*len(t)))
	b = binary.LittleEndian.AppendUint16(b, uint16(4+8*len(t)))
	for i, f := range t {
		position := 4 + 8*i
		if f == nil {
			position = 0
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(position))
	}
	at = len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(at-start))
	b = append(b, make([]byte, 8*len(t))...)
	for i, f := range t {
		field, target := at+4+8*i, 0
		switch f := f.(type) {
		case nil:
			continue
		case int:
			binary.LittleEndian.PutUint64(b[field:], uint64(f))
			continue
		case string:
			target = len(b)
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(f))), f...)
		case []int:
			target = len(b)
			b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
			for _, n := range f {
				b = binary.LittleEndian.AppendUint32(b, uint32(n))
			}
		case fbTable:
			b, target = appendTable(b, f)
		case []fbTable:
			target = len(b)
			b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
			list := len(b)
			b = append(b, make([]byte, 4*len(f))...)
			for i, element := range f {
				var to int
				b, to = appendTable(b, element)
				binary.LittleEndian.PutUint32(b[list+4*i:], uint32(to-list-4*i))
			}
		}
		binary.LittleEndian.PutUint32(b[field:], uint32(target-field))
	}
	return b, at
}

// liteModel is a TFLite model of some operator codes and sub-graphs.
func liteModel(codes []fbTable, graphs ...fbTable) []byte {
	data := flatBuffer(fbTable{3, codes, graphs, nil, []fbTable{{}, {"\x01\x00\x00\x00"}}})
	// The identifier stands behind the root's offset, where the table's vtable
	// would begin: everything moves by four bytes.
	moved := append(bytes.Clone(data[:4]), "TFL3"...)
	moved = append(moved, data[4:]...)
	binary.LittleEndian.PutUint32(moved, binary.LittleEndian.Uint32(data)+4)
	return moved
}

func liteCode(builtin int) fbTable { return fbTable{min(builtin, 127), nil, 1, builtin} }

func liteCustom(name string) fbTable { return fbTable{32, name, 1, 32} }

// liteGraph is a sub-graph of n tensors of two dimensions, the first of which
// is the input and the last the output; tensor 1 is a constant.
func liteGraph(n int, operators ...fbTable) fbTable {
	tensors := []fbTable{}
	for i := range n {
		buffer := 0
		if i == 1 {
			buffer = 1
		}
		tensors = append(tensors, fbTable{[]int{2, 2}, 0, buffer, fmt.Sprint("t", i)})
	}
	return fbTable{tensors, []int{0}, []int{n - 1}, operators, "main"}
}

func liteOperator(code int, inputs, outputs []int, options ...any) fbTable {
	op := fbTable{code, inputs, outputs, nil, nil, nil}
	if len(options) > 0 {
		op[3], op[4] = 1, fbTable(options)
	}
	return op
}

func readLite(t testing.TB, data []byte) (*Model, error) {
	t.Helper()
	return readTFLite(bytes.NewReader(data), int64(len(data)), "test.tflite")
}

// Rules that no fixture has a file for.
func TestJudgementsTFLite(t *testing.T) {
	const random, less, mul, ifOp, while, call, once, rng, assign = 148, 58, 18, 118, 119, 31, 129, 204, 144
	masked := []fbTable{liteOperator(0, []int{1}, []int{2}), liteOperator(1, []int{2, 1}, []int{3}), liteOperator(2, []int{0, 3}, []int{4})}
	mask := []fbTable{liteCode(random), liteCode(less), liteCode(mul)}
	with := func(code fbTable) []fbTable { return append(slices.Clone(mask), code) }
	for _, test := range []struct {
		name string
		data []byte
		op   Operation
		want string
		says string
	}{
		{"mask", liteModel(mask, liteGraph(5, masked...)), Dropout, trains, "random mask"},
		{"mask of StableHLO's generator", liteModel([]fbTable{liteCode(rng), liteCode(less), liteCode(mul)}, liteGraph(5, masked...)), Dropout, trains, "STABLEHLO_RNG_BIT_GENERATOR"},
		{"number that nothing needs", liteModel(mask, liteGraph(5, liteOperator(0, []int{1}, []int{2}), liteOperator(2, []int{0, 1}, []int{4}))), Dropout, dormant, "no output of the model depends"},
		{"sub-graph that nothing calls", liteModel(mask, liteGraph(3, liteOperator(2, []int{0, 1}, []int{2})), liteGraph(5, masked...)), Dropout, dormant, "which nothing calls"},
		{"in the second branch", liteModel(with(liteCode(ifOp)), liteGraph(3, liteOperator(3, []int{0, 0}, []int{2}, 1, 2)),
			liteGraph(3, liteOperator(2, []int{0, 1}, []int{2})), liteGraph(5, masked...)), Dropout, unsure, "the other branch of IF"},
		{"in a branch by a constant", liteModel(with(liteCode(ifOp)), liteGraph(3, liteOperator(3, []int{1, 0}, []int{2}, 1, 2)),
			liteGraph(3, liteOperator(2, []int{0, 1}, []int{2})), liteGraph(5, masked...)), Dropout, trains, "the other branch of IF"},
		{"in a loop's body", liteModel(with(liteCode(while)), liteGraph(3, liteOperator(3, []int{0}, []int{2}, 1, 2)),
			liteGraph(3, liteOperator(2, []int{0, 1}, []int{2})), liteGraph(5, masked...)), Dropout, trains, "in WHILE"},
		{"in what a CALL calls", liteModel(with(liteCode(call)), liteGraph(3, liteOperator(3, []int{0}, []int{2}, 1)), liteGraph(5, masked...)), Dropout, trains, "in CALL"},
		{"only at the start", liteModel(with(liteCode(once)), liteGraph(3, liteOperator(3, []int{}, []int{}, 1), liteOperator(2, []int{0, 1}, []int{2})), liteGraph(5, masked...)), Dropout, none, ""},
		{"calls itself", liteModel(with(liteCode(ifOp)), liteGraph(3, liteOperator(3, []int{0, 0}, []int{2}, 0, 0))), Dropout, unsure, "nested more than"},
		{"calls what is not there", liteModel(with(liteCode(ifOp)), liteGraph(3, liteOperator(3, []int{0, 0}, []int{2}, 7, -1))), Dropout, none, ""},
		{"custom operator", liteModel([]fbTable{liteCustom("Mine")}, liteGraph(3, liteOperator(0, []int{0}, []int{2}))), Dropout, unsure, "custom.Mine"},
		{"custom operator, state", liteModel([]fbTable{liteCustom("Mine")}, liteGraph(3, liteOperator(0, []int{0}, []int{2}))), GradientClipping, unsure, "custom.Mine"},
		{"operator of tomorrow", liteModel([]fbTable{liteCode(9999)}, liteGraph(3, liteOperator(0, []int{0}, []int{2}))), BatchNormalization, unsure, "builtin 9999"},
		{"number of an old writer", liteModel([]fbTable{{18, nil, 1}}, liteGraph(3, liteOperator(0, []int{0, 1}, []int{2}))), Dropout, none, ""},
		{"Flex operator of tomorrow", liteModel([]fbTable{liteCustom("FlexTomorrow")}, liteGraph(3, liteOperator(0, []int{0}, []int{2}))), Dropout, unsure, "FlexTomorrow"},
		{"Flex batch normalization without its node", liteModel([]fbTable{liteCustom("FlexFusedBatchNormV3")}, liteGraph(3, liteOperator(0, []int{0}, []int{2}))), BatchNormalization, unsure, ""},
		{"delegate", liteModel([]fbTable{liteCode(51)}, liteGraph(3, liteOperator(0, []int{0}, []int{2}))), Dropout, unsure, "DELEGATE"},
		{"variable that depends on the input", liteModel([]fbTable{liteCode(assign), liteCode(mul)}, liteGraph(3, liteOperator(0, []int{1, 0}, []int{}), liteOperator(1, []int{0, 1}, []int{2}))), WeightRegularization, unsure, "changes a variable"},
	} {
		m, err := readLite(t, test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkJudgement(t, test.name, m, test.op, test.want, test.says)
	}
}

// What leads out of the file, or to what is not there, is an error that says
// where.
func TestMalformedTFLite(t *testing.T) {
	good := liteModel([]fbTable{liteCode(18)}, liteGraph(3, liteOperator(0, []int{0, 1}, []int{2})))
	if _, err := readLite(t, good); err != nil {
		t.Fatal(err)
	}
	patched := func(at int, v uint32) []byte {
		data := bytes.Clone(good)
		binary.LittleEndian.PutUint32(data[at:], v)
		return data
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"root past the end":          {patched(0, 1<<31), "leads past its end"},
		"no root":                    {patched(0, 0), "expected an offset, found 0"},
		"cut off":                    {good[:len(good)-200], "past its end"},
		"empty":                      {good[:8], "past its end"},
		"code that is not there":     {liteModel([]fbTable{liteCode(18)}, liteGraph(3, liteOperator(1, []int{0, 1}, []int{2}))), "one of 1 operator codes, found 1"},
		"tensor that is not there":   {liteModel([]fbTable{liteCode(18)}, liteGraph(3, liteOperator(0, []int{0, 3}, []int{2}))), "one of 3 tensors, or -1, found 3"},
		"tensor below -1":            {liteModel([]fbTable{liteCode(18)}, liteGraph(3, liteOperator(0, []int{0, -2}, []int{2}))), "found -2"},
		"no sub-graph":               {liteModel([]fbTable{liteCode(18)}), "expected a sub-graph, found none"},
		"output that is not there":   {liteModel(nil, fbTable{[]fbTable{}, []int{}, []int{9}, []fbTable{}, "g"}), "as an input or output, found 9"},
		"buffer that is not there":   {liteModel(nil, fbTable{[]fbTable{{[]int{1}, 0, 5, "t"}}, []int{}, []int{}, []fbTable{}, "g"}), "one of 2 buffers, found 5"},
		"more parameters than fit":   {liteModel(nil, fbTable{[]fbTable{{[]int{1 << 30, 1 << 30}, 0, 1, "t"}}, []int{}, []int{}, []fbTable{}, "g"}), "2^53 parameters"},
		"more elements than numbers": {liteModel(nil, fbTable{[]fbTable{{[]int{1 << 30, 1 << 30, 1 << 30}, 0, 1, "t"}}, []int{}, []int{}, []fbTable{}, "g"}), "2^53 parameters"},
	} {
		_, err := readLite(t, test.data)
		if err == nil || !strings.Contains(err.Error(), "test.tflite: at byte") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// Offsets may lead anywhere, so that a small file can say much: it ends in an
// error or in "unknown", soon.
func TestBombsTFLite(t *testing.T) {
	// One sub-graph, stated two million times: a vector of offsets, all of which
	// lead to the table behind it.
	bomb := liteModel([]fbTable{liteCode(18)}, liteGraph(3, liteOperator(0, []int{0, 1}, []int{2})))
	p := newPager(bytes.NewReader(bomb), int64(len(bomb)), "test")
	root, err := p.root()
	if err != nil {
		t.Fatal(err)
	}
	field, _ := root.field(2)
	binary.LittleEndian.PutUint32(bomb[field:], uint32(len(bomb)-int(field)))
	const n = 2_000_000
	bomb = binary.LittleEndian.AppendUint32(bomb, n)
	vector := len(bomb)
	bomb, target := appendTable(append(bomb, make([]byte, 4*n)...), liteGraph(3, liteOperator(0, []int{0, 1}, []int{2})))
	for i := range n {
		binary.LittleEndian.PutUint32(bomb[vector+4*i:], uint32(target-vector-4*i))
	}
	start := time.Now()
	if _, err := readLite(t, bomb); err == nil || !strings.Contains(err.Error(), "a graph that fits into") {
		t.Errorf("one sub-graph, stated %d times: %v", n, err)
	}
	// Sub-graphs that call each other 2^40 times.
	graphs := []fbTable{}
	for i := range 40 {
		graphs = append(graphs, liteGraph(3, liteOperator(0, []int{0, 0}, []int{2}, i+1, i+1)))
	}
	graphs = append(graphs, liteGraph(3))
	m, err := readLite(t, liteModel([]fbTable{liteCode(118)}, graphs...))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Elimination {
		if v.Status != Unknown {
			t.Errorf("%s: %+v", v.Operation, v)
		}
	}
	if spent := time.Since(start); spent > 60*time.Second {
		t.Errorf("took %v", spent)
	}
}

// FuzzTFLite holds that any bytes give either an error that names the file or a
// complete model, and that bytes behind what the offsets lead to change nothing.
func FuzzTFLite(f *testing.F) {
	seeds(f, filepath.Join(tensorFlowDir, "*.tflite"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readLite(t, data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.tflite") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		again, err := readLite(t, append(data[:len(data):len(data)], "behind"...))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("bytes behind the end changed the model: %v\n%+v\n%+v", err, m, again)
		}
	})
}
