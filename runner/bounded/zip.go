package bounded

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxDirectory bounds the directory of an archive; what is kept of each entry
// takes several times its size.
const maxDirectory = 8 << 20

// Zip is an open ZIP archive.
type Zip struct {
	// Files are its members, in the order of its directory.
	Files []*zip.File
	file  *os.File
}

// OpenZip reads the directory of an archive. The caller closes it.
func OpenZip(name string) (*Zip, error) {
	info, err := os.Stat(name) // opening a pipe would wait for ever
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: expected a file, found %s", name, info.Mode())
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	err = smallDirectory(file, info.Size())
	var reader *zip.Reader
	if err == nil {
		reader, err = zip.NewReader(file, info.Size())
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return &Zip{Files: reader.File, file: file}, nil
}

// Close closes the file.
func (z *Zip) Close() error { return z.file.Close() }

// Member reads the first bytes of a member, at most limit.
func Member(member *zip.File, limit int64) ([]byte, error) {
	content, err := member.Open()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", member.Name, err)
	}
	defer content.Close()
	text, err := io.ReadAll(io.LimitReader(content, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", member.Name, err)
	}
	return text, nil
}

// smallDirectory looks at the end record of an archive (APPNOTE 4.3.16) before
// its directory is read into memory whole. A size that does not fit, as in
// ZIP64, is too large.
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
