package provenance

import "github.com/convrun/convrun/provenance/model"

// PredicateType names the predicate of a conversion log.
const PredicateType = "https://convrun.github.io/conversion-log/v1"

// Unknown starts every string that stands where a fact should be but could not
// be had; the reason follows.
const Unknown = "unknown: "

// ConversionLog is the predicate: one section for each part of the template's
// Table 1 "Model conversion information", and what a reader needs to judge it.
// Every field is always present; a fact that could not be had is a string that
// starts with Unknown. Arrays are sorted, or in the order of time where said.
type ConversionLog struct {
	Conversion            Conversion            `json:"conversion"`
	VerifiedLearningModel VerifiedLearningModel `json:"verifiedLearningModel"`
	// Elimination has one row for each of model.Operations, in that order.
	Elimination []Elimination `json:"elimination"`
	Framework   Framework     `json:"framework"`
	// Packages are the Python distributions that the run loaded, by name.
	Packages  []Package `json:"packages"`
	Converter Converter `json:"converter"`
	// FrozenModels are the subjects with what is inside them, main one first.
	FrozenModels []FrozenModel `json:"frozenModels"`
	Environment  Environment   `json:"environment"`
	Run          Run           `json:"run"`
	// Inputs are the files that the run read, packages and system aside.
	Inputs []ResourceDescriptor `json:"inputs"`
	// Outputs are the files that the run wrote and left behind.
	Outputs []ResourceDescriptor `json:"outputs"`
	// Byproducts are files that belong to the log itself.
	Byproducts []ResourceDescriptor `json:"byproducts"`
	// Findings are sorted by ID.
	Findings []Finding `json:"findings"`
	Capture  Capture   `json:"capture"`
}

// Conversion identifies the conversion: the template's first four rows.
type Conversion struct {
	// ID is the user's, else made from the frozen model's name, the date and
	// the start of the invocation ID.
	ID string `json:"id"`
	// Date is the UTC day of the start, YYYY-MM-DD.
	Date        string      `json:"date"`
	Responsible Responsible `json:"responsible"`
	// Phase of the lifecycle; always "Inference Management".
	Phase string `json:"phase"`
	// Supersedes is the digest of the log that this one replaced on disk.
	Supersedes *ResourceDescriptor `json:"supersedes" jsonschema:"nullable"`
	// Reason for this conversion, in the user's words.
	Reason *string `json:"reason" jsonschema:"nullable"`
	// Targets are what the frozen models are meant for, NAME==VERSION, as far as
	// that was stated; findings say where one does not fit.
	Targets []string `json:"targets,omitempty"`
	// Context is what the user gives: item, integrity level, intended target.
	Context map[string]string `json:"context"`
}

// Responsible is the person who converts the model.
type Responsible struct {
	Name string `json:"name"`
	// Email is empty when only a name is known.
	Email string `json:"email"`
	// Source says where name and e-mail come from: "flag", "configuration
	// PATH", "git config" or "operating system user".
	Source string `json:"source"`
}

// VerifiedLearningModel is the trained model that was converted.
type VerifiedLearningModel struct {
	// ID is never guessed from a file's name.
	ID      string `json:"id"`
	Version string `json:"version"`
	// Source says where ID and Version come from.
	Source string `json:"source"`
	// Artifacts are the inputs that hold the trained model.
	Artifacts []ResourceDescriptor `json:"artifacts"`
}

// Elimination is one row of "Elimination of Training-Specific Operations".
type Elimination struct {
	Operation model.Operation `json:"operation"`
	// Status is the frozen model's, or "eliminated" when the source had the
	// operation and the frozen model has not.
	Status model.Status `json:"status"`
	Mode   model.Mode   `json:"mode"`
	// Verdict is "pass", "review" or "fail".
	Verdict string          `json:"verdict" jsonschema:"enum=pass,enum=review,enum=fail"`
	Source  EliminationSide `json:"source"`
	Frozen  EliminationSide `json:"frozen"`
}

// EliminationSide is what the source or the frozen model says about an
// operation, with evidence that a person can check.
type EliminationSide struct {
	Status model.Status `json:"status"`
	Mode   model.Mode   `json:"mode"`
	// Evidence is node names, attributes, counts; or why there is none.
	Evidence []string `json:"evidence"`
}

// Framework is the framework whose code the run really loaded.
type Framework struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Build holds what the framework says of its build, for example
	// {"cuda": "13.2"}.
	Build map[string]string `json:"build"`
	// PURL is a package URL; empty when no package is known to hold it.
	PURL string `json:"purl"`
}

// Package is a Python distribution that the run loaded at least one file of.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// PURL is a package URL, https://github.com/package-url/purl-spec.
	PURL string `json:"purl"`
	// Files is how many of its files the run loaded.
	Files int `json:"files"`
	// Digest is one over those files: SHA-256 of the lines
	// "<sha256>  <path in RECORD>\n", sorted by path.
	Digest map[string]string `json:"digest"`
	// Integrity is "matches", "modified: …" or "unknown: …" against RECORD.
	Integrity string `json:"integrity"`
}

// Converter is how the model was converted.
type Converter struct {
	// Name is the observed converter function, else the program.
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Command Command `json:"command"`
	// Calls are the observed converter calls in order of time.
	Calls []Call `json:"calls"`
	// Observation says "observed", or "unknown: …" why no call was seen.
	Observation string `json:"observation"`
	// Scripts are by name.
	Scripts []Script `json:"scripts"`
	Source  Source   `json:"source"`
}

// Command is the command line as it was run; secrets are redacted.
type Command struct {
	Argv []string `json:"argv"`
	// Executable is the program's file.
	Executable ResourceDescriptor `json:"executable"`
	// WorkingDirectory is absolute.
	WorkingDirectory string `json:"workingDirectory"`
}

// Call is one call of a converter function as it was really made.
type Call struct {
	// Function is its full dotted name.
	Function string `json:"function"`
	// Package and Version are the distribution that holds the function.
	Package string `json:"package"`
	Version string `json:"version"`
	// Given lists the parameters that the caller named or passed.
	Given []string `json:"given"`
	// Arguments are the effective ones, defaults included; a tensor is its
	// dtype and shape, an object its class.
	Arguments map[string]any `json:"arguments"`
	// Model is the census of the converted model object, when there was one.
	Model *SourceModel `json:"model" jsonschema:"nullable"`
	// StartedOn is RFC 3339 UTC.
	StartedOn string `json:"startedOn"`
	// Duration in seconds.
	Duration float64 `json:"duration"`
	// Outcome is "returned", "raised: TYPE: MESSAGE" or "unfinished".
	Outcome string `json:"outcome"`
}

// SourceModel is what the observer saw of the model object that a converter
// was given; nothing of the model is run for it.
type SourceModel struct {
	// Class is its full dotted name.
	Class string `json:"class"`
	// Training is the object's own training flag; nil when it has none.
	Training *bool `json:"training" jsonschema:"nullable"`
	// Parameters is the number of scalars; -1 is unknown.
	Parameters int64 `json:"parameters"`
	// Modules counts sub-modules by class.
	Modules []ModuleCount `json:"modules"`
}

// ModuleCount counts the sub-modules of one class.
type ModuleCount struct {
	Class string `json:"class"`
	Count int    `json:"count"`
	// Training is how many of them had their training flag set.
	Training int `json:"training"`
}

// Script is a script or module of the user's own that the run read.
type Script struct {
	Name   string            `json:"name"`
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
	// Text is the script itself, or "unknown: …" when it was left out.
	Text string `json:"text"`
}

// Source is the version-control state of the script's repository.
type Source struct {
	// VCS is "git", or "unknown: …".
	VCS string `json:"vcs"`
	// Commit is the full hash of HEAD.
	Commit string `json:"commit"`
	// Remote is the URL of "origin" without credentials.
	Remote string `json:"remote"`
	// Dirty is nil when it could not be told.
	Dirty *bool `json:"dirty" jsonschema:"nullable"`
}

// FrozenModel is a subject and what is inside it.
type FrozenModel struct {
	// Name and Digest are those of the main file, as in the subject.
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
	// Format is convrun's name of the format, for example "onnx".
	Format string `json:"format"`
	// FormatVersion is the format's own, for example "IR 8".
	FormatVersion string `json:"formatVersion"`
	// Producer is the program that wrote the file, as the file claims.
	Producer string `json:"producer"`
	// Opsets maps an operator domain ("" is ai.onnx) to the imported version.
	Opsets map[string]int64 `json:"opsets"`
	// Inputs are the entry point's, in the file's order.
	Inputs []model.Value `json:"inputs"`
	// Outputs are the entry point's, in the file's order.
	Outputs []model.Value `json:"outputs"`
	// Operators counts nodes by type.
	Operators map[string]int `json:"operators"`
	// Parameters is -1 when unknown.
	Parameters int64 `json:"parameters"`
	// Parts are the subjects that belong to this model besides its main file.
	Parts []ResourceDescriptor `json:"parts"`
}

// Environment is the machine and what of it numbers can depend on.
type Environment struct {
	OS           OS            `json:"os"`
	CPU          CPU           `json:"cpu"`
	Memory       Memory        `json:"memory"`
	Accelerators []Accelerator `json:"accelerators"`
	// AcceleratorsNote says why Accelerators may be incomplete.
	AcceleratorsNote string `json:"acceleratorsNote"`
	// Interpreters are the Pythons that ran.
	Interpreters []Interpreter `json:"interpreters"`
	// Container is the container runtime whose marks were found, or says that
	// none were.
	Container string `json:"container"`
	// Numerics are determinism and threading settings as the framework had
	// them at its end.
	Numerics map[string]string `json:"numerics"`
	// Variables are the allow-listed environment variables, secrets redacted.
	Variables map[string]string `json:"variables"`
	// WithheldVariables are the names of all other environment variables.
	WithheldVariables []string `json:"withheldVariables"`
	// Libraries are the shared libraries of the operating system.
	Libraries []ResourceDescriptor `json:"libraries"`
	// SystemFiles is how many further files of the system, and of interpreters
	// with their standard libraries, were read.
	SystemFiles int `json:"systemFiles"`
}

// OS is the operating system.
type OS struct {
	// Name is the kernel's or the system's, for example "linux".
	Name string `json:"name"`
	// Version is the distribution or release.
	Version string `json:"version"`
	// Kernel is the kernel's version.
	Kernel       string `json:"kernel"`
	Architecture string `json:"architecture"`
}

// CPU is the processor.
type CPU struct {
	Model string `json:"model"`
	Cores int    `json:"cores"`
	// Features are the ISA extensions that floating-point results may depend
	// on.
	Features []string `json:"features"`
}

// Memory is the machine's main memory.
type Memory struct {
	// Total in bytes; 0 is unknown.
	Total uint64 `json:"total"`
}

// Accelerator is a device as the framework or the kernel names it.
type Accelerator struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
}

// Interpreter is a Python that ran.
type Interpreter struct {
	// Implementation is for example "CPython".
	Implementation string `json:"implementation"`
	Version        string `json:"version"`
	// Compiler that the interpreter was built with.
	Compiler string `json:"compiler"`
	// Executable is the path of its program.
	Executable string `json:"executable"`
	// Digest of the executable.
	Digest map[string]string `json:"digest"`
}

// Run is what happened.
type Run struct {
	// InvocationID is a random UUID.
	InvocationID string `json:"invocationId"`
	// StartedOn is RFC 3339 UTC.
	StartedOn string `json:"startedOn"`
	// FinishedOn is RFC 3339 UTC.
	FinishedOn string `json:"finishedOn"`
	// ExitCode is -1 when a signal ended the command.
	ExitCode int `json:"exitCode"`
	// Signal is the name ("SIGTERM"), or nil.
	Signal *string `json:"signal" jsonschema:"nullable"`
	// Processes are the programs that were executed, in order of time.
	Processes []Process `json:"processes"`
	// Network are the endpoints that connections were asked for to.
	Network []Endpoint `json:"network"`
	// NetworkNote says how Network is to be read, or why it is empty.
	NetworkNote string `json:"networkNote"`
	// StillRunning are processes that outlived the command.
	StillRunning []int `json:"stillRunning"`
}

// Process is one executed program.
type Process struct {
	PID int `json:"pid"`
	// Parent is the PID of the process that started it.
	Parent int `json:"parent"`
	// Argv as it was run; secrets are redacted.
	Argv []string `json:"argv"`
	// Executable is the program file, its digest when it is known.
	Executable ResourceDescriptor `json:"executable"`
}

// Endpoint is an address that a process of the run connected to.
type Endpoint struct {
	// Family is "ip4" or "ip6", or "unix" for a socket on the same machine.
	Family string `json:"family"`
	// Address is an IP address, or the socket's path; "@" comes before the name
	// of a socket that is no file.
	Address string `json:"address"`
	// Port is 0 for a socket on the same machine.
	Port int `json:"port"`
}

// Finding is something a reader should know, with a stable ID.
type Finding struct {
	// ID is stable; docs/findings.md lists them.
	ID string `json:"id"`
	// Severity is "error", "warning" or "note".
	Severity string `json:"severity" jsonschema:"enum=error,enum=warning,enum=note"`
	Message  string `json:"message"`
	// Evidence is what the message rests on; it may be empty.
	Evidence string `json:"evidence"`
	// Subject is the file, package or logger that it is about; empty when that
	// is the run.
	Subject string `json:"subject,omitempty"`
	// Waiver is why the finding was accepted; nil when it was not.
	Waiver *Waiver `json:"waiver" jsonschema:"nullable"`
}

// Waiver says that someone accepted a finding, and why.
type Waiver struct {
	Reason string `json:"reason"`
	// By is who accepted it, or "unknown: …".
	By string `json:"by"`
	// Source is where the waiver was given: "flag" or "configuration PATH".
	Source string `json:"source"`
}

// Capture says how the run was watched and what that cannot have seen.
type Capture struct {
	// Method is "seccomp-notify", "ptrace", "ptrace-all", "snapshot" or
	// "declared".
	Method   string `json:"method" jsonschema:"enum=seccomp-notify,enum=ptrace,enum=ptrace-all,enum=snapshot,enum=declared"`
	Complete bool   `json:"complete"`
	// Reasons say why Complete is false, sorted.
	Reasons []string `json:"reasons"`
	// Notes are limits that do not make the capture incomplete.
	Notes []string `json:"notes"`
	// Dropped counts events that could not be kept.
	Dropped int `json:"dropped"`
	// Observer is "python", or "none: …" with the reason.
	Observer string `json:"observer"`
	// CachedDigests is how many digests of package and system files came
	// from the digest cache.
	CachedDigests int `json:"cachedDigests"`
	// Convrun is the program that wrote the log.
	Convrun Tool `json:"convrun"`
	// Configuration lists the configuration files that were used.
	Configuration []ResourceDescriptor `json:"configuration"`
}

// Tool is convrun itself.
type Tool struct {
	Version string `json:"version"`
	// Digest of its executable.
	Digest map[string]string `json:"digest"`
}
