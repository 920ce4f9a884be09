package sign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	sigstore "github.com/sigstore/sigstore-go/pkg/bundle"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/convrun/convrun/strictjson"
)

// MediaType is the media type of the bundles that Sign makes.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// olderMediaType is how the same version was spelled at first; some clients
// still write it.
const olderMediaType = "application/vnd.dev.sigstore.bundle+json;version=0.3"

// marshalBundle writes a bundle with one DSSE envelope and one signature.
func marshalBundle(payloadType string, payload []byte, signature Signature) ([]byte, error) {
	if !signature.Key.valid() {
		return nil, fmt.Errorf("the signer named no public key")
	}
	text, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: MediaType,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{
				PublicKey: &protocommon.PublicKeyIdentifier{Hint: signature.Key.hint()},
			},
		},
		Content: &protobundle.Bundle_DsseEnvelope{
			DsseEnvelope: &protodsse.Envelope{
				Payload:     payload,
				PayloadType: payloadType,
				Signatures:  []*protodsse.Signature{{Sig: signature.Value}},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	// protojson inserts white space at random, so that nobody relies on its
	// bytes; without it, equal bundles are written as equal bytes.
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// parseBundle reads a bundle without believing anything in it. Every error
// wraps ErrMalformed. The strict check comes first, so that the one parser
// that follows cannot differ from any other over duplicate keys or bad text.
func parseBundle(data []byte) (_ *protobundle.Bundle, err error) {
	defer panicToError(&err)
	// The version first: an older bundle breaks the rules of this one, and
	// "too old" says more than the first rule that it breaks.
	var header struct {
		MediaType string `json:"mediaType"`
	}
	if err := strictjson.Decode(data, MaxBundleSize, &header); err != nil {
		return nil, malformed("%s", excerpt(err.Error()))
	}
	if err := checkMediaType(header.MediaType); err != nil {
		return nil, err
	}
	parsed := new(protobundle.Bundle)
	if err := protojson.Unmarshal(data, parsed); err != nil {
		return nil, malformed("%s", excerpt(err.Error()))
	}
	if err := checkCounts(parsed.GetVerificationMaterial()); err != nil {
		return nil, err
	}
	if _, err := sigstore.NewBundle(parsed); err != nil {
		return nil, malformed("%s", excerpt(err.Error()))
	}
	if parsed.GetDsseEnvelope() == nil {
		return nil, malformed("expected a DSSE envelope, found a message signature")
	}
	return parsed, nil
}

func checkMediaType(mediaType string) error {
	switch {
	case mediaType == MediaType, mediaType == olderMediaType:
		return nil
	case mediaType == "":
		return malformed("expected media type %s, found none; this is no Sigstore bundle", MediaType)
	case strings.HasPrefix(mediaType, "application/vnd.dev.sigstore.bundle"):
		return malformed("expected bundle version 0.3, found %s; an older one has to be signed again, a newer one needs a newer convrun", quoted(mediaType))
	}
	return malformed("expected media type %s, found %s", MediaType, quoted(mediaType))
}

func checkCounts(material *protobundle.VerificationMaterial) error {
	if n := len(material.GetTlogEntries()); n > maxLogEntries {
		return malformed("expected at most %d transparency log entries, found %d", maxLogEntries, n)
	}
	if n := len(material.GetTimestampVerificationData().GetRfc3161Timestamps()); n > maxTimestamps {
		return malformed("expected at most %d timestamps, found %d", maxTimestamps, n)
	}
	if n := len(material.GetPublicKey().GetHint()); n > maxHintSize {
		return malformed("expected a key hint of at most %d bytes, found %d", maxHintSize, n)
	}
	return nil
}

// panicToError, deferred, turns a panic over a hostile bundle, in this package
// or beneath it, into an error.
func panicToError(err *error) {
	if r := recover(); r != nil {
		*err = malformed("internal error: %s", excerpt(fmt.Sprint(r)))
	}
}

// malformed makes an error of a bundle that cannot be read.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// excerpt makes text that repeats parts of a foreign document fit for a
// message: one bounded line of printable characters. Spaces become plain ones:
// protojson puts no-break spaces into its messages at random.
func excerpt(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case strconv.IsPrint(r):
			return r
		}
		return '?'
	}, s)
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}

// quoted is excerpt for one foreign string.
func quoted(s string) string {
	return excerpt(strconv.Quote(s))
}
