package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// gitBench is a repository in the making.
type gitBench struct {
	t       *testing.T
	dir     string
	environ []string
}

func newGitBench(t *testing.T) *gitBench {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	home := t.TempDir()
	config := "[user]\n\tname = Ada L\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return &gitBench{t: t, dir: t.TempDir(), environ: []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}}
}

func (b *gitBench) git(arguments ...string) string {
	b.t.Helper()
	command := exec.Command("git", append([]string{"-C", b.dir}, arguments...)...)
	command.Env = b.environ
	out, err := command.CombinedOutput()
	if err != nil {
		b.t.Fatalf("git %v: %v\n%s", arguments, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (b *gitBench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *gitBench) commit(name, text string) {
	b.t.Helper()
	b.write(name, text)
	b.git("add", name)
	b.git("commit", "-q", "-m", "x")
}

func (b *gitBench) read(environ ...string) Source {
	return readSource(b.t.Context(), b.dir, append(b.environ, environ...), &Redactor{})
}

// checkDifference holds a Source against what the command in docs/spec prints.
func (b *gitBench) checkDifference(s Source) {
	b.t.Helper()
	page, err := os.ReadFile("../docs/spec/conversion-log-v1.md")
	if err != nil {
		b.t.Fatal(err)
	}
	published := regexp.MustCompile(`(?s)\n    (git -c core\.quotePath.*? -- :/)\n`).FindSubmatch(page)
	if published == nil {
		b.t.Fatal("docs/spec has no command")
	}
	command := exec.Command("sh", "-c", string(published[1]))
	command.Dir, command.Env = b.dir, b.environ
	out, err := command.Output()
	sum := sha256.Sum256(out)
	if err != nil || len(out) == 0 || s.Diff.SHA256 != hex.EncodeToString(sum[:]) || s.Diff.Size != int64(len(out)) || s.Diff.Reason != "" {
		b.t.Errorf("%+v, the published command prints %d bytes (%v)", s.Diff, len(out), err)
	}
}

func TestSource(t *testing.T) {
	b := newGitBench(t)
	if s := b.read(); s.VCS != "unknown: not in a git repository" || s.Name != "Ada L" || s.NameFrom != "git config" {
		t.Errorf("outside a repository: %+v", s)
	}
	b.git("init", "-q")
	if s := b.read(); s.VCS != "git" || !strings.HasPrefix(s.Commit, unknownPrefix) || !strings.HasPrefix(s.Remote, unknownPrefix) || s.Branch != "main" || s.Diff.SHA256 != "" {
		t.Errorf("without a commit: %+v", s)
	}
	b.commit("f", "1")
	b.git("remote", "add", "origin", "https://user:"+secret+"@example.org/r.git")
	s := b.read()
	if s.Commit != b.git("rev-parse", "HEAD") || s.Dirty == nil || *s.Dirty || s.Remote != "https://example.org/r.git" || s.Diff != (Difference{}) {
		t.Errorf("clean: %+v", s)
	}
	b.write("untracked", "x")
	if s := b.read(); s.Dirty == nil || *s.Dirty {
		t.Errorf("with a file that git does not track: %+v", s)
	}
	b.write("f", "22")
	if s = b.read(); s.Dirty == nil || !*s.Dirty {
		t.Errorf("dirty: %+v", s)
	}
	b.checkDifference(s)
	b.git("add", "f")
	if staged := b.read(); staged.Diff != s.Diff || !*staged.Dirty {
		t.Errorf("staged: %+v", staged)
	}
	b.write("f", "23")
	if other := b.read(); other.Diff.SHA256 == s.Diff.SHA256 || len(other.Diff.SHA256) != 64 {
		t.Errorf("another change: %+v", other)
	}
	if s := b.read("GIT_COMMITTER_NAME=Grace", "GIT_COMMITTER_EMAIL=g@example.org"); s.Name != "Grace" || s.Email != "g@example.org" || s.NameFrom != "environment GIT_COMMITTER_NAME" {
		t.Errorf("with a committer in the environment: %+v", s)
	}
	if s := readSource(t.Context(), b.dir, []string{"PATH=/nowhere"}, &Redactor{}); s.VCS != "git" && !strings.HasPrefix(s.VCS, unknownPrefix) {
		t.Errorf("with another PATH: %+v", s)
	}
}

// TestDifferenceIsOfNoSetting has whatever settings change what git diff prints.
func TestDifferenceIsOfNoSetting(t *testing.T) {
	b := newGitBench(t)
	b.git("init", "-q")
	b.commit("ü.py", strings.Repeat("def f():\n    return 1\n\n", 20))
	b.commit("weights.bin", "\x00\x01")
	b.commit(".gitattributes", "*.py diff=shout\n")
	b.commit("order", "weights.bin\n")
	b.commit("lines", strings.Repeat("a line\n", 40))
	b.commit("old", strings.Repeat("another line\n", 40))
	b.git("mv", "old", "new")
	b.write("lines", "first\n"+strings.Repeat("a line\n", 12)+"second\n"+strings.Repeat("a line\n", 28))
	b.write("ü.py", strings.Repeat("def f():\n    return 1\n\n", 10)+"x\n"+strings.Repeat("def f():\n    return 1\n\n", 11))
	b.write("weights.bin", "\x00\x02")
	plain := b.read()
	b.checkDifference(plain)
	for _, setting := range [][2]string{
		{"diff.noprefix", "true"}, {"diff.mnemonicPrefix", "true"}, {"diff.context", "9"}, {"diff.interHunkContext", "9"}, {"diff.algorithm", "patience"}, {"color.ui", "always"}, {"core.quotePath", "false"},
		{"diff.external", "false"}, {"diff.shout.textconv", "tr a-z A-Z <"}, {"diff.shout.command", "false"}, {"core.abbrev", "5"}, {"diff.orderFile", "order"}, {"diff.renames", "copies"}, {"diff.relative", "true"},
	} {
		b.git("config", setting[0], setting[1])
	}
	if s := b.read("GIT_EXTERNAL_DIFF=false", "GIT_DIFF_OPTS=-u9"); s.Diff != plain.Diff {
		t.Errorf("%+v with settings, %+v without", s.Diff, plain.Diff)
	}
	if err := os.Mkdir(filepath.Join(b.dir, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.dir = filepath.Join(b.dir, "below")
	if s := b.read(); s.Diff != plain.Diff {
		t.Errorf("%+v from a folder in it, %+v", s.Diff, plain.Diff)
	}
}

// TestSourceOfOddRepositories has every state that a repository can be in.
func TestSourceOfOddRepositories(t *testing.T) {
	b := newGitBench(t)
	b.git("init", "-q")
	b.commit("f", "1")
	b.commit("f", "2")
	head, main := b.git("rev-parse", "HEAD"), b.dir
	in := func(dir string) Source {
		b.dir = dir
		defer func() { b.dir = main }()
		return b.read()
	}

	b.git("checkout", "-q", "--detach")
	if s := b.read(); s.Commit != head || s.Branch != "none: the commit was checked out by itself" {
		t.Errorf("detached: %+v", s)
	}
	b.git("checkout", "-q", "main")
	tree := filepath.Join(t.TempDir(), "tree")
	b.git("worktree", "add", "-q", "-b", "other", tree)
	if s := in(tree); s.Commit != head || s.Branch != "other" || *s.Dirty {
		t.Errorf("a worktree: %+v", s)
	}
	bare := filepath.Join(t.TempDir(), "bare")
	b.git("clone", "-q", "--bare", main, bare)
	if s := in(bare); s.VCS != "git" || s.Commit != head || s.Branch != "main" || s.Dirty != nil || s.Diff.Reason != "unknown: the repository is bare: it has no files to compare" {
		t.Errorf("bare: %+v", s)
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	b.git("clone", "-q", "--depth=1", "--origin", "upstream", "file://"+main, shallow)
	if s := in(shallow); s.Commit != head || *s.Dirty || s.Remote != "file://"+main {
		t.Errorf("shallow, with a remote of another name: %+v", s)
	}

	// A submodule that has moved on, and one with changes of its own.
	outer := filepath.Join(t.TempDir(), "outer")
	b.git("init", "-q", outer)
	b.dir = outer
	b.git("submodule", "add", "-q", main, "inner")
	b.git("commit", "-q", "-m", "x")
	if s := b.read(); *s.Dirty {
		t.Errorf("with a submodule: %+v", s)
	}
	inner := filepath.Join(outer, "inner")
	b.dir = inner
	b.write("f", "3")
	b.dir = outer
	s := b.read()
	if !*s.Dirty {
		t.Errorf("with a submodule that is dirty: %+v", s)
	}
	b.checkDifference(s)
	if s := in(inner); s.Commit != head || !*s.Dirty || s.Remote != main {
		t.Errorf("in the submodule: %+v", s)
	}
	main = outer
	b.dir = inner
	b.git("commit", "-q", "-am", "y")
	b.dir = outer
	if s := b.read(); !*s.Dirty {
		t.Errorf("with a submodule that has moved on: %+v", s)
	}

	// What git sets for a hook names another repository.
	if s := b.read("GIT_DIR="+filepath.Join(inner, ".git"), "GIT_INDEX_FILE=/nowhere"); s.Commit != b.git("rev-parse", "HEAD") {
		t.Errorf("in a hook of another: %+v", s)
	}
	// A broken one.
	if err := os.WriteFile(filepath.Join(outer, ".git", "HEAD"), []byte("junk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := b.read(); !strings.HasPrefix(s.VCS, unknownPrefix) {
		t.Errorf("broken: %+v", s)
	}
}

func TestSourceWithoutGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if s := readSource(t.Context(), t.TempDir(), os.Environ(), &Redactor{}); s.VCS != "unknown: git is not installed" {
		t.Errorf("%+v", s)
	}
}

func TestSourceOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a repository away")
	}
	b := newGitBench(t)
	b.git("init", "-q")
	b.commit("f", "1")
	for _, path := range []string{b.dir, filepath.Join(b.dir, ".git")} {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if s := b.read(); !strings.HasPrefix(s.VCS, "unknown: the repository belongs to another user") || !strings.Contains(s.VCS, "safe.directory") {
		t.Errorf("%+v", s)
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
