package model

import (
	"fmt"
	"slices"
	"strings"
)

// batchNormalization looks at one operation for batch normalization in any of
// its forms. What the versions of the operator mean is in
// https://onnx.ai/onnx/operators/onnx__BatchNormalization.html.
func (e *examiner) batchNormalization(op *operation) {
	switch {
	case op.is("BatchNormalization"):
		e.batchNormNode(op)
	case op.is("ReduceMean", "ReduceSum", "ReduceSumSquare"):
		e.batchStatistics(op)
	case op.is("MeanVarianceNormalization"):
		if axes := op.attr("axes"); axes == nil || slices.Contains(axes.ints, 0) {
			e.activeBatchNorm(op, "normalizes over axis 0, the batch")
		}
	case op.domain == "com.microsoft":
		// BatchNormInternal and BatchNormalizationGrad.
		if about, ok := graphOperation(op.node); ok && about == BatchNormalization {
			e.activeBatchNorm(op, "a form that only training uses")
		}
	}
	e.foldMark(op)
}

func (e *examiner) activeBatchNorm(op *operation, why string) {
	e.hit(BatchNormalization, Present, Training, "%s: %s", op.describe(), why)
	e.find(BatchNormActive, "", op.describe()+": "+why)
}

// The versions of ONNX's operator set that changed what a BatchNormalization
// node means.
const (
	batchNormHasMode   = 14 // attribute training_mode
	batchNormByOutputs = 7  // more than one output means training
)

func (e *examiner) batchNormNode(op *operation) {
	version := op.opset()
	why := fmt.Sprintf("opset %d, ", version)
	extra := 0
	for _, d := range op.outputs {
		if d != noDatum {
			extra++
		}
	}
	switch {
	case version >= batchNormHasMode && op.integerAttr("training_mode", 0) != 0:
		e.trainingBatchNorm(op, why+"training_mode is set")
	case version >= batchNormHasMode:
		// Runtimes ignore further outputs, which ONNX Runtime's own exporter
		// of evaluation models writes against the specification.
		e.batchNormSource(op, why+"training_mode is not set")
	case version >= batchNormByOutputs && extra > 1:
		e.trainingBatchNorm(op, fmt.Sprintf("%s%d outputs, which means training mode", why, extra))
	case version >= batchNormByOutputs:
		e.batchNormSource(op, why+"one output")
	case version < 1:
		e.hit(BatchNormalization, Unknown, None, "%s: unknown: the file imports no version of ONNX's operators", op.describe())
	case op.integerAttr("is_test", 0) == 0:
		e.trainingBatchNorm(op, why+"is_test is not set")
	default:
		e.batchNormSource(op, why+"is_test is set")
	}
}

// trainingBatchNorm records a node in training mode, unless it stands between
// two reshapes: that is how torch writes instance normalization, whose
// statistics are not of the batch, https://github.com/microsoft/onnxscript/issues/1262.
func (e *examiner) trainingBatchNorm(op *operation, why string) {
	if !e.betweenReshapes(op) {
		e.activeBatchNorm(op, why)
		return
	}
	e.hit(BatchNormalization, Unknown, None, "%s: unknown: %s, but between two reshapes, as instance normalization is written", op.describe(), why)
}

func (e *examiner) betweenReshapes(op *operation) bool {
	before := e.data[op.in(0)]
	users := e.data[op.out(0)].used
	if before.origin != computed || !e.operations[before.by].is("Reshape") || len(users) == 0 {
		return false
	}
	for _, user := range users {
		if !e.operations[user].is("Reshape") {
			return false
		}
	}
	return true
}

// batchNormSource judges a node in inference form by where its mean and
// variance come from.
func (e *examiner) batchNormSource(op *operation, why string) {
	given := false
	for i, name := range []string{"mean", "variance"} {
		d := e.source(op.in(3 + i))
		switch datum := e.data[d]; {
		case d == noDatum || datum.origin == undefined:
			e.hit(BatchNormalization, Unknown, None, "%s: unknown: nothing makes its %s", op.describe(), name)
			return
		case datum.origin == input:
			given = true
		case datum.varies:
			e.activeBatchNorm(op, why+", but its "+name+" is computed when the model runs")
			return
		}
	}
	e.wroteInference(op)
	if given {
		e.hit(BatchNormalization, Present, Inference, "%s: %s, statistics are inputs of the model", op.describe(), why)
		e.find(BatchNormInputs, "", op.describe())
		return
	}
	e.hit(BatchNormalization, Present, Inference, "%s: %s, statistics are constant", op.describe(), why)
}

// wroteInference raises a finding when the node's metadata says that what the
// exporter was given was in training mode: torch's exporter writes such batch
// normalization in inference form, without a word. metadata holds torch's FX
// node, "… call_function[target=torch.ops.aten.NAME.default](args = (%x, %weight,
// %bias, %mean, %var, True, 0.1, 1e-05), kwargs = {})".
func (e *examiner) wroteInference(op *operation) {
	_, call, ok := strings.Cut(op.source, "call_function[target=")
	if !ok {
		return
	}
	target, arguments, ok := strings.Cut(call, "](args = (")
	if !ok || !strings.Contains(target, "batch_norm") || strings.Contains(target, "no_training") {
		return
	}
	arguments, _, _ = strings.Cut(arguments, "), kwargs = ")
	if slices.Contains(strings.Split(arguments, ", "), "True") {
		e.find(BatchNormSource, "", op.describe()+": "+target+"("+arguments+")")
	}
}

// foldMark records what exporters leave where they merged a batch
// normalization into another node. It is a name that anyone can write: it says
// where to look, and "folded" passes no more than "absent" does.
func (e *examiner) foldMark(op *operation) {
	if strings.Contains(op.rule, "FuseBatchNormInto") {
		e.hit(BatchNormalization, Folded, None, "%s: made by rewrite rule %s", op.describe(), shown(op.rule))
		e.wroteInference(op)
	}
}

// foldedNames records initializers named as exporters name folded weights,
// once for each operation that uses them.
func (e *examiner) foldedNames() {
	for i := range e.operations {
		op := &e.operations[i]
		if !op.live || strings.Contains(op.rule, "FuseBatchNormInto") {
			continue
		}
		for _, d := range op.inputs[:op.own] {
			datum := e.data[d]
			if by := foldedBy(op, datum.name); by != "" && (datum.origin == constant || datum.origin == overridable) {
				e.hit(BatchNormalization, Folded, None, "%s: input %s, as %s names folded weights; by its name alone", op.describe(), quote(datum.name), by)
				break
			}
		}
	}
}

// foldedBy tells which exporter names the weights so; empty is none.
func foldedBy(op *operation, name string) string {
	conv := op.is("Conv", "ConvTranspose", "Gemm", "MatMul") || op.domain == "com.microsoft" && strings.HasPrefix(op.op, "Fused")
	switch {
	case conv && (strings.HasSuffix(name, "_weights_fused_bn") || strings.HasSuffix(name, "_bias_fused_bn")):
		return "tf2onnx"
	case conv && strings.HasPrefix(name, "ConvBnFusion_"):
		return "ONNX Runtime"
	case conv && strings.HasPrefix(name, "onnx::Conv"):
		return "torch's TorchScript exporter"
	case conv && strings.HasSuffix(name, ".weight_bias"):
		return "onnxscript"
	case (conv || op.is("Mul", "Add", "Sub")) && (strings.Contains(name, "/batchnorm/") || strings.Contains(name, "FusedBatchNormV3")):
		return "tf2onnx"
	}
	return ""
}

// varianceHops is how far behind a variance its square root is looked for:
// ReduceMean → Squeeze → Reshape → Add → Sqrt.
const varianceHops = 5

// batchStatistics judges a mean or sum: over the batch, and then under a square
// root, it is the variance of a batch normalization that was written out.
func (e *examiner) batchStatistics(op *operation) {
	if !e.data[op.in(0)].varies {
		return
	}
	over := e.overBatch(op)
	if over == never {
		return
	}
	var root string
	e.forward(op.outputs, varianceHops, func(next *operation, _ int) bool {
		if next.is("Sqrt") {
			root = next.describe()
			return false
		}
		return next.is("Add", "Sub", "Mul", "Div", "Max", "Abs", "Relu", "Clip", "Identity", "Cast", "CastLike", "Reshape", "Squeeze", "Unsqueeze", "Transpose")
	})
	switch {
	case root == "":
	case over == always:
		e.activeBatchNorm(op, "statistics over axis 0, the batch, used by "+root)
	default:
		e.hit(BatchNormalization, Unknown, None, "%s: unknown: whether the axes that it reduces, used by %s, include the batch", op.describe(), root)
	}
}

type certainty int

const (
	never certainty = iota
	perhaps
	always
)

// overBatch tells whether a reduction is over axis 0 and keeps another axis.
// Axes may be counted from the end, and the rank is often not stated: axes that
// are the last ones, without a gap, are those of layer or instance
// normalization; others could be anything.
func (e *examiner) overBatch(op *operation) certainty {
	axes, ok := e.axes(op)
	switch {
	case !ok:
		return perhaps
	case slices.Contains(axes, 0):
		return always
	}
	var fromEnd []int64
	for _, a := range axes {
		if a < 0 {
			fromEnd = append(fromEnd, -a)
		}
	}
	slices.Sort(fromEnd)
	for i, a := range fromEnd {
		if a != int64(i)+1 {
			return perhaps
		}
	}
	return never
}

// axes are an attribute, or since opset 18 (ReduceSum: 13) an input. No axes
// means all of them.
func (e *examiner) axes(op *operation) (axes []int64, ok bool) {
	if a := op.attr("axes"); a != nil {
		return a.ints, a.ref == ""
	}
	if op.in(1) == noDatum {
		return nil, true
	}
	return e.integers(op.in(1))
}
