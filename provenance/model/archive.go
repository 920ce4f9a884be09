package model

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// maxInflated bounds how much of a compressed entry is unpacked, in bytes.
// PyTorch stores its entries uncompressed; these are read where they lie.
const maxInflated = 32 << 20

// archive is a zip file as PyTorch writes them: all in one folder, whose name
// is that of the file it was first saved to.
type archive struct {
	name    string // for errors
	file    io.ReaderAt
	root    string
	entries map[string]*zip.File // by name beneath root
	order   []string
}

func openArchive(file io.ReaderAt, size int64, name string) (*archive, error) {
	if ok, err := zipIsSmall(file, size); err != nil {
		return nil, err
	} else if !ok {
		return nil, fmt.Errorf("%s: expected a zip file of at most %d entries and %d bytes of directory, found more or none", name, maxZipEntries, maxZipDirectory)
	}
	z, err := zip.NewReader(file, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a := &archive{name: name, file: file, entries: map[string]*zip.File{}}
	for i, f := range z.File {
		root, inner, ok := strings.Cut(f.Name, "/")
		if i == 0 {
			a.root = root
		}
		if !ok || root != a.root {
			continue
		}
		if a.entries[inner] != nil {
			return nil, fmt.Errorf("%s: expected each entry once, found %s twice", name, quote(f.Name))
		}
		a.entries[inner] = f
		a.order = append(a.order, inner)
	}
	return a, nil
}

// entry gives access to the bytes of the entry that has this name in the
// archive's folder.
func (a *archive) entry(inner string) (io.ReaderAt, int64, error) {
	f := a.entries[inner]
	full := quote(a.root + "/" + inner)
	if f == nil {
		return nil, 0, fmt.Errorf("%s: expected an entry %s, found none", a.name, full)
	}
	if f.Method == zip.Store {
		if f.UncompressedSize64 != f.CompressedSize64 || f.UncompressedSize64 > 1<<62 {
			return nil, 0, fmt.Errorf("%s: expected one size of the stored entry %s, found %d and %d", a.name, full, f.CompressedSize64, f.UncompressedSize64)
		}
		offset, err := f.DataOffset()
		if err != nil {
			return nil, 0, fmt.Errorf("%s: entry %s: %w", a.name, full, err)
		}
		size := int64(f.UncompressedSize64)
		return io.NewSectionReader(a.file, offset, size), size, nil
	}
	r, err := f.Open()
	if err != nil {
		return nil, 0, fmt.Errorf("%s: entry %s: %w", a.name, full, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("%s: entry %s: %w", a.name, full, err)
	case len(data) > maxInflated:
		return nil, 0, fmt.Errorf("%s: expected at most %d bytes in the compressed entry %s, found more", a.name, maxInflated, full)
	}
	return bytes.NewReader(data), int64(len(data)), nil
}

// text reads a short entry; it is empty when there is none.
func (a *archive) text(inner string) (string, error) {
	if a.entries[inner] == nil {
		return "", nil
	}
	r, size, err := a.entry(inner)
	if err != nil {
		return "", err
	}
	b := make([]byte, min(size, maxShownName))
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return "", fmt.Errorf("%s: entry %s: %w", a.name, quote(inner), err)
	}
	return strings.TrimSpace(string(b)), nil
}
