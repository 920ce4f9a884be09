package model

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// inspectKerasH5 reads what Keras writes into an HDF5 file: a model with its
// configuration, or weights alone.
func inspectKerasH5(path string, _ Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readKerasH5(file, size, filepath.Base(path))
}

func readKerasH5(file io.ReaderAt, size int64, name string) (*Model, error) {
	h, err := readHDF5(file, size, name)
	if err != nil {
		return nil, err
	}
	m := newModel("keras_h5", name)
	m.FormatVersion = "HDF5 superblock " + strconv.Itoa(h.superblock)
	m.Producer = producer("", "")
	if version := h.strings["keras_version"]; version != "" {
		m.Producer = producer("keras", version)
	}
	k := newKerasReader(newLedger(m))
	if err := k.weights(h); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	config, ok := h.strings["model_config"]
	if !ok {
		k.weightsAlone(h)
		return m, nil
	}
	if err := k.configured(config, name+": model_config"); err != nil {
		return nil, err
	}
	if training, ok := h.strings["training_config"]; ok {
		var object map[string]any
		if err := json.Unmarshal([]byte(training), &object); err != nil {
			return nil, fmt.Errorf("%s: training_config: %w", name, err)
		}
		k.compile(object["optimizer_config"])
	}
	k.finish(h.incomplete)
	return m, nil
}

// weights counts the stored weights, and tells whether an optimizer's are among
// them. Seeds and the state of metrics are no weights.
func (k *kerasReader) weights(h *hdf5) error {
	for _, d := range h.datasets {
		switch {
		case strings.HasPrefix(d.path, "optimizer_weights/"), strings.HasPrefix(d.path, "optimizer/"):
			k.optimizer = true
			continue
		case containsAny(d.path, "seed_generator/"), strings.HasPrefix(d.path, "metrics/"), strings.HasPrefix(d.path, "compile_metrics/"):
			continue
		}
		k.Parameters = max(k.Parameters, 0) + d.elements
		if k.Parameters > maxParameters {
			return fmt.Errorf("expected at most 2^53 parameters, found more")
		}
	}
	for _, path := range h.external {
		k.find(PartProblem, "part of the model: a link to another file, which is not followed", quote(path))
	}
	if h.incomplete != "" || len(h.external) > 0 {
		k.uncounted()
	}
	return nil
}

// weightsAlone judges a file without a configuration: names are all it has.
func (k *kerasReader) weightsAlone(h *hdf5) {
	for _, op := range Operations {
		k.hit(op, Unknown, None, "unknown: the file holds weights alone, and no configuration")
	}
	for _, d := range h.datasets {
		if isStatistic(d.path) || strings.Contains(d.path, "batch_normalization") {
			k.hits[BatchNormalization] = []hit{{Present, Latent, "weights " + quote(d.path) + ", which belong to a batch normalization by their name"}}
		}
	}
	if k.optimizer {
		k.find(OptimizerStored, "", "")
	}
	k.ledger.close()
}

// configured reads a model's configuration and judges it.
func (k *kerasReader) configured(config, where string) error {
	var object map[string]any
	if err := json.Unmarshal([]byte(config), &object); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	k.layer(object, 0)
	if compiled, ok := object["compile_config"].(map[string]any); ok {
		k.compile(compiled["optimizer"])
	}
	k.Operators = k.layers
	k.ends(object)
	return nil
}

// finish closes the verdicts; what could not be looked into makes unknown what
// would be absent.
func (k *kerasReader) finish(incomplete string) {
	if incomplete != "" && !k.compiled {
		for _, op := range stateOperations {
			k.hit(op, Unknown, None, "unknown: not read: %s", incomplete)
		}
	}
	k.close()
	k.ledger.close()
}

// ends fills in the model's inputs and outputs: the layers that the
// configuration says they are. The shapes of outputs are not in it.
func (k *kerasReader) ends(object map[string]any) {
	config, _ := object["config"].(map[string]any)
	layers, _ := config["layers"].([]any)
	named := map[string]map[string]any{}
	for i, l := range layers {
		layer, _ := l.(map[string]any)
		inner, _ := layer["config"].(map[string]any)
		name, _ := inner["name"].(string)
		named[name] = inner
		if object["class_name"] == "Sequential" && i == 0 && batchShape(inner) != nil {
			k.Inputs = append(k.Inputs, kerasValue(name, inner))
		}
		if object["class_name"] == "Sequential" && i == len(layers)-1 {
			k.Outputs = append(k.Outputs, Value{Name: name, DType: "unknown"})
		}
	}
	for _, name := range layerNames(config["input_layers"], 0) {
		k.Inputs = append(k.Inputs, kerasValue(name, named[name]))
	}
	for _, name := range layerNames(config["output_layers"], 0) {
		k.Outputs = append(k.Outputs, Value{Name: name, DType: "unknown"})
	}
}

// layerNames lists the layers of references [name, node, tensor], of which
// there is one or a list, or a map by name.
func layerNames(value any, depth int) []string {
	list, ok := value.([]any)
	if !ok || depth > maxDepth {
		return nil
	}
	if len(list) == 3 {
		if name, ok := list[0].(string); ok {
			return []string{name}
		}
	}
	names := []string{}
	for _, inner := range list {
		names = append(names, layerNames(inner, depth+1)...)
	}
	return names
}

// batchShape is an input layer's shape, under Keras 3's name or Keras 2's.
func batchShape(config map[string]any) []any {
	for _, key := range []string{"batch_shape", "batch_input_shape"} {
		if shape, ok := config[key].([]any); ok {
			return shape
		}
	}
	return nil
}

func kerasValue(name string, config map[string]any) Value {
	v := Value{Name: name, DType: "unknown"}
	if dtype, ok := config["dtype"].(string); ok {
		v.DType = shorten(dtype)
	}
	shape := batchShape(config)
	if shape == nil {
		return v
	}
	v.Shape = []string{}
	for _, d := range shape {
		size, ok := d.(float64)
		if !ok {
			v.Shape = append(v.Shape, "?")
			continue
		}
		v.Shape = append(v.Shape, strconv.FormatInt(int64(size), 10))
	}
	return v
}

// inspectKeras reads a .keras file: a zip with the configuration and the
// version of Keras in JSON, and weights in HDF5.
func inspectKeras(path string, _ Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readKeras(file, size, filepath.Base(path))
}

func readKeras(file io.ReaderAt, size int64, name string) (*Model, error) {
	if ok, err := zipIsSmall(file, size); err != nil || !ok {
		return nil, fmt.Errorf("%s: expected a zip with a directory of at most %d bytes, found another or none", name, maxZipDirectory)
	}
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m := newModel("keras", name)
	m.FormatVersion, m.Producer = "unknown: the format states no version of its own", producer("", "")
	k := newKerasReader(newLedger(m))
	entries := map[string]*zip.File{}
	for _, entry := range archive.File {
		if entries[entry.Name] != nil {
			return nil, fmt.Errorf("%s: expected one entry %s, found two", name, quote(entry.Name))
		}
		entries[entry.Name] = entry
	}
	metadata, err := unzip(entries["metadata.json"], name)
	if err != nil {
		return nil, err
	}
	var about struct {
		Version string `json:"keras_version"`
	}
	if err := json.Unmarshal([]byte(metadata), &about); err != nil {
		return nil, fmt.Errorf("%s: metadata.json: %w", name, err)
	}
	if about.Version != "" {
		m.Producer = producer("keras", shorten(about.Version))
	}
	incomplete, err := k.archived(archive, file, name)
	if err != nil {
		return nil, err
	}
	config, err := unzip(entries["config.json"], name)
	if err != nil {
		return nil, err
	}
	if err := k.configured(config, name+": config.json"); err != nil {
		return nil, err
	}
	k.finish(incomplete)
	return m, nil
}

// unzip reads a small entry.
func unzip(entry *zip.File, name string) (string, error) {
	if entry == nil {
		return "", fmt.Errorf("%s: expected the entries metadata.json and config.json, found not both", name)
	}
	reader, err := entry.Open()
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", name, entry.Name, err)
	}
	defer reader.Close()
	data, err := io.ReadAll(io.LimitReader(reader, maxKerasConfig+1))
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", name, entry.Name, err)
	}
	if len(data) > maxKerasConfig {
		return "", fmt.Errorf("%s: %s: expected at most %d bytes, found more", name, entry.Name, maxKerasConfig)
	}
	return string(data), nil
}

// archived reads the weights, of which there may be several files. One that is
// compressed is not read.
func (k *kerasReader) archived(archive *zip.Reader, file io.ReaderAt, name string) (incomplete string, err error) {
	const ending = ".weights.h5"
	k.Parameters = 0
	for _, entry := range archive.File {
		if !strings.HasSuffix(entry.Name, ending) {
			continue
		}
		if entry.Method != zip.Store {
			incomplete = quote(entry.Name) + ", which is compressed"
			continue
		}
		at, err := entry.DataOffset()
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", name, entry.Name, err)
		}
		size := int64(entry.UncompressedSize64)
		h, err := readHDF5(io.NewSectionReader(file, at, size), size, name+": "+entry.Name)
		if err != nil {
			return "", err
		}
		if err := k.weights(h); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if h.incomplete != "" {
			incomplete = h.incomplete
		}
	}
	if incomplete != "" {
		k.uncounted()
	}
	return incomplete, nil
}
