package provenance_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/runner"
)

// TestNewIsValid holds every kind of run against the published schema.
func TestNewIsValid(t *testing.T) {
	data, err := os.ReadFile("../testdata/observation/export.json")
	if err != nil {
		t.Fatal(err)
	}
	var export, failed runner.Observation
	for _, o := range []*runner.Observation{&export, &failed} {
		if err := json.Unmarshal(data, o); err != nil {
			t.Fatal(err)
		}
	}
	failed.ExitCode, failed.Signal, failed.Capture.Method = -1, "SIGKILL", "snapshot"
	failed.Capture.Reasons = []string{"a daemon was left"}
	empty := runner.Observation{InvocationID: "x", Argv: []string{"true"}, WorkingDirectory: "/", Capture: runner.Capture{Method: "seccomp-notify"}}
	meta := provenance.Meta{Responsible: provenance.Responsible{Source: "flag"}}
	for name, o := range map[string]*runner.Observation{"export": &export, "failed": &failed, "empty": &empty} {
		st := provenance.New(o, nil, meta)
		payload, err := st.Payload()
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled(t).Validate(instance(t, payload)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		back, err := provenance.Parse(payload)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := back.Payload(); err != nil || string(again) != string(payload) {
			t.Errorf("%s: reading and writing again gives other bytes (%v)", name, err)
		}
		if provenance.IsInvocation(back) != (name == "empty") {
			t.Errorf("%s: IsInvocation is %v", name, provenance.IsInvocation(back))
		}
	}
}
