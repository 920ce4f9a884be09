package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// mlNetwork is a NeuralNetwork, or a NeuralNetworkClassifier or -Regressor,
// whose fields have the same numbers,
// https://apple.github.io/coremltools/mlmodel/Format/NeuralNetwork.html.
type mlNetwork struct {
	layers []*mlLayer
	update mlUpdate
}

// mlUpdate is what a network says of its further training.
type mlUpdate struct {
	losses    []string
	optimizer string
	rate      string // as decimal digits
}

type mlLayer struct {
	name            string
	kind            int // the number of the field that holds its settings
	inputs, outputs []string
	updatable       bool
	ranks           []int64          // of the inputs, when the file tells
	elements        map[string]int64 // of its weights, by type
	quantized       bool
	// Settings that a rule asks for.
	axes              []int64
	keepsDims, all    bool
	compute, instance bool // batchnorm
	unary             int64
	alpha             float64
	className         string
	branches          []*mlNetwork // or the condition and the body of a loop
}

func (w *wire) mlNetwork(s span, depth int, n *mlNetwork) error {
	return w.each(s, depth, func(f field) error {
		switch f.id {
		case 1:
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			layer := &mlLayer{}
			n.layers = append(n.layers, layer)
			if err := w.keep(f.offset, mlCost); err != nil {
				return err
			}
			return w.mlLayer(f.span, depth+1, layer)
		case 10:
			return w.mlUpdate(f, depth+1, &n.update)
		}
		return nil
	})
}

func (w *wire) mlLayer(s span, depth int, l *mlLayer) error {
	var held field
	err := w.each(s, depth, func(f field) error {
		switch {
		case f.id == 1:
			return w.text(f, &l.name)
		case f.id == 2:
			return w.texts(f, &l.inputs)
		case f.id == 3:
			return w.texts(f, &l.outputs)
		case f.id == 4:
			return w.mlRank(f, depth+1, l)
		case f.id == 10:
			l.updatable = f.number != 0
			return w.want(f, varintType)
		case f.id >= mlLeastLayer:
			if held.id != 0 && held.id != f.id {
				return w.malformed(f.offset, "one kind of layer", "two")
			}
			held = f
			return w.want(f, bytesType)
		}
		return nil
	})
	if err != nil || held.id == 0 {
		return err
	}
	l.kind = held.id
	if err := w.mlWeights(held.span, depth+1, mlWeightFields[l.kind], l); err != nil {
		return err
	}
	return w.mlSettings(held.span, depth+1, l)
}

// mlRank reads a Tensor, which tells the rank of an input.
func (w *wire) mlRank(f field, depth int, l *mlLayer) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	rank := int64(-1)
	err := w.each(f.span, depth, func(f field) error {
		if f.id == 1 {
			rank = int64(f.number)
			return w.want(f, varintType)
		}
		return nil
	})
	l.ranks = append(l.ranks, rank)
	if err != nil {
		return err
	}
	return w.keep(f.offset, 16)
}

// mlSettings reads of a layer's settings what a rule asks for.
func (w *wire) mlSettings(s span, depth int, l *mlLayer) error {
	name := mlLayers[l.kind]
	reduces := mlLayerActions[name]&doesReduce != 0
	return w.each(s, depth, func(f field) error {
		switch {
		case reduces && f.id == 1:
			return w.numbers(f, varintType, func(v uint64) error {
				if len(l.axes) < maxTFInts {
					l.axes = append(l.axes, int64(v))
				}
				return nil
			})
		case reduces && f.id == 2:
			l.keepsDims = f.number != 0
		case reduces && f.id == 3:
			l.all = f.number != 0
		case name == "batchnorm" && f.id == 5:
			l.compute = f.number != 0
		case name == "batchnorm" && f.id == 6:
			l.instance = f.number != 0
		case name == "unary" && f.id == 1:
			l.unary = int64(int32(f.number))
		case name == "unary" && f.id == 2, name == "powBroadcastable" && f.id == 2:
			l.alpha = float64(math.Float32frombits(uint32(f.number)))
		case name == "custom" && f.id == 10:
			return w.text(f, &l.className)
		case name == "branch" && (f.id == 1 || f.id == 2), name == "loop" && (f.id == 3 || f.id == 4):
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			n := &mlNetwork{}
			l.branches = append(l.branches, n)
			return w.mlNetwork(f.span, depth+1, n)
		}
		return nil
	})
}

// mlWeights counts the weights of a layer, whose settings have them in these
// fields.
func (w *wire) mlWeights(s span, depth int, fields mlFields, l *mlLayer) error {
	if fields == nil {
		return nil
	}
	return w.each(s, depth, func(f field) error {
		within, ok := fields[f.id]
		switch {
		case !ok:
			return nil
		case f.kind != bytesType:
			return w.want(f, bytesType)
		case within != nil:
			return w.mlWeights(f.span, depth+1, within, l)
		}
		return w.mlWeightParams(f.span, depth+1, l)
	})
}

// mlWeightParams counts what a WeightParams holds: numbers of 32 or 16 bits, or
// quantized ones of as many bits as it says.
func (w *wire) mlWeightParams(s span, depth int, l *mlLayer) error {
	var raw, bits int64
	err := w.each(s, depth, func(f field) error {
		switch f.id {
		case 1:
			n := f.len() / 4
			if f.kind == fixed32Type {
				n = 1
			}
			l.holds("float32", n)
		case 2:
			l.holds("float16", f.len()/2)
		case 30:
			raw = f.len()
		case 31:
			l.holds("int8", f.len())
			l.quantized = true
		case 40:
			return w.message(f, depth+1, func(f field) error {
				if f.id == 1 {
					bits = int64(f.number)
					return w.want(f, varintType)
				}
				return nil
			})
		}
		return nil
	})
	if bits > 0 && bits <= 32 {
		l.holds("uint"+strconv.FormatInt(bits, 10), raw*8/bits)
		l.quantized = l.quantized || raw > 0
	}
	return err
}

func (l *mlLayer) holds(dtype string, n int64) {
	l.elements = with(l.elements, dtype, l.elements[dtype]+n)
}

// mlUpdate reads NetworkUpdateParameters.
func (w *wire) mlUpdate(f field, depth int, u *mlUpdate) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.message(f, depth+1, func(f field) error {
				if f.id != 1 {
					return nil
				}
				return w.texts(f, &u.losses)
			})
		case 2:
			return w.message(f, depth+1, func(f field) error {
				name, ok := map[int]string{10: "SGD", 11: "Adam"}[f.id]
				if !ok {
					return nil
				}
				u.optimizer = name
				return w.message(f, depth+2, func(f field) error {
					if f.id != 1 {
						return nil
					}
					return w.mlRate(f, depth+3, u)
				})
			})
		}
		return nil
	})
}

// mlRate reads the default of a DoubleParameter.
func (w *wire) mlRate(f field, depth int, u *mlUpdate) error {
	return w.message(f, depth, func(f field) error {
		if f.id == 1 && f.kind == fixed64Type {
			u.rate = strconv.FormatFloat(math.Float64frombits(f.number), 'g', -1, 64)
		}
		return nil
	})
}

// operator is the layer's name in Model.Operators.
func (l *mlLayer) operator() string {
	name, ok := mlLayers[l.kind]
	switch {
	case !ok:
		return "layer " + strconv.Itoa(l.kind)
	case l.className != "":
		return name + "." + l.className
	}
	return name
}

func (n *mlNetwork) count(m *Model) {
	quantized := map[string]int{}
	n.countInto(m, quantized)
	if len(quantized) > 0 {
		m.find(QuantizedModel, "weights are compressed: "+countedKinds(quantized), "")
	}
}

func (n *mlNetwork) countInto(m *Model, quantized map[string]int) {
	for _, l := range n.layers {
		m.Operators[l.operator()]++
		for dtype, n := range l.elements {
			m.count(dtype, n)
		}
		if l.quantized {
			quantized[l.operator()]++
		}
		for _, inner := range l.branches {
			inner.countInto(m, quantized)
		}
	}
}

// mlNetwork judges a network.
func (l *ledger) mlNetwork(n *mlNetwork, inputs, outputs []Value, where string) {
	f := newFlow(where)
	b := &mlLayerWriter{flow: f, names: map[string]int{}}
	for _, in := range inputs {
		b.names[in.Name] = b.value(flowValue{name: in.Name, origin: input, rank: -1})
	}
	b.network(n, nil, 0)
	for _, out := range outputs {
		f.outputs = append(f.outputs, b.names[out.Name])
	}
	l.whole(f, nil)
}

// mlLayerWriter writes layers out into a flow. Layers run one after the other,
// and a name stands for what was written under it last.
type mlLayerWriter struct {
	*flow
	names map[string]int
}

func (b *mlLayerWriter) network(n *mlNetwork, within *place, depth int) {
	if !b.deepen(depth) {
		return
	}
	for _, l := range n.layers {
		b.spend(1 + len(l.inputs) + len(l.outputs))
		if b.tooLarge != "" {
			return
		}
		inputs := make([]int, len(l.inputs))
		for i, name := range l.inputs {
			inputs[i] = b.names[name]
		}
		switch mlLayers[l.kind] {
		case "branch":
			b.branch(l, inputs, within, depth)
		case "loop":
			for _, inner := range l.branches {
				b.network(inner, &place{within, "loop " + quote(l.name), false, noDatum}, depth+1)
			}
		default:
			b.layer(l, inputs, within)
		}
	}
}

func (b *mlLayerWriter) layer(l *mlLayer, inputs []int, within *place) {
	s := l.step()
	s.inputs, s.within = inputs, within
	switch {
	case s.is(doesReduce):
		axes := l.axes
		if s.allAxes {
			axes = nil
		}
		s.inputs = append(inputs[:min(len(inputs), 1)], b.value(flowValue{origin: constant, rank: 1, ints: axes}))
		if len(l.ranks) > 0 && len(inputs) > 0 && l.ranks[0] >= 0 && b.values[inputs[0]].rank < 0 {
			b.values[inputs[0]].rank = int(l.ranks[0])
		}
	case s.is(doesNormalize):
		s.inputs = append(inputs[:min(len(inputs), 1)], make([]int, 4)...)
	}
	for _, name := range l.outputs {
		v := b.value(flowValue{name: name, rank: -1})
		if s.op == "loadConstant" || s.op == "loadConstantND" {
			b.values[v].origin = constant
		}
		s.outputs = append(s.outputs, v)
		b.names[name] = v
	}
	if s.op != "loadConstant" && s.op != "loadConstantND" {
		b.step(s)
	}
}

// step is what a layer does, without its values.
func (l *mlLayer) step() step {
	name := mlLayers[l.kind]
	s := step{op: l.operator(), name: l.name, does: mlLayerActions[name], keepsDims: l.keepsDims, allAxes: l.all || len(l.axes) == 0}
	s.allAxes = s.allAxes && s.is(doesReduce)
	switch name {
	case "", "custom":
		s.does = isOpaque
	case "batchnorm":
		s.why = fmt.Sprintf("computeMeanVar is %v", l.compute)
		s.trains = l.compute
		if l.compute && l.instance { // of each sample for itself
			s.does = 0
		}
	case "unary":
		s.does = mlUnary(l.unary, l.alpha)
	case "powBroadcastable":
		s.does = doesScale | doesRoot // by an exponent that is computed, if at all
	}
	return s
}

// mlUnary is what a layer of type unary does, UnaryFunctionLayerParams.Operation.
func mlUnary(operation int64, alpha float64) action {
	const sqrt, rsqrt, inverse, power, abs = 0, 1, 2, 3, 6
	switch operation {
	case sqrt, rsqrt:
		return doesRoot
	case inverse:
		return doesScale | doesShapeMask
	case power:
		switch alpha {
		case 2:
			return doesSquare | doesScale
		case 0.5, -0.5:
			return doesRoot
		}
	case abs:
		return doesSquare | doesScale
	}
	return 0
}

// branch writes both branches out: a name that one of them writes stands for
// either afterwards.
func (b *mlLayerWriter) branch(l *mlLayer, inputs []int, within *place, depth int) {
	choice := noDatum
	if len(inputs) > 0 {
		choice = inputs[0]
	}
	before := b.names
	written := map[string]bool{}
	made := []map[string]int{before, before}
	for i, inner := range l.branches[:min(len(l.branches), 2)] {
		b.names = maps.Clone(before)
		text := []string{"one branch of ", "the other branch of "}[i] + "branch " + quote(l.name)
		b.network(inner, &place{within, text, false, choice}, depth+1)
		made[i] = b.names
		for name, v := range b.names {
			written[name] = written[name] || v != before[name]
		}
	}
	b.names = before
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if written[name] {
			to := b.value(flowValue{name: name, rank: -1})
			b.joinValues(0, to, made[0][name], made[1][name], choice)
			before[name] = to
		}
	}
}
