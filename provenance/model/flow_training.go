package model

import (
	"slices"
	"strings"
)

// update is a step that changes a variable by a gradient.
type update struct {
	*step
	grad int // the value that carries the gradient
}

// training looks for what only training needs, and judges it. What the graph
// does not decide is unknown: a graph that trains is never said to do without.
func (e *inspector) training() (trains bool) {
	var updates []update
	var first, stateful *step
	optimizers := 0
	for i := range e.steps {
		s := &e.steps[i]
		switch {
		case !s.live:
			continue
		case s.is(doesOptimize):
			optimizers++
			updates = append(updates, update{s, s.grad})
		case s.is(doesAssign) && e.values[s.in(1)].graded:
			updates = append(updates, update{s, s.in(1)})
		case s.is(doesAssign) && e.values[s.in(1)].varies && !isStatistic(e.flow.variable(s.in(0))) && !e.loads(s.in(1)):
			stateful = s
		case !s.is(doesDifferentiate):
			continue
		}
		if first == nil && s != stateful {
			first = s
		}
	}
	switch {
	case first != nil:
		e.find(FlowTraining, "", e.describe(first))
		e.gradients(updates)
		e.schedule(updates, optimizers)
		e.penalty(updates)
		return true
	case stateful != nil:
		for _, op := range stateOperations {
			e.hit(op, Unknown, None, "unknown: %s changes a variable by what the model is given, and whether that is training could not be told", e.describe(stateful))
		}
		return true
	}
	return false
}

// loads tells whether a value comes from a checkpoint, as in a function that
// restores one.
func (e *inspector) loads(v int) bool {
	by := e.maker(v)
	return by != nil && by.is(doesLoad)
}

// behind visits the live steps that values depend on; visit tells whether to
// go on behind the step.
func (e *inspector) behind(from []int, visit func(*step) bool) {
	seen := map[int]bool{}
	queue := slices.Clone(from)
	for len(queue) > 0 {
		v := e.values[queue[0]]
		queue = queue[1:]
		if v.origin != computed || seen[v.by] {
			continue
		}
		seen[v.by] = true
		if s := &e.steps[v.by]; visit(s) {
			queue = append(queue, s.inputs...)
		}
	}
}

func gradientsOf(updates []update) (values []int) {
	for _, u := range updates {
		values = append(values, u.grad)
	}
	return values
}

// gradients looks for clipping between a gradient and the variable that it
// changes: limits on both sides, or a division by a norm.
func (e *inspector) gradients(updates []update) {
	var named, limited, norm *step
	direct := len(updates) > 0
	for _, u := range updates {
		if by := e.maker(u.grad); by == nil || !by.is(doesDifferentiate) || !u.is(doesOptimize) {
			direct = false
		}
	}
	e.behind(gradientsOf(updates), func(s *step) bool {
		if !slices.ContainsFunc(s.inputs, func(v int) bool { return e.values[v].graded }) {
			return !s.is(doesDifferentiate)
		}
		if containsAny(s.name, "clip_by_", "global_norm", "clipnorm", "clipvalue") {
			named = s
		}
		switch {
		case s.is(doesLimit):
			if inner := e.maker(s.in(0)); inner != nil && inner.is(doesLimit) && inner.op != s.op {
				limited = s
			}
		case s.is(doesNorm), s.is(doesReduce) && e.squares(s.in(0)):
			if e.rooted(s) {
				norm = s
			}
		}
		return !s.is(doesDifferentiate)
	})
	e.behind(gradientsOf(updates), func(s *step) bool {
		if s.is(doesReduce) && e.squares(s.in(0)) && e.values[s.in(0)].graded && (norm != nil || named != nil) {
			e.clips[s] = true
		}
		return !s.is(doesDifferentiate)
	})
	switch {
	case norm != nil:
		e.hit(GradientClipping, Present, Training, "%s: the norm of a gradient, by which it is scaled before it changes a variable", e.describe(norm))
	case limited != nil:
		e.hit(GradientClipping, Present, Training, "%s: a gradient is limited on both sides before it changes a variable", e.describe(limited))
	case named != nil:
		e.hit(GradientClipping, Present, Training, "%s: on a gradient; by its name alone", e.describe(named))
	case direct:
		e.hit(GradientClipping, Absent, None, "the gradient goes into %s unchanged", e.describe(updates[0].step))
	default:
		e.hit(GradientClipping, Unknown, None, "unknown: the model trains%s, and what it does to its gradients could not be told", e.where())
	}
}

// squares tells whether v is a square, or a value times itself, a constant
// factor not counted.
func (e *inspector) squares(v int) bool {
	s := e.maker(v)
	switch {
	case s == nil:
		return false
	case s.is(doesSquare):
		return true
	case !s.isProduct():
		return false
	}
	a, b := e.unscaled(s.in(0)), e.unscaled(s.in(1))
	return a == b && e.values[a].origin == computed
}

// isProduct tells a multiplication from a selection.
func (s *step) isProduct() bool { return s.is(doesApply) && len(s.inputs) == 2 }

// unscaled follows a value back through multiplications by a constant.
func (e *inspector) unscaled(v int) int {
	for range varianceHops {
		v = e.source(v)
		by := e.maker(v)
		if by == nil || !by.isProduct() {
			break
		}
		switch a, b := e.values[e.source(by.in(0))].origin, e.values[e.source(by.in(1))].origin; {
		case a == constant:
			v = by.in(1)
		case b == constant:
			v = by.in(0)
		default:
			return v
		}
	}
	return v
}

// rooted tells whether a sum goes into a square root as it is, alone or added
// to other sums; the running mean of squares that Adam keeps is no sum.
func (e *inspector) rooted(s *step) (found bool) {
	e.forward(s.outputs, varianceHops, func(next *step, _ int) bool {
		found = found || next.is(doesRoot)
		return !found && next.is(doesScale|doesPass|doesShapeMask)
	})
	return found
}

// scheduleNames stand in the names of what computes a learning rate.
var scheduleNames = []string{
	"ExponentialDecay", "PiecewiseConstant", "CosineDecay", "PolynomialDecay", "InverseTimeDecay",
	"exponential_decay", "piecewise_constant", "cosine_decay", "polynomial_decay", "inverse_time_decay", "lr_decay",
}

// schedule judges the learning rates of optimizers.
func (e *inspector) schedule(updates []update, optimizers int) {
	for i := range e.steps {
		if s := &e.steps[i]; s.live && containsAny(s.name, scheduleNames...) {
			e.hit(LearningRateScheduling, Present, Training, "%s: a learning rate is computed; by its name alone", e.describe(s))
			return
		}
	}
	if optimizers == 0 || optimizers < len(updates) {
		e.hit(LearningRateScheduling, Unknown, None, "unknown: the model trains%s, and its learning rate could not be found", e.where())
		return
	}
	for _, u := range updates {
		by := e.maker(u.rate)
		switch v := e.values[e.source(u.rate)]; {
		case u.rate == noDatum:
			e.hit(LearningRateScheduling, Unknown, None, "unknown: which input of %s is its learning rate", e.describe(u.step))
		case v.origin == constant:
			e.hit(LearningRateScheduling, Absent, None, "%s: its learning rate %s is constant", e.describe(u.step), quote(v.name))
		case by != nil && !by.is(doesRead|doesHandle):
			e.hit(LearningRateScheduling, Present, Training, "%s: its learning rate is computed by %s", e.describe(u.step), by.describe())
		default:
			e.hit(LearningRateScheduling, Unknown, None, "unknown: the learning rate of %s is a variable or an input, which the program that trains may change", e.describe(u.step))
		}
	}
}

// penalty looks for a sum over the squares or the magnitudes of a weight:
// nothing else in a graph that trains reduces a weight itself.
func (e *inspector) penalty(updates []update) {
	for i := range e.steps {
		s := &e.steps[i]
		if !s.live {
			continue
		}
		if weight := e.penalized(s); weight != "" {
			e.hit(WeightRegularization, Present, Training, "%s: a sum over the weight %s", e.describe(s), quote(weight))
			return
		}
		if strings.Contains(s.name, "/Regularizer/") {
			e.hit(WeightRegularization, Present, Training, "%s: by its name alone", e.describe(s))
			return
		}
	}
	e.hit(WeightRegularization, Unknown, None, "unknown: the model trains%s; no penalty on a weight was found, but its optimizer may decay weights", e.where())
}

// penalized is the name of the variable whose squares or magnitudes a step
// sums; "" when it does not.
func (e *inspector) penalized(s *step) string {
	v := s.in(0)
	switch {
	case s.is(doesNorm):
	case s.is(doesReduce) && e.squares(v):
		v = e.unscaled(e.maker(v).in(0))
	default:
		return ""
	}
	if by := e.maker(v); by != nil && by.is(doesRead|doesHandle) {
		if name := e.variableRead(by); name != "" {
			return name
		}
		return "behind " + by.describe()
	}
	return ""
}
