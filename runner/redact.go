package runner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
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
var authorization = regexp.MustCompile(`(?i)\b(authorization\s*:\s*[a-z]+|bearer|basic)\s+([A-Za-z0-9._~+/=-]{8,})`)

// cookie matches the value of a Cookie or Set-Cookie header.
var cookie = regexp.MustCompile(`(?i)(\bcookie:\s*)([^"'\n]+)`)

// listed matches an option and its value, or the two halves of credentials, in
// a list of a script's: "--password", "x"; "-u", "name:x"; auth=("name", "x").
var listed = regexp.MustCompile(`(?i)(["'](?:-u|--user)["']\s*,\s*["'][^"':\n]+:|["']--?[a-z][a-z0-9_-]*["']\s*,\s*["']|\bauth\s*=\s*\(\s*["'][^"'\n]*["']\s*,\s*["'])([^"'\n]+)`)

// assignment matches NAME=VALUE and NAME: VALUE where the name may tell a
// secret; namesSecret decides.
var assignment = regexp.MustCompile(`(?i)([A-Za-z0-9_.-]*(?:(?:api|access|private|secret|account|wandb|comet|neptune|openai|azure|aws)[_-]?key|token|secret|passw(?:or)?d|passphrase|credential|_pass|_pw|_pwd|\bpw)[A-Za-z0-9_-]*["']?\]?\s*[=:]\s*)("[^"\n]+"|'[^'\n]+'|[^\s"'&,;)}\]]+)`)

// userOption matches curl's and other clients' `-u name:password`, mysql's
// `-pPASSWORD`, sshpass's `-p PASSWORD` and openssl's `pass:PASSWORD`.
var userOption = regexp.MustCompile(`((?:^|\s)(?:-u|--user|--proxy-user)[ =]["']?[^\s:"']+:|\bmysql(?:dump|admin)?\b[^\n|;&]*\s-p|\bsshpass\s+-p\s*|\s["']?pass:)([^\s"']+)`)

// presigned matches what makes a URL of a storage service a credential.
var presigned = regexp.MustCompile(`(?i)([?&](?:sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature)=)([^&\s"']+)`)

// text gives s without secrets.
func (r *redactor) text(s string) string {
	s = tokenShapes.ReplaceAllStringFunc(s, r.mark)
	s = r.second(userOption, s, "")
	s = r.second(presigned, s, "")
	s = r.second(userInfo, s, "@")
	s = r.second(authorization, s, "")
	s = r.second(cookie, s, "")
	s = r.second(listed, s, "")
	return r.second(assignment, s, "")
}

// second replaces the second group of every match, keeping the first and
// writing after behind it.
func (r *redactor) second(pattern *regexp.Regexp, s, after string) string {
	return pattern.ReplaceAllStringFunc(s, func(match string) string {
		groups := pattern.FindStringSubmatch(match)
		if strings.Contains(groups[2], "<redacted") || pattern == assignment && (!namesSecret(groups[1]) || isExpression(groups[2])) ||
			pattern == listed && !endsName(groups[1]) && !namesSecret(strings.TrimRight(groups[1], `"', `)) {
			return match
		}
		space := ""
		if pattern == authorization {
			space = " "
		}
		return groups[1] + space + r.mark(groups[2]) + after
	})
}

// endsName tells whether what listed found before a secret is a user's name.
func endsName(before string) bool {
	return strings.HasSuffix(before, ":") || strings.HasPrefix(strings.ToLower(before), "auth")
}

// expression matches a call, an index, a variable or a placeholder.
var expression = regexp.MustCompile(`^(?:[A-Za-z_][A-Za-z0-9_.]*[(\[]|\$|<|[{\[(]|None$|True$|False$|null$|true$|false$|nil$|(?:typing\.)?Optional$|(?:str|int|bytes)$)`)

// isExpression spares code such as `token = tokenizer(x)` and `password: str`.
func isExpression(s string) bool { return expression.MatchString(strings.Trim(s, `"'`)) }

// words splits a name in snake_case, kebab-case or camelCase.
var words = regexp.MustCompile(`[A-Z]+(?:[0-9]+|$|[^A-Za-z0-9])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+`)

// textTokens stand before "token" where it is a piece of text, not a secret.
var textTokens = []string{"pad", "eos", "bos", "cls", "sep", "unk", "mask", "image", "special", "start", "end", "next", "additional", "prefix", "suffix", "per", "decoder", "text"}

// secretKeys stand before "key" where it is a secret.
var secretKeys = []string{
	"api", "access", "private", "secret", "auth", "account", "signing", "encryption", "license", "subscription", "storage", "master", "service",
	"wandb", "comet", "neptune", "openai", "azure", "aws",
}

// secretEndings end a name in one word: PGPASSWORD.
var secretEndings = []string{"password", "passwd", "passphrase", "apikey", "secret"}

// namesSecret tells whether a name is that of a secret's value: `api_key`,
// `HF_TOKEN`, `--password`; not `max_tokens`, `tokenizer` or `pad_token_id`.
func namesSecret(name string) bool {
	parts := words.FindAllString(strings.TrimPrefix(name, "-D"), -1)
	for i := range parts {
		parts[i] = strings.ToLower(strings.Trim(parts[i], "_-.:=\"' \t\n"))
	}
	if len(parts) == 0 {
		return false
	}
	last, before := parts[len(parts)-1], ""
	if len(parts) > 1 {
		before = parts[len(parts)-2]
	}
	switch last {
	case "token":
		return !slices.Contains(textTokens, before)
	case "key":
		return slices.Contains(secretKeys, before)
	case "apikey", "accesskey", "secretkey", "privatekey", "authtoken", "accesstoken", "apitoken",
		"password", "passwd", "passphrase", "pass", "pwd", "pw", "secret", "credential", "credentials", "cookie", "auth":
		return true
	}
	return slices.ContainsFunc(secretEndings, func(ending string) bool { return strings.HasSuffix(last, ending) })
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

// argv redacts a command line: besides what text finds, the value of an option
// whose name tells a secret.
func (r *redactor) argv(argv []string) []string {
	clean := make([]string, len(argv))
	secretFollows := false
	for i, argument := range argv {
		isOption := strings.HasPrefix(argument, "-")
		name, value, hasValue := strings.Cut(argument, "=")
		switch {
		case secretFollows && !isOption:
			clean[i] = r.mark(argument)
		case i > 0 && userOption.MatchString(argv[i-1]+" "+argument) && !userOption.MatchString(argv[i-1]):
			user, password, _ := strings.Cut(argument, ":")
			clean[i] = user + ":" + r.mark(password)
		case isOption && hasValue && value != "" && namesSecret(name):
			clean[i] = name + "=" + r.mark(value)
		default:
			clean[i] = r.text(argument)
		}
		secretFollows = isOption && !hasValue && namesSecret(argument)
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
			if text, ok := inner.(string); ok && namesSecret(name) && text != "" {
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
