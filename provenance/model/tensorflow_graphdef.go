package model

import (
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// inspectGraphDef reads a GraphDef, as freezing a graph of TensorFlow leaves it:
// variables are constants, and nothing says what its inputs and outputs are.
func inspectGraphDef(path string, _ Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readGraphDef(file, size, filepath.Base(path))
}

func readGraphDef(file io.ReaderAt, size int64, name string) (*Model, error) {
	w := newWire(file, size, name)
	g := tfGraph{functions: map[string]*tfFunction{}}
	if err := w.each(span{0, size}, 0, func(f field) error { return w.tfGraphField(f, 1, &g) }); err != nil {
		return nil, err
	}
	m := newModel("graphdef", name)
	m.FormatVersion = "graph version " + strconv.FormatInt(g.producer, 10)
	if g.producer == 0 {
		m.FormatVersion = "unknown: the file states no version"
	}
	m.Producer = producer("", "")
	m.Operators = g.operators()
	if !m.countConstants(&g) {
		return nil, w.malformed(0, "at most 2^53 parameters", "more")
	}
	ends := g.ends()
	m.Inputs, m.Outputs = g.placeholders(), results(ends)
	l := newLedger(m)
	l.graphDef(&g, ends)
	l.close()
	return m, nil
}

// countConstants counts the elements of constants.
func (m *Model) countConstants(g *tfGraph) (ok bool) {
	m.Parameters = 0
	count := func(nodes []*tfNode) bool {
		for _, n := range nodes {
			if a := n.attribute("value"); n.op == "Const" && a != nil && a.tensor != nil {
				if !m.count(tfType(a.tensor.kind), a.tensor.elements) {
					return false
				}
			}
		}
		return true
	}
	ok = count(g.nodes)
	for _, fn := range g.called(g.nodes) {
		ok = ok && count(fn.nodes)
	}
	return ok
}

// ends are the nodes that nothing in the graph takes anything from: its
// outputs, as far as the file tells.
func (g *tfGraph) ends() []*tfNode {
	used := map[string]bool{}
	for _, n := range g.nodes {
		for _, reference := range n.inputs {
			name, _, _ := strings.Cut(strings.TrimPrefix(reference, "^"), ":")
			used[name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(g.nodes), func(n *tfNode) bool {
		return used[n.name] || n.op == "Const" || strings.HasPrefix(n.op, "Placeholder")
	})
}

func (g *tfGraph) placeholders() []Value {
	list := []Value{}
	for _, n := range g.nodes {
		if !strings.HasPrefix(n.op, "Placeholder") {
			continue
		}
		v := Value{Name: n.name, DType: n.dtype()}
		if a := n.attribute("shape"); a != nil && a.shape != nil {
			v.Shape = dimensions(a.shape, nil)
		}
		list = append(list, v)
	}
	return list
}

// results are the values of ends; one that gives none, such as a NoOp, is no
// output.
func results(ends []*tfNode) []Value {
	list := []Value{}
	for _, n := range ends {
		if n.op != "NoOp" {
			list = append(list, Value{Name: n.name, DType: n.dtype()})
		}
	}
	return list
}

// dtype is the type of a node's value, where an attribute tells it.
func (n *tfNode) dtype() string {
	for _, name := range []string{"dtype", "T"} {
		if a := n.attribute(name); a != nil {
			return tfType(a.kind)
		}
	}
	return "unknown"
}

// graphDef judges the graph from its ends; what none of them depends on is not
// there, as they are all nodes that nothing takes anything from.
func (l *ledger) graphDef(g *tfGraph, ends []*tfNode) {
	wanted := []string{}
	for _, n := range ends {
		wanted = append(wanted, n.name)
	}
	b, s := g.write("", wanted)
	if b.tooLarge == "" {
		roots := []int{}
		for _, n := range ends {
			if i, ok := s.steps[n.name]; ok {
				roots = append(roots, i)
			}
		}
		b.link(roots)
	}
	trains := l.graph(b.flow)
	l.latent(b.flow, b.alive())
	l.uncalled(g, b.reached)
	if trains {
		return
	}
	for _, op := range stateOperations {
		l.hit(op, Absent, NotRepresentable, "no node computes gradients or changes variables: a GraphDef has no other place for it")
	}
}
