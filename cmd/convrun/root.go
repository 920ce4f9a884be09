package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// plannedVerbs are names that later versions will use. They are taken already,
// so that no command line changes its meaning then.
var plannedVerbs = []string{
	"diff", "reproduce", "parity", "attach", "fetch", "export", "card", "review", "policy", "init",
	"config", "explain", "list", "log", "ledger", "serve", "schema", "selftest", "check", "man",
}

func newRoot() *cobra.Command {
	root := newRunCommand()
	root.Use = "convrun [flags] COMMAND [ARGUMENT...]"
	root.Short = "run a model conversion unchanged and leave a signed log of it"
	root.Long = `convrun runs the command that converts a trained model, unchanged, and leaves a
signed conversion log beside the frozen model: what was read and written, what
was loaded, how the converter was really called, on which machine.

"convrun run [flags] -- COMMAND" is the form for scripts. In the short form,
flags stop at the first word of the command; a command of convrun's own name
below is meant, and "convrun -- NAME" or "convrun ./NAME" runs a program.`
	root.Example = `  convrun python export.py
  convrun verify resnet18.onnx
  convrun report resnet18.onnx -o log.html`
	root.Version = toolVersion()
	root.SetVersionTemplate("convrun {{.Version}}\n")
	root.SuggestionsMinimumDistance = 2
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRunCommand(),
		newVerifyCommand(),
		newShowCommand(),
		newInspectCommand(),
		newReportCommand(),
		newSignCommand(),
		newKeygenCommand(),
		newDoctorCommand(),
		newVersionCommand(),
	)
	for _, name := range plannedVerbs {
		root.AddCommand(newPlannedCommand(name))
	}
	root.SetHelpCommand(newHelpCommand(root))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return err })
	return root
}

// execute runs the command line and gives every usage error its status: 125
// where a command would have been wrapped, 2 elsewhere.
func execute(ctx context.Context, root *cobra.Command, args []string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v\n%s", r, debug.Stack())
		}
	}()
	root.SetArgs(args)
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	started := false
	for _, command := range append(root.Commands(), root) {
		if inner := command.RunE; inner != nil {
			command.RunE = func(c *cobra.Command, args []string) error {
				started = true
				return inner(c, args)
			}
		}
	}
	if command, _, err := root.Find(args); err == nil {
		hintAboutProgram(command)
	}
	command, err := root.ExecuteContextC(ctx)
	if err == nil || started {
		return err
	}
	err = withHint(err, "%s --help", command.CommandPath())
	if wraps(command) {
		return withStatus(exitOwnFailure, err)
	}
	return usage(err)
}

func wraps(command *cobra.Command) bool {
	return !command.HasParent() || command.Name() == "run"
}

// hintAboutProgram tells that a name has two meanings, where it has.
func hintAboutProgram(command *cobra.Command) {
	if !command.HasParent() {
		return
	}
	if path, err := exec.LookPath(command.Name()); err == nil {
		hint("%q is a command of convrun; to run %s: convrun -- %s", command.Name(), path, command.Name())
	}
}

// newHelpCommand is cobra's, but for a command that there is not.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [command]", Short: "help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			command, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("help: expected a command of convrun (convrun --help lists them), found %q", strings.Join(args, " "))
			}
			return command.Help()
		},
	}
}

func newPlannedCommand(name string) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, DisableFlagParsing: true,
		Short: "reserved for a later version",
		RunE: func(*cobra.Command, []string) error {
			return usage(withHint(fmt.Errorf("%q is reserved for a later version of convrun and does nothing yet", name),
				"to run a program of that name: convrun -- %s", name))
		},
	}
}

func atLeastOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("expected %s, found none", what)
		}
		return nil
	}
}

func exactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("expected %s, found %d arguments", what, len(args))
		}
		return nil
	}
}

// exitHelp is the part of a verb's help that names its exit statuses.
func exitHelp(statuses ...string) string {
	var help strings.Builder
	help.WriteString("\n\nExit status:\n")
	for _, row := range exitTable {
		isRun := row.Verbs == "run"
		if isRun == slices.Contains(statuses, "run") && (isRun || slices.Contains(statuses, row.Status)) {
			fmt.Fprintf(&help, "  %-18s %s\n", row.Status, row.Meaning)
		}
	}
	return strings.TrimRight(help.String(), "\n")
}
