//go:build amd64 || arm64

package runner

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/convrun/convrun/runner/trace"
)

// probes are the programs in testdata/probe, and how each is compiled.
var probes = []struct {
	name  string
	flags []string
}{
	{"open", nil}, {"names", nil}, {"content", nil}, {"process", nil}, {"nothing", nil}, {"path", nil}, {"outside", nil},
	{"open", []string{"-static"}}, {"process", []string{"-static"}}, {"root", []string{"-static"}},
	{"i386", []string{"-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-stack-protector"}},
}

// tracers are the methods that see each call of a process.
var tracers = []string{trace.SeccompNotify}

// TestProbes runs every case of every probe under every method.
func TestProbes(t *testing.T) {
	programs := compileProbes(t)
	for _, method := range tracers {
		t.Run(method, func(t *testing.T) {
			needMethod(t, method)
			for i, p := range probes {
				if programs[i] == "" {
					continue
				}
				wanted := readWanted(t, p.name)
				t.Run(filepath.Base(filepath.Dir(programs[i])), func(t *testing.T) {
					for _, name := range casesOf(t, programs[i], wanted) {
						t.Run(name, func(t *testing.T) {
							dir := probeFolder(t)
							o := observe(t, Command{Argv: []string{programs[i], name}, Method: method}, "")
							compareProbe(t, o, method, dir, wanted[name])
						})
					}
				})
			}
		})
	}
}

// TestProbesWithoutRoot runs the probes, and convrun itself, as nobody.
func TestProbesWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("TestProbes has run without root")
	}
	programs := compileProbes(t)
	asNobody := convrunAsNobody(t)
	for _, method := range tracers {
		t.Run(method, func(t *testing.T) {
			needMethod(t, method)
			for i, p := range probes {
				if programs[i] == "" || len(p.flags) > 0 {
					continue
				}
				wanted := readWanted(t, p.name)
				t.Run(p.name, func(t *testing.T) {
					for _, name := range casesOf(t, programs[i], wanted) {
						if name == "hostile" {
							continue // JSON has no bytes that are not UTF-8
						}
						t.Run(name, func(t *testing.T) {
							dir := probeFolder(t)
							giveToNobody(t, ".", "a", "b", "c", "big", "d", "d/o")
							compareProbe(t, asNobody(t, method, programs[i], name), method, dir, wanted[name])
						})
					}
				})
			}
		})
	}
}

// TestUnreadableProgram has a program that its user may execute and not read:
// nor may convrun look into its memory.
func TestUnreadableProgram(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make such a program for another")
	}
	programs := compileProbes(t)
	asNobody := convrunAsNobody(t)
	for _, method := range tracers {
		t.Run(method, func(t *testing.T) {
			needMethod(t, method)
			probeFolder(t)
			giveToNobody(t, "b")
			if err := os.Chmod(programs[0], 0o711); err != nil {
				t.Fatal(err)
			}
			o := asNobody(t, method, programs[0], "openat2_no_symlinks")
			if !slices.ContainsFunc(o.Capture.Reasons, func(r string) bool { return strings.Contains(r, "its memory cannot be read") }) {
				t.Errorf("exit %d, files %q, reasons %q", o.ExitCode, lines(o, "/"), o.Capture.Reasons)
			}
		})
	}
}

const nobody = 65534

// convrunAsNobody gives a function that runs a command under convrun as nobody.
func convrunAsNobody(t *testing.T) func(t *testing.T, method string, argv ...string) *Observation {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(sharedFolder(t), "convrun")
	if err := os.WriteFile(program, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, method string, argv ...string) *Observation {
		t.Helper()
		out := sharedFolder(t)
		giveToNobody(t, out)
		command := exec.Command(program, argv...)
		name := filepath.Join(out, "o.json")
		command.Env = append(os.Environ(), asConvrun+"="+name, asMethod+"="+method)
		command.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		// A probe that fails says so by its status, which is compared.
		if text, err := command.CombinedOutput(); err != nil && command.ProcessState.ExitCode() == 125 {
			t.Fatal(err, string(text))
		}
		return readObservation(t, name)
	}
}

// sharedFolder is a temporary folder that every user can reach.
func sharedFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func giveToNobody(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Chown(name, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
}

// compileProbes gives the program of each row of probes, in a folder named
// after the row; "" for one that is not for this architecture.
func compileProbes(t *testing.T) []string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	sources, err := filepath.Abs("../testdata/probe")
	if err != nil {
		t.Fatal(err)
	}
	programs := make([]string, len(probes))
	var compiling sync.WaitGroup
	for i, p := range probes {
		if p.name == "i386" && runtime.GOARCH != "amd64" {
			continue
		}
		dir := filepath.Join(sharedFolder(t), p.name+strings.Join(p.flags[:min(1, len(p.flags))], ""))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		programs[i] = filepath.Join(dir, p.name)
		compiling.Go(func() {
			arguments := append([]string{"-O1", "-pthread", "-o", programs[i], filepath.Join(sources, p.name+".c")}, p.flags...)
			if out, err := exec.Command(gcc, arguments...).CombinedOutput(); err != nil {
				t.Errorf("compile %s: %v\n%s", p.name, err, out)
			}
		})
	}
	compiling.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return programs
}

func needMethod(t *testing.T, method string) {
	t.Helper()
	run, err := trace.Prepare(trace.Command{Argv: []string{"true"}}, method, func(*trace.Event) {})
	if err == nil {
		run.Close()
		return
	}
	if !errors.Is(err, trace.ErrUnsupported) || os.Getenv("CONVRUN_REQUIRE") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// readWanted gives the lines of testdata/probe/NAME.want by case.
func readWanted(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../testdata/probe/" + name + ".want")
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string][]string{}
	var current string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if next, ok := strings.CutPrefix(line, "case "); ok {
			current = next
			wanted[current] = nil
		} else if line != "" && !strings.HasPrefix(line, "#") {
			wanted[current] = append(wanted[current], numbered(line)...)
		}
	}
	return wanted
}

var numberRange = regexp.MustCompile(`\{0\.\.(\d+)\}`)

// numbered makes a line for each number of {0..N}.
func numbered(line string) []string {
	at := numberRange.FindStringSubmatchIndex(line)
	if at == nil {
		return []string{line}
	}
	last, _ := strconv.Atoi(line[at[2]:at[3]])
	var all []string
	for i := range last + 1 {
		all = append(all, line[:at[0]]+strconv.Itoa(i)+line[at[1]:])
	}
	return all
}

// casesOf lists a probe's cases, each of which must be in wanted and no other.
func casesOf(t *testing.T, program string, wanted map[string][]string) []string {
	t.Helper()
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(out))
	if got, want := slices.Sorted(slices.Values(names)), slices.Sorted(maps.Keys(wanted)); !slices.Equal(got, want) {
		t.Fatalf("the program has the cases %q, its .want %q", got, want)
	}
	return names
}

// bigBytes is the size of the probes' file "big", bigSum its digest.
const (
	bigBytes = 64 << 20
	bigSum   = "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351"
)

// probeFolder makes the folder that testdata/probe/README.md describes.
func probeFolder(t *testing.T) string {
	t.Helper()
	dir := folder(t, map[string]string{"a": "1", "b": "2", "c": "1", "big": ""})
	err := errors.Join(os.Chmod(".", 0o755), os.Chmod("..", 0o755), os.Mkdir("d", 0o755), os.WriteFile("d/o", []byte("1"), 0o600), os.Link("c", "c2"), os.Truncate("big", bigBytes))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// compareProbe compares everything that is told of a case with its lines in
// the .want.
func compareProbe(t *testing.T, o *Observation, method, dir string, wanted []string) {
	t.Helper()
	const cannot = 77
	switch o.ExitCode {
	case 0:
	case cannot:
		t.Skip("this machine or user cannot run it")
	default:
		t.Fatalf("exit %d %s %s", o.ExitCode, o.Signal, o.StartError)
	}
	if o.Capture.Method != method {
		t.Errorf("watched by %s, want %s", o.Capture.Method, method)
	}
	got := lines(o, dir)
	for _, process := range o.Processes[1:] {
		if process.SHA256 == "" && !strings.HasPrefix(process.Path, dir) {
			t.Errorf("%s has no digest", process.Path)
		}
		got = append(got, "ran "+filepath.Base(process.Path))
	}
	for _, address := range o.Network {
		got = append(got, "network "+strings.ReplaceAll(address, dir+"/", ""))
	}
	for _, reason := range o.Capture.Reasons {
		_, after, _ := strings.Cut(reason, ": ")
		got = append(got, "reason "+after)
	}
	for i := range got {
		got[i] = plain(got[i])
	}
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(wanted)); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwanted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// plain writes a line as a .want has it.
func plain(line string) string {
	var out strings.Builder
	for i := 0; i < len(line); {
		b, run := line[i], 1
		for i+run < len(line) && line[i+run] == b {
			run++
		}
		switch {
		case run >= 20:
			out.WriteString(string(rune(b)) + "+")
		case b < ' ' || b >= 0x7f || b == '\\':
			for range run {
				fmt.Fprintf(&out, `\x%02x`, b)
			}
		default:
			out.WriteString(line[i : i+run])
		}
		i += run
	}
	return out.String()
}

// TestTerminal has a command at a terminal of its own: each ^C and ^\\, and the
// window size, reach it once, and convrun waits for it.
func TestTerminal(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	script := `stty -echo; trap 'echo int >> int' INT; trap 'echo quit >> quit' QUIT; trap 'stty size > size' WINCH; echo x > ready; while [ ! -e stop ]; do sleep 0.05; done; exit 9`
	command := convrun(t, "", "/bin/sh", "-c", script)
	master, slave := terminal(t)
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "ready")
	for _, key := range []struct {
		code byte
		name string
		want string
	}{{3, "int", "int\n"}, {3, "int", "int\nint\n"}, {3, "int", "int\nint\nint\n"}, {28, "quit", "quit\n"}} {
		if _, err := master.Write([]byte{key.code}); err != nil {
			t.Fatal(err)
		}
		waitForText(t, key.name, key.want)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 44}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "size")
	if size, _ := os.ReadFile("size"); string(size) != "33 44\n" {
		t.Errorf("window size %q", size)
	}
	if err := os.WriteFile("stop", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit %d", code)
	}
	// None came twice, from the terminal and from convrun.
	for name, want := range map[string]string{"int": "int\nint\nint\n", "quit": "quit\n"} {
		if got, _ := os.ReadFile(name); string(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// waitForText waits for a file to hold text.
func waitForText(t *testing.T, name, text string) {
	t.Helper()
	var got []byte
	for range 1000 {
		if got, _ = os.ReadFile(name); string(got) == text {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s holds %q, want %q", name, got, text)
}

// TestJobControl drives an interactive shell: ^Z, then fg, then ^C.
func TestJobControl(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	master, slave := terminal(t)
	shell := exec.Command("/bin/bash", "--norc", "--noprofile", "-i")
	shell.Stdin, shell.Stdout, shell.Stderr = slave, slave, slave
	shell.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		_, _ = all.ReadFrom(master)
		said <- all.String()
	}()
	say := func(text string) {
		if _, err := master.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say(asConvrun + "= " + convrun(t, "").Path + " /bin/sh -c 'echo x > ready; sleep 30; echo no > survived'\n")
	waitFor(t, "ready")
	time.Sleep(200 * time.Millisecond)
	say("\x1a")
	time.Sleep(200 * time.Millisecond)
	say("jobs -s > stopped; echo x >> stopped\n")
	waitFor(t, "stopped")
	if jobs, _ := os.ReadFile("stopped"); !strings.Contains(string(jobs), "Stopped") {
		t.Errorf("after ^Z the shell knows of %q", jobs)
	}
	say("fg\n")
	time.Sleep(200 * time.Millisecond)
	say("\x03")
	time.Sleep(200 * time.Millisecond)
	say("echo $? > status\n")
	waitFor(t, "status")
	if status, _ := os.ReadFile("status"); string(status) != "130\n" {
		t.Errorf("status %q after ^C, want 130", status)
	}
	say("exit\n")
	_ = shell.Wait()
	slave.Close()
	select {
	case text := <-said:
		if t.Failed() {
			t.Log(text)
		}
	case <-time.After(time.Second):
	}
}

// terminal opens a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}
