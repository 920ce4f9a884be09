package provenance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// comparison is one thing that a call asked for, held against the model that
// it made. What cannot be told from what the call's record and the model say
// is no finding.
type comparison struct {
	// functions are those whose argument has this meaning; none is all.
	functions []string
	// argument is one that the caller must have given; a default is not asked for.
	argument string
	compare  func(asked any, got FrozenModel, call python.Call) []Finding
}

const (
	torchExport = "torch.onnx.export"
	tfGraph     = "tf2onnx.tfonnx.process_tf_graph"
)

var comparisons = []comparison{
	{nil, "opset_version", opset},
	{nil, "opset", opset},
	{[]string{torchExport}, "input_names", torchInputs},
	{[]string{torchExport}, "output_names", torchOutputs},
	{[]string{torchExport}, "dynamic_axes", dynamicAxes},
	{[]string{torchExport}, "dynamic_shapes", dynamicShapes},
	{[]string{torchExport}, "external_data", externalData},
	{[]string{tfGraph}, "input_names", tfInputs},
	{[]string{tfGraph}, "output_names", tfOutputs},
	{[]string{"tf2onnx.convert.from_keras", "tf2onnx.convert.from_function"}, "input_signature", signature},
}

// askedAndGot holds every call that made a frozen model against it.
func (b *builder) askedAndGot(found *findingList, log *ConversionLog) {
	for i, got := range log.FrozenModels {
		for n, call := range b.o.Python.Calls {
			if !b.made(n, b.frozen[i]) {
				continue
			}
			for _, c := range comparisons {
				asked := call.Arguments[c.argument]
				if asked == nil || !slices.Contains(call.Given, c.argument) || c.functions != nil && !slices.Contains(c.functions, call.Function) {
					continue
				}
				for _, f := range c.compare(asked, got, call) {
					f.Subject, f.Evidence = got.Name, call.Function+", "+c.argument
					found.add(f)
				}
			}
		}
	}
}

// made tells whether the call with this number made a frozen model as it is: it
// was the last that was to write it, or it is the only conversion and that the
// only model.
func (b *builder) made(number int, frozen Artifact) bool {
	call := b.o.Python.Calls[number]
	if call.Saves || call.Added || call.Outcome != "returned" {
		return false
	}
	if b.wrote(call, frozen) {
		return !slices.ContainsFunc(b.o.Python.Calls[number+1:], func(later python.Call) bool { return b.wrote(later, frozen) })
	}
	conversions := 0
	for _, other := range b.o.Python.Calls {
		if !other.Saves && !other.Added {
			conversions++
		}
	}
	return len(call.Writes) == 0 && conversions == 1 && len(b.frozen) == 1
}

// wrote tells whether a call that returned was to write the frozen model.
func (b *builder) wrote(call python.Call, frozen Artifact) bool {
	return call.Outcome == "returned" && b.toWrite(call, frozen)
}

// toWrite tells whether a call was to write the frozen model, under the name
// that it has or had.
func (b *builder) toWrite(call python.Call, frozen Artifact) bool {
	return asked(call, frozen) || slices.ContainsFunc(b.o.Files, func(f runner.File) bool {
		return f.Path == frozen.Path && f.RenamedFrom != "" && covers(call.Writes, f.RenamedFrom)
	})
}

func opset(asked any, got FrozenModel, _ python.Call) []Finding {
	version, known := got.Opsets[""]
	if number, ok := asked.(json.Number); ok && known && number.String() != strconv.FormatInt(version, 10) {
		return []Finding{{ID: "CR-OPSET", Message: fmt.Sprintf("opset %s was asked for, the model has opset %d", number, version)}}
	}
	return nil
}

// torchInputs compares the names in their order. Names beyond the inputs are
// for parameters, as the exporter's documentation has it; args has one entry
// for each input when all of them are tensors.
func torchInputs(asked any, got FrozenModel, call python.Call) []Finding {
	names, inputs := texts(asked), len(got.Inputs)
	if args, ok := call.Arguments["args"].([]any); ok && !slices.ContainsFunc(args, func(a any) bool { return !isTensor(a) }) {
		inputs = len(args)
	}
	return compareNames("input", names[:min(len(names), inputs)], got.Inputs)
}

func torchOutputs(asked any, got FrozenModel, _ python.Call) []Finding {
	return compareNames("output", texts(asked), got.Outputs)
}

// compareNames expects that values start with the names, in their order.
func compareNames(kind string, names []string, values []model.Value) []Finding {
	var have []string
	for _, v := range values {
		have = append(have, v.Name)
	}
	if len(names) <= len(have) && slices.Equal(names, have[:len(names)]) {
		return nil
	}
	return []Finding{{ID: "CR-ASKED-NAMES", Message: fmt.Sprintf("%ss %s were asked for, the model has %s", kind, listed(names), listed(have))}}
}

func tfInputs(asked any, got FrozenModel, call python.Call) []Finding {
	return tfNames("input", asked, got.Inputs, call)
}

func tfOutputs(asked any, got FrozenModel, call python.Call) []Finding {
	return tfNames("output", asked, got.Outputs, call)
}

// tfNames expects each tensor that was asked for, under the name that the call
// was to give it. The order is that of TensorFlow's graph.
func tfNames(kind string, asked any, values []model.Value, call python.Call) (findings []Finding) {
	renamed, _ := call.Arguments["tensors_to_rename"].(map[string]any)
	for _, name := range texts(asked) {
		if other, ok := renamed[name].(string); ok {
			name = other
		}
		if valueNamed(values, name) == nil {
			findings = append(findings, Finding{ID: "CR-ASKED-NAMES", Message: fmt.Sprintf("%s %q was asked for, the model has none of that name", kind, name)})
		}
	}
	return findings
}

// dynamicAxes reads {NAME: {DIMENSION: WORD} or [DIMENSION, …]}.
func dynamicAxes(asked any, got FrozenModel, _ python.Call) (findings []Finding) {
	axes, _ := asked.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(axes)) {
		v := valueNamed(slices.Concat(got.Inputs, got.Outputs), name)
		if v == nil {
			findings = append(findings, Finding{ID: "CR-ASKED-DYNAMIC", Message: fmt.Sprintf("dynamic dimensions were asked for %q, which is no input or output of the model", name)})
			continue
		}
		findings = append(findings, fixed(*v, dimensions(axes[name]))...)
	}
	return findings
}

// dimensions are the keys of an object, or the numbers of a list.
func dimensions(axes any) (numbers []int) {
	switch axes := axes.(type) {
	case map[string]any:
		for key := range axes {
			if n, err := strconv.Atoi(key); err == nil {
				numbers = append(numbers, n)
			}
		}
	case []any:
		for _, item := range axes {
			if n, ok := integer(item); ok {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}

// dynamicShapes reads what torch.export takes: an entry for each parameter, by
// position or by name. An entry by name is of an input that has that name or
// is the only one; of others it cannot be told which input they are of, and so
// it is with an entry that is a structure of tensors.
func dynamicShapes(asked any, got FrozenModel, _ python.Call) (findings []Finding) {
	switch shapes := asked.(type) {
	case []any:
		if len(shapes) != len(got.Inputs) {
			return nil
		}
		for i, shape := range shapes {
			findings = append(findings, fixed(got.Inputs[i], dynamicOf(shape))...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(shapes)) {
			v := valueNamed(got.Inputs, name)
			if v == nil && len(shapes) == 1 && len(got.Inputs) == 1 {
				v = &got.Inputs[0]
			}
			if v != nil {
				findings = append(findings, fixed(*v, dynamicOf(shapes[name]))...)
			}
		}
	}
	return findings
}

// dynamicOf are the dimensions of one tensor that have to be dynamic: those
// with a name, a Dim or Dim.DYNAMIC. Dim.AUTO leaves the choice to the exporter.
func dynamicOf(shape any) (numbers []int) {
	must := func(dimension any) bool {
		switch d := dimension.(type) {
		case string:
			return true
		case map[string]any:
			kind, hint := d["type"].(string)
			return hint && strings.HasSuffix(kind, ".DYNAMIC") || !hint && d["name"] != nil
		}
		return false
	}
	switch shape := shape.(type) {
	case map[string]any:
		for key, dimension := range shape {
			if n, err := strconv.Atoi(key); err == nil && must(dimension) {
				numbers = append(numbers, n)
			}
		}
	case []any:
		for n, dimension := range shape {
			if must(dimension) {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}

// fixed finds the dimensions that should be dynamic and are numbers. Negative
// ones count from the end.
func fixed(v model.Value, dimensions []int) (findings []Finding) {
	for _, n := range dimensions {
		at := n
		if at < 0 {
			at += len(v.Shape)
		}
		if at < 0 || at >= len(v.Shape) {
			continue
		}
		if _, err := strconv.Atoi(v.Shape[at]); err == nil {
			findings = append(findings, Finding{
				ID: "CR-ASKED-DYNAMIC", Message: fmt.Sprintf("dimension %d of %q was to be dynamic, the model has it fixed: [%s]", n, v.Name, strings.Join(v.Shape, ", ")),
			})
		}
	}
	return findings
}

// manyParameters is so many that not all of a model's tensors can be of the few
// bytes that exporters leave in the model when its data is external.
const manyParameters = 100_000

func externalData(asked any, got FrozenModel, _ python.Call) []Finding {
	switch {
	case asked == false && len(got.Parts) > 0:
		return []Finding{{ID: "CR-ASKED-EXTERNAL-DATA", Message: fmt.Sprintf("one file was asked for, the model has %d more", len(got.Parts))}}
	case asked == true && len(got.Parts) == 0 && got.Parameters >= manyParameters:
		return []Finding{{ID: "CR-ASKED-EXTERNAL-DATA", Message: "weights beside the model were asked for, they are in it"}}
	}
	return nil
}

// signature holds TensorFlow's specifications of inputs against the inputs that
// came out, in any order. Layouts that the call was to turn are left out.
func signature(asked any, got FrozenModel, call python.Call) (findings []Finding) {
	specs, _ := asked.([]any)
	if call.Arguments["inputs_as_nchw"] != nil || slices.ContainsFunc(specs, func(s any) bool { return !isTensor(s) }) {
		return nil
	}
	left := slices.Clone(got.Inputs)
	for _, spec := range specs {
		dtype, shape := described(spec)
		at := slices.IndexFunc(left, func(v model.Value) bool { return v.DType == dtype && admits(v.Shape, shape) })
		if at < 0 {
			findings = append(findings, Finding{ID: "CR-ASKED-SHAPE", Message: fmt.Sprintf("an input %s [%s] was asked for, the model has none like it", dtype, strings.Join(shape, ", "))})
			continue
		}
		left = slices.Delete(left, at, at+1)
	}
	return findings
}

// admits tells whether a shape that came out is the one that was asked for; "?"
// asks for a dimension that is no number. A shape without rank fits all.
func admits(got, asked []string) bool {
	if got == nil || asked == nil {
		return true
	}
	return slices.EqualFunc(got, asked, func(g, a string) bool {
		_, err := strconv.Atoi(g)
		return g == a || a == "?" && err != nil
	})
}

// isTensor tells whether the observer described a tensor, or the specification
// of one.
func isTensor(value any) bool {
	object, ok := value.(map[string]any)
	_, dtype := object["dtype"].(string)
	return ok && dtype
}

// described is a tensor's dtype and shape; the shape is nil when it has no rank.
func described(tensor any) (dtype string, shape []string) {
	object, _ := tensor.(map[string]any)
	dtype, _ = object["dtype"].(string)
	dimensions, ranked := object["shape"].([]any)
	if !ranked {
		return dtype, nil
	}
	shape = []string{}
	for _, d := range dimensions {
		if d == nil {
			shape = append(shape, "?")
		} else {
			shape = append(shape, fmt.Sprint(d))
		}
	}
	return dtype, shape
}

// texts are the strings of a list.
func texts(list any) (strings []string) {
	items, _ := list.([]any)
	for _, item := range items {
		if text, ok := item.(string); ok {
			strings = append(strings, text)
		}
	}
	return strings
}

func integer(value any) (int, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(number.String())
	return n, err == nil
}

func valueNamed(values []model.Value, name string) *model.Value {
	if i := slices.IndexFunc(values, func(v model.Value) bool { return v.Name == name }); i >= 0 {
		return &values[i]
	}
	return nil
}

// maxListed bounds the names in a message.
const maxListed = 8

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if more := len(names) - maxListed; more > 0 {
		names = append(slices.Clone(names[:maxListed]), fmt.Sprintf("… (%d more)", more))
	}
	return strings.Join(names, ", ")
}
