package runner

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// machine names the system and what is in it, from files alone: asking
// gopsutil costs 25 ms here, for it may run lsb_release.
func machine(context.Context) (distribution, kernel, processor string, flags []string, memory uint64) {
	distribution, kernel, processor = noDistribution, noKernel, noProcessor
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if text, err := os.ReadFile(name); err == nil {
			if named := distributionOf(string(text)); named != "" {
				distribution = named
				break
			}
		}
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		defer file.Close()
		var model string
		if model, flags = firstProcessor(file); model != "" {
			processor = model
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	return distribution, kernel, processor, flags, memory
}

// distributionOf is "debian 12" for an os-release(5) file.
func distributionOf(text string) string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	return strings.TrimSpace(values["ID"] + " " + values["VERSION_ID"])
}

// firstProcessor reads the first block of /proc/cpuinfo: the model's name
// (none on arm64) and the feature flags.
func firstProcessor(cpuinfo io.Reader) (model string, flags []string) {
	lines := bufio.NewScanner(cpuinfo)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok && (model != "" || flags != nil) {
			break // the empty line between two processors
		}
		switch strings.TrimSpace(name) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags", "Features":
			flags = strings.Fields(value)
		}
	}
	return model, flags
}
