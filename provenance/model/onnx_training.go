package model

import (
	"fmt"
	"slices"
	"strings"
)

// trainer looks at one program that trains for what only training needs.
type trainer struct {
	*examiner
	*program
	info       *trainingInfo // nil when the main graph itself trains
	optimizers []*operation
	gradients  []*operation
	others     []*operation
}

// stateOperations are the operations that ONNX has no place for outside of
// training graphs.
var stateOperations = []Operation{GradientClipping, LearningRateScheduling, WeightRegularization}

// trainingState looks for what only training needs: in the main graph, as ONNX
// Runtime's training artifacts have it, and in training_info.
func (e *examiner) trainingState() {
	trains := e.train(e.program, nil)
	for i := range e.proto.training {
		trains = true
		e.find(TrainingState, "the file holds a training algorithm, which inference does not need", fmt.Sprintf("training_info %d", i))
		info := &e.proto.training[i]
		e.train(e.proto.write(info), info)
	}
	if trains {
		return
	}
	for _, op := range stateOperations {
		e.hit(op, Absent, NotRepresentable, "no training_info and no operator that trains: ONNX has no other place for it")
	}
}

// train judges one program; trains is false when it has nothing to do with
// training, which a training_info always has.
func (e *examiner) train(b *program, info *trainingInfo) (trains bool) {
	t := &trainer{examiner: e, program: b, info: info}
	if b.tooLarge != "" {
		for _, op := range stateOperations {
			e.hit(op, Unknown, None, "unknown: %s", b.tooLarge)
		}
		return true
	}
	for i := range b.operations {
		op := &b.operations[i]
		switch trainingRole(op.node) {
		case noRole:
			continue
		case optimizer:
			t.optimizers = append(t.optimizers, op)
		case gradient:
			t.gradients = append(t.gradients, op)
		case clipping:
			t.clips(op)
		}
		t.others = append(t.others, op)
	}
	if len(t.others) == 0 && info == nil {
		return false
	}
	if len(t.others) > 0 {
		e.find(TrainingState, fmt.Sprintf("the graph has %d nodes that only training needs", len(t.others)), t.others[0].describe())
	}
	t.clipping()
	t.schedule()
	t.regularization()
	return true
}

// clips records ONNX Runtime's InplaceClipGradNorm.
func (t *trainer) clips(op *operation) {
	norm := float32(1)
	if a := op.attr("max_norm"); a != nil {
		norm = a.f
	}
	t.hit(GradientClipping, Present, Training, "%s: max_norm %g", op.describe(), norm)
}

// clipping looks at what stands between a gradient and the place where it is
// used to change a weight.
func (t *trainer) clipping() {
	path := t.backward(t.updates(), func(op *operation) bool { return trainingRole(op.node) == gradient })
	var other *operation
	seen := false
	for _, op := range path {
		switch {
		case trainingRole(op.node) == gradient:
			seen = true
		case trainingRole(op.node) == clipping:
			return // recorded already
		case op.is("Clip"):
			t.hit(GradientClipping, Present, Training, "%s: between the gradient and the weights", op.describe())
			return
		case op.is("ReduceL2", "ReduceL1", "ReduceSumSquare", "LpNormalization", "Sqrt") || op.op == "ReduceAllL2":
			t.hit(GradientClipping, Present, Training, "%s: the gradient is scaled by its norm before it changes the weights", op.describe())
			return
		case !op.passes():
			other = op
		}
	}
	switch {
	case !seen || len(t.optimizers) == 0:
		t.hit(GradientClipping, Unknown, None, "unknown: the file trains, but not all of what happens to the gradients is in it")
	case other != nil:
		t.hit(GradientClipping, Unknown, None, "unknown: what %s does to the gradient", other.describe())
	default:
		t.hit(GradientClipping, Absent, None, "the gradient goes into %s unchanged", t.optimizers[0].describe())
	}
}

// updates are the values that carry gradients to where they change a weight:
// an optimizer's gradient inputs, or, without an optimizer, what training_info
// replaces state with.
func (t *trainer) updates() []int {
	var values []int
	for _, op := range t.optimizers {
		values = append(values, op.gradients()...)
	}
	if len(t.optimizers) == 0 && t.info != nil {
		values = append(values, t.outputs...)
	}
	return values
}

// gradients are an optimizer's gradient inputs. ONNX's have a rate and a step,
// then as many weights, gradients and one or two kinds of state; ONNX
// Runtime's SGDOptimizerV2 has (rate, weights, gradients), AdamWOptimizer (rate,
// step, weights, gradients, …). Of others all inputs behind the rate may be.
func (op *operation) gradients() []int {
	own := op.inputs[:op.own]
	kinds := map[string]int{"Momentum": 3, "Adagrad": 3, "Adam": 4}[op.op]
	switch {
	case kinds > 0 && len(own) >= 2:
		n := (len(own) - 2) / kinds
		return own[2+n : 2+2*n]
	case op.op == "SGDOptimizerV2" && len(own) > 2:
		return own[2:3]
	case op.op == "AdamWOptimizer" && len(own) > 3:
		return own[3:4]
	case len(own) > 1:
		return own[1:]
	}
	return nil
}

// backward lists the operations that values depend on, and does not go behind
// those that stop.
func (t *trainer) backward(from []int, stop func(*operation) bool) []*operation {
	var order []*operation
	seen := map[int]bool{}
	queue := slices.Clone(from)
	for len(queue) > 0 {
		d := t.data[queue[0]]
		queue = queue[1:]
		if d.origin != computed || seen[d.by] {
			continue
		}
		seen[d.by] = true
		op := &t.operations[d.by]
		order = append(order, op)
		if !stop(op) {
			queue = append(queue, op.inputs...)
		}
	}
	return order
}

// schedule judges the learning rate, an optimizer's first input.
func (t *trainer) schedule() {
	if len(t.optimizers) == 0 {
		t.hit(LearningRateScheduling, Unknown, None, "unknown: the file trains, but its optimizer is not in it")
		return
	}
	for _, op := range t.optimizers {
		d := t.source(op.in(0))
		switch datum := t.data[d]; {
		case d == noDatum || datum.origin == undefined:
			t.hit(LearningRateScheduling, Unknown, None, "%s: unknown: nothing makes its learning rate", op.describe())
		case datum.origin == input:
			t.hit(LearningRateScheduling, Unknown, None, "%s: unknown: its learning rate %s is an input, so that a schedule would be in the program that trains", op.describe(), quote(datum.name))
		case datum.varies:
			t.hit(LearningRateScheduling, Present, Training, "%s: its learning rate %s is computed", op.describe(), quote(datum.name))
		default:
			t.hit(LearningRateScheduling, Absent, None, "%s: its learning rate is constant", op.describe())
		}
	}
}

// decay lists the attributes by which optimizers decay weights, with the value
// that holds when they are not there.
var decay = []struct {
	operator, attribute string
	unset               float32
}{
	{"Adagrad", "norm_coefficient", 0},
	{"Momentum", "norm_coefficient", 0},
	{"Adam", "norm_coefficient", 0},
	{"Adam", "norm_coefficient_post", 0},
	{"AdamWOptimizer", "weight_decay", 0.01},
	{"AdamOptimizer", "lambda", 0},
	{"SGDOptimizerV2", "", 0},
}

// regularization looks for weight decay in optimizers and for a penalty on
// weights in the loss.
func (t *trainer) regularization() {
	open := len(t.optimizers) == 0 || !slices.ContainsFunc(t.gradients, isGradient)
	found := t.penalties()
	for _, op := range t.optimizers {
		listed := false
		for _, row := range decay {
			if row.operator != op.op {
				continue
			}
			listed = true
			value := row.unset
			if a := op.attr(row.attribute); a != nil {
				value = a.f
			}
			if value != 0 {
				found = true
				t.hit(WeightRegularization, Present, Training, "%s: %s is %g", op.describe(), row.attribute, value)
			}
		}
		open = open || !listed
	}
	switch {
	case found:
	case open:
		t.hit(WeightRegularization, Unknown, None, "unknown: the file trains, but not all of its loss and its optimizer is in it")
	default:
		t.hit(WeightRegularization, Absent, None, "%s decays no weight, and no penalty on weights is in the loss", t.optimizers[0].describe())
	}
}

// isGradient tells ONNX's Gradient, whose loss is in the same graph, from ONNX
// Runtime's operators of single steps.
func isGradient(op *operation) bool { return op.op == "Gradient" }

// penalties records sums over squares or magnitudes of a weight: nothing else
// in a training graph reduces a weight itself.
func (t *trainer) penalties() (found bool) {
	for i := range t.operations {
		op := &t.operations[i]
		if !op.is("ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2") {
			continue
		}
		d := op.in(0)
		if by := t.data[d]; by.origin == computed {
			if inner := &t.operations[by.by]; inner.is("Mul", "Pow", "Abs") {
				d = inner.in(0)
			}
		}
		weight := t.data[t.source(d)]
		if weight.tensor != nil && weight.tensor.elements > 1 {
			found = true
			t.hit(WeightRegularization, Present, Training, "%s: a sum over the weight %s", op.describe(), quote(strings.TrimSpace(weight.name)))
		}
	}
	return found
}
