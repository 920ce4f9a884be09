package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk converts onto a disk that has room for the model and none for
// the log.
func TestFullDisk(t *testing.T) {
	dir := workDir(t)
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16k"); err != nil {
		missingTool(t, "a small disk takes the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	_, stderr, status := convrunHere(t, dir, "run", "--", "sh", "-c", "head -c 12000 /dev/zero > out.bin")
	if status != exitOwnFailure || !strings.Contains(stderr, "no space left on device") || !strings.Contains(stderr, "the unsigned log was kept") {
		t.Errorf("status %d, %s", status, stderr)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	// The draft that was kept can be signed into another place.
	drafts, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "home/.local/state/convrun/logs/*"+draftSuffix))
	if len(drafts) != 1 {
		t.Fatalf("drafts kept: %v", drafts)
	}
	log := filepath.Join(t.TempDir(), "out.convlog.json")
	if _, stderr, status := convrunHere(t, dir, "sign", "--log", log, drafts[0]); status != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, status := convrunHere(t, dir, "verify", "--log", log, "out.bin"); status != 0 {
		t.Error(stderr)
	}
}

// TestReadOnlyFolder finds the log's place not writable after the run.
func TestReadOnlyFolder(t *testing.T) {
	dir := workDir(t)
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		missingTool(t, "a read-only disk takes the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	_, stderr, status := convrunHere(t, dir, "run", "--", "sh", "-c", "echo > out.bin; mount -o remount,ro "+dir+"; exit 3")
	if status != 3 || !strings.Contains(stderr, "read-only file system") {
		t.Errorf("status %d (the command's own was 3), %s", status, stderr)
	}
}
