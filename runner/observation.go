package runner

import (
	"time"

	"github.com/convrun/convrun/runner/hub"
	"github.com/convrun/convrun/runner/installed"
	"github.com/convrun/convrun/runner/python"
)

// Observation is everything that was seen of one run: plain data that can be
// saved and loaded.
type Observation struct {
	// InvocationID is a random UUID (RFC 9562, version 4).
	InvocationID string `json:"invocationId"`
	// Argv is the command, secrets redacted.
	Argv             []string  `json:"argv"`
	WorkingDirectory string    `json:"workingDirectory"`
	Started          time.Time `json:"started"`
	Finished         time.Time `json:"finished"`
	// ExitCode is -1 when Signal ended the command.
	ExitCode int `json:"exitCode"`
	// Signal is a name such as "SIGTERM", or empty.
	Signal string `json:"signal"`
	// StartError says why the command could not be executed, or is empty.
	StartError string `json:"startError"`
	// Processes are the executed programs in order of time.
	Processes []Process `json:"processes"`
	// Files are sorted by path.
	Files []File `json:"files"`
	// Network are the endpoints that connections were asked for to, sorted:
	// "ip4 192.0.2.1:443", "ip6 [2001:db8::1]:443", "unix /run/x", "unix @x".
	Network []string `json:"network"`
	// StillRunning are processes that outlived the command.
	StillRunning []int `json:"stillRunning"`

	Python        python.Record         `json:"python"`
	Distributions []python.Distribution `json:"distributions"`
	// Packages are the packages of the operating system and of other languages
	// that files of the run belong to. A file of a distribution may belong to
	// one of them too.
	Packages []installed.Package `json:"packages"`
	// Unpackaged are the files of folders of packages, of interpreters and of
	// the system that belong to none of them, sorted.
	Unpackaged []Unpackaged `json:"unpackaged"`
	// Hubs are the revisions of repositories on model hubs that files of the run
	// come from.
	Hubs []hub.Source `json:"hubs"`
	// Libraries are the loaded libraries whose versions numbers depend on.
	Libraries []Library `json:"libraries"`
	// Observer is "python", or "none: …" with the reason.
	Observer string  `json:"observer"`
	Host     Host    `json:"host"`
	Source   Source  `json:"source"`
	Capture  Capture `json:"capture"`
}

// Process is one executed program.
type Process struct {
	PID    int      `json:"pid"`
	Parent int      `json:"parent"`
	Argv   []string `json:"argv"`
	// Path is the program's file, without links.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// Class is what a file is to the run.
type Class string

// The classes of files.
const (
	// Input was read and is none of the following.
	Input Class = "input"
	// Code is a script, or a module of the user's own.
	Code Class = "code"
	// Package belongs to a package installation of an interpreter.
	Package Class = "package"
	// Runtime belongs to an interpreter itself, its standard library included.
	Runtime Class = "runtime"
	// System belongs to the operating system.
	System Class = "system"
	// Output was written and is still there.
	Output Class = "output"
	// Cache was written for the program's own later use (.pyc).
	Cache Class = "cache"
	// InstalledCache is a Cache inside a package or an interpreter: a first run
	// after an installation writes thousands.
	InstalledCache Class = "installed-cache"
	// Untouched belongs to an output, and the run neither read nor wrote it.
	Untouched Class = "untouched"
	// Temporary was written and is gone.
	Temporary Class = "temporary"
)

// File is one file that the run touched.
type File struct {
	// Path is absolute and without links, as it was called last.
	Path  string `json:"path"`
	Class Class  `json:"class"`
	// Requested is the path as the command gave it when that led elsewhere by
	// name: through a link, for example.
	Requested string `json:"requested,omitempty"`
	// Read, Written and Executed say what was done; Read is set only when
	// content from before the run could be read.
	Read     bool `json:"read,omitempty"`
	Written  bool `json:"written,omitempty"`
	Executed bool `json:"executed,omitempty"`
	Removed  bool `json:"removed,omitempty"`
	Declared bool `json:"declared,omitempty"`
	// Inherited is set when a descriptor that was open before the run, such as
	// a redirected standard output, led to the file.
	Inherited bool `json:"inherited,omitempty"`
	// RenamedFrom is the name under which the run found or first wrote it.
	RenamedFrom string `json:"renamedFrom,omitempty"`
	// Size in bytes and SHA256 (hex) of an input as it was read, of an output
	// as it was left; SHA256 is empty when Reason says why.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	Reason string `json:"reason,omitempty"`
	// BeforeSHA256 and BeforeSize are those of the content that the run read,
	// or could have read, before it wrote the file.
	BeforeSHA256 string `json:"beforeSha256,omitempty"`
	BeforeSize   int64  `json:"beforeSize,omitempty"`
	// Cached is set when SHA256 came from the digest cache.
	Cached bool `json:"cached,omitempty"`
}

// Unpackaged is a file that no package holds. A module of which only the
// bytecode was read stands with its source.
type Unpackaged struct {
	Path   string `json:"path"`
	Class  Class  `json:"class"`
	SHA256 string `json:"sha256"`
}

// Capture says how the run was watched.
type Capture struct {
	Method string `json:"method"`
	// Reasons say what may be missing from Files and why; none means that the
	// capture is complete.
	Reasons []string `json:"reasons"`
	// Notes are side effects and limits that leave it complete.
	Notes []string `json:"notes"`
	// Degraded is what the command could not do because it was watched.
	Degraded []string `json:"degraded"`
	Dropped  int      `json:"dropped"`
	// Watcher is the SHA-256 (hex) of the program that watched; empty when a
	// note says why it is not known.
	Watcher string `json:"watcher"`
}

// Host is the machine, at the end of the run.
type Host struct {
	OS           string `json:"os"`
	Distribution string `json:"distribution"`
	Kernel       string `json:"kernel"`
	Architecture string `json:"architecture"`
	// Libc is the system's C library, for example "glibc 2.36".
	Libc     string `json:"libc"`
	CPUModel string `json:"cpuModel"`
	// CPUCores are the logical ones that are online, CPUPhysical the cores that
	// they share, CPUUsable those that the command may run on. 0 is unknown.
	CPUCores    int `json:"cpuCores"`
	CPUPhysical int `json:"cpuPhysical"`
	CPUUsable   int `json:"cpuUsable"`
	// CPUFeatures are the ISA extensions that floating-point results may
	// depend on.
	CPUFeatures []string `json:"cpuFeatures"`
	// Memory in bytes; 0 is unknown.
	Memory       uint64   `json:"memory"`
	Accelerators []Device `json:"accelerators"`
	Limits       Limits   `json:"limits"`
	// Container is the container runtime that left its marks, ContainerImage
	// what the container is said to be made from.
	Container      string `json:"container"`
	ContainerImage string `json:"containerImage"`
	// Locale by category, such as "LC_NUMERIC".
	Locale map[string]string `json:"locale"`
	// TimeZone is a name of the tz database.
	TimeZone string `json:"timeZone"`
	// CI is nil when no service says that it runs this.
	CI *CI `json:"ci"`
	// Variables are the allow-listed environment variables, Withheld the names
	// of all others.
	Variables map[string]string `json:"variables"`
	Withheld  []string          `json:"withheld"`
	User      string            `json:"user"`
}

// Device is an accelerator as its driver names it.
type Device struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
}

// Limits are those of control groups, the lowest that applies.
type Limits struct {
	// Cgroup is "v1", "v2" or "unknown: …".
	Cgroup string `json:"cgroup"`
	// CPUs is a decimal number of processors, Memory one of bytes; or "none: …"
	// or "unknown: …".
	CPUs   string `json:"cpus"`
	Memory string `json:"memory"`
}

// Source is the state of the repository that holds the main script, or the
// working directory.
type Source struct {
	// VCS is "git", or "unknown: …"; the other fields are then empty.
	VCS    string `json:"vcs"`
	Commit string `json:"commit"`
	// Branch is a name, or "none: …".
	Branch string `json:"branch"`
	// Remote is the URL of "origin", or of the only remote, without user name
	// and password.
	Remote string `json:"remote"`
	// Dirty tells whether tracked files differ from the commit; nil is unknown.
	Dirty *bool      `json:"dirty"`
	Diff  Difference `json:"diff"`
	// Name and Email are the committer's, as git would use them, and NameFrom
	// where git has the name from.
	Name     string `json:"name"`
	Email    string `json:"email"`
	NameFrom string `json:"nameFrom"`
}

// Difference is how the tracked files differ from the commit.
type Difference struct {
	// SHA256 (hex) of the output of git diff, and its size in bytes; empty when
	// nothing differs or Reason says why it is not known.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Reason string `json:"reason"`
}
