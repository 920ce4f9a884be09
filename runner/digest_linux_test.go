//go:build amd64 || arm64

package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wrongSum is what poisoned caches say of every file.
var wrongSum = sha256.Sum256([]byte("wrong"))

// poison leaves a cache in dir that is wrong about the files.
func poison(t *testing.T, dir string, files ...string) {
	t.Helper()
	c := newDigestCache(dir)
	for _, name := range files {
		id, ok := regular(realPath(name))
		if !ok {
			t.Fatalf("%s is no file", name)
		}
		c.new[keyOf(id)] = wrongSum
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
}

// sumIn is the digest that o has of the file at path.
func sumIn(t *testing.T, o *Observation, path string) (sum string, cached bool) {
	t.Helper()
	i := slices.IndexFunc(o.Files, func(f File) bool { return f.Path == realPath(path) })
	if i < 0 {
		t.Fatalf("%s is not among %d files", path, len(o.Files))
	}
	return o.Files[i].SHA256, o.Files[i].Cached
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sum(string(data))
}

// TestOnlyInstalledFilesComeFromTheCache has a cache that is wrong about all
// files of a run.
func TestOnlyInstalledFilesComeFromTheCache(t *testing.T) {
	needTracing(t)
	folder(t, map[string]string{"in": "1", "code.sh": "cat in /etc/services > out; exec 3<>same", "out": "2", "same": "1"})
	cache := filepath.Join(t.TempDir(), "cache")
	poison(t, cache, "in", "code.sh", "out", "same", "/bin/cat", "/etc/services")
	for _, dir := range []string{cache, ""} {
		o := observe(t, Command{CacheDir: dir, Inputs: []string{"/etc/services"}}, "sh ./code.sh")
		for _, name := range []string{"in", "code.sh", "out", "same", "/etc/services"} {
			if got, cached := sumIn(t, o, name); got != sumOf(t, name) || cached {
				t.Errorf("cache %q: %s has the digest %s, cached %v", dir, name, got, cached)
			}
		}
		if got, cached := sumIn(t, o, "/bin/cat"); (got == hex.EncodeToString(wrongSum[:])) != (dir != "") || cached != (dir != "") {
			t.Errorf("cache %q: the program has the digest %s, cached %v", dir, got, cached)
		}
	}
}

// TestAnotherUserCannotPoisonTheCache runs as one user, with what another has
// left in the place of the cache.
func TestAnotherUserCannotPoisonTheCache(t *testing.T) {
	needTracing(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can become two users")
	}
	const user, attacker = 54321, 54322
	// Not t.TempDir, which only its owner may enter.
	open, err := os.MkdirTemp("", "runner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(open) })
	home, self := filepath.Join(open, "home"), filepath.Join(open, "runner.test")
	text, err := os.ReadFile("/proc/self/exe")
	for _, err := range []error{err, os.Chmod(open, 0o755), os.WriteFile(self, text, 0o755), os.Mkdir(home, 0o700), os.Chown(home, user, user)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, owners := range []struct {
		name         string
		folder, file int
		mode         os.FileMode
		wrong        bool
	}{
		{"his own", user, user, 0o700, true}, // shows that the cache is used at all
		{"all of another's", attacker, attacker, 0o777, false},
		{"a file of his own in another's folder", attacker, user, 0o755, false},
		{"a folder that all may write", user, user, 0o777, false},
		{"another's file in his own folder", user, attacker, 0o700, false},
	} {
		t.Run(owners.name, func(t *testing.T) {
			cache, observation := filepath.Join(open, "cache"), filepath.Join(home, "o.json")
			t.Cleanup(func() { os.RemoveAll(cache) })
			poison(t, cache, "/bin/cat")
			for _, err := range []error{os.Chown(filepath.Join(cache, "digests-v2"), owners.file, owners.file), os.Chown(cache, owners.folder, owners.folder), os.Chmod(cache, owners.mode)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			command := exec.Command(self, "/bin/cat", "/dev/null")
			command.Dir = home
			command.Env = []string{asConvrun + "=" + observation, asConvrun + "_CACHE=" + cache}
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			o := readObservation(t, observation)
			got, _ := sumIn(t, o, "/bin/cat")
			if want := hex.EncodeToString(wrongSum[:]); (got == want) != owners.wrong {
				t.Errorf("digest %s", got)
			}
			told := slices.ContainsFunc(o.Capture.Notes, func(note string) bool { return strings.Contains(note, "is not used") })
			if told == owners.wrong {
				t.Errorf("notes: %q", o.Capture.Notes)
			}
		})
	}
}

// TestInputIsHashedBeforeItIsOverwritten has inputs that take long to hash,
// and a run that changes them at once.
func TestInputIsHashedBeforeItIsOverwritten(t *testing.T) {
	needTracing(t)
	const size = 300 << 20
	before := sumOfHoles(t, "1", size)
	for name, script := range map[string]string{
		"truncated by an open":   "head -c 1 in >/dev/null; : > in",
		"truncated by its name":  "head -c 1 in >/dev/null; truncate -s 5 in",
		"begun anew":             "head -c 1 in >/dev/null; printf 2 | dd of=in conv=notrunc status=none",
		"read through the same":  "exec 3<>in; head -c 1 <&3 >/dev/null; printf 2 >&3",
		"replaced":               "head -c 1 in >/dev/null; printf 2 > t; mv t in",
		"under another name":     "head -c 1 in >/dev/null; ln in also; : > also",
		"removed and made again": "head -c 1 in >/dev/null; rm in; printf 2 > in",
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"in": "1"})
			if err := os.Truncate("in", size); err != nil {
				t.Fatal(err)
			}
			o := observe(t, Command{}, script)
			complete(t, o)
			found := false
			for _, f := range o.Files {
				found = found || strings.HasPrefix(f.Path, dir+"/") && f.BeforeSHA256 == before && f.BeforeSize == size && f.SHA256 == sumOf(t, f.Path)
			}
			if !found {
				t.Errorf("%q", lines(o, dir))
			}
		})
	}
}

// TestChangedInputIsNamed has somebody else change an input after the run has
// read it.
func TestChangedInputIsNamed(t *testing.T) {
	needTracing(t)
	dir := folder(t, map[string]string{"in": "1"})
	go func() {
		for {
			if _, err := os.Stat("ready"); err == nil {
				_ = os.WriteFile("in", []byte("2"), 0o600)
				_ = os.WriteFile("done", nil, 0o600)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	o := observe(t, Command{}, "cat in >/dev/null; sleep 0.2; : > ready; while [ ! -e done ]; do sleep 0.01; done")
	got := lines(o, dir)
	if !slices.ContainsFunc(got, func(line string) bool {
		return strings.HasPrefix(line, `input in read "1" (it was changed during the run`)
	}) {
		t.Errorf("%q", got)
	}
}

func TestHashingIsTold(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	const size = 2 << 30
	var told [][2]int64
	o := observe(t, Command{Hashing: func(done, total int64) { told = append(told, [2]int64{done, total}) }}, "truncate -s 2G out; truncate -s 5 small")
	complete(t, o)
	if len(told) == 0 {
		t.Fatal("nothing was told of 2 GiB")
	}
	// What was done before the command's end is not told again.
	for i, now := range told {
		if now[1] != told[0][1] || now[1] > size+32<<20 || now[0] < 0 || now[0] > now[1] || i > 0 && now[0] < told[i-1][0] {
			t.Fatalf("%v", told)
		}
	}
}

// BenchmarkHash compares with openssl, one file after the other and two at once.
func BenchmarkHash(b *testing.B) {
	if _, err := exec.LookPath("openssl"); err != nil {
		b.Skip(err)
	}
	const size = 1 << 30
	b.Chdir(b.TempDir())
	for _, name := range []string{"1", "2"} {
		if err := os.WriteFile(name, bytes.Repeat([]byte(name+"23456789abcdef"), size/16), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, names := range [][]string{{"1"}, {"1", "2"}} {
		b.Run(strconv.Itoa(len(names)), func(b *testing.B) {
			for b.Loop() {
				var ratios []float64
				for range 5 {
					start := time.Now()
					if out, err := exec.Command("openssl", append([]string{"dgst", "-sha256"}, names...)...).CombinedOutput(); err != nil {
						b.Fatalf("%v\n%s", err, out)
					}
					other := time.Since(start)
					start = time.Now()
					h := newHasher(newDigestCache(""))
					for _, name := range names {
						id, _ := regular(name)
						h.queue(name, -1, id, false)
					}
					h.hurryAll(nil)
					h.finish()
					ratios = append(ratios, time.Since(start).Seconds()/other.Seconds())
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "openssl-ratio")
				b.ReportMetric(ratios[0], "ratio-min")
				b.ReportMetric(ratios[len(ratios)-1], "ratio-max")
			}
		})
	}
}

// TestHurryGoesOnWithWhatIsHalfDone has somebody hurry while a patient one is in
// the middle of a file.
func TestHurryGoesOnWithWhatIsHalfDone(t *testing.T) {
	const size = 512 << 20
	folder(t, map[string]string{"in": "1"})
	if err := os.Truncate("in", size); err != nil {
		t.Fatal(err)
	}
	h := newHasher(newDigestCache(""))
	h.hurryAll(nil) // ends its worker, whom this test stands in for
	h.workers.Wait()
	id, _ := regular("in")
	d := h.queue("in", -1, id, false)
	h.mu.Lock()
	j := h.next()
	h.current = j
	h.mu.Unlock()
	stopped := make(chan struct{})
	go func() {
		h.hash(j, true)
		close(stopped)
	}()
	for h.done.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	j.hurried.Store(true)
	<-stopped
	if d.isDone() || j.content.left == 0 {
		t.Error("the patient one did not stop")
	}
	hurried := make(chan struct{})
	go func() {
		h.hurry(d)
		close(hurried)
	}()
	select {
	case <-hurried:
	case <-time.After(time.Minute):
		t.Fatal("nobody goes on")
	}
	if d.sha256 != sumOfHoles(t, "1", size) {
		t.Errorf("%q (%s)", d.sha256, d.reason)
	}
}
