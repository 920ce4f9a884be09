package model

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var openVINODir = filepath.Join(modelDir, "openvino")

func TestOpenVINO(t *testing.T) {
	plain := sample{[5]string{none, none, no, no, no}, nil}
	drops := sample{[5]string{trains, none, no, no, no}, []string{FlowDropoutActive}}
	norms := sample{[5]string{none, trains, no, no, no}, []string{FlowBatchNormActive}}
	merged := sample{[5]string{none, folded, no, no, no}, nil}
	kept := sample{[5]string{none, infers, no, no, no}, nil}
	quantized := sample{plain.verdicts, []string{QuantizedModel}}
	checkSamples(t, "openvino", map[string]sample{
		"network_eval.xml":             merged,
		"network_eval_f32.xml":         merged,
		"network_train.xml":            norms, // the converter drops dropout
		"network_train_v10.xml":        norms,
		"torch_eval.xml":               merged,
		"torch_train.xml":              norms,
		"functional_dropout.xml":       plain,
		"read.xml":                     kept,
		"read_v10.xml":                 kept,
		"channel_dropout.xml":          drops,
		"mask.xml":                     drops,
		"mask_where.xml":               drops,
		"mask_constant.xml":            {[5]string{unsure, none, no, no, no}, []string{FlowConstantMask}},
		"mask_not_binary.xml":          plain,
		"noise.xml":                    {[5]string{unsure, none, no, no, no}, []string{FlowRandom}},
		"batch_statistics.xml":         norms,
		"layer_statistics.xml":         plain,
		"tf_network_inference.xml":     plain, // no name is left of what was merged
		"tf_network_training.xml":      {[5]string{trains, trains, no, no, no}, []string{FlowDropoutActive, FlowBatchNormActive}},
		"tf_dropout.xml":               drops,
		"tf_branch.xml":                {[5]string{unsure, none, no, no, no}, []string{FlowSwitch}},
		"tf_loop.xml":                  drops,
		"tf_batch_statistics.xml":      norms,
		"tf_layer_statistics.xml":      plain,
		"tf_norm_of_activation.xml":    plain,
		"tf_saved_model.xml":           plain,
		"tf_saved_model_training.xml":  drops,
		"lite_int8.xml":                quantized,
		"lite_batchnorm_inference.xml": merged,
		"lite_batchnorm_training.xml":  norms,
		"types.xml":                    plain,
		"state.xml":                    plain,
		"weights_int8.xml":             quantized,
		"custom.xml":                   {[5]string{unsure, unsure, unsure, unsure, unsure}, []string{FlowUnknownOperator}},
		"scan.xml":                     drops,
	})
}

// openVINOFacts are what OpenVINO says of a file: names, OpenVINO's name, type
// and dimensions of a value; name, type, dimensions and bytes of a constant.
type openVINOFacts struct {
	Inputs, Outputs [][4]any
	Operators       map[string]int
	Constants       [][4]any
	Runtime         string
}

// What OpenVINO says of each file once it has read it.
func TestAgainstOpenVINO(t *testing.T) {
	var want map[string]openVINOFacts
	libraryFacts(t, "openvino", &want)
	for file, facts := range want {
		m, err := Inspect(filepath.Join(openVINODir, file))
		if err != nil {
			t.Error(err)
			continue
		}
		checkIRValues(t, file+": inputs", m.Inputs, facts.Inputs)
		checkIRValues(t, file+": outputs", m.Outputs, facts.Outputs)
		operators := map[string]int{}
		for name, n := range m.Operators {
			// OpenVINO names some otherwise than its files do.
			name = strings.TrimPrefix(name, "extension.")
			if other, ok := map[string]string{"Const": "Constant", "ReLU": "Relu", "SoftMax": "Softmax"}[name]; ok {
				name = other
			}
			operators[name] += n
		}
		if file == "read_v10.xml" {
			continue // OpenVINO folds constants of this version while it reads
		}
		if !maps.Equal(operators, facts.Operators) {
			t.Errorf("%s:\n got %v\nwant %v", file, operators, facts.Operators)
		}
		if facts.Runtime != "" && m.Producer != "openvino "+facts.Runtime {
			t.Errorf("%s: made by %s, want %s", file, m.Producer, facts.Runtime)
		}
		checkIRConstants(t, file, m, facts.Constants)
	}
}

var irTypes = map[string]string{
	"boolean": "bool", "bf16": "bfloat16", "string": "str", "nf4": "nf4",
	"f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2", "f4e2m1": "float4_e2m1fn", "f8e8m0": "float8_e8m0fnu",
}

// irType is the NumPy name of OpenVINO's.
func irType(name string) string {
	if numpy, ok := irTypes[name]; ok {
		return numpy
	}
	kind := map[byte]string{'f': "float", 'i': "int", 'u': "uint"}[name[0]]
	return kind + name[1:]
}

func checkIRValues(t *testing.T, what string, got []Value, want [][4]any) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d, want %d", what, len(got), len(want))
		return
	}
	for i, v := range got {
		names, own, kind := want[i][0].([]any), want[i][1].(string), want[i][2].(string)
		if !slices.Contains(names, any(v.Name)) && (len(names) > 0 || v.Name != own) {
			t.Errorf("%s: name %s, want one of %v or %s", what, v.Name, names, own)
		}
		if v.DType != irType(kind) {
			t.Errorf("%s: %s is %s, want %s", what, v.Name, v.DType, irType(kind))
		}
		dims, _ := want[i][3].([]any)
		if v.Shape == nil && len(dims) == 0 {
			continue // a port does not tell no dimension from any number of them
		}
		// Ports have no interval, and an input that a file leaves open may be known.
		if fmt.Sprint(v.Shape) != fmt.Sprint(dims) && !(strings.Contains(fmt.Sprint(dims), "..") && len(v.Shape) == len(dims)) {
			t.Errorf("%s: %s has shape %v, want %v", what, v.Name, v.Shape, dims)
		}
	}
}

// checkIRConstants compares names, types, shapes and sizes of constants.
func checkIRConstants(t *testing.T, file string, m *Model, want [][4]any) {
	t.Helper()
	n := parseIR(t, filepath.Join(openVINODir, file))
	got := []string{}
	total := int64(0)
	for _, c := range n.constants {
		bytes := fmt.Sprint(c.bytes.len())
		if c.data["element_type"] == "string" {
			bytes = "any" // OpenVINO counts what strings take in memory
		}
		got = append(got, fmt.Sprint(c.name, " ", c.data["element_type"], " ", c.shape, " ", bytes))
		total += c.elements
	}
	expected, types := []string{}, map[string]int64{}
	for _, c := range want {
		n := int64(1)
		for _, d := range c[2].([]any) {
			n *= int64(d.(float64))
		}
		types[irType(c[1].(string))] += n
		bytes := fmt.Sprint(c[3])
		if c[1] == "string" {
			bytes = "any"
		}
		expected = append(expected, fmt.Sprint(c[0], " ", c[1], " ", c[2], " ", bytes))
	}
	slices.Sort(got)
	slices.Sort(expected)
	if !slices.Equal(got, expected) {
		t.Errorf("%s:\n got %v\nwant %v", file, got, expected)
	}
	maps.DeleteFunc(types, func(_ string, n int64) bool { return n == 0 })
	if m.Parameters != total || !maps.Equal(m.DTypes, types) {
		t.Errorf("%s: %d parameters, %v; want %d, %v", file, m.Parameters, m.DTypes, total, types)
	}
}

// parseIR reads a file without its weights.
func parseIR(t *testing.T, path string) *openVINO {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := &openVINO{xmlReader: newXML(bytes.NewReader(data), int64(len(data)), path)}
	if err := n.net(); err != nil {
		t.Fatal(err)
	}
	return n
}

// irModel is a model of these layers and edges; its weights are 64 bytes.
func irModel(t testing.TB, layers, edges string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.bin"), make([]byte, 64))
	return write(t, filepath.Join(dir, "m.xml"), []byte(`<net name="m" version="11"><layers>`+layers+`</layers><edges>`+edges+`</edges></net>`))
}

// irLayerOf is a layer with ports of these numbers of dimensions, one more than
// the last digit of which is its output's.
func irLayerOf(id int, kind, version, data string, inputs ...int) string {
	port := func(id, rank int) string {
		return fmt.Sprintf(`<port id="%d" precision="FP32">%s</port>`, id, strings.Repeat("<dim>4</dim>", rank))
	}
	in := ""
	for i, rank := range inputs[:len(inputs)-1] {
		in += port(i, rank)
	}
	return fmt.Sprintf(`<layer id="%d" name="%s%d" type="%s" version="%s"><data %s/><input>%s</input><output>%s</output></layer>`,
		id, kind, id, kind, version, data, in, port(len(inputs)-1, inputs[len(inputs)-1]))
}

func irParameter(id int) string {
	return irLayerOf(id, "Parameter", "opset1", `shape="4,4,4,4" element_type="f32"`, 4)
}

func irConst(id int, data string) string { return irLayerOf(id, "Const", "opset1", data, 1) }

func irResult(id int) string {
	return fmt.Sprintf(`<layer id="%d" name="out" type="Result" version="opset1"><input><port id="0" precision="FP32"/></input></layer>`, id)
}

// irEdges are edges from the single output of layers, "0.0>2.1" from port 0 of
// layer 0 to port 1 of layer 2.
func irEdges(text string) (edges string) {
	for _, e := range regexp.MustCompile(`(\d+)\.(\d+)>(\d+)\.(\d+)`).FindAllStringSubmatch(text, -1) {
		edges += fmt.Sprintf(`<edge from-layer="%s" from-port="%s" to-layer="%s" to-port="%s"/>`, e[1], e[2], e[3], e[4])
	}
	return edges
}

// Rules that no file has.
func TestJudgementsOpenVINO(t *testing.T) {
	const axes = `element_type="i64" shape="1" offset="0" size="8"` // 0
	random := irLayerOf(1, "RandomUniform", "opset8", "", 1)
	for _, test := range []struct {
		name, layers, edges string
		op                  Operation
		want, says          string
	}{
		{"MVN of opset 2 over the batch", irParameter(0) + irLayerOf(1, "MVN", "opset2", `normalize_variance="true" reduction_axes="0, 2, 3"`, 4, 4) + irResult(2),
			"0.0>1.0 1.1>2.0", BatchNormalization, trains, "axis 0"},
		{"MVN of opset 2 in a sample", irParameter(0) + irLayerOf(1, "MVN", "opset2", `normalize_variance="true" across_channels="true"`, 4, 4) + irResult(2),
			"0.0>1.0 1.1>2.0", BatchNormalization, none, ""},
		{"MVN without axes that are known", irParameter(0) + irConst(1, `element_type="i64" shape="1" offset="900" size="8"`) + irLayerOf(2, "MVN", "opset6", `normalize_variance="true"`, 4, 1, 4) + irResult(3),
			"0.0>2.0 1.0>2.1 2.2>3.0", BatchNormalization, unsure, "include the batch"},
		{"statistics that an input gives", irParameter(0) + irLayerOf(1, "BatchNormInference", "opset5", "", 4, 1, 1, 1, 1, 4) + irResult(2),
			"0.0>1.0 0.0>1.3 0.0>1.4 1.5>2.0", BatchNormalization, trains, "its statistics are computed"},
		{"mean of the batch under a power that is not known", irParameter(0) + irConst(1, axes) + irLayerOf(2, "ReduceMean", "opset1", `keep_dims="true"`, 4, 1, 4) +
			irLayerOf(3, "Power", "opset1", "", 4, 4, 4) + irResult(4), "0.0>2.0 1.0>2.1 2.2>3.0 0.0>3.1 3.2>4.0", BatchNormalization, trains, "Power"},
		{"mean of the batch, cubed", irParameter(0) + irConst(1, axes) + irLayerOf(2, "ReduceMean", "opset1", `keep_dims="true"`, 4, 1, 4) +
			irConst(3, `element_type="f32" shape="" offset="8" size="4"`) + irLayerOf(4, "Power", "opset1", "", 4, 0, 4) + irResult(5),
			"0.0>2.0 1.0>2.1 2.2>4.0 3.0>4.1 4.2>5.0", BatchNormalization, none, ""},
		{"writes a running mean", irParameter(0) + irLayerOf(1, "Assign", "opset6", `variable_id="bn.running_mean"`, 4, 4) + irResult(2),
			"0.0>1.0 0.0>2.0", BatchNormalization, trains, `the variable "bn.running_mean"`},
		{"random numbers that nothing uses", irParameter(0) + random + irResult(2), "0.0>2.0", Dropout, "present/latent", "on which no output of the model depends"},
		{"an operator of another set", irParameter(0) + irLayerOf(1, "Dropout", "opset1", "", 4, 4) + irResult(2), "0.0>1.0 1.1>2.0", Dropout, unsure, "what Dropout"},
		{"an internal operator", irParameter(0) + irLayerOf(1, "Add", "ie_internal_opset", "", 4, 4) + irResult(2), "0.0>1.0 1.1>2.0", Dropout, unsure, "ie_internal_opset.Add"},
		{"a loop without a body", irParameter(0) + irLayerOf(1, "Loop", "opset5", "", 4, 4) + irResult(2), "0.0>1.0 1.1>2.0", Dropout, unsure, "what Loop"},
		{"a graph that goes round", irParameter(0) + irLayerOf(1, "Add", "opset1", "", 4, 4, 4) + irResult(2), "0.0>1.0 1.2>1.1 1.2>2.0", Dropout, none, ""},
		{"edges that lead nowhere", irParameter(0) + irLayerOf(1, "Add", "opset1", "", 4, 4, 4) + irResult(2), "7.0>1.0 0.9>1.1 1.2>2.0 1.2>9.9", Dropout, none, ""},
	} {
		m, err := Inspect(irModel(t, test.layers, irEdges(test.edges)))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkJudgement(t, test.name, m, test.op, test.want, test.says)
	}
}

func TestIRNames(t *testing.T) {
	for list, want := range map[string][]string{
		"": nil, "a": {"a"}, "a,b:0": {"a", "b:0"}, `a\,b,c\`: {"a,b", `c\`}, ",": {"", ""},
	} {
		if got := irNames(list); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

func TestRefusedOpenVINO(t *testing.T) {
	place := func(data string) string { return irParameter(0) + irConst(1, data) }
	for says, file := range map[string]string{
		"each layer's number once":    irModel(t, irParameter(3)+irParameter(3), ""),
		"one edge into a port":        irModel(t, irParameter(0), irEdges("0.0>1.0 2.0>1.0")),
		"an integer in from-port":     irModel(t, irParameter(0), `<edge from-layer="0" from-port="x"/>`),
		"a layer with a type":         irModel(t, `<layer id="0" name="x"/>`, ""),
		"each attribute once":         irModel(t, `<layer id="0" id="1" type="Add"/>`, ""),
		`one "layers"`:                irModel(t, irParameter(0)+`</layers><layers>`, ""),
		"the shape of a constant":     irModel(t, place(`element_type="f32" shape="?,2" offset="0" size="8"`), ""),
		"at most 2^53 elements":       irModel(t, place(`element_type="f32" shape="4294967296,4294967296" offset="0" size="8"`), ""),
		"a place in the weights":      irModel(t, place(`element_type="f32" shape="2" offset="-8" size="8"`), ""),
		"an integer in size":          irModel(t, place(`element_type="f32" shape="2" offset="0"`), ""),
		"version 10 or 11":            write(t, filepath.Join(t.TempDir(), "m.xml"), []byte(`<net version="7"><layers/></net>`)),
		"a layer, found none":         write(t, filepath.Join(t.TempDir(), "m.xml"), []byte(`<net version="11"/>`)),
		"expected XML, found its end": write(t, filepath.Join(t.TempDir(), "m.xml"), []byte(`<net version="11"><layers>`)),
		`the end of "layers"`:         write(t, filepath.Join(t.TempDir(), "m.xml"), []byte(`<net version="11"><layers></net></layers>`)),
		"invalid character entity":    write(t, filepath.Join(t.TempDir(), "m.xml"), []byte(`<!DOCTYPE net [<!ENTITY a "b">]><net version="11"><layers name="&a;"/></net>`)),
		"an integer within":           irModel(t, `<layer id="0" type="Add"><input><port id="0"><dim>x</dim></port></input></layer>`, ""),
	} {
		_, err := Inspect(file)
		refused(t, says, err, says)
		refused(t, says, err, "m.xml")
	}
}

// Whatever a file is made to hold, reading it ends soon and takes little memory.
func TestBombsOpenVINO(t *testing.T) {
	deep := strings.Repeat(`<layer id="0" type="Loop" version="opset5"><body><layers>`, 1000)
	nested := ""
	for range 50 {
		nested = `<layer id="0" type="Loop" version="opset5"><body><layers>` + nested + `</layers></body></layer>`
	}
	read := func(name, text string) error {
		var err error
		bounded(t, name, func() {
			_, err = readOpenVINO(strings.NewReader(text), int64(len(text)), "m.xml", emptyRoot(t))
		})
		return err
	}
	refused(t, "deep", read("deep", `<net version="11"><layers>`+deep), "elements within each other")
	refused(t, "long name", read("long name", `<net version="11"><layers><layer id="0" type="`+strings.Repeat("x", maxXMLToken+1<<20)), "a tag or text of at most")
	refused(t, "long text", read("long text", `<net version="11">`+strings.Repeat("x", maxXMLToken+1<<20)), "a tag or text of at most")
	if err := read("nested", `<net version="11"><layers>`+nested+`</layers></net>`); err != nil {
		t.Error(err)
	}
	layers := func(n int) string {
		b := strings.Builder{}
		for i := range n {
			fmt.Fprintf(&b, `<layer id="%d" type="Add" version="opset1"><output><port id="0"/></output></layer>`, i)
		}
		return `<net version="11"><layers>` + b.String() + `</layers></net>`
	}
	if err := read("many layers", layers(150_000)); err != nil {
		t.Error(err)
	}
	refused(t, "too many layers", read("too many layers", layers(250_000)), "a graph that fits into")
}

// The weights lie beside the graph, and hold all that it refers to.
func TestOpenVINOParts(t *testing.T) {
	graph := func(size int) string {
		return irParameter(0) + irConst(1, fmt.Sprintf(`element_type="u8" shape="%d" offset="0" size="%d"`, size, size)) + irResult(2)
	}
	problem := func(m *Model) string { return fmt.Sprint(m.Parts, findingsOf(m)) }
	for name, test := range map[string]struct {
		size   int
		change func(bin string)
		want   string
	}{
		"all of it":  {64, func(string) {}, "[{m.bin 64 }] []"},
		"too short":  {65, func(string) {}, "[{m.bin 64 constants need 65 bytes, the file has 64}] [CR-MODEL-PART]"},
		"missing":    {1, func(bin string) { remove(t, bin) }, "[{m.bin -1 file not found}] [CR-MODEL-PART]"},
		"not needed": {0, func(bin string) { remove(t, bin) }, "[] []"},
		"a folder":   {1, func(bin string) { remove(t, bin); write(t, filepath.Join(bin, "x"), nil) }, "[{m.bin -1 not a regular file}] [CR-MODEL-PART]"},
		"elsewhere": {1, func(bin string) {
			remove(t, bin)
			link(t, write(t, filepath.Join(t.TempDir(), "w"), make([]byte, 64)), bin)
		}, "[{m.bin -1 symbolic link that leads out of the model's folder}] [CR-MODEL-PART]"},
	} {
		path := irModel(t, graph(test.size), irEdges("0.0>2.0"))
		test.change(strings.TrimSuffix(path, ".xml") + ".bin")
		m, err := Inspect(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := problem(m); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Constants fill the bytes that their types and shapes need, and are the same
// bytes or none in common.
func TestOpenVINOLayout(t *testing.T) {
	place := func(id, elements, offset, size int) string {
		return irConst(id, fmt.Sprintf(`element_type="f32" shape="%d" offset="%d" size="%d"`, elements, offset, size))
	}
	for want, constants := range map[string]string{
		"": place(1, 2, 0, 8) + place(2, 2, 0, 8) + place(3, 1, 8, 4) + place(4, 0, 4, 0),
		`constant "Const1" has 8 bytes, its type and shape need 12`:    place(1, 3, 0, 8),
		`constant "Const2" starts at byte 4, within constant "Const1"`: place(2, 2, 4, 8) + place(1, 2, 0, 8),
		`constant "Const2" starts at byte 0, within constant "Const1"`: place(1, 1, 0, 4) + place(2, 2, 0, 8),
	} {
		m, err := Inspect(irModel(t, constants+irParameter(9)+irResult(8), irEdges("9.0>8.0")))
		if err != nil {
			t.Error(err)
			continue
		}
		got := ""
		for _, f := range m.Findings {
			got += f.Evidence
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzOpenVINO(f *testing.F) {
	seeds(f, filepath.Join(openVINODir, "*.xml"))
	root := emptyRoot(f)
	read := func(data []byte) (*Model, error) {
		return readOpenVINO(bytes.NewReader(data), int64(len(data)), "test.xml", root)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := read(data)
		if err != nil {
			if !strings.Contains(err.Error(), "test.xml") {
				t.Fatalf("error does not name the file: %v", err)
			}
			return
		}
		checkComplete(t, "fuzz", m)
		if m.Parameters < 0 || strconv.FormatInt(m.Parameters, 10) == "" {
			t.Fatalf("%d parameters", m.Parameters)
		}
		// A comment and an element that the format does not have change nothing.
		at := bytes.LastIndex(data, []byte("</net>"))
		if at < 0 {
			return
		}
		more := slices.Concat(data[:at], []byte(`<!-- x --><new a="1">y</new>`), data[at:])
		if again, err := read(more); err == nil && fmt.Sprint(m) != fmt.Sprint(again) {
			t.Fatalf("an element more changed the model:\n%+v\n%+v", m, again)
		}
	})
}
