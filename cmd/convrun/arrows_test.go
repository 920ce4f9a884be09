package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/convrun/convrun/"

// arrows are the rooms that a room may import, besides the standard library.
var arrows = map[string][]string{
	"cmd/convrun":        {"runner", "runner/python", "runner/trace", "provenance", "provenance/finding", "provenance/model", "provenance/report", "sign", "printable"},
	"runner":             {"runner/trace", "runner/python", "runner/installed", "runner/hub"},
	"runner/trace":       {"runner/trace/stage"},
	"runner/trace/stage": {},
	"runner/python":      {"runner/bounded", "runner/purl"},
	"runner/installed":   {"runner/bounded", "runner/purl"},
	"runner/hub":         {"runner/bounded", "runner/purl"},
	"runner/bounded":     {},
	"runner/purl":        {},
	"provenance":         {"provenance/finding", "provenance/model", "runner", "runner/python", "strictjson"},
	"provenance/finding": {},
	"provenance/model":   {"provenance/finding"},
	"provenance/report":  {"provenance", "provenance/model", "printable"},
	"sign":               {"strictjson"},
	"printable":          {},
	"strictjson":         {},
}

// homes are the rooms that may import a heavy module.
var homes = map[string][]string{
	"github.com/spf13/cobra":        {"cmd/convrun"},
	"github.com/shirou/gopsutil":    {"runner"},
	"github.com/sigstore/":          {"sign"},
	"github.com/secure-systems-lab": {"sign"},
	"github.com/pelletier/go-toml":  {"cmd/convrun"},
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		room := strings.TrimPrefix(fields[0], module)
		allowed, known := arrows[room]
		if !known {
			t.Errorf("%s stands in no row of arrows", room)
		}
		seen++
		for _, imported := range fields[1:] {
			if inner, own := strings.CutPrefix(imported, module); own && !slices.Contains(allowed, inner) {
				t.Errorf("%s imports %s", room, inner)
			}
			for heavy, home := range homes {
				if strings.HasPrefix(imported, heavy) && !slices.Contains(home, room) {
					t.Errorf("%s imports %s, whose home is %v", room, imported, home)
				}
			}
		}
	}
	if seen != len(arrows) {
		t.Errorf("%d rooms are there, %d rows in arrows", seen, len(arrows))
	}
}
