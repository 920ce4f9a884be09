package model

import (
	"fmt"
)

// dropout looks at one operation for dropout in any of its forms. What the
// versions of the operator mean is in
// https://onnx.ai/onnx/operators/onnx__Dropout.html.
func (e *examiner) dropout(op *operation) {
	switch {
	case op.is("Dropout"):
		e.dropoutNode(op)
	case op.random():
		e.randomMask(op)
	case op.is("Mul", "Where"):
		e.constantMask(op)
	case op.domain == "com.microsoft":
		// ONNX Runtime's fused forms exist in training graphs alone.
		if about, ok := graphOperation(op.node); ok && about == Dropout {
			e.activeDropout(op, "a form that only training uses")
		}
	}
}

func (e *examiner) activeDropout(op *operation, why string) {
	e.hit(Dropout, Present, Training, "%s: %s", op.describe(), why)
	e.find(DropoutActive, "", op.describe()+": "+why)
}

func (e *examiner) inertDropout(op *operation, why string) {
	e.hit(Dropout, Present, Inference, "%s: %s", op.describe(), why)
}

// The versions of ONNX's operator set that changed what a Dropout node means.
const (
	dropoutHasInputs = 12 // ratio and training_mode became inputs
	dropoutHasNoMode = 7  // is_test went, nothing came in its place
)

func (e *examiner) dropoutNode(op *operation) {
	version := op.opset()
	why := fmt.Sprintf("opset %d, ", version)
	switch {
	case version >= dropoutHasInputs:
		e.dropoutMode(op, why)
	case version >= dropoutHasNoMode:
		e.inertDropout(op, why+"which has no training mode; left in the graph as exports in training mode leave it")
		e.find(DropoutLeft, "", op.describe())
	case version < 1:
		e.hit(Dropout, Unknown, None, "%s: unknown: the file imports no version of ONNX's operators", op.describe())
	case op.integerAttr("is_test", 0) != 0:
		e.inertDropout(op, why+"is_test is set")
	default:
		e.activeDropout(op, why+"is_test is not set")
	}
}

// dropoutMode judges a node whose third input says whether it acts.
func (e *examiner) dropoutMode(op *operation, why string) {
	flag := op.in(2)
	if flag == noDatum {
		e.inertDropout(op, why+"no training_mode is given")
		return
	}
	on, ok := e.scalar(flag)
	switch {
	case !ok:
		source := e.data[e.source(flag)]
		why += "training_mode " + switchOf[source.origin]
		e.hit(Dropout, Unknown, None, "%s: unknown: %s", op.describe(), why)
		e.find(DropoutSwitch, "", op.describe()+": "+why)
	case on == 0:
		e.inertDropout(op, why+"training_mode is constant false")
	default:
		e.dropoutRatio(op, why+"training_mode is constant true, ")
	}
}

// switchOf says why a switch's value is not in the file.
var switchOf = map[origin]string{
	undefined:   "is made by nothing in the file",
	missing:     "is an input that a call leaves out",
	input:       "is an input of the model",
	constant:    "is a constant that was not read",
	overridable: "is an initializer that is also an input of the model",
	state:       "is a variable of training",
	computed:    "is computed",
}

const defaultRatio = 0.5

func (e *examiner) dropoutRatio(op *operation, why string) {
	if op.in(1) == noDatum {
		e.activeDropout(op, fmt.Sprintf("%sratio %g by default", why, defaultRatio))
		return
	}
	ratio, ok := e.scalar(op.in(1))
	switch {
	case !ok:
		e.activeDropout(op, why+"ratio is not constant")
	case ratio == 0:
		e.inertDropout(op, why+"but its ratio is 0")
	default:
		e.activeDropout(op, fmt.Sprintf("%sratio %g", why, float32(ratio)))
	}
}

// maskHops is how far behind a random number its use as a mask is looked for:
// RandomUniform → compare → Not → Cast → Div → Mul has five.
const maskHops = 6

// randomMask judges an operation that draws random numbers: when they are
// compared with something and then multiply or select a value, that is dropout
// whatever it is called.
func (e *examiner) randomMask(op *operation) {
	compared := map[int]bool{}
	for _, d := range op.outputs {
		compared[d] = op.is("Bernoulli")
	}
	var mask string
	e.forward(op.outputs, maskHops, func(next *operation, through int) bool {
		binary := compared[through] || next.is("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Floor", "Ceil", "Equal")
		if binary && next.is("Mul", "Where") && e.others(next, compared) {
			mask = next.describe()
			return false
		}
		if !next.is(maskSteps...) {
			return false
		}
		for _, d := range next.outputs {
			compared[d] = compared[d] || binary
		}
		return true
	})
	if mask != "" {
		e.activeDropout(op, "a random mask, applied by "+mask)
		return
	}
	e.hit(Dropout, Unknown, None, "%s: unknown: what its random numbers are for", op.describe())
	e.find(RandomOperator, "", op.describe())
}

// maskSteps are what may stand between a random number and the place where it
// is applied as a mask.
var maskSteps = []string{
	"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Floor", "Ceil", "Equal", "Not", "And", "Or",
	"Add", "Sub", "Mul", "Div", "Where", "Identity", "Cast", "CastLike", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Transpose",
}

// others tells whether the operation has an input that varies and is not a
// mask itself.
func (e *examiner) others(op *operation, masks map[int]bool) bool {
	for _, d := range op.inputs {
		if d != noDatum && e.data[d].varies && !masks[d] {
			return true
		}
	}
	return false
}

// What is read to tell whether constants are masks, in bytes: of one, and of
// all. What is no mask is mostly told by its first few elements.
const (
	maxMask  = 16 << 20
	maxMasks = 256 << 20
)

// constantMask judges a multiplication or selection: a converter that folds
// constants can turn dropout's random mask into a tensor of zeros and ones, and
// with it dropout into a fixed and wrong model.
func (e *examiner) constantMask(op *operation) {
	mask, of := e.maskOperands(op)
	if mask == noDatum || !e.data[of].varies {
		return
	}
	t := e.maskTensor(mask)
	if t == nil || t.elements < 2 || len(t.dims) < 2 {
		return
	}
	verdict, looked := e.masks[t]
	if !looked {
		verdict = e.isMask(t)
		e.masks[t] = verdict
	}
	switch verdict {
	case maskFound:
		why := fmt.Sprintf("%s: multiplies by the constant %s %v, which has only zeros and one other value", op.describe(), quote(t.name), t.dims)
		e.hit(Dropout, Unknown, None, "unknown: whether a dropout mask was folded into %s", why)
		e.find(ConstantMask, "", why)
	case maskUnread:
		if broad(t.dims) {
			e.find(ConstantMaskUnread, "", op.describe()+": "+quote(t.name))
		}
	}
}

// maskOperands returns the operand of a multiplication or selection that could
// be a mask, and the value that it would be applied to.
func (e *examiner) maskOperands(op *operation) (mask, of int) {
	if op.is("Mul") {
		a, b := op.in(0), op.in(1)
		if e.data[a].varies {
			a, b = b, a
		}
		if e.data[a].varies {
			return noDatum, noDatum
		}
		return a, b
	}
	for _, branches := range [][2]int{{1, 2}, {2, 1}} {
		zero, ok := e.scalar(op.in(branches[0]))
		if ok && zero == 0 && !e.data[op.in(0)].varies {
			return op.in(0), op.in(branches[1])
		}
	}
	return noDatum, noDatum
}

// maskTensor is the tensor behind a value, a negation not counted.
func (e *examiner) maskTensor(d int) *tensor {
	for range maxHops {
		d = e.source(d)
		datum := e.data[d]
		if datum.origin != computed || !e.operations[datum.by].is("Not") {
			break
		}
		d = e.operations[datum.by].in(0)
	}
	return e.tensorOf(d)
}

// broad tells whether a tensor extends along several dimensions, as a mask of
// activations does and a scale for each channel does not.
func broad(dims []int64) bool {
	n := 0
	for _, d := range dims {
		if d > 1 {
			n++
		}
	}
	return n > 1
}

type maskVerdict int

const (
	noMask maskVerdict = iota
	maskFound
	maskUnread
)

// isMask tells whether a tensor's elements are zero and one other value, both
// of which occur.
func (e *examiner) isMask(t *tensor) maskVerdict {
	size := int64(elementTypes[t.kind].bits / 8)
	if t.values != nil {
		return maskOf(t.values)
	}
	if size == 0 || t.external || t.payload.len()%size != 0 || t.payload.len()/size != t.elements || t.payload.len() > maxMask {
		return maskUnread
	}
	verdict, err := maskIn(e.wire.readFull, t.payload, size, &e.masksRead)
	if err != nil {
		e.err = err
	}
	return verdict
}

func maskOf(values []float64) maskVerdict {
	zeros, one := false, 0.0
	for _, v := range values {
		switch {
		case v == 0:
			zeros = true
		case one == 0:
			one = v
		case v != one:
			return noMask
		}
	}
	if zeros && one != 0 {
		return maskFound
	}
	return noMask
}
