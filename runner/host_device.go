package runner

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// accelerators lists the devices that kernel drivers tell of: NVIDIA's in
// /proc/driver/nvidia, the compute nodes of AMD's KFD, and what is in
// /sys/class/accel and /sys/class/drm.
func accelerators(system fs.FS) []Device {
	found := append(nvidia(system), kfd(system)...)
	for _, device := range append(classDevices(system, "accel", "accel"), classDevices(system, "drm", "card")...) {
		// What those have named better.
		if (device.module != "nvidia" || !exists(system, "proc/driver/nvidia/version")) && (device.module != "amdgpu" || !exists(system, "sys/class/kfd/kfd/topology/nodes")) {
			found = append(found, device.Device)
		}
	}
	if exists(system, "dev/dxg") {
		found = append(found, Device{Name: "a GPU of Windows (/dev/dxg)", Driver: unknownPrefix + "it is that of Windows"})
	}
	return found
}

// nvidia reads /proc/driver/nvidia: README of NVIDIA's driver, "Using the /proc
// File System Interface to the Driver".
func nvidia(system fs.FS) (found []Device) {
	driver := nvidiaVersion(read(system, "proc/driver/nvidia/version"))
	files, _ := fs.Glob(system, "proc/driver/nvidia/gpus/*/information")
	for _, file := range files {
		name := unknownPrefix + "the driver does not name the device"
		for line := range strings.Lines(read(system, file)) {
			if model, ok := strings.CutPrefix(line, "Model:"); ok {
				name = strings.TrimSpace(model)
			}
		}
		found = append(found, Device{Name: name, Driver: driver})
	}
	return found
}

var versionNumber = lazy(`\s(\d+\.\d+(?:\.\d+)?)\s`)

// nvidiaVersion is the version in "NVRM version: NVIDIA UNIX x86_64 Kernel
// Module  535.104.05  Sat Aug 19 …".
func nvidiaVersion(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	if version := versionNumber().FindStringSubmatch(line + " "); version != nil {
		if strings.Contains(line, "Open Kernel Module") {
			return "nvidia-open " + version[1]
		}
		return "nvidia " + version[1]
	}
	return unknownPrefix + "/proc/driver/nvidia/version names no version"
}

// kfd reads the compute nodes of AMD's driver: Linux, drivers/gpu/drm/amd/amdkfd.
func kfd(system fs.FS) (found []Device) {
	files, _ := fs.Glob(system, "sys/class/kfd/kfd/topology/nodes/*/properties")
	for _, file := range files {
		properties := map[string]int{}
		for line := range strings.Lines(read(system, file)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				properties[name], _ = strconv.Atoi(value)
			}
		}
		if properties["simd_count"] == 0 {
			continue // a processor
		}
		target := properties["gfx_target_version"] // 90010 is gfx90a
		name := fmt.Sprintf("AMD gfx%d%x%x, PCI %04x:%04x", target/10000, target/100%100, target%100, properties["vendor_id"], properties["device_id"])
		if called := read(system, path.Join(path.Dir(file), "name")); called != "" {
			name += ", " + called
		}
		found = append(found, Device{Name: name, Driver: moduleVersion(system, "amdgpu")})
	}
	return found
}

// displays are drivers of devices that show pictures and compute nothing.
var displays = []string{"ast", "bochs-drm", "cirrus", "cirrus-qemu", "hyperv_drm", "mgag200", "qxl", "simple-framebuffer", "simpledrm", "vboxvideo", "virtio_gpu", "virtio-pci", "vmwgfx", "efidrm", "vesadrm", "vkms", "gud", "udl"}

type classDevice struct {
	Device
	module string
}

// classDevices reads the uevent files of a class, Linux,
// Documentation/ABI/testing/sysfs-uevent.
func classDevices(system fs.FS, class, prefix string) (found []classDevice) {
	for _, pattern := range []string{prefix + "[0-9]", prefix + "[0-9][0-9]"} { // not "card0-HDMI-A-1"
		files, _ := fs.Glob(system, path.Join("sys/class", class, pattern, "device/uevent"))
		for _, file := range files {
			event := assignments(read(system, file))
			module := event["DRIVER"]
			if module == "" || slices.Contains(displays, module) {
				continue
			}
			name := path.Base(path.Dir(path.Dir(file)))
			switch {
			case event["PCI_ID"] != "":
				name = "PCI " + strings.ToLower(event["PCI_ID"]) + ", " + name
			case event["OF_COMPATIBLE_0"] != "":
				name = event["OF_COMPATIBLE_0"] + ", " + name
			}
			found = append(found, classDevice{Device{Name: name, Driver: moduleVersion(system, module)}, module})
		}
	}
	return found
}

// moduleVersion names a driver and its version; most have none but the kernel's.
func moduleVersion(system fs.FS, module string) string {
	if version := read(system, path.Join("sys/module", module, "version")); version != "" {
		return module + " " + version
	}
	return module + " of the kernel"
}

// assignments reads lines of NAME=VALUE, quoted or not, as in os-release(5).
func assignments(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	return values
}
