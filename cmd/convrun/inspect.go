package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/printable"
	"github.com/convrun/convrun/provenance/model"
)

func newInspectCommand() *cobra.Command {
	var asJSON, digested bool
	var meantFor []string
	command := &cobra.Command{
		Use: "inspect [flags] FILE|DIR", Short: "print what a model file says about itself", Args: exactlyOne("a model file or a model directory"),
		Long: `inspect reads a model and prints what a log would say of it: format, inputs and
outputs, operators, parameters, the other files that belong to it, and whether
training-specific operations are in it, each with evidence. It executes nothing,
loads no weights and needs no log; it does not say who made the file: verify
does.

With --canonical it adds a digest of what the model does, which does not depend
on names, metadata, order of nodes or encoding; that reads all weights once.

Formats: ` + strings.Join(formatWords(), ", ") + `.

Targets: ` + strings.Join(model.TargetWords(), ", ") + `.` + exitHelp("0", "2", "4"),
		Example: "  convrun inspect resnet18.onnx\n  convrun inspect --json checkpoint.pt\n  convrun inspect --target onnxruntime==1.20 resnet18.onnx",
		RunE: func(c *cobra.Command, args []string) error {
			targets, err := parseTargets(meantFor)
			if err != nil {
				return usage(err)
			}
			m, err := model.Inspect(args[0])
			if err != nil {
				return inspectFailed(args[0], err)
			}
			for _, target := range targets {
				m.Findings = append(m.Findings, target.Fit(m)...)
			}
			said := inspected{Model: m}
			if digested {
				said.addCanonical(args[0])
			}
			if asJSON {
				encoder := json.NewEncoder(c.OutOrStdout())
				encoder.SetEscapeHTML(false)
				encoder.SetIndent("", "  ")
				return encoder.Encode(said)
			}
			_, err = io.WriteString(c.OutOrStdout(), describe(said))
			return err
		},
	}
	command.Flags().BoolVar(&digested, "canonical", false, "add the digest of what the model does")
	addTargets(command, &meantFor)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON for programs")
	return command
}

// inspected is what inspect says of a model.
type inspected struct {
	*model.Model
	// CanonicalDigest and CanonicalDigestNote are as in a log; empty unless
	// they were asked for.
	CanonicalDigest     map[string]string `json:"canonicalDigest,omitempty"`
	CanonicalDigestNote string            `json:"canonicalDigestNote,omitempty"`
}

func (m *inspected) addCanonical(path string) {
	var sum string
	if sum, m.CanonicalDigestNote = canonical(path); sum != "" {
		m.CanonicalDigest = map[string]string{model.CanonicalKey: sum}
	}
}

// formatWords names the formats, and says of which no real file was tried.
func formatWords() (words []string) {
	for _, format := range model.Formats {
		word := format.Name
		if format.Untried {
			word += " (not tried against the real thing)"
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

func inspectFailed(path string, err error) error {
	log := strings.HasSuffix(path, logSuffix) || strings.HasSuffix(path, draftSuffix)
	switch {
	case errors.Is(err, model.ErrNoModel) && log:
		return withHint(err, "this is a log; print it with: convrun show %s", path)
	case errors.Is(err, model.ErrNoModel):
		return withHint(err, "the formats are listed by: convrun inspect --help")
	}
	return err
}

// describe tells about a model for people, one fact a line.
func describe(m inspected) string {
	var text strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&text, "%-16s %s\n", label, printable.String(fmt.Sprintf(format, args...)))
	}
	line("model", "%s", m.Main)
	line("format", "%s", together(m.Format, m.FormatVersion))
	line("producer", "%s", m.Producer)
	if sum := m.CanonicalDigest[model.CanonicalKey]; sum != "" {
		line("canonical", "%s", sum)
	} else if m.CanonicalDigestNote != "" {
		line("canonical", "%s", m.CanonicalDigestNote)
	}
	for _, domain := range slices.Sorted(maps.Keys(m.Opsets)) {
		name := domain
		if name == "" {
			name = "ai.onnx"
		}
		line("opset", "%s %d", name, m.Opsets[domain])
	}
	for _, v := range m.Inputs {
		line("input", "%s", describeValue(v))
	}
	for _, v := range m.Outputs {
		line("output", "%s", describeValue(v))
	}
	if len(m.Operators) > 0 {
		line("operators", "%s", histogram(m.Operators))
	}
	if m.Parameters >= 0 {
		line("parameters", "%s", counted(m.Parameters, m.DTypes))
	} else {
		line("parameters", "unknown")
	}
	for _, part := range m.Parts {
		if part.Problem != "" {
			line("part", "%s: %s", part.Name, part.Problem)
		} else {
			line("part", "%s, %d bytes", part.Name, part.Size)
		}
	}
	for _, v := range m.Elimination {
		word := string(v.Status)
		if v.Mode != model.None {
			word += ", " + string(v.Mode)
		}
		line("elimination", "%s: %s", strings.ReplaceAll(string(v.Operation), "_", " "), word)
		for _, evidence := range v.Evidence {
			line("", "%s", evidence)
		}
	}
	for _, finding := range m.Findings {
		where := ""
		if finding.Evidence != "" {
			where = " (" + finding.Evidence + ")"
		}
		line(finding.Severity, "%s: %s%s", finding.ID, finding.Message, where)
	}
	return text.String()
}

func describeValue(v model.Value) string {
	if v.Shape == nil {
		return fmt.Sprintf("%s %s, rank not stated", v.Name, v.DType)
	}
	return fmt.Sprintf("%s %s [%s]", v.Name, v.DType, strings.Join(v.Shape, ", "))
}

// histogram lists what there is by how many there are, then by name.
func histogram[N int | int64](count map[string]N) string {
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, count[name])
	}
	return strings.Join(names, ", ")
}

// counted is a number of parameters, by element type when that is known.
func counted(parameters int64, types map[string]int64) string {
	if len(types) == 0 {
		return strconv.FormatInt(parameters, 10)
	}
	return fmt.Sprintf("%d: %s", parameters, histogram(types))
}
