package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write what is generated again")

// TestDocs holds the generated pages against the commands they describe.
func TestDocs(t *testing.T) {
	pages := map[string][]byte{"exit-codes.md": exitCodesPage(), "reserved-names.md": reservedPage()}
	root := newRoot()
	root.DisableAutoGenTag = true
	dir := t.TempDir()
	if err := doc.GenMarkdownTree(root, dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		page, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pages["cli/"+entry.Name()] = append(bytes.TrimRight(page, "\n"), '\n')
	}
	for name, want := range pages {
		path := filepath.Join("../../docs", name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what the command line generates (%v): make update", name, err)
		}
	}
	stale, err := filepath.Glob("../../docs/cli/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stale {
		if pages["cli/"+filepath.Base(path)] == nil {
			t.Errorf("%s describes no command", path)
		}
	}
}

func exitCodesPage() []byte {
	var page strings.Builder
	page.WriteString("# Exit statuses\n\nGenerated from the table in cmd/convrun/exit.go.\n\n| verb | status | meaning |\n|---|---|---|\n")
	for _, row := range exitTable {
		fmt.Fprintf(&page, "| %s | %s | %s |\n", row.Verbs, row.Status, row.Meaning)
	}
	page.WriteString("\nFor several files `verify` gives the worst status, in the order 1, 4, 3, 2.\n")
	return []byte(page.String())
}

func reservedPage() []byte {
	names := slices.Clone(plannedVerbs)
	used := []string{"completion", "help"}
	for _, command := range newRoot().Commands() {
		if !command.Hidden {
			used = append(used, command.Name())
		}
	}
	slices.Sort(names)
	slices.Sort(used)
	return fmt.Appendf(nil, `# Reserved names

In the short form `+"`convrun NAME …`"+` these names mean a command of convrun's and never
a program. `+"`convrun -- NAME`, `convrun ./NAME` and `convrun run -- NAME`"+` always mean
the program.

Generated from the commands in cmd/convrun/root.go.

Used: %s.

For later versions: %s.
`, strings.Join(used, ", "), strings.Join(names, ", "))
}

// TestExitTable holds that every status the code can give is documented.
func TestExitTable(t *testing.T) {
	for _, status := range []int{exitOK, exitFailed, exitUsage, exitNoLog, exitIncomplete, exitOwnFailure, exitCancelled} {
		if !slices.ContainsFunc(exitTable, func(row exitRow) bool { return row.Status == fmt.Sprint(status) }) {
			t.Errorf("status %d is not in the table", status)
		}
	}
	if worst([]int{exitUsage, exitNoLog, exitOK}) != exitNoLog || worst([]int{exitNoLog, exitIncomplete, exitFailed}) != exitFailed || worst(nil) != exitOK {
		t.Error("the worst of several statuses is not in the order 1, 4, 3, 2")
	}
}
