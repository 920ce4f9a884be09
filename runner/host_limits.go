package runner

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// group is where one controller's control group of this process lies.
type group struct {
	version string // "v1" or "v2"
	// dir is its folder, and top the highest one that can be seen.
	dir, top string
}

// limits reads what control groups allow, cgroups(7).
func limits(system fs.FS) Limits {
	groups, mounts := read(system, "proc/self/cgroup"), read(system, "proc/self/mountinfo")
	memory, cpu := findGroup(groups, mounts, "memory"), findGroup(groups, mounts, "cpu")
	l := Limits{Cgroup: memory.version}
	if l.Cgroup == "" {
		l.Cgroup = cpu.version
	}
	if l.Cgroup == "" {
		why := unknownPrefix + "no control groups can be seen"
		return Limits{Cgroup: why, CPUs: why, Memory: why}
	}
	l.Memory, l.CPUs = "none: no control group limits it", "none: no control group limits them"
	if bytes, ok := memory.lowest(system, memoryLimit); ok {
		l.Memory = strconv.FormatFloat(bytes, 'f', 0, 64)
	}
	if cpus, ok := cpu.lowest(system, cpuLimit); ok {
		l.CPUs = strconv.FormatFloat(cpus, 'f', -1, 64)
	}
	return l
}

// findGroup looks for a controller's hierarchy among the mounts: one of its
// own (v1), else the unified one. It is given /proc/self/cgroup and
// /proc/self/mountinfo.
func findGroup(groups, mounts, controller string) (g group) {
	paths := map[string]string{}
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 {
			for _, name := range strings.Split(fields[1], ",") {
				paths[name] = fields[2]
			}
		}
	}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if len(where) < 5 || len(what) < 3 {
			continue
		}
		root, point := where[3], strings.TrimPrefix(where[4], "/")
		own, isOwn := paths[controller]
		switch {
		case what[0] == "cgroup" && isOwn && slices.Contains(strings.Split(what[2], ","), controller):
			return group{"v1", below(point, root, own), point}
		case what[0] == "cgroup2" && g.version == "":
			g = group{"v2", below(point, root, paths[""]), point}
		}
	}
	return g
}

// below is the folder of a group in a mount that shows the hierarchy from root
// on. In a container root is the group itself, or its path leads elsewhere.
func below(point, root, own string) string {
	if rest, ok := strings.CutPrefix(own+"/", strings.TrimSuffix(root, "/")+"/"); ok && !strings.Contains(rest, "..") {
		return path.Join(point, rest)
	}
	return point
}

// lowest is the lowest limit of the group and of those above it.
func (g group) lowest(system fs.FS, limit func(system fs.FS, dir string) (float64, bool)) (low float64, limited bool) {
	for dir := g.dir; g.version != "" && len(dir) >= len(g.top) && dir != "."; dir = path.Dir(dir) {
		if value, ok := limit(system, dir); ok && (!limited || value < low) {
			low, limited = value, true
		}
	}
	return low, limited
}

// memoryLimit is in bytes. Without a limit v1 gives the largest number of whole
// pages.
func memoryLimit(system fs.FS, dir string) (float64, bool) {
	for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
		if bytes, err := strconv.ParseFloat(read(system, path.Join(dir, name)), 64); err == nil && bytes < 1<<62 {
			return bytes, true
		}
	}
	return 0, false
}

// cpuLimit is in processors.
func cpuLimit(system fs.FS, dir string) (float64, bool) {
	fields := strings.Fields(read(system, path.Join(dir, "cpu.max")))
	if len(fields) != 2 {
		fields = []string{read(system, path.Join(dir, "cpu.cfs_quota_us")), read(system, path.Join(dir, "cpu.cfs_period_us"))}
	}
	quota, err := strconv.ParseFloat(fields[0], 64)
	period, err2 := strconv.ParseFloat(fields[1], 64)
	return quota / period, err == nil && err2 == nil && quota > 0 && period > 0
}
