package python

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"path/filepath"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// Bounds of what is read of a distribution's metadata.
const (
	maxList   = 64 << 20 // RECORD; that of torch has 2 MB
	maxHeader = 256 << 10
)

// parseHash reads what follows the path in a line of RECORD, as
// https://packaging.python.org/en/latest/specifications/recording-installed-packages/
// has it: "algorithm=digest", the digest in URL-safe Base64 without padding,
// and a size. A line may have neither; then both results are empty. The digest
// comes back in lower-case hex.
func parseHash(rest []byte) (algorithm, digest string, ok bool) {
	hash, _, ok := cutField(rest)
	if !ok || len(hash) == 0 {
		return "", "", ok
	}
	algorithm, value, ok := strings.Cut(string(hash), "=")
	bytes, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(value, "="))
	if !ok || algorithm == "" || err != nil || len(bytes) == 0 {
		return "", "", false
	}
	return strings.ToLower(algorithm), hex.EncodeToString(bytes), true
}

// cutField takes the first field off a line of CSV. A line that has ended has
// an empty field more. encoding/csv would take ten times as long, and a stray
// quotation mark would cost it the rest of the file.
func cutField(line []byte) (field, rest []byte, ok bool) {
	if len(line) == 0 || line[0] != '"' {
		before, after, _ := bytes.Cut(line, []byte(","))
		return before, after, true
	}
	var b []byte
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] != '"':
			b = append(b, line[i])
		case i+1 < len(line) && line[i+1] == '"':
			b = append(b, '"')
			i++
		case i+1 == len(line):
			return b, nil, true
		case line[i+1] == ',':
			return b, line[i+2:], true
		default:
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// parseMetadata returns what the header of METADATA or PKG-INFO says; empty
// strings for what it does not.
func parseMetadata(text []byte) (name, version string) {
	// Python takes a lone carriage return for the end of a line.
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\n")
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

// splitEntry takes name and version from "NAME-VERSION.dist-info".
func splitEntry(entry string) (name, version string) {
	entry = strings.TrimSuffix(strings.TrimSuffix(entry, ".dist-info"), ".egg-info")
	name, version, _ = strings.Cut(entry, "-")
	// Eggs may name their Python behind the version.
	version, _, _ = strings.Cut(version, "-py")
	return name, version
}

// readMetadata fills in what the files beside RECORD say. It returns what went
// wrong, or nothing.
func (f *found) readMetadata() (problem string) {
	name := "METADATA"
	switch {
	case !isFolder(f.metadata):
		name = "" // a lone file NAME.egg-info
	case !strings.HasSuffix(f.metadata, ".dist-info"):
		name = "PKG-INFO"
	}
	text, _, err := bounded.Head(filepath.Join(f.metadata, name), maxHeader)
	if err != nil && f.unlisted != removedByRun {
		problem = err.Error()
	}
	f.setMetadata(text)
	if text, err := bounded.Read(filepath.Join(f.metadata, "INSTALLER"), maxHeader); err == nil {
		f.installer = bounded.Shortened(strings.TrimSpace(string(text)))
	}
	if text, err := bounded.Read(filepath.Join(f.metadata, "direct_url.json"), maxHeader); err == nil {
		if direct, ok := parseDirectURL(text); ok {
			f.directURL, f.commit = bounded.Shortened(direct.URL), direct.commit()
		} else {
			problem = filepath.Join(f.metadata, "direct_url.json") + ": expected an object with a URL, found something else"
		}
	} else if strings.HasSuffix(f.metadata, ".egg-info") && !isPackageFolder(f.root) && !strings.HasSuffix(f.root, ".egg") {
		// Built in its own source folder, which "setup.py develop" leads to.
		f.commit = checkedOut(f.root)
	}
	return problem
}

// setMetadata takes name and version from METADATA or PKG-INFO; what these do
// not say, the name of their folder must.
func (f *found) setMetadata(text []byte) {
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
	f.name, f.version = bounded.Shortened(f.name), bounded.Shortened(f.version)
}
