package model

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// inspectTFLite reads a TensorFlow Lite model, a FlatBuffers file as
// tfliteBuiltins' schema.fbs has it. What is read are tables alone: the vectors
// that hold weights are never asked for.
func inspectTFLite(path string, _ Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readTFLite(file, size, filepath.Base(path))
}

// tflite is what is kept of a Model table.
type tflite struct {
	version    uint64
	codes      []tfliteCode
	graphs     []*tfliteGraph
	buffers    []tfliteBuffer
	metadata   map[string]int // name → buffer
	signatures []tfliteSignature
}

type tfliteCode struct {
	builtin int64
	custom  string
	version int64
}

type tfliteGraph struct {
	table
	name            string
	tensors         []tfliteTensor
	inputs, outputs []int64
	operators       []tfliteOperator
}

type tfliteTensor struct {
	name      string
	kind      uint64
	shape     []int64
	signature []int64 // the shape with -1 where a dimension is not fixed
	ranked    bool    // the shape is known, even when it has no dimension
	variable  bool
	quantized bool
	buffer    int
	ints      []int64 // of a small constant
}

type tfliteBuffer struct {
	span
	full bool // it holds data, within the FlatBuffer or behind it
}

type tfliteOperator struct {
	code            int
	inputs, outputs []int64
	keepsDims       bool
	graphs          []int64 // sub-graphs that it calls
	shared          string  // a variable's name
	flex            *tfNode // what a Flex operator stands for
}

type tfliteSignature struct {
	key             string
	graph           int64
	inputs, outputs map[int64]string // names by tensor
}

// maxTFLiteString bounds a name: fused operators carry the names of all that
// they were made of.
const maxTFLiteString = 1 << 20

func readTFLite(file io.ReaderAt, size int64, name string) (*Model, error) {
	p := newPager(file, size, name)
	var t tflite
	if err := p.tflite(&t); err != nil {
		return nil, err
	}
	if len(t.graphs) == 0 {
		return nil, p.malformed(0, "a sub-graph", "none")
	}
	m := newModel("tflite", name)
	m.FormatVersion = "schema " + strconv.FormatUint(t.version, 10)
	var err error
	if m.Producer, err = p.tfliteProducer(&t); err != nil {
		return nil, err
	}
	main := t.graphs[0]
	if m.Inputs, err = p.tfliteValues(main, main.inputs); err != nil {
		return nil, err
	}
	if m.Outputs, err = p.tfliteValues(main, main.outputs); err != nil {
		return nil, err
	}
	if err := p.tfliteCount(&t, m); err != nil {
		return nil, err
	}
	l := newLedger(m)
	l.tflite(&t)
	l.close()
	return m, nil
}

// tflite reads the Model table. A tensor and an operator count twice what they
// do in other formats: the lists that they lie in are copied while they grow.
func (p *pager) tflite(t *tflite) error {
	root, err := p.root()
	if err != nil {
		return err
	}
	if t.version, err = p.number(root, 0, 4, 0); err != nil {
		return err
	}
	if err := p.tables(root, 1, func(c table) error { return p.tfliteCode(c, t) }); err != nil {
		return err
	}
	if err := p.tables(root, 4, func(b table) error { return p.tfliteBuffer(b, t) }); err != nil {
		return err
	}
	if err := p.tables(root, 2, func(g table) error { return p.tfliteGraph(g, t) }); err != nil {
		return err
	}
	t.metadata = map[string]int{}
	err = p.tables(root, 6, func(e table) error {
		name, err := p.string(e, 0, maxString)
		if err != nil {
			return err
		}
		buffer, err := p.number(e, 1, 4, 0)
		t.metadata[name] = int(buffer)
		return err
	})
	if err != nil {
		return err
	}
	return p.tables(root, 7, func(s table) error { return p.tfliteSignature(s, t) })
}

func (p *pager) tfliteCode(c table, t *tflite) error {
	// The number outgrew a byte: older writers fill the first field alone,
	// newer ones the last as well.
	old, err := p.number(c, 0, 1, 0)
	if err != nil {
		return err
	}
	code, err := p.number(c, 3, 4, 0)
	if err != nil {
		return err
	}
	custom, err := p.string(c, 1, maxString)
	if err != nil {
		return err
	}
	version, err := p.number(c, 2, 4, 1)
	t.codes = append(t.codes, tfliteCode{max(int64(int8(old)), int64(int32(code))), custom, int64(version)})
	return err
}

func (p *pager) tfliteBuffer(b table, t *tflite) error {
	at, n, err := p.vector(b, 0, 1)
	if err != nil {
		return err
	}
	offset, err := p.number(b, 1, 8, 0)
	if err != nil {
		return err
	}
	size, err := p.number(b, 2, 8, 0)
	if err != nil {
		return err
	}
	buffer := tfliteBuffer{span{at, at + n}, n > 0}
	// Data behind the FlatBuffer, in files of more than 2 GiB; an offset of 1
	// was a placeholder while the file was written.
	if n == 0 && offset > 1 {
		if offset > uint64(p.size) || size > uint64(p.size)-offset {
			return p.malformed(b.at, fmt.Sprintf("a buffer within the file of %d bytes", p.size), fmt.Sprintf("%d bytes at byte %d", size, offset))
		}
		buffer = tfliteBuffer{span{int64(offset), int64(offset + size)}, size > 0}
	}
	t.buffers = append(t.buffers, buffer)
	return p.keep(b.at, 32)
}

func (p *pager) tfliteGraph(g table, t *tflite) (err error) {
	graph := &tfliteGraph{table: g}
	t.graphs = append(t.graphs, graph)
	if err := p.keep(g.at, nodeCost); err != nil {
		return err
	}
	if graph.name, err = p.string(g, 4, maxString); err != nil {
		return err
	}
	if graph.inputs, err = p.integers(g, 1); err != nil {
		return err
	}
	if graph.outputs, err = p.integers(g, 2); err != nil {
		return err
	}
	if err := p.tables(g, 0, func(e table) error { return p.tfliteTensor(e, t, graph) }); err != nil {
		return err
	}
	return p.tables(g, 3, func(e table) error { return p.tfliteOperator(e, t, graph) })
}

func (p *pager) tfliteTensor(e table, t *tflite, g *tfliteGraph) (err error) {
	if err := p.keep(e.at, 2*tensorCost); err != nil {
		return err
	}
	var tensor tfliteTensor
	if tensor.shape, err = p.integers(e, 0); err != nil {
		return err
	}
	if tensor.kind, err = p.number(e, 1, 1, 0); err != nil {
		return err
	}
	buffer, err := p.number(e, 2, 4, 0)
	if err != nil {
		return err
	}
	if buffer >= uint64(max(len(t.buffers), 1)) {
		return p.malformed(e.at, fmt.Sprintf("one of %d buffers", len(t.buffers)), fmt.Sprint(buffer))
	}
	tensor.buffer = int(buffer)
	if tensor.name, err = p.string(e, 3, maxTFLiteString); err != nil {
		return err
	}
	variable, err := p.number(e, 5, 1, 0)
	if err != nil {
		return err
	}
	ranked, err := p.number(e, 8, 1, 0)
	if err != nil {
		return err
	}
	if tensor.signature, err = p.integers(e, 7); err != nil {
		return err
	}
	tensor.variable = variable != 0
	tensor.ranked = ranked != 0 || len(tensor.shape) > 0
	quantization, err := p.child(e, 4)
	if err != nil {
		return err
	}
	_, scales, err := p.vector(quantization, 2, 4)
	if err != nil {
		return err
	}
	tensor.quantized = scales > 0
	if tensor.ints, err = p.tfliteInts(&tensor, t); err != nil {
		return err
	}
	g.tensors = append(g.tensors, tensor)
	return nil
}

// tfliteInts are the elements of a small constant of integers.
func (p *pager) tfliteInts(tensor *tfliteTensor, t *tflite) ([]int64, error) {
	width := map[string]int{"int32": 4, "int64": 8}[tensor.dtype()]
	if width == 0 || len(t.buffers) == 0 {
		return nil, nil
	}
	b := t.buffers[tensor.buffer]
	if !b.full || b.len() > maxTFPayload || b.len()%int64(width) != 0 {
		return nil, nil
	}
	data := make([]byte, b.len())
	if err := p.read(data, b.start); err != nil {
		return nil, err
	}
	return littleEndian(data, width), p.keep(b.start, b.len())
}

func (t *tfliteTensor) dtype() string {
	if t.kind < uint64(len(tfliteTypes)) {
		return tfliteTypes[t.kind]
	}
	return "unknown"
}

func (p *pager) tfliteOperator(e table, t *tflite, g *tfliteGraph) (err error) {
	if err := p.keep(e.at, 2*nodeCost); err != nil {
		return err
	}
	var op tfliteOperator
	code, err := p.number(e, 0, 4, 0)
	if err != nil {
		return err
	}
	if code >= uint64(len(t.codes)) {
		return p.malformed(e.at, fmt.Sprintf("one of %d operator codes", len(t.codes)), fmt.Sprint(code))
	}
	op.code = int(code)
	if op.inputs, err = p.integers(e, 1); err != nil {
		return err
	}
	if op.outputs, err = p.integers(e, 2); err != nil {
		return err
	}
	for _, list := range [][]int64{op.inputs, op.outputs} {
		for _, i := range list {
			if i < -1 || i >= int64(len(g.tensors)) {
				return p.malformed(e.at, fmt.Sprintf("one of %d tensors, or -1", len(g.tensors)), fmt.Sprint(i))
			}
		}
	}
	if err := p.tfliteOptions(e, t.codes[code], &op); err != nil {
		return err
	}
	g.operators = append(g.operators, op)
	return nil
}

// tfliteOptions reads of an operator's options what a rule asks for.
func (p *pager) tfliteOptions(e table, code tfliteCode, op *tfliteOperator) error {
	if code.builtin == tfliteCustom {
		return p.flexOptions(e, code, op)
	}
	id := 4 // builtin_options
	if code.builtin == tfliteComposite {
		id = 12 // builtin_options_2
	}
	options, err := p.child(e, id)
	if err != nil {
		return err
	}
	called := func(ids ...int) error {
		for _, id := range ids {
			n, err := p.number(options, id, 4, 0)
			if err != nil {
				return err
			}
			op.graphs = append(op.graphs, int64(int32(n)))
		}
		return nil
	}
	switch code.builtin {
	case tfliteIf, tfliteWhile:
		return called(0, 1)
	case tfliteCall, tfliteCallOnce:
		return called(0)
	case tfliteComposite:
		return called(1)
	case tfliteVarHandle:
		op.shared, err = p.string(options, 1, maxString)
		return err
	}
	if tensorFlowActions[tfliteAlike[code.name()]]&doesReduce != 0 {
		keep, err := p.number(options, 0, 1, 0)
		op.keepsDims = keep != 0
		return err
	}
	return nil
}

// maxFlex bounds the options of a Flex operator: a constant may be among its
// attributes.
const maxFlex = 16 << 20

// flexOptions reads the NodeDef of a Flex operator: the second of two strings
// in a FlexBuffer, https://flatbuffers.dev/flexbuffers/, whose root says where
// they lie: the last two bytes are the root's type and width.
func (p *pager) flexOptions(e table, code tfliteCode, op *tfliteOperator) error {
	if !strings.HasPrefix(code.custom, flexPrefix) {
		return nil
	}
	at, n, err := p.vector(e, 5, 1)
	if err != nil || n < 3 || n > maxFlex {
		return err
	}
	s, ok, err := p.flexString(span{at, at + n}, 1)
	if err != nil || !ok {
		return err
	}
	node := &tfNode{}
	err = p.each(s, 1, func(f field) error { return p.tfNodeField(f, 2, node) })
	if err == nil && code.custom == flexPrefix+node.op {
		op.flex = node
	}
	return err
}

// flexString finds the i-th element, a string, of the vector that is a
// FlexBuffer's root; ok is false when it is another thing.
func (p *pager) flexString(s span, i int64) (found span, ok bool, err error) {
	width, err := p.uint(s.end-1, 1)
	if err != nil {
		return span{}, false, err
	}
	packed, err := p.uint(s.end-2, 1)
	if err != nil {
		return span{}, false, err
	}
	const vector, str = 10, 5
	if width != 1 && width != 2 && width != 4 && width != 8 || packed>>2 != vector {
		return span{}, false, nil
	}
	// The root is an offset back to the vector; before its elements, which are
	// offsets back to what they are, stands their number, behind them a byte of
	// type for each. Both are as wide as the type's last two bits say.
	list, err := p.back(s, s.end-2-int64(width), int64(width))
	wide := int64(1) << (packed & 3)
	if err != nil || list-wide < s.start {
		return span{}, false, err
	}
	count, err := p.uint(list-wide, int(wide))
	if err != nil || uint64(i) >= count || count > uint64(s.len()) {
		return span{}, false, err
	}
	kind, err := p.uint(list+int64(count)*wide+i, 1)
	if err != nil || kind>>2 != str {
		return span{}, false, err
	}
	at, err := p.back(s, list+i*wide, wide)
	wide = int64(1) << (kind & 3)
	if err != nil || at-wide < s.start {
		return span{}, false, err
	}
	length, err := p.uint(at-wide, int(wide))
	if err != nil || length > uint64(s.end-at) {
		return span{}, false, err
	}
	return span{at, at + int64(length)}, true, nil
}

// back follows an offset of a FlexBuffer, which leads towards its start.
func (p *pager) back(s span, at, width int64) (int64, error) {
	if at < s.start || at+width > s.end {
		return 0, p.malformed(at, "an offset within the options of an operator", "one outside")
	}
	offset, err := p.uint(at, int(width))
	if err != nil {
		return 0, err
	}
	if offset > uint64(at-s.start) {
		return 0, p.malformed(at, "an offset within the options of an operator", "one that leads before their start")
	}
	return at - int64(offset), nil
}

func (p *pager) tfliteSignature(e table, t *tflite) (err error) {
	s := tfliteSignature{inputs: map[int64]string{}, outputs: map[int64]string{}}
	for id, names := range []map[int64]string{s.inputs, s.outputs} {
		err := p.tables(e, id, func(entry table) error {
			name, err := p.string(entry, 0, maxString)
			if err != nil {
				return err
			}
			index, err := p.number(entry, 1, 4, 0)
			names[int64(index)] = name
			return err
		})
		if err != nil {
			return err
		}
	}
	if s.key, err = p.string(e, 2, maxString); err != nil {
		return err
	}
	graph, err := p.number(e, 4, 4, 0)
	s.graph = int64(graph)
	if err == nil && s.graph >= int64(len(t.graphs)) {
		return p.malformed(e.at, fmt.Sprintf("one of %d sub-graphs", len(t.graphs)), fmt.Sprint(s.graph))
	}
	t.signatures = append(t.signatures, s)
	return err
}

// conversionMetadata is the entry of Model.metadata with a FlatBuffer of its
// own, conversion_metadata.fbs: ConversionMetadata{environment{
// tensorflow_version, api_version, model_type, …}, options}.
const conversionMetadata = "CONVERSION_METADATA"

// maxConversionMetadata bounds it, in bytes.
const maxConversionMetadata = 1 << 20

// tfliteProducer is Model.Producer.
func (p *pager) tfliteProducer(t *tflite) (string, error) {
	i, ok := t.metadata[conversionMetadata]
	if !ok || i >= len(t.buffers) || !t.buffers[i].full || t.buffers[i].len() > maxConversionMetadata {
		return producer("", ""), nil
	}
	b := t.buffers[i]
	inner := newPager(io.NewSectionReader(p.file, b.start, b.len()), b.len(), p.name+": "+conversionMetadata)
	root, err := inner.root()
	if err != nil {
		return "", err
	}
	environment, err := inner.child(root, 0)
	if err != nil {
		return "", err
	}
	version, err := inner.string(environment, 0, maxString)
	if err != nil || version == "" {
		return producer("", ""), err
	}
	return producer("tensorflow", version), nil
}

// tfliteValues are the tensors of these numbers.
func (p *pager) tfliteValues(g *tfliteGraph, indices []int64) ([]Value, error) {
	values := []Value{}
	for _, i := range indices {
		if i < 0 || i >= int64(len(g.tensors)) {
			return nil, p.malformed(0, fmt.Sprintf("one of %d tensors as an input or output", len(g.tensors)), fmt.Sprint(i))
		}
		t := &g.tensors[i]
		v := Value{Name: t.name, DType: t.dtype()}
		if t.ranked {
			v.Shape = dimensions(t.shape, t.signature)
		}
		if err := p.keep(0, valueCost+int64(len(t.name)+16*len(v.Shape))); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// dimensions writes a shape out; where the signature, when there is one, has
// no size, the shape's is that of an example.
func dimensions(shape, signature []int64) []string {
	if len(signature) == len(shape) {
		shape = signature
	}
	dims := []string{}
	for _, d := range shape {
		if d < 0 {
			dims = append(dims, "?")
			continue
		}
		dims = append(dims, strconv.FormatInt(d, 10))
	}
	return dims
}

// name is the operator's name in Model.Operators.
func (c tfliteCode) name() string {
	switch {
	case c.builtin == tfliteCustom:
		return "custom." + c.custom
	case c.builtin >= 0 && c.builtin < int64(len(tfliteBuiltins)):
		return tfliteBuiltins[c.builtin]
	}
	return "builtin " + strconv.FormatInt(c.builtin, 10)
}

// tfliteCount fills in the histogram, the number of parameters and what is
// quantized. A buffer that several tensors share counts once.
func (p *pager) tfliteCount(t *tflite, m *Model) error {
	m.Parameters = 0
	counted := map[int]bool{}
	quantized := map[string]int{}
	example := ""
	for _, g := range t.graphs {
		for _, op := range g.operators {
			m.Operators[t.codes[op.code].name()]++
		}
		for i := range g.tensors {
			tensor := &g.tensors[i]
			if kind := tensor.dtype(); tensor.quantized && strings.Contains(kind, "int") {
				quantized[kind]++
				if example == "" {
					example = quote(tensor.name)
				}
			}
			if len(t.buffers) == 0 || !t.buffers[tensor.buffer].full || counted[tensor.buffer] {
				continue
			}
			counted[tensor.buffer] = true
			n, ok := elements(tensor.shape)
			if !ok || !m.count(tensor.dtype(), n) {
				return p.malformed(0, "at most 2^53 parameters", "more")
			}
		}
	}
	if len(quantized) > 0 {
		m.find(QuantizedTensors, "tensors are quantized: "+countedKinds(quantized), example)
	}
	return nil
}
