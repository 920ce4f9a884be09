package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// What is kept of TensorFlow's messages; field numbers are those of the .proto
// files in https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core/framework
// and …/core/protobuf.

// tfGraph is a GraphDef.
type tfGraph struct {
	nodes     []*tfNode
	functions map[string]*tfFunction
	order     []*tfFunction // as the file has them
	producer  int64         // of versions
}

// tfFunction is a FunctionDef.
type tfFunction struct {
	name            string
	inputs, outputs []string // names of the signature's arguments
	nodes           []*tfNode
	// returns maps an output to the value that it is, controls are nodes that
	// run whenever the function does.
	returns  map[string]string
	controls []string
}

// tfNode is a NodeDef.
type tfNode struct {
	name, op   string
	inputs     []string
	attributes []*tfAttribute // those that are looked at
}

// attribute is the attribute of this name, of equal ones the last, as protobuf
// has it; nil when there is none.
func (n *tfNode) attribute(name string) *tfAttribute {
	for _, a := range slices.Backward(n.attributes) {
		if a.name == name {
			return a
		}
	}
	return nil
}

// tfAttributes are the attributes that are kept, besides those that name a
// function: a graph has several times as many others as it has nodes.
var tfAttributes = words(`value shape dtype T is_training keep_dims shared_name`)

// tfAttribute is an AttrValue; what it holds depends on the attribute.
type tfAttribute struct {
	name      string
	s         string
	i         int64
	b         bool
	kind      int32
	shape     []int64 // nil when the rank is not known
	tensor    *tfTensor
	function  string
	functions []string // of a list
}

// tfTensor is a TensorProto.
type tfTensor struct {
	kind     int32
	shape    []int64
	elements int64
	ints     []int64 // nil unless integers or truth values, and few
}

// tfTypes are DataType's values, types.proto, in Value.DType's words; a value
// of 100 more is a reference to one.
var tfTypes = map[int32]string{
	1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "str", 8: "complex64",
	9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 15: "qint16", 16: "quint16",
	17: "uint16", 18: "complex128", 19: "float16", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64",
	24: "float8_e5m2", 25: "float8_e4m3fn", 29: "int4", 30: "uint4", 31: "int2", 32: "uint2",
}

func tfType(kind int32) string {
	if name := tfTypes[kind%100]; name != "" && kind >= 0 {
		return name
	}
	return "unknown"
}

// The bounds of what is kept of one message.
const (
	maxTFInts       = 16            // integers of a constant: axes
	maxTFPayload    = 8 * maxTFInts // bytes that they take
	maxTFAttrString = 1 << 10       // of an attribute's string, a variable's name at most
)

func (w *wire) tfGraph(f field, depth int, g *tfGraph) error {
	if g.functions == nil {
		g.functions = map[string]*tfFunction{}
	}
	return w.message(f, depth, func(f field) error { return w.tfGraphField(f, depth+1, g) })
}

func (w *wire) tfGraphField(f field, depth int, g *tfGraph) error {
	switch f.id {
	case 1:
		return w.tfNode(f, depth, &g.nodes)
	case 2:
		return w.message(f, depth, func(f field) error {
			if f.id != 1 {
				return nil
			}
			return w.tfFunction(f, depth+1, g)
		})
	case 4:
		return w.message(f, depth, func(f field) error {
			if f.id != 1 {
				return nil
			}
			return w.integer(f, &g.producer)
		})
	}
	return nil
}

func (w *wire) tfFunction(f field, depth int, g *tfGraph) error {
	if err := w.keep(f.offset, nodeCost); err != nil {
		return err
	}
	fn := &tfFunction{returns: map[string]string{}}
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.tfSignature(f, depth+1, fn)
		case 3:
			return w.tfNode(f, depth+1, &fn.nodes)
		case 4:
			key, value, err := w.entry(f, depth+1, maxString)
			fn.returns[key] = value
			return err
		case 6:
			_, value, err := w.entry(f, depth+1, maxString)
			fn.controls = append(fn.controls, value)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if g.functions[fn.name] == nil { // the first of equal ones counts, as they must not be equal
		g.functions[fn.name] = fn
		g.order = append(g.order, fn)
	}
	return nil
}

func (w *wire) tfSignature(f field, depth int, fn *tfFunction) error {
	argument := func(f field, into *[]string) error {
		var name string
		err := w.message(f, depth+1, func(f field) error {
			if f.id != 1 {
				return nil
			}
			return w.text(f, &name)
		})
		*into = append(*into, name)
		return err
	}
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &fn.name)
		case 2:
			return argument(f, &fn.inputs)
		case 3:
			return argument(f, &fn.outputs)
		}
		return nil
	})
}

func (w *wire) tfNode(f field, depth int, into *[]*tfNode) error {
	if err := w.keep(f.offset, nodeCost); err != nil {
		return err
	}
	n := &tfNode{}
	*into = append(*into, n)
	return w.message(f, depth, func(f field) error { return w.tfNodeField(f, depth+1, n) })
}

func (w *wire) tfNodeField(f field, depth int, n *tfNode) error {
	switch f.id {
	case 1:
		return w.text(f, &n.name)
	case 2:
		return w.text(f, &n.op)
	case 3:
		if err := w.keep(f.offset, 16); err != nil {
			return err
		}
		return w.texts(f, &n.inputs)
	case 5:
		return w.tfAttribute(f, depth, n)
	}
	return nil
}

// tfAttribute reads an entry of map<string, AttrValue>. The name stands first in
// all that TensorFlow writes; where it does not, everything is read.
func (w *wire) tfAttribute(f field, depth int, n *tfNode) error {
	a := &tfAttribute{}
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &a.name)
		case 2:
			return w.message(f, depth+1, func(f field) error {
				const list, function = 1, 10
				if a.name != "" && !tfAttributes[a.name] && f.id != list && f.id != function {
					return nil
				}
				return w.tfAttributeField(f, depth+2, a)
			})
		}
		return nil
	})
	if err != nil || !tfAttributes[a.name] && a.function == "" && len(a.functions) == 0 {
		return err
	}
	n.attributes = append(n.attributes, a)
	return w.keep(f.offset, attributeCost)
}

func (w *wire) tfAttributeField(f field, depth int, a *tfAttribute) error {
	switch f.id {
	case 1:
		return w.message(f, depth, func(f field) error {
			if f.id != 9 {
				return nil
			}
			var name string
			err := w.tfFunctionName(f, depth+1, &name)
			a.functions = append(a.functions, name)
			return err
		})
	case 2:
		return w.prefix(f, maxTFAttrString, &a.s)
	case 3:
		return w.integer(f, &a.i)
	case 5:
		a.b = f.number != 0
		return w.want(f, varintType)
	case 6:
		return w.enum(f, &a.kind)
	case 7:
		return w.tfShape(f, depth, &a.shape)
	case 8:
		a.tensor = &tfTensor{}
		return w.tfTensor(f, depth, a.tensor)
	case 10:
		return w.tfFunctionName(f, depth, &a.function)
	}
	return nil
}

// tfFunctionName reads a NameAttrList's name.
func (w *wire) tfFunctionName(f field, depth int, into *string) error {
	return w.message(f, depth, func(f field) error {
		if f.id != 1 {
			return nil
		}
		return w.text(f, into)
	})
}

// tfShape reads a TensorShapeProto; a dimension of -1 is not known.
func (w *wire) tfShape(f field, depth int, into *[]int64) error {
	*into = []int64{}
	unknown := false
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 2:
			if len(*into) == maxDims {
				return w.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxDims), "more")
			}
			size := int64(0)
			err := w.message(f, depth+1, func(f field) error {
				if f.id != 1 {
					return nil
				}
				return w.integer(f, &size)
			})
			*into = append(*into, size)
			if err != nil {
				return err
			}
			return w.keep(f.offset, 8)
		case 3:
			unknown = f.number != 0
			return w.want(f, varintType)
		}
		return nil
	})
	if unknown {
		*into = nil
	}
	return err
}

// tfTensor reads a TensorProto, and its values when they are few and integers.
func (w *wire) tfTensor(f field, depth int, t *tfTensor) error {
	t.shape = []int64{}
	ints := []int64{}
	var content []byte
	err := w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.enum(f, &t.kind)
		case 2:
			return w.tfShape(f, depth+1, &t.shape)
		case 4:
			if err := w.want(f, bytesType); err != nil || f.len() > maxTFPayload {
				return err
			}
			var err error
			content, err = w.bytes(f.span)
			return err
		case 7, 10, 11: // int_val, int64_val, bool_val
			if f.kind == bytesType && f.len() > 10*maxTFInts {
				return nil
			}
			return w.numbers(f, varintType, func(v uint64) error {
				if len(ints) < maxTFInts {
					ints = append(ints, int64(v))
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	n, ok := elements(t.shape)
	if !ok {
		return w.malformed(f.offset, "a tensor of at most 2^63-1 elements", fmt.Sprintf("the shape %v", t.shape))
	}
	t.elements = n
	t.ints = integersOf(t.kind, n, content, ints)
	return nil
}

// integersOf are the n elements of a small tensor of 32-bit or 64-bit integers:
// as bytes, or as a list whose last element stands for all that follow, zero
// when there is none.
func integersOf(kind int32, n int64, content []byte, list []int64) []int64 {
	size := map[int32]int64{3: 4, 9: 8, 10: 1}[kind]
	switch {
	case size == 0 || n > maxTFInts:
		return nil
	case len(content) > 0 && int64(len(content)) == n*size:
		return littleEndian(content, int(size))
	case len(content) > 0 || int64(len(list)) > n:
		return nil
	case len(list) == 0:
		list = append(list, 0)
	}
	list = list[:min(int64(len(list)), n)]
	for int64(len(list)) < n {
		list = append(list, list[len(list)-1])
	}
	return list
}

// littleEndian splits bytes into integers of 1 (a bool), 4 or 8 bytes each.
func littleEndian(b []byte, size int) []int64 {
	values := []int64{}
	for ; len(b) >= size; b = b[size:] {
		switch size {
		case 1:
			values = append(values, int64(b[0]))
		case 4:
			values = append(values, int64(int32(binary.LittleEndian.Uint32(b))))
		default:
			values = append(values, int64(binary.LittleEndian.Uint64(b)))
		}
	}
	return values
}

// elements is the product of dimensions; ok is false when it is no number of
// elements. A dimension that is not known counts as none.
func elements(shape []int64) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 {
			return 0, true
		}
		if d > 0 && n > math.MaxInt64/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// flag is a boolean attribute's value, or unset.
func (n *tfNode) flag(name string, unset bool) bool {
	if a := n.attribute(name); a != nil {
		return a.b
	}
	return unset
}

// text is a string attribute's value.
func (n *tfNode) text(name string) string {
	if a := n.attribute(name); a != nil {
		return a.s
	}
	return ""
}

// step is what the node stands for, without its values.
func (n *tfNode) step() step {
	s := step{op: n.op, name: n.name, does: actionOf(n.op)}
	s.gradientByName()
	switch {
	case s.is(doesHandle):
		if s.variable = n.text("shared_name"); s.variable == "" {
			s.variable = n.name
		}
	case s.is(doesReduce):
		s.keepsDims = n.flag("keep_dims", false)
	case s.is(doesOptimize):
		s.does |= doesAssign // for what stands behind it, it writes a variable
	case s.is(doesNormalize) && n.op == "BatchNormWithGlobalNormalization":
		s.why = "the operator has no training mode"
	case s.is(doesNormalize):
		stated := n.attribute("is_training") != nil
		s.trains = n.flag("is_training", true)
		switch {
		case !stated:
			s.why = "is_training is not stated, which means true"
		case s.trains:
			s.why = "is_training is true"
		default:
			s.why = "is_training is false"
		}
	}
	return s
}

// gradientByName marks a step that is part of a gradient's computation by its
// name: TensorFlow computes many gradients by operators that inference has too.
func (s *step) gradientByName() {
	if containsAny(s.name, gradientScopes...) {
		s.does |= doesDifferentiate
	}
}
