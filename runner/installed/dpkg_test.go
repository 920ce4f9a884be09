package installed

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// need skips, unless nothing may be skipped.
func need(t testing.TB, format string, arguments ...any) {
	t.Helper()
	if os.Getenv("CONVRUN_REQUIRE") != "" {
		t.Fatalf(format, arguments...)
	}
	t.Skipf(format, arguments...)
}

// tree writes files below a new folder and returns its name.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func hexSum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// used are files as a run that read them has them.
func used(t testing.TB, paths ...string) (files []File) {
	t.Helper()
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Path: path, SHA256: hexSum(text)})
	}
	return files
}

// mapped are files that this machine's shell, C compiler and git use: the
// programs and their libraries.
func mapped(t testing.TB) []string {
	t.Helper()
	var paths []string
	for _, program := range []string{"bash", "ls", "tar", "dpkg", "perl"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, real)
		out, _ := exec.Command("ldd", real).Output()
		for line := range strings.Lines(string(out)) {
			for field := range strings.FieldsSeq(line) {
				if real, err := filepath.EvalSymlinks(field); err == nil && strings.HasPrefix(field, "/") {
					paths = append(paths, real)
				}
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// TestDebianAgainstDpkg compares with what dpkg says of the machine's own files.
func TestDebianAgainstDpkg(t *testing.T) {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		need(t, "needs a Debian: %v", err)
	}
	paths := mapped(t)
	got := Find("/", used(t, append(paths, "/etc/ld.so.cache")...))
	if !slices.Equal(got.Unclaimed, []string{"/etc/ld.so.cache"}) || len(got.Problems) > 0 {
		t.Errorf("unclaimed %q, problems %q", got.Unclaimed, got.Problems)
	}
	files := map[string]int{}
	for _, p := range got.Packages {
		if !strings.HasPrefix(p.PURL, "pkg:deb/debian/"+p.Name+"@") || p.Record != "/var/lib/dpkg/status" {
			t.Errorf("%+v", p)
		}
		if p.Integrity != "matches" && !strings.Contains(p.Integrity, "the limit") {
			t.Errorf("%s: %s", p.Name, p.Integrity)
		}
		files[p.Name+" "+p.Version] += p.Files
	}
	want := map[string]int{}
	for _, path := range paths {
		want[dpkgSays(t, path)]++
	}
	for title, n := range want {
		if files[title] != n {
			t.Errorf("%s: %d files, dpkg says %d", title, files[title], n)
		}
		delete(files, title)
	}
	if len(files) > 0 {
		t.Errorf("dpkg knows nothing of %v", files)
	}
	if len(want) < 4 {
		t.Errorf("only %v were compared", want)
	}
}

// dpkgSays is "NAME VERSION" of the package that holds a file, which may be
// recorded under its name before /usr was merged.
func dpkgSays(t *testing.T, path string) string {
	t.Helper()
	for _, name := range []string{path, strings.TrimPrefix(path, "/usr")} {
		out, err := exec.Command("dpkg-query", "-S", name).Output()
		if err != nil {
			continue
		}
		title, _, _ := strings.Cut(string(out), ": ")
		version, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}", title).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(version)
	}
	t.Fatalf("dpkg knows nothing of %s", path)
	return ""
}

func BenchmarkDebian(b *testing.B) {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		b.Skip(err)
	}
	files := used(b, append(mapped(b), "/etc/ld.so.cache")...)
	for b.Loop() {
		Find("/", files)
	}
}
