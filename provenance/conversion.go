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
	Packages []Package `json:"packages"`
	// OtherPackages are packages that are no Python distributions, by purl.
	OtherPackages []OtherPackage `json:"otherPackages,omitempty"`
	// Unpackaged are files of folders of packages, of interpreters and of the
	// system that no package holds.
	Unpackaged []ResourceDescriptor `json:"unpackaged,omitempty"`
	// NativeLibraries are libraries that numbers depend on, by name.
	NativeLibraries []NativeLibrary `json:"nativeLibraries,omitempty"`
	// Hubs are the revisions on model hubs that files of the run come from.
	Hubs      []HubSource `json:"hubs,omitempty"`
	Converter Converter   `json:"converter"`
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
	// Shortened are the lists that this log holds in part only, in the order
	// in which they were shortened; none in most logs.
	Shortened []Shortened `json:"shortened,omitempty"`
	// Findings are sorted by ID.
	Findings []Finding `json:"findings"`
	Capture  Capture   `json:"capture"`
}

// Conversion identifies the conversion: the template's first four rows.
type Conversion struct {
	// ID is the user's, else made from the frozen model's name, the date and
	// the start of the invocation ID.
	ID string `json:"id"`
	// IDSource says where ID comes from: "flag", "environment CONVRUN_ID", or
	// what it was made of.
	IDSource string `json:"idSource,omitempty"`
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
	// ContextSources says where each of Context comes from.
	ContextSources map[string]string `json:"contextSources,omitempty"`
}

// Responsible is the person who converts the model.
type Responsible struct {
	Name string `json:"name"`
	// Email is empty when only a name is known.
	Email string `json:"email"`
	// Source says where name and e-mail come from: "flag", "environment NAME",
	// "configuration PATH", "git config" or "operating system user".
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
	// Proof says how many batch normalizations of the trained model's file
	// were found in the frozen model by their numbers; "" when none was looked
	// for, so that "folded" is inferred from names.
	Proof string `json:"proof,omitempty"`
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
	// Installer is the program that installed it.
	Installer string `json:"installer,omitempty"`
	// DirectURL is where it was installed from when that was no index.
	DirectURL string `json:"directUrl,omitempty"`
	// Commit is the version-control commit that was installed or, of an editable
	// install, that its folder is at: "git HASH", or "unknown: …".
	Commit string `json:"commit,omitempty"`
	// Modified are loaded files that differ from RECORD, Extra loaded ones that
	// RECORD does not list, Missing those that it lists and that are not there.
	Modified []string `json:"modified,omitempty"`
	Extra    []string `json:"extra,omitempty"`
	Missing  []string `json:"missing,omitempty"`
}

// OtherPackage is a package that is no Python distribution, and of which the
// run used at least one file: of the operating system, of conda, Node or Java.
type OtherPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// PURL is a package URL; empty when there is no type for the package.
	PURL string `json:"purl"`
	// Record is the file that says so.
	Record string `json:"record"`
	// Files is how many of its files the run used.
	Files int `json:"files"`
	// Digest is one over those files: SHA-256 of the lines
	// "<sha256>  <absolute path>\n", sorted by path.
	Digest map[string]string `json:"digest"`
	// Integrity is "matches", "modified: …" or "unknown: …" against the record.
	Integrity string `json:"integrity"`
	// Modified are the files that differ from the record.
	Modified []string `json:"modified,omitempty"`
}

// NativeLibrary is a library of numerics that the run loaded, or that a
// framework says to be built into it.
type NativeLibrary struct {
	// Name is for example "cuDNN".
	Name    string `json:"name"`
	Version string `json:"version"`
	// Evidence is the files, their packages, or the framework's own word.
	Evidence []string `json:"evidence"`
}

// HubSource is a revision of a repository on a model hub of which the run used
// files.
type HubSource struct {
	// Hub is "huggingface", "torch", "keras" or "kaggle".
	Hub string `json:"hub"`
	// Kind is "model", "dataset", "space" or "code".
	Kind string `json:"kind"`
	// Repository is OWNER/NAME.
	Repository string `json:"repository"`
	// Revision is what the cache keeps the files under.
	Revision string `json:"revision"`
	// Ref is the branch or tag that the run asked for; empty when it asked for
	// none, or when that cannot be told.
	Ref string `json:"ref"`
	// Pinned tells whether the same command gets the same content; nil when it
	// cannot be told.
	Pinned *bool `json:"pinned" jsonschema:"nullable"`
	// Reason says why.
	Reason string `json:"reason"`
	// PURL is a package URL; empty when there is no type for the hub.
	PURL string `json:"purl"`
	// Location is the folder of the revision, or the file.
	Location string `json:"location"`
	// Files is how many of its files the run used.
	Files int `json:"files"`
	// Digest is one over those files: SHA-256 of the lines
	// "<sha256>  <path in the repository>\n", sorted by path.
	Digest map[string]string `json:"digest"`
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
	// Encoding of the file, for example "utf-8" or "iso-8859-1"; Text is in
	// UTF-8.
	Encoding string `json:"encoding,omitempty"`
}

// Source is the version-control state of the script's repository.
type Source struct {
	// VCS is "git", or "unknown: …".
	VCS string `json:"vcs"`
	// Commit is the full hash of HEAD.
	Commit string `json:"commit"`
	// Branch that was checked out, or "none: …".
	Branch string `json:"branch,omitempty"`
	// Remote is the URL of "origin", or of the only remote, without
	// credentials.
	Remote string `json:"remote"`
	// Dirty tells whether tracked files differed from the commit; nil when it
	// could not be told.
	Dirty *bool `json:"dirty" jsonschema:"nullable"`
	// Diff is the digest of how they differed.
	Diff *ResourceDescriptor `json:"diff,omitempty"`
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
	// CanonicalDigest is of what the model does, whatever its names, metadata
	// and encoding, docs/spec/canonical-digest-v1.md; empty when there is none.
	CanonicalDigest map[string]string `json:"canonicalDigest,omitempty"`
	// CanonicalDigestNote says why CanonicalDigest is empty; else it is "".
	CanonicalDigestNote string `json:"canonicalDigestNote,omitempty"`
	// DTypes splits Parameters by element type; it is left out when that is not
	// known.
	DTypes map[string]int64 `json:"dtypes,omitempty"`
	// Parts are the subjects that belong to this model besides its main file.
	Parts []ResourceDescriptor `json:"parts"`
	// Manifest is one digest of all its files; left out of a model that is one
	// file.
	Manifest *Manifest `json:"manifest,omitempty"`
}

// Manifest is one digest of a model of several files, as the tool of the OpenSSF
// Model Signing specification computes it.
type Manifest struct {
	// Digest is over the digests of the files; empty when Reason says why.
	Digest map[string]string `json:"digest"`
	// Files is how many files it covers.
	Files int `json:"files"`
	// Reason why there is no digest.
	Reason string `json:"reason,omitempty"`
}

// ModelSignature is a signature that lay beside a model which the run read. It
// was not verified: it is what somebody claims.
type ModelSignature struct {
	// Name and Digest of the file.
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
	// PredicateType is that of the signed Statement.
	PredicateType string `json:"predicateType"`
	// Subject is the model's name in the Statement, SubjectDigest its digest
	// there.
	Subject       string            `json:"subject"`
	SubjectDigest map[string]string `json:"subjectDigest"`
	// Signer is how the bundle names its key or certificate.
	Signer string `json:"signer"`
	// Covers tells whether the Statement is about the very bytes that the run
	// read: "matches", "differs: …" or "unknown: …".
	Covers string `json:"covers"`
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
	// ContainerImage is what the container is said to be made from, and by what.
	ContainerImage string `json:"containerImage,omitempty"`
	// Limits are those of control groups.
	Limits *Limits `json:"limits,omitempty"`
	// Locale is the locale by category, such as "LC_NUMERIC".
	Locale map[string]string `json:"locale,omitempty"`
	// TimeZone is a name of the tz database.
	TimeZone string `json:"timeZone,omitempty"`
	// CI is the job of a continuous-integration service, as environment
	// variables claim it.
	CI *CI `json:"ci,omitempty"`
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
	// Libc is the C library, for example "glibc 2.36".
	Libc string `json:"libc,omitempty"`
}

// Limits are the lowest ones of the run's control groups and those above them.
type Limits struct {
	// ControlGroups is the version, "v1" or "v2".
	ControlGroups string `json:"controlGroups"`
	// CPUs is a decimal number of processors' time, or "none: …".
	CPUs string `json:"cpus"`
	// Memory is a decimal number of bytes, or "none: …".
	Memory string `json:"memory"`
}

// CI is a job of a continuous-integration service.
type CI struct {
	// Service is for example "GitHub Actions".
	Service string `json:"service"`
	// Run is the URL of the run.
	Run        string `json:"run"`
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	// Ref is a branch or tag.
	Ref string `json:"ref"`
	// Workflow is the name, or the file, of what was to be done.
	Workflow string `json:"workflow"`
	// Job is the part of it that this was.
	Job string `json:"job"`
}

// CPU is the processor.
type CPU struct {
	Model string `json:"model"`
	// Cores are the logical ones that are online.
	Cores int `json:"cores"`
	// PhysicalCores are the cores that they share.
	PhysicalCores int `json:"physicalCores,omitempty"`
	// UsableCores are the logical ones that the command was allowed to run on.
	UsableCores int `json:"usableCores,omitempty"`
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
	// Build names what the interpreter was built from, and when, as it says.
	Build string `json:"build,omitempty"`
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
	// Redactions is how many texts of the log have lost a secret.
	Redactions int `json:"redactions,omitempty"`
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
