package model

import (
	"fmt"
	"strings"
)

// maxHops bounds how far a value is followed through operations that pass it
// on.
const maxHops = 64

// maxFollowed bounds the steps of all searches through one program.
const maxFollowed = 1 << 24

// in is the operation's i-th input, noDatum when it has none.
func (op *operation) in(i int) int {
	if i >= op.own {
		return noDatum
	}
	return op.inputs[i]
}

// out is the operation's i-th output, noDatum when it has none.
func (op *operation) out(i int) int {
	if i >= len(op.outputs) {
		return noDatum
	}
	return op.outputs[i]
}

// attr is the attribute of this name; nil when there is none.
func (op *operation) attr(name string) *attribute {
	for _, a := range op.attributes {
		if a.name == name {
			return op.env.attribute(a)
		}
	}
	return nil
}

// is tells whether the operation is ONNX's own of one of these types.
func (op *operation) is(types ...string) bool {
	if op.domain != "" {
		return false
	}
	for _, t := range types {
		if op.op == t {
			return true
		}
	}
	return false
}

// integerAttr is an integer attribute's value, or unset.
func (op *operation) integerAttr(name string, unset int64) int64 {
	if a := op.attr(name); a != nil {
		return a.i
	}
	return unset
}

// opset is the version of ONNX's own operators that the operation follows.
func (op *operation) opset() int64 { return op.env.opsets[""] }

func (op *operation) random() bool {
	return op.is("RandomUniform", "RandomUniformLike", "RandomNormal", "RandomNormalLike", "Bernoulli", "Multinomial") ||
		op.domain == "com.microsoft" && strings.HasPrefix(op.op, "Random")
}

// passes tells whether the operation only hands its first input on, in another
// form at most.
func (op *operation) passes() bool {
	return op.is("Identity", "Cast", "CastLike", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand")
}

// source follows a value back through operations that pass it on.
func (b *program) source(d int) int {
	for range maxHops {
		if b.data[d].origin != computed {
			return d
		}
		op := &b.operations[b.data[d].by]
		if !op.passes() || op.in(0) == noDatum {
			return d
		}
		d = op.in(0)
	}
	return d
}

// scalar is the value of a single number that is the same in every run; ok is
// false when it is none or was not read.
func (b *program) scalar(d int) (value float64, ok bool) {
	return b.scalarWithin(d, maxHops)
}

func (b *program) scalarWithin(d, hops int) (value float64, ok bool) {
	datum := &b.data[d]
	switch {
	case hops == 0:
		return 0, false
	case datum.origin == constant:
		return datum.tensor.scalar()
	case datum.origin != computed:
		return 0, false
	}
	op := &b.operations[datum.by]
	if op.is("Constant") {
		return op.constant()
	}
	if !op.is("Not") && !op.passes() || op.in(0) == noDatum {
		return 0, false
	}
	value, ok = b.scalarWithin(op.in(0), hops-1)
	switch {
	case op.is("Not"):
		value = truth(value == 0)
	case op.is("Cast"):
		value = cast(value, op.integerAttr("to", 0))
	}
	return value, ok
}

// cast is what becomes of a number of another type, as far as it matters
// whether it is zero.
func cast(value float64, to int64) float64 {
	switch elementName(int32(to)) {
	case "float32", "float64", "float16", "bfloat16":
		return value
	case "bool":
		return truth(value != 0)
	}
	return float64(int64(value))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (t *tensor) scalar() (value float64, ok bool) {
	if t == nil || len(t.values) != 1 {
		return 0, false
	}
	return t.values[0], true
}

// constant is a Constant operation's value if it is a single number.
func (op *operation) constant() (value float64, ok bool) {
	for _, a := range op.attributes {
		resolved := op.env.attribute(a)
		if resolved.ref != "" {
			return 0, false // the caller gave no such attribute
		}
		switch a.name {
		case "value":
			return resolved.t.scalar()
		case "value_float":
			return float64(resolved.f), true
		case "value_int":
			return float64(resolved.i), true
		}
	}
	return 0, false
}

// tensorOf is the tensor that a value is, followed back through operations
// that pass it on; nil when it is none.
func (b *program) tensorOf(d int) *tensor {
	d = b.source(d)
	switch datum := &b.data[d]; datum.origin {
	case constant, overridable, state:
		return datum.tensor
	case computed:
		if op := &b.operations[datum.by]; op.is("Constant") {
			if a := op.attr("value"); a != nil {
				return a.t
			}
		}
	}
	return nil
}

// integers are the elements of a small constant vector, such as axes.
func (b *program) integers(d int) (values []int64, ok bool) {
	if datum := b.data[b.source(d)]; datum.origin == computed {
		if op := &b.operations[datum.by]; op.is("Constant") {
			if a := op.attr("value_ints"); a != nil {
				return a.ints, true
			}
			if v, ok := op.constant(); ok {
				return []int64{int64(v)}, true
			}
		}
	}
	t := b.tensorOf(d)
	if t == nil || b.data[b.source(d)].varies || t.values == nil {
		return nil, false
	}
	for _, v := range t.values {
		values = append(values, int64(v))
	}
	return values, true
}

// forward calls visit for the operations that a value flows to, at most hops
// away; visit tells whether to go on behind the operation. How far it got is
// bounded by seen operations, not by paths.
func (b *program) forward(from []int, hops int, visit func(op *operation, through int) bool) {
	type step struct{ datum, hops int }
	seen := map[int]bool{}
	var queue []step
	for _, d := range from {
		queue = append(queue, step{d, 0})
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at.datum == noDatum || at.hops >= hops {
			continue
		}
		for _, user := range b.data[at.datum].used {
			op := &b.operations[user]
			if seen[user] || !op.live {
				continue
			}
			if b.followed++; b.followed > maxFollowed {
				b.tooLarge = fmt.Sprintf("following values through the graph took more than %d steps", maxFollowed)
				return
			}
			if !visit(op, at.datum) {
				continue
			}
			seen[user] = true
			for _, d := range op.outputs {
				queue = append(queue, step{d, at.hops + 1})
			}
		}
	}
}

// describe names an operation for people.
func (op *operation) describe() string {
	name := quote(op.name)
	if op.name == "" && len(op.node.outputs) > 0 {
		name = "that makes " + quote(op.node.outputs[0])
	}
	return shown(op.operator()) + " " + name + op.within.describe()
}

func (f *frame) describe() string {
	var where strings.Builder
	for ; f != nil; f = f.outer {
		switch {
		case f.node == nil:
			fmt.Fprintf(&where, " in %s", f.label)
		case f.label == "":
			fmt.Fprintf(&where, " in function %s, called by %s", shown(f.node.operator()), quote(f.node.name))
		default:
			fmt.Fprintf(&where, " in %s of %s %s", shown(f.label), shown(f.node.op), quote(f.node.name))
		}
		if where.Len() > maxEvidenceLength {
			break
		}
	}
	return where.String()
}
