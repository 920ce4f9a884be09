package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/trace"
)

// secretKind is a secret as people hand it to programs. Its value is made when
// the test runs, so that nothing that looks like one lies in the repository.
type secretKind struct {
	name string
	// value must not be found anywhere afterwards.
	value string
	// variable is the environment variable it comes in; argv how it stands on a
	// command line; text how it stands in a script or message.
	variable string
	argv     []string
	text     string
}

const (
	small    = "abcdefghijklmnopqrstuvwxyz"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits   = "0123456789"
	hexes    = "0123456789abcdef"
	mixed    = small + capitals + digits
)

// drawn is n characters of an alphabet, of each of its three kinds if it is
// mixed.
func drawn(alphabet string, n int) string {
	text := make([]byte, n)
	for i := range text {
		from := alphabet
		if alphabet == mixed && i < 6 {
			from = []string{small, digits, capitals}[i%3]
		}
		text[i] = from[rand.IntN(len(from))]
	}
	return string(text)
}

func pemKey(kind string) (whole, line string) {
	line = drawn(mixed, 64)
	return fmt.Sprintf("-----BEGIN %[1]s-----\n%s\n%s\n-----END %[1]s-----", kind, line, drawn(mixed, 40)), line
}

// secretKinds makes one of each kind.
func secretKinds() []secretKind {
	var kinds []secretKind
	add := func(name, value, variable, option, text string) {
		kind := secretKind{name: name, value: value, variable: variable, text: strings.ReplaceAll(text, "%", value)}
		for _, argument := range strings.Fields(option) {
			kind.argv = append(kind.argv, strings.ReplaceAll(strings.ReplaceAll(argument, "%", value), "~", " "))
		}
		kinds = append(kinds, kind)
	}
	token := func(name, value, variable string) {
		add(name, value, variable, "--"+strings.ToLower(strings.ReplaceAll(variable, "_", "-"))+" %", "using % now")
	}
	token("AWS key ID", "AKIA"+drawn(capitals+digits, 16), "AWS_ACCESS_KEY_ID")
	add("AWS secret", drawn(mixed, 20)+"/"+drawn(mixed, 19), "AWS_SECRET_ACCESS_KEY", "--aws-secret-access-key=%", "aws_secret_access_key = %")
	add("AWS session", "FwoGZXIvYXdz"+drawn(mixed, 200), "AWS_SESSION_TOKEN", "--session-token %", `aws_session_token="%"`)
	token("GitHub classic", "ghp_"+drawn(mixed, 36), "GITHUB_TOKEN")
	token("GitHub fine-grained", "github_pat_"+drawn(mixed, 22)+"_"+drawn(mixed, 59), "GH_TOKEN")
	token("GitHub app", "ghs_"+drawn(mixed, 36), "GITHUB_APP_TOKEN")
	token("GitLab", "glpat-"+drawn(mixed, 20), "GITLAB_TOKEN")
	token("Slack", "xoxb-"+drawn(digits, 12)+"-"+drawn(mixed, 24), "SLACK_BOT_TOKEN")
	token("Stripe", "sk_live_"+drawn(mixed, 24), "STRIPE_SECRET_KEY")
	token("Google API key", "AIza"+drawn(mixed, 35), "GOOGLE_API_KEY")
	pem, line := pemKey("PRIVATE KEY")
	add("Google service account", line, "GOOGLE_CREDENTIALS", `--credentials {"type":"service_account","private_key":"%"}`, `{"private_key": "-----BEGIN PRIVATE KEY-----\n%\n-----END PRIVATE KEY-----\n", "client_email": "a@b.iam"}`)
	azure := drawn(mixed, 43) + "/" + drawn(mixed, 42) + "=="
	add("Azure storage", azure, "AZURE_STORAGE_CONNECTION_STRING", "--connection DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=%;EndpointSuffix=core.windows.net", "AccountName=acme;AccountKey=%;EndpointSuffix=core.windows.net")
	add("Azure SAS", drawn(mixed, 40)+"%3D", "SAS_URL", "https://acme.blob.core.windows.net/m?sv=2022-11-02&sig=%", "GET https://acme.blob.core.windows.net/m?sv=2022-11-02&se=2027-01-01&sig=% failed")
	token("Hugging Face", "hf_"+drawn(mixed, 34), "HF_TOKEN")
	token("OpenAI", "sk-proj-"+drawn(mixed, 48), "OPENAI_API_KEY")
	token("Anthropic", "sk-ant-api03-"+drawn(mixed, 60), "ANTHROPIC_API_KEY")
	token("npm", "npm_"+drawn(mixed, 36), "NPM_TOKEN")
	token("PyPI", "pypi-AgEIcHlwaS5vcmc"+drawn(mixed, 60), "TWINE_PASSWORD")
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx" + drawn(mixed, 12) + "." + drawn(mixed, 43)
	add("JWT", jwt, "ID_TOKEN", "--id-token %", "Authorization: Bearer %")
	add("PEM", line, "TLS_PRIVATE_KEY", "--private-key=%", strings.ReplaceAll(pem, line, "%"))
	ssh, sshLine := pemKey("OPENSSH PRIVATE KEY")
	add("SSH key", sshLine, "SSH_PRIVATE_KEY", "--ssh-key=%", strings.ReplaceAll(ssh, sshLine, "%"))
	add("basic auth", drawn(mixed, 16), "INDEX_URL", "https://ci:%@pypi.example.org/simple", "pip install --index-url https://ci:%@pypi.example.org/simple x")
	add("bearer", drawn(mixed, 32), "REGISTRY_AUTH_TOKEN", "-H Authorization:~Bearer~%", "curl -H 'Authorization: Bearer %' https://example.org")
	add("cookie", drawn(mixed, 26), "SESSION_COOKIE", "-H Cookie:~session=%", "Cookie: session=%; theme=dark")
	add("PostgreSQL URL", drawn(mixed, 14)+"/!", "DATABASE_URL", "postgresql://app:%@db.example.org:5432/models", "cannot reach postgresql://app:%@db.example.org:5432/models")
	add("MongoDB URL", drawn(mixed, 15), "MONGO_URL", "mongodb+srv://app:%@cluster.example.net/x?retryWrites=true", "mongodb+srv://app:%@cluster.example.net/x")
	add("Redis URL", drawn(mixed, 15), "REDIS_URL", "redis://:%@cache.example.org:6379/0", "redis://:%@cache.example.org:6379/0")
	add("SQL Server", drawn(mixed, 12)+"!q", "MSSQL_CONN", "--db Server=tcp:db.example.org;User=sa;Password=%;Encrypt=yes", "Server=tcp:db.example.org;User=sa;Password=%;Encrypt=yes")
	add("PGPASSWORD", drawn(mixed, 13), "PGPASSWORD", "PGPASSWORD=%", "PGPASSWORD=% psql -h db")
	docker := base64.StdEncoding.EncodeToString([]byte("ci:" + drawn(mixed, 21)))
	add("Docker", docker, "DOCKER_AUTH_CONFIG", `--config {"auths":{"r.example.org":{"auth":"%"}}}`, `{"auths": {"r.example.org": {"auth": "%"}}}`)
	add("netrc", drawn(mixed, 18), "NETRC_PASSWORD", "--netrc-password %", "machine example.org login ci password %")
	add("kubeconfig", drawn(mixed, 40), "KUBE_TOKEN", "--token=%", "    token: %")
	token("Vault", "hvs."+drawn(mixed, 24), "VAULT_TOKEN")
	token("Twilio", "SK"+drawn(hexes, 32), "TWILIO_API_KEY")
	token("SendGrid", "SG."+drawn(mixed, 22)+"."+drawn(mixed, 43), "SENDGRID_API_KEY")
	add("Datadog", drawn(hexes, 32), "DD_API_KEY", "--dd-api-key=%", "DD_API_KEY=%")
	add("Weights & Biases", drawn(hexes, 40), "WANDB_API_KEY", "--wandb-key=%", `os.environ["WANDB_API_KEY"] = "%"`)
	add("MLflow", drawn(mixed, 17), "MLFLOW_TRACKING_PASSWORD", "--tracking-password %", "mlflow_tracking_password: '%'")
	add("Kaggle", drawn(hexes, 32), "KAGGLE_KEY", "--kaggle-key %", `{"username": "ada", "key": "%"}`)
	add("generic", drawn(mixed, 24), "APP_PASSWORD", "--password %", `["tool", "--password", "%"]`)
	phrase := drawn(small, 5) + " " + drawn(small, 6) + " " + drawn(small, 7)
	kinds = append(kinds, secretKind{"passphrase", phrase, "KEY_PASSPHRASE", []string{"--passphrase", phrase}, `passphrase = "` + phrase + `"`})
	return kinds
}

// leaks are the secrets that a text holds, as they are or encoded.
func leaks(kinds []secretKind, text string) (names []string) {
	for _, kind := range kinds {
		for _, form := range []string{kind.value, url.QueryEscape(kind.value), url.PathEscape(kind.value), base64.StdEncoding.EncodeToString([]byte(kind.value))} {
			if strings.Contains(text, form) {
				names = append(names, kind.name)
				break
			}
		}
	}
	return names
}

// vault is a folder to run convrun in, where nothing of a secret may stay.
type vault struct {
	t              *testing.T
	dir, home, tmp string
	environ        []string
}

func newVault(t *testing.T) *vault {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		missingTool(t, "%v", err)
	}
	v := &vault{t: t, dir: workDir(t)}
	v.home, v.tmp = filepath.Join(filepath.Dir(v.dir), "home"), filepath.Join(filepath.Dir(v.dir), "tmp")
	for _, dir := range []string{v.home, v.tmp, filepath.Join(v.dir, "tf2onnx")} {
		must(t, os.MkdirAll(dir, 0o700))
	}
	v.environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + v.home, "TMPDIR=" + v.tmp, "PYTHONDONTWRITEBYTECODE=1"}
	// A function that the observer knows, with no framework behind it.
	v.write("tf2onnx/__init__.py", "__version__ = '0'\n")
	v.write("tf2onnx/convert.py", "def from_keras(model, output_path=None, opset=None, **more):\n    open(output_path, 'wb').write(open(model, 'rb').read())\n")
	copyFile(t, "../../testdata/model/onnx/dropout_10.onnx", filepath.Join(v.dir, "source.onnx"))
	return v
}

func (v *vault) write(name, text string) {
	v.t.Helper()
	must(v.t, os.WriteFile(filepath.Join(v.dir, name), []byte(text), 0o644))
}

// run starts convrun and gives all that it and the command said.
func (v *vault) run(environ []string, args ...string) string {
	v.t.Helper()
	command := exec.Command("convrun", args...)
	command.Dir, command.Env = v.dir, append(slices.Clone(v.environ), environ...)
	said, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		v.t.Fatal(err)
	}
	return string(said)
}

// search looks for secrets in what convrun left, all but the files that the
// test itself has made.
func (v *vault) search(kinds []secretKind, own ...string) {
	v.t.Helper()
	looked := 0
	for _, root := range []string{v.dir, v.home, v.tmp} {
		must(v.t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			name, relErr := filepath.Rel(root, path)
			if err != nil || relErr != nil || entry.IsDir() || slices.Contains(own, name) || strings.HasPrefix(name, ".git/") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			// The payload of a bundle is base64.
			if _, payload, ok := strings.Cut(string(text), `"payload":"`); ok {
				payload, _, _ = strings.Cut(payload, `"`)
				decoded, err := base64.StdEncoding.DecodeString(payload)
				must(v.t, err)
				text = append(text, decoded...)
				looked++
			}
			for _, kind := range leaks(kinds, string(text)) {
				v.t.Errorf("%s holds the secret of kind %s", path, kind)
			}
			return nil
		}))
	}
	if looked == 0 {
		v.t.Error("no log was looked at")
	}
	if left, _ := os.ReadDir(v.tmp); len(left) > 0 {
		v.t.Errorf("left in the folder for temporary files: %v", left)
	}
}

// readers are all ways to read the log of a model.
func (v *vault) readers(kinds []secretKind, model string) {
	v.t.Helper()
	for _, args := range [][]string{{"show", model}, {"show", "--json", model}, {"report", "--format", "md", model}, {"report", "--format", "html", model}, {"verify", model}} {
		said := v.run(nil, args...)
		for _, kind := range leaks(kinds, said) {
			v.t.Errorf("convrun %s says the secret of kind %s", args[0], kind)
		}
		if len(said) < 50 {
			v.t.Errorf("convrun %q says only %q", args, said)
		}
	}
}

// TestKnownSecretsStayOut gives secrets to a command in its environment and on
// its command line, and has it say them, with no name by them, wherever it can.
func TestKnownSecretsStayOut(t *testing.T) {
	kinds := secretKinds()
	if len(kinds) < 30 {
		t.Fatalf("%d kinds of secret", len(kinds))
	}
	v := newVault(t)
	var environ, values, arguments []string
	for _, kind := range kinds {
		environ = append(environ, kind.variable+"="+kind.value)
		values = append(values, fmt.Sprintf("%q", kind.value))
		arguments = append(arguments, kind.argv...)
	}
	script := `import json, logging, os, socket, subprocess, sys, urllib.parse, warnings, base64
values = [` + strings.Join(values, ", ") + `]
from tf2onnx.convert import from_keras
from_keras("source.onnx", "model.onnx", 10, plain=values, nested={"a": {"b": values}}, joined=" ".join(values),
           encoded=[urllib.parse.quote(v, safe="") for v in values] + [base64.b64encode(("x" * (len(v) % 3) + v).encode()).decode() for v in values])
for value in values:
    warnings.warn("cannot use " + value)
    logging.getLogger("tf2onnx").warning("dropped %s", value)
    subprocess.run(["true", "-x" + value, value])
    name = "".join(c if c.isalnum() or c in "._-+=!" else "_" for c in value)[:200]
    open("out-" + name + ".txt", "w").write("x")
    open("in-" + name + ".bin", "w").close()
    open("in-" + name + ".bin").read()
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect("/tmp/no-such-" + name[:80])
        except OSError:
            pass
raise RuntimeError("lost " + " ".join(values[:10]) + " and more")
`
	v.write("export.py", script)
	v.write("given.toml", "responsible = \"Ada "+kinds[3].value+" <ada@example.org>\"\n[context]\nitem = \"Item "+kinds[14].value+"\"\n")
	said := v.run(environ, append([]string{"run", "--config", "given.toml", "--model", kinds[4].value + "@1", "--id", "run-" + kinds[5].value, "--output", kinds[6].value, "--output", kinds[len(kinds)-1].value,
		"--", "python3", "export.py"}, arguments...)...)
	for line := range strings.Lines(said) { // what the command says is its own
		if strings.HasPrefix(line, "convrun: ") {
			for _, kind := range leaks(kinds, line) {
				t.Errorf("convrun says the secret of kind %s", kind)
			}
		}
	}
	own := []string{"export.py", "given.toml", "source.onnx", "model.onnx"}
	v.search(kinds, own...)
	v.readers(kinds, "model.onnx")
	// Names of files cannot be looked for as they are where they have been changed to be names.
	shown := v.run(nil, "show", "--json", "model.onnx")
	for _, kind := range kinds {
		if !strings.ContainsAny(kind.value, "/ %") && strings.Contains(shown, kind.value[:len(kind.value)-1]) {
			t.Errorf("most of the secret of kind %s is in the log", kind.name)
		}
	}
	for _, want := range []string{"plain", "nested", "in-<redacted", "RuntimeError", "CR-CONVERTER-WARNING", "no-such-"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the log has nothing of %q: what was searched is not what was meant", want)
		}
	}
}

// TestNamedSecretsStayOut has secrets in a script and in what it says, that
// nothing but their form, or the name that they stand under, gives away.
func TestNamedSecretsStayOut(t *testing.T) {
	kinds := secretKinds()
	pin := fmt.Sprint(1000 + rand.IntN(9000))
	v := newVault(t)
	var texts, lines []string
	for _, kind := range kinds {
		texts = append(texts, fmt.Sprintf("%q", kind.text))
		lines = append(lines, "# "+strings.ReplaceAll(kind.text, "\n", "\n# "))
	}
	v.write("export.py", `import logging, subprocess, sys, warnings
texts = [`+strings.Join(texts, ",\n")+`]
from tf2onnx.convert import from_keras
try:
    from_keras("source.onnx", "model.onnx", "x", texts=texts)
    from_keras("no such file", "\n".join(texts))
except OSError:
    pass
for text in texts:
    warnings.warn(text)
    logging.getLogger("tf2onnx").warning(text)
    subprocess.run(["true", text])
subprocess.run(["true", "--pin", "`+pin+`"])
sys.exit("see " + "; ".join(texts)[:900])
`+strings.Join(lines, "\n")+"\n")
	v.run(nil, "run", "--", "python3", "export.py", "--pin", pin)
	v.search(kinds, "export.py", "source.onnx", "model.onnx")
	v.readers(kinds, "model.onnx")
	shown := v.run(nil, "show", "--json", "model.onnx")
	if strings.Contains(shown, `"--pin","`+pin+`"`) || !strings.Contains(shown, `"--pin","<redacted`) {
		t.Error("the number after --pin is in the log")
	}
}

// TestRedactLearnsFromTheWholeLog has a secret stand under its name at the end
// of a log, and without one before that.
func TestRedactLearnsFromTheWholeLog(t *testing.T) {
	secret := drawn(hexes, 30) + "0g"
	st := provenance.Statement{Subject: []provenance.ResourceDescriptor{{Name: secret + ".onnx", Digest: map[string]string{"sha256": secret}}}}
	st.Predicate.Conversion.Context = map[string]string{"item": "of " + secret, secret: "x"}
	st.Predicate.Outputs = []provenance.ResourceDescriptor{{Name: "password=" + secret + ".txt", URI: "file:///password%3D" + secret}}
	redact(&st, &runner.Redactor{})
	if got := st.Subject[0]; got.Name != "<redacted>.onnx" || got.Digest["sha256"] != secret {
		t.Errorf("the subject became %+v", got)
	}
	if got := st.Predicate.Conversion.Context; len(got) != 2 || got["item"] != "of <redacted>" || got["<redacted>"] != "x" {
		t.Errorf("the context became %q", got)
	}
	if got := st.Predicate.Outputs[0].URI; strings.Contains(got, secret) || strings.Contains(got, "<") {
		t.Errorf("the URI became %q", got)
	}
	if st.Predicate.Capture.Redactions != 5 {
		t.Errorf("%d texts are said to have lost one, expected 5", st.Predicate.Capture.Redactions)
	}
}

// TestGitRemoteKeepsNoSecret has one in the URL that a project is pushed to.
func TestGitRemoteKeepsNoSecret(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		missingTool(t, "%v", err)
	}
	v := newVault(t)
	kinds := secretKinds()[3:4]
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", "https://" + kinds[0].value + "@github.com/a/b.git"}} {
		if _, errs, status := programHere(t, v.dir, "git", args...); status != 0 {
			t.Fatal(errs)
		}
	}
	v.run(nil, "run", "--", "cp", "source.onnx", "model.onnx")
	v.search(kinds)
	if shown := v.run(nil, "show", "--json", "model.onnx"); !strings.Contains(shown, `"https://github.com/a/b.git"`) {
		t.Error("the remote is not in the log")
	}
}

// TestEqualSecretsLeaveEqualMarks holds what the key is for.
func TestEqualSecretsLeaveEqualMarks(t *testing.T) {
	v := newVault(t)
	value := drawn(mixed, 24)
	mark := func(secret string) string {
		v.run(nil, "run", "--", "cp", "source.onnx", "model.onnx", "--password", secret)
		v.run(nil, "run", "--", "sh", "-c", "cp source.onnx model.onnx", "sh", "--password", secret)
		shown := v.run(nil, "show", "model.onnx")
		_, mark, _ := strings.Cut(shown, "--password ")
		mark, _, _ = strings.Cut(mark, ">")
		return mark
	}
	first := mark(value)
	if len(first) != len("<redacted hmac-sha256:")+16 || first != mark(value) || first == mark(value+"x") {
		t.Errorf("marks %q, %q and, of another secret, %q", first, mark(value), mark(value+"x"))
	}
	key, err := os.ReadFile(filepath.Join(v.home, ".config/convrun/redaction.key"))
	must(t, err)
	log, err := os.ReadFile(filepath.Join(v.dir, "model.onnx.convlog.json"))
	must(t, err)
	if bytes.Contains(log, key) || strings.Contains(string(log), base64.StdEncoding.EncodeToString(key)) {
		t.Error("the key is in the log")
	}
	must(t, os.Remove(filepath.Join(v.home, ".config/convrun/redaction.key")))
	if mark(value) == first {
		t.Error("another key makes the same mark")
	}
	var r runner.Redactor
	if clean := r.Text(first + ">"); clean != first+">" {
		t.Errorf("a mark became %q", clean)
	}
}

// TestKilledRunLeavesNoRecords ends convrun the hardest way while a process has
// written its secrets down. The keeper, or the tracer, removes them at the end
// of the tree; with a method that has neither the next run does.
func TestKilledRunLeavesNoRecords(t *testing.T) {
	if !canTrace() {
		t.Skip("no tracing here")
	}
	for _, method := range trace.Methods() {
		t.Run(method, func(t *testing.T) {
			v := newVault(t)
			folder := v.kill(method)
			gone := func() bool {
				_, err := os.Stat(folder)
				return err != nil
			}
			if method == trace.Snapshot {
				v.run(nil, "run", "--", "true")
				if gone() {
					t.Error("a folder that may just have been made was removed")
				}
				old := time.Now().Add(-time.Hour)
				must(t, os.Chtimes(folder, old, old))
				v.run(nil, "run", "--", "true")
			}
			waitFor(t, "the end of "+folder, gone)
			if left, _ := os.ReadDir(v.tmp); len(left) > 0 {
				t.Errorf("left in the folder for temporary files: %v", left)
			}
		})
	}
}

// kill runs a conversion, kills convrun in the middle of it, lets the command
// come to its end, and gives the folder that its records lie in.
func (v *vault) kill(method string) (folder string) {
	v.t.Helper()
	v.write("export.py", `from tf2onnx.convert import from_keras
import os, time
from_keras('source.onnx', 'model.onnx', token='`+drawn(mixed, 30)+`')
open('called', 'w').close()
while os.path.exists('go'):
    time.sleep(0.01)
`)
	v.write("go", "")
	command := exec.Command("convrun", "run", "--trace", method, "--", "python3", "export.py")
	command.Dir, command.Env = v.dir, v.environ
	must(v.t, command.Start())
	waitFor(v.t, "the call of the converter", func() bool {
		_, err := os.Stat(filepath.Join(v.dir, "called"))
		return err == nil
	})
	records, _ := filepath.Glob(filepath.Join(v.tmp, "*", "records", "*.jsonl"))
	if len(records) != 1 {
		v.t.Fatalf("records: %v", records)
	}
	folder = filepath.Dir(filepath.Dir(records[0]))
	for path, mode := range map[string]os.FileMode{records[0]: 0o600, filepath.Dir(records[0]): 0o700, folder: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			v.t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	must(v.t, command.Process.Kill())
	_ = command.Wait()
	must(v.t, os.Remove(filepath.Join(v.dir, "go")))
	return folder
}

func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}
