//go:build amd64 || arm64

package trace

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lastPages maps pages of memory with nothing readable behind them.
func lastPages(t *testing.T, pages int) []byte {
	t.Helper()
	all, err := unix.Mmap(-1, 0, (pages+1)*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(all) })
	if err := unix.Mprotect(all[pages*pageSize:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return all[:pages*pageSize]
}

func TestTextAtPageBorders(t *testing.T) {
	pages := lastPages(t, 3)
	self := memory(os.Getpid())
	for _, length := range []int{0, 1, 255, 256, 257, 4095, 4096, 5000} {
		text := strings.Repeat("x", length)
		// It ends, with its NUL, at the last byte that can be read.
		start := len(pages) - length - 1
		copy(pages[start:], text+"\x00")
		got, err := self.text(uint64(uintptr(unsafe.Pointer(&pages[start]))), 3*pageSize)
		if err != nil || got != text {
			t.Errorf("length %d: got %d bytes and %v", length, len(got), err)
		}
	}
	for i := range pages {
		pages[i] = 'y'
	}
	address := uint64(uintptr(unsafe.Pointer(&pages[0])))
	if _, err := self.text(address, pathMax); !errors.Is(err, errTooLong) {
		t.Errorf("text without an end: %v, want %v", err, errTooLong)
	}
	if _, err := self.text(address, 4*pageSize); !errors.Is(err, unix.EFAULT) {
		t.Errorf("text that ends in no memory: %v, want EFAULT", err)
	}
}

func FuzzEndpoint(f *testing.F) {
	f.Add([]byte{2, 0, 1, 187, 192, 0, 2, 1})
	f.Add(append([]byte{10, 0, 1, 187, 0, 0, 0, 0}, bytes.Repeat([]byte{1}, 20)...))
	f.Add([]byte{1, 0, '/', 'x'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := endpoint(raw)
		if got != "" && !strings.HasPrefix(got, "ip4 ") && !strings.HasPrefix(got, "ip6 ") {
			t.Errorf("endpoint(%x) = %q", raw, got)
		}
	})
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		raw  []byte
		want string
	}{
		{[]byte{2, 0, 1, 187, 192, 0, 2, 1}, "ip4 192.0.2.1:443"},
		{append([]byte{10, 0, 0, 80, 0, 0, 0, 0}, append(make([]byte, 15), 1)...), "ip6 [::1]:80"},
		{[]byte{1, 0, 'x'}, ""}, {[]byte{2}, ""}, {nil, ""}, {[]byte{2, 0, 1, 187}, ""},
	} {
		if got := endpoint(c.raw); got != c.want {
			t.Errorf("endpoint(%v) = %q, want %q", c.raw, got, c.want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a) b) S 3 4"))
	f.Add([]byte("12 (x) Z 1"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, line []byte) {
		if pid, parent, _ := parseStat(line); pid < 0 || parent < 0 {
			t.Errorf("parseStat(%q) = %d, %d", line, pid, parent)
		}
	})
}

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		line        string
		pid, parent int
		zombie      bool
	}{
		{"12 (sh) S 3 12 12 0", 12, 3, false}, {"12 (a) Z 9 (b) Z 4 1", 12, 4, true},
		{"12 (a b) S) R 3 1", 12, 3, false}, {"12", 0, 0, false}, {"x (y) S 1", 0, 0, false}, {"5 (y) S", 0, 0, false},
	} {
		if pid, parent, zombie := parseStat([]byte(c.line)); pid != c.pid || parent != c.parent || zombie != c.zombie {
			t.Errorf("parseStat(%q) = %d, %d, %v", c.line, pid, parent, zombie)
		}
	}
}
