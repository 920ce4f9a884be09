package python

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// need skips a test for something that this machine lacks, or fails it where
// nothing may be skipped.
func need(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CONVRUN_REQUIRE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// environment names the interpreter of one of the environments that `make`
// installs for tests.
func environment(t testing.TB, name string) string {
	t.Helper()
	python, err := filepath.Abs(filepath.Join("..", "..", ".cache", "python", name, "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		need(t, "needs the Python environment %s: %v", name, err)
	}
	return python
}

// pythons returns the interpreters of this machine by version, python3 among
// them.
func pythons(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	candidates, _ := filepath.Glob(filepath.Join(os.Getenv("PYENV_ROOT"), "versions", "*", "bin", "python"))
	if path, err := exec.LookPath("python3"); err == nil {
		candidates = append(candidates, path)
	}
	for _, path := range candidates {
		// What stands in PATH may be a script that starts the interpreter.
		text, err := exec.Command(path, "-c", "import sys; print('%d.%d %s' % (sys.version_info[0], sys.version_info[1], sys.executable))").Output()
		version, executable, ok := strings.Cut(strings.TrimSpace(string(text)), " ")
		if err == nil && ok {
			found[version] = executable
		}
	}
	if len(found) == 0 {
		need(t, "needs a Python")
	}
	return found
}

// atLeast tells whether the version "3.N" of a Python is 3.minor or newer.
func atLeast(version string, minor int) bool {
	var major, found int
	fmt.Sscanf(version, "%d.%d", &major, &found)
	return major == 3 && found >= minor
}

// bench is a place to run the same command in with and without the observer.
type bench struct {
	// work is the working directory, emptied before each run; home is kept.
	work, home string
	environ    []string
	// added are functions to observe besides the observer's own.
	added []Function
}

func newBench(t testing.TB, environ ...string) bench {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := bench{work: filepath.Join(dir, "work"), home: filepath.Join(dir, "home")}
	if err := os.Mkdir(b.home, 0o700); err != nil {
		t.Fatal(err)
	}
	b.environ = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.home, "LANG=C.UTF-8"}, environ...)
	return b
}

// outcome is what a command did that its user can see.
type outcome struct {
	stdout, stderr string
	exit           int
	files          map[string]string
}

func (b bench) run(t testing.TB, environ []string, argv ...string) outcome {
	t.Helper()
	if err := os.RemoveAll(b.work); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.work, 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	command.Dir, command.Env = b.work, environ
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{
		stdout: stable(stdout.String()), stderr: stable(stderr.String()),
		exit: command.ProcessState.ExitCode(), files: b.files(t),
	}
}

func (b bench) files(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(b.work, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.HasSuffix(path, ".pyc") {
			text = nil // not even two bare runs write the same
		}
		found[strings.TrimPrefix(path, b.work)] = fmt.Sprintf("%d bytes, %x", len(text), sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// unstable is what differs from run to run without any observer: addresses,
// times and process IDs in log lines.
var unstable = regexp.MustCompile(`0x[0-9a-f]+|(?m)^[IWE]\d{4} [\d:.]+ +\d+|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d+`)

func stable(text string) string { return unstable.ReplaceAllString(text, "~") }

// observed runs the command under the observer.
func (b bench) observed(t testing.TB, argv ...string) (outcome, Record) {
	t.Helper()
	o, err := NewObserver(t.TempDir(), b.added...)
	if err != nil {
		t.Fatal(err)
	}
	result := b.run(t, o.Environ(b.environ), argv...)
	record, err := o.Read()
	if err != nil {
		t.Fatal(err)
	}
	return result, record
}

// transparent runs the command without and with the observer, holds that all
// is equal, and returns what was recorded.
func (b bench) transparent(t testing.TB, argv ...string) (outcome, Record) {
	t.Helper()
	bare := b.run(t, b.environ, argv...)
	result, record := b.observed(t, argv...)
	if bare.exit != result.exit {
		t.Errorf("%q: exit status %d, observed %d", argv, bare.exit, result.exit)
	}
	same(t, "stdout", bare.stdout, result.stdout)
	same(t, "stderr", bare.stderr, result.stderr)
	for _, name := range slices.Sorted(maps.Keys(union(bare.files, result.files))) {
		if bare.files[name] != result.files[name] {
			t.Errorf("%q: file %s has %q, observed %q", argv, name, bare.files[name], result.files[name])
		}
	}
	return result, record
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// same compares two texts by line.
func same(t testing.TB, name, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wanted), len(found)) {
		var w, f string
		if i < len(wanted) {
			w = wanted[i]
		}
		if i < len(found) {
			f = found[i]
		}
		if w != f {
			t.Errorf("%s, line %d\n%s\nobserved\n%s", name, i+1, w, f)
			return
		}
	}
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNothingIsNoticed(t *testing.T) {
	for version, python := range pythons(t) {
		if !atLeast(version, 8) {
			continue
		}
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			// Bytecode goes into the working directory, and the test would
			// find the observer's there.
			b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONPYCACHEPREFIX=pyc")
			flags := [][]string{nil, {"-W", "error"}}
			if python == python3(t) {
				flags = append(flags, []string{"-X", "dev"}, []string{"-O"}, []string{"-OO"}, []string{"-B", "-s"}, []string{"-X", "frozen_modules=off"}, []string{"-X", "frozen_modules=on"})
			}
			for _, flags := range flags {
				argv := append(append([]string{python}, flags...), testdata(t, "noticed.py"))
				_, record := b.transparent(t, argv...)
				if len(record.Problems) > 0 {
					t.Errorf("%q: %q", argv, record.Problems)
				}
				if len(flags) == 0 {
					holdsNoticed(t, record)
				}
			}
		})
	}
}

// holdsNoticed holds the record of noticed.py against what its source says.
func holdsNoticed(t *testing.T, record Record) {
	t.Helper()
	outcomes := map[string]int{}
	pids := map[int]bool{}
	for _, call := range record.Calls {
		outcomes[call.Outcome]++
		pids[call.PID] = true
		if call.Function != "torch.onnx.export" || call.Module != "torch.onnx" || call.Version != "0.0+stub" || call.Package != "torch" {
			t.Errorf("call %+v", call)
		}
		if call.Outcome == "returned" && (call.Duration <= 0 || time.Since(call.Started) > time.Hour) {
			t.Errorf("started %v, took %v", call.Started, call.Duration)
		}
	}
	// Calls with arguments that do not fit never start.
	want := map[string]int{"returned": 17, "raised: ValueError: no such model": 2, "raised: SystemExit: 7": 1, "unfinished": 1}
	if !maps.Equal(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
	if len(pids) != 4 {
		t.Errorf("calls came from %d processes, want 4: the script, two forked, one started", len(pids))
	}
	if len(record.Interpreters) != 2 {
		t.Errorf("%d interpreters, want 2: a forked process starts none", len(record.Interpreters))
	}
	full := record.Calls[1]
	if want := []string{"model", "args", "f", "more", "opset", "dynamo", "options"}; !slices.Equal(full.Given, want) {
		t.Errorf("given %q, want %q", full.Given, want)
	}
	if got, want := fmt.Sprint(full.Arguments), "map[args:[2] dynamo:true f:file.onnx model:1 more:[4 5] opset:9 options:map[extra:3]]"; got != want {
		t.Errorf("arguments %s, want %s", got, want)
	}
	if want := []string{"model", "args", "f"}; !slices.Equal(record.Calls[0].Given, want) {
		t.Errorf("given %q, want %q", record.Calls[0].Given, want)
	}
	if !strings.HasSuffix(strings.Join(full.Writes, ""), "/work/file.onnx") || len(full.Reads) > 0 || full.Saves {
		t.Errorf("writes %q, reads %q, saves %v", full.Writes, full.Reads, full.Saves)
	}
	var shown, logged, ended int
	for _, w := range record.Warnings {
		switch {
		case w.Source == "warnings" && w.Category == "UserWarning" && w.Message == "one frame up":
			shown++
		case w.Source == "torch.onnx.stub" && w.Category == "WARNING" && w.Message == "logged a line" && w.Count > 10:
			logged++
		case w.Source == Uncaught && w.Category == "ValueError" && w.Message == "no such model" && w.Count == 1:
			ended++
		default:
			t.Errorf("warning %+v", w)
		}
	}
	if shown < 5 || logged != 1 || ended != 1 {
		t.Errorf("%d warnings and %d log lines", shown, logged)
	}
	if len(record.Frameworks) != 1 || record.Frameworks[0].Name != "torch" {
		t.Errorf("frameworks %+v", record.Frameworks)
	}
}

// What a decorator makes is an inner function, and shows the parameters of
// another one.
func TestDecoratedFunctions(t *testing.T) {
	for version, python := range pythons(t) {
		if !atLeast(version, 8) {
			continue
		}
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
			_, record := b.transparent(t, python, testdata(t, "decorated.py"))
			if len(record.Problems) > 0 || len(record.Calls) != 6 {
				t.Fatalf("problems %q, calls %+v", record.Problems, record.Calls)
			}
			for i, want := range []struct{ given, arguments, outcome string }{
				{"[model]", "map[check_hazards:false check_n:0 model:model output_path:<nil> rounds:1]", "returned"},
				{"[model check_n check_hazards]", "map[check_hazards:true check_n:3 model:model output_path:<nil> rounds:1]", "returned"},
				{"[model output_path]", "map[check_hazards:false check_n:0 model:model output_path:out.onnx rounds:1]", "returned"},
				{"[model rounds]", "map[check_hazards:false check_n:0 model:model output_path:<nil> rounds:5]", "returned"},
				{"[model check_n check_hazards]", "map[check_hazards:true check_n:-1 model:model output_path:<nil> rounds:1]", "raised: ValueError: a negative number"},
				// This one fits the outer function and not the inner one.
				{"[model check_hazards kwargs]", "map[check_hazards:true check_n:0 kwargs:map[faster:2] model:model rounds:1]", "raised: TypeError"},
			} {
				call := record.Calls[i]
				if fmt.Sprint(call.Given) != want.given || fmt.Sprint(call.Arguments) != want.arguments || !strings.HasPrefix(call.Outcome, want.outcome) {
					t.Errorf("call %+v, want %+v", call, want)
				}
			}
			if want := b.work + "/out.onnx"; len(record.Calls[2].Writes) != 1 || record.Calls[2].Writes[0] != want {
				t.Errorf("writes %q, want %s", record.Calls[2].Writes, want)
			}
		})
	}
}

// A frame more would end a recursion earlier.
func TestRecursionIsAsDeep(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	script := `
import torch.onnx, sys, warnings, logging
warnings.simplefilter("ignore"); logging.disable()
depth = 0
def down():
    global depth
    depth += 1
    torch.onnx.export(down)
try:
    down()
except RecursionError:
    print(depth)`
	bare := b.run(t, b.environ, python, "-c", script)
	result, _ := b.observed(t, python, "-c", script)
	var without, with int
	fmt.Sscan(bare.stdout, &without)
	fmt.Sscan(result.stdout, &with)
	// The observer's own calls need some frames at the deepest point.
	if with < without-20 || without == 0 {
		t.Errorf("recursion ends at depth %d, observed at %d", without, with)
	}
}

func python3(t testing.TB) string {
	found := pythons(t)
	newest := ""
	for version := range found {
		var minor int
		fmt.Sscanf(newest, "3.%d", &minor)
		if atLeast(version, max(8, minor)) {
			newest = version
		}
	}
	if newest == "" {
		need(t, "needs Python 3.8 or newer")
	}
	return found[newest]
}

// surroundings tells by the modules, too, whether the recorder was loaded.
const surroundings = "import sys; print(sys.path); print([n for n in ('ast', 'inspect', 'itertools', 'warnings') if n in sys.modules]); print(sorted(sys.path_importer_cache)); print([n for n in sys.modules if 'custom' in n]); print(sys.version_info[:2])"

func TestEveryPythonStarts(t *testing.T) {
	for version, python := range pythons(t) {
		t.Run(version, func(t *testing.T) {
			said, err := exec.Command(python, "-c", "import platform; print(' '.join(platform.python_build()))").Output()
			if err != nil {
				t.Fatal(err)
			}
			build := strings.TrimSpace(string(said))
			for _, environ := range [][]string{nil, {"PYTHONPATH="}, {"PYTHONPATH=:/nowhere"}, {"PYTHONPATH=/nowhere:"}, {"PYTHONPATH=relative"}, {"PYTHONVERBOSE="}} {
				if slices.Equal(environ, []string{"PYTHONPATH="}) && !atLeast(version, 0) {
					continue // there, an empty variable is the working directory
				}
				b := newBench(t, environ...)
				_, record := b.transparent(t, python, "-c", surroundings)
				if len(record.Interpreters) != 1 {
					t.Fatalf("%q: %d interpreters recorded", environ, len(record.Interpreters))
				}
				i := record.Interpreters[0]
				if i.Executable != python || !strings.HasPrefix(i.Version, version) || i.Implementation != "cpython" || i.Compiler == "" || i.Prefix == "" || i.BasePrefix == "" || i.PID == 0 {
					t.Errorf("interpreter %+v", i)
				}
				if strings.ReplaceAll(i.Build, ",", "") != build {
					t.Errorf("built from %q, platform.python_build says %q", i.Build, build)
				}
				if old := strings.Contains(strings.Join(record.Problems, ""), "too old"); old == atLeast(version, 8) || len(record.Problems) > 1 {
					t.Errorf("problems %q", record.Problems)
				}
			}
		})
	}
}

func TestIgnoredByFlags(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"))
	for _, flag := range []string{"-I", "-E"} {
		_, record := b.transparent(t, python, flag, "-c", surroundings)
		if len(record.Interpreters) != 0 {
			t.Errorf("%s: recorded %+v", flag, record)
		}
	}
	// Without site nobody takes the archive off sys.path again.
	result, record := b.observed(t, python, "-S", "-c", "import sys; print(sum('observer.zip' in p for p in sys.path))")
	if result.stdout != "1\n" || result.stderr != "" || len(record.Interpreters) != 0 {
		t.Errorf("-S: %+v, recorded %+v", result, record)
	}
}

func TestHandsOnToTheNextSitecustomize(t *testing.T) {
	customs := map[string]string{
		"plain":     "import sys; print('custom ' + __name__, __file__, sys.path, sys.modules['sitecustomize'].__spec__ if sys.version_info > (3,) else '')\nleft = 1",
		"raises":    "raise ValueError('of its own')",
		"imports":   "import nowhere_to_be_found",
		"torch":     "import torch.onnx; print(torch.onnx.export)",
		"withdraws": "import sys; del sys.modules['sitecustomize']",
	}
	for version, python := range pythons(t) {
		t.Run(version, func(t *testing.T) {
			for name, text := range customs {
				if name == "torch" && !atLeast(version, 8) {
					continue
				}
				folder := t.TempDir()
				if err := os.WriteFile(filepath.Join(folder, "sitecustomize.py"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				b := newBench(t, "PYTHONPATH="+folder+":"+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
				script := "import sys; m = sys.modules.get('sitecustomize'); print(m, getattr(m, 'left', None), sys.path)"
				result, record := b.transparent(t, python, "-c", script)
				if len(record.Interpreters) != 1 {
					t.Errorf("%s: recorded %+v", name, record)
				}
				if name == "plain" && !strings.Contains(result.stdout, "custom sitecustomize") {
					t.Errorf("the user's own sitecustomize did not run: %s", result.stdout)
				}
				b.transparent(t, python, "-c", "import sitecustomize; print(sitecustomize.__file__)")
			}
		})
	}
}

func TestRunInsideARun(t *testing.T) {
	python := python3(t)
	outer, err := NewObserver(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	plain := b.run(t, b.environ, python, testdata(t, "noticed.py"))
	b.environ = outer.Environ(b.environ)
	result, record := b.observed(t, python, testdata(t, "noticed.py"))
	same(t, "stdout", plain.stdout, result.stdout)
	same(t, "stderr", plain.stderr, result.stderr)
	if len(record.Calls) == 0 {
		t.Error("the inner run recorded no call")
	}
	if record, err := outer.Read(); err != nil || len(record.Calls)+len(record.Interpreters) > 0 {
		t.Errorf("the outer run recorded %+v, %v", record, err)
	}
}

func TestRecordsOfHelpers(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	script := filepath.Join(b.home, "pool.py")
	text := `
import multiprocessing, sys, warnings
from torch.onnx import export
if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(3) as pool:
            print(len(pool.map(export, range(30), 10)))
`
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	methods := []string{"spawn"}
	if runtime.GOOS == "linux" {
		methods = append(methods, "fork", "forkserver")
	}
	result, record := b.observed(t, append([]string{python, script}, methods...)...)
	if want := strings.Repeat("30\n", len(methods)); result.stdout != want {
		t.Fatalf("%+v", result)
	}
	if len(record.Calls) != 30*len(methods) || len(record.Problems) > 0 {
		t.Errorf("%d calls recorded, %q", len(record.Calls), record.Problems)
	}
	for _, call := range record.Calls {
		if call.Outcome != "returned" {
			t.Errorf("call %+v", call)
		}
	}
}

// A program may do what it likes to the modules that the observer uses.
func TestHostilePrograms(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	for name, script := range map[string]string{
		"full":     "import os, torch.onnx\nprint(torch.onnx.export(1)); os.rmdir('nowhere') if 0 else None",
		"no json":  "import sys; sys.modules['json'] = None; import torch.onnx; print(torch.onnx.export(1))",
		"no os":    "import os, torch.onnx\nos.open = os.write = os.close = None; print(torch.onnx.export(1))",
		"closed":   "import os, torch.onnx\nos.closerange(3, 256); f = open('mine', 'w'); print(torch.onnx.export(1)); f.write('x'); f.close(); print(open('mine').read())",
		"no start": "import os; os.environ.clear(); import torch.onnx; print(torch.onnx.export(1))",
		"repr":     "class A:\n def __repr__(self): raise SystemExit(9)\n __str__ = __hash__ = __eq__ = __len__ = __iter__ = __bool__ = __getattr__ = __repr__\nimport torch.onnx\ntorch.onnx.export(A(), [A(), {1: A()}], A())",
		"getattr":  "class A:\n def __getattribute__(self, name): print('asked for', name); raise SystemExit(9)\nimport torch.onnx\ntorch.onnx.export('x', [A()], A())",
		"cyclic":   "a = []; a.append(a); d = {}; d[1] = d\nimport torch.onnx\nprint(torch.onnx.export('x', a, d, d))",
		"large":    "import torch.onnx\nprint(len(torch.onnx.export('x' * 10**7, [[0] * 10**5] * 10**3, {i: i for i in range(10**5)})))",
		"heavy":    "import torch.onnx\nprint(len(torch.onnx.export(*[[['y' * 5000] * 150] * 25])))",
		"str":      "class E(Exception):\n def __str__(self): raise SystemExit(9)\ndef f(): raise E\nimport torch.onnx\ntry: torch.onnx.export(f)\nexcept E: print('E')",
		"unicode":  "import torch.onnx\nprint(ascii(torch.onnx.export('\\ud800\\U0001f600\\0', (float('nan'), 2**80, b'x', 1e-5, {3}, range(3)))))",
		"reload":   "import importlib, torch.onnx\nimportlib.reload(torch.onnx); print(torch.onnx.export(1))",
		"spec":     "import importlib.util\ns = importlib.util.find_spec('torch.onnx'); print(s); m = importlib.util.module_from_spec(s); s.loader.exec_module(m); print(m.export(1), type(s.loader))",
		"main":     "import runpy; print(runpy.run_module('torch.onnx')['export'](1))",
		"broken":   "import tf2onnx.tfonnx",
		"escape":   "import warnings; warnings.simplefilter('always')\nimport tf2onnx.utils\nprint(tf2onnx.utils.save_protobuf('a', 2), tf2onnx.utils.save_onnx_zip(1, 2, 3))",
		"missing":  "import torch.onnx.nowhere",
	} {
		t.Run(name, func(t *testing.T) {
			_, record := b.transparent(t, python, "-c", script)
			if len(record.Interpreters) != 1 {
				t.Errorf("recorded %+v", record)
			}
			if len(record.Problems) > 0 {
				t.Errorf("problems %q", record.Problems)
			}
			if calls := strings.Count(script, "export(") + strings.Count(script, ".save_"); len(record.Calls) > calls || strings.Contains(script, "torch.onnx.export(") && len(record.Calls) != calls {
				t.Errorf("%d calls recorded of %q", len(record.Calls), script)
			}
		})
	}
}

// However a script is run.
func TestWaysToRun(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	text := "import sys, torch.onnx; print(__name__, sys.path, torch.onnx.export(1)); torch.onnx.export('raise')\n"
	write := func(name, text string) string {
		path := filepath.Join(b.home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain.py", text)
	write("app/__main__.py", text)
	write("packed/__main__.py", text)
	if err := os.CopyFS(filepath.Join(b.home, "packed", "torch"), os.DirFS(testdata(t, "stub/torch"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app", "packed"} {
		if out, err := exec.Command(python, "-m", "zipapp", filepath.Join(b.home, name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for name, argv := range map[string][]string{
		"runpy":  {"-c", "import runpy; runpy.run_path(" + fmt.Sprintf("%q", plain) + ", run_name='__main__')"},
		"exec":   {"-c", "exec(compile(open(" + fmt.Sprintf("%q", plain) + ").read(), 'another name', 'exec'))"},
		"folder": {filepath.Join(b.home, "app")},
		"zipapp": {filepath.Join(b.home, "app.pyz")},
	} {
		_, record := b.transparent(t, append([]string{python}, argv...)...)
		if len(record.Calls) != 2 || len(record.Problems) > 0 || record.Calls[1].Outcome != "raised: ValueError: no such model" {
			t.Errorf("%s: calls %+v, problems %q", name, record.Calls, record.Problems)
		}
	}
	// What lies in an archive is not loaded from a source file.
	_, record := b.transparent(t, python, filepath.Join(b.home, "packed.pyz"))
	if len(record.Calls) > 0 || !strings.Contains(strings.Join(record.Problems, ""), "torch.onnx is loaded by zipimport.zipimporter, its calls are not observed") {
		t.Errorf("a framework in an archive: calls %+v, problems %q", record.Calls, record.Problems)
	}
}

// A fault in the observer costs the record alone.
func TestBrokenObserver(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	plain := b.run(t, b.environ, python, testdata(t, "noticed.py"))
	for _, c := range []struct{ name, module, old, new string }{
		{"no syntax", "recorder.py", "import ast\n", "import ast nonsense\n"},
		{"no table", "table.py", "class Row", "raise ValueError('broken')\nclass Row"},
		{"no name", "table.py", "TABLE = {", "TABELLE = {"},
		{"start", "recorder.py", "describe = Describer()", "raise ValueError('broken')"},
		{"exhausted", "recorder.py", "describe = Describer()", "raise MemoryError"},
		{"end", "recorder.py", "call = self.recorder.state.calls.pop()", "call = self.recorder.state.calls.pop(); raise ValueError('broken')"},
		{"raised", "recorder.py", "call = self.recorder.state.calls[-1]", "raise ValueError('broken')"},
		{"warning", "recorder.py", "self.notes += 1", "raise ValueError('broken')"},
		{"framework", "recorder.py", "describe(facts, module)", "describe(broken, module)"},
		{"splice", "recorder.py", "new = quietly(", "new = broken("},
		{"signature", "recorder.py", "self.own = own_signature", "self.own = broken"},
		{"instrument", "recorder.py", "function = module\n", "function = broken\n"},
		{"finder", "recorder.py", "rows = self.table.get(name)\n", "rows = broken(name)\n"},
		{"record", "sitecustomize.py", "line = encode(record)", "line = broken(record)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := NewObserver(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			changed := sources()
			for i, m := range changed {
				if m.name == c.module {
					if bytes.Count(m.text, []byte(c.old)) != 1 {
						t.Fatalf("%q does not stand in %s once", c.old, m.name)
					}
					changed[i].text = bytes.Replace(m.text, []byte(c.old), []byte(c.new), 1)
				}
			}
			if err := errors.Join(os.Remove(o.archive), writeArchive(o.archive, changed)); err != nil {
				t.Fatal(err)
			}
			result := b.run(t, o.Environ(b.environ), python, testdata(t, "noticed.py"))
			same(t, "stdout", plain.stdout, result.stdout)
			same(t, "stderr", plain.stderr, result.stderr)
			record, err := o.Read()
			if err != nil {
				t.Fatal(err)
			}
			if told := len(record.Problems) > 0; told == (c.name == "record" || c.name == "raised") {
				t.Errorf("problems %q", record.Problems)
			}
		})
	}
}

// Where a record cannot be written none is, and nothing waits for it.
func TestRecordsThatCannotBeWritten(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	for name, script := range map[string]string{
		"no descriptors": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
		"no space":       "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
		"a pipe":         "import os\nf = os.environ.get('CONVRUN_RECORDS', '.')\nfor n in os.listdir(f): os.remove(os.path.join(f, n)); os.mkfifo(os.path.join(f, n))",
	} {
		script = "import torch.onnx, warnings, logging\nwarnings.simplefilter('ignore')\n" + script + "\nprint(torch.onnx.export(1))"
		result, record := b.transparent(t, python, "-c", script)
		if result.exit != 0 || !strings.HasPrefix(result.stdout, "(1, ") || len(record.Calls) > 0 {
			t.Errorf("%s: %+v, recorded %+v", name, result, record)
		}
	}
}

func TestEveryRowIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/converters.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`Row\("([^"]+)"`).FindAllSubmatch(table, -1)
	if len(rows) == 0 {
		t.Fatal("the table has no row")
	}
	for _, row := range rows {
		if !bytes.Contains(page, []byte("`"+string(row[1])+"`")) {
			t.Errorf("docs/converters.md does not name %s", row[1])
		}
	}
}

// The recorder is loaded before a module of its table is.
func TestTriggersNameEveryPackageOfTheTable(t *testing.T) {
	code := "import re, sys; space = {}; exec(sys.argv[1], space); triggers = eval(re.search(r'triggers = (\\(.*?\\))', sys.argv[2], re.S).group(1)); print(sorted({name.partition('.')[0] for name in space['TABLE']} - set(triggers)))"
	out, err := exec.Command(python3(t), "-c", code, string(table), string(sitecustomize)).CombinedOutput()
	if err != nil || string(out) != "[]\n" {
		t.Errorf("modules of the table that do not load the recorder: %s, %v", out, err)
	}
}

func TestUnwritableRecordsChangeNothing(t *testing.T) {
	python := python3(t)
	b := newBench(t, "PYTHONPATH="+testdata(t, "stub"), "PYTHONDONTWRITEBYTECODE=1")
	plain := b.run(t, b.environ, python, testdata(t, "noticed.py"))
	o, err := NewObserver(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(o.records); err != nil {
		t.Fatal(err)
	}
	result := b.run(t, o.Environ(b.environ), python, testdata(t, "noticed.py"))
	same(t, "stdout", plain.stdout, result.stdout)
	same(t, "stderr", plain.stderr, result.stderr)
	if _, err := o.Read(); err == nil {
		t.Error("reading a folder that is gone gave no error")
	}
}

func TestEnviron(t *testing.T) {
	o := &Observer{archive: "/o/observer.zip", records: "/o/records"}
	ours := []string{"CONVRUN_OBSERVER=/o/observer.zip", "CONVRUN_RECORDS=/o/records"}
	for _, c := range []struct{ given, want []string }{
		{nil, []string{"PYTHONPATH=/o/observer.zip"}},
		{[]string{"A=1", "A=2", "odd"}, []string{"A=1", "A=2", "odd", "PYTHONPATH=/o/observer.zip"}},
		{[]string{"PYTHONPATH=", "Z=="}, []string{"PYTHONPATH=/o/observer.zip", "Z=="}},
		{[]string{"PYTHONPATH=:/a", "B", "PYTHONPATH=/b:"}, []string{"PYTHONPATH=/o/observer.zip::/a", "B", "PYTHONPATH=/o/observer.zip:/b:"}},
		{[]string{"CONVRUN_RECORDS=/outer", "C=1", "CONVRUN_OBSERVER=/outer.zip"}, []string{"C=1", "PYTHONPATH=/o/observer.zip"}},
	} {
		given := slices.Clone(c.given)
		if got, want := o.Environ(c.given), append(c.want, ours...); !slices.Equal(got, want) {
			t.Errorf("Environ(%q)\n%q, want\n%q", c.given, got, want)
		}
		if !slices.Equal(given, c.given) {
			t.Errorf("Environ changed its argument: %q", c.given)
		}
	}
}

func TestNewObserverRefuses(t *testing.T) {
	if _, err := NewObserver(filepath.Join(t.TempDir(), "a:b")); runtime.GOOS != "windows" && (err == nil || !strings.Contains(err.Error(), "a:b")) {
		t.Errorf("a folder that PYTHONPATH cannot name: %v", err)
	}
	if _, err := NewObserver(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a folder that does not exist: no error")
	}
	dir := t.TempDir()
	if _, err := NewObserver(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := NewObserver(dir); err == nil {
		t.Error("a folder that is in use: no error")
	}
}
