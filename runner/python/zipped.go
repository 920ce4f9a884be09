package python

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxDirectory bounds the directory of an archive; a Go value of each entry is
// kept, of about ten times the size.
const maxDirectory = 8 << 20

// isArchive tells whether Python can import from a file of that name.
func isArchive(path string) bool {
	return slices.Contains([]string{".whl", ".egg", ".zip", ".pyz"}, filepath.Ext(path))
}

// claimArchives gives the archives that were read to the distributions inside.
func (s *scan) claimArchives() {
	for path, file := range s.wanted {
		if file.owners != nil || !isArchive(path) {
			continue
		}
		inside, err := inArchive(path)
		if err != nil {
			s.problems = append(s.problems, err.Error())
		}
		for _, f := range inside {
			s.claim(f, file, filepath.Base(path), "", "")
			s.found = append(s.found, f)
		}
	}
}

// inArchive reads the metadata of the distributions in an archive.
func inArchive(name string) ([]*found, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	if err := smallDirectory(file, info.Size()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	var inside []*found
	for _, member := range archive.File {
		folder, base := path.Split(member.Name)
		entry := strings.TrimSuffix(folder, "/")
		if base != "METADATA" && base != "PKG-INFO" || strings.Contains(entry, "/") || !isMetadata(entry) {
			continue
		}
		text, err := readMember(member)
		if err != nil {
			return inside, fmt.Errorf("read %s of %s: %w", member.Name, name, err)
		}
		f := &found{root: name, metadata: filepath.Join(name, entry), unlisted: "imported from an archive, whose members were not compared"}
		f.setMetadata(text)
		inside = append(inside, f)
	}
	return inside, nil
}

func readMember(member *zip.File) ([]byte, error) {
	content, err := member.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(io.LimitReader(content, maxHeader))
}

// smallDirectory looks at the end record of an archive (APPNOTE 4.3.16) before
// its directory is read into memory whole.
func smallDirectory(file io.ReaderAt, size int64) error {
	const record, comment = 22, 1<<16 - 1
	tail := make([]byte, min(size, record+comment))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || len(tail)-at < record {
		return zip.ErrFormat
	}
	if length := binary.LittleEndian.Uint32(tail[at+12:]); length > maxDirectory {
		return fmt.Errorf("expected a directory of at most %d bytes, found %d", maxDirectory, length)
	}
	return nil
}
