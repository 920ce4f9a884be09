package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/sign"
)

// Endings of logs and of what is written before a log is signed.
const (
	logSuffix   = ".convlog.json"
	draftSuffix = ".convlog.draft.json"
)

// places are where one log goes.
type places struct {
	draft string
	// logs are byte-identical copies, one beside each frozen model.
	logs []string
	// kept is the copy under the user's state directory; "" where there is none.
	kept string
	// more is the by-product of the log; nil where there is none.
	more *byproduct
	// stale are the by-products of the log that is replaced.
	stale []provenance.ResourceDescriptor
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
			main = filepath.Join(o.WorkingDirectory, "convrun-"+provenance.PlainName(provenance.ConversionID(o, frozen, meta.ID)))
		}
		p.logs = []string{main + logSuffix}
	}
	p.draft = strings.TrimSuffix(strings.TrimSuffix(p.logs[0], ".json"), ".convlog") + draftSuffix
	if dir, err := stateDir(); err == nil {
		p.kept = filepath.Join(dir, "logs", o.InvocationID+logSuffix)
	}
	return p
}

// signFlags is what `convrun sign` has to be told to do what the run was to do.
func (p places) signFlags(options runOptions) (flags string) {
	if options.key != "" {
		flags += "--key " + options.key + " "
	}
	if options.log != "" && !strings.HasSuffix(options.log, logSuffix) {
		flags += "--log " + options.log + " "
	}
	return flags
}

// replaced describes the log that is about to be replaced; nil if there is
// none. Its by-products go with it, unless it stands beside other models too.
func (p places) replaced() (log *provenance.ResourceDescriptor, stale []provenance.ResourceDescriptor) {
	data, err := readRegular(p.logs[0], sign.MaxBundleSize)
	if err != nil {
		return nil, nil
	}
	if payload, err := sign.UnverifiedPayload(data); err == nil {
		if old, err := provenance.Parse(payload); err == nil && len(old.Predicate.FrozenModels) <= 1 {
			stale = old.Predicate.Byproducts
		}
	}
	return &provenance.ResourceDescriptor{Name: filepath.Base(p.logs[0]), Digest: map[string]string{"sha256": digest.FromBytes(data).Encoded()}}, stale
}

// writeDraft puts the unsigned log on disk, in the state directory if the
// model's own folder takes no file. It replaces nothing that the run wrote, and
// no draft of another run without keeping that one.
func (p *places) writeDraft(o *runner.Observation, payload []byte) error {
	p.keepByproduct()
	err := p.collides(o)
	if err == nil {
		err = p.keepOlderDraft()
	}
	if err == nil {
		err = p.writeByproduct()
	}
	if err == nil {
		err = writeFile(p.draft, payload, 0o644)
	}
	if err == nil || p.kept == "" {
		return wrapWrite(p.draft, err)
	}
	rescue := strings.TrimSuffix(p.kept, logSuffix) + draftSuffix
	if rescueErr := p.keep(rescue, payload, rescueFile); rescueErr != nil {
		return wrapWrite(p.draft, errors.Join(err, rescueErr))
	}
	return withHint(wrapWrite(p.draft, err), "the unsigned log was kept: convrun sign --log PATH %s", rescue)
}

// collides refuses a place that is a file of the run itself.
func (p *places) collides(o *runner.Observation) error {
	for _, place := range append([]string{p.draft}, p.logs...) {
		absolute, err := filepath.Abs(place)
		if err != nil {
			return err
		}
		for _, file := range o.Files {
			if file.Path == absolute && (file.Written || file.Read) && file.Class != runner.Temporary && !isLog(place) {
				return fmt.Errorf("%s is a file that the command itself read or wrote, and is left as it is", place)
			}
		}
	}
	return nil
}

// isLog tells whether a log or a draft lies at place, which a newer one may
// replace even though the command has read it.
func isLog(place string) bool {
	return strings.HasSuffix(place, logSuffix) || strings.HasSuffix(place, draftSuffix)
}

// keepOlderDraft moves the unsigned draft of another run out of the way.
func (p *places) keepOlderDraft() error {
	older, err := readRegular(p.draft, sign.MaxPayloadSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := p.aside(older)
	if err := os.Rename(p.draft, kept); err != nil {
		return err
	}
	warn("an unsigned draft of another run was there; it is now %s", shortPath(kept))
	return nil
}

// aside is where a draft goes that another run's takes the place of.
func (p *places) aside(draft []byte) string {
	return strings.TrimSuffix(p.draft, draftSuffix) + "." + digest.FromBytes(draft).Encoded()[:8] + draftSuffix
}

// removeDraft removes the draft of what is signed now: only that, wherever
// another run at the same time may have put it.
func (p *places) removeDraft(payload []byte) error {
	for _, path := range []string{p.draft, p.aside(payload)} {
		if there, err := readRegular(path, sign.MaxPayloadSize); err == nil && bytes.Equal(there, payload) {
			return os.Remove(path)
		}
	}
	return nil
}

func wrapWrite(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write the log %s: %w", path, err)
}

func (p *places) keep(path string, data []byte, write func(string, []byte, os.FileMode) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return write(path, data, 0o600)
}

// writeBundle puts the signed log of payload in its places and removes the
// draft.
func (p *places) writeBundle(bundle, payload []byte) error {
	if p.kept != "" {
		if err := p.keep(p.kept, bundle, writeFile); err != nil {
			warn("no copy of the log could be kept: %v", err)
		}
	}
	for _, path := range p.logs {
		if err := writeFile(path, bundle, 0o644); err != nil {
			return withHint(wrapWrite(path, err), "the unsigned log is at %s; finish it with convrun sign", p.draft)
		}
	}
	if err := p.removeDraft(payload); err != nil {
		warn("the draft could not be removed: %v", err)
	}
	return nil
}
