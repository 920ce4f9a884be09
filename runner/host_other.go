//go:build !linux

package runner

import (
	"context"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/mem"
)

// readMachine fills in the system and what is in it, and gives the feature
// flags.
func (h *Host) readMachine(ctx context.Context) (flags []string) {
	h.Distribution, h.Kernel, h.CPUModel = noDistribution, noKernel, noProcessor
	if platform, _, version, err := host.PlatformInformationWithContext(ctx); err == nil && platform != "" {
		h.Distribution = strings.TrimSpace(platform + " " + version)
	}
	if version, err := host.KernelVersionWithContext(ctx); err == nil && version != "" {
		h.Kernel = version
	}
	if cpus, err := cpu.InfoWithContext(ctx); err == nil && len(cpus) > 0 {
		if flags = cpus[0].Flags; cpus[0].ModelName != "" {
			h.CPUModel = cpus[0].ModelName
		}
	}
	h.CPUCores, _ = cpu.CountsWithContext(ctx, true)
	h.CPUPhysical, _ = cpu.CountsWithContext(ctx, false)
	h.CPUUsable = runtime.NumCPU()
	if all, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		h.Memory = all.Total
	}
	return flags
}
