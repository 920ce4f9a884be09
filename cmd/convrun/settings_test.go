package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/convrun/convrun/runner/trace"
)

// TestProjectWeakensNothing has a repository's own file try each setting that
// there is, and those that an attacker would wish for.
func TestProjectWeakensNothing(t *testing.T) {
	harmless := map[string]string{ // what a project may say, and a user's word counts more
		"model": `model = "theirs@1"`, "responsible": `responsible = "Mallory"`, "context": "[context]\nitem = \"theirs\"",
	}
	added := map[string]string{ // what adds to a log and takes nothing out
		"observe": `observe = ["users:convert"]`, "targets": `targets = ["onnxruntime==1.20"]`, "waive": "[[waive]]\nfinding = \"CR-ONNX-RANDOM\"\nreason = \"it is so\"",
	}
	refused := map[string]string{
		"key": `key = "theirs.key"`, "redact": `redact = ["CR-[A-Z-]+"]`,
	}
	known := reflect.TypeFor[settings]()
	for i := range known.NumField() {
		if key := known.Field(i).Tag.Get("toml"); harmless[key]+added[key]+refused[key] == "" {
			t.Errorf("nothing holds what a project may do with %q", key)
		}
	}
	for _, wish := range []string{
		`trace = "snapshot"`, `method = "declared"`, `observe = "off"`, `sign = false`, `log = "/dev/null"`, `cache = "/tmp"`, `exclude = ["secret.py"]`, `inputs = ["x"]`, `outputs = ["x"]`,
		`Key = "theirs.key"`, `KEY = "theirs.key"`, `"ke\u0079" = "theirs.key"`, `Redact = ["x"]`, `id = "theirs"`, `quiet = true`, `[policy]`, `config = "other.toml"`,
	} {
		refused[wish] = wish
	}
	for name, text := range refused {
		dir := workDir(t)
		must(t, os.WriteFile(filepath.Join(dir, projectConfig), []byte(text+"\n"), 0o644))
		_, stderr, status := convrunHere(t, dir, "run", "--", "touch", "ran")
		if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil || status != exitOwnFailure || !strings.Contains(stderr, projectConfig) {
			t.Errorf("%s: the project's file was taken (status %d): %s", name, status, stderr)
		}
	}
	dir := workDir(t)
	home := filepath.Join(filepath.Dir(dir), "home", ".config", "convrun")
	must(t, os.MkdirAll(home, 0o700))
	var theirs, ours []string
	for _, key := range []string{"model", "responsible", "context"} {
		theirs = append(theirs, harmless[key])
		ours = append(ours, strings.NewReplacer("theirs", "ours", "Mallory", "Uma").Replace(harmless[key]))
	}
	theirs = append([]string{added["observe"], added["targets"]}, append(theirs, added["waive"])...)
	must(t, os.WriteFile(filepath.Join(dir, projectConfig), []byte(strings.Join(theirs, "\n")), 0o644))
	must(t, os.WriteFile(filepath.Join(home, userConfig), []byte(strings.Join(ours, "\n")), 0o600))
	copyFile(t, "../../testdata/model/onnx/dropout_10.onnx", filepath.Join(dir, "source"))
	if _, stderr, status := convrunHere(t, dir, "run", "--", "cp", "source", "model.onnx"); status != 0 {
		t.Fatal(stderr)
	}
	shown, _, _ := convrunHere(t, dir, "show", "--json", "model.onnx")
	wanted := []string{`"ours"`, "Uma", projectConfig, userConfig, `"targets":["onnxruntime==1.20"]`, "CR-WAIVER-UNUSED"}
	if canTrace() {
		wanted = append(wanted, `"method":"`+trace.Methods()[0])
	}
	for _, want := range wanted {
		if !strings.Contains(shown, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	if strings.Contains(shown, "theirs") || strings.Contains(shown, "Mallory") {
		t.Error("the project's word counted more than the user's")
	}
}

// TestProjectFileIsAFile has others lie in its place.
func TestProjectFileIsAFile(t *testing.T) {
	for _, place := range []string{"mkfifo convrun.toml", "mkdir convrun.toml", "ln -s /dev/zero convrun.toml", "head -c 2000000 /dev/zero > convrun.toml"} {
		dir := workDir(t)
		if out, err := exec.Command("sh", "-c", "cd "+dir+" && "+place).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", place, out)
		}
		_, stderr, status := convrunHere(t, dir, "run", "--", "true")
		if status != exitOwnFailure || !strings.Contains(stderr, "read configuration convrun.toml") {
			t.Errorf("%s: status %d, %s", place, status, stderr)
		}
	}
}
