package runner

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSource(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	home := t.TempDir()
	environ := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	git := func(dir string, arguments ...string) {
		t.Helper()
		command := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=A", "-c", "user.email=a@b.c"}, arguments...)...)
		command.Env = environ
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, out)
		}
	}
	read := func(dir string) Source { return readSource(t.Context(), dir, environ, &Redactor{}) }

	if s := read(t.TempDir()); s.VCS != "unknown: not in a git repository" {
		t.Errorf("outside a repository: %+v", s)
	}
	dir := t.TempDir()
	git(dir, "init", "-q")
	if s := read(dir); s.VCS != "git" || !strings.HasPrefix(s.Commit, unknownPrefix) || !strings.HasPrefix(s.Remote, unknownPrefix) {
		t.Errorf("without a commit: %+v", s)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	git(dir, "add", "f")
	git(dir, "commit", "-q", "-m", "x")
	git(dir, "remote", "add", "origin", "https://user:"+secret+"@example.org/r.git")
	git(dir, "config", "user.name", "Ada L")
	s := read(dir)
	if len(s.Commit) != 40 || s.Dirty == nil || *s.Dirty || s.Remote != "https://example.org/r.git" || s.Name != "Ada L" {
		t.Errorf("clean: %+v", s)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("22"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := read(dir); s.Dirty == nil || !*s.Dirty {
		t.Errorf("dirty: %+v", s)
	}
	if s := readSource(t.Context(), dir, []string{"PATH=/nowhere"}, &Redactor{}); s.VCS != "git" && !strings.HasPrefix(s.VCS, unknownPrefix) {
		t.Errorf("with another PATH: %+v", s)
	}
}

// TestSourceDoesNotWaitForGit has a child of git's that holds its output.
func TestSourceDoesNotWaitForGit(t *testing.T) {
	dir := t.TempDir()
	fake := filepath.Join(dir, "git")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\nsleep 8 &\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	s := readSource(ctx, dir, os.Environ(), &Redactor{})
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	if !strings.HasPrefix(s.VCS, unknownPrefix) {
		t.Errorf("%+v", s)
	}
}
