package model

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTorchScript(t *testing.T) {
	both := []string{FlowDropoutActive, FlowBatchNormActive}
	drops, norms := []string{FlowDropoutActive}, []string{FlowBatchNormActive}
	nothing := sample{verdicts: [5]string{none, none, no, no, no}}
	checkSamples(t, "torchscript", map[string]sample{
		"traced_eval.pt":           {verdicts: [5]string{infers, infers, no, no, no}},
		"traced_train.pt":          {[5]string{trains, trains, no, no, no}, both},
		"scripted_eval.pt":         {verdicts: [5]string{infers, infers, no, no, no}},
		"scripted_train.pt":        {[5]string{trains, trains, no, no, no}, both},
		"lite_train.ptl":           {[5]string{trains, trains, no, no, no}, both},
		"frozen.pt":                {verdicts: [5]string{none, infers, no, no, no}},
		"frozen_folded.pt":         nothing,
		"traced_nostats_eval.pt":   {[5]string{infers, trains, no, no, no}, norms},
		"scripted_nostats_eval.pt": {[5]string{infers, trains, no, no, no}, norms},
		"by_mode_eval.pt":          {verdicts: [5]string{infers, none, no, no, no}},
		"by_mode_train.pt":         {[5]string{trains, none, no, no, no}, drops},
		"traced_lstm_eval.pt":      {verdicts: [5]string{infers, none, no, no, no}},
		"traced_lstm_train.pt":     {[5]string{trains, none, no, no, no}, drops},
		"scripted_lstm_eval.pt":    {verdicts: [5]string{infers, none, no, no, no}},
		"scripted_lstm_train.pt":   {[5]string{trains, none, no, no, no}, drops},
		"always_eval.pt":           {[5]string{trains, none, no, no, no}, drops},
		"attention_eval.pt":        {[5]string{trains, none, no, no, no}, drops},
		"attention_plain_eval.pt":  nothing,
		"helper_eval.pt":           {[5]string{unsure, none, no, no, no}, []string{FlowSwitch}},
		"given_eval.pt":            {[5]string{unsure, none, no, no, no}, []string{FlowSwitch}},
		"noise_eval.pt":            {[5]string{unsure, none, no, no, no}, []string{FlowRandom}},
		"statistics_eval.pt":       {verdicts: [5]string{none, unsure, no, no, no}},
		"layer_statistics_eval.pt": nothing,
		"plain_eval.pt":            nothing,
		"custom_eval.pt":           {[5]string{unsure, unsure, no, no, no}, []string{FlowUnknownOperator}},
	})
}

// What torch says of each file once it has loaded it.
func TestAgainstTorchScript(t *testing.T) {
	var want map[string]struct {
		Inputs        []string
		Parameters    int64
		ConstantBytes int64 `json:"constant_bytes"`
		Training      map[string]bool
		Operators     map[string]int
	}
	libraryFacts(t, "torchscript", &want)
	for file, facts := range want {
		m, err := Inspect(filepath.Join(modelDir, "torchscript", file))
		if err != nil {
			t.Error(err)
			continue
		}
		inputs := []string{}
		for _, v := range m.Inputs {
			inputs = append(inputs, v.Name)
		}
		if !reflect.DeepEqual(inputs, facts.Inputs) {
			t.Errorf("%s: inputs %v, want %v", file, inputs, facts.Inputs)
		}
		// Constants are counted too, and torch does not list them.
		if constants := m.Parameters - facts.Parameters; constants < 0 || constants*4 > facts.ConstantBytes || (constants == 0) != (facts.ConstantBytes == 0) {
			t.Errorf("%s: %d parameters, of which %d constants; want %d and %d bytes", file, m.Parameters, constants, facts.Parameters, facts.ConstantBytes)
		}
		for name, training := range facts.Training {
			if got := flagOf(t, file, name); got != training {
				t.Errorf("%s: layer %s: training is %v, want %v", file, name, got, training)
			}
		}
		if facts.Operators != nil {
			got := map[string]int{}
			for name, n := range m.Operators {
				if inner, ok := strings.CutPrefix(name, "torch."); ok && inner != "device" { // a literal
					got["aten::"+inner] = n
				}
			}
			if !reflect.DeepEqual(got, facts.Operators) {
				t.Errorf("%s: operators\n got %v\nwant %v", file, got, facts.Operators)
			}
		}
	}
}

// flagOf is the attribute training of one layer.
func flagOf(t *testing.T, file, name string) bool {
	t.Helper()
	opened, size, err := openRegular(filepath.Join(modelDir, "torchscript", file))
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	a, err := openArchive(opened, size, file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{checkpoint: newCheckpoint(newModel("torchscript", file)), objects: map[string][]scriptObject{}}
	s.script = s
	if _, err := s.attributes(a); err != nil {
		t.Fatal(err)
	}
	for _, objects := range s.objects {
		for _, o := range objects {
			if o.path == quote(name) {
				return o.training.number != 0
			}
		}
	}
	t.Fatalf("%s: no layer %s", file, name)
	return false
}

// judgeCode judges one method of the module's class, whose object has this
// attribute training, "" for none.
func judgeCode(t *testing.T, training, body string) *Model {
	t.Helper()
	object := "c__torch__\nNet\n)\x81}"
	if training != "" {
		object += "U\x08training" + training + "s"
	}
	data := zipFile(t, [2]string{"m/data.pkl", object + "b."}, [2]string{"m/code/__torch__.py", "class Net(Module):\n  def forward(self: __torch__.Net,\n    x: Tensor,\n    y: Tuple[int, int]) -> Tuple[Tensor, List[int]]:\n" + body})
	m := newModel("torchscript", "x")
	if err := m.torchScript(bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	checkComplete(t, body, m)
	return m
}

func TestTorchScriptCode(t *testing.T) {
	for _, test := range []struct {
		training, body string
		op             Operation
		want           string
	}{
		{"", "    return torch.dropout(x, 0.5, True)\n", Dropout, trains},
		{"", "    return torch.dropout(x, 0., True)\n", Dropout, none},
		{"", "    return torch.relu(torch.feature_alpha_dropout_(x, p, False))\n", Dropout, infers},
		{"", "    _0 = \"torch.dropout(x, 0.5, True)\"\n", Dropout, none},
		{"", "    _0 = \"\\\"\"\n    return torch.dropout(x, 0.5, True)\n", Dropout, trains},
		{"", "    _0 = __torch__.torch.nn.functional.dropout\n    return _0(x, 0.5, True, False, )\n", Dropout, trains},
		{"", "    _0 = __torch__.mine.dropout\n    return _0(x, 0.5, True, False, )\n", Dropout, none},
		{"", "    return torch.dropout(x, 0.5, y)\n", Dropout, unsure},
		{"\x88", "    t = self.training\n    return torch.dropout(x, 0.5, t)\n", Dropout, trains},
		{"\x89", "    t = self.training\n    return torch.dropout(x, 0.5, t)\n", Dropout, infers},
		{"", "    t = self.training\n    return torch.dropout(x, 0.5, t)\n", Dropout, unsure},
		{"\x89", "    t = self.training\n    if t:\n      u = True\n    else:\n      u = False\n    return torch.batch_norm(x, w, b, m, v, u, 0.1, 1e-05, True)\n", BatchNormalization, infers},
		{"\x89", "    if y:\n      u = True\n    else:\n      u = False\n    return torch.batch_norm(x, w, b, m, v, u, 0.1, 1e-05, True)\n", BatchNormalization, unsure},
		{"", "    return torch.batch_norm(x, w, b, m, v, True, 0.1, 1e-05, True)\n", BatchNormalization, trains},
		{"", "    return torch.instance_norm(x, w, b, m, v, True, 0.1, 1e-05, True)\n", BatchNormalization, none},
		{"", "    return torch.var_mean(x, [0, 2], True)\n", BatchNormalization, unsure},
		{"", "    return torch.var_mean(x, [10, 2], True)\n", BatchNormalization, none},
		{"", "    return torch.gru(x, h, [w, torch.t(v)], True, 2, 0.1, True, False, False)\n", Dropout, trains},
		{"", "    return torch.gru(x, sizes, h, [w], True, 2, 0.1, False, False)\n", Dropout, infers},
		{"", "    return torch.gru(x, h, [w], True, 2, 0., True, False, False)\n", Dropout, none},
		{"", "    return torch.scaled_dot_product_attention(x, x, x, None, 0.)\n", Dropout, none},
		{"", "    return torch.scaled_dot_product_attention(x, x, x, None, p)\n", Dropout, unsure},
		{"", "    return torch.bernoulli(x)\n", Dropout, unsure},
		{"", "    return ops.mine.f(x)\n", BatchNormalization, unsure},
		{"", "    return ops.quantized.linear(x)\n", BatchNormalization, none},
	} {
		m := judgeCode(t, test.training, test.body)
		v := verdict(t, m, test.op)
		if got := string(v.Status) + "/" + string(v.Mode); got != test.want {
			t.Errorf("%q: %s, want %s (%q)", test.body, got, test.want, v.Evidence)
		}
	}
	m := judgeCode(t, "", "    return (x, [1])\n")
	want := []Value{{"x", "unknown", nil}, {"y", "unknown", nil}}
	if !reflect.DeepEqual(m.Inputs, want) || len(m.Outputs) != 2 {
		t.Errorf("inputs %v, outputs %v", m.Inputs, m.Outputs)
	}
}

// Constants have storages of their own, under the same keys as the module's.
func TestTorchScriptConstants(t *testing.T) {
	tensor := tensorProgram(2, 0, "I2\n", "I1\n")
	data := zipFile(t, [2]string{"m/data.pkl", "]" + tensor + "a."}, [2]string{"m/data/k", "12345678"},
		[2]string{"m/constants.pkl", "]" + tensor + "a."}, [2]string{"m/constants/k", "1234567"})
	m := newModel("torchscript", "x")
	if err := m.torchScript(bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if m.Parameters != 4 || m.found(TensorLayout) != 1 || !strings.Contains(m.Findings[0].Evidence, "has 7 bytes") {
		t.Errorf("%d parameters, findings %v", m.Parameters, m.Findings)
	}
}

// Code that nests without end, and files that hold too much of it.
func TestTorchScriptBombs(t *testing.T) {
	call := "torch.dropout("
	nested := func(n int) string {
		return "    return " + strings.Repeat(call, n) + "x" + strings.Repeat(", 0.5, True)", n) + "\n"
	}
	for name, test := range map[string]struct{ body, want string }{
		"deepest":         {nested(maxCallDepth), trains},
		"deeper":          {nested(maxCallDepth + 1), unsure},
		"deep":            {nested(1 << 20), unsure},
		"brackets":        {strings.Repeat("]", 1<<20) + strings.Repeat("[(,", 1<<20) + "\n\"", unsure},
		"most arguments":  {"    f(" + strings.Repeat("x,", maxArguments-1) + ")\n", none},
		"one more":        {"    f(" + strings.Repeat("x,", maxArguments) + ")\n", unsure},
		"more by line":    {strings.Repeat("    f(x, x, x)\n", maxArguments/4) + "    f()\n", unsure},
		"calls of a line": {"    " + strings.Repeat("f()", 1<<22) + "\n", unsure},
	} {
		start := time.Now()
		bounded(t, name, func() {
			v := verdict(t, judgeCode(t, "", test.body), Dropout)
			if got := string(v.Status) + "/" + string(v.Mode); got != test.want {
				t.Errorf("%s: %s, want %s (%q)", name, got, test.want, v.Evidence)
			}
		})
		if spent := time.Since(start); spent > 30*time.Second {
			t.Errorf("%s took %v", name, spent)
		}
	}
	entries := [][2]string{{"m/data.pkl", "}."}}
	for i := range maxScriptCode>>24 + 1 {
		entries = append(entries, [2]string{fmt.Sprintf("m/code/%d.py", i), strings.Repeat(" ", 1<<24)})
	}
	data := zipFile(t, entries...)
	refused(t, "much code", newModel("torchscript", "x").torchScript(bytes.NewReader(data), int64(len(data))), "bytes of code, found more")
}

// FuzzTorchScript holds that any code gives a complete model, and that what is
// written in a comment's place, a string, changes no verdict.
func FuzzTorchScript(f *testing.F) {
	seedsInside(f, "__torch__.py", filepath.Join(modelDir, "torchscript", "*.pt"))
	seedsInside(f, "functional.py", filepath.Join(modelDir, "torchscript", "*.pt"))
	seedsInside(f, "rnn.py", filepath.Join(modelDir, "torchscript", "*.pt"))
	f.Fuzz(func(t *testing.T, code []byte) {
		look := func(code string) *Model {
			m := newModel("torchscript", "test.pt")
			m.FormatVersion, m.Producer = "x", "x"
			s := &script{checkpoint: newCheckpoint(m), objects: map[string][]scriptObject{}}
			readScript(code, s.function)
			s.verdicts()
			s.close()
			return m
		}
		m := look(string(code))
		checkComplete(t, "fuzz", m)
		again := look(string(code) + "\n    _0 = \"torch.dropout(x, 0.5, True)\"\n")
		if verdictsOf(m) != verdictsOf(again) {
			t.Fatalf("a string changed the verdicts: %v, %v", verdictsOf(m), verdictsOf(again))
		}
	})
}
