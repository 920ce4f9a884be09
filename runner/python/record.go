package python

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what Read takes in; what lies beyond is counted in Problems.
const (
	maxLine    = 4 << 20
	maxFile    = 64 << 20
	maxFiles   = 10_000
	maxRecords = 100_000
	maxMessage = 1000
	maxProblem = 100
)

// Record is what all observed processes of a run wrote down. Everything in it
// is what the processes said: a program that means to can write here too.
type Record struct {
	// Calls in order of their start.
	Calls []Call `json:"calls"`
	// Warnings are those that were shown or logged, sorted, equal ones counted.
	Warnings []Warning `json:"warnings"`
	// Interpreters has one entry for each process that a Python was started
	// in, by process ID; a forked child has none of its own.
	Interpreters []Interpreter `json:"interpreters"`
	// Frameworks has one entry for each different state that a framework was
	// in at the end of a process, or after its last observed call when the
	// process did not come to its end; sorted.
	Frameworks []Framework `json:"frameworks"`
	// Problems says what could not be observed or read, sorted.
	Problems []string `json:"problems"`
}

// Call is one call of an observed function. A call that an observed function
// itself makes to another one is part of it and is not listed.
type Call struct {
	// Function is the name that users call it by, "torch.onnx.export".
	Function string `json:"function"`
	// Module is the module it was found in, File that module's file.
	Module string `json:"module"`
	File   string `json:"file"`
	// Package is the top-level module, Version its own word for its version.
	Package string `json:"package"`
	Version string `json:"version"`
	// PID is the process as it saw itself.
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Duration is 0 while Outcome is "unfinished".
	Duration time.Duration `json:"duration"`
	// Given are the parameters that the caller passed, in the order of the
	// function's parameters, also when the value passed equals the default.
	Given []string `json:"given"`
	// Arguments are the effective values by parameter, defaults included:
	// nil, bool, string, json.Number, []any and map[string]any. A tensor is
	// {"dtype", "shape"}, bytes {"bytes": length}, a function or class
	// {"callable": name}, another object {"class": name}; an enum is
	// "Class.NAME"; integers beyond 2^53, NaN and infinities are strings. What
	// was cut off is marked with "…" or {"truncated": true}.
	Arguments map[string]any `json:"arguments"`
	// Model is the census of the model object, nil when the function takes
	// none.
	Model *Model `json:"model"`
	// Reads and Writes are the absolute paths of the files that the call was
	// asked to read and write.
	Reads  []string `json:"reads"`
	Writes []string `json:"writes"`
	// Saves is set when the call is no conversion: the function only writes a
	// model as it is, or prepares a conversion that a later call makes.
	Saves bool `json:"saves"`
	// Added is set when the user had the function observed. Such a call may be
	// made by another recorded one, and may make others.
	Added bool `json:"added"`
	// Outcome is "returned", "raised: TYPE: MESSAGE" or "unfinished".
	Outcome string `json:"outcome"`
}

// Model is the census of a model object; nothing of it was run.
type Model struct {
	// Class is the qualified name of the object's class.
	Class string `json:"class"`
	// Training is the object's training flag, nil when it has none.
	Training *bool `json:"training"`
	// Parameters is the number of scalars, -1 when it could not be told. For
	// Keras it includes the weights that training does not change.
	Parameters int64 `json:"parameters"`
	// Modules counts the object and its sub-modules by class, by name.
	Modules []ModuleCount `json:"modules"`
	// Problem says why the census is incomplete, if it is.
	Problem string `json:"problem,omitempty"`
}

// ModuleCount counts the sub-modules of one class.
type ModuleCount struct {
	Class string `json:"class"`
	Count int    `json:"count"`
	// Training is how many of them have their training flag set; 0 for
	// frameworks without such a flag.
	Training int `json:"training"`
}

// Uncaught is the Source of the exception that ended a process.
const Uncaught = "exception"

// Warning is a Python warning that was shown, a log record of level WARNING or
// above, or the exception that ended a process.
type Warning struct {
	// Source is "warnings", the name of the logger, or Uncaught.
	Source string `json:"source"`
	// Category is the class of the warning or exception, or the level of the
	// log record.
	Category string `json:"category"`
	Message  string `json:"message"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	// Count is how often it came.
	Count int `json:"count"`
}

// Interpreter is a Python that was started.
type Interpreter struct {
	PID int `json:"pid"`
	// Implementation is sys.implementation.name: "cpython", "pypy".
	Implementation string `json:"implementation"`
	Version        string `json:"version"`
	// Build names the source that it was built from, and when.
	Build    string `json:"build"`
	Compiler string `json:"compiler"`
	// Executable is sys.executable; Prefix differs from BasePrefix in a
	// virtual environment.
	Executable string `json:"executable"`
	Prefix     string `json:"prefix"`
	BasePrefix string `json:"basePrefix"`
}

// Framework is what a framework said about itself.
type Framework struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Build is how it was built: "cuda", "cudnn", "git_version" and so on.
	Build map[string]string `json:"build"`
	// Numerics are settings that results may depend on; names start with the
	// framework's, as in "torch.num_threads".
	Numerics map[string]string `json:"numerics"`
	// Accelerators are the devices it had started to use.
	Accelerators []Accelerator `json:"accelerators"`
}

// Accelerator is a device as the framework names it.
type Accelerator struct {
	Name string `json:"name"`
	// Driver is the version of the device's driver, or empty.
	Driver string `json:"driver"`
}

// Read returns what the processes of the run have written until now. A line or
// a file that cannot be read is told in Problems; the error is only about the
// folder itself.
func (o *Observer) Read() (Record, error) {
	names, err := os.ReadDir(o.records)
	if err != nil {
		return Record{}, fmt.Errorf("read what Python processes recorded: %w", err)
	}
	var c collector
	for i, entry := range names {
		if i == maxFiles {
			c.problem("%d files of records were not read: more than %d", len(names)-i, maxFiles)
			break
		}
		c.readFile(filepath.Join(o.records, entry.Name()))
	}
	for _, f := range o.added {
		if reason, told := c.added[f.String()]; !told {
			c.problem("%s was not observed: no observed Python imported the module %s", f, f.Module)
		} else if reason != "" {
			c.problem("%s was not observed: %s", f, reason)
		}
	}
	return c.record(), nil
}

// line is the union of all kinds of lines.
type line struct {
	Kind string `json:"kind"`
	PID  int    `json:"pid"`
	// interpreter
	Implementation   string `json:"implementation"`
	Version          string `json:"version"`
	Compiler         string `json:"compiler"`
	InterpreterBuild string `json:"interpreter_build"`
	Executable       string `json:"executable"`
	Prefix           string `json:"prefix"`
	BasePrefix       string `json:"base_prefix"`
	// start
	ID        int64          `json:"id"`
	Time      string         `json:"time"`
	Function  string         `json:"function"`
	Module    string         `json:"module"`
	Package   string         `json:"package"`
	Saves     bool           `json:"saves"`
	Added     bool           `json:"added"`
	Given     []string       `json:"given"`
	Reads     []string       `json:"reads"`
	Writes    []string       `json:"writes"`
	Arguments map[string]any `json:"arguments"`
	Model     *Model         `json:"model"`
	// end
	Duration string `json:"duration"`
	Outcome  string `json:"outcome"`
	// warning; File also of start
	Source   string `json:"source"`
	Category string `json:"category"`
	Message  string `json:"message"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	// framework
	Name         string            `json:"name"`
	Build        map[string]string `json:"build"`
	Numerics     map[string]string `json:"numerics"`
	Accelerators []Accelerator     `json:"accelerators"`
	// dropped
	Count int `json:"count"`
}

// collector gathers the lines of all files.
type collector struct {
	calls        []*Call
	warnings     map[Warning]int
	interpreters []Interpreter
	frameworks   map[string]Framework
	problems     map[string]int
	// added tells of functions that the user added why they are not observed;
	// empty when some process does observe them.
	added   map[string]string
	records int
}

func (c *collector) problem(format string, args ...any) {
	if c.problems == nil {
		c.problems = map[string]int{}
	}
	text := clip(fmt.Sprintf(format, args...))
	if _, known := c.problems[text]; known || len(c.problems) < maxProblem {
		c.problems[text]++
	}
}

// clip bounds a text that a process wrote.
func clip(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "…"
}

func (c *collector) readFile(name string) {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		c.problem("%s in the folder of records is no regular file", filepath.Base(name))
		return
	}
	file, err := os.Open(name)
	if err != nil {
		c.problem("records of a process: %v", err)
		return
	}
	defer file.Close()
	if info.Size() > maxFile {
		c.problem("records of a process: only the first %d of %d bytes were read", maxFile, info.Size())
	}
	c.read(io.LimitReader(file, maxFile))
}

// read takes in the records of one process.
func (c *collector) read(source io.Reader) {
	file := processFile{calls: map[int64]*Call{}, frameworks: map[string]Framework{}}
	lines := bufio.NewScanner(source)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if c.records++; c.records > maxRecords {
			c.problem("only the first %d records were read", maxRecords)
			break
		}
		var l line
		decoder := json.NewDecoder(strings.NewReader(lines.Text()))
		decoder.UseNumber()
		if err := decoder.Decode(&l); err != nil {
			c.problem("a record is no valid JSON line")
			continue
		}
		c.add(&file, l)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		c.problem("a record is longer than %d bytes, it and what follows it were not read", maxLine)
	} else if err != nil {
		c.problem("records of a process: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(file.frameworks)) {
		c.addFramework(file.frameworks[name])
	}
}

// processFile is what lines of one file refer to.
type processFile struct {
	calls map[int64]*Call
	// frameworks holds the last word on each; an earlier one stands only when
	// the process did not come to its end.
	frameworks map[string]Framework
}

func (c *collector) add(file *processFile, l line) {
	switch l.Kind {
	case "interpreter":
		c.interpreters = append(c.interpreters, Interpreter{
			PID: l.PID, Implementation: l.Implementation, Version: l.Version, Build: l.InterpreterBuild, Compiler: l.Compiler,
			Executable: l.Executable, Prefix: l.Prefix, BasePrefix: l.BasePrefix,
		})
	case "start":
		call, err := newCall(l)
		if err != nil {
			c.problem("a call of %q is recorded without a usable time", l.Function)
		}
		c.calls = append(c.calls, call)
		file.calls[l.ID] = call
	case "end":
		call := file.calls[l.ID]
		nanoseconds, err := strconv.ParseInt(l.Duration, 10, 64)
		if call == nil || err != nil || nanoseconds < 0 || !validOutcome(l.Outcome) {
			c.problem("the end of a call is recorded wrongly")
			return
		}
		call.Duration, call.Outcome = time.Duration(nanoseconds), l.Outcome
		delete(file.calls, l.ID)
	case "warning":
		if c.warnings == nil {
			c.warnings = map[Warning]int{}
		}
		c.warnings[Warning{Source: l.Source, Category: l.Category, Message: l.Message, File: l.File, Line: l.Line}]++
	case "framework":
		file.frameworks[l.Name] = Framework{
			Name: l.Name, Version: l.Version, Build: notNil(l.Build), Numerics: notNil(l.Numerics), Accelerators: l.Accelerators,
		}
	case "problem":
		c.problem("the observer in a Python process: %s", l.Message)
	case "old":
		c.problem("Python %s is too old for its calls to be observed; 3.8 or newer is needed", l.Version)
	case "added":
		if c.added == nil {
			c.added = map[string]string{}
		}
		if reason, told := c.added[l.Function]; !told || reason != "" {
			c.added[l.Function] = l.Message
		}
	case "dropped":
		c.problem("%d warnings of a process were not kept", l.Count)
	case "refused":
		c.problem("%d calls of functions that the configuration adds were not kept: they were more than 100, or too large", l.Count)
	default:
		c.problem("a record is of no known kind")
	}
}

func newCall(l line) (*Call, error) {
	call := &Call{
		Function: l.Function, Module: l.Module, File: l.File, Package: l.Package, Version: l.Version,
		PID: l.PID, Given: l.Given, Arguments: l.Arguments, Model: l.Model,
		Reads: l.Reads, Writes: l.Writes, Saves: l.Saves, Added: l.Added, Outcome: "unfinished",
	}
	nanoseconds, err := strconv.ParseInt(l.Time, 10, 64)
	call.Started = time.Unix(0, nanoseconds).UTC()
	return call, err
}

func validOutcome(outcome string) bool {
	return outcome == "returned" || strings.HasPrefix(outcome, "raised: ")
}

func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// addFramework keeps one of equal words of several processes.
func (c *collector) addFramework(f Framework) {
	if c.frameworks == nil {
		c.frameworks = map[string]Framework{}
	}
	c.frameworks[fmt.Sprintf("%q", []any{f.Name, f.Version, f.Build, f.Numerics, f.Accelerators})] = f
}

// record brings everything in its order.
func (c *collector) record() Record {
	r := Record{Interpreters: c.interpreters}
	slices.SortStableFunc(c.calls, func(a, b *Call) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.PID, b.PID))
	})
	for _, call := range c.calls {
		r.Calls = append(r.Calls, *call)
	}
	for warning, count := range c.warnings {
		warning.Count = count
		r.Warnings = append(r.Warnings, warning)
	}
	slices.SortFunc(r.Warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Category, b.Category), cmp.Compare(a.Message, b.Message))
	})
	slices.SortStableFunc(r.Interpreters, func(a, b Interpreter) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Executable, b.Executable))
	})
	for _, key := range slices.Sorted(maps.Keys(c.frameworks)) {
		r.Frameworks = append(r.Frameworks, c.frameworks[key])
	}
	for _, text := range slices.Sorted(maps.Keys(c.problems)) {
		if n := c.problems[text]; n > 1 {
			text = fmt.Sprintf("%s (%d times)", text, n)
		}
		r.Problems = append(r.Problems, text)
	}
	return r
}
