//go:build amd64 || arm64

package trace

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watch runs a command and gives what was seen.
func watch(t *testing.T, method string, argv ...string) (events []Event, exit Exit, run *Run) {
	t.Helper()
	sink := func(e *Event) { events = append(events, *e) }
	run, err := Prepare(Command{Argv: argv, Environ: os.Environ()}, method, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(func(syscall.Signal) {}); err != nil {
		t.Fatal(err)
	}
	exit = run.Wait()
	if left, err := run.Finish(t.Context(), 20*time.Second); err != nil || len(left) > 0 {
		t.Fatalf("finish: %v, still running: %v", err, left)
	}
	return events, exit, run
}

// needMethod skips where method does not work.
func needMethod(t *testing.T, method string) {
	t.Helper()
	run, err := Prepare(Command{Argv: []string{"true"}}, method, func(*Event) {})
	if err == nil {
		run.Close()
		return
	}
	if !errors.Is(err, ErrUnsupported) || os.Getenv("CONVRUN_REQUIRE") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// tracing are the methods that see each call.
var tracing = []string{SeccompNotify, Ptrace, PtraceAll}

// byMethod runs a test with each of methods.
func byMethod(t *testing.T, methods []string, test func(*testing.T, string)) {
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			needMethod(t, method)
			test(t, method)
		})
	}
}

// below tells what events say of files below dir, in a few letters each.
func below(dir string, events []Event) []string {
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
	return got
}

func TestEventsOfAShell(t *testing.T) {
	byMethod(t, tracing, func(t *testing.T, method string) {
		dir := scene(t)
		if err := os.Symlink("in put", "link"); err != nil {
			t.Fatal(err)
		}
		events, exit, run := watch(t, method, "sh", "-c", "mkdir d; cd d; cat ../link > out; mv out final; cat final >> ../log; rm final; cat missing 2>/dev/null; (: > ../sub); exit 7")
		if exit.Code != 7 || exit.Signal != 0 {
			t.Errorf("exit = %+v, want code 7", exit)
		}
		if run.Method() != method || run.Reason() != "" {
			t.Errorf("method = %s (%s)", run.Method(), run.Reason())
		}
		want := []string{"wct d/out", "r in put", "mv d/out d/final", "wc log", "r d/final", "rm d/final", "wct sub"}
		if got := below(dir, events); !slices.Equal(got, want) {
			t.Errorf("seen   %q\nwanted %q", got, want)
		}
	})
}

// scene is an empty working folder with the file "in put".
func scene(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.WriteFile("in put", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestMounts: in an overlay, a file and its folder can be of two devices, and
// renames within it work; between mounts none does.
func TestMounts(t *testing.T) {
	byMethod(t, tracing, func(t *testing.T, method string) {
		dir := scene(t)
		for _, name := range []string{"low", "merged", "upper"} {
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		mount(t, "tmpfs", "upper", "")
		for _, name := range []string{"upper/files", "upper/work"} {
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		mount(t, "overlay", "merged", "lowerdir=low,upperdir=upper/files,workdir=upper/work")
		events, _, _ := watch(t, method, "sh", "-c", `exec 2>/dev/null; : > merged/a; mkdir merged/d; mv merged/a merged/d/b
			mkdir same; mount --bind . same && python3 -c 'import os; os.rename("in put", "same/x")'; umount same`)
		if got := below(dir, events); !slices.Contains(got, "mv merged/a merged/d/b") || slices.Contains(got, "mv in put same/x") {
			t.Errorf("seen %q", got)
		}
	})
}

func mount(t *testing.T, kind, target, options string) {
	t.Helper()
	if err := syscall.Mount(kind, target, kind, 0, options); err != nil {
		t.Skip("mounts need root: ", err)
	}
	path, err := filepath.Abs(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, 0) })
}

func TestExitBySignal(t *testing.T) {
	byMethod(t, Methods(), func(t *testing.T, method string) {
		_, exit, _ := watch(t, method, "sh", "-c", "kill -TERM $$")
		if exit.Signal != syscall.SIGTERM || exit.Code != -1 {
			t.Errorf("exit = %+v, want SIGTERM", exit)
		}
	})
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	byMethod(t, Methods(), func(t *testing.T, method string) {
		for _, c := range []struct {
			name   string
			status int
		}{{"no-such-program-anywhere", 127}, {filepath.Join(dir, "nothing"), 127}, {plain, 126}, {dir, 126}} {
			run, err := Prepare(Command{Argv: []string{c.name}, Environ: os.Environ()}, method, func(*Event) {})
			if err != nil {
				t.Fatal(err)
			}
			err = run.Start(func(syscall.Signal) {})
			var start *StartError
			if !errors.As(err, &start) || start.Status() != c.status {
				t.Errorf("%s: %v, want status %d", c.name, err, c.status)
			}
			if _, err := run.Finish(t.Context(), 20*time.Second); err != nil {
				t.Errorf("%s: finish: %v", c.name, err)
			}
		}
	})
}

func TestMissingInterpreterFormat(t *testing.T) {
	byMethod(t, Methods(), func(t *testing.T, method string) {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("bare", []byte("exit 9\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, exit, _ := watch(t, method, "./bare"); exit.Code != 9 {
			t.Errorf("a script without #! gave %+v, want 9 from /bin/sh", exit)
		}
	})
}

// TestNeverStarted: what Prepare took is given back, and no process stays.
func TestNeverStarted(t *testing.T) {
	byMethod(t, Methods(), func(t *testing.T, method string) {
		before, _ := os.ReadDir("/proc/self/fd")
		run, err := Prepare(Command{Argv: []string{"true"}}, method, func(*Event) {})
		if err != nil {
			t.Fatal(err)
		}
		stage, helper := run.pid, run.keeper.pid
		run.Close()
		if after, _ := os.ReadDir("/proc/self/fd"); len(after) != len(before) {
			t.Errorf("%d descriptors before, %d after", len(before), len(after))
		}
		for _, pid := range []int{stage, helper} {
			if err := syscall.Kill(pid, 0); pid != 0 && !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there (%v)", pid, err)
			}
		}
	})
}

func TestRungsAreMethods(t *testing.T) {
	var got []string
	for _, rung := range Rungs() {
		got = append(got, rung.Method)
		if rung.Works != (rung.Reason == "") {
			t.Errorf("%+v: one of works and reason", rung)
		}
	}
	if !slices.Equal(got, Methods()) {
		t.Errorf("rungs %q, methods %q", got, Methods())
	}
	if _, err := Prepare(Command{Argv: []string{"true"}}, "magic", func(*Event) {}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an unknown method gives %v", err)
	}
}
