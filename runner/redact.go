package runner

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Redactor takes secrets out of text. It knows a secret by the name that it
// stands under, by the form of a token, by its randomness, or by a pattern of
// the user's. What was once found to be a secret is taken out wherever else it
// stands, under another name and in another encoding too.
//
// Each secret leaves a mark. With a key, equal secrets leave equal marks, which
// only the owner of the key can compute anew. Taking secrets out of what the
// Redactor itself returned changes nothing more. It can be used by several
// goroutines.
type Redactor struct {
	key      []byte
	patterns []*regexp.Regexp
	mu       sync.Mutex
	// marked are the secrets that marks stand for.
	marked map[string]bool
	known  seeker
}

// Bounds on what a Redactor seeks everywhere.
const (
	// maxKnown is how many secrets.
	maxKnown = 2000
	// minKnown is the length of the shortest, in bytes: shorter ones would take
	// harmless text along.
	minKnown = 8
)

// NewRedactor makes marks with key, and without one marks that cannot be
// compared. patterns are regular expressions of the user's, RE2 syntax: what
// one matches, or what its first group does if it has one, is a secret.
func NewRedactor(key []byte, patterns []string) (*Redactor, error) {
	r := &Redactor{key: key}
	for _, pattern := range patterns {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("redaction pattern %q: expected a regular expression of RE2: %w", pattern, err)
		}
		if compiled.MatchString("") {
			return nil, fmt.Errorf("redaction pattern %q matches text of no length, and so everything", pattern)
		}
		r.patterns = append(r.patterns, compiled)
	}
	return r, nil
}

// Learn makes known the secrets of a command line and of an environment block,
// wherever else they stand.
func (r *Redactor) Learn(argv, environ []string) {
	r.Argv(argv)
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && value != "" {
			r.Named(name, value)
		}
	}
}

// Text gives s without secrets.
func (r *Redactor) Text(s string) string {
	s = r.withoutKnown(s)
	for _, pattern := range r.patterns {
		s = r.byPattern(pattern, s)
	}
	s = r.withoutPEM(s)
	for i := range forms {
		s = forms[i].redact(r, s)
	}
	return r.withoutRandom(s)
}

// Named gives the value that stands under a name, an option or a key without
// secrets.
func (r *Redactor) Named(name, value string) string {
	if value == "" || IsRedacted(value) || !namesSecret(name) || isHarmless(value) {
		return r.Text(value)
	}
	return r.mark(value)
}

// byPattern takes out what a pattern of the user's matches.
func (r *Redactor) byPattern(pattern *regexp.Regexp, s string) string {
	return pattern.ReplaceAllStringFunc(s, func(match string) string {
		secret := match
		if groups := pattern.FindStringSubmatch(match); len(groups) > 1 && groups[1] != "" {
			secret = groups[1]
		}
		if IsRedacted(match) {
			return match
		}
		return strings.ReplaceAll(match, secret, r.mark(secret))
	})
}

const redactedPrefix = "<redacted"

// IsRedacted tells whether s holds the mark of a secret.
func IsRedacted(s string) bool { return strings.Contains(s, redactedPrefix) }

// mark stands for a secret, which is known from now on.
func (r *Redactor) mark(secret string) string {
	mark := redactedPrefix + ">"
	if len(r.key) > 0 {
		mac := hmac.New(sha256.New, r.key)
		mac.Write([]byte(secret))
		mark = redactedPrefix + " hmac-sha256:" + hex.EncodeToString(mac.Sum(nil)[:8]) + ">"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.marked[secret] {
		return mark
	}
	if r.marked == nil {
		r.marked = map[string]bool{}
	}
	r.marked[secret] = true
	if len(r.marked) <= maxKnown {
		r.seek(secret, mark)
	}
	return mark
}

// seek has a secret taken out wherever it stands.
func (r *Redactor) seek(secret, mark string) {
	parts := []string{secret}
	if _, password, ok := strings.Cut(secret, ":"); ok { // of user information
		parts = append(parts, password)
	}
	if strings.ContainsAny(secret, "\n") {
		parts = append(parts, strings.Fields(secret)...) // the lines of a PEM block
	}
	for _, part := range parts {
		if part = strings.TrimSpace(part); !isDistinct(part) {
			continue
		}
		for _, form := range encodings(part) {
			if len(form) >= minKnown {
				r.known.add(form, mark)
			}
		}
	}
}

// encodings are the forms in which a secret appears elsewhere: as it is, in a
// URL, in JSON, and in base64 from each of three places of the text before it.
func encodings(secret string) []string {
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	if quoted, err := json.Marshal(secret); err == nil {
		forms = append(forms, strings.Trim(string(quoted), `"`))
	}
	for before := range 3 {
		text := strings.Repeat("\x00", before) + secret
		// Characters that neighbours of the secret have a part in are left out.
		from, to := (before*8+5)/6, len(text)*8/6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, encoding.EncodeToString([]byte(text))[from:to])
		}
	}
	return forms
}

// withoutKnown takes out what is known to be a secret, and the beginning of it
// where a text was cut off.
func (r *Redactor) withoutKnown(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s = r.known.replace(s)
	if cut, ok := strings.CutSuffix(s, "…"); ok {
		return r.known.withoutBeginning(cut) + "…"
	}
	return s
}

// Argv gives a command line without secrets: besides what Text finds, the value
// of an option whose name tells a secret.
func (r *Redactor) Argv(argv []string) []string {
	clean := make([]string, len(argv))
	secretFollows := false
	for i, argument := range argv {
		name, value, hasValue := strings.Cut(argument, "=")
		switch {
		case secretFollows && !isOption(argument) && argument != "" && !IsRedacted(argument):
			clean[i] = r.mark(argument)
		case i > 0 && isUserOption(argv[i-1]):
			clean[i] = r.userAndPassword(argument)
		case hasValue && isName(name):
			clean[i] = name + "=" + r.Named(name, value)
		default:
			clean[i] = r.Text(argument)
		}
		secretFollows = strings.HasPrefix(argument, "-") && !hasValue && namesSecret(argument)
	}
	return clean
}

// userAndPassword gives "name:password" without the latter.
func (r *Redactor) userAndPassword(argument string) string {
	user, password, ok := strings.Cut(argument, ":")
	if !ok || IsRedacted(argument) || isOwner(user, password) {
		return r.Text(argument)
	}
	return user + ":" + r.mark(password)
}

var (
	optionForm = lazy(`^--?[A-Za-z][A-Za-z-]*(?:=.*)?$`)
	nameForm   = lazy(`^-{0,2}[A-Za-z_][A-Za-z0-9_.-]*$`)
)

func isOption(argument string) bool { return optionForm().MatchString(argument) }

func isName(text string) bool { return nameForm().MatchString(text) }

// isUserOption tells whether "name:password" follows, as curl(1) has it.
func isUserOption(argument string) bool {
	return slices.Contains([]string{"-u", "--user", "--proxy-user", "-U"}, argument)
}

// Value takes the secrets out of every string in a decoded JSON value, in
// place, and of every number whose name tells a secret.
func (r *Redactor) Value(name string, v any) any {
	switch v := v.(type) {
	case string:
		return r.Named(name, v)
	case json.Number:
		if namesSecret(name) {
			return r.mark(v.String())
		}
	case []any:
		for i := range v {
			v[i] = r.Value(name, v[i])
		}
	case map[string]any:
		for inner := range v {
			v[inner] = r.Value(cmp.Or(secretOf(name), inner), v[inner])
		}
	}
	return v
}

// secretOf is name if it tells a secret: so does then all that is below it.
func secretOf(name string) string {
	if namesSecret(name) {
		return name
	}
	return ""
}
