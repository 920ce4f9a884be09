// Package provenance turns what a run did into an in-toto Statement whose
// predicate is a conversion log, and reads one back.
//
// It runs nothing, signs nothing and opens no file: an Observation and the
// inspected models go in, plain data comes out.
package provenance

// StatementType is the type of an in-toto Statement v1,
// https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
const StatementType = "https://in-toto.io/Statement/v1"

// Statement is an in-toto Statement v1 about a conversion.
type Statement struct {
	Type          string               `json:"_type" jsonschema:"enum=https://in-toto.io/Statement/v1"`
	Subject       []ResourceDescriptor `json:"subject"`
	PredicateType string               `json:"predicateType" jsonschema:"enum=https://convrun.github.io/conversion-log/v1"`
	Predicate     ConversionLog        `json:"predicate"`
}

// ResourceDescriptor names an artifact,
// https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md.
type ResourceDescriptor struct {
	// Name is for people: relative to the log's directory for subjects and
	// outputs beneath it, else to the working directory, else absolute.
	Name string `json:"name,omitempty"`
	// URI is lossless: "file:" with every byte outside RFC 3986's unreserved
	// set percent-encoded.
	URI string `json:"uri,omitempty"`
	// Digest maps an algorithm to lower-case hex; "sha256" always.
	Digest      map[string]string `json:"digest,omitempty"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations *Annotations      `json:"annotations,omitempty"`
}

// Annotations is what convrun adds to a ResourceDescriptor.
type Annotations struct {
	// Role of an output: "model", "external-data", "report", "cache" or
	// "other"; of an input: "model", "data" or "code"; of a configuration
	// file: "user" or "given".
	Role string `json:"role,omitempty"`
	// Size in bytes.
	Size *int64 `json:"size,omitempty"`
	// Reason says why the digest is missing or must be read with care.
	Reason string `json:"reason,omitempty"`
	// Declared is set when the user named the file with --input or --output.
	Declared bool `json:"declared,omitempty"`
	// RequestedAs is the path the command used, when it led through a link.
	RequestedAs string `json:"requestedAs,omitempty"`
	// Overwritten is set on an input that the run wrote to afterwards; Digest
	// is that of the content as it was read.
	Overwritten bool `json:"overwritten,omitempty"`
	// Format is the model format found in the file.
	Format string `json:"format,omitempty"`
	// Manifest is that of the model whose main file this is.
	Manifest *Manifest `json:"manifest,omitempty"`
	// Signature of that model, as it lay beside it.
	Signature *ModelSignature `json:"signature,omitempty"`
}
