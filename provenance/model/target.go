package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Target is a version of what is to read a model, and the newest of everything
// that it reads.
type Target struct {
	// Name and Version are as people write them: "onnxruntime", "1.20".
	Name, Version string
	// Format is the one that it reads, a name in Formats.
	Format string
	// FormatVersion is the newest version of the format: ONNX's IR version,
	// Core ML's specification version.
	FormatVersion int64
	// Opsets are the newest operator sets by domain; nil where a format has none.
	Opsets map[string]int64
}

// opsets are versions of ai.onnx and ai.onnx.ml.
func opsets(onnx, ml int64) map[string]int64 {
	return map[string]int64{"": onnx, "ai.onnx.ml": ml}
}

// Targets are the versions whose limits were had from the programs themselves.
//
//   - onnxruntime: what the wheel of each version on PyPI says when it refuses a
//     model of IR version 99, or of an operator set of version 99
//     (TestTargetsRefuse asks some of them again);
//   - onnx: onnx.helper.VERSION_TABLE of onnx 1.23.2;
//   - coreml: the constants _SPECIFICATION_VERSION_IOS_* of coremltools 9.0.
var Targets = []Target{
	{"coreml", "iOS13", "coreml", 4, nil},
	{"coreml", "iOS14", "coreml", 5, nil},
	{"coreml", "iOS15", "coreml", 6, nil},
	{"coreml", "iOS16", "coreml", 7, nil},
	{"coreml", "iOS17", "coreml", 8, nil},
	{"coreml", "iOS18", "coreml", 9, nil},
	{"coreml", "iOS26", "coreml", 10, nil},
	{"onnx", "1.10", "onnx", 8, opsets(15, 2)},
	{"onnx", "1.11", "onnx", 8, opsets(16, 3)},
	{"onnx", "1.12", "onnx", 8, opsets(17, 3)},
	{"onnx", "1.13", "onnx", 8, opsets(18, 3)},
	{"onnx", "1.14", "onnx", 9, opsets(19, 3)},
	{"onnx", "1.15", "onnx", 9, opsets(20, 4)},
	{"onnx", "1.16", "onnx", 10, opsets(21, 5)},
	{"onnx", "1.17", "onnx", 10, opsets(22, 5)},
	{"onnx", "1.18", "onnx", 11, opsets(23, 5)},
	{"onnx", "1.19", "onnx", 12, opsets(24, 5)},
	{"onnx", "1.20", "onnx", 13, opsets(25, 5)},
	{"onnx", "1.21", "onnx", 13, opsets(26, 5)},
	{"onnx", "1.22", "onnx", 13, opsets(27, 5)},
	{"onnx", "1.23", "onnx", 14, opsets(28, 5)},
	{"onnxruntime", "1.15", "onnx", 9, opsets(19, 3)},
	{"onnxruntime", "1.16", "onnx", 9, opsets(19, 3)},
	{"onnxruntime", "1.17", "onnx", 9, opsets(20, 4)},
	{"onnxruntime", "1.18", "onnx", 10, opsets(21, 5)},
	{"onnxruntime", "1.19", "onnx", 10, opsets(21, 5)},
	{"onnxruntime", "1.20", "onnx", 10, opsets(21, 5)},
	{"onnxruntime", "1.21", "onnx", 10, opsets(22, 5)},
	{"onnxruntime", "1.22", "onnx", 10, opsets(22, 5)},
	{"onnxruntime", "1.23", "onnx", 11, opsets(23, 5)},
	{"onnxruntime", "1.24", "onnx", 13, opsets(25, 5)},
	{"onnxruntime", "1.25", "onnx", 13, opsets(26, 5)},
	{"onnxruntime", "1.26", "onnx", 13, opsets(26, 5)},
	{"onnxruntime", "1.27", "onnx", 13, opsets(26, 5)},
	{"onnxruntime", "1.28", "onnx", 13, opsets(26, 5)},
	{"onnxruntime", "1.29", "onnx", 13, opsets(26, 5)},
	{"onnxruntime", "1.30", "onnx", 13, opsets(26, 5)},
	{"onnxruntime", "1.31", "onnx", 13, opsets(26, 5)},
	{"onnxruntime", "1.32", "onnx", 14, opsets(28, 5)},
}

func (t Target) String() string { return t.Name + "==" + t.Version }

// ParseTarget reads NAME==VERSION. A version with more parts than the table's,
// as 1.20.1 has, is taken for the table's. It is an error when there is no such
// row; the error lists those that there are.
func ParseTarget(text string) (Target, error) {
	name, version, _ := strings.Cut(text, "==")
	for _, t := range Targets {
		if t.Name == name && (t.Version == version || strings.HasPrefix(version, t.Version+".")) {
			return t, nil
		}
	}
	return Target{}, fmt.Errorf("target %q: expected one of %s", text, strings.Join(TargetWords(), ", "))
}

// TargetWords are Targets for people, the versions of one name together:
// "onnx==1.10|1.11".
func TargetWords() (words []string) {
	for i, t := range Targets {
		if i > 0 && Targets[i-1].Name == t.Name {
			words[len(words)-1] += "|" + t.Version
		} else {
			words = append(words, t.String())
		}
	}
	return words
}

// Fit tells what of the model the target is too old for, or does not read.
func (t Target) Fit(m *Model) (findings []Finding) {
	add := func(id, format string, args ...any) {
		findings = append(findings, newFinding(id, fmt.Sprintf(format, args...), ""))
	}
	if m.Format != t.Format {
		add("CR-TARGET-FORMAT", "%s does not read %s", t, m.Format)
		return findings
	}
	switch version, known := leadingNumber(m.FormatVersion); {
	case !known:
		add("CR-TARGET-UNKNOWN", "whether %s reads the model cannot be told: the format's version is %s", t, m.FormatVersion)
	case version > t.FormatVersion:
		add("CR-TARGET-VERSION", "the model is of %s, %s reads up to %d", m.FormatVersion, t, t.FormatVersion)
	}
	for _, domain := range slices.Sorted(maps.Keys(t.Opsets)) {
		if version, newest := m.Opsets[domain], t.Opsets[domain]; version > newest {
			add("CR-TARGET-OPSET", "the model is of opset %d of %s, %s has up to %d", version, cmp.Or(domain, domainAlias), t, newest)
		}
	}
	return findings
}

// leadingNumber is the number in a FormatVersion: "IR 8", "specification 7, …".
func leadingNumber(version string) (int64, bool) {
	for _, word := range strings.FieldsFunc(version, func(r rune) bool { return r == ' ' || r == ',' }) {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return n, true
		}
	}
	return 0, false
}
