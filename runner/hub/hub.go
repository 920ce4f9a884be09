// Package hub tells which repository and revision of a model hub files come
// from, by the layout of the cache that they lie in. It asks no hub.
package hub

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner/bounded"
	"github.com/convrun/convrun/runner/purl"
)

const unknown = "unknown: "

// File is a file that the run read or wrote.
type File struct {
	// Path is absolute and free of symbolic links, Requested the path as the
	// command gave it when it led through one.
	Path, Requested string
	// SHA256 is lower-case hex, or empty when it is not known.
	SHA256 string
}

// Source is a revision of a repository of which the run used files.
type Source struct {
	// Hub is "huggingface", "torch", "keras" or "kaggle".
	Hub string `json:"hub"`
	// Kind is "model", "dataset", "space" or "code".
	Kind string `json:"kind"`
	// Repository is OWNER/NAME, or "unknown: …".
	Repository string `json:"repository"`
	// Revision is what the cache keeps the files under: a commit, a version, a
	// digest in the file's name; "unknown: …" when it keeps none.
	Revision string `json:"revision"`
	// Ref is the branch or tag by which the run asked for the revision; empty
	// when it did not, or when that cannot be told.
	Ref string `json:"ref"`
	// Pinned tells whether the same command will get the same content; nil when
	// it cannot be told. Reason says why.
	Pinned *bool  `json:"pinned"`
	Reason string `json:"reason"`
	// PURL is a package URL, where there is a type for the hub.
	PURL string `json:"purl"`
	// Location is the folder of the revision, or the file.
	Location string `json:"location"`
	// Files is how many of its files were used, and Digest SHA-256 in hex over
	// the lines "<sha256>  <path in the repository>\n", one for each, sorted by
	// path; "unknown: …" when a file's digest is not known.
	Files  int    `json:"files"`
	Digest string `json:"digest"`
}

// Sources finds the sources of the files, in the caches that the environment
// names; sorted by hub, repository, revision and location.
func Sources(files []File, environ []string) []Source {
	s := &search{found: map[string]*source{}, refs: map[string][]ref{}, links: map[string]map[string][]string{}, real: map[string]string{}}
	s.torch, s.keras, s.kaggle = caches(environ)
	for _, f := range files {
		s.findRef(f)
	}
	for _, f := range files {
		s.find(f)
	}
	result := []Source{}
	for _, found := range s.found {
		result = append(result, found.finished())
	}
	slices.SortFunc(result, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Hub, b.Hub), cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Location, b.Location))
	})
	return result
}

// caches are the folders of the hubs whose files cannot be told by their own
// paths alone: torch.hub.get_dir, keras.config and kagglehub's config say how
// each is found. That of Hugging Face tells itself.
func caches(environ []string) (torch, keras, kaggle string) {
	variables := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if _, twice := variables[name]; !twice {
			variables[name] = value
		}
	}
	home := variables["HOME"]
	cache := cmp.Or(variables["XDG_CACHE_HOME"], filepath.Join(home, ".cache"))
	torch = filepath.Join(cmp.Or(variables["TORCH_HOME"], filepath.Join(cache, "torch")), "hub")
	keras = cmp.Or(variables["KERAS_HOME"], filepath.Join(home, ".keras"))
	kaggle = cmp.Or(variables["KAGGLEHUB_CACHE"], filepath.Join(home, ".cache", "kagglehub"))
	return expanded(torch, home), expanded(keras, home), expanded(kaggle, home)
}

// expanded replaces a first "~" as Python's os.path.expanduser does.
func expanded(folder, home string) string {
	if rest, ok := strings.CutPrefix(folder, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return folder
}

// search groups files by the revision that they belong to.
type search struct {
	torch, keras, kaggle string
	found                map[string]*source
	// refs of each repository's folder that the run read or wrote.
	refs map[string][]ref
	// links from a blob of a repository's folder to the snapshots' names of it.
	links map[string]map[string][]string
	// real are folders without links, "" for one that is not there.
	real map[string]string
}

type ref struct {
	name string
	// sum is the SHA-256 of what it holds: a commit.
	sum string
}

// source collects the files of a Source.
type source struct {
	Source
	lines []line
}

type line struct{ path, sha256 string }

func (s *source) finished() Source {
	slices.SortFunc(s.lines, func(a, b line) int { return cmp.Compare(a.path, b.path) })
	s.lines = slices.CompactFunc(s.lines, func(a, b line) bool { return a.path == b.path })
	sum := sha256.New()
	s.Files = len(s.lines)
	for _, l := range s.lines {
		if l.sha256 == "" {
			s.Digest = unknown + "no digest of " + l.path
			return s.Source
		}
		fmt.Fprintf(sum, "%s  %s\n", l.sha256, l.path)
	}
	s.Digest = hex.EncodeToString(sum.Sum(nil))
	return s.Source
}

// add counts a file to a source, which is made when it is the first.
func (s *search) add(location, path string, f File, describe func() Source) {
	found := s.found[location]
	if found == nil {
		found = &source{Source: describe()}
		found.Location = location
		s.found[location] = found
	}
	found.lines = append(found.lines, line{path, f.SHA256})
}

// find looks at both names of a file. The one that the command used comes
// first: the other may be that of a blob, which several revisions share.
func (s *search) find(f File) {
	for _, name := range []string{f.Requested, f.Path} {
		if filepath.IsAbs(name) && (s.huggingFace(name, f) || s.torchHub(name, f) || s.kerasFile(name, f) || s.kaggleHub(name, f)) {
			return
		}
	}
}

// resolved is a folder without links, "" when it is not there.
func (s *search) resolved(folder string) string {
	real, known := s.real[folder]
	if !known {
		real, _ = filepath.EvalSymlinks(folder)
		s.real[folder] = real
	}
	return real
}

// below is a path relative to a folder, with slashes.
func (s *search) below(folder, name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, folder+string(filepath.Separator))
	if real := s.resolved(folder); !ok && real != "" {
		rest, ok = strings.CutPrefix(name, real+string(filepath.Separator))
	}
	return filepath.ToSlash(rest), ok
}

// The layout of huggingface_hub's cache,
// https://huggingface.co/docs/huggingface_hub/guides/manage-cache: in a folder
// for each repository, refs that hold a commit, blobs, and for each commit a
// snapshot of links to them.
var (
	snapshot = regexp.MustCompile(`^(.*/((?:model|dataset|space)s--[^/]+))/snapshots/([^/]+)/(.+)$`)
	blob     = regexp.MustCompile(`^(.*/(?:model|dataset|space)s--[^/]+)/blobs/([^/]+)$`)
	refFile  = regexp.MustCompile(`^(.*/(?:model|dataset|space)s--[^/]+)/refs/(.+)$`)
)

func (s *search) findRef(f File) {
	if m := refFile.FindStringSubmatch(filepath.ToSlash(f.Path)); m != nil {
		s.refs[m[1]] = append(s.refs[m[1]], ref{m[2], f.SHA256})
	}
}

func (s *search) huggingFace(name string, f File) bool {
	name = filepath.ToSlash(filepath.Clean(name))
	if m := blob.FindStringSubmatch(name); m != nil {
		linked := s.linked(m[1])[m[2]]
		if len(linked) != 1 {
			return s.unknownSnapshot(m[1], m[2], len(linked), f)
		}
		name = linked[0]
	}
	m := snapshot.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	folder, repository, revision := m[1], m[2], m[3]
	if real := s.resolved(folder); real != "" {
		folder = real // as the refs are known
	}
	s.add(path.Join(folder, "snapshots", revision), m[4], f, func() Source {
		kind, rest, _ := strings.Cut(repository, "--")
		found := Source{Hub: "huggingface", Kind: strings.TrimSuffix(kind, "s"), Repository: strings.ReplaceAll(rest, "--", "/"), Revision: revision}
		if owner, name, ok := strings.Cut(found.Repository, "/"); found.Kind == "model" {
			if !ok {
				owner, name = "", found.Repository
			}
			found.PURL = purl.New("huggingface", owner, name, revision)
		}
		s.pin(&found, folder)
		return found
	})
	return true
}

// pin tells how the run came by a snapshot. huggingface_hub looks a branch or a
// tag up in the cache's refs, and keeps it there; a commit it finds by its name.
func (s *search) pin(found *Source, folder string) {
	sum := sha256.Sum256([]byte(found.Revision))
	for _, r := range s.refs[folder] {
		if r.sum == hex.EncodeToString(sum[:]) {
			found.Ref, found.Pinned = r.name, new(bool)
			found.Reason = "the run asked for " + r.name + ", which can come to mean another commit"
			return
		}
	}
	found.Pinned = new(true)
	found.Reason = "the run asked for no branch or tag"
}

// maxSnapshots bounds how many links are looked at in a repository's folder.
const maxSnapshots = 20_000

// linked are the names in snapshots of each blob, for a file that the run did
// not open by such a name: one that it downloaded itself.
func (s *search) linked(folder string) map[string][]string {
	if links, known := s.links[folder]; known {
		return links
	}
	links, count := map[string][]string{}, 0
	s.links[folder] = links
	_ = filepath.WalkDir(filepath.Join(filepath.FromSlash(folder), "snapshots"), func(name string, entry fs.DirEntry, err error) error {
		if count++; err != nil || count > maxSnapshots {
			return fs.SkipAll // what is not found counts as unknown
		}
		if target, err := os.Readlink(name); err == nil && entry.Type()&fs.ModeSymlink != 0 {
			links[filepath.Base(target)] = append(links[filepath.Base(target)], filepath.ToSlash(name))
		}
		return nil
	})
	return links
}

func (s *search) unknownSnapshot(folder, name string, snapshots int, f File) bool {
	s.add(path.Join(folder, "blobs", name), name, f, func() Source {
		kind, rest, _ := strings.Cut(path.Base(folder), "--")
		reason := fmt.Sprintf("%d snapshots have the file", snapshots)
		return Source{Hub: "huggingface", Kind: strings.TrimSuffix(kind, "s"), Repository: strings.ReplaceAll(rest, "--", "/"), Revision: unknown + reason, Reason: reason}
	})
	return true
}

// digestInName is torch.hub's HASH_REGEX: the start of a SHA-256.
var digestInName = regexp.MustCompile(`-([a-f0-9]+)\.`)

// torchHub knows what torch.hub keeps: single files under "checkpoints", and
// for each repository a folder OWNER_NAME_REF with the code.
func (s *search) torchHub(name string, f File) bool {
	rest, ok := s.below(s.torch, name)
	if !ok {
		return false
	}
	folder, inside, ok := strings.Cut(rest, "/")
	if !ok {
		return false
	}
	if folder == "checkpoints" {
		s.add(name, inside, f, func() Source { return checkpoint(inside, f) })
		return true
	}
	s.add(filepath.Join(s.torch, folder), inside, f, func() Source { return s.torchRepository(folder) })
	return true
}

func checkpoint(name string, f File) Source {
	found := Source{Hub: "torch", Kind: "model", Repository: unknown + "the cache keeps the name of the file alone"}
	m := digestInName.FindStringSubmatch(path.Base(name))
	switch {
	case m == nil:
		found.Revision, found.Pinned = unknown+"the name holds no digest", new(bool)
		found.Reason = "nothing in the name tells which content the address had"
	case f.SHA256 != "" && !strings.HasPrefix(f.SHA256, m[1]):
		found.Revision, found.Pinned = unknown+"the content is not that of the digest in the name", new(bool)
		found.Reason = "the name says " + m[1] + ", the content begins with " + f.SHA256[:min(len(m[1]), len(f.SHA256))]
	default:
		found.Revision, found.Pinned, found.Reason = m[1], new(true), "the digest in the name is that of the content"
	}
	if f.SHA256 == "" {
		found.Pinned, found.Reason = nil, "the digest of the file is not known"
	}
	return found
}

// isCommit tells a full hash of git from any other name.
var isCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// torchRepository splits OWNER_NAME_REF. An owner on GitHub has no underscore.
func (s *search) torchRepository(folder string) Source {
	found := Source{Hub: "torch", Kind: "code", Pinned: new(bool), Reason: "the revision is a branch or a tag, which can come to mean another commit"}
	owner, rest, _ := strings.Cut(folder, "_")
	name, reference, ok := s.splitTorch(folder, rest)
	if !ok {
		found.Repository = unknown + "the folder's name " + folder + " can be read in several ways"
		found.Revision = unknown + "it is the last part of the folder's name"
		return found
	}
	found.Repository, found.Revision, found.Ref = owner+"/"+name, reference, reference
	if isCommit.MatchString(reference) {
		found.Ref, found.Pinned, found.Reason = "", new(true), "the revision is a commit"
	}
	return found
}

// splitTorch splits NAME_REF, each of which may have an underscore: a commit
// has none, and the list of trusted repositories that torch.hub keeps may have
// OWNER_NAME.
func (s *search) splitTorch(folder, rest string) (name, reference string, ok bool) {
	if at := strings.LastIndexByte(rest, '_'); at >= 0 && (isCommit.MatchString(rest[at+1:]) || strings.Count(rest, "_") == 1) {
		return rest[:at], rest[at+1:], true
	}
	trusted, _ := bounded.Read(filepath.Join(s.torch, "trusted_list"), 1<<20)
	for line := range bounded.Lines(trusted) {
		_, name, named := strings.Cut(string(line), "_")
		if reference, is := strings.CutPrefix(folder, string(line)+"_"); is && named {
			return name, reference, true
		}
	}
	return "", "", false
}

// kerasFile knows what keras.utils.get_file keeps: files under the names that
// they were asked for by.
func (s *search) kerasFile(name string, f File) bool {
	rest, ok := s.below(s.keras, name)
	if !ok || !strings.HasPrefix(rest, "models/") && !strings.HasPrefix(rest, "datasets/") {
		return false
	}
	kind, inside, _ := strings.Cut(rest, "/")
	s.add(name, inside, f, func() Source {
		return Source{
			Hub: "keras", Kind: strings.TrimSuffix(kind, "s"), Repository: unknown + "the cache keeps the name of the file alone",
			Revision: unknown + "the cache keeps none", Pinned: new(bool), Reason: "nothing in the name tells which content the address had",
		}
	})
	return true
}

// kaggleModel and kaggleDataset are the layout of kagglehub's cache.
var (
	kaggleModel   = regexp.MustCompile(`^models/([^/]+/[^/]+/[^/]+/[^/]+)/([0-9]+)/(.+)$`)
	kaggleDataset = regexp.MustCompile(`^datasets/([^/]+/[^/]+)/versions/([0-9]+)/(.+)$`)
)

func (s *search) kaggleHub(name string, f File) bool {
	rest, ok := s.below(s.kaggle, name)
	if !ok {
		return false
	}
	kind, m := "model", kaggleModel.FindStringSubmatch(rest)
	if m == nil {
		kind, m = "dataset", kaggleDataset.FindStringSubmatch(rest)
	}
	if m == nil {
		return false
	}
	s.add(strings.TrimSuffix(filepath.ToSlash(name), "/"+m[3]), m[3], f, func() Source {
		return Source{Hub: "kaggle", Kind: kind, Repository: m[1], Revision: m[2], Reason: "whether the run asked for this version or for the newest cannot be told"}
	})
	return true
}
