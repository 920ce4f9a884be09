package installed

import (
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// distribution is what os-release(5) says: ID and VERSION_ID.
type distribution struct{ id, version string }

// name is "debian-12", as tools that make package URLs write it.
func (d distribution) name() string {
	if d.id == "" || d.version == "" {
		return d.id
	}
	return d.id + "-" + d.version
}

func (s *search) distribution() (d distribution) {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		text, err := bounded.Read(s.path(name), maxHeader)
		if err != nil {
			continue
		}
		for line := range bounded.Lines(text) {
			key, value, _ := strings.Cut(string(line), "=")
			value = strings.Trim(value, `"'`)
			switch key {
			case "ID":
				d.id = value
			case "VERSION_ID":
				d.version = value
			}
		}
		return d
	}
	return d
}

// system looks into the databases of the operating system's packages. Nearly
// every machine has one of them; a tool that reads another's packages may have
// brought a second.
func (s *search) system() {
	d := s.distribution()
	s.dpkg(d)
	s.rpm(d)
	s.apk(d)
}
