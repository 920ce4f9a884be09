// Package sign turns bytes into a Sigstore bundle, and a bundle into bytes
// that someone vouched for.
//
// A bundle (https://docs.sigstore.dev/about/bundle/, version 0.3) holds one
// DSSE envelope with exactly one signature, so that cosign and every other
// Sigstore client can check what this package signs. The package does not know
// what the signed bytes mean, reads and writes no file, asks nobody for a
// passphrase and uses no network. It never takes the key to verify with from
// the bundle, and never serialises a bundle again in order to check it.
package sign

import (
	"context"
	"fmt"
)

// InToto is the DSSE payload type of an in-toto Statement,
// https://github.com/in-toto/attestation/blob/main/spec/v1/envelope.md.
const InToto = "application/vnd.in-toto+json"

// Signer makes signatures with one key, wherever that key lives.
type Signer interface {
	// Sign signs the message, which is a DSSE pre-authentication encoding, as
	// it is: hashing it is part of the signature algorithm.
	Sign(ctx context.Context, message []byte) (Signature, error)
}

// Signature is what a Signer hands out: the signature and the public half of
// the key that made it. The public key is used to name the key in the bundle
// and to check the signature before anyone else has to.
type Signature struct {
	Value []byte
	Key   PublicKey
}

// Sign returns a bundle, JSON in one line, with the signature of signer over
// payload. payloadType is a media type; empty means InToto.
//
// What it returns is what Verify accepts with the signer's public key: a
// signer whose signature does not verify, a payload above MaxPayloadSize and a
// payload type above MaxPayloadTypeSize are errors.
func Sign(ctx context.Context, signer Signer, payloadType string, payload []byte) ([]byte, error) {
	if payloadType == "" {
		payloadType = InToto
	}
	if len(payload) > MaxPayloadSize {
		return nil, fmt.Errorf("sign: payload of %d bytes: expected at most %d", len(payload), MaxPayloadSize)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	signature, err := signer.Sign(ctx, preAuthEncoding(payloadType, payload))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	bundle, err := marshalBundle(payloadType, payload, signature)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if _, err := Verify(bundle, Trust{Key: signature.Key, PayloadType: payloadType}); err != nil {
		return nil, fmt.Errorf("sign: check the new bundle: %w", err)
	}
	return bundle, nil
}
