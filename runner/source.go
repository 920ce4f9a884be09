package runner

import (
	"context"
	"errors"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// gitTime bounds everything that is asked of git about one run.
const gitTime = 3 * time.Second

// readSource asks git about the repository that dir lies in. It changes
// nothing there: git is told to take no optional locks, and to run no hook or
// monitor that the repository configures.
func readSource(ctx context.Context, dir string, environ []string, redact *Redactor) Source {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	git := func(arguments ...string) (string, error) {
		command := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, arguments...)...)
		command.Env = append(environ[:len(environ):len(environ)], "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
		command.WaitDelay = time.Second // for a filter of git's that holds the pipe
		out, err := command.Output()
		return string(out), err
	}
	var settings, status string
	var statusErr error
	var both sync.WaitGroup
	both.Go(func() { settings, _ = git("config", "--get-regexp", `^(user\.name|user\.email|remote\.origin\.url)$`) })
	both.Go(func() { status, statusErr = git("status", "--porcelain=v2", "--branch", "--untracked-files=no") })
	both.Wait()

	s := Source{Name: setting(settings, "user.name"), Email: setting(settings, "user.email")}
	if statusErr != nil {
		s.VCS = unknownPrefix + gitProblem(statusErr)
		return s
	}
	s.VCS = "git"
	dirty := false
	for line := range strings.Lines(status) {
		if commit, ok := strings.CutPrefix(line, "# branch.oid "); ok {
			s.Commit = strings.TrimSpace(commit)
		} else if !strings.HasPrefix(line, "#") {
			dirty = true
		}
	}
	s.Dirty = &dirty
	if s.Commit == "" || s.Commit == "(initial)" {
		s.Commit = unknownPrefix + "the repository has no commit yet"
	}
	if s.Remote = redact.Text(withoutUser(setting(settings, "remote.origin.url"))); s.Remote == "" {
		s.Remote = unknownPrefix + "the repository has no remote named origin"
	}
	return s
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
		if strings.Contains(first, "not a git repository") {
			return "not in a git repository"
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
