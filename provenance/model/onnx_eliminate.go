package model

import (
	"fmt"
	"strings"
)

// examiner collects what one ONNX file says about the operations.
type examiner struct {
	*Model
	*program
	proto *proto
	wire  *wire
	hits  map[Operation][]hit
	err   error // of reading a constant
	// masks remembers what constants are; masksRead counts against maxMasks.
	masks     map[*tensor]maskVerdict
	masksRead int64
}

// eliminate fills in the verdicts and what was found on the way.
func eliminate(m *Model, p *proto, w *wire) error {
	e := &examiner{Model: m, proto: p, wire: w, hits: map[Operation][]hit{}, masks: map[*tensor]maskVerdict{}, program: p.write(nil)}
	if e.tooLarge == "" {
		e.graphOperations()
	}
	e.unjudged()
	e.latent()
	e.trainingState()
	for _, op := range Operations {
		m.Elimination = append(m.Elimination, judge(op, e.hits[op]))
	}
	m.sortFindings()
	return e.err
}

func (e *examiner) hit(op Operation, status Status, mode Mode, format string, arguments ...any) {
	e.hits[op] = append(e.hits[op], hit{status, mode, fmt.Sprintf(format, arguments...)})
}

// graphOperations looks for dropout and batch normalization in what the
// model's outputs depend on, and lists apart what they do not depend on.
func (e *examiner) graphOperations() {
	for i := range e.operations {
		op := &e.operations[i]
		if !op.live {
			e.dead(op)
			continue
		}
		e.dropout(op)
		e.batchNormalization(op)
		if op.is("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss") {
			e.find(LossInGraph, "", op.describe())
		}
	}
	e.foldedNames()
	n := len(e.operations)
	e.hit(Dropout, Absent, None, "nodes looked at: %d; none is a Dropout, draws a random mask or multiplies by a constant one", n)
	e.hit(BatchNormalization, Absent, None, "nodes looked at: %d; none is a BatchNormalization or computes statistics over a batch", n)
}

// dead records an operation that no output depends on.
func (e *examiner) dead(op *operation) {
	if about, ok := graphOperation(op.node); ok {
		e.hit(about, Present, Latent, "%s: no output of the model depends on it", op.describe())
	}
}

// graphOperation tells which operation a node is by its type alone.
func graphOperation(n *node) (Operation, bool) {
	ours := n.domain == "" || n.domain == "com.microsoft"
	switch {
	case ours && strings.Contains(n.op, "Dropout"):
		return Dropout, true
	case ours && strings.Contains(n.op, "BatchNorm"):
		return BatchNormalization, true
	}
	return "", false
}

// unjudged makes the graph's verdicts unknown where something could not be
// looked into: an absence is only claimed when everything was seen.
func (e *examiner) unjudged() {
	unknown := func(format string, arguments ...any) {
		for _, op := range []Operation{Dropout, BatchNormalization} {
			e.hit(op, Unknown, None, format, arguments...)
		}
	}
	if e.tooLarge != "" {
		e.find(GraphTooLarge, "", e.tooLarge)
		unknown("unknown: %s", e.tooLarge)
	}
	for i, op := range e.strange {
		if i == 0 {
			e.find(UnknownOperator, "", op.describe())
		}
		unknown("unknown: what %s does, which nothing defines", op.describe())
	}
	for _, part := range e.Parts {
		if part.Problem != "" {
			unknown("unknown: weights in %s: %s", quote(part.Name), part.Problem)
		}
	}
}

// latent records what is in the file but not in the model's graph: functions
// that nothing calls, and the graphs of training.
func (e *examiner) latent() {
	called := map[*function]bool{}
	for _, f := range e.proto.called(e.proto.graph.nodes) {
		called[f] = true
	}
	for _, f := range e.proto.functions {
		if called[f] {
			continue
		}
		name := shown((&node{domain: f.domain, op: f.name}).operator())
		e.find(UncalledFunction, "", name)
		e.latentIn(f.nodes, "function "+name+", which nothing calls")
	}
	for _, t := range e.proto.training {
		e.latentIn(t.initialization.nodes, "training_info.initialization")
		e.latentIn(t.algorithm.nodes, "training_info.algorithm")
	}
}

func (e *examiner) latentIn(nodes []*node, where string) {
	walk(nodes, func(n *node) {
		if about, ok := graphOperation(n); ok {
			e.hit(about, Present, Latent, "%s %s in %s", shown(n.operator()), quote(n.name), where)
		}
	}, ignoreGraph)
}
