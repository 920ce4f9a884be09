package runner

import (
	"slices"
	"strings"
)

// words splits a name in snake_case, kebab-case or camelCase.
var words = lazy(`[A-Z]+(?:[0-9]+|$|[^A-Za-z0-9])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+`)

// textTokens stand before "token" where it is a piece of text or a parameter of
// a model, not a secret.
var textTokens = []string{
	"pad", "eos", "bos", "cls", "class", "sep", "unk", "mask", "image", "special", "start", "end", "next", "additional", "prefix", "suffix", "per",
	"decoder", "text", "dist", "distillation", "reg", "register", "query", "latent", "storage", "stop", "first", "last", "previous", "audio", "video", "vision", "sot", "eot", "no", "n",
}

// secretKeys stand before "key" where it is a secret.
var secretKeys = []string{
	"api", "app", "application", "access", "private", "secret", "auth", "account", "signing", "encryption", "license", "subscription", "storage", "master",
	"service", "host", "deploy", "ssh", "client", "session", "shared", "server",
	"wandb", "comet", "neptune", "openai", "anthropic", "azure", "aws", "kaggle", "datadog", "dd", "sendgrid", "stripe",
}

// secretEndings end a name in one word: PGPASSWORD.
var secretEndings = []string{"password", "passwd", "passphrase", "passcode", "apikey", "secret", "authtoken", "accesstoken"}

// nameWords are the words of a name, in small letters.
func nameWords(name string) []string {
	parts := words().FindAllString(strings.TrimPrefix(name, "-D"), -1)
	for i := range parts {
		parts[i] = strings.ToLower(strings.Trim(parts[i], "_-.:=\"' \t\n"))
	}
	return parts
}

// namesSecret tells whether a name is that of a secret's value: `api_key`,
// `HF_TOKEN`, `--password`; not `max_tokens`, `tokenizer` or `pad_token_id`.
func namesSecret(name string) bool {
	parts := nameWords(name)
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
	case "data": // of a kubeconfig
		return before == "key"
	case "apikey", "accesskey", "secretkey", "privatekey", "accountkey", "authtoken", "accesstoken", "apitoken",
		"password", "passwd", "passphrase", "passcode", "pass", "pwd", "pw", "secret", "credential", "credentials", "cookie", "auth",
		"pin", "otp", "mnemonic":
		return true
	}
	return slices.ContainsFunc(secretEndings, func(ending string) bool { return strings.HasSuffix(last, ending) })
}

// isHarmless tells whether a value under the name of a secret is none: a
// switch, or the path of a file.
func isHarmless(value string) bool {
	switch strings.ToLower(value) {
	case "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1", "auto", "default":
		return true
	}
	return strings.Contains(value, "***") || isPath().MatchString(value)
}

var isPath = lazy(`^(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][A-Za-z0-9 ._@+-]{1,40}){2,}$`)
