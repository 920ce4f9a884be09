//go:build amd64 || arm64

package runner

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/convrun/convrun/runner/hub"
)

const (
	hubCommit  = "0123456789abcdef0123456789abcdef01234567"
	hubWeights = "weights of a net"
	hubConfig  = `{"a": 1}`
)

// modelHub answers on loopback as the hub of Hugging Face does: acme/net with
// two files, one of them kept as a large file, whose branch main is at
// hubCommit. Any other path is a plain download.
func modelHub(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := filepath.Base(r.URL.Path)
		content := hubWeights
		if base == "config.json" {
			content = hubConfig
		}
		if strings.HasPrefix(r.URL.Path, "/acme/net/resolve/") {
			blob := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(content), content)))
			w.Header().Set("X-Repo-Commit", hubCommit)
			w.Header().Set("ETag", `"`+hex.EncodeToString(blob[:])+`"`)
			if base != "config.json" {
				w.Header().Set("X-Linked-Etag", `"`+sum(content)+`"`)
				w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
			}
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method != http.MethodHead {
			fmt.Fprint(w, content)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// environmentOf is the interpreter of an environment that tests share.
func environmentOf(t *testing.T, environment string) string {
	t.Helper()
	needTracing(t)
	program, err := filepath.Abs(filepath.Join("../.cache/python", environment, "bin/python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatalf("%v; make tools installs it", err)
		}
		t.Skip(err)
	}
	return program
}

// sourcesOf runs Python code and tells of its sources, in words.
func sourcesOf(t *testing.T, environ []string, program, code string) string {
	t.Helper()
	o, err := Run(t.Context(), Command{Argv: []string{program, "-c", code}, Environ: append(environ, os.Environ()...), NoObserver: true})
	if err != nil {
		t.Fatal(err)
	}
	if o.ExitCode != 0 {
		t.Fatalf("%s ended with %d", code, o.ExitCode)
	}
	var lines []string
	for _, s := range o.Hubs {
		lines = append(lines, inWords(s))
	}
	return strings.Join(lines, "\n")
}

func inWords(s hub.Source) string {
	pinned := "cannot be told"
	if s.Pinned != nil {
		pinned = map[bool]string{true: "pinned", false: "floating"}[*s.Pinned]
	}
	return fmt.Sprintf("%s %s %s@%s ref %q %s, %d files", s.Hub, s.Kind, s.Repository, s.Revision, s.Ref, pinned, s.Files)
}

// TestHuggingFaceCache has the hub's own library fill and use its cache.
func TestHuggingFaceCache(t *testing.T) {
	program := environmentOf(t, "converters")
	dir := folder(t, nil)
	environ := []string{"HF_HOME=" + filepath.Join(dir, "hf"), "HF_ENDPOINT=" + modelHub(t), "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_XET=1", "HOME=" + dir}
	offline := append([]string{"HF_HUB_OFFLINE=1"}, environ...)
	const download = "from huggingface_hub import hf_hub_download as d\nfor n in ('config.json', 'sub/model.safetensors'): open(d('acme/net', n%s), 'rb').read()"
	floating := "huggingface model acme/net@" + hubCommit + ` ref "main" floating, 2 files`
	pinned := "huggingface model acme/net@" + hubCommit + ` ref "" pinned, 2 files`
	for _, c := range []struct {
		name, code, want string
		environ          []string
	}{
		{"downloaded by the run", fmt.Sprintf(download, ""), floating, environ},
		{"in the cache", fmt.Sprintf(download, ""), floating, environ},
		{"in the cache, offline", fmt.Sprintf(download, ""), floating, offline},
		{"a commit", fmt.Sprintf(download, ", revision='"+hubCommit+"'"), pinned, environ},
		{"a commit, offline", fmt.Sprintf(download, ", revision='"+hubCommit+"'"), pinned, offline},
		{"by path", "import glob\nfor n in glob.glob('hf/hub/models--acme--net/snapshots/*/**/*.*', recursive=True): open(n).read()", "", environ},
		{"by absolute path", "import glob\nfor n in glob.glob('" + dir + "/hf/hub/models--acme--net/snapshots/*/**/*.*', recursive=True): open(n).read()", pinned, environ},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if want == "" {
				want = pinned
			}
			if got := sourcesOf(t, c.environ, program, c.code); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestTorchHubCache has torch.hub fill and use its cache.
func TestTorchHubCache(t *testing.T) {
	program := environmentOf(t, "torch")
	dir := folder(t, nil)
	for _, name := range []string{"pytorch_vision_main", "acme_odd_name_v1.0", "acme_two_words_v2", "acme_net_" + hubCommit} {
		if err := os.MkdirAll(filepath.Join(dir, "th/hub", name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "th/hub", name, "hubconf.py"), []byte("def net(): return 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// As torch.hub writes it when a user has answered that he trusts one.
	if err := os.WriteFile(filepath.Join(dir, "th/hub/trusted_list"), []byte("acme_odd_name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	named := "net-" + sum(hubWeights)[:8] + ".pth"
	code := `
import torch
server, named = "` + modelHub(t) + `", "` + named + `"
hub = torch.hub
import os
os.makedirs(hub.get_dir() + "/checkpoints", exist_ok=True)
for name in (named, "plain.pth"):
    path = hub.get_dir() + "/checkpoints/" + name
    hub.download_url_to_file(server + "/" + name, path, progress=False)
    open(path, "rb").read()
for repository in ("pytorch/vision:main", "acme/odd_name:v1.0", "acme/two_words:v2", "acme/net:` + hubCommit + `"):
    hub.load(repository, "net", trust_repo=True, skip_validation=True, verbose=False)
`
	want := strings.Join([]string{
		"torch code acme/net@" + hubCommit + ` ref "" pinned, 1 files`,
		`torch code acme/odd_name@v1.0 ref "v1.0" floating, 1 files`,
		`torch code pytorch/vision@main ref "main" floating, 1 files`,
		"torch model unknown: the cache keeps the name of the file alone@" + sum(hubWeights)[:8] + ` ref "" pinned, 1 files`,
		`torch model unknown: the cache keeps the name of the file alone@unknown: the name holds no digest ref "" floating, 1 files`,
		`torch code unknown: the folder's name acme_two_words_v2 can be read in several ways@unknown: it is the last part of the folder's name ref "" floating, 1 files`,
	}, "\n")
	if got := sourcesOf(t, []string{"TORCH_HOME=" + filepath.Join(dir, "th"), "HOME=" + dir}, program, code); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestKerasCache has Keras's own get_file fill its cache.
func TestKerasCache(t *testing.T) {
	if os.Getenv("CONVRUN_FULL") == "" {
		t.Skip("only with CONVRUN_FULL")
	}
	program := environmentOf(t, "tensorflow")
	dir := folder(t, nil)
	code := `
import keras
path = keras.utils.get_file("net.h5", "` + modelHub(t) + `/net.h5", cache_subdir="models")
open(path, "rb").read()
`
	want := `keras model unknown: the cache keeps the name of the file alone@unknown: the cache keeps none ref "" floating, 1 files`
	if got := sourcesOf(t, []string{"KERAS_HOME=" + filepath.Join(dir, "k"), "TF_CPP_MIN_LOG_LEVEL=3", "HOME=" + dir}, program, code); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
