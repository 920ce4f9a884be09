package python

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
)

// maxRefs bounds a packed-refs file.
const maxRefs = 16 << 20

// checkedOut is "git " and the commit that the repository around a folder has
// checked out, "unknown: …" when it cannot be told, or empty when there is no
// repository. It reads git's files (gitrepository-layout(5)) and does not tell
// whether the folder differs from the commit.
func checkedOut(folder string) string {
	for dir := folder; ; dir = filepath.Dir(dir) {
		if git := filepath.Join(dir, ".git"); exists([]byte(git)) {
			return headOf(git)
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// headOf reads HEAD of a repository. A .git that is a file names the folder of
// a further work tree or of a submodule; refs of the former stand in the
// repository's common folder.
func headOf(git string) string {
	if link, err := bounded.Read(git, maxHeader); err == nil {
		place, ok := strings.CutPrefix(strings.TrimSpace(string(link)), "gitdir: ")
		if !ok {
			return unknown + git + " does not name a repository"
		}
		git = joined(filepath.Dir(git), place)
	}
	head, err := bounded.Read(filepath.Join(git, "HEAD"), maxHeader)
	if err != nil {
		return unknown + "HEAD of " + git + " cannot be read"
	}
	commit := strings.TrimSpace(string(head))
	if ref, symbolic := strings.CutPrefix(commit, "ref: "); symbolic {
		common := git
		if place, err := bounded.Read(filepath.Join(git, "commondir"), maxHeader); err == nil {
			common = joined(git, strings.TrimSpace(string(place)))
		}
		commit = refOf(common, ref)
	}
	if _, err := hex.DecodeString(commit); err != nil || len(commit) != 40 && len(commit) != 64 {
		return unknown + "the commit of " + git + " cannot be read"
	}
	return "git " + commit
}

// joined is a path that may be relative to a folder.
func joined(folder, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(folder, path)
}

// refOf is the commit of a ref, which has a file of its own or a line among
// the packed ones; empty when there is none.
func refOf(git, ref string) string {
	if !filepath.IsLocal(filepath.FromSlash(ref)) {
		return ""
	}
	if text, err := bounded.Read(filepath.Join(git, filepath.FromSlash(ref)), maxHeader); err == nil {
		return strings.TrimSpace(string(text))
	}
	packed, _ := bounded.Read(filepath.Join(git, "packed-refs"), maxRefs)
	for line := range bounded.Lines(packed) {
		if commit, ok := bytes.CutSuffix(line, []byte(" "+ref)); ok {
			return string(commit)
		}
	}
	return ""
}
