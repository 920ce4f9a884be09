//go:build amd64 || arm64

package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/convrun/convrun/runner/trace"
)

// scale is how many times more make test-full does than make test.
func scale() int {
	if os.Getenv("CONVRUN_FULL") != "" {
		return 10
	}
	return 1
}

// compileMany compiles testdata/probe/many.c.
func compileMany(t testing.TB) string {
	t.Helper()
	source, err := filepath.Abs("../testdata/probe/many.c")
	if err != nil {
		t.Fatal(err)
	}
	needTools(t, "gcc")
	program := filepath.Join(t.TempDir(), "many")
	if out, err := exec.Command("gcc", "-O1", "-pthread", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// large observes a command from another process, so that what this one needs
// does not count, and gives the most memory that was resident at once, bytes.
func large(t *testing.T, argv ...string) (o *Observation, memory int64) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "o.json")
	command := convrun(t, name, argv...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	status, err := os.ReadFile(name + statusSuffix)
	if err != nil {
		t.Fatal(err)
	}
	// Not ru_maxrss: it begins with that of the process that forked.
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &memory); err != nil {
		t.Fatal(err)
	}
	return readObservation(t, name), memory << 10
}

// count tells how many files in dir are such and have a digest.
func count(o *Observation, dir string, class Class) (files int) {
	for _, f := range o.Files {
		if f.Class == class && strings.HasPrefix(f.Path, dir+"/") && (f.SHA256 != "" || class == Temporary) {
			files++
		}
	}
	return files
}

func complete(t *testing.T, o *Observation) {
	t.Helper()
	if o.ExitCode != 0 || len(o.Capture.Reasons) > 0 || o.Capture.Dropped != 0 {
		t.Errorf("exit %d, incomplete: %q, %d dropped", o.ExitCode, o.Capture.Reasons, o.Capture.Dropped)
	}
}

func TestManyOpens(t *testing.T) {
	needTracing(t)
	many := compileMany(t)
	files := 10_000 * scale()
	for _, threads := range []int{1, 64} {
		t.Run(strconv.Itoa(threads), func(t *testing.T) {
			dir := folder(t, nil)
			makeFiles(t, many, files)
			o, memory := large(t, many, "open", strconv.Itoa(files), strconv.Itoa(10*files), strconv.Itoa(threads))
			complete(t, o)
			if inputs := count(o, dir, Input); inputs != files {
				t.Errorf("%d inputs of %d", inputs, files)
			}
			within(t, memory, 48<<20+int64(files)*3<<10)
		})
	}
}

func makeFiles(t testing.TB, many string, files int) {
	t.Helper()
	if out, err := exec.Command(many, "make", strconv.Itoa(files)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// within checks the memory that was needed, both in bytes.
func within(t *testing.T, memory, bound int64) {
	t.Helper()
	t.Logf("%d MiB", memory>>20)
	if memory > bound {
		t.Errorf("%d MiB of memory, more than %d", memory>>20, bound>>20)
	}
}

func TestManyProcesses(t *testing.T) {
	needTracing(t)
	many := compileMany(t)
	folder(t, nil)
	for _, programs := range []int{1000 * scale(), maxProcesses + 100} {
		if programs > maxProcesses && scale() == 1 {
			continue
		}
		o, memory := large(t, many, "spawn", strconv.Itoa(programs), "/bin/true")
		if seen := len(o.Processes) + o.Capture.Dropped; seen != programs+1 {
			t.Errorf("%d programs listed, %d dropped; %d ran", len(o.Processes), o.Capture.Dropped, programs+1)
		}
		if told := len(o.Capture.Reasons) > 0; told != (programs > maxProcesses) {
			t.Errorf("reasons: %q", o.Capture.Reasons)
		}
		within(t, memory, 64<<20)
	}
}

// TestManyNames has files that are read, replaced, renamed and removed while
// many wait to be hashed.
func TestManyNames(t *testing.T) {
	needTracing(t)
	many := compileMany(t)
	for _, c := range []struct {
		work  string
		class Class
		one   bool
	}{{"move", Output, false}, {"replace", Output, true}, {"churn", Temporary, false}, {"folders", Output, false}} {
		t.Run(c.work, func(t *testing.T) {
			dir := folder(t, nil)
			times := 2000 * scale()
			if c.work == "move" {
				makeFiles(t, many, times)
			}
			o, memory := large(t, many, c.work, strconv.Itoa(times))
			complete(t, o)
			want := times
			if c.one {
				want = 1
			}
			if files := count(o, dir, c.class); files != want || c.work == "move" && !slices.ContainsFunc(o.Files, func(f File) bool { return f.BeforeSHA256 == f.SHA256 }) {
				t.Errorf("%d files of %d", files, want)
			}
			within(t, memory, 48<<20+int64(times)*3<<10)
		})
	}
}

func TestManyEndpoints(t *testing.T) {
	needTracing(t)
	many := compileMany(t)
	folder(t, nil)
	o, _ := large(t, many, "connect", strconv.Itoa(maxEndpoints))
	complete(t, o)
	if len(o.Network) != maxEndpoints || !slices.Contains(o.Network, fmt.Sprint("ip4 127.0.0.1:", maxEndpoints)) {
		t.Errorf("%d endpoints", len(o.Network))
	}
	o, _ = large(t, many, "connect", strconv.Itoa(maxEndpoints+7))
	if len(o.Network) != maxEndpoints || o.Capture.Dropped != 7 || len(o.Capture.Reasons) != 1 || !strings.Contains(o.Capture.Reasons[0], "endpoints") {
		t.Errorf("%d endpoints, %d dropped, reasons %q", len(o.Network), o.Capture.Dropped, o.Capture.Reasons)
	}
}

// TestMoreFilesThanAreKept fills the list of files up, and goes on.
func TestMoreFilesThanAreKept(t *testing.T) {
	known := filepath.Join(t.TempDir(), "known")
	w := &watch{files: newCollector(), redact: &Redactor{}, hash: newHasher(newDigestCache(""))}
	defer w.hash.finish()
	defer w.hash.hurryAll(nil)
	open := func(path string, access trace.Access, mode uint32) *record {
		return w.enter(&trace.Event{Op: trace.Open, Path: path, Requested: path, Access: access, Handle: -1, Mode: mode})
	}
	if open(known, trace.Write|trace.Create, 0) == nil {
		t.Fatal("the first file has no record")
	}
	w.files.records = append(w.files.records, make([]*record, maxFiles-1)...)
	if open(known, trace.Read, typeRegular) == nil || w.dropped != 0 || len(w.gaps) != 0 {
		t.Errorf("a file that is listed counts as another: %d dropped, %q", w.dropped, w.gaps)
	}
	open("/dev/null", trace.Write, 0o020000)
	for i := range 3 {
		if open(fmt.Sprint(known, i), trace.Write|trace.Create, 0) != nil {
			t.Error("there was room for another file")
		}
	}
	w.enter(&trace.Event{Op: trace.Link, Path: known, Path2: known + "2", Handle: -1, Mode: typeRegular})
	if w.dropped != 4 || len(w.gaps) != 1 || !strings.Contains(w.gaps[0], "more than 500000 files") || len(w.files.records) != maxFiles {
		t.Errorf("%d dropped, %q, %d records", w.dropped, w.gaps, len(w.files.records))
	}
}

func TestMoreProgramsThanAreKept(t *testing.T) {
	w := &watch{processes: make([]Process, maxProcesses), loaded: map[trace.FileID]bool{}}
	for range 3 {
		w.execute(&trace.Event{Op: trace.Exec, Path: "/bin/x", Handle: -1}, &record{})
	}
	if w.dropped != 3 || len(w.gaps) != 1 || !strings.Contains(w.gaps[0], "more than 20000 programs") || len(w.processes) != maxProcesses {
		t.Errorf("%d dropped, %q, %d programs", w.dropped, w.gaps, len(w.processes))
	}
}

func TestMoreArgumentsThanAreKept(t *testing.T) {
	w := &watch{loaded: map[trace.FileID]bool{}}
	for range 5 {
		w.execute(&trace.Event{Op: trace.Exec, Path: "/bin/x", Argv: []string{strings.Repeat("x", maxArguments/3)}, Handle: -1}, &record{})
	}
	if w.dropped != 2 || len(w.gaps) != 1 || len(w.processes) != 3 {
		t.Errorf("%d dropped, %q, %d programs", w.dropped, w.gaps, len(w.processes))
	}
}

// TestHugeInput reads a few bytes of an input with holes.
func TestHugeInput(t *testing.T) {
	needTracing(t)
	size := int64(1) << 30
	if scale() > 1 {
		size = 20 << 30
	}
	dir := folder(t, map[string]string{"in": "begin"})
	if err := os.Truncate("in", size); err != nil {
		t.Fatal(err)
	}
	o, memory := large(t, "/usr/bin/head", "-c", "5", "in")
	complete(t, o)
	i := slices.IndexFunc(o.Files, func(f File) bool { return f.Path == dir+"/in" })
	if i < 0 || o.Files[i].Size != size || o.Files[i].SHA256 != sumOfHoles(t, "begin", size) {
		t.Errorf("the input is missing or wrong among %d files", len(o.Files))
	}
	within(t, memory, 48<<20)
}

// sumOfHoles is the digest of text and zeros up to size.
func sumOfHoles(t *testing.T, text string, size int64) string {
	t.Helper()
	hash := sha256.New()
	io.WriteString(hash, text)
	zeros := make([]byte, 1<<20)
	for left := size - int64(len(text)); left > 0; left -= int64(len(zeros)) {
		hash.Write(zeros[:min(left, int64(len(zeros)))])
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// BenchmarkLinear does ten times as much, and reports how many times more
// processor time it took: 10 is linear, 100 quadratic.
func BenchmarkLinear(b *testing.B) {
	many := compileMany(b)
	for _, work := range []struct {
		name  string
		times int
		files bool
		more  []string
	}{
		{"open", 10_000, true, []string{"100000", "1"}}, {"open", 10_000, true, []string{"100000", "64"}}, {"spawn", 300, false, []string{"/bin/true"}},
		{"move", 3000, true, nil}, {"replace", 3000, false, nil}, {"churn", 3000, false, nil}, {"folders", 1000, false, nil},
	} {
		b.Run(strings.Join(append([]string{work.name}, work.more...), "-"), func(b *testing.B) {
			for b.Loop() {
				var took [2]time.Duration
				for i, factor := range []int{1, 10} {
					b.Chdir(b.TempDir())
					times := strconv.Itoa(work.times * factor)
					if work.files {
						makeFiles(b, many, work.times*factor)
					}
					argv := append([]string{work.name, times}, work.more...)
					if work.name == "open" {
						argv[2] = strconv.Itoa(100_000 * factor)
					}
					command := convrun(b, "", append([]string{many}, argv...)...)
					if out, err := command.CombinedOutput(); err != nil {
						b.Fatalf("%v\n%s", err, out)
					}
					took[i] = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
				}
				b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "times-cpu-for-10")
			}
		})
	}
}
