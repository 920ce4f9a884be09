package runner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// gitTime bounds everything that is asked of git about one run.
const gitTime = 3 * time.Second

// repository is git, asked about the repository that a folder lies in. It
// changes nothing there: git is told to take no optional locks, and to run no
// hook or monitor that the repository configures.
type repository struct {
	ctx     context.Context
	dir     string
	environ []string
}

// ask gives what git says.
func (r *repository) ask(arguments ...string) (string, error) {
	var out strings.Builder
	err := r.send(&out, arguments...)
	return out.String(), err
}

func (r *repository) send(to io.Writer, arguments ...string) error {
	command := exec.CommandContext(r.ctx, "git", append([]string{"-C", r.dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, arguments...)...)
	command.Env = r.environ
	command.WaitDelay = time.Second // for a filter of git's that holds the pipe
	var said bytes.Buffer
	command.Stdout, command.Stderr = to, &said
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		exit.Stderr = said.Bytes()
	}
	return err
}

// gitEnviron leaves out what would name another repository than that of the
// folder, as git itself sets it for a hook, or would have git write elsewhere.
func gitEnviron(environ []string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_LITERAL_PATHSPECS":
			return true
		}
		return strings.HasPrefix(name, "GIT_TRACE")
	})
	return append(kept, "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
}

// readSource asks git about the repository that dir lies in.
func readSource(ctx context.Context, dir string, environ []string, redact *Redactor) Source {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	git := &repository{ctx: ctx, dir: dir, environ: gitEnviron(environ)}
	var settings, status string
	var statusErr error
	var both sync.WaitGroup
	both.Go(func() {
		settings, _ = git.ask("config", "--get-regexp", `^(committer\.(name|email)|user\.(name|email)|remote\..*\.url)$`)
	})
	both.Go(func() {
		status, statusErr = git.ask("status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=none")
	})
	both.Wait()

	s := identity(settings, environ)
	switch {
	case statusErr == nil:
		git.state(&s, status)
	case git.isBare():
		git.bare(&s)
	default:
		s.VCS = unknownPrefix + gitProblem(statusErr)
		return s
	}
	if s.Remote = redact.Text(withoutUser(remoteOf(settings))); s.Remote == "" {
		s.Remote = unknownPrefix + "the repository has no remote named origin, and not just one of another name"
	}
	return s
}

// identity is the committer's, as git would use it: git(1), GIT_COMMITTER_NAME.
func identity(settings string, environ []string) Source {
	s := Source{}
	for _, entry := range environ {
		switch name, value, _ := strings.Cut(entry, "="); {
		case name == "GIT_COMMITTER_NAME" && s.Name == "":
			s.Name, s.NameFrom = value, "environment GIT_COMMITTER_NAME"
		case name == "GIT_COMMITTER_EMAIL" && s.Email == "":
			s.Email = value
		}
	}
	for _, section := range []string{"committer", "user"} {
		if s.Name == "" {
			s.Name, s.NameFrom = setting(settings, section+".name"), "git config"
		}
		if s.Email == "" {
			s.Email = setting(settings, section+".email")
		}
	}
	return s
}

// state takes in what git status says of a repository with files.
func (r *repository) state(s *Source, status string) {
	s.VCS = "git"
	dirty := false
	for line := range strings.Lines(status) {
		if commit, ok := strings.CutPrefix(line, "# branch.oid "); ok {
			s.Commit = strings.TrimSpace(commit)
		} else if branch, ok := strings.CutPrefix(line, "# branch.head "); ok {
			s.Branch = strings.TrimSpace(branch)
		} else if !strings.HasPrefix(line, "#") {
			dirty = true
		}
	}
	s.Dirty = &dirty
	if s.Branch == "(detached)" {
		s.Branch = "none: the commit was checked out by itself"
	}
	if s.Commit == "" || s.Commit == "(initial)" {
		s.Commit = unknownPrefix + "the repository has no commit yet"
		s.Diff.Reason = s.Commit
	} else if dirty {
		s.Diff = r.difference()
	}
}

// maxDifference bounds the bytes that are hashed of a difference.
const maxDifference = 1 << 30

// difference hashes how the tracked files differ from the commit, in a form
// that no setting of the user's or the repository's changes; docs/spec has the
// command line.
func (r *repository) difference() (d Difference) {
	sum := sha256.New()
	counted := &limitedWriter{to: sum}
	err := r.send(counted, "-c", "core.quotePath=true", "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--no-indent-heuristic", "--no-relative",
		"--binary", "--full-index", "--unified=3", "--inter-hunk-context=0", "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/", "-O/dev/null",
		"--submodule=short", "--ignore-submodules=none", "HEAD", "--", ":/")
	if err != nil {
		d.Reason = unknownPrefix + gitProblem(err)
		return d
	}
	return Difference{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: counted.size}
}

// limitedWriter refuses more than maxDifference bytes.
type limitedWriter struct {
	to   io.Writer
	size int64
}

func (w *limitedWriter) Write(data []byte) (int, error) {
	if w.size += int64(len(data)); w.size > maxDifference {
		return 0, errors.New("the difference is too large to be hashed")
	}
	return w.to.Write(data)
}

// isBare tells whether the folder lies in a repository without files.
func (r *repository) isBare() bool {
	answer, err := r.ask("rev-parse", "--is-bare-repository")
	return err == nil && strings.TrimSpace(answer) == "true"
}

// bare takes in what there is of a repository without files.
func (r *repository) bare(s *Source) {
	s.VCS = "git"
	commit, err := r.ask("rev-parse", "--verify", "--quiet", "HEAD")
	if s.Commit = strings.TrimSpace(commit); err != nil {
		s.Commit = unknownPrefix + "the repository has no commit yet"
	}
	branch, _ := r.ask("symbolic-ref", "--quiet", "--short", "HEAD")
	s.Branch = strings.TrimSpace(branch)
	s.Diff.Reason = unknownPrefix + "the repository is bare: it has no files to compare"
}

// remoteOf is the URL of origin, or of the only remote.
func remoteOf(settings string) string {
	if origin := setting(settings, "remote.origin.url"); origin != "" {
		return origin
	}
	only := map[string]string{}
	for line := range strings.Lines(settings) {
		if name, remote, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "remote.") {
			only[name] = remote
		}
	}
	if len(only) != 1 {
		return ""
	}
	for _, remote := range only {
		return remote
	}
	return ""
}

// setting is the last value of name, as git uses it, in the output of
// git config --get-regexp.
func setting(settings, name string) (value string) {
	for line := range strings.Lines(settings) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			value = strings.TrimSpace(v)
		}
	}
	return value
}

func gitProblem(err error) string {
	if errors.Is(err, exec.ErrNotFound) {
		return "git is not installed"
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		first, _, _ := strings.Cut(strings.TrimSpace(string(exit.Stderr)), "\n")
		switch {
		case strings.Contains(first, "not a git repository"):
			return "not in a git repository"
		case strings.Contains(first, "dubious ownership"):
			return "the repository belongs to another user, and git does not trust it; git config --global --add safe.directory FOLDER says that you do"
		}
		return "git says: " + first
	}
	return "git gave no answer: " + err.Error()
}

// withoutUser removes user name and password from a URL; "git@host:path" is
// left, its user name being no secret.
func withoutUser(remote string) string {
	if u, err := url.Parse(remote); err == nil && u.User != nil && u.Scheme != "" {
		u.User = nil
		return u.String()
	}
	return remote
}
