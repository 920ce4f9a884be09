package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/printable"
	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/finding"
)

type verifyOptions struct {
	trust          trustOptions
	log            string
	allowFailedRun bool
	asJSON         bool
}

func newVerifyCommand() *cobra.Command {
	var o verifyOptions
	command := &cobra.Command{
		Use: "verify [flags] FILE...", Short: "check a model against its conversion log", Args: atLeastOne("a file to verify"),
		Long: `verify finds the log beside FILE (FILE.convlog.json), checks the signature and who
made it, and hashes every file that the log says the run left: the model, its
external data, other outputs that are still there. It needs no network.

Without --key it trusts this user's own local key and nobody else's.` + exitHelp("0", "1", "2", "3", "4", "130"),
		Example: "  convrun verify --key release.pub resnet18.onnx\n  convrun verify --json resnet18.onnx",
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := cancellable(c.Context())
			defer cancel()
			return runVerify(ctx, c.OutOrStdout(), o, args)
		},
	}
	o.trust.addKey(command)
	command.Flags().StringVar(&o.log, "log", "", "the log's `PATH`, when it is not beside the file")
	command.Flags().BoolVar(&o.allowFailedRun, "allow-failed-run", false, "accept the log of a command that failed")
	command.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON object per line and file")
	return command
}

// verdict is what verify says about one file. Verified is set at one place
// only, after everything else held.
type verdict struct {
	File     string `json:"file"`
	Log      string `json:"log"`
	Verified bool   `json:"verified"`
	Status   int    `json:"status"`
	Error    string `json:"error,omitempty"`
	// LogSHA256 identifies the log that was verified.
	LogSHA256       string        `json:"logSha256,omitempty"`
	Signer          string        `json:"signer,omitempty"`
	ConversionID    string        `json:"conversionId,omitempty"`
	Checks          []checkResult `json:"checks"`
	Files           []fileResult  `json:"files"`
	CaptureComplete bool          `json:"captureComplete"`
	ExitCode        *int          `json:"exitCode,omitempty"`
	// Findings are the log's; they do not decide whether the log is verified.
	Findings []provenance.Finding `json:"findings"`
	Warnings []string             `json:"warnings"`
}

type checkResult struct {
	Name   string `json:"name"`
	Result string `json:"result"`
	Detail string `json:"detail"`
}

func runVerify(ctx context.Context, out io.Writer, o verifyOptions, files []string) error {
	if o.log != "" && len(files) > 1 {
		return usage(errors.New("--log goes with one file"))
	}
	var statuses []int
	for _, file := range files {
		v, err := verifyFile(ctx, o, file)
		if err != nil {
			v.Error = err.Error()
			v.Status, _ = exitStatus(err)
		}
		statuses = append(statuses, v.Status)
		printErr := v.print(out, o.asJSON)
		switch {
		case len(files) == 1 && err != nil, ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case printErr != nil:
			return fmt.Errorf("print the verdict: %w", printErr)
		case err != nil:
			printError(os.Stderr, err)
		}
	}
	if status := worst(statuses); status != exitOK {
		return withStatus(status, nil)
	}
	return nil
}

// verifyFile gives a verdict whose Verified is true, or an error.
func verifyFile(ctx context.Context, o verifyOptions, file string) (v verdict, err error) {
	logPath, artifact := logOf(file)
	onlyLog := logPath == filepath.Clean(file)
	if o.log != "" {
		logPath, onlyLog = o.log, false
	}
	v = verdict{File: artifact, Log: logPath, Checks: []checkResult{}, Files: []fileResult{}, Findings: []provenance.Finding{}, Warnings: []string{}}
	defer func() {
		if r := recover(); r != nil {
			v.Verified, err = false, withStatus(exitIncomplete, fmt.Errorf("internal error while verifying %s: %v", file, r))
		}
	}()
	log, err := openLog(logPath, o.trust)
	if err != nil {
		return v, err
	}
	v.LogSHA256 = log.digest.Encoded()
	v.Signer = log.verified.Signer().Fingerprint
	for _, c := range log.verified.Checks() {
		v.Checks = append(v.Checks, checkResult{c.Name, string(c.Result), c.Detail})
	}
	predicate := &log.statement.Predicate
	v.ConversionID, v.CaptureComplete, v.ExitCode = predicate.Conversion.ID, predicate.Capture.Complete, &predicate.Run.ExitCode
	v.Findings = append(v.Findings, predicate.Findings...)
	if !v.CaptureComplete {
		v.Warnings = append(v.Warnings, "the capture is incomplete: "+strings.Join(predicate.Capture.Reasons, "; "))
	}
	if err := v.checkByproducts(ctx, log); err != nil {
		return v, err
	}
	if err := v.checkOutputs(ctx, log, artifact, onlyLog); err != nil {
		return v, err
	}
	if err := v.checkRun(log, o.allowFailedRun); err != nil {
		return v, err
	}
	v.Verified = true
	return v, nil
}

// checkByproducts compares the files that belong to the log: they are checked
// when they are there.
func (v *verdict) checkByproducts(ctx context.Context, log *openedLog) error {
	results, err := log.checkByproducts(ctx)
	v.Files = append(v.Files, results...)
	if err != nil {
		return err
	}
	return v.complain(log.path)
}

// checkOutputs compares the files. The log of a run that left none can be
// verified as such, and never for a file.
func (v *verdict) checkOutputs(ctx context.Context, log *openedLog, artifact string, onlyLog bool) error {
	if !provenance.IsInvocation(log.statement) {
		return v.checkFiles(ctx, log.statement, artifact)
	}
	if !onlyLog {
		return withStatus(exitFailed, fmt.Errorf("%s: expected the log of a run that left this file, found that of a run that left none", log.path))
	}
	v.File = log.path
	v.Warnings = append(v.Warnings, "the run left no output: there is no file to check")
	return nil
}

// checkRun refuses the log of a failed command unless that was asked for.
func (v *verdict) checkRun(log *openedLog, allowed bool) error {
	run := log.statement.Predicate.Run
	if run.ExitCode == 0 && run.Signal == nil {
		return nil
	}
	how := fmt.Sprintf("exit code %d", run.ExitCode)
	if run.Signal != nil {
		how = *run.Signal
	}
	if allowed {
		v.Warnings = append(v.Warnings, "the command failed ("+how+")")
		return nil
	}
	return withStatus(exitFailed, withHint(fmt.Errorf("%s: expected the log of a command that succeeded, found that it ended with %s", log.path, how),
		"to accept it all the same: --allow-failed-run"))
}

func (v *verdict) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(v)
	}
	var text strings.Builder
	show := func(format string, args ...any) {
		text.WriteString(printable.String(fmt.Sprintf(format, args...)) + "\n")
	}
	if !v.Verified {
		show("%s: NOT verified", v.File)
	} else {
		show("%s: verified", v.File)
		show("  log         %s (sha256 %s)", v.Log, v.LogSHA256)
		show("  conversion  %s", v.ConversionID)
		for _, check := range v.Checks {
			if check.Name == "signature" || check.Result == "not checked" {
				show("  %-11s %s: %s", check.Name, check.Result, check.Detail)
			}
		}
		unchecked := 0
		for _, file := range v.Files {
			if file.Result == outside || file.Result == volatile {
				unchecked++
				continue
			}
			show("  %-11s %s: %s", file.Role, file.Name, file.Result)
		}
		if unchecked > 0 {
			show("  not checked %d other outputs (--json lists them)", unchecked)
		}
		if counts := countFindings(v.Findings); counts != "" {
			show("  findings    %s", counts)
		}
		for _, f := range v.Findings {
			if f.Waiver != nil {
				show("  waived      %s: %s", f.ID, waived(f.Waiver))
			}
		}
		for _, warning := range v.Warnings {
			show("  warning     %s", warning)
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// countFindings counts those that nobody waived by severity; notes alone are
// nothing to say.
func countFindings(findings []provenance.Finding) string {
	count := map[string]int{}
	for _, f := range findings {
		if f.Waiver == nil {
			count[f.Severity]++
		}
	}
	var words []string
	for _, severity := range []string{finding.Error, finding.Warning} {
		if n := count[severity]; n > 0 {
			words = append(words, fmt.Sprintf("%s: %d", severity, n))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, ", ") + " (convrun show lists them)"
}
