package model

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// inspectCoreML reads a Core ML specification, a Model message of protobuf,
// https://apple.github.io/coremltools/mlmodel/Format/Model.html.
func inspectCoreML(path string, _ Format) (*Model, error) {
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
	m := newModel("coreml", filepath.Base(path))
	return m, m.coreML(file, size, m.Main, root)
}

// inspectPackage reads a package: a folder whose manifest says which file is
// the specification. Weights may lie in other files.
func inspectPackage(dir string, _ Format) (*Model, error) {
	manifest, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	m := newModel("coreml", manifest.main)
	if err := m.addDirectory(dir); err != nil {
		return nil, err
	}
	m.addItems(root, manifest)
	part := statPart(root, m.Main)
	if part.Problem != "" {
		return nil, fmt.Errorf("%s: %s", m.Main, part.Problem)
	}
	file, err := root.Open(filepath.FromSlash(m.Main))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return m, m.coreML(file, part.Size, m.Main, root)
}

// addItems holds the manifest's items against what is in the package.
func (m *Model) addItems(root *os.Root, manifest packageManifest) {
	for _, item := range manifest.items {
		name, problem := partName(item)
		if problem != "" {
			m.add(Part{Name: item, Size: -1, Problem: problem})
			continue
		}
		name = path.Join("Data", name)
		if _, err := root.Stat(filepath.FromSlash(name)); err != nil {
			m.missing(root, name)
		}
	}
}

// missing adds a part that is not listed yet.
func (m *Model) missing(root *os.Root, name string) {
	if !slices.ContainsFunc(m.Parts, func(p Part) bool { return p.Name == name }) {
		m.add(statPart(root, name))
		slices.SortFunc(m.Parts, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// mlModel is what is kept of a Model message.
type mlModel struct {
	version      int64
	updatable    bool
	inputs       []Value
	outputs      []Value
	entries      []mlEntry
	defaultEntry string
	source       map[string]string // userDefined metadata
	kind         int               // the number of the field that holds the model proper
	network      *mlNetwork
	program      *mlProgram
	models       []*mlModel // of a pipeline
}

// The fields of Model that hold what is looked into.
const (
	mlPipelineClassifier = 200
	mlPipelineRegressor  = 201
	mlPipeline           = 202
	mlNetworkRegressor   = 303
	mlNetworkClassifier  = 403
	mlNeuralNetwork      = 500
	mlProgramField       = 502
)

// mlKinds name the fields of Model that hold a model.
var mlKinds = map[int]string{
	mlPipelineClassifier: "pipelineClassifier", mlPipelineRegressor: "pipelineRegressor", mlPipeline: "pipeline",
	300: "glmRegressor", 301: "supportVectorRegressor", 302: "treeEnsembleRegressor", mlNetworkRegressor: "neuralNetworkRegressor",
	304: "bayesianProbitRegressor", 400: "glmClassifier", 401: "supportVectorClassifier", 402: "treeEnsembleClassifier",
	mlNetworkClassifier: "neuralNetworkClassifier", 404: "kNearestNeighborsClassifier", mlNeuralNetwork: "neuralNetwork",
	501: "itemSimilarityRecommender", mlProgramField: "mlProgram", 555: "customModel", 556: "linkedModel", 560: "classConfidenceThresholding",
	600: "oneHotEncoder", 601: "imputer", 602: "featureVectorizer", 603: "dictVectorizer", 604: "scaler", 606: "categoricalMapping",
	607: "normalizer", 609: "arrayFeatureExtractor", 610: "nonMaximumSuppression", 900: "identity", 2000: "textClassifier",
	2001: "wordTagger", 2002: "visionFeaturePrint", 2003: "soundAnalysisPreprocessing", 2004: "gazetteer", 2005: "wordEmbedding",
	2006: "audioFeaturePrint", 3000: "serializedModel",
}

// mlWithoutLayers are kinds that are computed by a fixed rule, without layers.
var mlWithoutLayers = words(`glmRegressor supportVectorRegressor treeEnsembleRegressor bayesianProbitRegressor glmClassifier
supportVectorClassifier treeEnsembleClassifier kNearestNeighborsClassifier itemSimilarityRecommender classConfidenceThresholding
oneHotEncoder imputer featureVectorizer dictVectorizer scaler categoricalMapping normalizer arrayFeatureExtractor
nonMaximumSuppression identity`)

// mlCost is what a layer or an operation takes in memory, that of judging it
// included.
const mlCost = 3 * nodeCost

// maxMLModels bounds how many models may be in pipelines.
const maxMLModels = 1 << 10

// coreML reads the specification and fills in the model; root is the package,
// or the folder that the file lies in.
func (m *Model) coreML(file io.ReaderAt, size int64, name string, root *os.Root) error {
	w := newWire(file, size, name)
	spec := &mlModel{}
	models := 0
	if err := w.mlModel(span{0, size}, 1, &models, spec); err != nil {
		return err
	}
	spec.chooseEntry()
	m.FormatVersion = fmt.Sprintf("specification %d, %s", spec.version, spec.kindName())
	m.Inputs, m.Outputs = notNil(spec.inputs), notNil(spec.outputs)
	m.Producer = spec.producer()
	m.Parameters = 0
	b := &blobs{model: m, root: root, folder: path.Dir(m.Main), specification: file, files: map[string]*blobFile{}}
	defer b.close()
	if err := spec.count(m, b); err != nil {
		return err
	}
	l := newLedger(m)
	if err := l.mlModel(spec, "", b); err != nil {
		return err
	}
	b.check()
	l.close()
	return nil
}

func (s *mlModel) kindName() string {
	if name, ok := mlKinds[s.kind]; ok {
		return name
	}
	return "kind " + strconv.Itoa(s.kind)
}

// coreMLTools is how coremltools names itself among the metadata.
const coreMLTools = "com.github.apple.coremltools.version"

func (s *mlModel) producer() string {
	if v := s.source[coreMLTools]; v != "" {
		return producer("coremltools", clip(v))
	}
	return producer("", "")
}

// mlModel reads a Model message.
func (w *wire) mlModel(s span, depth int, models *int, m *mlModel) error {
	if *models++; *models > maxMLModels {
		return w.malformed(s.start, fmt.Sprintf("at most %d models", maxMLModels), "more")
	}
	var held field
	err := w.each(s, depth, func(f field) error {
		switch {
		case f.id == 1:
			return w.integer(f, &m.version)
		case f.id == 2:
			return w.mlDescription(f, depth+1, m)
		case f.id == 10:
			m.updatable = f.number != 0
			return w.want(f, varintType)
		case f.id >= coreMLType:
			if m.kind != 0 {
				return w.malformed(f.offset, "one model in a specification", "two")
			}
			m.kind, held = f.id, f
			return w.want(f, bytesType)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch m.kind {
	case 0:
		return w.malformed(s.start, "a model in the specification", "none")
	case mlPipeline:
		return w.mlPipeline(held.span, depth+1, models, m)
	case mlPipelineClassifier, mlPipelineRegressor:
		return w.each(held.span, depth+1, func(f field) error {
			if f.id != 1 {
				return nil
			}
			if err := w.want(f, bytesType); err != nil {
				return err
			}
			return w.mlPipeline(f.span, depth+2, models, m)
		})
	case mlNeuralNetwork, mlNetworkClassifier, mlNetworkRegressor:
		m.network = &mlNetwork{}
		return w.mlNetwork(held.span, depth+1, m.network)
	case mlProgramField:
		m.program = &mlProgram{}
		if err := w.mlProgram(held.span, depth+1, m.program); err != nil {
			return err
		}
		if len(m.program.functions) == 0 {
			return w.malformed(held.start, "a function in the program", "none")
		}
	}
	return nil
}

func (w *wire) mlPipeline(s span, depth int, models *int, m *mlModel) error {
	return w.each(s, depth, func(f field) error {
		if f.id != 1 {
			return nil
		}
		if err := w.want(f, bytesType); err != nil {
			return err
		}
		inner := &mlModel{}
		m.models = append(m.models, inner)
		return w.mlModel(f.span, depth+1, models, inner)
	})
}

// mlDescription reads a ModelDescription.
func (w *wire) mlDescription(f field, depth int, m *mlModel) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.mlFeatureIn(f, depth+1, &m.inputs)
		case 10:
			return w.mlFeatureIn(f, depth+1, &m.outputs)
		case 20: // of several functions; the default one's stand for the model
			return w.mlFunctionDescription(f, depth+1, m)
		case 21:
			return w.text(f, &m.defaultEntry)
		case 100:
			return w.mlMetadata(f, depth+1, m)
		}
		return nil
	})
}

// mlEntry is what a function of several takes and gives.
type mlEntry struct {
	name            string
	inputs, outputs []Value
}

// mlFunctionDescription reads the inputs and outputs of a function.
func (w *wire) mlFunctionDescription(f field, depth int, m *mlModel) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	var entry mlEntry
	err := w.each(f.span, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &entry.name)
		case 2:
			return w.mlFeatureIn(f, depth+1, &entry.inputs)
		case 3:
			return w.mlFeatureIn(f, depth+1, &entry.outputs)
		}
		return nil
	})
	m.entries = append(m.entries, entry)
	return err
}

// chooseEntry lets the default function stand for a model of several.
func (s *mlModel) chooseEntry() {
	for _, entry := range s.entries {
		if entry.name == s.defaultEntry {
			s.inputs, s.outputs = entry.inputs, entry.outputs
		}
	}
}

// maxUserDefined bounds how many entries of metadata are looked at.
const maxUserDefined = 1 << 12

func (w *wire) mlMetadata(f field, depth int, m *mlModel) error {
	if err := w.want(f, bytesType); err != nil {
		return err
	}
	m.source = map[string]string{}
	n := 0
	return w.each(f.span, depth, func(f field) error {
		if f.id != 100 {
			return nil
		}
		if n++; n > maxUserDefined {
			return w.malformed(f.offset, fmt.Sprintf("at most %d entries of metadata", maxUserDefined), "more")
		}
		key, value, err := w.mapEntry(f, depth+1)
		if err != nil || !strings.HasPrefix(key, "com.github.apple.") {
			return err
		}
		text := ""
		if value.kind == bytesType {
			err = w.prefix(value, maxShownName, &text)
		}
		m.source[key] = text
		return err
	})
}

// mapEntry is one of a protobuf map: the key, and the field that holds the value,
// of which the id is 0 when there is none.
func (w *wire) mapEntry(f field, depth int) (key string, value field, err error) {
	if err := w.want(f, bytesType); err != nil {
		return "", field{}, err
	}
	err = w.each(f.span, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &key)
		case 2:
			value = f
		}
		return nil
	})
	return key, value, err
}

// mlFeatureIn appends what a FeatureDescription says.
func (w *wire) mlFeatureIn(f field, depth int, into *[]Value) error {
	v := Value{DType: "unknown"}
	err := w.mlFeature(f, depth, &v)
	*into = append(*into, v)
	if err != nil {
		return err
	}
	return w.keep(f.offset, valueCost+int64(len(v.Name)+16*len(v.Shape)))
}

// mlFeature reads a FeatureDescription.
func (w *wire) mlFeature(f field, depth int, v *Value) error {
	return w.message(f, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &v.Name)
		case 3:
			return w.message(f, depth+1, func(f field) error {
				if f.id > 8 {
					return nil
				}
				if err := w.want(f, bytesType); err != nil {
					return err
				}
				return w.mlType(f, depth+2, v)
			})
		}
		return nil
	})
}

// mlArrayTypes are ArrayFeatureType.ArrayDataType.
var mlArrayTypes = map[int64]string{65568: "float32", 65600: "float64", 131104: "int32", 131080: "int8", 65552: "float16"}

// mlType reads one of the types of FeatureType.
func (w *wire) mlType(f field, depth int, v *Value) error {
	switch f.id {
	case 1, 2, 3:
		v.DType, v.Shape = []string{"", "int64", "float64", "str"}[f.id], []string{}
	case 4:
		var width, height int64
		err := w.each(f.span, depth, func(f field) error {
			switch f.id {
			case 1:
				return w.integer(f, &width)
			case 2:
				return w.integer(f, &height)
			}
			return nil
		})
		v.DType, v.Shape = "image", []string{strconv.FormatInt(height, 10), strconv.FormatInt(width, 10)}
		return err
	case 5:
		return w.mlArray(f, depth, v)
	case 6:
		kind, err := w.among(f.span, depth, map[int]string{1: "int64", 2: "str"})
		v.DType = "map(" + kind + ",float64)"
		return err
	case 7:
		kind, err := w.among(f.span, depth, map[int]string{1: "int64", 3: "str"})
		v.DType = "sequence(" + kind + ")"
		return err
	}
	return nil
}

// among is the name of the last field of a message that has one.
func (w *wire) among(s span, depth int, names map[int]string) (found string, err error) {
	found = "unknown"
	err = w.each(s, depth, func(f field) error {
		if name, ok := names[f.id]; ok {
			found = name
		}
		return nil
	})
	return found, err
}

// maxMLShapes bounds the dimensions and the alternatives of one shape.
const maxMLShapes = 1 << 12

// mlArray reads an ArrayFeatureType.
func (w *wire) mlArray(f field, depth int, v *Value) error {
	var shape []int64
	var ranges, listed [][2]int64
	err := w.each(f.span, depth, func(f field) error {
		switch f.id {
		case 1:
			return w.numbers(f, varintType, func(n uint64) error {
				if len(shape) == maxMLShapes {
					return w.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxMLShapes), "more")
				}
				shape = append(shape, int64(n))
				return nil
			})
		case 2:
			var kind int64
			err := w.integer(f, &kind)
			if name, ok := mlArrayTypes[kind]; ok {
				v.DType = name
			}
			return err
		case 21:
			return w.mlEnumerated(f, depth+1, &listed)
		case 31:
			return w.mlRanges(f, depth+1, &ranges)
		}
		return nil
	})
	switch {
	case len(ranges) > 0:
		v.Shape = intervals(ranges)
	case len(listed) > 0:
		v.Shape = intervals(listed)
	case len(shape) > 0:
		v.Shape = dimensions(shape, nil)
	}
	return err
}

// intervals writes dimensions that may vary as "2..8", "2.." without an end.
func intervals(ranges [][2]int64) []string {
	dims := []string{}
	for _, r := range ranges {
		low, high := strconv.FormatInt(r[0], 10), strconv.FormatInt(r[1], 10)
		switch {
		case r[0] == r[1]:
			dims = append(dims, low)
		case r[1] < 0:
			dims = append(dims, low+"..")
		default:
			dims = append(dims, low+".."+high)
		}
	}
	return dims
}

// mlRanges reads a ShapeRange.
func (w *wire) mlRanges(f field, depth int, into *[][2]int64) error {
	return w.message(f, depth, func(f field) error {
		if f.id != 1 {
			return nil
		}
		if err := w.want(f, bytesType); err != nil {
			return err
		}
		if len(*into) == maxMLShapes {
			return w.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxMLShapes), "more")
		}
		var r [2]int64
		err := w.each(f.span, depth+1, func(f field) error {
			if f.id == 1 || f.id == 2 {
				return w.integer(f, &r[f.id-1])
			}
			return nil
		})
		*into = append(*into, r)
		return err
	})
}

// mlEnumerated reads EnumeratedShapes as the intervals that hold all of them.
func (w *wire) mlEnumerated(f field, depth int, into *[][2]int64) error {
	return w.message(f, depth, func(f field) error {
		if f.id != 1 {
			return nil
		}
		if err := w.want(f, bytesType); err != nil {
			return err
		}
		at := 0
		return w.each(f.span, depth+1, func(f field) error {
			if f.id != 1 {
				return nil
			}
			return w.numbers(f, varintType, func(n uint64) error {
				switch d := int64(n); {
				case at == maxMLShapes:
					return w.malformed(f.offset, fmt.Sprintf("at most %d dimensions", maxMLShapes), "more")
				case at == len(*into):
					*into = append(*into, [2]int64{d, d})
				default:
					r := &(*into)[at]
					r[0], r[1] = min(r[0], d), max(r[1], d)
				}
				at++
				return nil
			})
		})
	})
}

// count fills in the histogram and the number of parameters.
func (s *mlModel) count(m *Model, b *blobs) error {
	for _, inner := range s.models {
		m.Operators[inner.kindName()]++
		if err := inner.count(m, b); err != nil {
			return err
		}
	}
	switch {
	case s.network != nil:
		s.network.count(m)
	case s.program != nil:
		s.program.count(m, b)
		s.program.shapes(s.defaultEntry, m)
	}
	if m.Parameters > maxParameters {
		return fmt.Errorf("%s: expected at most 2^53 parameters, found more", m.Main)
	}
	return nil
}

// mlModel judges a model, and those of a pipeline one by one.
func (l *ledger) mlModel(s *mlModel, where string, b *blobs) error {
	if s.updatable {
		l.updatable(s, where)
	}
	switch {
	case len(s.models) > 0:
		for i, inner := range s.models {
			if err := l.mlModel(inner, fmt.Sprintf("model %d of the pipeline%s", i, inside(where)), b); err != nil {
				return err
			}
		}
		return nil
	case s.network != nil:
		l.mlNetwork(s.network, s.inputs, s.outputs, where)
	case s.program != nil:
		l.mlProgram(s.program, where, b)
	case mlWithoutLayers[s.kindName()]:
		for _, op := range []Operation{Dropout, BatchNormalization} {
			l.hit(op, Absent, NotRepresentable, "a %s has no layers%s", s.kindName(), inside(where))
		}
	default:
		for _, op := range Operations {
			l.hit(op, Unknown, None, "unknown: what a %s computes is not in the file, or not looked into%s", s.kindName(), inside(where))
		}
		l.find(FlowUnknownOperator, "", s.kindName()+inside(where))
	}
	if !s.updatable {
		for _, op := range stateOperations {
			l.hit(op, Absent, NotRepresentable, "the model is not updatable: Core ML has no other place for what training needs")
		}
	}
	return nil
}

func inside(where string) string {
	if where == "" {
		return ""
	}
	return " in " + where
}

// updatable judges a model that a device may train further. Core ML can store
// the learning rate of an optimizer, but no clipping and no penalty.
func (l *ledger) updatable(s *mlModel, where string) {
	text := "isUpdatable is set" + inside(where)
	u := mlUpdate{}
	if s.network != nil {
		u = s.network.update
	}
	if u.optimizer != "" {
		text += ", optimizer " + u.optimizer
	}
	if len(u.losses) > 0 {
		text += ", loss " + quote(u.losses[0])
	}
	l.find(UpdatableModel, "", text)
	rate := ""
	if u.rate != "" {
		rate = ", which starts at " + u.rate
	}
	l.hit(LearningRateScheduling, Unknown, None, "unknown: %s; the program that trains may change the learning rate%s", text, rate)
	for _, op := range []Operation{GradientClipping, WeightRegularization} {
		l.hit(op, Absent, NotRepresentable, "%s, but the format has no setting for it", text)
	}
}
