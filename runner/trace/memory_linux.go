//go:build amd64 || arm64

package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	pageSize = 4096
	pathMax  = 4096
	// Bounds on the arguments of a program that are kept.
	maxArguments     = 1024
	maxArgumentBytes = 64 << 10
)

var errTooLong = errors.New("text without end")

// memory reads the address space of one thread, process_vm_readv(2), or
// /proc/TID/mem where a sandbox lacks that call.
type memory int

func (m memory) read(into []byte, address uint64) (int, error) {
	local := unix.Iovec{Base: &into[0]}
	local.SetLen(len(into))
	remote := unix.RemoteIovec{Base: uintptr(address), Len: len(into)}
	n, err := unix.ProcessVMReadv(int(m), []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
	if errors.Is(err, unix.ENOSYS) {
		file, openErr := os.Open(fmt.Sprintf("/proc/%d/mem", int(m)))
		if openErr != nil {
			return 0, openErr
		}
		defer file.Close()
		return file.ReadAt(into, int64(address))
	}
	return n, err
}

// text reads a NUL-terminated string of at most limit bytes. It never reads
// past the end of a page before it knows that the text goes on there.
func (m memory) text(address uint64, limit int) (string, error) {
	var text []byte
	var chunk [pageSize]byte
	for len(text) < limit {
		want := min(pageSize-int(address%pageSize), limit-len(text))
		if len(text) == 0 {
			want = min(want, 256)
		}
		n, err := m.read(chunk[:want], address)
		if err != nil {
			return "", err
		}
		if end := bytes.IndexByte(chunk[:n], 0); end >= 0 {
			return string(append(text, chunk[:end]...)), nil
		}
		text = append(text, chunk[:n]...)
		address += uint64(n)
	}
	return string(text), errTooLong
}

// argv reads a NULL-terminated array of strings, bounded; errTooLong says that
// there was more.
func (m memory) argv(address uint64, pointerBytes int) (argv []string, err error) {
	total := 0
	for len(argv) < maxArguments && total < maxArgumentBytes {
		var raw [8]byte
		if n, err := m.read(raw[:pointerBytes], address); err != nil || n < pointerBytes {
			return argv, errors.Join(err, io.ErrUnexpectedEOF)
		}
		pointer := binary.LittleEndian.Uint64(raw[:])
		if pointer == 0 {
			return argv, nil
		}
		argument, err := m.text(pointer, maxArgumentBytes-total)
		if argument != "" || err == nil {
			argv = append(argv, argument)
		}
		if err != nil {
			return argv, err
		}
		total += len(argument)
		address += uint64(pointerBytes)
	}
	return argv, errTooLong
}
