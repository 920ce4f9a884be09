//go:build amd64 || arm64

package trace

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rights are what decides which files a thread may use, credentials(7).
type rights struct {
	uid, gid     int // of the file system: setfsuid(2)
	groups       []int
	capabilities uint64 // effective ones
}

// rightsOf reads /proc/TID/status, proc_pid_status(5).
func rightsOf(tid int) (have rights, ok bool) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return have, false
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch name {
		case "Uid":
			have.uid, _ = strconv.Atoi(fields[3])
		case "Gid":
			have.gid, _ = strconv.Atoi(fields[3])
		case "Groups":
			for _, field := range fields {
				group, _ := strconv.Atoi(field)
				have.groups = append(have.groups, group)
			}
		case "CapEff":
			have.capabilities, err = strconv.ParseUint(fields[0], 16, 64)
			return have, err == nil
		}
	}
	return have, false
}

func (have rights) equal(other rights) bool {
	return have.uid == other.uid && have.gid == other.gid && have.capabilities == other.capabilities && slices.Equal(have.groups, other.groups)
}

// borrowed are the rights of another thread, which convrun's own has taken so
// that the kernel refuses it what it will refuse the other.
type borrowed struct {
	// possible is set once any process may have other rights than convrun.
	possible bool
	own      rights
	taken    bool
}

// borrow takes the rights of thread tid until giveBack, on this system thread
// only; ok is false when they mean nothing to convrun.
func (b *borrowed) borrow(tid int) (ok bool) {
	if !b.possible {
		return true
	}
	if inOther("user", "/proc/"+strconv.Itoa(tid)) {
		return false
	}
	want, known := rightsOf(tid)
	own, ownKnown := rightsOf(unix.Gettid())
	if !known || !ownKnown || want.equal(own) {
		return true // it has gone, or there is nothing to do
	}
	b.own, b.taken = own, true
	setGroups(want.groups)
	setFileIDs(want)
	// The right to look at other processes stays.
	setCapabilities(want.capabilities&own.capabilities | own.capabilities&(1<<unix.CAP_SYS_PTRACE))
	return true
}

// giveBack makes the thread convrun's own again.
func (b *borrowed) giveBack() {
	if b.taken {
		b.taken = false
		setCapabilities(b.own.capabilities)
		setFileIDs(b.own)
		setGroups(b.own.groups)
		setCapabilities(b.own.capabilities) // setfsuid to root may have added some
	}
}

// The calls are made raw: Go's own would change all threads. A process without
// the right to make them watches none that has other rights than its own.

func setFileIDs(to rights) {
	_, _, _ = unix.RawSyscall(unix.SYS_SETFSGID, uintptr(to.gid), 0, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(to.uid), 0, 0)
}

func setGroups(groups []int) {
	raw := make([]uint32, len(groups)+1)
	for i, group := range groups {
		raw[i] = uint32(group)
	}
	_, _, _ = unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&raw[0])), 0)
}

func setCapabilities(effective uint64) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) == nil {
		data[0].Effective, data[1].Effective = uint32(effective), uint32(effective>>32)
		_ = unix.Capset(&head, &data[0])
	}
}
