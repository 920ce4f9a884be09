// Package model tells what is inside a model file: its format, its graph in
// figures, the files that belong to it, and what it says about operations that
// only training needs.
//
// It reads; it never executes, deserialises objects, follows a link out of the
// model's folder or trusts a length that a file states. Memory does not grow
// with the size of the weights: they are skipped by offset.
package model

// Model is what one model file, or one model directory, says about itself.
// Slices are never nil once Inspect has returned it, and everything is sorted
// or in the file's own order, so that two readings give equal values.
type Model struct {
	// Format is a row's name in Formats, for example "onnx".
	Format string `json:"format"`
	// FormatVersion is the format's own version, for example "IR 8", or
	// "unknown: …" with the reason.
	FormatVersion string `json:"formatVersion"`
	// Producer is the program that wrote the file, as the file claims, for
	// example "pytorch 2.15.0", or "unknown: …" with the reason.
	Producer string `json:"producer"`
	// Opsets maps an operator domain ("" is ai.onnx) to the imported version.
	Opsets map[string]int64 `json:"opsets"`
	// Inputs and Outputs are the entry point's, in the file's order.
	Inputs  []Value `json:"inputs"`
	Outputs []Value `json:"outputs"`
	// Operators counts nodes by type ("Conv", "com.microsoft.FusedConv"),
	// sub-graphs and called functions included. A node counts once, as it
	// stands in the file, however often its function is called.
	Operators map[string]int `json:"operators"`
	// Parameters is the number of scalars stored in all initializers of the
	// graph and its sub-graphs, external ones included; of a sparse one its
	// stored values count, and of a file of weights all its tensors but those
	// that an optimizer keeps. -1 is unknown.
	Parameters int64 `json:"parameters"`
	// DTypes splits Parameters by element type, in Value.DType's words, or in
	// the format's own for what NumPy lacks ("Q4_K"). It is empty when
	// Parameters is unknown, and for Keras's files, whose types are not read.
	DTypes map[string]int64 `json:"dtypes"`
	// Main is the model's main file, slash-separated and relative to the
	// model's folder: the directory of a directory format, else the folder that
	// the file lies in.
	Main string `json:"main"`
	// Parts are the other files that belong to the model, sorted by name.
	Parts []Part `json:"parts"`
	// Elimination has one verdict for each of Operations, in that order.
	Elimination []Verdict `json:"elimination"`
	// Findings is what a reader should know besides.
	Findings []Finding `json:"findings"`
}

// Value is one input or output of a model.
type Value struct {
	Name string `json:"name"`
	// DType is in NumPy's words ("float32", "str"; ml_dtypes' for what NumPy
	// lacks, "bfloat16"), in those words for what holds tensors
	// ("sequence(float32)"), or "unknown".
	DType string `json:"dtype"`
	// Shape has a number (as decimal digits) or a symbol for each dimension;
	// "?" is a dimension without either. Nil when the rank is not stated.
	Shape []string `json:"shape"`
}

// Part is a file, other than the model's main file, that holds some of it.
type Part struct {
	// Name is slash-separated and relative to the model's folder.
	Name string `json:"name"`
	// Size in bytes as found on disk; -1 when the file is missing or refused.
	Size int64 `json:"size"`
	// Problem is empty when the part is there and holds every byte that the
	// model refers to.
	Problem string `json:"problem,omitempty"`
}

// Operation is one of the training-specific operations of the template's row
// "Elimination of Training-Specific Operations".
type Operation string

// The operations; their names are part of the log's format.
const (
	Dropout                Operation = "dropout"
	BatchNormalization     Operation = "batch_normalization"
	GradientClipping       Operation = "gradient_clipping"
	LearningRateScheduling Operation = "learning_rate_scheduling"
	WeightRegularization   Operation = "weight_regularization"
)

// Operations lists every Operation in the template's order.
var Operations = []Operation{Dropout, BatchNormalization, GradientClipping, LearningRateScheduling, WeightRegularization}

// Status says whether an operation is in a model.
type Status string

// The statuses. Eliminated is never a verdict about one file alone: it needs a
// source that had the operation.
const (
	Present    Status = "present"
	Folded     Status = "folded"
	Eliminated Status = "eliminated"
	Absent     Status = "absent"
	Unknown    Status = "unknown"
)

// Mode refines a Status.
type Mode string

// The modes. None stands for "no refinement" and is null in JSON.
const (
	None             Mode = ""
	Training         Mode = "training"
	Inference        Mode = "inference"
	Latent           Mode = "latent"
	NotRepresentable Mode = "not-representable"
)

// MarshalJSON writes None as null.
func (m Mode) MarshalJSON() ([]byte, error) {
	if m == None {
		return []byte("null"), nil
	}
	return []byte(`"` + string(m) + `"`), nil
}

// Verdict is what one model says about one operation.
type Verdict struct {
	Operation Operation `json:"operation"`
	Status    Status    `json:"status"`
	Mode      Mode      `json:"mode"`
	// Evidence lets a person check the verdict: node names, attributes, counts.
	// At most MaxEvidence entries; a last one says how many more there were.
	Evidence []string `json:"evidence"`
}

// MaxEvidence bounds Verdict.Evidence.
const MaxEvidence = 12

// maxEvidenceLength bounds one entry of it, in bytes; names in a file can be
// as long as its maker likes.
const maxEvidenceLength = 240

// Finding is something a reader should know about a model.
type Finding struct {
	// ID is stable and greppable: one of the constants in findings.go.
	ID string `json:"id"`
	// Severity is "error", "warning" or "note".
	Severity string `json:"severity"`
	Message  string `json:"message"`
	// Evidence is where it was seen; empty when the message says all.
	Evidence string `json:"evidence,omitempty"`
}
