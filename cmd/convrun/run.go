package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/trace"
)

// descendantGrace is how long processes may outlive the command before its log
// is written without them.
const descendantGrace = 3 * time.Second

type runOptions struct {
	id, model, responsible string
	inputs, outputs        []string
	waivers, targets       []string
	config, key, log       string
	method, observe        string
	noCache, quiet         bool
}

func newRunCommand() *cobra.Command {
	var o runOptions
	command := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT...]",
		Short: "run a command unchanged and log the conversion",
		Long: `run starts COMMAND with the very same terminal, descriptors, environment and
working directory, and ends as it ended. Then it writes the signed conversion
log beside the frozen model: MODEL.convlog.json. A failed command is logged too.` + exitHelp("run"),
		Example: "  convrun run -- python export.py --opset 17\n  convrun run --model resnet18@1.4 --key release.key -- python -m tf2onnx.convert --saved-model m --output m.onnx",
		Args:    atLeastOne("a command to run"),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("id") && o.id == "" {
				return ownFailure(errors.New("--id: expected an ID, found nothing"))
			}
			return ownFailure(runConversion(c.Context(), o, args))
		},
	}
	flags := command.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&o.id, "id", "", "conversion `ID` (default: model name, date, start of a random ID)")
	flags.StringVar(&o.model, "model", "", "`ID@VERSION` of the verified learning model")
	flags.StringVar(&o.responsible, "responsible", "", "the `PERSON` who converts, \"Name <mail>\" (default: git, then the system's user)")
	flags.StringArrayVar(&o.inputs, "input", nil, "`FILE` that the command reads; only needed for what tracing cannot see")
	flags.StringArrayVar(&o.outputs, "output", nil, "`FILE` or folder that is the frozen model; only needed when it is not found by itself")
	addTargets(command, &o.targets)
	flags.StringArrayVar(&o.waivers, "waive", nil, "`ID[:SUBJECT]=REASON`: accept a finding, of the files or packages that the pattern SUBJECT matches; the log keeps both")
	flags.StringVar(&o.config, "config", "", "configuration `FILE`, counting more than the project's and the user's")
	flags.StringVar(&o.key, "key", "", "private key `FILE` to sign with (default: configuration, then this user's local key)")
	flags.StringVar(&o.log, "log", "", "write the log to `PATH` instead of beside the model")
	flags.StringVar(&o.method, "trace", "", "`METHOD` of watching: seccomp-notify, ptrace, ptrace-all or snapshot (default: the best that works)")
	flags.StringVar(&o.observe, "observe", "python", "`WHAT` to observe inside: python or off")
	flags.BoolVar(&o.noCache, "no-cache", false, "hash every file anew")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "do not say where the log is")
	return command
}

// ownFailure gives convrun's own errors of this verb their status.
func ownFailure(err error) error {
	var decided *statusError
	if err == nil || errors.As(err, &decided) {
		return err
	}
	return withStatus(exitOwnFailure, err)
}

// runConversion is the whole pipeline: run, describe, draft, sign, place.
func runConversion(ctx context.Context, options runOptions, argv []string) error {
	config, meta, err := prepare(options)
	if err != nil {
		return err
	}
	release := holdSignals()
	defer release()
	redactor, err := runner.NewRedactor(redactionKey(), config.redact)
	if err != nil {
		return err
	}
	command, hashing := options.command(argv, config, redactor), progress{to: os.Stderr}
	if !options.quiet && term.IsTerminal(int(os.Stderr.Fd())) {
		command.Hashing = hashing.show
	}
	observation, err := runner.Run(ctx, command)
	hashing.clear()
	if err != nil {
		return fmt.Errorf("run %s: %w", argv[0], err)
	}
	if observation.StartError != "" {
		// Nothing has run, so there is nothing to log.
		err := fmt.Errorf("%s: %s", argv[0], observation.StartError)
		if verbs := newRoot().SuggestionsFor(argv[0]); len(verbs) > 0 {
			err = withHint(err, "did you mean: convrun %s", strings.Join(verbs, ", convrun "))
		} else if observation.ExitCode == 127 {
			err = withHint(err, "is it installed, and its folder in $PATH?")
		}
		return withStatus(observation.ExitCode, err)
	}
	return childFirst(observation, logRun(ctx, options, config, meta, observation, redactor, release))
}

// holdSignals lets no ^C end convrun between the command's end and the moment
// when the draft is on disk; release ends that.
func holdSignals() (release func()) {
	caught := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		if !signal.Ignored(sig) {
			signal.Notify(caught, sig)
		}
	}
	return func() { signal.Stop(caught) }
}

// logRun writes and signs the log of a run that has ended.
func logRun(ctx context.Context, options runOptions, config configuration, meta provenance.Meta, o *runner.Observation, redactor *runner.Redactor, release func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error while writing the log: %v\n%s", r, debug.Stack())
		}
	}()
	artifacts, notes := findArtifacts(o)
	o.Capture.Notes = append(o.Capture.Notes, notes...)
	for _, degraded := range o.Capture.Degraded {
		warn("%s; --trace snapshot does without", degraded)
		o.Capture.Notes = append(o.Capture.Notes, degraded)
	}
	frozen := provenance.Frozen(o, artifacts)
	addUntouched(o, frozen, artifacts)
	addCanonical(artifacts, frozen)
	o.Capture.Notes = append(o.Capture.Notes, addFolding(o, artifacts, frozen)...)
	meta.Signatures = signaturesBeside(artifacts)
	meta.Scripts = scriptTexts(o, redactor)
	meta.Responsible = responsiblePerson(config.responsible, o.Source, o.Host.User)
	meta.Missing = missingOutputs(options.outputs)
	places := placesOf(o, artifacts, meta, options.log)
	meta.Supersedes, places.stale = places.replaced()

	statement := provenance.New(o, artifacts, meta)
	redact(&statement, redactor)
	if places.more, err = shorten(&statement, places.draft); err != nil {
		return err
	}
	payload, err := statement.Payload()
	if err != nil {
		return err
	}
	if err := places.writeDraft(o, payload); err != nil {
		return err
	}
	release()
	bundle, err := signPayload(ctx, config.key.value, payload, options.quiet)
	if err != nil {
		return withHint(fmt.Errorf("the log is not signed: %w", err), "finish it with: convrun sign %s%s", places.signFlags(options), shortPath(places.draft))
	}
	if err := places.writeBundle(bundle, payload); err != nil {
		return err
	}
	places.removeStale(&statement)
	if !options.quiet {
		announce(places, &statement)
	}
	return nil
}

// redact takes every secret out of a log. What the first pass finds in one
// place the second one takes out of all others.
func redact(statement *provenance.Statement, redactor *runner.Redactor) {
	statement.Redact(redactor.Named)
	count := &statement.Predicate.Capture.Redactions
	statement.Redact(func(name, text string) string {
		clean := redactor.Named(name, text)
		if runner.IsRedacted(clean) {
			*count++
		}
		return clean
	})
}

// announce is the one line at the end of a run.
func announce(p places, s *provenance.Statement) {
	var notes []string
	for _, row := range s.Predicate.Elimination {
		if row.Verdict == "fail" {
			notes = append(notes, strings.ReplaceAll(string(row.Operation), "_", " ")+" fails")
		}
	}
	if run := s.Predicate.Run; run.ExitCode != 0 {
		notes = append(notes, "the command ended "+ended(run))
	}
	if !s.Predicate.Capture.Complete {
		notes = append(notes, "capture incomplete: "+strings.Join(s.Predicate.Capture.Reasons, "; "))
	}
	note := ""
	if len(notes) > 0 {
		note = " (" + strings.Join(notes, "; ") + ")"
	}
	say(os.Stderr, "", "log: %s%s", shortPath(p.logs[0]), note)
}

// missingOutputs are the declared outputs that are not there.
func missingOutputs(declared []string) (missing []string) {
	for _, path := range declared {
		if _, err := os.Stat(path); err != nil {
			warn("--output %s: the run left no such file", path)
			if absolute, err := filepath.Abs(path); err == nil {
				missing = append(missing, absolute)
			}
		}
	}
	return missing
}

// childFirst makes the command's own end convrun's, whatever happened to the
// log; convrun's failure is told, and decides only when the command succeeded.
func childFirst(o *runner.Observation, err error) error {
	switch {
	case o.Signal != "":
		return &statusError{status: exitOwnFailure, signal: o.Signal, cause: err}
	case o.ExitCode != 0:
		return withStatus(o.ExitCode, err)
	}
	return err
}

// prepare reads everything that can be wrong before the command starts.
func prepare(options runOptions) (configuration, provenance.Meta, error) {
	config, err := readConfiguration(options.config)
	if err != nil {
		return config, provenance.Meta{}, err
	}
	id := sourced{source: "made of the model's name, the date and the run's random number"}
	for _, given := range []struct {
		to             *sourced
		flag, variable string
	}{
		{&id, options.id, "CONVRUN_ID"}, {&config.model, options.model, "CONVRUN_MODEL"},
		{&config.responsible, options.responsible, "CONVRUN_RESPONSIBLE"}, {&config.key, options.key, "CONVRUN_KEY"},
	} {
		given.to.override(given.flag, given.variable)
	}
	config.key.value = expandHome(config.key.value)
	if err := checkKey(config.key.value); err != nil {
		return config, provenance.Meta{}, err
	}
	waivers, err := waiveFlags(options.waivers)
	if err != nil {
		return config, provenance.Meta{}, err
	}
	targets, err := parseTargets(append(config.targets, options.targets...))
	if err != nil {
		return config, provenance.Meta{}, err
	}
	meta := provenance.Meta{
		Version: toolVersion(), ID: id.value, IDSource: id.source, ModelSource: config.model.source, Context: config.context,
		ContextSources: config.contextSources, Configuration: config.used, Targets: targets, Waivers: append(waivers, config.waivers...),
	}
	if config.model.value != "" {
		if meta.ModelID, meta.ModelVersion, err = splitModel(config.model.value); err != nil {
			return config, meta, err
		}
	}
	if options.observe != "python" && options.observe != "off" {
		return config, meta, fmt.Errorf("--observe %q: expected python or off", options.observe)
	}
	if options.method != "" && !slices.Contains(trace.Methods(), options.method) {
		return config, meta, fmt.Errorf("--trace %q: expected one of %s", options.method, strings.Join(trace.Methods(), ", "))
	}
	if options.log != "" {
		if info, err := os.Stat(filepath.Dir(options.log)); err != nil || !info.IsDir() {
			return config, meta, fmt.Errorf("--log %s: the folder %s does not exist", options.log, filepath.Dir(options.log))
		}
		if info, err := os.Stat(options.log); err == nil && !info.Mode().IsRegular() {
			return config, meta, fmt.Errorf("--log %s: expected the name of a file, found a folder or device", options.log)
		}
	}
	for _, input := range options.inputs {
		info, err := os.Stat(input)
		if err != nil {
			return config, meta, fmt.Errorf("--input: %w", err)
		}
		if !info.Mode().IsRegular() && !info.IsDir() {
			return config, meta, fmt.Errorf("--input %s: expected a regular file or a folder, found %s: what comes out of it cannot be recorded", input, fileType(info.Mode()))
		}
	}
	return config, meta, nil
}

// fileType is what is neither a regular file nor a folder, in words.
func fileType(mode os.FileMode) string {
	switch {
	case mode&os.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&os.ModeSocket != 0:
		return "a socket"
	case mode&os.ModeDevice != 0:
		return "a device"
	}
	return "a file of another kind"
}

// command is what the runner needs to know.
func (options runOptions) command(argv []string, config configuration, redactor *runner.Redactor) runner.Command {
	command := runner.Command{
		Argv: argv, Environ: rawEnviron(), Method: options.method, NoObserver: options.observe == "off", Observe: config.observe,
		Inputs: options.inputs, Outputs: options.outputs, Grace: descendantGrace, Redactor: redactor,
	}
	if dir, err := cacheDir(); err == nil {
		command.Own = append(command.Own, dir)
		if !options.noCache {
			command.CacheDir = dir
		}
	}
	for _, dirOf := range []func() (string, error){configDir, stateDir} {
		if dir, err := dirOf(); err == nil {
			command.Own = append(command.Own, dir)
		}
	}
	return command
}

// shortPath is relative to the working directory where that is shorter.
func shortPath(path string) string {
	if directory, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(directory, path); err == nil && filepath.IsLocal(relative) {
			return relative
		}
	}
	return path
}
