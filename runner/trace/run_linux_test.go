//go:build amd64 || arm64

package trace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watch runs a shell script in a folder of its own and gives what was seen.
func watch(t *testing.T, method, script string) (events []Event, exit Exit, run *Run) {
	t.Helper()
	sink := func(e *Event) { events = append(events, *e) }
	run, err := Prepare(Command{Argv: []string{"sh", "-c", script}, Environ: os.Environ()}, method, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(func(syscall.Signal) {}); err != nil {
		t.Fatal(err)
	}
	exit = run.Wait()
	if left, err := run.Finish(t.Context(), 5*time.Second); err != nil || len(left) > 0 {
		t.Fatalf("finish: %v, still running: %v", err, left)
	}
	return events, exit, run
}

func needNotify(t *testing.T) {
	t.Helper()
	run, err := Prepare(Command{Argv: []string{"true"}}, SeccompNotify, func(*Event) {})
	if errors.Is(err, ErrUnsupported) {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	run.Close()
}

func TestEventsOfAShell(t *testing.T) {
	needNotify(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.WriteFile("in put", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("in put", "link"); err != nil {
		t.Fatal(err)
	}
	events, exit, run := watch(t, "", "mkdir d; cd d; cat ../link > out; mv out final; cat final >> ../log; rm final; cat missing; exit 7")
	if exit.Code != 7 || exit.Signal != 0 {
		t.Errorf("exit = %+v, want code 7", exit)
	}
	if run.Method() != SeccompNotify {
		t.Errorf("method = %s (%s)", run.Method(), run.Reason())
	}
	var got []string
	for _, e := range events {
		rel := strings.TrimPrefix(e.Path, dir+"/")
		switch {
		case rel == e.Path:
		case e.Op == Open:
			access := ""
			for _, bit := range []struct {
				access Access
				letter string
			}{{Read, "r"}, {Write, "w"}, {Create, "c"}, {Discard, "t"}} {
				if e.Access&bit.access != 0 {
					access += bit.letter
				}
			}
			got = append(got, access+" "+rel)
		case e.Op == Rename:
			got = append(got, "mv "+rel+" "+strings.TrimPrefix(e.Path2, dir+"/"))
		case e.Op == Remove:
			got = append(got, "rm "+rel)
		}
	}
	want := []string{"wct d/out", "r in put", "mv d/out d/final", "wc log", "r d/final", "rm d/final"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("seen   %q\nwanted %q", got, want)
	}
}

func TestExitBySignal(t *testing.T) {
	for _, method := range []string{SeccompNotify, Snapshot} {
		if method == SeccompNotify {
			needNotify(t)
		}
		_, exit, _ := watch(t, method, "kill -TERM $$")
		if exit.Signal != syscall.SIGTERM || exit.Code != -1 {
			t.Errorf("%s: exit = %+v, want SIGTERM", method, exit)
		}
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		status int
	}{{"no-such-program-anywhere", 127}, {filepath.Join(dir, "nothing"), 127}, {plain, 126}, {dir, 126}} {
		run, err := Prepare(Command{Argv: []string{c.name}, Environ: os.Environ()}, "", func(*Event) {})
		if err != nil {
			t.Fatal(err)
		}
		err = run.Start(func(syscall.Signal) {})
		var start *StartError
		if !errors.As(err, &start) || start.Status() != c.status {
			t.Errorf("%s: %v, want status %d", c.name, err, c.status)
		}
		if _, err := run.Finish(t.Context(), time.Second); err != nil {
			t.Errorf("%s: finish: %v", c.name, err)
		}
	}
}

func TestMissingInterpreterFormat(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bare", []byte("exit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	run, err := Prepare(Command{Argv: []string{"./bare"}, Environ: os.Environ()}, "", func(*Event) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(func(syscall.Signal) {}); err != nil {
		t.Fatal(err)
	}
	if exit := run.Wait(); exit.Code != 9 {
		t.Errorf("a script without #! gave %+v, want 9 from /bin/sh", exit)
	}
	if _, err := run.Finish(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}
