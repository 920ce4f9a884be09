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

// readPackages finds the packages behind the files that were read.
func (w *watch) readPackages(o *Observation) {
	var loaded []python.LoadedFile
	var used []installed.File
	var removed []string
	classes, sums := map[string]Class{}, map[string]string{}
	for _, r := range w.files.records {
		if r.removed {
			removed = append(removed, r.first)
		}
		moved := r.renamed && r.removed // as pip does with what it uninstalls
		if !r.read || r.written && !moved || r.content == nil {
			continue
		}
		sum := r.content.wait().sha256
		if r.class != Runtime && r.class != System {
			loaded = append(loaded, python.LoadedFile{Path: r.first, SHA256: sum, Own: r.class != Package})
		}
		file := w.installedFile(r, sum)
		used = append(used, file)
		classes[file.Path], sums[file.Path] = r.class, file.SHA256
	}
	var distributions python.Installed
	var others installed.Result
	var both sync.WaitGroup
	both.Go(func() { distributions = python.Distributions(loaded, removed, w.hash.sum) })
	both.Go(func() { others = installed.Find("/", used) })
	both.Wait()
	o.Libraries = libraries(sharedLibraries(used), distributions.Holders, others.Holders)

	for i := range distributions.Distributions {
		d := &distributions.Distributions[i]
		d.DirectURL = w.redact.Text(d.DirectURL)
	}
	o.Distributions, o.Packages, o.Unpackaged = distributions.Distributions, others.Packages, []Unpackaged{}
	for _, path := range unpackaged(distributions.Unclaimed, others.Unclaimed, classes) {
		sum, known := sums[path]
		if !known {
			sum, _ = w.hash.sum(path) // a module of which only the bytecode was read
		}
		o.Unpackaged = append(o.Unpackaged, Unpackaged{Path: path, Class: classes[path], SHA256: sum})
	}
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
