package model

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// inspectPT2 reads what torch.export.save wrote: a zip file with one JSON text
// a program, torch/_export/serde/schema.py.
func inspectPT2(path string, format Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := newModel(format.Name, filepath.Base(path))
	return m, m.pt2(file, size)
}

// pt2Program is an exported program.
type pt2Program struct {
	name           string
	version, torch string
	opsets         map[string]int64
	graph          *pt2Graph
	inputs         []pt2Spec
	outputs        []pt2Spec
}

// pt2Spec is one of a program's inputs or outputs: kind is the key of the
// union, such as "user_input" or "buffer_mutation", of what it is about.
type pt2Spec struct{ kind, name, of string }

type pt2Graph struct {
	inputs, outputs []string
	nodes           []pt2Node
	tensors         map[string]pt2Tensor
}

type pt2Tensor struct {
	kind  int64
	shape []string
}

type pt2Node struct {
	target, name string
	arguments    []pt2Argument
	outputs      []string
}

// pt2Argument is a named argument: kind is the key of the union, such as
// "as_bool".
type pt2Argument struct {
	name, kind string
	names      []string // of the values that it refers to
	ints       []int64
	number     float64
	on         bool
	graph      *pt2Graph
}

// Limits of a program.
const (
	maxPT2Ints     = 1 << 12 // of an argument
	maxPT2Programs = 64
	pt2Cost        = 256 // bytes of a node or an argument, roughly
)

// pt2Types are torch's element types by their number in ScalarType of the
// schema.
var pt2Types = map[int64]string{
	1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 9: "complex32",
	10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2",
	31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}

func (m *Model) pt2(file io.ReaderAt, size int64) error {
	a, err := openArchive(file, size, m.Main)
	if err != nil {
		return err
	}
	var programs []*pt2Program
	for _, inner := range slices.Sorted(slices.Values(a.order)) {
		name, ok := strings.CutPrefix(inner, "models/")
		if !ok || !strings.HasSuffix(name, ".json") || strings.Contains(name, "/") {
			continue
		}
		if len(programs) == maxPT2Programs {
			return fmt.Errorf("%s: expected at most %d programs, found more", m.Main, maxPT2Programs)
		}
		p, err := a.program(inner)
		if err != nil {
			return err
		}
		p.name = strings.TrimSuffix(name, ".json")
		programs = append(programs, p)
	}
	if len(programs) == 0 {
		return fmt.Errorf("%s: expected a program models/NAME.json, as torch 2.8 and later write it, found none", m.Main)
	}
	m.pt2Facts(programs)
	if err := m.pt2Weights(a); err != nil {
		return err
	}
	m.pt2Verdicts(programs)
	return nil
}

func (m *Model) pt2Facts(programs []*pt2Program) {
	first := programs[0]
	m.FormatVersion = "schema " + first.version
	if first.version == "" {
		m.FormatVersion = "unknown: the file states no version of its schema"
	}
	m.Producer = producer("torch", first.torch)
	m.Opsets = first.opsets
	value := func(s pt2Spec) Value {
		t, ok := first.graph.tensors[s.name]
		v := Value{Name: clip(s.name), DType: "unknown"}
		if ok {
			v.Shape = t.shape
			v.DType = cmp.Or(pt2Types[t.kind], "unknown")
		}
		return v
	}
	for _, s := range first.inputs {
		if s.kind == "user_input" {
			m.Inputs = append(m.Inputs, value(s))
		}
	}
	for _, s := range first.outputs {
		if s.kind == "user_output" {
			m.Outputs = append(m.Outputs, value(s))
		}
	}
	for _, p := range programs {
		p.graph.each(func(n *pt2Node) { m.Operators[shown(n.target)]++ })
	}
}

// each visits all nodes, those of graphs within arguments included.
func (g *pt2Graph) each(visit func(*pt2Node)) {
	for i := range g.nodes {
		visit(&g.nodes[i])
		for j := range g.nodes[i].arguments {
			if inner := g.nodes[i].arguments[j].graph; inner != nil {
				inner.each(visit)
			}
		}
	}
}

// program reads one program.
func (a *archive) program(inner string) (*pt2Program, error) {
	r, size, err := a.entry(inner)
	if err != nil {
		return nil, err
	}
	j := newJSON(r, span{0, size}, a.name+": "+inner)
	p := &pt2Program{opsets: map[string]int64{}}
	err = j.object(func(key string) error {
		switch key {
		case "graph_module":
			return j.object(func(key string) error {
				switch key {
				case "graph":
					p.graph, err = j.pt2Graph()
					return err
				case "signature":
					return j.pt2Signature(p)
				}
				return j.skip()
			})
		case "schema_version":
			var numbers [2]int64
			err := j.object(func(key string) error {
				if key == "major" {
					return j.integer(&numbers[0])
				}
				return j.integer(&numbers[1])
			})
			p.version = fmt.Sprintf("%d.%d", numbers[0], numbers[1])
			return err
		case "opset_version":
			return j.object(func(key string) error {
				var version int64
				err := j.integer(&version)
				p.opsets[key] = version
				return err
			})
		case "torch_version":
			err := j.string(&p.torch)
			p.torch = clip(p.torch)
			return err
		}
		return j.skip()
	})
	if err == nil && p.graph == nil {
		err = j.malformed("a graph", "none")
	}
	return p, errorOr(err, j.end())
}

func (j *jsonReader) pt2Signature(p *pt2Program) error {
	return j.object(func(key string) error {
		switch key {
		case "input_specs":
			return j.pt2Specs(&p.inputs)
		case "output_specs":
			return j.pt2Specs(&p.outputs)
		}
		return j.skip()
	})
}

func (j *jsonReader) pt2Specs(into *[]pt2Spec) error {
	return j.array(func() error {
		return j.object(func(kind string) error {
			s := pt2Spec{kind: kind}
			*into = append(*into, pt2Spec{})
			at := len(*into) - 1
			err := j.object(func(key string) error {
				var names []string
				switch {
				case key == "arg":
					if err := j.namesIn(&names); err != nil {
						return err
					}
					s.name = strings.Join(names[:min(1, len(names))], "")
					return nil
				case strings.HasSuffix(key, "_name"):
					return j.string(&s.of)
				}
				return j.skip()
			})
			(*into)[at] = s
			return errorOr(err, j.keep(pt2Cost))
		})
	})
}

// namesIn collects what is under "name" or "as_name" within a value.
func (j *jsonReader) namesIn(into *[]string) error {
	token, err := j.token()
	if err != nil {
		return err
	}
	return j.namesAt(token, false, into)
}

// namesAt goes on behind the first token of a value; named tells whether the
// value stands under one of those keys.
func (j *jsonReader) namesAt(token json.Token, named bool, into *[]string) error {
	switch t := token.(type) {
	case string:
		if named {
			*into = append(*into, t)
			return j.keep(int64(len(t) + 32))
		}
	case json.Delim:
		if j.depth++; j.depth > maxJSONDepth {
			return j.malformed(fmt.Sprintf("at most %d values within each other", maxJSONDepth), "more")
		}
		for j.decoder.More() {
			next, err := j.token()
			if err != nil {
				return err
			}
			inner := named
			if t == '{' {
				inner = next == "name" || next == "as_name"
				if next, err = j.token(); err != nil {
					return err
				}
			}
			if err := j.namesAt(next, inner, into); err != nil {
				return err
			}
		}
		return j.close()
	}
	return nil
}

func (j *jsonReader) pt2Graph() (*pt2Graph, error) {
	g := &pt2Graph{tensors: map[string]pt2Tensor{}}
	err := j.object(func(key string) error {
		switch key {
		case "inputs":
			return j.namesIn(&g.inputs)
		case "outputs":
			return j.namesIn(&g.outputs)
		case "nodes":
			return j.array(func() error {
				var n pt2Node
				err := j.pt2Node(&n)
				g.nodes = append(g.nodes, n)
				return errorOr(err, j.keep(pt2Cost))
			})
		case "tensor_values":
			return j.object(func(name string) error {
				t, err := j.pt2Tensor()
				g.tensors[name] = t
				return errorOr(err, j.keep(pt2Cost+int64(len(name))))
			})
		}
		return j.skip()
	})
	return g, err
}

func (j *jsonReader) pt2Tensor() (t pt2Tensor, err error) {
	t.shape = []string{}
	err = j.object(func(key string) error {
		switch key {
		case "dtype":
			return j.integer(&t.kind)
		case "sizes":
			return j.array(func() error {
				if len(t.shape) == maxDims {
					return j.malformed(fmt.Sprintf("at most %d dimensions", maxDims), "more")
				}
				d, err := j.pt2Dimension()
				t.shape = append(t.shape, d)
				return errorOr(err, j.keep(int64(len(d)+16)))
			})
		}
		return j.skip()
	})
	return t, err
}

// symbols are the parts of a SymPy expression that stand for a name or for a
// number; expressions are stored as sympy.srepr has them.
var symbols = regexp.MustCompile(`Symbol\('(\w+)'[^()]*\)|Integer\((-?\d+)\)`)

// pt2Dimension is a number, or the expression that stands for it.
func (j *jsonReader) pt2Dimension() (d string, err error) {
	d = "?"
	err = j.object(func(key string) error {
		switch key {
		case "as_int":
			var n int64
			err := j.integer(&n)
			d = strconv.FormatInt(n, 10)
			return err
		case "as_expr":
			return j.object(func(key string) error {
				if key != "expr_str" {
					return j.skip()
				}
				err := j.string(&d)
				d = clip(symbols.ReplaceAllString(d, "$1$2"))
				return err
			})
		}
		return j.skip()
	})
	return d, err
}

func (j *jsonReader) pt2Node(n *pt2Node) error {
	return j.object(func(key string) error {
		switch key {
		case "target":
			return j.string(&n.target)
		case "inputs":
			return j.array(func() error {
				var a pt2Argument
				err := j.pt2Argument(&a)
				n.arguments = append(n.arguments, a)
				return errorOr(err, j.keep(pt2Cost))
			})
		case "outputs":
			return j.namesIn(&n.outputs)
		case "name":
			token, err := j.token()
			if err != nil {
				return err
			}
			if s, ok := token.(string); ok { // or null
				n.name = s
			}
			return j.rest(token)
		}
		return j.skip()
	})
}

func (j *jsonReader) pt2Argument(a *pt2Argument) error {
	return j.object(func(key string) error {
		switch key {
		case "name":
			return j.string(&a.name)
		case "arg":
			return j.object(func(kind string) error {
				a.kind = kind
				return j.pt2Value(a)
			})
		}
		return j.skip()
	})
}

// pt2Value reads the value of an argument, by the kind that it has.
func (j *jsonReader) pt2Value(a *pt2Argument) (err error) {
	switch a.kind {
	case "as_ints":
		return errorOr(j.integers(maxPT2Ints, &a.ints), j.keep(int64(8*len(a.ints))))
	case "as_int", "as_float", "as_bool":
		token, err := j.token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case json.Number:
			a.number, _ = t.Float64()
			if n, err := t.Int64(); err == nil {
				a.ints = []int64{n}
			}
		case bool:
			a.on = t
		}
		return j.rest(token)
	case "as_graph":
		return j.object(func(key string) error {
			if key == "graph" {
				a.graph, err = j.pt2Graph()
				return err
			}
			return j.skip()
		})
	case "as_string", "as_strings", "as_operator", "as_none":
		return j.skip()
	}
	return j.namesIn(&a.names)
}

// pt2Weights counts the parameters and holds the configuration of weights and
// constants against the entries of the archive.
func (m *Model) pt2Weights(a *archive) error {
	m.Parameters = 0
	var problems []string
	counted := map[string]bool{}
	for _, inner := range slices.Sorted(maps.Keys(a.entries)) {
		folder, file := filepath.Split(inner)
		if folder != "data/weights/" && folder != "data/constants/" || !strings.HasSuffix(file, "_config.json") {
			continue
		}
		stored, err := a.pt2Config(inner)
		if err != nil {
			return err
		}
		for _, w := range stored {
			elements, ok := w.elements()
			if !ok {
				m.uncounted()
			}
			fits := m.Parameters < 0 || counted[folder+w.path] || m.count(cmp.Or(pt2Types[w.tensor.kind], "unknown"), elements)
			counted[folder+w.path] = true
			if !fits {
				return fmt.Errorf("%s: expected at most 2^53 parameters, found more", m.Main)
			}
			if problem := w.against(a, folder, elements, ok); problem != "" && len(problems) < maxProblems {
				problems = append(problems, problem)
			}
		}
	}
	m.misplaced(problems)
	return nil
}

// pt2Stored is a tensor in an entry of its own.
type pt2Stored struct {
	name, path string
	pickled    bool
	tensor     pt2Tensor
}

func (a *archive) pt2Config(inner string) (stored []pt2Stored, err error) {
	r, size, err := a.entry(inner)
	if err != nil {
		return nil, err
	}
	j := newJSON(r, span{0, size}, a.name+": "+inner)
	err = j.object(func(key string) error {
		if key != "config" {
			return j.skip()
		}
		return j.object(func(name string) error {
			w := pt2Stored{name: name}
			err := j.object(func(key string) error {
				switch key {
				case "path_name":
					return j.string(&w.path)
				case "use_pickle":
					token, err := j.token()
					w.pickled = token == true
					return errorOr(err, j.rest(token))
				case "tensor_meta":
					w.tensor, err = j.pt2Tensor()
					return err
				}
				return j.skip()
			})
			stored = append(stored, w)
			return errorOr(err, j.keep(pt2Cost))
		})
	})
	return stored, errorOr(err, j.end())
}

func (w *pt2Stored) elements() (int64, bool) {
	shape := make([]int64, len(w.tensor.shape))
	for i, d := range w.tensor.shape {
		n, err := strconv.ParseInt(d, 10, 64)
		if err != nil {
			return 0, false
		}
		shape[i] = n
	}
	return product(shape)
}

// against says what is wrong with the entry that a tensor is stored in. A
// pickled one is a tensor of a kind of its own.
func (w *pt2Stored) against(a *archive, folder string, elements int64, ok bool) string {
	f := a.entries[folder+w.path]
	need := packed(elements, torchBits[pt2Types[w.tensor.kind]])
	switch {
	case f == nil:
		return fmt.Sprintf("tensor %s: entry %s is missing", quote(w.name), quote(w.path))
	case !ok:
		return fmt.Sprintf("tensor %s has no shape that can be counted", quote(w.name))
	case !w.pickled && need >= 0 && f.UncompressedSize64 < uint64(need):
		return fmt.Sprintf("tensor %s has %d bytes, its type and shape need %d", quote(w.name), f.UncompressedSize64, need)
	}
	return ""
}
