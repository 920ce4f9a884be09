package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/convrun/convrun/provenance"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	statements = "../../testdata/statement"
	goldens    = "../../testdata/report"
)

func TestGolden(t *testing.T) {
	for name, doc := range documents(t) {
		for _, f := range Formats {
			t.Run(name+f.Extension, func(t *testing.T) {
				got := written(t, doc, f.Name)
				golden := filepath.Join(goldens, name+f.Extension)
				if *update {
					if err := os.WriteFile(golden, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s differs from what is written now; run go test -update and look at the difference", golden)
				}
				if again := written(t, documents(t)[name], f.Name); !bytes.Equal(got, again) {
					t.Error("the same statement gave other bytes the second time")
				}
			})
		}
	}
}

// documents are the reports of all canned statements by file name.
func documents(t *testing.T) map[string]Document {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(statements, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no statement in %s: %v", statements, err)
	}
	docs := map[string]Document{}
	for _, path := range paths {
		name := filepath.Base(path[:len(path)-len(".json")])
		docs[name] = New(statement(t, path), signatures[name])
	}
	return docs
}

func statement(t *testing.T, path string) *provenance.Statement {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	st := new(provenance.Statement)
	if err := json.Unmarshal(data, st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return st
}

// signatures are the canned results of a verification; a statement without
// one was not verified.
var signatures = map[string]Signature{
	"torch": {
		Verified:       true,
		Signer:         "holder of the key signer.pub",
		KeyFingerprint: "SHA256:7mJxkD0qkPvHq3m6m1v1mXk8o0m1yq0o2n7n5fJmZ5I",
		Algorithm:      "ECDSA P-256 with SHA-256",
		Checks: []Check{
			{"signature", "passed", "one DSSE signature by the given key"},
			{"subjects", "passed", "2 of 2 files have the digests of the log"},
			{"transparency log", "not checked", "no trusted root was given"},
		},
		LogName:   "resnet18.onnx.convlog.json",
		LogDigest: "9f2d1c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff0",
	},
}

func written(t *testing.T, d Document, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, d, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
