package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/convrun/convrun/provenance"
)

// named lists the functions that were called.
func named(calls []provenance.Call) (functions []string) {
	for _, call := range calls {
		functions = append(functions, call.Function)
	}
	return functions
}

// Functions that a project and a user add are observed together, beside what
// convrun observes by itself, and change nothing of the conversion.
func TestFunctionsOfOnesOwnAreObserved(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "torch", "convert_own.py", "convert_torch_net.py")
	command := []string{"-c", "import convert_own; convert_own.Exporter.convert(convert_own.prepare(seed=3), path='net.onnx')"}
	_, bytes := w.bare(command...)
	must(t, os.WriteFile(filepath.Join(w.repo, projectConfig), []byte(`
observe = [{ function = "convert_own:Exporter.convert", model = "net", writes = ["path"] }, "convert_own:missing"]
`), 0o644))
	must(t, os.MkdirAll(w.path("home", "config", "convrun"), 0o755))
	must(t, os.WriteFile(w.path("home", "config", "convrun", userConfig), []byte(`observe = ["convert_own:prepare"]`), 0o644))
	w.convert(0, command...)

	w.equal("model that a bare run makes", w.sum("net.onnx"), bytes["net.onnx"])
	st := w.log("net.onnx")
	calls := st.Predicate.Converter.Calls
	w.equal("calls", named(calls), []string{"convert_own.prepare", "convert_own.Exporter.convert", "torch.onnx.export"})
	w.equal("converter", st.Predicate.Converter.Name, "torch.onnx.export")
	w.equal("given to prepare", asJSON(t, []any{calls[0].Given, calls[0].Arguments}), `[["seed"],{"seed":3}]`)
	w.equal("given to convert", asJSON(t, []any{calls[1].Given, calls[1].Arguments}),
		`[["cls","net","path"],{"cls":{"callable":"convert_own.Exporter"},"net":{"class":"convert_torch_net.Net"},"path":"net.onnx"}]`)
	w.equal("model of convert", asJSON(t, calls[1].Model), asJSON(t, calls[2].Model))
	w.contains("show", w.convrun(0, "show", "net.onnx").stdout, "convert_own:missing was not observed: the module convert_own, which was imported, has no such function")

	w.convert(0, append([]string{"--observe", "off", "--"}, command...)...)
	st = w.log("net.onnx")
	w.equal("calls with --observe off", named(st.Predicate.Converter.Calls), []string(nil))
	w.equal("observer", st.Predicate.Capture.Observer, "none: switched off")
}
