package model

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// inspectOpenVINO reads OpenVINO's intermediate representation, an .xml with
// the graph and a .bin of the same name with the constants,
// https://docs.openvino.ai/2026/documentation/openvino-ir-format.html. Of the
// .bin only small constants are read, such as axes.
func inspectOpenVINO(path string, _ Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readOpenVINO(file, size, filepath.Base(path), root)
}

// openVINO is what is kept of a file.
type openVINO struct {
	*xmlReader
	version int64
	body    irBody
	runtime string // the version of the library that wrote the file
	// weights is the .bin, nil when there is none that can be read.
	weights     io.ReaderAt
	weightsSize int64
	constants   []*irLayer
}

// irBody is a graph: the file's, or one within a layer.
type irBody struct {
	layers []*irLayer
	// from gives for an input port the output port that feeds it.
	from map[irPlace]irPlace
}

// irPlace is a port of a layer.
type irPlace struct{ layer, port int64 }

type irLayer struct {
	id                  int64
	name, kind, version string
	outputNames         []string // of a Result
	data                map[string]string
	inputs, outputs     []irPort
	// bodies are what the layer runs, by the element that holds them.
	bodies map[string]*irBody
	maps   map[string]*irPortMap
	// back gives for a body's results the parameters of its next round.
	back []irPlace

	// Of a constant:
	bytes    span // in the .bin
	shape    []int64
	elements int64
	ints     []int64
	float    float64 // NaN unless it is one number
}

type irPort struct {
	id        int64
	precision string
	dims      []int64 // none when there are none or they are not known
	names     []string
}

type irPortMap struct{ inputs, outputs []irBinding }

// irBinding ties a port of a layer to a layer within its body.
type irBinding struct {
	port, layer int64
	purpose     string
}

// The versions of the format that are read: 10 since 2020, 11 since 2022.1.
// Those before have other layers.
const oldestIR, newestIR = 10, 11

func readOpenVINO(file io.ReaderAt, size int64, name string, root *os.Root) (*Model, error) {
	n := &openVINO{xmlReader: newXML(file, size, name)}
	m := newModel("openvino", name)
	if err := n.net(); err != nil {
		return nil, err
	}
	m.FormatVersion = "IR " + strconv.FormatInt(n.version, 10)
	m.Producer = producer("", "")
	if n.runtime != "" {
		m.Producer = producer("openvino", n.runtime)
	}
	weights, err := n.openWeights(m, root)
	if err != nil {
		return nil, err
	}
	if weights != nil {
		defer weights.Close()
		n.weights = weights
		if err := n.readConstants(); err != nil {
			return nil, err
		}
	}
	if err := n.count(&n.body, m); err != nil {
		return nil, err
	}
	n.entry(m)
	n.checkLayout(m)
	l := newLedger(m)
	l.openVINO(n)
	l.close()
	return m, nil
}

// net reads the root element.
func (n *openVINO) net() error {
	root, err := n.root()
	if err != nil {
		return err
	}
	if root.name != "net" {
		return n.wrong(`"net"`, quote(root.name))
	}
	if n.version, err = root.integer("version"); err != nil {
		return err
	}
	if n.version < oldestIR || n.version > newestIR {
		return n.wrong(fmt.Sprintf("version %d or %d of the format", oldestIR, newestIR), fmt.Sprint(n.version))
	}
	visit := n.graph(&n.body)
	visit["rt_info"], visit["meta_data"] = n.info, n.info
	if err := root.once(visit); err != nil {
		return err
	}
	if len(n.body.layers) == 0 {
		return n.wrong("a layer", "none")
	}
	return nil
}

// graph gives what reads the elements of a graph into b.
func (n *openVINO) graph(b *irBody) map[string]func(*xmlElement) error {
	b.from = map[irPlace]irPlace{}
	return map[string]func(*xmlElement) error{
		"layers": func(e *xmlElement) error {
			seen := map[int64]bool{}
			return e.each("layer", func(e *xmlElement) error {
				l, err := n.layer(e)
				if err != nil {
					return err
				}
				if seen[l.id] {
					return n.wrong("each layer's number once", fmt.Sprintf("%d twice", l.id))
				}
				seen[l.id] = true
				b.layers = append(b.layers, l)
				return nil
			})
		},
		"edges": func(e *xmlElement) error {
			return e.each("edge", func(e *xmlElement) error {
				v, err := e.integers("from-layer", "from-port", "to-layer", "to-port")
				if err != nil {
					return err
				}
				to := irPlace{v[2], v[3]}
				if _, twice := b.from[to]; twice {
					return n.wrong("one edge into a port", fmt.Sprintf("two into port %d of layer %d", v[3], v[2]))
				}
				b.from[to] = irPlace{v[0], v[1]}
				if err := n.keep(n.decoder.InputOffset(), valueCost); err != nil {
					return err
				}
				return e.skip()
			})
		},
	}
}

// irData are the settings of layers that a rule or a fact asks for.
var irData = []string{"element_type", "shape", "keep_dims", "variable_id", "normalize_variance", "across_channels", "reduction_axes"}

func (n *openVINO) layer(e *xmlElement) (l *irLayer, err error) {
	l = &irLayer{
		name: e.attributes["name"], kind: e.attributes["type"], version: e.attributes["version"],
		outputNames: irNames(e.attributes["output_names"]), float: math.NaN(),
	}
	if l.id, err = e.integer("id"); err != nil {
		return nil, err
	}
	if l.kind == "" {
		return nil, n.wrong("a layer with a type", "none")
	}
	cost := 4*nodeCost + // that of judging it included
		int64(len(l.name)+len(l.kind)+len(l.version)+len(e.attributes["output_names"]))
	if err := n.keep(n.decoder.InputOffset(), cost); err != nil {
		return nil, err
	}
	visit := map[string]func(*xmlElement) error{
		"data":       func(e *xmlElement) error { return n.data(e, l) },
		"input":      func(e *xmlElement) error { return n.ports(e, &l.inputs) },
		"output":     func(e *xmlElement) error { return n.ports(e, &l.outputs) },
		"back_edges": func(e *xmlElement) error { return n.backEdges(e, l) },
	}
	for body, portMap := range openVINOBodies {
		visit[body] = func(e *xmlElement) error {
			l.bodies = with(l.bodies, body, &irBody{})
			return e.once(n.graph(l.bodies[body]))
		}
		visit[portMap] = func(e *xmlElement) error {
			l.maps = with(l.maps, body, &irPortMap{})
			return n.portMap(e, l.maps[body])
		}
	}
	return l, e.once(visit)
}

// with adds to a map, which most layers do without.
func with[V any](m map[string]V, key string, value V) map[string]V {
	if m == nil {
		m = map[string]V{}
	}
	m[key] = value
	return m
}

func (n *openVINO) data(e *xmlElement, l *irLayer) error {
	for _, name := range irData {
		if v, ok := e.attributes[name]; ok {
			l.data = with(l.data, name, v)
			if err := n.keep(n.decoder.InputOffset(), int64(len(v)+64)); err != nil {
				return err
			}
		}
	}
	if l.kind == "Const" {
		v, err := e.integers("offset", "size")
		if err != nil {
			return err
		}
		if v[0] < 0 || v[1] < 0 || v[0] > math.MaxInt64-v[1] {
			return n.wrong("a place in the weights", fmt.Sprintf("%d bytes at byte %d", v[1], v[0]))
		}
		l.bytes = span{v[0], v[0] + v[1]}
		shape, ok := l.fixedShape()
		if !ok {
			return n.wrong("the shape of a constant", quote(l.data["shape"]))
		}
		if l.elements, ok = product(shape); !ok {
			return n.wrong("at most 2^53 elements", "a shape of "+quote(l.data["shape"]))
		}
		l.shape = shape
		n.constants = append(n.constants, l)
	}
	return e.skip()
}

// dimensions are what a shape's text has between its commas, nil when not even
// their number is stated.
func (l *irLayer) dimensions() []string {
	text := strings.ReplaceAll(l.data["shape"], " ", "")
	switch text {
	case "...":
		return nil
	case "":
		return []string{}
	}
	dims := strings.Split(text, ",")
	for i, d := range dims {
		if d == "-1" {
			dims[i] = "?"
		}
	}
	return dims
}

func (l *irLayer) fixedShape() (shape []int64, ok bool) {
	for _, d := range l.dimensions() {
		n, err := strconv.ParseInt(d, 10, 64)
		if err != nil || n < 0 {
			return nil, false
		}
		shape = append(shape, n)
	}
	return shape, l.data["shape"] != "..."
}

func (n *openVINO) ports(e *xmlElement, into *[]irPort) error {
	return e.each("port", func(e *xmlElement) (err error) {
		p := irPort{precision: e.attributes["precision"], names: irNames(e.attributes["names"])}
		if p.id, err = e.integer("id"); err != nil {
			return err
		}
		err = e.children(func(e *xmlElement) error {
			if e.name != "dim" {
				return e.skip()
			}
			d, err := e.number()
			p.dims = append(p.dims, d)
			return err
		})
		if err != nil {
			return err
		}
		*into = append(*into, p)
		return n.keep(n.decoder.InputOffset(), int64(2*valueCost+16*len(p.dims)+len(e.attributes["names"])+16*len(p.names)))
	})
}

// irNames takes a list of names apart; a comma within a name has a backslash.
func irNames(list string) (names []string) {
	if list == "" {
		return nil
	}
	name := strings.Builder{}
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '\\' && i+1 < len(list) && list[i+1] == ',':
			i++
			name.WriteByte(',')
		case list[i] == ',':
			names = append(names, name.String())
			name.Reset()
		default:
			name.WriteByte(list[i])
		}
	}
	return append(names, name.String())
}

func (n *openVINO) portMap(e *xmlElement, into *irPortMap) error {
	return e.children(func(e *xmlElement) error {
		if e.name != "input" && e.name != "output" {
			return e.skip()
		}
		v, err := e.integers("external_port_id", "internal_layer_id")
		if err != nil {
			return err
		}
		binding := irBinding{v[0], v[1], e.attributes["purpose"]}
		if e.name == "input" {
			into.inputs = append(into.inputs, binding)
		} else {
			into.outputs = append(into.outputs, binding)
		}
		if err := n.keep(n.decoder.InputOffset(), valueCost); err != nil {
			return err
		}
		return e.skip()
	})
}

func (n *openVINO) backEdges(e *xmlElement, l *irLayer) error {
	return e.each("edge", func(e *xmlElement) error {
		v, err := e.integers("from-layer", "to-layer")
		if err != nil {
			return err
		}
		l.back = append(l.back, irPlace{v[0], v[1]})
		if err := n.keep(n.decoder.InputOffset(), valueCost); err != nil {
			return err
		}
		return e.skip()
	})
}

// info reads what the writer left about itself: rt_info, or meta_data as the
// Model Optimizer wrote it until 2021. Entries within each other are joined by
// dots.
func (n *openVINO) info(e *xmlElement) error { return n.infoWithin(e, "") }

func (n *openVINO) infoWithin(e *xmlElement, prefix string) error {
	return e.children(func(e *xmlElement) error {
		name := prefix + e.name
		value := e.attributes["value"]
		if of, ok := e.attributes["name"]; ok && e.name == "info" {
			name = prefix + of
		}
		if name == "Runtime_version" || n.runtime == "" && (name == "MO_version" || name == "OpenVINO Runtime") {
			n.runtime = value
		}
		return n.infoWithin(e, name+".")
	})
}

// openWeights opens the .bin, which is a part of the model; nil is returned when
// there is none that can be read. The .xml does not say where it lies: it has
// the same name.
func (n *openVINO) openWeights(m *Model, root *os.Root) (*os.File, error) {
	name := strings.TrimSuffix(m.Main, filepath.Ext(m.Main)) + ".bin"
	part := statPart(root, name)
	if part.Problem == missingFile && n.needed() == 0 {
		return nil, nil
	}
	n.weightsSize = part.Size
	if part.Problem == "" && n.needed() > part.Size {
		part.Problem = fmt.Sprintf("constants need %d bytes, the file has %d", n.needed(), part.Size)
	}
	m.add(part)
	if part.Size < 0 {
		return nil, nil
	}
	return root.Open(name)
}

// needed is how many bytes of the .bin the constants reach.
func (n *openVINO) needed() (end int64) {
	for _, c := range n.constants {
		if c.bytes.len() > 0 {
			end = max(end, c.bytes.end)
		}
	}
	return end
}

// readConstants reads axes, exponents and the like.
func (n *openVINO) readConstants() error {
	w := newWire(n.weights, n.weightsSize, n.name+": weights")
	for _, c := range n.constants {
		kind := c.data["element_type"]
		bits := int64(openVINOTypes[kind].bits)
		if c.bytes.len() == 0 || c.bytes.len() > maxTFPayload || c.bytes.end > n.weightsSize || c.bytes.len() != packed(c.elements, int(bits)) {
			continue
		}
		data := make([]byte, c.bytes.len())
		if err := w.readFull(data, c.bytes.start); err != nil {
			return err
		}
		switch kind {
		case "i32", "i64", "u8", "boolean":
			c.ints = littleEndian(data, int(bits/8))
		case "f16", "f32", "f64", "bf16":
			if c.elements == 1 {
				c.float = floatOf(kind, data)
			}
		}
	}
	return nil
}

// count fills in the histograms and the number of parameters.
func (n *openVINO) count(b *irBody, m *Model) error {
	for _, l := range b.layers {
		m.Operators[l.operator()]++
		if set, ok := strings.CutPrefix(l.version, "opset"); ok {
			if v, err := strconv.ParseInt(set, 10, 64); err == nil && v < maxOpset {
				m.Opsets["opset"] = max(m.Opsets["opset"], v)
			}
		}
		for _, body := range slices.Sorted(maps.Keys(l.bodies)) {
			if err := n.count(l.bodies[body], m); err != nil {
				return err
			}
		}
	}
	if b != &n.body {
		return nil
	}
	m.Parameters = 0
	for _, c := range n.constants {
		if !m.count(openVINOType(c.data["element_type"]), c.elements) {
			return fmt.Errorf("%s: expected at most 2^53 parameters, found more", n.name)
		}
	}
	n.quantized(m)
	return nil
}

// operator is the layer's name in Model.Operators.
func (l *irLayer) operator() string {
	if strings.HasPrefix(l.version, "opset") {
		return l.kind
	}
	return l.version + "." + l.kind
}

// quantized notes values that are limited to a few levels, and weights of
// integers that are made real numbers before they are used.
func (n *openVINO) quantized(m *Model) {
	found := map[string]int{}
	if k := m.Operators["FakeQuantize"]; k > 0 {
		found["FakeQuantize"] = k
	}
	converted := map[int64]string{}
	for _, c := range n.body.layers {
		if kind := c.data["element_type"]; c.kind == "Const" && len(c.shape) > 1 && slices.Contains(quantizedTypes, kind) {
			converted[c.id] = kind
		}
	}
	for _, l := range n.body.layers {
		if kind := converted[n.body.from[irPlace{l.id, 0}].layer]; l.kind == "Convert" && kind != "" {
			found["constant of "+openVINOTypes[kind].name]++
		}
	}
	if len(found) > 0 {
		m.find(QuantizedModel, "values are quantized: "+countedKinds(found), "")
	}
}

// quantizedTypes are the element types that weights are quantized to.
var quantizedTypes = []string{"u1", "u2", "u3", "i4", "u4", "u6", "i8", "u8", "nf4", "f8e4m3", "f8e5m2", "f4e2m1"}

// entry fills in the inputs and outputs: the Parameters and Results, in the
// order of the layers, as OpenVINO numbers them.
func (n *openVINO) entry(m *Model) {
	ports := map[irPlace]*irPort{}
	layers := map[int64]*irLayer{}
	for _, l := range n.body.layers {
		layers[l.id] = l
		for i := range l.outputs {
			ports[irPlace{l.id, l.outputs[i].id}] = &l.outputs[i]
		}
	}
	for _, l := range n.body.layers {
		switch l.kind {
		case "Parameter":
			m.Inputs = append(m.Inputs, l.value(irNamesOf(l.outputs)))
		case "Result":
			at := n.body.from[irPlace{l.id, 0}]
			source, port := layers[at.layer], ports[at]
			if source == nil || port == nil {
				m.Outputs = append(m.Outputs, Value{Name: l.name, DType: "unknown"})
				continue
			}
			names := l.outputNames
			if len(names) == 0 {
				names = port.names
			}
			v := source.value(names)
			if len(names) == 0 {
				v.Name = l.name
			}
			if source.kind != "Parameter" && source.kind != "Const" {
				v.DType, v.Shape = port.dtype(), port.shape()
			}
			m.Outputs = append(m.Outputs, v)
		}
	}
}

func irNamesOf(ports []irPort) []string {
	if len(ports) == 0 {
		return nil
	}
	return ports[0].names
}

// value is what a Parameter or a constant gives; the first of its names stands
// for it.
func (l *irLayer) value(names []string) Value {
	v := Value{Name: l.name, DType: openVINOType(l.data["element_type"]), Shape: l.dimensions()}
	if len(names) > 0 {
		v.Name = names[0]
	}
	return v
}

// openVINOType is NumPy's name of an element type.
func openVINOType(name string) string {
	if t, ok := openVINOTypes[name]; ok {
		return t.name
	}
	return "unknown"
}

func (p *irPort) dtype() string {
	if name, ok := openVINOPrecisions[p.precision]; ok {
		return name
	}
	return "unknown"
}

// shape is nil when the port states no dimension: it has none then, or their
// number is not known.
func (p *irPort) shape() []string {
	if len(p.dims) == 0 {
		return nil
	}
	return dimensions(p.dims, nil)
}

// checkLayout holds the places of constants against their types and shapes, and
// against each other: two may be the same bytes, but not share some.
func (n *openVINO) checkLayout(m *Model) {
	problems := []string{}
	places := []storedTensor{}
	for _, c := range n.constants {
		if need := packed(c.elements, openVINOTypes[c.data["element_type"]].bits); need >= 0 && need != c.bytes.len() {
			problems = append(problems, fmt.Sprintf("constant %s has %d bytes, its type and shape need %d", quote(c.name), c.bytes.len(), need))
		}
		places = append(places, storedTensor{name: c.name, span: c.bytes})
	}
	problems = append(problems, shared(places)...)
	m.misplaced(problems)
}
