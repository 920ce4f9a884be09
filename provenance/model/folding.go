package model

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Folding accounts for the batch normalizations of a trained model in a frozen
// one, by their numbers: with scale γ, shift β, mean μ and variance σ², and
// s = γ/√(σ²+ε), one that was folded into a layer with weights W and bias b has
// become W·s and β + (b−μ)·s.
type Folding struct {
	// Layers is how many batch normalizations the trained model has.
	Layers int
	// Kept is how many are nodes of the frozen model with the same numbers,
	// Folded how many are in the weights of another node, Affine how many are
	// a multiplication by s and an addition of β − μ·s.
	Kept, Folded, Affine int
	// Missing are the names of those that are none of these.
	Missing []string
	// Difference is the largest difference between a folded weight and what
	// it must be, relative to the largest weight of its layer.
	Difference float64
}

// Proven tells whether every batch normalization is accounted for.
func (f *Folding) Proven() bool { return len(f.Missing) == 0 }

// String says what became of the batch normalizations.
func (f *Folding) String() string {
	text := fmt.Sprintf("%d of %d are accounted for by their numbers: %d folded, %d kept, %d as a multiplication and an addition",
		f.Layers-len(f.Missing), f.Layers, f.Folded, f.Kept, f.Affine)
	if f.Folded > 0 {
		text += fmt.Sprintf("; the weights differ by at most %.1g of the largest", f.Difference)
	}
	if !f.Proven() {
		text += "; not found: " + strings.Join(f.Missing[:min(len(f.Missing), MaxEvidence)], ", ")
	}
	return clip(text)
}

// ProveFolding holds the weights of a frozen ONNX model against those of the
// trained model that it was made from. It is nil when the trained model's
// file holds no batch normalization, or either has a format in which weights
// are not read. Weights are read in pieces.
func ProveFolding(trained, frozen string) (*Folding, error) {
	format, ok, err := Detect(trained)
	if err != nil || !ok {
		return nil, err
	}
	target, ok, err := Detect(frozen)
	if err != nil || !ok || target.Name != "onnx" {
		return nil, err
	}
	source, err := openWeights(trained, format)
	if err != nil || source == nil {
		return nil, err
	}
	defer source.close()
	layers, err := source.normalizations()
	if err != nil || len(layers) == 0 {
		return nil, err
	}
	f, err := openFrozen(frozen)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if f.tooLarge != "" {
		return nil, nil
	}
	return f.account(source, layers)
}

// frozenWeights are the places of a frozen model where a batch normalization
// may have gone.
type frozenWeights struct {
	*program
	files    []io.Closer
	digester *onnxDigester
	layers   map[*tensor]*frozenLayer // by their weights
	order    []*tensor                // of layers
	nodes    [][4]*weight             // batch normalizations: scale, shift, mean, variance
	affine   []*frozenAffine
	used     map[any]bool // of the keys of layers, and pointers into nodes and affine
}

// frozenAffine is a multiplication by a constant with an addition behind it.
type frozenAffine struct {
	factor, summand *weight
	negative        bool // the summand is taken off
}

// frozenLayer is a layer with weights.
type frozenLayer struct {
	weight, bias *weight
	axis         int // of the weights' output channels
}

func openFrozen(path string) (*frozenWeights, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	w := newWire(file, size, filepath.Base(path))
	f := &frozenWeights{
		files: []io.Closer{file, root}, used: map[any]bool{}, layers: map[*tensor]*frozenLayer{},
		digester: &onnxDigester{wire: w, parts: partFiles{root: root}, stats: map[string]Part{}},
	}
	var p proto
	if err := w.model(&p); err != nil {
		f.close()
		return nil, err
	}
	f.program = p.write(nil)
	for i := range f.operations {
		if op := &f.operations[i]; op.live {
			f.collect(op)
		}
	}
	return f, nil
}

func (f *frozenWeights) close() {
	f.digester.parts.close()
	for _, file := range f.files {
		file.Close()
	}
}

// collect notes an operation where a batch normalization may have gone.
func (f *frozenWeights) collect(op *operation) {
	switch {
	case op.is("Conv"), op.domain == "com.microsoft" && op.op == "FusedConv", op.is("Gemm") && op.integerAttr("transB", 0) != 0:
		f.layer(op, 0)
	case op.is("ConvTranspose") && op.integerAttr("group", 1) == 1:
		f.layer(op, 1)
	case op.is("BatchNormalization"):
		var numbers [4]*weight
		for i := range numbers {
			numbers[i] = f.weight(op.in(1 + i))
		}
		f.nodes = append(f.nodes, numbers)
	case op.is("Mul"):
		f.multiplied(op)
	}
}

func (f *frozenWeights) layer(op *operation, axis int) {
	t, w, bias := f.tensorOf(op.in(1)), f.weight(op.in(1)), f.weight(op.in(2))
	if w == nil || axis >= len(w.shape) || bias == nil && op.in(2) != noDatum {
		return
	}
	f.layers[t] = &frozenLayer{w, bias, axis}
	f.order = append(f.order, t)
}

// multiplied notes a multiplication by a constant and the addition or
// subtraction of another one behind it.
func (f *frozenWeights) multiplied(op *operation) {
	factor := f.operand(op)
	if factor == nil {
		return
	}
	for _, user := range f.data[op.out(0)].used {
		next := &f.operations[user]
		summand := f.operand(next)
		if summand != nil && (next.is("Add") || next.is("Sub") && f.weight(next.in(1)) != nil) {
			f.affine = append(f.affine, &frozenAffine{factor, summand, next.is("Sub")})
		}
	}
}

// operand is the constant one of two inputs.
func (f *frozenWeights) operand(op *operation) *weight {
	if w := f.weight(op.in(0)); w != nil {
		return w
	}
	return f.weight(op.in(1))
}

// weight is the constant of a datum; nil when it is none whose numbers are read.
func (f *frozenWeights) weight(datum int) *weight {
	t := f.tensorOf(datum)
	if t == nil {
		return nil
	}
	w := &weight{name: t.name, kind: elementTypes[t.kind].name, shape: t.dims, file: f.digester.file, at: t.payload.start}
	if weightSizes[w.kind] == 0 {
		return nil
	}
	if t.external {
		var problem string
		w.file, w.at, problem = f.digester.external(t)
		if problem != "" {
			return nil
		}
	} else if t.payload.len() != t.byteLength() {
		return nil
	}
	return w
}

// account finds each batch normalization in the frozen model.
func (f *frozenWeights) account(source *weightFile, layers []normalizationLayer) (*Folding, error) {
	copies := map[string][]normalizationLayer{}
	for _, layer := range layers {
		copies[copyOf(layer.name)] = append(copies[copyOf(layer.name)], layer)
	}
	var best *Folding
	shapes := source.byShape()
	for _, name := range slices.Sorted(maps.Keys(copies)) {
		clear(f.used)
		found, err := f.accountCopy(shapes, copies[name])
		if err != nil {
			return nil, err
		}
		if best == nil || found.Layers-len(found.Missing) > best.Layers-len(best.Missing) {
			best = found
		}
	}
	return best, nil
}

func (f *frozenWeights) accountCopy(shapes map[string][]*trainedLayer, layers []normalizationLayer) (*Folding, error) {
	found := &Folding{Layers: len(layers)}
	for i := range layers {
		layer := &layers[i]
		kept, err := f.kept(layer)
		if err != nil {
			return nil, err
		}
		if kept {
			found.Kept++
			continue
		}
		if err := f.merged(layer, shapes, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// same tells whether two vectors are the same, to the precision of kind.
func same(kind string, found, wanted []float64) bool {
	if len(found) != len(wanted) {
		return false
	}
	most := 0.0
	for _, v := range wanted {
		most = max(most, math.Abs(v))
	}
	for i, v := range wanted {
		if !(math.Abs(found[i]-v) <= precision[kind]*most) { // NaN is not the same
			return false
		}
	}
	return true
}

// holds tells whether a constant has these numbers, an element for each channel.
func (w *weight) holds(wanted []float64) (bool, error) {
	values, err := w.vector(int64(len(wanted)))
	return values != nil && same(w.kind, values, wanted), err
}

// take marks a place as used, each is where one batch normalization went.
func (f *frozenWeights) take(place any) bool {
	if f.used[place] {
		return false
	}
	f.used[place] = true
	return true
}

// kept finds the layer as a node.
func (f *frozenWeights) kept(layer *normalizationLayer) (bool, error) {
	for i := range f.nodes {
		node := &f.nodes[i]
		if f.used[node] {
			continue
		}
		all := true
		for j, wanted := range [][]float64{layer.scale, layer.shift, layer.mean, layer.variance} {
			if node[j] == nil {
				all = false
				break
			}
			ok, err := node[j].holds(wanted)
			if err != nil {
				return false, err
			}
			if all = ok; !ok {
				break
			}
		}
		if all {
			return f.take(node), nil
		}
	}
	return false, nil
}

// epsilons are the values of ε that frameworks use: those of torch and of
// Keras first. No file of weights holds it.
var epsilons = []float64{1e-5, 1e-3, 1.001e-5, 1e-6, 1e-4, 2e-5, 1e-8, 1e-12, 1e-2}

// merged finds the layer in the weights of another one, or as a multiplication
// and an addition.
func (f *frozenWeights) merged(layer *normalizationLayer, shapes map[string][]*trainedLayer, found *Folding) error {
	for _, epsilon := range epsilons {
		factor := make([]float64, len(layer.mean))
		for i, v := range layer.variance {
			factor[i] = layer.scale[i] / math.Sqrt(v+epsilon)
		}
		for _, t := range f.order {
			if f.used[t] {
				continue
			}
			difference, ok, err := f.layers[t].folded(layer, factor, shapes)
			if err != nil {
				return err
			}
			if ok && f.take(t) {
				found.Folded++
				found.Difference = max(found.Difference, difference)
				return nil
			}
		}
		for _, a := range f.affine {
			ok, err := a.is(layer, factor)
			if err != nil {
				return err
			}
			if ok && f.take(a) {
				found.Affine++
				return nil
			}
		}
	}
	found.Missing = append(found.Missing, shown(layer.name))
	return nil
}

// is tells whether the two constants do what the layer does.
func (a *frozenAffine) is(layer *normalizationLayer, factor []float64) (bool, error) {
	ok, err := a.factor.holds(factor)
	if !ok || err != nil {
		return false, err
	}
	wanted := make([]float64, len(factor))
	for i := range wanted {
		if wanted[i] = layer.shift[i] - layer.mean[i]*factor[i]; a.negative {
			wanted[i] = -wanted[i]
		}
	}
	return a.summand.holds(wanted)
}

// folded tells whether the layer has gone into this one, and how far the
// weights differ from what they must be.
func (l *frozenLayer) folded(layer *normalizationLayer, factor []float64, shapes map[string][]*trainedLayer) (float64, bool, error) {
	n := int64(len(factor))
	if l.weight.shape[l.axis] != n {
		return 0, false, nil
	}
	has := make([]float64, n)
	if l.bias != nil {
		values, err := l.bias.vector(n)
		if err != nil || values == nil {
			return 0, false, err
		}
		has = values
	}
	for _, before := range shapes[fmt.Sprint(l.weight.shape)] {
		bias, err := before.bias.vector(n)
		if err != nil {
			return 0, false, err
		}
		bias = orAll(bias, 0, n)
		wanted := make([]float64, n)
		for i := range wanted {
			wanted[i] = layer.shift[i] + (bias[i]-layer.mean[i])*factor[i]
		}
		if !same(l.weight.kind, has, wanted) {
			continue
		}
		difference, ok, err := l.scaled(before, factor)
		before.turned = nil
		if ok || err != nil {
			return difference, ok, err
		}
	}
	return 0, false, nil
}

// foldingPiece is how many weights are compared at once.
const foldingPiece = 1 << 14

// scaled tells whether the weights are those of before, each channel times its
// factor: all of them are compared, relative to the largest.
func (l *frozenLayer) scaled(before *trainedLayer, factor []float64) (difference float64, ok bool, err error) {
	inner := int64(1)
	for _, d := range l.weight.shape[l.axis+1:] {
		inner *= d
	}
	total, most, off := l.weight.elements(), 0.0, 0.0
	for at := int64(0); at < total; at += foldingPiece {
		n := min(foldingPiece, total-at)
		has, err := l.weight.read(at, n)
		if err != nil {
			return 0, false, err
		}
		had, err := before.read(at, n)
		if err != nil {
			return 0, false, err
		}
		for i, v := range had {
			wanted := v * factor[(at+int64(i))/inner%int64(len(factor))]
			most, off = max(most, math.Abs(wanted)), max(off, math.Abs(has[i]-wanted))
		}
	}
	if most == 0 {
		return 0, off == 0, nil
	}
	return off / most, off/most <= precision[l.weight.kind], nil
}

// trainedLayer is a layer of the trained model that another one can be folded into.
type trainedLayer struct {
	weight, bias *weight
	// channelsLast is set for a kernel of Keras, height × width × inputs ×
	// outputs, whose shape in ONNX has the outputs first.
	channelsLast bool
	// turned are its elements in ONNX's order, once they were asked for.
	turned []float64
}

// maxTurned bounds a kernel that is turned in memory, in elements.
const maxTurned = 1 << 22

// read is n elements from the given one on, in ONNX's order.
func (l *trainedLayer) read(from, n int64) ([]float64, error) {
	if !l.channelsLast {
		return l.weight.read(from, n)
	}
	if l.turned == nil {
		values, err := l.weight.read(0, l.weight.elements())
		if err != nil {
			return nil, err
		}
		outputs := int(l.shape()[0])
		inputs := int(l.shape()[1])
		l.turned = make([]float64, len(values))
		area := len(values) / (inputs * outputs)
		for i, v := range values {
			output, input, place := i%outputs, i/outputs%inputs, i/(outputs*inputs)
			l.turned[(output*inputs+input)*area+place] = v
		}
	}
	return l.turned[from : from+n], nil
}

// shape is that of the weights in ONNX.
func (l *trainedLayer) shape() []int64 {
	s := l.weight.shape
	if !l.channelsLast {
		return s
	}
	return []int64{s[3], s[2], s[0], s[1]}
}

// byShape are the tensors of two dimensions or more, with their biases.
func (f *weightFile) byShape() map[string][]*trainedLayer {
	byName, shapes := f.byName(), map[string][]*trainedLayer{}
	for i := range f.weights {
		w := &f.weights[i]
		if len(w.shape) < 2 || slices.Contains(w.shape, 0) {
			continue
		}
		at := strings.LastIndexFunc(w.name, isSeparatorOfNames) + 1
		layer := &trainedLayer{weight: w, bias: byName[w.name[:at]+"bias"], channelsLast: len(w.shape) == 4 && strings.HasSuffix(w.name, "kernel")}
		if layer.channelsLast && w.elements() > maxTurned {
			continue
		}
		key := fmt.Sprint(layer.shape())
		shapes[key] = append(shapes[key], layer)
	}
	return shapes
}
