package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// What is kept of ONNX's messages; field numbers are those of onnx-ml.proto,
// https://github.com/onnx/onnx/blob/main/onnx/onnx-ml.proto. A file may state
// fields in any order and a message in pieces: what is singular takes the last
// value, messages merge, lists grow, as protobuf has it.

// proto is a ModelProto.
type proto struct {
	ir              int64
	producer        string
	producerVersion string
	opsets          map[string]int64
	graph           graph
	training        []trainingInfo
	functions       []*function
	graphs          bool // a graph was there at all
}

type trainingInfo struct {
	initialization, algorithm graph
	// updates maps a state variable to what the algorithm replaces it with.
	updates map[string]string
}

type graph struct {
	nodes   []*node
	tensors []*tensor
	sparse  []*sparseTensor
	inputs  []Value
	outputs []Value
	// inputsAt and outputsAt are where inputs and outputs stand.
	inputsAt, outputsAt []span
	// annotated is set when there is a quantization_annotation.
	annotated bool
}

type function struct {
	name, domain, overload string
	inputs, outputs        []string
	attributes             []string // that have no default
	defaults               []*attribute
	nodes                  []*node
	opsets                 map[string]int64
}

type node struct {
	name, op, domain, overload string
	inputs, outputs            []string
	attributes                 []*attribute
	// source is torch's FX node that the node was made from, rule the rewrite
	// rules of onnxscript that made it.
	source, rule string
}

type attribute struct {
	span             // where it stands
	name, ref string // ref names an attribute of the function that is called
	f         float32
	i         int64
	s         string
	ints      []int64
	t         *tensor
	graphs    []*graph
	tensors   []*tensor
	sparse    []*sparseTensor
}

type tensor struct {
	name     string
	kind     int32
	dims     []int64
	elements int64 // product of dims
	external bool
	location string
	offset   string
	length   string
	// payload is where raw_data stands; values are the elements, when they are
	// numbers and few.
	payload span
	values  []float64
	// at is where its message stands, in pieces when it merges.
	at []span
}

type sparseTensor struct {
	span   // where it stands
	values tensor
}

// The bounds of what is kept of one message.
const (
	maxPayload = 64  // bytes of a tensor whose values are kept: flags, ratios, axes
	maxDims    = 256 // dimensions of a tensor or value
	maxInts    = 256 // integers of an attribute; of more, the rest is dropped
	maxSource  = 4 << 10
	// Each training_info is judged together with the whole main graph.
	maxTrainingInfos = 16
	// A compiled engine may be an attribute's string; what is looked for in one
	// is an operator's name.
	maxAttributeString = 256
)

// What an element of each list costs in memory, roughly.
const (
	nodeCost      = 320
	attributeCost = 240
	tensorCost    = 280
	valueCost     = 96
)

func (w *wire) model(p *proto) error {
	p.opsets = map[string]int64{}
	return w.each(span{0, w.size}, 0, func(f field) error {
		switch f.id {
		case 1:
			return w.integer(f, &p.ir)
		case 2:
			return w.text(f, &p.producer)
		case 3:
			return w.text(f, &p.producerVersion)
		case 7:
			p.graphs = true
			return w.graph(f, 1, &p.graph)
		case 8:
			return w.opset(f, 1, p.opsets)
		case 20:
			if len(p.training) == maxTrainingInfos {
				return w.malformed(f.offset, fmt.Sprintf("at most %d training_info", maxTrainingInfos), "more")
			}
			p.training = append(p.training, trainingInfo{updates: map[string]string{}})
			return w.trainingInfo(f, 1, &p.training[len(p.training)-1])
		case 25:
			if err := w.keep(f.offset, nodeCost); err != nil {
				return err
			}
			fn := &function{opsets: map[string]int64{}}
			p.functions = append(p.functions, fn)
			return w.function(f, 1, fn)
		case 4, 5, 6, 14, 26: // domain, version, documentation, metadata, devices
		default:
			w.foreignField("model", f)
		}
		return nil
	})
}

// message visits the fields of the message in f.
func (w *wire) message(f field, depth int, visit func(field) error) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	return w.each(f.span, depth, visit)
}

// domainAlias is the other name of ONNX's own domain.
const domainAlias = "ai.onnx"

func (w *wire) domain(f field, into *string) error {
	err := w.text(f, into)
	if *into == domainAlias {
		*into = ""
	}
	return err
}

func (w *wire) opset(f field, depth int, opsets map[string]int64) error {
	var domain string
	var version int64
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.domain(f, &domain)
		case 2:
			return w.integer(f, &version)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if version < 0 || version > maxOpset || !utf8.ValidString(domain) {
		return w.malformed(f.offset, fmt.Sprintf("an operator set with a version of 0 to %d and a domain in UTF-8", maxOpset), fmt.Sprintf("version %d of %q", version, shorten(domain)))
	}
	if before, ok := opsets[domain]; ok && before != version {
		return w.malformed(f.offset, fmt.Sprintf("one version of the operator set %q", domain), fmt.Sprintf("%d and %d", before, version))
	}
	opsets[domain] = version
	return w.keep(f.offset, valueCost)
}

func (w *wire) trainingInfo(f field, depth int, t *trainingInfo) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.graph(f, depth+1, &t.initialization)
		case 2:
			return w.graph(f, depth+1, &t.algorithm)
		case 4:
			key, value, err := w.entry(f, depth+1, maxString)
			t.updates[key] = value
			return err
		}
		return nil
	})
}

// entry reads a StringStringEntryProto; of the value, the first max bytes.
func (w *wire) entry(f field, depth int, max int64) (key, value string, err error) {
	err = w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &key)
		case 2:
			return w.prefix(f, max, &value)
		}
		return nil
	})
	return key, value, err
}

func (w *wire) graph(f field, depth int, g *graph) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.node(f, depth+1, &g.nodes)
		case 5:
			return w.appendTensor(f, depth+1, &g.tensors)
		case 15:
			return w.appendSparse(f, depth+1, &g.sparse)
		case 11:
			g.inputsAt = append(g.inputsAt, f.span)
			return w.value(f, depth+1, &g.inputs)
		case 12:
			g.outputsAt = append(g.outputsAt, f.span)
			return w.value(f, depth+1, &g.outputs)
		case 14:
			g.annotated = true
		case 2, 10, 13, 16: // name, documentation, types of values within, metadata
		default:
			w.foreignField("graph", f)
		}
		return nil
	})
}

func (w *wire) appendTensor(f field, depth int, into *[]*tensor) error {
	t := &tensor{}
	*into = append(*into, t)
	if err := w.keep(f.offset, tensorCost); err != nil {
		return err
	}
	return w.tensor(f, depth, t)
}

func (w *wire) appendSparse(f field, depth int, into *[]*sparseTensor) error {
	s := &sparseTensor{span: f.span}
	*into = append(*into, s)
	if err := w.keep(f.offset, tensorCost); err != nil {
		return err
	}
	return w.message(f, depth, func(f field) error {
		if f.id == 1 {
			return w.tensor(f, depth+1, &s.values)
		}
		return nil
	})
}

func (w *wire) function(f field, depth int, fn *function) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &fn.name)
		case 4:
			return w.texts(f, &fn.inputs)
		case 5:
			return w.texts(f, &fn.outputs)
		case 7:
			return w.node(f, depth+1, &fn.nodes)
		case 9:
			return w.opset(f, depth+1, fn.opsets)
		case 10:
			return w.domain(f, &fn.domain)
		case 11:
			return w.attribute(f, depth+1, &fn.defaults)
		case 13:
			return w.text(f, &fn.overload)
		case 6:
			return w.texts(f, &fn.attributes)
		case 8, 12, 14: // documentation, types of values within, metadata
		default:
			w.foreignField("function", f)
		}
		return nil
	})
}

// The keys of node metadata that say how an exporter treated batch
// normalization.
const (
	sourceKey = "pkg.torch.onnx.fx_node"
	ruleKey   = "pkg.onnxscript.rewriter.rule_name"
)

func (w *wire) node(f field, depth int, into *[]*node) error {
	n := &node{}
	if w.counted != nil {
		kept := w.kept
		err := w.nodeFields(f, depth, n)
		w.kept = kept
		w.counted[n.operator()]++
		return err
	}
	*into = append(*into, n)
	if err := w.keep(f.offset, nodeCost); err != nil {
		return err
	}
	return w.nodeFields(f, depth, n)
}

func (w *wire) nodeFields(f field, depth int, n *node) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.texts(f, &n.inputs)
		case 2:
			return w.texts(f, &n.outputs)
		case 3:
			return w.text(f, &n.name)
		case 4:
			return w.text(f, &n.op)
		case 5:
			return w.attribute(f, depth+1, &n.attributes)
		case 7:
			return w.domain(f, &n.domain)
		case 8:
			return w.text(f, &n.overload)
		case 9:
			key, value, err := w.entry(f, depth+1, maxSource)
			switch key {
			case sourceKey:
				n.source = value
			case ruleKey:
				n.rule = value
			}
			return err
		case 6, 10: // documentation, devices
		default:
			w.foreignField("node", f)
		}
		return nil
	})
}

func (w *wire) attribute(f field, depth int, into *[]*attribute) error {
	a := &attribute{span: f.span}
	*into = append(*into, a)
	if err := w.keep(f.offset, attributeCost); err != nil {
		return err
	}
	var single *graph // field 6, which merges; field 11 repeats
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &a.name)
		case 2:
			a.f = math.Float32frombits(uint32(f.number))
			return w.want(f, fixed32Type)
		case 3:
			return w.integer(f, &a.i)
		case 4:
			return w.prefix(f, maxAttributeString, &a.s)
		case 5:
			if a.t == nil {
				a.t = &tensor{}
			}
			return w.tensor(f, depth+1, a.t)
		case 6:
			if single == nil {
				single = &graph{}
				a.graphs = append(a.graphs, single)
			}
			return w.graph(f, depth+1, single)
		case 8:
			return w.numbers(f, varintType, func(v uint64) error {
				if len(a.ints) < maxInts {
					a.ints = append(a.ints, int64(v))
				}
				return nil
			})
		case 10:
			return w.appendTensor(f, depth+1, &a.tensors)
		case 11:
			g := &graph{}
			a.graphs = append(a.graphs, g)
			return w.graph(f, depth+1, g)
		case 21:
			return w.text(f, &a.ref)
		case 22, 23:
			return w.appendSparse(f, depth+1, &a.sparse)
		}
		return nil
	})
}

// numbersIn are TensorProto's typed lists and the wire type of one value.
var numbersIn = map[int]int{4: fixed32Type, 5: varintType, 7: varintType, 10: fixed64Type, 11: varintType}

func (w *wire) tensor(f field, depth int, t *tensor) error {
	typed := map[int][]uint64{}
	start := f.offset
	t.at = append(t.at, f.span)
	err := w.message(f, depth, func(f field) error {
		kind, isList := numbersIn[f.id]
		switch {
		case f.id == 1:
			return w.numbers(f, varintType, func(v uint64) error {
				if t.dims = append(t.dims, int64(v)); len(t.dims) > maxDims {
					return w.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxDims), "more")
				}
				return nil
			})
		case f.id == 2:
			return w.enum(f, &t.kind)
		case f.id == 8:
			return w.text(f, &t.name)
		case f.id == 9:
			t.payload = f.span
			return w.want(f, bytesType)
		case f.id == 13:
			return w.external(f, depth+1, t)
		case f.id == 14:
			var location int32
			err := w.enum(f, &location)
			t.external = location == 1
			return err
		case isList && (f.kind == kind || f.len() <= maxPayload):
			return w.numbers(f, kind, func(v uint64) error {
				if len(typed[f.id]) <= maxPayload {
					typed[f.id] = append(typed[f.id], v)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if t.elements, err = w.product(start, t.dims); err != nil {
		return err
	}
	return w.tensorValues(t, typed)
}

func (w *wire) external(f field, depth int, t *tensor) error {
	key, value, err := w.entry(f, depth, maxString)
	switch key {
	case "location":
		t.location = value
	case "offset":
		t.offset = value
	case "length":
		t.length = value
	}
	return err
}

// product is the number of elements of a tensor with these dimensions.
func (w *wire) product(offset int64, dims []int64) (int64, error) {
	n, empty := int64(1), false
	for _, d := range dims {
		switch {
		case d < 0:
			return 0, w.malformed(offset, "dimensions of a tensor that are not negative", fmt.Sprint(d))
		case d == 0:
			empty = true
		case n > math.MaxInt64/d:
			return 0, w.malformed(offset, "a tensor with fewer than 2^63 elements", fmt.Sprintf("dimensions %v", dims))
		default:
			n *= d
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

// tensorValues decodes the elements of a small tensor of numbers; raw_data
// goes before the typed lists. What cannot be decoded leaves values nil.
func (w *wire) tensorValues(t *tensor, typed map[int][]uint64) error {
	t.values = nil
	bits := elementTypes[t.kind].bits
	if t.external || t.elements > maxPayload || bits == 0 || bits%8 != 0 {
		return nil
	}
	size := int64(bits / 8)
	var words []uint64
	switch n := t.payload.len(); {
	case n > maxPayload || n > 0 && n != t.elements*size:
		return nil
	case n > 0:
		raw, err := w.bytes(t.payload)
		if err != nil {
			return err
		}
		for i := int64(0); i < n; i += size {
			var b [16]byte
			copy(b[:], raw[i:i+size])
			words = append(words, binary.LittleEndian.Uint64(b[:]))
		}
	default:
		words = typed[elementTypes[t.kind].list]
	}
	if int64(len(words)) != t.elements {
		return nil
	}
	decode := elementTypes[t.kind].decode
	if decode == nil {
		return nil
	}
	t.values = make([]float64, 0, len(words))
	for _, v := range words {
		t.values = append(t.values, decode(v))
	}
	return w.keep(t.payload.start, int64(8*len(words)))
}

func (w *wire) value(f field, depth int, into *[]Value) error {
	v := Value{DType: "unknown"}
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &v.Name)
		case 2:
			return w.valueType(f, depth+1, &v.DType, &v.Shape)
		}
		return nil
	})
	*into = append(*into, v)
	if err != nil {
		return err
	}
	return w.keep(f.offset, valueCost)
}

// valueType reads a TypeProto. shape is nil for the element type of a
// sequence, optional or map, whose shape is no shape of the value.
func (w *wire) valueType(f field, depth int, dtype *string, shape *[]string) error {
	return w.message(f, depth, func(f field) error {
		if f.id == 6 { // denotation
			return nil
		}
		if shape != nil {
			*shape = nil
		}
		switch f.id {
		case 1: // tensor_type
			return w.tensorType(f, depth+1, dtype, shape)
		case 8:
			err := w.tensorType(f, depth+1, dtype, shape)
			*dtype = "sparse(" + *dtype + ")"
			return err
		case 4, 9:
			element := "unknown"
			err := w.message(f, depth+1, func(f field) error {
				if f.id == 1 {
					return w.valueType(f, depth+2, &element, nil)
				}
				return nil
			})
			*dtype = map[int]string{4: "sequence(", 9: "optional("}[f.id] + element + ")"
			return err
		case 5:
			return w.mapType(f, depth+1, dtype)
		default:
			*dtype = "unknown"
			return nil
		}
	})
}

func (w *wire) mapType(f field, depth int, dtype *string) error {
	var key int32
	value := "unknown"
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.enum(f, &key)
		case 2:
			return w.valueType(f, depth+1, &value, nil)
		}
		return nil
	})
	*dtype = "map(" + elementName(key) + "," + value + ")"
	return err
}

func (w *wire) tensorType(f field, depth int, dtype *string, shape *[]string) error {
	var kind int32
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.enum(f, &kind)
		case 2:
			if shape == nil {
				return nil
			}
			*shape = []string{}
			return w.message(f, depth+1, func(f field) error {
				if f.id != 1 {
					return nil
				}
				if len(*shape) == maxDims {
					return w.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxDims), "more")
				}
				dim, err := w.dimension(f, depth+2)
				*shape = append(*shape, dim)
				return err
			})
		}
		return nil
	})
	*dtype = elementName(kind)
	return err
}

// dimension reads a TensorShapeProto.Dimension.
func (w *wire) dimension(f field, depth int) (string, error) {
	dim := "?"
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			dim = "?"
			if int64(f.number) >= 0 {
				dim = fmt.Sprint(f.number)
			}
			return w.want(f, varintType)
		case 2:
			err := w.text(f, &dim)
			if strings.TrimSpace(dim) == "" {
				dim = "?"
			}
			return err
		}
		return nil
	})
	return dim, err
}

// elementType is a row of TensorProto.DataType: NumPy's name, or ml_dtypes'
// where NumPy has none, the size, the field of TensorProto that lists such
// values when raw_data does not hold them, and how one is read from its bits.
type elementType struct {
	name   string
	bits   int
	list   int
	decode func(uint64) float64
}

var elementTypes = map[int32]elementType{
	1:  {"float32", 32, 4, func(v uint64) float64 { return float64(math.Float32frombits(uint32(v))) }},
	2:  {"uint8", 8, 5, func(v uint64) float64 { return float64(uint8(v)) }},
	3:  {"int8", 8, 5, func(v uint64) float64 { return float64(int8(v)) }},
	4:  {"uint16", 16, 5, func(v uint64) float64 { return float64(uint16(v)) }},
	5:  {"int16", 16, 5, func(v uint64) float64 { return float64(int16(v)) }},
	6:  {"int32", 32, 5, func(v uint64) float64 { return float64(int32(v)) }},
	7:  {"int64", 64, 7, func(v uint64) float64 { return float64(int64(v)) }},
	8:  {"str", 0, 6, nil},
	9:  {"bool", 8, 5, func(v uint64) float64 { return float64(min(v, 1)) }},
	10: {"float16", 16, 5, func(v uint64) float64 { return float16(uint16(v)) }},
	11: {"float64", 64, 10, math.Float64frombits},
	12: {"uint32", 32, 11, func(v uint64) float64 { return float64(uint32(v)) }},
	13: {"uint64", 64, 11, func(v uint64) float64 { return float64(v) }},
	14: {"complex64", 64, 4, nil},
	15: {"complex128", 128, 10, nil},
	16: {"bfloat16", 16, 5, func(v uint64) float64 { return float64(math.Float32frombits(uint32(v) << 16)) }},
	17: {"float8_e4m3fn", 8, 5, nil},
	18: {"float8_e4m3fnuz", 8, 5, nil},
	19: {"float8_e5m2", 8, 5, nil},
	20: {"float8_e5m2fnuz", 8, 5, nil},
	21: {"uint4", 4, 5, nil},
	22: {"int4", 4, 5, nil},
	23: {"float4_e2m1fn", 4, 5, nil},
	24: {"float8_e8m0fnu", 8, 5, nil},
	25: {"uint2", 2, 5, nil},
	26: {"int2", 2, 5, nil},
	27: {"float6_e2m3fn", 6, 5, nil},
	28: {"float6_e3m2fn", 6, 5, nil},
}

func elementName(kind int32) string {
	if t, ok := elementTypes[kind]; ok {
		return t.name
	}
	return "unknown"
}

// float16 widens IEEE 754 binary16.
func float16(v uint16) float64 {
	sign, exponent, fraction := 1.0, int(v>>10&31), float64(v&1023)
	if v>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
