package main

import (
	"encoding/json"
	"html"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

// maxSmallLog bounds the log of a conversion of a small model, in bytes.
const maxSmallLog = 200 << 10

// expected is what a test knows of a run without asking convrun.
type expected struct {
	// file is what verify, show and report are asked about.
	file string
	exit int
	// command is the Python command line, the interpreter left out.
	command []string
	// inputs, by their names in the log; there must be no other.
	inputs map[string]input
	// outputs maps the name to the role; there must be no other, but for the
	// caches that a program keeps of modules with random names.
	outputs map[string]string
	// subjects are files in the repository; there must be no other.
	subjects []string
	// framework and loaded are normalised names of distributions; loaded must
	// be among the packages.
	framework string
	loaded    []string
	// converter is what the conversion is said to be made by.
	converter string
	dirty     bool
}

type input struct {
	// path is the file itself; "" when the name is relative and tells it.
	path, role, requestedAs string
}

// code are inputs that are the user's own scripts.
func code(names ...string) map[string]input {
	inputs := map[string]input{}
	for _, name := range names {
		inputs[name] = input{role: "code"}
	}
	return inputs
}

// check compares a log with what is known otherwise.
func (w *workshop) check(st *provenance.Statement, want expected, known truth) {
	w.t.Helper()
	w.checkFiles(st, want)
	w.checkRun(st, want)
	w.checkPackages(st, want, known)
	w.checkSource(st, want)
	w.checkLog(st, want)
	w.checkDocuments(st, want)
}

func (w *workshop) equal(what string, got, want any) {
	w.t.Helper()
	if !reflect.DeepEqual(got, want) {
		w.t.Errorf("%s:\n  log:    %v\n  wanted: %v", what, got, want)
	}
}

func (w *workshop) checkFiles(st *provenance.Statement, want expected) {
	w.t.Helper()
	p := &st.Predicate
	var names []string
	for _, found := range p.Inputs {
		names = append(names, found.Name)
		if known, ok := want.inputs[found.Name]; ok {
			w.checkInput(found, known)
		}
	}
	w.names("inputs", names, sorted(want.inputs))

	names = nil
	for _, found := range p.Outputs {
		if strings.HasPrefix(found.Name, w.path("tmp", "__pycache__")) {
			w.equal("role of output "+found.Name, found.Annotations.Role, "cache")
			continue
		}
		names = append(names, found.Name)
		role, ok := want.outputs[found.Name]
		if !ok {
			continue
		}
		w.equal("role of output "+found.Name, found.Annotations.Role, role)
		w.equal("digest of output "+found.Name, found.Digest["sha256"], w.sum(found.Name))
	}
	w.names("outputs", names, sorted(want.outputs))

	names = nil
	for _, found := range st.Subject {
		names = append(names, found.Name)
		if slices.Contains(want.subjects, found.Name) {
			w.equal("digest of subject "+found.Name, found.Digest["sha256"], w.sum(found.Name))
		}
	}
	slices.Sort(names)
	if want.subjects != nil {
		w.equal("subjects", names, slices.Sorted(slices.Values(want.subjects)))
	}
}

// names compares lists of names, and then their order, which is by name.
func (w *workshop) names(what string, got, want []string) {
	w.t.Helper()
	w.equal(what, slices.Sorted(slices.Values(got)), want)
	w.equal(what+" are sorted by name", slices.IsSorted(got), true)
}

func (w *workshop) checkInput(found provenance.ResourceDescriptor, known input) {
	w.t.Helper()
	path := known.path
	if path == "" {
		path = filepath.Join(w.repo, found.Name)
	}
	info, err := os.Stat(path)
	must(w.t, err)
	w.equal("digest of input "+found.Name, found.Digest["sha256"], w.sum(path))
	w.equal("size of input "+found.Name, *found.Annotations.Size, info.Size())
	w.equal("URI of input "+found.Name, found.URI, provenance.FileURI(path))
	w.equal("role of input "+found.Name, found.Annotations.Role, known.role)
	w.equal("requested name of input "+found.Name, found.Annotations.RequestedAs, known.requestedAs)
}

func (w *workshop) checkRun(st *provenance.Statement, want expected) {
	w.t.Helper()
	p := &st.Predicate
	argv := append([]string{w.python}, want.command...)
	w.equal("exit code", p.Run.ExitCode, want.exit)
	w.equal("argv", p.Converter.Command.Argv, argv)
	w.equal("working directory", p.Converter.Command.WorkingDirectory, w.repo)
	w.equal("converter", p.Converter.Name, want.converter)
	w.equal("capture method", p.Capture.Method, "seccomp-notify")
	w.equal("capture complete", p.Capture.Complete, true)
	w.equal("capture reasons", p.Capture.Reasons, []string{})
	w.equal("events dropped", p.Capture.Dropped, 0)
	w.equal("observer", p.Capture.Observer, "python")
	w.equal("connections", p.Run.Network, []provenance.Endpoint{})
	w.equal("still running", p.Run.StillRunning, []int{})
	for _, finding := range p.Findings {
		if slices.Contains([]string{"CR-OBSERVER", "CR-PACKAGE-MODIFIED", "CR-OPSET"}, finding.ID) || strings.HasPrefix(finding.ID, "CR-ASKED-") {
			w.t.Errorf("finding %s: %s (%s)", finding.ID, finding.Message, finding.Evidence)
		}
	}
	if len(p.Run.Processes) == 0 {
		w.t.Fatal("no process is listed")
	}
	first := p.Run.Processes[0]
	w.equal("argv of the first process", first.Argv, argv)
	program := realDir(w.t, w.python)
	w.equal("program", first.Executable.Name, program)
	w.equal("digest of the program", first.Executable.Digest["sha256"], w.sum(program))
	w.equal("variable CUDA_VISIBLE_DEVICES", p.Environment.Variables["CUDA_VISIBLE_DEVICES"], "")
	w.equal("variable TF_CPP_MIN_LOG_LEVEL", p.Environment.Variables["TF_CPP_MIN_LOG_LEVEL"], "3")
	if !slices.Contains(p.Environment.WithheldVariables, "HF_TOKEN") {
		w.t.Errorf("withheld variables: %q, wanted HF_TOKEN among them", p.Environment.WithheldVariables)
	}
	for name := range p.Environment.Variables {
		if strings.HasPrefix(name, "CONVRUN_") || name == "PYTHONPATH" {
			w.t.Errorf("variable %s is convrun's own and is in the log", name)
		}
	}
}

func (w *workshop) checkPackages(st *provenance.Statement, want expected, known truth) {
	w.t.Helper()
	p := &st.Predicate
	if len(p.Environment.Interpreters) != 1 {
		w.t.Errorf("interpreters: %v, wanted one", p.Environment.Interpreters)
	} else {
		i := p.Environment.Interpreters[0]
		w.equal("version of Python", i.Version, known.Python.Version)
		w.equal("implementation of Python", strings.ToLower(i.Implementation), strings.ToLower(known.Python.Implementation))
		w.equal("path of Python", i.Executable, known.Python.Executable)
		w.equal("digest of Python", i.Digest["sha256"], w.sum(realDir(w.t, w.python)))
	}
	var names []string
	for _, found := range p.Packages {
		names = append(names, found.Name)
		w.equal("version of package "+found.Name, found.Version, known.Versions[found.Name])
		w.equal("integrity of package "+found.Name, found.Integrity, "matches")
		if !strings.HasPrefix(found.PURL, "pkg:pypi/"+found.Name+"@") || found.Files < 1 || len(found.Digest["sha256"]) != 64 {
			w.t.Errorf("package %s: %+v", found.Name, found)
		}
	}
	for _, name := range want.loaded {
		if !slices.Contains(names, name) {
			w.t.Errorf("packages: %q, wanted %s among them", names, name)
		}
	}
	if known.Loaded != nil {
		w.equal("packages", names, sorted(known.Loaded))
		for _, found := range p.Packages {
			if found.Files < known.Loaded[found.Name] {
				w.t.Errorf("files of package %s: log: %d, wanted at least %d", found.Name, found.Files, known.Loaded[found.Name])
			}
		}
	}
	if want.framework != "" {
		w.equal("framework", p.Framework.Name, want.framework)
		w.equal("version of the framework", p.Framework.Version, known.Frameworks[want.framework])
		w.equal("package of the framework", p.Framework.PURL, "pkg:pypi/"+want.framework+"@"+known.Versions[want.framework])
	}
}

func (w *workshop) checkSource(st *provenance.Statement, want expected) {
	w.t.Helper()
	c := &st.Predicate.Converter
	w.equal("version control", c.Source.VCS, "git")
	w.equal("commit", c.Source.Commit, w.commit)
	w.equal("remote", c.Source.Remote, "https://example.org/nets.git")
	if c.Source.Dirty == nil || *c.Source.Dirty != want.dirty {
		w.t.Errorf("dirty: log: %v, wanted %v", c.Source.Dirty, want.dirty)
	}
	var scripts []string
	for _, script := range c.Scripts {
		scripts = append(scripts, script.Name)
		text, err := os.ReadFile(filepath.Join(w.repo, script.Name))
		must(w.t, err)
		w.equal("text of "+script.Name, script.Text, string(text))
		w.equal("digest of "+script.Name, script.Digest["sha256"], w.sum(script.Name))
	}
	var codes []string
	for _, name := range sorted(want.inputs) {
		if want.inputs[name].role == "code" {
			codes = append(codes, name)
		}
	}
	w.equal("scripts", scripts, codes)
	w.equal("responsible", st.Predicate.Conversion.Responsible, provenance.Responsible{Name: "Ada Example", Email: "ada@example.org", Source: "git config"})
}

// checkLog looks at the log as a file.
func (w *workshop) checkLog(st *provenance.Statement, want expected) {
	w.t.Helper()
	path, _ := logOf(filepath.Join(w.repo, want.file))
	data, err := os.ReadFile(path)
	must(w.t, err)
	if len(data) > maxSmallLog {
		w.t.Errorf("the log has %d bytes, wanted at most %d", len(data), maxSmallLog)
	}
	payload, err := st.Payload()
	must(w.t, err)
	for _, secret := range []string{secretToken, secretPassword} {
		if strings.Contains(string(payload), secret) {
			w.t.Errorf("the log holds the secret %q", secret)
		}
	}
	if drafts, _ := filepath.Glob(filepath.Join(w.repo, "*"+draftSuffix)); len(drafts) > 0 {
		w.t.Errorf("drafts were left: %q", drafts)
	}
	kept := w.path("home", "state", "convrun", "logs", st.Predicate.Run.InvocationID+logSuffix)
	w.equal("digest of the copy that is kept", w.sum(kept), w.sum(path))
}

// checkDocuments looks for the facts in what people read.
func (w *workshop) checkDocuments(st *provenance.Statement, want expected) {
	w.t.Helper()
	p := &st.Predicate
	facts := []string{p.Conversion.ID, want.converter}
	shown := w.convrun(0, "show", want.file).stdout
	if want.framework != "" {
		facts = append(facts, p.Framework.Version)
	}
	for _, subject := range want.subjects {
		facts = append(facts, w.sum(subject))
	}
	w.contains("show", shown, facts...)
	for _, subject := range want.subjects {
		facts = append(facts, filepath.Base(subject))
	}
	for name, in := range want.inputs {
		path := in.path
		if path == "" {
			path = name
		}
		facts = append(facts, filepath.Base(name), w.sum(path))
	}
	for _, found := range p.Packages {
		facts = append(facts, found.Name, found.Version)
	}
	facts = append(facts, w.commit, "Ada Example", strings.ReplaceAll(p.Conversion.Date, "-", "/"), p.Environment.OS.Kernel, p.Environment.Interpreters[0].Version)
	for format, plain := range map[string]func(string) string{"md": unescapeMarkdown, "html": html.UnescapeString} {
		document := w.convrun(0, "report", "--format", format, want.file).stdout
		w.contains("report --format "+format, plain(document), facts...)
		w.equal("second report --format "+format+" is the same", w.convrun(0, "report", "--format", format, want.file).stdout == document, true)
	}
}

func unescapeMarkdown(text string) string {
	return html.UnescapeString(strings.ReplaceAll(text, `\`, ""))
}

func (w *workshop) contains(what, text string, facts ...string) {
	w.t.Helper()
	for _, fact := range facts {
		if !strings.Contains(text, fact) {
			w.t.Errorf("%s does not say %q", what, fact)
		}
	}
}

// checkCalls compares the calls in the log with those noted in an unobserved
// process. replaced are arguments that differ between the two runs.
func (w *workshop) checkCalls(st *provenance.Statement, known truth) {
	w.t.Helper()
	calls := st.Predicate.Converter.Calls
	var got, want []string
	for _, call := range calls {
		got = append(got, call.Function)
	}
	for _, call := range known.Calls {
		want = append(want, call.Function)
	}
	w.equal("calls", got, want)
	if !slices.Equal(got, want) {
		return
	}
	for i, call := range calls {
		w.equal("given parameters of "+call.Function, call.Given, known.Calls[i].Given)
		w.equal("parameters of "+call.Function, sorted(call.Arguments), sorted(known.Calls[i].Arguments))
		for name, value := range call.Arguments {
			w.equal("argument "+name+" of "+call.Function, asJSON(w.t, value), asJSON(w.t, known.Calls[i].Arguments[name]))
		}
		w.equal("model of "+call.Function, asJSON(w.t, call.Model), asJSON(w.t, known.Calls[i].Model))
		w.equal("version of "+call.Function, call.Version, known.Versions[call.Package])
		if call.Duration <= 0 {
			w.t.Errorf("duration of %s: %v", call.Function, call.Duration)
		}
	}
}

// checkModel compares what the log says of an ONNX file with what the ONNX
// package reads in it.
func (w *workshop) checkModel(found provenance.FrozenModel, known trueModel) {
	w.t.Helper()
	w.equal("format of "+found.Name, found.Format, "onnx")
	w.equal("opsets of "+found.Name, found.Opsets, known.Opsets)
	w.equal("producer of "+found.Name, found.Producer, known.Producer)
	w.equal("version of the format of "+found.Name, found.FormatVersion, "IR "+asJSON(w.t, known.IR))
	w.equal("operators of "+found.Name, found.Operators, known.Operators)
	w.equal("parameters of "+found.Name, found.Parameters, known.Parameters)
	w.equal("inputs of "+found.Name, asJSON(w.t, found.Inputs), asJSON(w.t, known.Inputs))
	w.equal("outputs of "+found.Name, asJSON(w.t, found.Outputs), asJSON(w.t, known.Outputs))
}

// row is what a test expects of a row of the elimination table.
type row struct {
	verdict string
	status  model.Status
	mode    model.Mode
	source  model.Status
}

// checkElimination compares the rows that want has.
func (w *workshop) checkElimination(st *provenance.Statement, want map[model.Operation]row) {
	w.t.Helper()
	rows := st.Predicate.Elimination
	w.equal("rows of the elimination", len(rows), len(model.Operations))
	for i, operation := range model.Operations {
		found := rows[i]
		w.equal("operation of a row", found.Operation, operation)
		if known, ok := want[operation]; ok {
			w.equal("elimination of "+string(operation), row{found.Verdict, found.Status, found.Mode, found.Source.Status}, known)
		}
		if len(found.Frozen.Evidence) == 0 || len(found.Source.Evidence) == 0 {
			w.t.Errorf("elimination of %s: a side is without evidence: %+v", operation, found)
		}
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	must(t, err)
	return string(data)
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
