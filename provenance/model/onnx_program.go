package model

import "fmt"

// Limits of writing a graph out; a file of a few kilobytes can define
// functions that call each other into more nodes than atoms exist.
const (
	maxWork    = 1 << 22 // nodes, and the names they and their graphs state
	maxNesting = 64      // calls and sub-graphs within each other
)

// origin says where a value comes from.
type origin int

const (
	undefined   origin = iota // nothing makes it: a broken graph
	missing                   // an optional input that was left out
	input                     // given by whoever runs the model
	constant                  // an initializer
	overridable               // an initializer that is also an input
	state                     // an initializer that a training step replaces
	computed                  // an output of an operation
)

// datum is a value of the written-out graph.
type datum struct {
	name   string
	origin origin
	tensor *tensor // of an initializer; nil for a sparse one
	by     int     // the operation, when computed
	// varies is set when the value is not the same in every run.
	varies bool
	// used lists the operations that take the value.
	used []int
}

// operation is a node with its inputs and outputs as indices of data. A
// function's node stands once for each call.
type operation struct {
	*node
	inputs, outputs []int
	own             int // of inputs; those behind are outputs of sub-graphs
	env             *environment
	within          *frame // nil in the main graph
	live            bool   // an output of the model depends on it
}

// frame is a sub-graph or a called function that an operation lies in.
type frame struct {
	outer *frame
	label string // the attribute of a sub-graph; empty for a function
	node  *node  // that holds or calls it
}

// environment is what a function's body sees of its call.
type environment struct {
	opsets     map[string]int64
	attributes map[string]*attribute // of the call, for ref_attr_name
}

// program is a graph written out: functions inlined, sub-graphs joined to the
// operation that holds them.
type program struct {
	data       []datum
	operations []operation
	outputs    []int
	functions  map[functionKey]*function
	// strange are nodes that no function and no known operator set defines.
	strange []operation
	// tooLarge says why the graph could not be written out, else it is empty.
	tooLarge string
	// work and followed count against maxWork and maxFollowed.
	work, followed int
}

// scope maps names to data; a sub-graph sees the names around it.
type scope struct {
	names  map[string]int
	parent *scope
}

func (s *scope) find(name string) (int, bool) {
	for ; s != nil; s = s.parent {
		if i, ok := s.names[name]; ok {
			return i, true
		}
	}
	return 0, false
}

// noDatum is the datum of an input that was left out.
const noDatum = 0

// entered is the operator of the operations that stand between the inputs of
// a node and those of its sub-graph. What exactly goes where differs by
// operator, so every value handed in is taken to depend on all of them.
const entered = "entered sub-graph"

// write writes the main graph out and, when training is not nil, its algorithm
// behind it, which sees the main graph's names (TrainingInfoProto.algorithm).
func (p *proto) write(training *trainingInfo) *program {
	b := &program{functions: p.calls(), data: []datum{{origin: missing}}}
	env := &environment{opsets: p.opsets}
	if len(p.opsets) == 0 && p.ir < 3 {
		// Before IR 3 there was no opset_import: version 1 is implied.
		env.opsets = map[string]int64{"": 1}
	}
	main := &scope{names: map[string]int{}}
	outputs := b.graph(&p.graph, main, env, nil, p.canOverride())
	if training != nil {
		outputs = append(outputs, b.graph(&training.algorithm, main, env, &frame{label: "training_info.algorithm"}, false)...)
		for variable, replacement := range training.updates {
			if i, ok := main.names[variable]; ok && b.data[i].origin != computed {
				b.data[i].origin = state
			}
			if i, ok := main.names[replacement]; ok {
				outputs = append(outputs, i)
			}
		}
	}
	b.outputs = outputs
	b.link()
	return b
}

func (b *program) add(d datum) int {
	b.data = append(b.data, d)
	return len(b.data) - 1
}

// graph writes out a graph whose names belong to s and returns its outputs.
func (b *program) graph(g *graph, s *scope, env *environment, within *frame, canOverride bool) []int {
	for _, v := range g.inputs {
		s.names[v.Name] = b.add(datum{name: v.Name, origin: input})
	}
	declare := func(name string, t *tensor) {
		from := constant
		if _, listed := s.names[name]; listed && canOverride {
			from = overridable
		}
		s.names[name] = b.add(datum{name: name, origin: from, tensor: t})
	}
	for _, t := range g.tensors {
		declare(t.name, t)
	}
	for _, t := range g.sparse {
		declare(t.values.name, nil)
	}
	b.nodes(g.nodes, s, nil, env, within, 0)
	return b.resolve(g.outputs, s)
}

func (b *program) resolve(values []Value, s *scope) []int {
	ids := make([]int, len(values))
	for i, v := range values {
		ids[i] = b.use(v.Name, s)
	}
	return ids
}

// use is the datum that name stands for.
func (b *program) use(name string, s *scope) int {
	if name == "" {
		return noDatum
	}
	if i, ok := s.find(name); ok {
		return i
	}
	i := b.add(datum{name: name, origin: undefined})
	s.names[name] = i
	return i
}

// nodes writes a list of nodes out. given holds data that outputs of these
// names must be, which a caller already knows by number.
func (b *program) nodes(list []*node, s *scope, given map[string]int, env *environment, within *frame, depth int) {
	if depth > maxNesting {
		b.tooLarge = fmt.Sprintf("functions and sub-graphs are nested more than %d deep", maxNesting)
	}
	for _, n := range list {
		b.spend(1 + len(n.inputs) + len(n.outputs) + len(n.attributes))
	}
	if b.tooLarge != "" {
		return
	}
	// Names first: what makes a value may stand behind what uses it.
	for _, n := range list {
		for _, name := range n.outputs {
			if i, ok := given[name]; ok {
				s.names[name] = i
			} else if name != "" {
				s.names[name] = b.add(datum{name: name})
			}
		}
	}
	for _, n := range list {
		if b.tooLarge != "" {
			return
		}
		inputs, outputs := b.uses(n.inputs, s), b.uses(n.outputs, s)
		if f := b.functions[n.key()]; f != nil {
			b.call(n, f, inputs, outputs, env, within, depth)
			continue
		}
		b.operation(n, inputs, outputs, s, env, within, depth)
	}
}

// spend counts work; without a limit a file of a kilobyte could ask for 2^60
// calls of an empty function.
func (b *program) spend(n int) {
	if b.work += n; b.work > maxWork && b.tooLarge == "" {
		b.tooLarge = fmt.Sprintf("with its functions written out, the graph has more than %d nodes and names", maxWork)
	}
}

func (b *program) uses(names []string, s *scope) []int {
	ids := make([]int, len(names))
	for i, name := range names {
		ids[i] = b.use(name, s)
	}
	return ids
}

// operation adds a node that is no call, and the sub-graphs it holds.
func (b *program) operation(n *node, inputs, outputs []int, s *scope, env *environment, within *frame, depth int) {
	op := operation{node: n, inputs: inputs, own: len(inputs), outputs: outputs, env: env, within: within}
	if !known(n) {
		b.strange = append(b.strange, op)
	}
	for _, a := range n.attributes {
		a = env.attribute(a)
		for _, g := range a.graphs {
			b.spend(len(g.inputs) + len(g.outputs) + len(g.tensors) + len(g.sparse))
			inner := &scope{names: map[string]int{}, parent: s}
			handed := make([]int, len(g.inputs))
			for i, v := range g.inputs {
				handed[i] = b.add(datum{name: v.Name})
				inner.names[v.Name] = handed[i]
			}
			b.join(entered, inputs, handed)
			b.initialize(g, inner)
			b.nodes(g.nodes, inner, nil, env, &frame{within, a.name, n}, depth+1)
			op.inputs = append(op.inputs, b.resolve(g.outputs, inner)...)
		}
	}
	b.append(op)
}

func (b *program) initialize(g *graph, s *scope) {
	for _, t := range g.tensors {
		s.names[t.name] = b.add(datum{name: t.name, origin: constant, tensor: t})
	}
	for _, t := range g.sparse {
		s.names[t.values.name] = b.add(datum{name: t.values.name, origin: constant})
	}
}

// call writes a function's body out with the call's inputs and attributes.
func (b *program) call(n *node, f *function, inputs, outputs []int, env *environment, within *frame, depth int) {
	b.spend(len(f.inputs) + len(f.outputs) + len(f.defaults))
	callee := &environment{opsets: f.opsets, attributes: map[string]*attribute{}}
	for _, a := range f.defaults {
		callee.attributes[a.name] = a
	}
	for _, a := range n.attributes {
		callee.attributes[a.name] = env.attribute(a)
	}
	s := &scope{names: map[string]int{}}
	for i, name := range f.inputs {
		s.names[name] = noDatum
		if i < len(inputs) {
			s.names[name] = inputs[i]
		}
	}
	given := map[string]int{}
	for i, name := range f.outputs {
		if i >= len(outputs) || outputs[i] == noDatum {
			continue
		}
		if passed, ok := s.names[name]; ok {
			b.join("Identity", []int{passed}, outputs[i:i+1])
			continue
		}
		if before, twice := given[name]; twice {
			b.join("Identity", []int{before}, outputs[i:i+1])
			continue
		}
		given[name] = outputs[i]
	}
	b.nodes(f.nodes, s, given, callee, &frame{within, "", n}, depth+1)
}

// attribute follows ref_attr_name to the attribute of the call.
func (e *environment) attribute(a *attribute) *attribute {
	if a.ref == "" {
		return a
	}
	if given := e.attributes[a.ref]; given != nil {
		renamed := *given
		renamed.name = a.name
		return &renamed
	}
	return &attribute{name: a.name, ref: a.ref}
}

// join adds an operation that is no node of the file.
func (b *program) join(op string, from, to []int) {
	if len(to) > 0 {
		b.append(operation{node: &node{op: op}, inputs: from, own: len(from), outputs: to, env: &environment{}})
	}
}

func (b *program) append(op operation) {
	for _, i := range op.outputs {
		if i != noDatum {
			b.data[i].origin, b.data[i].by = computed, len(b.operations)
		}
	}
	b.operations = append(b.operations, op)
}

// link fills in who uses what, what the outputs depend on and what varies.
func (b *program) link() {
	for i := range b.operations {
		for _, d := range b.operations[i].inputs {
			if d != noDatum {
				b.data[d].used = append(b.data[d].used, i)
			}
		}
	}
	b.markLive()
	b.markVarying()
}

// markLive marks the operations that an output depends on; all of them when
// the graph states no output.
func (b *program) markLive() {
	queue := append([]int(nil), b.outputs...)
	if len(queue) == 0 {
		for i := range b.operations {
			b.operations[i].live = true
		}
	}
	for len(queue) > 0 {
		d := b.data[queue[len(queue)-1]]
		queue = queue[:len(queue)-1]
		if d.origin != computed || b.operations[d.by].live {
			continue
		}
		b.operations[d.by].live = true
		queue = append(queue, b.operations[d.by].inputs...)
	}
}

// markVarying marks every value that depends on an input, on chance, on a
// training step or on something unknown.
func (b *program) markVarying() {
	var queue []int
	mark := func(i int) {
		if i != noDatum && !b.data[i].varies {
			b.data[i].varies = true
			queue = append(queue, i)
		}
	}
	for i, d := range b.data {
		if d.origin == input || d.origin == undefined || d.origin == state {
			mark(i)
		}
	}
	for _, op := range b.operations {
		if op.random() || op.op == entered || !known(op.node) || trainingRole(op.node) != noRole {
			for _, i := range op.outputs {
				mark(i)
			}
		}
	}
	for len(queue) > 0 {
		d := b.data[queue[len(queue)-1]]
		queue = queue[:len(queue)-1]
		for _, user := range d.used {
			for _, i := range b.operations[user].outputs {
				mark(i)
			}
		}
	}
}
