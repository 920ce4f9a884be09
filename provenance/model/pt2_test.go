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

func TestPT2(t *testing.T) {
	drops, norms := []string{FlowDropoutActive}, []string{FlowBatchNormActive}
	nothing := sample{verdicts: [5]string{none, none, no, no, no}}
	checkSamples(t, "pt2", map[string]sample{
		"network_eval.pt2":              {verdicts: [5]string{infers, infers, no, no, no}},
		"network_train.pt2":             {[5]string{trains, trains, no, no, no}, []string{FlowDropoutActive, FlowBatchNormActive}},
		"network_decomposed_eval.pt2":   {verdicts: [5]string{none, infers, no, no, no}},
		"network_decomposed_train.pt2":  {[5]string{trains, trains, no, no, no}, []string{FlowDropoutActive, FlowBatchNormActive}},
		"channels_eval.pt2":             {verdicts: [5]string{infers, none, no, no, no}},
		"channels_train.pt2":            {[5]string{trains, none, no, no, no}, drops},
		"channels_decomposed_train.pt2": {[5]string{trains, none, no, no, no}, drops},
		"lstm_eval.pt2":                 {verdicts: [5]string{infers, none, no, no, no}},
		"lstm_train.pt2":                {[5]string{trains, none, no, no, no}, drops},
		"drop_path.pt2":                 {[5]string{trains, none, no, no, no}, drops},
		"mask.pt2":                      {[5]string{trains, none, no, no, no}, drops},
		"noise.pt2":                     {[5]string{unsure, none, no, no, no}, []string{FlowRandom}},
		"attention.pt2":                 {[5]string{trains, none, no, no, no}, drops},
		"attention_plain.pt2":           nothing,
		"statistics.pt2":                {[5]string{none, trains, no, no, no}, norms},
		"statistics_layer.pt2":          nothing,
		"branch.pt2":                    {[5]string{unsure, none, no, no, no}, []string{FlowSwitch}},
		"instance.pt2":                  nothing,
		"custom.pt2":                    {[5]string{unsure, unsure, unsure, unsure, unsure}, []string{FlowUnknownOperator}},
		"tied.pt2":                      nothing,
	})
}

// What torch says of each file once it has loaded it.
func TestAgainstTorchExport(t *testing.T) {
	var want map[string]struct {
		Inputs, Outputs [][3]any
		Operators       map[string]int
		Parameters      int64
		Buffers         map[string]string
	}
	libraryFacts(t, "pt2", &want)
	for file, facts := range want {
		m, err := Inspect(filepath.Join(modelDir, "pt2", file))
		if err != nil {
			t.Error(err)
			continue
		}
		got := factsOf(m)
		operators := map[string]int{}
		for name, n := range m.Operators {
			// What the file calls torch.ops.aten.relu.default torch prints as aten.relu.default.
			if !strings.HasPrefix(name, "torch.ops.higher_order.") {
				name = strings.TrimPrefix(name, "torch.ops.")
			}
			if !strings.HasPrefix(name, "_operator.") {
				operators[name] = n
			}
		}
		for name := range facts.Operators {
			if strings.HasPrefix(name, "<built-in function") {
				delete(facts.Operators, name)
			}
		}
		if !reflect.DeepEqual(got.Inputs, facts.Inputs) || !reflect.DeepEqual(got.Outputs, facts.Outputs) {
			t.Errorf("%s:\n got %v -> %v\nwant %v -> %v", file, got.Inputs, got.Outputs, facts.Inputs, facts.Outputs)
		}
		if m.Parameters != facts.Parameters || !reflect.DeepEqual(operators, facts.Operators) {
			t.Errorf("%s: %d parameters, want %d\n got %v\nwant %v", file, m.Parameters, facts.Parameters, operators, facts.Operators)
		}
		evidence := strings.Join(verdict(t, m, BatchNormalization).Evidence, "\n")
		for _, buffer := range facts.Buffers {
			if _, ok := normalization(buffer); ok && !strings.Contains(evidence, "buffer mutation of "+quote(buffer)) {
				t.Errorf("%s: changes %s, evidence %s", file, buffer, evidence)
			}
		}
	}
}

// exported is a program of these nodes, with an input x.
func exported(nodes, outputs string) string {
	return `{"graph_module":{"graph":{"inputs":[{"as_tensor":{"name":"m"}},{"as_tensor":{"name":"v"}},{"as_tensor":{"name":"x"}}],"outputs":[{"as_tensor":{"name":"y"}}],"nodes":[` + nodes + `],
"tensor_values":{"x":{"dtype":7,"sizes":[{"as_int":2},{"as_expr":{"expr_str":"Add(Symbol('s0', positive=True, integer=True), Integer(-1))","hint":null}},{"as_name":"s1"}]}}},
"signature":{"input_specs":[{"buffer":{"arg":{"name":"m"},"buffer_name":"n.running_mean","persistent":true}},{"buffer":{"arg":{"name":"v"},"buffer_name":"n.running_var","persistent":true}},{"user_input":{"arg":{"as_tensor":{"name":"x"}}}}],"output_specs":[{"user_output":{"arg":{"as_tensor":{"name":"y"}}}}` + outputs + `]}},
"schema_version":{"major":8,"minor":1},"opset_version":{"aten":10},"torch_version":"2.15.0"}`
}

func pt2File(t testing.TB, entries ...[2]string) []byte {
	return zipFile(t, append([][2]string{{"m/archive_format", "pt2"}}, entries...)...)
}

func readPT2(t testing.TB, entries ...[2]string) (*Model, error) {
	data := pt2File(t, entries...)
	m := newModel("pt2", "x")
	err := m.pt2(bytes.NewReader(data), int64(len(data)))
	return m, err
}

func pt2NodeOf(target, arguments string) string {
	return fmt.Sprintf(`{"target":%q,"inputs":[{"name":"self","arg":{"as_tensor":{"name":"x"}}}%s],"outputs":[{"as_tensor":{"name":"y"}}],"name":"y"}`, target, arguments)
}

func TestPT2Judgements(t *testing.T) {
	const dropout, norm = "torch.ops.aten.dropout.default", "torch.ops.aten.batch_norm.default"
	stored := `,{"name":"weight","arg":{"as_none":true}},{"name":"bias","arg":{"as_none":true}},{"name":"running_mean","arg":{"as_tensor":{"name":"m"}}},{"name":"running_var","arg":{"as_tensor":{"name":"v"}}}`
	for _, test := range []struct {
		name, nodes, outputs string
		op                   Operation
		want                 string
	}{
		{"p of zero", pt2NodeOf(dropout, `,{"name":"p","arg":{"as_float":0.0}},{"name":"train","arg":{"as_bool":true}}`), "", Dropout, none},
		{"p that is computed", pt2NodeOf(dropout, `,{"name":"p","arg":{"as_sym_float":{"as_name":"p"}}},{"name":"train","arg":{"as_bool":true}}`), "", Dropout, trains},
		{"mode that is computed", pt2NodeOf(dropout, `,{"name":"p","arg":{"as_float":0.5}},{"name":"train","arg":{"as_sym_bool":{"as_name":"b"}}}`), "", Dropout, unsure},
		{"no mode", pt2NodeOf(dropout, `,{"name":"p","arg":{"as_float":0.5}}`), "", Dropout, unsure},
		{"no mode by null", pt2NodeOf("torch.ops.aten.native_dropout.default", `,{"name":"p","arg":{"as_float":0.5}},{"name":"train","arg":{"as_none":true}}`), "", Dropout, unsure},
		{"another namespace", pt2NodeOf("torch.ops.mine.dropout.default", ""), "", Dropout, unsure},
		{"a function of Python's", pt2NodeOf("mine.dropout", ""), "", Dropout, unsure},
		{"sizes", pt2NodeOf("_operator.mul", ""), "", Dropout, none},
		{"training", pt2NodeOf(norm, stored+`,{"name":"training","arg":{"as_bool":true}}`), "", BatchNormalization, trains},
		{"inference", pt2NodeOf(norm, stored+`,{"name":"training","arg":{"as_bool":false}}`), "", BatchNormalization, infers},
		{"training that is computed", pt2NodeOf(norm, stored+`,{"name":"training","arg":{"as_sym_bool":{"as_name":"b"}}}`), "", BatchNormalization, unsure},
		{"no statistics", pt2NodeOf(norm, `,{"name":"running_mean","arg":{"as_none":true}},{"name":"training","arg":{"as_bool":false}}`), "", BatchNormalization, trains},
		{"buffer", pt2NodeOf("torch.ops.aten.relu.default", ""), `,{"buffer_mutation":{"arg":{"name":"z"},"buffer_name":"bn.running_mean"}}`, BatchNormalization, trains},
		{"other buffer", pt2NodeOf("torch.ops.aten.relu.default", ""), `,{"buffer_mutation":{"arg":{"name":"z"},"buffer_name":"cache"}}`, BatchNormalization, none},
		{"loss", pt2NodeOf("torch.ops.aten.relu.default", ""), `,{"loss_output":{"arg":{"name":"z"}}}`, WeightRegularization, unsure},
		{"gradient", pt2NodeOf("torch.ops.aten.relu.default", ""), `,{"gradient_to_parameter":{"arg":{"name":"z"},"parameter_name":"w"}}`, GradientClipping, unsure},
	} {
		m, err := readPT2(t, [2]string{"m/models/model.json", exported(test.nodes, test.outputs)})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkComplete(t, test.name, m)
		v := verdict(t, m, test.op)
		if got := string(v.Status) + "/" + string(v.Mode); got != test.want {
			t.Errorf("%s: %s, want %s (%q)", test.name, got, test.want, v.Evidence)
		}
		if want := (Value{"x", "float32", []string{"2", "Add(s0, -1)", "?"}}); !reflect.DeepEqual(m.Inputs, []Value{want}) {
			t.Errorf("%s: inputs %v", test.name, m.Inputs)
		}
	}
}

// Several programs, of which the second alone has dropout.
func TestPT2Programs(t *testing.T) {
	relu := exported(pt2NodeOf("torch.ops.aten.relu.default", ""), "")
	drop := exported(pt2NodeOf("torch.ops.aten.dropout.default", `,{"name":"p","arg":{"as_float":0.5}},{"name":"train","arg":{"as_bool":true}}`), "")
	m, err := readPT2(t, [2]string{"m/models/b.json", drop}, [2]string{"m/models/a.json", relu})
	if err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, m, Dropout); v.Mode != Training || !strings.Contains(v.Evidence[0], `in program "b"`) {
		t.Errorf("%+v", v)
	}
}

func TestPT2Weights(t *testing.T) {
	text := exported("", "")
	config := func(fields string) [2]string {
		return [2]string{"m/data/weights/model_weights_config.json", `{"config":{"w":{"path_name":"weight_0",` + fields + `}}}`}
	}
	meta := `"use_pickle":false,"tensor_meta":{"dtype":7,"sizes":[{"as_int":2},{"as_int":3}]}`
	data := func(n int) [2]string { return [2]string{"m/data/weights/weight_0", strings.Repeat("x", n)} }
	for _, test := range []struct {
		name       string
		entries    [][2]string
		parameters int64
		says       string
	}{
		{"as it should be", [][2]string{config(meta), data(24)}, 6, ""},
		{"too short", [][2]string{config(meta), data(23)}, 6, "has 23 bytes, its type and shape need 24"},
		{"missing", [][2]string{config(meta)}, 6, `entry "weight_0" is missing`},
		{"pickled", [][2]string{config(strings.Replace(meta, "false", "true", 1)), data(5)}, 6, ""},
		{"negative", [][2]string{config(strings.Replace(meta, "3", "-3", 1)), data(24)}, -1, "no shape that can be counted"},
		{"symbolic", [][2]string{config(strings.Replace(meta, `"as_int":3`, `"as_name":"s"`, 1)), data(24)}, -1, "no shape that can be counted"},
	} {
		m, err := readPT2(t, append(test.entries, [2]string{"m/models/model.json", text})...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if n := m.found(TensorLayout); m.Parameters != test.parameters || (n == 1) != (test.says != "") || n == 1 && !strings.Contains(m.Findings[0].Evidence, test.says) {
			t.Errorf("%s: %d parameters, findings %v", test.name, m.Parameters, m.Findings)
		}
	}
}

func TestPT2Refused(t *testing.T) {
	nested := func(n int) string {
		graph := `{"inputs":[],"outputs":[],"nodes":[]}`
		for range n {
			graph = `{"nodes":[{"target":"t","inputs":[{"name":"f","arg":{"as_graph":{"name":"g","graph":` + graph + `}}}]}]}`
		}
		return `{"graph_module":{"graph":` + graph + `}}`
	}
	for _, test := range []struct{ name, text, says string }{
		{"no graph", `{}`, "expected a graph, found none"},
		{"no JSON", `{"graph_module":`, "expected JSON, found its end"},
		{"not a list", `{"graph_module":{"graph":{"nodes":{}}}}`, "expected an array, found an object"},
		{"more behind it", exported("", "") + "{}", "expected the end of the JSON text"},
		{"graphs without end", nested(maxJSONDepth), "values within each other"},
		{"names without end", `{"graph_module":{"graph":{"inputs":` + strings.Repeat("[", 100_000), "values within each other"},
		{"nodes without end", `{"graph_module":{"graph":{"nodes":[` + strings.Repeat("{},", maxJSONKept/pt2Cost+1), "JSON whose names fit into"},
		{"many integers", exported(pt2NodeOf("t", `,{"name":"a","arg":{"as_ints":[`+strings.Repeat("1,", maxPT2Ints)+`1]}}`), ""), fmt.Sprintf("at most %d integers", maxPT2Ints)},
	} {
		var err error
		bounded(t, test.name, func() { _, err = readPT2(t, [2]string{"m/models/model.json", test.text}) })
		refused(t, test.name, err, "x: models/model.json: at byte")
		refused(t, test.name, err, test.says)
	}
	_, err := readPT2(t, [2]string{"m/data.json", "{}"})
	refused(t, "no program", err, "expected a program models/NAME.json")
	many := [][2]string{}
	for i := range maxPT2Programs + 1 {
		many = append(many, [2]string{fmt.Sprintf("m/models/%d.json", i), exported("", "")})
	}
	_, err = readPT2(t, many...)
	refused(t, "many programs", err, "at most 64 programs")
}

// A small file whose nodes hand many values to many graphs is judged soon, or
// said to be too large.
func TestPT2Bombs(t *testing.T) {
	const n = 2000
	values := strings.Repeat(`{"as_tensor":{"name":"x"}},`, n)
	values = "[" + values[:len(values)-1] + "]"
	graph := `,{"name":"f","arg":{"as_graph":{"name":"g","graph":{"inputs":` + values + `,"outputs":` + values + `,"nodes":[]}}}}`
	node := pt2NodeOf("torch.ops.higher_order.cond", `,{"name":"operands","arg":{"as_tensors":`+values+`}}`+strings.Repeat(graph, 50))
	start := time.Now()
	bounded(t, "graphs", func() {
		m, err := readPT2(t, [2]string{"m/models/model.json", exported(node, "")})
		if err != nil {
			t.Fatal(err)
		}
		checkComplete(t, "graphs", m)
	})
	if spent := time.Since(start); spent > 30*time.Second {
		t.Errorf("took %v", spent)
	}
}

// FuzzPT2 holds that any text gives an error that names the file or a complete
// model, and that a key which the schema does not have changes nothing.
func FuzzPT2(f *testing.F) {
	seedsInside(f, "model.json", filepath.Join(modelDir, "pt2", "*.pt2"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := readPT2(t, [2]string{"m/models/model.json", string(text)})
		if err != nil {
			if !strings.Contains(err.Error(), "x: models/model.json") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		opening := bytes.IndexByte(text, '{')
		more := string(text[:opening+1]) + `"a key of tomorrow":[{"graph":1}]` + map[bool]string{true: ",", false: ""}[bytes.Contains(text[opening:], []byte(`"`))] + string(text[opening+1:])
		again, err := readPT2(t, [2]string{"m/models/model.json", more})
		if err != nil || fmt.Sprint(m) != fmt.Sprint(again) {
			t.Fatalf("a key more changed the model (%v):\n%+v\n%+v", err, m, again)
		}
	})
}
