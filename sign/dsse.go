package sign

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// preAuthEncoding is the message that a DSSE signature covers: the payload and
// its type with their lengths,
// https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
func preAuthEncoding(payloadType string, payload []byte) []byte {
	return dsse.PAE(payloadType, payload)
}

var errSignature = errors.New("the signature does not match")

// verifyMessage returns the algorithm with which key made the signature over
// message, or errSignature. It tries each algorithm that Sigstore clients use
// with that kind of key; the envelope has no say in it.
func verifyMessage(key PublicKey, message, signature []byte) (algorithm string, err error) {
	for _, candidate := range key.candidates {
		err := candidate.verifier.VerifySignature(bytes.NewReader(signature), bytes.NewReader(message))
		if err == nil {
			return candidate.algorithm, nil
		}
	}
	return "", fmt.Errorf("%w with %s", errSignature, key.Algorithm())
}
