package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/printable"
	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/provenance/report"
)

func newShowCommand() *cobra.Command {
	var trust trustOptions
	var asJSON bool
	command := &cobra.Command{
		Use: "show [flags] LOG|FILE", Short: "print what a log says", Args: exactlyOne("a log or a file"),
		Long: `show verifies the log's signature and prints what the log says in short, with
what a by-product beside it holds. With --json it prints the signed Statement,
byte for byte. It does not look at the model: verify does.` + exitHelp("0", "1", "2", "3", "4"),
		Example: "  convrun show resnet18.onnx.convlog.json\n  convrun show --json resnet18.onnx",
		RunE: func(c *cobra.Command, args []string) error {
			path, _ := logOf(args[0])
			log, err := openLog(path, trust)
			if err != nil {
				return err
			}
			if asJSON {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", log.payload)
				return err
			}
			results, err := log.checkByproducts(c.Context())
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), log, results)
		},
	}
	trust.addKey(command)
	trust.addUnverified(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print the Statement as it was signed")
	return command
}

// show prints the log for people, one fact a line.
func show(out io.Writer, log *openedLog, byproducts []fileResult) error {
	var text strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&text, "%-16s %s\n", label, printable.String(fmt.Sprintf(format, args...)))
	}
	p := &log.statement.Predicate
	signer := "NOT VERIFIED: nothing below can be relied on"
	if log.verified != nil {
		signer = log.verified.Signer().Fingerprint
	}
	line("signed by", "%s", signer)
	line("conversion", "%s", p.Conversion.ID)
	line("date", "%s", p.Conversion.Date)
	line("responsible", "%s (%s)", p.Conversion.Responsible.Name, p.Conversion.Responsible.Source)
	line("learning model", "%s", learningModel(p.VerifiedLearningModel))
	for _, artifact := range p.VerifiedLearningModel.Artifacts {
		if a := artifact.Annotations; a != nil && a.Signature != nil {
			line("  signature", "%s by %s, not verified: %s", a.Signature.Name, a.Signature.Signer, a.Signature.Covers)
		}
	}
	if len(p.Conversion.Targets) > 0 {
		line("meant for", "%s", strings.Join(p.Conversion.Targets, ", "))
	}
	line("command", "%s", strings.Join(p.Converter.Command.Argv, " "))
	line("ended", "%s", ended(p.Run))
	line("converter", "%s", together(p.Converter.Name, p.Converter.Version))
	line("framework", "%s", together(p.Framework.Name, p.Framework.Version))
	for _, m := range p.FrozenModels {
		line("frozen model", "%s (%s %s) sha256 %s", m.Name, m.Format, m.FormatVersion, orDash(m.Digest["sha256"]))
		line("  canonical", "%s", canonicalWord(m))
		for _, part := range m.Parts {
			line("  part", "%s sha256 %s", part.Name, orDash(part.Digest["sha256"]))
		}
		if m.Manifest != nil {
			line("  manifest", "%s", wholeModel(*m.Manifest))
		}
	}
	if len(p.FrozenModels) == 0 {
		for _, subject := range log.statement.Subject {
			line("subject", "%s sha256 %s", subject.Name, orDash(subject.Digest["sha256"]))
		}
	}
	for _, row := range p.Elimination {
		word := string(row.Status)
		if row.Mode != "" {
			word += ", " + string(row.Mode)
		}
		line("elimination", "%s: %s (%s)", strings.ReplaceAll(string(row.Operation), "_", " "), row.Verdict, word)
		if row.Proof != "" {
			line("  proof", "%s", row.Proof)
		}
	}
	for _, input := range p.Inputs {
		line("input", "%s sha256 %s", input.Name, orDash(input.Digest["sha256"]))
	}
	for _, source := range p.Hubs {
		line("from hub", "%s %s at %s", source.Hub, source.Repository, source.Revision)
	}
	line("packages", "%d loaded, %d of the system and others", len(p.Packages), len(p.OtherPackages))
	for _, library := range exact(p.NativeLibraries) {
		line("library", "%s", together(library.Name, library.Version))
	}
	line("network", "%s", network(p.Run))
	for _, finding := range p.Findings {
		line(finding.Severity, "%s: %s", finding.ID, finding.Message)
		if finding.Waiver != nil {
			line("", "waived: %s", waived(finding.Waiver))
		}
	}
	if ci := p.Environment.CI; ci != nil {
		line("job", "%s, %s", ci.Service, ci.Run)
	}
	for _, short := range p.Shortened {
		line("shortened", "%s", report.ShortenedLine(short))
	}
	for _, file := range byproducts {
		line("by-product", "%s: %s", file.Name, file.Result)
	}
	capture := "complete"
	if !p.Capture.Complete {
		capture = "incomplete: " + strings.Join(p.Capture.Reasons, "; ")
	}
	line("capture", "%s, %s", p.Capture.Method, capture)
	if n := p.Capture.Redactions; n > 0 {
		line("redacted", "secrets were taken out of %d texts", n)
	}
	for _, note := range p.Capture.Notes {
		line("note", "%s", note)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// learningModel is ID@VERSION as it was given, or that it was not.
func learningModel(v provenance.VerifiedLearningModel) string {
	if strings.HasPrefix(v.ID, provenance.Unknown) || strings.HasPrefix(v.Version, provenance.Unknown) {
		return together(v.ID, v.Version)
	}
	return v.ID + "@" + v.Version
}

// wholeModel is the one digest of a model of several files, or why there is
// none.
func wholeModel(m provenance.Manifest) string {
	if m.Reason != "" {
		return m.Reason
	}
	return fmt.Sprintf("sha256 %s over %d files", m.Digest["sha256"], m.Files)
}

// waived is why, by whom and where a finding was accepted.
func waived(w *provenance.Waiver) string {
	return fmt.Sprintf("%s (by %s, %s)", w.Reason, w.By, w.Source)
}

// maxShown is how many endpoints are shown; the log has them all.
const maxShown = 10

// network are the endpoints of a run in a line, or that none were seen.
func network(run provenance.Run) string {
	if strings.HasPrefix(run.NetworkNote, provenance.Unknown) {
		return run.NetworkNote
	}
	if len(run.Network) == 0 {
		return "none were seen: " + run.NetworkNote
	}
	var shown []string
	for _, endpoint := range run.Network[:min(len(run.Network), maxShown)] {
		if endpoint.Family == "unix" {
			shown = append(shown, "unix "+endpoint.Address)
		} else {
			shown = append(shown, net.JoinHostPort(endpoint.Address, strconv.Itoa(endpoint.Port)))
		}
	}
	if more := len(run.Network) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}

// together is a name and its version, or why one of them is unknown; one reason
// is enough when both are.
func together(name, version string) string {
	if strings.HasPrefix(name, provenance.Unknown) {
		return name
	}
	if strings.HasPrefix(version, provenance.Unknown) {
		return name + " (version " + version + ")"
	}
	return name + " " + version
}

func ended(run provenance.Run) string {
	if run.Signal != nil {
		return "by " + *run.Signal
	}
	return fmt.Sprintf("with exit code %d", run.ExitCode)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// canonicalWord is the digest of what a model does, or why there is none; logs
// of older versions have neither.
func canonicalWord(m provenance.FrozenModel) string {
	if sum := m.CanonicalDigest[model.CanonicalKey]; sum != "" {
		return sum
	}
	return orDash(m.CanonicalDigestNote)
}

// exact leaves out each version of a library of which another one is a longer
// form: a file is called after 13, says 13.2, and belongs to a package 13.2.86.
func exact(libraries []provenance.NativeLibrary) []provenance.NativeLibrary {
	return slices.DeleteFunc(slices.Clone(libraries), func(short provenance.NativeLibrary) bool {
		return slices.ContainsFunc(libraries, func(long provenance.NativeLibrary) bool {
			return long.Name == short.Name && strings.HasPrefix(long.Version, short.Version+".")
		})
	})
}
