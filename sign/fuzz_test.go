package sign

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// addSeeds gives the fuzzer every file that a pattern finds in testdata.
func addSeeds(f *testing.F, pattern string) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seed for %s: %v", pattern, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// FuzzVerify: the key of the fixture signed one payload in its life, so every
// bundle is refused or says exactly that.
func FuzzVerify(f *testing.F) {
	addSeeds(f, "cosign/bundle.json")
	f.Add(mustSign(f, newKey(f)))
	public, err := ReadPublicKey(fixture(f, "cosign/cosign.pub"))
	if err != nil {
		f.Fatal(err)
	}
	signed, err := Verify(fixture(f, "cosign/bundle.json"), Trust{Key: public})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, bundle []byte) {
		verified, err := Verify(bundle, Trust{Key: public})
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRefused) {
				t.Errorf("%v is of no kind", err)
			}
			if verified.Payload() != nil {
				t.Errorf("%v, and yet a payload", err)
			}
			return
		}
		if string(verified.Payload()) != string(signed.Payload()) || verified.PayloadType() != signed.PayloadType() {
			t.Errorf("accepted another payload: %s", verified.Payload())
		}
	})
}

// FuzzReadPublicKey: what is read as a key is written as PEM that reads as the
// same key.
func FuzzReadPublicKey(f *testing.F) {
	addSeeds(f, "cosign/cosign.pub")
	addSeeds(f, "cosign/cosign.key")
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ReadPublicKey(text)
		if err != nil {
			return
		}
		again, err := ReadPublicKey(key.PEM())
		if err != nil || again.Fingerprint() != key.Fingerprint() {
			t.Errorf("%s became %s: %v", key.Fingerprint(), again.Fingerprint(), err)
		}
		if _, err := Verify(nil, Trust{Key: key}); !errors.Is(err, ErrMalformed) {
			t.Errorf("nothing verified with it: %v", err)
		}
	})
}

// FuzzReadPrivateKey: whatever opens without a passphrase can sign.
func FuzzReadPrivateKey(f *testing.F) {
	addSeeds(f, "cosign/cosign.key")
	for _, kind := range keyKinds {
		raw, err := kind.generate()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(inPEM("PRIVATE KEY", pkcs8(f, raw)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ReadPrivateKey(text, nil)
		if err != nil {
			return
		}
		if _, err := Verify(mustSign(t, key), Trust{Key: key.Public()}); err != nil {
			t.Error(err)
		}
	})
}
