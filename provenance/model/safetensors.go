package model

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Limits of safetensors files.
const (
	maxTensors  = 1 << 18 // of one model; the largest known have a third of that
	maxMetadata = 1 << 16 // entries
)

// safetensorsBits are the sizes of element types,
// https://github.com/huggingface/safetensors, Dtype in tensor.rs.
var safetensorsBits = map[string]int{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}

// safetensorsHeader is what stands before the data of a file.
type safetensorsHeader struct {
	tensors  []storedTensor
	metadata map[string]string
	// untyped is the first tensor of a type that is not known, or "".
	untyped string
	data    int64 // bytes after the header
}

// readSafetensors reads the header of a file,
// https://github.com/huggingface/safetensors#format.
func readSafetensors(file io.ReaderAt, size int64, name string) (*safetensorsHeader, error) {
	var length [8]byte
	if _, err := file.ReadAt(length[:], 0); err == io.EOF {
		return nil, fmt.Errorf("%s: expected 8 bytes with the length of the header, found %d", name, size)
	} else if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxSafetensors || int64(n) > size-8 {
		return nil, fmt.Errorf("%s: expected a header of at most %d bytes, found a length of %d", name, min(maxSafetensors, size-8), n)
	}
	h := &safetensorsHeader{metadata: map[string]string{}, data: size - 8 - int64(n)}
	j := newJSON(file, span{8, 8 + int64(n)}, name)
	err := j.object(func(key string) error {
		if key == "__metadata__" {
			return j.strings(maxMetadata, h.metadata)
		}
		return h.tensor(j, key)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(h.tensors, func(a, b storedTensor) int { return cmp.Compare(a.name, b.name) })
	return h, j.end()
}

func (h *safetensorsHeader) tensor(j *jsonReader, name string) error {
	if len(h.tensors) == maxTensors {
		return j.malformed(fmt.Sprintf("at most %d tensors", maxTensors), "more")
	}
	if len(name) > maxString {
		return j.malformed(fmt.Sprintf("a tensor's name of at most %d bytes", maxString), fmt.Sprintf("%d bytes", len(name)))
	}
	var kind string
	var shape, offsets []int64
	err := j.object(func(key string) error {
		switch key {
		case "dtype":
			return j.string(&kind)
		case "shape":
			return j.integers(maxDims, &shape)
		case "data_offsets":
			return j.integers(2, &offsets)
		}
		return j.skip()
	})
	if err != nil {
		return err
	}
	if kind == "" || shape == nil || len(offsets) != 2 {
		return j.malformed("dtype, shape and two data_offsets of tensor "+quote(name), "not all of them")
	}
	elements, ok := product(shape)
	if !ok || offsets[0] < 0 || offsets[1] < 0 {
		return j.malformed("a shape and offsets of tensor "+quote(name)+" that are positive and no more than 2^53 elements", fmt.Sprintf("shape %d, offsets %d", shape, offsets))
	}
	if safetensorsBits[kind] == 0 && h.untyped == "" {
		h.untyped = fmt.Sprintf("%s of tensor %s", quote(kind), quote(name))
	}
	dtype := "unknown"
	if safetensorsBits[kind] > 0 {
		dtype = plainType(kind)
	}
	h.tensors = append(h.tensors, storedTensor{name, kind, shape, dtype, elements, packed(elements, safetensorsBits[kind]), span{offsets[0], offsets[1]}})
	return nil
}

func (h *safetensorsHeader) names() []string {
	names := make([]string, len(h.tensors))
	for i, t := range h.tensors {
		names[i] = t.name
	}
	return names
}

// problems is what the reference reader would refuse, and what could not be
// checked.
func (h *safetensorsHeader) problems() []string {
	problems := layout(h.tensors, h.data, 1)
	if h.untyped != "" {
		problems = append(problems, "element type "+h.untyped+" is not known, so that its length was not checked")
	}
	return problems
}

func inspectSafetensors(path string, format Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h, err := readSafetensors(file, size, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	m := newSafetensors(format, filepath.Base(path), h.metadata)
	m.misplaced(h.problems())
	return m, m.judgeSafetensors(h.tensors)
}

func newSafetensors(format Format, main string, metadata map[string]string) *Model {
	m := newModel(format.Name, main)
	m.FormatVersion = "unknown: the format states no version"
	m.Producer = "unknown: the format has no place for it"
	if framework := metadata["format"]; framework != "" {
		m.Producer += "; its tensors are of framework " + clip(framework)
	}
	return m
}

func (m *Model) judgeSafetensors(tensors []storedTensor) error {
	m.Parameters = 0
	names := make([]string, len(tensors))
	for i, t := range tensors {
		names[i] = t.name
		if isOptimizers(t.name) {
			continue
		}
		if !m.count(t.dtype, t.elements) {
			return fmt.Errorf("%s: expected at most 2^53 parameters, found more", m.Main)
		}
	}
	l := newLedger(m)
	l.judgeNames(names)
	l.close()
	return nil
}

// A model that is too large for one file is a set of shards with an index,
// https://huggingface.co/docs/safetensors/index: a JSON object whose
// "weight_map" names the shard of each tensor.

// maxIndexHead bounds what detection reads of a JSON file.
const maxIndexHead = 1 << 20

// detectSafetensorsIndex wants a top-level object in which only "metadata"
// stands before "weight_map", and a first tensor in a .safetensors file: the
// index of torch's own shards has the same shape.
func detectSafetensorsIndex(c *candidate) (bool, error) {
	if ok, err := c.has(0, "{"); !ok || err != nil {
		return false, err
	}
	isIndex := false
	j := newJSON(c.file, span{0, min(c.size, maxIndexHead)}, c.path)
	err := j.object(func(key string) error {
		switch key {
		case "metadata":
			return j.skip()
		case "weight_map":
			return j.object(func(string) error {
				var shard string
				if err := j.string(&shard); err != nil {
					return err
				}
				isIndex = filepath.Ext(shard) == ".safetensors"
				return errDecided
			})
		}
		return errDecided
	})
	if errors.As(err, new(*os.PathError)) {
		return false, err
	}
	return isIndex, nil
}

// errDecided ends a search that has found what it needs.
var errDecided = errors.New("decided")

// safetensorsIndex is an index file.
type safetensorsIndex struct {
	shards map[string]string // of each tensor, as the file has it
	// total is the number of bytes of all tensors that it states, -1 for none.
	total    int64
	metadata map[string]string
}

func readSafetensorsIndex(file io.ReaderAt, size int64, name string) (*safetensorsIndex, error) {
	index := &safetensorsIndex{shards: map[string]string{}, total: -1, metadata: map[string]string{}}
	j := newJSON(file, span{0, size}, name)
	err := j.object(func(key string) error {
		switch key {
		case "metadata":
			return j.object(index.metadatum(j))
		case "weight_map":
			return j.strings(maxTensors, index.shards)
		}
		return j.skip()
	})
	if err != nil {
		return nil, err
	}
	return index, j.end()
}

// metadatum reads one entry of the index's metadata. Writers put total_size
// there as an integer or as one with a fraction of zero.
func (index *safetensorsIndex) metadatum(j *jsonReader) func(string) error {
	return func(key string) error {
		token, err := j.token()
		if err != nil {
			return err
		}
		switch value := token.(type) {
		case json.Delim:
			return j.rest(value)
		case json.Number:
			if f, err := value.Float64(); key == "total_size" && err == nil && f >= 0 && f <= maxParameters && f == float64(int64(f)) {
				index.total = int64(f)
			}
		case string:
			if len(index.metadata) < maxMetadata {
				index.metadata[key] = value
			}
		}
		return nil
	}
}

func inspectSafetensorsIndex(path string, format Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	index, err := readSafetensorsIndex(file, size, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return index.model(root, newSafetensors(format, filepath.Base(path), index.metadata))
}

// wanted are the names of the tensors by shard.
func (index *safetensorsIndex) wanted() map[string][]string {
	wanted := map[string][]string{}
	for tensor, shard := range index.shards {
		wanted[shard] = append(wanted[shard], tensor)
	}
	return wanted
}

// model reads the header of each shard, and holds it against the index.
func (index *safetensorsIndex) model(root *os.Root, m *Model) (*Model, error) {
	wanted := index.wanted()
	if len(wanted) > maxParts {
		return nil, fmt.Errorf("%s: expected at most %d shards, found %d", m.Main, maxParts, len(wanted))
	}
	var tensors []storedTensor
	bytes, whole := int64(0), true
	for _, location := range slices.Sorted(maps.Keys(wanted)) {
		part, h := shard(root, location, wanted[location])
		m.add(part)
		if h == nil {
			whole = false
			for _, name := range wanted[location] {
				tensors = append(tensors, storedTensor{name: name, dtype: "unknown"})
			}
			continue
		}
		m.misplaced(h.problems())
		for _, t := range h.tensors {
			bytes += t.len()
		}
		if tensors = append(tensors, h.tensors...); len(tensors) > maxTensors {
			return nil, fmt.Errorf("%s: expected at most %d tensors, found more", m.Main, maxTensors)
		}
	}
	slices.SortFunc(m.Parts, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(tensors, func(a, b storedTensor) int { return cmp.Compare(a.name, b.name) })
	if whole && index.total >= 0 && bytes != index.total {
		m.misplaced([]string{fmt.Sprintf("the index states %d bytes of tensors, the shards have %d", index.total, bytes)})
	}
	err := m.judgeSafetensors(tensors)
	if !whole {
		m.uncounted()
	}
	return m, err
}

// shard reads one shard's header; it is nil when that cannot be had, for the
// reason that the part's problem states.
func shard(root *os.Root, location string, wanted []string) (Part, *safetensorsHeader) {
	name, problem := partName(location)
	if problem != "" {
		return Part{Name: name, Size: -1, Problem: problem}, nil
	}
	part := statPart(root, name)
	if part.Problem != "" {
		return part, nil
	}
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		part.Problem = "cannot be opened"
		return part, nil
	}
	defer file.Close()
	h, err := readSafetensors(file, part.Size, name)
	if err != nil {
		part.Problem = clip(err.Error())
		return part, nil
	}
	part.Problem = differ(h.names(), wanted)
	return part, h
}

// differ says in what a shard is not what the index says of it; has is sorted.
func differ(has, wanted []string) string {
	slices.Sort(wanted)
	for _, name := range wanted {
		if _, ok := slices.BinarySearch(has, name); !ok {
			return "tensor " + quote(name) + " is missing in it"
		}
	}
	for _, name := range has {
		if _, ok := slices.BinarySearch(wanted, name); !ok {
			return "the index does not name its tensor " + quote(name)
		}
	}
	return ""
}
