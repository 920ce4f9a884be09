package runner

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// numericFeatures are the ISA extensions on which libraries choose other
// kernels, and with them other roundings. Names as in /proc/cpuinfo.
var numericFeatures = []string{
	"sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
	"avx_vnni", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "sve", "sve2", "bf16", "i8mm", "sme",
}

const unknownPrefix = "unknown: "

// readHost asks the system what it is. What it does not tell is "unknown: …".
func readHost(ctx context.Context, environ []string, redact *Redactor) Host {
	h := Host{OS: runtime.GOOS, Architecture: runtime.GOARCH, CPUCores: runtime.NumCPU(), CPUFeatures: []string{}}
	var flags []string
	h.Distribution, h.Kernel, h.CPUModel, flags, h.Memory = machine(ctx)
	for _, flag := range flags {
		if slices.Contains(numericFeatures, flag) {
			h.CPUFeatures = append(h.CPUFeatures, flag)
		}
	}
	slices.Sort(h.CPUFeatures)
	h.Accelerators = accelerators()
	h.Container = container()
	h.Variables, h.Withheld = variables(environ, redact)
	if account, err := user.Current(); err == nil {
		h.User = account.Username
	}
	return h
}

const (
	noDistribution = unknownPrefix + "the system does not name its distribution"
	noKernel       = unknownPrefix + "the system does not name its kernel"
	noProcessor    = unknownPrefix + "the system does not name its processor"
)

// accelerators lists the devices whose kernel drivers are loaded: NVIDIA's
// /proc/driver/nvidia, and the compute nodes of AMD's ROCm.
func accelerators() []string {
	found := []string{}
	files, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	driver, _ := os.ReadFile("/proc/driver/nvidia/version")
	version, _, _ := strings.Cut(string(driver), "\n")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if model, ok := strings.CutPrefix(line, "Model:"); ok {
				found = append(found, strings.TrimSpace(model)+"\t"+strings.TrimSpace(strings.TrimPrefix(version, "NVRM version:")))
			}
		}
	}
	if _, err := os.Stat("/dev/kfd"); err == nil {
		driver, _ := os.ReadFile("/sys/module/amdgpu/version")
		found = append(found, "AMD ROCm device\t"+strings.TrimSpace(string(driver)))
	}
	return found
}

// container names the container runtime that left its marks.
func container() string {
	for _, mark := range []struct{ file, name string }{{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}} {
		if _, err := os.Stat(mark.file); err == nil {
			return mark.name
		}
	}
	if runtime.GOOS != "linux" {
		return unknownPrefix + "containers are only recognised on Linux"
	}
	if groups, err := os.ReadFile("/proc/1/cgroup"); err == nil {
		for _, name := range []string{"kubepods", "docker", "containerd", "lxc"} {
			if strings.Contains(string(groups), name) {
				return name
			}
		}
	}
	return "none: no container runtime left its marks"
}
