package sign

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
)

var (
	// ErrNoTrust means that the caller named nobody to trust, so that nothing
	// could be verified.
	ErrNoTrust = errors.New("no trusted key was given")
	// ErrMalformed means that the bundle cannot be read, so that nothing can
	// be said about it.
	ErrMalformed = errors.New("cannot read bundle")
	// ErrRefused means that the bundle was read and that a step of verifying
	// it failed.
	ErrRefused = errors.New("verification failed")
)

// Trust says whose signature is believed. Its zero value trusts nobody, and
// verifying with it is an error.
type Trust struct {
	// Key must have made the signature. Without any other trust, what only a
	// log or a timestamp authority could vouch for is reported as not checked.
	Key PublicKey
	// PayloadType is the only type of payload that is accepted; empty means
	// InToto.
	PayloadType string
}

// Result is the outcome of one check that did not fail.
type Result string

// The outcomes of a check. A check that fails is an error of Verify instead.
const (
	// OK: checked, and as it must be.
	OK Result = "ok"
	// NotChecked: the bundle has it, but the Trust given cannot check it.
	// Nothing may be concluded from it.
	NotChecked Result = "not checked"
	// Absent: the bundle has nothing of the kind.
	Absent Result = "absent"
)

// Check is one thing that Verify looked at, for people to read.
type Check struct {
	Name   string
	Result Result
	Detail string
}

// Identity says who vouched for a payload.
type Identity struct {
	// Fingerprint is that of the key, as PublicKey.Fingerprint.
	Fingerprint string
	// Algorithm is the signature algorithm that was used, by its name in
	// Sigstore's registry, for example "ecdsa-sha2-256-nistp256".
	Algorithm string
}

// Verified is a payload that the trusted party vouched for. Only Verify makes
// one; the zero value vouches for nothing, and its Payload is nil.
type Verified struct {
	payload     []byte
	payloadType string
	signer      Identity
	checks      []Check
}

// Payload returns a copy of the bytes as they were signed; nil if v is the
// zero value, and never nil otherwise.
func (v Verified) Payload() []byte { return bytes.Clone(v.payload) }

// PayloadType returns the media type that was signed along with the payload.
func (v Verified) PayloadType() string { return v.payloadType }

// Signer returns who signed.
func (v Verified) Signer() Identity { return v.signer }

// Checks returns what was looked at, in order. At least the check named
// "signature" is OK.
func (v Verified) Checks() []Check { return slices.Clone(v.checks) }

// Verify reads a bundle and returns its payload if trust holds. It needs no
// network and no clock.
//
// A bundle that was signed with a certificate is refused when a key is
// trusted, even if the certificate holds that key: who trusts a key does not
// trust the authority that issued the certificate, nor the names in it. The
// hint that names the key in the bundle is not signed; it helps to explain and
// decides nothing, and so does the key ID of the signature.
//
// Errors wrap ErrNoTrust, ErrMalformed or ErrRefused and name the step that
// failed, what was expected and what was found. A panic on the way is an
// error, too.
func Verify(bundle []byte, trust Trust) (verified Verified, err error) {
	defer panicToError(&err)
	if !trust.Key.valid() {
		return Verified{}, ErrNoTrust
	}
	parsed, err := parseBundle(bundle)
	if err != nil {
		return Verified{}, err
	}
	material, envelope := parsed.GetVerificationMaterial(), parsed.GetDsseEnvelope()
	if err := checkEnvelope(envelope, trust.PayloadType); err != nil {
		return Verified{}, err
	}
	if material.GetPublicKey() == nil {
		return Verified{}, refused("signer", "expected the trusted key %s, found a certificate, which a key cannot vouch for",
			trust.Key.Fingerprint())
	}
	hint := material.GetPublicKey().GetHint()
	message := preAuthEncoding(envelope.GetPayloadType(), envelope.GetPayload())
	algorithm, err := verifyMessage(trust.Key, message, envelope.GetSignatures()[0].GetSig())
	if err != nil {
		return Verified{}, refused("signature", "expected one by the trusted key %s over this payload, found that %v; %s",
			trust.Key.Fingerprint(), err, hintExplained(hint, trust.Key))
	}
	return Verified{
		payload:     append([]byte{}, envelope.GetPayload()...), // an empty payload is not nil
		payloadType: envelope.GetPayloadType(),
		signer:      Identity{Fingerprint: trust.Key.Fingerprint(), Algorithm: algorithm},
		checks: []Check{
			{"bundle", OK, parsed.GetMediaType()},
			{"payload type", OK, envelope.GetPayloadType()},
			{"signature", OK, fmt.Sprintf("by the trusted key %s with %s", trust.Key.Fingerprint(), algorithm)},
			hintCheck(hint, trust.Key),
			logCheck(material),
			timestampCheck(material),
		},
	}, nil
}

// checkEnvelope refuses an envelope that the signature need not even be tried
// on. wantType empty means InToto.
func checkEnvelope(envelope *protodsse.Envelope, wantType string) error {
	if wantType == "" {
		wantType = InToto
	}
	if n := len(envelope.GetSignatures()); n != 1 {
		return refused("signature", "expected exactly one, found %d", n)
	}
	if n := len(envelope.GetSignatures()[0].GetSig()); n > maxSignatureSize {
		return refused("signature", "expected at most %d bytes, found %d", maxSignatureSize, n)
	}
	if n := len(envelope.GetPayloadType()); n > MaxPayloadTypeSize {
		return refused("payload type", "expected at most %d bytes, found %d", MaxPayloadTypeSize, n)
	}
	if envelope.GetPayloadType() != wantType {
		return refused("payload type", "expected %s, found %s", wantType, quoted(envelope.GetPayloadType()))
	}
	if n := len(envelope.GetPayload()); n > MaxPayloadSize {
		return refused("payload", "expected at most %d bytes, found %d", MaxPayloadSize, n)
	}
	return nil
}

// hintExplained tells, after the signature did not match, whether a changed
// document or another key is the likelier cause.
func hintExplained(hint string, key PublicKey) string {
	switch hint {
	case "":
		return "the bundle does not say which key signed it"
	case key.hint():
		return "the bundle names this key, so it was changed after signing"
	}
	if fingerprint, ok := hintFingerprint(hint); ok {
		return "the bundle names another key, " + fingerprint
	}
	return "the bundle names another key, " + quoted(hint)
}

func hintCheck(hint string, key PublicKey) Check {
	const name = "key hint"
	switch hint {
	case "":
		return Check{name, Absent, "the bundle does not say which key signed it"}
	case key.hint():
		return Check{name, OK, "names the trusted key"}
	}
	return Check{name, NotChecked, fmt.Sprintf("%s does not name the key by its digest; hints are not signed", quoted(hint))}
}

func logCheck(material *protobundle.VerificationMaterial) Check {
	return unchecked("transparency log", "log entries", len(material.GetTlogEntries()))
}

func timestampCheck(material *protobundle.VerificationMaterial) Check {
	return unchecked("timestamp", "timestamps", len(material.GetTimestampVerificationData().GetRfc3161Timestamps()))
}

func unchecked(name, things string, count int) Check {
	if count == 0 {
		return Check{name, Absent, "none in the bundle"}
	}
	return Check{name, NotChecked, fmt.Sprintf("%s in the bundle: %d; checking them takes a trusted root", things, count)}
}

// refused makes an error of a step that failed on a bundle that was read.
func refused(step, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrRefused, step, fmt.Sprintf(format, args...))
}
