package python

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/purl"
)

// malformed stands in place of a digest's algorithm that cannot be read, extra
// in place of one of a file that RECORD does not list.
const (
	malformed = "malformed"
	extra     = "extra"
)

// unknown starts a string that stands for a fact that could not be had.
const unknown = "unknown: "

// LoadedFile is a file that a process of the run has read.
type LoadedFile struct {
	// Path is absolute and free of symbolic links.
	Path string
	// SHA256 is lower-case hex, or empty when it is not known.
	SHA256 string
	// Own is set for a file that lies outside the folders of packages. A
	// distribution holds it only by an editable install, by an installation into
	// a folder of the user's own, or as the archive that it is imported from.
	Own bool
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
	// Location is the folder that it is installed in (site-packages), or the
	// archive that it is imported from.
	Location string `json:"location"`
	// Installer is the program that installed it, "pip", or empty.
	Installer string `json:"installer"`
	// DirectURL is where it was installed from when that was no index (PEP 610),
	// or empty. Commit is the version-control commit that was installed or, for
	// an editable install, that its folder is at; "unknown: …" when that cannot
	// be told, empty when it comes from no version control.
	DirectURL string `json:"directUrl"`
	Commit    string `json:"commit"`
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
	// Modified are the loaded files whose content differs from RECORD, Extra
	// those that lie in its folders and that RECORD does not list. Missing are
	// files that RECORD lists and that are not there, bytecode aside. All are
	// sorted, by their paths as in Digest.
	Modified []string `json:"modified"`
	Extra    []string `json:"extra"`
	Missing  []string `json:"missing"`
	// Shared are loaded files that another distribution lists too, each with
	// the other's name behind it: "PATH (NAME VERSION)".
	Shared []string `json:"shared"`
	// Removed is set when the run itself removed it, so that name and version
	// are told from its metadata folder's name alone.
	Removed bool `json:"removed"`
}

// Installed is what was found out about the files that a run loaded.
type Installed struct {
	// Distributions are sorted by name, version and location.
	Distributions []Distribution
	// Unclaimed are the files of no distribution, sorted; those of metadata
	// folders and the user's own aside.
	Unclaimed []string
	// Holders are the distributions of each file, "NAME VERSION".
	Holders map[string][]string
	// Problems say what metadata could not be read, sorted.
	Problems []string
}

// Distributions tells which distributions the files belong to, by what their
// installers recorded beside them and not by the names of imports.
//
// removed are files that the run removed: of metadata folders among them the
// names still tell what was there. sum returns the SHA-256 of a file in hex; it
// is asked about source files of which only the compiled form is among files.
// Nil stands for one that reads the file.
func Distributions(files []LoadedFile, removed []string, sum func(path string) (string, error)) Installed {
	if sum == nil {
		sum = sumFile
	}
	s := newScan(files, sum)
	s.remember(removed)
	// Nearly all that was loaded belongs to what these folders list, and then
	// the hundreds of folders below them need not be read.
	for _, root := range s.roots(isPackageFolder) {
		s.scanRoot(root)
	}
	for _, root := range s.roots(func(dir string) bool { return !isPackageFolder(dir) }) {
		s.scanRoot(root)
	}
	s.claimExtra()
	s.claimArchives()
	result := Installed{Unclaimed: s.unclaimed(), Holders: map[string][]string{}}
	for path, file := range s.wanted {
		for _, f := range file.owners {
			result.Holders[path] = append(result.Holders[path], f.name+" "+f.version)
		}
	}
	for _, found := range s.found {
		result.Distributions = append(result.Distributions, found.distribution())
	}
	slices.SortFunc(result.Distributions, func(a, b Distribution) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Location, b.Location))
	})
	slices.Sort(s.problems)
	result.Problems = slices.Compact(s.problems)
	return result
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

// found is a distribution and the files it has claimed.
type found struct {
	root     string
	metadata string
	files    []claimed
	missing  []string
	shared   []string
	// unlisted says why there is no list of files; editable is the folder of
	// an editable install.
	unlisted string
	editable string

	name, version, installer string
	directURL, commit        string
	kept                     bool
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
	slices.Sort(f.missing)
	slices.Sort(f.shared)
	d := Distribution{
		Name: Normalise(f.name), Spelled: f.name, Version: f.version, PURL: packageURL(f.name, f.version),
		Location: f.root, Installer: f.installer, DirectURL: f.directURL, Commit: f.commit,
		Files: len(f.files), Missing: f.missing, Shared: f.shared,
		Removed: f.unlisted == removedByRun,
	}
	for _, file := range f.files {
		if file.compiled {
			d.Compiled++
		}
	}
	d.Digest = f.digest()
	f.compare(&d)
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

// compare says whether the loaded files are what RECORD says.
func (f *found) compare(d *Distribution) {
	unsure := map[string]int{}
	for _, file := range f.files {
		switch {
		case file.algorithm == extra:
			d.Extra = append(d.Extra, file.name)
		case file.sha256 == "":
			unsure["the digest of %d files is not known"]++
		case file.algorithm == "":
			unsure["RECORD has no digest for %d files"]++
		case file.algorithm == malformed:
			unsure["RECORD is malformed for %d files"]++
		case file.algorithm != "sha256":
			unsure["RECORD has another digest than SHA-256 for %d files"]++
		case file.sha256 != file.expected:
			d.Modified = append(d.Modified, file.name)
		}
	}
	var wrong []string
	if n := len(d.Modified); n > 0 {
		wrong = append(wrong, countFiles(n))
	}
	if n := len(d.Extra); n > 0 {
		wrong = append(wrong, countFiles(n)+" that RECORD does not list")
	}
	switch {
	case len(wrong) > 0:
		d.Integrity = "modified: " + strings.Join(wrong, ", ")
	case f.unlisted != "":
		d.Integrity = unknown + f.unlisted
	case f.editable != "":
		d.Integrity = unknown + "installed as editable from " + f.editable
	case len(unsure) > 0:
		var reasons []string
		for reason, count := range unsure {
			reasons = append(reasons, fmt.Sprintf(reason, count))
		}
		slices.Sort(reasons)
		d.Integrity = unknown + strings.Join(reasons, ", ")
	default:
		d.Integrity = "matches"
	}
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

var separators = regexp.MustCompile(`[-_.]+`)

// Normalise returns the name of a distribution as PEP 503 compares it.
func Normalise(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// packageURL is of type pypi; without the version when that is unknown.
func packageURL(name, version string) string {
	if strings.HasPrefix(version, unknown) {
		version = ""
	}
	return purl.New("pypi", "", Normalise(name), version)
}
