package python

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of what is read of a distribution's metadata.
const (
	maxList   = 64 << 20 // RECORD; that of torch has 2 MB
	maxHeader = 256 << 10
)

// readBounded reads a regular file that must not be larger than limit.
func readBounded(name string, limit int64) ([]byte, error) {
	// A pipe in the place of a file must not stop us.
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("read %s: expected a file of at most %d bytes, found %s of %d", name, limit, info.Mode(), info.Size())
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// lines yields the lines of text that are not empty, without their ends.
func lines(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(text) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// recordEntry is a line of RECORD; algorithm and digest (lower-case hex) are
// empty when the line states none.
type recordEntry struct {
	path      string
	algorithm string
	digest    string
}

// parseRecordLine reads a line of RECORD as
// https://packaging.python.org/en/latest/specifications/recording-installed-packages/
// has it: CSV of path, "algorithm=digest" in URL-safe Base64 without padding,
// and size. encoding/csv would take ten times as long, and a stray quotation
// mark would cost it the rest of the file.
func parseRecordLine(line []byte) (recordEntry, bool) {
	path, rest, ok := cutField(line)
	if !ok || path == "" {
		return recordEntry{}, false
	}
	hash, _, ok := cutField(rest)
	if !ok {
		return recordEntry{}, false
	}
	entry := recordEntry{path: path}
	if hash == "" {
		return entry, true
	}
	algorithm, value, ok := strings.Cut(hash, "=")
	if !ok || algorithm == "" {
		return recordEntry{}, false
	}
	digest, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil || len(digest) == 0 {
		return recordEntry{}, false
	}
	entry.algorithm, entry.digest = strings.ToLower(algorithm), hex.EncodeToString(digest)
	return entry, true
}

// cutField takes the first field off a line of CSV. A line that has ended has
// an empty field more.
func cutField(line []byte) (field string, rest []byte, ok bool) {
	if len(line) == 0 || line[0] != '"' {
		before, after, _ := bytes.Cut(line, []byte(","))
		return string(before), after, true
	}
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] != '"':
			b.WriteByte(line[i])
		case i+1 < len(line) && line[i+1] == '"':
			b.WriteByte('"')
			i++
		case i+1 == len(line):
			return b.String(), nil, true
		case line[i+1] == ',':
			return b.String(), line[i+2:], true
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

// parseMetadata returns what the header of METADATA or PKG-INFO says; empty
// strings for what it does not.
func parseMetadata(text []byte) (name, version string) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break // the description follows
		}
		key, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(key, "Name") && name == "":
			name = value
		case strings.EqualFold(key, "Version") && version == "":
			version = value
		}
	}
	return name, version
}

// parseEditable returns the folder of an editable install.
func parseEditable(text []byte) (string, bool) {
	var direct struct {
		URL string `json:"url"`
		Dir struct {
			Editable bool `json:"editable"`
		} `json:"dir_info"`
	}
	if json.Unmarshal(text, &direct) != nil || !direct.Dir.Editable {
		return "", false
	}
	location, err := url.Parse(direct.URL)
	if err != nil || location.Scheme != "file" || location.Path == "" || location.Path == "/" {
		return "", false
	}
	return filepath.Clean(filepath.FromSlash(location.Path)), true
}

// splitEntry takes name and version from "NAME-VERSION.dist-info".
func splitEntry(entry string) (name, version string) {
	entry = strings.TrimSuffix(strings.TrimSuffix(entry, ".dist-info"), ".egg-info")
	name, version, _ = strings.Cut(entry, "-")
	// Eggs may name their Python behind the version.
	version, _, _ = strings.Cut(version, "-py")
	return name, version
}

// readMetadata fills name, version and installer; what the files do not say,
// the name of their folder must. It returns what went wrong, or nothing.
func (f *found) readMetadata() (problem string) {
	name := "METADATA"
	switch {
	case !isFolder(f.metadata):
		name = "" // a lone file NAME.egg-info
	case strings.HasSuffix(f.metadata, ".egg-info"):
		name = "PKG-INFO"
	}
	text, err := readHead(filepath.Join(f.metadata, name), maxHeader)
	if err != nil {
		problem = err.Error()
	}
	f.name, f.version = parseMetadata(text)
	entryName, entryVersion := splitEntry(filepath.Base(f.metadata))
	if f.name == "" {
		f.name = entryName
	}
	if f.version == "" {
		f.version = entryVersion
	}
	if f.version == "" {
		f.version = unknown + "its metadata does not say"
	}
	if text, err := readBounded(filepath.Join(f.metadata, "INSTALLER"), maxHeader); err == nil {
		f.installer = strings.TrimSpace(string(text))
	}
	return problem
}

// readHead reads at most limit bytes of a regular file.
func readHead(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
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
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}
