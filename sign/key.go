package sign

import (
	"bytes"
	"context"
	"crypto"
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
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// ErrPassphrase means that a private key could not be opened: it is protected
// and no passphrase, or a wrong one, was given.
var ErrPassphrase = errors.New("passphrase")

// The PEM types of keys. cosign writes the sigstore type and still reads its
// own older one; both hold the same box.
const (
	pemPublic          = "PUBLIC KEY"
	pemPublicPKCS1     = "RSA PUBLIC KEY"
	pemPKCS8           = "PRIVATE KEY"
	pemPKCS1           = "RSA PRIVATE KEY"
	pemSEC1            = "EC PRIVATE KEY"
	pemECParameters    = "EC PARAMETERS"
	pemCertificate     = "CERTIFICATE"
	pemEncryptedPKCS8  = "ENCRYPTED PRIVATE KEY"
	pemEncrypted       = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemEncryptedCosign = "ENCRYPTED COSIGN PRIVATE KEY"
)

// fingerprintPrefix names the digest of a fingerprint.
const fingerprintPrefix = "SHA256:"

// PublicKey is a key to verify with. Its zero value is no key.
type PublicKey struct {
	der        []byte // SubjectPublicKeyInfo
	candidates []candidate
}

// candidate is one way in which Sigstore clients sign with a kind of key.
type candidate struct {
	algorithm string
	verifier  signature.Verifier
}

// ReadPublicKey reads a public key from PEM: SubjectPublicKeyInfo ("PUBLIC
// KEY") or PKCS#1 ("RSA PUBLIC KEY"), of type ECDSA on P-256, P-384 or P-521,
// RSA of 2048, 3072 or 4096 bits, or Ed25519.
func ReadPublicKey(text []byte) (PublicKey, error) {
	block, rest, err := decodePEM(text)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read public key: %w", err)
	}
	// Two keys in a file would look as if both were trusted.
	if second, _ := pem.Decode(rest); second != nil {
		return PublicKey{}, errors.New("read public key: expected one PEM block, found more")
	}
	var key any
	switch {
	case block.Type == pemPublic:
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == pemPublicPKCS1:
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case strings.HasSuffix(block.Type, pemPKCS8):
		err = errors.New("expected a public key, found a private one; give the file with the public half")
	case block.Type == pemCertificate:
		err = errors.New("expected a public key, found a certificate")
	default:
		err = fmt.Errorf("expected PEM of type %q, found %s", pemPublic, quoted(block.Type))
	}
	if err != nil {
		return PublicKey{}, fmt.Errorf("read public key: %w", err)
	}
	public, err := newPublicKey(key)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read public key: %w", err)
	}
	return public, nil
}

func newPublicKey(key crypto.PublicKey) (PublicKey, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	public := PublicKey{der: der}
	algorithms, err := algorithmsOf(key)
	if err != nil {
		return PublicKey{}, err
	}
	for _, algorithm := range algorithms {
		c, err := newCandidate(key, algorithm)
		if err != nil {
			return PublicKey{}, err
		}
		public.candidates = append(public.candidates, c)
	}
	return public, nil
}

func kindOf(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA on " + key.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits", key.N.BitLen())
	}
	return fmt.Sprintf("%T", key)
}

// algorithmsOf lists the algorithms that Sigstore clients use with a key, the
// one that convrun signs with first.
//
//   - ECDSA on P-384 and P-521: older clients hashed with SHA-256.
//   - Ed25519: cosign verifies only the plain variant; clients that use a
//     transparency log sign the pre-hashed one, since it can hold no other.
func algorithmsOf(key crypto.PublicKey) ([]protocommon.PublicKeyDetails, error) {
	preferred, err := signature.GetDefaultPublicKeyDetails(key)
	if err != nil {
		return nil, fmt.Errorf("expected ECDSA on P-256, P-384 or P-521, RSA of 2048, 3072 or 4096 bits, or Ed25519; found %s", kindOf(key))
	}
	algorithms := []protocommon.PublicKeyDetails{preferred}
	switch preferred {
	case protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384:
		//lint:ignore SA1019 deprecated for signing; older signatures still have to verify
		algorithms = append(algorithms, protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_256)
	case protocommon.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512:
		//lint:ignore SA1019 deprecated for signing; older signatures still have to verify
		algorithms = append(algorithms, protocommon.PublicKeyDetails_PKIX_ECDSA_P521_SHA_256)
	case protocommon.PublicKeyDetails_PKIX_ED25519:
		algorithms = append(algorithms, protocommon.PublicKeyDetails_PKIX_ED25519_PH)
	}
	return algorithms, nil
}

func newCandidate(key crypto.PublicKey, algorithm protocommon.PublicKeyDetails) (candidate, error) {
	details, err := signature.GetAlgorithmDetails(algorithm)
	if err != nil {
		return candidate{}, err
	}
	var load []signature.LoadOption
	if algorithm == protocommon.PublicKeyDetails_PKIX_ED25519_PH {
		load = append(load, options.WithED25519ph())
	}
	verifier, err := signature.LoadVerifierFromAlgorithmDetails(key, details, load...)
	if err != nil {
		return candidate{}, err
	}
	name, err := signature.FormatSignatureAlgorithmFlag(algorithm)
	return candidate{algorithm: name, verifier: verifier}, err
}

func (k PublicKey) valid() bool { return len(k.candidates) > 0 }

// Fingerprint returns "SHA256:" and the lower-case hex SHA-256 of the key's
// DER-encoded SubjectPublicKeyInfo; "" for the zero value.
func (k PublicKey) Fingerprint() string {
	if !k.valid() {
		return ""
	}
	sum := sha256.Sum256(k.der)
	return fingerprintPrefix + hex.EncodeToString(sum[:])
}

// Algorithm returns the algorithm that convrun signs with when it has the
// private half, by its name in Sigstore's registry, for example
// "ecdsa-sha2-256-nistp256"; "" for the zero value.
func (k PublicKey) Algorithm() string {
	if !k.valid() {
		return ""
	}
	return k.candidates[0].algorithm
}

// PEM returns the key as SubjectPublicKeyInfo in PEM, the form that
// ReadPublicKey, cosign and openssl read; nil for the zero value.
func (k PublicKey) PEM() []byte {
	if !k.valid() {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: k.der})
}

// hint names the key in a bundle as cosign and sigstore-go do: the base64
// SHA-256 of the SubjectPublicKeyInfo.
func (k PublicKey) hint() string {
	sum := sha256.Sum256(k.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hintFingerprint returns the fingerprint that a hint of the usual form holds.
func hintFingerprint(hint string) (string, bool) {
	sum, err := base64.StdEncoding.Strict().DecodeString(hint)
	if err != nil || len(sum) != sha256.Size {
		return "", false
	}
	return fingerprintPrefix + hex.EncodeToString(sum), true
}

// PrivateKey is a key in memory to sign with; it is a Signer. Its zero value
// signs nothing.
type PrivateKey struct {
	signer signature.Signer
	public PublicKey
}

// Public returns the public half.
func (k PrivateKey) Public() PublicKey { return k.public }

// Sign signs message; see Signer.
func (k PrivateKey) Sign(_ context.Context, message []byte) (Signature, error) {
	if k.signer == nil {
		return Signature{}, errors.New("no private key was given")
	}
	value, err := k.signer.SignMessage(bytes.NewReader(message))
	if err != nil {
		return Signature{}, err
	}
	return Signature{Value: value, Key: k.public}, nil
}

// GenerateKey makes an ECDSA P-256 key and returns both halves in PEM.
//
// The private half is encrypted (scrypt and NaCl secretbox) in the form that
// cosign writes and reads. Without a passphrase it is encrypted with the empty
// one, as cosign does: that protects nothing, so the file's permissions must,
// but cosign, which reads no plain keys, can use it with COSIGN_PASSWORD="".
func GenerateKey(passphrase []byte) (privatePEM, publicPEM []byte, err error) {
	der, public, err := generate()
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	box, err := encrypted.Encrypt(der, passphrase)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemEncrypted, Bytes: box}), public.PEM(), nil
}

// generate makes an ECDSA P-256 key: PKCS#8 and its public half.
func generate() (pkcs8 []byte, public PublicKey, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, PublicKey{}, err
	}
	if pkcs8, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, PublicKey{}, err
	}
	public, err = newPublicKey(key.Public())
	return pkcs8, public, err
}

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

// ReadPrivateKey reads a private key from PEM: PKCS#8, PKCS#1, SEC 1, or the
// encrypted form of GenerateKey and cosign; types as in ReadPublicKey.
//
// passphrase is called, once, only for a key that the empty passphrase does
// not open. If it is nil, such a key is an error. Errors wrap ErrPassphrase if
// the passphrase is missing or wrong, or what passphrase returned.
func ReadPrivateKey(text []byte, passphrase func() ([]byte, error)) (PrivateKey, error) {
	key, err := parsePrivateKey(text, passphrase)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("read private key: %w", err)
	}
	return key, nil
}

func parsePrivateKey(text []byte, passphrase func() ([]byte, error)) (PrivateKey, error) {
	block, rest, err := decodePEM(text)
	if err != nil {
		return PrivateKey{}, err
	}
	if block.Type == pemECParameters { // openssl writes the curve first
		if block, _ = pem.Decode(rest); block == nil {
			return PrivateKey{}, errors.New("expected a key after the EC parameters, found none")
		}
	}
	if block.Headers["DEK-Info"] != "" {
		return PrivateKey{}, errOtherEncryption
	}
	var key any
	switch block.Type {
	case pemPKCS8:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case pemPKCS1:
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case pemSEC1:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case pemEncrypted, pemEncryptedCosign:
		var der []byte
		if der, err = openBox(block.Bytes, passphrase); err == nil {
			key, err = x509.ParsePKCS8PrivateKey(der)
		}
	case pemEncryptedPKCS8:
		err = errOtherEncryption
	case pemPublic, pemPublicPKCS1, pemCertificate:
		err = fmt.Errorf("expected a private key, found a %s; give the file with the private half", strings.ToLower(block.Type))
	default:
		err = fmt.Errorf("expected PEM of type %q or %q, found %s", pemEncrypted, pemPKCS8, quoted(block.Type))
	}
	if err != nil {
		return PrivateKey{}, err
	}
	return newPrivateKey(key)
}

var errOtherEncryption = errors.New("expected a plain key or one encrypted by convrun or cosign, " +
	"found another encryption; `cosign import-key-pair --key FILE` converts the output of `openssl pkey -in FILE`")

func newPrivateKey(key any) (PrivateKey, error) {
	half, ok := key.(interface{ Public() crypto.PublicKey })
	if !ok {
		return PrivateKey{}, fmt.Errorf("expected an ECDSA, RSA or Ed25519 key, found %T", key)
	}
	public, err := newPublicKey(half.Public())
	if err != nil {
		return PrivateKey{}, err
	}
	signer, err := signature.LoadDefaultSigner(key)
	if err != nil {
		return PrivateKey{}, err
	}
	return PrivateKey{signer: signer, public: public}, nil
}

// openBox decrypts a private key with the empty passphrase or the one asked
// for.
func openBox(box []byte, passphrase func() ([]byte, error)) ([]byte, error) {
	der, err := tryBox(box, nil)
	if err == nil || !errors.Is(err, ErrPassphrase) {
		return der, err
	}
	if passphrase == nil {
		return nil, fmt.Errorf("%w needed: the key is protected by one, and none was given", ErrPassphrase)
	}
	phrase, err := passphrase()
	if err != nil {
		return nil, err
	}
	return tryBox(box, phrase)
}

// tryBox decrypts a private key, or says with ErrPassphrase that this is not
// the passphrase.
func tryBox(box, passphrase []byte) ([]byte, error) {
	der, err := encrypted.Decrypt(box, passphrase)
	switch {
	case err == nil:
		return der, nil
	case strings.HasSuffix(err.Error(), "decryption failed"): // the library has no sentinel
		return nil, fmt.Errorf("%w does not open the key, or the key file is damaged", ErrPassphrase)
	}
	return nil, fmt.Errorf("expected a key encrypted with scrypt and secretbox: %s", excerpt(err.Error()))
}

// decodePEM returns the first PEM block of a key file and what follows it.
func decodePEM(text []byte) (block *pem.Block, rest []byte, err error) {
	if len(text) > MaxKeySize {
		return nil, nil, fmt.Errorf("expected at most %d bytes, found %d", MaxKeySize, len(text))
	}
	block, rest = pem.Decode(text)
	if block == nil {
		return nil, nil, errors.New("expected PEM (a line \"-----BEGIN … KEY-----\"), found none")
	}
	return block, rest, nil
}
