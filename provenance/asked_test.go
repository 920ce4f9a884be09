package provenance

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// TestComparisons holds arguments, as the observer writes them for real calls,
// against models; TestWhatWasAskedIsHeldAgainstWhatCameOut makes the calls.
func TestComparisons(t *testing.T) {
	value := func(name, dtype string, shape ...string) model.Value {
		return model.Value{Name: name, DType: dtype, Shape: shape}
	}
	two := FrozenModel{
		Opsets: map[string]int64{"": 18}, Parameters: 200_000, Parts: []ResourceDescriptor{},
		Inputs: []model.Value{value("a", "float32", "n", "8"), value("b", "float32", "2", "8")}, Outputs: []model.Value{value("y", "float32", "?", "4")},
	}
	parted := two
	parted.Parts = []ResourceDescriptor{{Name: "m.onnx.data"}}
	small := two
	small.Parameters = 5
	pair := `"args":[{"dtype":"float32","shape":[2,8]},{"dtype":"float32","shape":[2,8]}]`
	const dim, dynamic, auto = `{"class":"torch.export.dynamic_shapes.Dim","name":"n","min":2,"max":9}`,
		`{"class":"torch.export.dynamic_shapes._DimHint","type":"_DimHintType.DYNAMIC"}`, `{"class":"torch.export.dynamic_shapes._DimHint","type":"_DimHintType.AUTO"}`
	for _, c := range []struct {
		name, function, argument, arguments string
		got                                 FrozenModel
		want                                string
	}{
		{"inputs in order", torchExport, "input_names", `{"input_names":["a","b"],` + pair + `}`, two, ""},
		{"inputs in another order", torchExport, "input_names", `{"input_names":["b","a"],` + pair + `}`, two, "CR-ASKED-NAMES"},
		{"fewer names than inputs", torchExport, "input_names", `{"input_names":["a"],` + pair + `}`, two, ""},
		{"names for parameters", torchExport, "input_names", `{"input_names":["a","b","weight"],` + pair + `}`, two, ""},
		{"more names than can be told of", torchExport, "input_names", `{"input_names":["a","b","weight"],"args":[{"x":1}]}`, two, ""},
		{"a default is not asked for", torchExport, "", `{"input_names":["x","y"]}`, two, ""},
		{"another function's", "other.export", "input_names", `{"input_names":["x","y"]}`, two, ""},
		{"output", torchExport, "output_names", `{"output_names":["score"]}`, two, "CR-ASKED-NAMES"},
		{"too many outputs", torchExport, "output_names", `{"output_names":["y","z"]}`, two, "CR-ASKED-NAMES"},
		{"axes by name", torchExport, "dynamic_axes", `{"dynamic_axes":{"a":{"0":"n"},"y":[0]}}`, two, ""},
		{"fixed axis", torchExport, "dynamic_axes", `{"dynamic_axes":{"b":{"0":"n"}}}`, two, "CR-ASKED-DYNAMIC"},
		{"fixed axis of a list", torchExport, "dynamic_axes", `{"dynamic_axes":{"b":[0]}}`, two, "CR-ASKED-DYNAMIC"},
		{"fixed axis from the end", torchExport, "dynamic_axes", `{"dynamic_axes":{"a":{"-1":"n"}}}`, two, "CR-ASKED-DYNAMIC"},
		{"no such axis", torchExport, "dynamic_axes", `{"dynamic_axes":{"a":{"7":"n"}}}`, two, ""},
		{"axes of nothing", torchExport, "dynamic_axes", `{"dynamic_axes":{"mask":{"0":"n"}}}`, two, "CR-ASKED-DYNAMIC"},
		{"shapes by place", torchExport, "dynamic_shapes", `{"dynamic_shapes":[{"0":` + dim + `},{"0":` + dim + `}]}`, two, "CR-ASKED-DYNAMIC"},
		{"shapes by name", torchExport, "dynamic_shapes", `{"dynamic_shapes":{"b":{"0":` + dynamic + `}}}`, two, "CR-ASKED-DYNAMIC"},
		{"shape as a list", torchExport, "dynamic_shapes", `{"dynamic_shapes":{"b":["n",null]}}`, two, "CR-ASKED-DYNAMIC"},
		{"left to the exporter", torchExport, "dynamic_shapes", `{"dynamic_shapes":{"b":{"0":` + auto + `}}}`, two, ""},
		{"names that may be any input's", torchExport, "dynamic_shapes", `{"dynamic_shapes":{"x":{"0":` + dim + `},"z":{"0":` + dim + `}}}`, two, ""},
		{"nested shapes", torchExport, "dynamic_shapes", `{"dynamic_shapes":[{"k":{"0":` + dim + `}},[[` + dim + `]]]}`, two, ""},
		{"data inside as asked", torchExport, "external_data", `{"external_data":false}`, two, ""},
		{"data beside, not asked", torchExport, "external_data", `{"external_data":false}`, parted, "CR-ASKED-EXTERNAL-DATA"},
		{"data beside as asked", torchExport, "external_data", `{"external_data":true}`, parted, ""},
		{"data inside, not asked", torchExport, "external_data", `{"external_data":true}`, two, "CR-ASKED-EXTERNAL-DATA"},
		{"too little data to tell", torchExport, "external_data", `{"external_data":true}`, small, ""},
		{"TensorFlow's names", tfGraph, "input_names", `{"input_names":["b:0","a:0"],"tensors_to_rename":{"a:0":"a","b:0":"b"}}`, two, ""},
		{"TensorFlow's name is gone", tfGraph, "output_names", `{"output_names":["y:0"],"tensors_to_rename":null}`, two, "CR-ASKED-NAMES"},
		{"signature in another order", "tf2onnx.convert.from_keras", "input_signature", `{"input_signature":[{"dtype":"float32","shape":[2,8]},{"dtype":"float32","shape":[null,8]}]}`, two, ""},
		{"signature of another type", "tf2onnx.convert.from_keras", "input_signature", `{"input_signature":[{"dtype":"float16","shape":[2,8]}]}`, two, "CR-ASKED-SHAPE"},
		{"signature of another shape", "tf2onnx.convert.from_function", "input_signature", `{"input_signature":[{"dtype":"float32","shape":[null,9]}]}`, two, "CR-ASKED-SHAPE"},
		{"signature that is turned", "tf2onnx.convert.from_keras", "input_signature", `{"input_signature":[{"dtype":"float32","shape":[null,9]}],"inputs_as_nchw":["a"]}`, two, ""},
		{"hostile words", torchExport, "dynamic_axes", `{"dynamic_axes":[1,{"a":2}]}`, two, ""},
	} {
		call := python.Call{Function: c.function, Given: []string{c.argument}, Outcome: "returned", Writes: []string{"/w/m.onnx"}}
		decoder := json.NewDecoder(strings.NewReader(c.arguments))
		decoder.UseNumber()
		if err := decoder.Decode(&call.Arguments); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		b := builder{o: &runner.Observation{Files: []runner.File{{Path: "/w/m.onnx", Class: runner.Output}}}, frozen: []Artifact{{Path: "/w/m.onnx"}}}
		b.o.Python.Calls = []python.Call{call}
		var found findingList
		b.askedAndGot(&found, &ConversionLog{FrozenModels: []FrozenModel{c.got}})
		var ids []string
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		if got := strings.Join(slices.Compact(ids), " "); got != c.want {
			t.Errorf("%s: %q, wanted %q", c.name, got, c.want)
		}
	}
}
