package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/provenance"
)

// byproduct is a file beside the log with what the log had no room for.
type byproduct struct {
	name  string
	write func(io.Writer) error
}

// byproductName is that of every by-product: it names its content, so that two
// runs at once, or one that breaks off, never leave a log with another's.
var byproductName = regexp.MustCompile(`^[^/\\]+\.convlog\.[0-9a-f]{16}\.jsonl$`)

// shorten takes out of the log what it has no room for; nil when that is
// nothing. draft is where the log will lie before it is signed.
func shorten(st *provenance.Statement, draft string) (*byproduct, error) {
	moved, err := st.Shorten()
	if err != nil || len(moved) == 0 {
		return nil, err
	}
	b := byproduct{write: func(w io.Writer) error {
		return provenance.WriteByproduct(w, st.Predicate.Run.InvocationID, moved)
	}}
	sum := digest.SHA256.Digester()
	size := &countingWriter{to: sum.Hash()}
	if err := b.write(size); err != nil {
		return nil, fmt.Errorf("write by-product: %w", err)
	}
	b.name = fmt.Sprintf("%s.convlog.%.16s.jsonl", strings.TrimSuffix(filepath.Base(draft), draftSuffix), sum.Digest().Encoded())
	st.Predicate.Byproducts = append(st.Predicate.Byproducts, provenance.ResourceDescriptor{
		Name: provenance.TextName(b.name), Digest: map[string]string{"sha256": sum.Digest().Encoded()}, MediaType: provenance.ByproductMediaType,
		Annotations: &provenance.Annotations{Role: provenance.ByproductRole, Size: &size.n},
	})
	return &b, nil
}

type countingWriter struct {
	to io.Writer
	n  int64
}

func (c *countingWriter) Write(data []byte) (int, error) {
	c.n += int64(len(data))
	return c.to.Write(data)
}

// folders are those in which the log and its copies lie, the draft's first.
func (p *places) folders() []string {
	folders := []string{filepath.Dir(p.draft)}
	for _, log := range p.logs {
		if folder := filepath.Dir(log); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// keepByproduct puts the by-product into the state directory, which has it
// even when no other folder takes it.
func (p *places) keepByproduct() {
	if p.more == nil || p.kept == "" {
		return
	}
	folder := filepath.Dir(p.kept)
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = writeStream(filepath.Join(folder, p.more.name), p.more.write, 0o600)
	}
	if err != nil {
		warn("no copy of the by-product could be kept: %v", err)
	}
}

// writeByproduct puts the by-product beside the draft and beside each copy of
// the log, before anything refers to it.
func (p *places) writeByproduct() error {
	if p.more == nil {
		return nil
	}
	for _, folder := range p.folders() {
		path := filepath.Join(folder, p.more.name)
		if err := writeStream(path, p.more.write, 0o644); err != nil {
			return fmt.Errorf("write the by-product %s: %w", path, err)
		}
	}
	return nil
}

// removeStale removes the by-products of the log that was replaced, if they
// are what that log had said.
func (p *places) removeStale(st *provenance.Statement) {
	for _, old := range p.stale {
		name, sum := old.Name, old.Digest["sha256"]
		again := slices.ContainsFunc(st.Predicate.Byproducts, func(d provenance.ResourceDescriptor) bool { return d.Name == name })
		if again || !byproductName.MatchString(name) {
			continue
		}
		for _, folder := range p.folders() {
			if root, err := os.OpenRoot(folder); err == nil {
				if checkFile(context.Background(), root, name, sum).Result == matches {
					_ = root.Remove(name) // one too many does no harm
				}
				root.Close()
			}
		}
	}
}

// copyByproducts puts the by-products that lie in folder beside each copy of
// the log that a draft becomes.
func (p *places) copyByproducts(st *provenance.Statement, folder string) error {
	targets := p.folders()
	if p.kept != "" {
		if err := os.MkdirAll(filepath.Dir(p.kept), 0o700); err == nil {
			targets = append(targets, filepath.Dir(p.kept))
		}
	}
	for _, d := range st.Predicate.Byproducts {
		if !byproductName.MatchString(d.Name) {
			continue
		}
		source := filepath.Join(folder, d.Name)
		for _, target := range targets {
			if filepath.Clean(target) == filepath.Clean(folder) {
				continue
			}
			if err := copyRegular(source, filepath.Join(target, d.Name)); errors.Is(err, fs.ErrNotExist) {
				warn("%s is not there: the log will be without it", source)
			} else if err != nil {
				return fmt.Errorf("copy the by-product %s: %w", source, err)
			}
		}
	}
	return nil
}

func copyRegular(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return writeStream(to, func(w io.Writer) error {
		_, err := io.Copy(w, source)
		return err
	}, 0o644)
}

// checkByproducts compares the by-products that lie beside the log with what
// it says of them, and puts what stands in them back into the statement.
func (l *openedLog) checkByproducts(ctx context.Context) (results []fileResult, err error) {
	if len(l.statement.Predicate.Byproducts) == 0 {
		return nil, nil
	}
	root, err := os.OpenRoot(filepath.Dir(l.path))
	if err != nil {
		return nil, fmt.Errorf("open the folder of %s: %w", l.path, err)
	}
	defer root.Close()
	for _, d := range l.statement.Predicate.Byproducts {
		result := checkFile(ctx, root, d.Name, d.Digest["sha256"])
		result.Role = "by-product"
		if result.Result == missing {
			result.Result = absent
		}
		if result.Result == matches && d.Annotations != nil && d.Annotations.Role == provenance.ByproductRole {
			if err := l.restore(root, d); err != nil {
				return nil, err
			}
		}
		results = append(results, result)
	}
	return results, ctx.Err()
}

// restore reads a by-product whose digest was compared, and compares it again:
// it may have been changed since.
func (l *openedLog) restore(root *os.Root, d provenance.ResourceDescriptor) error {
	file, err := openBeneath(root, d.Name)
	if err != nil {
		return fmt.Errorf("read by-product %s: %w", d.Name, err)
	}
	defer file.Close()
	sum := digest.SHA256.Digester()
	if err := l.statement.Restore(io.TeeReader(file, sum.Hash())); err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	if sum.Digest().Encoded() != d.Digest["sha256"] {
		return withStatus(exitFailed, fmt.Errorf("%s: expected sha256 %s, found that it is being changed", d.Name, d.Digest["sha256"]))
	}
	return nil
}
