package python

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Function is a Python function that a user wants observed besides those that
// the observer knows.
type Function struct {
	// Module is the module that holds it, as in an import statement.
	Module string
	// Path leads to it in the module: "convert", or "Exporter.convert".
	Path string
	// Model is the parameter that holds the model object, or empty.
	Model string
	// Reads and Writes are parameters that name files.
	Reads, Writes []string
}

// String is the form that ParseFunction reads.
func (f Function) String() string { return f.Module + ":" + f.Path }

// identifier is a name in Python (Language Reference, section 2.3), and dotted
// are several. Few runs need them, and they are large.
var (
	identifier = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\pL_][\pL\pN_]*$`) })
	dotted     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\pL_][\pL\pN_]*(\.[\pL_][\pL\pN_]*)*$`) })
)

// ParseFunction reads "module:function", where function may be a method of a
// class, "mypackage.export:Exporter.convert".
func ParseFunction(text string) (Function, error) {
	module, path, _ := strings.Cut(text, ":")
	f := Function{Module: module, Path: path}
	if !dotted().MatchString(module) || !dotted().MatchString(path) {
		return f, fmt.Errorf("function %q: expected MODULE:FUNCTION, for example mypackage.export:convert or mypackage.export:Exporter.convert", text)
	}
	if module == "__main__" {
		return f, fmt.Errorf("function %q: a script that is run itself cannot be observed, expected a module that it imports", text)
	}
	return f, nil
}

// Check tells what is wrong with the names of parameters.
func (f Function) Check() error {
	names := append(append([]string{}, f.Reads...), f.Writes...)
	if f.Model != "" {
		names = append(names, f.Model)
	}
	for _, name := range names {
		if !identifier().MatchString(name) {
			return fmt.Errorf("function %s: %q is no name of a parameter", f, name)
		}
	}
	return nil
}

// list is what sitecustomize.py reads of the functions.
func list(functions []Function) []byte {
	var text strings.Builder
	for _, f := range functions {
		fmt.Fprintf(&text, "%s\t%s\t%s\t%s\t%s\n", f.Module, f.Path, f.Model, strings.Join(f.Reads, " "), strings.Join(f.Writes, " "))
	}
	return []byte(text.String())
}
