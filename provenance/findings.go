package provenance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/convrun/convrun/provenance/finding"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// findings are what a reader should know: of the models, of the run, of what
// was asked against what came out.
func (b *builder) findings(log *ConversionLog) []Finding {
	findings := []Finding{}
	add := func(id, message, evidence string) {
		kind := finding.Must(id)
		if message == "" {
			message = kind.Means
		}
		findings = append(findings, Finding{ID: id, Severity: kind.Severity, Message: message, Evidence: evidence})
	}
	for _, artifact := range b.frozen {
		for _, f := range artifact.Model.Findings {
			add(f.ID, f.Message, f.Evidence)
		}
	}
	switch {
	case b.o.Signal != "":
		add("CR-RUN-FAILED", "the command was ended by "+b.o.Signal, "")
	case b.o.ExitCode != 0:
		add("CR-RUN-FAILED", fmt.Sprintf("the command ended with exit code %d", b.o.ExitCode), "")
	}
	if len(b.frozen) == 0 {
		add("CR-NO-MODEL", "", "")
	}
	for _, missing := range b.meta.Missing {
		add("CR-OUTPUT-MISSING", b.name(missing)+": declared as an output, but the run left no such file", "")
	}
	if !log.Capture.Complete {
		add("CR-CAPTURE-INCOMPLETE", "", strings.Join(log.Capture.Reasons, "; "))
	}
	for _, p := range log.Packages {
		if strings.HasPrefix(p.Integrity, "modified") {
			add("CR-PACKAGE-MODIFIED", fmt.Sprintf("%s %s is not as it was installed", p.Name, p.Version), p.Integrity)
		}
	}
	for _, file := range b.o.Files {
		if (file.Class == runner.Input || file.Class == runner.Code) && file.SHA256 != "" && file.Reason != "" {
			add("CR-INPUT-CHANGED", b.name(file.Path)+": "+file.Reason, "")
		}
	}
	for i, model := range log.FrozenModels {
		for _, call := range b.o.Python.Calls {
			if b.made(call, b.frozen[i]) {
				b.opset(add, model, call)
			}
		}
	}
	for _, warning := range b.o.Python.Warnings {
		if warning.Source == python.Uncaught {
			add("CR-PYTHON-EXCEPTION", fmt.Sprintf("Python ended with %s: %s", warning.Category, warning.Message), fmt.Sprintf("%s, line %d", warning.File, warning.Line))
			continue
		}
		add("CR-CONVERTER-WARNING", warning.Message, warning.Category)
	}
	for _, problem := range b.o.Python.Problems {
		add("CR-OBSERVER", "the observer in the Python process reported: "+problem, "")
	}
	slices.SortStableFunc(findings, func(x, y Finding) int { return strings.Compare(x.ID, y.ID) })
	return findings
}

// made tells whether a call made a frozen model: it was to write it, or it is
// the only conversion and that the only model.
func (b *builder) made(call python.Call, frozen Artifact) bool {
	if call.Saves || call.Outcome != "returned" {
		return false
	}
	conversions := 0
	for _, other := range b.o.Python.Calls {
		if !other.Saves {
			conversions++
		}
	}
	wrote := slices.ContainsFunc(b.o.Files, func(f runner.File) bool {
		return f.Path == frozen.Path && (slices.Contains(call.Writes, f.Path) || slices.Contains(call.Writes, f.RenamedFrom))
	})
	return wrote || len(call.Writes) == 0 && conversions == 1 && len(b.frozen) == 1
}

// opset compares the opset that a call asked for with the one that came out.
func (b *builder) opset(add func(id, message, evidence string), frozen FrozenModel, call python.Call) {
	got, ok := frozen.Opsets[""]
	if !ok || !slices.Contains(call.Given, "opset_version") && !slices.Contains(call.Given, "opset") {
		return
	}
	for _, name := range []string{"opset_version", "opset"} {
		if asked, ok := call.Arguments[name].(json.Number); ok && asked.String() != strconv.FormatInt(got, 10) {
			add("CR-OPSET", fmt.Sprintf("opset %s was asked for, the model has opset %d", asked, got), frozen.Name+", "+call.Function)
		}
	}
}
