package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance"
)

// workshop is a place to convert in: a user's home, a repository with scripts,
// and a folder elsewhere with trained models.
//
//	ROOT/home           HOME and all of XDG
//	ROOT/repository     the working directory of every command
//	ROOT/hub            links to ROOT/store, as download caches have them
//	ROOT/tmp            the folder for temporary files
type workshop struct {
	t          *testing.T
	root, repo string
	python     string
	environ    []string
	commit     string
}

// Values that must never be found in a log.
const (
	secretToken    = "hf_Kq7WzRb2vTn9XcLpYd4S"
	secretPassword = "correct-horse-battery"
)

// newWorkshop sets up a repository that holds the named files of
// testdata/python, committed.
func newWorkshop(t *testing.T, framework string, scripts ...string) *workshop {
	t.Helper()
	w := &workshop{t: t, python: environment(t, framework), root: realDir(t, t.TempDir())}
	if !canTrace() {
		missingTool(t, "system calls cannot be watched on this machine")
	}
	w.repo = filepath.Join(w.root, "repository")
	home := filepath.Join(w.root, "home")
	for _, dir := range []string{home, w.repo, w.path("hub"), w.path("store"), w.path("tmp")} {
		must(t, os.Mkdir(dir, 0o755))
	}
	w.environ = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "TF_CPP_MIN_LOG_LEVEL=3", "CUDA_VISIBLE_DEVICES=",
		"XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"XDG_STATE_HOME=" + filepath.Join(home, "state"), "GIT_CONFIG_NOSYSTEM=1", "TMPDIR=" + w.path("tmp"), "HF_TOKEN=" + secretToken,
	}
	for _, script := range scripts {
		text, err := os.ReadFile(filepath.Join("../../testdata/python", script))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(w.repo, script), text, 0o644))
	}
	for _, arguments := range [][]string{
		{"init", "-q", "-b", "main"}, {"config", "user.name", "Ada Example"}, {"config", "user.email", "ada@example.org"},
		{"remote", "add", "origin", "https://ada:" + secretPassword + "@example.org/nets.git"},
		{"add", "-A"}, {"commit", "-q", "--allow-empty", "-m", "scripts"},
	} {
		w.must("git", arguments...)
	}
	w.commit = strings.TrimSpace(w.must("git", "rev-parse", "HEAD").stdout)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// missingTool skips, unless nothing may be skipped.
func missingTool(t testing.TB, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func realDir(t *testing.T, dir string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(dir)
	must(t, err)
	return real
}

// environment is the Python that has a framework installed.
func environment(t testing.TB, framework string) string {
	t.Helper()
	python, err := filepath.Abs(filepath.Join("../../.cache/python", framework, "bin/python"))
	must(t, err)
	if _, err := os.Stat(python); err != nil {
		missingTool(t, "%v; make tools installs it", err)
	}
	return python
}

// path is a place below the root of the workshop.
func (w *workshop) path(elements ...string) string {
	return filepath.Join(append([]string{w.root}, elements...)...)
}

type outcome struct {
	status         int
	stdout, stderr string
}

// run runs a command in the repository.
func (w *workshop) run(program string, arguments ...string) outcome {
	return w.runIn(w.repo, program, arguments...)
}

func (w *workshop) runIn(dir, program string, arguments ...string) outcome {
	w.t.Helper()
	var out, errs bytes.Buffer
	command := exec.Command(program, arguments...)
	command.Dir, command.Env, command.Stdout, command.Stderr = dir, w.environ, &out, &errs
	err := command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s: %v", program, err)
	}
	return outcome{command.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs a command that has to succeed.
func (w *workshop) must(program string, arguments ...string) outcome {
	w.t.Helper()
	end := w.run(program, arguments...)
	if end.status != 0 {
		w.t.Fatalf("%s %s: status %d\n%s%s", program, strings.Join(arguments, " "), end.status, end.stdout, end.stderr)
	}
	return end
}

// convrun runs convrun itself and expects the status.
func (w *workshop) convrun(status int, arguments ...string) outcome {
	w.t.Helper()
	end := w.run("convrun", arguments...)
	if end.status != status {
		w.t.Fatalf("convrun %s: status %d, wanted %d\n%s%s", strings.Join(arguments, " "), end.status, status, end.stdout, end.stderr)
	}
	return end
}

// convert runs Python under convrun. The first flags are convrun's own when
// they are followed by "--".
func (w *workshop) convert(status int, arguments ...string) outcome {
	w.t.Helper()
	line := []string{"run"}
	if at := slices.Index(arguments, "--"); at >= 0 {
		line, arguments = append(line, arguments[:at]...), arguments[at+1:]
	}
	return w.convrun(status, slices.Concat(line, []string{"--", w.python}, arguments)...)
}

// log reads the log of a file, by way of convrun show.
func (w *workshop) log(file string) *provenance.Statement {
	w.t.Helper()
	st, err := provenance.Parse([]byte(strings.TrimSuffix(w.convrun(0, "show", "--json", file).stdout, "\n")))
	must(w.t, err)
	return st
}

// onlyLog is the name of the one log in the repository.
func (w *workshop) onlyLog() string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.repo, "*"+logSuffix))
	must(w.t, err)
	if len(found) != 1 {
		w.t.Fatalf("logs in the working directory: %q, wanted one", found)
	}
	return filepath.Base(found[0])
}

// sum is the SHA-256 of a file in the repository, or of an absolute path.
func (w *workshop) sum(path string) string {
	w.t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(w.repo, path)
	}
	data, err := os.ReadFile(path)
	must(w.t, err)
	return sumOf(data)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// files lists what lies below a folder of the repository, with its digests.
func (w *workshop) files(folder string) map[string]string {
	w.t.Helper()
	sums := map[string]string{}
	must(w.t, filepath.WalkDir(filepath.Join(w.repo, folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(w.repo, path)
		sums[filepath.ToSlash(name)] = w.sum(path)
		return err
	}))
	return sums
}

// sameErrors expects on standard error what a bare run writes there, and after
// it lines of convrun's own.
func (w *workshop) sameErrors(observed, alone outcome) {
	w.t.Helper()
	rest, ok := strings.CutPrefix(observed.stderr, alone.stderr)
	for line := range strings.Lines(rest) {
		ok = ok && strings.HasPrefix(line, "convrun: ")
	}
	if !ok {
		w.t.Errorf("standard error:\n%swanted what a bare run writes:\n%s", observed.stderr, alone.stderr)
	}
}

// bare runs Python without convrun, takes away what it wrote, and returns the
// digests of that.
func (w *workshop) bare(arguments ...string) (outcome, map[string]string) {
	w.t.Helper()
	before := w.files(".")
	end := w.run(w.python, arguments...)
	written := w.files(".")
	maps.DeleteFunc(written, func(name, _ string) bool {
		_, there := before[name]
		return there || strings.HasPrefix(name, "__pycache__/")
	})
	for name := range written {
		must(w.t, os.Remove(filepath.Join(w.repo, name)))
	}
	return end, written
}

// compiled is the file that Python keeps the bytecode of a module in.
func (w *workshop) compiled(module string) string {
	w.t.Helper()
	tag := strings.TrimSpace(w.must(w.python, "-c", "import sys; print(sys.implementation.cache_tag)").stdout)
	return "__pycache__/" + module + "." + tag + ".pyc"
}

// checkpoint trains a small torch network, without convrun, and puts it where
// hubs put it: under its digest in a store, with a link that has its name.
func (w *workshop) checkpoint() (link, file string) {
	w.t.Helper()
	saved := w.path("store", "saved")
	w.must(w.python, "convert_torch_save.py", saved)
	file = w.path("store", w.sum(saved))
	must(w.t, os.Rename(saved, file))
	must(w.t, os.Symlink(filepath.Join("..", "store", filepath.Base(file)), w.path("hub", "net.pt")))
	return filepath.Join("..", "hub", "net.pt"), file
}

// truth is what convert_truth.py finds out about a run without convrun.
type truth struct {
	Status   int               `json:"status"`
	Calls    []trueCall        `json:"calls"`
	Versions map[string]string `json:"versions"`
	// Loaded counts the modules and libraries of each distribution.
	Loaded map[string]int `json:"loaded"`
	// Frameworks are the versions that the modules state.
	Frameworks map[string]string                                    `json:"frameworks"`
	Models     map[string]trueModel                                 `json:"models"`
	Python     struct{ Version, Implementation, Executable string } `json:"python"`
}

type trueCall struct {
	Function  string                  `json:"function"`
	Given     []string                `json:"given"`
	Arguments map[string]any          `json:"arguments"`
	Model     *provenance.SourceModel `json:"model"`
}

type trueModel struct {
	Opsets     map[string]int64 `json:"opsets"`
	IR         int              `json:"ir"`
	Producer   string           `json:"producer"`
	Operators  map[string]int   `json:"operators"`
	Parameters int64            `json:"parameters"`
	Inputs     []trueValue      `json:"inputs"`
	Outputs    []trueValue      `json:"outputs"`
}

type trueValue struct {
	Name  string   `json:"name"`
	DType string   `json:"dtype"`
	Shape []string `json:"shape"`
}

// question is what to ask convert_truth.py.
type question struct {
	calls, models []string
	modules       string
}

// truth runs the same Python command line, in a copy of the repository and
// without convrun, and tells what it did. Models and modules are files that
// the observed run has written.
func (w *workshop) truth(q question, command ...string) truth {
	w.t.Helper()
	// A sibling of the repository, so that relative names lead to the same files.
	double := w.path("double")
	must(w.t, os.CopyFS(double, os.DirFS(w.repo)))
	defer os.RemoveAll(double)
	script, err := filepath.Abs("../../testdata/python/convert_truth.py")
	must(w.t, err)
	out := w.path("truth.json")
	arguments := []string{script, out}
	for _, name := range q.calls {
		arguments = append(arguments, "--call", name)
	}
	for _, name := range q.models {
		arguments = append(arguments, "--model", filepath.Join(w.repo, name))
	}
	if q.modules != "" {
		arguments = append(arguments, "--modules", filepath.Join(w.repo, q.modules))
	}
	end := w.runIn(double, w.python, slices.Concat(arguments, []string{"--"}, command)...)
	if end.status != 0 {
		w.t.Fatalf("convert_truth.py: status %d\n%s%s", end.status, end.stdout, end.stderr)
	}
	data, err := os.ReadFile(out)
	must(w.t, err)
	var found truth
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	must(w.t, decoder.Decode(&found))
	models := map[string]trueModel{}
	for path, m := range found.Models {
		models[strings.TrimPrefix(path, w.repo+"/")] = m
	}
	found.Models = models
	return found
}
