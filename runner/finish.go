package runner

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/hub"
	"github.com/convrun/convrun/runner/python"
	"github.com/convrun/convrun/runner/trace"
)

// finish turns what was collected into the Observation's lists.
func (w *watch) finish(ctx context.Context, o *Observation, observer *python.Observer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	w.declareOutputs()
	outputs := w.states()
	w.hash.hurryAll(w.command.Hashing)
	w.readPackages(o) // beside the hashing of the outputs
	w.readPython(o, observer)
	w.readWatcher(o)
	o.Host = readHost(ctx, w.command.Environ, w.redact)
	w.hash.finish()
	succeeded := w.succeeded(outputs)
	for _, r := range w.files.records {
		if succeeded[r] {
			continue // what was read of it stands with the output of its name
		}
		if file, ok := w.file(r, outputs[r]); ok {
			o.Files = append(o.Files, file)
		}
		o.Files = append(o.Files, w.otherNames(r, outputs[r])...)
	}
	slices.SortFunc(o.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	w.gaps = append(w.gaps, withoutDigest(o.Files)...)
	o.Hubs = hub.Sources(hubFiles(o.Files), w.command.Environ)
	for i := range w.processes {
		w.processes[i].Argv = w.redact.Argv(w.processes[i].Argv)
		if content := w.programs[i].content; content != nil {
			w.processes[i].SHA256 = content.sha256
		}
	}
	o.Processes = append([]Process{}, w.processes...)
	o.Network = []string{}
	for address := range w.network {
		o.Network = append(o.Network, address)
	}
	slices.Sort(o.Network)
	if len(o.StillRunning) > 0 {
		w.gaps = append(w.gaps, fmt.Sprintf("processes of the run were still running at its end (%s): what they did later is not known", joinInts(o.StillRunning)))
	}
	slices.Sort(w.gaps)
	o.Capture.Reasons = append(o.Capture.Reasons, slices.Compact(w.gaps)...)
	slices.Sort(o.Capture.Notes)
	for _, program := range slices.Sorted(maps.Keys(w.unprivileged)) {
		o.Capture.Degraded = append(o.Capture.Degraded, program+" ran without the rights that its file gives (set-user-ID, set-group-ID or capabilities): what an ordinary user runs can only be traced so")
	}
}

// withoutDigest says which files have no digest, in one line for each reason.
func withoutDigest(files []File) (gaps []string) {
	count, first := map[string]int{}, map[string]string{}
	for _, file := range files {
		if file.SHA256 == "" && file.Reason != "" {
			if count[file.Reason]++; count[file.Reason] == 1 {
				first[file.Reason] = file.Path
			}
		}
	}
	for reason, n := range count {
		why := strings.TrimPrefix(reason, "unknown: ")
		if n == 1 {
			gaps = append(gaps, fmt.Sprintf("%s has no digest: %s", first[reason], why))
		} else {
			gaps = append(gaps, fmt.Sprintf("%d files, %s for one, have no digest: %s", n, first[reason], why))
		}
	}
	return gaps
}

// declareOutputs marks the files named with --output, and those in folders so
// named. A file that nothing was seen of gets a record.
func (w *watch) declareOutputs() {
	for _, path := range w.command.Outputs {
		real := realPath(path)
		info, err := os.Stat(real)
		if err == nil && info.IsDir() {
			for _, r := range w.files.records {
				if r.written && isBelow(r.path, real) {
					r.declared = true
				}
			}
			continue
		}
		r := w.files.byPath.at(real)
		if r == nil {
			if err != nil || !info.Mode().IsRegular() {
				continue // missing: cmd looks at what was declared
			}
			r = w.files.fresh(real, trace.FileID{})
			r.requested, r.written = path, true
			w.files.take(real, r)
		}
		r.declared = true
	}
}

// isBelow tells whether path lies in folder.
func isBelow(path, folder string) bool {
	return len(path) > len(folder) && path[:len(folder)] == folder && (os.IsPathSeparator(path[len(folder)]) || os.IsPathSeparator(folder[len(folder)-1]))
}

// succeeded are the records whose name another file has at the end that is
// listed as an output.
func (w *watch) succeeded(outputs map[*record]*digest) map[*record]bool {
	known := map[*record]bool{}
	for _, r := range w.files.records {
		if r.successor != nil {
			r.findSuccessor(outputs, known)
		}
	}
	return known
}

// findSuccessor makes it known of r, and of those that come between it and the
// output. A name that is replaced often has a long row of them.
func (r *record) findSuccessor(outputs map[*record]*digest, known map[*record]bool) {
	row, found := []*record{r}, false
	for next := r.successor; next != nil; next = next.successor {
		if next.path != r.path {
			continue
		}
		is, isKnown := known[next]
		if found = is || outputs[next] != nil; found || isKnown {
			break
		}
		row = append(row, next)
	}
	for _, passed := range row {
		known[passed] = found
	}
}

// otherNames are the further names of r as the Observation has them.
func (w *watch) otherNames(r *record, after *digest) (files []File) {
	for _, alias := range r.aliases {
		if id, ok := w.regular(alias); !ok || id.Inode() != r.inode {
			continue
		}
		other := *r
		other.path, other.first = alias, alias
		if !r.written && slices.Contains(r.linked, alias) {
			other = record{path: alias, first: alias, written: true} // a copy, as it were
		}
		other.class = w.class.class(alias, r.executed)
		if file, ok := w.file(&other, after); ok {
			files = append(files, file)
		}
	}
	return files
}

// states asks what is on disk of everything written, and queues its digests.
func (w *watch) states() map[*record]*digest {
	outputs := map[*record]*digest{}
	for _, r := range w.files.records {
		if !r.written && len(r.linked) == 0 || r.removed || ignored(r.path) {
			continue
		}
		if id, ok := w.regular(r.path); ok {
			outputs[r] = w.hash.queue(r.path, -1, id, false)
		}
	}
	for _, r := range w.files.records {
		// What was read under a name that another file has now.
		if next := r.successor; next != nil && next.path == r.path && next.content == nil && r.read && r.content != nil {
			next.read, next.content = true, r.content
		}
	}
	return outputs
}

// file is the record as the Observation has it; ok is false for a file that
// was never there.
func (w *watch) file(r *record, after *digest) (file File, ok bool) {
	file = File{
		Path: r.path, Requested: r.requested, Read: r.read, Written: r.written, Executed: r.executed,
		Removed: r.removed, Declared: r.declared, Inherited: r.inherited, Class: r.class,
	}
	if r.first != r.path {
		file.RenamedFrom = r.first
	}
	before := r.content
	switch {
	case after != nil && r.written:
		file.Class = Output
		if isCache(r.path) {
			file.Class = Cache
			if isInstalled(w.class.class(r.path, false)) {
				file.Class = InstalledCache
			}
		}
		after.describe(&file)
		if before != nil {
			file.BeforeSHA256, file.BeforeSize = before.sha256, before.id.Size
		}
		return file, true
	case r.written && r.inode == (trace.Inode{}) && !r.removed:
		return file, false // an attempt that made no file
	case r.written && before == nil:
		file.Class = Temporary
		return file, true
	case before == nil, !r.read && !r.written && !r.declared && !r.inherited:
		return file, false // nothing came of it
	}
	before.describe(&file)
	if (file.Class == Input || file.Class == Code) && file.SHA256 != "" && !r.written && !r.removed && w.wasChanged(r.path, before) {
		file.Reason = "it was changed during the run, after it had been read, by something other than the run"
	}
	return file, true
}

// wasChanged tells whether the file at path has other content than before.
func (w *watch) wasChanged(path string, before *digest) bool {
	id, ok := w.regular(path)
	if !ok || id == before.id {
		return false
	}
	timesOnly := id
	if timesOnly.CtimeNs = before.id.CtimeNs; timesOnly != before.id {
		return true
	}
	// Its rights, its owner or a further name may have been changed.
	sum, err := w.hash.anew(path, id, false)
	return err != nil || sum != before.sha256
}

func (d *digest) describe(file *File) {
	file.Size, file.SHA256, file.Reason, file.Cached = d.id.Size, d.sha256, d.reason, d.cached
}

// readPython takes what the observer recorded.
func (w *watch) readPython(o *Observation, observer *python.Observer) {
	if observer == nil {
		return
	}
	record, err := observer.Read()
	if err != nil {
		o.Observer = "none: " + err.Error()
		return
	}
	w.redactRecord(&record)
	o.Python = record
	switch {
	case len(record.Interpreters) > 0:
		o.Observer = "python"
	case w.ranPython():
		o.Observer = "none: a Python ran without it (python -I, -E or -S, a frozen program, or an early end)"
	case o.Capture.Method == trace.Snapshot:
		o.Observer = "none: no Python that it could watch was started"
	default:
		o.Observer = "none: no observer for this program"
	}
}

// readWatcher tells which program watched.
func (w *watch) readWatcher(o *Observation) {
	program, err := ownProgram()
	if err == nil {
		o.Capture.Watcher, err = w.hash.sum(program)
	}
	if err != nil {
		o.Capture.Notes = append(o.Capture.Notes, "the digest of convrun's own program is not known: "+err.Error())
	}
}

func (w *watch) ranPython() bool {
	return slices.ContainsFunc(w.processes, func(p Process) bool { return strings.HasPrefix(filepath.Base(p.Path), "python") })
}

func (w *watch) redactRecord(record *python.Record) {
	for i := range record.Calls {
		call := &record.Calls[i]
		w.redact.Value("", call.Arguments)
		call.Outcome = w.redact.Text(call.Outcome)
	}
	for i := range record.Warnings {
		record.Warnings[i].Message = w.redact.Text(record.Warnings[i].Message)
	}
	for i := range record.Problems {
		record.Problems[i] = w.redact.Text(record.Problems[i])
	}
}

// readsCompiled lets a read of the bytecode of a module of the user's own stand
// for its source: the interpreter compares the two itself and opens only the
// former.
func (w *watch) readsCompiled(e *trace.Event) {
	if e.Op != trace.Open || e.Access != trace.Read || !strings.HasSuffix(e.Path, ".pyc") || w.class.class(e.Path, false) != Code {
		return
	}
	source, ok := python.SourceOf(e.Path)
	if !ok {
		return
	}
	if info, err := os.Stat(source); err == nil && info.Mode().IsRegular() {
		e.Path, e.Requested, e.ID, e.Handle = source, source, trace.IDOf(info), -1
	}
}

func joinInts(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}
