//go:build amd64 || arm64

package runner

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/runner/python"
)

// workbench is a folder with a project that real tools build and install.
type workbench struct {
	t *testing.T
	// python has pip and the build backends, base is what it was made from.
	python, base, dir string
	environ           []string
}

// projects are the sources of two distributions that share the namespace acme.
var projects = map[string]string{
	"box/pyproject.toml":            "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n[project]\nname = 'Big_Box'\nversion = '1.2'\n[tool.setuptools.package-data]\nbox = ['*.txt']\n",
	"box/src/box/__init__.py":       "import pkgutil\nfrom . import part\npkgutil.get_data(__name__, 'data.txt')\n",
	"box/src/box/part.py":           "x = 1\n",
	"box/src/box/idle.py":           "y = 1\n",
	"box/src/box/data.txt":          "data\n",
	"box/src/acme/box.py":           "",
	"box/tool.py":                   "import box\n",
	"flat/pyproject.toml":           "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n[project]\nname = 'flat'\nversion = '3'\n[tool.setuptools]\npackages = ['flat']\npy-modules = ['lone']\n",
	"flat/flat/__init__.py":         "",
	"flat/lone.py":                  "",
	"flat/tool.py":                  "import flat, lone\n",
	"hatch/pyproject.toml":          "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n[project]\nname = 'hatch-ed'\nversion = '4'\n[tool.hatch.build.targets.wheel]\npackages = ['src/hatched', 'src/acme']\n",
	"hatch/src/hatched/__init__.py": "",
	"hatch/src/acme/hatched.py":     "",
}

func newWorkbench(t *testing.T) *workbench {
	t.Helper()
	needTracing(t)
	program, err := filepath.Abs("../.cache/python/packages/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatalf("%v; make tools installs it", err)
		}
		t.Skip(err)
	}
	b := &workbench{t: t, python: program, dir: folder(t, nil)}
	b.environ = append(os.Environ(), "HOME="+b.dir, "PYTHONUSERBASE="+filepath.Join(b.dir, "user"), "PIP_NO_INDEX=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_QUIET=1", "PIP_BREAK_SYSTEM_PACKAGES=1", "PIP_ROOT_USER_ACTION=ignore", "GIT_CONFIG_GLOBAL=/dev/null")
	for name, text := range projects {
		b.write(name, text)
	}
	b.base = strings.TrimSpace(b.must(b.python, "-c", "import sys; print(sys._base_executable)"))
	return b
}

func (b *workbench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *workbench) must(program string, arguments ...string) string {
	b.t.Helper()
	command := exec.Command(program, arguments...)
	command.Env = b.environ
	var errs strings.Builder
	command.Stderr = &errs
	out, err := command.Output()
	if err != nil {
		b.t.Fatalf("%s %q: %v\n%s%s", program, arguments, err, out, errs.String())
	}
	return string(out)
}

// pip installs into the environment of an interpreter.
func (b *workbench) pip(interpreter string, arguments ...string) {
	b.t.Helper()
	b.must(b.python, append([]string{"-m", "pip", "--python", interpreter, "install", "--no-deps"}, arguments...)...)
}

// venv makes an environment and gives its interpreter.
func (b *workbench) venv(name string, flags ...string) string {
	b.t.Helper()
	b.must(b.base, append([]string{"-m", "venv", "--without-pip", name}, flags...)...)
	return filepath.Join(b.dir, name, "bin", "python")
}

// wheel builds a project.
func (b *workbench) wheel(project string) string {
	b.t.Helper()
	b.must(b.python, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", "dist", "./"+project)
	found, err := filepath.Glob(filepath.Join(b.dir, "dist", "*.whl"))
	if err != nil || len(found) != 1 {
		b.t.Fatalf("%q, %v", found, err)
	}
	return found[0]
}

// commit puts a project under git and gives the commit.
func (b *workbench) commit(project string) string {
	b.t.Helper()
	for _, arguments := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "x"}} {
		b.must("git", append([]string{"-C", project}, arguments...)...)
	}
	return strings.TrimSpace(b.must("git", "-C", project, "rev-parse", "HEAD"))
}

// within is the workbench for a subtest.
func (b workbench) within(t *testing.T) *workbench {
	b.t = t
	return &b
}

// run observes a command; environ comes before that of the workbench.
func (b *workbench) run(environ []string, argv ...string) *Observation {
	b.t.Helper()
	o, err := Run(b.t.Context(), Command{Argv: argv, Environ: append(environ, b.environ...), NoObserver: true})
	if err != nil {
		b.t.Fatal(err)
	}
	if o.ExitCode != 0 {
		b.t.Fatalf("%q ended with %d", argv, o.ExitCode)
	}
	return o
}

// described tells of each distribution what the layout decides.
func described(o *Observation) (all []string) {
	for _, d := range o.Distributions {
		line := fmt.Sprintf("%s %s by %s, %d files: %s", d.Name, d.Version, d.Installer, d.Files, d.Integrity)
		if d.Commit != "" {
			line += ", commit " + d.Commit
		}
		all = append(all, line)
	}
	return all
}

func (b *workbench) expect(o *Observation, want ...string) []python.Distribution {
	b.t.Helper()
	if got := described(o); !slices.Equal(got, want) {
		b.t.Errorf("distributions\n%s\nwanted\n%s\nnotes %q", strings.Join(got, "\n"), strings.Join(want, "\n"), o.Capture.Notes)
	}
	return o.Distributions
}

const matchingBox = "big-box 1.2 by pip, 4 files: matches"

func TestInstalledFromAWheel(t *testing.T) {
	b := newWorkbench(t)
	wheel, interpreter := b.wheel("box"), b.venv("v")
	b.pip(interpreter, wheel)
	use := []string{interpreter, "-c", "import box, acme.box"}
	d := b.expect(b.run(nil, use...), matchingBox)[0]
	if d.PURL != "pkg:pypi/big-box@1.2" || d.DirectURL != "file://"+wheel || d.Compiled != 3 {
		t.Errorf("%+v", d)
	}
	t.Run("user site", func(t *testing.T) {
		b := b.within(t)
		b.pip(b.base, "--user", wheel)
		for _, interpreter := range []string{b.base, b.venv("through", "--system-site-packages")} {
			// Whatever else the machine's interpreter loads at its start is there too.
			if got := described(b.run(nil, interpreter, "-c", "import box, acme.box")); !slices.Contains(got, matchingBox) {
				t.Errorf("%s: %q", interpreter, got)
			}
		}
	})
	t.Run("a folder of the user's own", func(t *testing.T) {
		b := b.within(t)
		b.pip(interpreter, "--target", "deps", wheel)
		b.expect(b.run([]string{"PYTHONPATH=deps"}, b.venv("bare"), "-c", "import box, acme.box"), matchingBox)
	})
	t.Run("imported from the archive", func(t *testing.T) {
		b := b.within(t)
		o := b.run([]string{"PYTHONPATH=" + wheel}, b.venv("bare2"), "-c", "import box")
		b.expect(o, "big-box 1.2 by , 1 files: unknown: imported from an archive, whose members were not compared")
	})
	t.Run("not as installed", func(t *testing.T) {
		b := b.within(t)
		site := filepath.Dir(filepath.Dir(strings.TrimSpace(b.must(interpreter, "-c", "import box; print(box.__file__)"))))
		name, err := filepath.Rel(b.dir, site)
		if err != nil {
			t.Fatal(err)
		}
		b.write(filepath.Join(name, "box/part.py"), "import box.planted, acme.planted, stray\n")
		b.write(filepath.Join(name, "box/planted.py"), "")
		b.write(filepath.Join(name, "acme/planted.py"), "")
		b.write(filepath.Join(name, "stray.py"), "")
		if err := os.Remove(filepath.Join(site, "box/idle.py")); err != nil {
			t.Fatal(err)
		}
		d := b.expect(b.run(nil, use...), "big-box 1.2 by pip, 6 files: modified: 1 file, 2 files that RECORD does not list")[0]
		if !slices.Equal(d.Modified, []string{"box/part.py"}) || !slices.Equal(d.Extra, []string{"acme/planted.py", "box/planted.py"}) || !slices.Equal(d.Missing, []string{"box/idle.py"}) {
			t.Errorf("modified %q, extra %q, missing %q", d.Modified, d.Extra, d.Missing)
		}
	})
	t.Run("removed by the run", func(t *testing.T) {
		b := b.within(t)
		b.pip(interpreter, "--force-reinstall", wheel)
		o := b.run(nil, "/bin/sh", "-c", `"$0" -c 'import box, acme.box'; "$1" -m pip --python "$0" uninstall -y big-box`, interpreter, b.python)
		i := slices.IndexFunc(o.Distributions, func(d python.Distribution) bool { return d.Name == "big-box" })
		if i < 0 || o.Distributions[i].Version != "1.2" || o.Distributions[i].Integrity != "unknown: the run removed the distribution" {
			t.Errorf("%q", described(o))
		}
		if !slices.ContainsFunc(o.Capture.Notes, func(note string) bool { return strings.Contains(note, "was removed during the run") }) {
			t.Errorf("notes %q", o.Capture.Notes)
		}
	})
}

// editable installs a project in place, and gives the interpreter and the
// commit that the project is at. The build backends are lent to the installer.
func (b *workbench) editable(project string) (interpreter, commit string) {
	b.t.Helper()
	interpreter, commit = b.venv("v-"+project), b.commit(project)
	backends := strings.TrimSpace(b.must(b.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
	b.must("env", "PYTHONPATH="+backends, b.python, "-m", "pip", "--python", interpreter, "install", "--no-deps", "--no-build-isolation", "-e", "./"+project)
	return interpreter, commit
}

func TestInstalledAsEditable(t *testing.T) {
	b := newWorkbench(t)
	for _, c := range []struct {
		project, program, want string
		// files are the modules that the program imports, the .pth file and what
		// it starts; the program is none of them.
		files int
	}{
		{"box", "box/tool.py", "big-box 1.2", 3},
		{"flat", "flat/tool.py", "flat 3", 4},
		{"hatch", "-chatch", "hatch-ed 4", 3},
	} {
		t.Run(c.project, func(t *testing.T) {
			b := b.within(t)
			interpreter, commit := b.editable(c.project)
			arguments := map[string][]string{"-chatch": {"-c", "import hatched, acme.hatched"}}[c.program]
			if arguments == nil {
				arguments = []string{"-I", c.program}
			}
			o := b.run(nil, append([]string{interpreter}, arguments...)...)
			project := filepath.Join(b.dir, c.project)
			d := b.expect(o, fmt.Sprintf("%s by pip, %d files: unknown: installed as editable from %s, commit git %s", c.want, c.files, project, commit))[0]
			if d.DirectURL != "file://"+project {
				t.Errorf("direct URL %q", d.DirectURL)
			}
		})
	}
}

func TestInstalledFromARepository(t *testing.T) {
	b := newWorkbench(t)
	commit, interpreter := b.commit("box"), b.venv("v")
	backends := strings.TrimSpace(b.must(b.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
	b.must("env", "PYTHONPATH="+backends, b.python, "-m", "pip", "--python", interpreter, "install", "--no-deps", "--no-build-isolation", "git+file://"+filepath.Join(b.dir, "box"))
	d := b.expect(b.run(nil, interpreter, "-c", "import box, acme.box"), matchingBox+", commit git "+commit)[0]
	if d.DirectURL != "file://"+filepath.Join(b.dir, "box") {
		t.Errorf("direct URL %q", d.DirectURL)
	}
}

// TestDistributionsAreThoseThatPythonKnows compares with sys.modules and
// importlib.metadata of the very process that was watched.
func TestDistributionsAreThoseThatPythonKnows(t *testing.T) {
	script, err := filepath.Abs("../testdata/python/packages_truth.py")
	if err != nil {
		t.Fatal(err)
	}
	for name, modules := range map[string][]string{
		"torch":      {"torch", "torchvision", "onnx", "onnxscript", "onnxruntime"},
		"tensorflow": {"tf2onnx", "keras"},
		"converters": {"transformers", "timm", "openvino", "coremltools", "skl2onnx", "onnxmltools", "onnxsim", "optimum.onnxruntime", "safetensors", "gguf", "onnxruntime.quantization"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "converters" && os.Getenv("CONVRUN_FULL") == "" {
				t.Skip("only with CONVRUN_FULL")
			}
			program := environmentOf(t, name)
			dir := folder(t, nil)
			o, err := Run(t.Context(), Command{
				Argv: append([]string{program, script, "truth.json"}, modules...), NoObserver: true,
				Environ: append([]string{"HOME=" + dir, "TF_CPP_MIN_LOG_LEVEL=3"}, os.Environ()...),
			})
			if err != nil || o.ExitCode != 0 {
				t.Fatalf("%v, %+v", err, o)
			}
			text, err := os.ReadFile("truth.json")
			if err != nil {
				t.Fatal(err)
			}
			var truth map[string]map[string]int
			if err := json.Unmarshal(text, &truth); err != nil {
				t.Fatal(err)
			}
			inModules := 0
			for _, kinds := range truth {
				if kinds["module"] > 0 {
					inModules++
				}
			}
			if inModules < 8 {
				t.Errorf("the truth has %d distributions with modules only", inModules)
			}
			for _, d := range o.Distributions {
				title := d.Name + " " + d.Version
				if truth[title] == nil {
					t.Errorf("%s: %d files, and Python knows of none", title, d.Files)
				}
				if d.Integrity != "matches" || len(d.Missing) > 0 {
					t.Errorf("%s: %s, missing %q, extra %q", title, d.Integrity, d.Missing, d.Extra)
				}
				delete(truth, title)
			}
			for title, kinds := range truth {
				t.Errorf("%s was not found, of which Python knows %v", title, kinds)
			}
		})
	}
}
