package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// weight is a tensor of floating-point numbers that lies densely in a file.
type weight struct {
	name  string
	kind  string // in NumPy's words
	shape []int64
	file  io.ReaderAt
	at    int64 // of its first element, in bytes
}

// weightSizes are the bytes of an element of the types that are read.
var weightSizes = map[string]int64{"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}

// precision is how far two ways to compute the same number may differ in an
// element of this type, relative to the largest of the numbers beside it: some
// units in its last place.
var precision = map[string]float64{"float64": 1e-6, "float32": 1e-6, "float16": 4e-3, "bfloat16": 3e-2}

func (w *weight) elements() int64 {
	n, _ := product(w.shape)
	return n
}

// read is n elements from the given one on.
func (w *weight) read(from, n int64) ([]float64, error) {
	size := weightSizes[w.kind]
	raw := make([]byte, n*size)
	if read, err := w.file.ReadAt(raw, w.at+from*size); read < len(raw) {
		return nil, fmt.Errorf("read tensor %s: %w", quote(w.name), err)
	}
	values := make([]float64, n)
	for i := range values {
		switch b := raw[int64(i)*size:]; w.kind {
		case "float64":
			values[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case "float32":
			values[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case "float16":
			values[i] = float16(binary.LittleEndian.Uint16(b))
		default:
			values[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
		}
	}
	return values, nil
}

// maxChannels bounds a vector that is read whole: an element for each channel.
const maxChannels = 1 << 16

// vector is all elements of a tensor of n; nil when it has another number.
func (w *weight) vector(n int64) ([]float64, error) {
	if w == nil || w.elements() != n || n > maxChannels {
		return nil, nil
	}
	return w.read(0, n)
}

// weightFile is a file of trained weights whose tensors can be read.
type weightFile struct {
	weights []weight
	files   []io.Closer
}

func (f *weightFile) close() {
	for _, file := range f.files {
		file.Close()
	}
}

// openWeights finds the tensors of a file of weights; nil when its format is
// none that they are read from.
func openWeights(path string, format Format) (*weightFile, error) {
	open := map[string]func(*weightFile, string) error{"torch": openTorchWeights, "safetensors": openSafetensorsWeights, "keras_h5": openKerasWeights}[format.Name]
	if open == nil {
		return nil, nil
	}
	f := &weightFile{}
	if err := open(f, path); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func openSafetensorsWeights(f *weightFile, path string) error {
	paths := []string{path}
	if filepath.Ext(path) == ".json" {
		m, err := Inspect(path)
		if err != nil {
			return err
		}
		paths = nil
		for _, part := range m.Parts {
			if part.Problem == "" {
				paths = append(paths, filepath.Join(filepath.Dir(path), filepath.FromSlash(part.Name)))
			}
		}
	}
	for _, path := range paths {
		file, size, err := openRegular(path)
		if err != nil {
			return err
		}
		f.files = append(f.files, file)
		h, err := readSafetensors(file, size, filepath.Base(path))
		if err != nil {
			return err
		}
		for _, t := range h.tensors {
			if weightSizes[t.dtype] == 0 || t.span.end > h.data || t.length != t.len() {
				continue
			}
			f.weights = append(f.weights, weight{t.name, t.dtype, t.shape, file, size - h.data + t.start})
		}
	}
	return nil
}

// openTorchWeights finds the tensors of a checkpoint. In the form of before
// torch 1.6 they are not found.
func openTorchWeights(f *weightFile, path string) error {
	file, size, err := openRegular(path)
	if err != nil {
		return err
	}
	f.files = append(f.files, file)
	if zipped, err := (&candidate{file: file}).has(0, "PK"); !zipped || err != nil {
		return err
	}
	c := newCheckpoint(newModel("torch", filepath.Base(path)))
	if err := c.zipped(file, size); err != nil {
		return err
	}
	a, err := openArchive(file, size, filepath.Base(path))
	if err != nil {
		return err
	}
	for _, t := range c.placed {
		kind := torchType(t.kind)
		if weightSizes[kind] == 0 || t.offset < 0 || !dense(t.shape, t.stride) {
			continue
		}
		data, length, err := a.entry("data/" + t.storage)
		if err != nil {
			return err
		}
		w := weight{t.name, kind, t.shape, data, t.offset * weightSizes[kind]}
		if n, ok := product(t.shape); ok && w.at/weightSizes[kind] == t.offset && n <= length/weightSizes[kind]-t.offset {
			f.weights = append(f.weights, w)
		}
	}
	return nil
}

// openKerasWeights finds the weights of a .h5 file, whose names say what they
// are; in a .keras file they are only numbered.
func openKerasWeights(f *weightFile, path string) error {
	file, size, err := openRegular(path)
	if err != nil {
		return err
	}
	f.files = append(f.files, file)
	h, err := readHDF5(file, size, filepath.Base(path))
	if err != nil {
		return err
	}
	for _, d := range h.datasets {
		name, isWeight := strings.CutPrefix(d.path, "model_weights/")
		if bytes := packed(d.elements, 8*int(weightSizes[d.kind])); isWeight && bytes > 0 && d.at >= 0 && bytes <= size-d.at {
			f.weights = append(f.weights, weight{strings.TrimSuffix(name, ":0"), d.kind, d.shape, file, d.at})
		}
	}
	return nil
}

// dense tells whether elements lie one after the other.
func dense(shape, stride []int64) bool {
	if len(shape) != len(stride) {
		return false
	}
	step := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && stride[i] != step {
			return false
		}
		step *= shape[i]
	}
	return true
}

// containers are the keys that checkpoints keep whole copies of a model under.
var containers = words(`state_dict model_state_dict model model_state ema ema_state_dict state_dict_ema model_ema module net network`)

// copyOf is the copy of the model that a tensor belongs to, by its name.
func copyOf(name string) string {
	if first, _, ok := strings.Cut(name, "."); ok && containers[first] {
		return first
	}
	return ""
}

// normalizationLayer is a batch normalization whose numbers a file of weights
// holds.
type normalizationLayer struct {
	name                         string
	scale, shift, mean, variance []float64 // an element for each channel
}

// The names of what a batch normalization keeps, in the words of torch and of
// Keras: scale, shift, mean, variance.
var normalizationNames = [][4]string{
	{"weight", "bias", "running_mean", "running_var"},
	{"gamma", "beta", "moving_mean", "moving_variance"},
}

func (f *weightFile) byName() map[string]*weight {
	named := map[string]*weight{}
	for i := range f.weights {
		named[f.weights[i].name] = &f.weights[i]
	}
	return named
}

// normalizations are the batch normalizations of a file of weights, by name.
func (f *weightFile) normalizations() (layers []normalizationLayer, err error) {
	byName := f.byName()
	for i := range f.weights {
		mean := &f.weights[i]
		for _, names := range normalizationNames {
			prefix, ok := strings.CutSuffix(mean.name, names[2])
			if !ok || prefix != "" && !isSeparatorOfNames(rune(prefix[len(prefix)-1])) {
				continue
			}
			layer := normalizationLayer{name: strings.TrimRightFunc(prefix, isSeparatorOfNames)}
			n := mean.elements()
			for j, into := range []*[]float64{&layer.scale, &layer.shift, &layer.mean, &layer.variance} {
				if *into, err = byName[prefix+names[j]].vector(n); err != nil {
					return nil, err
				}
			}
			if layer.mean == nil || layer.variance == nil {
				continue
			}
			layer.scale, layer.shift = orAll(layer.scale, 1, n), orAll(layer.shift, 0, n)
			layers = append(layers, layer)
		}
	}
	slices.SortFunc(layers, func(a, b normalizationLayer) int { return strings.Compare(a.name, b.name) })
	return layers, nil
}

// orAll is values, or n times the one that stands for them when there are none.
func orAll(values []float64, unset float64, n int64) []float64 {
	if values != nil {
		return values
	}
	return slices.Repeat([]float64{unset}, int(n))
}
