//go:build amd64 || arm64

package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/convrun/convrun/runner/trace/stage"
)

var byPtrace = []string{Ptrace, PtraceAll}

// Roles of this binary, besides running the tests.
const (
	asWatcher = "TRACE_TEST_METHOD" // watch the arguments, and leave the keeper's number in the file "keeper"
	asDoctor  = "TRACE_TEST_RUNGS"  // print what Rungs says
)

// playRole does what the environment asks for; false is nothing.
func playRole() (status int, asked bool) {
	if method := os.Getenv(asWatcher); method != "" {
		// Slow, so that several calls wait at once.
		run, err := Prepare(Command{Argv: os.Args[1:], Environ: os.Environ()}, method, func(*Event) { time.Sleep(500 * time.Microsecond) })
		if err == nil {
			err = errors.Join(os.WriteFile("keeper", []byte(strconv.Itoa(run.keeper.pid)), 0o600), run.Start(func(syscall.Signal) {}))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 125, true
		}
		for _, note := range run.Notes() {
			fmt.Fprintln(os.Stderr, note)
		}
		return run.Wait().Code, true
	}
	if os.Getenv(asDoctor) != "" {
		return 0, json.NewEncoder(os.Stdout).Encode(Rungs()) == nil
	}
	return 0, false
}

// role is a command that makes this binary play a role.
func role(t *testing.T, name, value string, argv ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, argv...)
	command.Env = append(os.Environ(), name+"="+value)
	return command
}

// compiled is a program made from C.
func compiled(t *testing.T, source string, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	command := exec.Command("gcc", append(flags, "-O1", "-pthread", "-x", "c", "-o", program, "-")...)
	command.Stdin = strings.NewReader(source)
	if out, err := command.CombinedOutput(); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") == "" && errors.Is(err, exec.ErrNotFound) {
			t.Skip(err)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it never came: %s", what)
}

func exists(name string) func() bool {
	return func() bool { info, err := os.Stat(name); return err == nil && info.Size() > 0 }
}

// isGone tells whether no process has this number, zombies apart.
func isGone(pid int) func() bool {
	return func() bool {
		state := status(pid, "State")[0]
		return state == "" || strings.HasPrefix(state, "Z")
	}
}

// TestTracerObeysTheFilter compares the tracer's reading of the filter with the
// kernel's rules.
func TestTracerObeysTheFilter(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		program := filterProgram(abisOf(goarch, PtraceAll), PtraceAll, []int{0, 77})
		encoded := encodeFilter(program)
		for _, arch := range []uint32{archAMD64, archI386, archARM64, 0x40000028} {
			for nr := range uint32(600) {
				for _, nr := range []uint32{nr, nr | x32Bit} {
					for _, arg := range []uint32{0, 77, 78, oCreat, oPath, 0o200000, 0o40000, ^uint32(0)} {
						data := seccompData(arch, nr, arg, arg, arg)
						if got, want := stage.Asks(encoded, data), simulate(t, program, data) != retAllow; got != want {
							t.Errorf("%s: arch %#x, call %#x(%#x): asks %v, want %v", goarch, arch, nr, arg, got, want)
						}
					}
				}
			}
		}
	}
}

// TestOtherABIs opens a file as 32-bit programs do, from a 64-bit one too.
func TestOtherABIs(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("an x86 matter")
	}
	const int80 = `static long call(long nr, long a, long b, long c) {
			long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory"); return r; }
		`
	for name, program := range map[string]string{
		"int 0x80 in a 64-bit program": compiled(t, int80+`#include <string.h>
			#include <sys/mman.h>
			int main(void) { char *low = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0); strcpy(low, "in put");
				return call(5, (long)low, 0, 0) < 0 || call(8, (long)strcpy(low, "made"), 0600, 0) < 0; }`),
		"32-bit program": compiled(t, int80+`static char in[] = "in put", made[] = "made";
			void _start(void) { long bad = call(5, (long)in, 0, 0) < 0 || call(8, (long)made, 0600, 0) < 0; call(1, bad, 0, 0); }`,
			"-m32", "-nostdlib", "-static", "-fno-pic", "-no-pie"),
	} {
		byMethod(t, tracing, func(t *testing.T, method string) {
			dir := scene(t)
			events, exit, _ := watch(t, method, program)
			if got := below(dir, events); exit.Code != 0 || !slices.Equal(got, []string{"r in put", "wct made"}) {
				t.Errorf("%s: exit %+v, seen %q", name, exit, got)
			}
		})
	}
}

// TestThreads has many threads open files, and one that is not the leader
// execute another program.
func TestThreads(t *testing.T) {
	program := compiled(t, `#include <fcntl.h>
		#include <pthread.h>
		#include <stdio.h>
		#include <unistd.h>
		static void *many(void *n) { for (int i = 0; i < 20; i++) { char name[40];
			snprintf(name, sizeof name, "t%ld.%d", (long)n, i); close(open(name, O_CREAT | O_WRONLY, 0600)); } return 0; }
		static void *other(void *n) { execl("/bin/sh", "sh", "-c", ": > last; exit 7", (char *)0); return n; }
		int main(void) { pthread_t all[16], last; for (long i = 0; i < 16; i++) pthread_create(&all[i], 0, many, (void *)i);
			for (int i = 0; i < 16; i++) pthread_join(all[i], 0);
			pthread_create(&last, 0, other, 0); for (;;) pause(); }`)
	byMethod(t, tracing, func(t *testing.T, method string) {
		dir := scene(t)
		events, exit, _ := watch(t, method, program)
		got := below(dir, events)
		if exit.Code != 7 || len(got) != 16*20+1 || got[len(got)-1] != "wct last" {
			t.Errorf("exit %+v, %d files seen", exit, len(got))
		}
		executed := slices.ContainsFunc(events, func(e Event) bool { return e.Op == Exec && e.Requested == "/bin/sh" && e.PID != 0 && e.PID != e.TID })
		if !executed {
			t.Error("the execution by a thread that is not the leader is not among the events")
		}
	})
}

// TestResultsAreNoCalls: a call that gives the number of another is not taken
// for that at its end.
func TestResultsAreNoCalls(t *testing.T) {
	// As an openat(2), what it writes would be the path.
	program := compiled(t, `#include <string.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		int main(int n, char **argv) { static char path[4096]; strcpy(path, argv[n - 1]); return write(1, path, SYS_openat) != SYS_openat; }`)
	byMethod(t, tracing, func(t *testing.T, method string) {
		dir := scene(t)
		events, exit, _ := watch(t, method, "sh", "-c", `"$0" "$1" >/dev/null`, program, filepath.Join(dir, "in put"))
		gap := slices.ContainsFunc(events, func(e Event) bool { return e.Op == Gap })
		if got := below(dir, events); exit.Code != 0 || len(got) > 0 || gap {
			t.Errorf("exit %+v, seen %q, a gap: %v", exit, got, gap)
		}
	})
}

// TestStopsAndSignals: a parent sees its child stop and continue as without
// convrun, and every signal reaches its handler once.
func TestStopsAndSignals(t *testing.T) {
	program := compiled(t, `#include <fcntl.h>
		#include <signal.h>
		#include <sys/mman.h>
		#include <sys/wait.h>
		#include <unistd.h>
		static volatile sig_atomic_t got[65];
		static void on(int n) { got[n]++; }
		int main(void) { int status, all[] = {SIGTRAP, SIGUSR1, SIGTSTP, SIGCHLD, SIGSEGV, SIGRTMIN};
			for (int i = 0; i < 6; i++) { signal(all[i], on); raise(all[i]); if (got[all[i]] != 1) return 10 + i; }
			__asm__ volatile("" ::: "memory");
			volatile int *beats = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
			pid_t child = fork();
			if (!child) for (;;) { close(open("in put", O_RDONLY)); ++*beats; }
			while (*beats < 10) usleep(1000);
			for (int i = 0; i < 20; i++) {
				kill(child, SIGSTOP);
				if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP) return 20;
				int before = *beats; usleep(20000); if (*beats != before) return 21;
				kill(child, SIGCONT);
				if (waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status)) return 22;
				while (*beats == before) usleep(1000);
			}
			kill(child, SIGSTOP); waitpid(child, &status, WUNTRACED); kill(child, SIGKILL);
			return waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL; }`)
	byMethod(t, tracing, func(t *testing.T, method string) {
		scene(t)
		if _, exit, _ := watch(t, method, program); exit.Code != 0 {
			t.Errorf("exit %+v; the program tells by its code what was not so", exit)
		}
	})
}

// TestKilledAtAnyStop: processes that are killed while they are held leave
// nothing that the run would wait for.
func TestKilledAtAnyStop(t *testing.T) {
	byMethod(t, tracing, func(t *testing.T, method string) {
		scene(t)
		_, exit, _ := watch(t, method, "sh", "-c", `for round in 1 2 3 4 5 6 7 8 9 10; do
			all=; for i in 1 2 3 4 5 6 7 8; do (while :; do : < in\ put; (:); done) & all="$all $!"; done
			sleep 0.03; kill -KILL $all || exit 5; wait; done; exit 4`)
		if exit.Code != 4 {
			t.Errorf("exit %+v", exit)
		}
	})
}

// TestDebuggersInside work under user notification. Under ptrace they are
// refused, and it is said.
func TestDebuggersInside(t *testing.T) {
	needTool(t, "strace")
	needTool(t, "gdb")
	for _, debugger := range [][]string{
		{"strace", "-f", "-o", "/dev/null", "sh", "-c", ": > out; exit 3"},
		{"gdb", "-nx", "-batch", "-return-child-result", "-ex", "run", "--args", "/bin/sh", "-c", ": > out; exit 3"},
	} {
		byMethod(t, tracing, func(t *testing.T, method string) {
			dir := scene(t)
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			events, exit, run := watch(t, method, append([]string{"sh", "-c", `exec >/dev/null 2>&1; exec "$@"`, "sh"}, debugger...)...)
			worked := exit.Code == 3 && slices.Equal(below(dir, events), []string{"wct out"})
			told := slices.ContainsFunc(run.Degraded(), func(d string) bool { return strings.Contains(d, debugger[0]+": debuggers") })
			if worked != (method == SeccompNotify) || told == worked {
				t.Errorf("%s: exit %+v, worked %v, told %v (%q)", debugger[0], exit, worked, told, run.Degraded())
			}
		})
	}
}

// TestUntracedChild: a child that the kernel gives no tracer is a gap.
func TestUntracedChild(t *testing.T) {
	const start = `#define _GNU_SOURCE
		#include <linux/sched.h>
		#include <signal.h>
		#include <sys/syscall.h>
		#include <sys/wait.h>
		#include <unistd.h>
		int main(void) { `
	for _, program := range []string{
		compiled(t, start+`long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0); if (!child) _exit(0); wait(0); return child < 0; }`),
		compiled(t, start+`struct clone_args a = {.flags = CLONE_UNTRACED, .exit_signal = SIGCHLD};
			long child = syscall(SYS_clone3, &a, sizeof a); if (!child) _exit(0); wait(0); return child < 0; }`),
	} {
		byMethod(t, tracing, func(t *testing.T, method string) {
			events, exit, _ := watch(t, method, program)
			gap := slices.ContainsFunc(events, func(e Event) bool { return e.Op == Gap && strings.Contains(e.Reason, "CLONE_UNTRACED") })
			if exit.Code != 0 || gap != (method != SeccompNotify) {
				t.Errorf("exit %+v, a gap: %v", exit, gap)
			}
		})
	}
}

// TestDaemonsGoOn: what outlives the grace goes on, and the keeper, or the
// tracer, ends when it has ended.
func TestDaemonsGoOn(t *testing.T) {
	byMethod(t, tracing, func(t *testing.T, method string) { leaveDaemon(t, method, func(*Run) {}) })
}

// TestKilledKeeper: another one stays for the daemons.
func TestKilledKeeper(t *testing.T) {
	byMethod(t, []string{SeccompNotify}, func(t *testing.T, method string) {
		leaveDaemon(t, method, func(run *Run) {
			killed := run.keeper.pid
			_ = syscall.Kill(killed, syscall.SIGKILL)
			waitUntil(t, "the keeper's end", isGone(killed))
		})
	})
}

func leaveDaemon(t *testing.T, method string, disturb func(*Run)) {
	scene(t)
	run, err := Prepare(Command{Argv: []string{"sh", "-c", `setsid sh -c 'while [ ! -e go ]; do sleep 0.05; done; cat in\ put > late || echo failed > late' & exit 3`}, Environ: os.Environ()}, method, func(*Event) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(func(syscall.Signal) {}); err != nil {
		t.Fatal(err)
	}
	exit := run.Wait()
	disturb(run)
	left, err := run.Finish(t.Context(), 100*time.Millisecond)
	if exit.Code != 3 || err != nil || len(left) == 0 || slices.Contains(left, run.keeper.pid) {
		t.Errorf("exit %+v, left %v, error %v", exit, left, err)
	}
	if err := os.WriteFile("go", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "what the daemon writes", exists("late"))
	if text, _ := os.ReadFile("late"); string(text) != "x" {
		t.Errorf("the daemon wrote %q", text)
	}
	waitUntil(t, "the keeper's end", isGone(run.keeper.pid))
}

// TestKilledWatcher kills convrun at several moments: its command goes on to
// its end without a call that fails or hangs, and the keeper, or the tracer,
// ends after it.
func TestKilledWatcher(t *testing.T) {
	byMethod(t, tracing, func(t *testing.T, method string) {
		for attempt := range 10 {
			scene(t)
			command := role(t, asWatcher, method, "sh", "-c", `exec 2>errors; echo x > begun; for p in 1 2 3 4; do
				(i=0; while [ $i -lt 20 ]; do echo x > f$p.$i || exit 1; /bin/true || exit 1; i=$((i+1)); done) & done; wait; echo done > done`)
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "the command's start", exists("begun"))
			time.Sleep(time.Duration(attempt) * 5 * time.Millisecond)
			_ = command.Process.Kill()
			_ = command.Wait()
			waitUntil(t, "the command's end", exists("done"))
			if said, _ := os.ReadFile("errors"); len(said) > 0 {
				t.Errorf("attempt %d: %s", attempt, said)
			}
			if made, _ := filepath.Glob("f*"); len(made) != 4*20 {
				t.Errorf("attempt %d: %d files", attempt, len(made))
			}
			text, _ := os.ReadFile("keeper")
			keeper, err := strconv.Atoi(string(text))
			if err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "the keeper's end", isGone(keeper))
		}
	})
}

// TestKilledTracer: a request to end does not reach the tracer. When it is
// killed, its tree ends with it where it cannot do without, and the run says so.
func TestKilledTracer(t *testing.T) {
	byMethod(t, byPtrace, func(t *testing.T, method string) {
		scene(t)
		run, err := Prepare(Command{Argv: []string{"sh", "-c", `: > begun; while [ ! -e go ]; do sleep 0.05; done; cat in\ put >/dev/null || exit 1; exit 4`}, Environ: os.Environ()}, method, func(*Event) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Start(func(syscall.Signal) {}); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "the command's start", func() bool { _, err := os.Stat("begun"); return err == nil })
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
			_ = syscall.Kill(run.keeper.pid, sig)
		}
		time.Sleep(50 * time.Millisecond)
		if isGone(run.keeper.pid)() {
			t.Error("the tracer ended at a request")
		}
		_ = syscall.Kill(run.keeper.pid, syscall.SIGKILL)
		waitUntil(t, "the tracer's end", isGone(run.keeper.pid))
		if err := os.WriteFile("go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want := Exit{Code: -1, Signal: syscall.SIGKILL}
		if method == PtraceAll {
			want = Exit{Code: 4}
		}
		if exit := run.Wait(); exit != want {
			t.Errorf("exit %+v, want %+v", exit, want)
		}
		if _, err := run.Finish(t.Context(), 20*time.Second); !errors.Is(err, errTracerGone) {
			t.Errorf("finish: %v, want %v", err, errTracerGone)
		}
	})
}

// TestUnderAnotherTracer: a process has one tracer, whose name is told.
func TestUnderAnotherTracer(t *testing.T) {
	needTool(t, "strace")
	byMethod(t, byPtrace, func(t *testing.T, method string) {
		scene(t)
		inner := role(t, asWatcher, method, "touch", "made")
		outer := exec.Command("strace", append([]string{"-f", "-o", "/dev/null"}, inner.Args...)...)
		outer.Env = inner.Env
		out, err := outer.CombinedOutput()
		if err == nil || !strings.Contains(string(out), method+": strace (process ") || exists("made")() {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// TestSetUserID: for a user who is not root a program with that bit gains no
// rights, and it is noted.
func TestSetUserID(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a set-user-ID program of another user takes root")
	}
	const nobody = 65534
	dir := scene(t)
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(compiled(t, `#include <unistd.h>
		int main(void) { return geteuid() == 0 ? 10 : 20; }`))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err == nil {
		err = errors.Join(os.WriteFile("convrun", binary, 0o755), os.WriteFile("program", text, 0o755), os.Chmod("program", 0o755|os.ModeSetuid))
	}
	if err != nil {
		t.Fatal(err)
	}
	asNobody := func(command *exec.Cmd) (int, string) {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, _ := command.CombinedOutput()
		return command.ProcessState.ExitCode(), string(out)
	}
	if code, _ := asNobody(exec.Command("./program")); code != 10 {
		t.Skip("set-user-ID programs gain nothing here anyway")
	}
	byMethod(t, tracing, func(t *testing.T, method string) {
		command := exec.Command("./convrun", "./program")
		command.Env = append(os.Environ(), asWatcher+"="+method)
		if code, said := asNobody(command); code != 20 || !strings.Contains(said, noRights) {
			t.Errorf("exit %d, %s", code, said)
		}
	})
}

// TestRungsInsideAnother asks what works below each method.
func TestRungsInsideAnother(t *testing.T) {
	for outer, want := range map[string][]string{
		SeccompNotify: {PtraceAll, Snapshot}, Ptrace: {SeccompNotify, Snapshot}, PtraceAll: {SeccompNotify, Snapshot}, Snapshot: Methods(),
	} {
		needMethod(t, outer)
		inner := role(t, asDoctor, "1")
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		run, err := Prepare(Command{Argv: append([]string{"sh", "-c", fmt.Sprintf(`exec "$0" >/proc/%d/fd/%d`, os.Getpid(), write.Fd())}, inner.Args...), Environ: inner.Env}, outer, func(*Event) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Start(func(syscall.Signal) {}); err != nil {
			t.Fatal(err)
		}
		run.Wait()
		if _, err := run.Finish(t.Context(), 20*time.Second); err != nil {
			t.Error(err)
		}
		write.Close()
		var rungs []Rung
		if err := json.NewDecoder(read).Decode(&rungs); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rung := range rungs {
			if rung.Works {
				got = append(got, rung.Method)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("inside %s work %q, want %q: %+v", outer, got, want, rungs)
		}
		read.Close()
	}
}

func TestRegistersOfAnotherSize(t *testing.T) {
	for _, size := range []int{0, 8, 68 + 4, 512} {
		if nr, _ := readRegisters(bytes.Repeat([]byte{1}, size), archAMD64); nr != -1 {
			t.Errorf("%d bytes of registers give call %d", size, nr)
		}
	}
}
