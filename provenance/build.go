package provenance

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// Phase is the template's phase of the lifecycle for every conversion.
const Phase = "Inference Management"

// Meta is what only a person, a configuration or convrun itself knows.
type Meta struct {
	// ID of the conversion; "" makes one from the model's name, the date and
	// the invocation.
	ID string
	// IDSource says where ID comes from.
	IDSource string
	// ModelID and ModelVersion name the verified learning model; ModelSource
	// says where they come from.
	ModelID, ModelVersion, ModelSource string
	Responsible                        Responsible
	// Context is what else a person gave, ContextSources where it comes from.
	Context, ContextSources map[string]string
	// Version of convrun.
	Version       string
	Configuration []ResourceDescriptor
	// Supersedes is the log that this one replaces on disk.
	Supersedes *ResourceDescriptor
	// Missing are outputs that were declared and are not there.
	Missing []string
	// Scripts are the texts of code files, by path; a missing one was left out.
	Scripts map[string]ScriptText
	// Signatures are model signatures found beside models, by the model's path.
	Signatures map[string][]SignatureFile
	// Targets are what the frozen models are meant for.
	Targets []model.Target
	// Waivers accept findings; one without By is the responsible person's.
	Waivers []WaiverRule
}

// ScriptText is the text of a script, or Unknown with the reason, and the
// encoding that its file is in.
type ScriptText struct{ Text, Encoding string }

// New describes what was observed. artifacts are the model files found among
// the run's files; those that Frozen chooses become the subjects.
func New(o *runner.Observation, artifacts []Artifact, meta Meta) Statement {
	frozen := Frozen(o, artifacts)
	meta.Waivers = slices.Clone(meta.Waivers)
	for i := range meta.Waivers {
		by := &meta.Waivers[i].Waiver.By
		*by = cmp.Or(*by, meta.Responsible.Name)
	}
	b := builder{o: o, frozen: frozen, meta: meta, base: Base(o, frozen)}
	b.parts, b.owners, b.files = b.roles(), map[string]*Artifact{}, map[string]*runner.File{}
	for i := range artifacts {
		for _, path := range artifacts[i].Files {
			if b.owners[path] == nil {
				b.owners[path] = &artifacts[i]
			}
		}
	}
	for i, file := range o.Files {
		if b.files[file.Path] == nil {
			b.files[file.Path] = &o.Files[i]
		}
	}
	log := ConversionLog{
		Conversion:            b.conversion(),
		VerifiedLearningModel: b.verifiedLearningModel(),
		Elimination:           eliminationRows(frozen, sourceVerdicts(o, artifacts)),
		Framework:             b.framework(),
		Packages:              b.packages(),
		OtherPackages:         b.otherPackages(),
		Unpackaged:            b.unpackaged(),
		NativeLibraries:       b.nativeLibraries(),
		Hubs:                  b.hubs(),
		Converter:             b.converter(),
		FrozenModels:          b.frozenModels(),
		Environment:           b.environment(),
		Run:                   b.run(),
		Inputs:                b.inputs(),
		Outputs:               b.outputs(),
		Byproducts:            []ResourceDescriptor{},
		Capture:               b.capture(),
	}
	log.Findings = b.findings(&log)
	return Statement{Type: StatementType, Subject: b.subjects(), PredicateType: PredicateType, Predicate: log}
}

type builder struct {
	o      *runner.Observation
	frozen []Artifact
	meta   Meta
	// base is the folder that names of outputs are relative to.
	base string
	// parts maps a file of a frozen model to its role.
	parts map[string]string
	// owners maps a file of a model to that model, files a path to its file.
	owners map[string]*Artifact
	files  map[string]*runner.File
}

// roles maps the files of the frozen models to "model" or "external-data".
func (b *builder) roles() map[string]string {
	roles := map[string]string{}
	for _, artifact := range b.frozen {
		for i, path := range artifact.Files {
			roles[path] = "external-data"
			if i == 0 {
				roles[path] = "model"
			}
		}
	}
	return roles
}

func (b *builder) conversion() Conversion {
	context := b.meta.Context
	if context == nil {
		context = map[string]string{}
	}
	var targets []string
	for _, target := range b.meta.Targets {
		targets = append(targets, target.String())
	}
	return Conversion{
		Targets: targets, ID: ConversionID(b.o, b.frozen, b.meta.ID), IDSource: b.meta.IDSource, Date: b.o.Started.UTC().Format(time.DateOnly),
		Responsible: b.meta.Responsible, Phase: Phase, Supersedes: b.meta.Supersedes, Context: context, ContextSources: b.meta.ContextSources,
	}
}

// ConversionID is given, or "<model name>-<UTC date YYYYMMDD>-<first 8 of the
// invocation UUID>"; a run without outputs is named "run".
func ConversionID(o *runner.Observation, frozen []Artifact, given string) string {
	if given != "" {
		return given
	}
	name := "run"
	if main := MainOutput(o, frozen); main != "" {
		name = PlainName(strings.TrimSuffix(filepath.Base(main), filepath.Ext(main)))
	}
	return fmt.Sprintf("%s-%s-%.8s", name, o.Started.UTC().Format("20060102"), o.InvocationID)
}

// PlainName replaces by "_" whatever could be trouble in the name of a file or
// on a terminal.
func PlainName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-._", r) || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return '_'
	}, name)
}

func (b *builder) verifiedLearningModel() VerifiedLearningModel {
	v := VerifiedLearningModel{ID: b.meta.ModelID, Version: b.meta.ModelVersion, Source: b.meta.ModelSource, Artifacts: []ResourceDescriptor{}}
	if v.ID == "" {
		v.ID = Unknown + "not given (--model ID@VERSION)"
		v.Source = "not given"
	}
	if v.Version == "" {
		v.Version = Unknown + "not given (--model ID@VERSION)"
	}
	sums := b.inputSums()
	for _, file := range b.o.Files {
		if source := b.source(file); source != nil {
			descriptor := b.input(file)
			descriptor.Annotations.Format = source.Model.Format
			if file.Path == source.Files[0] {
				descriptor.Annotations.Manifest, descriptor.Annotations.Signature = source.manifest(sums), b.claim(*source, sums)
			}
			v.Artifacts = append(v.Artifacts, descriptor)
		}
	}
	return v
}

// source is the trained model that a file the run read belongs to; nil for any
// other file.
func (b *builder) source(file runner.File) *Artifact {
	if !isInput(file) || b.parts[file.Path] != "" {
		return nil
	}
	return b.owners[file.Path]
}

// isInput tells whether the run read content of the file that was there before.
func isInput(file runner.File) bool {
	return file.Class == runner.Input || (file.Class == runner.Output || file.Class == runner.Temporary) && file.Read
}

func (b *builder) framework() Framework {
	found := frameworkOf(b.o)
	if found == nil {
		reason := "no known framework was loaded"
		if b.o.Observer != "python" {
			reason += ", as far as the files show (observer " + b.o.Observer + ")"
		}
		return Framework{Name: Unknown + reason, Version: Unknown + reason, Build: map[string]string{}}
	}
	f := Framework{Name: found.Name, Version: found.Version, Build: found.Build}
	if f.Build == nil {
		f.Build = map[string]string{}
	}
	for _, d := range b.o.Distributions {
		if d.Name == f.Name {
			f.PURL = d.PURL
		}
	}
	return f
}

// frameworks in the order in which one is named the framework of a conversion
// when several were loaded.
var frameworks = []string{"torch", "tensorflow", "jax", "paddlepaddle", "keras", "mxnet", "scikit-learn", "onnx"}

// frameworkOf is the framework of the converter that was called, else that of
// a call that changed a model, else the first of frameworks that was loaded.
func frameworkOf(o *runner.Observation) *python.Framework {
	var named, changed []string
	for _, call := range o.Python.Calls {
		switch call.Package {
		case "torch", "optimum-onnx", "litert-torch":
			named = append([]string{"torch"}, named...)
		case "paddlepaddle", "paddle2onnx":
			named = append([]string{"paddlepaddle"}, named...)
		case "tf2onnx", "tensorflow":
			named = append([]string{"tensorflow"}, named...)
		case "skl2onnx":
			named = append([]string{"scikit-learn"}, named...)
		case "onnxmltools":
			named = append([]string{boosting(call.Function), "scikit-learn"}, named...)
		case "onnx", "onnxruntime", "onnxsim":
			if !call.Saves {
				changed = []string{"onnx"}
			}
		}
	}
	wanted := slices.Concat(named, changed, frameworks)
	for _, name := range wanted {
		for i := range o.Python.Frameworks {
			if o.Python.Frameworks[i].Name == name {
				return &o.Python.Frameworks[i]
			}
		}
		for _, d := range o.Distributions {
			if d.Name == name {
				return &python.Framework{Name: d.Name, Version: d.Version, Build: map[string]string{}}
			}
		}
	}
	return nil
}

// boosting is the framework whose models a function of onnxmltools converts:
// "lightgbm" of "onnxmltools.convert_lightgbm".
func boosting(function string) string {
	_, name, _ := strings.Cut(function, ".convert_")
	return name
}

func (b *builder) converter() Converter {
	c := Converter{
		Name: b.o.Argv[0], Version: Unknown + "no converter call was observed", Observation: "observed",
		Command: Command{Argv: b.o.Argv, WorkingDirectory: b.o.WorkingDirectory, Executable: b.executable()},
		Calls:   []Call{}, Scripts: []Script{}, Source: b.repository(),
	}
	for _, call := range b.o.Python.Calls {
		c.Calls = append(c.Calls, b.call(call))
	}
	if main := b.mainCall(); main != nil {
		c.Name, c.Version = main.Function, b.versionOf(main)
	} else if b.o.Observer == "python" {
		c.Observation = Unknown + "no function that convrun knows as a converter was called"
	} else {
		c.Observation = Unknown + strings.TrimPrefix(b.o.Observer, "none: ")
	}
	for _, file := range b.o.Files {
		if file.Class == runner.Code && file.Read {
			script, read := b.meta.Scripts[file.Path]
			if !read {
				script.Text = Unknown + "left out: it was not looked at"
			}
			c.Scripts = append(c.Scripts, Script{
				Name: b.name(file.Path), URI: FileURI(file.Path), Digest: known(file.SHA256), Encoding: script.Encoding,
				Text: script.Text,
			})
		}
	}
	slices.SortStableFunc(c.Scripts, byScriptName)
	return c
}

// mainCall is the call that made the main frozen model: the last that was to
// write it, else the last that was to write nothing, since what became of its
// result is not seen, else the last of all: a model is traced, converted and
// then simplified. Conversions come before those that the user had observed, and
// these before calls that only save. It is nil when no call was observed.
func (b *builder) mainCall() (main *python.Call) {
	best := 0
	for i := range b.o.Python.Calls {
		call := &b.o.Python.Calls[i]
		if r := b.rank(call); r >= best {
			main, best = call, r
		}
	}
	return main
}

func (b *builder) rank(call *python.Call) int {
	rank := 1
	switch {
	case len(b.frozen) > 0 && b.toWrite(*call, b.frozen[0]):
		rank = 3
	case len(call.Writes) == 0:
		rank = 2
	}
	switch {
	case call.Saves:
		return rank
	case call.Added:
		return rank + 3
	}
	return rank + 6
}

func (b *builder) executable() ResourceDescriptor {
	if len(b.o.Processes) == 0 {
		return ResourceDescriptor{Name: Unknown + "the program was not traced"}
	}
	first := b.o.Processes[0]
	return ResourceDescriptor{Name: first.Path, URI: FileURI(first.Path), Digest: sha256Set(first.SHA256)}
}

// versionOf is the version of the distribution that holds the called function,
// else the package's own word for it.
func (b *builder) versionOf(call *python.Call) string {
	for _, d := range b.o.Distributions {
		if d.Name == call.Package {
			return d.Version
		}
	}
	return orUnknown(call.Version, "")
}

func (b *builder) call(call python.Call) Call {
	c := Call{
		Function: call.Function, Package: call.Package, Version: b.versionOf(&call), Given: append([]string{}, call.Given...),
		Arguments: call.Arguments, StartedOn: timestamp(call.Started), Duration: call.Duration.Seconds(), Outcome: call.Outcome,
	}
	if c.Arguments == nil {
		c.Arguments = map[string]any{}
	}
	if m := call.Model; m != nil {
		c.Model = &SourceModel{Class: m.Class, Training: m.Training, Parameters: m.Parameters, Modules: []ModuleCount{}}
		for _, count := range m.Modules {
			c.Model.Modules = append(c.Model.Modules, ModuleCount{Class: count.Class, Count: count.Count, Training: count.Training})
		}
	}
	return c
}

func (b *builder) repository() Source {
	s := b.o.Source
	source := Source{VCS: s.VCS, Commit: orUnknown(s.Commit, s.VCS), Branch: orUnknown(s.Branch, s.VCS), Remote: orUnknown(s.Remote, s.VCS), Dirty: s.Dirty}
	if s.Diff.SHA256 != "" || s.Diff.Reason != "" {
		source.Diff = &ResourceDescriptor{Name: "git diff HEAD", Digest: sha256Set(s.Diff.SHA256), Annotations: &Annotations{Reason: s.Diff.Reason}}
		if s.Diff.SHA256 != "" {
			source.Diff.Annotations.Size = &s.Diff.Size
		}
	}
	return source
}

// orUnknown is value, or the reason why there is none.
func orUnknown(value, reason string) string {
	if value != "" {
		return value
	}
	if strings.HasPrefix(reason, Unknown) {
		return reason
	}
	return Unknown + "it could not be read"
}

func (b *builder) frozenModels() []FrozenModel {
	models, sums := []FrozenModel{}, b.outputSums()
	for _, artifact := range b.frozen {
		m := artifact.Model
		f := FrozenModel{
			Digest: known(""),
			Name:   b.relative(artifact.Files[0]), Format: m.Format, FormatVersion: m.FormatVersion, Producer: m.Producer,
			Opsets: m.Opsets, Inputs: m.Inputs, Outputs: m.Outputs, Operators: m.Operators, Parameters: m.Parameters, DTypes: m.DTypes, Parts: []ResourceDescriptor{},
			CanonicalDigestNote: artifact.CanonicalNote,
		}
		if artifact.Canonical != "" {
			f.CanonicalDigest = map[string]string{model.CanonicalKey: artifact.Canonical}
		}
		for i, path := range artifact.Files {
			descriptor := b.subject(path)
			if i == 0 {
				f.Digest = known(descriptor.Digest["sha256"])
			} else {
				f.Parts = append(f.Parts, descriptor)
			}
		}
		for _, part := range m.Parts {
			if part.Size < 0 {
				f.Parts = append(f.Parts, ResourceDescriptor{
					Name: b.relative(filepath.Join(filepath.Dir(artifact.Files[0]), filepath.FromSlash(part.Name))), Annotations: &Annotations{Role: "external-data", Reason: Unknown + part.Problem},
				})
			}
		}
		f.Manifest = artifact.manifest(sums)
		models = append(models, f)
	}
	return models
}

// subjects are the files of the frozen models, or all outputs when none of
// them is a recognised model.
func (b *builder) subjects() []ResourceDescriptor {
	subjects := []ResourceDescriptor{}
	for _, artifact := range b.frozen {
		for _, path := range artifact.Files {
			if subject := b.subject(path); subject.Digest != nil {
				subjects = append(subjects, ResourceDescriptor{Name: subject.Name, Digest: subject.Digest})
			}
		}
	}
	if len(b.frozen) == 0 {
		subjects = b.unrecognised()
	}
	if len(subjects) > maxSubjects {
		// What is left out stands in FrozenModels, with its digest.
		main := func(d ResourceDescriptor) int {
			return order(slices.ContainsFunc(b.frozen, func(a Artifact) bool { return b.relative(a.Files[0]) == d.Name }))
		}
		slices.SortStableFunc(subjects, func(x, y ResourceDescriptor) int { return cmp.Compare(main(y), main(x)) })
		subjects = subjects[:maxSubjects]
	}
	if len(subjects) == 0 {
		subjects = append(subjects, invocationSubject(b.o.InvocationID))
	}
	return subjects
}

// unrecognised are the outputs of a run that wrote no model: those that were
// declared, else all; the larger first, and not more than verifiers take. The
// rest stands in Outputs.
func (b *builder) unrecognised() []ResourceDescriptor {
	var files []runner.File
	declared := slices.ContainsFunc(b.o.Files, func(f runner.File) bool { return f.Class == runner.Output && f.Declared })
	for _, file := range b.o.Files {
		if file.Class == runner.Output && !redirected(file) && file.SHA256 != "" && file.Declared == declared {
			files = append(files, file)
		}
	}
	if len(files) > maxOutputSubjects {
		slices.SortStableFunc(files, func(x, y runner.File) int { return cmp.Compare(y.Size, x.Size) })
		files = files[:maxOutputSubjects]
	}
	subjects := []ResourceDescriptor{}
	for _, file := range files {
		subjects = append(subjects, ResourceDescriptor{Name: b.relative(file.Path), Digest: sha256Set(file.SHA256)})
	}
	return subjects
}

// maxOutputSubjects bounds the subjects that are no model's files.
const maxOutputSubjects = 256

// invocationSubject stands in for the outputs of a run that left none: a
// Statement needs a subject, and no file's digest equals this one.
func invocationSubject(id string) ResourceDescriptor {
	return ResourceDescriptor{Name: "urn:uuid:" + id, Digest: sha256Set(digest.FromString(id).Encoded())}
}

// IsInvocation tells whether a Statement is about a run that left no output
// whose digest is known.
func IsInvocation(st *Statement) bool {
	return len(st.Subject) == 1 && reflect.DeepEqual(st.Subject[0], invocationSubject(st.Predicate.Run.InvocationID))
}

func (b *builder) subject(path string) ResourceDescriptor {
	if file := b.files[path]; file != nil {
		return b.output(*file)
	}
	return ResourceDescriptor{Name: b.relative(path), URI: FileURI(path), Annotations: &Annotations{Reason: Unknown + "the run did not touch this file"}}
}

func (b *builder) inputs() []ResourceDescriptor {
	inputs := []ResourceDescriptor{}
	for _, file := range b.o.Files {
		if isInput(file) || file.Class == runner.Code && file.Read {
			inputs = append(inputs, b.input(file))
		}
	}
	slices.SortStableFunc(inputs, byName)
	return inputs
}

func byName(x, y ResourceDescriptor) int { return strings.Compare(x.Name, y.Name) }

func (b *builder) input(file runner.File) ResourceDescriptor {
	size, sum := file.Size, file.SHA256
	if file.Written {
		size, sum = file.BeforeSize, file.BeforeSHA256
	}
	a := &Annotations{Role: "data", Size: &size, Reason: file.Reason, Declared: file.Declared && !file.Written, RequestedAs: throughLink(file), Overwritten: file.Written || file.Removed}
	switch {
	case file.Class == runner.Code:
		a.Role = "code"
	case b.owners[file.Path] != nil:
		a.Role = "model"
	}
	name := file.Path
	if file.RenamedFrom != "" {
		name = file.RenamedFrom
	}
	return ResourceDescriptor{Name: b.name(name), URI: FileURI(name), Digest: sha256Set(sum), Annotations: a}
}

// throughLink is the path that the command used if it led to the file by
// another name; a mere relative spelling of the same name is none.
func throughLink(file runner.File) string {
	asked := filepath.ToSlash(filepath.Clean(file.Requested))
	for strings.HasPrefix(asked, "../") {
		asked = asked[len("../"):]
	}
	if file.Requested == "" || strings.HasSuffix(filepath.ToSlash(file.Path), "/"+strings.TrimPrefix(asked, "/")) {
		return ""
	}
	return file.Requested
}

func (b *builder) outputs() []ResourceDescriptor {
	outputs := []ResourceDescriptor{}
	for _, file := range b.o.Files {
		if file.Class == runner.Output || file.Class == runner.Cache {
			outputs = append(outputs, b.output(file))
		}
	}
	slices.SortStableFunc(outputs, byName)
	return outputs
}

// reportSuffixes mark an output that is meant for reading.
var reportSuffixes = []string{".md", ".txt", ".log", ".html", ".sarif"}

func (b *builder) output(file runner.File) ResourceDescriptor {
	role := "other"
	switch {
	case b.parts[file.Path] != "":
		role = b.parts[file.Path]
	case file.Class == runner.Cache:
		role = "cache"
	case slices.Contains(reportSuffixes, strings.ToLower(filepath.Ext(file.Path))):
		role = "report"
	}
	if redirected(file) && b.parts[file.Path] == "" {
		file.SHA256, file.Reason = "", Unknown+"it was open before the run and may be written to after it"
	}
	return ResourceDescriptor{
		Name: b.relative(file.Path), URI: FileURI(file.Path), Digest: sha256Set(file.SHA256),
		Annotations: &Annotations{Role: role, Size: &file.Size, Reason: file.Reason, Declared: file.Declared},
	}
}

// relative names a file from base, for outputs; name does from the working
// directory, for everything else. What lies elsewhere keeps its whole path.
func (b *builder) relative(path string) string { return nameFrom(b.base, path) }

func (b *builder) name(path string) string { return nameFrom(b.o.WorkingDirectory, path) }

func nameFrom(folder, path string) string {
	if relative, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(relative) {
		path = relative
	}
	return TextName(path)
}

// TextName writes a file's name, which may be any bytes, as text. A name that
// is not UTF-8 has those bytes, and each "%", percent-encoded; any other name
// stays as it is. FileName undoes it.
func TextName(path string) string {
	name := filepath.ToSlash(path)
	if utf8.ValidString(name) {
		return name
	}
	var text strings.Builder
	for len(name) > 0 {
		r, size := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && size == 1 || r == '%' {
			fmt.Fprintf(&text, "%%%02X", name[0])
		} else {
			text.WriteString(name[:size])
		}
		name = name[size:]
	}
	return text.String()
}

// FileName is the name that TextName wrote as text, if it was not UTF-8.
func FileName(text string) (name string, ok bool) {
	name, err := url.PathUnescape(text)
	return name, err == nil && !utf8.ValidString(name)
}

func (b *builder) run() Run {
	r := Run{
		InvocationID: b.o.InvocationID, StartedOn: timestamp(b.o.Started), FinishedOn: timestamp(b.o.Finished),
		ExitCode: b.o.ExitCode, Processes: []Process{}, Network: []Endpoint{}, StillRunning: append([]int{}, b.o.StillRunning...),
	}
	if b.o.Signal != "" {
		r.Signal = &b.o.Signal
	}
	for _, p := range b.o.Processes {
		r.Processes = append(r.Processes, Process{
			PID: p.PID, Parent: p.Parent, Argv: append([]string{}, p.Argv...),
			Executable: ResourceDescriptor{Name: p.Path, URI: FileURI(p.Path), Digest: sha256Set(p.SHA256)},
		})
	}
	for _, address := range b.o.Network {
		if endpoint, ok := endpointOf(address); ok {
			r.Network = append(r.Network, endpoint)
		}
	}
	switch {
	case b.o.Capture.Method == "snapshot" || b.o.Capture.Method == "declared":
		r.NetworkNote = Unknown + "connections are not seen with the method " + b.o.Capture.Method
	case len(r.Network) == 0:
		r.NetworkNote = "no connection to an IP address or a local socket was asked for"
	default:
		r.NetworkNote = "connections that were asked for; whether they came about is not known"
	}
	return r
}

// endpointOf reads "ip4 192.0.2.1:443" and "unix /run/x".
func endpointOf(address string) (Endpoint, bool) {
	family, rest, _ := strings.Cut(address, " ")
	if family == "unix" {
		return Endpoint{Family: family, Address: TextName(rest)}, true
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return Endpoint{}, false
	}
	number, err := strconv.Atoi(port)
	return Endpoint{Family: family, Address: host, Port: number}, err == nil
}

func (b *builder) capture() Capture {
	cached, compiled := 0, 0
	for _, file := range b.o.Files {
		if file.Cached {
			cached++
		}
		if file.Class == runner.InstalledCache {
			compiled++
		}
	}
	c := b.o.Capture
	if compiled > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d files of bytecode were written into installed packages and are not listed", compiled))
	}
	return Capture{
		Method: c.Method, Complete: len(c.Reasons) == 0, Reasons: append([]string{}, c.Reasons...), Notes: append([]string{}, c.Notes...),
		Dropped: c.Dropped, Observer: b.o.Observer, CachedDigests: cached, Convrun: Tool{Version: orUnknown(b.meta.Version, ""), Digest: known(c.Watcher)},
		Configuration: append([]ResourceDescriptor{}, b.meta.Configuration...),
	}
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return Unknown + "not recorded"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// known is a digest set where one always stands: empty when there is none.
func known(sum string) map[string]string {
	if set := sha256Set(sum); set != nil && !strings.HasPrefix(sum, Unknown) {
		return set
	}
	return map[string]string{}
}

// sha256Set is the digest of a ResourceDescriptor; nil leaves it out.
func sha256Set(sum string) map[string]string {
	if sum == "" {
		return nil
	}
	return map[string]string{"sha256": sum}
}

// FileURI writes an absolute path as a "file:" URI (RFC 8089) in which every
// byte outside RFC 3986's unreserved characters and "/" is percent-encoded.
func FileURI(path string) string {
	const hex = "0123456789ABCDEF"
	var uri strings.Builder
	uri.WriteString("file://")
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			uri.WriteByte(c)
		default:
			uri.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return uri.String()
}
