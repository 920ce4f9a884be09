package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/convrun/convrun/provenance"
)

func acronyms() Section {
	return Section{Number: "5", Title: "Acronyms and Abbreviations", Blocks: []Block{{Facts: []Fact{
		{"AI-FSM", Cell{{words("Artificial Intelligence - Functional Safety Management")}}},
		{"DL", Cell{{words("Deep Learning")}}},
		{"DSSE", Cell{{words("Dead Simple Signing Envelope")}}},
		{"OIDC", Cell{{words("OpenID Connect")}}},
		{"ONNX", Cell{{words("Open Neural Network Exchange")}}},
		{"purl", Cell{{words("package URL")}}},
		{"SHA-256", Cell{{words("Secure Hash Algorithm 2 with 256 bits")}}},
		{"URI", Cell{{words("Uniform Resource Identifier")}}},
		{"UTC", Cell{{words("Coordinated Universal Time")}}},
	}}}}
}

func bibliography() Section {
	source := func(what, where string) Text { return Text{words(what + ", "), mono(where)} }
	return Section{Number: "6", Title: "Bibliography", Blocks: []Block{{List: []Text{
		{words("SAFEXPLAIN project, AI-FSM: Model Conversion Log, template PhIMT0002, version 1.0")},
		source("Conversion log, version 1, the predicate that this document was drawn up from", provenance.PredicateType),
		source("in-toto Attestation Framework, Statement v1", provenance.StatementType),
		source("DSSE: Dead Simple Signing Envelope", "https://github.com/secure-systems-lab/dsse"),
		source("Sigstore bundle format", "https://docs.sigstore.dev/about/bundle/"),
		source("purl: package URL specification", "https://github.com/package-url/purl-spec"),
	}}}}
}

func machineAnnex(e provenance.Environment) Section {
	s := Section{Number: annexMachine, Title: "Machine and settings"}
	s.Blocks = append(s.Blocks, Block{Facts: []Fact{
		{"C library", Cell{{value(orWhy(e.OS.Libc, "unknown: not recorded"))}}},
		{"Cores", Cell{{words(cores(e.CPU))}}},
		{"Processor features", Cell{codeList(e.CPU.Features, "unknown: no feature is recorded")}},
		{"Limits of control groups", controlGroups(e.Limits)},
		{"Container image", Cell{{value(orWhy(e.ContainerImage, "unknown: not recorded"))}}},
		{"Time zone", Cell{{value(orWhy(e.TimeZone, "unknown: not recorded"))}}},
		{"Environment variables withheld", Cell{
			{words(count(len(e.WithheldVariables), "name") + " without value, because values may be secret")},
			codeList(e.WithheldVariables, "none: no variable was withheld"),
		}},
		{"Files of the system read besides", Cell{{words(thousands(int64(e.SystemFiles)))}}},
	}})
	s.Blocks = append(s.Blocks, settings("Numeric settings, as the framework had them at its end", "unknown: no numeric setting is recorded", e.Numerics)...)
	s.Blocks = append(s.Blocks, settings("Environment variables", "none: no variable of the allow-list was set", e.Variables)...)
	s.Blocks = append(s.Blocks, settings("Locale", "unknown: not recorded", e.Locale)...)
	s.Blocks = append(s.Blocks, job(e.CI)...)
	s.Blocks = append(s.Blocks, interpreters(e.Interpreters)...)
	if len(e.Libraries) == 0 {
		return appended(s, paragraph("No shared library outside packages is recorded."))
	}
	return appended(s, Block{Table: &Table{"Shared libraries that belong to no Python package", fileColumns, each(e.Libraries, fileRow("library"))}})
}

func cores(c provenance.CPU) string {
	text := count(c.Cores, "logical core") + " online"
	for _, n := range []struct {
		cores int
		what  string
	}{{c.PhysicalCores, "physical"}, {c.UsableCores, "usable by the command"}} {
		if n.cores > 0 {
			text += fmt.Sprintf(", %d %s", n.cores, n.what)
		} else {
			text += ", unknown: how many " + n.what
		}
	}
	return text
}

func controlGroups(l *provenance.Limits) Cell {
	if l == nil {
		return Cell{{value("unknown: not recorded")}}
	}
	return Cell{{words("version "), value(l.ControlGroups)}, {words("processors: "), value(l.CPUs)}, {words("bytes of memory: "), value(l.Memory)}}
}

// job is the job of a continuous-integration service.
func job(ci *provenance.CI) []Block {
	if ci == nil {
		return []Block{paragraph("No continuous-integration service said that it ran this.")}
	}
	return []Block{
		paragraph("The run was part of a job, as environment variables say, which anybody can set:"),
		{Facts: []Fact{
			{"Service", Cell{{value(ci.Service)}}}, {"Run", Cell{{monoValue(ci.Run)}}}, {"Repository", Cell{{monoValue(ci.Repository)}}}, {"Commit", Cell{{monoValue(ci.Commit)}}},
			{"Branch or tag", Cell{{monoValue(ci.Ref)}}}, {"Workflow", Cell{{monoValue(ci.Workflow)}}}, {"Job", Cell{{monoValue(ci.Job)}}},
		}},
	}
}

func appended(s Section, b Block) Section {
	s.Blocks = append(s.Blocks, b)
	return s
}

func codeList(list []string, none string) Text {
	if len(list) == 0 {
		return Text{value(none)}
	}
	var t Text
	for i, item := range list {
		if i > 0 {
			t = append(t, words(", "))
		}
		t = append(t, monoValue(item))
	}
	return t
}

func settings(caption, none string, m map[string]string) []Block {
	if len(m) == 0 {
		return []Block{paragraph(caption + ": " + none)}
	}
	rows := each(sortedKeys(m), func(name string) Row {
		return Row{Cells: []Cell{{{monoValue(name)}}, {{monoValue(orWhy(m[name], "none: set to nothing"))}}}}
	})
	return []Block{{Table: &Table{caption, []string{"Name", "Value"}, rows}}}
}

func interpreters(list []provenance.Interpreter) []Block {
	if len(list) == 0 {
		return []Block{paragraph("No Python interpreter ran.")}
	}
	rows := each(list, func(i provenance.Interpreter) Row {
		return Row{Cells: []Cell{{{monoValue(i.Executable)}}, {{value(i.Implementation), words(" "), value(i.Version)}, {value(orWhy(i.Build, "unknown: the build was not recorded"))}}, {{value(i.Compiler)}}, digestLines(i.Digest, nil)}}
	})
	return []Block{{Table: &Table{"Interpreters", []string{"Program", "Version", "Compiler", "Digest"}, rows}}}
}

// languages names the syntax of a script by the end of its name.
var languages = map[string]string{"py": "python", "sh": "sh", "ipynb": "json", "json": "json", "toml": "toml", "yaml": "yaml", "yml": "yaml"}

func scriptsAnnex(list []provenance.Script) Section {
	s := Section{Number: annexScriptText, Title: "Text of the scripts"}
	if len(list) == 0 {
		s.Blocks = []Block{paragraph("None: no script or module of the user's own was seen.")}
		return s
	}
	for i, script := range list {
		language := languages[script.Name[strings.LastIndexByte(script.Name, '.')+1:]]
		part := Section{Number: strings.TrimPrefix(annexScriptText, "Annex ") + "." + strconv.Itoa(i+1), Title: "Script " + strconv.Itoa(i+1) + " of " + strconv.Itoa(len(list))}
		part.Blocks = []Block{{Facts: []Fact{
			{"Name", Cell{{monoValue(orWhy(script.Name, "unknown: the script has no name in the log"))}}},
			{"URI", Cell{{monoValue(orWhy(script.URI, "unknown: not recorded"))}}},
			{"Digest", digestLines(script.Digest, nil)},
			{"Encoding of the file", Cell{{value(orWhy(script.Encoding, "unknown: not recorded"))}}},
		}}}
		if hasText(script.Text) {
			part.Blocks = append(part.Blocks, Block{Code: &Code{Language: orWhy(language, "text"), Text: script.Text}})
		} else {
			part.Blocks = append(part.Blocks, Block{Paragraph: Text{value(orWhy(script.Text, "unknown: the log has no text of it"))}})
		}
		s.Sections = append(s.Sections, part)
	}
	return s
}
