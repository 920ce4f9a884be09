package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestREADME runs every command of the README's sessions, in its order, with a
// real export.py; make demo and make test are run by .ci/run.
func TestREADME(t *testing.T) {
	python := environment(t, "torch")
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := workDir(t)
	copyFile(t, "../../testdata/demo/torch_export.py", filepath.Join(dir, "convert.py"))
	script := "import sys, runpy\nsys.argv = ['convert.py', 'resnet18.onnx', '--size', '64']\nrunpy.run_path('convert.py', run_name='__main__')\n"
	if err := os.WriteFile(filepath.Join(dir, "export.py"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(python)+":"+os.Getenv("PATH"))
	commands := 0
	for _, block := range strings.Split(string(readme), "```console\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for line := range strings.Lines(block) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				commands++
				if _, stderr, status := programHere(t, dir, "sh", "-c", command); status != 0 {
					t.Fatalf("%s ends with %d: %s", command, status, stderr)
				}
			}
		}
	}
	if commands < 8 {
		t.Errorf("only %d commands were found", commands)
	}
	for _, made := range []string{"resnet18.html", "resnet18.onnx.convlog.json", "release.pub"} {
		if _, err := os.Stat(filepath.Join(dir, made)); err != nil {
			t.Error(err)
		}
	}
}
