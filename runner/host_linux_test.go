package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// said is what a program of the system prints.
func said(t *testing.T, environ []string, argv ...string) string {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	command := exec.Command(path, argv[1:]...)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, environ...)
	if environ != nil {
		command.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	}
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%q: %v", argv, err)
	}
	return strings.TrimSpace(string(out))
}

// TestHostAsOthersSeeIt compares with what the programs of the system say.
func TestHostAsOthersSeeIt(t *testing.T) {
	h := readHost(t.Context(), os.Environ(), &Redactor{})
	lscpu := map[string]string{}
	for line := range strings.Lines(said(t, nil, "lscpu")) {
		name, value, _ := strings.Cut(line, ":")
		lscpu[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Errorf("%q is no number", text)
		}
		return n
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"kernel", h.Kernel, said(t, nil, "uname", "-r")},
		{"online cores", h.CPUCores, number(said(t, nil, "getconf", "_NPROCESSORS_ONLN"))},
		{"usable cores", h.CPUUsable, number(said(t, nil, "nproc"))},
		{"physical cores", h.CPUPhysical, number(lscpu["Core(s) per socket"]) * number(lscpu["Socket(s)"])},
		{"C library", h.Libc, said(t, nil, "getconf", "GNU_LIBC_VERSION")},
		{"memory", h.Memory / uint64(os.Getpagesize()), uint64(number(said(t, nil, "getconf", "_PHYS_PAGES")))},
		{"user", h.User, said(t, nil, "id", "-un")},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, expected %v", c.what, c.got, c.want)
		}
	}
	if runtime.GOARCH == "amd64" && h.CPUModel != lscpu["Model name"] {
		t.Errorf("processor %q, lscpu says %q", h.CPUModel, lscpu["Model name"])
	}
	flags := strings.Fields(lscpu["Flags"])
	for _, feature := range numericFeatures {
		if slices.Contains(flags, feature) != slices.Contains(h.CPUFeatures, feature) {
			t.Errorf("feature %s: recorded %v, lscpu has it: %v", feature, slices.Contains(h.CPUFeatures, feature), slices.Contains(flags, feature))
		}
	}
	release := said(t, nil, "sh", "-c", ". /etc/os-release; echo $ID $VERSION_ID")
	if h.Distribution != release {
		t.Errorf("distribution %q, expected %q", h.Distribution, release)
	}
}

// TestUsableCores leaves the process one of them.
func TestUsableCores(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &all) }()
	var h Host
	h.readMachine(t.Context())
	if h.CPUUsable != 1 || h.CPUCores < all.Count() {
		t.Errorf("%d usable of %d, expected 1 of at least %d", h.CPUUsable, h.CPUCores, all.Count())
	}
}

func TestLocaleAsLocaleSees(t *testing.T) {
	for _, environ := range [][]string{
		{"LANG=C.UTF-8"}, {"LANG=C.UTF-8", "LC_NUMERIC=C"}, {"LANG=POSIX", "LC_CTYPE=C.UTF-8"}, {"LC_ALL=C.UTF-8", "LANG=C", "LC_TIME=POSIX"}, {"LC_ALL=", "LANG="},
	} {
		got := locale(environ)
		for line := range strings.Lines(said(t, environ, "locale")) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			want, recorded := strings.Trim(value, `"`), got[name]
			if slices.Contains(categories, name) && recorded != want && !(recorded == "C" && want == "POSIX") {
				t.Errorf("%q: %s is %q, locale says %q", environ, name, recorded, want)
			}
		}
	}
}

func TestTimeZoneAsDateSees(t *testing.T) {
	for _, environ := range [][]string{{"X=1"}, {"TZ=UTC"}, {"TZ="}, {"TZ=:UTC"}} {
		name := timeZone(systemFiles(), environ)
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Errorf("%q: %q: %v", environ, name, err)
			continue
		}
		if want := said(t, environ, "date", "+%z"); time.Now().In(zone).Format("-0700") != want {
			t.Errorf("%q: %q, date says %s", environ, name, want)
		}
	}
	link := fstest.MapFS{"etc/localtime": {Data: []byte("/usr/share/zoneinfo/Europe/Berlin"), Mode: os.ModeSymlink | 0o777}}
	debian := fstest.MapFS{"etc/localtime": {Data: []byte("TZif2")}, "etc/timezone": {Data: []byte("Asia/Kolkata\n")}}
	copied := fstest.MapFS{"etc/localtime": {Data: []byte("TZif2")}}
	for _, c := range []struct {
		system fstest.MapFS
		want   string
	}{{link, "Europe/Berlin"}, {debian, "Asia/Kolkata"}, {copied, "unknown: /etc/localtime does not say which one it is"}, {fstest.MapFS{}, "UTC"}} {
		if got := timeZone(c.system, nil); got != c.want {
			t.Errorf("%q, expected %q", got, c.want)
		}
	}
}

// system makes a file system of the given texts.
func system(files map[string]string) fstest.MapFS {
	made := fstest.MapFS{}
	for name, text := range files {
		made[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return made
}

// TestLimits has control groups as systemd, Docker and Kubernetes make them.
func TestLimits(t *testing.T) {
	const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	none := Limits{CPUs: "none: no control group limits them", Memory: "none: no control group limits it"}
	noneOf := func(version string) Limits { l := none; l.Cgroup = version; return l }
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Limits
	}{
		{"v2, the limit is above", map[string]string{
			"proc/self/cgroup": "0::/user.slice/user-1000.slice/a.scope\n", "proc/self/mountinfo": unified,
			"sys/fs/cgroup/user.slice/user-1000.slice/a.scope/memory.max": "max\n", "sys/fs/cgroup/user.slice/user-1000.slice/memory.max": "2147483648\n", "sys/fs/cgroup/user.slice/memory.max": "4294967296\n",
			"sys/fs/cgroup/user.slice/user-1000.slice/a.scope/cpu.max": "150000 100000\n", "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
		}, Limits{"v2", "1.5", "2147483648"}},
		{"v2 in a container with a name space of its own", map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": unified, "sys/fs/cgroup/memory.max": "536870912\n", "sys/fs/cgroup/cpu.max": "25000 50000\n",
		}, Limits{"v2", "0.5", "536870912"}},
		{"v2 without limits", map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": unified, "sys/fs/cgroup/cpu.max": "max 100000\n"}, noneOf("v2")},
		{"v1 in a container, which sees the host's path", map[string]string{
			"proc/self/cgroup":                           "5:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n",
			"proc/self/mountinfo":                        "40 30 0:33 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n41 30 0:34 /docker/0123 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
		}, Limits{"v1", "2", "1073741824"}},
		{"v1 without limits", map[string]string{
			"proc/self/cgroup": "5:memory:/\n4:cpu:/\n", "proc/self/mountinfo": "40 30 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 30 0:34 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, noneOf("v1")},
		{"both, memory in v2", map[string]string{
			"proc/self/cgroup": "4:cpu:/a\n0::/b\n", "proc/self/mountinfo": unified + "41 30 0:34 / /sys/fs/cgroup1/cpu rw - cgroup cgroup rw,cpu\n",
			"sys/fs/cgroup/b/memory.max": "1000000\n", "sys/fs/cgroup1/cpu/a/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup1/cpu/a/cpu.cfs_period_us": "100000\n",
		}, Limits{"v2", "0.5", "1000000"}},
		{"junk", map[string]string{
			"proc/self/cgroup": "x\n0::/../../etc\n:::\n", "proc/self/mountinfo": "x - y\n\n" + unified, "sys/fs/cgroup/memory.max": "-\n", "sys/fs/cgroup/cpu.max": "0 0\n", "etc/memory.max": "5\n",
		}, noneOf("v2")},
		{"nothing", nil, Limits{"unknown: no control groups can be seen", "unknown: no control groups can be seen", "unknown: no control groups can be seen"}},
	} {
		if got := limits(system(c.files)); got != c.want {
			t.Errorf("%s: %+v, expected %+v", c.name, got, c.want)
		}
	}
}

// TestLimitsOfARealGroup puts this process into one, where that can be done.
func TestLimitsOfARealGroup(t *testing.T) {
	before := findGroup(read(systemFiles(), "proc/self/cgroup"), read(systemFiles(), "proc/self/mountinfo"), "memory")
	dir := filepath.Join("/", before.dir, fmt.Sprintf("convrun-test-%d", os.Getpid()))
	limit := map[string]string{"v1": "memory.limit_in_bytes", "v2": "memory.max"}[before.version]
	if limit == "" || os.Mkdir(dir, 0o755) != nil {
		t.Skip("no control group can be made here")
	}
	defer os.Remove(dir)
	const bytes = "3221225472"
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(bytes), 0); err != nil {
		t.Skip(err)
	}
	self := []byte(strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), self, 0); err != nil {
		t.Skip(err)
	}
	got := limits(systemFiles())
	if err := os.WriteFile(filepath.Join("/", before.dir, "cgroup.procs"), self, 0); err != nil {
		t.Error(err)
	}
	if got.Memory != bytes {
		t.Errorf("%+v, expected %s bytes", got, bytes)
	}
}

// TestAccelerators has what drivers tell, as their documentation shows it: not
// tried against real devices.
func TestAccelerators(t *testing.T) {
	const a100 = "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 190\nGPU UUID: \t GPU-6f7e0a1b-0000-1111-2222-333344445555\nVideo BIOS: \t 92.00.19.00.01\nBus Type: \t PCIe\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []Device
	}{
		{"NVIDIA", map[string]string{
			"proc/driver/nvidia/version":                       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
			"proc/driver/nvidia/gpus/0000:07:00.0/information": a100, "proc/driver/nvidia/gpus/0000:0a:00.0/information": a100,
			"sys/class/drm/card1/device/uevent": "DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:20B0\n",
		}, []Device{{"NVIDIA A100-SXM4-40GB", "nvidia 535.104.05"}, {"NVIDIA A100-SXM4-40GB", "nvidia 535.104.05"}}},
		{"NVIDIA, open driver", map[string]string{
			"proc/driver/nvidia/version":                       "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  555.42.02  Release Build  (dvs-builder@U16-I2-C05-15-3)  Mon May 13 16:03:34 UTC 2024\n",
			"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 4090\n",
		}, []Device{{"NVIDIA GeForce RTX 4090", "nvidia-open 555.42.02"}}},
		{"AMD", map[string]string{
			"sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 64\nsimd_count 0\nvendor_id 0\n",
			"sys/class/kfd/kfd/topology/nodes/1/properties": "cpu_cores_count 0\nsimd_count 416\ngfx_target_version 90010\nvendor_id 4098\ndevice_id 29711\n",
			"sys/class/kfd/kfd/topology/nodes/1/name":       "aldebaran\n",
			"sys/module/amdgpu/version":                     "6.3.6\n",
			"sys/class/drm/card0/device/uevent":             "DRIVER=amdgpu\nPCI_ID=1002:740F\n",
		}, []Device{{"AMD gfx90a, PCI 1002:740f, aldebaran", "amdgpu 6.3.6"}}},
		{"Intel GPU and NPU, a display, a connector", map[string]string{
			"sys/class/drm/card0/device/uevent":          "DRIVER=i915\nPCI_CLASS=30000\nPCI_ID=8086:56A0\n",
			"sys/class/drm/card0-HDMI-A-1/device/uevent": "DRIVER=i915\n",
			"sys/class/drm/card1/device/uevent":          "DRIVER=ast\nPCI_ID=1A03:2000\n",
			"sys/class/accel/accel0/device/uevent":       "DRIVER=intel_vpu\nPCI_ID=8086:7D1D\n",
		}, []Device{{"PCI 8086:7d1d, accel0", "intel_vpu of the kernel"}, {"PCI 8086:56a0, card0", "i915 of the kernel"}}},
		{"Tegra", map[string]string{"sys/class/drm/card1/device/uevent": "DRIVER=tegra-host1x\nOF_COMPATIBLE_0=nvidia,tegra234-host1x\n"}, []Device{{"nvidia,tegra234-host1x, card1", "tegra-host1x of the kernel"}}},
		{"Windows", map[string]string{"dev/dxg": ""}, []Device{{"a GPU of Windows (/dev/dxg)", "unknown: it is that of Windows"}}},
		{"no version", map[string]string{"proc/driver/nvidia/version": "?", "proc/driver/nvidia/gpus/x/information": "?"}, []Device{{"unknown: the driver does not name the device", "unknown: /proc/driver/nvidia/version names no version"}}},
		{"none", nil, []Device{}},
	} {
		if got := accelerators(system(c.files)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, expected %+v", c.name, got, c.want)
		}
	}
}

func TestContainer(t *testing.T) {
	for _, c := range []struct {
		name        string
		files       map[string]string
		environ     []string
		want, image string
	}{
		{"none", map[string]string{"proc/1/cgroup": "0::/init.scope\n"}, nil, "none: no container runtime left its marks", "none: no container runtime left its marks"},
		{"docker", map[string]string{".dockerenv": ""}, nil, "docker", "unknown: nothing in a container of this kind says what image it was made from"},
		{"podman", map[string]string{"run/.containerenv": "engine=\"podman-4.3.1\"\nname=\"x\"\nimage=\"docker.io/library/debian:12\"\nimageid=\"0123\"\n"}, nil, "podman", "docker.io/library/debian:12"},
		{"apptainer", map[string]string{".singularity.d/runscript": ""}, []string{"APPTAINER_CONTAINER=/images/torch.sif"}, "apptainer", "/images/torch.sif (environment APPTAINER_CONTAINER)"},
		{"kubernetes", map[string]string{"proc/1/cgroup": "0::/kubepods/burstable/pod1/2\n"}, []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}, "kubepods in kubernetes", "unknown: nothing in a container of this kind says what image it was made from"},
		{"GitLab's", map[string]string{".dockerenv": ""}, []string{"CI_JOB_IMAGE=python:3.11"}, "docker", "python:3.11 (environment CI_JOB_IMAGE)"},
		{"nspawn", map[string]string{"run/systemd/container": "systemd-nspawn\n"}, nil, "systemd-nspawn", "unknown: nothing in a container of this kind says what image it was made from"},
	} {
		if name, image := container(system(c.files), c.environ); name != c.want || image != c.image {
			t.Errorf("%s: %q, %q; expected %q, %q", c.name, name, image, c.want, c.image)
		}
	}
}

func TestFirstProcessor(t *testing.T) {
	// Linux, arch/arm64/kernel/cpuinfo.c, on an AWS Graviton2.
	const arm = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\nprocessor\t: 1\nCPU implementer\t: 0x99\n"
	model, flags := firstProcessor(strings.NewReader(arm))
	if model != "implementer 0x41, variant 0x3, part 0xd0c, revision 1" || !slices.Contains(flags, "asimddp") || len(flags) != 16 {
		t.Errorf("%q, %q", model, flags)
	}
	if model, flags := firstProcessor(strings.NewReader("processor : 0\nmodel name : X Y\nflags : a b\n\nmodel name : Z\n")); model != "X Y" || len(flags) != 2 {
		t.Errorf("%q, %q", model, flags)
	}
}

func TestLibc(t *testing.T) {
	if got := libc(system(map[string]string{"lib/ld-musl-x86_64.so.1": "\x7fELF"})); !strings.HasPrefix(got, "musl (version unknown") {
		t.Error(got)
	}
	if got := libc(system(map[string]string{"lib64/libc.so.6": "junk"})); !strings.HasPrefix(got, unknownPrefix) {
		t.Error(got)
	}
}

func TestContinuousIntegration(t *testing.T) {
	github := continuousIntegration([]string{
		"GITHUB_ACTIONS=true", "GITHUB_SERVER_URL=https://github.com", "GITHUB_REPOSITORY=acme/models", "GITHUB_RUN_ID=123", "GITHUB_RUN_ATTEMPT=2", "GITHUB_SHA=0123", "GITHUB_REF=refs/heads/main",
		"GITHUB_WORKFLOW_REF=acme/models/.github/workflows/export.yml@refs/heads/main", "GITHUB_TOKEN=x", "GITHUB_JOB=export",
	})
	if want := (CI{"GitHub Actions", "https://github.com/acme/models/actions/runs/123/attempts/2", "acme/models", "0123", "refs/heads/main", "acme/models/.github/workflows/export.yml@refs/heads/main", "export"}); github == nil || *github != want {
		t.Errorf("%+v", github)
	}
	gitlab := continuousIntegration([]string{"GITLAB_CI=true", "CI_JOB_URL=https://gitlab.example.org/a/b/-/jobs/7", "CI_COMMIT_SHA=45", "CI_JOB_TOKEN=x"})
	if want := (CI{"GitLab CI", "https://gitlab.example.org/a/b/-/jobs/7", "unknown: $CI_PROJECT_PATH is not set", "45", "unknown: $CI_COMMIT_REF_NAME is not set", "unknown: $CI_CONFIG_PATH is not set", "unknown: $CI_JOB_NAME is not set"}); gitlab == nil || *gitlab != want {
		t.Errorf("%+v", gitlab)
	}
	if jenkins := continuousIntegration([]string{"JENKINS_URL=x", "GIT_URL=https://u:" + secret + "@example.org/r.git"}); jenkins == nil || jenkins.Repository != "https://example.org/r.git" {
		t.Errorf("%+v", jenkins)
	}
	if none := continuousIntegration([]string{"CI=true", "GITHUB_ACTIONS=false"}); none != nil {
		t.Errorf("%+v", none)
	}
}
