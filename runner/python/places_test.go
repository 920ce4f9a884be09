package python

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/runner/bounded"
)

func TestOtherLayouts(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		loaded  []string
		removed []string
		want    []string
		rest    []string
	}{
		{
			"two list a file", map[string]string{
				"cv/__init__.py":           "a",
				"one-1.dist-info/METADATA": "Name: one\nVersion: 1\n", "one-1.dist-info/RECORD": recordLine("cv/__init__.py", "b"),
				"two-2.dist-info/METADATA": "Name: two\nVersion: 2\n", "two-2.dist-info/RECORD": recordLine("cv/__init__.py", "a"),
			},
			[]string{"cv/__init__.py"}, nil,
			[]string{"one 1 files 1 modified: 1 file shared [cv/__init__.py (two 2)]", "two 2 files 1 matches shared [cv/__init__.py (one 1)]"}, nil,
		},
		{
			"a list without digests", map[string]string{
				"lib/odd/a.py": "a", "bin/odd": "b", "lib/odd/c.py": "c",
				"lib/old-1-py3.11.egg-info/PKG-INFO":            "Name: old\nVersion: 1\n",
				"lib/old-1-py3.11.egg-info/installed-files.txt": "../odd/a.py\n../../bin/odd\nPKG-INFO\n",
			},
			[]string{"lib/odd/a.py", "bin/odd", "lib/odd/c.py"}, nil,
			[]string{"old 1 files 2 unknown: the distribution has no RECORD, and its list of files no digests"}, []string{"lib/odd/c.py"},
		},
		{
			"an egg that is a folder", map[string]string{
				"old-1-py3.11.egg/old/a.py": "a", "old-1-py3.11.egg/EGG-INFO/PKG-INFO": "Name: old\nVersion: 1\n", "old-1-py3.11.egg/EGG-INFO/top_level.txt": "old\n",
			},
			[]string{"old-1-py3.11.egg/old/a.py"}, nil,
			[]string{"old 1 files 1 unknown: the distribution has no RECORD"}, nil,
		},
		{
			"extra only where the folder has one owner", map[string]string{
				"shared/a.py": "a", "shared/b.py": "b", "shared/mine/c.py": "c", "shared/new.py": "n", "shared/mine/deep/new.py": "m", "top.py": "t",
				"one-1.dist-info/METADATA": "Name: one\nVersion: 1\n", "one-1.dist-info/RECORD": recordLine("shared/a.py", "a") + recordLine("shared/mine/c.py", "c"),
				"two-2.dist-info/METADATA": "Name: two\nVersion: 2\n", "two-2.dist-info/RECORD": recordLine("shared/b.py", "b"),
			},
			[]string{"shared/a.py", "shared/new.py", "shared/mine/deep/new.py", "top.py"}, nil,
			[]string{"one 1 files 2 modified: 1 file that RECORD does not list extra [shared/mine/deep/new.py]"}, []string{"shared/new.py", "top.py"},
		},
		{
			"missing, bytecode aside", map[string]string{
				"box/a.py":                 "a",
				"box-1.dist-info/METADATA": "Name: box\nVersion: 1\n", "box-1.dist-info/RECORD": recordLine("box/a.py", "a") + "box/b.py,,\nbox/__pycache__/a.pyc,,\n/none/c,,\nbox-1.dist-info/RECORD,,\n",
			},
			[]string{"box/a.py"}, nil,
			[]string{"box 1 files 1 matches missing [/none/c box/b.py]"}, nil,
		},
		{
			"removed, told by its name", map[string]string{"other.py": "o"}, []string{"other.py"}, []string{"gone-3.dist-info/RECORD", "gone-3.dist-info/METADATA"},
			nil, []string{"other.py"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := tree(t, c.files)
			for i, name := range c.removed {
				c.removed[i] = filepath.Join(root, name)
			}
			got := Distributions(loaded(t, root, c.loaded...), c.removed, nil)
			var lines, rest []string
			for _, d := range got.Distributions {
				line := d.Name + " " + d.Version + " files " + string(rune('0'+d.Files)) + " " + d.Integrity
				for _, list := range []struct {
					name  string
					paths []string
				}{{"shared", d.Shared}, {"extra", d.Extra}, {"missing", d.Missing}} {
					if len(list.paths) > 0 {
						line += " " + list.name + " [" + strings.Join(list.paths, " ") + "]"
					}
				}
				lines = append(lines, line)
			}
			for _, path := range got.Unclaimed {
				name, _ := relativeTo(root, path)
				rest = append(rest, name)
			}
			if !reflect.DeepEqual(lines, c.want) || !slices.Equal(rest, c.rest) || len(got.Problems) > 0 {
				t.Errorf("got %q, rest %q, problems %q\nwant %q, rest %q", lines, rest, got.Problems, c.want, c.rest)
			}
		})
	}
}

func TestRecordThatIsTooLarge(t *testing.T) {
	root := tree(t, map[string]string{"box.py": "a", "box-1.dist-info/METADATA": "Name: box\nVersion: 1\n", "box-1.dist-info/RECORD": ""})
	if err := os.Truncate(filepath.Join(root, "box-1.dist-info/RECORD"), 100<<20); err != nil {
		t.Fatal(err)
	}
	got := Distributions(loaded(t, root, "box.py"), nil, nil)
	if len(got.Distributions) != 1 || got.Distributions[0].Integrity != "unknown: its RECORD cannot be read" || len(got.Problems) != 1 || !strings.Contains(got.Problems[0], "expected at most") {
		t.Errorf("got %+v", got)
	}
}

func TestHostileMetadata(t *testing.T) {
	name := "\x1b[31m<b>../../etc/passwd\u202e" + strings.Repeat("x", 1000)
	junk := strings.Repeat("\x00\xff\n\",\n", 1000)
	root := tree(t, map[string]string{"box.py": "a", "box-1.dist-info/METADATA": "Name: " + name + "\nVersion: 1\n", "box-1.dist-info/RECORD": junk + recordLine("box.py", "a"), "box-1.dist-info/direct_url.json": "[]"})
	got := Distributions(loaded(t, root, "box.py"), nil, nil)
	if len(got.Distributions) != 1 || got.Distributions[0].Integrity != "matches" {
		t.Fatalf("got %+v", got)
	}
	d := got.Distributions[0]
	if len(d.Name) > bounded.MaxText+10 || strings.ContainsAny(d.PURL, "\x1b<>/"[:3]) || strings.Contains(d.PURL, "/..") {
		t.Errorf("name %q, purl %q", d.Name, d.PURL)
	}
	if len(got.Problems) != 2 || !strings.Contains(strings.Join(got.Problems, "\n"), "RECORD: 1000 lines cannot be read") {
		t.Errorf("problems %q", got.Problems)
	}
}

func TestFinderPlaces(t *testing.T) {
	for text, want := range map[string][]string{
		"x = 1\nMAPPING: dict[str, str] = {'a': '/p/a', 'b.c': '/p/it\\'s'}\nNAMESPACES: dict[str, list[str]] = {'n': ['/q']}\n": {"/p/a", "/p/it's"},
		"MAPPING = {}\n":               nil,
		"MAPPING = {'a': 'relative'}":  nil,
		"def f(): MAPPING = {'a': '/'": nil,
	} {
		if got := finderPlaces([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q gave %q, wanted %q", text, got, want)
		}
	}
}

// TestCheckedOut compares with git itself, which lays a repository out in
// several ways.
func TestCheckedOut(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		need(t, "needs git: %v", err)
	}
	dir := tree(t, map[string]string{"r/sub/x.py": ""})
	git := func(in string, arguments ...string) string {
		command := exec.Command("git", append([]string{"-C", filepath.Join(dir, in), "-c", "user.name=A", "-c", "user.email=a@example.org"}, arguments...)...)
		command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", arguments, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("r", "init", "-q", "-b", "topic/one")
	if got := checkedOut(filepath.Join(dir, "r/sub")); !strings.HasPrefix(got, unknown) {
		t.Errorf("before the first commit: %q", got)
	}
	check := func(what, in string) {
		t.Helper()
		if got, want := checkedOut(filepath.Join(dir, in)), "git "+git(in, "rev-parse", "HEAD"); got != want {
			t.Errorf("%s: %q, wanted %q", what, got, want)
		}
	}
	git("r", "add", "-A")
	git("r", "commit", "-q", "-m", "x")
	check("a branch", "r/sub")
	git("r", "pack-refs", "--all")
	check("a packed branch", "r/sub")
	git("r", "worktree", "add", "-q", "-b", "two", "../w")
	check("a further work tree", "w")
	git("r", "commit", "-q", "--allow-empty", "-m", "y")
	check("past the packed branch", "r")
	git("r", "checkout", "-q", "--detach", "HEAD~1")
	check("no branch", "r")
	if got := checkedOut(dir); got != "" {
		t.Errorf("outside: %q", got)
	}
	for _, head := range []string{"ref: ../../../etc/passwd", "ref: refs/heads/none", "zz", "\x00"} {
		bad := tree(t, map[string]string{".git/HEAD": head})
		if got := checkedOut(bad); !strings.HasPrefix(got, unknown) {
			t.Errorf("HEAD %q gave %q", head, got)
		}
	}
}

func TestBrokenArchives(t *testing.T) {
	var whole strings.Builder
	archive := zip.NewWriter(&whole)
	for name, text := range map[string]string{"box/__init__.py": "a", "box-1.dist-info/METADATA": "Name: box\nVersion: 1\n", "deep/in-1.dist-info/METADATA": "Name: in\n"} {
		member, err := archive.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := member.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	text := whole.String()
	end := strings.LastIndex(text, "PK\x05\x06")
	root := tree(t, map[string]string{
		"good.whl": text, "cut.whl": text[:end], "huge.egg": text[:end+12] + "\xff\xff\xff\x7f" + text[end+16:], "empty.zip": "", "data.bin": text,
	})
	files := loaded(t, root, "good.whl", "cut.whl", "huge.egg", "empty.zip", "data.bin")
	for i := range files {
		files[i].Own = true
	}
	got := Distributions(files, nil, nil)
	if len(got.Distributions) != 1 || got.Distributions[0].Name != "box" || got.Distributions[0].Location != filepath.Join(root, "good.whl") || got.Distributions[0].Files != 1 {
		t.Errorf("got %+v", got.Distributions)
	}
	if len(got.Problems) != 3 || !strings.Contains(strings.Join(got.Problems, "\n"), "expected a directory of at most") {
		t.Errorf("problems %q", got.Problems)
	}
}
