package runner

import (
	"bytes"
	"cmp"
	"debug/elf"
	"io"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
)

// variable is the value of an environment variable; of a name that stands
// twice the first counts, as getenv(3) has it.
func variable(environ []string, name string) string {
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// container names the container runtime that left its marks, and the image if
// that is told.
func container(system fs.FS, environ []string) (name, image string) {
	if runtime.GOOS != "linux" {
		name = unknownPrefix + "containers are only recognised on Linux"
		return name, name
	}
	podman := read(system, "run/.containerenv")
	image = cmp.Or(assignments(podman)["image"], firstOf(environ, "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "CI_JOB_IMAGE", "CONTAINER_IMAGE"))
	switch {
	case exists(system, ".dockerenv"):
		name = "docker"
	case exists(system, "run/.containerenv"):
		name = "podman"
	case exists(system, ".singularity.d"):
		name = "apptainer"
	default:
		name = read(system, "run/systemd/container")
	}
	groups := read(system, "proc/1/cgroup")
	for _, mark := range []string{"kubepods", "docker", "containerd", "lxc"} {
		if name == "" && strings.Contains(groups, mark) {
			name = mark
		}
	}
	if variable(environ, "KUBERNETES_SERVICE_HOST") != "" {
		name = strings.TrimPrefix(name+" in kubernetes", " in ")
	}
	if name == "" {
		return "none: no container runtime left its marks", "none: no container runtime left its marks"
	}
	return name, cmp.Or(image, unknownPrefix+"nothing in a container of this kind says what image it was made from")
}

// firstOf is the value, and the name, of the first variable that is set.
func firstOf(environ []string, names ...string) string {
	for _, name := range names {
		if value := variable(environ, name); value != "" {
			return value + " (environment " + name + ")"
		}
	}
	return ""
}

// categories of locale(7) that what a program reads or writes may depend on.
var categories = []string{"LC_CTYPE", "LC_NUMERIC", "LC_COLLATE", "LC_TIME", "LC_MESSAGES"}

// locale is what setlocale(3) would choose for each category.
func locale(environ []string) map[string]string {
	chosen := map[string]string{}
	for _, category := range categories {
		chosen[category] = cmp.Or(variable(environ, "LC_ALL"), variable(environ, category), variable(environ, "LANG"), "C")
	}
	return chosen
}

// timeZone is the name in the tz database that tzset(3) would use.
func timeZone(system fs.FS, environ []string) string {
	for _, entry := range environ {
		if zone, ok := strings.CutPrefix(entry, "TZ="); ok {
			return cmp.Or(strings.TrimPrefix(zone, ":"), "UTC")
		}
	}
	if target, err := fs.ReadLink(system, "etc/localtime"); err == nil {
		if _, zone, ok := strings.Cut(target, "zoneinfo/"); ok {
			return zone
		}
	}
	switch {
	case exists(system, "etc/timezone"):
		return read(system, "etc/timezone")
	case exists(system, "etc/localtime"):
		return unknownPrefix + "/etc/localtime does not say which one it is"
	case runtime.GOOS != "linux":
		return unknownPrefix + "it is only looked for on Linux"
	}
	return "UTC"
}

// libraryPlaces are where glibc's library lies, ld.so(8) and Debian's multiarch.
var libraryPlaces = []string{"lib/*-linux-gnu*/libc.so.6", "lib64/libc.so.6", "usr/lib/*-linux-gnu*/libc.so.6", "usr/lib64/libc.so.6", "usr/lib/libc.so.6", "lib/libc.so.6"}

// libc names the system's C library: glibc by the newest version of its symbols,
// musl by its loader, which states none.
func libc(system fs.FS) string {
	for _, place := range libraryPlaces {
		files, _ := fs.Glob(system, place)
		for _, file := range files {
			if version := glibcVersion(system, file); version != "" {
				return "glibc " + version
			}
		}
	}
	if loaders, _ := fs.Glob(system, "lib/ld-musl-*.so.1"); len(loaders) > 0 {
		return "musl (version unknown: its loader does not state it)"
	}
	return unknownPrefix + "neither glibc nor musl is where they usually are"
}

// maxLibrary bounds the C library that is read, in bytes.
const maxLibrary = 16 << 20

// glibcVersion is the newest version that a library defines symbols of, and so
// its own.
func glibcVersion(system fs.FS, name string) string {
	file, err := system.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	at, ok := file.(io.ReaderAt)
	if !ok {
		data, _ := io.ReadAll(io.LimitReader(file, maxLibrary))
		at = bytes.NewReader(data)
	}
	library, err := elf.NewFile(at)
	if err != nil || library.Machine != machines[runtime.GOARCH] {
		return ""
	}
	versions, _ := library.DynamicVersions()
	newest := ""
	for _, version := range versions {
		if number, ok := strings.CutPrefix(version.Name, "GLIBC_2."); ok && minor(number) > minor(newest) {
			newest = number
		}
	}
	if newest == "" {
		return ""
	}
	return "2." + newest
}

// minor is the number before the first dot, -1 if there is none.
func minor(version string) int {
	first, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(first); err == nil {
		return n
	}
	return -1
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
