package model

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// longGraph is an ONNX model with a chain of n nodes, named as exporters name
// them.
func longGraph(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "long.onnx")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var nodes []byte
	for i := range n {
		value := func(i int) []string { return []string{"/layer/value_" + strconv.Itoa(i)} }
		nodes = append(nodes, testNode("Relu", value(i), value(i+1), str(3, "/layer/node_"+strconv.Itoa(i)))...)
	}
	w := bufio.NewWriter(file)
	graph := join(nodes, block(11, str(1, "/layer/value_0")), block(12, str(1, fmt.Sprint("/layer/value_", n))))
	if _, err := w.Write(join(number(1, 8), opset("", 17), block(7, graph))); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}

// measured is how long a call takes, the median of a few.
func measured(b *testing.B, call func() error) float64 {
	b.Helper()
	var spent []float64
	for range 5 {
		start := time.Now()
		if err := call(); err != nil {
			b.Fatal(err)
		}
		spent = append(spent, time.Since(start).Seconds())
	}
	slices.Sort(spent)
	return spent[len(spent)/2]
}

func inspecting(path string) func() error {
	return func() error {
		_, err := Inspect(path)
		return err
	}
}

// onnxLoad is how long onnx.load takes, without the start of Python.
func onnxLoad(b *testing.B, path string) float64 {
	b.Helper()
	program := "import onnx, sys, time\nstart = time.perf_counter()\nonnx.load(sys.argv[1])\nprint(time.perf_counter() - start)"
	seconds, err := strconv.ParseFloat(output(b, python(b, "torch", "onnx"), "-c", program, path), 64)
	if err != nil {
		b.Fatal(err)
	}
	return seconds
}

func BenchmarkInspectTenGigabytes(b *testing.B) {
	path, _, _ := largeWeights(b, 5, 2_000_000_000, 2000)
	for b.Loop() {
		b.ReportMetric(1000*measured(b, inspecting(path)), "ms-median")
	}
}

// What onnx.load takes against inspecting the same file. Protobuf's own reader
// takes at most 2 GiB.
func BenchmarkInspectAgainstOnnxLoad(b *testing.B) {
	large, _, _ := largeWeights(b, 5, 200<<20, 2000)
	for name, path := range map[string]string{"1 GB of weights": large, "100,000 nodes": longGraph(b, 100_000)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				mine, theirs := measured(b, inspecting(path)), onnxLoad(b, path)
				b.ReportMetric(1000*mine, "ms-inspect")
				b.ReportMetric(1000*theirs, "ms-onnx.load")
				b.ReportMetric(theirs/mine, "onnx.load/inspect")
			}
		})
	}
}

// The time of a graph against that of one of a tenth of its nodes: 10 is
// linear.
func BenchmarkInspectNodes(b *testing.B) {
	for b.Loop() {
		small, large := measured(b, inspecting(longGraph(b, 100_000))), measured(b, inspecting(longGraph(b, 1_000_000)))
		b.ReportMetric(1000*large, "ms-1,000,000-nodes")
		b.ReportMetric(large/small, "ratio-to-100,000")
	}
}

// The canonical digest against SHA-256 of the file's bytes.
func BenchmarkCanonical(b *testing.B) {
	path, size, _ := largeWeights(b, 5, 200<<20, 2000)
	hash := func() error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(sha256.New(), file)
		return err
	}
	digest := func() error {
		_, err := Canonical(path)
		return err
	}
	for b.Loop() {
		plain, mine := measured(b, hash), measured(b, digest)
		b.ReportMetric(float64(size)/mine/1e6, "MB/s")
		b.ReportMetric(mine/plain, "ratio-to-sha256")
	}
}
