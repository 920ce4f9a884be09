package provenance_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/sign"
)

// modelSigning runs the OpenSSF tool, made from testdata/python/signing.txt.
func modelSigning(t *testing.T, dir string) func(args ...string) (string, error) {
	t.Helper()
	python, err := filepath.Abs("../.cache/python/signing/bin/python")
	if err == nil {
		_, err = os.Stat(python)
	}
	if err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatalf("model_signing is required: %v", err)
		}
		t.Skipf("no model_signing: %v", err)
	}
	return func(args ...string) (string, error) {
		command := exec.Command(python, append([]string{"-m", "model_signing"}, args...)...)
		command.Dir = dir
		output, err := command.CombinedOutput()
		return string(output), err
	}
}

// TestManifestIsThatOfModelSigning has the tool sign a folder, and accept the
// manifest that is made here of the same folder.
func TestManifestIsThatOfModelSigning(t *testing.T) {
	dir := t.TempDir()
	tool := modelSigning(t, dir)
	files := map[string]string{}
	for _, name := range []string{"saved_model.pb", "a/b", "a.b", "a/é", "a/z", "B", "variables/variables.index", ".gitignore", ".git/config"} {
		path := filepath.Join(dir, "m", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		files[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	private, public, err := sign.GeneratePlainKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"key": private, "key.pub": public} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := tool("sign", "key", "m", "--private_key", "key", "--signature", "m/model.sig"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "m", "model.sig"))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := sign.UnverifiedPayload(bundle)
	if err != nil {
		t.Fatal(err)
	}
	var theirs struct {
		Subject   []provenance.ResourceDescriptor
		Predicate struct{ Resources []provenance.Resource }
	}
	if err := json.Unmarshal(payload, &theirs); err != nil {
		t.Fatal(err)
	}
	files["model.sig"] = fmt.Sprintf("%x", sha256.Sum256(bundle))
	ours, err := provenance.Resources(files)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(ours) != fmt.Sprint(theirs.Predicate.Resources) || theirs.Subject[0].Digest["sha256"] != provenance.ManifestDigest(ours) {
		t.Errorf("ours %s %v\ntheirs %v", provenance.ManifestDigest(ours), ours, theirs)
	}
	if signer, err := sign.UnverifiedSigner(bundle); err != nil || !strings.HasPrefix(signer, "key ") {
		t.Errorf("signer %q, %v", signer, err)
	}

	// The other way round. The tool names a key by another hint than cosign,
	// and takes a bundle without one.
	key, err := sign.ReadPrivateKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := provenance.SignatureStatement("m", ours)
	if err != nil {
		t.Fatal(err)
	}
	made, err := sign.Sign(context.Background(), key, sign.InToto, statement)
	if err != nil {
		t.Fatal(err)
	}
	hint := made[bytes.Index(made, []byte(`"hint":"`)):]
	hint = hint[:bytes.IndexByte(hint, '}')]
	made = bytes.Replace(made, hint, nil, 1)
	if err := os.WriteFile(filepath.Join(dir, "ours.sig"), made, 0o644); err != nil {
		t.Fatal(err)
	}
	verify := []string{"verify", "key", "m", "--public_key", "key.pub", "--signature", "ours.sig"}
	if out, err := tool(verify...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "m", "B"), []byte("changed"), fs.FileMode(0o644)); err != nil {
		t.Fatal(err)
	}
	if out, err := tool(verify...); err == nil || !strings.Contains(out, "'B'") {
		t.Errorf("a changed file: %v\n%s", err, out)
	}
}
