package runner

import (
	"context"
	"io"
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"slices"
	"strings"
)

// numericFeatures are the ISA extensions on which libraries choose other
// kernels, and with them other roundings. Names as in /proc/cpuinfo.
var numericFeatures = []string{
	"sse4_1", "sse4_2", "avx", "avx2", "fma", "fma4", "f16c", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512ifma", "avx512_vbmi2",
	"avx512_vnni", "avx512_bf16", "avx512_fp16", "avx512_4vnniw", "avx512_4fmaps", "avx_vnni", "avx_vnni_int8", "avx_ifma", "avx_ne_convert", "avx10",
	"amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
	"neon", "vfpv4", "asimd", "fp", "fphp", "asimdhp", "asimddp", "asimdfhm", "asimdrdm", "fcma", "bf16", "i8mm", "sve", "sve2", "svebf16", "svei8mm", "svef32mm", "sme", "sme2", "smef16f16",
}

const unknownPrefix = "unknown: "

// readHost asks the system what it is. What it does not tell is "unknown: …".
func readHost(ctx context.Context, environ []string, redact *Redactor) Host {
	system := systemFiles()
	h := Host{OS: runtime.GOOS, Architecture: runtime.GOARCH, CPUFeatures: []string{}}
	flags := h.readMachine(ctx)
	for _, flag := range flags {
		if slices.Contains(numericFeatures, flag) {
			h.CPUFeatures = append(h.CPUFeatures, flag)
		}
	}
	slices.Sort(h.CPUFeatures)
	h.Libc = libc(system)
	h.Accelerators = accelerators(system)
	h.Limits = limits(system)
	h.Container, h.ContainerImage = container(system, environ)
	h.Locale, h.TimeZone = locale(environ), timeZone(system, environ)
	h.CI = continuousIntegration(environ)
	h.Variables, h.Withheld = variables(environ, redact)
	if account, err := user.Current(); err == nil {
		h.User = account.Username
	}
	return h
}

// systemFiles are the files of the system; none where they are not Linux's.
func systemFiles() fs.FS {
	if runtime.GOOS != "linux" {
		return noFiles{}
	}
	return os.DirFS("/")
}

type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// maxSystemFile bounds what is read of one file that the system describes
// itself in, in bytes.
const maxSystemFile = 1 << 20

// read gives a file's text without the space around it, or nothing.
func read(system fs.FS, name string) string {
	file, err := system.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	data, _ := io.ReadAll(io.LimitReader(file, maxSystemFile)) // what there is
	return strings.TrimSpace(string(data))
}

func exists(system fs.FS, name string) bool {
	_, err := fs.Stat(system, name)
	return err == nil
}

const (
	noDistribution = unknownPrefix + "the system does not name its distribution"
	noKernel       = unknownPrefix + "the system does not name its kernel"
	noProcessor    = unknownPrefix + "the system does not name its processor"
)
