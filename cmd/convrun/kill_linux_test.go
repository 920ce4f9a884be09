package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/convrun/convrun/provenance"
)

// kills is how often a test of chance is tried: CONVRUN_FULL=1 asks for more.
func kills() int {
	if os.Getenv("CONVRUN_FULL") != "" {
		return 200
	}
	return 25
}

// bench is a folder in which model.onnx is converted again and again, each time
// with other content.
type bench struct {
	t        *testing.T
	dir      string
	model    string
	log      string
	was, now []byte // the model's content before the run, and after
	oldLog   []byte
}

// newBench has one run behind it, whose log may never be lost.
func newBench(t *testing.T) *bench {
	t.Helper()
	return benchIn(t, workDir(t))
}

func benchIn(t *testing.T, dir string) *bench {
	t.Helper()
	b := &bench{t: t, dir: dir, model: filepath.Join(dir, "model.onnx"), log: filepath.Join(dir, "model.onnx"+logSuffix)}
	copyFile(t, "../../testdata/model/onnx/dropout_10.onnx", filepath.Join(dir, "source"))
	b.prepare(0)
	if _, stderr, status := convrunHere(t, dir, append([]string{"run", "-q"}, b.conversion()...)...); status != 0 {
		t.Fatal(stderr)
	}
	return b
}

// prepare makes ready for the next run, in which the model is another.
func (b *bench) prepare(attempt int) {
	b.t.Helper()
	source, err := os.ReadFile(filepath.Join(b.dir, "source"))
	must(b.t, err)
	// Field 2 of ModelProto, producer_name: a last one counts.
	name := fmt.Sprintf("attempt %04d", attempt)
	b.now = append(source, append([]byte{2<<3 | 2, byte(len(name))}, name...)...)
	must(b.t, os.WriteFile(filepath.Join(b.dir, "next"), b.now, 0o644))
	b.was, _ = os.ReadFile(b.model)
	b.oldLog, _ = os.ReadFile(b.log)
	for _, left := range []string{"begun", "done"} {
		_ = os.Remove(filepath.Join(b.dir, left))
	}
	drafts, _ := filepath.Glob(filepath.Join(b.dir, "*"+draftSuffix))
	for _, draft := range drafts {
		must(b.t, os.Remove(draft))
	}
}

// conversion is a command that opens, executes, renames and writes.
func (b *bench) conversion() []string {
	return []string{"--", "sh", "-ec", `echo > begun; i=0; while [ $i -lt 10 ]; do cat next > part; i=$((i+1)); done; mv part model.onnx; echo > done`}
}

// start starts convrun, or prefix with convrun as its last arguments. The
// reader ends when the last process has ended: all inherit its other end.
func (b *bench) start(prefix ...string) (convrun *exec.Cmd, tree *os.File) {
	b.t.Helper()
	reader, writer, err := os.Pipe()
	must(b.t, err)
	defer writer.Close()
	argv := slices.Concat(prefix, []string{"convrun", "run", "-q"}, b.conversion())
	command := exec.Command(argv[0], argv[1:]...)
	command.Dir = b.dir
	command.Env = append(os.Environ(), "HOME="+b.beside("home"), "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "XDG_STATE_HOME=", "TMPDIR="+b.t.TempDir())
	command.ExtraFiles = []*os.File{writer}
	said, err := os.Create(b.beside("stderr"))
	must(b.t, err)
	defer said.Close()
	command.Stderr = said
	must(b.t, command.Start())
	return command, reader
}

// beside is a name in the folder above the working directory.
func (b *bench) beside(name string) string { return filepath.Join(filepath.Dir(b.dir), name) }

// said is what the last run said on standard error.
func (b *bench) said() string {
	b.t.Helper()
	text, err := os.ReadFile(b.beside("stderr"))
	must(b.t, err)
	return string(text)
}

// awaitDone waits for the command to come to its end.
func (b *bench) awaitDone() {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); !b.exists("done"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatal("the command does not end")
		}
	}
}

// awaitTree waits for the command's tree to end by itself.
func (b *bench) awaitTree(tree *os.File) {
	b.t.Helper()
	defer tree.Close()
	must(b.t, tree.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := io.ReadAll(tree); err != nil {
		b.t.Fatalf("the command's processes hang: %v", err)
	}
}

// exists tells whether the command has left a mark.
func (b *bench) exists(mark string) bool {
	_, err := os.Stat(filepath.Join(b.dir, mark))
	return err == nil
}

// check looks at what is on disk, whatever has happened: the model is what the
// command left, and every log and draft is whole. It tells which are there for
// this run.
func (b *bench) check() (logged, drafted bool) {
	b.t.Helper()
	want := b.was
	if b.exists("begun") {
		if want = b.now; !b.exists("done") {
			b.t.Error("the command began, and did not come to its end")
		}
	}
	if got, err := os.ReadFile(b.model); err != nil || !bytes.Equal(got, want) {
		b.t.Errorf("the model is not what the command left: %v", err)
	}
	entries, err := os.ReadDir(b.dir)
	must(b.t, err)
	for _, entry := range entries {
		path := filepath.Join(b.dir, entry.Name())
		data, err := os.ReadFile(path)
		must(b.t, err)
		switch name := entry.Name(); {
		case path == b.log && bytes.Equal(data, b.oldLog):
		case path == b.log:
			logged = true
			if _, stderr, status := convrunHere(b.t, b.dir, "verify", "model.onnx"); status != 0 {
				b.t.Errorf("the log does not verify: %s", stderr)
			}
		case strings.HasSuffix(name, draftSuffix):
			drafted = true
			if _, err := provenance.Parse(data); err != nil {
				b.t.Errorf("half a draft: %v", err)
			}
		case strings.HasPrefix(name, ".convrun-"):
			// Between its name and its place: it must be whole.
			if _, err := provenance.Parse(data); err != nil && !bytes.HasSuffix(bytes.TrimSpace(data), []byte("}")) {
				b.t.Errorf("half a file is left: %s", name)
			}
			must(b.t, os.Remove(path))
		case name != "ballast" && name != "source" && name != "next" && name != "begun" && name != "done" && path != b.model:
			b.t.Errorf("%s was not there before", name)
		}
	}
	if len(b.oldLog) > 0 && !b.exists(filepath.Base(b.log)) {
		b.t.Error("the earlier log is gone")
	}
	return logged, drafted
}

// TestKilledAtAnyMoment kills convrun while it starts, watches, hashes, writes,
// signs and places.
func TestKilledAtAnyMoment(t *testing.T) {
	b := newBench(t)
	b.prepare(1)
	start := time.Now()
	whole, tree := b.start()
	b.awaitDone()
	untilDone := time.Since(start)
	must(t, whole.Wait())
	afterwards := time.Since(start) - untilDone
	b.awaitTree(tree)
	unbegun, undone, drafts, logs := 0, 0, 0, 0
	for attempt := range kills() {
		b.prepare(attempt + 2)
		convrun, tree := b.start()
		if attempt%2 == 0 {
			time.Sleep(time.Duration(rand.Int64N(int64(untilDone))))
		} else {
			b.awaitDone()
			time.Sleep(time.Duration(rand.Int64N(int64(afterwards))))
		}
		_ = convrun.Process.Kill() // it may have ended
		_ = convrun.Wait()
		b.awaitTree(tree)
		logged, drafted := b.check()
		switch {
		case !b.exists("begun"):
			unbegun++
		case logged:
			logs++
		case drafted:
			drafts++
		default:
			undone++
		}
		if t.Failed() {
			t.Fatalf("attempt %d", attempt)
		}
	}
	t.Logf("killed before the command began: %d, before a draft: %d, with a draft: %d, with the log in place: %d", unbegun, undone, drafts, logs)
}

// TestKilledKeeper kills only the process that would answer for convrun: the
// run is not disturbed.
func TestKilledKeeper(t *testing.T) {
	if !canTrace() {
		missingTool(t, "system calls cannot be watched on this machine")
	}
	b := newBench(t)
	for attempt := range kills() / 5 {
		b.prepare(attempt + 1)
		convrun, tree := b.start()
		keeper := 0
		for deadline := time.Now().Add(20 * time.Second); keeper == 0; {
			if keeper = childNamed(t, convrun.Process.Pid, "convrun-keeper"); time.Now().After(deadline) {
				t.Fatal("there is no keeper")
			}
		}
		time.Sleep(time.Duration(rand.Int64N(int64(50 * time.Millisecond))))
		process, err := os.FindProcess(keeper)
		must(t, err)
		_ = process.Kill()
		_ = convrun.Wait()
		b.awaitTree(tree)
		logged, drafted := b.check()
		// Without a keeper the command is not begun.
		refused := convrun.ProcessState.ExitCode() == exitOwnFailure && !b.exists("begun") && !logged
		if !refused && (!convrun.ProcessState.Success() || !logged || drafted) {
			t.Fatalf("attempt %d: %v, logged %v, drafted %v: %s", attempt, convrun.ProcessState, logged, drafted, b.said())
		}
	}
}

// childNamed finds a child by the name that it was started under; 0 is none.
func childNamed(t *testing.T, parent int, name string) int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	must(t, err)
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(children)) {
			argv, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if string(argv[:max(0, bytes.IndexByte(argv, 0))]) == name {
				pid, err := strconv.Atoi(child)
				must(t, err)
				return pid
			}
		}
	}
	return 0
}
