package installed

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// dpkg reads the database of dpkg, deb-format and dpkg(1): a list of files for
// each package, their MD5 digests beside it, and the packages themselves in
// "status". Images without dpkg have the latter two in "status.d".
func (s *search) dpkg(d distribution) {
	admin := s.path("var/lib/dpkg")
	lists, folder := names(filepath.Join(admin, "info"), ".list"), "info"
	if len(lists) == 0 {
		lists, folder = names(filepath.Join(admin, "status.d"), ".md5sums"), "status.d"
	}
	if len(lists) == 0 {
		return
	}
	moved := s.readDiversions(filepath.Join(admin, "diversions"))
	found := map[string]*owner{}
	s.likelyFirst(lists)
	for _, list := range lists {
		if !s.mayOwnMore() {
			break
		}
		text, err := bounded.Read(filepath.Join(admin, folder, list), maxList)
		if err != nil {
			s.problem("%v", err)
			continue
		}
		o, title := &owner{}, strings.TrimSuffix(strings.TrimSuffix(list, ".list"), ".md5sums")
		s.claimListed(o, text, title, moved)
		if len(o.claims) > 0 {
			s.addDigests(o, filepath.Join(admin, folder, title+".md5sums"), title, moved)
			found[title] = o
		}
	}
	if folder == "info" {
		s.nameDebs(found, d, filepath.Join(admin, "status"))
	}
	for title, o := range found {
		if folder == "status.d" {
			s.nameDebs(map[string]*owner{title: o}, d, filepath.Join(admin, "status.d", title))
		}
		if o.Name == "" {
			name, _, _ := strings.Cut(title, ":")
			o.named("deb", d.id, name, "", filepath.Join(admin, folder), "distro", d.name())
		}
		s.add(o)
	}
}

// likelyFirst brings forward the lists of packages that nearly every program
// uses, and of those that are called as a library or a program is: with them a
// small command's files are found, and hundreds of lists need not be read.
func (s *search) likelyFirst(lists []string) {
	likely := map[string]bool{"libc6": true, "libc-bin": true, "coreutils": true, "dash": true, "bash": true}
	for _, path := range s.paths {
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		likely[name] = true
	}
	isLikely := func(list string) bool {
		name, _, _ := strings.Cut(strings.TrimSuffix(list, ".list"), ":")
		return likely[name] || likely[strings.TrimRight(name, "-.0123456789")]
	}
	slices.SortStableFunc(lists, func(a, b string) int {
		switch x, y := isLikely(a), isLikely(b); {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
}

// generated are files of the system that are made where they are, and that no
// package lists.
var generated = []string{"etc/ld.so.cache", "etc/passwd", "etc/group", "etc/hosts", "etc/nsswitch.conf", "etc/resolv.conf", "usr/lib/locale/locale-archive"}

// mayOwnMore tells whether there is a file left that a package of the system
// may own.
func (s *search) mayOwnMore() bool {
	for _, path := range s.unowned {
		if !s.files[path].owned {
			return true
		}
		s.unowned = s.unowned[1:]
	}
	return false
}

// systemFiles are the paths of the files that a package of the system may own.
func (s *search) systemFiles() (paths []string) {
	for _, path := range s.paths {
		name, below := strings.CutPrefix(path, strings.TrimSuffix(s.root, "/")+"/")
		top, rest, _ := strings.Cut(name, "/")
		if !below || slices.Contains(generated, name) || strings.HasPrefix(rest, "local/") {
			continue
		}
		if strings.HasPrefix(top, "lib") || slices.Contains([]string{"usr", "etc", "opt", "var", "bin", "sbin", "boot", "srv"}, top) {
			paths = append(paths, path)
		}
	}
	return paths
}

// names are the entries of a folder that end so, sorted.
func names(folder, suffix string) (result []string) {
	file, err := os.Open(folder)
	if err != nil {
		return nil
	}
	defer file.Close()
	entries, _ := file.Readdirnames(100_000)
	for _, name := range entries {
		if strings.HasSuffix(name, suffix) {
			result = append(result, name)
		}
	}
	slices.Sort(result)
	return result
}

// diversion says that the file of every package but one is kept under another
// name, dpkg-divert(1).
type diversion struct{ to, except string }

// readDiversions has them by the paths that packages list, from the root.
func (s *search) readDiversions(name string) map[string]diversion {
	text, _ := bounded.Read(name, maxList)
	var fields []string
	for line := range bounded.Lines(text) {
		fields = append(fields, strings.TrimPrefix(string(line), "/"))
	}
	moved := map[string]diversion{}
	for ; len(fields) >= 3; fields = fields[3:] {
		moved[fields[0]] = diversion{fields[1], fields[2]}
		if s.folders[filepath.Dir(s.path(fields[1]))] {
			s.folders[filepath.Dir(s.path(fields[0]))] = true
		}
	}
	return moved
}

// claimListed takes the files of a list of absolute paths, or of an md5sums
// file, whose paths start from the root.
func (s *search) claimListed(o *owner, text []byte, title string, moved map[string]diversion) {
	for line := range bounded.Lines(text) {
		if line[0] != '/' {
			_, line, _ = bytes.Cut(line, []byte("  "))
		}
		if path := s.installedAt(line, title, moved); path != nil {
			s.claim(o, path, "", "")
		}
	}
}

// installedAt is where the file that a package lists really lies; nil when the
// run used no file of that folder. It stays as it is until the next call.
func (s *search) installedAt(path []byte, title string, moved map[string]diversion) []byte {
	path = bytes.TrimPrefix(path, []byte("/"))
	folder := path[:max(0, bytes.LastIndexByte(path, '/'))]
	s.buffer = append(append(s.buffer[:0], strings.TrimSuffix(s.root, "/")...), '/')
	if !bytes.Equal(folder, s.folder) {
		s.folder = append(s.folder[:0], folder...)
		s.inFolder = s.folders[string(append(s.buffer, folder...))]
	}
	if !s.inFolder {
		return nil
	}
	if d, ok := moved[string(path)]; ok {
		if name, _, _ := strings.Cut(title, ":"); d.except != name {
			return append(s.buffer, d.to...)
		}
	}
	return append(s.buffer, path...)
}

// addDigests reads the MD5 digests of a package: "digest  path" without the
// first slash. Configuration files have none there.
func (s *search) addDigests(o *owner, name, title string, moved map[string]diversion) {
	text, err := bounded.Read(name, maxList)
	if err != nil && !os.IsNotExist(err) {
		s.problem("%v", err)
	}
	sums := &owner{}
	for line := range bounded.Lines(text) {
		sum, listed, ok := bytes.Cut(line, []byte("  "))
		if !ok || len(sum) != 32 {
			continue
		}
		if path := s.installedAt(listed, title, moved); path != nil {
			s.claim(sums, path, "md5", string(bytes.ToLower(sum)))
		}
	}
	for i := range o.claims {
		for _, c := range sums.claims {
			if o.claims[i].file == c.file {
				o.claims[i].algorithm, o.claims[i].expected = c.algorithm, c.expected
			}
		}
	}
}

// nameDebs finds versions and architectures in a status file, for packages by
// the name of their list: "libc6:amd64", or "base-files" where only one
// architecture can be installed.
func (s *search) nameDebs(found map[string]*owner, d distribution, status string) {
	text, err := bounded.Read(status, maxList)
	if err != nil {
		s.problem("%v", err)
		return
	}
	wanted := map[string]bool{}
	for title := range found {
		name, _, _ := strings.Cut(title, ":")
		wanted["Package: "+name] = true
	}
	for stanza := range bytes.SplitSeq(text, []byte("\n\n")) {
		if first, _, _ := bytes.Cut(bytes.TrimSpace(stanza), []byte("\n")); !wanted[string(first)] {
			continue
		}
		name, version, architecture := parseDeb(stanza)
		o := found[name+":"+architecture]
		if o == nil {
			o = found[name]
		}
		if o != nil && name != "" && version != "" {
			o.named("deb", d.id, name, version, status, "arch", architecture, "distro", d.name())
		}
	}
}

// parseDeb takes the fields that name a package from its stanza in a status
// file, deb822(5).
func parseDeb(stanza []byte) (name, version, architecture string) {
	for line := range bounded.Lines(stanza) {
		if line[0] == ' ' || line[0] == '\t' {
			continue // goes on with the field before
		}
		key, value, _ := strings.Cut(string(line), ":")
		switch value = strings.TrimSpace(value); key {
		case "Package":
			name = value
		case "Version":
			version = value
		case "Architecture":
			architecture = value
		}
	}
	return name, version, architecture
}
