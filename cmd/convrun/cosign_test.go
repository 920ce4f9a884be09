package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance"
)

// convrunHere runs convrun, which is the test binary itself, in dir, with a
// home of its own.
func convrunHere(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return programHere(t, dir, "convrun", args...)
}

func programHere(t *testing.T, dir, program string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := exec.Command(program, args...)
	command.Dir = dir
	home := filepath.Join(filepath.Dir(dir), "home")
	command.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "XDG_STATE_HOME=", "CI=", "COSIGN_PASSWORD=")
	var out, errs strings.Builder
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		if command.ProcessState == nil {
			t.Fatal(err)
		}
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// workDir is an empty folder whose parent is the test's own too.
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "work")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCosignVerifiesALog lets the real cosign judge what a run leaves.
func TestCosignVerifiesALog(t *testing.T) {
	cosign, err := filepath.Abs("../../.cache/bin/cosign")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cosign); err != nil {
		missingTool(t, "%v; make tools builds it", err)
	}
	dir := workDir(t)
	model, err := filepath.Abs("../../testdata/model/onnx/dynamo_eval_18.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := convrunHere(t, dir, "keygen", "-o", "release"); status != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, status := convrunHere(t, dir, "run", "--key", "release.key", "--", "cp", model, "m.onnx"); status != 0 {
		t.Fatal(stderr)
	}
	verify := []string{
		"verify-blob-attestation", "--type", provenance.PredicateType, "--key", "release.pub",
		"--bundle", "m.onnx.convlog.json", "--insecure-ignore-tlog", "m.onnx",
	}
	if _, stderr, status := programHere(t, dir, cosign, verify...); status != 0 {
		t.Errorf("cosign refuses the log: %s", stderr)
	}
	file, err := os.OpenFile(filepath.Join(dir, "m.onnx"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, _, status := programHere(t, dir, cosign, verify...); status == 0 {
		t.Error("cosign accepts the log for a changed model")
	}
	if _, _, status := convrunHere(t, dir, "verify", "--key", "release.pub", "m.onnx"); status != exitFailed {
		t.Errorf("convrun verify of a changed model gives %d", status)
	}
}
