package python

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func collect(text string) Record {
	var c collector
	c.read(strings.NewReader(text))
	return c.record()
}

const aCall = `{"kind":"start","id":1,"pid":7,"time":"1795476377729716114","function":"torch.onnx.export","module":"torch.onnx","file":"/t.py","package":"torch","version":"2","saves":false,"given":["f"],"reads":[],"writes":["/w/m.onnx"],"arguments":{"f":"m.onnx","opset_version":17,"eps":1e-05},"model":{"class":"M","training":true,"parameters":12,"modules":[{"class":"M","count":1,"training":1}]}}
`

func TestReadCall(t *testing.T) {
	training := true
	want := Call{
		Function: "torch.onnx.export", Module: "torch.onnx", File: "/t.py", Package: "torch", Version: "2", PID: 7,
		Started: time.Unix(0, 1795476377729716114).UTC(), Duration: 1500,
		Given: []string{"f"}, Reads: []string{}, Writes: []string{"/w/m.onnx"},
		Arguments: map[string]any{"f": "m.onnx", "opset_version": json.Number("17"), "eps": json.Number("1e-05")},
		Model:     &Model{Class: "M", Training: &training, Parameters: 12, Modules: []ModuleCount{{"M", 1, 1}}},
		Outcome:   "raised: ValueError: x",
	}
	got := collect(aCall + `{"kind":"end","id":1,"outcome":"raised: ValueError: x","duration":"1500"}`)
	if !reflect.DeepEqual(got, Record{Calls: []Call{want}}) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReadSurvives(t *testing.T) {
	for _, c := range []struct{ name, text, problem string }{
		{"empty", "", ""},
		{"blank line", "\n", "a record is no valid JSON line"},
		{"cut off", aCall[:len(aCall)/2], "a record is no valid JSON line"},
		{"other JSON", "[1]\n\"a\"\n{}", "a record is no valid JSON line (2 times)"},
		{"unknown kind", `{"kind":"future"}`, "a record is of no known kind"},
		{"end without start", `{"kind":"end","id":3,"outcome":"returned","duration":"1"}`, "the end of a call is recorded wrongly"},
		{"end twice", aCall + strings.Repeat(`{"kind":"end","id":1,"outcome":"returned","duration":"1"}`+"\n", 2), "the end of a call is recorded wrongly"},
		{"outcome", aCall + `{"kind":"end","id":1,"outcome":"fine","duration":"1"}`, "the end of a call is recorded wrongly"},
		{"negative", aCall + `{"kind":"end","id":1,"outcome":"returned","duration":"-1"}`, "the end of a call is recorded wrongly"},
		{"time", strings.Replace(aCall, `"time":"1`, `"time":"x`, 1), `a call of "torch.onnx.export" is recorded without a usable time`},
		{"long", strings.Repeat("x", maxLine+1), "a record is longer than 4194304 bytes"},
		{"told", `{"kind":"problem","message":"could not"}`, "the observer in a Python process: could not"},
		{"told at length", `{"kind":"problem","message":"` + strings.Repeat("é", 5000) + `"}`, "…"},
		{"old", `{"kind":"old","version":"2.7.18"}`, "Python 2.7.18 is too old"},
		{"dropped", `{"kind":"dropped","count":12}`, "12 warnings of a process were not kept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := collect(c.text)
			if c.problem == "" && len(got.Problems) > 0 || c.problem != "" && !slices.ContainsFunc(got.Problems, func(p string) bool { return strings.Contains(p, c.problem) }) {
				t.Errorf("problems %q, want %q", got.Problems, c.problem)
			}
			for _, problem := range got.Problems {
				if len(problem) > maxMessage+50 {
					t.Errorf("a problem has %d bytes", len(problem))
				}
			}
		})
	}
}

func TestReadIsBounded(t *testing.T) {
	var text strings.Builder
	for i := range maxRecords + 5 {
		fmt.Fprintf(&text, "{\"kind\":\"problem\",\"message\":\"%d\"}\n", i)
	}
	got := collect(text.String())
	if len(got.Problems) > maxProblem+1 {
		t.Errorf("%d problems", len(got.Problems))
	}
}

func TestReadCountsAndSorts(t *testing.T) {
	framework := `{"kind":"framework","name":"torch","version":"2","build":{"cuda":"13"},"numerics":{"torch.num_threads":"%d"},"accelerators":[{"name":"gpu","driver":"1"}]}` + "\n"
	warning := `{"kind":"warning","pid":%d,"source":"warnings","category":"UserWarning","message":"m","file":"f","line":%d}` + "\n"
	var c collector
	c.read(strings.NewReader(fmt.Sprintf(framework, 1) + fmt.Sprintf(framework, 2) + fmt.Sprintf(warning, 1, 9)))
	c.read(strings.NewReader(fmt.Sprintf(framework, 2) + fmt.Sprintf(warning, 2, 9) + fmt.Sprintf(warning, 2, 3)))
	got := c.record()
	want := Record{
		Frameworks: []Framework{{
			Name: "torch", Version: "2", Build: map[string]string{"cuda": "13"},
			Numerics: map[string]string{"torch.num_threads": "2"}, Accelerators: []Accelerator{{"gpu", "1"}},
		}},
		Warnings: []Warning{
			{Source: "warnings", Category: "UserWarning", Message: "m", File: "f", Line: 3, Count: 1},
			{Source: "warnings", Category: "UserWarning", Message: "m", File: "f", Line: 9, Count: 2},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	o, err := NewObserver(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(o.records, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(o.records, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.records, "1-a.jsonl"), []byte(aCall), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := o.Read()
	if err != nil || len(got.Calls) != 1 || len(got.Problems) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(aCall + `{"kind":"end","id":1,"outcome":"returned","duration":"1500"}`))
	f.Add([]byte(`{"kind":"interpreter","pid":1,"version":"3.11.7"}` + "\n" + `{"kind":"framework","name":"torch","build":null}`))
	f.Add([]byte(`{"kind":"warning","line":1}` + "\n\xff\n" + `{"kind":"problem","message":"é"}`))
	f.Add([]byte(`{"kind":"start","id":18446744073709551615,"arguments":{"a":[[[]]]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := collect(string(text))
		if !reflect.DeepEqual(got, collect(string(text))) {
			t.Error("two readings differ")
		}
		for _, call := range got.Calls {
			if call.Outcome != "unfinished" && !validOutcome(call.Outcome) || call.Duration < 0 {
				t.Errorf("call %+v", call)
			}
		}
		// It must be possible to write what was read into a log.
		if _, err := json.Marshal(got); err != nil {
			t.Error(err)
		}
	})
}
