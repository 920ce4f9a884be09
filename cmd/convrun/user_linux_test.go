package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestScriptsOfAnOrdinaryUser runs all scripts as a user without rights.
func TestScriptsOfAnOrdinaryUser(t *testing.T) {
	s := newScene(t, nobody)
	// Everything that the scripts need is copied to where that user may read.
	root := filepath.Dir(s.dir)
	must(t, os.MkdirAll(filepath.Join(root, "cmd/convrun"), 0o755))
	must(t, os.CopyFS(filepath.Join(root, "testdata/script"), os.DirFS("../../testdata/script")))
	must(t, os.CopyFS(filepath.Join(root, "testdata/model"), os.DirFS("../../testdata/model")))
	command := exec.Command(s.testBinary(), "-test.run=^TestScripts$")
	command.Dir = filepath.Join(root, "cmd/convrun")
	command.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + s.home, "TMPDIR=" + s.dir, "LANG=C.UTF-8", "CONVRUN_REQUIRE=" + os.Getenv("CONVRUN_REQUIRE")}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// testBinary is a copy of this test's own binary that every user may execute.
func (s *scene) testBinary() string {
	s.t.Helper()
	self, err := os.Executable()
	must(s.t, err)
	program := filepath.Join(filepath.Dir(s.dir), "convrun.test")
	copyFile(s.t, self, program)
	must(s.t, os.Chmod(program, 0o755))
	return program
}

// TestLostRightsAreTold has a user without rights run a set-user-ID program,
// which gains nothing as long as it is traced.
func TestLostRightsAreTold(t *testing.T) {
	if !canTrace() {
		missingTool(t, "system calls cannot be watched on this machine")
	}
	s := newScene(t, nobody)
	program := filepath.Join(filepath.Dir(s.dir), "effective")
	copyFile(t, "/usr/bin/id", program)
	must(t, os.Chmod(program, 0o755|os.ModeSetuid))
	script := program + " -u; " + program + " -u; id -u"
	if bare, _ := s.run("sh", "-c", script); bare.stdout != "0\n0\n65534\n" {
		missingTool(t, "set-user-ID programs do not work in %s: %+v", filepath.Dir(s.dir), bare)
	}
	end, _ := s.run(s.convrun, "run", "-q", "--log", "traced.convlog.json", "--", "sh", "-c", script)
	if end.stdout != "65534\n65534\n65534\n" || strings.Count(end.stderr, "convrun: ") != 1 || !strings.Contains(end.stderr, "convrun: warning: "+program+" ran without the rights that its file gives") {
		t.Errorf("traced: %+v", end)
	}
	log, _ := s.run(s.convrun, "show", "--json", "traced.convlog.json")
	if !strings.Contains(log.stdout, program+" ran without the rights") {
		t.Errorf("the log says nothing of it: %s", log.stdout)
	}
	end, _ = s.run(s.convrun, "run", "-q", "--trace", "snapshot", "--log", "compared.convlog.json", "--", "sh", "-c", script)
	if end.stdout != "0\n0\n65534\n" || end.stderr != "" {
		t.Errorf("not traced: %+v", end)
	}
	// Where there is nothing to lose, nothing is told.
	end, _ = s.run(s.convrun, "run", "-q", "--log", "plain.convlog.json", "--", "id", "-u")
	if end.stdout != "65534\n" || end.stderr != "" {
		t.Errorf("without such a program: %+v", end)
	}
	end, _ = s.run("setpriv", "--no-new-privs", s.convrun, "run", "-q", "--log", "none.convlog.json", "--", program, "-u")
	if end.stdout != "65534\n" || end.stderr != "" {
		t.Errorf("where no program gains rights anyway: %+v", end)
	}
}

// TestUnreadableFiles has a user run what may be executed and not be read, and
// try what may not be read.
func TestUnreadableFiles(t *testing.T) {
	if !canTrace() {
		missingTool(t, "system calls cannot be watched on this machine")
	}
	s := newScene(t, nobody)
	root := filepath.Dir(s.dir)
	for name, mode := range map[string]os.FileMode{"secret": 0o600, "program": 0o711} {
		copyFile(t, "/usr/bin/true", filepath.Join(root, name))
		must(t, os.Chmod(filepath.Join(root, name), mode))
	}
	end, _ := s.run(s.convrun, "run", "--log", "log.convlog.json", "--", "sh", "-c", "cat ../secret; ../program && echo ran")
	if end.stdout != "ran\n" || !strings.Contains(end.stderr, "secret: Permission denied") || !strings.Contains(end.stderr, "capture incomplete") {
		t.Errorf("%+v", end)
	}
	log, _ := s.run(s.convrun, "show", "--json", "log.convlog.json")
	if strings.Contains(log.stdout, "file://"+root+"/secret") {
		t.Error("a file that could not be read is in the log")
	}
	if !strings.Contains(log.stdout, "program has no digest: it could not be read: permission denied") {
		t.Errorf("nothing is said of the program that could not be read: %s", log.stdout)
	}
	// Declared, it is missed as well.
	end, _ = s.run(s.convrun, "run", "--input", "../secret", "--log", "log.convlog.json", "--", "true")
	if !strings.Contains(end.stderr, "secret has no digest: it could not be read: permission denied") {
		t.Errorf("%+v", end)
	}
}

// TestHiddenProcesses has a user see nobody else's processes in /proc.
func TestHiddenProcesses(t *testing.T) {
	if !canTrace() {
		missingTool(t, "system calls cannot be watched on this machine")
	}
	s := newScene(t, 0)
	setpriv := fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups", nobody, nobody)
	must(t, os.Chmod(s.dir, 0o777))
	must(t, os.Chown(s.home, nobody, nobody))
	end, _ := s.run("unshare", "--mount", "sh", "-c", `mount -t proc -o hidepid=2 proc /proc && exec `+setpriv+` "$@"`, "sh",
		s.convrun, "run", "--log", "log.convlog.json", "--", "sh", "-c", "cat /proc/1/status; echo x > out; sh -c 'cat out > copy'")
	if !strings.Contains(end.stderr, "/proc/1/status: No such file") || !strings.HasSuffix(end.stderr, "convrun: log: log.convlog.json\n") {
		t.Fatalf("%+v", end)
	}
	for _, name := range []string{"out", "copy"} {
		if shown, _ := s.run(s.convrun, "show", "--unverified", "--json", "log.convlog.json"); !strings.Contains(shown.stdout, `"name":"`+name+`"`) {
			t.Errorf("%s is not in the log", name)
		}
	}
}

// TestFewProcesses gives a user ever more processes and threads, until there
// are enough for convrun. With too few the command does not run, or its log is
// not written: nothing hangs and nothing is left in half.
func TestFewProcesses(t *testing.T) {
	s := newScene(t, nobody)
	root := filepath.Dir(s.dir)
	for limit := 1; ; limit++ {
		// Each time another user, whose processes have never been counted.
		s.user, s.dir, s.home = uint32(54321+limit), filepath.Join(root, fmt.Sprint("work", limit)), filepath.Join(root, fmt.Sprint("home", limit))
		for _, dir := range []string{s.dir, s.home} {
			must(t, os.Mkdir(dir, 0o755))
			must(t, os.Chown(dir, int(s.user), int(s.user)))
		}
		s.script = fmt.Sprintf(`ulimit -u %d; exec timeout 60 "$@"`, limit)
		end, _ := s.run(s.convrun, "run", "-q", "--", "dd", "if=/dev/zero", "of=out", "bs=1000", "count=1", "status=none")
		_, ranErr := os.Stat(filepath.Join(s.dir, "out"))
		_, logErr := os.Stat(filepath.Join(s.dir, "out"+logSuffix))
		switch {
		case end.how == "exit status 0" && ranErr == nil && logErr == nil:
			t.Logf("%d processes and threads are enough", limit)
			return
		case end.how == "exit status 0" || end.how == "exit status 124" || end.stderr == "" || ranErr != nil && logErr == nil:
			t.Fatalf("%d: %+v, ran %v, logged %v", limit, end, ranErr == nil, logErr == nil)
		case limit == 100:
			t.Fatalf("100 are not enough: %+v", end)
		}
	}
}
