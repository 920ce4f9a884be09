package installed

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const fedora = "ID=fedora\nVERSION_ID=\"42\"\n"

// spec describes a package of one file with an epoch, and hundreds of others so
// that its header does not fit a page of the database.
const spec = `Name: boxlib
Epoch: 3
Version: 1.2
Release: 4
Summary: x
License: MIT
%description
x
%install
mkdir -p %{buildroot}/usr/lib/box
printf content > %{buildroot}/usr/lib/box/libbox.so.1
for i in $(seq 600); do printf $i > %{buildroot}/usr/lib/box/$i; done
%files
/usr/lib/box
`

// TestRPM reads databases that rpm itself made.
func TestRPM(t *testing.T) {
	for _, program := range []string{"rpm", "rpmbuild"} {
		if _, err := exec.LookPath(program); err != nil {
			need(t, "needs rpm: %v", err)
		}
	}
	work := tree(t, map[string]string{"box.spec": spec})
	command(t, "rpmbuild", "--quiet", "-bb", "--define", "_topdir "+work, "--define", "_build_id_links none", filepath.Join(work, "box.spec"))
	built, err := filepath.Glob(filepath.Join(work, "RPMS/*/*.rpm"))
	if err != nil || len(built) != 1 {
		t.Fatalf("%q, %v", built, err)
	}
	arch := filepath.Base(filepath.Dir(built[0]))
	root := tree(t, map[string]string{"etc/os-release": fedora, "etc/odd": ""})
	command(t, "rpm", "--root", root, "--dbpath", "/var/lib/rpm", "-i", "--nodeps", built[0])
	lib, odd, database := filepath.Join(root, "usr/lib/box/libbox.so.1"), filepath.Join(root, "etc/odd"), filepath.Join(root, "var/lib/rpm/rpmdb.sqlite")
	want := Package{
		Name: "boxlib", Version: "1.2-4", PURL: "pkg:rpm/fedora/boxlib@1.2-4?arch=" + arch + "&distro=fedora-42&epoch=3",
		Record: database, Files: 1, Digest: hexSum([]byte(hexSum([]byte("content")) + "  " + lib + "\n")), Integrity: "matches",
	}
	got := Find(root, used(t, lib, odd))
	if !reflect.DeepEqual(got, Result{Packages: []Package{want}, Unclaimed: []string{odd}, Holders: map[string][]string{lib: {"boxlib 1.2-4"}}}) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := os.WriteFile(lib, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	got = Find(root, used(t, lib))
	if len(got.Packages) != 1 || got.Packages[0].Integrity != "modified: 1 file" || !slices.Equal(got.Packages[0].Modified, []string{lib}) {
		t.Errorf("a changed file: %+v", got)
	}
	damage(t, database, func() { Find(root, used(t, lib)) })
}

// damage changes bytes of a database here and there; reading it must end.
func damage(t *testing.T, name string, read func()) {
	t.Helper()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += max(1, len(whole)/60) {
		bad := slices.Clone(whole)
		for i := at; i < min(at+16, len(bad)); i++ {
			bad[i] ^= 0xff
		}
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		read()
	}
}

func command(t *testing.T, program string, arguments ...string) {
	t.Helper()
	if out, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", program, arguments, err, out)
	}
}

func TestOtherDatabasesOfRPMAreNamed(t *testing.T) {
	for name, format := range map[string]string{"Packages": "a Berkeley DB", "Packages.db": "in the format ndb"} {
		root := tree(t, map[string]string{"var/lib/rpm/" + name: "x", "usr/lib/a.so": ""})
		got := Find(root, used(t, filepath.Join(root, "usr/lib/a.so")))
		if len(got.Problems) != 1 || !strings.Contains(got.Problems[0], "it is "+format+", which convrun does not read") {
			t.Errorf("%+v", got)
		}
	}
}

// The database is laid out as apk-tools document it; Debian has no apk to make
// one with.
func TestAlpine(t *testing.T) {
	sum := sha1.Sum([]byte("musl"))
	q1 := "Q1" + base64.StdEncoding.EncodeToString(sum[:])
	database := "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nS:1\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nZ:" + q1 + "\nR:libc.musl-x86_64.so.1\na:0:0:777\nZ:" + q1 + "\n\n" +
		"P:zlib\nV:1.3.1-r2\nA:x86_64\nF:lib\nR:libz.so.1.3.1\nZ:" + q1 + "\nF:etc\nR:z.conf\n\n"
	root := tree(t, map[string]string{
		"lib/apk/db/installed": database, "etc/os-release": "ID=alpine\nVERSION_ID=3.22.1\n",
		"lib/ld-musl-x86_64.so.1": "musl", "lib/libz.so.1.3.1": "changed", "etc/z.conf": "z", "etc/passwd": "p",
	})
	path := func(name string) string { return filepath.Join(root, name) }
	got := Find(root, used(t, path("lib/ld-musl-x86_64.so.1"), path("lib/libz.so.1.3.1"), path("etc/z.conf"), path("etc/passwd")))
	var lines []string
	for _, p := range got.Packages {
		lines = append(lines, fmt.Sprint(p.PURL, " ", p.Files, " ", p.Integrity))
	}
	want := []string{"pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.22.1 1 matches", "pkg:apk/alpine/zlib@1.3.1-r2?arch=x86_64&distro=alpine-3.22.1 2 modified: 1 file"}
	if !slices.Equal(lines, want) || !slices.Equal(got.Unclaimed, []string{path("etc/passwd")}) || len(got.Problems) > 0 {
		t.Errorf("got %q, unclaimed %q, problems %q", lines, got.Unclaimed, got.Problems)
	}
}

// The record is laid out as conda documents it; no registry serves conda here.
func TestConda(t *testing.T) {
	root := tree(t, map[string]string{
		"env/lib/libmkl_rt.so.2": "mkl", "env/bin/python3.11": "python", "env/lib/other.so": "o",
		"env/conda-meta/mkl-2024.2.json": `{"name": "mkl", "version": "2024.2.2", "build": "ha957f24_16", "channel": "https://conda.anaconda.org/conda-forge", "subdir": "linux-64",
			"files": ["lib/libmkl_rt.so.2"], "paths_data": {"paths_version": 1, "paths": [{"_path": "lib/libmkl_rt.so.2", "path_type": "hardlink", "sha256": "` + hexSum([]byte("mkl")) + `"}]}}`,
		"env/conda-meta/python-3.11.json": `{"name": "python", "version": "3.11.7", "build": "b", "channel": "defaults", "subdir": "linux-64",
			"files": ["bin/python3.11"], "paths_data": {"paths": [{"_path": "bin/python3.11", "sha256": "00", "sha256_in_prefix": "` + hexSum([]byte("python")) + `"}]}}`,
		"env/conda-meta/unused-1.json": `{"name": "unused", "files": ["lib/unused.so"]}`,
		"env/conda-meta/broken-1.json": `{"name": "broken", "files": ["lib/libmkl_rt.so.2"`,
	})
	path := func(name string) string { return filepath.Join(root, name) }
	got := Find(root, used(t, path("env/lib/libmkl_rt.so.2"), path("env/bin/python3.11"), path("env/lib/other.so")))
	var lines []string
	for _, p := range got.Packages {
		lines = append(lines, fmt.Sprint(p.PURL, " ", p.Files, " ", p.Integrity))
	}
	want := []string{"pkg:conda/mkl@2024.2.2?build=ha957f24_16&channel=conda-forge&subdir=linux-64 1 matches", "pkg:conda/python@3.11.7?build=b&channel=defaults&subdir=linux-64 1 matches"}
	if !slices.Equal(lines, want) || !slices.Equal(got.Unclaimed, []string{path("env/lib/other.so")}) || len(got.Problems) != 1 {
		t.Errorf("got %q, unclaimed %q, problems %q", lines, got.Unclaimed, got.Problems)
	}
}

func TestDebianLayouts(t *testing.T) {
	status := "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.3~rc1-4\nDescription: x\n Version: 9\n\nPackage: b\nArchitecture: all\nVersion: 5\n\n"
	root := tree(t, map[string]string{
		"etc/os-release": "ID=ubuntu\nVERSION_ID=\"24.04\"\n", "usr/lib/a.so": "a", "usr/bin/tool.real": "t", "usr/bin/tool": "n", "usr/lib/c.so": "c",
		"var/lib/dpkg/status":               status,
		"var/lib/dpkg/info/a:amd64.list":    "/.\n/lib\n/lib/a.so\n/usr/bin/tool\n",
		"var/lib/dpkg/info/a:amd64.md5sums": "0cc175b9c0f1b6a831c399e269772661  lib/a.so\nffffffffffffffffffffffffffffffff  usr/bin/tool\nshort\n",
		"var/lib/dpkg/info/b.list":          "/usr/bin/tool\n",
		"var/lib/dpkg/info/c.list":          "/usr/lib/c.so\n",
		"var/lib/dpkg/diversions":           "/usr/bin/tool\n/usr/bin/tool.real\nb\n",
	})
	if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(root, name) }
	got := Find(root, used(t, path("usr/lib/a.so"), path("usr/bin/tool.real"), path("usr/bin/tool"), path("usr/lib/c.so")))
	var lines []string
	for _, p := range got.Packages {
		lines = append(lines, fmt.Sprint(p.PURL, " ", p.Version, " ", p.Files, " ", p.Integrity, p.Modified))
	}
	want := []string{
		"pkg:deb/ubuntu/a@1:2.3~rc1-4?arch=amd64&distro=ubuntu-24.04 1:2.3~rc1-4 2 modified: 1 file[" + path("usr/bin/tool.real") + "]",
		"pkg:deb/ubuntu/b@5?arch=all&distro=ubuntu-24.04 5 1 unknown: files without a digest in the record (1)[]",
		"pkg:deb/ubuntu/c?distro=ubuntu-24.04 unknown: the record does not say 1 unknown: files without a digest in the record (1)[]",
	}
	if !slices.Equal(lines, want) || len(got.Unclaimed)+len(got.Problems) > 0 {
		t.Errorf("got %q\nwant %q\nunclaimed %q, problems %q", lines, want, got.Unclaimed, got.Problems)
	}
	// An image without dpkg itself, as "distroless" ones are.
	bare := tree(t, map[string]string{
		"etc/os-release": "ID=debian\nVERSION_ID=12\n", "usr/lib/a.so": "a",
		"var/lib/dpkg/status.d/a": strings.Split(status, "\n\n")[0], "var/lib/dpkg/status.d/a.md5sums": "0cc175b9c0f1b6a831c399e269772661  usr/lib/a.so\n",
	})
	got = Find(bare, used(t, filepath.Join(bare, "usr/lib/a.so")))
	if len(got.Packages) != 1 || got.Packages[0].PURL != "pkg:deb/debian/a@1:2.3~rc1-4?arch=amd64&distro=debian-12" || got.Packages[0].Integrity != "matches" {
		t.Errorf("got %+v", got)
	}
}

func FuzzDatabases(f *testing.F) {
	f.Add([]byte("Package: a\nArchitecture: amd64\nVersion: 1\n x\n\nPackage: b\n"), byte(0))
	f.Add([]byte("P:musl\nV:1\nF:lib\nR:a\nZ:Q1AAAA\n\nP:z\nR:b\n"), byte(1))
	f.Add([]byte("Manifest-Version: 1.0\r\nBundle-SymbolicName: a;x=1\r\nBundle-Version: 1\r\n .2\r\n\r\nName: b\r\n"), byte(2))
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01box\x00"), byte(3))
	if text, err := os.ReadFile("/var/lib/dpkg/status"); err == nil {
		f.Add(text[:min(len(text), 20_000)], byte(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, kind byte) {
		switch kind % 5 {
		case 0:
			name, version, architecture := parseDeb(text)
			if strings.ContainsAny(name+version+architecture, "\n\r") {
				t.Errorf("%q %q %q", name, version, architecture)
			}
		case 1:
			for _, o := range parseAlpine(text, func(_ *owner, path, algorithm, digest string) {
				if path == "" || (algorithm == "") != (digest == "") && digest != "" {
					t.Errorf("path %q, %q %q", path, algorithm, digest)
				}
			}) {
				if strings.ContainsAny(o.Name+o.Version, "\n") {
					t.Errorf("%+v", o)
				}
			}
		case 2:
			for key, value := range parseAttributes(text, ":") {
				if strings.TrimSpace(key) != key || strings.TrimSpace(value) != value {
					t.Errorf("%q %q", key, value)
				}
			}
		case 3:
			if h, ok := parseRPM(text); ok {
				for tag, entry := range h {
					if got := len(h.strings(tag)) + len(h.numbers(tag)); uint64(got) > uint64(entry.count) || got > len(text) {
						t.Errorf("%d values of %d", got, entry.count)
					}
				}
			}
		case 4:
			columns, ok := record(text)
			total := 0
			for _, column := range columns {
				total += len(column)
			}
			if ok && total > len(text) {
				t.Errorf("%d bytes out of %d", total, len(text))
			}
		}
	})
}
