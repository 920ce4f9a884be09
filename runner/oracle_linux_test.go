//go:build amd64 || arm64

package runner

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// oracleCalls are what the oracle is told of: all that gives, changes or takes
// the content or the name of a file.
const oracleCalls = "open,openat,openat2,creat,execve,execveat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,mkdir,mkdirat,truncate,chdir,fchdir,chroot,open_by_handle_at"

// use is what became of one file, by strace's account.
type use struct {
	names                   []string // the last one stays when the file is gone
	read, written, executed bool
}

// oracle works out a run's files from the results of its system calls, which
// convrun does not see.
type oracle struct {
	dir string
	// before holds the files below dir from before the run. A file elsewhere
	// was there too, unless an open with O_EXCL made it.
	before map[string]bool
	// folders were made, and may be gone at the end.
	folders map[string]bool
	// undecided are what was being opened by a thread that ended just then.
	undecided map[string]told
	named     map[string]*use
	all       []*use
}

func newOracle(t *testing.T, dir string) *oracle {
	t.Helper()
	o := &oracle{dir: dir, before: map[string]bool{}, folders: map[string]bool{}, undecided: map[string]told{}, named: map[string]*use{}}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		o.before[path] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// isFile tells whether path, once it is not there any more or is a regular
// file, counts as a file of a run.
func isFile(path string) bool {
	for _, window := range []string{"/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(path, window) && !strings.HasPrefix(path, "/dev/shm/") {
			return false
		}
	}
	info, err := os.Lstat(path)
	return strings.HasPrefix(path, "/") && (err != nil || info.Mode().IsRegular())
}

func (o *oracle) use(path string) *use {
	if o.named[path] == nil {
		o.name(path, &use{})
	}
	return o.named[path]
}

// name gives path to u; whoever had it keeps it as the last one it had.
func (o *oracle) name(path string, u *use) {
	if len(u.names) == 0 {
		o.all = append(o.all, u)
	}
	if old := o.named[path]; old != nil && old != u {
		o.unname(path)
	}
	u.names = append(u.names, path)
	o.named[path] = u
}

func (o *oracle) unname(path string) {
	if u := o.named[path]; u != nil && len(u.names) > 1 {
		u.names = slices.DeleteFunc(u.names, func(name string) bool { return name == path })
	}
	delete(o.named, path)
}

// at resolves a path argument against the descriptor in the argument before
// it, or against the working directory when there is none.
func (o *oracle) at(c straced, directory, path int) (string, error) {
	name, err := c.text(path)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(name) {
		base := o.dir
		if directory >= 0 {
			if base, err = behind(c.args[directory]); err != nil {
				return "", err
			}
		}
		name = base + "/" + name
	}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		return filepath.Join(folder, filepath.Base(name)), nil
	}
	return filepath.Clean(name), nil
}

func (o *oracle) apply(c straced) error {
	switch {
	case c.failed():
		return nil
	case c.isUndecided() && c.name == "openat":
		path, err := o.at(c, 0, 1)
		o.undecided[path] = told{}
		return err
	case c.isUndecided():
		return fmt.Errorf("a thread ended within %s", c.name)
	}
	switch c.name {
	case "open", "openat":
		return o.open(c, c.args[slices.Index([]string{"open", "openat"}, c.name)+1])
	case "openat2":
		return o.open(c, strings.TrimPrefix(strings.Split(c.args[2], ",")[0], "{flags="))
	case "creat":
		return o.open(c, "O_WRONLY|O_CREAT|O_TRUNC")
	case "execve":
		return o.exec(c)
	case "rename":
		return o.rename(c, -1, 0, -1, 1)
	case "renameat", "renameat2":
		if strings.Contains(c.args[len(c.args)-1], "RENAME_EXCHANGE") {
			return fmt.Errorf("this oracle knows no exchange")
		}
		return o.rename(c, 0, 1, 2, 3)
	case "link":
		return o.link(c, -1, 0, -1, 1)
	case "linkat":
		return o.link(c, 0, 1, 2, 3)
	case "unlink":
		return o.remove(c, -1, 0)
	case "unlinkat":
		return o.remove(c, 0, 1)
	case "truncate":
		path, err := o.at(c, -1, 0)
		if u := o.use(path); err == nil {
			u.read, u.written = u.read || !u.written, true
		}
		return err
	case "mkdir", "mkdirat":
		path, err := o.at(c, len(c.args)-3, len(c.args)-2)
		o.folders[path] = true
		return err
	case "chdir":
		if path, err := o.at(c, -1, 0); err != nil || path == o.dir {
			return err
		}
	case "rmdir":
		return nil
	}
	return fmt.Errorf("this oracle does not know what %s(%s) comes to", c.name, strings.Join(c.args, ", "))
}

// compiledFrom is the name of a compiled module. convrun lists its
// source instead, docs/adr/0003.
var compiledFrom = regexp.MustCompile(`^(.*)/__pycache__/([^./]+)\.[^/]*\.pyc$`)

func (o *oracle) open(c straced, flags string) error {
	path, err := behind(c.result)
	has := func(flag string) bool { return slices.Contains(strings.Split(flags, "|"), flag) }
	if err != nil || !isFile(path) || o.folders[path] || has("O_DIRECTORY") || has("O_PATH") || has("O_TMPFILE") {
		return err
	}
	if source := compiledFrom.ReplaceAllString(path, "$1/$2.py"); has("O_RDONLY") && strings.HasPrefix(path, o.dir+"/") {
		path = source
	}
	u := o.use(path)
	made := has("O_EXCL") || has("O_CREAT") && strings.HasPrefix(path, o.dir+"/") && !o.before[path]
	if !made && !u.written && !has("O_TRUNC") {
		u.read = true
	}
	u.written = u.written || has("O_WRONLY") || has("O_RDWR") || has("O_TRUNC")
	return nil
}

// exec counts the program as read, and what the kernel reads to start it.
func (o *oracle) exec(c straced) error {
	path, err := o.at(c, -1, 0)
	if err != nil {
		return err
	}
	for path != "" {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		u := o.use(path)
		if u.executed {
			return nil
		}
		u.read, u.executed = u.read || !u.written, true
		if path, err = interpreter(path); err != nil {
			return err
		}
	}
	return nil
}

// interpreter is what the kernel starts in the place of a program, as readelf
// and the program's first line have it.
func interpreter(program string) (string, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	if line, ok := bytes.CutPrefix(text, []byte("#!")); ok {
		return strings.Fields(string(line))[0], nil
	}
	listed, err := exec.Command("readelf", "--program-headers", "--wide", program).Output()
	if _, after, ok := strings.Cut(string(listed), "[Requesting program interpreter: "); ok {
		return after[:strings.IndexByte(after, ']')], nil
	}
	return "", err
}

func (o *oracle) rename(c straced, dir, path, dir2, path2 int) error {
	from, err := o.at(c, dir, path)
	if err != nil {
		return err
	}
	to, err := o.at(c, dir2, path2)
	if err != nil || from == to {
		return err
	}
	if u := o.named[from]; u != nil || isFile(to) && o.before[from] {
		u = o.use(from)
		u.read, u.written = u.read || !u.written, true
		o.name(to, u)
		o.unname(from)
	}
	for name, u := range maps.Clone(o.named) { // what lay in a folder
		if rest, below := strings.CutPrefix(name, from+"/"); below {
			o.name(to+"/"+rest, u)
			o.unname(name)
		}
	}
	return nil
}

// link makes a file of before an output under its further name.
func (o *oracle) link(c straced, dir, path, dir2, path2 int) error {
	from, err := o.at(c, dir, path)
	if err != nil {
		return err
	}
	to, err := o.at(c, dir2, path2)
	if u := o.named[from]; u != nil && u.written {
		o.name(to, u)
	} else {
		o.use(to).written = true
	}
	return err
}

func (o *oracle) remove(c straced, dir, path int) error {
	name, err := o.at(c, dir, path)
	o.unname(name)
	return err
}

// told is what both accounts can tell of a name.
type told struct{ read, written, executed, there bool }

func (t told) String() string {
	words := []string{}
	for word, is := range map[string]bool{"read": t.read, "written": t.written, "executed": t.executed, "there": t.there} {
		if is {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (o *oracle) account() map[string]told {
	account := map[string]told{}
	for _, u := range o.all {
		for _, name := range u.names {
			a := account[name]
			_, err := os.Lstat(name)
			account[name] = told{a.read || u.read, a.written || u.written, a.executed || u.executed, err == nil}
		}
	}
	return account
}

func accountOf(observation *Observation) map[string]told {
	account := map[string]told{}
	for _, f := range observation.Files {
		if f.Inherited {
			continue // open before strace was there
		}
		a := account[f.Path]
		account[f.Path] = told{a.read || f.Read, a.written || f.Written, a.executed || f.Executed, a.there || !f.Removed}
	}
	return account
}

// underStrace observes argv together with strace, and compares the accounts.
func underStrace(t *testing.T, argv ...string) {
	t.Helper()
	needTracing(t)
	needTools(t, "strace", "readelf")
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "strace")
	strace := []string{"strace", "-f", "-y", "-o", output, "-e", "trace=" + oracleCalls}
	// What strace itself uses, it does not tell.
	excused := accountOf(observe(t, Command{Argv: append(slices.Clone(strace), "true")}, ""))
	o := newOracle(t, dir)
	observation := observe(t, Command{Argv: append(strace, argv...)}, "")
	if observation.ExitCode != 0 || len(observation.Capture.Reasons) > 0 {
		t.Fatalf("exit %d, incomplete: %q", observation.ExitCode, observation.Capture.Reasons)
	}
	text, err := os.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	calls, err := readStrace(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range calls {
		if err := o.apply(call); err != nil {
			t.Fatal(err)
		}
	}
	maps.Copy(excused, o.undecided)
	agree(t, accountOf(observation), o.account(), excused)
}

func agree(t *testing.T, seen, straced, excused map[string]told) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(straced)) {
		if got, ok := seen[path]; !ok {
			t.Errorf("missing: %q was %v", path, straced[path])
		} else if got != straced[path] {
			t.Errorf("%q: convrun says %v, strace says %v", path, got, straced[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(seen)) {
		_, known := straced[path]
		if _, fine := excused[path]; !known && !fine {
			t.Errorf("invented: %q was %v", path, seen[path])
		}
	}
	t.Logf("%d files", len(straced))
}

// environment is the Python that make tools installs a framework for.
func environment(t *testing.T, framework string) string {
	t.Helper()
	python, err := filepath.Abs("../.cache/python/" + framework + "/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v; make tools installs it", err)
	}
	return python
}

func needTools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CONVRUN_REQUIRE") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// fixture is a file of testdata.
func fixture(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// fullOnly skips what only make test-full has the time for.
func fullOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("CONVRUN_FULL") == "" {
		t.Skip("make test-full runs it")
	}
}

// ownHome keeps the settings and temporary files of a command in the working
// folder, where the oracle knows what was there before.
func ownHome(t *testing.T) {
	t.Helper()
	for variable, name := range map[string]string{"HOME": "home", "TMPDIR": "tmp"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(variable, path)
	}
}

func TestOracleShell(t *testing.T) {
	folder(t, map[string]string{"a": "1", "b": "2", "c": "3", "e": "4"})
	underStrace(t, "/bin/sh", "-c", `exec >/dev/null 2>&1; tr 1 2 < a | sort > o; echo 3 >> b; mv c d; cat none; echo 4 > e; mv a none/a; ln a b; rm none; : > t
		mv t "$(printf 'a<b>\377\n c')"; ln o p; ln a q; printf x > gone; rm gone; exec 3<>rw; truncate -s 3 rw; mkdir f; echo 1 > f/x; mv f g; rm -r g`)
}

func TestOracleBuild(t *testing.T) {
	needTools(t, "make", "gcc")
	folder(t, map[string]string{
		"main.c": "#include <stdio.h>\n#include \"half.h\"\nint main(void) { return printf(\"%d\\n\", half(8)) < 0; }\n",
		"half.c": "#include \"half.h\"\nint half(int n) { return n / 2; }\n", "half.h": "int half(int n);\n",
		"Makefile": "half: main.o half.o\n\t$(CC) -o $@ $^\n\t./half > four\nmain.o half.o: half.h\n",
	})
	ownHome(t)
	underStrace(t, "make", "-j2", "CC=gcc")
}

func TestOraclePool(t *testing.T) {
	for _, start := range []string{"fork", "spawn", "forkserver"} {
		t.Run(start, func(t *testing.T) {
			python, script := environment(t, "torch"), fixture(t, "python/pool.py")
			folder(t, map[string]string{"in": "1"})
			ownHome(t)
			underStrace(t, python, script, start)
		})
	}
}

func TestOracleModules(t *testing.T) {
	python := environment(t, "torch")
	folder(t, map[string]string{"main.py": "import part", "part.py": "print(1)"})
	t.Setenv("PYTHONDONTWRITEBYTECODE", "")
	for _, state := range []string{"source", "compiled"} {
		t.Run(state, func(t *testing.T) { underStrace(t, python, "main.py") })
	}
}

func TestOracleTorch(t *testing.T) {
	for exporter, flags := range map[string][]string{"dynamo": nil, "legacy": {"--legacy"}} {
		t.Run(exporter, func(t *testing.T) {
			if exporter == "legacy" {
				fullOnly(t)
			}
			python, script := environment(t, "torch"), fixture(t, "demo/torch_export.py")
			folder(t, nil)
			ownHome(t)
			underStrace(t, append([]string{python, script, "net.onnx", "--size", "64"}, flags...)...)
		})
	}
}

func TestOracleTensorFlow(t *testing.T) {
	for converter, argv := range map[string][]string{
		"tf2onnx": {"-m", "tf2onnx.convert", "--saved-model", "net", "--output", "net.onnx"},
		"tflite":  {"python/tflite_convert.py", "net", "net.tflite"},
	} {
		t.Run(converter, func(t *testing.T) {
			if converter == "tflite" {
				fullOnly(t)
				argv[0] = fixture(t, argv[0])
			}
			python, script := environment(t, "tensorflow"), fixture(t, "demo/keras_save.py")
			folder(t, nil)
			ownHome(t)
			if out, err := exec.Command(python, script, "net").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			underStrace(t, append([]string{python}, argv...)...)
		})
	}
}
