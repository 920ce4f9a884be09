package model

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of GGUF files.
const (
	maxGGUFKeys     = 1 << 16
	maxGGUFElements = 1 << 24 // strings and arrays within arrays
	maxGGUFAlign    = 1 << 20
	maxGGUFDims     = 4 // GGML_MAX_DIMS
)

// ggmlType is a tensor's type: so many elements take so many bytes together.
type ggmlType struct {
	name        string
	block, size int64
}

// ggmlTypes are enum ggml_type of ggml.h, with the sizes that
// gguf/constants.py has in GGML_QUANT_SIZES.
var ggmlTypes = map[uint64]ggmlType{
	0: {"F32", 1, 4}, 1: {"F16", 1, 2}, 2: {"Q4_0", 32, 18}, 3: {"Q4_1", 32, 20}, 6: {"Q5_0", 32, 22}, 7: {"Q5_1", 32, 24},
	8: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 40}, 10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, 12: {"Q4_K", 256, 144},
	13: {"Q5_K", 256, 176}, 14: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292}, 16: {"IQ2_XXS", 256, 66}, 17: {"IQ2_XS", 256, 74},
	18: {"IQ3_XXS", 256, 98}, 19: {"IQ1_S", 256, 50}, 20: {"IQ4_NL", 32, 18}, 21: {"IQ3_S", 256, 110}, 22: {"IQ2_S", 256, 82},
	23: {"IQ4_XS", 256, 136}, 24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8}, 28: {"F64", 1, 8},
	29: {"IQ1_M", 256, 56}, 30: {"BF16", 1, 2}, 34: {"TQ1_0", 256, 54}, 35: {"TQ2_0", 256, 66}, 39: {"MXFP4", 32, 17},
	40: {"NVFP4", 64, 36}, 41: {"Q1_0", 128, 18},
}

// ggufSizes are the bytes of a setting's value by its type; 8 is a string, 9
// an array.
var ggufSizes = map[uint64]int64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

const (
	ggufUint32 = 4
	ggufString = 8
	ggufArray  = 9
)

// ggufFile is what stands before the data of a file.
type ggufFile struct {
	*wire
	at        int64
	bigEndian bool

	version uint64
	keys    map[string]bool
	align   int64
	tensors []storedTensor
	types   map[string]int
	data    int64 // where the data starts
	// elements counts against maxGGUFElements.
	elements uint64
	problems []string
}

// inspectGGUF reads the header of a file,
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
func inspectGGUF(path string, format Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := newModel(format.Name, filepath.Base(path))
	return m, m.gguf(file, size)
}

func (m *Model) gguf(file io.ReaderAt, size int64) error {
	g := &ggufFile{wire: newWire(file, size, m.Main), keys: map[string]bool{}, align: 32, types: map[string]int{}}
	if err := g.header(); err != nil {
		return err
	}
	m.FormatVersion = fmt.Sprintf("GGUF %d", g.version)
	if g.bigEndian {
		m.FormatVersion += ", big-endian"
	}
	m.Producer = "unknown: the format has no place for it"
	m.Parameters = 0
	for _, t := range g.tensors {
		if !isOptimizers(t.name) {
			if !m.count(t.dtype, t.elements) {
				return fmt.Errorf("%s: expected at most 2^53 parameters, found more", m.Main)
			}
		}
	}
	m.misplaced(slices.Concat(g.problems, layout(g.tensors, size-g.data, g.align)))
	m.quantized(g.types)
	m.judgeGGUF(g)
	return nil
}

// unsigned reads a number of n bytes.
func (g *ggufFile) unsigned(n int64) (v uint64, err error) {
	if n > g.size-g.at {
		return 0, g.malformed(g.at, fmt.Sprintf("a number of %d bytes", n), "the end of the file")
	}
	for i := range n {
		b, err := g.byteAt(g.at + i)
		if err != nil {
			return 0, err
		}
		if g.bigEndian {
			v = v<<8 | uint64(b)
		} else {
			v |= uint64(b) << (8 * i)
		}
	}
	g.at += n
	return v, nil
}

// skip goes over count values of n bytes.
func (g *ggufFile) skip(count uint64, n int64) error {
	if count > uint64((g.size-g.at)/n) {
		return g.malformed(g.at, fmt.Sprintf("at most %d values of %d bytes, which remain", (g.size-g.at)/n, n), fmt.Sprint(count))
	}
	g.at += int64(count) * n
	return nil
}

// name reads a string that is kept.
func (g *ggufFile) name() (string, error) {
	start := g.at
	n, err := g.unsigned(8)
	if err != nil {
		return "", err
	}
	if n > maxString {
		return "", g.malformed(start, fmt.Sprintf("a name of at most %d bytes", maxString), fmt.Sprintf("%d bytes", n))
	}
	from := g.at
	if err := g.skip(n, 1); err != nil {
		return "", err
	}
	b, err := g.bytes(span{from, g.at})
	return string(b), err
}

func (g *ggufFile) header() error {
	g.at = 4 // behind the magic number
	var err error
	if g.version, err = g.unsigned(4); err != nil {
		return err
	}
	if g.version&0xffff == 0 { // the bytes are in the other order
		g.bigEndian, g.at = true, 4
		if g.version, err = g.unsigned(4); err != nil {
			return err
		}
	}
	if g.version < 2 || g.version > 3 {
		return g.malformed(4, "version 2 or 3", fmt.Sprint(g.version))
	}
	tensors, err := g.unsigned(8)
	if err != nil {
		return err
	}
	keys, err := g.unsigned(8)
	if err != nil {
		return err
	}
	if tensors > maxTensors || keys > maxGGUFKeys {
		return g.malformed(8, fmt.Sprintf("at most %d tensors and %d settings", maxTensors, maxGGUFKeys), fmt.Sprintf("%d and %d", tensors, keys))
	}
	for range keys {
		if err := g.setting(); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	for range tensors {
		if err := g.tensor(names); err != nil {
			return err
		}
	}
	g.data = (g.at + g.align - 1) / g.align * g.align
	if len(g.tensors) == 0 {
		g.data = min(g.data, g.size)
	}
	return nil
}

func (g *ggufFile) setting() error {
	start := g.at
	key, err := g.name()
	if err != nil {
		return err
	}
	if g.keys[key] {
		return g.malformed(start, "each key once", quote(key)+" twice")
	}
	g.keys[key] = true
	if err := g.keep(start, 64); err != nil {
		return err
	}
	kind, err := g.unsigned(4)
	if err != nil {
		return err
	}
	if key == "general.alignment" && kind == ggufUint32 {
		v, err := g.unsigned(4)
		if err == nil && (v == 0 || v&(v-1) != 0 || v > maxGGUFAlign) {
			err = g.malformed(start, fmt.Sprintf("an alignment that is a power of two up to %d", maxGGUFAlign), fmt.Sprint(v))
		}
		g.align = int64(v)
		return err
	}
	return g.value(kind, 1, 0)
}

// value goes over count values of a kind.
func (g *ggufFile) value(kind, count uint64, depth int) error {
	if size, ok := ggufSizes[kind]; ok {
		return g.skip(count, size)
	}
	start := g.at
	if kind != ggufString && kind != ggufArray {
		return g.malformed(start-4, "the type of a setting", fmt.Sprint(kind))
	}
	if depth > maxDepth {
		return g.malformed(start, fmt.Sprintf("at most %d arrays within each other", maxDepth), "more")
	}
	if count > maxGGUFElements || g.elements+count > maxGGUFElements {
		return g.malformed(start, fmt.Sprintf("at most %d strings and arrays", maxGGUFElements), "more")
	}
	g.elements += count
	for range count {
		inner := kind
		if kind == ggufArray {
			var err error
			if inner, err = g.unsigned(4); err != nil {
				return err
			}
		}
		n, err := g.unsigned(8)
		if err != nil {
			return err
		}
		if kind == ggufString {
			err = g.skip(n, 1)
		} else {
			err = g.value(inner, n, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *ggufFile) tensor(names map[string]bool) error {
	start := g.at
	name, err := g.name()
	if err != nil {
		return err
	}
	if names[name] {
		return g.malformed(start, "each tensor once", quote(name)+" twice")
	}
	names[name] = true
	if err := g.keep(start, 128); err != nil {
		return err
	}
	n, err := g.unsigned(4)
	if err == nil && n > maxGGUFDims {
		err = g.malformed(start, fmt.Sprintf("at most %d dimensions of tensor %s", maxGGUFDims, quote(name)), fmt.Sprint(n))
	}
	if err != nil {
		return err
	}
	shape := make([]int64, n)
	for i := range shape {
		d, err := g.unsigned(8)
		if err != nil {
			return err
		}
		shape[i] = int64(d)
	}
	kind, err := g.unsigned(4)
	if err != nil {
		return err
	}
	offset, err := g.unsigned(8)
	if err != nil {
		return err
	}
	elements, ok := product(shape)
	if !ok || offset > uint64(g.size) {
		return g.malformed(start, "tensor "+quote(name)+" with at most 2^53 elements, within the file", fmt.Sprintf("shape %d at byte %d of the data", shape, offset))
	}
	g.place(name, elements, shape, kind, int64(offset))
	return nil
}

// place notes where a tensor lies. A row is a whole number of blocks.
func (g *ggufFile) place(name string, elements int64, shape []int64, kind uint64, offset int64) {
	t, known := ggmlTypes[kind]
	placed := storedTensor{name: name, elements: elements, length: -1, span: span{offset, offset}}
	switch {
	case !known:
		t.name = fmt.Sprintf("type %d", kind)
		g.problems = append(g.problems, fmt.Sprintf("element %s of tensor %s is not known, so that its length was not checked", t.name, quote(name)))
	case len(shape) > 0 && shape[0]%t.block != 0:
		g.problems = append(g.problems, fmt.Sprintf("rows of tensor %s have %d elements, which is no multiple of %d as %s needs it", quote(name), shape[0], t.block, t.name))
	default:
		placed.length = elements / t.block * t.size
		placed.span.end += placed.length
	}
	if offset%g.align != 0 {
		g.problems = append(g.problems, fmt.Sprintf("tensor %s starts at byte %d of the data, which is no multiple of %d", quote(name), offset, g.align))
	}
	g.problems = g.problems[:min(len(g.problems), maxProblems)]
	g.types[t.name]++
	placed.dtype = plainType(t.name)
	g.tensors = append(g.tensors, placed)
}

// quantized notes the types of tensors when some are packed in blocks.
func (m *Model) quantized(types map[string]int) {
	for _, t := range ggmlTypes {
		if t.block > 1 && types[t.name] > 0 {
			m.find(QuantizedBlocks, "tensors are quantized: "+countedKinds(types), "")
			return
		}
	}
}

// judgeGGUF tells a checkpoint of llama.cpp's training from a model that is
// there to be run. The graph is the runtime's, which knows inference alone.
func (m *Model) judgeGGUF(g *ggufFile) {
	l := newLedger(m)
	stored := ""
	for _, key := range slices.Sorted(maps.Keys(g.keys)) {
		if strings.HasPrefix(key, "training.") || strings.HasPrefix(key, "optimizer.") {
			stored = "setting " + quote(key)
			break
		}
	}
	for _, t := range g.tensors {
		if layer, ok := normalization(t.name); ok {
			l.hit(BatchNormalization, Present, Latent, "tensor %s is kept by batch normalization of layer %s, which the runtime computes", quote(t.name), quote(layer))
		}
		if stored == "" && isOptimizers(t.name) {
			stored = "tensor " + quote(t.name)
		}
	}
	for _, op := range Operations {
		state := slices.Contains(stateOperations, op)
		switch {
		case state && stored != "":
			l.hit(op, Unknown, None, "unknown: state of training is stored, such as %s, but no setting that tells", stored)
		case state:
			l.hit(op, Absent, NotRepresentable, "no setting and no tensor of training or of an optimizer: the format has no other place for it")
		default:
			l.hit(op, Absent, NotRepresentable, "the format holds no graph: the runtime has one for each architecture")
		}
	}
	if stored != "" {
		l.find(OptimizerStored, "", stored)
	}
	l.close()
}
