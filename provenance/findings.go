package provenance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/convrun/convrun/provenance/finding"
	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// findingList grows by what is found.
type findingList []Finding

// add appends f, whose severity, and message if it has none, are the table's.
func (l *findingList) add(f Finding) {
	kind := finding.Must(f.ID)
	f.Severity = kind.Severity
	if f.Message == "" {
		f.Message = kind.Means
	}
	*l = append(*l, f)
}

func (l *findingList) ofModel(f model.Finding, name string) {
	l.add(Finding{ID: f.ID, Subject: name, Message: f.Message, Evidence: f.Evidence})
}

// findings are what a reader should know: of the models, of the run, of what
// was asked against what came out, sorted by ID.
func (b *builder) findings(log *ConversionLog) []Finding {
	found := findingList{}
	for i, artifact := range b.frozen {
		for _, f := range artifact.Model.Findings {
			found.ofModel(f, log.FrozenModels[i].Name)
		}
		for _, target := range b.meta.Targets {
			for _, f := range target.Fit(artifact.Model) {
				found.ofModel(f, log.FrozenModels[i].Name)
			}
		}
	}
	for _, artifact := range b.frozen {
		if f := artifact.Folding; f != nil && !f.Proven() {
			found.add(Finding{
				ID: "CR-BN-UNACCOUNTED", Subject: b.name(artifact.Files[0]),
				Message:  fmt.Sprintf("%d of %d batch normalizations of the trained model are neither kept nor folded with its numbers", len(f.Missing), f.Layers),
				Evidence: fmt.Sprintf("%s, %s", b.name(artifact.FoldedFrom), f),
			})
		}
	}
	b.ofRun(&found, log)
	b.ofFiles(&found, log)
	b.askedAndGot(&found, log)
	b.ofPython(&found)
	waive(&found, b.meta.Waivers)
	slices.SortStableFunc(found, byFindingID)
	return found
}

// ofRun adds what is to be said of the run as a whole.
func (b *builder) ofRun(found *findingList, log *ConversionLog) {
	switch {
	case b.o.Signal != "":
		found.add(Finding{ID: "CR-RUN-FAILED", Message: "the command was ended by " + b.o.Signal})
	case b.o.ExitCode != 0:
		found.add(Finding{ID: "CR-RUN-FAILED", Message: fmt.Sprintf("the command ended with exit code %d", b.o.ExitCode)})
	}
	if len(b.frozen) == 0 {
		found.add(Finding{ID: "CR-NO-MODEL"})
	}
	if !log.Capture.Complete {
		found.add(Finding{ID: "CR-CAPTURE-INCOMPLETE", Evidence: strings.Join(log.Capture.Reasons, "; ")})
	}
}

// ofFiles adds what is to be said of single files and packages.
func (b *builder) ofFiles(found *findingList, log *ConversionLog) {
	for _, missing := range b.meta.Missing {
		name := b.name(missing)
		found.add(Finding{ID: "CR-OUTPUT-MISSING", Subject: name, Message: name + ": declared as an output, but the run left no such file"})
	}
	b.packageFindings(found)
	for _, file := range b.o.Files {
		if (file.Class == runner.Input || file.Class == runner.Code) && file.SHA256 != "" && file.Reason != "" {
			name := b.name(file.Path)
			found.add(Finding{ID: "CR-INPUT-CHANGED", Subject: name, Message: name + ": " + file.Reason})
		}
	}
}

// ofPython adds what Python processes showed, logged or died of.
func (b *builder) ofPython(found *findingList) {
	for _, warning := range b.o.Python.Warnings {
		if warning.Source == python.Uncaught {
			found.add(Finding{
				ID: "CR-PYTHON-EXCEPTION", Subject: warning.File, Message: fmt.Sprintf("Python ended with %s: %s", warning.Category, warning.Message),
				Evidence: fmt.Sprintf("%s, line %d", warning.File, warning.Line),
			})
			continue
		}
		found.add(Finding{ID: warningID(warning.Message), Subject: warning.Source, Message: warning.Message, Evidence: warning.Category})
	}
	for _, problem := range b.o.Python.Problems {
		found.add(Finding{ID: "CR-OBSERVER", Message: "the observer in the Python process reported: " + problem})
	}
}

// sourceTrains are the starts of what PyTorch's exporters warn with when the
// model that they are given is in training mode: torch.onnx with dynamo=True,
// and without it below opset 12.
var sourceTrains = []string{
	"Exporting a model while it is in training mode.",
	"You are exporting the model in training mode with onnx opset version",
}

// warningID is the finding that a warning is; most are for people to judge.
func warningID(message string) string {
	for _, start := range sourceTrains {
		if strings.HasPrefix(message, start) {
			return "CR-SOURCE-TRAINING"
		}
	}
	return "CR-CONVERTER-WARNING"
}
