//go:build amd64 || arm64

package runner

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// probe compiles testdata/probe/NAME.c into a folder of its own.
func probe(t testing.TB, name string, flags ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	source, err := filepath.Abs("../testdata/probe/" + name + ".c")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command(gcc, append(flags, "-O1", "-pthread", "-o", program, source)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func TestProbe(t *testing.T) {
	needTracing(t)
	wanted, err := os.ReadFile("../testdata/probe/files.want")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(wanted)), "\n")
	for _, flags := range [][]string{nil, {"-static"}} {
		program := probe(t, "files", flags...)
		start := t.Name()
		t.Run(strings.Join(append(flags, start), ""), func(t *testing.T) {
			dir := folder(t, map[string]string{"in": "1"})
			o := observe(t, Command{Argv: []string{program}}, "")
			if o.ExitCode != 0 {
				t.Fatalf("exit %d", o.ExitCode)
			}
			got := lines(o, dir)
			for i, line := range got {
				if !strings.HasSuffix(line, ` "x"`) {
					t.Errorf("%s: want the content x", line)
				}
				got[i] = strings.TrimSuffix(line, ` "x"`)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got    %q\nwanted %q", got, want)
			}
			if len(o.Processes) != 3 || len(o.Capture.Reasons) != 0 {
				t.Errorf("%d processes, reasons %q", len(o.Processes), o.Capture.Reasons)
			}
		})
	}
}

func TestChroot(t *testing.T) {
	needTracing(t)
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	program := probe(t, "files", "-static")
	dir := folder(t, nil)
	if err := os.MkdirAll("jail/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("jail/prog", text, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/absolute", "jail/link"); err != nil {
		t.Fatal(err)
	}
	o := observe(t, Command{}, "chroot jail /prog /made; chroot jail /prog /sub/../made2; chroot jail /prog made3")
	want := []string{`output jail/made written "x"`, `output jail/made3 written "x"`, `code jail/prog read `}
	if got := lines(o, dir); !slices.Equal(got, want) {
		t.Errorf("got    %q\nwanted %q", got, want)
	}
}

func TestLongRelativePath(t *testing.T) {
	needTracing(t)
	dir := folder(t, nil)
	// 4,095 bytes with many a detour: the longest that the kernel takes.
	long := strings.Repeat("./", 2047) + "a"
	o := observe(t, Command{}, "printf 2 > "+long)
	if got := lines(o, dir); !slices.Equal(got, []string{`output a written "2"`}) {
		t.Errorf("%q", got)
	}
}

// TestTerminal has a command at a terminal of its own: ^C and the window size
// reach it, and ^Z stops convrun with it.
func TestTerminal(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	script := `stty -echo; trap 'echo int > int' INT; trap 'stty size > size' WINCH; echo x > ready; while [ ! -e stop ]; do sleep 0.05; done; exit 9`
	command := convrun(t, "", "/bin/sh", "-c", script)
	master, slave := terminal(t)
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "ready")
	if _, err := master.Write([]byte{3}); err != nil { // ^C
		t.Fatal(err)
	}
	waitFor(t, "int")
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
