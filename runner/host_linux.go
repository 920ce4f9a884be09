package runner

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"os"
	"strings"

	"github.com/shirou/gopsutil/v3/cpu"
	"golang.org/x/sys/unix"
)

// readMachine fills in the system and what is in it, and gives the feature
// flags. It reads files alone: to ask gopsutil for the distribution costs 25 ms
// here, for it may run lsb_release.
func (h *Host) readMachine(ctx context.Context) (flags []string) {
	h.Distribution, h.Kernel, h.CPUModel = noDistribution, noKernel, noProcessor
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if text, err := os.ReadFile(name); err == nil {
			if named := distributionOf(string(text)); named != "" {
				h.Distribution = named
				break
			}
		}
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		h.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		defer file.Close()
		var model string
		if model, flags = firstProcessor(file); model != "" {
			h.CPUModel = model
		}
	}
	h.CPUCores, _ = cpu.CountsWithContext(ctx, true)
	h.CPUPhysical, _ = cpu.CountsWithContext(ctx, false)
	var usable unix.CPUSet
	if unix.SchedGetaffinity(0, &usable) == nil {
		h.CPUUsable = usable.Count()
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		h.Memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	return flags
}

// distributionOf is "debian 12" for an os-release(5) file.
func distributionOf(text string) string {
	values := assignments(text)
	return strings.TrimSpace(values["ID"] + " " + values["VERSION_ID"])
}

// firstProcessor reads the first block of /proc/cpuinfo: the model's name, or
// on arm64 the numbers that stand for it, and the feature flags.
func firstProcessor(cpuinfo io.Reader) (model string, flags []string) {
	lines := bufio.NewScanner(cpuinfo)
	lines.Buffer(nil, 1<<20)
	var numbers []string
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok && (model != "" || flags != nil) {
			break // the empty line between two processors
		}
		switch name = strings.TrimSpace(name); name {
		case "model name":
			model = strings.TrimSpace(value)
		case "CPU implementer", "CPU variant", "CPU part", "CPU revision":
			numbers = append(numbers, strings.TrimPrefix(name, "CPU ")+" "+strings.TrimSpace(value))
		case "flags", "Features":
			flags = strings.Fields(value)
		}
	}
	return cmp.Or(model, strings.Join(numbers, ", ")), flags
}
