package model

import (
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The functions below write protobuf by hand, so that tests can write what no
// library would.

func tag(id, kind int) []byte { return binary.AppendUvarint(nil, uint64(id)<<3|uint64(kind)) }

func number(id int, v uint64) []byte { return binary.AppendUvarint(tag(id, varintType), v) }

func float(id int, v float32) []byte {
	return binary.LittleEndian.AppendUint32(tag(id, fixed32Type), math.Float32bits(v))
}

func block(id int, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(binary.AppendUvarint(tag(id, bytesType), uint64(len(body))), body...)
}

func str(id int, s string) []byte { return block(id, []byte(s)) }

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// testNode is a NodeProto in field 1 of a graph.
func testNode(op string, inputs, outputs []string, attributes ...[]byte) []byte {
	return block(1, nodeBody(op, inputs, outputs, attributes...))
}

func nodeBody(op string, inputs, outputs []string, attributes ...[]byte) []byte {
	var b []byte
	for _, s := range inputs {
		b = append(b, str(1, s)...)
	}
	for _, s := range outputs {
		b = append(b, str(2, s)...)
	}
	return append(append(b, str(4, op)...), join(attributes...)...)
}

func opset(domain string, version uint64) []byte { return block(8, str(1, domain), number(2, version)) }

// testModel is a model of IR 8 and opset 17 around a graph's fields.
func testModel(graph ...[]byte) []byte { return join(number(1, 8), block(7, graph...), opset("", 17)) }

// read inspects a model in memory, with an empty folder around it.
func read(t testing.TB, data []byte) (*Model, error) {
	t.Helper()
	return readONNX(strings.NewReader(string(data)), int64(len(data)), "test.onnx", emptyRoot(t))
}

func emptyRoot(t testing.TB) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestMalformed(t *testing.T) {
	deep := func(n int) []byte {
		b := block(1) // a tensor
		for range n {
			b = block(4, block(1, b)) // sequence_type of elem_type
		}
		return testModel(block(11, str(1, "x"), block(2, b)))
	}
	for _, test := range []struct {
		name string
		data []byte
		want string // empty: must be read
	}{
		{"empty", nil, "at byte 0: expected a graph in field 7, found none"},
		{"cut off in the graph", testModel(testNode("Relu", []string{"x"}, []string{"y"}))[:10], "expected at most"},
		{"length past the end", join(number(1, 8), tag(7, bytesType), []byte{0x7f}), "at byte 3: expected at most 0 bytes, which remain in the message, found a length of 127"},
		{"length of 2^64-1", join(tag(7, bytesType), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), "found a length of 18446744073709551615"},
		{"varint without end", []byte{8, 0xff}, "at byte 1: expected a varint, found the end of the message"},
		{"varint of 11 bytes", append([]byte{8}, strings.Repeat("\x80", 11)...), "expected a varint of at most 64 bits, found a longer one"},
		{"field number 0", []byte{0, 0}, "at byte 0: expected a field number from 1 to 536870911, found 0"},
		{"group", []byte{7<<3 | 3}, "found the start of a group"},
		{"graph as a number", number(7, 1), "at byte 0: expected a length-delimited value in field 7, found a varint"},
		{"fixed value cut off", testModel(testNode("Op", nil, nil, block(5, tag(2, fixed32Type), []byte{1, 2}))), "expected 4 bytes, found 2 before the end"},
		{"negative dimension", testModel(block(5, number(1, math.MaxUint64))), "expected dimensions of a tensor that are not negative, found -1"},
		{"too many elements", testModel(block(5, number(1, 1<<40), number(1, 1<<40))), "expected a tensor with fewer than 2^63 elements"},
		{"too many parameters", testModel(block(5, number(1, math.MaxInt64)), block(5, number(1, 1))), "expected at most 2^53 parameters"},
		{"two versions of an operator set", join(testModel(), opset("ai.onnx", 18)), `expected one version of the operator set "", found 17 and 18`},
		{"longest name", testModel(str(2, "g"), testNode(strings.Repeat("x", maxString), nil, nil)), ""},
		{"longer name", testModel(testNode(strings.Repeat("x", maxString+1), nil, nil)), "expected a string of at most 65536 bytes in field 4, found 65537 bytes"},
		{"deepest type", deep(maxDepth/2 - 2), ""},
		{"deeper type", deep(maxDepth/2 - 1), "expected at most 64 messages within each other, found more"},
		{"most dimensions", testModel(block(5, strings2(maxDims, number(1, 1)))), ""},
		{"more dimensions", testModel(block(5, strings2(maxDims+1, number(1, 1)))), "expected at most 256 dimensions, found more"},
		{"graph in pieces", join(testModel(testNode("Relu", []string{"x"}, []string{"y"})), block(7, testNode("Relu", []string{"y"}, []string{"z"}))), ""},
		{"unknown field", join(testModel(), str(1000, "new"), number(1001, 1), float(1002, 1)), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := read(t, test.data)
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want != "" && err == nil:
				t.Fatalf("no error, want %q", test.want)
			case test.want != "" && !strings.Contains(err.Error(), test.want):
				t.Fatalf("got %v\nwant %s", err, test.want)
			case err != nil && !strings.Contains(err.Error(), "test.onnx"):
				t.Fatalf("error does not name the file: %v", err)
			}
		})
	}
}

func strings2(n int, b []byte) []byte { return []byte(strings.Repeat(string(b), n)) }

// A file that takes more memory than maxKept is refused, not read in part.
func TestKeptMemory(t *testing.T) {
	const one = nodeCost
	empty := []byte{1<<3 | bytesType, 0}
	most := int(maxKept / one)
	for n, ok := range map[int]bool{most: true, most + 1: false} {
		w := newWire(strings.NewReader(string(testModel(strings2(n, empty)))), int64(len(testModel(strings2(n, empty)))), "test.onnx")
		err := w.model(&proto{})
		if fits := err == nil; fits != (ok && w.kept <= maxKept) {
			t.Errorf("%d nodes: %v (kept %d)", n, err, w.kept)
		}
		if !ok && (err == nil || !strings.Contains(err.Error(), "256 MiB")) {
			t.Errorf("%d nodes: error %v does not name the limit", n, err)
		}
	}
}

// counter counts what is read of a file.
type counter struct {
	io.ReaderAt
	bytes, calls int64
}

func (c *counter) ReadAt(b []byte, at int64) (int, error) {
	c.calls++
	n, err := c.ReaderAt.ReadAt(b, at)
	c.bytes += int64(n)
	return n, err
}

// largeWeights is a model with weights of so many bytes each, inline, which
// are holes in the file, and with nodes that are so many bytes of it.
func largeWeights(t testing.TB, tensors int, each int64, nodes int) (path string, size int64, graph int) {
	t.Helper()
	var front []byte
	for i := range nodes {
		front = append(front, testNode("Relu", []string{name(i)}, []string{name(i + 1)})...)
	}
	front = append(front, testNode("Dropout", []string{name(nodes), "", "flag"}, []string{"y"})...)
	front = append(front, testNode("Concat", weightNames(tensors), []string{"weights"})...)
	back := join(
		block(5, number(1, 1), number(2, 9), str(8, "flag"), block(9, []byte{1})),
		block(11, str(1, name(0))), block(12, str(1, "y")), block(12, str(1, "weights")))
	head := func(i int) []byte {
		inner := join(number(1, uint64(each/4)), number(2, 1), str(8, "w"+name(i)), binary.AppendUvarint(tag(9, bytesType), uint64(each)))
		return append(binary.AppendUvarint(tag(5, bytesType), uint64(len(inner))+uint64(each)), inner...)
	}
	length := int64(len(front) + len(back))
	for i := range tensors {
		length += int64(len(head(i))) + each
	}
	path = filepath.Join(t.TempDir(), "large.onnx")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	put := func(b []byte) {
		if _, err := file.WriteAt(b, size); err != nil {
			t.Skipf("no sparse file of %d bytes: %v", length, err)
		}
		size += int64(len(b))
	}
	put(join(number(1, 8), binary.AppendUvarint(tag(7, bytesType), uint64(length)), front))
	for i := range tensors {
		put(head(i))
		size += each
	}
	put(join(back, opset("", 17)))
	return path, size, len(front)
}

func weightNames(n int) (names []string) {
	for i := range n {
		names = append(names, "w"+name(i))
	}
	return names
}

// A model of 10 GB is read without its weights.
func TestTenGigabytes(t *testing.T) {
	const tensors, each, nodes = 5, 2_000_000_000, 2000
	path, at, graph := largeWeights(t, tensors, each, nodes)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	c := &counter{ReaderAt: file}
	root := emptyRoot(t)
	w := newWire(c, at, "large.onnx")
	var p proto
	if err := w.model(&p); err != nil {
		t.Fatal(err)
	}
	if limit := int64(2 << 20); w.kept > limit {
		t.Errorf("kept %d bytes, want at most %d", w.kept, limit)
	}
	c.bytes, c.calls = 0, 0
	m, err := readONNX(c, at, "large.onnx", root)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(graph + 16*windowSize); c.bytes > limit {
		t.Errorf("read %d bytes in %d calls of a file of %d, want at most %d", c.bytes, c.calls, at, limit)
	}
	if m.Parameters != tensors*each/4+1 || m.Operators["Relu"] != nodes {
		t.Errorf("%d parameters, operators %v", m.Parameters, m.Operators)
	}
	if v := m.Elimination[0]; v.Status != Present || v.Mode != Training {
		t.Errorf("dropout: %+v", v)
	}
	boundedBy(t, "inspect", weightsMemory, func() {
		if m, err := Inspect(path); err != nil || m.Format != "onnx" {
			t.Errorf("Inspect: %v, %v", m, err)
		}
	})
}

// weightsMemory is what reading a model may take besides its graph.
const weightsMemory = 64 << 20

// Weights are digested in pieces.
func TestCanonicalMemory(t *testing.T) {
	path, _, _ := largeWeights(t, 2, 128<<20, 10)
	boundedBy(t, "canonical", weightsMemory, func() { canonical(t, path) })
}

func name(i int) string {
	return "v" + strings.Repeat("i", i%7) + string(rune('a'+i%26)) + strconv.Itoa(i)
}
