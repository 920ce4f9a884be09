package model

import "fmt"

// action says what a step does to the values that it takes, as far as a rule
// asks for it. A step may do several of these things, most do none.
type action uint32

const (
	doesPass          action = 1 << iota // hands its first input on, in another form at most
	doesDraw                             // draws random numbers
	doesCompare                          // gives one of two values
	doesShapeMask                        // may stand between a random number and the place where it is applied
	doesApply                            // multiplies, or selects
	doesReduce                           // takes a mean or a sum along the axes in its second input
	doesRoot                             // takes a square root, or one divided by it
	doesScale                            // may stand between a variance and its root
	doesSquare                           // squares, or takes the magnitude
	doesLimit                            // takes the smaller or the greater of two values
	doesNorm                             // sums squares of all elements
	doesWeigh                            // multiplies with weights, or adds a bias
	doesHandle                           // names a variable
	doesRead                             // reads the variable that its first input names
	doesAssign                           // writes its second input into the variable that its first input names
	doesNormalize                        // normalizes a batch; inputs 3 and 4 are mean and variance
	doesDifferentiate                    // computes a gradient; only training needs it
	doesOptimize                         // changes a variable by a gradient, with all that an optimizer has
	doesReshape                          // changes the shape alone
	doesSwitch                           // sends its first input to one of two outputs, by its second one
	doesMerge                            // takes whichever input arrives
	doesLoad                             // reads values from a checkpoint
	keepsRank                            // gives a value of as many dimensions as its inputs have at most
	isOpaque                             // what it does is not known
)

// flow is the graph behind one entry point of a model in the form that the
// rules on structure need, whatever the format: calls are written out, and each
// operator is reduced to what it does.
type flow struct {
	entry   string // for people, empty when there is but one
	values  []flowValue
	steps   []step
	outputs []int
	// stored are constants whose elements can be looked at, by value.
	stored map[int]storedConstant
	// floats are constants of one number, by value.
	floats map[int]float64
	// tooLarge says why the graph could not be written out, else it is empty.
	tooLarge string
	// work and followed count against maxFlow and maxFollowed.
	work, followed int
}

// flowValue is a value of the graph. Value 0 stands for one that was left out.
type flowValue struct {
	name   string
	origin origin
	by     int // the step, when computed
	// varies is set when the value depends on what the model is given, on
	// chance or on something unknown.
	varies bool
	// graded is set when the value depends on a gradient.
	graded bool
	used   []int
	// behind is one more than the step behind which a constant stands, else 0.
	behind int
	rank   int     // -1 is unknown
	ints   []int64 // of a small constant of integers; nil when not known
}

// step is one operation.
type step struct {
	op, name        string
	does            action
	inputs, outputs []int
	// befores are steps that run before this one, without giving it a value.
	befores []int
	within  *place
	live    bool // an output of the entry point depends on it
	// variable is the name that a doesHandle step gives, or "".
	variable string
	// keepsDims is set when a doesReduce step keeps a dimension of 1 for each axis.
	keepsDims bool
	// allAxes is set when a doesReduce step has no axes: it takes all.
	allAxes bool
	// trains is whether a doesNormalize step uses the batch's statistics, why
	// says by what.
	trains bool
	why    string
	// choice is the value that decides whether the step runs, when that is not
	// by the place where it lies; 0 is none.
	choice int
	// branches are the numbers of a doesSwitch step's outputs: 1 is taken when
	// the choice is true.
	branches []int
	// untaken is set when a constant decides that the step never runs.
	untaken bool
	// rate is the input that is a doesOptimize step's learning rate, grad that
	// of its gradient; 0 when not known.
	rate, grad int
}

// place is a call or a branch that a step lies in.
type place struct {
	outer *place
	text  string
	call  bool // a call, of which there may be many within each other
	// choice is the value that decides whether the branch runs, 0 for a call.
	choice int
}

func newFlow(entry string) *flow {
	return &flow{
		entry: entry, values: []flowValue{{origin: missing, rank: -1}},
		stored: map[int]storedConstant{}, floats: map[int]float64{},
	}
}

func (f *flow) value(v flowValue) int {
	f.values = append(f.values, v)
	return len(f.values) - 1
}

// step adds s and makes its outputs computed ones.
func (f *flow) step(s step) int {
	for _, v := range s.outputs {
		if v != noDatum {
			f.values[v].origin, f.values[v].by = computed, len(f.steps)
		}
	}
	f.steps = append(f.steps, s)
	return len(f.steps) - 1
}

// joinValues adds a step that is no node of the file, behind which to is.
func (f *flow) joinValues(does action, to int, from ...int) int {
	return f.step(step{op: joined, does: does, inputs: from, outputs: []int{to}})
}

// joined is the operator of steps that are no node of the file.
const joined = "joined"

// looked counts the nodes that the outputs depend on.
func (f *flow) looked() (n int) {
	for i := range f.steps {
		if f.steps[i].live && f.steps[i].op != joined {
			n++
		}
	}
	return n
}

// maxFlow bounds a flow, in nodes and the names that they state; one of that
// size takes about 100 MiB.
const maxFlow = 1 << 19

// spend counts work, which a small file can ask for without end.
func (f *flow) spend(n int) {
	if f.work += n; f.work > maxFlow && f.tooLarge == "" {
		f.tooLarge = fmt.Sprintf("with what it calls written out, the graph has more than %d nodes and names", maxFlow)
	}
}

// deepen refuses nesting past the limit.
func (f *flow) deepen(depth int) bool {
	if depth > maxNesting && f.tooLarge == "" {
		f.tooLarge = fmt.Sprintf("functions and sub-graphs are nested more than %d deep", maxNesting)
	}
	return f.tooLarge == ""
}

// link fills in who uses what, what the outputs depend on and what varies.
// roots are steps that run whatever the outputs need.
func (f *flow) link(roots []int) {
	for i := range f.steps {
		for _, v := range f.steps[i].inputs {
			if v != noDatum {
				f.values[v].used = append(f.values[v].used, i)
			}
		}
	}
	f.spread(func(v *flowValue) bool { return v.origin == input || v.origin == undefined }, doesDraw|isOpaque, func(v *flowValue) *bool { return &v.varies })
	f.spread(func(*flowValue) bool { return false }, doesDifferentiate, func(v *flowValue) *bool { return &v.graded })
	f.guard()
	f.markLive(roots)
}

// markLive marks the steps that the outputs depend on, and no other.
func (f *flow) markLive(roots []int) {
	for i := range f.steps {
		f.steps[i].live = false
	}
	queue := append([]int(nil), roots...)
	need := func(values []int) {
		for _, v := range values {
			if f.values[v].origin == computed {
				queue = append(queue, f.values[v].by)
			} else if f.values[v].behind > 0 {
				queue = append(queue, f.values[v].behind-1)
			}
		}
	}
	need(f.outputs)
	for len(queue) > 0 {
		s := &f.steps[queue[len(queue)-1]]
		queue = queue[:len(queue)-1]
		if s.live || s.untaken {
			continue
		}
		s.live = true
		queue = append(queue, s.befores...)
		need(s.inputs)
	}
}

// guard marks the steps between a switch and a merge with the value that
// decides which way is taken, or as never taken when a constant decides.
func (f *flow) guard() {
	after := map[int][]int{} // steps that run behind a step without taking a value of it
	for i := range f.steps {
		for _, before := range f.steps[i].befores {
			after[before] = append(after[before], i)
		}
	}
	for i := range f.steps {
		s := &f.steps[i]
		choice := s.in(1)
		if by := f.maker(choice); !s.is(doesSwitch) || choice == noDatum || by != nil && by.op == "LoopCond" {
			continue
		}
		if taken, ok := f.integers(choice); ok && len(taken) == 1 {
			for n, branch := range s.branches {
				if int64(branch) != taken[0] {
					f.beyond(s.outputs[n:n+1], after, func(to *step) bool {
						fresh := !to.untaken
						to.untaken = true
						return fresh
					})
				}
			}
			continue
		}
		f.beyond(s.outputs, after, func(to *step) bool {
			fresh := to.choice == noDatum
			if fresh {
				to.choice = choice
			}
			return fresh
		})
	}
}

// beyond calls visit for the steps that run with what a switch lets through,
// up to a merge; visit tells whether to go on behind the step.
func (f *flow) beyond(values []int, after map[int][]int, visit func(*step) bool) {
	queue := []int{}
	for _, v := range values {
		queue = append(queue, f.values[v].used...)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		s := &f.steps[at]
		if s.is(doesMerge) || !visit(s) {
			continue
		}
		queue = append(queue, after[at]...)
		for _, v := range s.outputs {
			queue = append(queue, f.values[v].used...)
		}
	}
}

// rank is the number of a value's dimensions, -1 when it is not known.
func (f *flow) rank(v int) int { return f.rankWithin(v, maxHops) }

func (f *flow) rankWithin(v, hops int) int {
	d := &f.values[v]
	if d.rank >= 0 || d.origin != computed || hops == 0 {
		return d.rank
	}
	s := &f.steps[d.by]
	rank := -1
	switch {
	case s.is(doesReduce):
		inner := f.rankWithin(s.in(0), hops-1)
		axes, ok := f.integers(s.in(1))
		switch {
		case inner >= 0 && s.keepsDims:
			rank = inner
		case inner >= 0 && ok && len(axes) <= inner:
			rank = inner - len(axes)
		}
	case s.is(keepsRank):
		for _, in := range s.inputs {
			n := f.rankWithin(in, hops-1)
			if n < 0 {
				return -1
			}
			rank = max(rank, n)
		}
	}
	d.rank = rank
	return rank
}

// spread sets a mark on the values where it starts, on the outputs of steps
// that do one of does, and on all that depends on them.
func (f *flow) spread(starts func(*flowValue) bool, does action, mark func(*flowValue) *bool) {
	var queue []int
	set := func(i int) {
		if m := mark(&f.values[i]); i != noDatum && !*m {
			*m = true
			queue = append(queue, i)
		}
	}
	for i := range f.values {
		if starts(&f.values[i]) {
			set(i)
		}
	}
	for i := range f.steps {
		if f.steps[i].does&does != 0 {
			for _, v := range f.steps[i].outputs {
				set(v)
			}
		}
	}
	for len(queue) > 0 {
		v := &f.values[queue[len(queue)-1]]
		queue = queue[:len(queue)-1]
		for _, user := range v.used {
			for _, out := range f.steps[user].outputs {
				set(out)
			}
		}
	}
}

// is tells whether the step does all of what is asked.
func (s *step) is(does action) bool { return s.does&does != 0 }

// in is the step's i-th input, noDatum when it has none.
func (s *step) in(i int) int {
	if i >= len(s.inputs) {
		return noDatum
	}
	return s.inputs[i]
}

// source follows a value back through steps that pass it on.
func (f *flow) source(v int) int {
	for range maxHops {
		if f.values[v].origin != computed {
			return v
		}
		s := &f.steps[f.values[v].by]
		if !s.is(doesPass) || s.in(0) == noDatum {
			return v
		}
		v = s.in(0)
	}
	return v
}

// power tells by its exponent whether a step squares or takes a root; one that
// is not known may be a root.
func (f *flow) power(s *step) {
	exponent, ok := f.floats[f.source(s.in(1))]
	switch {
	case s.is(isOpaque):
	case !ok, exponent == 0.5, exponent == -0.5:
		s.does |= doesRoot
	case exponent == 2:
		s.does |= doesSquare | doesScale
	}
}

// maker is the step that makes a value, followed back through steps that pass
// it on; nil when none does.
func (f *flow) maker(v int) *step {
	v = f.source(v)
	if f.values[v].origin != computed {
		return nil
	}
	return &f.steps[f.values[v].by]
}

// variable is the name of the variable whose handle v is; "" when not known.
func (f *flow) variable(v int) string {
	if s := f.maker(v); s != nil && s.is(doesHandle) {
		return s.variable
	}
	return ""
}

// integers are the elements of a small constant; ok is false when not known.
func (f *flow) integers(v int) (values []int64, ok bool) {
	d := &f.values[f.source(v)]
	return d.ints, d.origin == constant && d.ints != nil
}

// forward calls visit for the live steps that values flow to, at most hops
// away; visit tells whether to go on behind the step. Each step is gone
// through once.
func (f *flow) forward(from []int, hops int, visit func(s *step, through int) bool) {
	type at struct{ value, hops int }
	seen := map[int]bool{}
	var queue []at
	for _, v := range from {
		queue = append(queue, at{v, 0})
	}
	for len(queue) > 0 {
		here := queue[0]
		queue = queue[1:]
		if here.value == noDatum || here.hops >= hops {
			continue
		}
		for _, user := range f.values[here.value].used {
			s := &f.steps[user]
			if f.followed++; f.followed > maxFollowed {
				f.tooLarge = fmt.Sprintf("following values through the graph took more than %d steps", maxFollowed)
				return
			}
			if seen[user] || !s.live || !visit(s, here.value) {
				continue
			}
			seen[user] = true
			n := here.hops + 1
			if s.op == joined { // a call is no hop
				n = here.hops
			}
			for _, v := range s.outputs {
				queue = append(queue, at{v, n})
			}
		}
	}
}

// describe names a step for people. Of the calls that it lies in, the innermost
// is named.
func (s *step) describe() string {
	text := shown(s.op)
	if s.name != "" {
		text += " " + quote(s.name)
	}
	called := false
	for p := s.within; p != nil && len(text) < maxEvidenceLength; p = p.outer {
		if !p.call || !called {
			text += " in " + p.text
		}
		called = called || p.call
	}
	return text
}

// choice is the value of an enclosing branch that is not the same in every
// run, as it decides whether the step runs at all; 0 when there is none.
func (f *flow) choice(s *step) int {
	if s.choice != noDatum && f.values[s.choice].varies {
		return s.choice
	}
	for p := s.within; p != nil; p = p.outer {
		if p.choice != noDatum && f.values[p.choice].varies {
			return p.choice
		}
	}
	return noDatum
}
