package model

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// openVINO judges the graph that the Results depend on, and what none does.
func (l *ledger) openVINO(n *openVINO) {
	f := newFlow("")
	b := &irWriter{flow: f, openVINO: n}
	f.outputs = slices.Sorted(maps.Values(b.graph(&n.body, nil, nil, 0)))
	for _, i := range b.powers {
		f.power(&f.steps[i])
	}
	l.whole(f, b.roots)
	l.writtenStatistics(b.statistics)
	for _, op := range stateOperations {
		l.hit(op, Absent, NotRepresentable, "OpenVINO's format has no operator that computes gradients or changes weights by them")
	}
}

// writtenStatistics records steps that write what batch normalization keeps.
func (l *ledger) writtenStatistics(steps []step) {
	for _, s := range steps {
		l.hit(BatchNormalization, Present, Training, "%s: writes the variable %s", s.describe(), quote(s.variable))
		l.find(FlowBatchNormActive, "", s.describe())
	}
}

// irWriter writes bodies out into a flow.
type irWriter struct {
	*flow
	*openVINO
	roots []int
	// powers are the steps whose action their exponent decides.
	powers []int
	// statistics are steps that write what batch normalization keeps.
	statistics []step
}

// graph writes a body out with the values that its Parameters are given, by
// layer, nil for those of the model, and returns what its Results give, by
// layer.
func (b *irWriter) graph(body *irBody, given map[int64][]int, within *place, depth int) map[int64]int {
	results := map[int64]int{}
	if !b.deepen(depth) {
		return results
	}
	b.spend(1 + len(body.layers) + len(body.from))
	if b.tooLarge != "" {
		return results
	}
	values := map[irPlace]int{}
	for _, l := range body.layers {
		for i := range l.outputs {
			values[irPlace{l.id, l.outputs[i].id}] = b.output(l, &l.outputs[i])
		}
	}
	for _, l := range body.layers {
		inputs := make([]int, len(l.inputs))
		for i, p := range l.inputs {
			inputs[i] = values[body.from[irPlace{l.id, p.id}]]
		}
		outputs := make([]int, len(l.outputs))
		for i, p := range l.outputs {
			outputs[i] = values[irPlace{l.id, p.id}]
		}
		b.spend(len(inputs) + len(outputs))
		b.write(l, inputs, outputs, given, results, within, depth)
	}
	return results
}

// output is the value that a port gives.
func (b *irWriter) output(l *irLayer, p *irPort) int {
	v := flowValue{name: l.name, rank: -1}
	if len(p.names) > 0 {
		v.name = strings.Join(p.names, ",")
	}
	if len(p.dims) > 0 {
		v.rank = len(p.dims)
	}
	if l.kind == "Const" {
		v.origin, v.rank, v.ints = constant, len(l.shape), l.ints
	}
	i := b.value(v)
	if l.kind == "Const" {
		b.constant(l, i)
	}
	return i
}

func (b *irWriter) constant(l *irLayer, v int) {
	if !math.IsNaN(l.float) {
		b.floats[v] = l.float
	}
	c := storedConstant{span: l.bytes, size: int64(openVINOTypes[l.data["element_type"]].bits / 8), dims: l.shape}
	if l.bytes.end <= b.weightsSize {
		c.file = b.weights
	}
	if l.elements > 1 {
		b.stored[v] = c
	}
}

func (b *irWriter) write(l *irLayer, inputs, outputs []int, given map[int64][]int, results map[int64]int, within *place, depth int) {
	if b.tooLarge != "" {
		return
	}
	first := func(values []int) int {
		if len(values) == 0 {
			return noDatum
		}
		return values[0]
	}
	switch out := first(outputs); l.kind {
	case "Parameter":
		switch from := given[l.id]; {
		case out == noDatum:
		case given == nil:
			b.values[out].origin = input
		case len(from) == 1:
			b.joinValues(doesPass, out, from...)
		default:
			b.joinValues(0, out, from...)
		}
	case "Result":
		results[l.id] = first(inputs)
	case "Const":
	case "If":
		b.branches(l, inputs, outputs, within, depth)
	case "Loop", "TensorIterator":
		b.loop(l, inputs, outputs, within, depth)
	default:
		s := l.step()
		s.inputs, s.outputs, s.within = inputs, outputs, within
		b.axes(l, &s)
		i := b.flow.step(s)
		switch l.kind {
		case "Power":
			b.powers = append(b.powers, i)
		case "Assign":
			b.roots = append(b.roots, i)
			if isStatistic(s.variable) {
				b.statistics = append(b.statistics, s)
			}
		}
	}
}

// step is what a layer does, without its values.
func (l *irLayer) step() step {
	s := step{
		op: l.operator(), name: l.name, does: tensorFlowActions[openVINOAlike[l.kind]],
		keepsDims: l.data["keep_dims"] == "true" || l.data["keep_dims"] == "1", variable: l.data["variable_id"],
	}
	set, ok := strings.CutPrefix(l.version, "opset")
	if _, err := strconv.Atoi(set); !ok || err != nil || !openVINONames[l.kind] {
		s.does = isOpaque
	}
	switch l.kind {
	case "BatchNormInference":
		s.why = "BatchNormInference"
	case "MVN":
		s.does, s.keepsDims = doesReduce, true
		if v := l.data["normalize_variance"]; v == "true" || v == "1" {
			s.does |= doesRoot
		}
	}
	s.allAxes = s.is(doesReduce) && len(l.inputs) < 2
	return s
}

// axes gives MVN as it was in opset 2 the axes that stand among its settings.
func (b *irWriter) axes(l *irLayer, s *step) {
	if l.kind != "MVN" || len(s.inputs) > 1 || len(s.inputs) == 0 {
		return
	}
	axes := []int64{}
	for _, text := range strings.Split(strings.ReplaceAll(l.data["reduction_axes"], " ", ""), ",") {
		if a, err := strconv.ParseInt(text, 10, 64); err == nil && len(axes) < maxTFInts {
			axes = append(axes, a)
		}
	}
	if len(axes) == 0 {
		axes = []int64{2} // each sample for itself, whether by channels or across them
	}
	s.inputs = []int{s.inputs[0], b.value(flowValue{origin: constant, rank: 1, ints: axes})}
	s.allAxes = false
}

// bound gives what a layer's inputs are to the Parameters of a body.
func (l *irLayer) bound(body string, inputs []int) map[int64][]int {
	given := map[int64][]int{}
	if l.maps[body] == nil {
		return given
	}
	for _, in := range l.maps[body].inputs {
		for i, p := range l.inputs {
			if p.id == in.port {
				given[in.layer] = append(given[in.layer], inputs[i])
			}
		}
	}
	return given
}

// results are what a body's Results give to a layer's outputs.
func (l *irLayer) results(body string, made map[int64]int) []int {
	values := make([]int, len(l.outputs))
	if l.maps[body] == nil {
		return values
	}
	for _, out := range l.maps[body].outputs {
		for i, p := range l.outputs {
			if p.id == out.port {
				values[i] = made[out.layer]
			}
		}
	}
	return values
}

func (b *irWriter) branches(l *irLayer, inputs, outputs []int, within *place, depth int) {
	choice := noDatum
	if len(inputs) > 0 {
		choice = inputs[0]
	}
	made := [][]int{}
	for _, body := range []string{"then_body", "else_body"} {
		if l.bodies[body] == nil {
			continue
		}
		text := map[string]string{"then_body": "one branch of If ", "else_body": "the other branch of If "}[body] + quote(l.name)
		results := b.graph(l.bodies[body], l.bound(body, inputs), &place{within, text, false, choice}, depth+1)
		made = append(made, l.results(body, results))
	}
	b.choose(outputs, choice, made...)
}

// loop writes a body out once: what goes round is what went in or what the
// body made of it.
func (b *irWriter) loop(l *irLayer, inputs, outputs []int, within *place, depth int) {
	body := l.bodies["body"]
	if body == nil {
		b.flow.step(step{op: l.operator(), name: l.name, does: isOpaque, inputs: inputs, outputs: outputs, within: within})
		return
	}
	given := l.bound("body", inputs)
	round := map[int64]int{} // by Result, what goes into the next round
	for _, edge := range l.back {
		if _, ok := round[edge.layer]; !ok {
			round[edge.layer] = b.value(flowValue{rank: -1})
		}
		given[edge.port] = append(given[edge.port], round[edge.layer])
	}
	results := b.graph(body, given, &place{within, l.kind + " " + quote(l.name), false, noDatum}, depth+1)
	for result, value := range round {
		b.joinValues(doesPass, value, results[result])
	}
	goOn := noDatum
	if m := l.maps["body"]; m != nil {
		for _, out := range m.outputs {
			if out.purpose == "execution_condition" {
				goOn = results[out.layer]
			}
		}
	}
	for i, made := range l.results("body", results) {
		b.joinValues(0, outputs[i], append([]int{made, goOn}, inputs...)...)
	}
}

// floatOf is a number of one of OpenVINO's types.
func floatOf(kind string, data []byte) float64 {
	switch kind {
	case "f16":
		return float16(binary.LittleEndian.Uint16(data))
	case "bf16":
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(data)) << 16))
	case "f32":
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(data)))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(data))
}
