package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

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
		if artifact.Path != artifact.Files[0] && !slices.ContainsFunc(frozen, func(f provenance.Artifact) bool { return f.Path == artifact.Path }) {
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

// Bounds on the scripts whose text goes into the log, in bytes.
const (
	maxScript  = 64 << 10
	maxScripts = 256 << 10
)

// scriptTexts reads the user's own scripts that the run read, bounded, secrets
// taken out. A script that has changed since it was read is left out.
func scriptTexts(o *runner.Observation, key []byte) map[string]string {
	texts := map[string]string{}
	left := maxScripts
	for _, file := range o.Files {
		if file.Class != runner.Code || !file.Read || file.Written || file.SHA256 == "" || file.Size > int64(min(maxScript, left)) {
			continue
		}
		data, err := os.ReadFile(file.Path)
		if err != nil || !utf8.Valid(data) || digest.FromBytes(data).Encoded() != file.SHA256 {
			continue
		}
		left -= len(data)
		texts[file.Path] = runner.Redact(string(data), key)
	}
	return texts
}
