package report

import (
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
		{"Processor features", Cell{codeList(e.CPU.Features, "unknown: no feature is recorded")}},
		{"Environment variables withheld", Cell{
			{words(count(len(e.WithheldVariables), "name") + " without value, because values may be secret")},
			codeList(e.WithheldVariables, "none: no variable was withheld"),
		}},
		{"Files of the system read besides", Cell{{words(thousands(int64(e.SystemFiles)))}}},
	}})
	s.Blocks = append(s.Blocks, settings("Numeric settings, as the framework had them at its end", "unknown: no numeric setting is recorded", e.Numerics)...)
	s.Blocks = append(s.Blocks, settings("Environment variables", "none: no variable of the allow-list was set", e.Variables)...)
	s.Blocks = append(s.Blocks, interpreters(e.Interpreters)...)
	if len(e.Libraries) == 0 {
		return appended(s, paragraph("No shared library outside packages is recorded."))
	}
	return appended(s, Block{Table: &Table{"Shared libraries that belong to no Python package", fileColumns, each(e.Libraries, fileRow("library"))}})
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
		return Row{Cells: []Cell{{{monoValue(i.Executable)}}, {{value(i.Implementation), words(" "), value(i.Version)}}, {{value(i.Compiler)}}, digestLines(i.Digest, nil)}}
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
