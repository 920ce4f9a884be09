package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/convrun/convrun/runner/trace"
)

func oldID(inode uint64) trace.FileID {
	const long = 1_700_000_000_000_000_000
	return trace.FileID{Dev: 1, Ino: inode, Size: 3, MtimeNs: long, CtimeNs: long}
}

func somewhere(t *testing.T) *os.File {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// filled gives a folder with a cache of one entry, and a cache without it.
func filled(t *testing.T) (dir string, known trace.FileID, sum [sha256.Size]byte) {
	t.Helper()
	dir, known, sum = filepath.Join(t.TempDir(), "cache"), oldID(7), sha256.Sum256([]byte("x"))
	c := newDigestCache(dir)
	c.put(somewhere(t), known, sum)
	if len(c.new) == 0 {
		t.Skip("the temporary folder is on no local file system")
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	return dir, known, sum
}

func TestCacheKeepsBetweenRuns(t *testing.T) {
	dir, known, sum := filled(t)
	c := newDigestCache(dir)
	if got, ok := c.get(known); !ok || got != sum {
		t.Errorf("got %x, %v", got, ok)
	}
	for name, other := range map[string]func(*trace.FileID){
		"device": func(id *trace.FileID) { id.Dev++ }, "inode": func(id *trace.FileID) { id.Ino++ }, "size": func(id *trace.FileID) { id.Size++ },
		"mtime": func(id *trace.FileID) { id.MtimeNs++ }, "ctime": func(id *trace.FileID) { id.CtimeNs++ },
	} {
		changed := known
		other(&changed)
		if _, ok := c.get(changed); ok {
			t.Errorf("a file with another %s is found", name)
		}
	}
	if _, ok := newDigestCache("").get(known); ok {
		t.Error("without a folder nothing is known")
	}
}

func TestCacheLeavesRacyEntriesOut(t *testing.T) {
	c := newDigestCache(t.TempDir())
	for _, changed := range []time.Time{time.Now(), time.Now().Add(time.Hour)} {
		c.put(somewhere(t), trace.FileID{Dev: 1, Ino: 1, CtimeNs: changed.UnixNano(), MtimeNs: 1}, [sha256.Size]byte{})
	}
	c.put(somewhere(t), trace.FileID{Dev: 1, Ino: 1}, [sha256.Size]byte{}) // no ctime
	if len(c.new) != 0 {
		t.Errorf("%d entries that may change within the tick of a clock", len(c.new))
	}
}

func TestCacheRefusesWhatIsNotItsOwn(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"writable by others": func(p string) error { return os.Chmod(p, 0o666) },
		"owned by another": func(p string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(p, 0o622)
			}
			return os.Chown(p, 12345, 12345)
		},
		"in a folder writable by others": func(p string) error { return os.Chmod(filepath.Dir(p), 0o770) },
		"in a folder of another": func(p string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(filepath.Dir(p), 0o707)
			}
			return os.Chown(filepath.Dir(p), 12345, 12345)
		},
		"a byte changed": func(p string) error {
			data, err := os.ReadFile(p)
			data[cacheKey+3] ^= 1
			os.WriteFile(p, data, 0o600)
			return err
		},
		"cut": func(p string) error { return os.Truncate(p, 10) },
		"longer": func(p string) error {
			data, err := os.ReadFile(p)
			os.WriteFile(p, append(data, 0), 0o600)
			return err
		},
		"empty":  func(p string) error { return os.Truncate(p, 0) },
		"folder": func(p string) error { os.Remove(p); return os.Mkdir(p, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, known, _ := filled(t)
			path := filepath.Join(dir, "digests-v2")
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			c := newDigestCache(dir)
			if _, ok := c.get(known); ok {
				t.Error("it is trusted")
			}
			if !strings.Contains(c.problem, path) {
				t.Errorf("problem %q does not name the file", c.problem)
			}
		})
	}
}

// TestCacheIsNotKeptInAFolderOfOthers has save leave the folder as it is.
func TestCacheIsNotKeptInAFolderOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	c := newDigestCache(dir)
	c.new[keyOf(oldID(1))] = sha256.Sum256(nil)
	if err := c.save(); err == nil || !strings.Contains(err.Error(), "nobody else may write") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestCacheIsSharedByConcurrentRuns(t *testing.T) {
	dir, _, sum := filled(t)
	var runs sync.WaitGroup
	for i := range 8 {
		file := somewhere(t)
		runs.Go(func() {
			c := newDigestCache(dir)
			c.put(file, oldID(uint64(100+i)), sum)
			if err := c.save(); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	entries, err := readDigests(filepath.Join(dir, "digests-v2"))
	if err != nil || len(entries) == 0 {
		t.Errorf("%d bytes, %v", len(entries), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "digests-*")); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

func TestCacheHasACap(t *testing.T) {
	c := newDigestCache(t.TempDir())
	old := make([]byte, (maxCacheEntries+5)*cacheEntry)
	for i := range maxCacheEntries + 5 {
		key := keyOf(oldID(uint64(i)))
		copy(old[i*cacheEntry:], key[:])
	}
	c.new[keyOf(oldID(1<<40))] = sha256.Sum256(nil)
	entries, err := parseDigests(c.merge(old))
	if err != nil || len(entries) != maxCacheEntries*cacheEntry {
		t.Errorf("%d entries, %v", len(entries)/cacheEntry, err)
	}
	if _, ok := findDigest(entries, keyOf(oldID(1<<40))); !ok {
		t.Error("the newest entry is not kept")
	}
}

func FuzzParseDigests(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	c := newDigestCache("x")
	c.new[keyOf(oldID(1))] = sha256.Sum256(nil)
	f.Add(c.merge(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseDigests(data)
		if err == nil && len(entries)%cacheEntry != 0 {
			t.Errorf("%d bytes of entries", len(entries))
		}
		findDigest(entries, keyOf(oldID(1)))
	})
}

func TestHasher(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) (string, trace.FileID) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		id, _ := regular(path)
		return path, id
	}
	sumOf := func(text string) string { s := sha256.Sum256([]byte(text)); return hex.EncodeToString(s[:]) }
	h := newHasher(newDigestCache(""))

	gone, goneID := write("gone", "gone")
	deleted := h.queue(gone, -1, goneID, false)
	h.aboutToMove(deleted)
	os.Remove(gone)

	changed, changedID := write("changed", "before")
	os.WriteFile(changed, []byte("longer than before"), 0o600)
	altered := h.queue(changed, -1, changedID, false)

	big, bigID := write("big", strings.Repeat("0123456789abcdef", 1<<16))
	barrier := h.queue(big, -1, bigID, false)
	h.hurry(barrier)
	if !barrier.isDone() {
		t.Error("hurry came back before the digest was there")
	}
	os.WriteFile(big, []byte("overwritten"), 0o600)

	missing := h.queue(filepath.Join(dir, "missing"), -1, bigID, false)
	h.hurryAll(nil)
	h.finish()
	if deleted.sha256 != sumOf("gone") {
		t.Errorf("deleted: %q (%s)", deleted.sha256, deleted.reason)
	}
	if altered.sha256 != "" || !strings.Contains(altered.reason, "changed") {
		t.Errorf("changed: %q (%s)", altered.sha256, altered.reason)
	}
	if barrier.sha256 != sumOf(strings.Repeat("0123456789abcdef", 1<<16)) {
		t.Errorf("overwritten: %q (%s)", barrier.sha256, barrier.reason)
	}
	if missing.sha256 != "" || !strings.HasPrefix(missing.reason, unknownPrefix) {
		t.Errorf("missing: %q (%s)", missing.sha256, missing.reason)
	}
}

// TestHasherBeyondItsDescriptors queues more files than are held open, and
// takes their names away.
func TestHasherBeyondItsDescriptors(t *testing.T) {
	dir := t.TempDir()
	h := newHasher(newDigestCache(""))
	var digests []*digest
	content := bytes.Repeat([]byte("x"), 10_000)
	for range 3 * mostHeld {
		file, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		file.Write(content)
		file.Close()
		id, _ := regular(file.Name())
		d := h.queue(file.Name(), -1, id, false)
		digests = append(digests, d)
	}
	for _, d := range digests {
		d.renamed.Store(true)
	}
	h.aboutToMove(nil)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir + "-away") })
	h.hurryAll(nil)
	h.finish()
	for _, d := range digests {
		if d.sha256 == "" {
			t.Fatal(d.reason)
		}
	}
}

func regular(path string) (trace.FileID, bool) { return (&watch{}).regular(path) }
