package model

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxParts bounds how many files one model may consist of.
const maxParts = 1 << 16

// unread is what can be said of a model whose format is recognised but not
// read: which file it is.
func unread(format Format, main string) *Model {
	return unknownModel(format, main, notRead)
}

// Unreadable is what can be said of a model in format that Inspect failed on
// with err: everything is unknown, and a finding tells why.
func Unreadable(format Format, main string, err error) *Model {
	m := unknownModel(format, main, "unknown: the model cannot be read: "+clip(err.Error()))
	m.find(ModelUnreadable, "", clip(err.Error()))
	return m
}

func unknownModel(format Format, main, reason string) *Model {
	m := newModel(format.Name, main)
	m.FormatVersion, m.Producer = reason, reason
	for _, op := range Operations {
		m.Elimination = append(m.Elimination, Verdict{Operation: op, Status: Unknown, Evidence: []string{reason}})
	}
	return m
}

// newModel returns a model with no slice and no map nil.
func newModel(format, main string) *Model {
	return &Model{
		Format: format, Main: main, Parameters: -1,
		Opsets: map[string]int64{}, Operators: map[string]int{}, DTypes: map[string]int64{},
		Inputs: []Value{}, Outputs: []Value{}, Parts: []Part{}, Findings: []Finding{},
		Elimination: make([]Verdict, 0, len(Operations)),
	}
}

// recognisedOnly knows a file of a format that is not looked into, for the reason that
// is given.
func recognisedOnly(reason string) func(string, Format) (*Model, error) {
	return func(path string, format Format) (*Model, error) {
		return unknownModel(format, filepath.Base(path), "unknown: "+reason), nil
	}
}

// inspectORTCheckpoint knows what ONNX Runtime's training on devices goes on
// from: the weights that it trains, and an optimizer's state.
func inspectORTCheckpoint(path string, format Format) (*Model, error) {
	m, err := recognisedOnly("a checkpoint of ONNX Runtime's training, whose weights and settings are not looked into")(path, format)
	if err == nil {
		m.find(TrainingCheckpoint, "", "")
	}
	return m, err
}

// inspectDirectory knows a folder by the names of its files.
func inspectDirectory(path string, format Format, main string) (*Model, error) {
	m := unread(format, main)
	return m, m.addDirectory(path)
}

// addDirectory lists every file beneath path but the main one. It follows no
// link to a directory, and none that leads out.
func (m *Model) addDirectory(path string) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == m.Main {
			return err
		}
		if len(m.Parts) == maxParts {
			return fmt.Errorf("%s: expected at most %d files, found more", path, maxParts)
		}
		m.addPart(root, name)
		return nil
	})
	// The walk orders each folder's entries, which is not the order of names.
	slices.SortFunc(m.Parts, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	return err
}

// addPart records the file name beneath root, and a finding when it is not a
// regular file that can be reached without leaving root.
func (m *Model) addPart(root *os.Root, name string) {
	m.add(statPart(root, name))
}

// add records a part, and a finding when something is wrong with it.
func (m *Model) add(part Part) {
	m.Parts = append(m.Parts, part)
	if part.Problem != "" {
		m.find(PartProblem, "part of the model: "+part.Problem, quote(part.Name))
	}
}

// missingFile is the Problem of a part that is not there.
const missingFile = "file not found"

// statPart asks for the size of the file name beneath root.
func statPart(root *os.Root, name string) Part {
	part := Part{Name: name, Size: -1}
	info, err := root.Stat(filepath.FromSlash(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		part.Problem = missingFile
	case errors.Is(err, fs.ErrPermission):
		part.Problem = "permission denied"
	case err != nil && isLink(root, name):
		part.Problem = "symbolic link that leads out of the model's folder"
	case err != nil:
		part.Problem = "cannot be reached within the model's folder"
	case !info.Mode().IsRegular():
		part.Problem = "not a regular file"
	default:
		part.Size = info.Size()
	}
	return part
}

// findLinks makes a finding of parts that have names elsewhere, too: whoever
// writes under one of those changes the model.
func (m *Model) findLinks(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, part := range m.Parts {
		if part.Size < 0 {
			continue
		}
		if info, err := root.Stat(filepath.FromSlash(part.Name)); err == nil && hasOtherNames(info) {
			m.find(LinkedPart, "", quote(part.Name))
		}
	}
	m.sortFindings()
	return nil
}

func isLink(root *os.Root, name string) bool {
	info, err := root.Lstat(filepath.FromSlash(name))
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// partFiles reads the parts of a model, one file open at a time: there may be
// more of them than files can be open.
type partFiles struct {
	root   *os.Root
	opened *os.File
	name   string // of opened
}

func (p *partFiles) open(name string) (*os.File, error) {
	if p.opened != nil && p.name == name {
		return p.opened, nil
	}
	p.close()
	file, err := p.root.Open(filepath.FromSlash(name))
	p.opened, p.name = file, name
	return file, err
}

func (p *partFiles) close() {
	if p.opened != nil {
		p.opened.Close()
	}
	p.opened = nil
}

// partReader reads one of the parts.
type partReader struct {
	*partFiles
	part string
}

// ReadAt is that of io.ReaderAt.
func (r partReader) ReadAt(b []byte, offset int64) (int, error) {
	file, err := r.open(r.part)
	if err != nil {
		return 0, err
	}
	return file.ReadAt(b, offset)
}
