package model

import (
	"encoding/json"
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
	if most = max(most, <-peak); most > before+maxMemory {
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
