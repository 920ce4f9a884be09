package main

import (
	"context"
	"errors"
	"slices"

	"github.com/convrun/convrun/sign"
)

// Exit statuses of convrun's own. A wrapped command's status is passed on.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNoLog      = 3
	exitIncomplete = 4
	exitOwnFailure = 125
	exitCancelled  = 130
)

// exitRow documents one status; docs/exit-codes.md is generated from the rows.
type exitRow struct {
	Verbs, Status, Meaning string
}

var exitTable = []exitRow{
	{"run", "the command's own", "the command was run and its log is written and signed; ended by a signal, convrun ends by the same signal"},
	{"run", "125", "convrun itself failed: usage, capture, the log could not be written or signed; if the command failed too, its status wins"},
	{"run", "126", "the command was found but could not be executed"},
	{"run", "127", "the command was not found"},
	{"all others", "0", "done; verify: everything that was checked holds"},
	{"all others", "1", "verification failed: a signature, a digest, a missing file, a failed run; doctor: no command can be traced here"},
	{"all others", "2", "usage: wrong flags or arguments, or nothing to trust was given"},
	{"all others", "3", "no conversion log was found for the file"},
	{"all others", "4", "could not be completed: a file or key cannot be read, a log is malformed, a disk is full"},
	{"all others", "130", "cancelled"},
}

// severityOrder is which status wins when several files were verified.
var severityOrder = []int{exitCancelled, exitFailed, exitIncomplete, exitNoLog, exitUsage}

// statusError is an error that has decided its own status. A nil cause prints
// nothing: what happened was said before.
type statusError struct {
	status int
	signal string
	cause  error
}

func (e *statusError) Error() string {
	if e.cause == nil {
		return ""
	}
	return e.cause.Error()
}

func (e *statusError) Unwrap() error { return e.cause }

// withStatus decides the status of an error. There is no error whose status is
// "all is well".
func withStatus(status int, err error) error {
	if status == exitOK {
		status = exitIncomplete
	}
	return &statusError{status: status, cause: err}
}

func usage(err error) error { return withStatus(exitUsage, err) }

// exitStatus is the one place that turns an error into a status.
func exitStatus(err error) (status int, signal string) {
	var decided *statusError
	switch {
	case errors.As(err, &decided):
		return decided.status, decided.signal
	case errors.Is(err, context.Canceled):
		return exitCancelled, ""
	case errors.Is(err, sign.ErrNoTrust):
		return exitUsage, ""
	case errors.Is(err, sign.ErrRefused):
		return exitFailed, ""
	}
	return exitIncomplete, ""
}

// worst is the status for several files.
func worst(statuses []int) int {
	for _, status := range severityOrder {
		for _, s := range statuses {
			if s == status {
				return status
			}
		}
	}
	if slices.ContainsFunc(statuses, func(s int) bool { return s != exitOK }) {
		return exitIncomplete
	}
	return exitOK
}
