package model

import (
	"math"
	"strings"
	"testing"
)

// attributes of the kinds that nodes have.
func intAttr(name string, v int64) []byte { return block(5, str(1, name), number(3, uint64(v))) }

func intsAttr(name string, v ...int64) []byte {
	b := str(1, name)
	for _, i := range v {
		b = append(b, number(8, uint64(i))...)
	}
	return block(5, b)
}

func floatAttr(name string, v float32) []byte { return block(5, str(1, name), float(2, v)) }

func graphAttr(name string, fields ...[]byte) []byte {
	return block(5, str(1, name), block(6, fields...))
}

func refAttr(name, of string) []byte { return block(5, str(1, name), str(21, of)) }

// scalarOf is an initializer of one element.
func scalarOf(name string, kind uint64, raw ...byte) []byte {
	return block(5, str(8, name), number(2, kind), block(9, raw))
}

func floats(name string, n uint64) []byte {
	return block(5, str(8, name), number(1, n), number(2, 1), block(9, make([]byte, 4*n)))
}

const microsoft = "com.microsoft"

var (
	inputX  = block(11, str(1, "x"))
	outputY = block(12, str(1, "y"))
	ofORT   = str(7, microsoft)
	ofONNX  = str(7, "ai.onnx.preview.training")
	isOn    = scalarOf("flag", 9, 1)
)

// Rules that no fixture has a file for.
func TestJudgements(t *testing.T) {
	drop := testNode("Dropout", []string{"x", "", "flag"}, y)
	norm := []string{"x", "s", "b", "m", "v"}
	weights := []string{"lr", "t", "w", "g", "m1", "m2"}
	older := func(ir uint64, parts ...[]byte) []byte { return join(number(1, ir), block(7, parts...)) }
	for _, test := range []struct {
		name string
		data []byte
		op   Operation
		want string
		says string
	}{
		{"no opset before IR 3", older(2, testNode("Dropout", x, y)), Dropout, trains, "opset 1, is_test is not set"},
		{"no opset since IR 3", older(3, testNode("Dropout", x, y)), Dropout, unsure, "imports no version"},
		{"no opset, batch norm", older(8, testNode("BatchNormalization", norm, y)), BatchNormalization, unsure, "imports no version"},
		{"no version at all", join(block(7, drop, isOn, block(11, str(1, "flag"))), opset("", 17)), Dropout, unsure, "also an input"},
		{"flag from value_int", testModel(testNode("Constant", nil, []string{"flag"}, intAttr("value_int", 1)), drop), Dropout, trains, ""},
		{"flag from value_float", testModel(testNode("Constant", nil, []string{"flag"}, floatAttr("value_float", 0)), drop), Dropout, infers, ""},
		{"cast of 0.5 to integer", testModel(testNode("Constant", nil, []string{"f"}, floatAttr("value_float", 0.5)),
			testNode("Cast", []string{"f"}, []string{"flag"}, intAttr("to", 7)), drop), Dropout, infers, ""},
		{"cast of 0.5 to bool", testModel(testNode("Constant", nil, []string{"f"}, floatAttr("value_float", 0.5)),
			testNode("Cast", []string{"f"}, []string{"flag"}, intAttr("to", 9)), drop), Dropout, trains, ""},
		{"ratio that is an input", testModel(testNode("Dropout", []string{"x", "r", "flag"}, y), isOn, block(11, str(1, "r"))), Dropout, trains, "ratio is not constant"},
		{"dead, another acts", testModel(drop, isOn, testNode("Dropout", x, []string{"z"}), inputX, outputY), Dropout, trains, "no output of the model depends on it"},
		{"mask of Floor", testModel(testNode("RandomUniform", nil, []string{"u"}), testNode("Add", []string{"u", "keep"}, []string{"a"}),
			testNode("Floor", []string{"a"}, []string{"m"}), testNode("Mul", []string{"m", "x"}, y), inputX, scalarOf("keep", 1, 0, 0, 0, 63)), Dropout, trains, "random mask"},
		{"noise scaled, never compared", testModel(testNode("RandomNormal", nil, []string{"u"}), testNode("Mul", []string{"u", "x"}, y), inputX), Dropout, unsure, "random numbers are for"},
		{"engine", testModel(testNode("EPContext", x, y, ofORT)), Dropout, unsure, "EPContext"},
		{"PyTorch's operators", testModel(testNode("ATen", x, y, str(7, "org.pytorch.aten"))), Dropout, unsure, "ATen"},
		{"DropoutGrad", testModel(testNode("DropoutGrad", x, y, ofORT)), Dropout, trains, ""},

		{"MeanVarianceNormalization", testModel(testNode("MeanVarianceNormalization", x, y)), BatchNormalization, trains, "axis 0"},
		{"MeanVarianceNormalization of each sample", testModel(testNode("MeanVarianceNormalization", x, y, intsAttr("axes", 2, 3))), BatchNormalization, none, ""},
		{"BatchNormInternal", testModel(testNode("BatchNormInternal", norm, y, ofORT)), BatchNormalization, trains, ""},
		{"statistics that nothing makes", testModel(testNode("BatchNormalization", norm, y), inputX), BatchNormalization, unsure, "nothing makes its mean"},
		{"axes from the end with a gap", testModel(testNode("ReduceMean", x, []string{"v"}, intsAttr("axes", -4, -2, -1)), testNode("Sqrt", []string{"v"}, y), inputX), BatchNormalization, unsure, "include the batch"},
		{"axes that are an input", testModel(testNode("ReduceMean", []string{"x", "a"}, []string{"v"}), testNode("Sqrt", []string{"v"}, y), inputX, block(11, str(1, "a"))), BatchNormalization, unsure, "include the batch"},
		{"axes of a constant", testModel(testNode("Constant", nil, []string{"a"}, intsAttr("value_ints", 0, 2)), testNode("ReduceMean", []string{"x", "a"}, []string{"v"}),
			testNode("Sqrt", []string{"v"}, y), inputX), BatchNormalization, trains, "axis 0"},
		{"batch mean without a root", testModel(testNode("ReduceMean", x, y, intsAttr("axes", 0)), inputX), BatchNormalization, none, ""},
		{"statistics of a weight", testModel(testNode("ReduceMean", []string{"w"}, []string{"v"}, intsAttr("axes", 0)), testNode("Sqrt", []string{"v"}, y), floats("w", 4)), BatchNormalization, none, ""},

		{"in a sub-graph's attribute list", testModel(testNode("Odd", x, y, block(5, str(1, "bodies"), block(11, testNode("Dropout", []string{"x", "", "flag"}, []string{"z"}), block(12, str(1, "z"))))), isOn, outputY), Dropout, trains, "in bodies of Odd"},
		{"flag handed into a loop", testModel(testNode("Loop", []string{"", "", "flag"}, y, graphAttr("body", block(11, str(1, "f")),
			testNode("Dropout", []string{"x", "", "f"}, []string{"z"}), block(12, str(1, "z")))), isOn, outputY), Dropout, unsure, "is computed"},
		{"function's default attribute", join(testModel(testNode("F", x, y, local), outputY), testFunction("F", x, y,
			block(11, str(1, "on"), number(3, 1)), inFunction(nodeBody("Constant", nil, []string{"flag"}, refAttr("value_int", "on"))),
			inFunction(nodeBody("Dropout", []string{"x", "", "flag"}, y)))), Dropout, trains, "in function local.F"},
		{"function's attribute not given", join(testModel(testNode("F", x, y, local), outputY), testFunction("F", x, y,
			inFunction(nodeBody("Constant", nil, []string{"flag"}, refAttr("value_int", "on"))),
			inFunction(nodeBody("Dropout", []string{"x", "", "flag"}, y)))), Dropout, unsure, ""},
		{"function that passes its input on", join(testModel(testNode("F", []string{"flag"}, []string{"on"}, local), testNode("Dropout", []string{"x", "", "on"}, y), isOn),
			testFunction("F", x, x)), Dropout, trains, ""},
		{"function of an older opset", join(testModel(testNode("F", x, y, local)), block(25, str(1, "F"), str(10, "local"), str(4, "x"), str(5, "y"),
			block(9, number(2, 6)), inFunction(nodeBody("Dropout", x, y)))), Dropout, trains, "opset 6"},
		{"overload that is not defined", join(testModel(testNode("F", x, y, local, str(8, "other"))), testFunction("F", x, y)), Dropout, unsure, "which nothing defines"},
		{"initialization", join(testModel(), block(20, block(1, testNode("Dropout", x, y)))), Dropout, dormant, "training_info.initialization"},

		{"AdamW decays by default", testModel(testNode("AdamWOptimizer", weights, y, ofORT)), WeightRegularization, trains, "weight_decay is 0.01"},
		{"AdamW without decay", testModel(testNode("AdamWOptimizer", weights, y, ofORT, floatAttr("weight_decay", 0))), WeightRegularization, unsure, ""},
		{"rate that nothing makes", testModel(testNode("AdamWOptimizer", weights, y, ofORT)), LearningRateScheduling, unsure, "nothing makes its learning rate"},
		{"clipping is an application's", testModel(testNode("SGDOptimizerV2", []string{"lr", "w", "g"}, y, ofORT), block(11, str(1, "g"))), GradientClipping, unsure, ""},
		{"other optimizer", testModel(testNode("LambOptimizer", weights, y, ofORT)), WeightRegularization, unsure, ""},
		{"accumulator", testModel(testNode("InPlaceAccumulatorV2", x, y, ofORT)), LearningRateScheduling, unsure, "optimizer is not in it"},
		{"penalty of magnitudes", testModel(testNode("Abs", []string{"w"}, []string{"a"}), testNode("ReduceSum", []string{"a"}, []string{"l"}),
			testNode("Gradient", []string{"w"}, y, ofONNX), floats("w", 4)), WeightRegularization, trains, `a sum over the weight "w"`},
		{"by hand, without clipping", join(testModel(floats("w", 4)), block(20, block(2, testNode("Gradient", []string{"w"}, []string{"g"}, ofONNX), testNode("Sub", []string{"w", "g"}, y)),
			block(4, str(1, "w"), str(2, "y")))), GradientClipping, unsure, ""},
		{"by hand, clipped", join(testModel(floats("w", 4)), block(20, block(2, testNode("Gradient", []string{"w"}, []string{"g"}, ofONNX), testNode("Clip", []string{"g"}, []string{"c"}),
			testNode("Sub", []string{"w", "c"}, y)), block(4, str(1, "w"), str(2, "y")))), GradientClipping, trains, "between the gradient and the weights"},
	} {
		m, err := read(t, test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkJudgement(t, test.name, m, test.op, test.want, test.says)
	}
}

// checkJudgement holds the verdict on one operation against "status/mode" and
// what its evidence has to say.
func checkJudgement(t *testing.T, name string, m *Model, op Operation, want, says string) {
	t.Helper()
	checkComplete(t, name, m)
	v := verdict(t, m, op)
	if got := string(v.Status) + "/" + string(v.Mode); got != want || !strings.Contains(strings.Join(v.Evidence, "\n"), says) {
		t.Errorf("%s: %s, want %s saying %q\nevidence %q", name, got, want, says, v.Evidence)
	}
}

// The most training algorithms that are judged, and one more.
func TestTrainingInfoCount(t *testing.T) {
	for n, ok := range map[int]bool{maxTrainingInfos: true, maxTrainingInfos + 1: false} {
		_, err := read(t, join(testModel(), strings2(n, block(20))))
		if (err == nil) != ok {
			t.Errorf("%d: %v", n, err)
		}
	}
}

func TestTypes(t *testing.T) {
	tensor := func(kind uint64) []byte { return block(1, number(1, kind)) }
	for _, test := range []struct {
		name, want string
		data       []byte
	}{
		{"map", "map(int64,float32)", block(5, number(1, 7), block(2, tensor(1)))},
		{"sequence of sequences", "sequence(sequence(float16))", block(4, block(1, block(4, block(1, tensor(10)))))},
		{"sparse", "sparse(float64)", block(8, number(1, 11))},
		{"opaque", "unknown", block(7, str(2, "x"))},
		{"a type of tomorrow", "unknown", tensor(99)},
		{"the last of two", "int32", join(block(4), tensor(6))},
	} {
		m, err := read(t, testModel(block(11, str(1, "x"), block(2, test.data))))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Inputs[0].DType; got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	m, err := read(t, testModel(block(11, str(1, "x"), block(2, block(1, number(1, 1), block(2,
		block(1, number(1, math.MaxUint64)), block(1, str(2, "")), block(1, number(1, 3), str(2, "N")), block(1))))))) // oneof: the last counts
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(m.Inputs[0].Shape, " "); got != "? ? N ?" {
		t.Errorf("shape %s", got)
	}
}
