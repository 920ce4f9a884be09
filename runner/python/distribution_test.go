package python

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// tree writes files below a new folder and returns its name.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// recordLine is a line of RECORD for a file with this content.
func recordLine(name, text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(text))
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// loaded hashes files below root as a run that read them would.
func loaded(t testing.TB, root string, names ...string) []LoadedFile {
	t.Helper()
	var files []LoadedFile
	for _, name := range names {
		path := filepath.Join(root, name)
		sum, err := sumFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, LoadedFile{Path: path, SHA256: sum})
	}
	return files
}

const metadataOfBox = "Metadata-Version: 2.1\nName: Big_Box.Py\nVersion: 1.0+local\n\nName: wrong\nVersion: 9\n"

func TestDistributions(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		loaded []string
		want   []Distribution
		// problems is how many things could not be read.
		problems int
	}{
		{
			"matches", map[string]string{
				"box/__init__.py": "a", "box/lib.so": "b", "box/unused.py": "c", "stray.py": "d",
				"Big_Box.Py-1.0+local.dist-info/METADATA":  metadataOfBox,
				"Big_Box.Py-1.0+local.dist-info/INSTALLER": "pip\n",
				"Big_Box.Py-1.0+local.dist-info/RECORD":    recordLine("box/lib.so", "b") + recordLine("box/__init__.py", "a") + recordLine("box/unused.py", "c") + "Big_Box.Py-1.0+local.dist-info/METADATA,,\n",
			},
			[]string{"box/lib.so", "box/__init__.py", "stray.py", "Big_Box.Py-1.0+local.dist-info/METADATA"},
			[]Distribution{{
				Name: "big-box-py", Spelled: "Big_Box.Py", Version: "1.0+local", PURL: "pkg:pypi/big-box-py@1.0%2Blocal", Installer: "pip", Files: 2,
				Digest:    hexSum(hexSum("a") + "  box/__init__.py\n" + hexSum("b") + "  box/lib.so\n"),
				Integrity: "matches",
			}},
			0,
		},
		{
			"modified, and a comma in a name", map[string]string{
				"a,\"b\".py": "changed", "c.py": "changed", "d.py": "d",
				"box-2.dist-info/METADATA": "Name: box\nVersion: 2\n",
				"box-2.dist-info/RECORD":   recordLine(`"a,""b"".py"`, "was") + recordLine("c.py", "was") + recordLine("d.py", "d"),
			},
			[]string{"d.py", "c.py", "a,\"b\".py"},
			[]Distribution{{
				Name: "box", Spelled: "box", Version: "2", PURL: "pkg:pypi/box@2", Files: 3,
				Digest:    hexSum(hexSum("changed") + "  a,\"b\".py\n" + hexSum("changed") + "  c.py\n" + hexSum("d") + "  d.py\n"),
				Integrity: "modified: 2 files", Modified: []string{"a,\"b\".py", "c.py"},
			}},
			0,
		},
		{
			"compiled files stand for their source", map[string]string{
				"box/a.py": "a", "box/__pycache__/a.cpython-311.opt-1.pyc": "x", "box/b.py": "b", "box/b.pyc": "y", "box/c.pyc": "z",
				"box-2.dist-info/METADATA": "Name: box\nVersion: 2\n",
				"box-2.dist-info/RECORD":   recordLine("box/a.py", "a") + "box/__pycache__/a.cpython-311.opt-1.pyc,,\n" + recordLine("box/b.py", "b"),
			},
			[]string{"box/__pycache__/a.cpython-311.opt-1.pyc", "box/b.pyc", "box/b.py", "box/c.pyc"},
			[]Distribution{{
				Name: "box", Spelled: "box", Version: "2", PURL: "pkg:pypi/box@2", Files: 3, Compiled: 1,
				Digest:    hexSum(hexSum("a") + "  box/a.py\n" + hexSum("b") + "  box/b.py\n" + hexSum("z") + "  box/c.pyc\n"),
				Integrity: "modified: 1 file that RECORD does not list", Extra: []string{"box/c.pyc"},
			}},
			0,
		},
		{
			"a carried distribution belongs to the one that carries it", map[string]string{
				"outer/vendor/inner.py": "i", "outer/vendor/inner-1.dist-info/METADATA": "Name: inner\nVersion: 1\n",
				"outer/vendor/inner-1.dist-info/RECORD": recordLine("inner.py", "i"),
				"outer-3.dist-info/METADATA":            "Name: outer\nVersion: 3\n",
				"outer-3.dist-info/RECORD":              recordLine("outer/vendor/inner.py", "i"),
			},
			[]string{"outer/vendor/inner.py"},
			[]Distribution{{
				Name: "outer", Spelled: "outer", Version: "3", PURL: "pkg:pypi/outer@3", Files: 1,
				Digest: hexSum(hexSum("i") + "  outer/vendor/inner.py\n"), Integrity: "matches",
			}},
			0,
		},
		{
			"without RECORD", map[string]string{
				"yaml/__init__.py": "a", "_yaml.so": "b", "other.py": "c",
				"PyYAML-6.0.egg-info/PKG-INFO":      "Name: PyYAML\nVersion: 6.0\n",
				"PyYAML-6.0.egg-info/top_level.txt": "yaml\n_yaml\n",
				"lone-1.5-py3.11.egg-info":          "Name: lone\n",
				"lone.py":                           "d",
			},
			[]string{"yaml/__init__.py", "_yaml.so", "other.py", "lone.py"},
			[]Distribution{
				{
					Name: "lone", Spelled: "lone", Version: "1.5", PURL: "pkg:pypi/lone@1.5", Files: 1,
					Digest: hexSum(hexSum("d") + "  lone.py\n"), Integrity: "unknown: the distribution has no RECORD",
				},
				{
					Name: "pyyaml", Spelled: "PyYAML", Version: "6.0", PURL: "pkg:pypi/pyyaml@6.0", Files: 2,
					Digest: hexSum(hexSum("b") + "  _yaml.so\n" + hexSum("a") + "  yaml/__init__.py\n"), Integrity: "unknown: the distribution has no RECORD",
				},
			},
			0,
		},
		{
			"digests that prove nothing", map[string]string{
				"a.py": "a", "b.py": "b", "bad.py": "c",
				"box-2.dist-info/METADATA": "",
				"box-2.dist-info/RECORD":   "a.py,,\nb.py,sha512=AAAA,1\nbad.py,sha256=!,1\n\"open\nbad.py\"x,,\n,,\n",
			},
			[]string{"a.py", "b.py", "bad.py"},
			[]Distribution{{
				Name: "box", Spelled: "box", Version: "2", PURL: "pkg:pypi/box@2", Files: 3,
				Digest:    hexSum(hexSum("a") + "  a.py\n" + hexSum("b") + "  b.py\n" + hexSum("c") + "  bad.py\n"),
				Integrity: "unknown: RECORD has another digest than SHA-256 for 1 files, RECORD has no digest for 1 files, RECORD is malformed for 1 files",
				Missing:   []string{`bad.py"x`},
			}},
			1,
		},
		{
			"a file outside", map[string]string{
				"lib/site-packages/box.py": "a", "bin/box": "b",
				"lib/site-packages/box-2.dist-info/METADATA": "Name: box\nVersion: 2\n",
				"lib/site-packages/box-2.dist-info/RECORD":   recordLine("box.py", "a") + recordLine("../../bin/box", "b"),
			},
			[]string{"lib/site-packages/box.py", "bin/box"},
			[]Distribution{{
				Name: "box", Spelled: "box", Version: "2", PURL: "pkg:pypi/box@2", Location: "lib/site-packages", Files: 2,
				Digest: hexSum(hexSum("b") + "  ../../bin/box\n" + hexSum("a") + "  box.py\n"), Integrity: "matches",
			}},
			0,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := tree(t, c.files)
			found := Distributions(loaded(t, root, c.loaded...), nil, nil)
			got := found.Distributions
			if len(found.Problems) != c.problems {
				t.Errorf("problems %q", found.Problems)
			}
			for i := range c.want {
				c.want[i].Location = filepath.Join(root, c.want[i].Location)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, c.want)
			}
		})
	}
}

func TestEditableInstall(t *testing.T) {
	project := tree(t, map[string]string{"src/mine/__init__.py": "a", "README": "b"})
	root := tree(t, map[string]string{
		"__editable__.mine-0.1.pth":          project + "/src\n",
		"mine-0.1.dist-info/METADATA":        "Name: mine\nVersion: 0.1\n",
		"mine-0.1.dist-info/direct_url.json": `{"dir_info": {"editable": true}, "url": "file://` + project + `"}`,
		"mine-0.1.dist-info/RECORD":          recordLine("__editable__.mine-0.1.pth", project+"/src\n"),
	})
	files := append(loaded(t, root, "__editable__.mine-0.1.pth"), loaded(t, project, "src/mine/__init__.py")...)
	got := Distributions(files, nil, nil).Distributions
	if len(got) != 1 || got[0].Name != "mine" || got[0].Files != 2 || got[0].Integrity != "unknown: installed as editable from "+project {
		t.Errorf("got %+v", got)
	}
}

func TestUnknownDigests(t *testing.T) {
	root := tree(t, map[string]string{
		"a.py": "a", "b.py": "b", "__pycache__/b.cpython-311.pyc": "x",
		"box-2.dist-info/METADATA": "Name: box\nVersion: 2\n",
		"box-2.dist-info/RECORD":   recordLine("a.py", "a") + recordLine("b.py", "b"),
	})
	files := []LoadedFile{{Path: filepath.Join(root, "a.py")}, {Path: filepath.Join(root, "__pycache__/b.cpython-311.pyc"), SHA256: hexSum("x")}}
	asked := ""
	got := Distributions(files, nil, func(path string) (string, error) {
		asked = path
		return "", os.ErrPermission
	}).Distributions
	if asked != filepath.Join(root, "b.py") {
		t.Errorf("sum was asked about %q", asked)
	}
	if len(got) != 1 || got[0].Digest != "unknown: no digest of a.py" || got[0].Integrity != "unknown: the digest of 2 files is not known" {
		t.Errorf("got %+v", got)
	}
}

func TestBrokenMetadata(t *testing.T) {
	root := tree(t, map[string]string{"a.py": "a", "b.py": "b", "c.py": "c", "b-1.dist-info/METADATA": "Name: b\nVersion: 1\n", "a-1.dist-info": "no folder", "c-.dist-info/x": ""})
	if err := os.Mkdir(filepath.Join(root, "b-1.dist-info", "RECORD"), 0o700); err != nil {
		t.Fatal(err)
	}
	found := Distributions(loaded(t, root, "a.py", "b.py", "c.py"), nil, nil)
	got, problems := found.Distributions, found.Problems
	var names []string
	for _, d := range got {
		names = append(names, d.Spelled+" "+d.Version+" "+d.Integrity)
	}
	want := []string{
		"a 1 unknown: the distribution has no RECORD",
		"b 1 unknown: its RECORD cannot be read",
		"c unknown: its metadata does not say unknown: the distribution has no RECORD",
	}
	if !slices.Equal(names, want) || len(problems) != 2 {
		t.Errorf("got %q, problems %q", names, problems)
	}
	if got[2].PURL != "pkg:pypi/c" {
		t.Errorf("purl %q", got[2].PURL)
	}
}

func TestNormalise(t *testing.T) {
	for name, want := range map[string]string{"Friendly-Bard": "friendly-bard", "friendly--._.bard": "friendly-bard", "ONNX": "onnx", "": ""} {
		if got := Normalise(name); got != want {
			t.Errorf("Normalise(%q) = %q, want %q", name, got, want)
		}
	}
}

// oracle.py uses Python's own reader of metadata.
const oracle = `
import base64, hashlib, importlib.metadata, json, os, re, sys
import %s
loaded = {os.path.realpath(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)}
loaded |= {os.path.realpath(l.split(" ", 5)[5].strip()) for l in open("/proc/self/maps") if l.count(" ") > 4 and "/" in l}
loaded = {p for p in loaded if "/site-packages/" in p and os.path.isfile(p)}
want = {}
site = [p for p in sys.path if p.endswith("site-packages")]
for d in importlib.metadata.distributions(path=site):
    lines, good = [], True
    for f in d.files or ():
        path = os.path.realpath(d.locate_file(f))
        if path in loaded and not f.parts[0].endswith(".dist-info"):
            digest = hashlib.sha256(open(path, "rb").read())
            lines.append("%%s  %%s\n" %% (digest.hexdigest(), f))
            good = good and f.hash.mode == "sha256" and base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=") == f.hash.value
    if lines:
        name = re.sub("[-_.]+", "-", d.metadata["Name"]).lower()
        lines.sort(key=lambda l: l.split("  ", 1)[1])
        want[name] = {"version": d.version, "files": len(lines), "digest": hashlib.sha256("".join(lines).encode()).hexdigest(), "matches": good}
print(json.dumps({"loaded": sorted(loaded), "want": want}))
`

type facts struct {
	Version string `json:"version"`
	Files   int    `json:"files"`
	Digest  string `json:"digest"`
	Matches bool   `json:"matches"`
}

// loadedBy asks a real environment what importing modules loads, and what its
// own metadata reader makes of that.
func loadedBy(t testing.TB, python, modules string) ([]LoadedFile, map[string]facts) {
	t.Helper()
	command := exec.Command(python, "-c", fmt.Sprintf(oracle, modules))
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Loaded []string         `json:"loaded"`
		Want   map[string]facts `json:"want"`
	}
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatal(err)
	}
	return loaded(t, "", result.Loaded...), result.Want
}

func TestDistributionsOfRealEnvironments(t *testing.T) {
	for name, modules := range map[string]string{"torch": "torch, torchvision, onnx, onnxscript, onnxruntime", "tensorflow": "tf2onnx, keras"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, want := loadedBy(t, environment(t, name), modules)
			installed := Distributions(files, nil, nil)
			got := installed.Distributions
			if len(installed.Problems) > 0 {
				t.Errorf("problems %q", installed.Problems)
			}
			if len(want) < 8 {
				t.Fatalf("the oracle knows %d distributions only", len(want))
			}
			found := map[string]facts{}
			for _, d := range got {
				found[d.Name] = facts{d.Version, d.Files, d.Digest, d.Integrity == "matches"}
				if d.Installer != "pip" && d.Installer != "uv" {
					t.Errorf("%s: installer %q", d.Name, d.Installer)
				}
			}
			if !reflect.DeepEqual(found, want) {
				t.Errorf("got\n%+v\nwant\n%+v", found, want)
			}
		})
	}
}

func BenchmarkDistributions(b *testing.B) {
	b.Run("torch", func(b *testing.B) {
		files, _ := loadedBy(b, environment(b, "torch"), "torch, onnx, onnxscript")
		for b.Loop() {
			Distributions(files, nil, nil)
		}
	})
	b.Run("200 distributions of 300 files", func(b *testing.B) {
		files := map[string]string{}
		var load []LoadedFile
		for d := range 200 {
			var record strings.Builder
			for f := range 300 {
				record.WriteString(recordLine(fmt.Sprintf("package%d/module%d.py", d, f), "x"))
			}
			name := fmt.Sprintf("package%d", d)
			files[name+"-1.dist-info/METADATA"] = "Name: " + name + "\nVersion: 1\n"
			files[name+"-1.dist-info/RECORD"] = record.String()
			load = append(load, LoadedFile{Path: name + "/module7.py", SHA256: hexSum("x")})
		}
		root := tree(b, files)
		for i := range load {
			load[i].Path = filepath.Join(root, load[i].Path)
		}
		for b.Loop() {
			if got := Distributions(load, nil, nil); len(got.Distributions) != 200 {
				b.Fatalf("%d distributions", len(got.Distributions))
			}
		}
	})
}

func FuzzRecordLine(f *testing.F) {
	for _, line := range []string{
		recordLine("torch/__init__.py", "x"), "a.pyc,,", `"a,""b""",sha256=AAAA,3`, `"open`, "", ",", "a", "a,md5=,", "a,sha256=*,", "../../../bin/f2py,sha256=AA,1\r",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		name, rest, ok := cutField(line)
		if !ok {
			return
		}
		algorithm, digest, ok := parseHash(rest)
		if !ok {
			return
		}
		raw, err := hex.DecodeString(digest)
		if err != nil || (algorithm == "") != (digest == "") {
			t.Errorf("%q gave %q %q", line, algorithm, digest)
		}
		// What was read, written again and read, is the same.
		quote := func(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }
		again := quote(string(name))
		if algorithm != "" {
			again += "," + quote(algorithm+"="+base64.RawURLEncoding.EncodeToString(raw))
		}
		secondName, rest, _ := cutField([]byte(again))
		secondAlgorithm, secondDigest, ok := parseHash(rest)
		if !ok || !bytes.Equal(secondName, name) || secondAlgorithm != algorithm || secondDigest != digest {
			t.Errorf("%q gave %q %q %q, written again as %q %q %q %q", line, name, algorithm, digest, again, secondName, secondAlgorithm, secondDigest)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(metadataOfBox))
	f.Add([]byte("name : x\r\nVERSION:\tv\r\n"))
	f.Add([]byte(":\n\xff: \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		name, version := parseMetadata(text)
		if strings.ContainsAny(name+version, "\r\n") || strings.TrimSpace(name) != name || strings.TrimSpace(version) != version {
			t.Errorf("%q gave %q %q", text, name, version)
		}
		if got := packageURL(name, version); strings.ContainsAny(got, " \n\"<>#?+") {
			t.Errorf("purl %q", got)
		}
		if direct, ok := parseDirectURL(text); ok {
			if folder, local := direct.folder(); local && (!filepath.IsAbs(folder) || folder == "/") {
				t.Errorf("editable from %q", folder)
			}
		}
	})
}
