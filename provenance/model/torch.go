package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// inspectTorch reads what torch.save wrote, as a zip file or in the form that
// came before, torch/serialization.py.
func inspectTorch(path string, format Format) (*Model, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := newModel(format.Name, filepath.Base(path))
	return m, m.torch(file, size)
}

func (m *Model) torch(file io.ReaderAt, size int64) error {
	var magic [2]byte
	if _, err := file.ReadAt(magic[:], 0); err != nil && err != io.EOF {
		return err
	}
	c := newCheckpoint(m)
	read := c.legacy
	if string(magic[:]) == "PK" {
		read = c.zipped
	}
	if err := read(file, size); err != nil {
		return err
	}
	m.Producer = "unknown: torch.save writes no version of torch"
	m.misplaced(c.problems)
	c.conclude()
	return nil
}

// zipped reads a zip file: the objects in data.pkl, each storage an entry.
func (c *checkpoint) zipped(file io.ReaderAt, size int64) error {
	a, err := openArchive(file, size, c.Main)
	if err != nil {
		return err
	}
	version, err := a.text("version")
	if err != nil {
		return err
	}
	c.FormatVersion = "zip, version " + shown(version)
	if version == "" {
		c.FormatVersion = "zip, unknown: the file states no version"
	}
	root, err := a.pickle("data.pkl", c)
	if err != nil {
		return err
	}
	c.sizeOf = func(key string) int64 {
		if f := a.entries["data/"+key]; f != nil {
			return int64(min(f.UncompressedSize64, 1<<62))
		}
		return -1
	}
	c.walk(root, visit{})
	return nil
}

// pickle reads an entry that holds one pickle.
func (a *archive) pickle(inner string, c *checkpoint) (*thing, error) {
	r, size, err := a.entry(inner)
	if err != nil {
		return nil, err
	}
	p := newPickle(r, size, a.name+": "+inner)
	root, err := p.load()
	c.globals = append(c.globals, p.globals...)
	return root, err
}

// legacyProtocol is PROTOCOL_VERSION of torch/serialization.py.
const legacyProtocol = 1001

// legacy reads the old form: five pickles one after the other, then for each
// storage the number of its elements and the elements.
func (c *checkpoint) legacy(file io.ReaderAt, size int64) error {
	p := newPickle(file, size, c.Main)
	var parts [5]*thing // magic number, protocol, machine, object, keys of storages
	for i := range parts {
		start := p.at
		part, err := p.load()
		if err != nil {
			return err
		}
		if v, ok := part.integer(); i == 1 && (!ok || v != legacyProtocol) {
			return p.malformed(start, fmt.Sprintf("protocol version %d", legacyProtocol), "another")
		}
		parts[i] = part
	}
	c.globals = p.globals
	c.FormatVersion = fmt.Sprintf("legacy, protocol %d", legacyProtocol)
	c.sizeOf = func(string) int64 { return -1 }
	c.unchecked = true
	c.walk(parts[3], visit{})
	return c.legacyStorages(p, parts[4])
}

// legacyStorages walks over the storages behind the pickles.
func (c *checkpoint) legacyStorages(p *pickle, keys *thing) error {
	at := p.at
	for i := range keys.length() {
		key := keys.item(i)
		if key.kind != aString {
			return p.malformed(at, "a list of storages' keys", "something else in it")
		}
		var count [8]byte
		if p.size-at < 8 {
			c.problem("storage %s is missing", quote(key.text))
			return nil
		}
		if err := p.readFull(count[:], at); err != nil {
			return err
		}
		stored, known := c.storages[key.text]
		if n := binary.LittleEndian.Uint64(count[:]); known && n != uint64(stored.elements) {
			c.problem("storage %s has %d elements, tensors say %d", quote(key.text), n, stored.elements)
			return nil
		}
		if !known || stored.length < 0 {
			return nil // how far it reaches is not known
		}
		if stored.length > p.size-at-8 {
			c.problem("storage %s ends past the end of the file", quote(key.text))
			return nil
		}
		at += 8 + stored.length
	}
	if at != p.size {
		c.problem("%d bytes at the end belong to no storage", p.size-at)
	}
	return nil
}

// torchBits are the sizes of torch's element types, in the words of its storage
// classes and of its dtypes.
var torchBits = map[string]int{
	"DoubleStorage": 64, "FloatStorage": 32, "HalfStorage": 16, "BFloat16Storage": 16, "LongStorage": 64, "IntStorage": 32,
	"ShortStorage": 16, "CharStorage": 8, "ByteStorage": 8, "BoolStorage": 8, "ComplexDoubleStorage": 128, "ComplexFloatStorage": 64,
	"QInt8Storage": 8, "QUInt8Storage": 8, "QInt32Storage": 32, "QUInt4x2Storage": 8, "QUInt2x4Storage": 8, "UntypedStorage": 8,
	"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "int64": 64, "int32": 32, "int16": 16, "int8": 8,
	"uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "bool": 8, "complex128": 128, "complex64": 64, "complex32": 32,
	"float8_e4m3fn": 8, "float8_e4m3fnuz": 8, "float8_e5m2": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8,
}

// torchStorages are the element types of storages that are not called after
// them, in Value.DType's words.
var torchStorages = map[string]string{
	"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16", "LongStorage": "int64",
	"IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
	"ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64", "QInt8Storage": "qint8", "QUInt8Storage": "quint8",
	"QInt32Storage": "qint32", "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}

// torchType is the element type that a storage or a dtype of torch has.
func torchType(kind string) string {
	if name, ok := torchStorages[kind]; ok {
		return name
	}
	if torchBits[kind] > 0 && kind != "UntypedStorage" {
		return kind
	}
	return "unknown"
}

// tensorAt is where a pickled tensor lies.
type tensorAt struct {
	name          string
	storage       string
	kind          string // of the storage, or the dtype that is stated
	offset        int64  // in elements
	shape, stride []int64
	bits          int
}

// tensorOf reads what a call that rebuilds a tensor is given,
// torch/_utils.py; nil when t is no such call.
func tensorOf(t *thing) *thing {
	for range 4 { // a parameter of a subclass of a tensor
		switch name := t.callee(); {
		case name == "torch._utils._rebuild_parameter", name == "torch._utils._rebuild_parameter_with_state":
			t = t.argument(0)
		case name == "torch._tensor._rebuild_from_type_v2":
			inner := t.argument(2)
			if inner == nil {
				return nil
			}
			t = &thing{kind: aCall, items: []*thing{t.argument(0), inner}}
		case strings.HasPrefix(name, "torch._utils._rebuild_"):
			return t
		default:
			return nil
		}
		if t == nil {
			return nil
		}
	}
	return nil
}

// tensor counts a tensor and holds it against its storage. Those that do
// not lie densely in one storage make the count unknown.
func (c *checkpoint) tensor(t *thing, path string, counts bool) {
	name := strings.TrimPrefix(t.callee(), "torch._utils._rebuild_")
	switch name {
	case "tensor", "tensor_v2", "tensor_v3", "qtensor":
	default:
		c.uncounted() // sparse ones and those of subclasses
		return
	}
	shape, ok := t.argument(2).integers()
	elements, counted := product(shape)
	if !ok || !counted {
		c.problem("a tensor has no shape that can be counted")
		return
	}
	at := tensorAt{name: path, shape: shape}
	at.offset, _ = t.argument(1).integer()
	at.stride, _ = t.argument(3).integers()
	key, kind := c.storage(t.argument(0))
	at.storage, at.kind = key, kind
	if dtype := t.argument(6); name == "tensor_v3" && dtype != nil {
		at.kind = strings.TrimPrefix(dtype.text, "torch.")
	}
	at.bits = torchBits[at.kind]
	c.placed = append(c.placed, at)
	c.outside(&at, elements)
	// The same weights under two names count once.
	identity := fmt.Sprint(at.storage, at.offset, at.shape)
	if counts && !c.counted[identity] {
		c.counted[identity] = true
		if c.Parameters >= 0 && !c.count(torchType(at.kind), elements) {
			c.uncounted()
			c.problem("there are more than 2^53 parameters")
		}
	}
}

// storedStorage is a storage that tensors lie in.
type storedStorage struct{ elements, length int64 }

// storage reads the reference to a storage: ("storage", class, key, place,
// number of elements).
func (c *checkpoint) storage(t *thing) (key, kind string) {
	if t == nil || t.kind != aReference || t.items[0].item(0) == nil || t.items[0].item(0).text != "storage" {
		return "", ""
	}
	of := t.items[0]
	if of.item(2) == nil || of.item(1) == nil {
		return "", ""
	}
	key, kind = of.item(2).text, of.item(1).text
	kind = kind[strings.LastIndexByte(kind, '.')+1:]
	elements, ok := of.item(4).integer()
	if _, seen := c.storages[key]; seen || !ok || elements < 0 {
		return key, kind
	}
	stored := storedStorage{elements, packed(elements, torchBits[kind])}
	c.storages[key] = stored
	if size := c.sizeOf(key); !c.unchecked && size < 0 {
		c.problem("storage %s is missing", quote(key))
	} else if !c.unchecked && stored.length >= 0 && size != stored.length {
		c.problem("storage %s has %d bytes, its type and number of elements need %d", quote(key), size, stored.length)
	}
	return key, kind
}

// outside notes a tensor that reaches past its storage.
func (c *checkpoint) outside(at *tensorAt, elements int64) {
	stored, ok := c.storages[at.storage]
	if !ok || elements == 0 || at.bits == 0 || len(at.stride) != len(at.shape) || stored.length < 0 {
		return
	}
	last := at.offset
	for i, d := range at.shape {
		if at.stride[i] < 0 || at.stride[i] > maxParameters || last > maxParameters {
			last = -1
			break
		}
		step, ok := product([]int64{d - 1, at.stride[i]})
		if !ok {
			last = -1
			break
		}
		last += step
	}
	if last < 0 || at.offset < 0 || last >= stored.length*8/int64(at.bits) {
		c.problem("a tensor of shape %d reaches past its storage %s", at.shape, quote(at.storage))
	}
}

// problem notes what is wrong with where tensors lie.
func (c *checkpoint) problem(format string, arguments ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, clip(fmt.Sprintf(format, arguments...)))
	}
}

const maxProblems = 1 << 10

// plainGlobals are what torch.load rebuilds without being told to trust the
// file, torch/_weights_only_unpickler.py, _get_allowed_globals.
var plainGlobals = words(`_codecs.encode builtins.bytearray builtins.complex builtins.set
collections.Counter collections.OrderedDict torch.Size torch.Tensor torch.device torch.nn.parameter.Parameter
torch.serialization._get_layout torch.storage.TypedStorage torch.storage.UntypedStorage torch._tensor._rebuild_from_type_v2
torch._utils._rebuild_device_tensor_from_cpu_tensor torch._utils._rebuild_device_tensor_from_numpy
torch._utils._rebuild_meta_tensor_no_storage torch._utils._rebuild_parameter torch._utils._rebuild_parameter_with_state
torch._utils._rebuild_qtensor torch._utils._rebuild_sparse_tensor torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2
torch._utils._rebuild_tensor_v3 torch._utils._rebuild_wrapper_subclass torch.per_channel_affine torch.per_channel_affine_float_qparams
torch.per_channel_symmetric torch.per_tensor_affine torch.per_tensor_symmetric`)

// plainTypes are the dtypes among them, with "torch." before them.
var plainTypes = words(`bcomplex32 bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool complex128 complex32 complex64 float16 float32
float4_e2m1fn_x2 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int1 int16 int2 int3 int32 int4 int5
int6 int64 int7 int8 qint32 qint8 quint2x4 quint4x2 quint8 uint1 uint16 uint2 uint3 uint32 uint4 uint5 uint6 uint64 uint7 uint8`)

// plainClasses are the element types of the storage and tensor classes among
// them, "torch.FloatStorage" or "torch.cuda.FloatTensor" for one.
var plainClasses = words(`BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long QInt32 QInt8 QUInt2x4 QUInt4x2
QUInt8 Short`)

func isPlain(global string) bool {
	inner, torch := strings.CutPrefix(global, "torch.")
	if plainGlobals[global] || torch && plainTypes[inner] {
		return true
	}
	inner = strings.TrimPrefix(strings.TrimPrefix(inner, "cuda."), "sparse.")
	class, isClass := strings.CutSuffix(strings.TrimSuffix(inner, "Tensor"), "Storage")
	return torch && (isClass || strings.HasSuffix(inner, "Tensor")) && plainClasses[class]
}

// layerModules hold classes of layers that PyTorch itself defines, and nothing
// else that a pickle could make use of.
var layerModules = []string{"torch.nn.modules.", "torch.nn.parallel.", "torchvision.models.", "torchvision.ops.", "torch.optim."}

func isLayer(global string) bool {
	return slices.ContainsFunc(layerModules, func(prefix string) bool { return strings.HasPrefix(global, prefix) })
}

// dangerousModules hold what starts programs, runs code that is handed to it,
// loads other code, or reaches files and networks.
var dangerousModules = words(`_io _pickle _posixsubprocess asyncio bdb builtins cProfile cloudpickle code codecs codeop commands
ctypes dill distutils ensurepip fileinput ftplib functools gc glob http idlelib importlib imp inspect io joblib linecache logging
marshal mmap multiprocessing nt ntpath numpy.f2py numpy.testing operator os pathlib pdb pickle pip pkgutil platform popen2 poplib posix
posixpath profile pty pydoc requests runpy setuptools shelve shutil signal site smtplib socket socketserver sqlite3 ssl subprocess sys
tarfile telnetlib tempfile test threading timeit torch.hub torch.jit torch.classes torch.distributed.rpc torch.load torch.multiprocessing torch.ops torch.package torch.save torch.serialization torch.utils trace types
urllib uuid venv webbrowser xmlrpc zipfile zipimport`)

// dataClasses are others that only hold data: what torch.load wants to be told
// to trust, too, but can do nothing by itself.
var dataClasses = words(`builtins.bool builtins.bytes builtins.dict builtins.float builtins.frozenset builtins.int builtins.list
builtins.object builtins.range builtins.slice builtins.str builtins.tuple collections.defaultdict collections.deque datetime.datetime
datetime.timedelta pathlib.Path pathlib.PosixPath pathlib.PurePosixPath pathlib.PureWindowsPath pathlib.WindowsPath
pathlib._local.PosixPath types.SimpleNamespace`)

func isDangerous(global string) bool {
	if !strings.Contains(global, ".") || strings.Contains(global, " ") {
		return true // a name that is computed, or registered elsewhere
	}
	for module := global; module != ""; module = module[:max(strings.LastIndexByte(module, '.'), 0)] {
		if dangerousModules[module] {
			return true
		}
	}
	return false
}
