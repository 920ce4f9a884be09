package runner

import (
	"regexp"
	"strings"
)

// form is one way in which a secret stands in a text. It is only looked for in
// a text that has one of hints in it: most have none, and to search for them is
// far cheaper than to match.
type form struct {
	hints   []string
	pattern func() *regexp.Regexp
	// isSecret decides of a match, given its two groups: what stays and what
	// goes. nil is always.
	isSecret func(before, secret string) bool
}

// redact replaces the second group of every match.
func (f *form) redact(r *Redactor, s string) string {
	if !f.mayMatch(s) {
		return s
	}
	return f.pattern().ReplaceAllStringFunc(s, func(match string) string {
		groups := f.pattern().FindStringSubmatch(match)
		before, secret, after := groups[1], groups[2], ""
		if len(groups) > 3 {
			after = groups[3]
		}
		if IsRedacted(secret) || f.isSecret != nil && !f.isSecret(before, secret) {
			return match
		}
		if bare := strings.Trim(secret, `"'`); len(bare) == len(secret)-2 {
			return before + secret[:1] + r.mark(bare) + secret[:1] + after
		}
		return before + r.mark(secret) + after
	})
}

func (f *form) mayMatch(s string) bool {
	for _, hint := range f.hints {
		if strings.Contains(s, hint) {
			return true
		}
	}
	return false
}

// tokens are credentials that are known by their form alone, and what each
// begins with or holds.
var tokens = []struct{ hint, pattern string }{
	{"eyJ", `eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`}, // JSON Web Token, RFC 7519
	{"gh", `gh[pousr]_[A-Za-z0-9]{20,}`},                               // GitHub
	{"github_pat_", `github_pat_[A-Za-z0-9_]{20,}`},
	{"gl", `gl(?:pat|dt|rt|rtr|ptt|cbt|oas|soat|ft|imt|agent)-[A-Za-z0-9_-]{20,}`}, // GitLab
	{"hf_", `hf_[A-Za-z0-9]{20,}`},                                                 // Hugging Face
	{"AKIA", `AKIA[A-Z0-9]{16}`},                                                   // AWS access keys
	{"ASIA", `ASIA[A-Z0-9]{16}`},                                                   //
	{"AIza", `AIza[A-Za-z0-9_-]{35}`},                                              // Google API key
	{"GOCSPX-", `GOCSPX-[A-Za-z0-9_-]{20,}`},                                       // Google OAuth client
	{"ya29.", `ya29\.[A-Za-z0-9_-]{20,}`},                                          // Google OAuth access token
	{"xox", `xox[abceprs]-[A-Za-z0-9-]{10,}`},                                      // Slack
	{"xapp-", `xapp-[A-Za-z0-9-]{10,}`},                                            //
	{"hooks.slack", `hooks\.slack\.com/services/[A-Za-z0-9/]{20,}`},
	{"k_", `[srp]k_(?:live|test)_[A-Za-z0-9]{16,}`},       // Stripe
	{"whsec_", `whsec_[A-Za-z0-9+/=]{16,}`},               //
	{"sk-", `sk-[A-Za-z0-9_-]{20,}`},                      // OpenAI, Anthropic and others
	{"gsk_", `gsk_[A-Za-z0-9]{20,}`},                      // Groq
	{"xai-", `xai-[A-Za-z0-9]{20,}`},                      // xAI
	{"nvapi-", `nvapi-[A-Za-z0-9_-]{20,}`},                // NVIDIA
	{"r8_", `r8_[A-Za-z0-9]{20,}`},                        // Replicate
	{"pypi-", `pypi-[A-Za-z0-9_-]{20,}`},                  // PyPI
	{"npm_", `npm_[A-Za-z0-9]{36}`},                       // npm
	{"hv", `hv[sbr]\.[A-Za-z0-9_-]{20,}`},                 // HashiCorp Vault
	{"SK", `SK[0-9a-f]{32}`},                              // Twilio
	{"SG.", `SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`}, // SendGrid
	{"dop_v1_", `dop_v1_[0-9a-f]{40,}`},                   // DigitalOcean
	{"dapi", `dapi[0-9a-f]{32}`},                          // Databricks
	{"dckr_", `dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}`},      // Docker Hub
	{"glsa_", `glsa_[A-Za-z0-9_]{20,}`},                   // Grafana
	{"shp", `shp(?:at|ca|pa|ss)_[A-Za-z0-9]{20,}`},        // Shopify
	{"AGE-SECRET-KEY-", `AGE-SECRET-KEY-1[A-Z0-9]{20,}`},  // age
	{":AA", `[0-9]{8,10}:AA[A-Za-z0-9_-]{33}`},            // Telegram
}

// forms in the order in which they are looked for: whole tokens first.
var forms = []form{
	tokenForm(),
	{ // A user name and a password that follow an option, curl(1), mysql(1), sshpass(1), openssl(1).
		hints:    []string{"-u", "--user", "--proxy-user", "mysql", "sshpass", "pass:"},
		pattern:  lazy(`((?:^|\s)(?:-u|--user|--proxy-user)[ =]["']?[^\s:"']+:|\bmysql(?:dump|admin)?\b[^\n|;&]*\s-p|\bsshpass\s+-p\s*|(?:^|\s|["'])pass:)([^\s"']+)`),
		isSecret: func(before, secret string) bool { return !isOwner(before, secret) },
	},
	{ // What makes a URL of a storage service a credential.
		hints:   []string{"sig=", "Sig=", "ignature=", "ecurity-", "SIG"},
		pattern: lazy(`(?i)([?&](?:sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature)=)([^&\s"'<>]+)`),
	},
	{ // User information, RFC 3986 section 3.2.1; in https: a token alone is as good as a password.
		hints:   []string{"://"},
		pattern: lazy(`([A-Za-z][A-Za-z0-9+.-]*://)([^/?#\s"'<>]+)(@)`),
		isSecret: func(before, secret string) bool {
			return hasLetters().MatchString(secret) && !isPlaceholder().MatchString(secret) && (!isLogin().MatchString(before) || strings.Contains(secret, ":"))
		},
	},
	{ // A password in it with characters that would have to be encoded; a port is none.
		hints:   []string{"://"},
		pattern: lazy(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s:/@?#"'<>]*:[^\s@"'<>]+)(@)`),
		isSecret: func(_, secret string) bool {
			return !portAndPath().MatchString(secret) && !isPlaceholder().MatchString(secret)
		},
	},
	{ // Credentials of an HTTP header, RFC 9110 section 11.4.
		hints:   []string{"earer", "EARER", "asic", "ASIC", "uthorization", "UTHORIZATION"},
		pattern: lazy(`(?i)\b((?:authorization["']?\s*[:=]\s*["']?(?:[a-z]+\s+)?|bearer\s+|basic\s+))([A-Za-z0-9._~+/=-]{8,})`),
		isSecret: func(before, secret string) bool {
			return strings.ContainsAny(strings.ToLower(before), ":=") || !isWord(secret)
		},
	},
	{ // Cookie and Set-Cookie headers, RFC 6265.
		hints:   []string{"ookie:", "OOKIE:"},
		pattern: lazy(`(?i)(\bcookie:\s*)([^"'\n]+)`),
	},
	{ // An option and its value, or both halves of credentials, in a script's list.
		hints:    []string{`"`, "'"},
		pattern:  lazy(`(?i)(["'](?:-u|--user)["']\s*,\s*["'][^"':\n]+:|["']--?[a-z][a-z0-9_-]*["']\s*,\s*["']|\bauth\s*=\s*\(\s*["'][^"'\n]*["']\s*,\s*["'])([^"'\n]+)`),
		isSecret: isListed,
	},
	{ // An option and its value in a line of a shell.
		hints:    []string{"-"},
		pattern:  lazy(`((?:^|[\s"'` + "`" + `(])--?[A-Za-z][A-Za-z0-9_-]*[ \t]+)("[^"\n]+"|'[^'\n]+'|[^\s"'-][^\s"']*)`),
		isSecret: func(before, secret string) bool { return namesSecret(strings.TrimSpace(before)) && !isProse(secret) },
	},
	{ // netrc(5).
		hints:   []string{"login", "machine"},
		pattern: lazy(`(\b(?:login|machine)\s+\S+\s+(?:login\s+\S+\s+)?(?:password|account)\s+)(\S+)`),
	},
	{ // NAME=VALUE and NAME: VALUE where the name tells a secret.
		hints:    []string{"=", ":"},
		pattern:  lazy(`(?i)([A-Za-z0-9_.-]*(?:key|token|secret|passw(?:or)?d|passphrase|passcode|credentials?|pass|pw|pwd|\bpin|\botp|mnemonic|cookie|\bauth|key-data)[A-Za-z0-9_-]*["']?\]?\s*(?:[=!:]?=|:)\s*)("[^"\n]+"|'[^'\n]+'|[^\s"'&,;)}\]` + "`" + `]+)`),
		isSecret: isAssigned,
	},
}

// tokenForm is all of tokens.
func tokenForm() form {
	f := form{}
	var patterns []string
	for _, token := range tokens {
		f.hints = append(f.hints, token.hint)
		patterns = append(patterns, token.pattern)
	}
	// A token begins a word, after an escaped byte or line's end too.
	f.pattern = lazy(`(^|[^A-Za-z0-9]|%[0-9A-Fa-f]{2}|\\[nrt])(` + strings.Join(patterns, "|") + `)`)
	return f
}

// isLogin matches schemes whose user names say nothing.
var isLogin = lazy(`(?:ssh|sftp|rsync|scp)://$`)

var portAndPath = lazy(`^[^:]*:[0-9]{1,5}(?:[/?#]|$)`)

// isOwner tells the numbers of a user and a group, which docker(1) takes after
// the same option, from a name and a password.
func isOwner(user, group string) bool {
	return isNumber().MatchString(group) && ownerBefore().MatchString(user)
}

var ownerBefore = lazy(`(?:^|[\s="'])[0-9]+:?$`)

// isListed tells whether what stands after an option, or after half of the
// credentials, in a list is a secret.
func isListed(before, secret string) bool {
	if strings.HasSuffix(before, ":") || strings.HasPrefix(strings.ToLower(before), "auth") {
		return true
	}
	return namesSecret(strings.TrimRight(before, `"', `)) && !isOption(secret)
}

// isAssigned tells whether what is assigned to a name is a secret.
func isAssigned(before, secret string) bool {
	value := strings.Trim(secret, `"'`)
	isBare := value == secret
	parts := nameWords(before)
	if len(parts) == 0 || !hasLetters().MatchString(value) {
		return false
	}
	switch last := parts[len(parts)-1]; {
	case last == "key" && len(parts) == 1: // of anything
		return isOpaque(value)
	case last == "pass" && len(parts) == 1, last == "pw": // of a test; width
		if isBare && !strings.ContainsAny(value, "0123456789") {
			return false
		}
	case last == "token": // of a text, by its name or number
		if isBare && isIdentifier().MatchString(value) || isNumber().MatchString(value) {
			return false
		}
	}
	return namesSecret(before) && !isExpression(secret) && !isHarmless(value)
}

// expression matches a call, an index, a variable, an attribute, a type or a
// placeholder.
var expression = lazy(`^(?:[A-Za-z_][A-Za-z0-9_.]*[(\[]|\$|<|%|[{\[(]|(?:self|cls|args|opts?|options|cfg|conf|config|settings|params|os|env|environ|FLAGS)\.[A-Za-z_.]+$|(?:[a-z_]+\.)+[a-z]*_[a-z_.]*$|[a-z]+_[a-z_]+\.[a-z_.]+$|None$|True$|False$|null$|true$|false$|nil$|(?:typing\.)?Optional$|(?:str|int|bytes|string|bool|float|object|list|dict|tuple|Any)$)`)

// isExpression spares code such as `token = tokenizer(x)`, `password: str` and
// `token=api_token`.
func isExpression(s string) bool {
	if quoted := strings.Trim(s, `"'`); quoted != s {
		return quotedExpression().MatchString(quoted)
	}
	s = strings.TrimSuffix(s, ":")
	return expression().MatchString(s) || isIdentifier().MatchString(s) && namesSecret(s)
}

var (
	hasLetters = lazy(`[A-Za-z0-9]`)
	isNumber   = lazy(`^[0-9]{1,6}$`)
	// isPlaceholder matches where a program puts a password.
	isPlaceholder = lazy(`(?:^|:)(?:\$[A-Z_{(]|\{|%[sv]|<)`)
)

// quotedExpression matches a placeholder, and what stands between two quoted
// texts: "--token=" + token + " -o".
var quotedExpression = lazy(`^(?:[$<{]|\s*[+,)])`)

var isIdentifier = lazy(`^[A-Za-z_.]+$`)

// proseForm matches words that follow an option in a sentence about it.
var proseForm = lazy(`^(?:is|are|was|must|may|to|and|or|in|for|not|with|on|of|expected|should|needs?|requires?|required|as|can|has|option|flag|arguments?|values?|from|instead|\||\[.*|\.\.\.|…|[A-Z][A-Z_-]*|<.*|\$.*)[:,.;)\]]*$`)

// isProse tells whether s is a word about an option, or the place of its value,
// rather than that value.
func isProse(s string) bool { return proseForm().MatchString(s) }
