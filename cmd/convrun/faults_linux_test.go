package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/sign"
)

// TestFullDisk converts onto a disk that has room for the model and none for
// the log.
func TestFullDisk(t *testing.T) {
	dir := workDir(t)
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16k"); err != nil {
		missingTool(t, "a small disk takes the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	_, stderr, status := convrunHere(t, dir, "run", "--", "sh", "-c", "head -c 12000 /dev/zero > out.bin")
	if status != exitOwnFailure || !strings.Contains(stderr, "no space left on device") || !strings.Contains(stderr, "the unsigned log was kept") {
		t.Errorf("status %d, %s", status, stderr)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	// The draft that was kept can be signed into another place.
	drafts, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "home/.local/state/convrun/logs/*"+draftSuffix))
	if len(drafts) != 1 {
		t.Fatalf("drafts kept: %v", drafts)
	}
	log := filepath.Join(t.TempDir(), "out.convlog.json")
	if _, stderr, status := convrunHere(t, dir, "sign", "--log", log, drafts[0]); status != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, status := convrunHere(t, dir, "verify", "--log", log, "out.bin"); status != 0 {
		t.Error(stderr)
	}
}

// TestNearlyFullDisk converts again and again onto disks that have room for
// ever more, until there is enough for the log.
func TestNearlyFullDisk(t *testing.T) {
	page := os.Getpagesize()
	for _, full := range []string{"work", "home", "tmp"} {
		t.Run(full, func(t *testing.T) {
			root := filepath.Dir(workDir(t))
			disk := filepath.Join(root, full)
			must(t, os.MkdirAll(disk, 0o755))
			if err := syscall.Mount("none", disk, "tmpfs", 0, "size=256k"); err != nil {
				missingTool(t, "a small disk takes the right to mount: %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(disk, 0) })
			b := benchIn(t, filepath.Join(root, "work"))
			must(t, os.MkdirAll(b.beside("tmp"), 0o755))
			enough := 0
			for room := 0; enough < 3; room++ {
				if room == 40 {
					t.Fatal("40 pages are not enough")
				}
				b.prepare(room)
				if full == "home" {
					must(t, os.RemoveAll(b.beside("home/.config")))
				}
				pages := room
				if full == "work" { // the command itself: two marks, a part
					pages += 3 + len(b.now)/page
				}
				ballast := leaveFree(t, disk, pages*page)
				convrun, tree := b.start("env", "TMPDIR="+b.beside("tmp"))
				b.awaitTree(tree)
				_ = convrun.Wait()
				must(t, os.Remove(ballast))
				logged, drafted := b.check()
				kept, _ := filepath.Glob(b.beside("home/.local/state/convrun/logs/*" + draftSuffix))
				switch status := convrun.ProcessState.ExitCode(); {
				case status == exitOK && logged && !drafted:
					enough++
				case status != exitOwnFailure || !strings.Contains(b.said(), "no space left on device"):
					t.Errorf("%d pages free: status %d, %s", room, status, b.said())
				case !logged && !drafted && len(kept) == 0:
					t.Errorf("%d pages free: the log is lost: %s", room, b.said())
				}
				for _, draft := range kept {
					must(t, os.Remove(draft))
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
}

// leaveFree fills a disk with one file but for some bytes, and gives its name.
func leaveFree(t *testing.T, disk string, bytes int) string {
	t.Helper()
	var stat syscall.Statfs_t
	must(t, syscall.Statfs(disk, &stat))
	ballast := filepath.Join(disk, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, max(0, int(stat.Bavail)*int(stat.Bsize)-bytes)), 0o644))
	return ballast
}

// TestReadOnlyFolder finds the log's place not writable after the run.
func TestReadOnlyFolder(t *testing.T) {
	dir := workDir(t)
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		missingTool(t, "a read-only disk takes the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	_, stderr, status := convrunHere(t, dir, "run", "--", "sh", "-c", "echo > out.bin; mount -o remount,ro "+dir+"; exit 3")
	if status != 3 || !strings.Contains(stderr, "read-only file system") {
		t.Errorf("status %d (the command's own was 3), %s", status, stderr)
	}
}

// TestInjectedErrors has each of convrun's own calls of a kind fail in turn,
// until none is left to fail. strace counts the calls of every thread for
// itself, and lets go of what convrun starts. Whatever fails, the model is what
// the command left, no log is lost, and what is missing is told.
func TestInjectedErrors(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		missingTool(t, "%v", err)
	}
	for _, call := range []string{
		"write", "fsync", "fchmod", "renameat", "linkat", "unlinkat", "mkdirat", "ftruncate", "memfd_create", "socketpair", "sendmsg", "pipe2",
	} {
		t.Run(call, func(t *testing.T) {
			b := newBench(t)
			for n := 1; ; n++ {
				b.prepare(n)
				injected := b.inject(call, strconv.Itoa(n))
				if t.Failed() {
					t.Fatalf("after an error in call %d", n)
				}
				if !injected {
					t.Logf("%d turns", n-1)
					break
				}
			}
		})
	}
}

// TestInjectedReadErrors has the calls by which convrun learns something fail
// in turn. A log that then says that it is complete is the one that it would
// have been. CONVRUN_FULL=1 leaves no turn out.
func TestInjectedReadErrors(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		missingTool(t, "%v", err)
	}
	step := 29
	if os.Getenv("CONVRUN_FULL") != "" {
		step = 1
	}
	for _, call := range []string{
		"openat", "openat2", "pread64", "process_vm_readv", "fstat", "newfstatat", "readlinkat", "getdents64", "ioctl", "prlimit64",
	} {
		t.Run(call, func(t *testing.T) {
			b := newBench(t)
			want := b.heard(b.log)
			for n := 1; ; n += step {
				b.prepare(n)
				_, trace := b.injectInto(call, strconv.Itoa(n))
				logs, _ := filepath.Glob(filepath.Join(b.dir, "*"+logSuffix))
				for _, log := range logs {
					if heard := b.heard(log); heard != nil && !slices.Equal(heard, want) {
						t.Errorf("after an error in call %d a log says that it is complete, and %s", n, diff(want, heard))
					}
					if log != b.log {
						must(t, os.Remove(log)) // the model was not seen
					}
				}
				if b.exists("begun") != b.exists("done") {
					t.Errorf("after an error in call %d the command did not come to its end: %s", n, b.said())
				}
				if !bytes.Contains(trace, injected) {
					t.Logf("%d turns", n/step)
					break
				}
			}
		})
	}
}

// heard lists what the log tells of files and programs; nothing when it
// says that something could not be seen or told.
func (b *bench) heard(log string) (lines []string) {
	b.t.Helper()
	data, err := os.ReadFile(log)
	must(b.t, err)
	if bytes.Equal(data, b.oldLog) {
		return nil
	}
	payload, err := sign.UnverifiedPayload(data)
	must(b.t, err)
	st, err := provenance.Parse(payload)
	must(b.t, err)
	untold := func(note string) bool { return strings.Contains(note, "could not be told") }
	if capture := st.Predicate.Capture; !capture.Complete || slices.ContainsFunc(capture.Notes, untold) {
		return nil
	}
	for _, file := range slices.Concat(st.Predicate.Inputs, st.Predicate.Outputs) {
		if file.Name == b.beside("stderr") {
			continue // where only this test sends it
		}
		line := file.Annotations.Role + " " + file.Name
		if file.Digest["sha256"] == "" {
			line += " without digest"
		}
		lines = append(lines, line)
	}
	for _, process := range st.Predicate.Run.Processes {
		lines = append(lines, strings.Join(process.Argv, " ")+" "+process.Executable.Name+" "+process.Executable.Digest["sha256"])
	}
	lines = append(lines, st.Predicate.Capture.Method)
	slices.Sort(lines)
	return lines
}

// TestDiskThatCannotBeFlushed has every flush fail: the draft is kept on no more
// than the system's word.
func TestDiskThatCannotBeFlushed(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		missingTool(t, "%v", err)
	}
	b := newBench(t)
	b.prepare(1)
	if !b.inject("fsync", "1+") {
		t.Error("nothing was flushed")
	}
	if !strings.Contains(b.said(), "the unsigned log was kept") {
		t.Error(b.said())
	}
}

// inject is injectInto for calls that write, and tells whether there were any.
func (b *bench) inject(call, when string) bool {
	b.t.Helper()
	kept := func() int {
		drafts, _ := filepath.Glob(b.beside("home/.local/state/convrun/logs/*" + draftSuffix))
		return len(drafts)
	}
	keptBefore := kept()
	status, text := b.injectInto(call, when)
	logged, drafted := b.check()
	switch {
	case muted.Match(text):
	case status == exitOK && (!logged || !b.exists("done")):
		b.t.Errorf("it says nothing, and the log is not there (begun %v): %s", b.exists("begun"), b.said())
	case status == exitOK:
	case status != exitOwnFailure || !strings.Contains(b.said(), "convrun: error: "):
		b.t.Errorf("status %d: %s", status, b.said())
	case call != "fsync" && bytes.Count(text, injected) > 1: // both of a draft's places may have failed
	case b.exists("begun") && !logged && !drafted && kept() == keptBefore:
		b.t.Errorf("the log of the run is lost: %s", b.said())
	}
	return bytes.Contains(text, injected)
}

var injected = []byte("(INJECTED)")

// injectInto runs the conversion with errors in those of every thread's calls
// that when names, as strace has it, and gives what strace wrote.
func (b *bench) injectInto(call, when string) (status int, trace []byte) {
	b.t.Helper()
	file := b.beside("trace")
	strace, tree := b.start("strace", "-f", "-qq", "--detach-on=execve", "-o", file, "-e", "trace="+call, "-e", "inject="+call+":error=EIO:when="+when)
	b.awaitTree(tree)
	_ = strace.Wait()
	trace, err := os.ReadFile(file)
	must(b.t, err)
	return strace.ProcessState.ExitCode(), trace
}

// muted are failed writes to standard error, and to the event descriptor by
// which Go's runtime wakes a thread, which it does not survive.
var muted = regexp.MustCompile(`write\((2, .*|[0-9]+, "\\1(\\0){7}", 8)\) += .*\(INJECTED\)`)
