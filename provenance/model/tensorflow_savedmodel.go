package model

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// savedModel is what is kept of a SavedModel message,
// https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_model.proto.
type savedModel struct {
	schema int64
	metas  []*metaGraph
}

// metaGraph is a MetaGraphDef.
type metaGraph struct {
	tags       []string
	version    string
	graph      tfGraph
	signatures map[string]*tfSignature
}

// tfSignature is a SignatureDef; the maps are by the name that a caller uses.
type tfSignature struct {
	inputs, outputs map[string]*tensorInfo
}

type tensorInfo struct {
	name  string
	kind  int32
	shape []int64
}

const (
	maxMetaGraphs = 16
	maxSignatures = 256
	// initSignature names the function that loads what a model needs; it is no
	// entry point.
	initSignature = "__saved_model_init_op"
	// servingSignature is what serving systems call by default.
	servingSignature = "serving_default"
)

// inspectSavedModel reads a SavedModel: its functions, the names and shapes in
// its variables' index, and what Keras wrote beside them.
func inspectSavedModel(path string, format Format) (*Model, error) {
	const main = "saved_model.pb"
	if !isRegular(filepath.Join(path, main)) {
		return inspectDirectory(path, format, "saved_model.pbtxt")
	}
	m := newModel(format.Name, main)
	if err := m.addDirectory(path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var p savedModel
	err = readPart(root, main, func(w *wire) error { return w.savedModel(&p) })
	if err != nil {
		return nil, err
	}
	if len(p.metas) == 0 {
		return nil, fmt.Errorf("%s: expected a meta graph in field 2, found none", main)
	}
	m.FormatVersion = "schema " + strconv.FormatInt(p.schema, 10)
	return m, m.savedModel(&p, root)
}

// readPart gives read the file of this name beneath root.
func readPart(root *os.Root, name string, read func(*wire) error) error {
	info, err := root.Stat(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: expected a regular file, found %s", name, info.Mode().Type())
	}
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer file.Close()
	return read(newWire(file, info.Size(), name))
}

func (w *wire) savedModel(p *savedModel) error {
	return w.each(span{0, w.size}, 0, func(f field) error {
		switch f.id {
		case 1:
			return w.integer(f, &p.schema)
		case 2:
			if len(p.metas) == maxMetaGraphs {
				return w.malformed(f.offset, fmt.Sprintf("at most %d meta graphs", maxMetaGraphs), "more")
			}
			meta := &metaGraph{signatures: map[string]*tfSignature{}, graph: tfGraph{functions: map[string]*tfFunction{}}}
			p.metas = append(p.metas, meta)
			return w.message(f, 1, func(f field) error { return w.metaGraph(f, meta) })
		}
		return nil
	})
}

func (w *wire) metaGraph(f field, meta *metaGraph) error {
	switch f.id {
	case 1:
		return w.message(f, 2, func(f field) error {
			switch f.id {
			case 4:
				return w.texts(f, &meta.tags)
			case 5:
				return w.text(f, &meta.version)
			}
			return nil
		})
	case 2:
		return w.tfGraph(f, 2, &meta.graph)
	case 5:
		var name string
		s := &tfSignature{map[string]*tensorInfo{}, map[string]*tensorInfo{}}
		err := w.message(f, 2, func(f field) error {
			switch f.id {
			case 1:
				return w.text(f, &name)
			case 2:
				return w.message(f, 3, func(f field) error {
					switch f.id {
					case 1:
						return w.tensorInfo(f, s.inputs)
					case 2:
						return w.tensorInfo(f, s.outputs)
					}
					return nil
				})
			}
			return nil
		})
		if meta.signatures[name] = s; len(meta.signatures) > maxSignatures {
			return w.malformed(f.offset, fmt.Sprintf("at most %d signatures", maxSignatures), "more")
		}
		return err
	}
	return nil
}

// tensorInfo reads an entry of map<string, TensorInfo>.
func (w *wire) tensorInfo(f field, into map[string]*tensorInfo) error {
	if err := w.keep(f.offset, valueCost); err != nil {
		return err
	}
	var key string
	info := &tensorInfo{}
	err := w.message(f, 4, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &key)
		case 2:
			return w.message(f, 5, func(f field) error {
				switch f.id {
				case 1:
					return w.text(f, &info.name)
				case 2:
					return w.enum(f, &info.kind)
				case 3:
					return w.tfShape(f, 6, &info.shape)
				}
				return nil
			})
		}
		return nil
	})
	into[key] = info
	return err
}

// values lists a signature's inputs or outputs. A signature's are by name, in
// no order.
func values(infos map[string]*tensorInfo) []Value {
	list := []Value{}
	for _, name := range slices.Sorted(maps.Keys(infos)) {
		v := Value{Name: name, DType: tfType(infos[name].kind)}
		if infos[name].shape != nil {
			v.Shape = dimensions(infos[name].shape, nil)
		}
		list = append(list, v)
	}
	return list
}

// savedModel fills in what the files of a SavedModel say.
func (m *Model) savedModel(p *savedModel, root *os.Root) error {
	m.Producer = producer("", "")
	first := p.serving()
	if first.version != "" {
		m.Producer = producer("tensorflow", first.version)
	}
	m.Operators = first.graph.operators()
	if s := first.signatures[first.main()]; s != nil {
		m.Inputs, m.Outputs = values(s.inputs), values(s.outputs)
	}
	l := newLedger(m)
	trains, known := false, map[Operation]bool{}
	for _, meta := range p.metas {
		runs, stored := l.metaGraph(meta, len(p.metas) > 1)
		trains = trains || runs
		maps.Copy(known, stored)
	}
	state, err := l.savedState(root, known)
	if err != nil {
		return err
	}
	if !trains && !state {
		for _, op := range stateOperations {
			l.hit(op, Absent, None, "no function that trains, no optimizer's variable and no configuration of Keras is in it, which says nothing of how the model was trained")
		}
	}
	l.close()
	return nil
}

// serving is the meta graph that is served, else the first.
func (p *savedModel) serving() *metaGraph {
	for _, meta := range p.metas {
		if slices.Contains(meta.tags, "serve") {
			return meta
		}
	}
	return p.metas[0]
}

// entries are the names of the signatures that a program can call.
func (meta *metaGraph) entries() []string {
	names := slices.Sorted(maps.Keys(meta.signatures))
	return slices.DeleteFunc(names, func(name string) bool { return name == initSignature })
}

// main is the name of the signature whose inputs are the model's.
func (meta *metaGraph) main() string {
	names := meta.entries()
	if slices.Contains(names, servingSignature) || len(names) == 0 {
		return servingSignature
	}
	return names[0]
}

// metaGraph judges each signature, and what no signature reaches: trains tells
// whether a signature does, stored of which operations of training there is
// something out of reach.
func (l *ledger) metaGraph(meta *metaGraph, several bool) (trains bool, stored map[Operation]bool) {
	names := meta.entries()
	var wanted []string
	ends := []int{0}
	for _, name := range names {
		outputs := meta.signatures[name].outputs
		for _, key := range slices.Sorted(maps.Keys(outputs)) {
			wanted = append(wanted, outputs[key].name)
		}
		ends = append(ends, len(wanted))
	}
	b, _ := meta.graph.write("", wanted)
	outputs := b.outputs
	seen := make([]bool, len(b.steps))
	if b.tooLarge == "" {
		b.link(nil)
	}
	for i, name := range names {
		if b.tooLarge == "" {
			b.outputs = outputs[ends[i]:ends[i+1]]
			b.markLive(nil)
			for i, live := range b.alive() {
				seen[i] = seen[i] || live
			}
		}
		if b.entry = ""; len(names) > 1 {
			b.entry = "signature " + quote(name)
		}
		if several {
			b.entry = strings.TrimSpace(b.entry + " of the meta graph for " + quote(strings.Join(meta.tags, ", ")))
		}
		trains = l.graph(b.flow) || trains
	}
	if len(names) == 0 {
		for _, op := range []Operation{Dropout, BatchNormalization} {
			l.hit(op, Unknown, None, "unknown: the model has no signature, so that it could not be told which of its functions is run")
		}
	}
	l.latent(b.flow, seen)
	l.uncalled(&meta.graph, b.reached)
	if !trains {
		stored = l.untrained(b.flow)
	}
	return trains, stored
}

// savedState looks beside the graph for what training left: variables of an
// optimizer and what Keras wrote; found is false when there is neither. What is
// known from the graph is not made unknown by an optimizer without settings.
func (l *ledger) savedState(root *os.Root, known map[Operation]bool) (found bool, err error) {
	var index variableIndex
	err = readPart(root, variablesIndex, func(w *wire) error { return w.variableIndex(&index) })
	switch {
	case os.IsNotExist(err):
		l.Parameters = 0
	case err != nil:
		return false, err
	default:
		l.Parameters = index.parameters
		maps.Copy(l.DTypes, index.dtypes)
		l.shards(&index)
	}
	slots := index.optimizer
	configured, err := l.kerasMetadata(root, len(slots) > 0)
	if err != nil {
		return false, err
	}
	if len(slots) == 0 {
		return configured, nil
	}
	l.find(OptimizerStored, "", quote(slots[0]))
	if !configured {
		for _, op := range stateOperations {
			if known[op] {
				continue
			}
			l.hit(op, Unknown, None, "unknown: an optimizer's state is stored, such as %s, and how it was set is not", quote(slots[0]))
		}
	}
	return true, nil
}

// shards notes the files of variables that the index speaks of and that are
// not there.
func (l *ledger) shards(index *variableIndex) {
	for i := range index.shards {
		name := fmt.Sprintf("variables/variables.data-%05d-of-%05d", i, index.shards)
		if !slices.ContainsFunc(l.Parts, func(p Part) bool { return p.Name == name }) {
			l.Parts = append(l.Parts, Part{Name: name, Size: -1, Problem: "file not found"})
			l.find(PartProblem, "part of the model: file not found", quote(name))
		}
	}
	slices.SortFunc(l.Parts, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
}

// kerasMetadata reads keras_metadata.pb, which Keras 2 writes: SavedMetadata
// with a node for each object, and the object's configuration in JSON.
func (l *ledger) kerasMetadata(root *os.Root, optimizer bool) (found bool, err error) {
	const name = "keras_metadata.pb"
	k := newKerasReader(l)
	k.optimizer = optimizer
	err = readPart(root, name, func(w *wire) error {
		return w.each(span{0, w.size}, 0, func(f field) error {
			if f.id != 1 {
				return nil
			}
			var path, identifier, metadata string
			err := w.message(f, 1, func(f field) error {
				switch f.id {
				case 3:
					return w.text(f, &path)
				case 4:
					return w.text(f, &identifier)
				case 5:
					return w.prefix(f, maxKerasConfig, &metadata)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return k.object(path, identifier, metadata)
		})
	})
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	k.close()
	return true, nil
}
