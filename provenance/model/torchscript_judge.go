package model

import (
	"slices"
	"strconv"
	"strings"
)

// The functions of torch, in C++ and in Python, that are an operation. Dropout
// takes (input, p, train), batch normalization the switch as its sixth
// argument, aten/src/ATen/native/native_functions.yaml.
var (
	dropoutCalls = words(`dropout dropout_ feature_dropout feature_dropout_ alpha_dropout alpha_dropout_ feature_alpha_dropout
feature_alpha_dropout_ native_dropout dropout1d dropout2d dropout3d`)
	batchNormCalls  = words(`batch_norm native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional`)
	recurrentCalls  = words(`lstm gru rnn_tanh rnn_relu`)
	randomCalls     = words(`rand rand_like randn randn_like randint randint_like randperm bernoulli bernoulli_ normal normal_ uniform uniform_ multinomial exponential_ geometric_ cauchy_ log_normal_ poisson random_ binomial rrelu rrelu_`)
	statisticsCalls = words(`var var_mean std std_mean`)
)

// scriptOperators are namespaces of operators that are known: what is in none
// of them was registered by a program.
var scriptOperators = words(`prim aten quantized torchvision prepacked mkldnn mkldnn_prepacked xnnpack sparse inductor`)

// function looks at all that a function calls.
func (s *script) function(f *scriptFunction) {
	rooted := slices.ContainsFunc(f.calls, func(c scriptCall) bool { return c.callee == "torch.sqrt" || c.callee == "torch.rsqrt" })
	for _, op := range []Operation{Dropout, BatchNormalization} {
		if f.cut {
			s.hit(op, Unknown, None, "unknown: function %s has more or deeper calls than are looked at", shown(f.name))
		}
	}
	for i := range f.calls {
		c := &f.calls[i]
		s.calls++
		if strings.HasPrefix(c.callee, "torch.") || strings.HasPrefix(c.callee, "ops.") {
			s.Operators[shown(c.callee)]++
		}
		s.custom(f, c)
		if !c.mayBe() {
			continue
		}
		switch name := lastName(c.callee); {
		case dropoutCalls[name]:
			s.switched(f, c, Dropout, c.argument(1), c.argument(2))
		case batchNormCalls[name]:
			s.switched(f, c, BatchNormalization, "", c.argument(5))
		case recurrentCalls[name]:
			// After the weights: has_biases, num_layers, dropout, train.
			at := slices.IndexFunc(c.arguments, isLiteral)
			s.switched(f, c, Dropout, c.argument(at+2), c.argument(at+3))
		case name == "scaled_dot_product_attention":
			s.attention(f, c)
		case randomCalls[name] && strings.HasPrefix(c.callee, "torch."):
			s.hit(Dropout, Unknown, None, "unknown: what the random numbers of %s are for", c.describe(f))
			s.find(FlowRandom, "", c.describe(f))
		case (statisticsCalls[name] || name == "mean" && rooted) && containsZero(c.argument(1)):
			s.hit(BatchNormalization, Unknown, None, "unknown: %s takes statistics along axis 0, the batch", c.describe(f))
		}
	}
}

// custom notes an operator that is not torch's.
func (s *script) custom(f *scriptFunction, c *scriptCall) {
	rest, ok := strings.CutPrefix(c.callee, "ops.")
	if space, _, _ := strings.Cut(rest, "."); !ok || scriptOperators[space] {
		return
	}
	s.find(FlowUnknownOperator, "", c.describe(f))
	for _, op := range []Operation{Dropout, BatchNormalization} {
		s.hit(op, Unknown, None, "unknown: what %s does, which a program registered", c.describe(f))
	}
}

// attention judges a call whose probability alone says whether it drops.
func (s *script) attention(f *scriptFunction, c *scriptCall) {
	switch p, err := strconv.ParseFloat(c.argument(4), 64); {
	case err != nil && c.argument(4) != "":
		s.hit(Dropout, Unknown, None, "unknown: the dropout_p of %s is computed", c.describe(f))
	case err == nil && p != 0:
		s.acts(Dropout, c.describe(f)+": dropout_p is "+c.argument(4))
	}
}

func (s *script) acts(op Operation, why string) {
	s.hit(op, Present, Training, "%s", why)
	if op == Dropout {
		s.find(FlowDropoutActive, "", clip(why))
	} else {
		s.find(FlowBatchNormActive, "", clip(why))
	}
}

// switched judges a call that takes its mode as an argument: a literal in what
// was traced, self.training in what was compiled.
func (s *script) switched(f *scriptFunction, c *scriptCall, op Operation, chance, mode string) {
	if p, err := strconv.ParseFloat(chance, 64); err == nil && p == 0 {
		return
	}
	driven := f.modes[mode] || len(f.modes) > 0 && f.literals[mode]
	switch {
	case mode == "True":
		s.acts(op, c.describe(f)+": its argument for training is True")
	case mode == "False":
		s.hit(op, Present, Inference, "%s: its argument for training is False", c.describe(f))
	case f.isFunctional():
		// Judged where that function is called.
	case driven:
		s.driven(f, c, op)
	default:
		s.hit(op, Unknown, None, "unknown: the argument for training of %s is %s", c.describe(f), quote(mode))
		s.find(FlowSwitch, "", c.describe(f))
	}
}

// driven judges a call by the attribute training of each object of its class.
func (s *script) driven(f *scriptFunction, c *scriptCall, op Operation) {
	objects := s.objects[f.class]
	if len(objects) == 0 {
		s.hit(op, Unknown, None, "unknown: no object of class %s, on which %s depends, is stored", shown(f.class), c.describe(f))
	}
	for _, o := range objects {
		switch {
		case o.training == nil || o.training.kind != aBool:
			s.hit(op, Unknown, None, "unknown: layer %s, %s: it does not say in which mode it is", o.path, c.describe(f))
		case o.training.number != 0:
			s.acts(op, "layer "+o.path+", "+c.describe(f)+": training is true")
		default:
			s.hit(op, Present, Inference, "layer %s, %s: training is false", o.path, c.describe(f))
		}
	}
}

// verdicts adds what holds of the whole file.
func (s *script) verdicts() {
	for _, op := range []Operation{Dropout, BatchNormalization} {
		if s.tooDeep {
			s.hit(op, Unknown, None, "unknown: objects are within each other more than %d deep", maxObjectDepth)
		}
	}
	s.hit(Dropout, Absent, None, "calls looked at: %d; none is of dropout, draws random numbers or passes a probability to drop", s.calls)
	s.hit(BatchNormalization, Absent, None, "calls looked at: %d; none normalizes a batch or takes statistics of one", s.calls)
	for _, op := range stateOperations {
		s.hit(op, Absent, NotRepresentable, "TorchScript holds code and attributes of a module: an optimizer is no part of one")
	}
}
