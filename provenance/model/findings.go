package model

import "slices"

// The identifiers of findings. They are part of the log's format: greppable,
// never reused. Their meaning and weight stand in the table below.
const (
	ModelUnreadable        = "CR-MODEL-UNREADABLE"
	PartProblem            = "CR-MODEL-PART"
	LinkedPart             = "CR-MODEL-PART-LINKED"
	TensorLayout           = "CR-MODEL-LAYOUT"
	OptimizerStored        = "CR-MODEL-OPTIMIZER-STATE"
	PickleCall             = "CR-PICKLE-CALL"
	PickleClass            = "CR-PICKLE-CLASS"
	DropoutActive          = "CR-ONNX-DROPOUT-TRAINING"
	DropoutLeft            = "CR-ONNX-DROPOUT-LEFT"
	DropoutSwitch          = "CR-ONNX-DROPOUT-SWITCH"
	BatchNormActive        = "CR-ONNX-BN-TRAINING"
	BatchNormSource        = "CR-ONNX-BN-TRAINING-SOURCE"
	BatchNormInputs        = "CR-ONNX-BN-STATISTICS-INPUT"
	TrainingState          = "CR-ONNX-TRAINING-STATE"
	LossInGraph            = "CR-ONNX-LOSS"
	RandomOperator         = "CR-ONNX-RANDOM"
	ConstantMask           = "CR-ONNX-CONSTANT-MASK"
	ConstantMaskUnread     = "CR-ONNX-CONSTANT-MASK-UNREAD"
	UnknownOperator        = "CR-ONNX-UNKNOWN-OPERATOR"
	UncalledFunction       = "CR-ONNX-FUNCTION-UNCALLED"
	OverridableInitializer = "CR-ONNX-INITIALIZER-OVERRIDABLE"
	GraphTooLarge          = "CR-ONNX-GRAPH-TOO-LARGE"
	FlowDropoutActive      = "CR-GRAPH-DROPOUT-TRAINING"
	FlowBatchNormActive    = "CR-GRAPH-BN-TRAINING"
	FlowSwitch             = "CR-GRAPH-SWITCH"
	FlowTraining           = "CR-GRAPH-TRAINING"
	FlowRandom             = "CR-GRAPH-RANDOM"
	FlowConstantMask       = "CR-GRAPH-CONSTANT-MASK"
	FlowConstantMaskUnread = "CR-GRAPH-CONSTANT-MASK-UNREAD"
	FlowUnknownOperator    = "CR-GRAPH-UNKNOWN-OPERATOR"
	FlowTooLarge           = "CR-GRAPH-TOO-LARGE"
	TrainingCheckpoint     = "CR-MODEL-CHECKPOINT"
	UpdatableModel         = "CR-MODEL-UPDATABLE"
	QuantizedModel         = "CR-MODEL-QUANTIZED"
	QuantizedTensors       = "CR-TFLITE-QUANTIZED"
	StoredOptimizer        = "CR-MODEL-OPTIMIZER-STATE"
	KerasCustomClass       = "CR-KERAS-CUSTOM-CLASS"
	QuantizedBlocks        = "CR-GGUF-QUANTIZED"
)

// The severities of findings.
const (
	severityError   = "error"
	severityWarning = "warning"
	severityNote    = "note"
)

// findingKinds is the one table of findings.
var findingKinds = []struct {
	id, severity string
	message      string // empty when the place that raises it says what is wrong
}{
	{ModelUnreadable, severityError, "the file was recognised as a model and cannot be read"},
	{PartProblem, severityError, ""},
	{LinkedPart, severityWarning, "a part of the model has another name on this machine (a hard link): whoever writes under that name changes the model"},
	{TensorLayout, severityError, "where tensors lie in the file does not fit their types and shapes, or each other"},
	{PickleCall, severityError, "whoever loads the file runs what it names, and what it names can do anything to the machine"},
	{PickleClass, severityWarning, "the file names classes that are neither plain data nor PyTorch's layers: loading it runs their code, and what they compute is not in the file"},
	{OptimizerStored, severityError, "the file holds an optimizer's state, which only training needs"},
	{DropoutActive, severityError, "dropout acts in this file; ONNX Runtime's default optimizer may hide that by removing a Dropout node, other runtimes and settings do not"},
	{DropoutLeft, severityNote, "a Dropout node without a mode is left in the graph, as exports in training mode leave it; runtimes pass values through it unchanged"},
	{DropoutSwitch, severityWarning, "whether dropout acts is decided when the model runs"},
	{BatchNormActive, severityError, "batch normalization uses the statistics of each batch, so that one sample's result depends on the others"},
	{BatchNormSource, severityWarning, "the exporter was given batch normalization in training mode and wrote it in inference form: the file does not do what the source did"},
	{BatchNormInputs, severityNote, "the statistics of batch normalization are inputs of the model"},
	{TrainingState, severityError, "the file holds what only training needs"},
	{LossInGraph, severityWarning, "the graph computes a loss, which inference does not need"},
	{RandomOperator, severityWarning, "the graph draws random numbers, and it could not be told what for"},
	{ConstantMask, severityWarning, "an activation is multiplied by a constant that has only zeros and one other value, as dropout leaves it behind when its mask was folded into a constant"},
	{ConstantMaskUnread, severityNote, "an activation is multiplied by a constant that was not read, so it could not be told whether that is a folded dropout mask"},
	{UnknownOperator, severityWarning, "what an operator does is not known: it is neither of ONNX nor defined in the file"},
	{UncalledFunction, severityNote, "the file defines a function that nothing calls"},
	{OverridableInitializer, severityNote, "initializers are also listed as inputs, so that whoever runs the model can replace them"},
	{GraphTooLarge, severityWarning, "the graph was not judged: it has, or its functions written out have, more nodes than are looked at"},
	{FlowDropoutActive, severityError, "dropout acts in this file"},
	{FlowBatchNormActive, severityError, "batch normalization uses the statistics of each batch or changes them, so that one sample's result depends on the others"},
	{FlowSwitch, severityWarning, "whether a training-specific operation acts is decided when the model runs"},
	{FlowTraining, severityError, "the graph computes gradients or changes weights, which only training needs"},
	{FlowRandom, severityWarning, "the graph draws random numbers, and it could not be told what for"},
	{FlowConstantMask, severityWarning, "an activation is multiplied by a constant that has only zeros and one other value, as dropout leaves it behind when its mask was folded into a constant"},
	{FlowConstantMaskUnread, severityNote, "an activation is multiplied by a constant that was not read, so it could not be told whether that is a folded dropout mask"},
	{FlowUnknownOperator, severityWarning, "what an operator does is not known, neither by the format nor from the file"},
	{FlowTooLarge, severityWarning, "the graph was not judged: with what it calls written out, it has more nodes than are looked at"},
	{TrainingCheckpoint, severityError, "the file is what training goes on from, which inference does not need"},
	{UpdatableModel, severityError, "the model is made to be trained further: it holds a loss, an optimizer's settings or weights that may change"},
	{QuantizedModel, severityNote, ""},
	{QuantizedTensors, severityNote, ""},
	{StoredOptimizer, severityNote, "the state of an optimizer is stored, which inference does not need"},
	{KerasCustomClass, severityWarning, "a class of the model is none of Keras's own, and what it does is not in the file"},
	{QuantizedBlocks, severityNote, ""},
}

// find adds the finding id; message may be empty when the table has one. What
// holds in many places is one finding, whose evidence is the first of them; the
// verdicts list more. Only parts are told one by one, up to MaxEvidence of them.
func (m *Model) find(id, message, evidence string) {
	for _, kind := range findingKinds {
		if kind.id != id {
			continue
		}
		if n := m.found(id); n == MaxEvidence || n > 0 && id != PartProblem {
			return
		}
		if message == "" {
			message = kind.message
		}
		m.Findings = append(m.Findings, Finding{ID: id, Severity: kind.severity, Message: message, Evidence: clip(evidence)})
		return
	}
	panic("model: finding without a row in findingKinds: " + id)
}

// found counts the findings of this kind.
func (m *Model) found(id string) (n int) {
	for _, f := range m.Findings {
		if f.ID == id {
			n++
		}
	}
	return n
}

// sortFindings puts findings into the table's order.
func (m *Model) sortFindings() {
	row := func(f Finding) int {
		for i, kind := range findingKinds {
			if kind.id == f.ID {
				return i
			}
		}
		return len(findingKinds)
	}
	slices.SortStableFunc(m.Findings, func(a, b Finding) int { return row(a) - row(b) })
}
