package python

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// malformed stands in place of a digest's algorithm that cannot be read.
const malformed = "malformed"

// unknown starts a string that stands for a fact that could not be had.
const unknown = "unknown: "

// LoadedFile is a file that a process of the run has read.
type LoadedFile struct {
	// Path is absolute and free of symbolic links.
	Path string
	// SHA256 is lower-case hex, or empty when it is not known.
	SHA256 string
}

// Distribution is an installed Python distribution of which the run loaded at
// least one file. Its metadata folder itself does not count.
type Distribution struct {
	// Name is normalised as PEP 503 says; Spelled is the distribution's own
	// spelling.
	Name    string `json:"name"`
	Spelled string `json:"spelled"`
	// Version as the metadata states it, or "unknown: …".
	Version string `json:"version"`
	// PURL is a package URL of type pypi; without a version when that is
	// unknown.
	PURL string `json:"purl"`
	// Location is the folder that it is installed in (site-packages).
	Location string `json:"location"`
	// Installer is the program that installed it, "pip", or empty.
	Installer string `json:"installer"`
	// Files is how many of its files were loaded; Compiled is how many of them
	// only as the bytecode that Python keeps of a source file. For those the
	// source stands, which Python may have compared with the bytecode by time
	// and size alone.
	Files    int `json:"files"`
	Compiled int `json:"compiled"`
	// Digest is SHA-256 in hex over the lines "<sha256>  <path>\n", one for
	// each loaded file, sorted by path; a path is that in RECORD, else the one
	// relative to Location. "unknown: …" when a file's digest is not known.
	Digest string `json:"digest"`
	// Integrity is "matches" when every loaded file is what RECORD says,
	// "modified: …" or "unknown: …".
	Integrity string `json:"integrity"`
	// Modified are the paths whose content differs from RECORD, sorted.
	Modified []string `json:"modified"`
}

// Distributions tells which distributions the files belong to, by what their
// installers recorded beside them and not by the names of imports; sorted by
// name, version and location. Files of no distribution are left out. The
// second result says what metadata could not be read, sorted.
//
// sum returns the SHA-256 of a file in hex; it is asked about source files of
// which only the compiled form is among files. Nil stands for one that reads
// the file.
func Distributions(files []LoadedFile, sum func(path string) (string, error)) ([]Distribution, []string) {
	if sum == nil {
		sum = sumFile
	}
	s := newScan(files, sum)
	// Nearly all that was loaded belongs to what these folders list, and then
	// the hundreds of folders below them need not be read.
	for _, root := range s.roots(isPackageFolder) {
		s.scanRoot(root)
	}
	for _, root := range s.roots(func(dir string) bool { return !isPackageFolder(dir) }) {
		s.scanRoot(root)
	}
	var result []Distribution
	for _, found := range s.found {
		result = append(result, found.distribution())
	}
	slices.SortFunc(result, func(a, b Distribution) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Location, b.Location))
	})
	slices.Sort(s.problems)
	return result, slices.Compact(s.problems)
}

func sumFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// scan maps loaded files to distributions.
type scan struct {
	// wanted holds the loaded files that no distribution has claimed yet, by
	// absolute path; compiled files stand under the path of their source.
	wanted map[string]*wantedFile
	sum    func(string) (string, error)
	// metadata caches the names of metadata entries in a folder.
	metadata map[string][]string
	found    []*found
	problems []string
}

type wantedFile struct {
	path   string
	sha256 string
	// compiled is set while only the compiled form was loaded.
	compiled bool
}

func newScan(files []LoadedFile, sum func(string) (string, error)) *scan {
	s := &scan{wanted: map[string]*wantedFile{}, sum: sum, metadata: map[string][]string{}}
	for _, file := range files {
		if source, ok := SourceOf(file.Path); ok {
			if s.wanted[source] == nil {
				s.wanted[source] = &wantedFile{path: source, compiled: true}
			}
			continue
		}
		s.wanted[file.Path] = &wantedFile{path: file.Path, sha256: file.SHA256}
	}
	return s
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

// roots returns the folders with metadata, of those that may be one, which lie
// on the way to a file that is still wanted. Outer ones come first: a distribution that another one carries inside
// it belongs to that other one.
func (s *scan) roots(mayBe func(dir string) bool) []string {
	var roots []string
	seen := map[string]bool{}
	for path := range s.wanted {
		for dir := filepath.Dir(path); !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
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
	var result []string
	if file, err := os.Open(dir); err == nil {
		names, _ := file.Readdirnames(-1)
		file.Close()
		for _, name := range names {
			if strings.HasSuffix(name, ".dist-info") || strings.HasSuffix(name, ".egg-info") {
				result = append(result, name)
			}
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
		list, err := readBounded(filepath.Join(f.metadata, "RECORD"), maxList)
		switch {
		case err == nil:
			s.claimRecorded(f, list)
			s.claimEditable(f)
		case os.IsNotExist(err) || !isFolder(f.metadata):
			f.unlisted = "the distribution has no RECORD"
			listless = append(listless, f)
		default:
			s.problems = append(s.problems, err.Error())
			f.unlisted = "its RECORD cannot be read"
			listless = append(listless, f)
		}
		s.keep(f)
	}
	for _, f := range listless {
		s.claimByName(f)
		s.keep(f)
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// keep adds a distribution that has claimed a file.
func (s *scan) keep(f *found) {
	if len(f.files) == 0 || slices.Contains(s.found, f) {
		return
	}
	problem := f.readMetadata()
	if problem != "" {
		s.problems = append(s.problems, problem)
	}
	s.found = append(s.found, f)
}

// claim takes a wanted file for a distribution.
func (s *scan) claim(f *found, file *wantedFile, name, algorithm, expected string) {
	delete(s.wanted, file.path)
	c := claimed{name: name, sha256: file.sha256, compiled: file.compiled, algorithm: algorithm, expected: expected}
	if c.sha256 == "" && file.compiled {
		// An error leaves the digest unknown, which the integrity tells.
		c.sha256, _ = s.sum(file.path)
	}
	f.files = append(f.files, c)
}

// claimRecorded takes the files that RECORD lists.
func (s *scan) claimRecorded(f *found, list []byte) {
	prefix := f.root + string(filepath.Separator)
	for line := range lines(list) {
		name, rest, ok := cutField(line)
		if !ok {
			continue // tells no name that a file could be looked for
		}
		path := prefix + filepath.FromSlash(name)
		if filepath.IsAbs(name) {
			path = filepath.Clean(name)
		} else if strings.Contains(name, "..") {
			path = filepath.Clean(path)
		}
		file := s.wanted[path]
		if file == nil || strings.HasPrefix(path, f.metadata+string(filepath.Separator)) {
			continue
		}
		algorithm, digest, ok := parseHash(rest)
		if !ok {
			algorithm = malformed
		}
		s.claim(f, file, name, algorithm, digest)
	}
}

// claimEditable takes the files below the source folder of an editable
// install, which direct_url.json names (PEP 610).
func (s *scan) claimEditable(f *found) {
	text, err := readBounded(filepath.Join(f.metadata, "direct_url.json"), maxHeader)
	if err != nil {
		return
	}
	folder, ok := parseEditable(text)
	if !ok {
		return
	}
	for path, file := range s.wanted {
		if name, below := relativeTo(folder, path); below {
			f.editable = folder
			s.claim(f, file, name, "", "")
		}
	}
}

// claimByName takes the files whose first folder or module top_level.txt
// names, or the distribution's own name when there is none.
func (s *scan) claimByName(f *found) {
	modules := map[string]bool{}
	if text, err := readBounded(filepath.Join(f.metadata, "top_level.txt"), maxHeader); err == nil {
		for line := range lines(text) {
			modules[strings.TrimSpace(string(line))] = true
		}
	} else {
		name, _ := splitEntry(filepath.Base(f.metadata))
		modules[strings.ReplaceAll(Normalise(name), "-", "_")] = true
	}
	for path, file := range s.wanted {
		name, below := relativeTo(f.root, path)
		if !below {
			continue
		}
		first, _, _ := strings.Cut(name, "/")
		module, _, _ := strings.Cut(first, ".")
		if modules[module] && !strings.HasSuffix(first, "-info") {
			s.claim(f, file, name, "", "")
		}
	}
}

// relativeTo returns path relative to folder with slashes, if it lies below.
func relativeTo(folder, path string) (string, bool) {
	name, below := strings.CutPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
	return filepath.ToSlash(name), below
}

// found is a distribution and the files it has claimed.
type found struct {
	root     string
	metadata string
	files    []claimed
	// unlisted says why there is no list of files; editable is the folder of
	// an editable install.
	unlisted string
	editable string

	name, version, installer string
}

type claimed struct {
	name      string
	sha256    string
	compiled  bool
	algorithm string
	expected  string
}

func (f *found) distribution() Distribution {
	slices.SortFunc(f.files, func(a, b claimed) int { return cmp.Compare(a.name, b.name) })
	d := Distribution{
		Name: Normalise(f.name), Spelled: f.name, Version: f.version, PURL: purl(f.name, f.version),
		Location: f.root, Installer: f.installer, Files: len(f.files),
	}
	for _, file := range f.files {
		if file.compiled {
			d.Compiled++
		}
	}
	d.Digest = f.digest()
	d.Integrity, d.Modified = f.integrity()
	return d
}

func (f *found) digest() string {
	hash := sha256.New()
	for _, file := range f.files {
		if file.sha256 == "" {
			return unknown + "no digest of " + file.name
		}
		fmt.Fprintf(hash, "%s  %s\n", file.sha256, file.name)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func (f *found) integrity() (string, []string) {
	var modified []string
	unsure := map[string]int{}
	for _, file := range f.files {
		switch {
		case file.sha256 == "":
			unsure["the digest of %d files is not known"]++
		case file.algorithm == "":
			unsure["RECORD has no digest for %d files"]++
		case file.algorithm == malformed:
			unsure["RECORD is malformed for %d files"]++
		case file.algorithm != "sha256":
			unsure["RECORD has another digest than SHA-256 for %d files"]++
		case file.sha256 != file.expected:
			modified = append(modified, file.name)
		}
	}
	switch {
	case len(modified) == 1:
		return "modified: 1 file", modified
	case len(modified) > 1:
		return fmt.Sprintf("modified: %d files", len(modified)), modified
	case f.unlisted != "":
		return unknown + f.unlisted, nil
	case f.editable != "":
		return unknown + "installed as editable from " + f.editable, nil
	case len(unsure) > 0:
		var reasons []string
		for reason, count := range unsure {
			reasons = append(reasons, fmt.Sprintf(reason, count))
		}
		slices.Sort(reasons)
		return unknown + strings.Join(reasons, ", "), nil
	}
	return "matches", nil
}

var separators = regexp.MustCompile(`[-_.]+`)

// Normalise returns the name of a distribution as PEP 503 compares it.
func Normalise(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// purl is https://github.com/package-url/purl-spec, type pypi. Of the version,
// what is outside RFC 3986's unreserved characters and ":" is percent-encoded.
func purl(name, version string) string {
	result := "pkg:pypi/" + escape(Normalise(name))
	if !strings.HasPrefix(version, unknown) {
		result += "@" + escape(version)
	}
	return result
}

func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
