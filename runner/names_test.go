package runner

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// somePath is one of few paths, so that files and folders often meet.
func somePath(random *rand.Rand) string {
	path := ""
	for range 1 + random.IntN(4) {
		path += "/" + string("abc"[random.IntN(3)])
	}
	return path
}

// TestNames compares with a look at every name.
func TestNames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	indexed, plain := newNames(), map[string]*record{}
	for range 20_000 {
		path := somePath(random)
		switch random.IntN(3) {
		case 0:
			r := &record{path: path}
			indexed.set(path, r)
			plain[path] = r
		case 1:
			indexed.remove(path)
			delete(plain, path)
		default:
			var want []string
			for _, name := range slices.Sorted(maps.Keys(plain)) {
				if name == path || strings.HasPrefix(name, path+"/") {
					want = append(want, name)
				}
			}
			if got := indexed.below(path); !slices.Equal(got, want) {
				t.Fatalf("below %s: %q, wanted %q", path, got, want)
			}
			if indexed.at(path) != plain[path] {
				t.Fatalf("another file at %s", path)
			}
		}
	}
	for path := range plain {
		indexed.remove(path)
	}
	if len(indexed.files) != 0 || len(indexed.folders) != 0 {
		t.Errorf("%d files and %d folders are left of none", len(indexed.files), len(indexed.folders))
	}
}

// TestOrigins compares with a look at every move.
func TestOrigins(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		m := moves{to: map[string][]int{}}
		for range 1 + random.IntN(8) {
			from, to := somePath(random), somePath(random)
			if from != to && !isBelow(from, to) && !isBelow(to, from) {
				m.add(move{from: from, to: to, exchanged: random.IntN(2) == 0})
			}
		}
		for range 50 {
			path := somePath(random) + "/x"
			want := path
			for _, moved := range slices.Backward(m.list) {
				if rest, ok := strings.CutPrefix(want, moved.to+"/"); ok {
					want = moved.from + "/" + rest
				} else if rest, ok := strings.CutPrefix(want, moved.from+"/"); ok && moved.exchanged {
					want = moved.to + "/" + rest
				}
			}
			if got := m.origin(path); got != want {
				t.Fatalf("%s was %s, wanted %s, after %+v", path, got, want, m.list)
			}
		}
	}
}
