package model

import (
	"fmt"
	"strings"
)

// variablesIndex is the table of a SavedModel's variables.
const variablesIndex = "variables/variables.index"

// variableIndex is what a checkpoint's index says: a table of sorted strings,
// https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/format.h,
// with a BundleEntryProto for each variable,
// …/core/protobuf/tensor_bundle.proto.
type variableIndex struct {
	parameters int64
	dtypes     map[string]int64
	shards     int64
	// optimizer are the names of an optimizer's variables.
	optimizer []string
}

// The bounds of an index.
const (
	maxIndexBlock = 16 << 20
	indexFooter   = 48
	indexMagic    = 0xdb4775248b80fb57
	maxShards     = 1 << 16
)

func (w *wire) variableIndex(index *variableIndex) error {
	if w.size < indexFooter {
		return w.malformed(0, "a table with a footer of 48 bytes", fmt.Sprintf("a file of %d bytes", w.size))
	}
	foot := w.size - indexFooter
	magic, _, err := w.fixed(w.size-8, w.size, fixed64Type)
	if err != nil {
		return err
	}
	if magic != indexMagic {
		return w.malformed(w.size-8, "the magic number of a table", fmt.Sprintf("%#x", magic))
	}
	// The footer has the place of a block about blocks, and of the one that
	// lists all blocks.
	_, next, err := w.handle(foot, w.size)
	if err != nil {
		return err
	}
	list, _, err := w.handle(next, w.size)
	if err != nil {
		return err
	}
	return w.block(list, func(_ string, value span) error {
		data, _, err := w.handle(value.start, value.end)
		if err != nil {
			return err
		}
		return w.block(data, func(key string, value span) error { return w.bundleEntry(key, value, index) })
	})
}

// handle reads the place of a block: an offset and a size.
func (w *wire) handle(at, end int64) (block span, next int64, err error) {
	offset, next, err := w.varint(at, end)
	if err != nil {
		return span{}, 0, err
	}
	size, next, err := w.varint(next, end)
	if err != nil {
		return span{}, 0, err
	}
	if offset > uint64(w.size) || size > maxIndexBlock || size+5 > uint64(w.size)-offset {
		return span{}, 0, w.malformed(at, fmt.Sprintf("a block of at most %d bytes within the file", maxIndexBlock), fmt.Sprintf("%d bytes at byte %d", size, offset))
	}
	return span{int64(offset), int64(offset + size)}, next, nil
}

// block visits the entries of a block: each key shares its start with the one
// before; at the end stand the offsets of keys that do not, and their number.
func (w *wire) block(b span, visit func(key string, value span) error) error {
	kind, err := w.byteAt(b.end)
	if err != nil {
		return err
	}
	if kind != 0 {
		return w.malformed(b.end, "a block that is not compressed, as TensorFlow writes it", fmt.Sprintf("compression %d", kind))
	}
	if b.len() < 4 {
		return w.malformed(b.start, "a block of at least 4 bytes", fmt.Sprint(b.len()))
	}
	restarts, _, err := w.fixed(b.end-4, b.end, fixed32Type)
	if err != nil {
		return err
	}
	end := b.end - 4 - 4*int64(restarts)
	if end < b.start {
		return w.malformed(b.end-4, "a number of restarts that fits into the block", fmt.Sprint(restarts))
	}
	key := []byte{}
	for at := b.start; at < end; {
		var n [3]uint64
		for i := range n {
			if n[i], at, err = w.varint(at, end); err != nil {
				return err
			}
		}
		shared, own, value := n[0], n[1], n[2]
		if shared > uint64(len(key)) || own > maxString || own > uint64(end-at) || value > uint64(end-at)-own || shared+own > maxString {
			return w.malformed(at, fmt.Sprintf("an entry within the block, with a key of at most %d bytes", maxString), fmt.Sprintf("a key of %d+%d bytes and a value of %d", shared, own, value))
		}
		part, err := w.bytes(span{at, at + int64(own)})
		if err != nil {
			return err
		}
		key = append(key[:shared], part...)
		at += int64(own)
		if err := visit(string(key), span{at, at + int64(value)}); err != nil {
			return err
		}
		at += int64(value)
	}
	return nil
}

// bundleEntry counts a variable; the entry without a key is the header.
func (w *wire) bundleEntry(key string, value span, index *variableIndex) error {
	if key == "" {
		return w.each(value, 0, func(f field) error {
			if f.id != 1 {
				return nil
			}
			index.shards = int64(f.number)
			if f.number > maxShards {
				return w.malformed(f.offset, fmt.Sprintf("at most %d files of variables", maxShards), fmt.Sprint(f.number))
			}
			return w.want(f, varintType)
		})
	}
	var kind int32
	shape := []int64{}
	slice := strings.HasPrefix(key, "\x00") // a part of a variable that has an entry of its own
	err := w.each(value, 0, func(f field) error {
		switch f.id {
		case 1:
			return w.enum(f, &kind)
		case 2:
			return w.tfShape(f, 1, &shape)
		}
		return nil
	})
	if err != nil || slice || tfType(kind) == "str" {
		return err
	}
	n, ok := elements(shape)
	if index.parameters += n; !ok || index.parameters < 0 || index.parameters > maxParameters {
		return w.malformed(value.start, "at most 2^53 parameters", "more")
	}
	if n > 0 {
		index.dtypes = with(index.dtypes, tfType(kind), index.dtypes[tfType(kind)]+n)
	}
	if isOptimizerVariable(key) && len(index.optimizer) < MaxEvidence {
		index.optimizer = append(index.optimizer, key)
	}
	return nil
}

// isOptimizerVariable tells by its name whether a variable belongs to an
// optimizer, in an index or in Keras's files: Keras 3's, Keras 2's, and those
// of TensorFlow 1, whose slots are named after the optimizer behind the
// variable's name.
func isOptimizerVariable(key string) bool {
	if strings.HasPrefix(key, "optimizer/") || containsAny(key, "/optimizer/", ".OPTIMIZER_SLOT", "OPTIMIZER_SLOT/", "_current_learning_rate") {
		return true
	}
	last := key[strings.LastIndexByte(key, '/')+1:]
	switch last {
	case "global_step", "beta1_power", "beta2_power", "Adam", "Adam_1", "Momentum", "RMSProp", "RMSProp_1", "Adagrad", "Adadelta", "Adadelta_1", "Ftrl", "Ftrl_1":
		return true
	}
	return false
}
