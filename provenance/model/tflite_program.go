package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// countedKinds writes a histogram out, "4 × int32, 7 × int8".
func countedKinds(count map[string]int) string {
	parts := []string{}
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d × %s", count[kind], kind))
	}
	return strings.Join(parts, ", ")
}

// tflite judges each signature, and what no signature reaches.
func (l *ledger) tflite(t *tflite) {
	reached := map[int64]bool{}
	trains := false
	for _, entry := range t.entries() {
		f := newFlow(entry.name)
		b := &tfliteWriter{tflite: t, flow: f, reached: reached}
		f.outputs = b.graph(entry.graph, nil, nil, 0)
		trains = l.whole(f, b.roots) || trains
	}
	for i, g := range t.graphs {
		if reached[int64(i)] {
			continue
		}
		for _, op := range g.operators {
			l.tfliteLatent(t, g, &op)
		}
	}
	if trains {
		return
	}
	for _, op := range stateOperations {
		l.hit(op, Absent, NotRepresentable, "no sub-graph computes gradients or changes weights: TFLite has no other place for it")
	}
}

type tfliteEntry struct {
	name  string
	graph int64
}

// entries are the sub-graphs that a program can run: those with a signature,
// and the first one.
func (t *tflite) entries() []tfliteEntry {
	entries := []tfliteEntry{}
	seen := map[int64]bool{}
	for _, s := range t.signatures {
		if !seen[s.graph] {
			seen[s.graph] = true
			entries = append(entries, tfliteEntry{"signature " + quote(s.key), s.graph})
		}
	}
	if !seen[0] {
		entries = append(entries, tfliteEntry{"sub-graph 0", 0})
	}
	if len(entries) == 1 {
		entries[0].name = ""
	}
	return entries
}

// tfliteLatent records an operator of a sub-graph that nothing calls.
func (l *ledger) tfliteLatent(t *tflite, g *tfliteGraph, op *tfliteOperator) {
	s := t.step(g, op)
	where := "sub-graph " + quote(g.name) + ", which nothing calls"
	switch {
	case s.is(doesDraw):
		l.hit(Dropout, Present, Latent, "%s in %s: random numbers", s.describe(), where)
	case s.is(doesNormalize):
		l.hit(BatchNormalization, Present, Latent, "%s in %s", s.describe(), where)
	}
}

// step is what an operator does, without its values.
func (t *tflite) step(g *tfliteGraph, op *tfliteOperator) step {
	code := t.codes[op.code]
	var s step
	switch name := code.name(); {
	case op.flex != nil:
		s = op.flex.step()
	case code.builtin == tfliteCustom:
		// Without its node, what a Flex operator does is known when no
		// attribute of it is asked for.
		s.does = actionOf(strings.TrimPrefix(code.custom, flexPrefix))
		if !strings.HasPrefix(code.custom, flexPrefix) || s.is(doesNormalize|doesHandle|doesReduce) {
			s.does = isOpaque
		}
	case tfliteOpaque[name] || code.builtin < 0 || code.builtin >= int64(len(tfliteBuiltins)):
		s.does = isOpaque
	default:
		s.does = tensorFlowActions[tfliteAlike[name]]
		s.keepsDims, s.variable = op.keepsDims, op.shared
	}
	s.op = code.name()
	if len(op.outputs) > 0 && op.outputs[0] >= 0 {
		s.name = g.tensors[op.outputs[0]].name
	}
	s.gradientByName()
	s.allAxes = s.is(doesReduce) && len(op.inputs) < 2
	return s
}

// tfliteWriter writes sub-graphs out into a flow.
type tfliteWriter struct {
	*tflite
	*flow
	reached map[int64]bool
	roots   []int
}

// graph writes a sub-graph out with the values that it is given, nil for those
// of the model, and returns its outputs.
func (b *tfliteWriter) graph(index int64, given []int, within *place, depth int) []int {
	if index < 0 || index >= int64(len(b.graphs)) || !b.deepen(depth) {
		return nil
	}
	g := b.graphs[index]
	b.reached[index] = true
	b.spend(1 + len(g.tensors) + len(g.operators))
	if b.tooLarge != "" {
		return nil
	}
	ids := make([]int, len(g.tensors))
	for i := range g.tensors {
		ids[i] = b.tensor(&g.tensors[i])
	}
	for i, t := range g.inputs {
		if t < 0 || t >= int64(len(ids)) {
			continue
		}
		switch {
		case given == nil:
			b.values[ids[t]].origin = input
		case i < len(given):
			b.joinValues(doesPass, ids[t], given[i])
		}
	}
	pick := func(list []int64) []int {
		values := make([]int, len(list))
		for i, t := range list {
			if t >= 0 && t < int64(len(ids)) {
				values[i] = ids[t]
			}
		}
		return values
	}
	for i := range g.operators {
		op := &g.operators[i]
		b.spend(len(op.inputs) + len(op.outputs))
		b.operator(g, op, pick(op.inputs), pick(op.outputs), within, depth)
	}
	return pick(g.outputs)
}

func (b *tfliteWriter) tensor(t *tfliteTensor) int {
	v := flowValue{name: t.name, rank: -1}
	if t.ranked {
		v.rank = len(t.shape)
	}
	switch {
	case len(b.buffers) > 0 && b.buffers[t.buffer].full:
		v.origin, v.ints = constant, t.ints
	case t.variable:
		v.origin = state
	}
	return b.value(v)
}

func (b *tfliteWriter) operator(g *tfliteGraph, op *tfliteOperator, inputs, outputs []int, within *place, depth int) {
	if b.tooLarge != "" {
		return
	}
	called := func(text string, choice int) *place { return &place{within, text, false, choice} }
	switch code := b.codes[op.code]; code.builtin {
	case tfliteIf:
		if len(inputs) == 0 {
			return
		}
		then := b.graph(op.graphs[0], inputs[1:], called("one branch of IF", inputs[0]), depth+1)
		other := b.graph(op.graphs[1], inputs[1:], called("the other branch of IF", inputs[0]), depth+1)
		b.choose(outputs, inputs[0], then, other)
	case tfliteWhile:
		b.loop(op, inputs, outputs, called("WHILE", noDatum), depth)
	case tfliteCall, tfliteComposite:
		made := b.graph(op.graphs[0], inputs, called(code.name(), noDatum), depth+1)
		b.choose(outputs, noDatum, made)
	case tfliteCallOnce:
		if i := op.graphs[0]; i >= 0 {
			b.reached[i] = true // it gives variables their first values
		}
	default:
		s := b.tflite.step(g, op)
		s.inputs, s.outputs, s.within = inputs, outputs, within
		i := b.flow.step(s)
		if s.is(doesAssign) {
			b.roots = append(b.roots, i)
		}
	}
}

// choose makes each output one of those at its place in the branches.
func (f *flow) choose(outputs []int, choice int, branches ...[]int) {
	for i, out := range outputs {
		from := []int{}
		for _, branch := range branches {
			if i < len(branch) {
				from = append(from, branch[i])
			}
		}
		does := action(0)
		if len(from) == 1 && choice == noDatum {
			does = doesPass
		}
		if choice != noDatum {
			from = append(from, choice)
		}
		f.joinValues(does, out, from...)
	}
}

// loop writes a WHILE out: what goes round is what went in or what its body
// made of it.
func (b *tfliteWriter) loop(op *tfliteOperator, inputs, outputs []int, within *place, depth int) {
	round := make([]int, len(inputs))
	for i, in := range inputs {
		round[i] = b.value(flowValue{name: b.values[in].name, rank: b.values[in].rank})
	}
	predicate := b.graph(op.graphs[0], round, within, depth+1)
	made := b.graph(op.graphs[1], round, within, depth+1)
	b.choose(round, noDatum, inputs, made)
	for i, out := range outputs {
		from := slices.Clone(predicate)
		if i < len(round) {
			from = append(from, round[i])
		}
		b.joinValues(0, out, from...)
	}
}
