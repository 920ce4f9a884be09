package model

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// inspectONNX reads an ONNX model as https://onnx.ai/onnx/repo-docs/IR.html
// specifies it.
func inspectONNX(path string, format Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readONNX(file, size, filepath.Base(path), root)
}

// readONNX reads the model of this size in file; name stands in errors and is
// Model.Main; root is the folder that external data must lie in.
func readONNX(file io.ReaderAt, size int64, name string, root *os.Root) (*Model, error) {
	w := newWire(file, size, name)
	var p proto
	err := w.model(&p)
	if tooLarge := new(tooLargeError); errors.As(err, &tooLarge) {
		return countONNX(file, size, name, root, err)
	}
	if err != nil {
		return nil, err
	}
	if !p.graphs {
		return nil, w.malformed(0, "a graph in field 7", "none")
	}
	m := p.facts(name)
	m.Operators = p.operators()
	if err := m.countTensors(&p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := m.externalParts(&p, root); err != nil {
		return nil, err
	}
	if n := replaceable(&p); n > 0 {
		m.find(OverridableInitializer, "", fmt.Sprintf("%d of %d initializers", n, len(p.graph.tensors)+len(p.graph.sparse)))
	}
	return m, eliminate(m, &p, w)
}

// facts are what the model says of itself besides its nodes and weights.
func (p *proto) facts(name string) *Model {
	m := newModel("onnx", name)
	m.FormatVersion = "IR " + strconv.FormatInt(p.ir, 10)
	if p.ir == 0 {
		m.FormatVersion = "unknown: the file states no IR version"
	}
	m.Producer = producer(p.producer, p.producerVersion)
	m.Opsets = p.opsets
	m.Inputs, m.Outputs = trueInputs(p), notNil(p.graph.outputs)
	return m
}

// countONNX reads a model whose graph is too large to keep: its nodes are
// counted, functions that nothing calls included, and nothing is judged.
func countONNX(file io.ReaderAt, size int64, name string, root *os.Root, cause error) (*Model, error) {
	w := newWire(file, size, name)
	w.counted = map[string]int{}
	var p proto
	if err := w.model(&p); err != nil {
		return nil, err
	}
	m := p.facts(name)
	m.Operators = w.counted
	for _, op := range Operations {
		m.Elimination = append(m.Elimination, Verdict{Operation: op, Status: Unknown, Evidence: []string{clip("unknown: " + cause.Error())}})
	}
	m.find(GraphTooLarge, "", cause.Error())
	return m, m.externalParts(&p, root)
}

func producer(name, version string) string {
	if strings.TrimSpace(name) == "" {
		return "unknown: the file names no producer"
	}
	return strings.TrimSpace(name + " " + version)
}

func notNil(values []Value) []Value {
	if values == nil {
		return []Value{}
	}
	return values
}

// overridableFrom is the IR version from which an initializer need not be
// listed as an input; one that is listed is a default that can be overridden.
// Before, all were listed and runtimes take them for constants. IR.md,
// "Graphs"; onnx release 1.4.1.
const overridableFrom = 4

// canOverride tells whether initializers that are listed as inputs can be
// replaced by whoever runs the model; without a version that must be assumed.
func (p *proto) canOverride() bool { return p.ir == 0 || p.ir >= overridableFrom }

// trueInputs are the graph's inputs that have no initializer: those that must
// be given.
func trueInputs(p *proto) []Value {
	inputs := []Value{}
	named := p.graph.initialized()
	for _, v := range p.graph.inputs {
		if !named[v.Name] {
			inputs = append(inputs, v)
		}
	}
	return inputs
}

func replaceable(p *proto) int {
	if !p.canOverride() {
		return 0
	}
	return len(p.graph.inputs) - len(trueInputs(p))
}

// initialized is the set of the initializers' names.
func (g *graph) initialized() map[string]bool {
	names := make(map[string]bool, len(g.tensors)+len(g.sparse))
	for _, t := range g.tensors {
		names[t.name] = true
	}
	for _, s := range g.sparse {
		names[s.values.name] = true // a sparse tensor is named by its values
	}
	return names
}

// functionKey identifies a function that a node calls.
type functionKey struct{ domain, name, overload string }

func (n *node) key() functionKey { return functionKey{n.domain, n.op, n.overload} }

// calls maps the model's functions by what a node must say to call them; the
// first of equal ones counts, as they must not be equal.
func (p *proto) calls() map[functionKey]*function {
	functions := make(map[functionKey]*function, len(p.functions))
	for _, f := range p.functions {
		key := functionKey{f.domain, f.name, f.overload}
		if functions[key] == nil {
			functions[key] = f
		}
	}
	return functions
}

// walk visits the nodes of a list and of the graphs in their attributes, and
// those graphs themselves.
func walk(nodes []*node, visit func(*node), enter func(*graph)) {
	for _, n := range nodes {
		visit(n)
		for _, a := range n.attributes {
			for _, g := range a.graphs {
				enter(g)
				walk(g.nodes, visit, enter)
			}
		}
	}
}

func ignoreGraph(*graph) {}

// called returns the functions that nodes call, directly or not, in the order
// in which they are met.
func (p *proto) called(nodes []*node) []*function {
	var order []*function
	functions, seen := p.calls(), map[*function]bool{}
	meet := func(n *node) {
		if f := functions[n.key()]; f != nil && !seen[f] {
			seen[f] = true
			order = append(order, f)
		}
	}
	walk(nodes, meet, ignoreGraph)
	for i := 0; i < len(order); i++ { // order grows while it is walked
		walk(order[i].nodes, meet, ignoreGraph)
	}
	return order
}

// operators is the histogram of Model.Operators.
func (p *proto) operators() map[string]int {
	count := map[string]int{}
	add := func(n *node) { count[n.operator()]++ }
	walk(p.graph.nodes, add, ignoreGraph)
	for _, f := range p.called(p.graph.nodes) {
		walk(f.nodes, add, ignoreGraph)
	}
	return count
}

// operator is the node's type as Model.Operators names it.
func (n *node) operator() string {
	if n.domain == "" {
		return n.op
	}
	return n.domain + "." + n.op
}

// maxParameters is the largest count that every reader of JSON takes exactly.
const maxParameters = 1 << 53

// countTensors counts what initializers hold.
func (m *Model) countTensors(p *proto) (err error) {
	m.Parameters = 0
	add := func(t *tensor) {
		if !m.count(elementName(t.kind), t.elements) && err == nil {
			err = fmt.Errorf("expected at most 2^53 parameters, found more")
		}
	}
	addAll := func(g *graph) {
		for _, t := range g.tensors {
			add(t)
		}
		for _, s := range g.sparse {
			add(&s.values)
		}
	}
	ignoreNode := func(*node) {}
	addAll(&p.graph)
	walk(p.graph.nodes, ignoreNode, addAll)
	for _, f := range p.called(p.graph.nodes) {
		walk(f.nodes, ignoreNode, addAll)
	}
	return err
}
