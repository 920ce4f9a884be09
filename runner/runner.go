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
	"slices"
	"strings"
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
	// Observe are functions to observe besides those that the observer knows.
	Observe []python.Function
	// CacheDir is where digests are kept between runs; "" keeps none.
	CacheDir string
	// Inputs and Outputs are declared by the user.
	Inputs, Outputs []string
	// Own are folders of convrun's own, which never count as files of the run.
	Own []string
	// Grace is how long descendants may outlive the command before the run
	// counts as finished without them.
	Grace time.Duration
	// Hashing, unless nil, is told a few times a second how many bytes of how
	// many are hashed, while Run does so after the command's end.
	Hashing func(done, total int64)
	// Redactor takes out the secrets of arguments, variables, calls and texts.
	// Names of files stay: whoever passes the Observation on sees to them.
	Redactor *Redactor
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
	arguments int       // bytes of those of processes
	network   map[string]bool
	gaps      []string
	redact    *Redactor
	own       []string
	private   string                // the observer's folder, "" without one
	loaded    map[trace.FileID]bool // programs whose loaders are filed
	// unprivileged are programs that ran without the rights of their files.
	unprivileged map[string]bool
	dropped      int
}

// Bounds on what is kept of a run: the list of executed programs and the bytes of
// their arguments, the files (1 GB of memory), the endpoints. What comes after
// them is only counted.
const (
	maxProcesses = 20_000
	maxArguments = 2 << 20
	maxFiles     = 500_000
	maxEndpoints = 10_000
)

// Run runs the command to its end. A command that fails, or cannot be
// executed, is an Observation like any other; an error means that convrun
// could not do its part, and that the command was not started.
func Run(ctx context.Context, command Command) (*Observation, error) {
	invocation, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make an invocation ID: %w", err)
	}
	if err := canWork(); err != nil {
		return nil, err
	}
	directory, err := workingDirectory()
	if err != nil {
		return nil, err
	}
	if command.Redactor == nil {
		command.Redactor = &Redactor{}
	}
	command.Redactor.Learn(command.Argv, command.Environ)
	cache := newDigestCache(command.CacheDir)
	w := &watch{
		command: command, files: newCollector(), network: map[string]bool{}, loaded: map[trace.FileID]bool{}, unprivileged: map[string]bool{},
		redact: command.Redactor, signals: catchSignals(),
	}
	defer w.signals.stop()
	o := &Observation{
		InvocationID: invocation.String(), Argv: w.redact.Argv(command.Argv), WorkingDirectory: directory,
		StillRunning: []int{}, Capture: Capture{Reasons: []string{}, Notes: []string{}, Degraded: []string{}},
	}
	for _, own := range command.Own {
		w.own = append(w.own, realPath(own))
	}

	observer, environ, closeObserver := w.observe(o)
	defer closeObserver()
	source := make(chan Source, 1)
	go func() { source <- readSource(ctx, scriptDir(command.Argv, directory), command.Environ, w.redact) }()
	run, err := trace.Prepare(trace.Command{Argv: command.Argv, Environ: environ, Private: w.private}, command.Method, w.event)
	o.Source = <-source
	if err != nil {
		return nil, err
	}
	w.hash = newHasher(cache)
	o.Capture.Notes = append(o.Capture.Notes, w.declare()...)
	var before []trace.Tree
	if run.Method() == trace.Snapshot {
		before = w.snapshots(directory)
		w.argumentsAsInputs()
		w.hash.catchUp() // nothing holds the command before it overwrites one
	}

	o.Started = time.Now().UTC()
	err = run.Start(stopToo)
	var start *trace.StartError
	graceful, endGrace := context.WithCancel(ctx)
	defer endGrace()
	switch {
	case errors.As(err, &start):
		o.StartError, o.ExitCode = start.Err.Error(), start.Status()
	case err != nil:
		run.Close()
		return nil, err
	default:
		w.signals.relay(run.Signal, endGrace)
		exit := run.Wait()
		w.signals.commandEnded()
		if o.ExitCode = exit.Code; exit.Signal != 0 {
			o.Signal = signalName(exit.Signal)
		}
	}
	var jump string
	now := time.Now()
	if o.Finished, jump = finished(o.Started, now.Round(0), now.Sub(o.Started)); jump != "" {
		o.Capture.Notes = append(o.Capture.Notes, jump)
	}
	left, finishErr := run.Finish(graceful, command.Grace)
	if finishErr != nil {
		w.gaps = append(w.gaps, "the tracer failed before the end: "+finishErr.Error())
	}
	if run.Method() == trace.Snapshot {
		w.compare(before, run.Reason())
	}
	o.Capture.Method, o.Capture.Dropped = run.Method(), w.dropped
	o.Capture.Notes = append(o.Capture.Notes, run.Notes()...)
	o.Capture.Degraded = append(o.Capture.Degraded, run.Degraded()...)
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

// finished is the end of a run by the clock of its start, so that it never
// comes before it. A wall clock that says otherwise was set meanwhile, and that
// is told.
func finished(started, wall time.Time, elapsed time.Duration) (end time.Time, jump string) {
	end = started.Add(elapsed)
	if off := wall.Sub(end).Round(time.Second); off != 0 {
		jump = fmt.Sprintf("the machine's clock was set by %v during the run, or the machine slept", off)
	}
	return end, jump
}

// workingDirectory is where the command runs. A folder that has been deleted
// keeps no command from running; its path then ends in " (deleted)".
func workingDirectory() (string, error) {
	directory, err := os.Getwd()
	if err == nil {
		return directory, nil
	}
	if deleted, linkErr := os.Readlink("/proc/self/cwd"); linkErr == nil {
		return deleted, nil
	}
	return "", fmt.Errorf("find the working directory: %w", err)
}

// observe puts the Python observer in place. Without it the run goes on.
func (w *watch) observe(o *Observation) (observer *python.Observer, environ []string, closeObserver func()) {
	environ, closeObserver = w.command.Environ, func() {}
	if w.command.NoObserver {
		o.Observer = "none: switched off"
		return nil, environ, closeObserver
	}
	dir, closeObserver, err := privateFolder()
	if err == nil {
		observer, err = python.NewObserver(dir, w.command.Observe...)
	}
	if err != nil {
		o.Observer = "none: " + err.Error()
		return nil, environ, closeObserver
	}
	w.private = realPath(dir)
	w.own = append(w.own, w.private)
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
		w.connect(e.Address)
		return
	case trace.Signal:
		w.signals.sent(e.Number)
		return
	}
	if w.isOwn(e.Path) {
		return
	}
	r := w.enter(e)
	if r == nil || r.content == nil {
		return
	}
	switch {
	case e.Access&trace.Write != 0, e.Op == trace.Truncate:
		w.hash.hurry(r.content) // what was read is about to change
	case e.Op == trace.Rename, e.Op == trace.Exchange, e.Op == trace.Remove, e.Op == trace.Link:
		w.hash.aboutToMove(r.content)
	}
}

func (w *watch) connect(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.network) == maxEndpoints && !w.network[address] {
		w.drop(fmt.Sprintf("more than %d endpoints were connected to", maxEndpoints))
		return
	}
	w.network[address] = true
}

// drop counts what there is no room for, and gives the reason once.
func (w *watch) drop(reason string) {
	w.dropped++
	if reason += ": the rest is only counted"; !slices.Contains(w.gaps, reason) {
		w.gaps = append(w.gaps, reason)
	}
}

// isFull tells whether there is no room for the record that e would need.
func (w *watch) isFull(e *trace.Event) bool {
	if len(w.files.records) < maxFiles || ignored(e.Path) {
		return false
	}
	if kind := e.Mode & typeMask; kind != typeRegular && kind != 0 {
		return false
	}
	known := w.files.byPath.at(e.Path) != nil || w.files.byInode[e.ID.Inode()] != nil
	if known && e.Op != trace.Link {
		return false
	}
	w.drop(fmt.Sprintf("more than %d files were used", maxFiles))
	return true
}

// enter files an event, and sees to the digest of what it reads.
func (w *watch) enter(e *trace.Event) *record {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Op == trace.Exec && !w.loaded[e.ID] && cannotStart(e) {
		return nil
	}
	w.readsCompiled(e)
	if e.Path2 != "" {
		w.replaces(e)
	}
	if w.isFull(e) {
		return nil
	}
	r := w.files.add(e)
	if e.Op == trace.Exchange {
		w.exchanged(e)
	}
	if r == nil {
		return nil
	}
	if e.Op == trace.Exec {
		w.execute(e, r)
	}
	w.read(r, e.Path, e.Handle, e.ID)
	return r
}

// exchanged sees to the digest of the file that Path2 names until the call
// goes on.
func (w *watch) exchanged(e *trace.Event) {
	if other := w.files.byPath.at(e.Path); other != nil {
		w.read(other, e.Path2, -1, e.ID2)
		if other.content != nil {
			w.hash.aboutToMove(other.content)
		}
	}
}

// replaces prepares for the loss of names that files wait under to be hashed.
func (w *watch) replaces(e *trace.Event) {
	if e.Mode&typeMask == typeDirectory {
		w.hash.aboutToMove(nil)
	}
	if over := w.files.byPath.at(e.Path2); over != nil && over.content != nil {
		w.hash.aboutToMove(over.content)
	}
}

// read sees to the digest of what the run reads: of r, which is at path and in
// the state id.
func (w *watch) read(r *record, path string, handle int, id trace.FileID) {
	if !r.read || r.content != nil || id == (trace.FileID{}) {
		return
	}
	if path == "" {
		path = r.path // it has no name any more
	}
	r.class = w.class.class(path, r.executed)
	r.content = w.hash.queue(path, handle, id, isInstalled(r.class))
}

func (w *watch) execute(e *trace.Event, r *record) {
	w.class.addInterpreter(e.Path)
	size := 0
	for _, argument := range e.Argv {
		size += len(argument)
	}
	if len(w.processes) == maxProcesses || w.arguments+size > maxArguments {
		w.drop(fmt.Sprintf("more than %d programs, or with more than %d bytes of arguments, were executed", maxProcesses, maxArguments))
	} else {
		// Secrets are taken out at the end: the process waits now.
		w.arguments += size
		w.processes = append(w.processes, Process{PID: e.PID, Parent: e.Parent, Argv: e.Argv, Path: e.Path})
		w.programs = append(w.programs, r)
	}
	w.fileLoaders(e, maxLoaders)
	if losesRights(e.TID, e.Handle) {
		w.unprivileged[e.Path] = true
	}
}

// maxLoaders is how many interpreters the kernel puts before a script,
// fs/exec.c.
const maxLoaders = 5

// fileLoaders files what the kernel reads to start a program: no process opens
// it.
func (w *watch) fileLoaders(e *trace.Event, depth int) {
	if w.loaded[e.ID] || depth == 0 {
		return
	}
	w.loaded[e.ID] = true
	names, _ := loadersOf(e.Handle)
	for _, name := range names {
		loader, err := openLoader(e.TID, name)
		if err != nil {
			continue
		}
		w.class.addInterpreter(loader.Path)
		if r := w.files.add(loader); r != nil {
			w.read(r, loader.Path, loader.Handle, loader.ID)
		}
		w.fileLoaders(loader, depth-1)
		closeHandle(loader.Handle)
	}
}

func (w *watch) isOwn(path string) bool {
	for _, own := range w.own {
		if path == own || isBelow(path, own) {
			return true
		}
	}
	return false
}

// declare files what the user named, what convrun was started with, and what
// no process has to open for it to be part of the run. unseen says what of that
// is not recorded.
func (w *watch) declare() (unseen []string) {
	events, unseen := inherited()
	for _, e := range events {
		w.event(e)
		if r := w.files.byPath.at(e.Path); r != nil {
			r.inherited = true
		}
	}
	for _, path := range w.command.Inputs {
		w.declareInput(path)
	}
	return unseen
}

// declareInput takes a file, or every file in a folder, for an input.
func (w *watch) declareInput(path string) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		w.walk(realPath(path), func(path string, _ trace.FileID) { w.declareInput(path) })
		return
	}
	r := w.readNow(path)
	if r == nil {
		return
	}
	if r.declared = true; isInstalled(r.class) {
		// Not by its place, and its digest not by the cache.
		r.class, r.content = Input, w.hash.queue(r.path, -1, r.before, false)
	}
}

// argumentsAsInputs takes every argument that names a file for an input, where
// nothing tells what is really read.
func (w *watch) argumentsAsInputs() {
	for _, argument := range w.command.Argv[1:] {
		w.readNow(argument)
		if _, value, ok := strings.Cut(argument, "="); ok {
			w.readNow(value)
		}
	}
}

func (w *watch) readNow(path string) *record {
	real := realPath(path)
	id, ok := w.regular(real)
	if !ok || ignored(real) {
		return nil
	}
	w.event(&trace.Event{Op: trace.Open, Path: real, Requested: path, Access: trace.Read, ID: id, Handle: -1, Mode: typeRegular})
	return w.files.byPath.at(real)
}

// snapshots are taken of the working directory and of declared folders.
func (w *watch) snapshots(directory string) []trace.Tree {
	trees := []trace.Tree{trace.TakeSnapshot(directory)}
	for _, path := range w.command.Outputs {
		if real := realPath(path); real != directory && !isBelow(real, directory) {
			trees = append(trees, trace.TakeSnapshot(real))
		}
	}
	return trees
}

// compare fills in, from snapshots, what no tracer saw.
func (w *watch) compare(before []trace.Tree, reason string) {
	if reason == "" {
		reason = "it was asked for"
	}
	w.gaps = append(w.gaps, "the working directory was only compared before and after ("+reason+"): files read, files elsewhere and programs executed are not known")
	for _, old := range before {
		now := trace.TakeSnapshot(old.Root)
		old.Changes(now, w.event)
		for _, tree := range []trace.Tree{old, now} {
			if tree.Incomplete != "" {
				w.gaps = append(w.gaps, "a folder was not compared as a whole: "+tree.Incomplete)
			}
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
