package sign

// Caps on what is read from strangers, each checked before the thing is
// parsed or, where only parsing tells, before it is used.
const (
	// MaxBundleSize is the size in bytes of a bundle's JSON.
	MaxBundleSize = 16 << 20
	// MaxPayloadSize is the size in bytes of a payload; in base64 it leaves
	// room in a bundle for certificates and log entries.
	MaxPayloadSize = 11 << 20
	// MaxPayloadTypeSize is the length in bytes of a payload type: RFC 6838,
	// section 4.2, allows 127 characters on each side of the slash.
	MaxPayloadTypeSize = 255
	// MaxKeySize is the size in bytes of a PEM file with a key.
	MaxKeySize = 64 << 10

	// maxSignatureSize is the size in bytes of a signature: RSA with 4096 bits
	// makes 512, the largest of the supported algorithms.
	maxSignatureSize = 1 << 10
	// maxHintSize is the length in bytes of the hint that names a key.
	maxHintSize = 1 << 10
	// maxLogEntries and maxTimestamps are the counts that sigstore-go allows.
	maxLogEntries = 32
	maxTimestamps = 32
	// maxShown is how many bytes of foreign text an error message repeats.
	maxShown = 200
)
