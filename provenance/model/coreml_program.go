package model

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// mlProgram is a Program of MIL,
// https://apple.github.io/coremltools/mlmodel/Format/MIL.html.
type mlProgram struct{ functions []*mlFunction }

// mlFunction is one body of a function, for one set of operators.
type mlFunction struct {
	name, opset string
	inputs      []mlNamed
	block       *mlBlock
}

type mlNamed struct {
	name string
	mlTensorType
}

type mlTensorType struct {
	kind   int32
	dims   []int64 // -1 is not fixed
	ranked bool
}

type mlBlock struct {
	inputs     []mlNamed
	outputs    []string
	operations []*mlOperation
}

type mlOperation struct {
	kind    string
	inputs  []mlInput
	outputs []mlNamed
	blocks  []*mlBlock
	values  []mlInput // attributes
}

// mlInput is what is given under a name: values of others, or constants.
type mlInput struct {
	key    string
	names  []string
	values []*mlValue // nil where a name stands
}

// mlValue is a constant.
type mlValue struct {
	mlTensorType
	// What a small one holds; float is NaN unless it is one number.
	ints  []int64
	float float64
	text  string
	// Where an immediate one lies in the specification, and where one in
	// another file has its header.
	place  span
	file   string
	offset uint64
	found  *storedConstant // where blobs found it, once asked
}

// mlTypes are DataType in MIL.proto, with their size in bits.
var mlTypes = map[int32]struct {
	name string
	bits int
}{
	1: {"bool", 8}, 2: {"str", 0}, 10: {"float16", 16}, 11: {"float32", 32}, 12: {"float64", 64}, 13: {"bfloat16", 16},
	21: {"int8", 8}, 22: {"int16", 16}, 23: {"int32", 32}, 24: {"int64", 64}, 25: {"int4", 4},
	31: {"uint8", 8}, 32: {"uint16", 16}, 33: {"uint32", 32}, 34: {"uint64", 64}, 35: {"uint4", 4}, 36: {"uint2", 2}, 37: {"uint1", 1},
	38: {"uint6", 6}, 39: {"uint3", 3}, 40: {"float8_e4m3fn", 8}, 41: {"float8_e5m2", 8},
}

func (t *mlTensorType) dtype() string {
	if known, ok := mlTypes[t.kind]; ok {
		return known.name
	}
	return "unknown"
}

func (t *mlTensorType) bits() int { return mlTypes[t.kind].bits }

// elements is the number of them; 0 when a dimension is not fixed.
func (t *mlTensorType) elements() int64 {
	n, ok := product(t.dims)
	if !ok {
		return 0
	}
	return n
}

// isNumber tells numbers from text and truth values.
func (t *mlTensorType) isNumber() bool { return mlTypes[t.kind].bits > 0 && t.kind != 1 }

func (w *wire) mlProgram(s span, depth int, p *mlProgram) error {
	return w.each(s, depth, func(f field) error {
		if f.id != 2 {
			return nil
		}
		name, value, err := w.mapEntry(f, depth+1)
		if err != nil || value.id == 0 {
			return err
		}
		if err := w.want(value, bytesType); err != nil {
			return err
		}
		return w.mlFunction(value.span, depth+2, name, p)
	})
}

func (w *wire) mlFunction(s span, depth int, name string, p *mlProgram) error {
	var inputs []mlNamed
	made := []*mlFunction{}
	err := w.each(s, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.mlNamedIn(f, depth+1, &inputs)
		case 3:
			opset, value, err := w.mapEntry(f, depth+1)
			if err != nil || value.id == 0 {
				return err
			}
			if err := w.want(value, bytesType); err != nil {
				return err
			}
			function := &mlFunction{name: name, opset: opset, block: &mlBlock{}}
			made = append(made, function)
			return w.mlBlock(value.span, depth+2, function.block)
		}
		return nil
	})
	for _, function := range made {
		function.inputs = inputs
		p.functions = append(p.functions, function)
	}
	return err
}

func (w *wire) mlNamedIn(f field, depth int, into *[]mlNamed) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	var v mlNamed
	err := w.each(f.span, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &v.name)
		case 2:
			return w.mlValueType(f, depth+1, &v.mlTensorType)
		}
		return nil
	})
	*into = append(*into, v)
	if err != nil {
		return err
	}
	return w.keep(f.offset, valueCost+int64(len(v.name)+8*len(v.dims)))
}

// mlValueType reads a ValueType, of which only tensors, and states of tensors,
// are looked into.
func (w *wire) mlValueType(f field, depth int, t *mlTensorType) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.mlTensorType(f, depth+1, t)
		case 5:
			return w.message(f, depth+1, func(f field) error {
				if f.id != 1 {
					return nil
				}
				return w.mlValueType(f, depth+2, t)
			})
		}
		return nil
	})
}

func (w *wire) mlTensorType(f field, depth int, t *mlTensorType) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	t.dims, t.ranked = nil, true
	return w.each(f.span, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.enum(f, &t.kind)
		case 2:
			t.ranked = int64(f.number) >= 0
			return w.want(f, varintType)
		case 3:
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			if len(t.dims) == maxMLShapes {
				return w.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxMLShapes), "more")
			}
			d := int64(-1)
			err := w.each(f.span, depth+1, func(f field) error {
				if f.id != 1 {
					return nil
				}
				if err := w.want(f, bytesType); err != nil {
					return err
				}
				d = 0
				return w.each(f.span, depth+2, func(f field) error {
					if f.id == 1 {
						d = int64(f.number)
						return w.want(f, varintType)
					}
					return nil
				})
			})
			t.dims = append(t.dims, d)
			return err
		}
		return nil
	})
}

func (w *wire) mlBlock(s span, depth int, b *mlBlock) error {
	return w.each(s, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.mlNamedIn(f, depth+1, &b.inputs)
		case 2:
			return w.texts(f, &b.outputs)
		case 3:
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			op := &mlOperation{}
			b.operations = append(b.operations, op)
			if err := w.keep(f.offset, mlCost); err != nil {
				return err
			}
			return w.mlOperation(f.span, depth+1, op)
		}
		return nil
	})
}

func (w *wire) mlOperation(s span, depth int, op *mlOperation) error {
	return w.each(s, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &op.kind)
		case 2:
			return w.mlInput(f, depth+1, &op.inputs, w.mlArgument)
		case 3:
			return w.mlNamedIn(f, depth+1, &op.outputs)
		case 4:
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			b := &mlBlock{}
			op.blocks = append(op.blocks, b)
			return w.mlBlock(f.span, depth+1, b)
		case 5:
			return w.mlInput(f, depth+1, &op.values, w.mlAttribute)
		}
		return nil
	})
}

// mlInput reads an entry of a map; of two with one key the last counts.
func (w *wire) mlInput(f field, depth int, into *[]mlInput, read func(field, int, *mlInput) error) error {
	key, value, err := w.mapEntry(f, depth)
	if err != nil {
		return err
	}
	in := mlInput{key: key}
	if value.id != 0 {
		if err := w.want(value, bytesType); err != nil {
			return err
		}
		if err := read(value, depth+1, &in); err != nil {
			return err
		}
	}
	*into = append(slices.DeleteFunc(*into, func(i mlInput) bool { return i.key == key }), in)
	return w.keep(f.offset, attributeCost+int64(len(key)))
}

// mlAttribute reads a Value.
func (w *wire) mlAttribute(f field, depth int, in *mlInput) error {
	v, err := w.mlValue(f.span, depth)
	in.names, in.values = append(in.names, ""), append(in.values, v)
	return err
}

// mlArgument reads an Argument: a list of names and values.
func (w *wire) mlArgument(f field, depth int, in *mlInput) error {
	return w.each(f.span, depth, func(f field) error {
		if f.id != 1 {
			return nil
		}
		if err := w.want(f, bytesType); err != nil {
			return err
		}
		var name string
		var value *mlValue
		err := w.each(f.span, depth+1, func(f field) (err error) {
			switch f.id {
			case 1:
				value = nil
				return w.text(f, &name)
			case 2:
				if err := w.want(f, bytesType); err != nil {
					return err
				}
				name = ""
				value, err = w.mlValue(f.span, depth+2)
			}
			return err
		})
		in.names, in.values = append(in.names, name), append(in.values, value)
		return err
	})
}

func (w *wire) mlValue(s span, depth int) (*mlValue, error) {
	v := &mlValue{float: math.NaN()}
	if err := w.keep(s.start, tensorCost); err != nil {
		return nil, err
	}
	var immediate field
	err := w.each(s, depth, func(f field) error {
		switch f.id {
		case 2:
			return w.mlValueType(f, depth+1, &v.mlTensorType)
		case 3:
			v.file, immediate = "", f
			return w.want(f, bytesType)
		case 5:
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			immediate = field{}
			return w.each(f.span, depth+1, func(f field) error {
				switch f.id {
				case 1:
					return w.text(f, &v.file)
				case 2:
					v.offset = f.number
					return w.want(f, varintType)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil || immediate.id == 0 {
		return v, err
	}
	return v, w.each(immediate.span, depth+1, func(f field) error {
		if f.id != 1 {
			return nil // a list, a tuple or a dictionary
		}
		return w.message(f, depth+2, func(f field) error {
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			return w.mlElements(f, depth+3, v)
		})
	})
}

// The fields of TensorValue.
const (
	mlFloats = 1
	mlInts   = 2
	mlBools  = 3
	mlTexts  = 4
	mlLongs  = 5
	mlBytes  = 7
)

// mlElements reads the elements of a small constant, and where those of a
// larger one are.
func (w *wire) mlElements(of field, depth int, v *mlValue) error {
	return w.each(of.span, depth, func(f field) error {
		if f.id != 1 {
			return nil
		}
		if f.kind == bytesType && (of.id == mlFloats || of.id == mlBytes) {
			v.place = f.span
		}
		if of.id == mlTexts {
			return w.prefix(f, maxShownName, &v.text)
		}
		if f.len() > maxTFPayload {
			return nil
		}
		switch of.id {
		case mlInts, mlBools, mlLongs:
			return w.numbers(f, varintType, func(n uint64) error {
				v.ints = append(v.ints, int64(n))
				return nil
			})
		case mlFloats:
			return w.numbers(f, fixed32Type, func(n uint64) error {
				v.float = float64(math.Float32frombits(uint32(n)))
				return nil
			})
		case mlBytes:
			data, err := w.bytes(f.span)
			if err == nil && len(data) == 2 && v.dtype() == "float16" {
				v.float = float16(binary.LittleEndian.Uint16(data))
			}
			return err
		}
		return nil
	})
}

// input is what an operation is given under a key; ok is false when there is
// none.
func (op *mlOperation) input(key string) (in mlInput, ok bool) {
	i := slices.IndexFunc(op.inputs, func(in mlInput) bool { return in.key == key })
	if i < 0 {
		return in, false
	}
	return op.inputs[i], true
}

// label is the name that a converter gave an operation.
func (op *mlOperation) label() string {
	for _, v := range op.values {
		if v.key == "name" && len(v.values) > 0 && v.values[0].text != "" {
			return v.values[0].text
		}
	}
	if len(op.outputs) > 0 {
		return op.outputs[0].name
	}
	return ""
}

// constants are the values that an operation of constants holds.
func (op *mlOperation) constants() (values []*mlValue) {
	if !strings.HasPrefix(op.kind, "const") {
		return nil
	}
	for _, in := range slices.Concat(op.values, op.inputs) {
		if in.key == "name" {
			continue
		}
		for _, v := range in.values {
			if v != nil {
				values = append(values, v)
			}
		}
	}
	return values
}

// count fills in the histograms.
func (p *mlProgram) count(m *Model, b *blobs) {
	quantized := map[string]int{}
	for _, f := range p.functions {
		if set, ok := strings.CutPrefix(f.opset, "CoreML"); ok {
			if n, err := strconv.ParseInt(set, 10, 64); err == nil && n > 0 && n < maxOpset {
				m.Opsets["CoreML"] = max(m.Opsets["CoreML"], n)
			}
		}
		f.block.count(m, b, quantized)
	}
	if len(quantized) > 0 {
		m.find(QuantizedModel, "weights are compressed: "+countedKinds(quantized), "")
	}
}

func (k *mlBlock) count(m *Model, b *blobs, quantized map[string]int) {
	for _, op := range k.operations {
		m.Operators[op.kind]++
		if strings.HasPrefix(op.kind, "constexpr_") {
			quantized[op.kind]++
		}
		for _, v := range op.constants() {
			if v.isNumber() {
				m.count(v.dtype(), v.elements())
			}
			if v.file != "" {
				b.stored(v, op.label())
			}
		}
		for _, inner := range op.blocks {
			inner.count(m, b, quantized)
		}
	}
}

// shapes fills in the shapes of outputs, which descriptions of programs lack.
func (p *mlProgram) shapes(entry string, m *Model) {
	for _, f := range p.functions {
		if entry != "" && f.name != entry {
			continue
		}
		types := map[string]mlTensorType{}
		for _, op := range f.block.operations {
			for _, out := range op.outputs {
				types[out.name] = out.mlTensorType
			}
		}
		for i := range m.Outputs {
			if t, ok := types[m.Outputs[i].Name]; ok && m.Outputs[i].Shape == nil && t.ranked {
				m.Outputs[i].Shape = dimensions(t.dims, nil)
			}
		}
	}
}

// mlProgram judges each function.
func (l *ledger) mlProgram(p *mlProgram, where string, blobs *blobs) {
	for _, function := range p.functions {
		entry := where
		if len(p.functions) > 1 {
			entry = "function " + quote(function.name) + " for " + function.opset + inside(where)
		}
		f := newFlow(entry)
		b := &mlWriter{flow: f, blobs: blobs, names: map[string]int{}}
		for _, in := range function.inputs {
			b.names[in.name] = b.value(flowValue{name: in.name, origin: input, rank: in.rank()})
		}
		f.outputs = b.block(function.block, nil, 0)
		for _, i := range b.powers {
			f.power(&f.steps[i])
		}
		l.whole(f, b.roots)
		l.writtenStatistics(b.statistics)
	}
}

func (t *mlTensorType) rank() int {
	if !t.ranked {
		return -1
	}
	return len(t.dims)
}

// mlWriter writes blocks out into a flow.
type mlWriter struct {
	*flow
	blobs      *blobs
	names      map[string]int // a name stands once in a function
	roots      []int
	powers     []int
	statistics []step
}

// block writes a block out and returns its outputs.
func (b *mlWriter) block(k *mlBlock, within *place, depth int) []int {
	if !b.deepen(depth) {
		return nil
	}
	for _, op := range k.operations {
		b.spend(1 + len(op.inputs) + len(op.outputs))
		if b.tooLarge != "" {
			return nil
		}
		b.operation(op, within, depth)
	}
	return b.named(k.outputs)
}

func (b *mlWriter) named(names []string) []int {
	values := make([]int, len(names))
	for i, name := range names {
		values[i] = b.names[name]
	}
	return values
}

func (b *mlWriter) operation(op *mlOperation, within *place, depth int) {
	outputs := make([]int, len(op.outputs))
	for i, out := range op.outputs {
		outputs[i] = b.value(flowValue{name: out.name, rank: out.rank()})
		b.names[out.name] = outputs[i]
	}
	switch op.kind {
	case "const":
		for _, v := range op.constants() {
			if len(outputs) > 0 {
				b.fill(outputs[0], v, op.label())
			}
		}
	case "cond":
		b.branches(op, outputs, within, depth)
	case "while_loop":
		b.loop(op, outputs, within, depth)
	default:
		b.plain(op, outputs, within)
	}
}

// fill makes a value a constant.
func (b *mlWriter) fill(to int, v *mlValue, name string) {
	d := &b.values[to]
	d.name, d.origin, d.ints, d.rank = name, constant, v.ints, v.rank()
	if !math.IsNaN(v.float) && v.elements() == 1 {
		b.floats[to] = v.float
	}
	switch {
	case v.elements() < 2 || !v.isNumber():
	case v.file != "":
		c, ok := b.blobs.stored(v, name)
		if !ok {
			c = storedConstant{dims: v.dims}
		}
		b.stored[to] = c
	case v.place.len() > 0:
		b.stored[to] = storedConstant{file: b.blobs.specification, span: v.place, size: int64(v.bits() / 8), dims: v.dims}
	}
}

// values are what an input is, constants of their own included.
func (b *mlWriter) given(in mlInput) (values []int) {
	for i, name := range in.names {
		if v := in.values[i]; v != nil {
			to := b.value(flowValue{})
			b.fill(to, v, in.key)
			values = append(values, to)
			continue
		}
		values = append(values, b.names[name])
	}
	return values
}

// mlOrder are the keys of inputs in the order that the rules count them in;
// those that are not listed follow.
var mlOrder = map[string][]string{
	"batch_norm": {"x", "gamma", "beta", "mean", "variance"},
	"select":     {"cond", "a", "b"},
}

var mlUsualOrder = []string{"x", "axes", "y"}

// ordered are an operation's inputs in that order; one that is not given is 0.
func (b *mlWriter) ordered(op *mlOperation) (values []int) {
	order, fixed := mlOrder[op.kind]
	if !fixed {
		order = mlUsualOrder
	}
	for _, key := range order {
		in, ok := op.input(key)
		switch {
		case ok:
			values = append(values, b.given(in)...)
		case fixed:
			values = append(values, noDatum)
		}
	}
	rest := slices.SortedFunc(slices.Values(op.inputs), func(a, b mlInput) int { return cmp.Compare(a.key, b.key) })
	for _, in := range rest {
		if !slices.Contains(order, in.key) {
			values = append(values, b.given(in)...)
		}
	}
	return values
}

func (b *mlWriter) plain(op *mlOperation, outputs []int, within *place) {
	s := step{op: op.kind, name: op.label(), does: mlAction(op.kind), inputs: b.ordered(op), outputs: outputs, within: within}
	switch {
	case s.is(doesReduce):
		if in, ok := op.input("keep_dims"); ok {
			for _, v := range b.given(in) {
				keeps, known := b.integers(v)
				s.keepsDims = known && len(keeps) == 1 && keeps[0] != 0
			}
		}
		_, hasAxes := op.input("axes")
		s.allAxes = !hasAxes
	case s.is(doesNormalize):
		s.why = "batch_norm"
	}
	i := b.flow.step(s)
	switch op.kind {
	case "pow":
		b.powers = append(b.powers, i)
	case "write_state":
		b.roots = append(b.roots, i)
		if in, ok := op.input("input"); ok && len(in.names) > 0 && isStatistic(in.names[0]) {
			s.variable = in.names[0]
			b.statistics = append(b.statistics, s)
		}
	}
}

func (b *mlWriter) branches(op *mlOperation, outputs []int, within *place, depth int) {
	choice := noDatum
	if in, ok := op.input("pred"); ok {
		for _, v := range b.given(in) {
			choice = v
		}
	}
	made := [][]int{}
	for i, block := range op.blocks {
		text := []string{"one branch of cond ", "the other branch of cond "}[min(i, 1)] + quote(op.label())
		made = append(made, b.block(block, &place{within, text, false, choice}, depth+1))
	}
	b.choose(outputs, choice, made...)
}

// loop writes a loop out once: blocks are its condition and its body, which
// are given what goes round.
func (b *mlWriter) loop(op *mlOperation, outputs []int, within *place, depth int) {
	vars := []int{}
	for _, in := range op.inputs {
		vars = append(vars, b.given(in)...)
	}
	round := make([]int, len(vars))
	for i, v := range vars {
		round[i] = b.value(flowValue{name: b.values[v].name, rank: b.values[v].rank})
	}
	results := [][]int{}
	for _, block := range op.blocks {
		for i, in := range block.inputs {
			if i < len(round) {
				b.names[in.name] = round[i]
			}
		}
		results = append(results, b.block(block, &place{within, "while_loop " + quote(op.label()), false, noDatum}, depth+1))
	}
	if len(results) != 2 {
		b.flow.step(step{op: op.kind, name: op.label(), does: isOpaque, inputs: vars, outputs: outputs, within: within})
		return
	}
	b.choose(round, noDatum, vars, results[1])
	for i, out := range outputs {
		from := slices.Clone(results[0])
		if i < len(round) {
			from = append(from, round[i])
		}
		b.joinValues(0, out, from...)
	}
}
