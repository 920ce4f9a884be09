package installed

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// maxRecords bounds the packages of an environment; a large one has a thousand.
const maxRecords = 10_000

// conda reads the records of conda environments that files lie in: a JSON file
// for each package in PREFIX/conda-meta,
// https://docs.conda.io/projects/conda/en/stable/dev-guide/api/conda/models/records/.
func (s *search) conda() {
	seen := map[string]bool{}
	for _, path := range s.paths {
		for _, part := range []string{"/bin/", "/lib/", "/share/", "/ssl/"} {
			prefix, _, ok := strings.Cut(filepath.ToSlash(path), part)
			if !ok || seen[prefix] {
				continue
			}
			seen[prefix] = true
			meta := filepath.Join(filepath.FromSlash(prefix), "conda-meta")
			records := names(meta, ".json")
			if len(records) > maxRecords {
				s.problem("%s has %d records, of which %d were read", meta, len(records), maxRecords)
				records = records[:maxRecords]
			}
			for _, name := range records {
				s.claimConda(prefix, filepath.Join(meta, name))
			}
		}
	}
}

// condaRecord is what a record says that is needed here.
type condaRecord struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Build   string `json:"build"`
	Channel string `json:"channel"`
	Subdir  string `json:"subdir"`
	Paths   struct {
		Paths []struct {
			Path string `json:"_path"`
			Kind string `json:"path_type"`
			// Of the package, and of the file once the prefix was written into it.
			SHA256   string `json:"sha256"`
			InPrefix string `json:"sha256_in_prefix"`
		} `json:"paths"`
	} `json:"paths_data"`
	Files []string `json:"files"`
}

func (s *search) claimConda(prefix, record string) {
	text, err := bounded.Read(record, maxList)
	if err != nil {
		s.problem("%v", err)
		return
	}
	if !s.mayHold(prefix, text) {
		return // nothing of it was used, and JSON takes a while to read
	}
	var r condaRecord
	if err := json.Unmarshal(text, &r); err != nil {
		s.problem("read %s: %v", record, err)
		return
	}
	o := &owner{}
	for _, p := range r.Paths.Paths {
		algorithm, digest := "", p.InPrefix
		if digest == "" {
			digest = p.SHA256
		}
		if digest != "" {
			algorithm = "sha256"
		}
		s.claim(o, []byte(filepath.Join(prefix, filepath.FromSlash(p.Path))), algorithm, strings.ToLower(digest))
	}
	for _, name := range r.Files {
		s.claim(o, []byte(filepath.Join(prefix, filepath.FromSlash(name))), "", "")
	}
	o.named("conda", "", r.Name, r.Version, record, "build", r.Build, "channel", filepath.Base(r.Channel), "subdir", r.Subdir)
	s.add(o)
}

// mayHold tells whether any string of a JSON text is the path of a file that
// was used. One with an escape in it may be.
func (s *search) mayHold(prefix string, text []byte) bool {
	path := append([]byte(prefix), '/')
	start := len(path)
	for {
		_, after, ok := bytes.Cut(text, []byte{'"'})
		if !ok {
			return false
		}
		literal, rest, ok := bytes.Cut(after, []byte{'"'})
		if !ok {
			return false
		}
		if bytes.IndexByte(literal, '\\') >= 0 {
			return true
		}
		path = append(path[:start], literal...)
		if s.files[string(path)] != nil {
			return true
		}
		text = rest
	}
}
