package provenance

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/convrun/convrun/runner"
)

// maxLibraries bounds the shared libraries that are listed one by one.
const maxLibraries = 200

func (b *builder) environment() Environment {
	h := b.o.Host
	e := Environment{
		OS:     OS{Name: h.OS, Version: h.Distribution, Kernel: h.Kernel, Architecture: h.Architecture, Libc: h.Libc},
		CPU:    CPU{Model: h.CPUModel, Cores: h.CPUCores, PhysicalCores: h.CPUPhysical, UsableCores: h.CPUUsable, Features: append([]string{}, h.CPUFeatures...)},
		Memory: Memory{Total: h.Memory}, Container: h.Container, ContainerImage: h.ContainerImage, Locale: h.Locale, TimeZone: h.TimeZone, Accelerators: []Accelerator{}, Interpreters: []Interpreter{},
		Numerics: map[string]string{}, Variables: h.Variables, WithheldVariables: append([]string{}, h.Withheld...),
		Libraries: []ResourceDescriptor{},
	}
	if e.Variables == nil {
		e.Variables = map[string]string{}
	}
	if h.Limits.Cgroup != "" {
		e.Limits = &Limits{ControlGroups: h.Limits.Cgroup, CPUs: h.Limits.CPUs, Memory: h.Limits.Memory}
	}
	if h.CI != nil {
		e.CI = &CI{Service: h.CI.Service, Run: h.CI.Run, Repository: h.CI.Repository, Commit: h.CI.Commit, Ref: h.CI.Ref, Workflow: h.CI.Workflow, Job: h.CI.Job}
	}
	b.accelerators(&e)
	b.interpreters(&e)
	for _, f := range b.o.Python.Frameworks {
		for name, value := range f.Numerics { // names start with the framework's
			e.Numerics[name] = value
		}
	}
	for _, file := range b.o.Files {
		if file.Class != runner.System && file.Class != runner.Runtime || !file.Read {
			continue
		}
		if file.Class == runner.System && isLibrary(file.Path) && len(e.Libraries) < maxLibraries {
			e.Libraries = append(e.Libraries, ResourceDescriptor{Name: file.Path, Digest: sha256Set(file.SHA256)})
		} else {
			e.SystemFiles++
		}
	}
	return e
}

func isLibrary(path string) bool {
	base := filepath.Base(path)
	return strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.") && base != "ld.so.cache" || strings.HasSuffix(base, ".dylib") || strings.HasSuffix(base, ".dll")
}

func (b *builder) accelerators(e *Environment) {
	for _, found := range b.o.Host.Accelerators {
		e.Accelerators = append(e.Accelerators, Accelerator{Name: found.Name, Driver: orUnknown(found.Driver, "")})
	}
	e.AcceleratorsNote = "devices that drivers tell of in /proc/driver/nvidia, in AMD's KFD, and in /sys/class/accel and drm; others are unknown"
	if f := frameworkOf(b.o); f != nil {
		for _, device := range f.Accelerators {
			if !slices.ContainsFunc(e.Accelerators, func(a Accelerator) bool { return a.Name == device.Name }) {
				e.Accelerators = append(e.Accelerators, Accelerator{Name: device.Name, Driver: orUnknown(device.Driver, Unknown+"named by "+f.Name+" only")})
			}
		}
	}
}

func (b *builder) interpreters(e *Environment) {
	for _, found := range b.o.Python.Interpreters {
		i := Interpreter{Implementation: found.Implementation, Version: found.Version, Build: found.Build, Compiler: found.Compiler, Executable: found.Executable, Digest: known("")}
		for _, process := range b.o.Processes {
			if process.PID == found.PID && process.SHA256 != "" {
				i.Digest = known(process.SHA256)
			}
		}
		if !slices.ContainsFunc(e.Interpreters, func(other Interpreter) bool {
			return other.Version == i.Version && other.Executable == i.Executable
		}) {
			e.Interpreters = append(e.Interpreters, i)
		}
	}
}
