package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/strictjson"
)

// The Statement of an OpenSSF model signature, version 1.0, as model_signing
// makes and reads it, https://github.com/sigstore/model-transparency.
const (
	// ModelSignatureType is its predicate type.
	ModelSignatureType = "https://model_signing/signature/v1.0"
	manifestAlgorithm  = "sha256"
)

// gitPaths are what model_signing passes over at the top of a model's folder
// unless it is told otherwise.
var gitPaths = []string{".git", ".gitattributes", ".github", ".gitignore"}

// signatureName is the name that model_signing gives a signature by default.
const signatureName = "model.sig"

// Resource is one file of a model in its manifest.
type Resource struct {
	// Name is slash-separated and relative to the model's folder; "." is a
	// model that is one file.
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	// Digest is in lower-case hex.
	Digest string `json:"digest"`
}

// Resources orders the files of a model, by name with the SHA-256 of each in
// hex, as model_signing does: name by name of their paths, each by its code
// points. It leaves out git's own files and a signature at the top. An error
// names the file that no manifest can have.
func Resources(files map[string]string) ([]Resource, error) {
	list := []Resource{}
	for name, sum := range files {
		top, _, _ := strings.Cut(name, "/")
		if slices.Contains(gitPaths, top) || name == signatureName {
			continue
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("%s: expected a name in UTF-8", TextName(name))
		}
		if _, err := hex.DecodeString(sum); err != nil || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("%s: its digest is not known", name)
		}
		list = append(list, Resource{Name: name, Algorithm: manifestAlgorithm, Digest: sum})
	}
	slices.SortFunc(list, func(x, y Resource) int {
		return slices.Compare(strings.Split(x.Name, "/"), strings.Split(y.Name, "/"))
	})
	return list, nil
}

// ManifestDigest is the digest of a whole model: the SHA-256, in hex, of the
// digests of its resources, as bytes and in their order.
func ManifestDigest(resources []Resource) string {
	digester := digest.SHA256.Digester()
	for _, r := range resources {
		sum, _ := hex.DecodeString(r.Digest) // Resources has looked at it
		digester.Hash().Write(sum)
	}
	return digester.Digest().Encoded()
}

// SignatureStatement is the payload that a model signature of these resources
// has: what model_signing signs, and accepts when somebody else has signed it.
func SignatureStatement(name string, resources []Resource) ([]byte, error) {
	type serialization struct {
		Method        string   `json:"method"`
		HashType      string   `json:"hash_type"`
		AllowSymlinks bool     `json:"allow_symlinks"`
		IgnorePaths   []string `json:"ignore_paths"`
	}
	type predicate struct {
		Serialization serialization `json:"serialization"`
		Resources     []Resource    `json:"resources"`
	}
	return encode(struct {
		Type          string               `json:"_type"`
		Subject       []ResourceDescriptor `json:"subject"`
		PredicateType string               `json:"predicateType"`
		Predicate     predicate            `json:"predicate"`
	}{
		StatementType, []ResourceDescriptor{{Name: name, Digest: sha256Set(ManifestDigest(resources))}}, ModelSignatureType,
		predicate{serialization{"files", manifestAlgorithm, false, append([]string{signatureName}, gitPaths...)}, resources},
	})
}

// manifest is the digest of a model of several files, or why it has none; nil
// of a model that is one file. sums are the digests of its files, by path.
func (a Artifact) manifest(sums map[string]string) *Manifest {
	if !a.several() {
		return nil
	}
	resources, err := a.resources(sums)
	if err != nil {
		return &Manifest{Digest: known(""), Reason: Unknown + err.Error()}
	}
	return &Manifest{Digest: known(ManifestDigest(resources)), Files: len(resources)}
}

// several tells whether the model is a folder, or a file that needs others.
func (a Artifact) several() bool {
	return len(a.Files) > 1 || a.Path != a.Files[0] || len(a.Model.Parts) > 0
}

func (a Artifact) resources(sums map[string]string) ([]Resource, error) {
	for _, part := range a.Model.Parts {
		if part.Size < 0 {
			return nil, fmt.Errorf("%s: %s", part.Name, part.Problem)
		}
	}
	if !a.several() {
		return Resources(map[string]string{".": sums[a.Path]})
	}
	folder := a.Path
	if folder == a.Files[0] {
		folder = filepath.Dir(folder)
	}
	files := map[string]string{}
	for _, path := range a.Files {
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return nil, err
		}
		files[filepath.ToSlash(name)] = sums[path]
	}
	return Resources(files)
}

// SignatureFile is a model signature that lay beside a model, unverified.
type SignatureFile struct {
	// Path is absolute, SHA256 (hex) that of the file.
	Path, SHA256 string
	Payload      []byte
	// Signer is how the bundle names its key or certificate.
	Signer string
}

// claim is what a signature says of the artifact beside which it lay; nil when
// it is about another model, or is no model signature. sums are inputSums.
func (b *builder) claim(a Artifact, sums map[string]string) *ModelSignature {
	for _, file := range b.meta.Signatures[a.Path] {
		var st struct {
			Subject       []ResourceDescriptor `json:"subject"`
			PredicateType string               `json:"predicateType"`
		}
		if err := strictjson.Decode(file.Payload, maxPayload, &st); err != nil || st.PredicateType != ModelSignatureType || len(st.Subject) != 1 {
			continue
		}
		claim := &ModelSignature{
			Name: b.name(file.Path), Digest: known(file.SHA256), PredicateType: st.PredicateType, Signer: orUnknown(file.Signer, ""),
			Subject: st.Subject[0].Name, SubjectDigest: known(st.Subject[0].Digest["sha256"]), Covers: "matches",
		}
		if resources, err := a.resources(sums); err != nil {
			claim.Covers = Unknown + err.Error()
		} else if read := ManifestDigest(resources); read != claim.SubjectDigest["sha256"] {
			claim.Covers = "differs: what the run read has the digest " + read
		}
		if claim.Covers == "matches" || claim.Subject == filepath.Base(a.Path) {
			return claim
		}
	}
	return nil
}

// inputSums are the digests of files as the run read them, or as they lay
// there; outputSums those of files as it left them.
func (b *builder) inputSums() map[string]string {
	return b.sums(func(file runner.File) string {
		if file.Written {
			return file.BeforeSHA256
		}
		return file.SHA256
	})
}

func (b *builder) outputSums() map[string]string {
	return b.sums(func(file runner.File) string { return file.SHA256 })
}

func (b *builder) sums(of func(runner.File) string) map[string]string {
	sums := map[string]string{}
	for _, file := range b.o.Files {
		sums[file.Path] = of(file)
	}
	return sums
}
