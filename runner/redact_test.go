package runner

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// secret is what every line of TestSecretsGo hides.
const secret = "Zq7Xv2Lm9Tb4Rk8Wd1Nc6Yh3"

// clean is text without secrets, by a Redactor that knows none yet.
func clean(text string, key []byte) string { return (&Redactor{key: key}).Text(text) }

func TestSecretsGo(t *testing.T) {
	for name, text := range map[string]string{
		"GitHub":              "ghp_" + secret,
		"GitHub fine-grained": "github_pat_" + secret,
		"GitLab":              "glpat-" + secret,
		"Hugging Face":        "hf_" + secret,
		"Slack":               "xoxb-" + secret,
		"OpenAI":              "sk-" + secret,
		"OpenAI project":      "sk-proj-" + secret,
		"PyPI":                "pypi-" + secret,
		"npm":                 "npm_" + secret + "abcdefghijkl",
		"JSON Web Token":      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + secret,
		"PEM":                 "-----BEGIN EC PRIVATE KEY-----\n" + secret + "\n-----END EC PRIVATE KEY-----",
		"PEM without end":     "-----BEGIN PRIVATE KEY-----\n" + secret,
		"URL":                 "https://user:" + secret + "@example.org/x",
		"URL, no user":        "https://" + secret + "@github.com/a/b.git",
		"s3 URL":              "s3://id:" + secret + "@bucket/key",
		"Bearer":              "Authorization: Bearer " + secret,
		"Basic":               "authorization: basic " + secret,
		"assignment":          "API_KEY=" + secret,
		"option":              "--token=" + secret,
		"quoted":              `password = "` + secret + ` with spaces"`,
		"single quotes":       "secret: '" + secret + "'",
		"JSON":                `{"access_key": "` + secret + `"}`,
		"query":               "https://x.org/?token=" + secret + "&a=b",
		"HF_TOKEN":            "HF_TOKEN=" + secret + " python x.py",
		"AWS secret":          "aws_secret_access_key = " + secret,
		"passphrase":          "passphrase=" + secret,
		"environment name":    "DB_PASS=" + secret,
		"MySQL variable":      "export MYSQL_PWD=" + secret,
		"subscript":           `os.environ["WANDB_API_KEY"] = "` + secret + `"`,
		"short subscript":     "d['token']='" + secret + "'",
		"presigned URL":       "https://b.s3.amazonaws.com/m.onnx?X-Amz-Signature=" + secret,
		"SAS URL":             "https://a.blob.core.windows.net/m?sv=2&sig=" + secret,
		"curl -u":             "curl -u bob:" + secret + " https://example.org",
		"mysql -p":            "mysql -h db -p" + secret + " models",
		"comment":             "# pw: " + secret,
		"one word":            "PGPASSWORD=" + secret + " psql",
		"Java property":       "java -DapiKey=" + secret,
		"header with hyphens": "curl -H 'X-Api-Key: " + secret + "'",
		"cookie":              "curl -H 'Cookie: session=" + secret + "; x=1'",
		"openssl":             "openssl rsa -passin pass:" + secret,
		"sshpass":             "sshpass -p " + secret + " ssh h",
		"service's key":       "--wandb-key=" + secret,
		"list":                `["true", "--password", "` + secret + `"]`,
		"list of a user":      `["curl", "-u", "joe:` + secret + `"]`,
		"tuple":               `auth=("joe", "` + secret + `")`,
		"secret access key":   `"--secret-access-key","` + secret + `"`,
	} {
		if got := clean("before "+text+" after", nil); strings.Contains(got, secret) || !strings.Contains(got, "<redacted>") {
			t.Errorf("%s: %q", name, got)
		} else if !strings.HasPrefix(got, "before ") {
			t.Errorf("%s: the text before it went too: %q", name, got)
		}
	}
	for _, fixed := range []string{"AKIAIOSFODNN7EXAMPLE", "AIzaSyA-1234567890abcdefghijklmnopqrstu"} {
		if got := clean(fixed, nil); got != "<redacted>" {
			t.Errorf("%q stays as %q", fixed, got)
		}
	}
}

func TestInnocentTextStays(t *testing.T) {
	for _, text := range []string{
		"token = tokenizer(x)", "max_tokens=5", "max_new_tokens=128", "key: value", "num_tokens: 12", "token_ids = [1, 2]", "password: str", "token=None",
		"tokenizer=bert-base-uncased", "--tokenizer bert", "def secret(self):", "tokens = text.split()", "https://example.org/a@b", "git@github.com:a/b.git",
		"user@example.org", "basic usage of the tool", "import secrets", "token: Optional[str] = None", "pad_token_id=0", "pad_token=<pad>", "eos_token='</s>'",
		"sk-learn", "opset=17", "OLDPWD=/tmp", "cp -p a b", "compass: north", `["--tokenizer", "bert"]`, "cookies = 3", "sort_key=name", `auth=("joe", password)`, "signature = inspect.signature(f)", "signature: serve", "passes = 3", "design=1", "bypass_check=1", "mkdir -p models", "torch.onnx.export(model, x, 'a.onnx')", "",
	} {
		if got := clean(text, nil); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestArgvIsRedacted(t *testing.T) {
	r := &Redactor{}
	got := r.Argv([]string{"prog", "--password", secret, "--token=" + secret, "-o", "out.onnx", "--api-key", "--next", "https://u:" + secret + "@h/", "--tokenizer", "bert", "--max-tokens", "7"})
	want := []string{"prog", "--password", "<redacted>", "--token=<redacted>", "-o", "out.onnx", "--api-key", "--next", "https://u:<redacted>@h/", "--tokenizer", "bert", "--max-tokens", "7"}
	if !slices.Equal(got, want) {
		t.Errorf("got    %q\nwanted %q", got, want)
	}
}

func TestMarksAreComparableWithTheKeyOnly(t *testing.T) {
	text := "token=" + secret
	first, again := clean(text, []byte("k")), clean("other words, then "+text, []byte("k"))
	if !strings.HasSuffix(again, first) || first == clean(text, []byte("l")) {
		t.Error("equal secrets must leave equal marks, another key other marks")
	}
	if clean(text, []byte("k")) == clean(text+"x", []byte("k")) {
		t.Error("different secrets leave equal marks")
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("--token=" + secret)
	f.Add("https://u:p@h/")
	f.Add("Authorization: Bearer xxxxxxxxx")
	f.Fuzz(func(t *testing.T, text string) {
		// A known shape never survives, whatever stands around it.
		shape := "ghp_" + secret
		if got := clean(text+" "+shape+" "+text, nil); strings.Contains(got, shape) {
			t.Errorf("%q keeps the token", got)
		}
	})
}

func TestVariables(t *testing.T) {
	allowed, withheld := variables([]string{
		"PATH=/bin", "PATH=/second", "PYTHONHASHSEED=0", "HF_TOKEN=x", "AWS_SECRET_ACCESS_KEY=y", "ONNX_TOKEN=z", "OMP_NUM_THREADS=2", "novalue", "=odd",
		"TF_VAR_password=p", "TORCH_HOME=https://u:" + secret + "@h/",
	}, &Redactor{})
	for name, value := range map[string]string{"PATH": "/bin", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "2", "TORCH_HOME": "https://<redacted>@h/"} {
		if allowed[name] != value {
			t.Errorf("%s = %q, want %q", name, allowed[name], value)
		}
	}
	if len(allowed) != 4 {
		t.Errorf("recorded %q", allowed)
	}
	if want := []string{"AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "ONNX_TOKEN", "TF_VAR_password"}; !slices.Equal(withheld, want) {
		t.Errorf("withheld %q, want %q", withheld, want)
	}
}

func TestClasses(t *testing.T) {
	c := &classifier{}
	c.addInterpreter("/home/u/.pyenv/versions/3.11.7/bin/python3.11")
	c.addInterpreter("/usr/bin/cat")
	for path, want := range map[string]Class{
		"/home/u/.pyenv/versions/3.11.7/lib/python3.11/os.py":                    Runtime,
		"/home/u/.pyenv/versions/3.11.7/lib/python3.11/site-packages/torch/a.so": Package,
		"/home/u/.pyenv/versions/3.11.7/model.pt":                                Input,
		"/home/u/.pyenv/shims/python3":                                           Runtime,
		"/home/u/.pyenv/libexec/pyenv-exec":                                      Runtime,
		"/home/u/.pyenv/version":                                                 Runtime,
		"/home/u/venv/pyvenv.cfg":                                                Runtime,
		"/usr/lib/libc.so.6":                                                     System,
		"/usr/lib/python3/dist-packages/x.py":                                    Package,
		"/etc/passwd":                                                            System,
		"/tmp/model.pb":                                                          Input,
		"/opt/models/a.onnx":                                                     Input,
		"/home/u/export.py":                                                      Code,
		"/home/u/lib.so.1":                                                       Code,
		"/home/u/weights.bin":                                                    Input,
		"/userland/x":                                                            Input,
	} {
		if got := c.class(path, false); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if got := c.class("/home/u/tool", true); got != Code {
		t.Errorf("an executed program of the user's own is %s", got)
	}
	if !isCache("/a/__pycache__/b.cpython-311.pyc") || isCache("/a/b.py") {
		t.Error("only compiled Python is cache")
	}
}

// TestKnownSecretsGoElsewhere has what was learned stand where nothing but that
// gives it away.
func TestKnownSecretsGoElsewhere(t *testing.T) {
	const odd, phrase = "pa/ss+w\"rd 9", "staple battery horse"
	var r Redactor
	r.Learn([]string{"x", "--passphrase", phrase}, []string{"DB_PASSWORD=" + odd, "API_KEY=" + secret, "URL=https://u:0123456789abc!@h/"})
	for _, text := range []string{
		secret, "x" + secret + "y", odd, url.QueryEscape(odd), url.PathEscape(odd), `pa/ss+w\"rd 9`, phrase, "0123456789abc!",
		base64.StdEncoding.EncodeToString([]byte("u:" + odd)), base64.StdEncoding.EncodeToString([]byte("ab:" + odd + ":z")), base64.URLEncoding.EncodeToString([]byte("abc:" + secret)),
		"cut off " + secret[:9] + "…",
	} {
		got := r.Text(text)
		if !strings.Contains(got, "<redacted>") || strings.Contains(got, secret[:9]) {
			t.Errorf("%q became %q", text, got)
		}
		if again := r.Text(got); again != got {
			t.Errorf("%q became %q, and then %q", text, got, again)
		}
	}
	if got := r.Text("not a beginning: Zq7…"); !strings.HasSuffix(got, "Zq7…") {
		t.Errorf("three characters became %q", got)
	}
}

// TestCommonValuesStay has values of variables with secret names that stand in
// other places for reasons of their own.
func TestCommonValuesStay(t *testing.T) {
	var r Redactor
	r.Learn([]string{"x", "--password", "hunter"}, []string{
		"POSTGRES_PASSWORD=postgres", "MODEL_TOKEN=resnet18", "AUTH_TOKEN=", "USE_AUTH=true", "SSH_AUTH_SOCK=/tmp/ssh-1/agent.7", "GIT_AUTHOR_NAME=Ada Example", "XAUTHORITY=/home/ada/.Xauthority",
		"TOKENIZERS_PARALLELISM=false", "PASS=efficientnet-b0", "DB_PASS=12345", "SECRET=/run/secrets/token", "GPG_KEY=0123456789ABCDEF0123456789ABCDEF01234567",
	})
	for _, text := range []string{
		"postgres resnet18 true false hunter", "Ada Example", "/home/ada/.Xauthority", "/tmp/ssh-1/agent.7", "efficientnet-b0.onnx", "12345", "/run/secrets/token", "0123456789ABCDEF0123456789ABCDEF01234567",
	} {
		if got := r.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestUserPatterns(t *testing.T) {
	r, err := NewRedactor([]byte("k"), []string{`proj-[0-9]{6}`, `ticket (\w+)`})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Text("proj-123456, ticket ABCDE-1"); strings.Contains(got, "123456") || strings.Contains(got, "ABCDE") || !strings.Contains(got, "ticket <redacted hmac-sha256:") || !strings.HasSuffix(got, "-1") {
		t.Error(got)
	}
	for _, wrong := range []string{"(", "x*", ""} {
		if _, err := NewRedactor(nil, []string{wrong}); err == nil {
			t.Errorf("the pattern %q is taken", wrong)
		}
	}
}

// TestHostileTextEnds has what would take hours if anything looked at the rest
// of a text for each of its parts.
func TestHostileTextEnds(t *testing.T) {
	var r Redactor
	for _, part := range []string{"-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("A", 64) + "\n", "token=", "https://a:", "eyJaaaaaaaaa.", "Aa0", "\"-u\",\"a", "login a password "} {
		r.Text(strings.Repeat(part, 200_000/len(part)))
	}
	for i := range maxKnown + 100 {
		r.Text(fmt.Sprintf("token=ghp_%036dAb…", i))
	}
}
