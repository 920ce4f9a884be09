//go:build amd64 || arm64

package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/convrun/convrun/runner/trace"
)

// asConvrun, set to the name of a file for the Observation, makes this test
// binary run a command as convrun does.
const asConvrun = "RUNNER_TEST_OBSERVATION"

// statusSuffix ends the name of a copy of /proc/self/status at the end of such
// a run.
const statusSuffix = ".status"

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(asConvrun)
	if !ok {
		os.Exit(m.Run())
	}
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		panic(err)
	}
	var environ []string
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(block), "\x00"), "\x00") {
		if !strings.HasPrefix(entry, asConvrun) {
			environ = append(environ, entry)
		}
	}
	grace := 2 * time.Second
	if text, ok := os.LookupEnv(asConvrun + "_GRACE"); ok {
		if grace, err = time.ParseDuration(text); err != nil {
			panic(err)
		}
	}
	o, err := Run(context.Background(), Command{
		Argv: os.Args[1:], Environ: environ, NoObserver: true, Grace: grace, Own: []string{name}, Method: os.Getenv(asMethod),
		CacheDir: os.Getenv(asConvrun + "_CACHE"),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(125)
	}
	if name != "" {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil || os.WriteFile(name+statusSuffix, status, 0o600) != nil {
			os.Exit(125)
		}
		data, err := json.Marshal(o)
		if err != nil || os.WriteFile(name, data, 0o600) != nil {
			os.Exit(125)
		}
	}
	if o.Signal != "" {
		os.Exit(EndBySignal(o.Signal))
	}
	os.Exit(o.ExitCode)
}

// convrun is a command that this binary runs as convrun does.
func convrun(t testing.TB, observation string, argv ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, argv...)
	command.Env = append(os.Environ(), asConvrun+"="+observation)
	return command
}

func needTracing(t *testing.T) {
	t.Helper()
	run, err := trace.Prepare(trace.Command{Argv: []string{"true"}}, watchedBy(), func(*trace.Event) {})
	if err == nil {
		run.Close()
		return
	}
	if !errors.Is(err, trace.ErrUnsupported) || os.Getenv("CONVRUN_REQUIRE") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// folder makes a working folder with files, "name" → content.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

// observe runs a shell script.
func observe(t *testing.T, command Command, script string) *Observation {
	t.Helper()
	if command.Argv == nil {
		command.Argv = []string{"/bin/sh", "-c", script}
	}
	command.Environ, command.NoObserver = os.Environ(), true
	if command.Method == "" {
		command.Method = os.Getenv(asMethod)
	}
	if command.Grace == 0 {
		command.Grace = 5 * time.Second
	}
	o, err := Run(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// contentOf writes the short content that has the digest, "?" for any other.
func contentOf(digest string) string {
	pieces := []string{"", "1", "2", "x", "1\n", "2\n", "1\x00", "2\x00"}
	for _, first := range pieces {
		for _, second := range pieces {
			if sum(first+second) == digest {
				return `"` + strings.ReplaceAll(first+second, "\n", `\n`) + `"`
			}
		}
	}
	if digest == bigSum {
		return "big"
	}
	return "?"
}

// lines tells of every file in dir "class name flags content before", in which
// short contents stand for their digests.
func lines(o *Observation, dir string) []string {
	var all []string
	for _, f := range o.Files {
		name, below := strings.CutPrefix(f.Path, dir+"/")
		if !below {
			continue
		}
		line := string(f.Class) + " " + name
		for _, is := range []struct {
			set  bool
			name string
		}{
			{f.Read, "read"}, {f.Written, "written"}, {f.Removed, "removed"}, {f.Executed, "executed"}, {f.Declared, "declared"}, {f.Inherited, "inherited"},
		} {
			if is.set {
				line += " " + is.name
			}
		}
		if f.SHA256 != "" {
			line += " " + contentOf(f.SHA256)
		}
		if f.BeforeSHA256 != "" {
			line += " before " + contentOf(f.BeforeSHA256)
		}
		if f.RenamedFrom != "" {
			line += " from " + strings.TrimPrefix(f.RenamedFrom, dir+"/")
		}
		if f.Reason != "" {
			line += " (" + f.Reason + ")"
		}
		all = append(all, line)
	}
	return all
}

func TestFilesOfARun(t *testing.T) {
	needTracing(t)
	for _, c := range []struct {
		name, script string
		want         []string
	}{
		{"read", "cat a", []string{`input a read "1"`}},
		{"looked at only", "test -f a; ls -l >/dev/null; cat missing", nil},
		{"copy", "cat a > out", []string{`input a read "1"`, `output out written "1"`}},
		{"identical bytes again", "cat b > c; printf 2 > b", []string{`output b read written "2" before "2"`, `output c written "2"`}},
		{"written without reading", "printf 2 > a", []string{`output a written "2"`}},
		{"append", "printf 2 >> a", []string{`output a read written "12" before "1"`}},
		{"read, then overwritten", "cat a; printf 2 > a", []string{`output a read written "2" before "1"`}},
		{"temporary and rename", "printf 2 > t; mv t out", []string{`output out written "2" from t`}},
		{"rename over what was read", "cat a; printf 2 > t; mv t a", []string{`output a read written "2" before "1" from t`}},
		{"rename", "mv a z", []string{`output z read written "1" before "1" from a`}},
		{"temporary", "printf 2 > t; cat t; rm t", []string{`temporary t written removed`}},
		{"read, then removed", "cat a; rm a", []string{`input a read removed "1"`}},
		{"read, removed, made anew", "cat a; rm a; printf 2 > a", []string{`output a read written "2" before "1"`}},
		{"hard links", "printf 2 > o; ln o p; ln a q", []string{`output o written "2"`, `output p written "2"`, `output q written "1"`}},
		{"input gets another name and rights", "cat a; ln a q; chmod 644 a", []string{`input a read "1"`, `output q written "1"`}},
		{"through a link", "ln -s a l; cat l", []string{`input a read "1"`}},
		{"renamed folder", "mkdir d; printf 2 > d/o; mv d e", []string{`output e/o written "2" from d/o`}},
		{"renamed folder of before", "mv old new", []string{`output new/o read written "1" from old/o`}},
		{"failed attempts", "mv a nodir/x; rm nothing; printf 2 > nodir/y; ln a b; mkdir full; printf 2 > full/f; mv old full", []string{
			`output full/f written "2"`, `output full/old/o read written "1" from old/o`,
		}},
		{"fifo, device and kernel windows", "mkfifo f; (cat f > out) & printf 2 > f; wait; cat /proc/self/status /sys/kernel/mm/transparent_hugepage/enabled >/dev/null; cat /dev/null", []string{`output out written "2"`}},
		{"descriptor paths", "exec 5<a; cat /proc/self/fd/5; cat /dev/fd/5", []string{`input a read "1"`}},
		{"odd names", "printf 2 > \"$(printf 'o\\377\\nx')\"", []string{"output o\xff\nx written \"2\""}},
		{"read-only code", "sh ./s.sh", []string{`code s.sh read ""`}},
		{"in a subshell that was left behind", "(sleep 0.2; printf 2 > late) & :", []string{`output late written "2"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"a": "1", "b": "2", "s.sh": ""})
			if err := os.Mkdir("old", 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile("old/o", []byte("1"), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.name == "identical bytes again" {
				c.script = "cat b >/dev/null; " + c.script
			}
			o := observe(t, Command{}, "exec >/dev/null 2>&1; "+c.script)
			if got := lines(o, dir); !slices.Equal(got, c.want) {
				t.Errorf("got    %q\nwanted %q", got, c.want)
			}
			if o.Capture.Method != watchedBy() || len(o.Capture.Reasons) > 0 {
				t.Errorf("captured by %s, incomplete: %q", o.Capture.Method, o.Capture.Reasons)
			}
		})
	}
}

func TestWatcher(t *testing.T) {
	folder(t, nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	for range 2 { // hashed, then from the cache
		if o := observe(t, Command{CacheDir: cache}, ":"); o.Capture.Watcher != sum(string(text)) {
			t.Errorf("watcher %q, notes %q", o.Capture.Watcher, o.Capture.Notes)
		}
	}
}

func TestSnapshotFindsWhatChanged(t *testing.T) {
	dir := folder(t, map[string]string{"a": "1", "in": "1", "over": "1", "same": "1"})
	outside := t.TempDir()
	o := observe(t, Command{
		Method: trace.Snapshot, Argv: []string{"/bin/sh", "-c", "cat in > out; printf 2 > over; printf 2 > $1; mkdir d; printf 2 > d/o", "sh", outside + "/x", "in", "over"}, Outputs: []string{outside},
	}, "")
	want := []string{`output d/o written "2"`, `input in read "1"`, `output out written "1"`, `output over read written "2" before "1"`}
	if got := lines(o, dir); !slices.Equal(got, want) {
		t.Errorf("got    %q\nwanted %q", got, want)
	}
	if got := lines(o, outside); !slices.Equal(got, []string{`output x written declared "2"`}) {
		t.Errorf("in the declared folder: %q", got)
	}
	if len(o.Capture.Reasons) != 1 || !strings.Contains(o.Capture.Reasons[0], "not known") {
		t.Errorf("reasons: %q", o.Capture.Reasons)
	}
}

func TestDeclaredFolders(t *testing.T) {
	needTracing(t)
	dir := folder(t, map[string]string{"a": "1"})
	for _, name := range []string{"in", "in/deep", "out"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("in/deep/x", []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := observe(t, Command{Inputs: []string{"in"}, Outputs: []string{"out", "seen"}}, "printf 2 > out/o; printf 2 > other")
	want := []string{`input in/deep/x read declared "1"`, `output other written "2"`, `output out/o written declared "2"`}
	if got := lines(o, dir); !slices.Equal(got, want) {
		t.Errorf("got    %q\nwanted %q", got, want)
	}
}

// TestInheritedDescriptors starts convrun with files open, of which one has no
// name any more, one is only a path, and one a pipe.
func TestInheritedDescriptors(t *testing.T) {
	const redirected = `exec 3<third 4<>both 5<gone 6>>more; rm gone; "$0" sh -c 'cat; cat <&3; cat <&5 >/dev/null; printf 2 >&4' < in > out 2>> log`
	for _, method := range tracers {
		t.Run(method, func(t *testing.T) {
			needMethod(t, method)
			dir := folder(t, map[string]string{"in": "1", "log": "1", "third": "2", "both": "1", "gone": "1", "more": "1"})
			command := exec.Command("/bin/sh", "-c", redirected, convrun(t, "").Path)
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			defer writer.Close()
			path, err := unix.Open("in", unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			onlyPath := os.NewFile(uintptr(path), "in")
			defer onlyPath.Close()
			command.ExtraFiles = []*os.File{5: reader, 6: onlyPath} // 8 and 9
			command.Env = append(os.Environ(), asConvrun+"="+filepath.Join(dir, "o.json"), asMethod+"="+method)
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatal(err, string(out))
			}
			want := []string{
				`output both read written inherited "2" before "1"`, `input in read inherited "1"`, `output log read written inherited "1" before "1"`,
				`output more read written inherited "1" before "1"`, `output out written inherited "12"`, `input third read inherited "2"`,
			}
			o := readObservation(t, filepath.Join(dir, "o.json"))
			if got := lines(o, dir); !slices.Equal(got, want) {
				t.Errorf("got    %q\nwanted %q", got, want)
			}
			unseen := []string{
				"the inherited descriptor 5 was a file without a name: what the command read from it is not recorded",
				"the inherited descriptor 8 was a pipe: what the command read from it is not recorded",
			}
			if !slices.Equal(o.Capture.Notes, unseen) {
				t.Errorf("notes %q, want %q", o.Capture.Notes, unseen)
			}
		})
	}
}

func TestInputFromAPipe(t *testing.T) {
	needTracing(t)
	name := filepath.Join(folder(t, nil), "o.json")
	command := convrun(t, name, "cat")
	command.Stdin = strings.NewReader("x")
	if out, err := command.Output(); err != nil || string(out) != "x" {
		t.Fatalf("%q, %v", out, err)
	}
	if notes := readObservation(t, name).Capture.Notes; !slices.Equal(notes, []string{"standard input was a pipe: what the command read from it is not recorded"}) {
		t.Errorf("notes %q", notes)
	}
}

func readObservation(t *testing.T, name string) *Observation {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	o := new(Observation)
	if err := json.Unmarshal(data, o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestDaemonIsLeftRunning(t *testing.T) {
	needTracing(t)
	for _, method := range []string{watchedBy(), trace.Snapshot} {
		dir := folder(t, nil)
		start := time.Now()
		o := observe(t, Command{Grace: 200 * time.Millisecond, Method: method}, "setsid sh -c 'sleep 3; echo x > late' >/dev/null 2>&1 & exit 3")
		if took := time.Since(start); took > 2500*time.Millisecond {
			t.Errorf("%s: the run took %v", method, took)
		}
		if o.ExitCode != 3 || len(o.StillRunning) == 0 || !slices.ContainsFunc(o.Capture.Reasons, func(r string) bool { return strings.Contains(r, "still running") }) {
			t.Errorf("%s: exit %d, still running %v, reasons %q", method, o.ExitCode, o.StillRunning, o.Capture.Reasons)
		}
		// The keeper lets it go on.
		waitFor(t, filepath.Join(dir, "late"))
	}
}

func waitFor(t *testing.T, name string) {
	t.Helper()
	for range 500 {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not come", name)
}

// TestKilledConvrun kills convrun at ten moments. What it ran goes on to its
// end, without a call that fails for want of an answer.
func TestKilledConvrun(t *testing.T) {
	needTracing(t)
	const files = 200
	script := `exec 2>errors; i=0; while [ $i -lt ` + strconv.Itoa(files) + ` ]; do echo x > f$i || exit 1; /bin/true || exit 1; i=$((i+1)); done; echo done > done`
	for attempt := range 10 {
		dir := folder(t, nil)
		command := convrun(t, "", "/bin/sh", "-c", "echo x > begun; "+script)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "begun")
		time.Sleep(time.Duration(attempt) * 7 * time.Millisecond)
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = command.Wait()
		waitFor(t, "done")
		if said, err := os.ReadFile("errors"); err != nil || len(said) > 0 {
			t.Errorf("attempt %d: %q, %v", attempt, said, err)
		}
		if all, _ := filepath.Glob(filepath.Join(dir, "f*")); len(all) != files {
			t.Errorf("attempt %d: %d files", attempt, len(all))
		}
	}
}

func TestRawEnvironment(t *testing.T) {
	needTracing(t)
	// env -i cannot make duplicates; execve itself can.
	self := convrun(t, "").Path
	block := []string{"A=1", "A=2", "odd", "B=", asConvrun + "="}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := syscall.ForkExec(self, []string{self, "/bin/cat", "/proc/self/environ"}, &syscall.ProcAttr{Env: block, Files: []uintptr{0, writer.Fd(), 2}})
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 4096)
	n, _ := reader.Read(out)
	var status syscall.WaitStatus
	syscall.Wait4(pid, &status, 0, nil)
	if got := string(out[:n]); got != "A=1\x00A=2\x00odd\x00B=\x00" {
		t.Errorf("environment %q", got)
	}
}

func TestEndsAsItsCommand(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	for script, want := range map[string]string{
		"exit 0": "exit status 0", "exit 42": "exit status 42", "kill -TERM $$": "signal: terminated", "kill -KILL $$": "signal: killed", "kill -INT $$": "signal: interrupt",
		"ulimit -c 0; kill -SEGV $$": "signal: segmentation fault", "kill -PIPE $$": "signal: broken pipe", "no-such-program-x": "exit status 127", "exec /": "exit status 126",
	} {
		command := convrun(t, "", "/bin/sh", "-c", script)
		_ = command.Run()
		if got := command.ProcessState.String(); got != want && !(want == "exit status 0" && command.ProcessState.Success()) {
			t.Errorf("%s: %s, want %s", script, got, want)
		}
	}
	for _, argv := range [][]string{{"no-such-program-x"}, {"/"}} {
		command := convrun(t, "", argv...)
		_ = command.Run()
		if code := command.ProcessState.ExitCode(); code != 127 && code != 126 {
			t.Errorf("%v: %d", argv, code)
		}
	}
}

func TestBrokenPipe(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	out, err := exec.Command("/bin/bash", "-c", asConvrun+`= "$0" yes | head -1; echo ${PIPESTATUS[0]}`, convrun(t, "").Path).CombinedOutput()
	if err != nil || string(out) != "y\n141\n" {
		t.Errorf("%q, %v; want y and 141, as without convrun", out, err)
	}
}

func TestSignalsAreRelayedOnce(t *testing.T) {
	needTracing(t)
	for _, c := range []struct{ name, script, want string }{
		{"to convrun alone", `trap 'echo got' TERM; echo ready > ready; while [ ! -e stop ]; do sleep 0.05; done`, "got\n"},
	} {
		folder(t, nil)
		var out strings.Builder
		command := convrun(t, "", "/bin/sh", "-c", c.script)
		command.Stdout = &out
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "ready")
		if err := command.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		if err := os.WriteFile("stop", []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err != nil || out.String() != c.want {
			t.Errorf("%s: %q, %v", c.name, out.String(), err)
		}
	}
	// What the command's own tree sends to the group has reached it already.
	folder(t, nil)
	command := convrun(t, "", "/bin/sh", "-c", "trap 'echo got >> log' TERM; kill -TERM 0; sleep 0.3; exit 5")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_ = command.Run()
	if log, err := os.ReadFile("log"); err != nil || string(log) != "got\n" || command.ProcessState.ExitCode() != 5 {
		t.Errorf("its own signal came as %q, %v, exit %d", log, err, command.ProcessState.ExitCode())
	}
}

func TestGraceEndsWithASignal(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	name := filepath.Join(t.TempDir(), "o.json")
	command := convrun(t, name, "/bin/sh", "-c", "sleep 25 & echo x > ended")
	command.Env = append(command.Env, asConvrun+"_GRACE=20s")
	start := time.Now()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "ended")
	time.Sleep(400 * time.Millisecond)
	_ = command.Process.Signal(os.Interrupt)
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v though the grace was interrupted", took)
	}
	if o := readObservation(t, name); len(o.StillRunning) != 1 {
		t.Errorf("still running: %v", o.StillRunning)
	}
}

func TestManyFiles(t *testing.T) {
	needTracing(t)
	dir := folder(t, nil)
	o := observe(t, Command{}, "i=0; while [ $i -lt 10000 ]; do : > f$i; i=$((i+1)); done")
	outputs := 0
	for _, f := range o.Files {
		if f.Class == Output && strings.HasPrefix(f.Path, dir) && f.SHA256 == sum("") {
			outputs++
		}
	}
	if outputs != 10_000 {
		t.Errorf("%d outputs", outputs)
	}
}
