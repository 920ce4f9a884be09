//go:build !linux

package runner

import (
	"context"
	"strings"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/mem"
)

// machine names the system and what is in it.
func machine(ctx context.Context) (distribution, kernel, processor string, flags []string, memory uint64) {
	distribution, kernel, processor = noDistribution, noKernel, noProcessor
	if platform, _, version, err := host.PlatformInformationWithContext(ctx); err == nil && platform != "" {
		distribution = strings.TrimSpace(platform + " " + version)
	}
	if version, err := host.KernelVersionWithContext(ctx); err == nil && version != "" {
		kernel = version
	}
	if cpus, err := cpu.InfoWithContext(ctx); err == nil && len(cpus) > 0 {
		if flags = cpus[0].Flags; cpus[0].ModelName != "" {
			processor = cpus[0].ModelName
		}
	}
	if all, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		memory = all.Total
	}
	return distribution, kernel, processor, flags, memory
}
