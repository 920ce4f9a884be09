package model

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"onnxruntime==1.20": "onnxruntime==1.20", "onnxruntime==1.20.1": "onnxruntime==1.20", "coreml==iOS18": "coreml==iOS18",
		"onnxruntime==1.2": "", "onnxruntime==1.200": "", "onnxruntime": "", "onnxruntime=1.20": "", "tensorrt==10.0": "", "": "",
	} {
		target, err := ParseTarget(text)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "onnxruntime==1.15|1.16") || !strings.Contains(err.Error(), "coreml==iOS13") {
				t.Errorf("%q: %v, %v; wanted an error that lists what is known", text, target, err)
			}
		} else if err != nil || target.String() != want {
			t.Errorf("%q: %v, %v; wanted %s", text, target, err, want)
		}
	}
}

func TestFit(t *testing.T) {
	onnx := func(version string, opset, ml int64) *Model {
		return &Model{Format: "onnx", FormatVersion: version, Opsets: map[string]int64{"": opset, "ai.onnx.ml": ml, "com.example": 99}}
	}
	for _, c := range []struct {
		target string
		model  *Model
		want   string
	}{
		{"onnxruntime==1.20", onnx("IR 10", 21, 5), ""},
		{"onnxruntime==1.20", onnx("IR 11", 21, 5), "CR-TARGET-VERSION"},
		{"onnxruntime==1.20", onnx("IR 10", 22, 5), "CR-TARGET-OPSET"},
		{"onnxruntime==1.17", onnx("IR 9", 20, 5), "CR-TARGET-OPSET"},
		{"onnxruntime==1.17", onnx("IR 10", 21, 5), "CR-TARGET-VERSION CR-TARGET-OPSET CR-TARGET-OPSET"},
		{"onnx==1.10", onnx("unknown: the file states no IR version", 15, 0), "CR-TARGET-UNKNOWN"},
		{"coreml==iOS16", &Model{Format: "coreml", FormatVersion: "specification 7, mlProgram"}, ""},
		{"coreml==iOS15", &Model{Format: "coreml", FormatVersion: "specification 7, mlProgram"}, "CR-TARGET-VERSION"},
		{"onnxruntime==1.32", &Model{Format: "tflite", FormatVersion: "schema 3"}, "CR-TARGET-FORMAT"},
	} {
		target, err := ParseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, f := range target.Fit(c.model) {
			ids = append(ids, f.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s, %s %v: %q, wanted %q", c.target, c.model.FormatVersion, c.model.Opsets, got, c.want)
		}
	}
}

// TestTargetsAreThePackages holds the rows of onnx and coreml against the
// tables in the packages.
func TestTargetsAreThePackages(t *testing.T) {
	python := "../../.cache/python/converters/bin/python"
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v; make tools installs it", err)
	}
	out, err := exec.Command(python, "-c", `
import ast, importlib.util, onnx.helper
for release, ir, opset, ml, *rest in onnx.helper.VERSION_TABLE:
    if release.count(".") == 2 and release.endswith(".0"):
        print("onnx==" + release[:-2], ir, opset, ml)
with open(importlib.util.find_spec("coremltools").origin) as source:  # importing it takes long
    for node in ast.parse(source.read()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id.startswith("_SPECIFICATION_VERSION_IOS_"):
            print("coreml==iOS" + node.targets[0].id.rpartition("_")[2], node.value.value, 0, 0)
`).Output()
	if err != nil {
		t.Fatal(err)
	}
	said := string(out)
	for _, target := range Targets {
		line := fmt.Sprintf("%s %d %d %d\n", target, target.FormatVersion, target.Opsets[""], target.Opsets["ai.onnx.ml"])
		if target.Name != "onnxruntime" && !strings.Contains("\n"+said, "\n"+line) {
			t.Errorf("the packages do not say %s", line)
		}
	}
	if lines := strings.Split(strings.TrimSpace(said), "\n"); len(lines) < 20 {
		t.Errorf("the packages said only %q", lines)
	}
}

// TestTargetsRefuse asks old versions of ONNX Runtime, and the oldest and the
// newest of the table: a model that is as new as a row says is taken, one that
// is newer is refused.
func TestTargetsRefuse(t *testing.T) {
	if os.Getenv("CONVRUN_FULL") == "" {
		t.Skip("set CONVRUN_FULL to install old versions of onnxruntime")
	}
	uv, err := filepath.Abs("../../.cache/uv/bin/uv")
	if err != nil {
		t.Fatal(err)
	}
	python, err := filepath.Abs("../../.cache/python/converters/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	for wheel, numpy := range map[string]string{"1.15.1": "1.26.4", "1.17.3": "1.26.4", "1.20.1": "2.4.0", "1.32.0": "2.4.0"} {
		target, err := ParseTarget("onnxruntime==" + wheel)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if out, err := exec.Command(uv, "pip", "install", "-q", "--python", python, "--no-deps", "--target", filepath.Join(dir, "site"), "onnxruntime=="+wheel, "numpy=="+numpy).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		limits := []int64{target.FormatVersion, target.Opsets[""], target.Opsets["ai.onnx.ml"]}
		for _, c := range []struct {
			version [3]int64
			want    string
		}{
			{[3]int64(limits), "taken"},
			{[3]int64{limits[0] + 1, limits[1], limits[2]}, "refused"},
			{[3]int64{limits[0], limits[1] + 1, limits[2]}, "refused"},
			{[3]int64{limits[0], limits[1], limits[2] + 1}, "refused"},
		} {
			file := filepath.Join(dir, "m.onnx")
			made := exec.Command(python, "-c", fmt.Sprintf(`
from onnx import helper as h, TensorProto as T, save
v = h.make_tensor_value_info
g = h.make_graph([h.make_node("Relu", ["x"], ["y"])], "g", [v("x", T.FLOAT, [1])], [v("y", T.FLOAT, [1])])
save(h.make_model(g, ir_version=%d, opset_imports=[h.make_opsetid("", %d), h.make_opsetid("ai.onnx.ml", %d)]), %q)`, c.version[0], c.version[1], c.version[2], file))
			if out, err := made.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			out, err := exec.Command(python, "-S", "-c", fmt.Sprintf(`
import sys
sys.path.insert(0, %q)
import onnxruntime
onnxruntime.set_default_logger_severity(4)
assert onnxruntime.__version__ == %q
try:
    onnxruntime.InferenceSession(%q, providers=["CPUExecutionProvider"])
    print("taken")
except Exception as error:
    assert "version" in str(error) or "opset" in str(error), error
    print("refused")`, filepath.Join(dir, "site"), wheel, file)).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
				t.Errorf("onnxruntime %s, versions %v: %s (%v), wanted %s", wheel, c.version, got, err, c.want)
			}
			m, err := Inspect(file)
			if err != nil {
				t.Fatal(err)
			}
			if fits := len(target.Fit(m)) == 0; fits != (c.want == "taken") {
				t.Errorf("onnxruntime %s, versions %v: convrun says fits: %v, ONNX Runtime: %s", wheel, c.version, fits, c.want)
			}
		}
	}
}

func TestTargetsAreSorted(t *testing.T) {
	names := map[string]bool{}
	for i, target := range Targets {
		if names[target.Name] && Targets[i-1].Name != target.Name {
			t.Errorf("%s stands apart from the others of its name", target)
		}
		names[target.Name] = true
		if !slices.ContainsFunc(Formats, func(f Format) bool { return f.Name == target.Format }) {
			t.Errorf("%s reads %s, which is no format", target, target.Format)
		}
	}
}
