package model

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// output is what a program of Python printed.
func output(t testing.TB, interpreter string, arguments ...string) string {
	t.Helper()
	out, err := exec.Command(interpreter, arguments...).Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%v: %v\n%s", arguments, err, exit.Stderr)
	}
	return strings.TrimSpace(string(out))
}

// A second implementation, in Python over the onnx package, gives the same
// digests, and has none for the same files.
func TestCanonicalONNXAgrees(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(modelDir, "onnx", "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	arguments := append([]string{filepath.Join(modelDir, "onnx", "canonical.py")}, files...)
	lines := strings.Split(output(t, python(t, "torch", "onnx"), arguments...), "\n")
	if len(lines) != len(files) {
		t.Fatalf("%d lines for %d files", len(lines), len(files))
	}
	for i, file := range files {
		got, err := Canonical(file)
		_, none := strings.CutPrefix(lines[i], "none:")
		switch {
		case none != errors.Is(err, ErrNotCanonical):
			t.Errorf("%s: %v, Python says %s", file, err, lines[i])
		case !none && (err != nil || got != lines[i]):
			t.Errorf("%s: %s, %v, Python says %s", file, got, err, lines[i])
		}
	}
}

func canonical(t testing.TB, path string) string {
	t.Helper()
	sum, err := Canonical(path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// changed holds that what is noise leaves the digest as it is, and that every
// single change gives another one, or a model that has none.
func changed(t *testing.T, interpreter, folder, name string) {
	t.Run(name, func(t *testing.T) {
		source, variants := filepath.Join(modelDir, folder, name), t.TempDir()
		output(t, interpreter, filepath.Join(modelDir, folder, "changes.py"), source, variants)
		want := canonical(t, source)
		seen := map[string]string{want: source}
		paths, err := filepath.Glob(filepath.Join(variants, "*"+filepath.Ext(name)))
		if err != nil || len(paths) < 15 {
			t.Fatal(len(paths), err)
		}
		for _, path := range paths {
			sum, err := Canonical(path)
			if strings.HasPrefix(filepath.Base(path), "noise_") {
				if err != nil || sum != want {
					t.Errorf("%s: %s, %v; want %s", filepath.Base(path), sum, err, want)
				}
				continue
			}
			if err != nil && !errors.Is(err, ErrNotCanonical) {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
			if twin, twice := seen[sum]; twice && err == nil {
				t.Errorf("%s has the digest of %s", filepath.Base(path), filepath.Base(twin))
			}
			seen[sum] = path
		}
	})
}

func TestCanonicalONNXChanges(t *testing.T) {
	interpreter := python(t, "torch", "onnx")
	for _, name := range []string{
		"dynamo_eval_20", "torchscript_eval_17", "torchscript_train_17", "tf2onnx_eval_17", "if_dropout_17", "loop_dropout_17",
		"function_nested_17", "function_attribute_true_17", "dropout_17_input", "bn_17_inputs", "types_19",
	} {
		changed(t, interpreter, "onnx", name+".onnx")
	}
}

func TestCanonicalTFLiteChanges(t *testing.T) {
	interpreter := python(t, "tensorflow", "flatbuffers")
	for _, name := range []string{
		"network_inference", "network_int8", "network_variables", "loop", "branch", "fused_flex_inference", "batch_statistics",
	} {
		changed(t, interpreter, "tensorflow", name+".tflite")
	}
}

// Two conversions by a real exporter, in other folders, with other names for
// whatever a user names, give other bytes and one digest.
func TestCanonicalRepeats(t *testing.T) {
	script, err := filepath.Abs(filepath.Join(modelDir, "repeat.py"))
	if err != nil {
		t.Fatal(err)
	}
	for framework, files := range map[string][]string{
		"torch":      {"torchscript.onnx", "dynamo.onnx"},
		"tensorflow": {"tf2onnx.onnx", "float.tflite", "int8.tflite"},
	} {
		t.Run(framework, func(t *testing.T) {
			t.Parallel()
			interpreter, err := filepath.Abs(python(t, framework, "onnx"))
			if err != nil {
				t.Fatal(err)
			}
			convert := func(names, seed string) string {
				folder := filepath.Join(t.TempDir(), names)
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				command := exec.Command(interpreter, script, framework, ".", names)
				command.Dir, command.Env = folder, append(os.Environ(), "PYTHONHASHSEED="+seed)
				if out, err := command.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				return folder
			}
			first, second := convert("a", "1"), convert("other", "2")
			for _, file := range files {
				a, b := filepath.Join(first, "a"+file), filepath.Join(second, "other"+file)
				if canonical(t, a) != canonical(t, b) {
					t.Errorf("%s: two digests", file)
				}
				one, err := os.ReadFile(a)
				if err != nil {
					t.Fatal(err)
				}
				other, err := os.ReadFile(b)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(one, other) {
					t.Errorf("%s: two conversions gave the same bytes, so that nothing was shown", file)
				}
			}
		})
	}
}

// The specification's test vectors are what is computed.
func TestCanonicalVectors(t *testing.T) {
	spec, err := os.ReadFile("../../docs/spec/canonical-digest-v1.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9_./]+)` \\| `([0-9a-f]{64})` \\|$").FindAllStringSubmatch(string(spec), -1)
	if len(rows) < 10 {
		t.Fatalf("%d vectors", len(rows))
	}
	for _, row := range rows {
		if got := canonical(t, filepath.Join(modelDir, row[1])); got != row[2] {
			t.Errorf("%s: %s, the specification has %s", row[1], got, row[2])
		}
	}
}

// What a file of weights holds counts, names included; where it stands does not.
func TestCanonicalSafetensors(t *testing.T) {
	folder := filepath.Join(modelDir, "safetensors")
	whole := filepath.Join(folder, "weights.safetensors")
	want := canonical(t, whole)
	if sharded := canonical(t, filepath.Join(folder, "sharded.safetensors.index.json")); sharded != want {
		t.Errorf("shards: %s, want %s", sharded, want)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		same     bool
	}{
		"metadata": {`{"format":"pt"}`, `{"format":"np"}`, true},
		"name":     {`"bn1.bias"`, `"bn9.bias"`, false},
		"type":     {`"dtype":"F32"`, `"dtype":"I32"`, false},
		"shape":    {`"shape":[2,1,3,3]`, `"shape":[1,2,3,3]`, false},
		"weight":   {string(data[len(data)-1:]), string([]byte{data[len(data)-1] ^ 1}), false},
	} {
		at := bytes.LastIndex(data, []byte(c.old))
		if at < 0 {
			t.Fatalf("%s: no %s", name, c.old)
		}
		changed := slices.Concat(data[:at], []byte(c.new), data[at+len(c.old):])
		got := canonical(t, write(t, filepath.Join(t.TempDir(), "m.safetensors"), changed))
		if (got == want) != c.same {
			t.Errorf("%s: %s, before %s", name, got, want)
		}
	}
	gap := bytes.Replace(data, []byte(`"data_offsets":[0,`), []byte(`"data_offsets":[1,`), 1)
	if _, err := Canonical(write(t, filepath.Join(t.TempDir(), "m.safetensors"), gap)); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("a gap: %v", err)
	}
}

// Whatever a file says, it has one digest or none, and the order of what
// stands in its graph does not matter to it.
func FuzzCanonicalONNX(f *testing.F) {
	seeds(f, filepath.Join(modelDir, "onnx", "*.onnx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := emptyRoot(t)
		digest := func(data []byte) (checksum, error) {
			return digestONNX(newWire(bytes.NewReader(data), int64(len(data)), "test.onnx"), root)
		}
		want, err := digest(data)
		if err != nil {
			return
		}
		turned, ok := turnedGraph(t, data)
		if !ok {
			return
		}
		if got, err := digest(turned); err != nil || got != want {
			t.Errorf("%x, %v; want %x", got, err, want)
		}
	})
}

// turnedGraph is the model with its nodes and initializers in the opposite
// order; ok is false when its graph is in pieces.
func turnedGraph(t *testing.T, data []byte) (turned []byte, ok bool) {
	split := func(data []byte) (fields [][]byte, ids []int, inner []span) {
		w := newWire(bytes.NewReader(data), int64(len(data)), "test.onnx")
		for at := int64(0); at < w.size; {
			field, next, err := w.field(at, w.size)
			if err != nil {
				t.Fatal(err)
			}
			fields, ids, inner = append(fields, data[at:next]), append(ids, field.id), append(inner, field.span)
			at = next
		}
		return fields, ids, inner
	}
	fields, ids, inner := split(data)
	graphs := 0
	for i, id := range ids {
		if id != 7 {
			turned = append(turned, fields[i]...)
			continue
		}
		graphs++
		parts, partIDs, _ := split(data[inner[i].start:inner[i].end])
		var values, rest []byte
		for j, part := range parts {
			if partIDs[j] == 11 || partIDs[j] == 12 {
				values = append(values, part...)
			} else {
				rest = append(slices.Clone(part), rest...)
			}
		}
		turned = append(turned, block(7, values, rest)...)
	}
	return turned, graphs == 1
}

func FuzzCanonicalTFLite(f *testing.F) {
	seeds(f, filepath.Join(modelDir, "tensorflow", "*.tflite"))
	f.Fuzz(func(t *testing.T, data []byte) {
		digest := func() (checksum, error) {
			return digestTFLite(newPager(bytes.NewReader(data), int64(len(data)), "test.tflite"))
		}
		first, err := digest()
		second, again := digest()
		if first != second || (err == nil) != (again == nil) {
			t.Errorf("%x, %v; then %x, %v", first, err, second, again)
		}
	})
}

// What is built to take forever has no digest, soon, or one like any other.
func TestCanonicalBombs(t *testing.T) {
	call := func(name string, from, to []string) []byte { return inFunction(nodeBody(name, from, to, local)) }
	chain := func(n int) []byte {
		data := testModel(testNode(fmt.Sprint("F", n), x, y, local), block(11, str(1, "x")), block(12, str(1, "y")))
		for i := range n {
			// Twice each: 2^n calls.
			data = append(data, testFunction(fmt.Sprint("F", i+1), x, y, call(fmt.Sprint("F", i), x, []string{"a"}), call(fmt.Sprint("F", i), []string{"a"}, y))...)
		}
		return append(data, testFunction("F0", x, y, inFunction(nodeBody("Relu", x, y)))...)
	}
	var doubled, deep []byte
	for i := range 200 {
		v := fmt.Sprint("v", i)
		doubled = append(doubled, testNode("Add", []string{v, v}, []string{fmt.Sprint("v", i+1)})...)
	}
	inner := testNode("Relu", []string{"v0"}, y)
	for range 20 {
		inner = block(1, nodeBody("If", []string{"v0"}, y, block(5, str(1, "then"), number(20, 5), block(6, inner, block(12, str(1, "y"))))))
	}
	deep = inner
	out := func(name string) []byte { return join(block(11, str(1, "v0")), block(12, str(1, name))) }
	external := func(i int) []byte {
		where := join(block(13, str(1, "location"), str(2, "w.bin")), block(13, str(1, "offset"), str(2, fmt.Sprint(i))), block(13, str(1, "length"), str(2, "65536")))
		return block(5, number(1, 65536), number(2, 2), str(8, fmt.Sprint("w", i)), number(14, 1), where)
	}
	overlapping := []byte{}
	names := []string{}
	for i := range 64 {
		overlapping = append(overlapping, external(i)...)
		names = append(names, fmt.Sprint("w", i))
	}
	overlapping = append(overlapping, testNode("Concat", names, y)...)
	folder := t.TempDir()
	write(t, filepath.Join(folder, "w.bin"), make([]byte, 65536+64))
	for name, c := range map[string]struct {
		data []byte
		says string // "" is a digest
	}{
		"2^60 calls":         {chain(60), ""},
		"deep calls":         {chain(65), "more than 64 deep"},
		"2^200 paths":        {testModel(doubled, out("v200")), ""},
		"graphs in graphs":   {testModel(deep, out("y")), ""},
		"calls itself":       {join(testModel(testNode("F", x, y, local), block(11, str(1, "x")), block(12, str(1, "y"))), testFunction("F", x, y, call("F", x, y))), "calls itself"},
		"depends on itself":  {testModel(testNode("Add", []string{"v0", "y"}, y), out("y")), "depends on itself"},
		"nothing makes it":   {testModel(testNode("Add", []string{"v0", "z"}, y), out("y")), "nothing makes"},
		"made twice":         {testModel(testNode("Relu", []string{"v0"}, y), testNode("Neg", []string{"v0"}, y), out("y")), "made twice"},
		"unknown field":      {testModel(block(1, nodeBody("Relu", []string{"v0"}, y), number(77, 1)), out("y")), "field 77 of a node"},
		"training":           {join(testModel(testNode("Relu", []string{"v0"}, y), out("y")), block(20)), "training_info"},
		"overlapping, small": {testModel(overlapping, block(12, str(1, "y"))), "more than 4 times"},
	} {
		start := time.Now()
		sum, err := Canonical(write(t, filepath.Join(folder, "m.onnx"), c.data))
		switch {
		case c.says == "" && err != nil, c.says != "" && !errors.Is(err, ErrNotCanonical), c.says != "" && !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: %s, %v", name, sum, err)
		case time.Since(start) > 20*time.Second:
			t.Errorf("%s took %v", name, time.Since(start))
		}
	}
}
