package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/convrun/convrun/printable"
	"github.com/convrun/convrun/runner"
)

// The voice of convrun: `convrun: error: …` and `convrun: hint: …` on standard
// error, lower case, no full stop. Everything goes through printable, since
// file names, arguments and logs may hold control characters, and without the
// secrets that it may hold: a CI job's output is read by many.

func say(w io.Writer, kind, format string, args ...any) {
	var redactor runner.Redactor
	redactor.Learn(os.Args, os.Environ())
	text := printable.String(redactor.Text(strings.TrimRight(fmt.Sprintf(format, args...), "\n")))
	if kind != "" {
		kind += ": "
	}
	fmt.Fprintf(w, "convrun: %s%s\n", kind, text)
}

func hint(format string, args ...any) { say(os.Stderr, "hint", format, args...) }

func warn(format string, args ...any) { say(os.Stderr, "warning", format, args...) }

// hinted is an error with advice on what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

func printError(w io.Writer, err error) {
	if err.Error() != "" {
		say(w, "error", "%s", err)
	}
	var advice hinted
	if errors.As(err, &advice) {
		say(w, "hint", "%s", advice.hint)
	}
}
