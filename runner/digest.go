package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/convrun/convrun/runner/trace"
)

const (
	// readBytes is the size of one read: measured best between 128 and 256 KiB.
	readBytes = 256 << 10
	// mostHeld bounds the files that are kept open for hashing later; past it a
	// file is opened again by its name, and its identity compared.
	mostHeld = 256
	// othersOpen is what everything else in convrun has open at once, at most.
	othersOpen = 32
)

// digest is the SHA-256 of a file's content at one moment.
type digest struct {
	done   chan struct{} // closed when the rest is set
	id     trace.FileID
	sha256 string
	reason string // why sha256 is empty
	cached bool
	// renamed is set when the run itself gave the file another name or took
	// one away, which changes its ctime and not its content.
	renamed atomic.Bool
	// job is what remains to be done; nil once somebody does it. The hasher's
	// lock guards it.
	job *job
}

func (d *digest) wait() *digest {
	<-d.done
	return d
}

// hasher computes digests beside the run.
type hasher struct {
	cache   *digestCache
	mu      sync.Mutex
	waiting []*job // some may be taken already
	more    *sync.Cond
	held    int
	maxHeld int
	current *job // that the worker is at
	closed  bool
	workers sync.WaitGroup
	buffers sync.Pool
	// asked and done are bytes: of all that is to be hashed, and of what is
	// hashed or given up.
	asked, done atomic.Int64
	ended       chan struct{} // closed: nothing is left to tell
	teller      sync.WaitGroup
}

// tellEvery is how often it is told how far the hashing is.
const tellEvery = 200 * time.Millisecond

// job is one file that is to be hashed. Whoever does it holds mu; it can be left
// half done for another to go on with.
type job struct {
	path    string
	file    *os.File // nil: open path when its turn comes
	held    bool     // file counts among those held open
	keep    bool     // put the digest into the cache
	digest  *digest
	mu      sync.Mutex
	content *meter
	sum     hash.Hash
	// hurried is set when somebody waits who works at full speed.
	hurried atomic.Bool
}

func newHasher(cache *digestCache) *hasher {
	h := &hasher{cache: cache, maxHeld: max(0, min(mostHeld, (openLimit()-othersOpen)/2)), ended: make(chan struct{})}
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
	h.asked.Add(id.Size)
	j := &job{path: path, keep: mayCache, digest: d}
	h.mu.Lock()
	if j.held = h.held < h.maxHeld; j.held {
		h.held++
	}
	h.mu.Unlock()
	if j.held {
		var err error
		if j.file, err = openHandle(handle, path); err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				h.letGo(j)
				h.enqueue(j) // there will be room when its turn comes
				return d
			}
			h.end(j, fmt.Errorf("it could not be read: %w", err))
			return d
		}
	}
	h.enqueue(j)
	return d
}

func (h *hasher) enqueue(j *job) {
	h.mu.Lock()
	h.waiting, j.digest.job = append(h.waiting, j), j
	h.mu.Unlock()
	h.more.Signal()
}

// letGo no longer counts a job's file among those held open.
func (h *hasher) letGo(j *job) {
	if j.held {
		h.mu.Lock()
		h.held--
		h.mu.Unlock()
		j.held = false
	}
}

func (d *digest) isDone() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// aboutToMove prepares for d's file getting another name or none: what is not
// held open is hashed at once. A nil d stands for every file.
func (h *hasher) aboutToMove(d *digest) {
	if d == nil {
		for _, j := range h.takeUnheld() {
			h.hash(j, false)
		}
		return
	}
	if d.isDone() {
		return
	}
	d.renamed.Store(true)
	if j := h.take(d, func(j *job) bool { return j.file == nil }); j != nil {
		h.hash(j, false)
	}
}

// take gives what remains to be done for d to the caller, who must do it; nil
// when that is nothing, or does not fit.
func (h *hasher) take(d *digest, fits func(*job) bool) *job {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := d.job
	if j == nil || !fits(j) {
		return nil
	}
	d.job = nil
	return j
}

// takeUnheld takes all that waits under its name only.
func (h *hasher) takeUnheld() (taken []*job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.waiting[:0]
	for _, j := range h.waiting {
		switch {
		case j.digest.job == nil:
		case j.file != nil:
			held = append(held, j)
		default:
			j.digest.job = nil
			taken = append(taken, j)
		}
	}
	clear(h.waiting[len(held):])
	h.waiting = held
	return taken
}

// sum is the digest in hex of a package's file that the run did not open.
func (h *hasher) sum(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", path)
	}
	if sum, ok := h.cache.get(trace.IDOf(info)); ok {
		return hex.EncodeToString(sum[:]), nil
	}
	return h.anew(path, trace.IDOf(info), true)
}

// anew is the digest in hex of the file at path, in the state id, from its
// bytes. keep puts it into the cache.
func (h *hasher) anew(path string, id trace.FileID, keep bool) (string, error) {
	d := &digest{done: make(chan struct{}), id: id}
	h.asked.Add(id.Size)
	h.hash(&job{path: path, keep: keep, digest: d}, false)
	if d.reason != "" {
		return "", errors.New(d.reason)
	}
	return d.sha256, nil
}

// hurry moves d to the front, and waits for it.
func (h *hasher) hurry(d *digest) {
	if d.isDone() {
		return
	}
	if j := h.take(d, func(*job) bool { return true }); j != nil {
		h.hash(j, false)
		return
	}
	h.mu.Lock()
	current := h.current
	h.mu.Unlock()
	if current != nil && current.digest == d {
		h.takeOver(current)
	}
	d.wait()
}

// takeOver goes on with what the worker is at: on a busy machine it gets next to
// no time.
func (h *hasher) takeOver(j *job) {
	j.hurried.Store(true)
	h.hash(j, false)
}

// catchUp hashes all that waits.
func (h *hasher) catchUp() {
	h.mu.Lock()
	waiting := slices.Clone(h.waiting)
	h.mu.Unlock()
	for _, j := range waiting {
		h.hurry(j.digest)
	}
}

// hurryAll hashes what is left on all processors; nothing more is queued. tell,
// unless nil, hears how far that is until finish returns.
func (h *hasher) hurryAll(tell func(done, total int64)) {
	h.mu.Lock()
	h.closed = true
	left, current := len(h.waiting), h.current
	h.mu.Unlock()
	h.more.Broadcast()
	if current != nil {
		h.workers.Go(func() { h.takeOver(current) })
	}
	for range min(left, runtime.NumCPU()) {
		h.workers.Go(func() { h.drain() })
	}
	if tell != nil {
		h.teller.Go(func() { h.tell(tell, h.done.Load()) })
	}
}

// tell says how many bytes are done of those that were left at the start, when
// before were done.
func (h *hasher) tell(tell func(done, total int64), before int64) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			tell(h.done.Load()-before, h.asked.Load()-before)
		case <-h.ended:
			return
		}
	}
}

// finish waits for all that was queued, and for the workers' end.
func (h *hasher) finish() {
	h.workers.Wait()
	close(h.ended)
	h.teller.Wait()
}

// work hashes what waits, while nobody else wants the processor.
func (h *hasher) work() {
	defer h.workers.Done()
	for {
		h.mu.Lock()
		for len(h.waiting) == 0 && !h.closed {
			h.more.Wait()
		}
		if h.closed {
			h.mu.Unlock()
			return // hurryAll goes on at full speed
		}
		h.current = h.next()
		h.mu.Unlock()
		if h.current != nil {
			h.hash(h.current, true)
		}
	}
}

func (h *hasher) drain() {
	for {
		h.mu.Lock()
		isEmpty := len(h.waiting) == 0
		j := h.next()
		h.mu.Unlock()
		if isEmpty {
			return
		}
		if j != nil {
			h.hash(j, false)
		}
	}
}

// next takes the first in the queue, which is nil if it is taken already. The
// caller holds the lock.
func (h *hasher) next() *job {
	if len(h.waiting) == 0 {
		return nil
	}
	j := h.waiting[0]
	h.waiting[0] = nil
	h.waiting = h.waiting[1:]
	if j.digest.job == nil {
		return nil
	}
	j.digest.job = nil
	return j
}

// hash does a job, or the rest of it. One who is patient leaves it when somebody
// hurries, who then goes on with it.
func (h *hasher) hash(j *job, patient bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.digest.isDone() {
		return
	}
	if err := h.begin(j); err != nil {
		h.end(j, err)
		return
	}
	buffer := h.buffers.Get().(*[]byte)
	defer h.buffers.Put(buffer)
	j.content.patient = patient
	// A meter has no WriteTo, so the given buffer is used.
	_, err := io.CopyBuffer(j.sum, j.content, *buffer)
	if errors.Is(err, errHurried) {
		return
	}
	if err == nil {
		err = j.digest.inState(j.file)
	}
	h.end(j, err)
}

// begin opens a job's file, which must be in the state that the digest is of.
func (h *hasher) begin(j *job) (err error) {
	if j.content != nil {
		return nil
	}
	if j.file == nil {
		if j.file, err = openHandle(-1, j.path); err != nil {
			return fmt.Errorf("it could not be read: %w", err)
		}
	}
	size := j.digest.id.Size
	j.sum, j.content = sha256.New(), &meter{content: io.NewSectionReader(j.file, 0, size), read: &h.done, left: size, hurried: &j.hurried}
	return j.digest.inState(j.file)
}

// end closes a job's file, and gives the digest or why there is none.
func (h *hasher) end(j *job, err error) {
	defer close(j.digest.done)
	if j.content != nil {
		h.done.Add(j.content.left)
	} else {
		h.done.Add(j.digest.id.Size)
	}
	h.letGo(j)
	if j.file != nil {
		defer j.file.Close()
	}
	if err != nil {
		j.digest.reason = "unknown: " + err.Error()
		return
	}
	var sum [sha256.Size]byte
	j.sum.Sum(sum[:0])
	j.digest.sha256 = hex.EncodeToString(sum[:])
	if j.keep {
		h.cache.put(j.file, j.digest.id, sum)
	}
}

var errChanged = errors.New("it changed while it was being read")

var errHurried = errors.New("somebody hurries")

// meter counts what is read of content, for others to see. For one who is
// patient it stops when it is hurried.
type meter struct {
	content io.Reader
	read    *atomic.Int64
	left    int64
	patient bool
	hurried *atomic.Bool
}

func (m *meter) Read(into []byte) (int, error) {
	if m.patient && m.hurried.Load() {
		return 0, errHurried
	}
	n, err := m.content.Read(into)
	m.left -= int64(n)
	m.read.Add(int64(n))
	return n, err
}

func (d *digest) inState(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	id := trace.IDOf(info)
	if d.renamed.Load() {
		id.CtimeNs = d.id.CtimeNs
	}
	if id != d.id {
		return errChanged
	}
	return nil
}
