package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modelPath starts the name of a file of weights, and stands for the folder
// that the specification lies in.
const modelPath = "@model_path/"

// blobs are the files of weights that a specification refers to. Such a file
// holds at each offset that is referred to a header of 64 bytes: a mark, the
// type, the number of bytes and where these are, as
// https://github.com/apple/coremltools/blob/main/mlmodel/src/MILBlob/Blob/StorageFormat.hpp
// has it.
type blobs struct {
	model  *Model
	root   *os.Root
	folder string // of the specification
	// specification holds constants itself.
	specification io.ReaderAt
	files         map[string]*blobFile
	problems      []string
}

type blobFile struct {
	*wire           // nil when the file cannot be read
	opened *os.File // for closing
	places []storedTensor
}

// The layout of a header.
const (
	blobMark       = 0xDEADBEEF
	blobHeaderSize = 24 // bytes of it that are looked at
)

// blobTypes are the numbers that headers have for MIL's types.
var blobTypes = map[uint32]string{
	1: "float16", 2: "float32", 3: "uint8", 4: "int8", 5: "bfloat16", 6: "int16", 7: "uint16", 8: "int4", 9: "uint1", 10: "uint2",
	11: "uint4", 12: "uint3", 13: "uint6", 14: "int32", 15: "uint32", 16: "float8_e4m3fn", 17: "float8_e5m2",
}

func (b *blobs) close() {
	for _, f := range b.files {
		if f.opened != nil {
			f.opened.Close()
		}
	}
}

// file opens what a value refers to, once.
func (b *blobs) file(name string) *blobFile {
	if f := b.files[name]; f != nil {
		return f
	}
	f := &blobFile{}
	b.files[name] = f
	rest, ok := strings.CutPrefix(name, modelPath)
	part, problem := partName(rest)
	switch {
	case !ok:
		problem = "the location does not start with " + modelPath
		part = name
	case problem == "":
		part = path.Join(b.folder, part)
	}
	if problem != "" {
		b.model.add(Part{Name: part, Size: -1, Problem: problem})
		return f
	}
	b.model.missing(b.root, part)
	stat := statPart(b.root, part)
	if stat.Problem != "" {
		return f
	}
	opened, err := b.root.Open(filepath.FromSlash(part))
	if err != nil {
		return f
	}
	f.opened, f.wire = opened, newWire(opened, stat.Size, part)
	return f
}

// maxBlobFiles bounds how many files of weights one model may have.
const maxBlobFiles = 256

// stored is find, asked once of each value.
func (b *blobs) stored(v *mlValue, name string) (storedConstant, bool) {
	if v.found == nil {
		c, _ := b.find(v, name)
		v.found = &c
	}
	return *v.found, v.found.file != nil
}

// find is where the elements of a value lie, and whether its header and its
// type agree; ok is false when that is not known.
func (b *blobs) find(v *mlValue, name string) (c storedConstant, ok bool) {
	if len(b.files) >= maxBlobFiles && b.files[v.file] == nil {
		b.problem("constant %s lies in one of more than %d files", name, maxBlobFiles)
		return c, false
	}
	f := b.file(v.file)
	if f.wire == nil {
		return c, false
	}
	if v.offset > math.MaxInt64 || int64(v.offset) > f.size-blobHeaderSize {
		b.problem("constant %s lies at byte %d of a file of %d", name, v.offset, f.size)
		return c, false
	}
	var head [blobHeaderSize]byte
	if err := f.readFull(head[:], int64(v.offset)); err != nil {
		b.problem("constant %s: %v", name, err)
		return c, false
	}
	kind, size, at := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint64(head[8:]), binary.LittleEndian.Uint64(head[16:])
	need := packed(v.elements(), v.bits())
	switch {
	case binary.LittleEndian.Uint32(head[:]) != blobMark:
		b.problem("constant %s: no header at byte %d", name, v.offset)
	case at > uint64(f.size) || size > uint64(f.size)-at:
		b.problem("constant %s has %d bytes at byte %d of a file of %d", name, size, at, f.size)
	case blobTypes[kind] != v.dtype():
		b.problem("constant %s is %s, its header says %q", name, v.dtype(), blobTypes[kind])
	case need >= 0 && uint64(need) != size:
		b.problem("constant %s has %d bytes, its type and shape need %d", name, size, need)
	default:
		s := span{int64(at), int64(at + size)}
		f.places = append(f.places, storedTensor{name: name, span: s})
		return storedConstant{file: f.file, span: s, size: int64(v.bits() / 8), dims: v.dims}, true
	}
	return c, false
}

func (b *blobs) problem(format string, name string, arguments ...any) {
	b.problems = append(b.problems, fmt.Sprintf(format, append([]any{quote(name)}, arguments...)...))
}

// check makes a finding of what is wrong with where weights lie.
func (b *blobs) check() {
	problems := b.problems
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		problems = append(problems, shared(b.files[name].places)...)
	}
	b.model.misplaced(problems)
}
