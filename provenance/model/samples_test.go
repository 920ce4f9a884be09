package model

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

const modelDir = "../../testdata/model"

// sample is what one file of testdata/model must say of the five operations,
// and what it must be found to be.
type sample struct {
	verdicts [5]string
	findings []string
}

// checkSamples holds that every model of a folder says what its row has, each
// time in the same words, and that every row has a model.
func checkSamples(t *testing.T, folder string, want map[string]sample) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(modelDir, folder))
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(want)
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(modelDir, folder, name)
		_, expected := want[name]
		if _, ok, err := Detect(path); err != nil || ok != expected {
			t.Errorf("%s: recognised %v, expected %v (%v)", name, ok, expected, err)
			continue
		}
		if !expected {
			continue
		}
		delete(left, name)
		var first []byte
		for range 3 {
			m, err := Inspect(path)
			if err != nil {
				t.Error(err)
				break
			}
			checkComplete(t, name, m)
			if got := verdictsOf(m); got != want[name].verdicts {
				t.Errorf("%s:\n got %v\nwant %v\nevidence %v", name, got, want[name].verdicts, m.Elimination)
			}
			if got := slices.Sorted(slices.Values(findingsOf(m))); !slices.Equal(got, slices.Sorted(slices.Values(want[name].findings))) {
				t.Errorf("%s: findings %v, want %v\n%v", name, got, want[name].findings, m.Findings)
			}
			data, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			}
			if string(first) != string(data) {
				t.Errorf("%s: two readings differ\n%s\n%s", name, first, data)
			}
		}
	}
	for name := range left {
		t.Errorf("%s: no such sample", name)
	}
}

// libraryFacts reads what a format's own library said of the samples.
func libraryFacts(t *testing.T, folder string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(modelDir, folder, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
	if v := reflect.ValueOf(into).Elem(); v.Len() == 0 {
		t.Fatalf("%s: no facts", folder)
	}
}

// maxMemory is what reading a file may take, whatever the file states.
const maxMemory = 256 << 20

// bounded fails when reading takes more memory than any file may. Garbage is
// collected early, so that what is counted is near to what is in use.
func bounded(t *testing.T, name string, read func()) {
	t.Helper()
	boundedBy(t, name, maxMemory, read)
}

func boundedBy(t *testing.T, name string, limit uint64, read func()) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(30))
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := inUse()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for {
			most = max(most, inUse())
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	read()
	most := inUse()
	close(stop)
	if most = max(most, <-peak); most > before+limit {
		t.Errorf("%s: took %d MiB", name, (most-before)>>20)
	}
}

// refused holds that reading fails with an error that names the file and says
// this.
func refused(t *testing.T, name string, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: error %v, want one that says %q", name, err, says)
	}
}

// zipFile is a zip file with these entries, compressed.
func zipFile(t testing.TB, entries ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.Create(e[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// seedsInside adds an entry of each zip file, by the end of its name.
func seedsInside(f *testing.F, entry string, patterns ...string) {
	f.Helper()
	added := 0
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			z, err := zip.OpenReader(path)
			if err != nil {
				continue // not all files of a folder are zip files
			}
			for _, inner := range z.File {
				if strings.HasSuffix(inner.Name, "/"+entry) {
					f.Add(contents(f, inner))
					added++
				}
			}
			if err := z.Close(); err != nil {
				f.Fatal(err)
			}
		}
	}
	if added == 0 {
		f.Fatalf("no seed %s in %v", entry, patterns)
	}
}

func contents(t testing.TB, entry *zip.File) []byte {
	t.Helper()
	r, err := entry.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
