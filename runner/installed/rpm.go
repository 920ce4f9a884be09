package installed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// rpm reads the database of RPM: headers as rpm's docs/manual/format_header.md
// has them, kept in SQLite. Its other formats, ndb (SUSE) and Berkeley DB (before
// 2020), are named and not read; docs/adr/0009.
func (s *search) rpm(d distribution) {
	for _, place := range []string{"usr/lib/sysimage/rpm", "var/lib/rpm"} {
		for _, form := range []struct {
			name string
			read func(name string, each func(header []byte)) error
		}{{"rpmdb.sqlite", rpmSQLite}, {"Packages.db", notRead("in the format ndb")}, {"Packages", notRead("a Berkeley DB")}} {
			name := filepath.Join(s.path(place), form.name)
			if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
				continue
			}
			err := form.read(name, func(header []byte) { s.claimRPM(header, d, name) })
			if err != nil {
				s.problem("read the packages of rpm in %s: %v", name, err)
			}
			return
		}
	}
}

func rpmSQLite(name string, each func([]byte)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	database, err := openSQLite(file, info.Size())
	if err != nil {
		return err
	}
	err = database.rows("Packages", func(columns [][]byte) error {
		if len(columns) == 2 { // hnum, blob
			each(columns[1])
		}
		return nil
	})
	if log, statErr := os.Stat(name + "-wal"); err == nil && statErr == nil && log.Size() > 0 {
		return errors.New("its newest changes, in the write-ahead log, were not read")
	}
	return err
}

// notRead says that a database is there in a format that is not read.
func notRead(format string) func(string, func([]byte)) error {
	return func(string, func([]byte)) error {
		return errors.New("it is " + format + ", which convrun does not read")
	}
}

// Tags of rpm's header, and the kinds of their data.
const (
	rpmName, rpmVersion, rpmRelease, rpmEpoch, rpmArch = 1000, 1001, 1002, 1003, 1022
	rpmFileDigests, rpmDigestAlgorithm                 = 1035, 5011
	rpmDirIndexes, rpmBaseNames, rpmDirNames           = 1116, 1117, 1118

	rpmInt32, rpmString, rpmStringArray = 4, 6, 8
)

// rpmHeader is the data of each tag.
type rpmHeader map[uint32]rpmEntry

type rpmEntry struct {
	kind, count uint32
	data        []byte
}

// parseRPM reads a header: counts of entries and of bytes, the entries (tag,
// kind, offset, count), the bytes.
func parseRPM(blob []byte) (rpmHeader, bool) {
	if len(blob) < 8 {
		return nil, false
	}
	entries, size := binary.BigEndian.Uint32(blob), binary.BigEndian.Uint32(blob[4:])
	if entries > 1<<16 || uint64(len(blob)) < 8+uint64(entries)*16+uint64(size) {
		return nil, false
	}
	data := blob[8+entries*16:][:size]
	h := rpmHeader{}
	for i := range entries {
		entry := blob[8+i*16:]
		offset := binary.BigEndian.Uint32(entry[8:])
		if offset > size {
			return nil, false
		}
		h[binary.BigEndian.Uint32(entry)] = rpmEntry{binary.BigEndian.Uint32(entry[4:]), binary.BigEndian.Uint32(entry[12:]), data[offset:]}
	}
	return h, true
}

// strings are the texts of a tag.
func (h rpmHeader) strings(tag uint32) (texts [][]byte) {
	e := h[tag]
	if e.kind != rpmString && e.kind != rpmStringArray {
		return nil
	}
	rest := e.data
	for range e.count {
		text, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			break
		}
		texts, rest = append(texts, text), after
	}
	return texts
}

func (h rpmHeader) text(tag uint32) string {
	if texts := h.strings(tag); len(texts) > 0 {
		return string(texts[0])
	}
	return ""
}

// numbers are the 32-bit numbers of a tag.
func (h rpmHeader) numbers(tag uint32) (numbers []uint32) {
	e := h[tag]
	if e.kind != rpmInt32 {
		return nil
	}
	for rest := e.data; len(rest) >= 4 && uint32(len(numbers)) < e.count; rest = rest[4:] {
		numbers = append(numbers, binary.BigEndian.Uint32(rest))
	}
	return numbers
}

func (s *search) claimRPM(blob []byte, d distribution, record string) {
	h, ok := parseRPM(blob)
	if !ok {
		s.problem("read the packages of rpm in %s: a header is not sound", record)
		return
	}
	o := &owner{}
	folders, digests := h.strings(rpmDirNames), h.strings(rpmFileDigests)
	indexes, sha256 := h.numbers(rpmDirIndexes), false
	if algorithm := h.numbers(rpmDigestAlgorithm); len(algorithm) > 0 {
		sha256 = algorithm[0] == 8 // PGPHASHALGO_SHA256
	}
	var path []byte
	for i, base := range h.strings(rpmBaseNames) {
		if i >= len(indexes) || int(indexes[i]) >= len(folders) {
			break
		}
		path = append(append(path[:0], s.path(string(folders[indexes[i]]))...), '/')
		path = append(path, base...)
		algorithm, digest := "", ""
		if sha256 && i < len(digests) && len(digests[i]) > 0 {
			algorithm, digest = "sha256", string(digests[i])
		}
		s.claim(o, path, algorithm, digest)
	}
	if len(o.claims) == 0 {
		return
	}
	epoch := ""
	if numbers := h.numbers(rpmEpoch); len(numbers) > 0 {
		epoch = strconv.FormatUint(uint64(numbers[0]), 10)
	}
	o.named("rpm", d.id, h.text(rpmName), h.text(rpmVersion)+"-"+h.text(rpmRelease), record, "arch", h.text(rpmArch), "distro", d.name(), "epoch", epoch)
	s.add(o)
}
