package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/provenance"
)

// fileResult is what verify found of one file that the log names.
type fileResult struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// Result is one of the words below.
	Result   result `json:"result"`
	Expected string `json:"expected,omitempty"`
	// Found is the digest that was found, or what stood in the way.
	Found string `json:"found,omitempty"`
}

// result is the outcome for one file.
type result string

const (
	matches    result = "matches"
	changed    result = "changed"
	missing    result = "missing"
	refused    result = "refused" // no regular file, or a name that leads elsewhere
	cannotRead result = "unreadable"
	extra      result = "not in the log"
	unknown    result = "no digest in the log"
	absent     result = "absent, not checked"
	outside    result = "not checked: outside the model's folder"
	volatile   result = "not checked: a cache, or no digest in the log"
)

// holds tells whether a result lets the model pass. What is not named here
// does not.
func (r result) holds() bool {
	switch r {
	case matches, absent, outside, volatile:
		return true
	}
	return false
}

// listed is what a log says about the files that the run left, by name.
type listed struct {
	files map[string]provenance.ResourceDescriptor
	// required are the names that must be there, in the log's order; others
	// are the rest.
	required, others []string
}

func listFiles(st *provenance.Statement) listed {
	l := listed{files: map[string]provenance.ResourceDescriptor{}}
	add := func(d provenance.ResourceDescriptor, to *[]string) {
		known, again := l.files[d.Name]
		if !again {
			*to = append(*to, d.Name)
		}
		if d.Annotations == nil {
			d.Annotations = known.Annotations
		}
		if len(d.Digest) == 0 {
			d.Digest = known.Digest
		}
		l.files[d.Name] = d
	}
	for _, subject := range st.Subject {
		add(subject, &l.required)
	}
	for _, m := range st.Predicate.FrozenModels {
		for _, part := range m.Parts {
			add(part, &l.required)
		}
	}
	for _, output := range st.Predicate.Outputs {
		if output.Annotations != nil && (output.Annotations.Role == "model" || output.Annotations.Role == "external-data") {
			add(output, &l.required)
		} else {
			add(output, &l.others)
		}
	}
	return l
}

func (l listed) has(name string) bool {
	_, known := l.files[name]
	return known
}

func (l listed) role(name string) string {
	if a := l.files[name].Annotations; a != nil && a.Role != "" {
		return a.Role
	}
	return "output"
}

// checkFiles compares artifact, and every other file that the log says the run
// left, with what is on disk. Names lead from one folder downwards and never
// out of it, through no link.
func (v *verdict) checkFiles(ctx context.Context, st *provenance.Statement, artifact string) error {
	if err := mustExist(artifact); err != nil {
		return err
	}
	absolute, err := filepath.Abs(artifact)
	if err != nil {
		return err
	}
	log := listFiles(st)
	base, own, err := log.base(ctx, absolute)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return fmt.Errorf("open the folder of %s: %w", artifact, err)
	}
	defer root.Close()
	asked := own.listed
	if asked == "" {
		below, err := filepath.Rel(base, absolute)
		if err != nil {
			return fmt.Errorf("find %s in the folder of its log: %w", artifact, err)
		}
		asked = provenance.TextName(below)
	}
	others := otherModelFiles(st, asked)
	for _, name := range log.required {
		onDisk := name
		if name == own.listed {
			onDisk = own.name
		}
		result := checkFile(ctx, root, onDisk, log.files[name].Digest["sha256"])
		if result.Result == missing && others[name] {
			result.Result = absent
			v.Warnings = append(v.Warnings, name+" belongs to another model of the same run, is not here and was not checked")
		}
		v.note(log.role(name), result)
	}
	for _, name := range log.others {
		v.note(log.role(name), checkOther(ctx, root, log.files[name]))
	}
	strangers, err := log.extraFiles(absolute, base)
	if err != nil {
		return err
	}
	for _, name := range strangers {
		v.note("extra", fileResult{Name: name, Result: extra})
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return v.complain(artifact)
}

// otherModelFiles are the files of those frozen models that asked, a file or a
// folder, is no part of. A model can be shipped without the others of its run.
func otherModelFiles(st *provenance.Statement, asked string) map[string]bool {
	others, own := map[string]bool{}, map[string]bool{}
	for _, m := range st.Predicate.FrozenModels {
		names := []string{m.Name}
		for _, part := range m.Parts {
			names = append(names, part.Name)
		}
		to := others
		if slices.ContainsFunc(names, func(name string) bool { return name == asked || strings.HasPrefix(name, asked+"/") }) {
			to = own
		}
		for _, name := range names {
			to[name] = true
		}
	}
	for name := range own {
		delete(others, name)
	}
	if len(own) == 0 {
		return nil // not known what was asked for: all is
	}
	return others
}

func (v *verdict) note(role string, result fileResult) {
	result.Role = role
	v.Files = append(v.Files, result)
}

// complain turns the results that do not hold into one error. That a file
// could not be read says nothing about it; all else is a refusal.
func (v *verdict) complain(artifact string) error {
	var bad []string
	status := exitIncomplete
	for _, file := range v.Files {
		if file.Result.holds() {
			continue
		}
		bad = append(bad, file.complaint())
		if file.Result != cannotRead {
			status = exitFailed
		}
	}
	if len(bad) == 0 {
		return nil
	}
	prefix := artifact + ": "
	if len(bad) == 1 && strings.HasPrefix(bad[0], filepath.Base(artifact)+": ") {
		prefix = strings.TrimSuffix(artifact, filepath.Base(artifact)) // its name follows
	}
	return withStatus(status, withHint(fmt.Errorf("%s%s", prefix, strings.Join(bad, "; ")),
		"take the files from where they were released, or convert again under convrun if the change is meant"))
}

func (f fileResult) complaint() string {
	switch f.Result {
	case changed:
		return fmt.Sprintf("%s: expected sha256 %s, found %s", f.Name, f.Expected, f.Found)
	case missing:
		return fmt.Sprintf("%s: expected this file, found none", f.Name)
	case extra:
		return fmt.Sprintf("%s: expected only files that the log names, found this one too", f.Name)
	case unknown:
		return fmt.Sprintf("%s: it belongs to the model, but the log has no digest of it", f.Name)
	}
	return fmt.Sprintf("%s: %s: %s", f.Name, f.Result, f.Found)
}

// renamed is a listed file that lies on disk under another name.
type renamed struct{ listed, name string }

// base finds the folder that names start from, which is where artifact lies
// under its name in the log. A file under another name is recognised by its
// digest.
func (l listed) base(ctx context.Context, artifact string) (string, renamed, error) {
	slashed := provenance.TextName(artifact)
	best := ""
	for _, listed := range l.required {
		for name := listed; name != "." && name != "/" && len(name) <= len(slashed); name = path.Dir(name) {
			if strings.HasSuffix(slashed, "/"+name) && len(name) > len(best) {
				best = name
			}
		}
	}
	if best != "" {
		folder := strings.TrimSuffix(slashed, best)
		if !utf8.ValidString(artifact) { // the folder's own name may be the odd one
			folder, _ = url.PathUnescape(folder)
		}
		return filepath.FromSlash(folder), renamed{}, nil
	}
	folder := filepath.Dir(artifact)
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", renamed{}, err
	}
	defer root.Close()
	found := checkFile(ctx, root, filepath.Base(artifact), "?")
	if err := ctx.Err(); err != nil {
		return "", renamed{}, err
	}
	for _, name := range l.required {
		if found.Result == changed && l.files[name].Digest["sha256"] == found.Found {
			return folder, renamed{listed: name, name: filepath.Base(artifact)}, nil
		}
	}
	what := "another, by name and by content"
	if found.Result != changed {
		what = fmt.Sprintf("another name, and %s: %s", found.Result, found.Found)
	}
	return "", renamed{}, withStatus(exitFailed, withHint(
		fmt.Errorf("%s: expected a file that the log speaks of (%s), found %s", artifact, shortList(l.required), what),
		"%s", renamedHint(found.Result)))
}

// renamedHint is what to do about a file or folder that the log does not name.
func renamedHint(found result) string {
	if found == refused { // a folder
		return "names in a log start from the folder that it lies in: give the model's folder its name in the log back, or name the right log with --log"
	}
	return "this is the log of another file; name the right one with --log"
}

func shortList(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}

// checkFile hashes name beneath root.
func checkFile(ctx context.Context, root *os.Root, name, expected string) fileResult {
	r := fileResult{Name: name, Expected: expected}
	if expected == "" {
		r.Result = unknown
		return r
	}
	file, err := openBeneath(root, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Result = missing
		return r
	case errors.Is(err, errNotPlain):
		r.Result, r.Found = refused, err.Error()
		return r
	case err != nil:
		r.Result, r.Found = cannotRead, err.Error()
		return r
	}
	defer file.Close()
	sum, err := sumOpen(ctx, file)
	if err != nil {
		r.Result, r.Found = cannotRead, err.Error()
		return r
	}
	if r.Found = sum.Encoded(); r.Found != expected {
		r.Result = changed
		return r
	}
	r.Result, r.Found = matches, ""
	return r
}

var errNotPlain = errors.New("expected a regular file in the model's folder, reached through no link")

// openBeneath opens a regular file beneath root whose name has no link in it.
func openBeneath(root *os.Root, name string) (*os.File, error) {
	if onDisk, ok := provenance.FileName(name); ok {
		name = onDisk
	}
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) {
		return nil, errNotPlain
	}
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		info, err := root.Lstat(filepath.FromSlash(folder))
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, errNotPlain
		}
	}
	before, err := root.Lstat(local)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, errNotPlain
	}
	// O_NONBLOCK: should a FIFO have taken the name, its opening must not wait.
	file, err := root.OpenFile(local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if opened, err := file.Stat(); err != nil || !os.SameFile(before, opened) {
		file.Close()
		return nil, errors.Join(errNotPlain, err)
	}
	return file, nil
}

// sumOpen hashes an open file until ctx ends.
func sumOpen(ctx context.Context, file io.Reader) (digest.Digest, error) {
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

// checkOther looks at an output that belongs to no model: it may be gone.
func checkOther(ctx context.Context, root *os.Root, output provenance.ResourceDescriptor) fileResult {
	switch {
	case output.Digest["sha256"] == "", output.Annotations != nil && output.Annotations.Role == "cache":
		return fileResult{Name: output.Name, Result: volatile}
	case !filepath.IsLocal(filepath.FromSlash(output.Name)):
		return fileResult{Name: output.Name, Result: outside}
	}
	r := checkFile(ctx, root, output.Name, output.Digest["sha256"])
	if r.Result == missing {
		r.Result = absent
	}
	return r
}

// extraFiles lists what lies in a model's folder and is not in its log.
func (l listed) extraFiles(artifact, base string) ([]string, error) {
	info, err := os.Stat(artifact)
	if err != nil || !info.IsDir() {
		return nil, err
	}
	var names []string
	err = filepath.WalkDir(artifact, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		if text := provenance.TextName(name); !l.has(text) {
			names = append(names, text)
		}
		return nil
	})
	return names, err
}
