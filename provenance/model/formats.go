package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Purpose says what a format is for. It decides which of several files is the
// frozen model of a run: a deployment format before a training format.
type Purpose string

// The purposes.
const (
	// ForDeployment formats are what a runtime loads for inference.
	ForDeployment Purpose = "deployment"
	// ForTraining is what a framework saves in order to go on; such a file
	// is the frozen model only when nothing was made from it.
	ForTraining Purpose = "training"
)

// Format is one row of Formats.
type Format struct {
	// Name is a stable lower-case word: Model.Format.
	Name    string
	Purpose Purpose
	// Directory is set when a model of this format is a folder.
	Directory bool
	// Mark says, for people, how the format is told from others.
	Mark string
	// Untried is set on a row that no file of a real writer was tried on.
	Untried bool

	// detect tells whether what was opened is of this format. An error is
	// about reading, not about another format.
	detect func(*candidate) (bool, error)
	// inspect reads it; path is the file, or the folder of a Directory format.
	inspect func(path string, format Format) (*Model, error)
	// canonical digests what the model does; nil where that is not defined.
	canonical func(path string) (checksum, error)
}

// ErrNoModel is what Inspect wraps when a file is of none of Formats.
var ErrNoModel = errors.New("expected a model, found none of the formats that are recognised")

// Formats lists every format that is recognised. Detect takes the first row
// that matches; the order matters only where a comment says so. All are told
// by content. The file's name decides in one place alone: an HDF5 file is
// taken for a Keras model by its Keras attributes, or, when these lie out of
// reach of a short search, by the ending .h5, .hdf5 or .keras.
var Formats = []Format{
	{Name: "onnx", Purpose: ForDeployment, Mark: "ModelProto: a version in field 1, a graph in field 7, and each field as onnx.proto has it", detect: detectONNX, inspect: inspectONNX, canonical: canonicalONNX},
	{Name: "tflite", Purpose: ForDeployment, Mark: `"TFL3" at byte 4`, detect: magicAt(4, "TFL3"), inspect: inspectTFLite, canonical: canonicalTFLite},
	{Name: "openvino", Purpose: ForDeployment, Mark: "XML whose root element is <net version=…>", detect: detectOpenVINO, inspect: inspectOpenVINO},
	{Name: "coreml", Purpose: ForDeployment, Mark: "specification Model: a description and a model type of field 200 or more", detect: detectCoreML, inspect: inspectCoreML},
	{Name: "coreml", Purpose: ForDeployment, Directory: true, Mark: "Manifest.json with rootModelIdentifier", detect: detectPackage, inspect: inspectPackage},
	{Name: "gguf", Purpose: ForDeployment, Mark: `"GGUF" at byte 0`, detect: magicAt(0, "GGUF"), inspect: inspectGGUF},
	{Name: "ort", Purpose: ForDeployment, Mark: `"ORTM" at byte 4`, detect: magicAt(4, "ORTM"), inspect: recognisedOnly("a graph of ONNX Runtime's own, in a form that only its version reads; the ONNX model that it was made from can be read")},
	{Name: "tensorrt", Purpose: ForDeployment, Untried: true, Mark: `"ftrt" or "ptrt" at byte 0`, detect: detectTensorRT, inspect: recognisedOnly("a TensorRT engine is code for one kind of GPU, in a form that NVIDIA does not describe")},
	{Name: "ncnn", Purpose: ForDeployment, Untried: true, Mark: `"7767517" and an end of line at byte 0`, detect: magicAt(0, "7767517\n"), inspect: recognisedOnly("layers of ncnn are not looked into, and its weights, in a file without a mark, are not known to belong to it")},
	{Name: "graphdef", Purpose: ForDeployment, Mark: "GraphDef: nodes with a name and an operator in field 1", detect: detectGraphDef, inspect: inspectGraphDef},
	{Name: "saved_model", Purpose: ForTraining, Directory: true, Mark: "saved_model.pb or saved_model.pbtxt", detect: detectSavedModel, inspect: inspectSavedModel},
	{Name: "keras", Purpose: ForTraining, Mark: "zip with metadata.json and config.json", detect: detectKeras, inspect: inspectKeras},
	{Name: "keras_h5", Purpose: ForTraining, Mark: "HDF5 signature and Keras attributes", detect: detectKerasH5, inspect: inspectKerasH5},
	{Name: "ort_checkpoint", Purpose: ForTraining, Mark: `"ODTC" at byte 4`, detect: magicAt(4, "ODTC"), inspect: inspectORTCheckpoint},
	{Name: "pt2", Purpose: ForTraining, Mark: "zip with NAME/archive_format, or serialized_exported_program.json", detect: detectPT2, inspect: inspectPT2},
	{Name: "torchscript", Purpose: ForTraining, Mark: "zip with NAME/data.pkl and NAME/constants.pkl or NAME/code/", detect: detectTorchScript, inspect: inspectTorchScript},
	{Name: "torch", Purpose: ForTraining, Mark: "zip with NAME/data.pkl alone, or the magic number of torch.save's old format", detect: detectTorch, inspect: inspectTorch},
	{Name: "safetensors", Purpose: ForTraining, Mark: "a length of 8 bytes, then a JSON object of that length", detect: detectSafetensors, inspect: inspectSafetensors, canonical: canonicalSafetensors},
	{Name: "safetensors", Purpose: ForTraining, Mark: "JSON object with weight_map, of files that end in .safetensors", detect: detectSafetensorsIndex, inspect: inspectSafetensorsIndex, canonical: canonicalSafetensorsIndex},
}

// notRead stands where a format is recognised but not read in depth yet.
const notRead = "unknown: format not read yet"

// Detect tells the format of a file or directory; ok is false when it is none
// of Formats. A path inside a directory format is judged for itself: use Root
// first to ask for the model that it belongs to.
func Detect(path string) (format Format, ok bool, err error) {
	c, err := openCandidate(path)
	if err != nil {
		return Format{}, false, err
	}
	defer c.Close()
	for _, f := range Formats {
		if f.Directory != c.directory {
			continue
		}
		ok, err := f.detect(c)
		if err != nil {
			return Format{}, false, fmt.Errorf("detect format of %s: %w", path, err)
		}
		if ok {
			return f, true, nil
		}
	}
	return Format{}, false, nil
}

// Inspect reads the model at path, a file or a directory; a file that lies in
// a directory format stands for that directory. It is an error when the file
// is no model or is not what its format demands; the error says where.
func Inspect(path string) (*Model, error) {
	root := Root(path)
	format, ok, err := Detect(root)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("inspect %s: %w", path, ErrNoModel)
	}
	m, err := format.inspect(root, format)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	folder := root
	if !format.Directory {
		folder = filepath.Dir(root)
	}
	return m, m.findLinks(folder)
}

// maxClimb bounds how far Root looks upwards.
const maxClimb = 16

// savedModelEntries are what a SavedModel directory holds at its top,
// https://www.tensorflow.org/guide/saved_model.
var savedModelEntries = map[string]bool{
	"saved_model.pb": true, "saved_model.pbtxt": true, "fingerprint.pb": true, "keras_metadata.pb": true,
	"variables": true, "assets": true, "assets.extra": true, "debug": true,
}

// Root returns the model that a file belongs to: the directory when the file
// is part of a directory format (x/saved_model.pb gives x,
// M.mlpackage/Data/… gives M.mlpackage), otherwise path itself. It looks at
// names and at which files exist, never at contents other than a manifest's.
func Root(path string) string {
	clean := filepath.Clean(path)
	below := filepath.Base(clean)
	dir := filepath.Dir(clean)
	for range maxClimb {
		switch {
		case savedModelEntries[below] && isSavedModel(dir):
			return dir
		case (below == "Data" || below == "Manifest.json") && isPackage(dir):
			return dir
		}
		next := filepath.Dir(dir)
		if next == dir {
			break
		}
		below, dir = filepath.Base(dir), next
	}
	return path
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
