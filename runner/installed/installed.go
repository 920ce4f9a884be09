// Package installed tells which packages files were installed with, as far as
// these are none of Python's own: packages of the operating system (dpkg, rpm,
// apk), of conda, of Node and of Java. It reads what the installers recorded on
// disk, and runs none of them.
package installed

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
	"github.com/convrun/convrun/runner/purl"
)

// Bounds of what is read.
const (
	maxList   = 64 << 20 // one database, or one list of files
	maxHeader = 256 << 10
	// maxRead bounds the bytes that are read again for digests which only the
	// installer's record has (MD5 of dpkg, SHA-1 of apk).
	maxRead = 16 << 20
)

const unknown = "unknown: "

// File is a file that the run read or executed.
type File struct {
	// Path is absolute and free of symbolic links.
	Path string
	// SHA256 is lower-case hex, or empty when it is not known.
	SHA256 string
}

// Package is an installed package of which the run used at least one file.
type Package struct {
	Name string `json:"name"`
	// Version as the installer states it.
	Version string `json:"version"`
	// PURL is a package URL; empty when the package has no name that one could
	// be made of.
	PURL string `json:"purl"`
	// Record is the file that says so.
	Record string `json:"record"`
	// Files is how many of its files were used, and Digest SHA-256 in hex over
	// the lines "<sha256>  <absolute path>\n", one for each, sorted by path.
	// "unknown: …" when a file's digest is not known.
	Files  int    `json:"files"`
	Digest string `json:"digest"`
	// Integrity is "matches" when every file that was used is what the record
	// says, "modified: …" or "unknown: …"; Modified are those that are not.
	Integrity string   `json:"integrity"`
	Modified  []string `json:"modified"`
}

// Result is what was found out.
type Result struct {
	// Packages are sorted by package URL, name and record. A file may belong to
	// several, of different installers.
	Packages []Package
	// Unclaimed are the files of no package, sorted.
	Unclaimed []string
	// Holders are the packages of each file, "NAME VERSION".
	Holders map[string][]string
	// Problems say what could not be read, sorted.
	Problems []string
}

// Find looks for the packages in the records below root, which is "/" but for
// tests.
func Find(root string, files []File) Result {
	s := newSearch(root, files)
	s.system()
	s.conda()
	s.node()
	s.java()
	return s.result()
}

// search maps files to packages.
type search struct {
	root    string
	files   map[string]*file
	paths   []string // of files, sorted
	aliases []alias
	// folders are those that hold a file, by each name that records may use.
	// Nearly all that a system's records list lies in others.
	folders map[string]bool
	// buffer, and the folder that was asked for last, for installedAt.
	buffer, folder []byte
	inFolder       bool
	owners         []*owner
	// unowned are files that a package of the system may own, less those at
	// the front that one has claimed.
	unowned  []string
	problems []string
	// left is how many bytes may still be read for digests.
	left int64
}

type file struct {
	File
	owned bool
}

// owner is a package and the files that it has claimed.
type owner struct {
	Package
	architecture string
	claims       []claim
	// unlisted says why the record has no digests, when it has none at all.
	unlisted string
}

type claim struct {
	*file
	// algorithm is "sha256", "sha1", "md5", or empty when the record has no
	// digest; expected is in lower-case hex.
	algorithm, expected string
}

func newSearch(root string, files []File) *search {
	s := &search{root: root, files: map[string]*file{}, folders: map[string]bool{}, folder: []byte("?"), left: maxRead}
	for _, f := range files {
		s.files[f.Path] = &file{File: f}
		s.paths = append(s.paths, f.Path)
	}
	slices.Sort(s.paths)
	s.paths = slices.Compact(s.paths)
	s.aliases = findAliases(root)
	for _, path := range s.paths {
		folder := filepath.Dir(path)
		if s.folders[folder] {
			continue
		}
		s.folders[folder] = true
		for _, a := range s.aliases {
			if rest, ok := strings.CutPrefix(folder+"/", a.to); ok {
				s.folders[filepath.Clean(string(a.from)+rest)] = true
			}
		}
	}
	s.unowned = s.systemFiles()
	return s
}

func (s *search) problem(format string, arguments ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, arguments...))
}

// path is where a record's path below root lies.
func (s *search) path(name string) string { return filepath.Join(s.root, name) }

// alias is a folder that is a link to another one, as /lib is to /usr/lib since
// the two were merged: records have the one name, runs the other.
type alias struct {
	from []byte
	to   string
}

func findAliases(root string) (aliases []alias) {
	for _, name := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr/sbin", "/usr/lib64"} {
		from := filepath.Join(root, name)
		if to, err := filepath.EvalSymlinks(from); err == nil && to != from {
			aliases = append(aliases, alias{[]byte(from + "/"), to + "/"})
		}
	}
	return aliases
}

// claim takes the file at an absolute path, as a record spells it, for a
// package. It tells whether the run used that file.
func (s *search) claim(o *owner, path []byte, algorithm, expected string) bool {
	f := s.files[string(path)]
	if f == nil {
		for _, a := range s.aliases {
			if bytes.HasPrefix(path, a.from) {
				f = s.files[a.to+string(path[len(a.from):])]
				break
			}
		}
	}
	if f == nil || slices.ContainsFunc(o.claims, func(c claim) bool { return c.file == f }) {
		return f != nil
	}
	f.owned = true
	o.claims = append(o.claims, claim{f, algorithm, expected})
	return true
}

// add keeps a package that has claimed a file.
func (s *search) add(o *owner) {
	if len(o.claims) > 0 {
		s.owners = append(s.owners, o)
	}
}

func (s *search) result() Result {
	r := Result{Holders: map[string][]string{}}
	for _, o := range s.owners {
		slices.SortFunc(o.claims, func(a, b claim) int { return cmp.Compare(a.Path, b.Path) })
	}
	// The bytes that may be read go to the same files in every run.
	slices.SortStableFunc(s.owners, func(a, b *owner) int {
		return cmp.Or(cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Record, b.Record))
	})
	for _, o := range s.owners {
		o.Files = len(o.claims)
		o.Digest = o.digest()
		s.compare(o)
		r.Packages = append(r.Packages, o.Package)
		for _, c := range o.claims {
			r.Holders[c.Path] = append(r.Holders[c.Path], o.Name+" "+o.Version)
		}
	}
	for _, path := range s.paths {
		if !s.files[path].owned {
			r.Unclaimed = append(r.Unclaimed, path)
		}
	}
	slices.Sort(s.problems)
	r.Problems = slices.Compact(s.problems)
	return r
}

func (o *owner) digest() string {
	sum := sha256.New()
	for _, c := range o.claims {
		if c.SHA256 == "" {
			return unknown + "no digest of " + c.Path
		}
		fmt.Fprintf(sum, "%s  %s\n", c.SHA256, c.Path)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// compare says whether the files are what the record says.
func (s *search) compare(o *owner) {
	unsure := map[string]int{}
	for _, c := range o.claims {
		got, reason := s.sum(c)
		switch {
		case reason != "":
			unsure[reason]++
		case got != c.expected:
			o.Modified = append(o.Modified, c.Path)
		}
	}
	switch {
	case len(o.Modified) == 1:
		o.Integrity = "modified: 1 file"
	case len(o.Modified) > 1:
		o.Integrity = fmt.Sprintf("modified: %d files", len(o.Modified))
	case o.unlisted != "":
		o.Integrity = unknown + o.unlisted
	case len(unsure) > 0:
		var reasons []string
		for reason, n := range unsure {
			reasons = append(reasons, fmt.Sprintf("%s (%d)", reason, n))
		}
		slices.Sort(reasons)
		o.Integrity = unknown + strings.Join(reasons, ", ")
	default:
		o.Integrity = "matches"
	}
}

// sum is the digest of a file by the record's algorithm, or why there is none.
func (s *search) sum(c claim) (digest, reason string) {
	switch c.algorithm {
	case "":
		return "", "files without a digest in the record"
	case "sha256":
		if c.SHA256 == "" {
			return "", "files whose digest is not known"
		}
		return c.SHA256, ""
	case "md5":
		return s.read(c.Path, md5.New())
	case "sha1":
		return s.read(c.Path, sha1.New())
	}
	return "", "files with another digest in the record than convrun computes"
}

// read hashes a file again, as long as there is room for it.
func (s *search) read(path string, sum hash.Hash) (digest, reason string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", "files that cannot be read"
	}
	if info.Size() > s.left {
		return "", fmt.Sprintf("files not read again, %d MiB being the limit", maxRead>>20)
	}
	s.left -= info.Size()
	f, err := os.Open(path)
	if err != nil {
		return "", "files that cannot be read"
	}
	defer f.Close()
	if _, err := io.Copy(sum, io.LimitReader(f, info.Size())); err != nil {
		return "", "files that cannot be read"
	}
	return hex.EncodeToString(sum.Sum(nil)), ""
}

// named sets what names a package.
func (o *owner) named(kind, namespace, name, version, record string, qualifiers ...string) {
	o.Name, o.Version, o.Record = bounded.Shortened(name), bounded.Shortened(version), record
	o.PURL = purl.New(kind, bounded.Shortened(namespace), o.Name, o.Version, qualifiers...)
	if o.Version == "" {
		o.Version = unknown + "the record does not say"
	}
}
