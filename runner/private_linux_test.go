package runner

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestStaleFoldersGo has what killed runs leave, beside what must stay.
func TestStaleFoldersGo(t *testing.T) {
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	old := time.Now().Add(-time.Hour)
	folder := func(name string, mode os.FileMode, changed time.Time) string {
		dir := filepath.Join(parent, name)
		for _, err := range []error{os.MkdirAll(filepath.Join(dir, "records"), 0o700), os.WriteFile(filepath.Join(dir, "records", "1.jsonl"), []byte("x"), 0o600), os.Chmod(dir, mode), os.Chtimes(dir, changed, changed)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	stale := folder(privatePrefix+"1", 0o700, old)
	held := folder(privatePrefix+"2", 0o700, old)
	letGo := hold(held)
	staying := []string{held, folder(privatePrefix+"3", 0o700, time.Now()), folder(privatePrefix+"4", 0o777, old), folder("other", 0o700, old)}
	if err := os.Symlink(staying[3], filepath.Join(parent, privatePrefix+"5")); err != nil {
		t.Fatal(err)
	}

	dir, release, err := privateFolder()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 || !isHeld(dir) {
		t.Errorf("the new folder: %v, %v, held %v", info, err, isHeld(dir))
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what a killed run has left is still there")
	}
	for _, dir := range staying {
		if _, err := os.Stat(filepath.Join(dir, "records", "1.jsonl")); err != nil {
			t.Errorf("%s should have been left alone: %v", dir, err)
		}
	}
	release()
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder is there after its release")
	}
	letGo()
	if err := os.Chtimes(held, old, old); err != nil {
		t.Fatal(err)
	}
	removeStale(parent, time.Now().Add(-staleAfter))
	if _, err := os.Stat(held); err == nil {
		t.Error("a folder that was let go is still there")
	}
}
