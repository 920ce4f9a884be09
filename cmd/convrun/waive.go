package main

import (
	"fmt"
	"strings"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/finding"
)

// waiverRule accepts what covers, ID[:SUBJECT], names; a reason is required.
func waiverRule(covers string, waiver provenance.Waiver) (provenance.WaiverRule, error) {
	rule, err := provenance.ParseWaiverRule(covers)
	if err != nil {
		return rule, withHint(err, "findings: %s", findingIDs())
	}
	if strings.TrimSpace(waiver.Reason) == "" {
		return rule, fmt.Errorf("%s: expected a reason, found none", covers)
	}
	rule.Waiver = waiver
	return rule, nil
}

// waiveFlags reads --waive ID[:SUBJECT]=REASON. The waivers are the responsible
// person's.
func waiveFlags(flags []string) (rules []provenance.WaiverRule, err error) {
	for _, flag := range flags {
		covers, reason, _ := strings.Cut(flag, "=")
		rule, err := waiverRule(covers, provenance.Waiver{Reason: reason, Source: "flag"})
		if err != nil {
			return nil, fmt.Errorf("--waive: %w", err)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func findingIDs() string {
	var ids []string
	for _, kind := range finding.Kinds {
		ids = append(ids, kind.ID)
	}
	return strings.Join(ids, ", ")
}
