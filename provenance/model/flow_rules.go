package model

import (
	"fmt"
	"slices"
	"strings"
)

// ledger collects what one file says about the operations.
type ledger struct {
	*Model
	hits map[Operation][]hit
}

func newLedger(m *Model) *ledger { return &ledger{m, map[Operation][]hit{}} }

func (l *ledger) hit(op Operation, status Status, mode Mode, format string, arguments ...any) {
	l.hits[op] = append(l.hits[op], hit{status, mode, fmt.Sprintf(format, arguments...)})
}

// close turns what was collected into the model's verdicts.
func (l *ledger) close() {
	for _, op := range Operations {
		l.Elimination = append(l.Elimination, judge(op, l.hits[op]))
	}
	l.sortFindings()
}

// inspector looks at one flow, and writes what it sees into the ledger.
type inspector struct {
	*ledger
	*flow
	// clips are the steps that were seen to compute the norm of a gradient.
	clips map[*step]bool
	// masks are the constants that were looked at, masksRead the bytes of them.
	masks     map[span]maskVerdict
	masksRead int64
}

func newInspector(l *ledger, f *flow) *inspector {
	return &inspector{ledger: l, flow: f, clips: map[*step]bool{}, masks: map[span]maskVerdict{}}
}

// whole judges a flow that holds everything of an entry point: what its outputs
// and roots depend on as graph does, the rest as latent.
func (l *ledger) whole(f *flow, roots []int) (trains bool) {
	if f.tooLarge == "" {
		f.link(roots)
	}
	trains = l.graph(f)
	l.latent(f, f.alive())
	return trains
}

// graph judges one entry point: dropout and batch normalization, and what only
// training needs, for which trains tells whether there is any.
func (l *ledger) graph(f *flow) (trains bool) {
	e := newInspector(l, f)
	if f.tooLarge == "" {
		trains = e.training()
		for i := range f.steps {
			e.judge(&f.steps[i])
		}
	}
	if f.tooLarge != "" {
		e.find(FlowTooLarge, "", f.tooLarge)
		for _, op := range Operations {
			l.hit(op, Unknown, None, "unknown: %s%s", f.tooLarge, e.where())
		}
		return true
	}
	n := f.looked()
	l.hit(Dropout, Absent, None, "nodes looked at%s: %d; none draws a random mask", e.where(), n)
	l.hit(BatchNormalization, Absent, None, "nodes looked at%s: %d; none normalizes a batch or computes statistics over one", e.where(), n)
	return trains
}

// where says which entry point is spoken of, when there are several.
func (e *inspector) where() string {
	if e.entry == "" {
		return ""
	}
	return " in " + e.entry
}

func (e *inspector) describe(s *step) string {
	text := s.describe() + e.where()
	if c := e.choice(s); c != noDatum {
		text += ", which runs or not by " + quote(e.values[e.source(c)].name)
	}
	return text
}

// acts records an operation that is in its training form; one that a switch
// can turn off is unknown.
func (e *inspector) acts(op Operation, finding string, s *step, why string) {
	text := e.describe(s) + ": " + why
	if e.choice(s) != noDatum {
		e.hit(op, Unknown, None, "unknown: %s", text)
		e.find(FlowSwitch, "", text)
		return
	}
	e.hit(op, Present, Training, "%s", text)
	e.find(finding, "", text)
}

func (e *inspector) judge(s *step) {
	switch {
	case !s.live:
	case s.is(isOpaque):
		e.find(FlowUnknownOperator, "", e.describe(s))
		for _, op := range Operations {
			e.hit(op, Unknown, None, "unknown: what %s does", e.describe(s))
		}
	case s.is(doesDraw):
		e.randomMask(s)
	case s.is(doesNormalize):
		e.normalization(s)
	case s.is(doesReduce):
		e.statistics(s)
	case s.is(doesAssign):
		if name := e.flow.variable(s.in(0)); isStatistic(name) {
			e.acts(BatchNormalization, FlowBatchNormActive, s, "writes the variable "+quote(name))
		}
	case s.is(doesRoot):
		e.storedStatistics(s)
	case s.is(doesWeigh):
		e.foldedName(s)
		e.constantMask(s)
	}
}

// randomMask judges a step that draws random numbers: when they are compared
// with something and then multiply or select a value, that is dropout.
func (e *inspector) randomMask(s *step) {
	compared := map[int]bool{}
	for _, v := range s.outputs {
		compared[v] = s.is(doesCompare) // what it draws is one of two values
	}
	var mask string
	e.forward(s.outputs, maskHops, func(next *step, through int) bool {
		binary := compared[through] || next.is(doesCompare)
		if binary && next.is(doesApply) && e.others(next, compared) {
			mask = next.describe()
			return false
		}
		if !next.is(doesShapeMask | doesPass) {
			return false
		}
		for _, v := range next.outputs {
			compared[v] = compared[v] || binary
		}
		return true
	})
	switch {
	case mask != "":
		e.acts(Dropout, FlowDropoutActive, s, "a random mask, applied by "+mask)
		return
	case e.initializes(s):
		return
	}
	e.hit(Dropout, Unknown, None, "unknown: what the random numbers of %s are for", e.describe(s))
	e.find(FlowRandom, "", e.describe(s))
}

// initializes tells whether random numbers only go into variables, as first
// values do.
func (f *flow) initializes(s *step) bool {
	found := false
	queue, seen := slices.Clone(s.outputs), map[int]bool{}
	for len(queue) > 0 {
		users := f.values[queue[0]].used
		queue = queue[1:]
		for _, user := range users {
			next := &f.steps[user]
			switch {
			case seen[user]:
			case next.is(doesAssign):
				found = true
			case next.is(doesShapeMask|doesPass) && !next.is(doesCompare) && len(seen) < maxHops:
				queue = append(queue, next.outputs...)
			default:
				return false
			}
			seen[user] = true
		}
	}
	return found
}

// latent records what is in the flow though no entry point that was judged
// depends on it; seen has the steps on which one does.
func (l *ledger) latent(f *flow, seen []bool) {
	for i := range f.steps {
		s := &f.steps[i]
		switch {
		case seen[i]:
		case s.is(doesNormalize):
			l.hit(BatchNormalization, Present, Latent, "%s: no output of the model depends on it", s.describe())
		case s.is(doesDraw) && !f.initializes(s):
			l.hit(Dropout, Present, Latent, "%s: random numbers on which no output of the model depends", s.describe())
		}
	}
}

// untrained judges what the graph holds for training though no entry point
// depends on it; found are the operations of which there is something.
func (l *ledger) untrained(f *flow) (found map[Operation]bool) {
	found = map[Operation]bool{}
	if f.tooLarge != "" {
		return found
	}
	every := make([]int, len(f.steps))
	for i := range every {
		every[i] = i
	}
	f.markLive(every)
	apart := newLedger(newModel("", ""))
	if !newInspector(apart, f).training() {
		return found
	}
	for _, op := range stateOperations {
		for _, h := range apart.hits[op] {
			if h.status == Present {
				found[op] = true
				l.hit(op, Present, Latent, "%s; no signature depends on it", h.text)
			}
		}
	}
	return found
}

// alive lists which steps are live.
func (f *flow) alive() []bool {
	live := make([]bool, len(f.steps))
	for i := range f.steps {
		live[i] = f.steps[i].live
	}
	return live
}

// others tells whether the step has an input that varies and is not a mask
// itself.
func (e *inspector) others(s *step, masks map[int]bool) bool {
	return slices.ContainsFunc(s.inputs, func(v int) bool { return v != noDatum && e.values[v].varies && !masks[v] })
}

// normalization judges an operator of batch normalization.
func (e *inspector) normalization(s *step) {
	switch {
	case s.trains && e.betweenReshapes(s):
		e.hit(BatchNormalization, Unknown, None, "unknown: %s: %s, but between two reshapes, as layer normalization is written", e.describe(s), s.why)
	case s.trains:
		e.acts(BatchNormalization, FlowBatchNormActive, s, s.why)
	case e.values[s.in(3)].varies || e.values[s.in(4)].varies:
		e.acts(BatchNormalization, FlowBatchNormActive, s, s.why+", but its statistics are computed when the model runs")
	default:
		e.hit(BatchNormalization, Present, Inference, "%s: %s, its statistics are stored", e.describe(s), s.why)
	}
}

func (e *inspector) betweenReshapes(s *step) bool {
	v := e.values[s.in(0)]
	if v.origin != computed || !e.steps[v.by].is(doesReshape) || len(s.outputs) == 0 {
		return false
	}
	users := e.values[s.outputs[0]].used
	return len(users) > 0 && !slices.ContainsFunc(users, func(i int) bool { return !e.steps[i].is(doesReshape) })
}

// statistics judges a mean or a sum: over the batch, and then under a square
// root, it is the variance of a batch normalization that was written out.
func (e *inspector) statistics(s *step) {
	if e.clips[s] || !e.values[s.in(0)].varies {
		return
	}
	over := e.batchAxis(s)
	if over == never {
		return
	}
	var root string
	if s.is(doesRoot) {
		root = "itself to normalize"
	}
	e.forward(s.outputs, varianceHops, func(next *step, _ int) bool {
		if next.is(doesRoot) {
			root = next.describe()
			return false
		}
		return next.is(doesScale | doesPass)
	})
	switch {
	case root == "":
	case over == always:
		e.acts(BatchNormalization, FlowBatchNormActive, s, "statistics over axis 0, the batch, used by "+root)
	default:
		e.hit(BatchNormalization, Unknown, None, "unknown: whether the axes of %s, used by %s, include the batch", e.describe(s), root)
	}
}

// batchAxis tells whether a reduction is over axis 0 and keeps another axis.
// Where the rank is not known, axes that are the last ones without a gap are
// those of layer normalization, and axis 0 counts as the batch when the
// reduction keeps its dimensions, as the statistics of a batch do and the norm
// of a whole tensor does not.
func (e *inspector) batchAxis(s *step) certainty {
	axes, ok := e.integers(s.in(1))
	rank := e.rank(s.in(0))
	switch {
	case s.allAxes:
		return never
	case !ok:
		return perhaps
	}
	set := map[int64]bool{}
	for _, a := range axes {
		if a < 0 && rank >= 0 {
			a += int64(rank)
		}
		set[a] = true
	}
	switch {
	case set[0] && rank >= 0 && len(set) >= rank:
		return never
	case set[0] && (rank >= 0 || s.keepsDims):
		return always
	case set[0]:
		return perhaps
	}
	fromEnd := []int64{}
	for a := range set {
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

// isStatistic tells by its name whether a variable is the running mean or
// variance of a batch normalization.
func isStatistic(name string) bool {
	return containsAny(name, "moving_mean", "moving_var", "running_mean", "running_var")
}

func containsAny(s string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(s, p) })
}

// storedStatistics records the square root of a stored variance: batch
// normalization that was written out, in inference form. It goes by names, and
// passes no more than "absent" does.
func (e *inspector) storedStatistics(s *step) {
	v := s.in(0)
	if e.values[v].varies {
		return
	}
	for range varianceHops {
		by := e.maker(v)
		if by == nil {
			break
		}
		if by.is(doesRead | doesHandle) {
			if name := e.variableRead(by); isStatistic(name) {
				e.hit(BatchNormalization, Present, Inference, "%s: of the variable %s, which is stored", e.describe(s), quote(name))
				return
			}
			break
		}
		if !by.is(doesScale) {
			break
		}
		v = by.in(0)
	}
	if name := e.values[e.source(v)].name; isStatistic(name) || containsAny(s.name, "batchnorm") {
		e.hit(BatchNormalization, Present, Inference, "%s: of %s, which is stored; by its name alone", e.describe(s), quote(name))
	}
}

// variableRead is the name of the variable that a step reads; the oldest kind
// of variable is its own value.
func (f *flow) variableRead(s *step) string {
	if s.is(doesHandle) {
		return s.variable
	}
	return f.variable(s.in(0))
}

// foldedNames stand in the names that converters give to what they merged a
// batch normalization into.
var foldedNames = []string{"batchnorm", "BatchNorm", "batch_norm"}

// foldedName records weights named after a batch normalization, and constants
// that are applied where a batch normalization was.
func (e *inspector) foldedName(s *step) {
	made := s.name
	if len(s.outputs) > 0 && !containsAny(made, foldedNames...) {
		made = e.values[s.outputs[0]].name
	}
	for _, v := range s.inputs {
		d := &e.values[e.source(v)]
		if d.origin != constant || d.rank <= 0 {
			continue
		}
		switch {
		case containsAny(d.name, foldedNames...):
			e.hit(BatchNormalization, Folded, None, "%s: constant %s, as converters name what they merged; by its name alone", e.describe(s), quote(d.name))
		case containsAny(made, foldedNames...):
			e.hit(BatchNormalization, Folded, None, "%s: applies constant %s to give %s; by its name alone", e.describe(s), quote(d.name), quote(made))
		default:
			continue
		}
		return
	}
}
