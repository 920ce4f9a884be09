package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/provenance"
)

// fileResult is what verify found of one file that the log names.
type fileResult struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// Result is "matches", "changed", "missing", "unreadable", or "not
	// checked: …" with the reason.
	Result   string `json:"result"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
}

const (
	matches    = "matches"
	changed    = "changed"
	missing    = "missing"
	cannotRead = "unreadable"
)

// checkFiles compares artifact, and every other file that the log says the run
// left, with what is on disk. Names lead from one folder downwards and never
// out of it, through no link.
func (v *verdict) checkFiles(ctx context.Context, st *provenance.Statement, artifact string) error {
	if provenance.IsInvocation(st) {
		v.Warnings = append(v.Warnings, "the run left no output: there is no file to check")
		return nil
	}
	if err := mustExist(artifact); err != nil {
		return err
	}
	absolute, err := filepath.Abs(artifact)
	if err != nil {
		return err
	}
	base, own, err := baseOf(ctx, st, absolute)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return fmt.Errorf("open the folder of %s: %w", artifact, err)
	}
	defer root.Close()
	var bad []string
	for _, subject := range st.Subject {
		name := subject.Name
		if name == own.listed {
			name = own.name
		}
		result := checkFile(ctx, root, name, subject.Digest["sha256"])
		result.Role = roleOf(st, subject.Name)
		v.Files = append(v.Files, result)
		if result.Result != matches {
			bad = append(bad, result.complaint())
		}
	}
	for _, output := range st.Predicate.Outputs {
		if isSubject(st, output.Name) {
			continue
		}
		result := checkOther(ctx, root, output)
		v.Files = append(v.Files, result)
		if result.Result == changed || result.Result == cannotRead {
			bad = append(bad, result.complaint())
		}
	}
	extra, err := extraFiles(absolute, base, st)
	if err != nil {
		return err
	}
	for _, name := range extra {
		v.Files = append(v.Files, fileResult{Name: name, Role: "extra", Result: "not in the log"})
		bad = append(bad, fmt.Sprintf("%s: expected only files that the log names, found this one too", name))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(bad) > 0 {
		return withStatus(exitFailed, fmt.Errorf("%s: %s", artifact, strings.Join(bad, "; ")))
	}
	return nil
}

// renamed is a subject that lies on disk under another name.
type renamed struct{ listed, name string }

// baseOf finds the folder that the names of subjects start from, which is
// where artifact lies under its name in the log. A file under another name is
// recognised by its digest.
func baseOf(ctx context.Context, st *provenance.Statement, artifact string) (string, renamed, error) {
	slashed := filepath.ToSlash(artifact)
	best := ""
	for _, subject := range st.Subject {
		for name := subject.Name; name != "" && name != "."; name = parentName(name) {
			if strings.HasSuffix(slashed, "/"+name) && len(name) > len(best) {
				best = name
			}
		}
	}
	if best != "" {
		return filepath.FromSlash(strings.TrimSuffix(slashed, "/"+best) + "/"), renamed{}, nil
	}
	folder := filepath.Dir(artifact)
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", renamed{}, err
	}
	defer root.Close()
	found := checkFile(ctx, root, filepath.Base(artifact), "")
	for _, subject := range st.Subject {
		if found.Found != "" && subject.Digest["sha256"] == found.Found {
			return folder, renamed{listed: subject.Name, name: filepath.Base(artifact)}, nil
		}
	}
	names := make([]string, 0, len(st.Subject))
	for _, subject := range st.Subject {
		names = append(names, subject.Name)
	}
	return "", renamed{}, withStatus(exitFailed, withHint(
		fmt.Errorf("%s: expected a file that the log speaks of (%s), found another, by name and by content", artifact, shortList(names)),
		"this is the log of another file; name the right one with --log"))
}

func parentName(name string) string {
	at := strings.LastIndexByte(name, '/')
	if at < 0 {
		return ""
	}
	return name[:at]
}

func shortList(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}

// checkFile hashes name beneath root. With no expectation it only finds out.
func checkFile(ctx context.Context, root *os.Root, name, expected string) fileResult {
	result := fileResult{Name: name, Expected: expected}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		result.Result = "refused: the name leads out of the model's folder"
		return result
	}
	info, err := root.Lstat(filepath.FromSlash(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		result.Result = missing
		return result
	case err == nil && !info.Mode().IsRegular():
		result.Result = "refused: it is no regular file"
		return result
	}
	var sum digest.Digest
	if err == nil {
		sum, err = sumBeneath(ctx, root, name)
	}
	if err != nil {
		result.Result, result.Found = cannotRead, err.Error()
		return result
	}
	result.Found = sum.Encoded()
	result.Result = changed
	if result.Found == expected {
		result.Result, result.Found = matches, ""
	}
	return result
}

func sumBeneath(ctx context.Context, root *os.Root, name string) (digest.Digest, error) {
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return "", err
	}
	defer file.Close()
	digester := digest.SHA256.Digester()
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := file.Read(buffer)
		digester.Hash().Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return digester.Digest(), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// checkOther looks at an output that is no subject: it may be gone.
func checkOther(ctx context.Context, root *os.Root, output provenance.ResourceDescriptor) fileResult {
	role := "other"
	if output.Annotations != nil && output.Annotations.Role != "" {
		role = output.Annotations.Role
	}
	result := fileResult{Name: output.Name, Role: role}
	switch {
	case role == "cache":
		result.Result = "not checked: a cache may change"
	case !filepath.IsLocal(filepath.FromSlash(output.Name)):
		result.Result = "not checked: it lies outside the model's folder"
	case output.Digest["sha256"] == "":
		result.Result = "not checked: the log has no digest of it"
	default:
		result = checkFile(ctx, root, output.Name, output.Digest["sha256"])
		result.Role = role
		if result.Result == missing {
			result.Result = "absent, not checked"
		}
	}
	return result
}

func (f fileResult) complaint() string {
	switch f.Result {
	case changed:
		return fmt.Sprintf("%s: expected sha256 %s, found %s", f.Name, f.Expected, f.Found)
	case missing:
		return fmt.Sprintf("%s: expected this file, found none", f.Name)
	case cannotRead:
		return fmt.Sprintf("%s: cannot be read: %s", f.Name, f.Found)
	}
	return f.Name + ": " + f.Result
}

func isSubject(st *provenance.Statement, name string) bool {
	return slices.ContainsFunc(st.Subject, func(s provenance.ResourceDescriptor) bool { return s.Name == name })
}

func roleOf(st *provenance.Statement, name string) string {
	for _, output := range st.Predicate.Outputs {
		if output.Name == name && output.Annotations != nil {
			return output.Annotations.Role
		}
	}
	return "output"
}

// extraFiles lists what lies in a model's folder and is not in its log.
func extraFiles(artifact, base string, st *provenance.Statement) ([]string, error) {
	info, err := os.Stat(artifact)
	if err != nil || !info.IsDir() {
		return nil, err
	}
	var extra []string
	err = filepath.WalkDir(artifact, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(name)
		listed := slices.ContainsFunc(st.Predicate.Outputs, func(o provenance.ResourceDescriptor) bool { return o.Name == slashed })
		if !listed && !isSubject(st, slashed) {
			extra = append(extra, slashed)
		}
		return nil
	})
	return extra, err
}
