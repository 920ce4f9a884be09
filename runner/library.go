package runner

import (
	"debug/elf"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// components are the libraries whose versions numbers depend on, by the names
// of their files. Wheels put a hash into a name: libcudart.3eda8113.so.13.
var components = []struct {
	name    string
	pattern func() *regexp.Regexp
}{
	{"CUDA driver", lazy(`^libcuda\b`)},
	{"CUDA runtime", lazy(`^libcudart\b`)},
	{"cuBLAS", lazy(`^libcublas(Lt)?\b`)},
	{"cuDNN", lazy(`^libcudnn(_[a-z_]+)?\b`)},
	{"MIOpen", lazy(`^libMIOpen\b`)},
	{"MKL", lazy(`^libmkl_\w+`)},
	{"ONNX Runtime", lazy(`^(libonnxruntime|onnxruntime_pybind11_state)\b`)},
	{"OpenBLAS", lazy(`^lib(scipy_)?openblas`)},
	{"OpenMP, GNU", lazy(`^libgomp\b`)},
	{"OpenMP, Intel", lazy(`^libiomp5\b`)},
	{"OpenMP, LLVM", lazy(`^libomp\b`)},
	{"OpenVINO", lazy(`^libopenvino\b`)},
	{"ROCm HIP", lazy(`^libamdhip64\b`)},
	{"TensorRT", lazy(`^libnvinfer\b`)},
	{"XNNPACK", lazy(`^libXNNPACK\b`)},
	{"oneDNN", lazy(`^lib(dnnl|mkldnn)\b`)},
	{"oneTBB", lazy(`^libtbb\b`)},
}

// Library is a loaded library out of components.
type Library struct {
	// Name is the component's, "cuDNN".
	Name string `json:"name"`
	Path string `json:"path"`
	// Soname is what the library calls itself (DT_SONAME), or empty.
	Soname string `json:"soname"`
	// Version is that in the name of the file or, for OpenBLAS, the one that the
	// library has in it as text; empty when neither tells.
	Version string `json:"version"`
	// Holders are the packages that the file belongs to, "NAME VERSION".
	Holders []string `json:"holders"`
}

// libraries are the components among the files that were read, by name and
// path. holders has the packages of a file.
func libraries(paths []string, holders ...map[string][]string) []Library {
	found := []Library{}
	for _, path := range paths {
		base := filepath.Base(path)
		for _, c := range components {
			if !strings.Contains(base, ".so") || !c.pattern().MatchString(base) {
				continue
			}
			l := Library{Name: c.name, Path: path, Holders: []string{}}
			l.Soname, l.Version = inside(path, c.name == "OpenBLAS")
			if l.Version == "" {
				l.Version = nameVersion(base, l.Soname)
			}
			for _, of := range holders {
				l.Holders = append(l.Holders, of[path]...)
			}
			found = append(found, l)
			break
		}
	}
	slices.SortFunc(found, func(a, b Library) int { return strings.Compare(a.Name+"\x00"+a.Path, b.Name+"\x00"+b.Path) })
	return found
}

// nameVersion is the longer of the versions that follow ".so." in names.
func nameVersion(names ...string) (version string) {
	for _, name := range names {
		if _, after, ok := strings.Cut(name, ".so."); ok && len(after) > len(version) {
			version = after
		}
	}
	return version
}

// openBLAS is how OpenBLAS names itself in its configuration string.
var openBLAS = lazy(`OpenBLAS (\d+\.\d+(?:\.\d+)?\S*)`)

// maxReadOnly bounds what is read of a library's constants.
const maxReadOnly = 16 << 20

// inside reads what a library calls itself, and the version of OpenBLAS among
// its constants.
func inside(path string, isOpenBLAS bool) (soname, version string) {
	library, err := elf.Open(path)
	if err != nil {
		return "", ""
	}
	defer library.Close()
	if names, err := library.DynString(elf.DT_SONAME); err == nil && len(names) > 0 {
		soname = names[0]
	}
	if section := library.Section(".rodata"); isOpenBLAS && section != nil {
		constants, _ := io.ReadAll(io.LimitReader(section.Open(), maxReadOnly))
		if match := openBLAS().FindSubmatch(constants); match != nil {
			version = string(match[1])
		}
	}
	return soname, version
}
