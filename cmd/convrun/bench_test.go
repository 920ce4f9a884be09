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

	"github.com/convrun/convrun/runner/trace"
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

// compare runs bare and a wrapper around it in turn, and reports the medians of
// the ratios. What a wrapper has to fill, such as a cache, is filled before.
func compare(b *testing.B, dir string, bare, wrapper []string) {
	b.Helper()
	wrapped := slices.Concat(wrapper, bare)
	timed(b, dir, bare)
	timed(b, dir, wrapped)
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

// compareAll measures convrun, and what else can be put before a command to see
// its files, each in pairs with the bare command.
func compareAll(b *testing.B, dir string, bare []string) {
	b.Helper()
	run := []string{builtConvrun(b), "run", "-q"}
	reprozip := environment(b, "reprozip")
	b.Setenv("REPROZIP_USAGE_STATS", "off")
	for _, wrapper := range []struct {
		name string
		argv []string
	}{
		{"convrun", append(run, "--")},
		{"convrun without cache", append(run, "--no-cache", "--")},
		{"convrun by ptrace", append(run, "--trace", trace.Ptrace, "--")},
		{"convrun by ptrace of every call", append(run, "--trace", trace.PtraceAll, "--")},
		{"strace of the same calls", []string{"strace", "-f", "--seccomp-bpf", "-e", "trace=open,openat,openat2,creat,execve,rename,renameat,renameat2,unlink,unlinkat", "-o", "strace.txt"}},
		{"strace of every call", []string{"strace", "-f", "-o", "/dev/null"}},
		{"reprozip trace", []string{filepath.Join(filepath.Dir(reprozip), "reprozip"), "trace", "--overwrite", "-d", "reprozip"}},
	} {
		b.Run(wrapper.name, func(b *testing.B) {
			if path, err := exec.LookPath(wrapper.argv[0]); err != nil {
				missingTool(b, "%v", err)
			} else {
				wrapper.argv[0] = path
			}
			compare(b, dir, bare, wrapper.argv)
		})
	}
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

func BenchmarkTorchExport(b *testing.B) {
	python := environment(b, "torch")
	script, err := filepath.Abs("../../testdata/demo/torch_export.py")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	bare := []string{python, script, "resnet18.onnx"}
	compareAll(b, dir, bare)
	b.Run("log", func(b *testing.B) {
		timed(b, dir, append([]string{builtConvrun(b), "run", "-q", "--"}, bare...))
		info, err := os.Stat(filepath.Join(dir, "resnet18.onnx"+logSuffix))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			b.ReportMetric(float64(info.Size()), "log-bytes")
		}
	})
}

func BenchmarkTf2onnx(b *testing.B) {
	python := environment(b, "tensorflow")
	script, err := filepath.Abs("../../testdata/demo/keras_save.py")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	timed(b, dir, []string{python, script, "keras_model"})
	bare := []string{python, "-m", "tf2onnx.convert", "--saved-model", "keras_model", "--output", "m.onnx"}
	compareAll(b, dir, bare)
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
