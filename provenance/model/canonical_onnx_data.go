package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// What attributes, tensors and types are in a listing.

// The kinds of attributes, AttributeProto.AttributeType.
const (
	attributeFloat = iota + 1
	attributeInt
	attributeString
	attributeTensor
	attributeGraph
	attributeFloats
	attributeInts
	attributeStrings
	attributeTensors
	attributeGraphs
	attributeSparse
	attributeSparses
	attributeType
	attributeTypes
)

// attributeFields are the kinds by the field of AttributeProto that holds the value.
var attributeFields = map[int]int32{
	2: attributeFloat, 3: attributeInt, 4: attributeString, 5: attributeTensor, 6: attributeGraph, 7: attributeFloats, 8: attributeInts,
	9: attributeStrings, 10: attributeTensors, 11: attributeGraphs, 14: attributeType, 15: attributeTypes, 22: attributeSparse, 23: attributeSparses,
}

// onnxAttribute is all that an attribute states, but for its tensors and graphs.
type onnxAttribute struct {
	kind    int32
	numbers []int64 // f, i, floats or ints; floats as their bits
	texts   []span  // s or strings
	types   []span  // tp or type_protos
	fields  []int   // with values, each once
}

// attributes writes those of a node, which are sorted by name; graphs are the
// entered graphs of all of them, in that order.
func (k *onnxWalk) attributes(list []*attribute, graphs []*onnxScope) error {
	k.number(int64(len(list)))
	for i, a := range list {
		if i > 0 && list[i-1].name == a.name {
			return notCanonical("the attribute %s is there twice", quote(a.name))
		}
		own := graphs[:min(len(a.graphs), len(graphs))]
		graphs = graphs[len(own):]
		if err := k.attribute(a, own); err != nil {
			return err
		}
	}
	return nil
}

func (k *onnxWalk) attribute(a *attribute, graphs []*onnxScope) error {
	full, err := k.readAttribute(a)
	if err != nil {
		return err
	}
	k.text(a.name)
	k.number(int64(full.kind))
	if a.ref != "" {
		k.text("reference")
		k.text(a.ref)
		return nil
	}
	k.text("value")
	switch full.kind {
	case attributeFloat, attributeInt:
		k.number(append(full.numbers, 0)[0])
	case attributeString, attributeStrings:
		return k.strings(full)
	case attributeFloats, attributeInts:
		k.numbers(full.numbers)
	case attributeTensor, attributeTensors:
		tensors := a.tensors
		if a.t != nil {
			tensors = append(tensors, a.t)
		}
		return each(k, tensors, func(t *tensor) error { return k.constant(onnxPlace{tensor: t}) })
	case attributeSparse, attributeSparses:
		return each(k, a.sparse, func(t *sparseTensor) error { return k.constant(onnxPlace{sparse: t}) })
	case attributeGraph, attributeGraphs:
		return each(k, graphs, k.graph)
	case attributeType, attributeTypes:
		symbols := map[string]int64{}
		return each(k, full.types, func(s span) error { return k.typeProto(s, symbols, 1) })
	}
	return nil
}

// each writes a list: its length, then its elements.
func each[T any](k *onnxWalk, list []T, write func(T) error) error {
	k.number(int64(len(list)))
	for _, element := range list {
		if err := write(element); err != nil {
			return err
		}
	}
	return nil
}

func (k *onnxWalk) strings(a *onnxAttribute) error {
	texts := a.texts
	if a.kind == attributeString && len(texts) > 1 {
		texts = texts[len(texts)-1:] // the last one counts
	}
	return each(k, texts, func(s span) error { return k.data(k.file, s.start, s.len(), k.passage) })
}

func (k *onnxWalk) readAttribute(a *attribute) (*onnxAttribute, error) {
	full := &onnxAttribute{}
	err := k.each(a.span, 1, func(f field) error { return k.attributeField(f, full) })
	if err != nil {
		return nil, err
	}
	switch {
	case a.ref != "" && len(full.fields) > 0:
		return nil, notCanonical("the attribute %s holds a value and refers to another attribute", quote(a.name))
	case full.kind == 0 && len(full.fields) == 1:
		full.kind = attributeFields[full.fields[0]] // before IR 2 no kind was stated
	case full.kind < 0 || full.kind > attributeTypes:
		return nil, notCanonical("the attribute %s is of kind %d, which is not known", quote(a.name), full.kind)
	}
	for _, id := range full.fields {
		if attributeFields[id] != full.kind {
			return nil, notCanonical("the attribute %s of kind %d has a value in field %d", quote(a.name), full.kind, id)
		}
	}
	return full, nil
}

func (k *onnxWalk) attributeField(f field, full *onnxAttribute) error {
	if attributeFields[f.id] != 0 && !slices.Contains(full.fields, f.id) {
		full.fields = append(full.fields, f.id)
	}
	number := func(v uint64) error {
		full.numbers = append(full.numbers, int64(v))
		return k.keep(f.offset, 8)
	}
	switch f.id {
	case 20:
		return k.enum(f, &full.kind)
	case 2, 3: // the last one counts
		full.numbers = nil
		return number(f.number)
	case 7:
		return k.wire.numbers(f, fixed32Type, number)
	case 8:
		return k.wire.numbers(f, varintType, number)
	case 4, 9:
		full.texts = append(full.texts, f.span)
		return k.keep(f.offset, 16)
	case 14, 15:
		full.types = append(full.types, f.span)
		return k.keep(f.offset, 16)
	case 1, 5, 6, 10, 11, 13, 21, 22, 23: // kept by wire.attribute, or documentation
		return nil
	}
	return notCanonical("field %d of an attribute is none that ONNX defines", f.id)
}

// tensorSum is the digest of a tensor, wherever its elements lie.
func (d *onnxDigester) tensorSum(t *tensor) (checksum, error) {
	if s, ok := d.tensors[t]; ok {
		return s, nil
	}
	l := newListing("tensor")
	l.number(int64(t.kind))
	l.numbers(t.dims)
	if err := d.elements(l, t); err != nil {
		return checksum{}, err
	}
	s := l.sum()
	d.tensors[t] = s
	return s, nil
}

func (d *onnxDigester) sparseSum(t *sparseTensor) (checksum, error) {
	l := newListing("sparse tensor")
	var dims []int64
	indices := &tensor{}
	err := d.each(t.span, 1, func(f field) error {
		switch f.id {
		case 1:
			return nil // read already
		case 2:
			return d.wire.tensor(f, 2, indices)
		case 3:
			return d.numbers(f, varintType, func(v uint64) error {
				if dims = append(dims, int64(v)); len(dims) > maxDims {
					return d.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxDims), "more")
				}
				return nil
			})
		}
		return notCanonical("field %d of a sparse tensor is none that ONNX defines", f.id)
	})
	if err != nil {
		return checksum{}, err
	}
	l.numbers(dims)
	for _, part := range []*tensor{&t.values, indices} {
		s, err := d.tensorSum(part)
		if err != nil {
			return checksum{}, err
		}
		l.digest(s)
	}
	return l.sum(), nil
}

// elements writes a tensor's elements as raw_data would have them.
func (d *onnxDigester) elements(l *listing, t *tensor) error {
	size := t.byteLength()
	name := quote(t.name)
	typed, err := d.typedFields(t)
	switch {
	case err != nil:
		return err
	case elementTypes[t.kind].name == "":
		return notCanonical("tensor %s has elements of type %d, which is not known", name, t.kind)
	case len(typed) > 1, len(typed) == 1 && (t.external || t.payload.len() > 0), t.external && t.payload.len() > 0:
		return notCanonical("tensor %s holds its elements in more than one place", name)
	case t.external:
		return d.externalElements(l, t, size)
	case elementTypes[t.kind].list == stringList:
		return d.stringElements(l, t)
	case t.payload.len() > 0 || len(typed) == 0:
		if t.payload.len() != size {
			return notCanonical("tensor %s has %d bytes, its type and shape need %d", name, t.payload.len(), size)
		}
		return l.data(d.file, t.payload.start, size, d.passage)
	case typed[0] != elementTypes[t.kind].list:
		return notCanonical("tensor %s of type %s has its elements in field %d", name, elementTypes[t.kind].name, typed[0])
	}
	return d.typedElements(l, t, size)
}

// stringList is the field of TensorProto with strings.
const stringList = 6

// typedFields are the fields, other than raw_data, that hold elements.
func (d *onnxDigester) typedFields(t *tensor) (ids []int, err error) {
	for _, at := range t.at {
		err := d.each(at, 1, func(f field) error {
			switch {
			case numbersIn[f.id] != 0 || f.id == 5 || f.id == 7 || f.id == 11 || f.id == stringList:
				if !slices.Contains(ids, f.id) && (f.kind != bytesType || f.len() > 0 || f.id == stringList) {
					ids = append(ids, f.id)
				}
			case f.id == 3:
				return notCanonical("tensor %s is a segment of a larger one, which is not covered", quote(t.name))
			case f.id == 15 || f.id > 16:
				return notCanonical("field %d of a tensor is none that ONNX defines", f.id)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// typedElements writes elements from one of the lists; the low bytes of each
// value are what raw_data has, onnx.proto, TensorProto.
func (d *onnxDigester) typedElements(l *listing, t *tensor, size int64) error {
	list := elementTypes[t.kind].list
	width := int64(8)
	switch {
	case list == 4:
		width = 4
	case list == 5 || list == 11:
		width = max(1, int64(elementTypes[t.kind].bits)/8)
	}
	l.number(size)
	left := size
	for _, at := range t.at {
		err := d.each(at, 1, func(f field) error {
			if f.id != list {
				return nil
			}
			return d.numbers(f, numbersIn[list], func(v uint64) error {
				var b [8]byte
				binary.LittleEndian.PutUint64(b[:], v)
				l.write(b[:width]...)
				left -= width
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	if left != 0 {
		return notCanonical("tensor %s has %d bytes, its type and shape need %d", quote(t.name), size-left, size)
	}
	return nil
}

func (d *onnxDigester) stringElements(l *listing, t *tensor) error {
	l.number(t.elements)
	count := int64(0)
	for _, at := range t.at {
		err := d.each(at, 1, func(f field) error {
			if f.id != stringList {
				return nil
			}
			count++
			if err := d.want(f, bytesType); err != nil {
				return err
			}
			return l.data(d.file, f.start, f.len(), d.passage)
		})
		if err != nil {
			return err
		}
	}
	if count != t.elements {
		return notCanonical("tensor %s has %d strings, its shape needs %d", quote(t.name), count, t.elements)
	}
	return nil
}

// externalElements writes elements that lie in another file.
func (d *onnxDigester) externalElements(l *listing, t *tensor, size int64) error {
	file, offset, problem := d.external(t)
	if problem != "" {
		return notCanonical("tensor %s in %s: %s", quote(t.name), quote(t.location), problem)
	}
	return l.data(file, offset, size, d.passage)
}

// external is where the elements of a tensor lie in another file, or why that
// is not known.
func (d *onnxDigester) external(t *tensor) (file io.ReaderAt, offset int64, problem string) {
	name, problem := partName(t.location)
	if problem != "" {
		return nil, 0, problem
	}
	part, ok := d.stats[name]
	if !ok {
		part = statPart(d.parts.root, name)
		d.stats[name] = part
		if part.Problem == "" && d.passage != nil {
			d.passage.left += maxPasses * part.Size
		}
	}
	if part.Problem == "" {
		part.Problem = t.outside(part.Size)
	}
	if part.Problem != "" {
		return nil, 0, part.Problem
	}
	offset, err := bytesOf(t.offset, 0)
	if err != nil || t.byteLength() < 0 {
		return nil, 0, "where its elements lie is not known"
	}
	return partReader{&d.parts, name}, offset, ""
}

// valueType writes the type of the ValueInfoProto at s.
func (k *onnxWalk) valueType(s span, symbols map[string]int64) error {
	stated, err := k.single(s, 2, 1)
	if err != nil {
		return err
	}
	if stated == nil {
		k.text("none")
		return nil
	}
	return k.typeProto(*stated, symbols, 1)
}

// single is the message in field id of the message at s; nil when there is
// none.
func (k *onnxWalk) single(s span, id, depth int) (found *span, err error) {
	err = k.each(s, depth, func(f field) error {
		if f.id != id {
			return nil
		}
		if found != nil {
			return notCanonical("a type is stated in pieces")
		}
		found = &f.span
		return k.want(f, bytesType)
	})
	return found, err
}

// The fields of TypeProto, and what they are in a listing.
var typeFields = map[int]string{1: "tensor", 4: "sequence", 5: "map", 7: "opaque", 8: "sparse", 9: "optional"}

// typeProto writes the TypeProto at s.
func (k *onnxWalk) typeProto(s span, symbols map[string]int64, depth int) error {
	var only *field
	err := k.each(s, depth, func(f field) error {
		switch {
		case f.id == 6: // denotation
			return nil
		case typeFields[f.id] == "":
			return notCanonical("field %d of a type is none that ONNX defines", f.id)
		case only != nil:
			return notCanonical("a type is stated in pieces")
		}
		only = &f
		return k.want(f, bytesType)
	})
	if err != nil {
		return err
	}
	if only == nil {
		k.text("none")
		return nil
	}
	k.text(typeFields[only.id])
	switch only.id {
	case 1, 8:
		return k.tensorShape(only.span, symbols, depth+1)
	case 4, 9:
		return k.innerType(only.span, 1, symbols, depth+1)
	case 5:
		return k.mapShape(only.span, symbols, depth+1)
	}
	return k.opaque(only.span, depth+1)
}

func (k *onnxWalk) innerType(s span, id int, symbols map[string]int64, depth int) error {
	inner, err := k.single(s, id, depth)
	switch {
	case err != nil:
		return err
	case inner == nil:
		k.text("none")
		return nil
	}
	return k.typeProto(*inner, symbols, depth+1)
}

func (k *onnxWalk) mapShape(s span, symbols map[string]int64, depth int) error {
	var key int32
	err := k.each(s, depth, func(f field) error {
		if f.id == 1 {
			return k.enum(f, &key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.number(int64(key))
	return k.innerType(s, 2, symbols, depth)
}

func (k *onnxWalk) opaque(s span, depth int) error {
	var domain, name string
	err := k.each(s, depth, func(f field) error {
		switch f.id {
		case 1:
			return k.wire.text(f, &domain)
		case 2:
			return k.wire.text(f, &name)
		}
		return nil
	})
	k.listing.text(domain)
	k.listing.text(name)
	return err
}

// tensorShape writes the element type and the shape of a TypeProto.Tensor.
func (k *onnxWalk) tensorShape(s span, symbols map[string]int64, depth int) error {
	var kind int32
	err := k.each(s, depth, func(f field) error {
		if f.id == 1 {
			return k.enum(f, &kind)
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.number(int64(kind))
	shape, err := k.single(s, 2, depth)
	if err != nil {
		return err
	}
	if shape == nil {
		k.number(-1)
		return nil
	}
	var dims []span
	err = k.each(*shape, depth+1, func(f field) error {
		if f.id != 1 {
			return notCanonical("field %d of a shape is none that ONNX defines", f.id)
		}
		if dims = append(dims, f.span); len(dims) > maxDims {
			return k.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxDims), "more")
		}
		return k.want(f, bytesType)
	})
	if err != nil {
		return err
	}
	return each(k, dims, func(s span) error { return k.dim(s, symbols, depth+2) })
}

// dim writes a dimension. A symbol is told by where it was met first: its name
// is the exporter's choice.
func (k *onnxWalk) dim(s span, symbols map[string]int64, depth int) error {
	var size int64
	var symbol string
	sized := false
	err := k.each(s, depth, func(f field) error {
		switch f.id {
		case 1:
			sized = true
			return k.integer(f, &size)
		case 2:
			sized = false
			return k.wire.text(f, &symbol)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case sized:
		k.listing.text("size")
		k.listing.number(size)
	case symbol == "":
		k.listing.text("any")
	default:
		if _, met := symbols[symbol]; !met {
			symbols[symbol] = int64(len(symbols))
		}
		k.listing.text("symbol")
		k.listing.number(symbols[symbol])
	}
	return nil
}
