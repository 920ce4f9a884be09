package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// differences are what a command may notice: the rows of docs/transparency.md,
// by their beginnings, with how each shows in what the suite prints. A nil
// pattern is shown by the test that stands beside it.
var differences = []struct {
	row     string
	pattern *regexp.Regexp
}{
	{"`PYTHONPATH` has one more entry", regexp.MustCompile(`^environ: (PYTHONPATH|CONVRUN_OBSERVER|CONVRUN_RECORDS)=`)},
	{"`Seccomp: 2`", regexp.MustCompile(`^/proc/self/status:Seccomp(_filters)?:`)},
	{"`no_new_privs` is set", regexp.MustCompile(`^/proc/self/status:NoNewPrivs:`)},
	{"the parent process is convrun", regexp.MustCompile(`^(/proc/self/status:PPid:|parent )`)},
	{"a descriptor 0 to 2 that was closed", regexp.MustCompile(`^(fd|fdinfo)/[012]( |:)`)},
	{"signals that were ignored or blocked at the start", regexp.MustCompile(`^/proc/self/status:Sig(Ign|Blk):`)},
	{"a system call that opens, executes, renames, links or removes a file", nil}, // by chance only
	{"inside, a second seccomp listener is refused", nil},                         // testdata/script/nested.txtar
	{"with `--trace=ptrace` or `ptrace-all`", nil},                                // runner/trace TestDebuggersInside
}

// TestPublishedDifferences holds the list above and the published one together.
func TestPublishedDifferences(t *testing.T) {
	page, err := os.ReadFile("../../docs/transparency.md")
	must(t, err)
	_, table, _ := strings.Cut(string(page), "|---")
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []string
	for line := range strings.Lines(table) {
		if cell, ok := strings.CutPrefix(line, "| "); ok {
			rows = append(rows, cell)
		}
	}
	if len(rows) != len(differences) {
		t.Fatalf("docs/transparency.md has %d rows, the test %d", len(rows), len(differences))
	}
	for i, row := range rows {
		if !strings.HasPrefix(row, differences[i].row) {
			t.Errorf("row %d of docs/transparency.md is %q, in the test %q", i+1, row, differences[i].row)
		}
	}
}

// views are commands that print what a process can find out about itself.
var views = [][]string{
	append([]string{"grep", "-a", ""}, paths("/proc/self/", "status", "limits", "environ", "cmdline", "stat", "comm", "personality", "coredump_filter",
		"oom_score_adj", "timerslack_ns", "cgroup", "loginuid", "sessionid", "uid_map", "gid_map", "setgroups", "mountinfo")...),
	{"readlink", "/proc/self/cwd", "/proc/self/root", "/proc/self/exe", "/proc/self/ns/pid", "/proc/self/ns/mnt", "/proc/self/ns/net", "/proc/self/ns/user"},
	{"bash", "-c", `cd /proc/$$; for f in fd/*; do [ -L $f ] && echo -n "$f " && readlink $f; done; grep -s '' fdinfo/*; exit 0`},
	{"sh", "-c", `printf '<%s>\n' "$0" "$@"`, "", "two words", "a\nb", "\xff", "-x", "--", "*"},
	{"sh", "-c", `ulimit -a; umask; pwd; pwd -P; id; nice; tty; stty -g; stty size; echo "ps" $(ps -o sid=,pgid=,tpgid=,tty=,ni=,cls= -p $$)
		echo parent $PPID; read line && echo "$line"; echo to stderr >&2; exit 0`},
}

func paths(folder string, names ...string) (all []string) {
	for _, name := range names {
		all = append(all, folder+name)
	}
	return all
}

// unsteady is what no two processes have in common, bare or not.
var unsteady = regexp.MustCompile(`^/proc/self/status:(Pid|Tgid|NSpid|NStgid|SigQ|Vm\w+|Rss\w+|HugetlbPages|\w+_ctxt_switches):`)

// TestNoDifference looks around from the same surroundings bare, under env and
// under convrun, and finds the same but for the published list.
func TestNoDifference(t *testing.T) {
	if !canTrace() {
		missingTool(t, "system calls cannot be watched on this machine")
	}
	for _, c := range []struct {
		name  string
		scene string // a shell script; its last command becomes "$@"
		user  uint32
		tty   bool
		rows  []int // differences that show here, by index
	}{
		{"ordinary", `ulimit -Sn 512; ulimit -Sc 0; umask 027; trap '' HUP INT; exec 7</dev/null 8<file 14>>appended; export PYTHONPATH=/x::/y; exec "$@"`, 0, false, []int{0, 1, 3}},
		{"another user, priority and mask", `exec nice -n 3 env -u OLDPWD --block-signal=USR1,WINCH "$@"`, nobody, false, []int{0, 1, 2, 3}},
		{"a terminal", `stty -echo rows 33 cols 44; exec "$@"`, 0, true, []int{0, 1, 3}},
		{"what Go's runtime does not keep", `trap '' QUIT PIPE USR2; exec 0<&- 2>&-; exec env --block-signal=CHLD,TERM "$@"`, 0, false, []int{0, 1, 3, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, c.user)
			s.script = c.scene
			must(t, os.WriteFile(filepath.Join(s.dir, "file"), []byte("a line\n"), 0o644))
			if c.tty {
				s.master = openTerminal(t)
			}
			log := filepath.Join(t.TempDir(), "log.json")
			must(t, os.Chmod(filepath.Dir(log), 0o777))
			bare, env := s.lookAround(), s.lookAround("env")
			watched := s.lookAround(s.convrun, "run", "-q", "--log", log, "--")
			if !slices.Equal(bare, env) {
				t.Fatalf("bare (-) and under env (+) differ, so the comparison is worth nothing:\n%s", diff(bare, env))
			}
			for i, d := range differences {
				if d.pattern == nil || !slices.Contains(c.rows, i) {
					continue
				}
				var fromBare, fromWatched []string
				bare, fromBare = part(bare, d.pattern)
				watched, fromWatched = part(watched, d.pattern)
				if slices.Equal(fromBare, fromWatched) {
					t.Errorf("the published difference %q does not show", d.row)
				}
			}
			if !slices.Equal(bare, watched) {
				t.Errorf("bare (-) and under convrun (+) differ:\n%s", diff(bare, watched))
			}
		})
	}
}

// TestSameEnds runs scripts bare, under env and under convrun: what they say,
// how they end and what they leave is the same.
func TestSameEnds(t *testing.T) {
	type left struct {
		end  ending
		tree []string
	}
	s := newScene(t, 0)
	s.script = `ulimit -c 0; exec "$@"`
	for _, script := range []string{
		`echo out; echo err >&2; mkdir d; echo a > d/a; chmod 640 d/a; chmod 2751 d; ln -s d l; ln d/a h; mkfifo f; : > e; touch -d @1 e; exit 7`,
		`umask 077; cat > private; echo x >> private; sed -i s/x/y/ private; cat private; rm -f gone; mv private moved`,
		`echo 1 > a; (flock 9; echo 2 >&9) 9>>a; truncate -s 100 a; exec 3<>a; echo three >&3; cat <&3 | od -c`,
		`trap 'echo usr1; exit 3' USR1; kill -USR1 $$; echo not reached`,
		`trap 'echo exit' EXIT; sleep 5 & sleep 0.2; kill -TERM $!; wait $!; echo $?`,
		`yes | head -n 1; echo "${PIPESTATUS[*]}"; yes | (exec <&-; true); echo "${PIPESTATUS[*]}"`,
		`ulimit -f 1; { yes > big; } 2>/dev/null; echo $?`,
		`ulimit -n 5; exec 3<. 4<.; cat < /dev/null; echo $?`,
		`diff <(echo 1) <(echo 2); tee >(cat > teed) <<< x; wait; sleep 0.1`,
		`for i in 1 2 3; do (echo $i > n$i; exit $i) & jobs="$jobs $!"; done; for job in $jobs; do wait $job; echo $?; done`,
		`cat missing; no-such-command; ./d; exit`, `exec no-such-command`, `exec /`, `exec ./moved`,
		`kill -TERM $$`, `kill -HUP $$`, `kill -INT $$`, `kill -QUIT $$`, `kill -SEGV $$`, `kill -ABRT $$`, `kill -PIPE $$`, `kill -XCPU $$`, `kill -34 $$`, `kill -KILL $$`, `kill -KILL 0`,
	} {
		t.Run(script, func(t *testing.T) {
			look := func(prefix ...string) left {
				must(t, os.RemoveAll(s.dir))
				must(t, os.Mkdir(s.dir, 0o755))
				end, _ := s.run(append(prefix, "bash", "-c", script)...)
				return left{end, tree(t, s.dir)}
			}
			bare, env := look(), look("env")
			watched := look(s.convrun, "run", "-q", "--log", "../log.json", "--")
			if !reflect.DeepEqual(bare, env) || !reflect.DeepEqual(bare, watched) {
				t.Errorf("bare    %q\nenv     %q\nconvrun %q", bare, env, watched)
			}
		})
	}
}

// tree lists what is below dir: names, modes, numbers of names, contents.
func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v %d", strings.TrimPrefix(path, dir), info.Mode(), info.Sys().(*syscall.Stat_t).Nlink)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			all = append(all, fmt.Sprintf("%s %q", line, content))
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			all = append(all, line+" -> "+target)
			return err
		}
		all = append(all, line)
		return nil
	}))
	return all
}

// nobody is an ordinary user's number, and group's.
const nobody = 65534

// scene is a place where commands are started the same way again and again.
type scene struct {
	t       *testing.T
	dir     string // the working directory
	home    string
	convrun string // a copy that every user may execute
	user    uint32
	script  string   // a shell script; its last command becomes "$@"
	master  *os.File // of a terminal that is standard input; nil: a file is
}

// newScene makes folders that user may write to.
func newScene(t *testing.T, user uint32) *scene {
	t.Helper()
	if user != 0 && os.Geteuid() != 0 {
		missingTool(t, "to become another user takes root")
	}
	root := realDir(t, t.TempDir())
	must(t, os.Chmod(filepath.Dir(root), 0o755))
	s := &scene{t: t, dir: filepath.Join(root, "work"), home: filepath.Join(root, "home"), convrun: filepath.Join(root, "convrun"), user: user, script: `exec "$@"`}
	for _, dir := range []string{s.dir, s.home} {
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.Chown(dir, int(user), int(user)))
	}
	program, err := exec.LookPath("convrun")
	must(t, err)
	copyFile(t, program, s.convrun)
	must(t, os.Chmod(s.convrun, 0o755))
	return s
}

// command is argv behind the scene's script, in a session of its own.
func (s *scene) command(argv ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute) // a command in the background would wait for its terminal
	s.t.Cleanup(cancel)
	command := exec.CommandContext(ctx, "/bin/bash", append([]string{"-c", s.script, "bash"}, argv...)...)
	command.Dir = s.dir
	command.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + s.home, "LANG=C", "A=1"}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.user != 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: s.user, Gid: s.user}
	}
	return command
}

// ending is how a command ended and what it said.
type ending struct{ how, stdout, stderr string }

// run runs argv with files for standard streams, which have the same names
// every time, or the scene's terminal for input.
func (s *scene) run(argv ...string) (end ending, pid int) {
	s.t.Helper()
	command := s.command(argv...)
	beside := func(name string) string { return filepath.Join(filepath.Dir(s.dir), name) }
	must(s.t, os.WriteFile(beside("stdin"), []byte("standard input\n"), 0o644))
	input, err := os.Open(beside("stdin"))
	must(s.t, err)
	defer input.Close()
	command.Stdin = input
	if s.master != nil {
		slave := slaveOf(s.t, s.master)
		defer slave.Close()
		command.Stdin, command.SysProcAttr.Setctty = slave, true
		_, err := s.master.WriteString("typed\n")
		must(s.t, err)
	}
	for name, stream := range map[string]*io.Writer{"stdout": &command.Stdout, "stderr": &command.Stderr} {
		file, err := os.Create(beside(name))
		must(s.t, err)
		defer file.Close()
		*stream = file
	}
	if err := command.Run(); command.ProcessState == nil {
		s.t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(beside(name))
		must(s.t, err)
		return string(text)
	}
	return ending{command.ProcessState.String(), read("stdout"), read("stderr")}, command.Process.Pid
}

// lookAround gives what the views print behind prefix, line by line.
func (s *scene) lookAround(prefix ...string) (lines []string) {
	s.t.Helper()
	for _, view := range views {
		end, pid := s.run(append(slices.Clone(prefix), view...)...)
		for line := range strings.Lines(end.stdout + "on standard error: " + end.stderr + end.how) {
			lines = append(lines, steady(line, strconv.Itoa(pid))...)
		}
	}
	return lines
}

// steady is what of a line two runs can have in common. leader is the process
// that the scene began as: the leader of the group and session.
func steady(line, leader string) []string {
	if unsteady.MatchString(line) {
		return nil
	}
	if block, ok := strings.CutPrefix(line, "/proc/self/environ:"); ok {
		var entries []string
		for entry := range strings.SplitSeq(block, "\x00") {
			entries = append(entries, "environ: "+entry)
		}
		return entries
	}
	if stat, ok := strings.CutPrefix(line, "/proc/self/stat:"); ok {
		line = "stat"
		for i, field := range strings.Fields(stat) {
			if slices.Contains(steadyStat, i+1) {
				line += fmt.Sprintf(" %d=%s", i+1, field)
			}
		}
	}
	line = ownFolder.ReplaceAllString(line, "/proc/self/")
	if processes.MatchString(line) {
		line = regexp.MustCompile(`\b`+leader+`\b`).ReplaceAllString(line, "LEADER")
	}
	return []string{line}
}

// steadyStat are fields of /proc/PID/stat, proc(5): pgrp, session, tty_nr,
// tpgid, priority, nice, num_threads, exit_signal, rt_priority, policy.
var steadyStat = []int{5, 6, 7, 8, 18, 19, 20, 38, 40, 41}

// processes are lines that hold numbers of processes.
var processes = regexp.MustCompile(`^(/proc/self/status:NS\w+:|stat |ps )`)

// ownFolder is how a link shows /proc/self.
var ownFolder = regexp.MustCompile(`/proc/[0-9]+/`)

// part takes the lines that pattern matches out.
func part(lines []string, pattern *regexp.Regexp) (rest, taken []string) {
	for _, line := range lines {
		if pattern.MatchString(line) {
			taken = append(taken, line)
		} else {
			rest = append(rest, line)
		}
	}
	return rest, taken
}

// diff lists the lines that only one of the two has, or says where their order
// differs.
func diff(a, b []string) string {
	var text strings.Builder
	for _, side := range []struct {
		sign     string
		has, not []string
	}{{"-", a, b}, {"+", b, a}} {
		for _, line := range side.has {
			if !slices.Contains(side.not, line) {
				fmt.Fprintf(&text, "%s %q\n", side.sign, line)
			}
		}
	}
	for i := 0; text.Len() == 0; i++ {
		if i == min(len(a), len(b)) || a[i] != b[i] {
			fmt.Fprintf(&text, "the same lines in another order or number from %q and %q on\n", a[i:min(i+3, len(a))], b[i:min(i+3, len(b))])
		}
	}
	return text.String()
}

// openTerminal opens the master side of a new pseudo-terminal.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	return master
}

// slaveOf opens the side that a command has. It hangs up with the session that
// it was the terminal of.
func slaveOf(t *testing.T, master *os.File) *os.File {
	t.Helper()
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	return slave
}

// TestProfilerInside has py-spy look at a Python, by ptrace and in its memory.
func TestProfilerInside(t *testing.T) {
	python := environment(t, "converters")
	dir := workDir(t)
	must(t, os.WriteFile(filepath.Join(dir, "busy.py"), []byte("def busy():\n    n = 0\n    while n < 3e7:\n        n += 1\n\nbusy()\nopen('out', 'w').close()\n"), 0o644))
	_, stderr, status := convrunHere(t, dir, "run", "--log", "out.convlog.json", "--", filepath.Join(filepath.Dir(python), "py-spy"), "record", "--format", "raw", "--output", "profile.txt", "--", python, "busy.py")
	profile, err := os.ReadFile(filepath.Join(dir, "profile.txt"))
	if status != 0 || err != nil || !strings.Contains(string(profile), "busy (busy.py:") || strings.Contains(stderr, "incomplete") {
		t.Errorf("status %d, %v, %s: %s", status, err, stderr, profile)
	}
	if stdout, stderr, status := convrunHere(t, dir, "show", "--json", "out"); status != 0 || !strings.Contains(stdout, `"complete":true`) {
		t.Error(stderr, stdout)
	}
}
