package sign

import (
	"encoding/pem"
	"fmt"
)

// GeneratePlainKey makes an ECDSA P-256 key whose private half is PKCS#8
// without encryption: for a key that only its file's mode protects anyway, and
// that must open without the cost of a passphrase. cosign reads it with
// `cosign import-key-pair`.
func GeneratePlainKey() (privatePEM, publicPEM []byte, err error) {
	der, public, err := generate()
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPKCS8, Bytes: der}), public.PEM(), nil
}
