package runner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// redactor takes secrets out of text. With a key, equal secrets leave equal
// marks, which only the owner of the key can recompute.
type redactor struct {
	key   []byte
	count int
}

// tokenShapes match credentials by their form alone.
var tokenShapes = regexp.MustCompile(strings.Join([]string{
	`gh[pousr]_[A-Za-z0-9]{20,}`, `github_pat_[A-Za-z0-9_]{20,}`, // GitHub
	`glpat-[A-Za-z0-9_-]{20,}`,                                // GitLab
	`hf_[A-Za-z0-9]{20,}`,                                     // Hugging Face
	`(?:AKIA|ASIA)[A-Z0-9]{16}`,                               // AWS access key
	`AIza[A-Za-z0-9_-]{35}`,                                   // Google API key
	`xox[abeprs]-[A-Za-z0-9-]{10,}`,                           // Slack
	`sk-[A-Za-z0-9_-]{20,}`,                                   // OpenAI and others
	`pypi-[A-Za-z0-9_-]{20,}`,                                 // PyPI
	`npm_[A-Za-z0-9]{36}`,                                     // npm
	`eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`, // JSON Web Token
	`-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|$)`,
}, "|"))

// userInfo matches the credentials of a URL, RFC 3986 section 3.2.1.
var userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^/?#@\s]+)@`)

// authorization matches an HTTP header's credentials, RFC 9110 section 11.4.
var authorization = regexp.MustCompile(`(?i)\b((?:authorization\s*:\s*)?(?:bearer|basic))\s+([A-Za-z0-9._~+/=-]{8,})`)

// assignment matches NAME=VALUE and NAME: VALUE where the name tells a secret.
var assignment = regexp.MustCompile(`(?i)([A-Za-z0-9_.-]*(?:api_?key|access_?key|private_?key|token|secret|passw(?:or)?d|passphrase|credential)[A-Za-z0-9_]*["']?\s*[=:]\s*)("[^"\n]+"|'[^'\n]+'|[^\s"'&,;)}\]]+)`)

// text gives s without secrets.
func (r *redactor) text(s string) string {
	s = tokenShapes.ReplaceAllStringFunc(s, r.mark)
	s = r.second(userInfo, s, "@")
	s = r.second(authorization, s, "")
	return r.second(assignment, s, "")
}

// second replaces the second group of every match, keeping the first and
// writing after behind it.
func (r *redactor) second(pattern *regexp.Regexp, s, after string) string {
	return pattern.ReplaceAllStringFunc(s, func(match string) string {
		groups := pattern.FindStringSubmatch(match)
		if strings.Contains(groups[2], "<redacted") || isPlainWord(groups[2]) && after == "" {
			return match
		}
		space := ""
		if pattern == authorization {
			space = " "
		}
		return groups[1] + space + r.mark(groups[2]) + after
	})
}

// isPlainWord spares code such as `token = None` and `password: str`.
func isPlainWord(s string) bool {
	switch strings.Trim(s, `"'`) {
	case "None", "True", "False", "null", "true", "false", "str", "int", "bytes", "nil", "":
		return true
	}
	return strings.ContainsAny(s, "(){}[]$<>")
}

func (r *redactor) mark(secret string) string {
	r.count++
	if len(r.key) == 0 {
		return "<redacted>"
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(secret))
	return "<redacted hmac-sha256:" + hex.EncodeToString(mac.Sum(nil)[:8]) + ">"
}

// argv redacts a command line: besides what text finds, the argument after an
// option whose name tells a secret.
func (r *redactor) argv(argv []string) []string {
	clean := make([]string, len(argv))
	secretFollows := false
	for i, argument := range argv {
		isOption := strings.HasPrefix(argument, "-")
		if secretFollows && !isOption {
			clean[i] = r.mark(argument)
		} else {
			clean[i] = r.text(argument)
		}
		secretFollows = isOption && !strings.Contains(argument, "=") && isSecretName(argument)
	}
	return clean
}

// value redacts every string in a decoded JSON value.
func (r *redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
	case map[string]any:
		for name, inner := range v {
			if text, ok := inner.(string); ok && isSecretName(name) && text != "" {
				v[name] = r.mark(text)
			} else {
				v[name] = r.value(inner)
			}
		}
	}
	return v
}

// Redact gives text without secrets; see Command.RedactionKey for key.
func Redact(text string, key []byte) string { return (&redactor{key: key}).text(text) }
