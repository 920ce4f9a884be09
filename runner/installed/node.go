package installed

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// node counts files below node_modules to the package whose folder they lie in
// and whose package.json names it,
// https://docs.npmjs.com/cli/configuring-npm/package-json. npm keeps no digests
// of installed files.
func (s *search) node() {
	found := map[string]*owner{}
	for _, path := range s.paths {
		folder, name, ok := nodePackage(filepath.ToSlash(path))
		if !ok {
			continue
		}
		o := found[folder]
		if o == nil {
			o = &owner{unlisted: "npm keeps no digests of installed files"}
			found[folder] = o
			s.nameNode(o, folder, name)
		}
		if o.Name != "" {
			s.claim(o, []byte(path), "", "")
		}
	}
	for _, o := range found {
		s.add(o)
	}
}

// nodePackage is the folder of the innermost package that a path lies in, and
// its name: NAME or @SCOPE/NAME below node_modules.
func nodePackage(path string) (folder, name string, ok bool) {
	const modules = "/node_modules/"
	at := strings.LastIndex(path, modules)
	if at < 0 {
		return "", "", false
	}
	parts := strings.Split(path[at+len(modules):], "/")
	take := 1
	if strings.HasPrefix(parts[0], "@") {
		take = 2
	}
	if len(parts) <= take || strings.HasPrefix(parts[0], ".") {
		return "", "", false
	}
	name = strings.Join(parts[:take], "/")
	return path[:at] + modules + name, name, true
}

func (s *search) nameNode(o *owner, folder, name string) {
	record := filepath.Join(filepath.FromSlash(folder), "package.json")
	var manifest struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	text, err := bounded.Read(record, 8<<20)
	if os.IsNotExist(err) {
		return // no package, or one that the run removed
	}
	if err == nil {
		err = json.Unmarshal(text, &manifest)
	}
	if err != nil {
		s.problem("read %s: %v", record, err)
	}
	if manifest.Name == "" {
		manifest.Name = name
	}
	scope, base, scoped := strings.Cut(manifest.Name, "/")
	if !scoped {
		scope, base = "", manifest.Name
	}
	o.named("npm", scope, base, manifest.Version, record)
	o.Name = bounded.Shortened(manifest.Name)
}
