package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/provenance/report"
)

type reportOptions struct {
	trust          trustOptions
	format, output string
	annex          bool
}

func newReportCommand() *cobra.Command {
	var o reportOptions
	command := &cobra.Command{
		Use: "report [flags] FILE|LOG", Short: "write the Model Conversion Log document", Args: exactlyOne("a log or a file"),
		Long: `report verifies the log's signature and writes the document "Model Conversion
Log", filled in from it. The same log gives the same bytes.` + exitHelp("0", "1", "2", "3", "4"),
		Example: "  convrun report resnet18.onnx -o resnet18.html\n  convrun report --format md resnet18.onnx.convlog.json",
		RunE:    func(c *cobra.Command, args []string) error { return runReport(c, o, args[0]) },
	}
	o.trust.addKey(command)
	o.trust.addUnverified(command)
	command.Flags().StringVar(&o.format, "format", "", "`FORMAT`: "+formatNames()+" (default: by the ending of --output, else "+report.Formats[0].Name+")")
	command.Flags().BoolVar(&o.annex, "annex", false, "print in full what the log holds in a by-product only")
	command.Flags().StringVarP(&o.output, "output", "o", "-", "`PATH` of the document; - is standard output")
	return command
}

func runReport(c *cobra.Command, o reportOptions, file string) error {
	format, err := reportFormat(o)
	if err != nil {
		return usage(err)
	}
	path, _ := logOf(file)
	log, err := openLog(path, o.trust)
	if err != nil {
		return err
	}
	if o.annex {
		results, err := log.checkByproducts(c.Context())
		if err != nil {
			return err
		}
		for _, file := range results {
			if file.Result != matches {
				return withStatus(exitFailed, withHint(fmt.Errorf("%s: by-product of the log: %s", file.Name, file.Result), "put it beside the log, or leave --annex away"))
			}
		}
	}
	var document bytes.Buffer
	if err := report.Write(&document, report.New(log.statement, signatureFacts(log)), format); err != nil {
		return err
	}
	if o.output == "-" {
		_, err = c.OutOrStdout().Write(document.Bytes())
		return err
	}
	if err := writeFile(o.output, document.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write report %s: %w", o.output, err)
	}
	return nil
}

func reportFormat(o reportOptions) (string, error) {
	ending := filepath.Ext(o.output)
	for _, format := range report.Formats {
		if format.Name == o.format || o.format == "" && format.Extension == ending {
			return format.Name, nil
		}
	}
	switch {
	case o.format != "":
		return "", fmt.Errorf("--format %q: expected %s", o.format, formatNames())
	case o.output == "-" || ending == "":
		return report.Formats[0].Name, nil
	}
	return "", withHint(errors.New("no format goes with the ending "+ending), "say --format, one of %s", formatNames())
}

func formatNames() string {
	names := make([]string, len(report.Formats))
	for i, format := range report.Formats {
		names[i] = format.Name
	}
	return strings.Join(names, ", ")
}

// signatureFacts is what the verification established, for the document.
func signatureFacts(log *openedLog) report.Signature {
	facts := report.Signature{LogName: filepath.Base(log.path), LogDigest: log.digest.Encoded()}
	if log.verified == nil {
		return facts
	}
	signer := log.verified.Signer()
	facts.Verified, facts.KeyFingerprint, facts.Algorithm = true, signer.Fingerprint, signer.Algorithm
	facts.Signer = "the holder of the key " + signer.Fingerprint
	for _, check := range log.verified.Checks() {
		outcome := string(check.Result)
		if outcome == "ok" {
			outcome = "passed"
		}
		facts.Checks = append(facts.Checks, report.Check{Name: check.Name, Outcome: outcome, Detail: check.Detail})
	}
	return facts
}
