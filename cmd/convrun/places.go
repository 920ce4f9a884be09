package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/runner"
)

// Endings of logs and of what is written before a log is signed.
const (
	logSuffix   = ".convlog.json"
	draftSuffix = ".convlog.draft.json"
	// maxLog bounds a log that is read, in bytes.
	maxLog = 16 << 20
)

// places are where one log goes.
type places struct {
	draft string
	// logs are byte-identical copies, one beside each frozen model.
	logs []string
	// kept is the copy under the user's state directory; "" where there is none.
	kept string
}

// placesOf decides where the log goes: beside each frozen model, beside the
// main output, or into the working directory; --log overrides.
func placesOf(o *runner.Observation, artifacts []provenance.Artifact, meta provenance.Meta, given string) places {
	frozen := provenance.Frozen(o, artifacts)
	var p places
	switch {
	case given != "":
		p.logs = []string{given}
	case len(frozen) > 0:
		for _, artifact := range frozen {
			p.logs = append(p.logs, artifact.Path+logSuffix)
		}
	default:
		main := provenance.MainOutput(o, frozen)
		if main == "" {
			main = filepath.Join(o.WorkingDirectory, "convrun-"+fileName(provenance.ConversionID(o, frozen, meta.ID)))
		}
		p.logs = []string{main + logSuffix}
	}
	p.draft = strings.TrimSuffix(strings.TrimSuffix(p.logs[0], ".json"), ".convlog") + draftSuffix
	if dir, err := stateDir(); err == nil {
		p.kept = filepath.Join(dir, "logs", o.InvocationID+logSuffix)
	}
	return p
}

// fileName makes an ID fit for the name of a file.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-._", r) || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return '_'
	}, id)
}

// replaced describes the log that is about to be replaced; nil if there is none.
func (p places) replaced() *provenance.ResourceDescriptor {
	data, err := readBounded(p.logs[0], maxLog)
	if err != nil {
		return nil
	}
	return &provenance.ResourceDescriptor{Name: filepath.Base(p.logs[0]), Digest: map[string]string{"sha256": digest.FromBytes(data).Encoded()}}
}

// writeDraft puts the unsigned log on disk, in the state directory if the
// model's own folder takes no file.
func (p *places) writeDraft(payload []byte) error {
	err := writeFile(p.draft, payload, 0o644)
	if err == nil || p.kept == "" {
		return wrapWrite(p.draft, err)
	}
	rescue := strings.TrimSuffix(p.kept, logSuffix) + draftSuffix
	if rescueErr := p.keep(rescue, payload); rescueErr != nil {
		return wrapWrite(p.draft, errors.Join(err, rescueErr))
	}
	return withHint(wrapWrite(p.draft, err), "the unsigned log was kept: convrun sign --log PATH %s", rescue)
}

func wrapWrite(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write the log %s: %w", path, err)
}

func (p *places) keep(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeFile(path, data, 0o600)
}

// writeBundle puts the signed log in its places and removes the draft.
func (p *places) writeBundle(bundle []byte) error {
	if p.kept != "" {
		if err := p.keep(p.kept, bundle); err != nil {
			warn("no copy of the log could be kept: %v", err)
		}
	}
	for _, path := range p.logs {
		if err := writeFile(path, bundle, 0o644); err != nil {
			return withHint(wrapWrite(path, err), "the unsigned log is at %s; finish it with convrun sign", p.draft)
		}
	}
	if err := os.Remove(p.draft); err != nil {
		warn("the draft could not be removed: %v", err)
	}
	return nil
}

// redactionKey is the user's own key for marks of redacted values, made once;
// nil where none can be kept.
func redactionKey() []byte {
	dir, err := configDir()
	if err != nil {
		return nil
	}
	path := filepath.Join(dir, "redaction.key")
	key, err := readBounded(path, 64)
	if err == nil && len(key) == 32 {
		return key
	}
	key = make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil
	}
	if os.MkdirAll(dir, 0o700) != nil {
		return nil
	}
	if err := createFile(path, key, 0o600); err != nil {
		return nil
	}
	return slices.Clone(key)
}
