package provenance

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// Artifact is a model among the files of a run.
type Artifact struct {
	// Path is the model's file or folder, absolute and without links.
	Path    string
	Purpose model.Purpose
	Model   *model.Model
	// Files are all that belong to the model, absolute; its main file is first.
	Files []string
	// Canonical is the model's canonical digest, model.Canonical;
	// CanonicalNote says why it is empty.
	Canonical, CanonicalNote string
	// Folding accounts for the batch normalizations of the trained model in
	// the file FoldedFrom, absolute; nil when there is no such file.
	Folding    *model.Folding
	FoldedFrom string
}

// Frozen chooses the frozen models of a run among artifacts, the main one
// first: those declared with --output; else every output of a deployment
// format, and if there is none those of a training format. Among these what an
// observed converter call wrote comes first, then what no other call went on to
// read, then the larger, then the path decides: a model that was made from
// another one is a frozen model too.
func Frozen(o *runner.Observation, artifacts []Artifact) []Artifact {
	sizes, declared := map[string]int64{}, map[string]bool{}
	for _, file := range o.Files {
		if file.Class == runner.Output {
			sizes[file.Path] = file.Size
			if file.Declared {
				declared[file.Path] = true
			}
		}
	}
	written := filter(artifacts, func(a Artifact) bool {
		return slices.ContainsFunc(a.Files, func(path string) bool { _, ok := sizes[path]; return ok })
	})
	called, step := map[string]bool{}, map[string]bool{}
	for _, a := range written {
		called[a.Path] = slices.ContainsFunc(o.Python.Calls, func(c python.Call) bool { return asked(c, a) })
		step[a.Path] = slices.ContainsFunc(o.Python.Calls, func(c python.Call) bool { return covers(c.Reads, a.Path) && !asked(c, a) })
	}
	slices.SortStableFunc(written, func(a, b Artifact) int {
		return cmp.Or(
			cmp.Compare(order(called[b.Path]), order(called[a.Path])), cmp.Compare(order(step[a.Path]), order(step[b.Path])),
			cmp.Compare(total(b, sizes), total(a, sizes)), strings.Compare(a.Path, b.Path))
	})
	if len(declared) > 0 && !slices.ContainsFunc(written, func(a Artifact) bool { return anyOf(a.Files, declared) }) {
		return nil // what the user calls the frozen model is of no format that is known
	}
	for _, choose := range []func(Artifact) bool{
		func(a Artifact) bool { return anyOf(a.Files, declared) },
		func(a Artifact) bool { return a.Purpose == model.ForDeployment },
		func(Artifact) bool { return true },
	} {
		if chosen := filter(written, choose); len(chosen) > 0 {
			return chosen
		}
	}
	return nil
}

// asked tells whether a call was asked to write an artifact: under its name or
// in that folder, or under its name without the extension, which some
// converters add.
func asked(call python.Call, a Artifact) bool {
	return covers(call.Writes, a.Path) || slices.Contains(call.Writes, strings.TrimSuffix(a.Path, filepath.Ext(a.Path)))
}

// covers tells whether a call that named these files, or folders, as what it
// writes or reads has named the one at path.
func covers(files []string, path string) bool {
	return slices.ContainsFunc(files, func(file string) bool {
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(file, string(filepath.Separator)))
		return ok && (rest == "" || rest[0] == filepath.Separator)
	})
}

func filter(artifacts []Artifact, choose func(Artifact) bool) (chosen []Artifact) {
	for _, artifact := range artifacts {
		if choose(artifact) {
			chosen = append(chosen, artifact)
		}
	}
	return chosen
}

func order(first bool) int {
	if first {
		return 1
	}
	return 0
}

func anyOf(paths []string, set map[string]bool) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return set[path] })
}

func total(a Artifact, sizes map[string]int64) (sum int64) {
	for _, path := range a.Files {
		sum += sizes[path]
	}
	return sum
}

// MainOutput is the file or folder that the log lies beside: the first frozen
// model, else a declared output, else the largest; "" when there is no output.
func MainOutput(o *runner.Observation, frozen []Artifact) string {
	if len(frozen) > 0 {
		return frozen[0].Path
	}
	var main runner.File
	for _, file := range o.Files {
		if file.Class == runner.Output && !redirected(file) && (main.Path == "" || rank(file) > rank(main)) {
			main = file
		}
	}
	return main.Path
}

// redirected tells whether a file is only where the command's own output was
// redirected to, and nobody called it an output of the conversion.
func redirected(file runner.File) bool { return file.Inherited && !file.Declared }

func rank(file runner.File) int64 {
	if file.Declared {
		return file.Size + 1<<62
	}
	return file.Size
}

// Base is the folder that the names of subjects are relative to: the deepest
// one that holds all of them. For one frozen model it is the folder that the
// log lies in.
func Base(o *runner.Observation, frozen []Artifact) string {
	base := ""
	for _, artifact := range frozen {
		base = commonFolder(base, filepath.Dir(artifact.Path))
	}
	if len(frozen) == 0 {
		for _, file := range o.Files {
			if file.Class == runner.Output && !redirected(file) {
				base = commonFolder(base, filepath.Dir(file.Path))
			}
		}
	}
	if base == "" {
		return o.WorkingDirectory
	}
	return base
}

func commonFolder(a, b string) string {
	if a == "" {
		return b
	}
	for {
		if relative, err := filepath.Rel(a, b); err == nil && filepath.IsLocal(relative) {
			return a
		}
		parent := filepath.Dir(a)
		if parent == a {
			return a
		}
		a = parent
	}
}
