package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// statement is a small payload; what it means is nothing to this package.
const statement = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"model.onnx",` +
	`"digest":{"sha256":"f81dcb3ed1b1d34a22a2ff65f0dd90dfae5aaf59e2b6bb6bd8cfc5b8ef6bb9f6"}}],` +
	`"predicateType":"https://convrun.github.io/conversion-log/v1","predicate":{}}`

// keyKinds are the kinds of keys that can be read, and the algorithm that each
// signs with.
var keyKinds = []struct {
	name, algorithm string
	generate        func() (crypto.Signer, error)
}{
	{"P-256", "ecdsa-sha2-256-nistp256", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
	{"P-384", "ecdsa-sha2-384-nistp384", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }},
	{"P-521", "ecdsa-sha2-512-nistp521", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) }},
	{"RSA-2048", "rsa-sign-pkcs1-2048-sha256", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
	{"RSA-3072", "rsa-sign-pkcs1-3072-sha256", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 3072) }},
	{"Ed25519", "ed25519", func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
}

// newKey makes a P-256 key.
func newKey(t testing.TB) PrivateKey {
	t.Helper()
	raw, err := keyKinds[0].generate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := newPrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// mustSign signs the statement.
func mustSign(t testing.TB, key Signer) []byte {
	t.Helper()
	bundle, err := Sign(context.Background(), key, "", []byte(statement))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func TestRoundTrip(t *testing.T) {
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
			bundle := mustSign(t, key)
			public, err := ReadPublicKey(key.Public().PEM())
			if err != nil {
				t.Fatal(err)
			}
			verified, err := Verify(bundle, Trust{Key: public})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(verified.Payload()); got != statement {
				t.Errorf("payload = %s", got)
			}
			if got := verified.PayloadType(); got != InToto {
				t.Errorf("payload type = %s", got)
			}
			if got, want := verified.Signer(), (Identity{key.Public().Fingerprint(), kind.algorithm}); got != want {
				t.Errorf("signer = %v, want %v", got, want)
			}
			if key.Public().Algorithm() != kind.algorithm {
				t.Errorf("algorithm = %s, want %s", key.Public().Algorithm(), kind.algorithm)
			}
			if _, err := Verify(bundle, Trust{Key: newKey(t).Public()}); !errors.Is(err, ErrRefused) {
				t.Errorf("with another key: %v, want ErrRefused", err)
			}
		})
	}
}

// otherAlgorithm signs with a key as other Sigstore clients do.
type otherAlgorithm struct {
	signer signature.Signer
	public PublicKey
}

func (s otherAlgorithm) Sign(ctx context.Context, message []byte) (Signature, error) {
	return PrivateKey(s).Sign(ctx, message)
}

func TestOtherClientsAlgorithms(t *testing.T) {
	for _, tt := range []struct {
		kind, algorithm string
		load            []signature.LoadOption
	}{
		{"P-384", "ecdsa-sha2-256-nistp384", []signature.LoadOption{options.WithHash(crypto.SHA256)}},
		{"P-521", "ecdsa-sha2-256-nistp521", []signature.LoadOption{options.WithHash(crypto.SHA256)}},
		{"Ed25519", "ed25519-ph", []signature.LoadOption{options.WithED25519ph()}},
	} {
		t.Run(tt.algorithm, func(t *testing.T) {
			for _, kind := range keyKinds {
				if kind.name != tt.kind {
					continue
				}
				raw, err := kind.generate()
				if err != nil {
					t.Fatal(err)
				}
				signer, err := signature.LoadSignerWithOpts(raw, tt.load...)
				if err != nil {
					t.Fatal(err)
				}
				public, err := newPublicKey(raw.Public())
				if err != nil {
					t.Fatal(err)
				}
				verified, err := Verify(mustSign(t, otherAlgorithm{signer, public}), Trust{Key: public})
				if err != nil {
					t.Fatal(err)
				}
				if got := verified.Signer().Algorithm; got != tt.algorithm {
					t.Errorf("algorithm = %s, want %s", got, tt.algorithm)
				}
			}
		})
	}
}

// TestBundleForm pins what is written: other programs read it, and a bundle's
// own digest is only useful if equal content gives equal bytes.
func TestBundleForm(t *testing.T) {
	key := newKey(t)
	bundle := mustSign(t, fixedSigner{key, nil})
	if bytes.Count(bundle, []byte("\n")) != 1 || !bytes.HasSuffix(bundle, []byte("}\n")) || bytes.Contains(bundle, []byte(" ")) {
		t.Errorf("want one line without spaces, got %s", bundle)
	}
	var form struct {
		MediaType            string `json:"mediaType"`
		VerificationMaterial struct {
			PublicKey struct {
				Hint string `json:"hint"`
			} `json:"publicKey"`
		} `json:"verificationMaterial"`
		DsseEnvelope struct {
			Payload     []byte              `json:"payload"`
			PayloadType string              `json:"payloadType"`
			Signatures  []map[string]string `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	decoder := json.NewDecoder(bytes.NewReader(bundle))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&form); err != nil {
		t.Fatal(err)
	}
	if form.MediaType != "application/vnd.dev.sigstore.bundle.v0.3+json" ||
		form.VerificationMaterial.PublicKey.Hint != key.Public().hint() ||
		string(form.DsseEnvelope.Payload) != statement ||
		form.DsseEnvelope.PayloadType != "application/vnd.in-toto+json" ||
		len(form.DsseEnvelope.Signatures) != 1 || len(form.DsseEnvelope.Signatures[0]) != 1 {
		t.Errorf("got %+v", form)
	}
}

// TestBundleIsStable: the same signature over the same payload is written as
// the same bytes, however protojson feels today.
func TestBundleIsStable(t *testing.T) {
	key := newKey(t)
	message := preAuthEncoding(InToto, []byte(statement))
	made, err := key.Sign(context.Background(), message)
	if err != nil {
		t.Fatal(err)
	}
	first := mustSign(t, fixedSigner{key, &made})
	for range 20 {
		if again := mustSign(t, fixedSigner{key, &made}); !bytes.Equal(first, again) {
			t.Fatalf("got\n%s\nand\n%s", first, again)
		}
	}
}

// fixedSigner returns one given signature, if any.
type fixedSigner struct {
	key  PrivateKey
	made *Signature
}

func (s fixedSigner) Sign(ctx context.Context, message []byte) (Signature, error) {
	if s.made != nil {
		return *s.made, nil
	}
	return s.key.Sign(ctx, message)
}

func TestSignRefuses(t *testing.T) {
	key, other := newKey(t), newKey(t)
	good, err := key.Sign(context.Background(), preAuthEncoding(InToto, []byte(statement)))
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name        string
		ctx         context.Context
		signer      Signer
		payloadType string
		want        string
	}{
		{"cancelled", cancelled, key, "", "canceled"},
		{"zero key", context.Background(), PrivateKey{}, "", "no private key"},
		{"signer without key", context.Background(), fixedSigner{key, &Signature{Value: good.Value}}, "", "no public key"},
		{"signer with the wrong key", context.Background(), fixedSigner{key, &Signature{good.Value, other.Public()}}, "", "verification failed: signature"},
		{"empty signature", context.Background(), fixedSigner{key, &Signature{nil, key.Public()}}, "", "verification failed: signature"},
		{"payload type too long", context.Background(), key, strings.Repeat("a", MaxPayloadTypeSize+1), "at most 255"},
		{"payload type not UTF-8", context.Background(), key, "\xff", "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bundle, err := Sign(tt.ctx, tt.signer, tt.payloadType, []byte(statement))
			if bundle != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s, %v, want error with %q", bundle, err, tt.want)
			}
		})
	}
}

func TestPayloadSizes(t *testing.T) {
	key := newKey(t)
	for _, size := range []int{0, 1, MaxPayloadSize, MaxPayloadSize + 1} {
		payload := bytes.Repeat([]byte("x"), size)
		bundle, err := Sign(context.Background(), key, "", payload)
		if size > MaxPayloadSize {
			if err == nil || !strings.Contains(err.Error(), "expected at most") {
				t.Errorf("%d bytes: %v, want an error", size, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d bytes: %v", size, err)
			continue
		}
		verified, err := Verify(bundle, Trust{Key: key.Public()})
		if err != nil || verified.Payload() == nil || !bytes.Equal(verified.Payload(), payload) {
			t.Errorf("%d bytes: got %d bytes back, %v", size, len(verified.Payload()), err)
		}
	}
}

func TestPayloadTypeAtCap(t *testing.T) {
	payloadType := strings.Repeat("a", MaxPayloadTypeSize)
	if _, err := Sign(context.Background(), newKey(t), payloadType, []byte("x")); err != nil {
		t.Error(err)
	}
}
