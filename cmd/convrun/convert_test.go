package main

import (
	"encoding/json"
	"html"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

// Each test runs a real converter under convrun and compares the log with what
// is known otherwise: digests that the test makes itself, the same call made in
// an unobserved process, what the ONNX package reads in the file.

var torchScripts = []string{"convert_torch.py", "convert_torch_net.py", "convert_torch_save.py", "convert_modules.py"}

// torchCode are the files of the user's own that convert_torch.py consists of.
func torchCode() map[string]input {
	return code("convert_torch.py", "convert_torch_net.py", "convert_modules.py")
}

// noTrainingState adds the rows of the operations that a plain ONNX file cannot
// hold, and of which the trained model says source: a state_dict tells nothing.
func noTrainingState(source model.Status, rows map[model.Operation]row) map[model.Operation]row {
	for _, operation := range []model.Operation{model.GradientClipping, model.LearningRateScheduling, model.WeightRegularization} {
		rows[operation] = row{"pass", model.Absent, model.NotRepresentable, source}
	}
	return rows
}

func TestLegacyTorchExportIsLoggedAsItReallyWas(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", torchScripts...)
	link, file := w.checkpoint()
	command := []string{"convert_torch.py", "legacy", link, "net.onnx", "modules.json"}
	alone, bytes := w.bare(command...)

	observed := w.convert(0, append([]string{"--model", "net@1.4", "--"}, command...)...)
	w.equal("standard output", observed.stdout, alone.stdout)
	w.sameErrors(observed, alone)
	w.equal("model that a bare run makes", w.sum("net.onnx"), bytes["net.onnx"])

	st := w.log("net.onnx")
	known := w.truth(question{calls: []string{"torch.onnx:export"}, models: []string{"net.onnx"}, modules: "modules.json"}, command...)
	inputs := torchCode()
	inputs[file] = input{path: file, role: "model", requestedAs: link}
	w.check(st, expected{
		file: "net.onnx", command: command, inputs: inputs,
		outputs:  map[string]string{"net.onnx": "model", "modules.json": "other"},
		subjects: []string{"net.onnx"}, framework: "torch", loaded: []string{"torch", "onnx", "numpy"}, converter: "torch.onnx.export",
	}, known)
	w.checkCalls(st, known)
	w.equal("number of frozen models", len(st.Predicate.FrozenModels), 1)
	w.checkModel(st.Predicate.FrozenModels[0], known.Models["net.onnx"])
	w.equal("opset that came out", st.Predicate.FrozenModels[0].Opsets[""], int64(17))
	w.checkElimination(st, noTrainingState(model.Unknown, map[model.Operation]row{
		model.Dropout:            {"pass", model.Eliminated, model.None, model.Present},
		model.BatchNormalization: {"pass", model.Folded, model.None, model.Present},
	}))
	trained := st.Predicate.VerifiedLearningModel
	w.equal("learning model", []string{trained.ID, trained.Version, trained.Source}, []string{"net", "1.4", "flag"})
	if len(trained.Artifacts) != 1 || trained.Artifacts[0].Name != file || trained.Artifacts[0].Annotations.Format != "torch" {
		t.Errorf("artifacts of the learning model: %+v, wanted %s, a torch checkpoint", trained.Artifacts, file)
	}
	w.equal("setting for deterministic algorithms", st.Predicate.Environment.Numerics["torch.deterministic_algorithms"], "false")
	w.equal("finding about the exporter", hasFinding(st.Predicate.Findings, "CR-CONVERTER-WARNING"), true)
	w.verifies("net.onnx", "net.onnx")
	w.contains("show", w.convrun(0, "show", "net.onnx").stdout, "net@1.4", "dropout: pass (eliminated)", "batch normalization: pass (folded)", "with exit code 0")
	w.contains("report", unescapeMarkdown(w.convrun(0, "report", "--format", "md", "net.onnx").stdout), "opset_version", "17", "net_1.4", "Dropout", "eliminated", "Batch Normalization")
}

func TestDynamoExportBindsModelAndExternalData(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", torchScripts...)
	link, file := w.checkpoint()
	command := []string{"convert_torch.py", "dynamo", link, "net.onnx", "modules.json"}
	alone, bytes := w.bare(command...)

	observed := w.convert(0, command...)
	w.equal("standard output", observed.stdout, alone.stdout)
	w.sameErrors(observed, alone)
	w.equal("weights that a bare run makes", w.sum("net.onnx.data"), bytes["net.onnx.data"])
	w.equal("model that a bare run makes", w.sum("net.onnx"), bytes["net.onnx"])

	st := w.log("net.onnx")
	known := w.truth(question{calls: []string{"torch.onnx:export"}, models: []string{"net.onnx"}, modules: "modules.json"}, command...)
	inputs := torchCode()
	inputs[file] = input{path: file, role: "model", requestedAs: link}
	w.check(st, expected{
		file: "net.onnx", command: command, inputs: inputs,
		outputs:  map[string]string{"net.onnx": "model", "net.onnx.data": "external-data", "modules.json": "other"},
		subjects: []string{"net.onnx", "net.onnx.data"}, framework: "torch", loaded: []string{"torch", "onnx", "onnxscript", "onnx-ir", "numpy"}, converter: "torch.onnx.export",
	}, known)
	w.checkCalls(st, known)
	w.checkModel(st.Predicate.FrozenModels[0], known.Models["net.onnx"])
	w.checkElimination(st, noTrainingState(model.Unknown, map[model.Operation]row{
		model.Dropout:            {"pass", model.Eliminated, model.None, model.Present},
		model.BatchNormalization: {"pass", model.Folded, model.None, model.Present},
	}))
	w.verifies("net.onnx", "net.onnx", "net.onnx.data")

	// A release folder moves as a whole, and only as a whole.
	release := w.path("release")
	must(t, os.Mkdir(release, 0o755))
	for _, name := range []string{"net.onnx", "net.onnx.data", "net.onnx.convlog.json"} {
		data, err := os.ReadFile(filepath.Join(w.repo, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(release, name), data, 0o644))
	}
	w.convrun(0, "verify", filepath.Join(release, "net.onnx"))
	must(t, os.Remove(filepath.Join(release, "net.onnx.data")))
	w.contains("verify", w.convrun(1, "verify", filepath.Join(release, "net.onnx")).stderr, "net.onnx.data: expected this file, found none")
}

func TestSavedModelConvertedByCommandLineIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "tensorflow", "convert_keras.py", "convert_modules.py")
	w.must(w.python, "convert_keras.py", "saved_model", "-", "m", w.path("modules.json"))
	// Keras made it when it was first imported, and reads it ever since.
	settings := w.path("home", ".keras", "keras.json")
	command := []string{"-m", "tf2onnx.convert", "--saved-model", "m", "--output", "m.onnx", "--opset", "17"}
	alone, bytes := w.bare(command...)
	w.equal("status of a bare run", alone.status, 0)

	w.convert(0, command...)
	w.equal("model that a bare run makes", w.sum("m.onnx"), bytes["m.onnx"])

	st := w.log("m.onnx")
	known := w.truth(question{calls: []string{"tensorflow.python.framework.convert_to_constants:convert_variables_to_constants_v2", "tf2onnx.tfonnx:process_tf_graph", "tf2onnx.utils:save_protobuf"}, models: []string{"m.onnx"}}, command...)
	inputs := map[string]input{settings: {path: settings, role: "data"}}
	for name := range w.files("m") {
		inputs[name] = input{role: "model"}
	}
	w.check(st, expected{
		file: "m.onnx", command: command, inputs: inputs,
		outputs:  map[string]string{"m.onnx": "model"},
		subjects: []string{"m.onnx"}, framework: "tensorflow", loaded: []string{"tensorflow", "tf2onnx", "onnx", "numpy"}, converter: "tf2onnx.tfonnx.process_tf_graph",
	}, known)
	w.checkCalls(st, known)
	w.checkModel(st.Predicate.FrozenModels[0], known.Models["m.onnx"])
	w.equal("opset that came out", st.Predicate.FrozenModels[0].Opsets[""], int64(17))
	w.checkElimination(st, noTrainingState(model.Absent, map[model.Operation]row{
		model.Dropout:            {"pass", model.Absent, model.None, model.Absent},
		model.BatchNormalization: {"pass", model.Folded, model.None, model.Present},
	}))
	artifacts := st.Predicate.VerifiedLearningModel.Artifacts
	w.equal("number of files of the learning model", len(artifacts), len(inputs)-1)
	for _, artifact := range artifacts {
		w.equal("format of "+artifact.Name, artifact.Annotations.Format, "saved_model")
	}
	w.verifies("m.onnx", "m.onnx")
}

func TestKerasModelConvertedByPythonIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "tensorflow", "convert_keras.py", "convert_modules.py")
	w.must(w.python, "convert_keras.py", "keras", "-", w.path("hub", "net.keras"), w.path("modules.json"))
	source, settings := w.path("hub", "net.keras"), w.path("home", ".keras", "keras.json")
	command := []string{"convert_keras.py", "onnx", source, "net.onnx", "modules.json"}
	alone, bytes := w.bare(command...)
	w.equal("status of a bare run", alone.status, 0)

	w.convert(0, command...)
	w.equal("model that a bare run makes", w.sum("net.onnx"), bytes["net.onnx"])

	st := w.log("net.onnx")
	known := w.truth(question{calls: []string{"tf2onnx.convert:from_keras"}, models: []string{"net.onnx"}, modules: "modules.json"}, command...)
	inputs := code("convert_keras.py", "convert_modules.py")
	inputs[source] = input{path: source, role: "model"}
	inputs[settings] = input{path: settings, role: "data"}
	w.check(st, expected{
		file: "net.onnx", command: command, inputs: inputs,
		outputs:  map[string]string{"net.onnx": "model", "modules.json": "other"},
		subjects: []string{"net.onnx"}, framework: "tensorflow", loaded: []string{"tensorflow", "keras", "tf2onnx", "onnx", "numpy"}, converter: "tf2onnx.convert.from_keras",
	}, known)
	w.checkCalls(st, known)
	w.checkModel(st.Predicate.FrozenModels[0], known.Models["net.onnx"])
	w.checkElimination(st, noTrainingState(model.Absent, map[model.Operation]row{
		model.Dropout:            {"pass", model.Eliminated, model.None, model.Present},
		model.BatchNormalization: {"pass", model.Folded, model.None, model.Present},
	}))
	w.equal("float type of Keras", st.Predicate.Environment.Numerics["keras.floatx"], "float32")
	w.verifies("net.onnx", "net.onnx")
}

func TestFailedExportIsLoggedSignedAndRefused(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", torchScripts...)
	link, file := w.checkpoint()
	command := []string{"convert_torch.py", "unexportable", link, "net.onnx", "modules.json"}
	alone, _ := w.bare(command...)
	w.equal("exit code of a bare run", alone.status, 7)

	observed := w.convert(7, command...)
	w.equal("standard output", observed.stdout, alone.stdout)
	w.sameErrors(observed, alone)
	if _, err := os.Lstat(filepath.Join(w.repo, "net.onnx")); err == nil {
		t.Error("a failed export has left a model")
	}
	log := w.onlyLog()
	st := w.log(log)
	known := w.truth(question{calls: []string{"torch.onnx:export"}, modules: "modules.json"}, command...)
	inputs := torchCode()
	inputs[file] = input{path: file, role: "model", requestedAs: link}
	w.check(st, expected{
		file: log, exit: 7, command: command, inputs: inputs,
		outputs:  map[string]string{"modules.json": "other"},
		subjects: []string{"modules.json"}, framework: "torch", loaded: []string{"torch"}, converter: "torch.onnx.export",
	}, known)
	w.checkCalls(st, known)
	w.equal("outcome of the call", st.Predicate.Converter.Calls[0].Outcome, "raised: ValueError: layer 7 has no counterpart")
	w.equal("finding about the failure", hasFinding(st.Predicate.Findings, "CR-RUN-FAILED"), true)
	for _, found := range st.Predicate.Elimination {
		w.equal("verdict on "+string(found.Operation), found.Verdict, "review")
	}

	refused := w.convrun(1, "verify", log)
	w.contains("verify", refused.stdout, "NOT verified")
	w.contains("verify", refused.stderr, "exit code 7", "--allow-failed-run")
	w.contains("verify", w.convrun(0, "verify", "--allow-failed-run", log).stdout, ": verified", "the command failed (exit code 7)")
	w.contains("show", w.convrun(0, "show", log).stdout, "with exit code 7", "CR-RUN-FAILED")
	for _, format := range []string{"md", "html"} {
		w.contains("report", w.convrun(0, "report", "--format", format, log).stdout, "layer 7 has no counterpart", "exit code 7")
	}
}

func TestSavedModelFolderIsOneArtifact(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "tensorflow", "convert_keras.py", "convert_modules.py")
	command := []string{"convert_keras.py", "saved_model", "-", "m", "modules.json"}
	w.convert(0, command...)

	st := w.log("m")
	known := w.truth(question{modules: "modules.json"}, command...)
	parts := w.files("m")
	subjects := slices.Sorted(maps.Keys(parts))
	outputs := map[string]string{"modules.json": "other", w.compiled("convert_modules"): "cache"}
	outputs[w.path("home", ".keras", "keras.json")] = "other" // Keras makes it when it is first imported
	for _, name := range subjects {
		outputs[name] = "external-data"
	}
	outputs["m/saved_model.pb"] = "model"
	w.check(st, expected{
		file: "m", command: command, inputs: code("convert_keras.py", "convert_modules.py"),
		outputs: outputs, subjects: subjects, framework: "tensorflow", loaded: []string{"tensorflow", "keras", "numpy"},
		converter: "keras.Model.export",
	}, known)
	frozen := st.Predicate.FrozenModels
	w.equal("number of frozen models", len(frozen), 1)
	w.equal("format of the frozen model", frozen[0].Format, "saved_model")
	w.equal("main file of the frozen model, as in subject", frozen[0].Name, "m/saved_model.pb")
	w.equal("digest of the main file", frozen[0].Digest["sha256"], parts["m/saved_model.pb"])
	delete(parts, "m/saved_model.pb")
	listed := map[string]string{}
	for _, part := range frozen[0].Parts {
		listed[part.Name] = part.Digest["sha256"]
	}
	w.equal("parts of the frozen model", listed, parts)
	w.equal("calls", len(st.Predicate.Converter.Calls), 1)
	call := st.Predicate.Converter.Calls[0]
	w.equal("call", []any{call.Function, call.Given, call.Arguments["filepath"], call.Outcome}, []any{"keras.Model.export", []string{"self", "filepath", "verbose"}, "m", "returned"})
	// Keras exports for serving only; the layer's statistics stay apart.
	rows := map[model.Operation]row{
		model.Dropout:            {"pass", model.Eliminated, model.None, model.Present},
		model.BatchNormalization: {"pass", model.Present, model.Inference, model.Present},
	}
	for _, operation := range model.Operations[2:] {
		rows[operation] = row{"pass", model.Absent, model.None, model.Unknown}
	}
	w.checkElimination(st, rows)
	w.verifies("m", subjects...)

	extra := filepath.Join(w.repo, "m", "assets", "vocabulary.txt")
	must(t, os.WriteFile(extra, []byte("word\n"), 0o644))
	w.contains("verify", w.convrun(1, "verify", "m").stderr, "m/assets/vocabulary.txt")
	must(t, os.Remove(extra))
	w.convrun(0, "verify", "m")
}

func TestPythonWithoutTheConverterIsLoggedWithItsReason(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", torchScripts...)
	bare := w.path("bare")
	w.must(w.python, "-m", "venv", "--without-pip", bare)
	w.python = filepath.Join(bare, "bin", "python")
	observed := w.convert(1, "convert_torch.py", "legacy", "net.pt", "net.onnx", "modules.json")
	w.contains("standard error", observed.stderr, "ModuleNotFoundError: No module named 'torch'")
	log := w.onlyLog()
	st := w.log(log)
	p := &st.Predicate
	w.equal("exit code", p.Run.ExitCode, 1)
	w.equal("capture complete", p.Capture.Complete, true)
	w.equal("packages", len(p.Packages), 0)
	w.contains("framework", p.Framework.Name, "unknown: no known framework was loaded")
	var inputs []string
	for _, found := range p.Inputs {
		inputs = append(inputs, found.Name)
	}
	w.equal("inputs", inputs, []string{"convert_torch.py"})
	w.equal("subject is the run itself", st.Subject[0].Name, "urn:uuid:"+p.Run.InvocationID)
	w.convrun(1, "verify", log)
	w.convrun(0, "verify", "--allow-failed-run", log)
	w.contains("log", w.convrun(0, "show", "--json", log).stdout, "No module named 'torch'")
	w.contains("report", html.UnescapeString(w.convrun(0, "report", "--format", "html", log).stdout), "No module named 'torch'", "exit code 1")
}

func TestSecondRunThatWritesTheSameBytesHasAnOutput(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", torchScripts...)
	link, _ := w.checkpoint()
	command := []string{"convert_torch.py", "legacy", link, "net.onnx", "modules.json"}
	w.convert(0, command...)
	bytes, log := w.sum("net.onnx"), w.sum("net.onnx.convlog.json")
	first := w.log("net.onnx")
	if first.Predicate.Conversion.Supersedes != nil {
		t.Errorf("the first log supersedes %+v", first.Predicate.Conversion.Supersedes)
	}

	w.convert(0, command...)
	w.equal("bytes of the model", w.sum("net.onnx"), bytes)
	second := w.log("net.onnx")
	w.equal("subject", second.Subject[0].Digest["sha256"], bytes)
	var outputs []string
	for _, found := range second.Predicate.Outputs {
		outputs = append(outputs, found.Name)
	}
	w.equal("outputs", outputs, []string{"modules.json", "net.onnx"})
	for _, found := range second.Predicate.Inputs {
		if found.Name == "net.onnx" || found.Name == "modules.json" {
			t.Errorf("%s is an input of a run that only wrote it", found.Name)
		}
	}
	if old := second.Predicate.Conversion.Supersedes; old == nil || old.Digest["sha256"] != log {
		t.Errorf("supersedes %+v, wanted the log with the digest %s", old, log)
	}
	w.equal("packages of both runs", second.Predicate.Packages, first.Predicate.Packages)
	w.equal("models of both runs", second.Predicate.FrozenModels, first.Predicate.FrozenModels)
	w.equal("digest of the first log, kept", w.sum(w.path("home", "state", "convrun", "logs", first.Predicate.Run.InvocationID+logSuffix)), log)
	if second.Predicate.Capture.CachedDigests == 0 {
		t.Error("the second run hashed every package anew")
	}
	w.verifies("net.onnx", "net.onnx")
}

func TestTrainingModeExportGetsTheVerdictFail(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", torchScripts...)
	link, file := w.checkpoint()
	script := filepath.Join(w.repo, "convert_torch.py")
	text, err := os.ReadFile(script)
	must(t, err)
	must(t, os.WriteFile(script, append(text, "# not committed\n"...), 0o644))
	command := []string{"convert_torch.py", "training", link, "net.onnx", "modules.json"}
	must(t, os.RemoveAll(filepath.Join(w.repo, "__pycache__")))
	w.convert(0, command...)

	st := w.log("net.onnx")
	known := w.truth(question{calls: []string{"torch.onnx:export"}, models: []string{"net.onnx"}, modules: "modules.json"}, command...)
	inputs := torchCode()
	inputs[file] = input{path: file, role: "model", requestedAs: link}
	w.check(st, expected{
		file: "net.onnx", command: command, inputs: inputs,
		outputs: map[string]string{
			"net.onnx": "model", "modules.json": "other",
			w.compiled("convert_modules"): "cache", w.compiled("convert_torch_net"): "cache",
		},
		subjects: []string{"net.onnx"}, framework: "torch", loaded: []string{"torch"}, converter: "torch.onnx.export", dirty: true,
	}, known)
	w.checkCalls(st, known)
	w.checkModel(st.Predicate.FrozenModels[0], known.Models["net.onnx"])
	w.checkElimination(st, noTrainingState(model.Unknown, map[model.Operation]row{
		model.Dropout:            {"fail", model.Present, model.Training, model.Present},
		model.BatchNormalization: {"fail", model.Present, model.Training, model.Present},
	}))
	for _, operation := range st.Predicate.Elimination[:2] {
		w.equal("mode of the source of "+string(operation.Operation), operation.Source.Mode, model.Training)
	}
	w.equal("finding about dropout", hasFinding(st.Predicate.Findings, "CR-ONNX-DROPOUT-TRAINING"), true)
	w.equal("finding about batch normalization", hasFinding(st.Predicate.Findings, "CR-ONNX-BN-TRAINING"), true)
	// The log is true and says that the model is unfit: it is not for verify to refuse it.
	w.verifies("net.onnx", "net.onnx")
	w.contains("show", w.convrun(0, "show", "net.onnx").stdout, "dropout: fail (present, training)", "batch normalization: fail (present, training)")
}

func TestQuantizedExportIsNamedByItsLastStep(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "converters", "convert_quantize.py", "convert_torch_net.py", "convert_torch_save.py")
	link, file := w.checkpoint()
	command := []string{"convert_quantize.py", link, "net.onnx"}
	alone, bytes := w.bare(command...)

	observed := w.convert(0, command...)
	w.sameErrors(observed, alone)
	w.equal("model that a bare run makes", w.sum("net.onnx"), bytes["net.onnx"])

	st := w.log("net.onnx")
	known := w.truth(question{calls: []string{"torch.onnx:export", "onnxruntime.quantization:quantize_dynamic"}, models: []string{"net.onnx", "float.onnx"}}, command...)
	// onnxruntime reads and writes files of its own telemetry: not all inputs and
	// outputs are compared.
	want := expected{
		command: command, framework: "torch", loaded: []string{"torch", "onnx", "onnxruntime"}, converter: "onnxruntime.quantization.quantize_dynamic",
	}
	w.checkRun(st, want)
	w.checkPackages(st, want, known)
	names := []string{}
	for _, subject := range st.Subject {
		names = append(names, subject.Name)
	}
	w.equal("subjects", names, []string{"net.onnx", "float.onnx"})
	w.equal("trained model", st.Predicate.VerifiedLearningModel.Artifacts[0].Name, file)
	w.checkCalls(st, known)
	w.equal("conversion", strings.HasPrefix(st.Predicate.Conversion.ID, "net-"), true)
	for i, name := range []string{"net.onnx", "float.onnx"} {
		w.equal("name of a frozen model", st.Predicate.FrozenModels[i].Name, name)
		w.checkModel(st.Predicate.FrozenModels[i], known.Models[name])
	}
	w.equal("weights are quantized", st.Predicate.FrozenModels[0].Operators["DequantizeLinear"]+st.Predicate.FrozenModels[0].Operators["MatMulInteger"] > 0, true)
	if !slices.ContainsFunc(st.Predicate.Findings, func(f provenance.Finding) bool {
		return f.ID == "CR-CONVERTER-WARNING" && strings.HasPrefix(f.Message, "Please consider to run pre-processing")
	}) {
		t.Errorf("findings %+v, wanted what onnxruntime warned of", st.Predicate.Findings)
	}
	w.verifies("net.onnx", "net.onnx")
}

// verifies expects that verify accepts file with the subjects, and that it
// refuses it, naming the subject, when one of them is changed or missing.
func (w *workshop) verifies(file string, subjects ...string) {
	w.t.Helper()
	end := w.convrun(0, "verify", file)
	w.contains("verify", end.stdout, file+": verified", "matches")
	var result struct {
		Verified        bool
		Status          int
		CaptureComplete bool
		ExitCode        int
		Files           []struct{ Name, Role, Result string }
	}
	must(w.t, json.Unmarshal([]byte(w.convrun(0, "verify", "--json", file).stdout), &result))
	w.equal("verify --json", []any{result.Verified, result.Status, result.CaptureComplete, result.ExitCode}, []any{true, 0, true, 0})
	var matching []string
	for _, found := range result.Files {
		if found.Result == string(matches) && slices.Contains(subjects, found.Name) {
			matching = append(matching, found.Name)
		}
	}
	slices.Sort(matching)
	w.equal("files that match", matching, slices.Sorted(slices.Values(subjects)))

	for _, name := range subjects {
		path := filepath.Join(w.repo, name)
		text, err := os.ReadFile(path)
		must(w.t, err)
		other := slices.Clone(text)
		other[len(other)/2] ^= 1
		must(w.t, os.WriteFile(path, other, 0o644))
		w.refused(file, name+": expected sha256 "+sumOf(text)+", found "+sumOf(other))
		must(w.t, os.Remove(path))
		w.refused(file, name)
		must(w.t, os.WriteFile(path, text, 0o644))
	}
	w.convrun(0, "verify", file)
}

// refused expects that verify fails, and why.
func (w *workshop) refused(file, reason string) {
	w.t.Helper()
	end := w.convrun(1, "verify", file)
	w.contains("verify", end.stdout, file+": NOT verified")
	w.contains("verify", end.stderr, reason)
}

func hasFinding(findings []provenance.Finding, id string) bool {
	return slices.ContainsFunc(findings, func(f provenance.Finding) bool { return f.ID == id })
}
