package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/convrun/convrun/runner/trace"
)

const (
	// readBytes is the size of one read: measured best between 128 and 256 KiB.
	readBytes = 256 << 10
	// maxHeld bounds the files that are kept open for hashing later; past it a
	// file is opened again by its name, and its identity compared.
	maxHeld = 256
)

// digest is the SHA-256 of a file's content at one moment.
type digest struct {
	done   chan struct{} // closed when the rest is set
	id     trace.FileID
	sha256 string
	reason string // why sha256 is empty
	cached bool
}

func (d *digest) wait() *digest {
	<-d.done
	return d
}

// hasher computes digests beside the run.
type hasher struct {
	cache   *digestCache
	mu      sync.Mutex
	waiting []job
	more    *sync.Cond
	held    int
	closed  bool
	workers sync.WaitGroup
	buffers sync.Pool
}

type job struct {
	path   string
	file   *os.File // nil: open path when its turn comes
	keep   bool     // put the digest into the cache
	digest *digest
}

func newHasher(cache *digestCache) *hasher {
	h := &hasher{cache: cache}
	h.more = sync.NewCond(&h.mu)
	h.buffers.New = func() any { b := make([]byte, readBytes); return &b }
	h.workers.Add(1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its niceness
		lowerPriority()
		h.work()
	}()
	return h
}

// queue asks for the digest of the file at path, whose identity is id. handle,
// when not negative, is a descriptor of it that is valid during the call.
// mayCache is set for files whose digest may come from an earlier run.
func (h *hasher) queue(path string, handle int, id trace.FileID, mayCache bool) *digest {
	d := &digest{done: make(chan struct{}), id: id}
	if mayCache {
		if sum, ok := h.cache.get(id); ok {
			d.sha256, d.cached = hex.EncodeToString(sum[:]), true
			close(d.done)
			return d
		}
	}
	j := job{path: path, keep: mayCache, digest: d}
	h.mu.Lock()
	hold := h.held < maxHeld
	if hold {
		h.held++
	}
	h.mu.Unlock()
	if hold {
		file, err := openHandle(handle, path)
		if err != nil {
			h.release()
			d.reason = fmt.Sprintf("unknown: it could not be read: %v", err)
			close(d.done)
			return d
		}
		j.file = file
	}
	h.mu.Lock()
	h.waiting = append(h.waiting, j)
	h.mu.Unlock()
	h.more.Signal()
	return d
}

func (h *hasher) release() {
	h.mu.Lock()
	h.held--
	h.mu.Unlock()
}

// sum is the digest in hex of a package's file that the run did not open.
func (h *hasher) sum(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	d := &digest{done: make(chan struct{}), id: trace.IDOf(info)}
	if sum, ok := h.cache.get(d.id); ok {
		return hex.EncodeToString(sum[:]), nil
	}
	h.hash(job{path: path, keep: true, digest: d})
	if d.reason != "" {
		return "", errors.New(d.reason)
	}
	return d.sha256, nil
}

// hurry moves d to the front, and waits for it.
func (h *hasher) hurry(d *digest) {
	h.mu.Lock()
	for i := range h.waiting {
		if h.waiting[i].digest == d {
			j := h.waiting[i]
			h.waiting = append(h.waiting[:i], h.waiting[i+1:]...)
			h.mu.Unlock()
			h.hash(j)
			return
		}
	}
	h.mu.Unlock()
	d.wait()
}

// finish hashes what is left on all processors, and ends the workers.
func (h *hasher) finish() {
	h.mu.Lock()
	h.closed = true
	left := len(h.waiting)
	h.mu.Unlock()
	h.more.Broadcast()
	for range min(left, runtime.NumCPU()) {
		h.workers.Go(func() { h.drain() })
	}
	h.workers.Wait()
}

func (h *hasher) work() {
	defer h.workers.Done()
	for {
		h.mu.Lock()
		for len(h.waiting) == 0 && !h.closed {
			h.more.Wait()
		}
		closed := h.closed
		h.mu.Unlock()
		if closed {
			return // finish goes on at full speed
		}
		h.drainOne()
	}
}

func (h *hasher) drain() {
	for h.drainOne() {
	}
}

func (h *hasher) drainOne() bool {
	h.mu.Lock()
	if len(h.waiting) == 0 {
		h.mu.Unlock()
		return false
	}
	j := h.waiting[0]
	h.waiting[0] = job{}
	h.waiting = h.waiting[1:]
	h.mu.Unlock()
	h.hash(j)
	return true
}

func (h *hasher) hash(j job) {
	defer close(j.digest.done)
	file := j.file
	if file == nil {
		var err error
		if file, err = openHandle(-1, j.path); err != nil {
			j.digest.reason = fmt.Sprintf("unknown: it could not be read: %v", err)
			return
		}
	} else {
		defer h.release()
	}
	defer file.Close()
	buffer := h.buffers.Get().(*[]byte)
	defer h.buffers.Put(buffer)
	sum, err := sumFile(file, j.digest.id, *buffer)
	if err != nil {
		j.digest.reason = "unknown: " + err.Error()
		return
	}
	j.digest.sha256 = hex.EncodeToString(sum[:])
	if j.keep {
		h.cache.put(file, j.digest.id, sum)
	}
}

var errChanged = errors.New("it changed while it was being read")

// sumFile hashes file, which must be in the state that id says, before and
// after.
func sumFile(file *os.File, id trace.FileID, buffer []byte) (sum [sha256.Size]byte, err error) {
	if err := inState(file, id); err != nil {
		return sum, err
	}
	hash := sha256.New()
	// A section has no WriteTo, so the given buffer is used.
	if _, err := io.CopyBuffer(hash, io.NewSectionReader(file, 0, id.Size), buffer); err != nil {
		return sum, err
	}
	hash.Sum(sum[:0])
	return sum, inState(file, id)
}

func inState(file *os.File, id trace.FileID) error {
	info, err := file.Stat()
	if err == nil && trace.IDOf(info) != id {
		err = errChanged
	}
	return err
}
