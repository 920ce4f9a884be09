package provenance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// maxNamed bounds the files that are named of one package, maxUnpackaged those
// of none.
const (
	maxNamed      = 50
	maxUnpackaged = 100
)

func (b *builder) packages() []Package {
	packages := []Package{}
	for _, d := range b.o.Distributions {
		packages = append(packages, Package{
			Name: d.Name, Version: d.Version, PURL: d.PURL, Files: d.Files, Digest: known(d.Digest), Integrity: d.Integrity,
			Installer: d.Installer, DirectURL: d.DirectURL, Commit: d.Commit,
			Modified: named(d.Modified), Extra: named(d.Extra), Missing: named(d.Missing),
		})
	}
	slices.SortFunc(packages, byNameAndVersion)
	return packages
}

// named are the first of many names, as text.
func named(paths []string) (names []string) {
	for _, path := range paths[:min(len(paths), maxNamed)] {
		names = append(names, TextName(path))
	}
	if more := len(paths) - maxNamed; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return names
}

func (b *builder) otherPackages() (packages []OtherPackage) {
	for _, p := range b.o.Packages {
		packages = append(packages, OtherPackage{
			Name: p.Name, Version: p.Version, PURL: p.PURL, Record: TextName(p.Record), Files: p.Files, Digest: known(p.Digest),
			Integrity: p.Integrity, Modified: named(p.Modified),
		})
	}
	return packages
}

// unpackaged lists what no package holds. Of an interpreter that was built
// where it is, that is its whole standard library, which is one entry.
func (b *builder) unpackaged() []ResourceDescriptor {
	var runtime, rest []ResourceDescriptor
	for _, file := range b.o.Unpackaged {
		descriptor := ResourceDescriptor{Name: TextName(file.Path), Digest: sha256Set(file.SHA256)}
		if file.Class == runner.Runtime {
			runtime = append(runtime, descriptor)
		} else {
			rest = append(rest, descriptor)
		}
	}
	if more := len(rest) - maxUnpackaged; more > 0 {
		rest = append(rest[:maxUnpackaged:maxUnpackaged], fold(furtherName(more), rest[maxUnpackaged:]))
	}
	if len(runtime) > 0 {
		rest = append(rest, fold(fmt.Sprintf("%d files of interpreters and their standard libraries", len(runtime)), runtime))
	}
	return rest
}

// builtIn are libraries that a framework names as built into it, by the key of
// its build.
var builtIn = []struct{ key, name string }{{"cuda", "CUDA runtime"}, {"cuda_version", "CUDA runtime"}, {"cudnn", "cuDNN"}, {"cudnn_version", "cuDNN"}, {"hip", "ROCm HIP"}, {"mkl", "MKL"}, {"onednn", "oneDNN"}}

// nativeLibraries are the loaded libraries, those of one name and one package
// together, and those that frameworks say to be built into them.
func (b *builder) nativeLibraries() (libraries []NativeLibrary) {
	seen := map[string]int{}
	for _, l := range b.o.Libraries {
		version := cmp.Or(packagedVersion(l), l.Version)
		if at, known := seen[l.Name+"\x00"+version]; known {
			libraries[at].Evidence = append(libraries[at].Evidence, fileEvidence(l))
			continue
		}
		seen[l.Name+"\x00"+version] = len(libraries)
		libraries = append(libraries, NativeLibrary{Name: l.Name, Version: cmp.Or(version, Unknown+"neither the names of its files nor a package tell"), Evidence: []string{fileEvidence(l)}})
	}
	for _, f := range b.o.Python.Frameworks {
		libraries = append(libraries, builtInto(f)...)
	}
	slices.SortStableFunc(libraries, func(x, y NativeLibrary) int { return strings.Compare(x.Name, y.Name) })
	return libraries
}

// builtInto are the libraries that a framework names itself.
func builtInto(f python.Framework) (libraries []NativeLibrary) {
	for _, built := range builtIn {
		if value := f.Build[built.key]; value != "" && value != "None" {
			libraries = append(libraries, NativeLibrary{Name: built.name, Version: value, Evidence: []string{fmt.Sprintf("%s %s was built with it, by its own word", f.Name, f.Version)}})
		}
	}
	return libraries
}

// carriers are distributions that are made to carry a library, so that their
// version is the library's own and more exact than its file's name.
var carriers = []string{"nvidia-", "mkl", "intel-openmp", "tbb", "onnxruntime", "openvino", "scipy-openblas"}

// packagedVersion is the version of the package that carries the library; empty
// when it comes with another, as numpy brings its OpenBLAS.
func packagedVersion(l runner.Library) string {
	for _, holder := range l.Holders {
		name, version, _ := strings.Cut(holder, " ")
		if slices.ContainsFunc(carriers, func(carrier string) bool { return strings.HasPrefix(python.Normalise(name), carrier) }) {
			return version
		}
	}
	return ""
}

func fileEvidence(l runner.Library) string {
	text := TextName(l.Path)
	if l.Soname != "" {
		text += ", soname " + TextName(l.Soname)
	}
	if len(l.Holders) > 0 {
		text += ", of " + strings.Join(l.Holders, ", ")
	}
	return text
}

func (b *builder) hubs() (sources []HubSource) {
	for _, s := range b.o.Hubs {
		sources = append(sources, HubSource{
			Hub: s.Hub, Kind: s.Kind, Repository: TextName(s.Repository), Revision: TextName(s.Revision), Ref: TextName(s.Ref), Pinned: s.Pinned, Reason: TextName(s.Reason),
			PURL: s.PURL, Location: TextName(s.Location), Files: s.Files, Digest: known(s.Digest),
		})
	}
	return sources
}

// packageFindings name the files that are not as they were installed, and the
// sources that another run may find changed.
func (b *builder) packageFindings(found *findingList) {
	for _, d := range b.o.Distributions {
		title := d.Name + " " + d.Version
		for _, told := range []struct {
			id, message string
			files       []string
		}{
			{"CR-PACKAGE-MODIFIED", "%s is not as it was installed: %s changed", d.Modified},
			{"CR-PACKAGE-EXTRA", "%s is not as it was installed: %s not in its list loaded from its folders", d.Extra},
			{"CR-PACKAGE-MISSING", "%s is not as it was installed: %s missing", d.Missing},
			{"CR-PACKAGE-SHARED", "%s lists %s that another package lists too", d.Shared},
		} {
			if n := len(told.files); n > 0 {
				found.add(Finding{ID: told.id, Subject: d.Name, Message: fmt.Sprintf(told.message, title, countFiles(n)), Evidence: strings.Join(named(told.files), ", ")})
			}
		}
		if d.Removed {
			found.add(Finding{ID: "CR-PACKAGE-REMOVED", Subject: d.Name, Message: title + " was loaded, and removed before the run ended: whether it was as installed is not known", Evidence: d.Location})
		}
	}
	for _, p := range b.o.Packages {
		if n := len(p.Modified); n > 0 {
			found.add(Finding{ID: "CR-PACKAGE-MODIFIED", Subject: p.Name, Message: fmt.Sprintf("%s %s is not as it was installed: %s changed", p.Name, p.Version, countFiles(n)), Evidence: strings.Join(named(p.Modified), ", ")})
		}
	}
	for _, s := range b.o.Hubs {
		what := fmt.Sprintf("%s %s of %s at %s", s.Hub, s.Kind, s.Repository, s.Revision)
		switch {
		case s.Pinned == nil:
			found.add(Finding{ID: "CR-HUB-UNKNOWN", Subject: s.Repository, Message: what + ": whether the revision was pinned is not known", Evidence: TextName(s.Reason)})
		case !*s.Pinned:
			found.add(Finding{ID: "CR-HUB-FLOATING", Subject: s.Repository, Message: what + ": the revision was not pinned", Evidence: TextName(s.Reason)})
		}
	}
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// fold is one entry for several files, with one digest over the lines
// "<sha256>  <name>\n" of all of them.
func fold(name string, files []ResourceDescriptor) ResourceDescriptor {
	lines := digest.SHA256.Digester()
	for _, file := range files {
		fmt.Fprintf(lines.Hash(), "%s  %s\n", file.Digest["sha256"], file.Name)
	}
	return ResourceDescriptor{
		Name: name, Digest: sha256Set(lines.Digest().Encoded()),
		Annotations: &Annotations{Reason: "not listed one by one: the digest is over the lines \"<sha256>  <name>\" of all of them"},
	}
}
