package python

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseFunction(t *testing.T) {
	for text, want := range map[string]Function{
		"a:b": {Module: "a", Path: "b"}, "mypackage.export:Exporter.convert": {Module: "mypackage.export", Path: "Exporter.convert"},
		"größe.x1:_y": {Module: "größe.x1", Path: "_y"},
	} {
		if got, err := ParseFunction(text); err != nil || !reflect.DeepEqual(got, want) || got.String() != text {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":", "a", "a.b", "a:", ":b", "a:b:c", "a b:c", "a:b()", "1a:b", "a.:b", "a:b.", "a\tb:c", "a:b\n", "__main__:f"} {
		if got, err := ParseFunction(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
	for _, f := range []Function{{Model: "a.b"}, {Reads: []string{""}}, {Writes: []string{"x", "a b"}}} {
		if f.Check() == nil {
			t.Errorf("%+v passes", f)
		}
	}
}

// userModule is a converter of a user's own; torch is the stub.
const userModule = `
import functools, os
import torch.onnx

__version__ = "3.1"

def logged(function):
    @functools.wraps(function)
    def logging(*args, **kwargs):
        return function(*args, **kwargs)
    return logging

class Exporter:
    @logged
    def convert(self, net, target, *, opset=9):
        if opset < 0:
            raise ValueError("no such opset")
        return torch.onnx.export(net, (), target)

    @classmethod
    def quick(cls, target):
        return cls().convert(None, target, opset=1)

    @staticmethod
    def count(*values, **named):
        return len(values)

def numbers():
    yield 1

size = len
`

// addedBench has the module in its PYTHONPATH, with the functions added.
func addedBench(t *testing.T, functions ...string) bench {
	t.Helper()
	b := newBench(t, "PYTHONDONTWRITEBYTECODE=1")
	b.environ = append(b.environ, "PYTHONPATH="+b.home+":"+testdata(t, "stub"))
	if err := os.WriteFile(filepath.Join(b.home, "users.py"), []byte(userModule), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range functions {
		f, err := ParseFunction(text)
		if err != nil {
			t.Fatal(err)
		}
		b.added = append(b.added, f)
	}
	return b
}

func TestAddedFunctions(t *testing.T) {
	for version, python := range pythons(t) {
		if !atLeast(version, 8) {
			continue
		}
		t.Run(version, func(t *testing.T) {
			b := addedBench(t, "users:Exporter.convert", "users:Exporter.quick", "users:Exporter.count")
			b.added[0].Reads, b.added[0].Writes = []string{"net"}, []string{"target", "no_such_parameter"}
			_, record := b.transparent(t, python, "-c", `
import inspect, traceback
from users import Exporter
print(inspect.signature(Exporter.convert), Exporter.count(1, 2, key=3), Exporter().convert("in", "a"), Exporter.quick("b"))
try:
    Exporter().convert(None, "c", opset=-1)
except ValueError:
    traceback.print_exc()
`)
			if len(record.Problems) > 0 {
				t.Errorf("problems %q", record.Problems)
			}
			var functions []string
			for _, call := range record.Calls {
				functions = append(functions, call.Function)
				if call.Added != strings.HasPrefix(call.Function, "users.") || call.Added && (call.Package != "users" || call.Version != "3.1") {
					t.Errorf("call %+v", call)
				}
			}
			// What a user's function calls is recorded, too.
			if want := []string{
				"users.Exporter.count", "users.Exporter.convert", "torch.onnx.export",
				"users.Exporter.quick", "users.Exporter.convert", "torch.onnx.export", "users.Exporter.convert",
			}; !slices.Equal(functions, want) {
				t.Fatalf("calls %q, want %q", functions, want)
			}
			first, last := record.Calls[1], record.Calls[6]
			if !slices.Equal(first.Given, []string{"self", "net", "target"}) || first.Arguments["opset"] != json.Number("9") ||
				!slices.Equal(first.Reads, []string{filepath.Join(b.work, "in")}) || !slices.Equal(first.Writes, []string{filepath.Join(b.work, "a")}) {
				t.Errorf("call %+v", first)
			}
			if last.Outcome != "raised: ValueError: no such opset" || !slices.Equal(last.Given, []string{"self", "net", "target", "opset"}) {
				t.Errorf("call %+v", last)
			}
			if given := record.Calls[0].Given; !slices.Equal(given, []string{"values", "named"}) {
				t.Errorf("count was given %q", given)
			}
		})
	}
}

func TestAddedFunctionsThatCannotBeObserved(t *testing.T) {
	b := addedBench(t, "users:nothing", "users:Exporter.nothing", "users:size", "users:numbers", "nowhere:f", "users:Exporter.quick", "torch.onnx:export")
	_, record := b.transparent(t, python3(t), "-c", "import users; users.Exporter.quick('a')")
	var problems []string
	for _, problem := range record.Problems {
		name, reason, _ := strings.Cut(problem, " was not observed: ")
		problems = append(problems, name)
		want := map[string]string{
			"users:nothing":          "the module users, which was imported, has no such function",
			"users:Exporter.nothing": "the module users, which was imported, has no such function",
			"users:size":             "it cannot be observed: TypeError: not a function written in Python but a builtin_function_or_method",
			"users:numbers":          "it cannot be observed: TypeError: not a plain function",
			"nowhere:f":              "no observed Python imported the module nowhere",
		}[name]
		if reason != want {
			t.Errorf("%q: reason %q, want %q", name, reason, want)
		}
	}
	if len(problems) != 5 {
		t.Errorf("problems %q, want five", record.Problems)
	}
	// What the observer knows itself stays as it is.
	if len(record.Calls) != 2 || record.Calls[1].Function != "torch.onnx.export" || record.Calls[1].Added {
		t.Errorf("calls %+v", record.Calls)
	}
}

// A function that is called all the time, or that the recorder calls itself,
// must not cost the record of the converters.
func TestBusyAddedFunctions(t *testing.T) {
	b := addedBench(t, "users:Exporter.count", "posixpath:abspath")
	// A frozen module has no source.
	_, record := b.transparent(t, python3(t), "-X", "frozen_modules=off", "-c", `
import users, posixpath
print(posixpath.abspath("x") == posixpath.abspath("./x"))
for _ in range(250):
    users.Exporter.count("long" * 900)
users.torch.onnx.export(None, (), "a")
`)
	counts := map[string]int{}
	for _, call := range record.Calls {
		counts[call.Function]++
	}
	if counts["torch.onnx.export"] != 1 || counts["posixpath.abspath"] != 2 || counts["users.Exporter.count"] != 98 {
		t.Errorf("calls %v", counts)
	}
	want := "152 calls of functions that the configuration adds were not kept: they were more than 100, or too large"
	if !slices.Contains(record.Problems, want) {
		t.Errorf("problems %q, want %q", record.Problems, want)
	}
}
