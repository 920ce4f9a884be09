package model

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
)

// canonicalONNX is the canonical digest of an ONNX model, "ONNX" in
// docs/spec/canonical-digest-v1.md.
func canonicalONNX(path string) (checksum, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return checksum{}, err
	}
	defer file.Close()
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return checksum{}, err
	}
	defer root.Close()
	return digestONNX(newWire(file, size, filepath.Base(path)), root)
}

// onnxDigester digests one ONNX model.
type onnxDigester struct {
	*wire
	functions map[functionKey]*function
	// sums and calling remember what was digested, and which functions are
	// being digested now.
	sums    map[*function]checksum
	calling map[*function]bool
	tensors map[*tensor]checksum
	stats   map[string]Part // of external data
	parts   partFiles
	passage *passage
}

func digestONNX(w *wire, root *os.Root) (checksum, error) {
	var p proto
	if err := w.model(&p); err != nil {
		return checksum{}, err
	}
	d := &onnxDigester{
		wire: w, parts: partFiles{root: root}, functions: p.calls(),
		sums: map[*function]checksum{}, calling: map[*function]bool{}, tensors: map[*tensor]checksum{}, stats: map[string]Part{},
		passage: newPassage(w.size),
	}
	defer d.parts.close()
	switch {
	case !p.graphs:
		return checksum{}, w.malformed(0, "a graph in field 7", "none")
	case len(p.training) > 0:
		return checksum{}, notCanonical("the file holds training_info, which is not covered")
	case len(d.functions) < len(p.functions):
		return checksum{}, notCanonical("two functions have the same domain, name and overload")
	case w.foreign != "":
		return checksum{}, notCanonical("%s is none that ONNX defines", w.foreign)
	}
	return d.model(&p)
}

func (d *onnxDigester) model(p *proto) (checksum, error) {
	walk := d.newWalk("onnx model", p.opsets, p.canOverride())
	if len(p.opsets) == 0 && p.ir < 3 {
		walk.opsets = map[string]int64{"": 1}
	}
	main, err := walk.enter(&p.graph, nil, 0)
	if err != nil {
		return checksum{}, err
	}
	if err := walk.listAll(main); err != nil {
		return checksum{}, err
	}
	if err := walk.graph(main); err != nil {
		return checksum{}, err
	}
	return walk.sum(), nil
}

// onnxWalk lists the nodes of the main graph or of a function, with those of
// their sub-graphs: from the outputs backwards, each when all that it needs is
// listed. Neither the order of nodes in the file nor their names matter to it.
type onnxWalk struct {
	*listing
	*onnxDigester
	opsets map[string]int64
	// canOverride is proto.canOverride of the model.
	canOverride bool
	count       int64
	stack       []onnxStep
}

func (d *onnxDigester) newWalk(kind string, opsets map[string]int64, canOverride bool) *onnxWalk {
	return &onnxWalk{listing: newListing(kind), onnxDigester: d, opsets: opsets, canOverride: canOverride}
}

// onnxScope is a graph that is entered, or a function's body: what its names
// stand for.
type onnxScope struct {
	*graph
	level  int64 // how many graphs are around it
	parent *onnxScope
	names  map[string]onnxPlace
	// given are the inputs that count, by their index in graph.inputs, and
	// defaults the initializers that stand in for some of them.
	given    []int
	defaults map[string]onnxPlace
}

// onnxPlace is what makes a value: one of its fields, or an input when they
// are nil.
type onnxPlace struct {
	node   *onnxNode
	tensor *tensor
	sparse *sparseTensor
	index  int64 // of the input, or of the node's output
}

// onnxNode is a node on its way into the listing.
type onnxNode struct {
	*node
	scope  *onnxScope
	graphs []*onnxScope // those in its attributes, in their order
	state  onnxState
	number int64 // in the listing
}

type onnxState int8

const (
	unlisted onnxState = iota
	waiting            // for what it needs
	listed
)

// enter gives a graph's names their meaning.
func (k *onnxWalk) enter(g *graph, parent *onnxScope, level int64) (*onnxScope, error) {
	s := &onnxScope{graph: g, parent: parent, level: level, names: map[string]onnxPlace{}, defaults: map[string]onnxPlace{}}
	if g.annotated {
		return nil, notCanonical("the file holds quantization_annotation, which is not covered")
	}
	initialized := g.initialized()
	for i, v := range g.inputs {
		if initialized[v.Name] && !k.canOverride {
			continue // a constant, which older models list as an input
		}
		if err := s.define(v.Name, onnxPlace{index: int64(len(s.given))}); err != nil {
			return nil, err
		}
		s.given = append(s.given, i)
	}
	for _, t := range g.tensors {
		if err := s.initialize(t.name, onnxPlace{tensor: t}); err != nil {
			return nil, err
		}
	}
	for _, t := range g.sparse {
		if err := s.initialize(t.values.name, onnxPlace{sparse: t}); err != nil {
			return nil, err
		}
	}
	for _, n := range g.nodes {
		made := &onnxNode{node: n, scope: s}
		for i, name := range n.outputs {
			if name == "" {
				continue
			}
			if err := s.define(name, onnxPlace{node: made, index: int64(i)}); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *onnxScope) define(name string, place onnxPlace) error {
	if _, twice := s.names[name]; twice {
		return notCanonical("the value %s is made twice", quote(name))
	}
	s.names[name] = place
	return nil
}

// initialize defines an initializer, or the default of the input that has its name.
func (s *onnxScope) initialize(name string, place onnxPlace) error {
	before, listed := s.names[name]
	if _, twice := s.defaults[name]; !listed || twice || before.tensor != nil || before.sparse != nil {
		return s.define(name, place)
	}
	s.defaults[name] = place
	return nil
}

func (s *onnxScope) find(name string) (onnxPlace, int64, error) {
	for ; s != nil; s = s.parent {
		if place, ok := s.names[name]; ok {
			return place, s.level, nil
		}
	}
	return onnxPlace{}, 0, notCanonical("nothing makes the value %s", quote(name))
}

// onnxStep is a node that waits for what it needs; next counts that.
type onnxStep struct {
	node *onnxNode
	next int
}

// need is the i-th value that a node needs: its inputs, then the outputs of
// its graphs.
func (n *onnxNode) need(i int) (name string, in *onnxScope, ok bool) {
	if i < len(n.inputs) {
		return n.inputs[i], n.scope, true
	}
	i -= len(n.inputs)
	for _, g := range n.graphs {
		if i < len(g.outputs) {
			return g.outputs[i].Name, g, true
		}
		i -= len(g.outputs)
	}
	return "", nil, false
}

// list lists what the value needs, and the node that makes it.
func (k *onnxWalk) list(name string, in *onnxScope) error {
	if err := k.meet(name, in); err != nil {
		return err
	}
	for len(k.stack) > 0 {
		top := &k.stack[len(k.stack)-1]
		name, in, more := top.node.need(top.next)
		top.next++
		if more {
			if err := k.meet(name, in); err != nil {
				return err
			}
			continue
		}
		n := top.node
		k.stack = k.stack[:len(k.stack)-1]
		n.state, n.number = listed, k.count
		k.count++
		if err := k.node(n); err != nil {
			return err
		}
	}
	return nil
}

// meet puts the node that makes a value on the stack, unless it is listed.
func (k *onnxWalk) meet(name string, in *onnxScope) error {
	if name == "" {
		return nil
	}
	place, _, err := in.find(name)
	if err != nil || place.node == nil || place.node.state == listed {
		return err
	}
	n := place.node
	if n.state == waiting {
		return notCanonical("the value %s depends on itself", quote(name))
	}
	n.state = waiting
	slices.SortFunc(n.attributes, func(a, b *attribute) int { return cmp.Compare(a.name, b.name) })
	for _, a := range n.attributes {
		for _, g := range a.graphs {
			inner, err := k.enter(g, n.scope, n.scope.level+1)
			if err != nil {
				return err
			}
			n.graphs = append(n.graphs, inner)
		}
	}
	k.stack = append(k.stack, onnxStep{node: n})
	return nil
}

// listAll lists what the outputs of a graph need.
func (k *onnxWalk) listAll(s *onnxScope) error {
	for _, v := range s.outputs {
		if err := k.list(v.Name, s); err != nil {
			return err
		}
	}
	return nil
}

// node writes a node's record.
func (k *onnxWalk) node(n *onnxNode) error {
	k.text("node")
	k.number(n.scope.level)
	k.text(n.domain)
	k.text(n.op)
	k.text(n.overload)
	k.number(k.opsets[n.domain])
	if f := k.functions[n.key()]; f != nil {
		s, err := k.function(f)
		if err != nil {
			return err
		}
		k.text("function")
		k.digest(s)
	} else {
		k.text("operator")
	}
	inputs := withoutTail(n.inputs)
	k.number(int64(len(inputs)))
	for _, name := range inputs {
		if err := k.value(name, n.scope); err != nil {
			return err
		}
	}
	outputs := withoutTail(n.outputs)
	k.number(int64(len(outputs)))
	for _, name := range outputs {
		k.flag(name != "")
	}
	return k.attributes(n.attributes, n.graphs)
}

// withoutTail leaves out the empty names at the end: they stand for optional
// values as their absence does.
func withoutTail(names []string) []string {
	for len(names) > 0 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	return names
}

// value writes what makes a value.
func (k *onnxWalk) value(name string, in *onnxScope) error {
	if name == "" {
		k.text("none")
		return nil
	}
	place, level, err := in.find(name)
	switch {
	case err != nil:
		return err
	case place.node != nil:
		k.text("node")
		k.number(place.node.number)
		k.number(place.index)
		return nil
	case place.tensor == nil && place.sparse == nil:
		k.text("input")
		k.number(level)
		k.number(place.index)
		return nil
	}
	k.text("constant")
	return k.constant(place)
}

func (k *onnxWalk) constant(place onnxPlace) error {
	digest := func() (checksum, error) { return k.tensorSum(place.tensor) }
	if place.sparse != nil {
		digest = func() (checksum, error) { return k.sparseSum(place.sparse) }
	}
	s, err := digest()
	k.digest(s)
	return err
}

// graph writes the record of a graph whose nodes are listed.
func (k *onnxWalk) graph(s *onnxScope) error {
	symbols := map[string]int64{}
	k.text("graph")
	k.number(s.level)
	k.number(int64(len(s.given)))
	for _, i := range s.given {
		if err := k.valueType(s.inputsAt[i], symbols); err != nil {
			return err
		}
		place, optional := s.defaults[s.inputs[i].Name]
		k.flag(optional)
		if optional {
			if err := k.constant(place); err != nil {
				return err
			}
		}
	}
	k.number(int64(len(s.outputs)))
	for i, v := range s.outputs {
		if err := k.value(v.Name, s); err != nil {
			return err
		}
		if err := k.valueType(s.outputsAt[i], symbols); err != nil {
			return err
		}
	}
	return nil
}

// function is the digest of a function, whatever calls it.
func (d *onnxDigester) function(f *function) (checksum, error) {
	if s, ok := d.sums[f]; ok {
		return s, nil
	}
	if d.calling[f] {
		return checksum{}, notCanonical("the function %s calls itself", quote(f.name))
	}
	if len(d.calling) == maxNesting {
		return checksum{}, notCanonical("functions call each other more than %d deep", maxNesting)
	}
	d.calling[f] = true
	defer delete(d.calling, f)
	s, err := d.body(f)
	d.sums[f] = s
	return s, err
}

func (d *onnxDigester) body(f *function) (checksum, error) {
	k := d.newWalk("onnx function", f.opsets, true)
	body := &graph{nodes: f.nodes}
	for _, name := range f.inputs {
		body.inputs = append(body.inputs, Value{Name: name})
	}
	for _, name := range f.outputs {
		body.outputs = append(body.outputs, Value{Name: name})
	}
	s, err := k.enter(body, nil, 0)
	if err != nil {
		return checksum{}, err
	}
	if err := k.listAll(s); err != nil {
		return checksum{}, err
	}
	k.text("function")
	k.number(int64(len(f.inputs)))
	k.number(int64(len(f.outputs)))
	for _, name := range f.outputs {
		if err := k.value(name, s); err != nil {
			return checksum{}, err
		}
	}
	slices.Sort(f.attributes)
	k.number(int64(len(f.attributes)))
	for _, name := range f.attributes {
		k.text(name)
	}
	for _, a := range f.defaults {
		if len(a.graphs) > 0 {
			return checksum{}, notCanonical("the function %s has a graph as a default", quote(f.name))
		}
	}
	slices.SortFunc(f.defaults, func(a, b *attribute) int { return cmp.Compare(a.name, b.name) })
	if err := k.attributes(f.defaults, nil); err != nil {
		return checksum{}, err
	}
	return k.sum(), nil
}
