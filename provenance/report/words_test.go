package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct{ name, got, want string }{
		{"date", templateDate("2026-11-23"), "2026/11/23"},
		{"no date", templateDate(""), "unknown: the log has no date"},
		{"duration", duration(provenance.Run{StartedOn: "2026-11-25T12:00:00Z", FinishedOn: "2026-11-25T12:00:01.5Z"}), "1.5 s"},
		{"duration across a clock that was set back", duration(provenance.Run{StartedOn: "2026-11-25T12:00:00Z", FinishedOn: "2026-11-25T11:00:00Z"}), "unknown: the end comes before the start"},
		{"not a date", templateDate("yesterday"), "yesterday"},
		{"thousands below", thousands(int64(999)), "999"},
		{"thousands at", thousands(int64(1000)), "1,000"},
		{"thousands above", thousands(int64(11689512)), "11,689,512"},
		{"thousands negative", thousands(int64(-123456)), "-123,456"},
		{"thousands largest", thousands(uint64(1<<64 - 1)), "18,446,744,073,709,551,615"},
		{"bytes", bytesOf(int64(1048575)), "1,048,575 bytes"},
		{"mebibyte", bytesOf(int64(1048576)), "1.0 MiB (1,048,576 bytes)"},
		{"gibibyte", bytesOf(uint64(3 << 30)), "3.0 GiB (3,221,225,472 bytes)"},
		{"one", count(1, "file"), "1 file"},
		{"none", count(0, "file"), "0 files"},
		{"many", count(2, "library"), "2 libraries"},
		{"json", jsonOf(map[string]any{"b": "<&>", "a": []any{1.0, nil}}), `{"a":[1,null],"b":"<&>"}`},
		{"json of what JSON has not", jsonOf(func() {}), "unknown: the value cannot be shown: json: unsupported type: func()"},
		{"command line", commandLine([]string{"python", "-m", "x", "a b", "it's", "", "$(x)", "~"}), `python -m x 'a b' 'it'\''s' '' '$(x)' '~'`},
		{"pasteable", pasteable("resnet18.onnx", "FILE"), "resnet18.onnx"},
		{"pasteable flag", pasteable("-rf", "FILE"), "./-rf"},
		{"pasteable shell", pasteable("a;rm -rf $HOME", "FILE"), "'a;rm -rf $HOME'"},
		{"not pasteable", pasteable("a\nrm", "FILE"), "FILE"},
		{"nothing to paste", pasteable("", "FILE"), "FILE"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, expected %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestLongLists(t *testing.T) {
	rows := func(n int) []Row {
		list := make([]Row, n)
		for i := range list {
			list[i] = Row{Cells: []Cell{{{words("x")}}}}
		}
		return list
	}
	var annex lists
	if blocks := annex.table("Files", []string{"Name"}, rows(shown)); len(blocks) != 1 || len(annex.blocks) != 0 {
		t.Errorf("%d rows were moved to the annex", shown)
	}
	blocks := annex.table("Files", []string{"Name"}, rows(shown+1))
	if len(blocks[0].Table.Rows) != shown || len(annex.blocks) != 1 || len(annex.blocks[0].Table.Rows) != shown+1 {
		t.Errorf("%d rows were not split", shown+1)
	}
	if !strings.Contains(blocks[0].Table.Caption, "20 of 21") {
		t.Errorf("the caption %q does not say how many there are", blocks[0].Table.Caption)
	}
}

func TestNotices(t *testing.T) {
	signal := "SIGSEGV"
	good := func() *provenance.ConversionLog {
		log := &provenance.ConversionLog{Capture: provenance.Capture{Complete: true}}
		for _, op := range model.Operations {
			log.Elimination = append(log.Elimination, provenance.Elimination{Operation: op, Verdict: "pass"})
		}
		return log
	}
	waiver := provenance.Waiver{Reason: "accepted"}
	for _, tt := range []struct {
		name   string
		change func(*provenance.ConversionLog)
		want   []string
	}{
		{"nothing to say", func(*provenance.ConversionLog) {}, nil},
		{"exit code", func(l *provenance.ConversionLog) { l.Run.ExitCode = 3 }, []string{"FAILED: the command ended with exit code 3"}},
		{"signal", func(l *provenance.ConversionLog) { l.Run.ExitCode, l.Run.Signal = -1, &signal }, []string{"FAILED: the command was ended by signal SIGSEGV"}},
		{"fail", func(l *provenance.ConversionLog) { l.Elimination[0].Verdict = "fail" }, []string{"found in the frozen model: Dropout"}},
		{"review", func(l *provenance.ConversionLog) { l.Elimination[1].Verdict = "review" }, []string{"must look at: Batch Normalization"}},
		{"word of a later version", func(l *provenance.ConversionLog) { l.Elimination[1].Verdict = "fine" }, []string{"must look at: Batch Normalization"}},
		{"missing row", func(l *provenance.ConversionLog) { l.Elimination = l.Elimination[:4] }, []string{"must look at: Weight Regularization"}},
		{"error", func(l *provenance.ConversionLog) { l.Findings = []provenance.Finding{{Severity: "error"}} }, []string{"1 finding"}},
		{"unknown severity", func(l *provenance.ConversionLog) { l.Findings = []provenance.Finding{{Severity: "fatal"}} }, []string{"1 finding"}},
		{"waived error", func(l *provenance.ConversionLog) {
			l.Findings = []provenance.Finding{{Severity: "error", Waiver: &waiver}}
		}, nil},
		{"incomplete", func(l *provenance.ConversionLog) { l.Capture.Complete = false }, []string{"not seen completely"}},
		{"the worst first", func(l *provenance.ConversionLog) { l.Capture.Complete, l.Run.ExitCode = false, 1 }, []string{"FAILED", "not seen completely"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := good()
			tt.change(log)
			got := notices(log, Signature{Verified: true})
			if len(got) != len(tt.want) {
				t.Fatalf("got %d notices %v, expected %d", len(got), got, len(tt.want))
			}
			for i, want := range tt.want {
				all := ""
				for _, s := range got[i].Text {
					all += s.Words
				}
				if !strings.Contains(all, want) {
					t.Errorf("notice %q does not say %q", all, want)
				}
			}
		})
	}
	if got := notices(good(), Signature{}); len(got) != 1 || !strings.Contains(got[0].Text[0].Words, "NOT VERIFIED") {
		t.Errorf("an unverified signature gave %v", got)
	}
}

func TestUnverifiedSigner(t *testing.T) {
	doc := New(nil, Signature{Signer: "Jane Doe"})
	for _, f := range Formats {
		if out := string(written(t, doc, f.Name)); !strings.Contains(out, "claimed, not verified: Jane Doe") {
			t.Errorf("%s shows the signer of an unverified log as if it were known", f.Name)
		}
	}
}

// TestTemplateRows holds that Table 1 has every row of the template, in its
// order.
func TestTemplateRows(t *testing.T) {
	template := []string{
		"Model conversion", "Date", "Responsible", "Phase of the lifecycle",
		"Verified Learning Model", "Verified Learning Model ID",
		"Elimination of Training-Specific Operations",
		"Dropout", "Batch Normalization", "Gradient Clipping", "Learning Rate Scheduling", "Weight Regularization (L1, L2)",
		"Loading and Converting the Verified Learning Model",
		"Framework and version", "Packages and version", "Converter/model conversion script", "Environment information",
	}
	for name, doc := range documents(t) {
		table := doc.Sections[3].Blocks[1].Table
		if table == nil || !strings.HasPrefix(table.Caption, "Table 1. ") {
			t.Fatalf("%s: the second block of section 4 is not Table 1", name)
		}
		next := 0
		for _, row := range table.Rows {
			if next < len(template) && row.Cells[0][0][0].Words == template[next] {
				next++
			}
		}
		if next < len(template) {
			t.Errorf("%s: Table 1 lacks %q, or has it in another place", name, template[next])
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, Document{}, "pdf")
	if err == nil || !strings.Contains(err.Error(), "expected md or html") || b.Len() > 0 {
		t.Errorf("got %v and %d bytes", err, b.Len())
	}
}
