// Package python tells what a Python process really loaded and called: which
// converter functions with which arguments, which frameworks with which
// settings, and which installed distributions the files it loaded belong to.
//
// It never runs a Python, imports nothing into one that the program would not
// have imported, and changes nothing that the program computes. The call of a
// converter is seen by a module that the process itself loads as
// sitecustomize (sitecustomize.py, table.py, recorder.py); distributions are
// read from the metadata that installers leave beside the packages.
package python

import (
	"archive/zip"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed sitecustomize.py
var sitecustomize []byte

//go:embed table.py
var table []byte

//go:embed recorder.py
var recorder []byte

// The environment variables that a process can notice besides PYTHONPATH.
const (
	// archiveVariable names the archive that is put on PYTHONPATH.
	archiveVariable = "CONVRUN_OBSERVER"
	// recordsVariable names the folder that records are written to.
	recordsVariable = "CONVRUN_RECORDS"
	pathVariable    = "PYTHONPATH"
)

// Observer is what convrun puts before a Python's own sitecustomize, and the
// folder that the processes write their records to.
type Observer struct {
	archive string
	records string
	added   []Function
}

// NewObserver writes the observer, which observes the added functions besides
// those it knows itself, into dir, an existing folder that nobody else
// can write to and that the caller removes once Read has been called. All
// processes of the run must be able to write to it.
//
// The modules lie in an archive and not in a folder of files because Python
// keeps no compiled form of what it loads from an archive, wherever
// PYTHONPYCACHEPREFIX points.
//
// A program can notice, besides the variables that Environ adds: an entry in
// sys.meta_path, a function registered with atexit, standard modules (ast,
// inspect, __future__) that are imported before it does so itself, files opened
// and closed, and of an observed function its __signature__, the identity of
// its defaults, the bytecode in its __code__ and, with a trace function, its
// first statement's line once more at its end. Without site (python -S) the
// archive stays on sys.path, and Python 2 takes an empty PYTHONPATH for the
// working directory, which one with the archive on it is not.
func NewObserver(dir string, added ...Function) (*Observer, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("set up the Python observer in %s: %w", dir, err)
	}
	if strings.ContainsRune(dir, os.PathListSeparator) {
		return nil, fmt.Errorf("set up the Python observer in %s: the folder's name must not contain %q, which separates the entries of PYTHONPATH", dir, os.PathListSeparator)
	}
	o := &Observer{archive: filepath.Join(dir, "observer.zip"), records: filepath.Join(dir, "records"), added: added}
	if err := os.Mkdir(o.records, 0o700); err != nil {
		return nil, fmt.Errorf("set up the Python observer: %w", err)
	}
	if err := writeArchive(o.archive, sources(added...)); err != nil {
		return nil, fmt.Errorf("set up the Python observer: %w", err)
	}
	return o, nil
}

// source is a file of the archive.
type source struct {
	name string
	text []byte
}

func sources(added ...Function) []source {
	return []source{{"sitecustomize.py", sitecustomize}, {"table.py", table}, {"recorder.py", recorder}, {"added.txt", list(added)}}
}

func writeArchive(name string, sources []source) (err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	archive := zip.NewWriter(file)
	for _, s := range sources {
		// Stored, for a Python without zlib.
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: s.name, Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := entry.Write(s.text); err != nil {
			return err
		}
	}
	return archive.Close()
}

// Environ returns the environment block for the observed process: environ, a
// list of "NAME=VALUE" in which a name may stand more than once, in its order
// and with the archive put first on PYTHONPATH, and two variables more. The
// argument is not changed.
//
// Descendants inherit it, since converters are often started as subprocesses.
// A Python that is started with -E, -I or -S ignores it.
func (o *Observer) Environ(environ []string) []string {
	block := make([]string, 0, len(environ)+3)
	found := false
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case archiveVariable, recordsVariable: // an outer convrun's
		case pathVariable:
			found = true
			block = append(block, pathVariable+"="+o.prefixed(value))
		default:
			block = append(block, entry)
		}
	}
	if !found {
		block = append(block, pathVariable+"="+o.archive)
	}
	return append(block, archiveVariable+"="+o.archive, recordsVariable+"="+o.records)
}

// prefixed keeps an empty entry of a PYTHONPATH, which is the working
// directory; an empty PYTHONPATH has no entries.
func (o *Observer) prefixed(path string) string {
	if path == "" {
		return o.archive
	}
	return o.archive + string(os.PathListSeparator) + path
}
