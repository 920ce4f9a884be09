package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

// shown is how many rows of a long list a section shows; the annex shows all.
const shown = 20

// lists collects the long tables of the sections for Annex B.
type lists struct{ blocks []Block }

// table is a table in place; when it is longer than shown, its first rows, and
// all of them in the annex.
func (l *lists) table(caption string, columns []string, rows []Row) []Block {
	if len(rows) <= shown {
		return []Block{{Table: &Table{caption, columns, rows}}}
	}
	l.blocks = append(l.blocks, Block{Table: &Table{caption + ", all " + strconv.Itoa(len(rows)), columns, rows}})
	head := Block{Table: &Table{fmt.Sprintf("%s, the first %d of %d", caption, shown, len(rows)), columns, rows[:shown:shown]}}
	return []Block{head, {Paragraph: Text{words("All " + strconv.Itoa(len(rows)) + " are in "), see(annexLists), words(".")}}}
}

func (l *lists) section() Section {
	s := Section{Number: annexLists, Title: "Long lists", Blocks: l.blocks}
	if len(s.Blocks) == 0 {
		s.Blocks = []Block{paragraph("None: every list is complete where it stands.")}
	}
	return s
}

func calls(c provenance.Converter) Section {
	s := Section{Number: secCalls, Title: "Converter calls"}
	s.Blocks = append(s.Blocks, Block{Paragraph: Text{words("Calls of the converter: "), value(orWhy(c.Observation, "unknown: the log does not say whether calls were observed")), words(".")}})
	s.Blocks = append(s.Blocks, Block{Facts: []Fact{
		{"Command line", Cell{{monoValue(orWhy(commandLine(c.Command.Argv), "unknown: no command recorded"))}}},
		{"Working directory", Cell{{monoValue(c.Command.WorkingDirectory)}}},
		{"Program", Cell{artifact(c.Command.Executable)}},
	}})
	if len(c.Calls) == 0 {
		s.Blocks = append(s.Blocks, paragraph("No call is recorded, so parameters are known only as far as the command line and the scripts show them."))
	}
	for i, call := range c.Calls {
		s.Sections = append(s.Sections, Section{Number: fmt.Sprintf("%s.%d", secCalls, i+1), Title: fmt.Sprintf("Call %d of %d", i+1, len(c.Calls)), Blocks: callBlocks(call)})
	}
	return s
}

func callBlocks(call provenance.Call) []Block {
	blocks := []Block{{Facts: []Fact{
		{"Function", Cell{{monoValue(call.Function)}}},
		{"Package", Cell{nameVersion(orWhy(call.Package, "unknown: the package was not recorded"), call.Version)}},
		{"Started", Cell{{value(call.StartedOn)}}},
		{"Duration", Cell{{words(seconds(call.Duration))}}},
		{"Outcome", Cell{{outcomeOf(call)}}},
	}}}
	rows := parameterRows(call)
	if len(rows) == 0 {
		blocks = append(blocks, paragraph("unknown: no parameter of this call is recorded"))
	} else {
		blocks = append(blocks, Block{Table: &Table{
			fmt.Sprintf("Effective parameters: %d given, %d by default", len(call.Given), len(rows)-len(call.Given)),
			[]string{"Parameter", "Value", "Origin"}, rows}})
	}
	return append(blocks, sourceModel(call.Model)...)
}

func outcomeOf(call provenance.Call) Span {
	if call.Outcome == "returned" {
		return words(call.Outcome)
	}
	return Span{Words: orWhy(call.Outcome, "unknown: no outcome recorded"), Tone: Bad}
}

// parameterRows lists the given parameters in the caller's order, then the
// defaults by name.
func parameterRows(call provenance.Call) []Row {
	var rows []Row
	add := func(name string, origin Span) {
		rows = append(rows, Row{Cells: []Cell{{{mono(name)}}, {{mono(argument(call, name))}}, {{origin}}}})
	}
	for _, name := range call.Given {
		add(orWhy(name, "(no name)"), strong("given"))
	}
	for _, name := range sortedKeys(call.Arguments) {
		if !slices.Contains(call.Given, name) {
			add(orWhy(name, "(no name)"), words("default"))
		}
	}
	return rows
}

func sourceModel(m *provenance.SourceModel) []Block {
	if m == nil {
		return []Block{paragraph("unknown: the model object of this call was not seen")}
	}
	training := "unknown: the object has no such flag"
	if m.Training != nil {
		training = yesNo(*m.Training)
	}
	blocks := []Block{{Facts: []Fact{
		{"Model object", Cell{{monoValue(m.Class)}}},
		{"In training mode when converted", Cell{{value(training)}}},
		{"Parameters", Cell{{words(parameters(m.Parameters))}}},
	}}}
	if len(m.Modules) == 0 {
		return append(blocks, paragraph("unknown: the modules of the model object were not counted"))
	}
	rows := each(m.Modules, func(c provenance.ModuleCount) Row {
		return Row{Cells: []Cell{{{monoValue(c.Class)}}, {{words(strconv.Itoa(c.Count))}}, {{words(strconv.Itoa(c.Training))}}}}
	})
	return append(blocks, Block{Table: &Table{"Modules of the model object", []string{"Class", "Count", "In training mode"}, rows}})
}

func parameters(n int64) string {
	if n < 0 {
		return "unknown: not counted"
	}
	return thousands(n)
}

// byType lists how many parameters are of each element type.
func byType(types map[string]int64) string {
	parts := []string{}
	for _, name := range sortedKeys(types) {
		parts = append(parts, thousands(types[name])+" "+name)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func scripts(c provenance.Converter) Section {
	s := Section{Number: secScripts, Title: "Conversion scripts"}
	if len(c.Scripts) == 0 {
		s.Blocks = append(s.Blocks, paragraph("None: no script or module of the user's own was seen."))
	} else {
		rows := each(c.Scripts, func(script provenance.Script) Row {
			return Row{Cells: []Cell{{{monoValue(orWhy(script.Name, "unknown: the script has no name in the log"))}},
				digestLines(script.Digest, nil), {scriptSize(script.Text)}}}
		})
		s.Blocks = append(s.Blocks, Block{Table: &Table{"Scripts and modules of the user's own that the run read", []string{"Script", "Digest", "Text"}, rows}},
			Block{Paragraph: Text{words("Their text is in "), see(annexScriptText), words(".")}})
	}
	s.Blocks = append(s.Blocks, Block{Facts: []Fact{{"Version control", Cell{{words(sourceState(c.Source))}}}}})
	if c.Source.Diff != nil {
		s.Blocks = append(s.Blocks, Block{Table: &Table{"How files differed from the commit", fileColumns, []Row{fileRow("difference")(*c.Source.Diff)}}})
	}
	return s
}

func scriptSize(text string) Text {
	if !hasText(text) {
		return Text{value(orWhy(text, "empty"))}
	}
	return Text{words(count(strings.Count(strings.TrimSuffix(text, "\n"), "\n")+1, "line"))}
}

// hasText tells a script's text from the reason why there is none.
func hasText(text string) bool {
	return text != "" && !strings.HasPrefix(text, provenance.Unknown)
}

func frozenModels(list []provenance.FrozenModel) Section {
	s := Section{Number: secFrozen, Title: "Frozen model"}
	if len(list) == 0 {
		s.Blocks = []Block{paragraph("unknown: no frozen model was found among what the run wrote")}
		return s
	}
	for i, m := range list {
		s.Sections = append(s.Sections, Section{Number: fmt.Sprintf("%s.%d", secFrozen, i+1), Title: fmt.Sprintf("Model %d of %d", i+1, len(list)), Blocks: frozenBlocks(m)})
	}
	return s
}

func frozenBlocks(m provenance.FrozenModel) []Block {
	opsets := Cell{}
	for _, domain := range sortedKeys(m.Opsets) {
		opsets = append(opsets, Text{mono(orWhy(domain, "ai.onnx")), words(" " + thousands(m.Opsets[domain]))})
	}
	if len(opsets) == 0 {
		opsets = Cell{{value("none: the model imports no operator sets, or its format has none")}}
	}
	parts := Cell(each(m.Parts, artifact))
	if len(parts) == 0 {
		parts = Cell{{value("none: the model is the one file")}}
	}
	blocks := []Block{{Facts: []Fact{
		{"File", Cell{{monoValue(orWhy(m.Name, "unknown: the model has no name in the log"))}}},
		{"Digest", digestLines(m.Digest, nil)},
		{"Canonical digest", canonicalLines(m)},
		{"Format", Cell{{value(m.Format), words(", "), value(m.FormatVersion)}}},
		{"Producer, as the file claims", Cell{{value(m.Producer)}}},
		{"Operator sets", opsets},
		{"Parameters", Cell{{words(parameters(m.Parameters) + byType(m.DTypes))}}},
		{"Parts in other files", parts},
	}}}
	if m.Manifest != nil {
		blocks[0].Facts = append(blocks[0].Facts, Fact{"Digest of all its files, as OpenSSF model_signing computes it", Cell{manifest(*m.Manifest)}})
	}
	blocks = append(blocks, values("Inputs and outputs of the model", m)...)
	if len(m.Operators) == 0 {
		return append(blocks, paragraph("unknown: no operator of the model is recorded"))
	}
	rows := each(sortedKeys(m.Operators), func(op string) Row {
		return Row{Cells: []Cell{{{mono(op)}}, {{words(strconv.Itoa(m.Operators[op]))}}}}
	})
	return append(blocks, Block{Table: &Table{"Operators of the model", []string{"Operator", "Count"}, rows}})
}

// canonicalLines is the digest of what the model does, or why there is none.
func canonicalLines(m provenance.FrozenModel) Cell {
	if len(m.CanonicalDigest) == 0 {
		return Cell{{value(orWhy(m.CanonicalDigestNote, "unknown: the log has none"))}}
	}
	lines := digestLines(m.CanonicalDigest, nil)
	if m.CanonicalDigestNote != "" {
		lines = append(lines, Text{value(m.CanonicalDigestNote)})
	}
	return lines
}

func values(caption string, m provenance.FrozenModel) []Block {
	rows := []Row{}
	add := func(direction string, list []model.Value) {
		for _, v := range list {
			shape := "unknown: the file states no rank"
			if v.Shape != nil {
				shape = "[" + strings.Join(v.Shape, ", ") + "]"
			}
			rows = append(rows, Row{Cells: []Cell{{{monoValue(orWhy(v.Name, "unknown: it has no name"))}}, {{words(direction)}}, {{monoValue(v.DType)}}, {{monoValue(shape)}}}})
		}
	}
	add("input", m.Inputs)
	add("output", m.Outputs)
	if len(rows) == 0 {
		return []Block{paragraph("unknown: no input or output of the model is recorded")}
	}
	return []Block{{Table: &Table{caption, []string{"Name", "Direction", "Type", "Shape"}, rows}}}
}

// proven puts what the numbers show before the rest of the evidence.
func proven(c Cell, proof string) Cell {
	if proof == "" {
		return c
	}
	return slices.Insert(c, 1, Text{value(proof)})
}

func elimination(list []provenance.Elimination) Section {
	side := func(s provenance.EliminationSide) Cell {
		c := Cell{{words(state(s.Status, s.Mode))}}
		for _, e := range s.Evidence {
			c = append(c, Text{value(e)})
		}
		if len(s.Evidence) == 0 {
			c = append(c, Text{value("unknown: no evidence is recorded")})
		}
		return c
	}
	rows := each(eliminationRows(list), func(e provenance.Elimination) Row {
		return Row{Cells: []Cell{{{words(operationName(e.Operation))}}, {verdictLine(e)}, side(e.Source), proven(side(e.Frozen), e.Proof)}}
	})
	return Section{Number: secElimination, Title: "Evidence for the elimination of training-specific operations", Blocks: []Block{
		paragraph("The verdicts were read out of the files, not asked of anybody. Each names what a person can look up in the trained and in the frozen model."),
		{Table: &Table{"Verdicts and evidence", []string{"Operation", "Verdict", "Trained model", "Frozen model"}, rows}},
		{Facts: []Fact{
			{"present", Cell{{words("in the file; in training mode it acts or is stored as for training, in inference mode it stays without effect or with fixed statistics, latent it cannot be reached from the model's entry point")}}},
			{"folded", Cell{{words("merged into the weights of a neighbour")}}},
			{"eliminated", Cell{{words("the trained model had it and the frozen model has not")}}},
			{"absent", Cell{{words("not in the file; not-representable means that the format cannot hold it")}}},
			{"unknown", Cell{{words("the file does not decide it")}}},
		}},
	}}
}

func files(st *provenance.Statement, annex *lists) Section {
	log := &st.Predicate
	s := Section{Number: secFiles, Title: "Inputs and outputs", Blocks: []Block{
		paragraph("The subjects are what the log vouches for: the frozen model's own files. Files of installed packages and of the system are not listed one by one as inputs."),
	}}
	for _, part := range []struct {
		caption, none, role string
		list                []provenance.ResourceDescriptor
	}{
		{"Subjects of the log", "unknown: the log has no subject", "subject", st.Subject},
		{"Files of the trained model", "unknown: no file of a trained model was seen", "", log.VerifiedLearningModel.Artifacts},
		{"Files that the run read", "none: no input is recorded", "", log.Inputs},
		{"Files that the run wrote and left behind", "none: no output is recorded", "", log.Outputs},
		{"Files that belong to the log", "none: the log has no further file", "by-product", log.Byproducts},
	} {
		if len(part.list) == 0 {
			s.Blocks = append(s.Blocks, Block{Facts: []Fact{{part.caption, Cell{{value(part.none)}}}}})
			continue
		}
		s.Blocks = append(s.Blocks, annex.table(part.caption, fileColumns, each(part.list, fileRow(part.role)))...)
	}
	for _, short := range log.Shortened {
		s.Blocks = append(s.Blocks, paragraph(ShortenedLine(short)))
	}
	return s
}

// ShortenedLine says in one line what the log does not hold.
func ShortenedLine(short provenance.Shortened) string {
	if short.List == "*" {
		return fmt.Sprintf("Long texts and lists were cut: whole, the log would have had %s bytes.", thousands(int64(short.Total)))
	}
	return fmt.Sprintf("Of the %s elements of %s, %s stand in the by-product alone.", thousands(int64(short.Total)), short.List, thousands(int64(short.Moved)))
}

var fileColumns = []string{"File", "Role", "Digest", "Remarks"}

// fileRow shows a file; otherwise is the role of one that states none.
func fileRow(otherwise string) func(provenance.ResourceDescriptor) Row {
	return func(rd provenance.ResourceDescriptor) Row {
		role := orWhy(otherwise, "not stated: no role recorded")
		if rd.Annotations != nil && rd.Annotations.Role != "" {
			role = rd.Annotations.Role
		}
		name := Cell{{monoValue(orWhy(rd.Name, "unknown: the file has no name in the log"))}}
		if rd.URI != "" {
			name = append(name, Text{mono(rd.URI)})
		}
		notes := Cell(remarks(rd))
		if len(notes) == 0 {
			notes = Cell{{words("none")}}
		}
		return Row{Cells: []Cell{name, {{value(role)}}, digestLines(rd.Digest, rd.Annotations), notes}}
	}
}

func run(r provenance.Run, annex *lists) Section {
	result := Span{Words: "succeeded: " + ending(r), Tone: Good}
	if failed(r) {
		result = Span{Words: "FAILED: " + ending(r), Tone: Bad}
	}
	still := Cell{{value("none: every process had ended when the log was written")}}
	if len(r.StillRunning) > 0 {
		still = Cell{{words(strings.Join(each(r.StillRunning, strconv.Itoa), ", "))}}
	}
	s := Section{Number: secRun, Title: "The run", Blocks: []Block{{Facts: []Fact{
		{"Result", Cell{{result}}},
		{"Invocation", Cell{{monoValue(r.InvocationID)}}},
		{"Started", Cell{{value(r.StartedOn)}}},
		{"Finished", Cell{{value(r.FinishedOn)}}},
		{"Duration", Cell{{value(duration(r))}}},
		{"Processes that outlived the command", still},
		{"Network", Cell{{value(orWhy(r.NetworkNote, count(len(r.Network), "endpoint")+" connected to"))}}},
	}}}}
	if len(r.Processes) > 0 {
		s.Blocks = append(s.Blocks, annex.table("Programs that were executed", []string{"Process", "Parent", "Command line", "Program"}, each(r.Processes, processRow))...)
	} else {
		s.Blocks = append(s.Blocks, paragraph("unknown: no executed program is recorded"))
	}
	if len(r.Network) > 0 {
		s.Blocks = append(s.Blocks, annex.table("Endpoints that were connected to", []string{"Address", "Port", "Family"}, each(r.Network, endpointRow))...)
	}
	return s
}

func duration(r provenance.Run) string {
	start, err := time.Parse(time.RFC3339, r.StartedOn)
	if err != nil {
		return "unknown: the start is no time"
	}
	end, err := time.Parse(time.RFC3339, r.FinishedOn)
	if err != nil {
		return "unknown: the end is no time"
	}
	if end.Before(start) {
		return "unknown: the end comes before the start"
	}
	return seconds(end.Sub(start).Seconds())
}

func processRow(p provenance.Process) Row {
	return Row{Cells: []Cell{{{words(strconv.Itoa(p.PID))}}, {{words(strconv.Itoa(p.Parent))}},
		{{monoValue(orWhy(commandLine(p.Argv), "unknown: the arguments were not recorded"))}}, {artifact(p.Executable)}}}
}

func endpointRow(e provenance.Endpoint) Row {
	port := strconv.Itoa(e.Port)
	if e.Family == "unix" {
		port = "none"
	}
	return Row{Cells: []Cell{{{monoValue(e.Address)}}, {{words(port)}}, {{value(e.Family)}}}}
}

func findings(list []provenance.Finding, targets []string) Section {
	s := Section{Number: secFindings, Title: "Findings"}
	if len(targets) > 0 {
		s.Blocks = []Block{{Paragraph: meantFor(targets)}}
	}
	if len(list) == 0 {
		s.Blocks = append(s.Blocks, paragraph("None: convrun had nothing to object to in what it looked at."))
		return s
	}
	rows := each(list, func(f provenance.Finding) Row {
		waiver := Cell{{words("not waived")}}
		if w := f.Waiver; w != nil {
			waiver = Cell{
				{{Words: orWhy(w.Reason, "waived without a reason"), Tone: Caution}},
				{words("by "), value(orWhy(w.By, "unknown: not said")), words(", "), value(orWhy(w.Source, "unknown: not said"))},
			}
		}
		message := Cell{{value(f.Message)}}
		if f.Subject != "" {
			message = append(message, Text{monoValue(f.Subject)})
		}
		if f.Evidence != "" {
			message = append(message, Text{value(f.Evidence)})
		}
		return Row{Cells: []Cell{{{monoValue(f.ID)}}, {{severity(f.Severity)}}, message, waiver}}
	})
	s.Blocks = append(s.Blocks, Block{Table: &Table{"Findings", []string{"Finding", "Severity", "What was found", "Waiver"}, rows}})
	return s
}

func meantFor(targets []string) Text {
	text := Text{words("The frozen models are meant for:")}
	for _, target := range targets {
		text = append(text, words(" "), monoValue(target))
	}
	return text
}

func severity(s string) Span {
	switch s {
	case "note":
		return words(s)
	case "warning":
		return Span{Words: s, Tone: Caution}
	}
	return Span{Words: orWhy(s, "unknown: no severity recorded"), Tone: Bad}
}

// methods says what each method of capture can see.
var methods = map[string]string{
	"seccomp-notify": "the kernel reported each file that the command and its descendants opened",
	"ptrace":         "the command and its descendants were stopped at each file that they opened",
	"ptrace-all":     "the command and its descendants were stopped at each system call",
	"snapshot":       "the folders were compared before and after the run, which shows what was written but not what was read",
	"declared":       "only the files that the user named were looked at",
}

func capture(c provenance.Capture) Section {
	method := value(orWhy(c.Method, "unknown: no method is recorded"))
	meaning := orWhy(methods[c.Method], "unknown: this version does not know the method")
	complete := Span{Words: "yes", Tone: Good}
	if !c.Complete {
		complete = Span{Words: "NO", Tone: Caution}
	}
	because := func(list []string, none string) Cell {
		if len(list) == 0 {
			return Cell{{value(none)}}
		}
		return each(list, func(s string) Text { return Text{value(s)} })
	}
	why := "none: nothing is known to be missing"
	if !c.Complete {
		why = "unknown: the log gives no reason"
	}
	configuration := Cell(each(c.Configuration, artifact))
	if len(configuration) == 0 {
		configuration = Cell{{value("none: no configuration file was used")}}
	}
	return Section{Number: secCapture, Title: "How the run was watched, and what this log does not prove", Blocks: []Block{
		{Facts: []Fact{
			{"Method", Cell{{method, words(": "), value(meaning)}}},
			{"Complete", Cell{{complete}}},
			{"What may be missing", because(c.Reasons, why)},
			{"Limits", because(c.Notes, "none: no further limit is recorded")},
			{"Events lost", Cell{{words(strconv.Itoa(c.Dropped))}}},
			{"Observer of converter calls", Cell{{value(c.Observer)}}},
			{"Digests taken from the cache", Cell{{words(strconv.Itoa(c.CachedDigests) + ", of package and system files only")}}},
			{"Secrets", Cell{{words("taken out of " + count(c.Redactions, "text"))}}},
			{"Recorded by", append(Cell{{words("convrun "), value(c.Convrun.Version)}}, digestLines(c.Convrun.Digest, nil)...)},
			{"Configuration", configuration},
		}},
		paragraph("This log does not prove that:"),
		{List: []Text{
			{words("the frozen model computes what the trained model computed: no output of the two was compared for it;")},
			{words("a runtime executes the file as it stands: it may drop or merge operations, and the verdicts are about the file;")},
			{words("a package is what its publisher released: its files were compared with the package's own record on this machine, not with an index;")},
			{words("what other machines, containers or services did for the run is as it says: work that was handed to them was not seen;")},
			{words("the machine told the truth: whoever controlled it, or the signing key, could have made it record something else;")},
			{words("anybody named here reviewed or approved it.")},
		}},
	}}
}

func signature(st *provenance.Statement, sig Signature) Section {
	result := Span{Words: "verified", Tone: Good}
	if !sig.Verified {
		result = Span{Words: "NOT VERIFIED", Tone: Bad}
	}
	signer := value(orWhy(sig.Signer, "unknown: no verification established it"))
	if !sig.Verified && sig.Signer != "" {
		signer = Span{Words: "claimed, not verified: " + sig.Signer, Tone: Bad}
	}
	facts := []Fact{
		{"Signature", Cell{{result}}},
		{"Signer", Cell{{signer}}},
	}
	if sig.Issuer != "" {
		facts = append(facts, Fact{"Issuer of the identity", Cell{{monoValue(sig.Issuer)}}})
	}
	facts = append(facts,
		Fact{"Key fingerprint", Cell{{monoValue(orWhy(sig.KeyFingerprint, "unknown: not passed on"))}}},
		Fact{"Algorithm", Cell{{value(orWhy(sig.Algorithm, "unknown: not passed on"))}}},
		Fact{"Log", Cell{logLine(sig)}},
	)
	s := Section{Number: secSignature, Title: "Signature, and how to verify it yourself", Blocks: []Block{{Facts: facts}}}
	if len(sig.Checks) > 0 {
		rows := each(sig.Checks, func(c Check) Row {
			return Row{Cells: []Cell{{{value(c.Name)}}, {{checkOutcome(c.Outcome)}}, {{value(orWhy(c.Detail, "not stated: the step had no more to say"))}}}}
		})
		s.Blocks = append(s.Blocks, Block{Table: &Table{"Steps of the verification", []string{"Step", "Outcome", "Detail"}, rows}})
	} else {
		s.Blocks = append(s.Blocks, paragraph("unknown: no step of a verification was passed on"))
	}
	return Section{Number: s.Number, Title: s.Title, Blocks: append(s.Blocks, commands(st, sig)...)}
}

func checkOutcome(outcome string) Span {
	switch outcome {
	case "passed":
		return Span{Words: outcome, Tone: Good}
	case "failed":
		return Span{Words: outcome, Tone: Bad}
	}
	return Span{Words: orWhy(outcome, "unknown: no outcome recorded"), Tone: Caution}
}

// commands are what a reader can run; a name that is not safe to paste is a
// word in capitals to be replaced.
func commands(st *provenance.Statement, sig Signature) []Block {
	name := ""
	if len(st.Subject) > 0 {
		name = st.Subject[0].Name
	}
	file, log := pasteable(name, "MODEL_FILE"), pasteable(sig.LogName, "LOG_FILE")
	who := "--key PUBLIC_KEY.pem"
	if sig.Issuer != "" {
		who = "--certificate-identity " + pasteable(sig.Signer, "IDENTITY") + " --certificate-oidc-issuer " + pasteable(sig.Issuer, "ISSUER")
	}
	lines := []string{
		"convrun verify " + who + " --log " + log + " " + file,
		"cosign verify-blob-attestation --type " + provenance.PredicateType + " " + who + " --bundle " + log + " " + file,
		"sha256sum " + log + " " + file,
	}
	return []Block{
		paragraph("In the folder of the frozen model and its log, with a public key or identity that you had from its owner and not from this document:"),
		{Code: &Code{Language: "sh", Text: strings.Join(lines, "\n") + "\n"}},
		{Paragraph: Text{words("convrun also checks every file of the model against the log. cosign needs "), mono("--insecure-ignore-tlog"),
			words(" for a log that no transparency log holds. Words in capitals stand for what only you know or what cannot be shown safely. The digests that sha256sum prints must be those in this section and in "), see(secFiles), words(".")}},
	}
}
