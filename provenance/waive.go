package provenance

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/convrun/convrun/provenance/finding"
)

// WaiverRule accepts findings with a reason. It hides none of them.
type WaiverRule struct {
	// ID is one of finding.Kinds.
	ID string
	// Subject is a pattern, as of path.Match, for the finding's subject or the
	// last part of it; "" is every subject.
	Subject string
	Waiver  Waiver
}

// ParseWaiverRule reads ID[:SUBJECT]; the rule has no Waiver yet. It is an error when no
// such finding is known, or when SUBJECT is no pattern.
func ParseWaiverRule(text string) (WaiverRule, error) {
	id, subject, _ := strings.Cut(text, ":")
	if _, ok := finding.Of(id); !ok {
		return WaiverRule{}, fmt.Errorf("%q is no finding that convrun knows", id)
	}
	if _, err := path.Match(subject, ""); err != nil {
		return WaiverRule{}, fmt.Errorf("%q: expected a pattern such as *.onnx: %w", subject, err)
	}
	return WaiverRule{ID: id, Subject: subject}, nil
}

func (r WaiverRule) covers(f Finding) bool {
	if r.ID != f.ID {
		return false
	}
	if r.Subject == "" {
		return true
	}
	return slices.ContainsFunc([]string{f.Subject, path.Base(f.Subject)}, func(name string) bool {
		ok, err := path.Match(r.Subject, name)
		return ok && err == nil
	})
}

func (r WaiverRule) String() string {
	if r.Subject == "" {
		return r.ID
	}
	return r.ID + ":" + r.Subject
}

// waive marks the findings that rules accept, the first rule that covers one
// counts; a rule that covers none is a finding itself.
func waive(findings *findingList, rules []WaiverRule) {
	used := make([]bool, len(rules))
	for i := range *findings {
		f := &(*findings)[i]
		for n, rule := range rules {
			if !rule.covers(*f) {
				continue
			}
			used[n] = true
			if f.Waiver == nil {
				waiver := rule.Waiver
				f.Waiver = &waiver
			}
		}
	}
	for n, rule := range rules {
		if !used[n] {
			findings.add(Finding{ID: "CR-WAIVER-UNUSED", Subject: rule.String(), Evidence: rule.Waiver.Source})
		}
	}
}
