package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/convrun/convrun/runner/trace"
)

// digestCache remembers the digests of files of packages and of the system
// between runs. Its file is a sequence of entries of cacheEntry bytes, sorted:
// device, inode, size, mtime, ctime (8 bytes each, big endian), SHA-256.
//
// It trusts the kernel's ctime: who can set it back can already write as root.
// The file is read only when it is the user's own and nobody else's to write.
type digestCache struct {
	path string // empty: nothing is kept
	mu   sync.Mutex
	once sync.Once
	old  []byte
	new  map[[cacheKey]byte][sha256.Size]byte
	// local remembers which devices are worth caching.
	local map[uint64]bool
	// Problem says why the cache could not be used, or is empty.
	problem string
}

const (
	cacheKey   = 5 * 8
	cacheEntry = cacheKey + sha256.Size
	// maxCacheEntries bounds the file at 14 MB.
	maxCacheEntries = 200_000
	// racyWindow: a file that changed so shortly before it was hashed may
	// change again within the same tick of its clock, as git's index has it.
	racyWindow = 2 * time.Second
)

// newDigestCache uses the file "digests-v1" in dir; an empty dir keeps nothing.
func newDigestCache(dir string) *digestCache {
	c := &digestCache{new: map[[cacheKey]byte][sha256.Size]byte{}, local: map[uint64]bool{}}
	if dir != "" {
		c.path = filepath.Join(dir, "digests-v1")
	}
	return c
}

func keyOf(id trace.FileID) (key [cacheKey]byte) {
	for i, v := range [...]uint64{id.Dev, id.Ino, uint64(id.Size), uint64(id.MtimeNs), uint64(id.CtimeNs)} {
		binary.BigEndian.PutUint64(key[8*i:], v)
	}
	return key
}

func (c *digestCache) load() {
	if c.path == "" {
		return
	}
	file, err := os.Open(c.path)
	if err != nil {
		if !os.IsNotExist(err) {
			c.problem = err.Error()
		}
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil {
		err = onlyMine(info)
	}
	if err == nil && (info.Size()%cacheEntry != 0 || info.Size() > maxCacheEntries*cacheEntry) {
		err = fmt.Errorf("its size of %d bytes is not that of a digest cache", info.Size())
	}
	if err == nil {
		c.old = make([]byte, info.Size())
		_, err = file.ReadAt(c.old, 0)
	}
	if err != nil {
		c.old, c.problem = nil, fmt.Sprintf("digest cache %s is not used: %v", c.path, err)
	}
}

// get looks a file up; it needs a ctime, without which nothing is sure.
func (c *digestCache) get(id trace.FileID) (sum [sha256.Size]byte, ok bool) {
	if c.path == "" || id.CtimeNs == 0 {
		return sum, false
	}
	c.once.Do(c.load)
	key := keyOf(id)
	n := len(c.old) / cacheEntry
	i := sort.Search(n, func(i int) bool { return bytes.Compare(c.old[i*cacheEntry:i*cacheEntry+cacheKey], key[:]) >= 0 })
	if i < n && bytes.Equal(c.old[i*cacheEntry:i*cacheEntry+cacheKey], key[:]) {
		copy(sum[:], c.old[i*cacheEntry+cacheKey:])
		return sum, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, ok = c.new[key]
	return sum, ok
}

// put remembers what file, in the state id, hashes to.
func (c *digestCache) put(file *os.File, id trace.FileID, sum [sha256.Size]byte) {
	if c.path == "" || id.CtimeNs == 0 || time.Since(time.Unix(0, max(id.CtimeNs, id.MtimeNs))) < racyWindow {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	local, known := c.local[id.Dev]
	if !known {
		local = onLocalFileSystem(file)
		c.local[id.Dev] = local
	}
	if local {
		c.new[keyOf(id)] = sum
	}
}

// save writes what is new beside what was there, by renaming a whole file.
func (c *digestCache) save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" || len(c.new) == 0 {
		return nil
	}
	entries := make([][]byte, 0, len(c.new)+len(c.old)/cacheEntry)
	for key, sum := range c.new {
		entries = append(entries, append(key[:], sum[:]...))
	}
	for at := 0; at < len(c.old) && len(entries) < maxCacheEntries; at += cacheEntry {
		if _, again := c.new[[cacheKey]byte(c.old[at:])]; !again {
			entries = append(entries, c.old[at:at+cacheEntry])
		}
	}
	slices.SortFunc(entries, bytes.Compare)
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(c.path), "digests-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(bytes.Join(entries[:min(len(entries), maxCacheEntries)], nil))
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), c.path)
}
