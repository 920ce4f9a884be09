package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/convrun/convrun/strictjson"
)

// maxPayload bounds a Statement's JSON in bytes, as what is signed is bounded.
const maxPayload = 11 << 20

// required are the members without which a log says less than it seems to: a
// reader would take a missing one for "nothing wrong".
var required = map[string][]string{
	"": {
		"conversion", "verifiedLearningModel", "elimination", "framework", "packages", "converter", "frozenModels",
		"environment", "run", "inputs", "outputs", "findings", "capture",
	},
	"run":     {"exitCode", "signal", "invocationId"},
	"capture": {"method", "complete", "reasons"},
}

// Parse reads the payload of a verified bundle. JSON that two readers could
// take for two things (duplicate keys, keys of another case, invalid UTF-8) is
// an error, as is a payload of another type.
func Parse(payload []byte) (*Statement, error) {
	var st Statement
	if err := strictjson.Decode(payload, maxPayload, &st); err != nil {
		return nil, fmt.Errorf("read the statement: %w", err)
	}
	if st.Type != StatementType {
		return nil, fmt.Errorf("read the statement: expected _type %q, found %q", StatementType, st.Type)
	}
	if st.PredicateType != PredicateType {
		return nil, fmt.Errorf("read the statement: expected predicateType %q, found %q: this is no conversion log", PredicateType, st.PredicateType)
	}
	if err := complete(payload); err != nil {
		return nil, fmt.Errorf("read the statement: %w", err)
	}
	if len(st.Subject) > maxSubjects {
		return nil, fmt.Errorf("read the statement: expected at most %d subjects, found %d", maxSubjects, len(st.Subject))
	}
	return &st, nil
}

// complete tells which required member is missing.
func complete(payload []byte) error {
	var st struct{ Predicate map[string]json.RawMessage }
	if err := json.Unmarshal(payload, &st); err != nil {
		return err
	}
	for section, members := range required {
		object := st.Predicate
		if section != "" {
			object = nil
			if err := json.Unmarshal(st.Predicate[section], &object); err != nil {
				return fmt.Errorf("expected an object predicate.%s: %w", section, err)
			}
		}
		for _, member := range members {
			if _, there := object[member]; !there {
				return fmt.Errorf("expected predicate.%s, found none", strings.TrimPrefix(section+"."+member, "."))
			}
		}
	}
	return nil
}

// maxSubjects is what sigstore-go accepts.
const maxSubjects = 1024

// Payload writes the bytes to sign: compact JSON, keys in the order of the
// types, maps sorted. The same Statement gives the same bytes.
func (s *Statement) Payload() ([]byte, error) {
	payload, err := encode(s)
	if err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	if err := strictjson.Check(payload, maxPayload); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	return payload, nil
}

// encode writes v as compact JSON.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// encodedSize is the length of v as compact JSON; 0 of what is none, which
// Payload tells.
func encodedSize(v any) int {
	text, err := encode(v)
	if err != nil {
		return 0
	}
	return len(text)
}
