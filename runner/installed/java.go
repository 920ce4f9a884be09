package installed

import (
	"archive/zip"
	"bytes"
	"path/filepath"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// maxInJar bounds the packages that one archive may name.
const maxInJar = 200

// java names what is in the JAR files that were read: by the pom.properties
// that Maven puts into them, of which a file that unites several has several,
// else by the manifest,
// https://docs.oracle.com/en/java/javase/21/docs/specs/jar/jar.html.
func (s *search) java() {
	for _, path := range s.paths {
		if filepath.Ext(path) == ".jar" {
			if err := s.claimJar(path); err != nil {
				s.problem("%v", err)
			}
		}
	}
}

func (s *search) claimJar(path string) error {
	jar, err := bounded.OpenZip(path)
	if err != nil {
		return err
	}
	defer jar.Close()
	var manifest *zip.File
	found := 0
	for _, member := range jar.Files {
		switch {
		case member.Name == "META-INF/MANIFEST.MF":
			manifest = member
		case strings.HasPrefix(member.Name, "META-INF/maven/") && strings.HasSuffix(member.Name, "/pom.properties") && found < maxInJar:
			text, err := bounded.Member(member, maxHeader)
			if err != nil {
				return err
			}
			values := parseAttributes(text, "=")
			if values["groupId"] == "" || values["artifactId"] == "" {
				continue
			}
			found++
			o := jarOwner()
			o.named("maven", values["groupId"], values["artifactId"], values["version"], path)
			o.Name = bounded.Shortened(values["groupId"] + ":" + values["artifactId"])
			s.claim(o, []byte(path), "", "")
			s.add(o)
		}
	}
	if found > 0 || manifest == nil {
		return nil
	}
	text, err := bounded.Member(manifest, maxHeader)
	if err != nil {
		return err
	}
	s.claimManifest(path, parseAttributes(text, ":"))
	return nil
}

func jarOwner() *owner { return &owner{unlisted: "a JAR file is not compared with a record"} }

// claimManifest names a JAR by its manifest, which has no Maven coordinates.
func (s *search) claimManifest(path string, values map[string]string) {
	first := func(keys ...string) string {
		for _, key := range keys {
			if values[key] != "" {
				return values[key]
			}
		}
		return ""
	}
	name := first("Bundle-SymbolicName", "Automatic-Module-Name", "Implementation-Title", "Specification-Title")
	name, _, _ = strings.Cut(name, ";")
	if name == "" {
		return
	}
	o := jarOwner()
	o.named("generic", "", name, first("Bundle-Version", "Implementation-Version", "Specification-Version"), path)
	o.PURL = ""
	s.claim(o, []byte(path), "", "")
	s.add(o)
}

// parseAttributes reads lines "key=value" or "Key: value". A line of a manifest
// that starts with a space goes on with the one before; the first section ends
// with an empty line.
func parseAttributes(text []byte, separator string) map[string]string {
	if separator == ":" {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		text, _, _ = bytes.Cut(text, []byte("\n\n"))
		text = bytes.ReplaceAll(text, []byte("\n "), nil)
	}
	values := map[string]string{}
	for line := range bounded.Lines(text) {
		if key, value, ok := strings.Cut(string(line), separator); ok && line[0] != '#' {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return values
}
