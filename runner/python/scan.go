package python

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// maxEntries bounds how much of a folder is looked through for metadata.
const maxEntries = 100_000

// scan maps loaded files to distributions.
type scan struct {
	// wanted holds the loaded files by absolute path; compiled files stand under
	// the path of their source.
	wanted map[string]*wantedFile
	sum    func(string) (string, error)
	// metadata caches the names of metadata entries in a folder; gone are those
	// that the run removed.
	metadata map[string][]string
	gone     map[string][]string
	// listing has, for each folder on the way to a file of packages, the
	// distributions that list a file directly in it.
	listing  map[string][]*found
	found    []*found
	problems []string
}

type wantedFile struct {
	path   string
	sha256 string
	own    bool
	// compiled is set while only the compiled form was loaded.
	compiled bool
	// owners have claimed the file: one, or several that list it.
	owners []*found
}

func newScan(files []LoadedFile, sum func(string) (string, error)) *scan {
	s := &scan{wanted: map[string]*wantedFile{}, sum: sum, metadata: map[string][]string{}, gone: map[string][]string{}, listing: map[string][]*found{}}
	for _, file := range files {
		if source, ok := SourceOf(file.Path); ok {
			if s.wanted[source] == nil {
				s.wanted[source] = &wantedFile{path: source, compiled: true, own: file.Own}
			}
			continue
		}
		s.wanted[file.Path] = &wantedFile{path: file.Path, sha256: file.SHA256, own: file.Own}
	}
	return s
}

// remember keeps the metadata folders of which the run removed files.
func (s *scan) remember(removed []string) {
	for _, path := range removed {
		folder := filepath.Dir(path)
		if root, entry := filepath.Split(folder); isMetadata(entry) && !isFolder(folder) {
			root = filepath.Clean(root)
			if !slices.Contains(s.gone[root], entry) {
				s.gone[root] = append(s.gone[root], entry)
			}
		}
	}
}

// SourceOf names the source file that a file of bytecode stands for: PEP 3147
// for those in __pycache__. A .pyc beside no source is a module of its own, and
// the second result is false.
func SourceOf(path string) (string, bool) {
	name, ok := strings.CutSuffix(path, ".pyc")
	if !ok {
		return "", false
	}
	folder, base := filepath.Split(name)
	folder = filepath.Clean(folder)
	source := name + ".py"
	if filepath.Base(folder) == "__pycache__" {
		module, _, _ := strings.Cut(base, ".")
		source = filepath.Join(filepath.Dir(folder), module+".py")
	}
	_, err := os.Lstat(source)
	return source, err == nil
}

// isPackageFolder tells whether dir is one that installers put packages in.
func isPackageFolder(dir string) bool {
	base := filepath.Base(dir)
	return base == "site-packages" || base == "dist-packages"
}

// isModule tells whether Python can import a file of that name.
func isModule(path string) bool {
	return slices.Contains([]string{".py", ".pyc", ".so", ".pyd"}, filepath.Ext(path))
}

func isMetadata(entry string) bool {
	return strings.HasSuffix(entry, ".dist-info") || strings.HasSuffix(entry, ".egg-info") || entry == "EGG-INFO"
}

// roots returns the folders with metadata, of those that may be one, which lie
// on the way to a file that nobody has claimed. Outer ones come first: a
// distribution that another one carries inside it belongs to that other one.
func (s *scan) roots(mayBe func(dir string) bool) []string {
	var roots []string
	seen := map[string]bool{}
	for path, file := range s.wanted {
		if file.owners != nil || file.own && !isModule(path) {
			continue
		}
		for dir := filepath.Dir(path); !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			if !file.own && s.listing[dir] == nil {
				s.listing[dir] = []*found{}
			}
			if mayBe(dir) && len(s.metadataIn(dir)) > 0 {
				roots = append(roots, dir)
			}
		}
	}
	slices.SortFunc(roots, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, string(filepath.Separator)), strings.Count(b, string(filepath.Separator))), cmp.Compare(a, b))
	})
	return roots
}

// metadataIn names the dist-info and egg-info entries of a folder, sorted.
func (s *scan) metadataIn(dir string) []string {
	if names, known := s.metadata[dir]; known {
		return names
	}
	result := slices.Clone(s.gone[dir])
	if file, err := os.Open(dir); err == nil {
		names, _ := file.Readdirnames(maxEntries)
		file.Close()
		for _, name := range names {
			if isMetadata(name) {
				result = append(result, name)
			}
		}
		if len(names) == maxEntries {
			s.problems = append(s.problems, fmt.Sprintf("%s has %d entries or more, not all of which were looked through for metadata of packages", dir, maxEntries))
		}
	}
	slices.Sort(result)
	s.metadata[dir] = result
	return result
}

// scanRoot lets the distributions in one folder claim their files: first those
// with a list of files, then those that can only be told by the names of their
// modules, so that the second kind takes nothing from the first.
func (s *scan) scanRoot(root string) {
	var listless []*found
	for _, entry := range s.metadata[root] {
		f := &found{root: root, metadata: filepath.Join(root, entry)}
		list, err := bounded.Read(filepath.Join(f.metadata, "RECORD"), maxList)
		switch {
		case err == nil:
			s.claimRecorded(f, list)
			s.claimEditable(f, list)
			s.keep(f)
			f.findMissing(list)
			continue
		case slices.Contains(s.gone[root], entry) && !isFolder(f.metadata):
			f.unlisted = removedByRun
		case os.IsNotExist(err) || !isFolder(f.metadata):
			f.unlisted = "the distribution has no RECORD"
			s.claimInstalled(f)
		default:
			s.problems = append(s.problems, err.Error())
			f.unlisted = "its RECORD cannot be read"
		}
		listless = append(listless, f)
		s.keep(f)
	}
	for _, f := range listless {
		s.claimByName(f)
		if len(s.gone[root]) == 1 && f.unlisted == removedByRun {
			s.claimRemoved(f)
		}
		s.keep(f)
	}
}

// removedByRun is why a distribution has no list of files any more.
const removedByRun = "the run removed the distribution"

// claimRemoved takes the files that are not there any more, for the one
// distribution of the folder that has been removed.
func (s *scan) claimRemoved(f *found) {
	for path, file := range s.wanted {
		if name, below := relativeTo(f.root, path); below && file.owners == nil && !inMetadata(path) && !exists([]byte(path)) {
			s.claim(f, file, name, "", "")
		}
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// keep adds a distribution that has claimed a file.
func (s *scan) keep(f *found) {
	if len(f.files) == 0 || f.kept {
		return
	}
	if problem := f.readMetadata(); problem != "" {
		s.problems = append(s.problems, problem)
	}
	if f.unlisted == removedByRun {
		s.problems = append(s.problems, fmt.Sprintf("%s was removed during the run: what it was is told from its name", f.metadata))
	}
	f.kept = true
	s.found = append(s.found, f)
}

// claim takes a file for a distribution. A second one that lists the file has
// it too, unless the first carries the second inside it.
func (s *scan) claim(f *found, file *wantedFile, name, algorithm, expected string) {
	for _, other := range file.owners {
		if other == f || other.root != f.root {
			return
		}
		other.shared = append(other.shared, name+" ("+f.title()+")")
		f.shared = append(f.shared, name+" ("+other.title()+")")
	}
	file.owners = append(file.owners, f)
	c := claimed{name: name, sha256: file.sha256, compiled: file.compiled, algorithm: algorithm, expected: expected}
	if c.sha256 == "" && file.compiled {
		// An error leaves the digest unknown, which the integrity tells.
		c.sha256, _ = s.sum(file.path)
		file.sha256 = c.sha256
	}
	f.files = append(f.files, c)
}

// title is name and version as the metadata folder is called.
func (f *found) title() string {
	name, version := splitEntry(filepath.Base(f.metadata))
	return bounded.Shortened(strings.TrimSpace(name + " " + version))
}

// recordPath is the absolute path that a line of RECORD names, written into
// buffer.
func (f *found) recordPath(buffer, name []byte) []byte {
	switch {
	case filepath.IsAbs(string(name)):
		return append(buffer[:0], filepath.Clean(string(name))...)
	case bytes.Contains(name, []byte("..")):
		return append(buffer[:0], filepath.Join(f.root, filepath.FromSlash(string(name)))...)
	}
	buffer = append(append(buffer[:0], f.root...), filepath.Separator)
	if filepath.Separator == '/' {
		return append(buffer, name...)
	}
	return append(buffer, filepath.FromSlash(string(name))...)
}

// claimRecorded takes the files that RECORD lists.
func (s *scan) claimRecorded(f *found, list []byte) {
	var path, folder []byte
	unread := 0
	own := f.metadata + string(filepath.Separator)
	for line := range bounded.Lines(list) {
		name, rest, ok := cutField(line)
		if !ok {
			unread++ // tells no name that a file could be looked for
			continue
		}
		path = f.recordPath(path, name)
		if dir := path[:max(0, bytes.LastIndexByte(path, filepath.Separator))]; !bytes.Equal(dir, folder) {
			folder = append(folder[:0], dir...)
			s.lists(f, folder)
		}
		file := s.wanted[string(path)]
		if file == nil || bytes.HasPrefix(path, []byte(own)) {
			continue
		}
		algorithm, digest, ok := parseHash(rest)
		if !ok {
			algorithm = malformed
		}
		s.claim(f, file, string(name), algorithm, digest)
	}
	if unread > 0 && len(f.files) > 0 {
		s.problems = append(s.problems, fmt.Sprintf("%s: %d lines cannot be read", filepath.Join(f.metadata, "RECORD"), unread))
	}
}

// lists keeps that a distribution lists a file in a folder that was loaded from.
func (s *scan) lists(f *found, folder []byte) {
	owners, wanted := s.listing[string(folder)]
	if wanted && len(folder) > len(f.root) && !slices.Contains(owners, f) {
		s.listing[string(folder)] = append(owners, f)
	}
}

// findMissing asks for every file that RECORD lists whether it is there. The
// bytecode that some installers list may be deleted without harm.
func (f *found) findMissing(list []byte) {
	if !f.kept {
		return
	}
	var path []byte
	for line := range bounded.Lines(list) {
		name, _, ok := cutField(line)
		if !ok || len(name) == 0 || bytes.HasSuffix(name, []byte(".pyc")) {
			continue
		}
		path = f.recordPath(path, name)
		if !exists(path) {
			f.missing = append(f.missing, string(name))
		}
	}
}

// claimInstalled takes the files that pip's record of a legacy installation
// lists; their paths start from the metadata folder.
func (s *scan) claimInstalled(f *found) {
	list, err := bounded.Read(filepath.Join(f.metadata, "installed-files.txt"), maxList)
	if err != nil {
		return
	}
	f.unlisted = "the distribution has no RECORD, and its list of files no digests"
	for line := range bounded.Lines(list) {
		path := filepath.Join(f.metadata, filepath.FromSlash(string(line)))
		if file := s.wanted[path]; file != nil && !strings.HasPrefix(path, f.metadata+string(filepath.Separator)) {
			name, err := filepath.Rel(f.root, path)
			if err != nil {
				name = path
			}
			s.claim(f, file, filepath.ToSlash(name), "", "")
		}
	}
}

// claimByName takes the files whose first folder or module top_level.txt
// names, or the distribution's own name when there is none.
func (s *scan) claimByName(f *found) {
	modules := map[string]bool{}
	if text, err := bounded.Read(filepath.Join(f.metadata, "top_level.txt"), maxHeader); err == nil {
		for line := range bounded.Lines(text) {
			modules[strings.TrimSpace(string(line))] = true
		}
	} else {
		name, _ := splitEntry(filepath.Base(f.metadata))
		modules[strings.ReplaceAll(Normalise(name), "-", "_")] = true
	}
	for path, file := range s.wanted {
		name, below := relativeTo(f.root, path)
		if !below || file.owners != nil {
			continue
		}
		first, _, _ := strings.Cut(name, "/")
		module, _, _ := strings.Cut(first, ".")
		if modules[module] && !isMetadata(first) {
			s.claim(f, file, name, "", "")
		}
	}
}

// claimExtra gives a file that nobody lists to the distribution whose folder it
// lies in: the nearest folder that any lists a file of, if it is one alone.
func (s *scan) claimExtra() {
	for path, file := range s.wanted {
		if file.owners != nil || file.own || inMetadata(path) {
			continue
		}
		for dir := filepath.Dir(path); len(s.listing[dir]) <= 1; dir = filepath.Dir(dir) {
			if len(s.listing[dir]) == 1 {
				f := s.listing[dir][0]
				if name, below := relativeTo(f.root, path); below {
					s.claim(f, file, name, extra, "")
					s.keep(f)
				}
				break
			}
			if isPackageFolder(dir) || dir == filepath.Dir(dir) {
				break
			}
		}
	}
}

// unclaimed are the files of packages that no distribution holds.
func (s *scan) unclaimed() (paths []string) {
	for path, file := range s.wanted {
		if file.owners == nil && !file.own && !inMetadata(path) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// inMetadata tells whether a file lies in a metadata folder.
func inMetadata(path string) bool {
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if isMetadata(filepath.Base(dir)) {
			return true
		}
	}
	return isMetadata(filepath.Base(path))
}

// relativeTo returns path relative to folder with slashes, if it lies below.
func relativeTo(folder, path string) (string, bool) {
	name, below := strings.CutPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
	return filepath.ToSlash(name), below
}
