package finding

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/findings.md anew")

const page = "../../docs/findings.md"

// TestDocsFindings holds the page against the table.
func TestDocsFindings(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the table generates (%v): make update", page, err)
	}
}

func document() []byte {
	var text bytes.Buffer
	text.WriteString(`# Findings

What a reader of a log, or of what ` + "`convrun inspect`" + ` prints, should know, by identifier. An identifier
keeps its meaning and is never used again for another. An error makes the model or the log unfit for most
uses, a warning is for a person to look at, a note is good to know. This page is made from the table in
` + "`provenance/finding/kinds.go`" + `.
`)
	for _, k := range Kinds {
		fmt.Fprintf(&text, "\n## %s\n\n*%s.* **%s.** %s%s.\n\n%s\n", k.ID, k.Severity, k.Title, strings.ToUpper(k.Means[:1]), k.Means[1:], k.Do)
	}
	return text.Bytes()
}

func TestKindsAreComplete(t *testing.T) {
	if !slices.IsSortedFunc(Kinds, func(a, b Kind) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("Kinds are not sorted by ID")
	}
	for i, k := range Kinds {
		if i > 0 && Kinds[i-1].ID == k.ID {
			t.Errorf("%s has two rows", k.ID)
		}
		if k.Title == "" || k.Means == "" || k.Do == "" {
			t.Errorf("%s: a column is empty", k.ID)
		}
		if !slices.Contains([]string{Error, Warning, Note}, k.Severity) {
			t.Errorf("%s: severity %q", k.ID, k.Severity)
		}
		if strings.HasSuffix(k.Title, ".") || strings.HasSuffix(k.Means, ".") || !strings.HasSuffix(k.Do, ".") {
			t.Errorf("%s: Title and Means end without a full stop, Do with one", k.ID)
		}
		if found, ok := Of(k.ID); !ok || found != k {
			t.Errorf("Of(%s) is %+v, %v", k.ID, found, ok)
		}
	}
	if _, ok := Of("CR-NONE"); ok {
		t.Error("Of finds what is not there")
	}
}

// TestKindsAreThoseOfTheCode holds that every finding that the code names has a
// row, and that every row is named by code.
func TestKindsAreThoseOfTheCode(t *testing.T) {
	raised := map[string]bool{}
	for _, pattern := range []string{"../*.go", "../model/*.go", "../../cmd/convrun/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`"(CR-[A-Z0-9-]+)"`).FindAllSubmatch(source, -1) {
				raised[string(m[1])] = true
			}
		}
	}
	for id := range raised {
		if _, ok := Of(id); !ok {
			t.Errorf("the code names %s, which has no row", id)
		}
	}
	for _, k := range Kinds {
		if !raised[k.ID] {
			t.Errorf("%s has a row, and no code names it", k.ID)
		}
	}
}
