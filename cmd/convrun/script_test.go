package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is convrun too: scripts, and convrun's own stages, start it
// under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"convrun": func() { os.Exit(run(context.Background(), os.Args[1:])) },
	})
}

// required is set where nothing may be skipped.
func required() bool { return os.Getenv("CONVRUN_REQUIRE") != "" }

func TestScripts(t *testing.T) {
	models, err := filepath.Abs("../../testdata/model/onnx")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("MODELS", models)
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
			env.Setenv("CI", "")
			env.Setenv("COSIGN_PASSWORD", "")
			return os.Mkdir(filepath.Join(env.WorkDir, ".home"), 0o700)
		},
		Condition: func(condition string) (bool, error) {
			switch condition {
			case "root":
				return os.Geteuid() == 0, nil
			case "traced":
				return canTrace(), nil
			case "full":
				return os.Getenv("CONVRUN_FULL") != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", condition)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"field": field,
			"flip":  flip,
		},
	})
}

// field compares one value of a JSON file: `field FILE path|to|0|value WANT`.
// In an array, a step is an index, "len", or KEY=VALUE, which picks the item
// whose KEY is VALUE.
func field(ts *testscript.TestScript, negated bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: field FILE PATH WANT")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &value))
	for _, step := range strings.Split(args[1], "|") {
		next, ok := descend(value, step)
		if !ok {
			if negated {
				return
			}
			ts.Fatalf("%s has no %s (at %q)", args[0], args[1], step)
		}
		value = next
	}
	got := fmt.Sprint(value)
	if negated == (got == args[2]) {
		ts.Fatalf("%s: %s is %q, wanted %q (negated: %v)", args[0], args[1], got, args[2], negated)
	}
}

func descend(value any, step string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		next, ok := v[step]
		return next, ok
	case []any:
		if step == "len" {
			return len(v), true
		}
		if i, err := strconv.Atoi(step); err == nil && i < len(v) {
			return v[i], true
		}
		key, want, _ := strings.Cut(step, "=")
		for _, item := range v {
			if object, ok := item.(map[string]any); ok && fmt.Sprint(object[key]) == want {
				return item, true
			}
		}
	}
	return nil, false
}

// flip changes one bit in the middle of a file: `flip FILE`.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(path, data, 0o644))
}
