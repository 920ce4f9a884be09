package installed

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// apk reads the database of Alpine's packages, apk-package(5) of apk-tools:
// stanzas of lines "K:value", P the name, V the version, A the architecture; F
// a folder, below it R a file of it and Z the digest of that file.
func (s *search) apk(d distribution) {
	for _, place := range []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		name := s.path(place)
		text, err := bounded.Read(name, maxList)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			s.problem("%v", err)
			continue
		}
		s.claimAlpine(text, d, name)
		return
	}
}

func (s *search) claimAlpine(text []byte, d distribution, record string) {
	for _, o := range parseAlpine(text, func(o *owner, path, algorithm, digest string) {
		s.claim(o, []byte(filepath.Join(s.root, filepath.FromSlash(path))), algorithm, digest)
	}) {
		if len(o.claims) > 0 {
			o.named("apk", d.id, o.Name, o.Version, record, "arch", o.architecture, "distro", d.name())
			s.add(o)
		}
	}
}

// parseAlpine yields the packages of a database, and each of their files with
// its digest.
func parseAlpine(text []byte, each func(o *owner, path, algorithm, digest string)) (all []*owner) {
	o, folder, path := &owner{}, "", ""
	digest, algorithm := "", ""
	end := func() {
		if path != "" {
			each(o, path, algorithm, digest)
		}
		path, algorithm, digest = "", "", ""
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			end()
			all = append(all, o)
			o, folder = &owner{}, ""
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		switch key {
		case "P":
			o.Name = value
		case "V":
			o.Version = value
		case "A":
			o.architecture = value
		case "F":
			end()
			folder = value
		case "R":
			end()
			path = folder + "/" + value
		case "Z":
			algorithm, digest = alpineDigest(value)
		}
	}
	end()
	return append(all, o)
}

// alpineDigest reads "Q1" and SHA-1 in Base64, or "Q2" and SHA-256.
func alpineDigest(text string) (algorithm, digest string) {
	for prefix, algorithm := range map[string]string{"Q1": "sha1", "Q2": "sha256"} {
		if value, ok := strings.CutPrefix(text, prefix); ok {
			if raw, err := base64.StdEncoding.DecodeString(value); err == nil {
				return algorithm, hex.EncodeToString(raw)
			}
		}
	}
	return "", ""
}
