// Package runner runs one command unchanged and tells what happened: which
// files its process tree read, wrote and executed, what its Python loaded and
// called, and on which machine.
//
// It never changes what the command does, signs nothing, and does not know
// what a conversion log is.
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/convrun/convrun/runner/python"
	"github.com/convrun/convrun/runner/trace"
)

// Command is what to run and how to watch it.
type Command struct {
	// Argv is the command; Argv[0] is looked up as execvp(3) does.
	Argv []string
	// Environ is the raw environment block.
	Environ []string
	// Method of watching; "" is the best that works.
	Method string
	// NoObserver leaves Python processes unobserved.
	NoObserver bool
	// CacheDir is where digests are kept between runs; "" keeps none.
	CacheDir string
	// Inputs and Outputs are declared by the user.
	Inputs, Outputs []string
	// Own are folders of convrun's own, which never count as files of the run.
	Own []string
	// Grace is how long descendants may outlive the command before the run
	// counts as finished without them.
	Grace time.Duration
	// RedactionKey makes marks of redacted values comparable; nil does not.
	RedactionKey []byte
}

// watch is one run under way.
type watch struct {
	command   Command
	mu        sync.Mutex // events come from the tracer and from the start
	files     *collector
	hash      *hasher
	class     classifier
	signals   *signals
	processes []Process
	programs  []*record // of processes, by index
	network   map[string]bool
	gaps      []string
	redact    *redactor
	own       []string
}

// Run runs the command to its end. A command that fails, or cannot be
// executed, is an Observation like any other; an error means that convrun
// could not do its part, and that the command was not started.
func Run(ctx context.Context, command Command) (*Observation, error) {
	invocation, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make an invocation ID: %w", err)
	}
	directory, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	cache := newDigestCache(command.CacheDir)
	w := &watch{
		command: command, files: newCollector(), network: map[string]bool{},
		redact: &redactor{key: command.RedactionKey}, signals: catchSignals(),
	}
	defer w.signals.stop()
	o := &Observation{
		InvocationID: invocation.String(), Argv: w.redact.argv(command.Argv), WorkingDirectory: directory,
		StillRunning: []int{}, Capture: Capture{Reasons: []string{}, Notes: []string{}},
	}
	for _, own := range command.Own {
		w.own = append(w.own, realPath(own))
	}

	observer, environ, closeObserver := w.observe(o)
	defer closeObserver()
	source := make(chan Source, 1)
	go func() { source <- readSource(ctx, scriptDir(command.Argv, directory), command.Environ, w.redact) }()
	run, err := trace.Prepare(trace.Command{Argv: command.Argv, Environ: environ}, command.Method, w.event)
	o.Source = <-source
	if err != nil {
		return nil, err
	}
	w.hash = newHasher(cache)
	w.declare()
	var before trace.Tree
	if run.Method() == trace.Snapshot {
		before = trace.TakeSnapshot(directory)
		w.argumentsAsInputs()
	}

	o.Started = time.Now().UTC()
	err = run.Start(stopToo)
	var start *trace.StartError
	switch {
	case errors.As(err, &start):
		o.StartError, o.ExitCode = start.Err.Error(), start.Status()
	case err != nil:
		run.Close()
		return nil, err
	default:
		w.signals.relay(run.PID())
		exit := run.Wait()
		if o.ExitCode = exit.Code; exit.Signal != 0 {
			o.Signal = signalName(exit.Signal)
		}
	}
	o.Finished = time.Now().UTC()
	left, finishErr := run.Finish(command.Grace)
	if finishErr != nil {
		w.gaps = append(w.gaps, "the tracer failed before the end: "+finishErr.Error())
	}
	if run.Method() == trace.Snapshot {
		w.compare(before, directory, run.Reason())
	}
	o.Capture.Method = run.Method()
	o.Capture.Notes = append(o.Capture.Notes, run.Notes()...)
	o.StillRunning = append(o.StillRunning, left...)
	w.finish(ctx, o, observer)
	if err := cache.save(); err != nil {
		o.Capture.Notes = append(o.Capture.Notes, "the digest cache could not be kept: "+err.Error())
	}
	if cache.problem != "" {
		o.Capture.Notes = append(o.Capture.Notes, cache.problem)
	}
	return o, nil
}

// observe puts the Python observer in place. Without it the run goes on.
func (w *watch) observe(o *Observation) (observer *python.Observer, environ []string, closeObserver func()) {
	environ, closeObserver = w.command.Environ, func() {}
	if w.command.NoObserver {
		o.Observer = "none: switched off"
		return nil, environ, closeObserver
	}
	dir, err := os.MkdirTemp("", "convrun-observer-")
	if err == nil {
		closeObserver = func() { os.RemoveAll(dir) }
		observer, err = python.NewObserver(dir)
	}
	if err != nil {
		o.Observer = "none: " + err.Error()
		return nil, environ, closeObserver
	}
	w.own = append(w.own, realPath(dir))
	return observer, observer.Environ(environ), closeObserver
}

// event is the tracer's sink: whoever made the call is held until it returns.
func (w *watch) event(e *trace.Event) {
	switch e.Op {
	case trace.Gap:
		w.mu.Lock()
		w.gaps = append(w.gaps, e.Reason)
		w.mu.Unlock()
		return
	case trace.Connect:
		w.mu.Lock()
		w.network[e.Address] = true
		w.mu.Unlock()
		return
	case trace.Signal:
		w.signals.sent(e.Number)
		return
	}
	if w.isOwn(e.Path) {
		return
	}
	w.readsCompiled(e)
	w.mu.Lock()
	r := w.files.add(e)
	if r == nil {
		w.mu.Unlock()
		return
	}
	if e.Op == trace.Exec {
		w.execute(e, r)
	}
	exists := e.ID != (trace.FileID{})
	if r.read && r.content == nil && exists {
		w.read(e, r)
	}
	content := r.content
	w.mu.Unlock()
	if content != nil && (e.Access&trace.Write != 0 || e.Op == trace.Truncate) {
		w.hash.hurry(content) // what was read is about to change
	}
}

// read sees to the digest of what the run reads.
func (w *watch) read(e *trace.Event, r *record) {
	r.class = w.class.class(e.Path, r.executed)
	installed := r.class == Package || r.class == Runtime || r.class == System
	r.content = w.hash.queue(e.Path, e.Handle, e.ID, installed)
}

func (w *watch) execute(e *trace.Event, r *record) {
	w.class.addInterpreter(e.Path)
	w.processes = append(w.processes, Process{PID: e.PID, Parent: e.Parent, Argv: w.redact.argv(e.Argv), Path: e.Path})
	w.programs = append(w.programs, r)
	for _, loader := range loadersOf(e.Handle) {
		w.openedByKernel(loader)
	}
}

// openedByKernel files what the kernel reads to start a program: no process
// opens it.
func (w *watch) openedByKernel(path string) {
	path = realPath(path)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	e := &trace.Event{Op: trace.Exec, Path: path, Requested: path, ID: trace.IDOf(info), Handle: -1, Mode: typeRegular}
	w.class.addInterpreter(path)
	if r := w.files.add(e); r != nil && r.content == nil {
		w.read(e, r)
	}
}

func (w *watch) isOwn(path string) bool {
	for _, own := range w.own {
		if path == own || len(path) > len(own) && path[:len(own)] == own && os.IsPathSeparator(path[len(own)]) {
			return true
		}
	}
	return false
}

// declare files what the user named, what convrun was started with, and what
// no process has to open for it to be part of the run.
func (w *watch) declare() {
	for _, e := range inherited() {
		w.event(e)
		if r := w.files.byPath[e.Path]; r != nil {
			r.inherited = true
		}
	}
	for _, path := range w.command.Inputs {
		if r := w.readNow(path); r != nil {
			r.declared = true
		}
	}
}

// argumentsAsInputs takes every argument that names a file for an input, where
// nothing tells what is really read.
func (w *watch) argumentsAsInputs() {
	for _, argument := range w.command.Argv[1:] {
		w.readNow(argument)
	}
}

func (w *watch) readNow(path string) *record {
	real := realPath(path)
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	w.event(&trace.Event{Op: trace.Open, Path: real, Requested: path, Access: trace.Read, ID: trace.IDOf(info), Handle: -1, Mode: typeRegular})
	return w.files.byPath[real]
}

// compare fills in, from two snapshots, what no tracer saw.
func (w *watch) compare(before trace.Tree, directory, reason string) {
	after := trace.TakeSnapshot(directory)
	before.Changes(after, w.event)
	if reason == "" {
		reason = "it was asked for"
	}
	w.gaps = append(w.gaps, "the working directory was only compared before and after ("+reason+"): files read, files elsewhere and programs executed are not known")
	for _, tree := range []trace.Tree{before, after} {
		if tree.Incomplete != "" {
			w.gaps = append(w.gaps, "the working directory was not compared as a whole: "+tree.Incomplete)
		}
	}
}

// scriptDir is the folder of the first argument that is a file, which is where
// the script's repository is; else the working directory.
func scriptDir(argv []string, directory string) string {
	for _, argument := range argv[min(1, len(argv)):] {
		if info, err := os.Stat(argument); err == nil && info.Mode().IsRegular() {
			return filepath.Dir(realPath(argument))
		}
	}
	return directory
}

// realPath is path, absolute and without links, or as given where that fails.
func realPath(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	// The last element may not exist yet.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(parent, filepath.Base(path))
	}
	return path
}

// EndBySignal ends convrun the way its command ended. It returns only where
// that cannot be done.
func EndBySignal(name string) (status int) { return endBySignal(name) }
