package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
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
// device, inode, size, mtime, ctime (8 bytes each, big endian), SHA-256. At its
// end stands the CRC-32C of all of them, big endian.
//
// It trusts the kernel's ctime: who can set it back can already write as root.
// The file is read only when it and its folder are the user's own and nobody
// else's to write: in a folder of others, a file of the user's may be one that
// was put there under this name.
type digestCache struct {
	path string // empty: nothing is kept
	mu   sync.Mutex
	once sync.Once
	old  []byte
	new  map[[cacheKey]byte][sha256.Size]byte
	// local remembers which devices are worth caching.
	local map[uint64]bool
	// problem says why the cache could not be used, or is empty.
	problem string
}

const (
	cacheKey   = 5 * 8
	cacheEntry = cacheKey + sha256.Size
	cacheCheck = 4
	// maxCacheEntries bounds the file at 14 MB.
	maxCacheEntries = 200_000
	// racyWindow: a file that changed so shortly before it was hashed may
	// change again within the same tick of its clock, as git's index has it.
	racyWindow = 2 * time.Second
)

// newDigestCache uses the file "digests-v2" in dir; an empty dir keeps nothing.
func newDigestCache(dir string) *digestCache {
	c := &digestCache{new: map[[cacheKey]byte][sha256.Size]byte{}, local: map[uint64]bool{}}
	if dir != "" {
		c.path = filepath.Join(dir, "digests-v2")
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
	var err error
	if c.old, err = readDigests(c.path); err != nil {
		c.problem = fmt.Sprintf("digest cache %s is not used: %v", c.path, err)
	}
}

// readDigests gives the entries in the file name; none when there is no file.
func readDigests(name string) ([]byte, error) {
	folder, err := ownFolder(filepath.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	file, err := folder.OpenFile(filepath.Base(name), os.O_RDONLY|nonBlocking, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := onlyMine(info); err != nil {
		return nil, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() || size > maxCacheEntries*cacheEntry+cacheCheck {
		return nil, fmt.Errorf("a file of %d bytes is no digest cache", size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, err
	}
	return parseDigests(data)
}

// ownFolder opens a folder that is the user's own.
func ownFolder(name string) (*os.Root, error) {
	folder, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	info, err := folder.Stat(".")
	if err == nil {
		if err = onlyMine(info); err != nil {
			err = fmt.Errorf("its folder: %w", err)
		}
	}
	if err != nil {
		folder.Close()
		return nil, err
	}
	return folder, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parseDigests checks the content of a cache file, and gives its entries.
func parseDigests(data []byte) ([]byte, error) {
	size := len(data) - cacheCheck
	if size < 0 || size%cacheEntry != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of entries", len(data))
	}
	if crc32.Checksum(data[:size], castagnoli) != binary.BigEndian.Uint32(data[size:]) {
		return nil, errors.New("its check sum is wrong")
	}
	return data[:size], nil
}

// get looks a file up; it needs a ctime, without which nothing is sure.
func (c *digestCache) get(id trace.FileID) (sum [sha256.Size]byte, ok bool) {
	if c.path == "" || id.CtimeNs == 0 {
		return sum, false
	}
	c.once.Do(c.load)
	key := keyOf(id)
	if sum, ok = findDigest(c.old, key); ok {
		return sum, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, ok = c.new[key]
	return sum, ok
}

// findDigest looks key up in sorted entries.
func findDigest(entries []byte, key [cacheKey]byte) (sum [sha256.Size]byte, ok bool) {
	n := len(entries) / cacheEntry
	i := sort.Search(n, func(i int) bool { return bytes.Compare(entries[i*cacheEntry:][:cacheKey], key[:]) >= 0 })
	if i == n || !bytes.Equal(entries[i*cacheEntry:][:cacheKey], key[:]) {
		return sum, false
	}
	return [sha256.Size]byte(entries[i*cacheEntry+cacheKey:]), true
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

// save writes what is new beside what is there, which another run may have
// changed meanwhile, by renaming a whole file.
func (c *digestCache) save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" || len(c.new) == 0 {
		return nil
	}
	old, err := readDigests(c.path)
	if err != nil {
		old = nil // it is not used, and replaced
	}
	data := c.merge(old)
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	folder, err := ownFolder(filepath.Dir(c.path))
	if err != nil {
		return err
	}
	defer folder.Close()
	temporary, err := os.CreateTemp(filepath.Dir(c.path), "digests-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(data)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), c.path)
}

// merge gives the file with what is new and as much of old as there is room
// for.
func (c *digestCache) merge(old []byte) []byte {
	entries := make([][]byte, 0, len(c.new)+len(old)/cacheEntry)
	for key, sum := range c.new {
		entries = append(entries, append(key[:], sum[:]...))
	}
	entries = entries[:min(len(entries), maxCacheEntries)]
	for at := 0; at < len(old) && len(entries) < maxCacheEntries; at += cacheEntry {
		if _, again := c.new[[cacheKey]byte(old[at:])]; !again {
			entries = append(entries, old[at:at+cacheEntry])
		}
	}
	slices.SortFunc(entries, bytes.Compare)
	data := bytes.Join(entries, nil)
	return binary.BigEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}
