package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/convrun/convrun/provenance/finding"
)

// The identifiers of findings. They are part of the log's format: greppable,
// never reused. Their meaning and weight stand in finding.Kinds.
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
	KerasCustomClass       = "CR-KERAS-CUSTOM-CLASS"
	QuantizedBlocks        = "CR-GGUF-QUANTIZED"
)

// find adds the finding id; message may be empty when the table's own will do.
// What holds in many places is one finding, whose evidence is the first of them;
// the verdicts list more. Only parts are told one by one, up to MaxEvidence of
// them.
func (m *Model) find(id, message, evidence string) {
	if n := m.found(id); n == MaxEvidence || n > 0 && id != PartProblem {
		return
	}
	m.Findings = append(m.Findings, newFinding(id, message, evidence))
}

func newFinding(id, message, evidence string) Finding {
	kind := finding.Must(id)
	if message == "" {
		message = kind.Means
	}
	return Finding{ID: id, Severity: kind.Severity, Message: message, Evidence: clip(evidence)}
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

// severities in the order in which findings are told.
var severities = []string{finding.Error, finding.Warning, finding.Note}

// sortFindings puts the graver findings first, equal ones by ID.
func (m *Model) sortFindings() {
	slices.SortStableFunc(m.Findings, func(a, b Finding) int {
		return cmp.Or(slices.Index(severities, a.Severity)-slices.Index(severities, b.Severity), strings.Compare(a.ID, b.ID))
	})
}
