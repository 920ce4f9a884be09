package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// pkcs8 is the DER form of a private key.
func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// box encrypts a key as cosign does, with the fast parameters that it used at
// first.
func box(t testing.TB, key any, passphrase string) []byte {
	t.Helper()
	sealed, err := encrypted.EncryptWithCustomKDFParameters(pkcs8(t, key), []byte(passphrase), encrypted.Legacy)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func neverAsked(t *testing.T) func() ([]byte, error) {
	return func() ([]byte, error) {
		t.Error("asked for a passphrase")
		return nil, nil
	}
}

func TestReadPrivateKeyForms(t *testing.T) {
	for _, kind := range keyKinds {
		t.Run(kind.name, func(t *testing.T) {
			raw, err := kind.generate()
			if err != nil {
				t.Fatal(err)
			}
			forms := map[string][]byte{
				"PKCS#8":                inPEM("PRIVATE KEY", pkcs8(t, raw)),
				"sigstore, unprotected": inPEM("ENCRYPTED SIGSTORE PRIVATE KEY", box(t, raw, "")),
				"cosign, unprotected":   inPEM("ENCRYPTED COSIGN PRIVATE KEY", box(t, raw, "")),
				"text around":           append([]byte("a key\n"), append(inPEM("PRIVATE KEY", pkcs8(t, raw)), "\nthe end\n"...)...),
			}
			switch raw := raw.(type) {
			case *rsa.PrivateKey:
				forms["PKCS#1"] = inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(raw))
			case *ecdsa.PrivateKey:
				der, err := x509.MarshalECPrivateKey(raw)
				if err != nil {
					t.Fatal(err)
				}
				forms["SEC 1"] = inPEM("EC PRIVATE KEY", der)
				forms["SEC 1 of openssl"] = append(inPEM("EC PARAMETERS", []byte{6, 0}), inPEM("EC PRIVATE KEY", der)...)
			}
			for name, form := range forms {
				key, err := ReadPrivateKey(form, neverAsked(t))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if got := key.Public().Fingerprint(); got != fingerprint(t, raw.Public()) {
					t.Errorf("%s: read another key, %s", name, got)
				}
				mustSign(t, key)
			}
		})
	}
}

// fingerprint is computed here from its definition.
func fingerprint(t testing.TB, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

func TestPassphrase(t *testing.T) {
	raw, err := keyKinds[0].generate()
	if err != nil {
		t.Fatal(err)
	}
	protected := inPEM("ENCRYPTED SIGSTORE PRIVATE KEY", box(t, raw, "secret"))
	errTerminal := errors.New("no terminal")
	answer := func(phrase string, err error) func() ([]byte, error) {
		asked := 0
		return func() ([]byte, error) {
			if asked++; asked > 1 {
				t.Error("asked twice")
			}
			return []byte(phrase), err
		}
	}
	for _, tt := range []struct {
		name       string
		passphrase func() ([]byte, error)
		is         error
		want       string
	}{
		{"right", answer("secret", nil), nil, ""},
		{"wrong", answer("Secret", nil), ErrPassphrase, "does not open the key"},
		{"empty", answer("", nil), ErrPassphrase, "does not open the key"},
		{"none", nil, ErrPassphrase, "passphrase needed"},
		{"cannot be asked", answer("", errTerminal), errTerminal, "no terminal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ReadPrivateKey(protected, tt.passphrase)
			if tt.is == nil {
				if err != nil || key.Public().Fingerprint() != fingerprint(t, raw.Public()) {
					t.Errorf("got %s, %v", key.Public().Fingerprint(), err)
				}
				return
			}
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || key.signer != nil {
				t.Errorf("got %v, want %v with %q", err, tt.is, tt.want)
			}
			if strings.Contains(err.Error(), "ecret") {
				t.Errorf("%v tells the passphrase", err)
			}
		})
	}
}

func TestReadPrivateKeyRefuses(t *testing.T) {
	raw, err := keyKinds[0].generate()
	if err != nil {
		t.Fatal(err)
	}
	public := newKey(t).Public().PEM()
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := box(t, raw, "")
	for _, tt := range []struct {
		name, want string
		input      []byte
	}{
		{"nothing", "expected PEM", nil},
		{"not PEM", "expected PEM", []byte("hunter2")},
		{"DER", "expected PEM", pkcs8(t, raw)},
		{"public key", "expected a private key, found a public key", public},
		{"certificate", "expected a private key, found a certificate", inPEM("CERTIFICATE", nil)},
		{"another kind of PEM", `found "OPENSSH PRIVATE KEY"`, inPEM("OPENSSH PRIVATE KEY", nil)},
		{"empty PKCS#8", "asn1", inPEM("PRIVATE KEY", nil)},
		{"SEC 1 as PKCS#8", "ParseECPrivateKey", inPEM("PRIVATE KEY", mustSEC1(t, raw))},
		{"parameters alone", "found none", inPEM("EC PARAMETERS", []byte{6, 0})},
		{"P-224", "found ECDSA on P-224", inPEM("PRIVATE KEY", pkcs8(t, p224))},
		{"X25519", "found *ecdh.PublicKey", inPEM("PRIVATE KEY", pkcs8(t, x25519))},
		{"openssl's encryption", "found another encryption", inPEM("ENCRYPTED PRIVATE KEY", []byte("x"))},
		{"openssl's older encryption", "found another encryption",
			pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")})},
		{"not a box", "expected a key encrypted with scrypt", inPEM("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x"))},
		{"another cipher", "expected a key encrypted with scrypt", inPEM("ENCRYPTED SIGSTORE PRIVATE KEY", bytes.Replace(good, []byte("nacl/secretbox"), []byte("rot13"), 1))},
		{"costly parameters", "expected a key encrypted with scrypt", inPEM("ENCRYPTED SIGSTORE PRIVATE KEY", bytes.Replace(good, []byte(`"N":32768`), []byte(`"N":1073741824`), 1))},
		{"damaged box", "passphrase needed", inPEM("ENCRYPTED SIGSTORE PRIVATE KEY", bytes.Replace(good, []byte(`"ciphertext":"`), []byte(`"ciphertext":"AAAA`), 1))},
		{"past the cap", "expected at most 65536 bytes, found 65537", bytes.Repeat([]byte("\n"), MaxKeySize+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ReadPrivateKey(tt.input, nil)
			if err == nil || !strings.HasPrefix(err.Error(), "read private key: ") || !strings.Contains(err.Error(), tt.want) || key.signer != nil {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func mustSEC1(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestReadPublicKey(t *testing.T) {
	raw, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := newKey(t).Public()
	atCap := append(public.PEM(), bytes.Repeat([]byte("\n"), MaxKeySize-len(public.PEM()))...)
	for name, input := range map[string][]byte{
		"PKIX":       public.PEM(),
		"PKCS#1":     inPEM("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&raw.PublicKey)),
		"at the cap": atCap,
	} {
		if key, err := ReadPublicKey(input); err != nil || !key.valid() {
			t.Errorf("%s: %v", name, err)
		}
	}
	weak, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: raw.N.Rsh(raw.N, 1024), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		input      []byte
	}{
		{"nothing", "expected PEM", nil},
		{"not PEM", "expected PEM", []byte("SHA256:00")},
		{"private key", "expected a public key, found a private one", inPEM("PRIVATE KEY", nil)},
		{"encrypted private key", "expected a public key, found a private one", inPEM("ENCRYPTED SIGSTORE PRIVATE KEY", nil)},
		{"certificate", "expected a public key, found a certificate", inPEM("CERTIFICATE", nil)},
		{"another kind of PEM", `found "SSH2 PUBLIC KEY"`, inPEM("SSH2 PUBLIC KEY", nil)},
		{"hostile kind of PEM", `found "\x1b[2J"`, inPEM("\x1b[2J", nil)},
		{"two keys", "expected one PEM block, found more", append(public.PEM(), public.PEM()...)},
		{"broken", "asn1", inPEM("PUBLIC KEY", []byte("x"))},
		{"RSA of 1024 bits", "found RSA of 1024 bits", inPEM("PUBLIC KEY", weak)},
		{"past the cap", "expected at most 65536 bytes, found 65537", append(atCap, '\n')},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ReadPublicKey(tt.input)
			if err == nil || !strings.HasPrefix(err.Error(), "read public key: ") || !strings.Contains(err.Error(), tt.want) || key.valid() {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestZeroKeys(t *testing.T) {
	var public PublicKey
	if public.Fingerprint() != "" || public.Algorithm() != "" || public.PEM() != nil {
		t.Errorf("the zero public key says something: %q", public.Fingerprint())
	}
	if (PrivateKey{}).Public().valid() {
		t.Error("the zero private key has a public half")
	}
}

func TestGenerateKey(t *testing.T) {
	for _, passphrase := range []string{"", "secret"} {
		private, public, err := GenerateKey([]byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		ask := neverAsked(t)
		if passphrase != "" {
			ask = func() ([]byte, error) { return []byte(passphrase), nil }
		}
		key, err := ReadPrivateKey(private, ask)
		if err != nil {
			t.Fatal(err)
		}
		trusted, err := ReadPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		if key.Public().Fingerprint() != trusted.Fingerprint() || trusted.Algorithm() != "ecdsa-sha2-256-nistp256" {
			t.Errorf("the halves do not fit: %s, %s", key.Public().Fingerprint(), trusted.Fingerprint())
		}
		if _, err := Verify(mustSign(t, key), Trust{Key: trusted}); err != nil {
			t.Error(err)
		}
	}
}

func TestGeneratePlainKey(t *testing.T) {
	private, public, err := GeneratePlainKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ReadPrivateKey(private, neverAsked(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(private, []byte("-----BEGIN PRIVATE KEY-----")) || !bytes.Equal(key.Public().PEM(), public) {
		t.Errorf("got %s and %s", private, public)
	}
}

func TestHint(t *testing.T) {
	public := newKey(t).Public()
	sum, err := base64.StdEncoding.DecodeString(public.hint())
	if err != nil || "SHA256:"+hex.EncodeToString(sum) != public.Fingerprint() {
		t.Errorf("hint %s is not the digest of the fingerprint %s", public.hint(), public.Fingerprint())
	}
	if got, ok := hintFingerprint(public.hint()); !ok || got != public.Fingerprint() {
		t.Errorf("hintFingerprint = %s, %t", got, ok)
	}
	for _, hint := range []string{"", "x", "AAAA", public.hint() + "=", strings.TrimSuffix(public.hint(), "=")} {
		if got, ok := hintFingerprint(hint); ok {
			t.Errorf("hintFingerprint(%q) = %s", hint, got)
		}
	}
}

// TestCosignKeyFixture opens a key that cosign made, without cosign.
func TestCosignKeyFixture(t *testing.T) {
	key, err := ReadPrivateKey(fixture(t, "cosign/cosign.key"), func() ([]byte, error) { return []byte("convrun"), nil })
	if err != nil {
		t.Fatal(err)
	}
	public, err := ReadPublicKey(fixture(t, "cosign/cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if key.Public().Fingerprint() != public.Fingerprint() {
		t.Errorf("got %s, want %s", key.Public().Fingerprint(), public.Fingerprint())
	}
}
