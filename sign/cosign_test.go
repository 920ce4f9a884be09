package sign

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const predicateType = "https://convrun.github.io/conversion-log/v1"

// cosign runs the real cosign in a directory of its own, offline.
type cosign struct {
	program, dir string
}

// findCosign looks at CONVRUN_COSIGN, then at where `make` builds it.
func findCosign(t *testing.T) cosign {
	t.Helper()
	program := os.Getenv("CONVRUN_COSIGN")
	if program == "" {
		program = filepath.Join("..", ".cache", "bin", "cosign")
	}
	program, err := filepath.Abs(program)
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatalf("cosign is required: %v", err)
		}
		t.Skipf("no cosign: %v", err)
	}
	c := cosign{program, t.TempDir()}
	// Neither file names a service, so that cosign has none to talk to.
	c.write(t, "signing-config.json", []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}`))
	c.write(t, "trusted-root.json", []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	c.write(t, "model.onnx", []byte("a model\n"))
	return c
}

func (c cosign) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c cosign) read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (c cosign) run(password string, args ...string) (string, error) {
	command := exec.Command(c.program, args...)
	command.Dir = c.dir
	command.Env = append(os.Environ(), "HOME="+c.dir, "COSIGN_PASSWORD="+password, "COSIGN_YES=true")
	output, err := command.CombinedOutput()
	return string(output), err
}

func (c cosign) mustRun(t *testing.T, password string, args ...string) {
	t.Helper()
	if output, err := c.run(password, args...); err != nil {
		t.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// attest lets cosign sign a predicate about model.onnx.
func (c cosign) attest(t *testing.T, key, password string) []byte {
	t.Helper()
	c.write(t, "predicate.json", []byte(`{"conversion":{"id":"from cosign"}}`))
	c.mustRun(t, password, "attest-blob", "--key", key, "--predicate", "predicate.json", "--type", predicateType,
		"--bundle", "cosign.json", "--signing-config", "signing-config.json", "--trusted-root", "trusted-root.json", "model.onnx")
	return c.read(t, "cosign.json")
}

// verify lets cosign check a bundle against a file. cosign hashes with SHA-256
// unless told otherwise, whatever the key.
func (c cosign) verify(bundle, key, file, digest string) (string, error) {
	return c.run("", "verify-blob-attestation", "--type", predicateType, "--key", key, "--bundle", bundle,
		"--insecure-ignore-tlog", "--signature-digest-algorithm", digest, file)
}

// TestCosignVerifies: cosign accepts what convrun signs, with every kind of
// key, and only over the file that it speaks of.
func TestCosignVerifies(t *testing.T) {
	c := findCosign(t)
	c.write(t, "changed.onnx", []byte("another model\n"))
	payload := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"model.onnx","digest":{"sha256":"%x"}}],"predicateType":%q,"predicate":{}}`,
		sha256.Sum256([]byte("a model\n")), predicateType)
	digests := map[string]string{"P-384": "sha384", "P-521": "sha512"}
	for _, kind := range keyKinds {
		t.Run(kind.name, func(t *testing.T) {
			raw, err := kind.generate()
			if err != nil {
				t.Fatal(err)
			}
			key, err := newPrivateKey(raw)
			if err != nil {
				t.Fatal(err)
			}
			bundle, err := Sign(context.Background(), key, "", payload)
			if err != nil {
				t.Fatal(err)
			}
			c.write(t, "convrun.json", bundle)
			c.write(t, "convrun.pub", key.Public().PEM())
			c.write(t, "other.pub", newKey(t).Public().PEM())
			digest := digests[kind.name]
			if digest == "" {
				digest = "sha256"
			}
			if output, err := c.verify("convrun.json", "convrun.pub", "model.onnx", digest); err != nil {
				t.Errorf("refused: %v\n%s", err, output)
			}
			if output, err := c.verify("convrun.json", "convrun.pub", "changed.onnx", digest); err == nil {
				t.Errorf("accepted for another file\n%s", output)
			}
			if output, err := c.verify("convrun.json", "other.pub", "model.onnx", digest); err == nil {
				t.Errorf("accepted with another key\n%s", output)
			}
		})
	}
}

// TestCosignSigns: convrun verifies what cosign signs, and signs with cosign's
// keys. cosign itself cannot make such a bundle with an Ed25519 key.
func TestCosignSigns(t *testing.T) {
	c := findCosign(t)
	for _, kind := range keyKinds {
		if kind.name == "Ed25519" {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			const password = "correct horse"
			raw, err := kind.generate()
			if err != nil {
				t.Fatal(err)
			}
			c.write(t, "plain.pem", inPEM("PRIVATE KEY", pkcs8(t, raw)))
			os.Remove(filepath.Join(c.dir, "imported.key")) // cosign would ask before it replaces it
			os.Remove(filepath.Join(c.dir, "imported.pub"))
			c.mustRun(t, password, "import-key-pair", "--key", "plain.pem", "--output-key-prefix", "imported")

			checkCosignBundle(t, c.attest(t, "imported.key", password), c.read(t, "imported.pub"), kind.algorithm)
			checkCosignKey(t, c.read(t, "imported.key"), password, c.read(t, "imported.pub"))
		})
	}
}

func TestCosignKeyPair(t *testing.T) {
	for name, password := range map[string]string{"protected": "correct horse", "unprotected": ""} {
		t.Run(name, func(t *testing.T) {
			c := findCosign(t)
			c.mustRun(t, password, "generate-key-pair")
			checkCosignBundle(t, c.attest(t, "cosign.key", password), c.read(t, "cosign.pub"), "ecdsa-sha2-256-nistp256")
			checkCosignKey(t, c.read(t, "cosign.key"), password, c.read(t, "cosign.pub"))
		})
	}
}

// TestCosignUsesOurKey: cosign signs with a key that convrun made.
func TestCosignUsesOurKey(t *testing.T) {
	for name, password := range map[string]string{"protected": "correct horse", "unprotected": ""} {
		t.Run(name, func(t *testing.T) {
			c := findCosign(t)
			private, public, err := GenerateKey([]byte(password))
			if err != nil {
				t.Fatal(err)
			}
			c.write(t, "convrun.key", private)
			checkCosignBundle(t, c.attest(t, "convrun.key", password), public, "ecdsa-sha2-256-nistp256")
		})
	}
}

// checkCosignBundle verifies a bundle of cosign's attest.
func checkCosignBundle(t *testing.T, bundle, publicPEM []byte, algorithm string) {
	t.Helper()
	public, err := ReadPublicKey(publicPEM)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := Verify(bundle, Trust{Key: public})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(verified.Payload()), "from cosign") {
		t.Errorf("payload = %s", verified.Payload())
	}
	if got, want := verified.Signer(), (Identity{public.Fingerprint(), algorithm}); got != want {
		t.Errorf("signer = %v, want %v", got, want)
	}
	for _, check := range verified.Checks() {
		if check.Name == "key hint" && check.Result != OK {
			t.Errorf("cosign names its key otherwise: %s", check.Detail)
		}
	}
	if _, err := Verify(bundle, Trust{Key: newKey(t).Public()}); err == nil {
		t.Error("accepted with another key")
	}
}

// checkCosignKey signs with a private key file of cosign.
func checkCosignKey(t *testing.T, privatePEM []byte, password string, publicPEM []byte) {
	t.Helper()
	key, err := ReadPrivateKey(privatePEM, func() ([]byte, error) { return []byte(password), nil })
	if err != nil {
		t.Fatal(err)
	}
	public, err := ReadPublicKey(publicPEM)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(mustSign(t, key), Trust{Key: public}); err != nil {
		t.Error(err)
	}
}
