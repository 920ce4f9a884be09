package runner

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// seeker replaces known secrets by their marks. To make a strings.Replacer
// takes time for each secret in it, so that the newest ones have their own
// until there are maxNewest of them.
type seeker struct {
	// marks of each form of a secret.
	marks, newest map[string]string
	all, recent   *strings.Replacer // nil is to be made
	// beginnings are the forms by their first minBeginning bytes.
	beginnings map[string][]string
}

const (
	maxNewest = 500
	// minBeginning is how much of a secret a text that was cut off must end
	// with to lose it, and maxBeginning how much of its end is looked at.
	minBeginning = 4
	maxBeginning = 512
)

func (k *seeker) add(form, mark string) {
	if k.marks[form] != "" || k.newest[form] != "" {
		return
	}
	if k.newest == nil {
		k.marks, k.newest, k.beginnings = map[string]string{}, map[string]string{}, map[string][]string{}
	}
	k.newest[form], k.recent = mark, nil
	if first := form[:minBeginning]; len(k.beginnings[first]) < 10 {
		k.beginnings[first] = append(k.beginnings[first], form)
	}
	if len(k.newest) > maxNewest {
		maps.Copy(k.marks, k.newest)
		clear(k.newest)
		k.all, k.recent = replacer(k.marks), nil
	}
}

func (k *seeker) replace(s string) string {
	if k.all != nil {
		s = k.all.Replace(s)
	}
	if len(k.newest) == 0 {
		return s
	}
	if k.recent == nil {
		k.recent = replacer(k.newest)
	}
	return k.recent.Replace(s)
}

func replacer(marks map[string]string) *strings.Replacer {
	pairs := make([]string, 0, 2*len(marks))
	// Of two that begin at the same place the longer counts.
	for _, form := range slices.SortedFunc(maps.Keys(marks), longerFirst) {
		pairs = append(pairs, form, marks[form])
	}
	return strings.NewReplacer(pairs...)
}

func longerFirst(a, b string) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
}

// withoutBeginning takes out the first part of a secret that s ends with.
func (k *seeker) withoutBeginning(s string) string {
	for at := max(0, len(s)-maxBeginning); at+minBeginning <= len(s); at++ {
		for _, form := range k.beginnings[s[at:at+minBeginning]] {
			if strings.HasPrefix(form, s[at:]) {
				return s[:at] + cmp.Or(k.newest[form], k.marks[form])
			}
		}
	}
	return s
}
