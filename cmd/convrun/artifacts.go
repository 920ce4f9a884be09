package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/sign"
)

// findArtifacts recognises the models among the files that the run read as
// input or wrote. A file that cannot be judged costs a note.
func findArtifacts(o *runner.Observation) (artifacts []provenance.Artifact, notes []string) {
	seen := map[string]bool{}
	for _, file := range o.Files {
		if file.Class != runner.Input && file.Class != runner.Output {
			continue
		}
		root := model.Root(file.Path)
		if seen[root] {
			continue
		}
		seen[root] = true
		format, ok, err := model.Detect(root)
		if err != nil {
			notes = append(notes, fmt.Sprintf("whether %s is a model could not be told: %v", root, err))
			continue
		}
		if !ok {
			continue
		}
		m := inspect(root, format)
		artifacts = append(artifacts, provenance.Artifact{Path: root, Purpose: format.Purpose, Model: m, Files: filesOf(root, format, m)})
	}
	return withoutParts(artifacts), notes
}

// inspect reads a model. Whatever goes wrong costs what the log says of it.
func inspect(root string, format model.Format) (m *model.Model) {
	defer func() {
		if r := recover(); r != nil {
			m = model.Unreadable(format, filepath.Base(root), fmt.Errorf("internal error: %v", r))
		}
	}()
	m, err := model.Inspect(root)
	if err != nil {
		return model.Unreadable(format, filepath.Base(root), err)
	}
	return m
}

// addUntouched hashes the parts of frozen models, and of models that are
// folders, that the run did not touch: they are part of the model all the same.
func addUntouched(o *runner.Observation, frozen, artifacts []provenance.Artifact) {
	known := map[string]bool{}
	for _, file := range o.Files {
		known[file.Path] = file.Class != runner.Temporary
	}
	whole := slices.Clone(frozen)
	for _, artifact := range artifacts {
		if artifact.Path != artifact.Files[0] && !isAmong(artifact, frozen) {
			whole = append(whole, artifact)
		}
	}
	for _, artifact := range whole {
		for _, path := range artifact.Files {
			if known[path] {
				continue
			}
			file := runner.File{Path: path, Class: runner.Untouched}
			if err := hashInto(&file); err != nil {
				file.Reason = provenance.Unknown + err.Error()
			}
			o.Files, known[path] = append(o.Files, file), true
		}
	}
}

func isAmong(a provenance.Artifact, artifacts []provenance.Artifact) bool {
	return slices.ContainsFunc(artifacts, func(other provenance.Artifact) bool { return other.Path == a.Path })
}

// addCanonical digests what each frozen model does.
func addCanonical(artifacts, frozen []provenance.Artifact) {
	for i := range artifacts {
		a := &artifacts[i]
		if isAmong(*a, frozen) {
			a.Canonical, a.CanonicalNote = canonical(a.Path)
		}
	}
}

// addFolding looks in each frozen model for the batch normalizations of the
// trained models that the run read. Of several, the one that is found best is
// what it was made from.
func addFolding(o *runner.Observation, artifacts, frozen []provenance.Artifact) (notes []string) {
	read := map[string]bool{}
	for _, file := range o.Files {
		// What the run has overwritten no longer says what it was.
		read[file.Path] = file.Class == runner.Input
	}
	for i := range artifacts {
		a := &artifacts[i]
		if !isAmong(*a, frozen) {
			continue
		}
		for _, source := range artifacts {
			if !slices.ContainsFunc(source.Files, func(path string) bool { return read[path] }) {
				continue
			}
			folding, err := proveFolding(source.Path, a.Path)
			if err != nil {
				notes = append(notes, fmt.Sprintf("batch normalization of %s in %s was not accounted for: %v", source.Path, a.Path, err))
			}
			if folding != nil && (a.Folding == nil || len(folding.Missing) < len(a.Folding.Missing)) {
				a.Folding, a.FoldedFrom = folding, source.Path
			}
		}
	}
	return notes
}

func proveFolding(trained, frozen string) (folding *model.Folding, err error) {
	defer func() {
		if r := recover(); r != nil {
			folding, err = nil, fmt.Errorf("internal error: %v", r)
		}
	}()
	return model.ProveFolding(trained, frozen)
}

// canonical is a model's canonical digest, or why it has none.
func canonical(path string) (sum, note string) {
	defer func() {
		if r := recover(); r != nil {
			sum, note = "", fmt.Sprintf("%sinternal error: %v", provenance.Unknown, r)
		}
	}()
	sum, err := model.Canonical(path)
	switch {
	case errors.Is(err, model.ErrNotCanonical):
		return "", err.Error()
	case err != nil:
		return "", provenance.Unknown + err.Error()
	}
	return sum, ""
}

// signaturesBeside reads the model signatures that lie where model_signing puts
// them, or beside a model under its name. Nothing of them is verified.
func signaturesBeside(artifacts []provenance.Artifact) map[string][]provenance.SignatureFile {
	found := map[string][]provenance.SignatureFile{}
	for _, artifact := range artifacts {
		folder := filepath.Dir(artifact.Path)
		for _, path := range []string{filepath.Join(artifact.Path, "model.sig"), artifact.Path + ".sig", filepath.Join(folder, "model.sig")} {
			data, err := readRegular(path, sign.MaxBundleSize)
			if err != nil {
				continue
			}
			payload, err := sign.UnverifiedPayload(data)
			if err != nil {
				continue // no bundle, or of a version that is not read
			}
			signer, _ := sign.UnverifiedSigner(data) // it was just read
			found[artifact.Path] = append(found[artifact.Path], provenance.SignatureFile{
				Path: path, SHA256: digest.FromBytes(data).Encoded(), Payload: payload, Signer: signer,
			})
		}
	}
	return found
}

func hashInto(file *runner.File) error {
	opened, err := os.Open(file.Path)
	if err != nil {
		return err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return err
	}
	sum, err := digest.FromReader(opened)
	if err != nil {
		return err
	}
	file.Size, file.SHA256 = info.Size(), sum.Encoded()
	return nil
}

// filesOf lists the files of a model, its main file first; a part that is
// missing, or that lies where it must not, is none.
func filesOf(root string, format model.Format, m *model.Model) []string {
	folder := filepath.Dir(root)
	if format.Directory {
		folder = root
	}
	paths := []string{filepath.Join(folder, filepath.FromSlash(m.Main))}
	for _, part := range m.Parts {
		if part.Size >= 0 {
			paths = append(paths, filepath.Join(folder, filepath.FromSlash(part.Name)))
		}
	}
	return paths
}

// withoutParts drops an artifact that is only a part of another one: the file
// with a model's external data may look like a model of its own.
func withoutParts(artifacts []provenance.Artifact) []provenance.Artifact {
	return slices.DeleteFunc(slices.Clone(artifacts), func(a provenance.Artifact) bool {
		return slices.ContainsFunc(artifacts, func(b provenance.Artifact) bool {
			return b.Path != a.Path && slices.Contains(b.Files, a.Path)
		})
	})
}

// Bounds on the scripts whose text goes into the log, in bytes: of one, of all
// together, and of a notebook, whose pictures are left out.
const (
	maxScript   = 64 << 10
	maxScripts  = 256 << 10
	maxNotebook = 8 << 20
)

// scriptTexts reads the user's own scripts that the run read, those first that
// the command line names, bounded, secrets taken out.
func scriptTexts(o *runner.Observation, redactor *runner.Redactor) map[string]provenance.ScriptText {
	texts := map[string]provenance.ScriptText{}
	left := maxScripts
	for _, named := range []bool{true, false} {
		for _, file := range o.Files {
			if file.Class != runner.Code || !file.Read || isNamed(o, file.Path) != named {
				continue
			}
			text, err := scriptText(file, left)
			if err != nil {
				texts[file.Path] = provenance.ScriptText{Text: provenance.Unknown + "left out: " + err.Error()}
				continue
			}
			left -= len(text.Text)
			text.Text = redactor.Text(text.Text)
			texts[file.Path] = text
		}
	}
	return texts
}

// isNamed tells whether the command line names a file.
func isNamed(o *runner.Observation, path string) bool {
	return slices.ContainsFunc(o.Argv, func(argument string) bool {
		return argument == path || filepath.Join(o.WorkingDirectory, argument) == path
	})
}

// scriptText reads a script of at most left bytes, unless it has changed since
// the run read it. Of a large notebook it takes the cells' sources.
func scriptText(file runner.File, left int) (provenance.ScriptText, error) {
	var none provenance.ScriptText
	isNotebook, limit := strings.HasSuffix(file.Path, ".ipynb"), int64(min(maxScript, left))
	switch {
	case file.SHA256 == "":
		return none, errors.New("it has no digest")
	case file.Written:
		return none, errors.New("the run wrote it, too")
	case file.Size > limit && !(isNotebook && file.Size <= maxNotebook):
		return none, tooLarge(file.Size, limit)
	}
	data, err := readRegular(file.Path, max(file.Size, 1))
	if err != nil {
		return none, err
	}
	if digest.FromBytes(data).Encoded() != file.SHA256 {
		return none, errors.New("it has changed since the run read it")
	}
	text, encoding, err := runner.ScriptText(data)
	if err != nil {
		return none, err
	}
	if isNotebook && file.Size > limit {
		encoding += ", the sources of the cells only"
		if text, err = runner.NotebookSources([]byte(text)); err != nil {
			return none, err
		}
	}
	if int64(len(text)) > limit {
		return none, tooLarge(int64(len(text)), limit)
	}
	return provenance.ScriptText{Text: text, Encoding: encoding}, nil
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("it has %d bytes, and there is room for %d", size, limit)
}
