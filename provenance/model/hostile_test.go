package model

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testFunction is a FunctionProto of the domain "local" in field 25 of a model.
func testFunction(name string, inputs, outputs []string, nodes ...[]byte) []byte {
	fields := [][]byte{str(1, name), str(10, "local"), block(9, number(2, 17)), block(9, str(1, "local"), number(2, 1))}
	for _, s := range inputs {
		fields = append(fields, str(4, s))
	}
	for _, s := range outputs {
		fields = append(fields, str(5, s))
	}
	return block(25, join(fields...), join(nodes...))
}

// inFunction is a node of a function's body, field 7.
func inFunction(body []byte) []byte { return block(7, body) }

var (
	x, y  = []string{"x"}, []string{"y"}
	local = str(7, "local")
)

func verdict(t *testing.T, m *Model, op Operation) Verdict {
	t.Helper()
	for _, v := range m.Elimination {
		if v.Operation == op {
			return v
		}
	}
	t.Fatalf("no verdict about %s", op)
	return Verdict{}
}

// Functions that call each other 2^50 times, themselves, or many empty ones,
// end in "unknown", soon.
func TestFunctionBombs(t *testing.T) {
	twice := func(leaf ...[]byte) []byte {
		model := []byte{}
		for i := range 50 {
			callee := inFunction(nodeBody(fmt.Sprint("F", i), x, []string{"a"}, local))
			again := inFunction(nodeBody(fmt.Sprint("F", i), []string{"a"}, y, local))
			model = append(model, testFunction(fmt.Sprint("F", i+1), x, y, callee, again)...)
		}
		model = append(model, testFunction("F0", x, y, leaf...)...)
		return join(testModel(testNode("F50", x, y, local), block(11, str(1, "x")), block(12, str(1, "y"))), model)
	}
	for name, data := range map[string][]byte{
		"doubling":        twice(inFunction(nodeBody("Relu", x, y))),
		"doubling, empty": twice(),
		"itself": join(testModel(testNode("F", x, y, local), block(12, str(1, "y"))),
			testFunction("F", x, y, inFunction(nodeBody("F", x, y, local)))),
	} {
		start := time.Now()
		m, err := read(t, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []Operation{Dropout, BatchNormalization} {
			if v := verdict(t, m, op); v.Status != Unknown {
				t.Errorf("%s: %+v", name, v)
			}
		}
		if m.found(GraphTooLarge) != 1 {
			t.Errorf("%s: findings %v", name, findingsOf(m))
		}
		if spent := time.Since(start); spent > 30*time.Second {
			t.Errorf("%s took %v", name, spent)
		}
	}
}

// The deepest nesting that is looked into, and one more.
func TestNesting(t *testing.T) {
	chain := func(n int) []byte {
		data := testModel(testNode(fmt.Sprint("F", n), x, y, local), block(12, str(1, "y")))
		for i := range n {
			data = append(data, testFunction(fmt.Sprint("F", i+1), x, y, inFunction(nodeBody(fmt.Sprint("F", i), x, y, local)))...)
		}
		return append(data, testFunction("F0", x, y, inFunction(nodeBody("Dropout", x, y)))...)
	}
	for n, want := range map[int]Status{maxNesting - 1: Present, maxNesting: Unknown} {
		m, err := read(t, chain(n))
		if err != nil {
			t.Fatal(err)
		}
		if v := verdict(t, m, Dropout); v.Status != want {
			t.Errorf("%d calls: %+v", n+1, v)
		}
	}
}

// Many random numbers that all flow everywhere do not take forever.
func TestManySearches(t *testing.T) {
	var nodes []byte
	for i := range 4000 {
		nodes = append(nodes, testNode("RandomUniform", nil, []string{fmt.Sprint("r", i)})...)
		nodes = append(nodes, testNode("Add", []string{fmt.Sprint("r", i), fmt.Sprint("s", i)}, []string{fmt.Sprint("s", i+1)})...)
		nodes = append(nodes, testNode("Add", []string{"hub", fmt.Sprint("r", i)}, []string{fmt.Sprint("u", i)})...)
	}
	nodes = append(nodes, testNode("Identity", []string{"s4000"}, []string{"hub"})...)
	start := time.Now()
	if _, err := read(t, testModel(nodes)); err != nil {
		t.Fatal(err)
	}
	if spent := time.Since(start); spent > 30*time.Second {
		t.Errorf("took %v", spent)
	}
}

// A graph of 100,000 nodes is a matter of a second, not of minutes.
func TestLargeGraph(t *testing.T) {
	var nodes []byte
	const n = 100_000
	for i := range n {
		nodes = append(nodes, testNode("Relu", []string{fmt.Sprint("v", i)}, []string{fmt.Sprint("v", i+1)})...)
	}
	start := time.Now()
	m, err := read(t, testModel(nodes, block(11, str(1, "v0")), block(12, str(1, fmt.Sprint("v", n)))))
	if err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, m, Dropout); v.Status != Absent || m.Operators["Relu"] != n {
		t.Errorf("%+v, %v", v, m.Operators)
	}
	if spent := time.Since(start); spent > 20*time.Second {
		t.Errorf("took %v", spent)
	}
}

// A graph with more nodes than are kept is counted, and judged in nothing.
func TestGraphTooLargeToKeep(t *testing.T) {
	const n = 1_000_000
	bounded(t, "1,000,000 nodes", func() {
		m, err := Inspect(longGraph(t, n))
		if err != nil {
			t.Fatal(err)
		}
		if m.Operators["Relu"] != n || len(m.Inputs) != 1 || len(m.Outputs) != 1 || m.found(GraphTooLarge) != 1 {
			t.Errorf("%v, %v, %v", m.Operators, m.Inputs, m.Findings)
		}
		for _, v := range m.Elimination {
			if v.Status != Unknown {
				t.Errorf("%+v", v)
			}
		}
	})
}

// Evidence is bounded, whatever names are in the file, and nothing in it can
// drive a terminal.
func TestEvidenceBounds(t *testing.T) {
	many := func(n int) []byte {
		var nodes []byte
		for i := range n {
			nodes = append(nodes, testNode("Dropout", x, []string{fmt.Sprint("y", i)}, str(3, "\x1b[2J\xff"+strings.Repeat("ä", 3000)))...)
		}
		return testModel(nodes)
	}
	m, err := read(t, testModel(testNode("Op\x1b[2J\x9b", x, y)))
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, m, Dropout).Evidence[0]; !strings.Contains(got, `what Op\x1b[2J\x9b that makes "y" does`) {
		t.Errorf("evidence %q", got)
	}
	for n, want := range map[int]int{1: 1, MaxEvidence: MaxEvidence, MaxEvidence + 1: MaxEvidence} {
		m, err := read(t, many(n))
		if err != nil {
			t.Fatal(err)
		}
		v := verdict(t, m, Dropout)
		if len(v.Evidence) != want {
			t.Errorf("%d nodes: %d entries", n, len(v.Evidence))
		}
		if last := v.Evidence[want-1]; n > MaxEvidence && last != "and 2 more" {
			t.Errorf("last entry %q", last)
		}
		for _, e := range v.Evidence {
			if strings.ContainsRune(e, 0x1b) || len(e) > maxEvidenceLength {
				t.Errorf("evidence %q", e)
			}
		}
	}
}

// What is stated twice, in pieces or in another order is read as protobuf has
// it: nothing can be hidden behind a second graph.
func TestPieces(t *testing.T) {
	drop := block(7, testNode("Dropout", []string{"a", "", "flag"}, y), block(12, str(1, "y")))
	flag := block(7, block(5, str(8, "flag"), number(2, 9), block(9, []byte{1})))
	front := block(7, testNode("Relu", x, []string{"a"}), block(11, str(1, "x")))
	for name, data := range map[string][]byte{
		"in pieces":     join(number(1, 8), front, drop, flag, opset("", 17)),
		"back to front": join(opset("", 17), flag, drop, front, number(1, 8)),
		"twice":         join(number(1, 3), number(1, 8), str(2, "a"), front, flag, drop, opset("", 17), opset("ai.onnx", 17), str(2, "b")),
	} {
		m, err := read(t, data)
		if err != nil {
			t.Fatal(err)
		}
		if v := verdict(t, m, Dropout); v.Status != Present || v.Mode != Training {
			t.Errorf("%s: %+v", name, v)
		}
		if m.FormatVersion != "IR 8" || name == "twice" && m.Producer != "b" {
			t.Errorf("%s: %s by %s", name, m.FormatVersion, m.Producer)
		}
	}
}

// Values of the flag in every form that a tensor can hold it in.
func TestFlagForms(t *testing.T) {
	initializer := func(fields ...[]byte) []byte {
		return testModel(testNode("Dropout", []string{"x", "", "flag"}, y), block(5, str(8, "flag"), join(fields...)), block(11, str(1, "x")))
	}
	for _, test := range []struct {
		name string
		data []byte
		want Verdict
	}{
		{"raw true", initializer(number(2, 9), block(9, []byte{1})), gravity[0]},
		{"raw 255", initializer(number(2, 9), block(9, []byte{255})), gravity[0]},
		{"raw false", initializer(number(2, 9), block(9, []byte{0})), gravity[2]},
		{"packed int32", initializer(number(2, 9), block(5, []byte{1})), gravity[0]},
		{"unpacked int32", initializer(number(2, 9), number(5, 1)), gravity[0]},
		{"one dimension", initializer(number(1, 1), number(2, 9), block(9, []byte{1})), gravity[0]},
		{"upper bits of the type", initializer(number(2, 1<<32|9), block(9, []byte{1})), gravity[0]},
		{"two elements", initializer(number(1, 2), number(2, 9), block(9, []byte{0, 0})), gravity[1]},
		{"no element", initializer(number(2, 9)), gravity[1]},
		{"wrong list", initializer(number(2, 9), block(7, []byte{0})), gravity[1]},
		{"wrong length", initializer(number(2, 9), block(9, []byte{0, 0})), gravity[1]},
		{"elsewhere", initializer(number(2, 9), number(14, 1), block(13, str(1, "location"), str(2, "w"))), gravity[1]},
		{"elsewhere, upper bits", initializer(number(2, 9), number(14, 1<<32|1), block(13, str(1, "location"), str(2, "w")), block(9, []byte{0})), gravity[1]},
		{"nothing makes it", testModel(testNode("Dropout", []string{"x", "", "flag"}, y)), gravity[1]},
		{"makes itself", testModel(testNode("Identity", []string{"flag"}, []string{"flag"}), testNode("Dropout", []string{"x", "", "flag"}, y)), gravity[1]},
	} {
		m, err := read(t, test.data)
		if err != nil {
			t.Fatal(test.name, err)
		}
		if v := verdict(t, m, Dropout); v.Status != test.want.Status || v.Mode != test.want.Mode {
			t.Errorf("%s: %+v", test.name, v)
		}
	}
}

// A constant that is too large to be looked at is noted, one that is not is
// looked at.
func TestMaskSize(t *testing.T) {
	for n, want := range map[int]string{maxMask / 1024: ConstantMask, maxMask/1024 + 1: ConstantMaskUnread} {
		payload := make([]byte, n*1024)
		payload[0] = 1
		data := testModel(testNode("Mul", []string{"x", "m"}, y), block(11, str(1, "x")),
			block(5, str(8, "m"), number(1, uint64(n)), number(1, 1024), number(2, 2), block(9, payload)))
		m, err := read(t, data)
		if err != nil {
			t.Fatal(err)
		}
		if m.found(want) != 1 {
			t.Errorf("%d KiB: %v", n, findingsOf(m))
		}
	}
}

func TestFloat16(t *testing.T) {
	for bits, want := range map[uint16]float64{0: 0, 0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 1: 5.960464477539063e-08, 0x7bff: 65504} {
		if got := float16(bits); got != want {
			t.Errorf("%#x: %v, want %v", bits, got, want)
		}
	}
}

func seeds(f *testing.F, patterns ...string) {
	f.Helper()
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seed in %s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// FuzzONNX holds that any bytes give either an error that names the file or a
// complete model, and that a field which ONNX does not have changes nothing.
func FuzzONNX(f *testing.F) {
	seeds(f, filepath.Join(onnxDir, "*.onnx"))
	root := emptyRoot(f)
	read := func(data []byte) (*Model, error) {
		return readONNX(bytes.NewReader(data), int64(len(data)), "test.onnx", root)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := read(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.onnx") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		again, err := read(append(data[:len(data):len(data)], str(1000, "new")...))
		if err != nil {
			t.Fatalf("with a field more: %v", err)
		}
		if verdictsOf(m) != verdictsOf(again) || fmt.Sprint(m) != fmt.Sprint(again) {
			t.Fatalf("a field more changed the model:\n%+v\n%+v", m, again)
		}
	})
}

// FuzzDetect holds that detection gives one of Formats or none, and that what
// is detected is inspected completely or refused.
func FuzzDetect(f *testing.F) {
	seeds(f, filepath.Join(formatsDir, "*.*"), filepath.Join(onnxDir, "dropout_*.onnx"))
	for _, data := range madeUp {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := write(t, filepath.Join(t.TempDir(), "x"), data)
		format, ok, err := Detect(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Inspect(path)
		switch {
		case !ok && err == nil:
			t.Fatalf("not detected, but inspected: %+v", m)
		case err == nil && m.Format != format.Name:
			t.Fatalf("detected %s, inspected %s", format.Name, m.Format)
		case err == nil:
			checkComplete(t, "fuzz", m)
		}
	})
}
