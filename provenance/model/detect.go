package model

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of detection; it runs over every file that a run wrote.
const (
	maxDetectFields  = 1 << 16 // top-level protobuf fields looked at
	maxZipEntries    = 1 << 16
	maxZipDirectory  = 64 << 20 // bytes between a zip's first directory entry and its end
	maxXMLHead       = 64 << 10 // bytes before an XML root element
	maxManifest      = 1 << 20
	maxSafetensors   = 100_000_000 // header bytes; the format's own limit
	hdf5SearchLength = 4 << 20
)

// candidate is a file or directory whose format is asked for.
type candidate struct {
	path      string
	directory bool
	file      *os.File // nil for a directory
	size      int64

	zipNames  map[string]bool // nil until asked for
	topFields []field
	topAsked  bool
	topCut    bool
}

func openCandidate(path string) (*candidate, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("detect format: %w", err)
	}
	if info.IsDir() {
		return &candidate{path: path, directory: true}, nil
	}
	file, size, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("detect format: %w", err)
	}
	return &candidate{path: path, file: file, size: size}, nil
}

// openRegular opens a regular file; opening a pipe or a device would block or
// have an effect.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("open %s: expected a regular file, found %s", path, info.Mode().Type())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// Close closes the file, if there is one.
func (c *candidate) Close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// has tells whether the file has mark at offset.
func (c *candidate) has(offset int64, mark string) (bool, error) {
	b := make([]byte, len(mark))
	switch _, err := c.file.ReadAt(b, offset); err {
	case nil:
		return string(b) == mark, nil
	case io.EOF:
		return false, nil
	default:
		return false, err
	}
}

func magicAt(offset int64, mark string) func(*candidate) (bool, error) {
	return func(c *candidate) (bool, error) { return c.has(offset, mark) }
}

func anyOf(detectors ...func(*candidate) (bool, error)) func(*candidate) (bool, error) {
	return func(c *candidate) (bool, error) {
		for _, detect := range detectors {
			if ok, err := detect(c); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
}

// detectTensorRT knows the magic numbers of engine plans from their users; no
// engine was at hand.
var detectTensorRT = anyOf(magicAt(0, "ftrt"), magicAt(0, "ptrt"))

// Protobuf has no magic number: the formats that use it are told apart by
// which fields stand at the top, and with which wire type.

// top lists the file's top-level fields; cut is set when the last one's length
// reaches past the end, as in a file that was cut off. It is empty when the
// bytes are no protobuf message.
func (c *candidate) top() (fields []field, cut bool, err error) {
	if c.topAsked {
		return c.topFields, c.topCut, nil
	}
	c.topAsked = true
	w := newWire(c.file, c.size, c.path)
	for offset := int64(0); offset < c.size && len(c.topFields) < maxDetectFields; {
		f, next, err := w.field(offset, c.size)
		var overrun *overrunError
		switch {
		case errors.As(err, &overrun):
			c.topFields, c.topCut = append(c.topFields, f), true
			return c.topFields, true, nil
		case errors.As(err, new(*os.PathError)):
			return nil, false, err
		case err != nil:
			c.topFields = nil
			return nil, false, nil
		}
		c.topFields = append(c.topFields, f)
		offset = next
	}
	return c.topFields, false, nil
}

// shaped tells whether every top-level field is one of shape (number → wire
// type) and each of need is there.
func (c *candidate) shaped(shape map[int]int, need ...int) (bool, error) {
	fields, _, err := c.top()
	if err != nil {
		return false, err
	}
	seen := map[int]bool{}
	for _, f := range fields {
		if kind, ok := shape[f.id]; !ok || kind != f.kind {
			return false, nil
		}
		seen[f.id] = true
	}
	for _, id := range need {
		if !seen[id] {
			return false, nil
		}
	}
	return true, nil
}

// onnxShape is ModelProto in onnx-ml.proto, graphShape its GraphProto.
var (
	onnxShape = map[int]int{
		1: varintType, 2: bytesType, 3: bytesType, 4: bytesType, 5: varintType, 6: bytesType, 7: bytesType,
		8: bytesType, 14: bytesType, 20: bytesType, 25: bytesType, 26: bytesType,
	}
	graphShape = map[int]bool{1: true, 2: true, 5: true, 10: true, 11: true, 12: true, 13: true, 14: true, 15: true, 16: true}
)

// maxDetectGraph bounds how many fields of an ONNX graph detection looks at.
const maxDetectGraph = 16

// detectONNX accepts fields that onnx.proto does not have, as runtimes do: a
// file must not stop being a model by one field more. It also accepts a file
// that was cut off within its graph, so that Inspect can say where.
func detectONNX(c *candidate) (bool, error) {
	fields, _, err := c.top()
	if err != nil {
		return false, err
	}
	versions, graphs := 0, []span{}
	for _, f := range fields {
		if kind, ok := onnxShape[f.id]; ok && kind != f.kind {
			return false, nil
		}
		switch f.id {
		case 1, 8:
			versions++
		case 7:
			graphs = append(graphs, f.span)
		}
	}
	if versions == 0 || len(graphs) == 0 {
		return false, nil
	}
	return c.looksLikeGraph(graphs[0])
}

func (c *candidate) looksLikeGraph(s span) (bool, error) {
	w := newWire(c.file, c.size, c.path)
	for offset, n := s.start, 0; offset < s.end && n < maxDetectGraph; n++ {
		f, next, err := w.field(offset, s.end)
		switch {
		case errors.As(err, new(*overrunError)):
			return graphShape[f.id], nil
		case errors.As(err, new(*os.PathError)):
			return false, err
		case err != nil || !graphShape[f.id] || f.kind != bytesType:
			return false, nil
		}
		offset = next
	}
	return true, nil
}

func detectSavedModelFile(c *candidate) (bool, error) {
	return c.shaped(map[int]int{1: varintType, 2: bytesType}, 1, 2)
}

// coreMLType is the lowest field number of the type union in Core ML's
// Model.proto; 1, 2 and 10 are version, description and isUpdatable.
const coreMLType = 200

func detectCoreML(c *candidate) (bool, error) {
	fields, cut, err := c.top()
	if err != nil || cut {
		return false, err
	}
	described, typed := false, false
	for _, f := range fields {
		switch {
		case f.id == 2 && f.kind == bytesType:
			described = true
		case f.id >= coreMLType && f.id < 4*1000 && f.kind == bytesType:
			typed = true
		case (f.id == 1 || f.id == 10) && f.kind == varintType:
		default:
			return false, nil
		}
	}
	return described && typed, nil
}

// detectGraphDef wants a first node with a name and an operator, as any
// message may have a first field of bytes.
func detectGraphDef(c *candidate) (bool, error) {
	ok, err := c.shaped(map[int]int{1: bytesType, 2: bytesType, 3: varintType, 4: bytesType}, 1)
	if !ok || err != nil {
		return false, err
	}
	first := c.topFields[0]
	if first.id != 1 {
		return false, nil
	}
	var name, op string
	w := newWire(c.file, c.size, c.path)
	err = w.each(first.span, 1, func(f field) error {
		switch f.id {
		case 1:
			return w.text(f, &name)
		case 2:
			return w.text(f, &op)
		}
		return nil
	})
	if errors.As(err, new(*os.PathError)) {
		return false, err
	}
	return err == nil && name != "" && op != "" && (op[0] >= 'A' && op[0] <= 'Z' || op[0] == '_'), nil
}

// names lists a zip file's entries, with the first path element, which is the
// archive's own name in PyTorch's files, replaced by "*".
func (c *candidate) names() (map[string]bool, error) {
	if c.zipNames != nil {
		return c.zipNames, nil
	}
	c.zipNames = map[string]bool{}
	if ok, err := c.has(0, "PK\x03\x04"); !ok || err != nil {
		return c.zipNames, err
	}
	if ok, err := zipIsSmall(c.file, c.size); !ok || err != nil {
		return c.zipNames, err
	}
	z, err := zip.NewReader(c.file, c.size)
	if err != nil {
		return c.zipNames, nil // a broken zip is no model
	}
	for _, f := range z.File {
		c.zipNames[f.Name] = true
		if _, rest, ok := strings.Cut(f.Name, "/"); ok {
			c.zipNames["*/"+rest] = true
			if first, _, ok := strings.Cut(rest, "/"); ok {
				c.zipNames["*/"+first+"/"] = true
			}
		}
	}
	return c.zipNames, nil
}

// zipIsSmall reads how many entries the end record (and its 64-bit form) of a
// zip claims before archive/zip is trusted with it, APPNOTE 4.3.14 and 4.3.16.
func zipIsSmall(file io.ReaderAt, size int64) (bool, error) {
	tail := make([]byte, min(size, 64<<10+22+20))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return false, err
	}
	end := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if end < 0 || len(tail)-end < 22 {
		return false, nil
	}
	entries := binary.LittleEndian.Uint16(tail[end+10:])
	directory := int64(binary.LittleEndian.Uint32(tail[end+12:]))
	if entries == 1<<16-1 || directory == 1<<32-1 {
		if end < 20 || string(tail[end-20:end-16]) != "PK\x06\x07" {
			return false, nil
		}
		record := make([]byte, 56)
		offset := binary.LittleEndian.Uint64(tail[end-12:])
		if offset > uint64(size) {
			return false, nil
		}
		if _, err := file.ReadAt(record, int64(offset)); err != nil {
			return false, nil
		}
		n, bytes := binary.LittleEndian.Uint64(record[32:]), binary.LittleEndian.Uint64(record[40:])
		return n <= maxZipEntries && bytes <= maxZipDirectory, nil
	}
	return directory <= maxZipDirectory, nil
}

// zipWith wants all of need and none of refuse among a zip's names.
func zipWith(need, refuse []string) func(*candidate) (bool, error) {
	return func(c *candidate) (bool, error) {
		names, err := c.names()
		if err != nil || len(names) == 0 {
			return false, err
		}
		for _, n := range need {
			if !names[n] {
				return false, nil
			}
		}
		for _, n := range refuse {
			if names[n] {
				return false, nil
			}
		}
		return true, nil
	}
}

// legacyTorch is the pickle of torch.save's magic number 0x1950a86a20f9469cfc6c
// in protocol 2, torch/serialization.py MAGIC_NUMBER.
const legacyTorch = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

var (
	detectKeras       = zipWith([]string{"metadata.json", "config.json"}, nil)
	detectPT2         = anyOf(zipWith([]string{"*/archive_format"}, nil), zipWith([]string{"serialized_exported_program.json"}, nil))
	detectTorchScript = anyOf(
		zipWith([]string{"*/data.pkl", "*/constants.pkl"}, nil),
		zipWith([]string{"*/data.pkl", "*/code/"}, nil),
	)
	detectTorch = anyOf(zipWith([]string{"*/data.pkl"}, nil), magicAt(0, legacyTorch))
)

// detectSafetensors looks at both ends of the header alone: it may be large, and
// writers pad it with spaces, https://github.com/huggingface/safetensors#format.
func detectSafetensors(c *candidate) (bool, error) {
	var head [10]byte
	if _, err := c.file.ReadAt(head[:], 0); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, err
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n < 2 || n > maxSafetensors || int64(n) > c.size-8 {
		return false, nil
	}
	tail := make([]byte, min(int64(n), windowSize))
	if _, err := c.file.ReadAt(tail, 8+int64(n)-int64(len(tail))); err != nil {
		return false, err
	}
	opens := string(head[8:]) == `{"` || string(head[8:]) == "{}"
	return opens && bytes.HasSuffix(bytes.TrimRight(tail, " "), []byte("}")), nil
}

func detectOpenVINO(c *candidate) (bool, error) {
	first := make([]byte, 4)
	if _, err := c.file.ReadAt(first, 0); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if !bytes.Contains(first, []byte("<")) {
		return false, nil
	}
	d := xml.NewDecoder(io.NewSectionReader(c.file, 0, min(c.size, maxXMLHead)))
	for {
		token, err := d.RawToken()
		if err != nil {
			return false, nil
		}
		if start, ok := token.(xml.StartElement); ok {
			for _, a := range start.Attr {
				if a.Name.Local == "version" {
					return start.Name.Local == "net", nil
				}
			}
			return false, nil
		}
	}
}

// hdf5Signature is section II.A of the HDF5 file format specification.
const hdf5Signature = "\x89HDF\r\n\x1a\n"

// detectKerasH5 looks for the names of Keras's root attributes near the start,
// where HDF5 writes the root group. They may lie elsewhere in a file that was
// changed later: only then does the ending of the name decide.
func detectKerasH5(c *candidate) (bool, error) {
	if ok, err := c.has(0, hdf5Signature); !ok || err != nil {
		return false, err
	}
	switch strings.ToLower(filepath.Ext(c.path)) {
	case ".h5", ".hdf5", ".keras":
		return true, nil
	}
	head := make([]byte, min(c.size, hdf5SearchLength))
	if _, err := c.file.ReadAt(head, 0); err != nil && err != io.EOF {
		return false, err
	}
	for _, attribute := range []string{"keras_version", "model_config", "layer_names"} {
		if bytes.Contains(head, []byte(attribute)) {
			return true, nil
		}
	}
	return false, nil
}

// Directories.

func isSavedModel(dir string) bool {
	return isRegular(filepath.Join(dir, "saved_model.pb")) || isRegular(filepath.Join(dir, "saved_model.pbtxt"))
}

// detectSavedModel believes a .pbtxt by its name: it is text.
func detectSavedModel(c *candidate) (bool, error) {
	if !isSavedModel(c.path) {
		return false, nil
	}
	file, err := openCandidate(filepath.Join(c.path, "saved_model.pb"))
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	return detectSavedModelFile(file)
}

func isPackage(dir string) bool {
	_, err := readManifest(dir)
	return err == nil
}

func detectPackage(c *candidate) (bool, error) {
	return isPackage(c.path), nil
}

// packageManifest is what a Core ML package's Manifest.json says.
type packageManifest struct {
	main  string   // the model, relative to the package
	items []string // all of it, relative to the folder Data
}

// readManifest reads a package's manifest; an error means that it is no package.
func readManifest(dir string) (m packageManifest, err error) {
	file, size, err := openRegular(filepath.Join(dir, "Manifest.json"))
	if err != nil {
		return m, err
	}
	defer file.Close()
	var manifest struct {
		Items map[string]struct {
			Path string `json:"path"`
		} `json:"itemInfoEntries"`
		Root string `json:"rootModelIdentifier"`
	}
	if size > maxManifest {
		return m, fmt.Errorf("manifest: expected at most %d bytes, found %d", maxManifest, size)
	}
	if err := json.NewDecoder(io.LimitReader(file, maxManifest)).Decode(&manifest); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	item, problem := partName(manifest.Items[manifest.Root].Path)
	if problem != "" {
		return m, fmt.Errorf("manifest: path of the model: %s", problem)
	}
	for _, item := range manifest.Items {
		m.items = append(m.items, item.Path)
	}
	slices.Sort(m.items)
	m.main = path.Join("Data", item)
	return m, nil
}
