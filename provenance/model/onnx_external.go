package model

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// externalParts checks every tensor whose data lies in another file,
// https://onnx.ai/onnx/repo-docs/ExternalData.html: the file must lie within
// the model's folder and hold every byte that the tensor refers to. The file
// itself is never opened.
func (m *Model) externalParts(p *proto, root *os.Root) error {
	parts := map[string]*Part{}
	var failed error
	p.eachTensor(func(t *tensor) {
		if !t.external || failed != nil {
			return
		}
		name, problem := partName(t.location)
		part := parts[name]
		if part == nil {
			if len(parts) == maxParts {
				failed = fmt.Errorf("%s: expected external data in at most %d files, found more", m.Main, maxParts)
				return
			}
			part = &Part{Name: name, Size: -1, Problem: problem}
			if problem == "" {
				*part = statPart(root, name)
			}
			parts[name] = part
		}
		if part.Problem == "" {
			part.Problem = t.outside(part.Size)
		}
	})
	if failed != nil {
		return failed
	}
	for _, part := range parts {
		m.Parts = append(m.Parts, *part)
	}
	slices.SortFunc(m.Parts, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	for _, part := range m.Parts {
		if part.Problem != "" {
			m.find(PartProblem, "part of the model: "+part.Problem, quote(part.Name))
		}
	}
	return nil
}

// eachTensor visits every tensor of the model: initializers, constants in
// attributes, and those of functions and training graphs.
func (p *proto) eachTensor(visit func(*tensor)) {
	visitGraph := func(g *graph) {
		for _, t := range g.tensors {
			visit(t)
		}
		for _, s := range g.sparse {
			visit(&s.values)
		}
	}
	visitNode := func(n *node) {
		for _, a := range n.attributes {
			if a.t != nil {
				visit(a.t)
			}
			for _, t := range a.tensors {
				visit(t)
			}
			for _, s := range a.sparse {
				visit(&s.values)
			}
		}
	}
	graphs := []*graph{&p.graph}
	for i := range p.training {
		graphs = append(graphs, &p.training[i].initialization, &p.training[i].algorithm)
	}
	for _, g := range graphs {
		visitGraph(g)
		walk(g.nodes, visitNode, visitGraph)
	}
	for _, f := range p.functions {
		walk(f.nodes, visitNode, visitGraph)
	}
}

// partName is the cleaned location, or why it is refused. What is a path on
// any system is refused on every system, so that a log reads the same
// everywhere.
func partName(location string) (name, problem string) {
	drive := len(location) > 1 && location[1] == ':'
	switch {
	case location == "":
		return "", "no location is given"
	case strings.ContainsRune(location, 0):
		return location, "the location holds a NUL byte"
	case strings.HasPrefix(location, "/"), strings.HasPrefix(location, `\`), drive:
		return location, "the location is absolute"
	case slices.Contains(strings.FieldsFunc(location, isSeparator), ".."):
		return location, "the location leads out of the model's folder"
	case strings.Contains(location, `\`):
		return location, `the location holds a backslash, which is a separator on some systems and a letter on others`
	}
	name = path.Clean(location)
	if name == "." {
		return location, "the location is a folder"
	}
	return name, ""
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' }

// outside says why the tensor's data is not within a file of this size.
func (t *tensor) outside(size int64) string {
	offset, err := bytesOf(t.offset, 0)
	if err != nil {
		return fmt.Sprintf("offset of tensor %s: %v", quote(t.name), err)
	}
	need := t.byteLength()
	length, err := bytesOf(t.length, need)
	switch {
	case err != nil:
		return fmt.Sprintf("length of tensor %s: %v", quote(t.name), err)
	case need >= 0 && length != need:
		return fmt.Sprintf("tensor %s states a length of %d bytes, its type and shape need %d", quote(t.name), length, need)
	case length < 0:
		return ""
	case offset > size || length > size-offset:
		return fmt.Sprintf("tensor %s needs %d bytes from byte %d, the file has %d", quote(t.name), length, offset, size)
	}
	return ""
}

// bytesOf parses a number of bytes; an empty one is unset.
func bytesOf(s string, unset int64) (int64, error) {
	if s == "" {
		return unset, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("expected a number of bytes, found %s", quote(s))
	}
	return n, nil
}

// byteLength is what the tensor's elements take, or -1 when that is not fixed.
// Types of less than a byte are packed, TensorProto.DataType.
func (t *tensor) byteLength() int64 {
	return packed(t.elements, elementTypes[t.kind].bits)
}
