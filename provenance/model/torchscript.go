package model

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of the code in a TorchScript file.
const (
	maxScriptCode = 64 << 20 // bytes
	maxCallDepth  = 10_000   // calls and lists within each other
	maxArguments  = 1 << 20  // calls and their arguments of one function
)

// inspectTorchScript reads what torch.jit.save wrote,
// torch/csrc/jit/docs/serialization.md: code as text, attributes as a pickle.
func inspectTorchScript(path string, format Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := newModel(format.Name, filepath.Base(path))
	return m, m.torchScript(file, size)
}

func (m *Model) torchScript(file io.ReaderAt, size int64) error {
	a, err := openArchive(file, size, m.Main)
	if err != nil {
		return err
	}
	version, err := a.text("version")
	if err != nil {
		return err
	}
	m.FormatVersion = "file format " + shown(version)
	if version == "" {
		m.FormatVersion = "unknown: the file states no version"
	}
	m.Producer = "unknown: the format states no version of torch"
	s := &script{checkpoint: newCheckpoint(m), objects: map[string][]scriptObject{}}
	s.script = s
	root, err := s.attributes(a)
	if err != nil {
		return err
	}
	if err := s.code(a, root.callee()); err != nil {
		return err
	}
	m.misplaced(s.problems)
	s.verdicts()
	s.pickleFindings()
	s.close()
	return nil
}

// attributes reads the two pickles of a file: the module, which it returns, and
// the constants of its code.
func (s *script) attributes(a *archive) (*thing, error) {
	var module *thing
	for _, part := range []string{"data", "constants"} {
		if part == "constants" && a.entries["constants.pkl"] == nil {
			continue
		}
		root, err := a.pickle(part+".pkl", s.checkpoint)
		if err != nil {
			return nil, err
		}
		s.storages, s.counted = map[string]storedStorage{}, map[string]bool{}
		s.sizeOf = func(key string) int64 {
			if f := a.entries[part+"/"+key]; f != nil {
				return int64(min(f.UncompressedSize64, 1<<62))
			}
			return -1
		}
		s.walk(root, visit{})
		if part == "data" {
			module = root
		}
	}
	return module, nil
}

// script is what is found in a TorchScript file.
type script struct {
	*checkpoint
	// objects are the module's objects by class.
	objects map[string][]scriptObject
	calls   int // that were looked at
}

type scriptObject struct {
	path     string
	training *thing
}

// object notes an object of the module.
func (s *script) object(t *thing, at visit) {
	if class := t.callee(); class != "" {
		s.objects[class] = append(s.objects[class], scriptObject{at.String(), t.get("training")})
	}
}

// code reads the code of all classes and functions; class is the module's.
func (s *script) code(a *archive, class string) error {
	total := int64(0)
	for _, name := range a.order {
		if !strings.HasPrefix(name, "code/") || !strings.HasSuffix(name, ".py") {
			continue
		}
		r, size, err := a.entry(name)
		if err != nil {
			return err
		}
		if total += size; total > maxScriptCode {
			return fmt.Errorf("%s: expected at most %d bytes of code, found more", a.name, maxScriptCode)
		}
		text := make([]byte, size)
		if _, err := r.ReadAt(text, 0); err != nil && err != io.EOF {
			return fmt.Errorf("%s: entry %s: %w", a.name, quote(name), err)
		}
		module := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(name, "code/"), ".py"), "/", ".")
		readScript(string(text), func(f *scriptFunction) {
			if f.class != "" {
				f.class = module + "." + f.class
			}
			f.module = module
			s.function(f)
			if f.class == class && f.name == "forward" {
				s.Inputs, s.Outputs = f.inputs(), f.outputs()
			}
		})
	}
	return nil
}

// scriptFunction is one function or method of the code.
type scriptFunction struct {
	module, class, name string
	signature           string
	calls               []scriptCall
	// modes are variables that hold self.training, literals those that are set
	// to True or False.
	modes, literals map[string]bool
	// size counts calls and arguments; what is past the limits was cut off.
	size int
	cut  bool
}

type scriptCall struct {
	callee    string
	arguments []string
}

// readScript splits code into its functions. The serializer writes a statement
// on each line, and a signature on several.
func readScript(text string, visit func(*scriptFunction)) {
	class := ""
	var f *scriptFunction
	var aliases map[string]string
	inSignature := false
	finish := func() {
		if f != nil {
			visit(f)
		}
		f = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		statement := strings.TrimLeft(line, " ")
		indent := len(line) - len(statement)
		switch {
		case inSignature:
			f.signature += statement
			inSignature = !strings.HasSuffix(statement, ":") && len(f.signature) < maxString
		case indent == 0 && strings.HasPrefix(statement, "class "):
			finish()
			class, _, _ = strings.Cut(strings.TrimPrefix(statement, "class "), "(")
		case indent <= 2 && strings.HasPrefix(statement, "def "):
			finish()
			if indent == 0 {
				class = ""
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(statement, "def "), "(")
			f = &scriptFunction{class: class, name: name, signature: statement, modes: map[string]bool{}, literals: map[string]bool{}}
			aliases = map[string]string{}
			inSignature = !strings.HasSuffix(statement, ":")
		case f != nil:
			f.statement(statement, aliases)
		}
	}
	finish()
}

// statement reads one line of a function's body.
func (f *scriptFunction) statement(text string, aliases map[string]string) {
	if target, value, ok := strings.Cut(text, " = "); ok {
		switch {
		case value == "self.training":
			f.modes[target] = true
		case value == "True" || value == "False":
			f.literals[target] = true
		case strings.HasPrefix(value, "__torch__.") && !strings.ContainsAny(value, "( "):
			aliases[target] = value
		}
	}
	calls, whole := callsIn(text, maxArguments-f.size)
	f.cut = f.cut || !whole
	for _, call := range calls {
		f.size += 1 + len(call.arguments)
		if full := aliases[call.callee]; full != "" {
			call.callee = full
		}
		f.calls = append(f.calls, call)
	}
}

// callsIn lists the calls within a statement, by what stands before each pair
// of parentheses. It is not whole when there are more of them and of their
// arguments than left, or when they are within each other too deep.
func callsIn(text string, left int) (calls []scriptCall, whole bool) {
	type opening struct {
		callee    string
		start     int
		arguments []string
		called    bool
	}
	var open []opening
	argument := func(end int) {
		top := &open[len(open)-1]
		if s := strings.TrimSpace(text[top.start:end]); s != "" && top.called {
			top.arguments = append(top.arguments, s)
			left--
		}
		top.start = end + 1
	}
	for i := 0; i < len(text); i++ {
		if len(open) > maxCallDepth || left < 0 {
			return calls, false
		}
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '(', '[':
			from := i
			for from > 0 && isNameByte(text[from-1]) {
				from--
			}
			open = append(open, opening{callee: text[from:i], start: i + 1, called: text[i] == '(' && from < i})
		case ',':
			if len(open) > 0 {
				argument(i)
			}
		case ')', ']':
			if len(open) == 0 {
				continue
			}
			argument(i)
			top := open[len(open)-1]
			open = open[:len(open)-1]
			if top.called {
				calls = append(calls, scriptCall{top.callee, top.arguments})
				left--
			}
		}
	}
	return calls, left >= 0
}

func isNameByte(c byte) bool {
	return c == '.' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// inputs are a method's parameters but the first, the object. Types of tensors are not
// stated.
func (f *scriptFunction) inputs() []Value {
	values := []Value{}
	parameters, _, _ := strings.Cut(f.signature, ") -> ")
	_, parameters, _ = strings.Cut(parameters, "(")
	for i, parameter := range splitTypes(parameters) {
		if i > 0 {
			name, _, _ := strings.Cut(parameter, ":")
			values = append(values, Value{Name: clip(name), DType: "unknown"})
		}
	}
	return values
}

// outputs are what the function returns, a tuple's elements one by one. They
// have no names.
func (f *scriptFunction) outputs() []Value {
	_, returns, _ := strings.Cut(f.signature, ") -> ")
	returns = strings.TrimSuffix(returns, ":")
	types := []string{returns}
	if inner, ok := strings.CutPrefix(returns, "Tuple["); ok {
		types = splitTypes(strings.TrimSuffix(inner, "]"))
	}
	values := []Value{}
	for i := range types {
		values = append(values, Value{Name: fmt.Sprint(i), DType: "unknown"})
	}
	return values
}

// splitTypes splits at the commas that are in no brackets.
func splitTypes(text string) (parts []string) {
	depth, start := 0, 0
	for i := range len(text) + 1 {
		switch {
		case i == len(text) || text[i] == ',' && depth == 0:
			if part := strings.TrimSpace(text[start:i]); part != "" {
				parts = append(parts, part)
			}
			start = i + 1
		case text[i] == '[' || text[i] == '(':
			depth++
		case text[i] == ']' || text[i] == ')':
			depth--
		}
	}
	return parts
}

// lastName is what a dotted name ends with.
func lastName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// isFunctional tells whether a function is one of torch.nn.functional's that is
// itself looked at where it is called.
func (f *scriptFunction) isFunctional() bool {
	if f.class != "" || f.module != "__torch__.torch.nn.functional" && !strings.HasPrefix(f.module, "__torch__.torch.nn.functional.") {
		return false
	}
	return dropoutCalls[f.name] || batchNormCalls[f.name]
}

// mayBe tells whether a call is of torch's own operators, or of its functions
// in Python.
func (c *scriptCall) mayBe() bool {
	return strings.HasPrefix(c.callee, "torch.") || strings.HasPrefix(c.callee, "__torch__.torch.nn.functional.")
}

func isLiteral(s string) bool { return s == "True" || s == "False" }

func (c *scriptCall) argument(i int) string {
	if i < 0 || i >= len(c.arguments) {
		return ""
	}
	return c.arguments[i]
}

// describe names a call for people.
func (c *scriptCall) describe(f *scriptFunction) string {
	where := f.name
	if f.class != "" {
		where = lastName(f.class) + "." + f.name
	}
	return fmt.Sprintf("%s in %s", shown(strings.TrimPrefix(c.callee, "__torch__.")), shown(where))
}

func containsZero(list string) bool {
	inner, ok := strings.CutPrefix(list, "[")
	return ok && slices.Contains(strings.FieldsFunc(strings.TrimSuffix(inner, "]"), func(r rune) bool { return r == ',' || r == ' ' }), "0")
}
