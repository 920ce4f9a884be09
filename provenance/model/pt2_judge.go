package model

import (
	"fmt"
	"slices"
	"strings"
)

// pt2Actions are what operators of ATen do, by their name without overload,
// for the rules on structure, aten/src/ATen/native/native_functions.yaml.
var pt2Actions = func() map[string]action {
	actions := map[string]action{}
	for does, names := range map[action]string{
		doesPass:                "alias clone contiguous _to_copy to detach detach_ lift_fresh_copy type_as _assert_tensor_metadata",
		doesReshape:             "view _unsafe_view reshape unsqueeze squeeze permute transpose t expand expand_as flatten",
		doesDraw:                "rand rand_like randn randn_like randint randint_like randperm normal normal_ normal_functional uniform uniform_ multinomial exponential exponential_ geometric geometric_ poisson random random_ binomial rrelu rrelu_ rrelu_with_noise rrelu_with_noise_functional rrelu_with_noise_",
		doesCompare | doesScale: "lt le gt ge floor",
		doesApply | doesScale:   "mul mul_ where masked_fill masked_fill_",
		doesScale:               "add add_ sub sub_ rsub div div_ pow clamp clamp_min maximum minimum",
		doesReduce:              "mean sum var std",
		doesReduce | doesScale:  "var_mean std_mean",
		doesRoot:                "sqrt sqrt_ rsqrt rsqrt_",
		doesWeigh:               "convolution conv1d conv2d conv3d linear mm addmm matmul bmm",
		doesSquare | doesScale:  "square abs",
		doesDraw | doesCompare:  "bernoulli bernoulli_",
		doesNormalize:           "batch_norm native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training _batch_norm_with_update _batch_norm_no_update",
	} {
		for name := range words(names) {
			actions[name] = does
		}
	}
	// What may stand between a random number and where it is applied.
	for _, name := range []string{"lt", "le", "gt", "ge", "floor", "div", "div_", "mul", "mul_", "add", "sub", "rsub", "logical_not", "view", "reshape", "expand", "unsqueeze"} {
		actions[name] |= doesShapeMask
	}
	return actions
}()

// operator is the name of a node's operator without its overload; ok is false
// when it is none of ATen's or Python's.
func (n *pt2Node) operator() (name string, ok bool) {
	inner, ok := strings.CutPrefix(n.target, "torch.ops.")
	if !ok {
		// Arithmetic on sizes, "_operator.getitem", "torch.sym_max".
		return "", strings.HasPrefix(n.target, "_operator.") || strings.HasPrefix(n.target, "torch.sym_") || strings.HasPrefix(n.target, "math.")
	}
	space, inner, _ := strings.Cut(inner, ".")
	name, _, _ = strings.Cut(inner, ".")
	return name, slices.Contains([]string{"aten", "prim", "prims", "higher_order", "quantized", "quantized_decomposed", "torchvision", "_operator"}, space)
}

func (n *pt2Node) argument(names ...string) *pt2Argument {
	for i := range n.arguments {
		if slices.Contains(names, n.arguments[i].name) {
			return &n.arguments[i]
		}
	}
	return nil
}

// pt2Writer writes a program out into a flow.
type pt2Writer struct {
	*flow
	ledger *ledger
}

func (m *Model) pt2Verdicts(programs []*pt2Program) {
	l := newLedger(m)
	trains := false
	for _, p := range programs {
		f := newFlow("")
		if len(programs) > 1 {
			f.entry = "program " + quote(p.name)
		}
		b := &pt2Writer{flow: f, ledger: l}
		given := map[string]bool{}
		for _, s := range p.inputs {
			given[s.name] = s.kind == "user_input"
		}
		b.outputs = b.graph(p.graph, given, nil, nil, 0)
		all := make([]int, len(f.steps))
		for i := range all {
			all[i] = i
		}
		f.link(all) // a program runs all of its nodes
		trains = l.graph(f) || trains
		trains = l.pt2Outputs(p) || trains
	}
	for _, op := range stateOperations {
		if trains {
			l.hit(op, Unknown, None, "unknown: the program computes gradients, and what is done with them is not in it")
		} else {
			l.hit(op, Absent, NotRepresentable, "no output of the program is a loss, a gradient or a changed parameter: an exported program has no other place for it")
		}
	}
	l.close()
}

// pt2Outputs judges what a program changes or gives beside its results.
func (l *ledger) pt2Outputs(p *pt2Program) (trains bool) {
	for _, s := range p.outputs {
		text := fmt.Sprintf("output %s is a %s of %s", quote(s.name), strings.ReplaceAll(s.kind, "_", " "), quote(s.of))
		switch s.kind {
		case "buffer_mutation":
			if _, ok := normalization(s.of); ok {
				l.hit(BatchNormalization, Present, Training, "%s", text)
				l.find(FlowBatchNormActive, "", text)
			}
		case "loss_output", "gradient_to_parameter", "gradient_to_user_input", "parameter_mutation":
			trains = true
			l.find(FlowTraining, "", text)
		}
	}
	return trains
}

// graph writes a graph out and returns its outputs. The inputs that given has
// as true are the model's; operands are those of a graph within a node.
func (b *pt2Writer) graph(g *pt2Graph, given map[string]bool, operands []int, within *place, depth int) []int {
	if !b.deepen(depth) {
		return nil
	}
	values := map[string]int{}
	value := func(name string) int {
		v, ok := values[name]
		if !ok {
			rank := -1
			if t, ok := g.tensors[name]; ok {
				rank = len(t.shape)
			}
			v = b.value(flowValue{name: name, origin: undefined, rank: rank})
			values[name] = v
		}
		return v
	}
	// What becomes of which operand is the node's to say: each input of a graph
	// within it may be any of them.
	operand := b.value(flowValue{origin: undefined, rank: -1})
	if given == nil {
		b.spend(len(operands) + len(g.inputs))
		b.joinValues(doesScale|doesShapeMask, operand, operands...)
	}
	for _, name := range g.inputs {
		v := value(name)
		switch {
		case given == nil:
			b.joinValues(doesScale|doesShapeMask, v, operand)
		case given[name]:
			b.values[v].origin = input
		default:
			b.values[v].origin = constant
		}
	}
	for i := range g.nodes {
		b.spend(1 + len(g.nodes[i].arguments))
		if b.tooLarge != "" {
			return nil
		}
		b.node(&g.nodes[i], value, within, depth)
	}
	outputs := make([]int, len(g.outputs))
	for i, name := range g.outputs {
		outputs[i] = value(name)
	}
	return outputs
}

func (b *pt2Writer) node(n *pt2Node, value func(string) int, within *place, depth int) {
	name, known := n.operator()
	s := step{op: n.target, name: n.name, does: pt2Actions[name], within: within}
	if !known {
		s.does = isOpaque
	}
	for _, a := range n.arguments {
		for _, v := range a.names {
			s.inputs = append(s.inputs, value(v))
		}
		if len(a.names) == 0 && (s.is(doesNormalize) || s.is(doesReduce)) {
			s.inputs = append(s.inputs, noDatum)
		}
	}
	for i := range n.arguments {
		if inner := n.arguments[i].graph; inner != nil {
			b.nested(n, &s, inner, within, depth)
		}
	}
	for _, v := range n.outputs {
		s.outputs = append(s.outputs, value(v))
	}
	if s.is(doesDraw) && s.is(doesCompare) {
		drawn := b.value(flowValue{name: n.name, origin: undefined, rank: -1})
		b.flow.step(step{op: s.op, name: s.name, does: doesDraw, inputs: s.inputs, outputs: []int{drawn}, within: within})
		s.does, s.inputs = doesCompare|doesShapeMask, []int{drawn}
	}
	b.reduction(n, &s)
	b.normalizes(n, &s)
	b.flow.step(s)
	b.drops(n, &s)
}

// nested writes out a graph that a node runs, as both branches of a condition.
func (b *pt2Writer) nested(n *pt2Node, s *step, inner *pt2Graph, within *place, depth int) {
	choice := noDatum
	if strings.HasSuffix(n.target, ".cond") && len(s.inputs) > 0 {
		choice = s.inputs[0]
	}
	p := &place{outer: within, text: shown(n.target) + " " + quote(n.name), choice: choice}
	s.inputs = append(s.inputs, b.graph(inner, nil, slices.Clone(s.inputs), p, depth+1)...)
}

// reduction gives a step that reduces its axes, as a constant.
func (b *pt2Writer) reduction(n *pt2Node, s *step) {
	if !s.is(doesReduce) || len(s.inputs) == 0 {
		return
	}
	dims := n.argument("dim", "dims")
	keep := n.argument("keepdim")
	s.keepsDims = keep != nil && keep.on
	s.allAxes = dims == nil || dims.kind == "as_none" || dims.kind == "as_ints" && len(dims.ints) == 0
	axes := flowValue{origin: constant, rank: 1}
	if dims != nil {
		axes.ints = dims.ints
	}
	s.inputs = []int{s.inputs[0], b.value(axes)}
}

// normalizes tells by which statistics a batch normalization goes.
func (b *pt2Writer) normalizes(n *pt2Node, s *step) {
	if !s.is(doesNormalize) {
		return
	}
	name, _ := n.operator()
	training := n.argument("training", "train")
	mean := n.argument("running_mean")
	switch {
	case strings.HasSuffix(name, "_no_training") || strings.HasSuffix(name, "_no_update"):
		s.why = "the operator takes stored statistics"
	case name == "_batch_norm_with_update":
		s.trains, s.why = true, "the operator takes the batch's statistics"
	case mean == nil || mean.kind == "as_none":
		s.trains, s.why = true, "it is given no stored statistics"
	case training == nil || training.kind != "as_bool":
		s.does = isOpaque
	default:
		s.trains, s.why = training.on, fmt.Sprintf("training is %v", training.on)
	}
	if len(s.inputs) < 5 {
		s.inputs = append(s.inputs, make([]int, 5)...)
	}
}

// drops judges a node that is dropout, or that has it within.
func (b *pt2Writer) drops(n *pt2Node, s *step) {
	name, _ := n.operator()
	var chance, mode *pt2Argument
	why := "train is true"
	switch {
	case dropoutCalls[name]:
		chance, mode = n.argument("p"), n.argument("train")
	case recurrentCalls[name]:
		chance, mode = n.argument("dropout"), n.argument("train")
	case strings.Contains(name, "scaled_dot_product") && !strings.HasSuffix(name, "_backward"):
		if chance = n.argument("dropout_p"); chance == nil {
			return
		}
		mode, why = &pt2Argument{kind: "as_bool", on: true}, fmt.Sprintf("dropout_p is %v", chance.number)
	default:
		return
	}
	e := newInspector(b.ledger, b.flow)
	switch {
	case chance != nil && (chance.kind == "as_float" || chance.kind == "as_int") && chance.number == 0:
	case mode == nil && name == "native_dropout", mode != nil && mode.kind == "as_none":
		e.hit(Dropout, Unknown, None, "unknown: %s is given no mode", e.describe(s))
	case mode == nil || mode.kind != "as_bool":
		e.hit(Dropout, Unknown, None, "unknown: the mode of %s is computed", e.describe(s))
		e.find(FlowSwitch, "", e.describe(s))
	case !mode.on:
		e.hit(Dropout, Present, Inference, "%s: train is false", e.describe(s))
	case within(s):
		e.hit(Dropout, Unknown, None, "unknown: %s: %s, in a branch", e.describe(s), why)
		e.find(FlowSwitch, "", e.describe(s))
	default:
		e.acts(Dropout, FlowDropoutActive, s, why)
	}
}

// within tells whether the step lies in a branch of a condition.
func within(s *step) bool {
	for p := s.within; p != nil; p = p.outer {
		if p.choice != noDatum {
			return true
		}
	}
	return false
}
