package model

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// tfWriter writes a TensorFlow graph out into a flow: functions inlined,
// branches and loops joined to what they are in.
type tfWriter struct {
	*flow
	graph   *tfGraph
	reached map[*tfFunction]bool
	// pending are steps that run behind a node that was not written yet.
	pending []tfControl
}

type tfControl struct {
	step  int
	node  string
	scope *tfScope
}

// tfScope is a graph's or a function's body: its values by the words that
// nodes refer to them by, and its steps by the names of nodes.
type tfScope struct {
	function bool
	values   map[string]int
	steps    map[string]int
	// used are the outputs of a node that something takes.
	used map[string][]tfOutput
}

// tfOutput is one output of a node: its number in a graph, name and number in
// a function.
type tfOutput struct {
	name  string
	index int
	value int
}

// key brings a reference into one form; the first output of a node needs no
// number in a graph.
func (s *tfScope) key(reference string) string {
	if !s.function && !strings.Contains(reference, ":") {
		return reference + ":0"
	}
	return reference
}

// refer is the value that a reference stands for.
func (b *tfWriter) refer(s *tfScope, reference string) int {
	key := s.key(reference)
	if v, ok := s.values[key]; ok {
		return v
	}
	node, rest, _ := strings.Cut(key, ":")
	v := b.value(flowValue{name: node, rank: -1})
	s.values[key] = v
	out := tfOutput{value: v}
	number := rest
	if s.function {
		out.name, number, _ = strings.Cut(rest, ":")
	}
	out.index, _ = strconv.Atoi(number)
	s.used[node] = append(s.used[node], out)
	return v
}

// body writes nodes out. wanted are references to what is asked for from
// outside; their values come back in that order.
func (b *tfWriter) body(nodes []*tfNode, s *tfScope, wanted []string, within *place, depth int) []int {
	for _, n := range nodes {
		b.spend(1 + len(n.inputs))
	}
	if !b.deepen(depth) {
		return nil
	}
	s.steps, s.used = map[string]int{}, map[string][]tfOutput{}
	inputs := make([][]int, len(nodes))
	for i, n := range nodes {
		for _, reference := range n.inputs {
			if !strings.HasPrefix(reference, "^") {
				inputs[i] = append(inputs[i], b.refer(s, reference))
			}
		}
	}
	values := make([]int, len(wanted))
	for i, reference := range wanted {
		values[i] = b.refer(s, reference)
	}
	for i, n := range nodes {
		if b.tooLarge != "" {
			return nil
		}
		outputs := s.used[n.name]
		slices.SortStableFunc(outputs, func(a, b tfOutput) int {
			return cmp.Or(cmp.Compare(rank(a.name), rank(b.name)), cmp.Compare(a.index, b.index))
		})
		b.node(n, s, inputs[i], outputs, within, depth)
	}
	return values
}

// rank puts the output of a batch normalization that is its result before
// those that are statistics.
func rank(output string) int {
	if output == "" || output == "y" {
		return 0
	}
	return 1
}

func (b *tfWriter) node(n *tfNode, s *tfScope, inputs []int, outputs []tfOutput, within *place, depth int) {
	given := func(from origin, shape []int64) {
		// What stands behind other nodes makes them run.
		at := b.flow.step(step{op: joined})
		s.steps[n.name] = at
		b.controls(n, s, at)
		for _, out := range outputs {
			v := &b.values[out.value]
			v.origin, v.behind = from, at+1
			if shape != nil {
				v.rank = len(shape)
			}
		}
	}
	switch {
	case n.op == "Const" || n.op == "HostConst":
		a := n.attribute("value")
		if a == nil || a.tensor == nil {
			given(constant, nil)
			return
		}
		given(constant, a.tensor.shape)
		for _, out := range outputs {
			b.values[out.value].ints = a.tensor.ints
		}
		return
	case strings.HasPrefix(n.op, "Placeholder"):
		var shape []int64
		if a := n.attribute("shape"); a != nil {
			shape = a.shape
		}
		given(input, shape)
		return
	}
	i, calls := b.call(n, inputs, outputs, within, depth)
	if !calls {
		step := n.step()
		step.inputs, step.within = inputs, within
		for _, out := range outputs {
			step.outputs = append(step.outputs, out.value)
			step.branches = append(step.branches, out.branch())
		}
		if step.is(doesOptimize) {
			rate, grad := optimizerOf(n.op)
			step.rate, step.grad = step.in(rate), step.in(grad)
			if rate == 0 {
				step.rate = noDatum
			}
			if grad == 0 {
				step.grad = noDatum
			}
		}
		i = b.flow.step(step)
	}
	s.steps[n.name] = i
	b.controls(n, s, i)
}

// branch is the number of a switch's output.
func (o tfOutput) branch() int {
	if o.name == "output_true" {
		return 1
	}
	return o.index
}

// controls remembers what the step of a node runs behind.
func (b *tfWriter) controls(n *tfNode, s *tfScope, at int) {
	for _, reference := range n.inputs {
		if before, ok := strings.CutPrefix(reference, "^"); ok {
			b.pending = append(b.pending, tfControl{at, before, s})
		}
	}
}

// call writes out what a node calls; calls is false when it calls nothing. The
// step that it returns stands for all that runs with the call.
func (b *tfWriter) call(n *tfNode, inputs []int, outputs []tfOutput, within *place, depth int) (at int, calls bool) {
	attribute := func(name string) *tfFunction {
		if a := n.attribute(name); a != nil {
			return b.graph.functions[a.function]
		}
		return nil
	}
	text := shown(n.op) + " " + quote(n.name)
	switch n.op {
	case "PartitionedCall", "StatefulPartitionedCall":
		fn := attribute("f")
		if fn != nil {
			text = "function " + quote(fn.name)
		}
		return b.invoke(fn, inputs, outputs, &place{within, text, true, noDatum}, depth), true
	case "If", "StatelessIf", "_If", "Case", "StatelessCase":
		if len(inputs) == 0 {
			break
		}
		branches := []*tfFunction{attribute("then_branch"), attribute("else_branch")}
		if a := n.attribute("branches"); a != nil {
			branches = nil
			for _, name := range a.functions {
				branches = append(branches, b.graph.functions[name])
			}
		}
		return b.branches(branches, inputs, outputs, &place{within, "a branch of " + text, false, inputs[0]}, depth), true
	case "While", "StatelessWhile", "_While":
		return b.loop(attribute("cond"), attribute("body"), inputs, outputs, &place{within, text, false, noDatum}, depth), true
	}
	if fn := b.graph.functions[n.op]; fn != nil {
		return b.invoke(fn, inputs, outputs, &place{within, "function " + text, true, noDatum}, depth), true
	}
	return 0, false
}

// function writes a function's body out with the values that it is given, and
// returns its outputs and the step that stands for what runs with it. A
// function that the file does not have is a step whose doing is not known.
func (b *tfWriter) function(fn *tfFunction, given []int, within *place, depth int) (outputs []int, at int) {
	if fn == nil {
		v := b.value(flowValue{rank: -1})
		return []int{v}, b.flow.step(step{op: "function that is not in the file", does: isOpaque, inputs: given, outputs: []int{v}, within: within})
	}
	b.reached[fn] = true
	b.spend(1 + len(fn.inputs) + len(fn.outputs))
	if b.tooLarge != "" {
		return nil, b.flow.step(step{op: joined})
	}
	s := &tfScope{function: true, values: map[string]int{}}
	for i, name := range fn.inputs {
		s.values[name] = noDatum
		if i < len(given) {
			s.values[name] = given[i]
		}
	}
	wanted := make([]string, len(fn.outputs))
	for i, name := range fn.outputs {
		wanted[i] = fn.returns[name]
	}
	outputs = b.body(fn.nodes, s, wanted, within, depth)
	at = b.flow.step(step{op: joined})
	for _, control := range fn.controls {
		b.pending = append(b.pending, tfControl{at, control, s})
	}
	return outputs, at
}

// give joins the outputs that are taken to what made them, each behind the
// step at.
func (b *tfWriter) give(outputs []tfOutput, at int, made func(i int) []int, does action) {
	for n, out := range outputs {
		i := out.index
		if out.name != "" && out.name != "output" {
			i = n // by the name of an argument, in a call of the oldest kind
		}
		step := b.joinValues(does, out.value, made(i)...)
		b.steps[step].befores = append(b.steps[step].befores, at)
	}
}

func (b *tfWriter) invoke(fn *tfFunction, inputs []int, outputs []tfOutput, within *place, depth int) int {
	made, at := b.function(fn, inputs, within, depth+1)
	b.give(outputs, at, func(i int) []int { return element(made, i) }, doesPass)
	return at
}

// element is the i-th value in a list of its own; none when there is none.
func element(list []int, i int) []int {
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i : i+1 : i+1]
}

func (b *tfWriter) branches(list []*tfFunction, inputs []int, outputs []tfOutput, within *place, depth int) int {
	at := b.flow.step(step{op: joined})
	made := [][]int{}
	for _, fn := range list {
		values, ran := b.function(fn, inputs[1:], within, depth+1)
		made = append(made, values)
		b.steps[at].befores = append(b.steps[at].befores, ran)
	}
	b.give(outputs, at, func(i int) []int {
		from := []int{inputs[0]}
		for _, values := range made {
			from = append(from, element(values, i)...)
		}
		return from
	}, 0)
	return at
}

// loop writes a While out: what goes round is what went in or what its body
// made of it.
func (b *tfWriter) loop(cond, body *tfFunction, inputs []int, outputs []tfOutput, within *place, depth int) int {
	round := make([]int, len(inputs))
	for i, in := range inputs {
		round[i] = b.value(flowValue{name: b.values[in].name, rank: b.values[in].rank})
	}
	predicate, _ := b.function(cond, round, within, depth+1)
	made, at := b.function(body, round, within, depth+1)
	b.choose(round, noDatum, inputs, made)
	b.give(outputs, at, func(i int) []int { return append(slices.Clone(predicate), element(round, i)...) }, 0)
	return at
}

// write writes a whole graph out; wanted are references to its outputs.
func (g *tfGraph) write(entry string, wanted []string) (*tfWriter, *tfScope) {
	b := &tfWriter{flow: newFlow(entry), graph: g, reached: map[*tfFunction]bool{}}
	s := &tfScope{values: map[string]int{}}
	b.outputs = b.body(g.nodes, s, wanted, nil, 0)
	for _, p := range b.pending {
		if before, ok := p.scope.steps[p.node]; ok {
			b.steps[p.step].befores = append(b.steps[p.step].befores, before)
		}
	}
	return b, s
}

// called lists the functions that nodes call, directly or not, in the order in
// which they are met.
func (g *tfGraph) called(nodes []*tfNode) []*tfFunction {
	var order []*tfFunction
	seen := map[*tfFunction]bool{}
	meet := func(name string) {
		if fn := g.functions[name]; fn != nil && !seen[fn] {
			seen[fn] = true
			order = append(order, fn)
		}
	}
	look := func(nodes []*tfNode) {
		for _, n := range nodes {
			meet(n.op)
			for _, a := range n.attributes {
				meet(a.function)
				for _, name := range a.functions {
					meet(name)
				}
			}
		}
	}
	look(nodes)
	for i := 0; i < len(order); i++ { // order grows while it is walked
		look(order[i].nodes)
	}
	return order
}

// operators is the histogram of Model.Operators.
func (g *tfGraph) operators() map[string]int {
	count := map[string]int{}
	add := func(nodes []*tfNode) {
		for _, n := range nodes {
			count[n.op]++
		}
	}
	add(g.nodes)
	for _, fn := range g.called(g.nodes) {
		add(fn.nodes)
	}
	return count
}

// uncalled records what only functions hold that no entry point calls.
func (l *ledger) uncalled(g *tfGraph, reached map[*tfFunction]bool) {
	for _, fn := range g.order {
		if reached[fn] {
			continue
		}
		for _, n := range fn.nodes {
			s := n.step()
			where := "function " + quote(fn.name) + ", which no signature calls"
			switch {
			case s.is(doesDraw):
				l.hit(Dropout, Present, Latent, "%s in %s: random numbers", s.describe(), where)
			case s.is(doesNormalize) && s.trains:
				l.hit(BatchNormalization, Present, Latent, "%s in %s: %s", s.describe(), where, s.why)
			}
		}
	}
}
