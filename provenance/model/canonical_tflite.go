package model

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// canonicalTFLite is the canonical digest of a TensorFlow Lite model,
// "TensorFlow Lite" in docs/spec/canonical-digest-v1.md.
func canonicalTFLite(path string) (checksum, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return checksum{}, err
	}
	defer file.Close()
	return digestTFLite(newPager(file, size, filepath.Base(path)))
}

// tfliteDigester digests one TensorFlow Lite model.
type tfliteDigester struct {
	*pager
	*tflite
	// ordered is set when the operators' order in the file is kept.
	ordered bool
	sums    map[int64]checksum
	calling map[int64]bool
	passage *passage
}

func digestTFLite(p *pager) (checksum, error) {
	d := &tfliteDigester{pager: p, tflite: &tflite{}, sums: map[int64]checksum{}, calling: map[int64]bool{}, passage: newPassage(p.size)}
	if err := p.tflite(d.tflite); err != nil {
		return checksum{}, err
	}
	root, err := p.root()
	if err != nil {
		return checksum{}, err
	}
	if err := onlyFields("the model", root, 8); err != nil {
		return checksum{}, err
	}
	if len(d.graphs) == 0 {
		return checksum{}, p.malformed(0, "a sub-graph", "none")
	}
	d.ordered = d.tflite.keepsState()
	l := newListing("tflite model")
	l.number(int64(d.version))
	main, err := d.graph(0)
	if err != nil {
		return checksum{}, err
	}
	l.digest(main)
	signatures := slices.SortedFunc(slices.Values(d.signatures), func(a, b tfliteSignature) int { return cmp.Compare(a.key, b.key) })
	l.number(int64(len(signatures)))
	for _, s := range signatures {
		called, err := d.graph(s.graph)
		if err != nil {
			return checksum{}, err
		}
		l.text(s.key)
		l.digest(called)
	}
	return l.sum(), nil
}

// onlyFields is an error when a table has a field from number fields on: what it
// means is not known.
func onlyFields(what string, t table, fields int) error {
	for id := fields; id < len(t.fields); id++ {
		if t.fields[id] != 0 {
			return notCanonical("%s has field %d, which is not covered", what, id)
		}
	}
	return nil
}

// tfliteStateful are operators whose effect is more than their outputs.
var tfliteStateful = words(`CALL_ONCE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE HASHTABLE HASHTABLE_IMPORT HASHTABLE_FIND HASHTABLE_SIZE`)

// keepsState tells whether the order of operators can matter beyond what they
// hand each other: some keep state, or are not TensorFlow Lite's own.
func (t *tflite) keepsState() bool {
	for _, g := range t.graphs {
		for _, op := range g.operators {
			code := t.codes[op.code]
			if len(op.outputs) == 0 || code.builtin == tfliteCustom || tfliteStateful[code.name()] {
				return true
			}
		}
		for i := range g.tensors {
			if g.tensors[i].variable {
				return true
			}
		}
	}
	return false
}

// graph is the digest of a sub-graph, whatever calls it.
func (d *tfliteDigester) graph(i int64) (checksum, error) {
	if s, ok := d.sums[i]; ok {
		return s, nil
	}
	switch {
	case i < 0 || i >= int64(len(d.graphs)):
		return checksum{}, notCanonical("sub-graph %d is called, and there are %d", i, len(d.graphs))
	case d.calling[i]:
		return checksum{}, notCanonical("sub-graph %d calls itself", i)
	case len(d.calling) == maxNesting:
		return checksum{}, notCanonical("sub-graphs call each other more than %d deep", maxNesting)
	}
	d.calling[i] = true
	defer delete(d.calling, i)
	k, err := d.newWalk(d.graphs[i])
	if err != nil {
		return checksum{}, err
	}
	s, err := k.run()
	d.sums[i] = s
	return s, err
}

// tfliteWalk lists the operators of one sub-graph.
type tfliteWalk struct {
	*listing
	*tfliteDigester
	in    *tfliteGraph
	made  map[int64]tflitePlace // by tensor
	state []tfliteState         // by operator
	// count counts what is listed, numbers where each is.
	count     int64
	numbers   []int64
	stack     []tfliteStep
	variables map[int64]int64
	constants map[int64]checksum
}

type tflitePlace struct {
	input bool
	by    int   // the operator
	index int64 // of the input, or of the operator's output
}

type tfliteState = onnxState

type tfliteStep struct{ operator, next int }

func (d *tfliteDigester) newWalk(g *tfliteGraph) (*tfliteWalk, error) {
	k := &tfliteWalk{
		listing: newListing("tflite graph"), tfliteDigester: d, in: g, made: map[int64]tflitePlace{}, variables: map[int64]int64{}, constants: map[int64]checksum{},
		state: make([]tfliteState, len(g.operators)), numbers: make([]int64, len(g.operators)),
	}
	if err := onlyFields("a sub-graph", g.table, 6); err != nil {
		return nil, err
	}
	define := func(tensor int64, place tflitePlace) error {
		if _, twice := k.made[tensor]; twice {
			return notCanonical("tensor %d is made twice", tensor)
		}
		k.made[tensor] = place
		return nil
	}
	for i, tensor := range g.inputs {
		if err := define(tensor, tflitePlace{input: true, index: int64(i)}); err != nil {
			return nil, err
		}
	}
	for by, op := range g.operators {
		for i, tensor := range op.outputs {
			if tensor < 0 {
				continue
			}
			if err := define(tensor, tflitePlace{by: by, index: int64(i)}); err != nil {
				return nil, err
			}
		}
	}
	return k, nil
}

func (k *tfliteWalk) run() (checksum, error) {
	k.flag(k.ordered)
	if k.ordered {
		for i := range k.in.operators {
			if err := k.list(i); err != nil {
				return checksum{}, err
			}
		}
	}
	for _, tensor := range k.in.outputs {
		if place, ok := k.made[tensor]; ok && !place.input {
			if err := k.list(place.by); err != nil {
				return checksum{}, err
			}
		}
	}
	k.text("graph")
	k.number(int64(len(k.in.inputs)))
	for _, tensor := range k.in.inputs {
		if err := k.describe(k.listing, tensor); err != nil {
			return checksum{}, err
		}
	}
	if err := k.values(k.in.outputs); err != nil {
		return checksum{}, err
	}
	return k.sum(), nil
}

// list lists an operator behind all that it needs.
func (k *tfliteWalk) list(operator int) error {
	if k.state[operator] == listed {
		return nil
	}
	k.state[operator] = waiting
	k.stack = append(k.stack[:0], tfliteStep{operator: operator})
	for len(k.stack) > 0 {
		top := &k.stack[len(k.stack)-1]
		inputs := k.in.operators[top.operator].inputs
		if top.next < len(inputs) {
			place, ok := k.made[inputs[top.next]]
			top.next++
			switch {
			case !ok || place.input || k.state[place.by] == listed:
			case k.state[place.by] == waiting:
				return notCanonical("operator %d depends on itself", place.by)
			default:
				k.state[place.by] = waiting
				k.stack = append(k.stack, tfliteStep{operator: place.by})
			}
			continue
		}
		operator := top.operator
		k.stack = k.stack[:len(k.stack)-1]
		k.state[operator], k.numbers[operator] = listed, k.count
		k.count++
		if err := k.operator(operator); err != nil {
			return err
		}
	}
	return nil
}

// operator writes an operator's record.
func (k *tfliteWalk) operator(i int) error {
	op := &k.in.operators[i]
	at, _, err := k.vector(k.in.table, 3, 4)
	if err != nil {
		return err
	}
	e, err := k.follow(at + 4*int64(i))
	if err != nil {
		return err
	}
	if err := onlyFields("an operator", e, 14); err != nil {
		return err
	}
	code := k.codes[op.code]
	k.text("operator")
	k.number(code.builtin)
	k.text(code.custom)
	k.number(code.version)
	if err := k.values(op.inputs); err != nil {
		return err
	}
	k.number(int64(len(op.outputs)))
	for _, tensor := range op.outputs {
		if err := k.describe(k.listing, tensor); err != nil {
			return err
		}
	}
	intermediates, err := k.integers(e, 8)
	if err != nil {
		return err
	}
	k.number(int64(len(intermediates)))
	for _, tensor := range intermediates {
		if err := k.describe(k.listing, tensor); err != nil {
			return err
		}
	}
	if err := k.rawVector(e, 7); err != nil { // mutating_variable_inputs
		return err
	}
	for _, union := range []struct {
		kind, value int
		schema      map[uint64]string
	}{{3, 4, tfliteOptions}, {11, 12, tfliteOptions2}} {
		if err := k.options(e, union.kind, union.value, union.schema); err != nil {
			return err
		}
	}
	return k.customOptions(e, code)
}

// rawVector writes a vector of bytes.
func (k *tfliteWalk) rawVector(t table, id int) error {
	at, n, err := k.vector(t, id, 1)
	if err != nil {
		return err
	}
	return k.data(k.file, at, n, k.passage)
}

// values writes what makes each of these tensors.
func (k *tfliteWalk) values(tensors []int64) error {
	k.number(int64(len(tensors)))
	for _, tensor := range tensors {
		if err := k.value(tensor); err != nil {
			return err
		}
	}
	return nil
}

func (k *tfliteWalk) value(tensor int64) error {
	if tensor < 0 {
		k.text("none")
		return nil
	}
	if tensor >= int64(len(k.in.tensors)) {
		return notCanonical("tensor %d is used, and there are %d", tensor, len(k.in.tensors))
	}
	place, ok := k.made[tensor]
	switch t := &k.in.tensors[tensor]; {
	case ok && place.input:
		k.text("input")
		k.number(place.index)
		return nil
	case ok:
		k.text("operator")
		k.number(k.numbers[place.by])
		k.number(place.index)
		return nil
	case t.variable:
		if _, met := k.variables[tensor]; !met {
			k.variables[tensor] = int64(len(k.variables))
		}
		k.text("variable")
		k.number(k.variables[tensor])
	default:
		k.text("constant")
	}
	return k.constant(tensor)
}

// constant writes the digest of a tensor that the file holds.
func (k *tfliteWalk) constant(tensor int64) error {
	if s, ok := k.constants[tensor]; ok {
		k.digest(s)
		return nil
	}
	l := newListing("tensor")
	if err := k.describe(l, tensor); err != nil {
		return err
	}
	t := &k.in.tensors[tensor]
	var stored span
	if len(k.buffers) > 0 {
		stored = k.buffers[t.buffer].span
	}
	if n, _ := elements(t.shape); stored.len() == 0 && n > 0 && !t.variable {
		return notCanonical("nothing makes tensor %s", quote(t.name))
	}
	if err := l.data(k.file, stored.start, stored.len(), k.passage); err != nil {
		return err
	}
	s := l.sum()
	k.constants[tensor] = s
	k.digest(s)
	return nil
}

// describe writes a tensor's type, shape and quantization.
func (k *tfliteWalk) describe(l *listing, tensor int64) error {
	if tensor < 0 || tensor >= int64(len(k.in.tensors)) {
		l.text("none")
		return nil
	}
	at, _, err := k.vector(k.in.table, 0, 4)
	if err != nil {
		return err
	}
	e, err := k.follow(at + 4*tensor)
	if err != nil {
		return err
	}
	for id, what := range map[int]string{6: "sparse", 9: "a variant", 10: "in another file"} {
		if _, there := e.field(id); there {
			return notCanonical("tensor %s is %s, which is not covered", quote(k.in.tensors[tensor].name), what)
		}
	}
	if err := onlyFields("a tensor", e, 11); err != nil {
		return err
	}
	t := &k.in.tensors[tensor]
	l.text("tensor")
	l.number(int64(t.kind))
	l.flag(t.ranked)
	l.numbers(t.shape)
	l.numbers(t.signature)
	l.flag(t.variable)
	return k.quantization(l, e)
}

// quantization writes scales, zero points and the dimension that they are of;
// the range that they were made from is nothing that a runtime reads.
func (k *tfliteWalk) quantization(l *listing, e table) error {
	q, err := k.child(e, 4)
	if err != nil {
		return err
	}
	if err := onlyFields("a quantization", q, 7); err != nil {
		return err
	}
	details, err := k.pager.number(q, 4, 1, 0)
	if err != nil {
		return err
	}
	if details != 0 {
		return notCanonical("a tensor has quantization details of kind %d, which are not covered", details)
	}
	if err := k.elementsOf(l, q, 2, 4); err != nil {
		return err
	}
	if err := k.elementsOf(l, q, 3, 8); err != nil {
		return err
	}
	dimension, err := k.pager.number(q, 6, 4, 0)
	l.number(int64(int32(dimension)))
	return err
}

// elementsOf writes the numbers of a vector as their bytes.
func (k *tfliteWalk) elementsOf(l *listing, t table, id int, width int64) error {
	at, n, err := k.vector(t, id, width)
	if err != nil {
		return err
	}
	return l.data(k.file, at, n*width, k.passage)
}

// options writes the options of an operator in one of the two unions: of each
// field its value, so that a default is the same whether it is stored or not.
func (k *tfliteWalk) options(e table, kindID, valueID int, schema map[uint64]string) error {
	kind, err := k.pager.number(e, kindID, 1, 0)
	if err != nil {
		return err
	}
	k.number(int64(kind))
	if kind == 0 {
		return nil
	}
	row, ok := schema[kind]
	if !ok {
		return notCanonical("an operator has options of kind %d, which is not known", kind)
	}
	options, err := k.child(e, valueID)
	if err != nil {
		return err
	}
	fields := strings.Fields(row)
	if err := onlyFields("an operator's options of kind "+strconv.FormatUint(kind, 10), options, len(fields)); err != nil {
		return err
	}
	for id, field := range fields {
		if err := k.option(options, id, field); err != nil {
			return err
		}
	}
	return nil
}

// option writes one field, which a word of tfliteOptions describes.
func (k *tfliteWalk) option(options table, id int, field string) error {
	kind, unset, _ := strings.Cut(field, "=")
	switch kind {
	case "-":
		return nil
	case "s":
		return k.rawVector(options, id)
	case "g":
		n, err := k.pager.number(options, id, 4, 0)
		if err != nil {
			return err
		}
		return k.called([]int64{int64(int32(n))})
	case "vg":
		graphs, err := k.integers(options, id)
		if err != nil {
			return err
		}
		return k.called(graphs)
	}
	if width, isVector := strings.CutPrefix(kind, "v"); isVector {
		n, err := strconv.ParseInt(width, 10, 64)
		if err != nil {
			return err
		}
		return k.elementsOf(k.listing, options, id, n)
	}
	width, err := strconv.Atoi(kind)
	if err != nil {
		return err
	}
	value := uint64(0)
	if unset != "" {
		if value, err = strconv.ParseUint(unset, 10, 64); err != nil {
			return err
		}
	}
	value, err = k.pager.number(options, id, width, value)
	k.number(int64(value))
	return err
}

// called writes the digests of sub-graphs that an operator calls; a negative
// number is none.
func (k *tfliteWalk) called(graphs []int64) error {
	k.number(int64(len(graphs)))
	for _, g := range graphs {
		if g < 0 {
			k.text("none")
			continue
		}
		s, err := k.graph(g)
		if err != nil {
			return err
		}
		k.text("graph")
		k.digest(s)
	}
	return nil
}

// customOptions writes the options of an operator that is not TensorFlow
// Lite's own: the bytes, or what they say where they are a TensorFlow node.
func (k *tfliteWalk) customOptions(e table, code tfliteCode) error {
	at, n, err := k.vector(e, 5, 1)
	if err != nil {
		return err
	}
	if _, there := e.field(9); there {
		return notCanonical("the options of operator %s lie behind the model, which is not covered", quote(code.custom))
	}
	if strings.HasPrefix(code.custom, flexPrefix) && n >= 3 {
		s, ok, err := k.flexString(span{at, at + n}, 1)
		if err != nil {
			return err
		}
		if ok {
			return k.flexNode(s)
		}
	}
	k.text("bytes")
	return k.data(k.file, at, n, k.passage)
}

// flexNode writes a NodeDef, https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/node_def.proto:
// its operator, how many inputs it has and its attributes by name. Protobuf
// writes maps in any order.
func (k *tfliteWalk) flexNode(s span) error {
	var op string
	attributes := map[string]span{}
	inputs := int64(0)
	err := k.each(s, 1, func(f field) error {
		switch f.id {
		case 2:
			return k.wire.text(f, &op)
		case 3:
			inputs++
		case 5:
			return k.flexAttribute(f, attributes)
		case 1, 4, 6: // name, device, where it comes from
		default:
			return notCanonical("field %d of a TensorFlow node is not covered", f.id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.text("node")
	k.listing.text(op)
	k.number(inputs)
	k.number(int64(len(attributes)))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		k.listing.text(name)
		at := attributes[name]
		if err := k.data(k.file, at.start, at.len(), k.passage); err != nil {
			return err
		}
	}
	return nil
}

func (k *tfliteWalk) flexAttribute(f field, into map[string]span) error {
	var name string
	var value span
	err := k.message(f, 2, func(f field) error {
		switch f.id {
		case 1:
			return k.wire.text(f, &name)
		case 2:
			value = f.span
			return k.want(f, bytesType)
		}
		return nil
	})
	into[name] = value
	return err
}
