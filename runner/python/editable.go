package python

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// directURL is what direct_url.json says of where a distribution was installed
// from, https://packaging.python.org/en/latest/specifications/direct-url/.
type directURL struct {
	URL string `json:"url"`
	Dir struct {
		Editable bool `json:"editable"`
	} `json:"dir_info"`
	VCS struct {
		Name   string `json:"vcs"`
		Commit string `json:"commit_id"`
	} `json:"vcs_info"`
}

// parseDirectURL reads direct_url.json; user name and password, which
// installers leave out or take from the environment, are left out here too.
func parseDirectURL(text []byte) (d directURL, ok bool) {
	if json.Unmarshal(text, &d) != nil || d.URL == "" {
		return directURL{}, false
	}
	location, err := url.Parse(d.URL)
	if err != nil {
		return directURL{}, false
	}
	location.User = nil
	d.URL = location.String()
	return d, true
}

// folder is the local folder that the URL names, if it names one.
func (d directURL) folder() (string, bool) {
	location, err := url.Parse(d.URL)
	if err != nil || location.Scheme != "file" || location.Path == "" || location.Path == "/" {
		return "", false
	}
	return filepath.Clean(filepath.FromSlash(location.Path)), true
}

// commit is the version-control commit that was installed, or the one that the
// folder of an editable install is at; empty when neither is meant.
func (d directURL) commit() string {
	if d.VCS.Commit != "" {
		return bounded.Shortened(d.VCS.Name + " " + d.VCS.Commit)
	}
	if folder, ok := d.folder(); ok && d.Dir.Editable {
		return checkedOut(folder)
	}
	return ""
}

// claimEditable takes the modules of an editable install (PEP 660), which lie
// where they are worked on: below what the .pth files and finders in RECORD
// lead to, or below the folder of direct_url.json when they lead nowhere.
func (s *scan) claimEditable(f *found, list []byte) {
	text, err := bounded.Read(filepath.Join(f.metadata, "direct_url.json"), maxHeader)
	if err != nil {
		return
	}
	direct, ok := parseDirectURL(text)
	folder, local := direct.folder()
	if !ok || !local || !direct.Dir.Editable {
		return
	}
	f.editable = folder
	places := f.places(list)
	if len(places) == 0 {
		places = []string{folder}
	}
	for path, file := range s.wanted {
		if file.owners != nil || !isModule(path) || !holds(places, path) {
			continue
		}
		name, below := relativeTo(folder, path)
		if !below {
			name = path
		}
		s.claim(f, file, name, "", "")
	}
}

// holds tells whether a file is one of the places, a module of that name, or
// below one.
func holds(places []string, path string) bool {
	for _, place := range places {
		if rest, ok := strings.CutPrefix(path, place); ok && (rest == "" || rest[0] == filepath.Separator || rest[0] == '.' && !strings.ContainsRune(rest, filepath.Separator)) {
			return true
		}
	}
	return false
}

// places are where the modules of an editable install are looked for: what
// setuptools' finder maps names to, or the folders that a .pth file names,
// of which only the modules count that top_level.txt names when there is one.
func (f *found) places(list []byte) (places []string) {
	for line := range bounded.Lines(list) {
		field, _, ok := cutField(line)
		name := string(field)
		if !ok || strings.ContainsRune(name, '/') {
			continue
		}
		switch {
		case strings.HasPrefix(name, "__editable__") && strings.HasSuffix(name, "_finder.py"):
			if text, err := bounded.Read(filepath.Join(f.root, name), maxHeader); err == nil {
				places = append(places, finderPlaces(text)...)
			}
		case strings.HasSuffix(name, ".pth"):
			if text, err := bounded.Read(filepath.Join(f.root, name), maxHeader); err == nil {
				places = append(places, f.pathPlaces(text)...)
			}
		}
	}
	return places
}

// pathPlaces are the places that a .pth file adds: each line is a folder, or
// code that starts with "import", https://docs.python.org/3/library/site.html.
func (f *found) pathPlaces(text []byte) (places []string) {
	for line := range bounded.Lines(text) {
		folder := strings.TrimSpace(string(line))
		if strings.HasPrefix(folder, "#") || strings.HasPrefix(folder, "import ") || strings.HasPrefix(folder, "import\t") {
			continue
		}
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(f.root, folder)
		}
		folder = filepath.Clean(folder)
		top, err := bounded.Read(filepath.Join(f.metadata, "top_level.txt"), maxHeader)
		if err != nil {
			places = append(places, folder)
		}
		for module := range bounded.Lines(top) {
			places = append(places, filepath.Join(folder, filepath.FromSlash(strings.TrimSpace(string(module)))))
		}
	}
	return places
}

// The assignment and the entries of the dictionary that setuptools writes into
// the finder of an editable install: names of modules and their paths.
var (
	finderMapping = regexp.MustCompile(`(?m)^MAPPING[^=\n]*= *\{(.*)\}`)
	finderEntry   = regexp.MustCompile(`'(?:[^'\\]|\\.)*' *: *'((?:[^'\\]|\\.)*)'`)
)

func finderPlaces(text []byte) (places []string) {
	mapping := finderMapping.FindSubmatch(text)
	if mapping == nil {
		return nil
	}
	for _, entry := range finderEntry.FindAllSubmatch(mapping[1], -1) {
		place := strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(string(entry[1]))
		if filepath.IsAbs(place) {
			places = append(places, filepath.Clean(place))
		}
	}
	return places
}
