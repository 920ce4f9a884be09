package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func inWords(s Source) string {
	pinned := "cannot be told"
	if s.Pinned != nil {
		pinned = fmt.Sprint(*s.Pinned)
	}
	return fmt.Sprintf("%s %s %s %s pinned %s files %d %s", s.Hub, s.Kind, s.Repository, s.Revision, pinned, s.Files, s.PURL)
}

// TestLayouts has what the libraries' own caches in the runner's tests have not.
func TestLayouts(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// A repository two of whose snapshots share a blob.
	shared := filepath.Join(root, "models--acme--net")
	for _, dir := range []string{"blobs", "snapshots/one", "snapshots/two"} {
		if err := os.MkdirAll(filepath.Join(shared, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range [][2]string{{"aa", "snapshots/one/a"}, {"aa", "snapshots/two/a"}, {"bb", "snapshots/two/b"}} {
		if err := os.Symlink("../../blobs/"+link[0], filepath.Join(shared, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	const keepsNone = "unknown: the cache keeps the name of the file alone"
	for _, c := range []struct {
		name    string
		environ []string
		files   []File
		want    []string
	}{
		{"elsewhere", nil, []File{{Path: "/w/net.pth"}, {Path: "/w/models--x/other/y"}, {Path: "/w/snapshots/x/y"}}, nil},
		{"a name without owner, a data set, a hub in a folder of its own", nil, []File{
			{Path: "/x/models--gpt2/blobs/1", Requested: "/x/models--gpt2/snapshots/abc/config.json", SHA256: "11"},
			{Path: "/x/datasets--a--b/snapshots/def/deep/x.csv", SHA256: "22"},
		}, []string{"huggingface dataset a/b def pinned true files 1 ", "huggingface model gpt2 abc pinned true files 1 pkg:huggingface/gpt2@abc"}},
		{"a ref of another commit, and one of this", nil, []File{
			{Path: "/x/models--a--b/refs/main", SHA256: sum("other")}, {Path: "/x/models--a--b/refs/pr/1", SHA256: sum("abc")},
			{Path: "/x/models--a--b/snapshots/abc/x", SHA256: "11"}, {Path: "/x/models--a--b/snapshots/def/x", SHA256: "22"},
		}, []string{"huggingface model a/b abc pinned false files 1 pkg:huggingface/a/b@abc", "huggingface model a/b def pinned true files 1 pkg:huggingface/a/b@def"}},
		{"blobs opened by their own names", nil, []File{{Path: shared + "/blobs/aa", SHA256: "11"}, {Path: shared + "/blobs/bb", SHA256: "22"}}, []string{
			"huggingface model acme/net two pinned true files 1 pkg:huggingface/acme/net@two",
			"huggingface model acme/net unknown: 2 snapshots have the file pinned cannot be told files 1 ",
		}},
		{"a checkpoint that is not what its name says", []string{"XDG_CACHE_HOME=/c", "HOME=/h"}, []File{{Path: "/c/torch/hub/checkpoints/a-0011.pth", SHA256: sum("a")}, {Path: "/h/.cache/torch/hub/checkpoints/b.pth", SHA256: sum("b")}},
			[]string{"torch model " + keepsNone + " unknown: the content is not that of the digest in the name pinned false files 1 "}},
		{"a checkpoint that could not be hashed", []string{"HOME=/h"}, []File{{Path: "/h/.cache/torch/hub/checkpoints/a-0011.pth"}}, []string{"torch model " + keepsNone + " 0011 pinned cannot be told files 1 "}},
		{"the first of two variables", []string{"TORCH_HOME=~/t", "TORCH_HOME=/u", "HOME=/h"}, []File{{Path: "/h/t/hub/checkpoints/b.pth", SHA256: "00"}, {Path: "/u/hub/checkpoints/b.pth", SHA256: "00"}},
			[]string{"torch model " + keepsNone + " unknown: the name holds no digest pinned false files 1 "}},
		{"kaggle", []string{"HOME=/h"}, []File{
			{Path: "/h/.cache/kagglehub/models/google/bert/keras/base/3/a.h5", SHA256: "00"}, {Path: "/h/.cache/kagglehub/models/google/bert/keras/base/3/b/c.h5", SHA256: "00"},
			{Path: "/h/.cache/kagglehub/datasets/o/n/versions/12/x.csv", SHA256: "00"}, {Path: "/h/.cache/kagglehub/models/odd", SHA256: "00"},
		}, []string{"kaggle model google/bert/keras/base 3 pinned cannot be told files 2 ", "kaggle dataset o/n 12 pinned cannot be told files 1 "}},
		{"keras, but for its settings", []string{"HOME=/h"}, []File{{Path: "/h/.keras/keras.json"}, {Path: "/h/.keras/datasets/mnist.npz"}}, []string{"keras dataset " + keepsNone + " unknown: the cache keeps none pinned false files 1 "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range Sources(c.files, c.environ) {
				got = append(got, inWords(s))
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}
