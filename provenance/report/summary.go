package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

// brief is how many entries of a long list Table 1 shows.
const brief = 8

// summary is the template's Table 1, row by row under its labels.
func summary(log *provenance.ConversionLog) *Table {
	t := &Table{Caption: "Model conversion information", Columns: []string{"Item", "Information"}}
	row := func(label string, lines ...Text) {
		t.Rows = append(t.Rows, Row{Cells: []Cell{{{words(label)}}, lines}})
	}
	group := func(label string, line Text) {
		t.Rows = append(t.Rows, Row{Group: true, Cells: []Cell{{{words(label)}}, {line}}})
	}
	c := log.Conversion
	group("Model conversion", Text{monoValue(orWhy(c.ID, "unknown: the log has no conversion ID")), words(" (from: " + orWhy(c.IDSource, "not recorded") + ")")})
	row("Date", Text{value(templateDate(c.Date))})
	row("Responsible", responsible(c.Responsible))
	row("Phase of the lifecycle", Text{value(c.Phase)})
	row("Context", context(c.Context, c.ContextSources)...)

	vlm := log.VerifiedLearningModel
	group("Verified Learning Model", Text{words(count(len(vlm.Artifacts), "file") + " of it read by the run")})
	row("Verified Learning Model ID", modelID(vlm)...)
	row("Verified Learning Model files", some(each(vlm.Artifacts, artifact), "unknown: no file of a trained model was seen among what the run read", secFiles)...)

	rows := eliminationRows(log.Elimination)
	group("Elimination of Training-Specific Operations", tally(rows))
	for _, e := range rows {
		row(operationName(e.Operation), verdictLine(e),
			sideLine("Trained model: ", e.Source), sideLine("Frozen model: ", e.Frozen))
	}

	group("Loading and Converting the Verified Learning Model", outcome(log.Run))
	row("Framework and version", framework(log.Framework)...)
	row("Packages and version", packages(log.Packages)...)
	row("Converter/model conversion script", converter(log.Converter)...)
	row("Environment information", environment(log.Environment)...)
	row("Frozen model", some(each(log.FrozenModels, frozenLine), "unknown: no frozen model was found among what the run wrote", secFrozen)...)
	return t
}

// some returns at most brief lines and where the rest is, or why there are
// none.
func some(lines []Text, none, section string) []Text {
	if len(lines) == 0 {
		return []Text{{value(none)}}
	}
	if len(lines) <= brief {
		return lines
	}
	more := Text{words(fmt.Sprintf("and %d more of %d in all: ", len(lines)-brief, len(lines))), see(section)}
	return append(slices.Clip(lines[:brief]), more)
}

func responsible(r provenance.Responsible) Text {
	t := Text{value(orWhy(r.Name, "unknown: the log names nobody"))}
	if r.Email != "" {
		t = append(t, words(", "), monoValue(r.Email))
	}
	return append(t, words(" (from: "+orWhy(r.Source, "unknown: the log does not say where the name comes from")+")"))
}

func context(given, sources map[string]string) []Text {
	lines := make([]Text, 0, len(given))
	for _, key := range sortedKeys(given) {
		lines = append(lines, Text{mono(key), words(": "), value(given[key]), words(" (from: " + orWhy(sources[key], "not recorded") + ")")})
	}
	for _, key := range sortedKeys(sources) {
		if _, has := given[key]; !has {
			lines = append(lines, Text{mono(key), words(": "), value("unknown: the log has no value of it"), words(" (from: " + sources[key] + ")")})
		}
	}
	if len(lines) == 0 {
		return []Text{{value("not stated: the run was given no item, integrity level, target or other context")}}
	}
	return lines
}

// modelID is <ID>_<version>, as the template wants it.
func modelID(vlm provenance.VerifiedLearningModel) []Text {
	var id Text
	switch {
	case known(vlm.ID) && known(vlm.Version):
		id = Text{mono(vlm.ID + "_" + vlm.Version)}
	case known(vlm.ID):
		id = Text{mono(vlm.ID), words(", version "), value(vlm.Version)}
	default:
		id = nameVersion(orWhy(vlm.ID, "unknown: the log has no ID of the trained model"), vlm.Version)
	}
	return []Text{id, {words("From: "), value(orWhy(vlm.Source, "unknown: the log does not say where the ID comes from"))}}
}

func tally(rows []provenance.Elimination) Text {
	var pass, fail int
	for _, e := range rows {
		switch e.Verdict {
		case "pass":
			pass++
		case "fail":
			fail++
		}
	}
	return Text{words(fmt.Sprintf("%d pass, %d to review, %d fail; evidence in ", pass, len(rows)-pass-fail, fail)), see(secElimination)}
}

func verdictLine(e provenance.Elimination) Text {
	return Text{verdict(e.Verdict), words(": " + state(e.Status, e.Mode))}
}

func verdict(v string) Span {
	switch v {
	case "pass":
		return Span{Words: "Pass", Tone: Good}
	case "fail":
		return Span{Words: "FAIL", Tone: Bad}
	case "review":
		return Span{Words: "Review", Tone: Caution}
	}
	return Span{Words: fmt.Sprintf("Review (the verdict %q is not known to this version)", v), Tone: Caution}
}

func state(s model.Status, m model.Mode) string {
	status := orWhy(string(s), "unknown")
	if m == model.None {
		return status
	}
	return status + ", " + string(m)
}

// sideLine is one side's state with its first piece of evidence.
func sideLine(label string, side provenance.EliminationSide) Text {
	if len(side.Evidence) == 0 {
		return Text{words(label + state(side.Status, side.Mode) + "; "), value("unknown: no evidence is recorded")}
	}
	first := value(side.Evidence[0])
	t := Text{words(label + state(side.Status, side.Mode) + "; "), first}
	if side.Status == model.Unknown && first.Tone == Missing { // it says "unknown" itself
		t = Text{words(label), first}
	}
	if more := len(side.Evidence) - 1; more > 0 {
		t = append(t, words(fmt.Sprintf(" (and %d more: ", more)), see(secElimination), words(")"))
	}
	return t
}

func outcome(r provenance.Run) Text {
	if failed(r) {
		return Text{{Words: "FAILED: " + ending(r), Tone: Bad}, words("; "), see(secRun)}
	}
	return Text{words("the command ended with exit code 0; "), see(secRun)}
}

func framework(f provenance.Framework) []Text {
	lines := []Text{nameVersion(orWhy(f.Name, "unknown: the run loaded no framework that convrun knows"), f.Version)}
	for _, key := range sortedKeys(f.Build) {
		lines = append(lines, Text{words("build: "), mono(key), words(" "), value(f.Build[key])})
	}
	if known(f.Name) {
		lines = append(lines, Text{monoValue(orWhy(f.PURL, "unknown: no package is known to hold it"))})
	}
	return lines
}

// packages shows those that the run loaded most files of.
func packages(list []provenance.Package) []Text {
	if len(list) == 0 {
		return []Text{{value("unknown: no package was seen loading")}}
	}
	most := slices.Clone(list)
	slices.SortStableFunc(most, func(a, b provenance.Package) int { return cmp.Compare(b.Files, a.Files) })
	most = most[:min(brief, len(most))]
	changed, unsure := 0, 0
	for _, p := range list {
		switch {
		case p.Integrity == "matches":
		case strings.HasPrefix(p.Integrity, "modified"):
			changed++
		default:
			unsure++
		}
	}
	lines := []Text{{words(count(len(list), "package") + " loaded; digests in "), see(annexPackages)}}
	if changed+unsure > 0 {
		lines = append(lines, Text{{Words: fmt.Sprintf("%s changed since its installation, %d not to be checked", count(changed, "package"), unsure), Tone: Caution}})
	} else {
		lines = append(lines, Text{words("every loaded file is as its package was installed")})
	}
	for _, p := range most {
		lines = append(lines, Text{words(orWhy(p.Name, "unknown: no name recorded") + " " + orWhy(p.Version, "unknown: no version recorded"))})
	}
	if rest := len(list) - len(most); rest > 0 {
		lines = append(lines, Text{words(fmt.Sprintf("and %d more that fewer files were loaded of: ", rest)), see(annexPackages)})
	}
	return lines
}

func converter(c provenance.Converter) []Text {
	lines := []Text{
		{words("Converter: "), monoValue(orWhy(c.Name, "unknown: no converter recorded")), words(" "), value(orWhy(c.Version, "unknown: no version recorded"))},
		{words("Command: "), monoValue(orWhy(commandLine(c.Command.Argv), "unknown: no command recorded"))},
		{words("Calls: "), value(orWhy(c.Observation, "unknown: the log does not say whether calls were observed"))},
	}
	for _, call := range c.Calls[:min(brief, len(c.Calls))] {
		lines = append(lines, callLine(call))
	}
	if len(c.Calls) > 0 {
		lines = append(lines, Text{words(count(len(c.Calls), "call") + " with all parameters, defaults included: "), see(secCalls)})
	}
	lines = append(lines, some(each(c.Scripts, scriptLine), "none: no script of the user's own was seen", secScripts)...)
	return append(lines, Text{words("Version control: "), words(sourceState(c.Source))})
}

// callLine shows a call with the parameters that the caller gave.
func callLine(call provenance.Call) Text {
	var b strings.Builder
	for i, name := range call.Given[:min(brief, len(call.Given))] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + "=" + argument(call, name))
	}
	if len(call.Given) > brief {
		b.WriteString(", …")
	}
	return Text{mono(orWhy(call.Function, "unnamed function") + "(" + b.String() + ")"), words(" "), words(orWhy(call.Outcome, "unknown: no outcome recorded"))}
}

func argument(call provenance.Call, name string) string {
	v, ok := call.Arguments[name]
	if !ok {
		return "unknown: no value was kept"
	}
	return jsonOf(v)
}

func scriptLine(s provenance.Script) Text {
	t := Text{words("Script: "), monoValue(orWhy(s.Name, "unknown: the script has no name in the log")), words(", ")}
	return append(t, digests(s.Digest, nil)...)
}

func sourceState(s provenance.Source) string {
	if !known(s.VCS) {
		return orWhy(s.VCS, "unknown: not recorded")
	}
	dirty := "unknown: whether files differed from it was not told"
	if s.Dirty != nil {
		dirty = "no file differed from it"
		if *s.Dirty {
			dirty = "files differed from it"
		}
	}
	return s.VCS + ", commit " + orWhy(s.Commit, "unknown: not recorded") + ", branch " + orWhy(s.Branch, "unknown: not recorded") + ", remote " + orWhy(s.Remote, "unknown: not recorded") + ", " + dirty
}

func environment(e provenance.Environment) []Text {
	lines := []Text{
		{words("System: "), value(e.OS.Name), words(" "), value(e.OS.Version), words(", kernel "), value(e.OS.Kernel), words(", "), value(e.OS.Architecture)},
		{words("Processor: "), value(e.CPU.Model), words(", " + count(e.CPU.Cores, "core"))},
		{words("Memory: "), words(memory(e.Memory))},
	}
	lines = append(lines, accelerators(e)...)
	for _, i := range e.Interpreters {
		lines = append(lines, Text{words("Interpreter: "), value(i.Implementation), words(" "), value(i.Version)})
	}
	if len(e.Interpreters) == 0 {
		lines = append(lines, Text{words("Interpreter: "), value("none: no Python interpreter ran")})
	}
	lines = append(lines, Text{words("Container: "), value(e.Container)})
	return append(lines, Text{words(fmt.Sprintf("Details: %s, %s, %s and %s outside packages in ",
		count(len(e.Numerics), "numeric setting"), count(len(e.Variables), "environment variable"),
		count(len(e.CPU.Features), "processor feature"), count(len(e.Libraries), "shared library"))), see(annexMachine)})
}

func memory(m provenance.Memory) string {
	if m.Total == 0 {
		return "unknown: the log has no memory size"
	}
	return bytesOf(m.Total)
}

func accelerators(e provenance.Environment) []Text {
	lines := make([]Text, 0, len(e.Accelerators)+1)
	for _, a := range e.Accelerators {
		lines = append(lines, Text{words("Accelerator: "), value(a.Name), words(", driver "), value(a.Driver)})
	}
	if len(lines) == 0 || e.AcceleratorsNote != "" {
		lines = append(lines, Text{words("Accelerators: "), value(orWhy(e.AcceleratorsNote, "none: none is recorded"))})
	}
	return lines
}

func frozenLine(m provenance.FrozenModel) Text {
	t := Text{monoValue(orWhy(m.Name, "unknown: the model has no name in the log")), words(", "), value(m.Format), words(" "), value(m.FormatVersion), words(", ")}
	return append(t, digests(m.Digest, nil)...)
}
