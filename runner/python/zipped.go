package python

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

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
	zipped, err := bounded.OpenZip(name)
	if err != nil {
		return nil, err
	}
	defer zipped.Close()
	var inside []*found
	for _, member := range zipped.Files {
		folder, base := path.Split(member.Name)
		entry := strings.TrimSuffix(folder, "/")
		if base != "METADATA" && base != "PKG-INFO" || strings.Contains(entry, "/") || !isMetadata(entry) {
			continue
		}
		text, err := bounded.Member(member, maxHeader)
		if err != nil {
			return inside, err
		}
		f := &found{root: name, metadata: filepath.Join(name, entry), unlisted: "imported from an archive, whose members were not compared"}
		f.setMetadata(text)
		inside = append(inside, f)
	}
	return inside, nil
}
