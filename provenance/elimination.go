package provenance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// eliminationRows compares what the source and the frozen models say about
// each operation. "Eliminated" needs both: a source that had the operation and
// a frozen model that has it no more.
func eliminationRows(frozen []Artifact, source map[model.Operation]EliminationSide) []Elimination {
	rows := make([]Elimination, 0, len(model.Operations))
	for _, operation := range model.Operations {
		side := frozenSide(frozen, operation)
		row := Elimination{Operation: operation, Status: side.Status, Mode: side.Mode, Source: source[operation], Frozen: side}
		if operation == model.BatchNormalization {
			row.Proof = foldingProof(frozen)
			if side.Status == model.Absent && folded(frozen) {
				row.Status, row.Mode = model.Folded, model.None
			}
		}
		if row.Status == model.Absent && row.Source.Status == model.Present {
			row.Status, row.Mode = model.Eliminated, model.None
		}
		row.Verdict = verdict(row.Status, row.Mode)
		rows = append(rows, row)
	}
	return rows
}

// foldingProof is what the numbers of the trained and the frozen models show of
// batch normalization.
func foldingProof(frozen []Artifact) string {
	var shown []string
	for _, artifact := range frozen {
		if f := artifact.Folding; f != nil {
			shown = append(shown, fmt.Sprintf("%s in %s: %s", filepath.Base(artifact.FoldedFrom), filepath.Base(artifact.Path), f))
		}
	}
	return strings.Join(shown, "; ")
}

// folded tells whether numbers show that batch normalization went into other
// weights, and none was lost.
func folded(frozen []Artifact) bool {
	return slices.ContainsFunc(frozen, func(a Artifact) bool {
		return a.Folding != nil && a.Folding.Proven() && a.Folding.Folded > 0
	})
}

// verdict is what a row means to the document: an operation that acts at run
// time fails, what could not be decided, or lies stored out of reach, is for a
// person to review.
func verdict(status model.Status, mode model.Mode) string {
	switch {
	case status == model.Present && mode == model.Training:
		return "fail"
	case status == model.Unknown, mode == model.Latent:
		return "review"
	}
	return "pass"
}

// severity orders verdicts of several frozen models: the worst one counts.
func severity(v model.Verdict) int {
	switch verdict(v.Status, v.Mode) {
	case "fail":
		return 3
	case "review":
		return 2
	}
	if v.Status == model.Present || v.Status == model.Folded {
		return 1
	}
	return 0
}

func frozenSide(frozen []Artifact, operation model.Operation) EliminationSide {
	if len(frozen) == 0 {
		return unknownSide("no frozen model was recognised among the outputs")
	}
	var worst model.Verdict
	evidence := []string{}
	for i, artifact := range frozen {
		at := slices.IndexFunc(artifact.Model.Elimination, func(v model.Verdict) bool { return v.Operation == operation })
		v := model.Verdict{Operation: operation, Status: model.Unknown, Evidence: []string{Unknown + "the model gave no verdict"}}
		if at >= 0 {
			v = artifact.Model.Elimination[at]
		}
		if i == 0 || severity(v) > severity(worst) {
			worst = v
		}
		for _, seen := range v.Evidence {
			if len(frozen) > 1 {
				seen = filepath.Base(artifact.Path) + ": " + seen
			}
			evidence = append(evidence, seen)
		}
	}
	return EliminationSide{Status: worst.Status, Mode: worst.Mode, Evidence: evidence}
}

func unknownSide(reason string) EliminationSide {
	return EliminationSide{Status: model.Unknown, Evidence: []string{Unknown + reason}}
}

// sourceVerdicts is what is known of the trained model: the census of the
// object that the converter was given, and the source files that were read.
func sourceVerdicts(o *runner.Observation, artifacts []Artifact) map[model.Operation]EliminationSide {
	verdicts := map[model.Operation]EliminationSide{}
	reason := "the trained model was not seen: no observed call was given it, and no file of it was read"
	if slices.ContainsFunc(o.Python.Calls, func(c python.Call) bool { return c.Model != nil }) {
		reason = "no file of the trained model was read, and a model object does not hold how it was trained"
	}
	for _, operation := range model.Operations {
		verdicts[operation] = unknownSide(reason)
	}
	learn := func(operation model.Operation, side EliminationSide) {
		old := verdicts[operation]
		switch {
		case old.Status == model.Unknown, old.Status != model.Present && side.Status == model.Present:
			verdicts[operation] = side
		case old.Status == model.Present && side.Status == model.Present:
			// Several models went in: the log speaks of all of them.
			old.Evidence = append(old.Evidence, side.Evidence...)
			if side.Mode == model.Training {
				old.Mode = model.Training
			}
			verdicts[operation] = old
		}
	}
	for _, call := range o.Python.Calls {
		if call.Model == nil || call.Saves { // what is saved was converted before
			continue
		}
		for operation, classes := range graphClasses {
			learn(operation, census(call.Function, call.Model, classes))
		}
	}
	for _, artifact := range artifacts {
		// What the run has overwritten no longer says what it was.
		if !slices.ContainsFunc(o.Files, func(f runner.File) bool { return f.Class == runner.Input && slices.Contains(artifact.Files, f.Path) }) {
			continue
		}
		for _, v := range artifact.Model.Elimination {
			// What a file cannot hold says nothing of how the model was trained.
			if v.Mode == model.NotRepresentable {
				v.Status, v.Mode = model.Unknown, model.None
			}
			learn(v.Operation, EliminationSide{Status: v.Status, Mode: v.Mode, Evidence: append([]string{}, v.Evidence...)})
		}
	}
	return verdicts
}

// graphClasses are the class names, without package, of modules and layers
// that perform an operation in a graph.
var graphClasses = map[model.Operation][]string{
	model.Dropout: {
		"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
		"Dropout2D", "Dropout3D", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "StochasticDepth", "DropPath",
	},
	model.BatchNormalization: {
		"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "SyncBatchNorm",
		"BatchNorm", "BatchNorm1D", "BatchNorm2D", "BatchNorm3D", "BatchNormalization", "SyncBatchNormalization", "BatchNormAct2d",
	},
}

// census judges an operation by the modules of the source model. A model
// without such a module may still call the operation as a function, so their
// absence decides nothing.
func census(function string, m *python.Model, classes []string) EliminationSide {
	side := EliminationSide{Status: model.Unknown, Evidence: []string{}}
	training := 0
	for _, module := range m.Modules {
		name := module.Class[strings.LastIndexByte(module.Class, '.')+1:]
		if _, scripted, ok := strings.Cut(name, "["); ok { // RecursiveScriptModule[Dropout]
			name = strings.TrimSuffix(scripted, "]")
		}
		if slices.Contains(classes, name) {
			training += module.Training
			side.Status = model.Present
			side.Evidence = append(side.Evidence, fmt.Sprintf("%d × %s in the model given to %s, %d of them in training mode", module.Count, module.Class, function, module.Training))
		}
	}
	switch {
	case side.Status == model.Unknown:
		return unknownSide(fmt.Sprintf("%s given to %s has no such module, but may call the operation as a function", m.Class, function))
	case training > 0:
		side.Mode = model.Training
	default:
		side.Mode = model.Inference
	}
	return side
}
