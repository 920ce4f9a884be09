package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestGGUF(t *testing.T) {
	plain := sample{verdicts: [5]string{no, no, no, no, no}}
	trained := sample{[5]string{no, no, unsure, unsure, unsure}, []string{OptimizerStored}}
	checkSamples(t, "gguf", map[string]sample{
		"weights.gguf":              plain,
		"aligned.gguf":              plain,
		"big_endian.gguf":           plain,
		"types.gguf":                plain,
		"quantized.gguf":            {[5]string{no, no, no, no, no}, []string{QuantizedBlocks}},
		"normalized.gguf":           {verdicts: [5]string{no, dormant, no, no, no}},
		"checkpoint.gguf":           trained,
		"checkpoint_training.gguf":  trained,
		"checkpoint_optimizer.gguf": trained,
		"checkpoint_moments.gguf":   trained,
	})
}

// What the gguf library says of each file.
func TestAgainstGGUF(t *testing.T) {
	var want map[string]struct {
		Version uint64
		Keys    []string
		Tensors map[string][3]int64
		Types   []string
	}
	libraryFacts(t, "gguf", &want)
	for file, facts := range want {
		path := filepath.Join(modelDir, "gguf", file)
		opened, size, err := openRegular(path)
		if err != nil {
			t.Fatal(err)
		}
		g := &ggufFile{wire: newWire(opened, size, file), keys: map[string]bool{}, align: 32, types: map[string]int{}}
		err = g.header()
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Error(err)
			continue
		}
		tensors, parameters := map[string][3]int64{}, int64(0)
		for _, placed := range g.tensors {
			tensors[placed.name] = [3]int64{placed.elements, placed.length, placed.start}
			if !strings.HasPrefix(placed.name, "optimizer.") {
				parameters += placed.elements
			}
		}
		keys, types := slices.Sorted(maps.Keys(g.keys)), slices.Sorted(maps.Keys(g.types))
		if g.version != facts.Version || !slices.Equal(keys, facts.Keys) || !slices.Equal(types, facts.Types) || !reflect.DeepEqual(tensors, facts.Tensors) {
			t.Errorf("%s:\n got %d %v %v %v\nwant %+v", file, g.version, keys, types, tensors, facts)
		}
		if m, err := Inspect(path); err != nil || m.Parameters != parameters || (strings.Contains(m.FormatVersion, "big-endian")) != (file == "big_endian.gguf") {
			t.Errorf("%s: %d parameters, want %d; %s (%v)", file, m.Parameters, parameters, m.FormatVersion, err)
		}
	}
}

func le(n int, v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v)[:n] }

func ggufText(s string) []byte { return join(le(8, uint64(len(s))), []byte(s)) }

// ggufHeader is a file with these numbers of tensors and settings.
func ggufHeader(tensors, settings uint64, rest ...[]byte) []byte {
	return join([]byte("GGUF"), le(4, 3), le(8, tensors), le(8, settings), join(rest...))
}

func ggufTensor(name string, kind, offset uint64, shape ...uint64) []byte {
	b := join(ggufText(name), le(4, uint64(len(shape))))
	for _, d := range shape {
		b = append(b, le(8, d)...)
	}
	return join(b, le(4, kind), le(8, offset))
}

// padded adds the data, which starts at a multiple of 32.
func padded(header []byte, data int) []byte {
	return join(header, make([]byte, (32-len(header)%32)%32+data))
}

func TestGGUFLayout(t *testing.T) {
	for _, test := range []struct {
		name string
		data []byte
		says string
	}{
		{"as it should be", padded(ggufHeader(2, 0, ggufTensor("a", 0, 0, 2), ggufTensor("b", 0, 32, 8)), 64), ""},
		{"no tensor", ggufHeader(0, 0), ""},
		{"scalar", padded(ggufHeader(1, 0, ggufTensor("a", 0, 0)), 4), ""},
		{"overlap", padded(ggufHeader(2, 0, ggufTensor("a", 0, 0, 16), ggufTensor("b", 0, 32, 8)), 64), `tensor "b" starts at byte 32, before`},
		{"gap", padded(ggufHeader(2, 0, ggufTensor("a", 0, 0, 2), ggufTensor("b", 0, 64, 8)), 96), `bytes in front of tensor "b"`},
		{"cut off", padded(ggufHeader(1, 0, ggufTensor("a", 0, 0, 16)), 60), "ends at byte 64 of the data, which has 60"},
		{"more behind it", padded(ggufHeader(1, 0, ggufTensor("a", 0, 0, 8)), 64), "32 bytes at the end"},
		{"not aligned", padded(ggufHeader(2, 0, ggufTensor("a", 0, 0, 1), ggufTensor("b", 0, 4, 1)), 8), "no multiple of 32"},
		{"part of a block", padded(ggufHeader(1, 0, ggufTensor("a", 2, 0, 31)), 18), "no multiple of 32 as Q4_0 needs it"},
		{"type of tomorrow", padded(ggufHeader(1, 0, ggufTensor("a", 99, 0, 32)), 18), `element type 99 of tensor "a" is not known`},
	} {
		m, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), test.data))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkComplete(t, test.name, m)
		if n := m.found(TensorLayout); (n == 1) != (test.says != "") || n == 1 && !strings.Contains(m.Findings[0].Evidence, test.says) {
			t.Errorf("%s: findings %v, want %q", test.name, m.Findings, test.says)
		}
	}
}

func TestGGUFRefused(t *testing.T) {
	setting := func(key string, kind uint64, value ...[]byte) []byte {
		return join(ggufText(key), le(4, kind), join(value...))
	}
	arrays := []byte{}
	for range maxDepth + 2 {
		arrays = append(arrays, join(le(4, ggufArray), le(8, 1))...)
	}
	a := ggufTensor("a", 0, 0, 2)
	for _, test := range []struct {
		name string
		data []byte
		says string
	}{
		{"magic alone", []byte("GGUF"), "expected a number of 4 bytes, found the end of the file"},
		{"version 1", join([]byte("GGUF"), le(4, 1), make([]byte, 100)), "expected version 2 or 3, found 1"},
		{"version of tomorrow", join([]byte("GGUF"), le(4, 4), make([]byte, 100)), "expected version 2 or 3, found 4"},
		{"tensors without end", ggufHeader(1<<63, 0), "at most 262144 tensors"},
		{"settings without end", ggufHeader(0, 1<<63), "65536 settings"},
		{"tensors that are not there", ggufHeader(5, 0, a), "the end of the file"},
		{"long name", ggufHeader(0, 1, le(8, maxString+1), make([]byte, maxString+1)), "a name of at most"},
		{"name past the end", ggufHeader(0, 1, le(8, 9)), "which remain"},
		{"key twice", ggufHeader(0, 2, setting("k", 0, le(1, 0)), setting("k", 0, le(1, 0))), `found "k" twice`},
		{"tensor twice", ggufHeader(2, 0, a, a), `found "a" twice`},
		{"type of a setting", ggufHeader(0, 1, setting("k", 13)), "the type of a setting, found 13"},
		{"string past the end", ggufHeader(0, 1, setting("k", ggufString, le(8, 1<<63))), "which remain"},
		{"array past the end", ggufHeader(0, 1, setting("k", ggufArray, le(4, 10), le(8, 1<<61))), "which remain"},
		{"strings without end", ggufHeader(0, 1, setting("k", ggufArray, le(4, ggufString), le(8, 1<<63))), "strings and arrays"},
		{"many arrays of strings", ggufHeader(0, 2, setting("j", ggufArray, le(4, ggufString), le(8, maxGGUFElements/2), make([]byte, 8*maxGGUFElements/2)),
			setting("k", ggufArray, le(4, ggufString), le(8, maxGGUFElements/2))), "strings and arrays"},
		{"arrays within arrays", ggufHeader(0, 1, setting("k", ggufArray, arrays)), "arrays within each other"},
		{"alignment of zero", ggufHeader(0, 1, setting("general.alignment", 4, le(4, 0))), "a power of two"},
		{"alignment of three", ggufHeader(0, 1, setting("general.alignment", 4, le(4, 3))), "a power of two"},
		{"alignment of a gigabyte", ggufHeader(0, 1, setting("general.alignment", 4, le(4, 1<<30))), "a power of two"},
		{"five dimensions", ggufHeader(1, 0, ggufTensor("a", 0, 0, 1, 1, 1, 1, 1)), "at most 4 dimensions"},
		{"elements without end", ggufHeader(1, 0, ggufTensor("a", 0, 0, 1<<32, 1<<32)), "at most 2^53 elements"},
		{"negative", ggufHeader(1, 0, ggufTensor("a", 0, 0, 1<<63)), "at most 2^53 elements"},
		{"far away", ggufHeader(1, 0, ggufTensor("a", 0, 1<<63, 1)), "within the file"},
		{"parameters without end", ggufHeader(2, 0, ggufTensor("a", 0, 0, 1<<53), ggufTensor("b", 0, 0, 1)), "at most 2^53 parameters"},
	} {
		start := time.Now()
		var err error
		bounded(t, test.name, func() { err = newModel("gguf", "x").gguf(bytes.NewReader(test.data), int64(len(test.data))) })
		refused(t, test.name, err, "x: ")
		refused(t, test.name, err, test.says)
		if spent := time.Since(start); spent > 30*time.Second {
			t.Errorf("%s took %v", test.name, spent)
		}
	}
}

// FuzzGGUF holds that any bytes give an error that names the file or a
// complete model, and that what is in the data changes nothing.
func FuzzGGUF(f *testing.F) {
	seeds(f, filepath.Join(modelDir, "gguf", "*.gguf"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 {
			return
		}
		look := func(data []byte) (*Model, error) {
			m := newModel("gguf", "test.gguf")
			return m, m.gguf(bytes.NewReader(data), int64(len(data)))
		}
		m, err := look(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.gguf") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		g := &ggufFile{wire: newWire(bytes.NewReader(data), int64(len(data)), "x"), keys: map[string]bool{}, align: 32, types: map[string]int{}}
		if err := g.header(); err != nil {
			t.Fatal(err)
		}
		other := bytes.Clone(data)
		for i := max(g.data, 0); i < int64(len(other)); i++ {
			other[i] ^= 0xff
		}
		again, err := look(other)
		if err != nil || fmt.Sprint(m) != fmt.Sprint(again) {
			t.Fatalf("data changed the model (%v):\n%+v\n%+v", err, m, again)
		}
	})
}
