package sign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
)

// object is a JSON object that a test takes apart.
type object = map[string]any

// edit returns bundle with a change made to its JSON.
func edit(t testing.TB, bundle []byte, change func(o object)) []byte {
	t.Helper()
	var o object
	if err := json.Unmarshal(bundle, &o); err != nil {
		t.Fatal(err)
	}
	change(o)
	edited, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return edited
}

func envelopeOf(o object) object { return o["dsseEnvelope"].(object) }
func materialOf(o object) object { return o["verificationMaterial"].(object) }

func TestNoTrust(t *testing.T) {
	bundle := mustSign(t, newKey(t))
	for name, input := range map[string][]byte{"good bundle": bundle, "nothing": nil} {
		verified, err := Verify(input, Trust{})
		if !errors.Is(err, ErrNoTrust) || verified.Payload() != nil {
			t.Errorf("%s: got %q, %v, want ErrNoTrust", name, verified.Payload(), err)
		}
	}
}

func TestZeroVerified(t *testing.T) {
	var v Verified
	if v.Payload() != nil || v.PayloadType() != "" || v.Signer() != (Identity{}) || v.Checks() != nil {
		t.Errorf("the zero value says something: %+v", v)
	}
}

func TestVerifiedCannotBeChanged(t *testing.T) {
	key := newKey(t)
	v, err := Verify(mustSign(t, key), Trust{Key: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	v.Payload()[0] = 'X'
	v.Checks()[0].Result = "X"
	if string(v.Payload()) != statement || v.Checks()[0].Result != OK {
		t.Error("a caller changed what was verified")
	}
}

func TestRefused(t *testing.T) {
	key, other := newKey(t), newKey(t)
	bundle := mustSign(t, key)
	signatures := func(change func(list []any) []any) func(object) {
		return func(o object) {
			e := envelopeOf(o)
			e["signatures"] = change(e["signatures"].([]any))
		}
	}
	for _, tt := range []struct {
		name   string
		change func(o object)
		want   []string
	}{
		{"no signature", signatures(func(l []any) []any { return nil }), []string{"signature: expected exactly one, found 0"}},
		{"empty signatures", signatures(func(l []any) []any { return l[:0] }), []string{"signature: expected exactly one, found 0"}},
		{"two signatures", signatures(func(l []any) []any { return append(l, l[0]) }), []string{"signature: expected exactly one, found 2"}},
		{"empty signature", signatures(func(l []any) []any { return []any{object{"sig": ""}} }), []string{"does not match"}},
		{"signature at the cap", signatures(func(l []any) []any {
			return []any{object{"sig": make([]byte, maxSignatureSize)}}
		}), []string{"does not match"}},
		{"signature past the cap", signatures(func(l []any) []any {
			return []any{object{"sig": make([]byte, maxSignatureSize+1)}}
		}), []string{"expected at most 1024 bytes, found 1025"}},
		{"another payload", func(o object) { envelopeOf(o)["payload"] = []byte(`{}`) },
			[]string{"signature: expected one by the trusted key " + key.Public().Fingerprint(), "names this key, so it was changed"}},
		{"no payload", func(o object) { delete(envelopeOf(o), "payload") }, []string{"does not match"}},
		{"another payload type", func(o object) { envelopeOf(o)["payloadType"] = "text/plain" },
			[]string{"payload type: expected application/vnd.in-toto+json, found \"text/plain\""}},
		{"payload type in another case", func(o object) { envelopeOf(o)["payloadType"] = "application/vnd.in-toto+JSON" }, []string{"payload type"}},
		{"no payload type", func(o object) { delete(envelopeOf(o), "payloadType") }, []string{`found ""`}},
		{"huge payload type", func(o object) { envelopeOf(o)["payloadType"] = strings.Repeat("a", 256) }, []string{"expected at most 255 bytes, found 256"}},
		{"payload past the cap", func(o object) { envelopeOf(o)["payload"] = make([]byte, MaxPayloadSize+1) }, []string{"payload: expected at most"}},
		{"envelope of another key", func(o object) {
			var swapped object
			if err := json.Unmarshal(mustSign(t, other), &swapped); err != nil {
				t.Fatal(err)
			}
			o["dsseEnvelope"] = swapped["dsseEnvelope"]
		}, []string{"names this key, so it was changed"}},
		{"certificate with the trusted key", func(o object) {
			o["verificationMaterial"] = object{"certificate": object{"rawBytes": certificate(t, key)}}
		}, []string{"signer: expected the trusted key " + key.Public().Fingerprint() + ", found a certificate"}},
		{"hostile hint", func(o object) {
			materialOf(o)["publicKey"] = object{"hint": "\x1b[2J\u202e" + strings.Repeat("h", maxHintSize-7)}
			envelopeOf(o)["payload"] = []byte(`{}`)
		}, []string{`names another key, "\x1b[2J\u202ehhh`, "…"}},
		{"no hint", func(o object) {
			materialOf(o)["publicKey"] = object{}
			envelopeOf(o)["payload"] = []byte(`{}`)
		}, []string{"does not say which key"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := Verify(edit(t, bundle, tt.change), Trust{Key: key.Public()})
			if !errors.Is(err, ErrRefused) || errors.Is(err, ErrMalformed) || verified.Payload() != nil {
				t.Fatalf("got %q, %v, want ErrRefused", verified.Payload(), err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want one with %q", err, want)
				}
			}
			if len(err.Error()) > 1000 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
	t.Run("another key", func(t *testing.T) {
		_, err := Verify(bundle, Trust{Key: other.Public()})
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), other.Public().Fingerprint()) ||
			!strings.Contains(err.Error(), "names another key, "+key.Public().Fingerprint()) {
			t.Errorf("got %v, want both fingerprints", err)
		}
	})
}

func TestMalformed(t *testing.T) {
	key := newKey(t)
	bundle := mustSign(t, key)
	digest := sha256.Sum256([]byte("x"))
	for _, tt := range []struct {
		name, want string
		input      []byte
	}{
		{"nothing", "unexpected end", nil},
		{"not JSON", "invalid character", []byte("a bundle, honestly")},
		{"null", "expected media type", []byte("null")},
		{"array", "cannot unmarshal array", []byte("[]")},
		{"not a bundle", "no Sigstore bundle", []byte("{}")},
		{"two bundles", "after top-level value", slices.Concat(bundle, bundle)},
		{"an in-toto statement", "no Sigstore bundle", []byte(statement)},
		{"cut", "unexpected end", bundle[:len(bundle)/2]},
		{"version 0.1", "expected bundle version 0.3", edit(t, bundle, func(o object) { o["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1" })},
		{"version 0.2", "expected bundle version 0.3", edit(t, bundle, func(o object) { o["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2" })},
		{"version 0.4", "expected bundle version 0.3", edit(t, bundle, func(o object) { o["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.4+json" })},
		{"another media type", `found "text/plain"`, edit(t, bundle, func(o object) { o["mediaType"] = "text/plain" })},
		{"media type in snake case", "expected media type", edit(t, bundle, func(o object) { o["media_type"] = o["mediaType"]; delete(o, "mediaType") })},
		{"media type twice", "duplicate field", edit(t, bundle, func(o object) { o["media_type"] = "text/plain" })},
		{"duplicate key", `duplicate key "mediaType"`, bytes.Replace(bundle, []byte("{"), []byte(`{"mediaType":"x",`), 1)},
		{"unknown field", `proto: (line 1:`, edit(t, bundle, func(o object) { o["extra"] = 1 })},
		{"envelope twice", "duplicate field", edit(t, bundle, func(o object) { o["dsse_envelope"] = object{} })},
		{"no envelope", "missing bundle content", edit(t, bundle, func(o object) { delete(o, "dsseEnvelope") })},
		{"no material", "missing verification material", edit(t, bundle, func(o object) { delete(o, "verificationMaterial") })},
		{"message signature", "found a message signature", edit(t, bundle, func(o object) {
			delete(o, "dsseEnvelope")
			o["messageSignature"] = object{"messageDigest": object{"algorithm": "SHA2_256", "digest": digest[:]}, "signature": []byte("s")}
		})},
		{"payload not base64", "invalid value for bytes", edit(t, bundle, func(o object) { envelopeOf(o)["payload"] = "*" })},
		{"certificate chain", "chain", edit(t, bundle, func(o object) {
			o["verificationMaterial"] = object{"x509CertificateChain": object{"certificates": []any{object{"rawBytes": certificate(t, key)}}}}
		})},
		{"hint past the cap", "at most 1024 bytes, found 1025", edit(t, bundle, func(o object) {
			materialOf(o)["publicKey"] = object{"hint": strings.Repeat("h", maxHintSize+1)}
		})},
		{"log entries past the cap", "at most 32 transparency log entries, found 33", edit(t, bundle, addLogEntries(key.Public(), maxLogEntries+1))},
		{"timestamps past the cap", "at most 32 timestamps, found 33", edit(t, bundle, addTimestamps(maxTimestamps+1))},
		{"broken log entry", "cannot read bundle", edit(t, bundle, func(o object) { materialOf(o)["tlogEntries"] = []any{object{}} })},
		{"far too many signatures", "more than 1048576 values", edit(t, bundle, func(o object) {
			envelopeOf(o)["signatures"] = slices.Repeat([]any{nil}, 1<<20)
		})},
		{"nested too deeply", "nested deeper", fmt.Appendf(nil, "%s1%s", strings.Repeat(`{"a":`, 101), strings.Repeat("}", 101))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := Verify(tt.input, Trust{Key: key.Public()})
			if !errors.Is(err, ErrMalformed) || errors.Is(err, ErrRefused) || verified.Payload() != nil {
				t.Fatalf("got %q, %v, want ErrMalformed", verified.Payload(), err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %q, want one with %q", err, tt.want)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestBundleSize(t *testing.T) {
	key := newKey(t)
	bundle := mustSign(t, key)
	padded := append(bundle, bytes.Repeat([]byte(" "), MaxBundleSize-len(bundle))...)
	if _, err := Verify(padded, Trust{Key: key.Public()}); err != nil {
		t.Errorf("at the cap: %v", err)
	}
	if _, err := Verify(append(padded, ' '), Trust{Key: key.Public()}); !errors.Is(err, ErrMalformed) {
		t.Errorf("past the cap: %v, want ErrMalformed", err)
	}
}

// TestAccepted lists changes that leave the signature whole, and what the
// checks then say.
func TestAccepted(t *testing.T) {
	key := newKey(t)
	bundle := mustSign(t, key)
	for _, tt := range []struct {
		name   string
		change func(o object)
		check  string
		result Result
	}{
		{"nothing", func(o object) {}, "key hint", OK},
		{"older spelling of the media type", func(o object) { o["mediaType"] = olderMediaType }, "bundle", OK},
		{"no hint", func(o object) { materialOf(o)["publicKey"] = object{} }, "key hint", Absent},
		{"a hint of another kind, at the cap", func(o object) { materialOf(o)["publicKey"] = object{"hint": strings.Repeat("h", maxHintSize)} }, "key hint", NotChecked},
		{"a hint that names another key", func(o object) { materialOf(o)["publicKey"] = object{"hint": newKey(t).Public().hint()} }, "key hint", NotChecked},
		{"a key ID of another kind", func(o object) {
			envelopeOf(o)["signatures"].([]any)[0].(object)["keyid"] = "0123"
		}, "signature", OK},
		{"no log entry", func(o object) {}, "transparency log", Absent},
		{"log entries at the cap", addLogEntries(key.Public(), maxLogEntries), "transparency log", NotChecked},
		{"no timestamp", func(o object) {}, "timestamp", Absent},
		{"timestamps at the cap", addTimestamps(maxTimestamps), "timestamp", NotChecked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := Verify(edit(t, bundle, tt.change), Trust{Key: key.Public()})
			if err != nil {
				t.Fatal(err)
			}
			if string(verified.Payload()) != statement {
				t.Errorf("payload = %s", verified.Payload())
			}
			for _, check := range verified.Checks() {
				if check.Name == tt.check && check.Result != tt.result {
					t.Errorf("%s = %s (%s), want %s", check.Name, check.Result, check.Detail, tt.result)
				}
				if check.Name == "signature" && check.Result != OK {
					t.Errorf("signature is %s", check.Result)
				}
			}
			if !slices.ContainsFunc(verified.Checks(), func(c Check) bool { return c.Name == tt.check }) {
				t.Errorf("no check %q in %v", tt.check, verified.Checks())
			}
		})
	}
}

func TestPayloadTypeAsked(t *testing.T) {
	key := newKey(t)
	bundle, err := Sign(context.Background(), key, "text/plain", []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(bundle, Trust{Key: key.Public()}); !errors.Is(err, ErrRefused) {
		t.Errorf("not asked for: %v, want ErrRefused", err)
	}
	verified, err := Verify(bundle, Trust{Key: key.Public(), PayloadType: "text/plain"})
	if err != nil || string(verified.Payload()) != "hello" || verified.PayloadType() != "text/plain" {
		t.Errorf("asked for: %q, %v", verified.Payload(), err)
	}
}

// TestEveryFlip changes every byte of a bundle in every bit, and a few bytes
// into others. Whatever is still accepted says exactly what was signed, and
// differs only where nothing was signed: in the hint, in the base64 alphabet
// and in white space.
func TestEveryFlip(t *testing.T) {
	key := newKey(t)
	bundle := mustSign(t, key)
	hintAt := bytes.Index(bundle, []byte(key.Public().hint()))
	inHint := func(at int) bool { return at >= hintAt && at < hintAt+len(key.Public().hint()) }
	accepted := 0
	for at := range bundle {
		replacements := []byte(" \"\\{}[],:0Az=+-/_\x00\xff")
		for bit := range 8 {
			replacements = append(replacements, bundle[at]^1<<bit)
		}
		for _, replacement := range replacements {
			if replacement == bundle[at] {
				continue
			}
			changed := bytes.Clone(bundle)
			changed[at] = replacement
			verified, err := Verify(changed, Trust{Key: key.Public()})
			if err != nil {
				if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRefused) {
					t.Fatalf("byte %d to %q: %v is of no kind", at, replacement, err)
				}
				continue
			}
			accepted++
			if string(verified.Payload()) != statement || verified.PayloadType() != InToto {
				t.Fatalf("byte %d to %q: accepted another payload", at, replacement)
			}
			if !inHint(at) && !sameContent(t, bundle, changed) {
				t.Errorf("byte %d, %q to %q: accepted with another meaning", at, bundle[at], replacement)
			}
		}
	}
	if accepted == 0 {
		t.Error("not even a changed hint was accepted; the test looks at the wrong bytes")
	}
}

// sameContent reports whether two bundles mean the same to a reader of JSON
// and base64.
func sameContent(t *testing.T, a, b []byte) bool {
	t.Helper()
	left, err := parseBundle(a)
	if err != nil {
		t.Fatal(err)
	}
	right, err := parseBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	return left.String() == right.String()
}

// TestBase64Forms: protojson reads several spellings of the same bytes. They
// are the same payload; none may become another.
func TestBase64Forms(t *testing.T) {
	key := newKey(t)
	payload := []byte{0xfb, 0xff, 0xfe, 0x3e} // uses + and / and needs padding
	bundle, err := Sign(context.Background(), key, "", payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, spelling := range []string{"+//+Pg==", "+//+Pg", "-__-Pg==", "-__-Pg", "+//+Ph==", "+//+Pg==\n", "+/ /+Pg=="} {
		changed := edit(t, bundle, func(o object) { envelopeOf(o)["payload"] = spelling })
		if verified, err := Verify(changed, Trust{Key: key.Public()}); err == nil && !bytes.Equal(verified.Payload(), payload) {
			t.Errorf("%q: accepted as %x", spelling, verified.Payload())
		}
	}
}

// panicker is a key whose library panics.
type panicker struct{ signature.Verifier }

func (panicker) VerifySignature(_, _ io.Reader, _ ...signature.VerifyOption) error {
	panic("oh \x1b[2J dear")
}

func TestPanicIsAnError(t *testing.T) {
	key := newKey(t)
	public := key.Public()
	public.candidates = []candidate{{"ecdsa", panicker{}}}
	verified, err := Verify(mustSign(t, key), Trust{Key: public})
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "internal error: oh ?[2J dear") || verified.Payload() != nil {
		t.Errorf("got %q, %v", verified.Payload(), err)
	}
}

func TestUnverifiedPayload(t *testing.T) {
	bundle := edit(t, mustSign(t, newKey(t)), func(o object) { envelopeOf(o)["payload"] = []byte("a lie") })
	if payload, err := UnverifiedPayload(bundle); err != nil || string(payload) != "a lie" {
		t.Errorf("got %q, %v", payload, err)
	}
	if payload, err := UnverifiedPayload([]byte("{}")); !errors.Is(err, ErrMalformed) || payload != nil {
		t.Errorf("got %q, %v, want ErrMalformed", payload, err)
	}
}

// TestCosignFixture reads what cosign made, without cosign.
func TestCosignFixture(t *testing.T) {
	public, err := ReadPublicKey(fixture(t, "cosign/cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	verified, err := Verify(fixture(t, "cosign/bundle.json"), Trust{Key: public})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("a model\n"))
	if !strings.Contains(string(verified.Payload()), hex.EncodeToString(digest[:])) {
		t.Errorf("payload = %s", verified.Payload())
	}
	for _, check := range verified.Checks() {
		if check.Name == "key hint" && check.Result != OK {
			t.Errorf("cosign names its key %s: %s", check.Result, check.Detail)
		}
	}
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// addLogEntries puts entries into a bundle of the statement that are of a
// log's form but prove nothing.
func addLogEntries(key PublicKey, n int) func(o object) {
	return func(o object) {
		signature := envelopeOf(o)["signatures"].([]any)[0].(object)["sig"]
		digest := sha256.Sum256(preAuthEncoding(InToto, []byte(statement)))
		body := fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},`+
			`"signature":{"content":%q,"publicKey":{"content":%q}}}}`, digest, signature, base64.StdEncoding.EncodeToString(key.PEM()))
		entry := object{
			"logIndex":          "1",
			"logId":             object{"keyId": digest[:]},
			"kindVersion":       object{"kind": "hashedrekord", "version": "0.0.1"},
			"integratedTime":    "1790000000",
			"canonicalizedBody": body,
			"inclusionProof": object{
				"logIndex": "1", "treeSize": "2", "rootHash": digest[:], "hashes": [][]byte{digest[:]},
				"checkpoint": object{"envelope": "log.example\n2\nAAAA\n\n— log.example AAAA\n"},
			},
		}
		materialOf(o)["tlogEntries"] = slices.Repeat([]any{entry}, n)
	}
}

func addTimestamps(n int) func(o object) {
	return func(o object) {
		materialOf(o)["timestampVerificationData"] = object{
			"rfc3161Timestamps": slices.Repeat([]any{object{"signedTimestamp": []byte("no timestamp")}}, n),
		}
	}
}

// certificate makes a self-signed certificate that holds key.
func certificate(t testing.TB, key PrivateKey) []byte {
	t.Helper()
	raw, err := keyKinds[0].generate()
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(key.Public().der)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "nobody"},
		NotBefore:    time.Unix(1790000000, 0),
		NotAfter:     time.Unix(1800000000, 0),
	}
	der, err := x509.CreateCertificate(nil, template, template, public, raw)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
