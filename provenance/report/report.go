// Package report turns the Statement of a conversion into a document for
// people: the Model Conversion Log, filled in, with what a reader needs to
// judge it.
//
// It verifies nothing and reads no file: what is known of the signature comes
// in as a Signature. It never leaves a row empty; a row without a fact says
// why there is none.
package report

import (
	"fmt"
	"strings"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

// Signature is what verifying the log established; its zero value says that
// nobody verified it.
type Signature struct {
	// Verified is set when the signature, and the trust in who made it, held.
	Verified bool
	// Signer is who signed, as the verification established it.
	Signer string
	// Issuer is the OIDC issuer of the signer's certificate; empty for a key.
	Issuer string
	// KeyFingerprint identifies the public key, for example "SHA256:…".
	KeyFingerprint string
	// Algorithm in words, for example "ECDSA P-256 with SHA-256".
	Algorithm string
	// Checks are the steps of the verification in their order.
	Checks []Check
	// LogName is the file name of the log, LogDigest the SHA-256 of its bytes
	// in lower-case hex.
	LogName, LogDigest string
}

// Check is one step of a verification.
type Check struct {
	Name string
	// Outcome is "passed", "failed" or "not checked".
	Outcome string
	// Detail says what was expected and found; it may be empty.
	Detail string
}

// Numbers of the sections that others refer to.
const (
	secCalls        = "4.1"
	secScripts      = "4.2"
	secFrozen       = "4.3"
	secElimination  = "4.4"
	secFiles        = "4.5"
	secRun          = "4.6"
	secFindings     = "4.7"
	secCapture      = "4.8"
	secSignature    = "4.9"
	annexPackages   = "Annex A"
	annexLists      = "Annex B"
	annexMachine    = "Annex C"
	annexScriptText = "Annex D"
)

// New fills in the document. It depends on nothing but its arguments, of which
// a nil statement counts as an empty one.
func New(st *provenance.Statement, sig Signature) Document {
	if st == nil {
		st = &provenance.Statement{}
	}
	log := &st.Predicate
	annex := &lists{}
	conversion := conversionSection(st, sig, annex)
	doc := Document{
		Title:       "Model Conversion Log",
		Subtitle:    Text{words("Conversion "), mono(orWhy(log.Conversion.ID, "unknown: the log has no conversion ID"))},
		Notices:     notices(log, sig),
		Information: information(log, sig),
		Sections: []Section{
			history(log, sig),
			objective(),
			scope(log),
			conversion,
			acronyms(),
			bibliography(),
			packagesAnnex(log),
			annex.section(),
			machineAnnex(log.Environment),
			scriptsAnnex(log.Converter.Scripts),
		},
	}
	tables := 0
	for _, s := range doc.Sections[3:] {
		tables = numberTables(s, tables)
	}
	return doc
}

// numberTables puts numbers before the captions in s and returns the last one.
// The template's table of the conversion is Table 1, and the history before it
// has no number.
func numberTables(s Section, last int) int {
	for _, b := range s.Blocks {
		if b.Table != nil {
			last++
			b.Table.Caption = fmt.Sprintf("Table %d. %s", last, b.Table.Caption)
		}
	}
	for _, sub := range s.Sections {
		last = numberTables(sub, last)
	}
	return last
}

// notices are what makes the record unfit, or fit only after a look.
func notices(log *provenance.ConversionLog, sig Signature) []Notice {
	var bad, caution []Notice
	add := func(list *[]Notice, tone Tone, head, rest string, more ...Span) {
		*list = append(*list, Notice{tone, append(Text{strong(head), words(" " + rest)}, more...)})
	}
	if failed(log.Run) {
		add(&bad, Bad, "The conversion FAILED: "+ending(log.Run)+".",
			"This document records a failed run. Files that it left behind may be missing, cut short or stale: they are not a frozen model to use.")
	}
	if !sig.Verified {
		add(&bad, Bad, "The signature was NOT VERIFIED.",
			"Nothing below is vouched for by anyone; anybody may have written or changed it.")
	}
	if names := verdictsOf(log.Elimination, "fail"); names != "" {
		add(&bad, Bad, "Training-specific operations were found in the frozen model:", names+".")
	}
	if n := openErrors(log.Findings); n > 0 {
		add(&bad, Bad, "Errors were found:", count(n, "finding")+" in ", see(secFindings), words("."))
	}
	if names := reviewNames(log.Elimination); names != "" {
		add(&caution, Caution, "A person must look at:", names+". The files alone do not decide it.")
	}
	if !log.Capture.Complete {
		add(&caution, Caution, "The run was not seen completely.", "What may be missing is in ", see(secCapture), words("."))
	}
	return append(bad, caution...)
}

func verdictsOf(rows []provenance.Elimination, verdict string) string {
	var names []string
	for _, row := range eliminationRows(rows) {
		if row.Verdict == verdict {
			names = append(names, operationName(row.Operation))
		}
	}
	return strings.Join(names, ", ")
}

// reviewNames counts a verdict that this version does not know as "review".
func reviewNames(rows []provenance.Elimination) string {
	var names []string
	for _, row := range eliminationRows(rows) {
		if row.Verdict != "pass" && row.Verdict != "fail" {
			names = append(names, operationName(row.Operation))
		}
	}
	return strings.Join(names, ", ")
}

// openErrors counts the errors that nobody waived; a severity that this
// version does not know counts as one.
func openErrors(findings []provenance.Finding) int {
	n := 0
	for _, f := range findings {
		if f.Severity != "warning" && f.Severity != "note" && f.Waiver == nil {
			n++
		}
	}
	return n
}

// information is the template's first page. What a project alone can know is
// taken from the context that the user gave with the run.
func information(log *provenance.ConversionLog, sig Signature) []Fact {
	given := func(label, what string, keys ...string) Fact {
		return Fact{label, Cell{{value(fromContext(log.Conversion.Context, "not stated: the run was not given "+what, keys...))}}}
	}
	return []Fact{
		given("Contract number", "a contract number", "contract", "contract number"),
		given("Project website", "a project website", "website", "project website"),
		given("Contractual deadline", "a deadline", "deadline", "contractual deadline"),
		given("Dissemination level", "a dissemination level", "dissemination", "dissemination level"),
		given("Nature", "the nature of the document", "nature"),
		{"Author", Cell{{words("convrun " + orWhy(log.Capture.Convrun.Version, "of an unknown version") + ", which drew this document up from its log")}}},
		{"Modified by", Cell{{value("not stated: no later change is recorded in this log, and any change to it breaks its signature")}}},
		{"Reviewed by", Cell{{value("not stated: no review is recorded in this log")}}},
		{"Approved by", Cell{{value("not stated: no approval is recorded in this log")}}},
		{"Keywords", Cell{{words(strings.Join(keywords(log), ", "))}}},
		{"Log", Cell{logLine(sig)}},
	}
}

func logLine(sig Signature) Text {
	return Text{
		monoValue(orWhy(sig.LogName, "unknown: the name of the log's file was not passed on")), words(", "),
		monoValue(orWhy(prefixed("sha256:", sig.LogDigest), "unknown: the digest of the log's file was not passed on")),
	}
}

func keywords(log *provenance.ConversionLog) []string {
	list := []string{"DL", "Inference Management", "Model Conversion"}
	if known(log.Framework.Name) {
		list = append(list, log.Framework.Name)
	}
	seen := map[string]bool{}
	for _, m := range log.FrozenModels {
		if known(m.Format) && !seen[m.Format] {
			seen[m.Format] = true
			list = append(list, m.Format)
		}
	}
	return list
}

// fromContext finds what the user gave under one of keys, whatever the case
// and whether words are joined by spaces, hyphens or underscores.
func fromContext(context map[string]string, otherwise string, keys ...string) string {
	plain := strings.NewReplacer("-", " ", "_", " ")
	for _, want := range keys {
		for _, key := range sortedKeys(context) {
			if strings.EqualFold(plain.Replace(key), want) && context[key] != "" {
				return context[key]
			}
		}
	}
	return otherwise
}

func history(log *provenance.ConversionLog, sig Signature) Section {
	what := "Conversion " + orWhy(log.Conversion.ID, "without an ID") + " recorded by convrun " + orWhy(log.Capture.Convrun.Version, "of an unknown version") + "."
	if log.Conversion.Reason != nil {
		what += " Reason given: " + *log.Conversion.Reason
	} else {
		what += " No reason was given."
	}
	rows := []Row{{Cells: []Cell{
		{{words("this log")}, {monoValue(orWhy(prefixed("sha256:", sig.LogDigest), "unknown: the digest of the log's file was not passed on"))}},
		{{value(templateDate(log.Conversion.Date))}},
		{{words(what)}},
	}}}
	blocks := []Block{}
	if old := log.Conversion.Supersedes; old != nil {
		rows = append(rows, Row{Cells: []Cell{
			append(Cell{{words("superseded log")}}, digestLines(old.Digest, old.Annotations)...),
			{{value("unknown: the date stands in the superseded log")}},
			{{words("Replaced on disk by this log: "), monoValue(orWhy(old.Name, "unknown: no name recorded"))}},
		}})
	} else {
		blocks = append(blocks, paragraph("This log replaced no other log on disk."))
	}
	table := Block{Table: &Table{"Review and modification history", []string{"Version", "Date", "Description of change"}, rows}}
	return Section{Number: "1", Title: "Review / Modification History", Blocks: append([]Block{table}, blocks...)}
}

func objective() Section {
	return Section{Number: "2", Title: "Objective", Blocks: []Block{
		paragraph("This document records how one trained model became one frozen model: what went in, what came out, and which tools, parameters and machine stood between them. " +
			"A frozen model is a trained model whose weights no longer change; it is the model that inference uses."),
		paragraph("It was drawn up by a program from the log of the conversion. Nothing in it was typed by hand, except where it says that a person gave it."),
	}}
}

func scope(log *provenance.ConversionLog) Section {
	return Section{Number: "3", Title: "Scope", Blocks: []Block{
		{Paragraph: Text{words("It covers the conversion "), mono(orWhy(log.Conversion.ID, "unknown: the log has no conversion ID")),
			words(" as a step of the AI-FSM lifecycle. Training, the verification of the trained model, tests of the frozen model and its deployment are outside its scope.")}},
	}}
}

func conversionSection(st *provenance.Statement, sig Signature, annex *lists) Section {
	log := &st.Predicate
	return Section{
		Number: "4", Title: "Model Conversion",
		Blocks: []Block{
			paragraph("Table 1 sums the conversion up; the sections and annexes after it hold the details."),
			{Table: summary(log)},
		},
		Sections: []Section{
			calls(log.Converter),
			scripts(log.Converter),
			frozenModels(log.FrozenModels),
			elimination(log.Elimination),
			files(st, annex),
			run(log.Run, annex),
			findings(log.Findings, log.Conversion.Targets),
			capture(log.Capture),
			signature(st, sig),
		},
	}
}

// eliminationRows returns a row for each of model.Operations, then those that
// this version does not know. A missing row is unknown and to be reviewed.
func eliminationRows(rows []provenance.Elimination) []provenance.Elimination {
	var out []provenance.Elimination
	used := make([]bool, len(rows))
	for _, op := range model.Operations {
		found := false
		for i, row := range rows {
			if row.Operation == op {
				out, found, used[i] = append(out, row), true, true
			}
		}
		if !found {
			missing := provenance.EliminationSide{Status: model.Unknown, Evidence: []string{"unknown: the log has no row for this operation"}}
			out = append(out, provenance.Elimination{Operation: op, Status: model.Unknown, Verdict: "review", Source: missing, Frozen: missing})
		}
	}
	for i, row := range rows {
		if !used[i] {
			out = append(out, row)
		}
	}
	return out
}

func operationName(op model.Operation) string {
	switch op {
	case model.Dropout:
		return "Dropout"
	case model.BatchNormalization:
		return "Batch Normalization"
	case model.GradientClipping:
		return "Gradient Clipping"
	case model.LearningRateScheduling:
		return "Learning Rate Scheduling"
	case model.WeightRegularization:
		return "Weight Regularization (L1, L2)"
	}
	return orWhy(string(op), "unknown: the row names no operation")
}

func failed(run provenance.Run) bool { return run.ExitCode != 0 || run.Signal != nil }

// ending says how the command ended.
func ending(run provenance.Run) string {
	if run.Signal != nil {
		return "the command was ended by signal " + orWhy(*run.Signal, "without a name")
	}
	return fmt.Sprintf("the command ended with exit code %d", run.ExitCode)
}
