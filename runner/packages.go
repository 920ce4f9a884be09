package runner

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/convrun/convrun/runner/hub"
	"github.com/convrun/convrun/runner/installed"
	"github.com/convrun/convrun/runner/python"
)

// filesRead are the files that the run read, as the finders of packages take
// them.
type filesRead struct {
	loaded  []python.LoadedFile
	used    []installed.File
	removed []string
	// classes and sums of used, by path.
	classes map[string]Class
	sums    map[string]string
}

func (w *watch) filesRead() filesRead {
	f := filesRead{classes: map[string]Class{}, sums: map[string]string{}}
	for _, r := range w.files.records {
		if r.removed {
			f.removed = append(f.removed, r.first)
		}
		moved := r.renamed && r.removed // as pip does with what it uninstalls
		if !r.read || r.written && !moved || r.content == nil {
			continue
		}
		sum := r.content.wait().sha256
		if r.class != Runtime && r.class != System {
			f.loaded = append(f.loaded, python.LoadedFile{Path: r.first, SHA256: sum, Own: r.class != Package})
		}
		file := w.installedFile(r, sum)
		f.used = append(f.used, file)
		f.classes[file.Path], f.sums[file.Path] = r.class, file.SHA256
	}
	return f
}

// readPackages finds the packages behind the files that were read.
func (w *watch) readPackages(o *Observation) {
	read := w.filesRead()
	var distributions python.Installed
	var others installed.Result
	var both sync.WaitGroup
	both.Go(func() { distributions = python.Distributions(read.loaded, read.removed, w.hash.sum) })
	both.Go(func() { others = installed.Find("/", read.used) })
	both.Wait()

	o.Distributions, o.Packages, o.Unpackaged = distributions.Distributions, others.Packages, []Unpackaged{}
	for i := range o.Distributions {
		o.Distributions[i].DirectURL = w.redact.Text(o.Distributions[i].DirectURL)
	}
	for _, path := range unpackaged(distributions.Unclaimed, others.Unclaimed, read.classes) {
		sum, known := read.sums[path]
		if !known {
			sum, _ = w.hash.sum(path) // a module of which only the bytecode was read
		}
		o.Unpackaged = append(o.Unpackaged, Unpackaged{Path: path, Class: read.classes[path], SHA256: sum})
	}
	o.Libraries = libraries(sharedLibraries(read.used), distributions.Holders, others.Holders)
	o.Capture.Notes = append(o.Capture.Notes, slices.Concat(distributions.Problems, others.Problems)...)
}

// installedFile is what was read as the installers' records have it: they list
// the source of a module, and not the bytecode that is made at installation.
func (w *watch) installedFile(r *record, sum string) installed.File {
	if r.class == Runtime || r.class == System || strings.Contains(r.first, "/dist-packages/") {
		if source, ok := python.SourceOf(r.first); ok {
			sum, _ = w.hash.sum(source) // without one, the package says so
			return installed.File{Path: source, SHA256: sum}
		}
	}
	return installed.File{Path: r.first, SHA256: sum}
}

// unpackaged are the files that neither a distribution of Python's nor another
// package holds, those of the user's own aside.
func unpackaged(python, others []string, classes map[string]Class) (rest []string) {
	of := map[string]bool{}
	for _, path := range others {
		if of[path] = true; classes[path] == Runtime || classes[path] == System {
			rest = append(rest, path)
		}
	}
	for _, path := range python {
		if _, asked := classes[path]; !asked || of[path] {
			rest = append(rest, path)
		}
	}
	slices.Sort(rest)
	return slices.Compact(rest)
}

// sharedLibraries are the paths of the files that are named as such.
func sharedLibraries(files []installed.File) (paths []string) {
	for _, file := range files {
		if strings.Contains(filepath.Base(file.Path), ".so") {
			paths = append(paths, file.Path)
		}
	}
	return paths
}

// hubFiles are the files that may come from the cache of a hub: none that was
// installed, or that is gone.
func hubFiles(files []File) (candidates []hub.File) {
	for _, f := range files {
		if f.Class == Input || f.Class == Code || f.Class == Output {
			candidates = append(candidates, hub.File{Path: f.Path, Requested: f.Requested, SHA256: f.SHA256})
		}
	}
	return candidates
}
