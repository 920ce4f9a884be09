package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/convrun/convrun/strictjson"
)

// MaxPayload bounds a Statement's JSON in bytes.
const MaxPayload = 16 << 20

// Parse reads the payload of a verified bundle. JSON that two readers could
// take for two things (duplicate keys, keys of another case, invalid UTF-8) is
// an error, as is a payload of another type.
func Parse(payload []byte) (*Statement, error) {
	var st Statement
	if err := strictjson.Decode(payload, MaxPayload, &st); err != nil {
		return nil, fmt.Errorf("read the statement: %w", err)
	}
	if st.Type != StatementType {
		return nil, fmt.Errorf("read the statement: expected _type %q, found %q", StatementType, st.Type)
	}
	if st.PredicateType != PredicateType {
		return nil, fmt.Errorf("read the statement: expected predicateType %q, found %q: this is no conversion log", PredicateType, st.PredicateType)
	}
	if len(st.Subject) > maxSubjects {
		return nil, fmt.Errorf("read the statement: expected at most %d subjects, found %d", maxSubjects, len(st.Subject))
	}
	return &st, nil
}

// maxSubjects is what sigstore-go accepts.
const maxSubjects = 1024

// Payload writes the bytes to sign: compact JSON, keys in the order of the
// types, maps sorted. The same Statement gives the same bytes.
func (s *Statement) Payload() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
