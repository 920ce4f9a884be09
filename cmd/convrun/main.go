// Command convrun runs the command that converts a trained model, unchanged,
// and leaves a signed conversion log beside the frozen model.
//
// This package holds the flags, the wiring, the words and the exit codes. It
// is the only one that prints, exits, or reads flags, settings and keys.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/convrun/convrun/runner"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:]))
}

// run executes one command line and gives the exit status. When the wrapped
// command was ended by a signal, convrun ends the same way here.
func run(ctx context.Context, args []string) int {
	err := execute(ctx, newRoot(), args)
	if err == nil {
		return exitOK
	}
	printError(os.Stderr, err)
	status, bySignal := exitStatus(err)
	if bySignal != "" {
		return runner.EndBySignal(bySignal)
	}
	return status
}

// cancellable ends ctx at an interrupt or a request to end: for the verbs that
// do not wrap a command.
func cancellable(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
