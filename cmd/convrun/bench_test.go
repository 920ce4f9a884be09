package main

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// pairs is how often a benchmark runs bare and wrapped in turn.
func pairs() int {
	if n, err := strconv.Atoi(os.Getenv("CONVRUN_PAIRS")); err == nil && n > 0 {
		return n
	}
	return 5
}

// cost is what one whole process took, its children included.
type cost struct{ wall, cpu time.Duration }

func timed(b *testing.B, dir string, argv []string) cost {
	b.Helper()
	command := exec.Command(argv[0], argv[1:]...)
	command.Dir = dir
	start := time.Now()
	out, err := command.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return cost{time.Since(start), command.ProcessState.UserTime() + command.ProcessState.SystemTime()}
}

// builtConvrun is what make build makes.
func builtConvrun(b *testing.B) string {
	b.Helper()
	path, err := filepath.Abs("../../bin/convrun")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		b.Skip("make build first: ", err)
	}
	return path
}

// compare runs bare and wrapped in turn and reports the medians of the ratios.
func compare(b *testing.B, dir string, bare, wrapped []string) {
	b.Helper()
	timed(b, dir, bare)
	timed(b, dir, wrapped) // fills the digest cache
	for b.Loop() {
		var walls, cpus []float64
		for range pairs() {
			without, with := timed(b, dir, bare), timed(b, dir, wrapped)
			walls = append(walls, float64(with.wall)/float64(without.wall))
			cpus = append(cpus, float64(with.cpu)/float64(without.cpu))
		}
		b.ReportMetric(median(walls), "wall-ratio")
		b.ReportMetric(slices.Min(walls), "wall-ratio-min")
		b.ReportMetric(slices.Max(walls), "wall-ratio-max")
		b.ReportMetric(median(cpus), "cpu-ratio")
	}
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

func BenchmarkTorchExport(b *testing.B) {
	convrun, python := builtConvrun(b), environment(b, "torch")
	script, err := filepath.Abs("../../testdata/demo/torch_export.py")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	bare := []string{python, script, "resnet18.onnx"}
	compare(b, dir, bare, append([]string{convrun, "run", "-q", "--"}, bare...))
	info, err := os.Stat(filepath.Join(dir, "resnet18.onnx"+logSuffix))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size()), "log-bytes")
}

func BenchmarkTf2onnx(b *testing.B) {
	convrun, python := builtConvrun(b), environment(b, "tensorflow")
	script, err := filepath.Abs("../../testdata/demo/keras_save.py")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	timed(b, dir, []string{python, script, "keras_model"})
	bare := []string{python, "-m", "tf2onnx.convert", "--saved-model", "keras_model", "--output", "m.onnx"}
	compare(b, dir, bare, append([]string{convrun, "run", "-q", "--"}, bare...))
}

// repeat reports the median wall time of one command.
func repeat(b *testing.B, dir string, argv []string) {
	b.Helper()
	timed(b, dir, argv)
	for b.Loop() {
		var walls []time.Duration
		for range 4 * pairs() {
			walls = append(walls, timed(b, dir, argv).wall)
		}
		b.ReportMetric(float64(median(walls).Microseconds())/1000, "ms-median")
		b.ReportMetric(float64(slices.Min(walls).Microseconds())/1000, "ms-min")
	}
}

func BenchmarkRunTrue(b *testing.B) {
	repeat(b, b.TempDir(), []string{builtConvrun(b), "run", "-q", "--log", "true.convlog.json", "--", "true"})
}

func BenchmarkVerify1MiB(b *testing.B) {
	convrun, dir := builtConvrun(b), b.TempDir()
	timed(b, dir, []string{convrun, "run", "-q", "--", "sh", "-c", "head -c 1048576 /dev/urandom > m.bin"})
	repeat(b, dir, []string{convrun, "verify", "m.bin"})
}

func BenchmarkVersion(b *testing.B) {
	convrun := builtConvrun(b)
	info, err := os.Stat(convrun)
	if err != nil {
		b.Fatal(err)
	}
	repeat(b, b.TempDir(), []string{convrun, "version"})
	b.ReportMetric(float64(info.Size()), "binary-bytes")
}
