package model

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTorch(t *testing.T) {
	weights := sample{verdicts: [5]string{unsure, dormant, no, no, no}}
	state := []string{OptimizerStored}
	class := []string{PickleClass}
	checkpoint := sample{[5]string{unsure, dormant, unsure, trains, trains}, state}
	checkSamples(t, "torch", map[string]sample{
		"weights.pt":                weights,
		"weights_legacy.pt":         weights,
		"weights_protocol4.pt":      weights,
		"weights_plain.pt":          {verdicts: [5]string{unsure, unsure, no, no, no}},
		"weights_deflated.pt":       {verdicts: [5]string{unsure, unsure, no, no, no}},
		"types.pt":                  {verdicts: [5]string{unsure, unsure, no, no, no}},
		"sparse.pt":                 {verdicts: [5]string{unsure, unsure, no, no, no}},
		"checkpoint.pt":             checkpoint,
		"checkpoint_legacy.pt":      checkpoint,
		"checkpoint_objects.pt":     {[5]string{trains, trains, unsure, trains, trains}, state},
		"checkpoint_constant.pt":    {[5]string{unsure, dormant, unsure, unsure, unsure}, state},
		"checkpoint_schedule.pt":    {[5]string{unsure, dormant, unsure, trains, unsure}, state},
		"checkpoint_trainer.pt":     {[5]string{unsure, unsure, trains, unsure, unsure}, state},
		"module_eval.pt":            {verdicts: [5]string{infers, infers, no, no, no}},
		"module_train.pt":           {verdicts: [5]string{trains, trains, no, no, no}},
		"module_legacy_train.pt":    {verdicts: [5]string{trains, trains, no, no, no}},
		"module_class_eval.pt":      {[5]string{infers, infers, no, no, no}, class},
		"module_class_train.pt":     {[5]string{trains, trains, no, no, no}, class},
		"module_lstm_eval.pt":       {verdicts: [5]string{infers, none, no, no, no}},
		"module_lstm_train.pt":      {verdicts: [5]string{trains, none, no, no, no}},
		"module_attention_eval.pt":  {verdicts: [5]string{infers, none, no, no, no}},
		"module_attention_train.pt": {verdicts: [5]string{trains, none, no, no, no}},
		"module_mixed.pt":           {verdicts: [5]string{trains, infers, no, no, no}},
		"module_plain.pt":           {verdicts: [5]string{none, none, no, no, no}},
		"module_dropout_zero.pt":    {verdicts: [5]string{none, none, no, no, no}},
		"module_nostats_eval.pt":    {verdicts: [5]string{infers, trains, no, no, no}},
		"module_functional.pt":      {[5]string{unsure, unsure, no, no, no}, class},
		"danger.pt":                 {[5]string{unsure, unsure, no, no, no}, []string{PickleCall}},
	})
}

// What torch says of each file once it has loaded it.
func TestAgainstTorch(t *testing.T) {
	var want map[string]struct {
		Parameters int64
		Modules    map[string]int
		Training   []string
		Unsafe     []string
	}
	libraryFacts(t, "torch", &want)
	for file, facts := range want {
		path := filepath.Join(modelDir, "torch", file)
		opened, size, err := openRegular(path)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		c := newCheckpoint(newModel("torch", file))
		read := c.zipped
		if strings.Contains(file, "legacy") {
			read = c.legacy
		}
		if err := read(opened, size); err != nil {
			t.Error(err)
			continue
		}
		unsafe := []string{}
		for _, global := range c.globals {
			if !isPlain(global) {
				unsafe = append(unsafe, global)
			}
		}
		slices.Sort(unsafe)
		if facts.Unsafe != nil && !slices.Equal(unsafe, facts.Unsafe) {
			t.Errorf("%s: unsafe globals %v, want %v", file, unsafe, facts.Unsafe)
		}
		if facts.Modules == nil { // what is never loaded
			continue
		}
		if c.Parameters != facts.Parameters || !reflect.DeepEqual(c.Operators, facts.Modules) {
			t.Errorf("%s: %d parameters, modules %v; want %d, %v", file, c.Parameters, c.Operators, facts.Parameters, facts.Modules)
		}
	}
}

// A pickle in torch.save's old form, whose object is what the program makes.
func legacyFile(program string, rest ...string) []byte {
	return []byte(legacyTorch + "M\xe9\x03." + "}." + program + "]" + strings.Join(rest, ""))
}

// Objects that a program makes, and what is said of them.
func TestPickles(t *testing.T) {
	for _, test := range []struct {
		name, program string
		op            Operation
		want          string
		finding       string // and what its evidence says
	}{
		{"a call by name", "cos\nsystem\n(S'true'\ntR.", Dropout, unsure, PickleCall + " os.system"},
		{"nothing called", "cbuiltins\neval\n0}.", Dropout, unsure, PickleCall + " builtins.eval"},
		{"in another spelling", "(ios\nsystem\n.", Dropout, unsure, PickleCall + " os.system"},
		{"name from the stack", "\x8c\x05posix\x8c\x06system\x93.", Dropout, unsure, PickleCall + " posix.system"},
		{"name that is computed", "\x8c\x05posix}\x93.", Dropout, unsure, PickleCall + " a name that the program computes"},
		{"registered elsewhere", "\x82\x07.", Dropout, unsure, PickleCall + " copyreg extension 7"},
		{"within torch", "ctorch.hub\nload\n.", Dropout, unsure, PickleCall + " torch.hub.load"},
		{"torch's own loader", "ctorch\nload\n.", Dropout, unsure, PickleCall + " torch.load"},
		{"a class", "cmy.models\nNet\n)\x81.", Dropout, unsure, PickleClass + " my.models.Net"},
		{"data", "ccollections\nOrderedDict\n)R.", Dropout, unsure, ""},
		{"paths", "cpathlib\nPosixPath\n(S'x'\ntR.", Dropout, unsure, ""},
		{"no decay", "}(U\x05state}U\x0cparam_groups](}U\x0cweight_decayG\x00\x00\x00\x00\x00\x00\x00\x00seu.", WeightRegularization, unsure, OptimizerStored + " the file's object"},
		{"decay", "}(U\x05state}U\x0cparam_groups](}U\x0cweight_decayG\x3f\x80\x00\x00\x00\x00\x00\x00seu.", WeightRegularization, trains, OptimizerStored + " the file's object"},
		{"decay in digits", "(dS'state'\n(dsS'param_groups'\n(l(dS'weight_decay'\nF0.5\nsas.", WeightRegularization, trains, ""},
		{"layer without a mode", "ctorch.nn.modules.dropout\nDropout\n)\x81}U\x08_modules}sb.", Dropout, unsure, ""},
		{"layer of slots", "ctorch.nn.modules.dropout\nDropout\n)\x81N}(U\x08_modules}U\x08training\x89u\x86b.", Dropout, infers, ""},
		{"mode set twice", "ctorch.nn.modules.dropout\nDropout\n)\x81}(U\x08_modules}U\x08training\x89ub}U\x08training\x88sb.", Dropout, trains, ""},
		{"layer of timm", "ctimm.layers.drop\nDropPath\n)\x81}(U\x08_modules}U\x08training\x88ub.", Dropout, trains, PickleClass + " timm.layers.drop.DropPath"},
		{"layer of a computed class", "\x8c\x01a}\x93)\x81}U\x08_modules}sb.", Dropout, unsure, PickleCall},
	} {
		m, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), legacyFile(test.program, ".")))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkComplete(t, test.name, m)
		v := verdict(t, m, test.op)
		if got := string(v.Status) + "/" + string(v.Mode); got != test.want {
			t.Errorf("%s: %s, want %s (%q)", test.name, got, test.want, v.Evidence)
		}
		id, says, _ := strings.Cut(test.finding, " ")
		if test.finding == "" && m.found(PickleCall)+m.found(PickleClass) > 0 {
			t.Errorf("%s: findings %v, want none", test.name, m.Findings)
		}
		if test.finding != "" && !slices.ContainsFunc(m.Findings, func(f Finding) bool { return f.ID == id && strings.Contains(f.Evidence, says) }) {
			t.Errorf("%s: findings %v, want %s", test.name, m.Findings, test.finding)
		}
	}
}

// Numbers and strings in each of the forms that a pickle has for them.
func TestPickleScalars(t *testing.T) {
	for program, want := range map[string]thing{
		"K\xff": {kind: anInteger, number: 255}, "M\xfe\xff": {kind: anInteger, number: 65534}, "J\xfe\xff\xff\xff": {kind: anInteger, number: -2},
		"I-7\n": {kind: anInteger, number: -7}, "I01\n": {kind: aBool, number: 1}, "I00\n": {kind: aBool}, "L12L\n": {kind: anInteger, number: 12},
		"\x8a\x00": {kind: anInteger}, "\x8a\x01\xfe": {kind: anInteger, number: -2}, "\x8a\x02\xfe\x00": {kind: anInteger, number: 254},
		"\x8b\x08\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff": {kind: anInteger, number: -1},
		"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01":         {kind: anInteger, number: math.MaxInt64},
		"\x88": {kind: aBool, number: 1}, "\x89": {kind: aBool}, "N": {},
		"G\x3f\xf8\x00\x00\x00\x00\x00\x00": {kind: aFloat, number: int64(math.Float64bits(1.5))},
		"F1.5\n":                            {kind: aFloat, number: int64(math.Float64bits(1.5))},
		"S'ab'\n":                           {kind: aString, text: "ab"},
		"Vab\n":                             {kind: aString, text: "ab"},
		"U\x02ab":                           {kind: aString, text: "ab", number: 2},
		"T\x02\x00\x00\x00ab":               {kind: aString, text: "ab", number: 2}, "X\x02\x00\x00\x00ab": {kind: aString, text: "ab", number: 2},
		"\x8c\x02ab": {kind: aString, text: "ab", number: 2}, "\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab": {kind: aString, text: "ab", number: 2},
		"C\x02ab": {kind: someBytes, text: "ab", number: 2}, "B\x02\x00\x00\x00ab": {kind: someBytes, text: "ab", number: 2},
		"\x8e\x02\x00\x00\x00\x00\x00\x00\x00ab": {kind: someBytes, text: "ab", number: 2}, "\x96\x02\x00\x00\x00\x00\x00\x00\x00ab": {kind: someBytes, text: "ab", number: 2},
		"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\xffN": {}, "\x97\x98": {kind: someBytes},
		"NNK\x01": {kind: anInteger, number: 1}, "N(NN1": {}, "K\x0120": {kind: anInteger, number: 1},
		"K\x01\x940h\x00": {kind: anInteger, number: 1}, "K\x01p9\n0g9\n": {kind: anInteger, number: 1}, "K\x01r\x00\x00\x00\x010j\x00\x00\x00\x01": {kind: anInteger, number: 1},
	} {
		data := program + "."
		got, err := newPickle(strings.NewReader(data), int64(len(data)), "x").load()
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: %+v, %v; want %+v", program, got, err, want)
		}
	}
}

func TestPickleRefused(t *testing.T) {
	for _, test := range []struct{ name, program, says string }{
		{"cut off", "(", "expected a pickle's next instruction or argument, found the end of the file"},
		{"no instruction", "\x01", "byte 0x01"},
		{"nothing left", "0.", "expected a value on the stack, found none"},
		{"nothing to change", "a", "expected 1 values on the stack"},
		{"a mark is no value", "(Nb", "expected a value on the stack"},
		{"no mark", "Nt", "expected a mark on the stack"},
		{"key without a value", "}(Nu", "a key without one"},
		{"not stored", "h\x01", "expected a number that is in the memo, found 1"},
		{"length past the end", "X\xff\xff\xff\xff", "which remain"},
		{"length of 64 bits", "\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "which remain"},
		{"long line", "S" + strings.Repeat("x", maxPickleLine+1), "a line of at most"},
		{"no number", "Ix\n", `found "x"`},
		{"no float", "Fx\n", `found "x"`},
		{"no memo number", "Ngx\n", `found "x"`},
		{"no class", "(o", "a class above the mark"},
		{"many things", strings.Repeat("N", maxPickleKept/thingCost+1), fmt.Sprintf("a pickle that fits into %d MiB", maxPickleKept>>20)},
		{"many copies", "N" + strings.Repeat("2", maxPickleKept/placeCost+1), "a pickle that fits into"},
	} {
		data := legacyFile(test.program)
		data = data[:len(data)-1]
		var err error
		bounded(t, test.name, func() { err = newModel("torch", "x").torch(bytes.NewReader(data), int64(len(data))) })
		refused(t, test.name, err, "x: at byte ")
		refused(t, test.name, err, test.says)
	}
	data := []byte(legacyTorch + "M\xea\x03.}.}.].")
	_, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), data))
	refused(t, "protocol of tomorrow", err, "expected protocol version 1001")
}

// Programs of a few bytes that make objects without end for whoever follows
// them all: shared things, things within themselves, and deep ones.
func TestPickleBombs(t *testing.T) {
	doubling := "]q\x00"
	for i := range 100 {
		doubling += fmt.Sprintf("](h%ch%[1]ceq%c", i, i+1)
	}
	shared := "}q\x00(" + strings.Repeat("U\x01a\x88", 1000) + "u"
	shared += strings.Repeat("ctorch.nn.modules.dropout\nDropout\n)\x81h\x00b0", 100_000)
	for name, test := range map[string]struct {
		program string
		want    string // of dropout
		says    string // its evidence
	}{
		"shared by doubling": {doubling + ".", unsure, "0 tensors and no layers"},
		"within itself":      {"]q\x00h\x00a.", unsure, "0 tensors and no layers"},
		"state of itself":    {"}q\x00h\x00bU\x05state0.", unsure, "0 tensors and no layers"},
		"key of itself":      {"}q\x00h\x00h\x00s.", unsure, "0 tensors and no layers"},
		"deep":               {strings.Repeat("]", 100_000) + strings.Repeat("a", 99_999) + ".", unsure, "within each other more than 500 deep"},
		"deep tuples":        {"N" + strings.Repeat("\x85", 500_000) + ".", unsure, "within each other more than 500 deep"},
		"one state of many":  {shared + "N.", unsure, "0 tensors and no layers"},
	} {
		data := legacyFile(test.program, ".")
		start := time.Now()
		bounded(t, name, func() {
			m := newModel("torch", "x")
			if err := m.torch(bytes.NewReader(data), int64(len(data))); err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			checkComplete(t, name, m)
			if v := verdict(t, m, Dropout); verdictsOf(m)[0] != test.want || !strings.Contains(v.Evidence[0], test.says) {
				t.Errorf("%s: %+v", name, v)
			}
		})
		if spent := time.Since(start); spent > 30*time.Second {
			t.Errorf("%s took %v", name, spent)
		}
	}
}

// tensorProgram is a tensor of this shape in a storage of so many floats.
func tensorProgram(elements, offset int, shape, stride string) string {
	return fmt.Sprintf("ctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'k'\nS'cpu'\nI%d\ntQI%d\n(%st(%stI00\nNtR", elements, offset, shape, stride)
}

func TestTorchLayout(t *testing.T) {
	const keys = "S'k'\na."
	storage := func(n byte) string { return string(append([]byte{n}, make([]byte, 7+4*int(n))...)) }
	two := tensorProgram(2, 0, "I2\n", "I1\n")
	for _, test := range []struct{ name, program, rest, says string }{
		{"as it should be", two + ".", keys + storage(2), ""},
		{"cut off", two + ".", keys + storage(2)[:15], "ends past the end of the file"},
		{"missing", two + ".", keys, `storage "k" is missing`},
		{"other count", two + ".", keys + storage(3), "has 3 elements, tensors say 2"},
		{"more behind it", two + ".", keys + storage(2) + "x", "1 bytes at the end"},
		{"past its storage", tensorProgram(2, 0, "I3\n", "I1\n") + ".", keys + storage(2), "reaches past its storage"},
		{"by its offset", tensorProgram(2, 1, "I2\n", "I1\n") + ".", keys + storage(2), "reaches past its storage"},
		{"by its stride", tensorProgram(2, 0, "I2\n", "I2\n") + ".", keys + storage(2), "reaches past its storage"},
		{"by a stride that overflows", tensorProgram(2, 0, "I2\nI2\n", "I4611686018427387904\nI4611686018427387904\n") + ".", keys + storage(2), "reaches past its storage"},
		{"before its storage", tensorProgram(2, -1, "I2\n", "I1\n") + ".", keys + storage(2), "reaches past its storage"},
		{"broadcast", tensorProgram(2, 0, "I9\n", "I0\n") + ".", keys + storage(2), ""},
		{"negative shape", tensorProgram(2, 0, "I-9\n", "I0\n") + ".", keys, "no shape that can be counted"},
	} {
		data := legacyFile(test.program, test.rest)
		m, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), data))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if n := m.found(TensorLayout); (n == 1) != (test.says != "") || n == 1 && !strings.Contains(m.Findings[0].Evidence, test.says) {
			t.Errorf("%s: findings %v, want %q", test.name, m.Findings, test.says)
		}
	}
}

// What is wrong with the zip file itself.
func TestTorchArchive(t *testing.T) {
	build := func(entries ...[2]string) []byte { return zipFile(t, entries...) }
	data := [2]string{"m/data.pkl", "}."}
	for _, test := range []struct {
		name string
		data []byte
		says string
	}{
		{"twice", build(data, data), `found "m/data.pkl" twice`},
		{"another folder first", build([2]string{"n/x", ""}, data), `expected an entry "n/data.pkl"`},
		{"a bomb", build([2]string{"m/data.pkl", strings.Repeat("\x80\x02", maxInflated/2+1)}), "bytes in the compressed entry"},
		{"within a pickle", build([2]string{"m/data.pkl", "\x80"}), "x: data.pkl: at byte 1"},
	} {
		var err error
		bounded(t, test.name, func() { _, err = Inspect(write(t, filepath.Join(t.TempDir(), "x"), test.data)) })
		refused(t, test.name, err, test.says)
	}
	missing := build([2]string{"m/data.pkl", tensorProgram(2, 0, "I2\n", "I1\n") + "."})
	short := build([2]string{"m/data.pkl", tensorProgram(2, 0, "I2\n", "I1\n") + "."}, [2]string{"m/data/k", "1234567"})
	for says, data := range map[string][]byte{`storage "k" is missing`: missing, `has 7 bytes, its type and number of elements need 8`: short} {
		m, err := Inspect(write(t, filepath.Join(t.TempDir(), "x"), data))
		if err != nil || m.found(TensorLayout) != 1 || !strings.Contains(m.Findings[0].Evidence, says) {
			t.Errorf("%s: %+v, %v", says, m, err)
		}
	}
}

// FuzzPickle holds that any program gives an error that names the file or a
// complete model, that nothing it names is left out, and that what it leaves
// behind its end changes nothing.
func FuzzPickle(f *testing.F) {
	seeds(f, filepath.Join(modelDir, "torch", "*_legacy*.pt"))
	seedsInside(f, "data.pkl", filepath.Join(modelDir, "torch", "*.pt"), filepath.Join(formatsDir, "torchscript_*.pt"))
	f.Fuzz(func(t *testing.T, data []byte) {
		look := func(data []byte) (*Model, *checkpoint, error) {
			m := newModel("torch", "test.pt")
			c := newCheckpoint(m)
			c.FormatVersion, c.Producer = "x", "x"
			c.sizeOf = func(string) int64 { return -1 }
			p := newPickle(bytes.NewReader(data), int64(len(data)), "test.pt")
			root, err := p.load()
			if err != nil {
				return m, c, err
			}
			c.globals = p.globals
			c.walk(root, visit{})
			c.conclude()
			return m, c, nil
		}
		m, c, err := look(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.pt: at byte") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		for _, global := range c.globals {
			if !isPlain(global) && !isLayer(global) && !dataClasses[global] && m.found(PickleCall)+m.found(PickleClass) == 0 {
				t.Fatalf("%q is told by no finding", global)
			}
		}
		again, _, err := look(append(data[:len(data):len(data)], "cos\nsystem\n."...))
		if err != nil || fmt.Sprint(m) != fmt.Sprint(again) {
			t.Fatalf("what follows the end changed the model (%v):\n%+v\n%+v", err, m, again)
		}
	})
}

// FuzzTorch holds the same of whole files.
func FuzzTorch(f *testing.F) {
	seeds(f, filepath.Join(modelDir, "torch", "weights*.pt"), filepath.Join(modelDir, "torch", "checkpoint_legacy.pt"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newModel("torch", "test.pt")
		if err := m.torch(bytes.NewReader(data), int64(len(data))); err != nil {
			if !strings.Contains(err.Error(), "test.pt") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
	})
}
