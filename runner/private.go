package runner

import (
	"os"
	"path/filepath"
	"time"
)

// privatePrefix begins the names of the folders that privateFolder makes.
const privatePrefix = "convrun-observer-"

// staleAfter is how old a folder must be before it can be one that a killed
// convrun has left: it is not held from its first moment.
const staleAfter = time.Minute

// privateFolder makes a folder, for this user alone, for what the observed
// processes write while the run lasts, secrets included. release removes it. A
// convrun that is killed cannot, and so each one removes what others have left.
func privateFolder() (dir string, release func(), err error) {
	removeStale(os.TempDir(), time.Now().Add(-staleAfter))
	if dir, err = os.MkdirTemp("", privatePrefix); err != nil {
		return "", func() {}, err
	}
	letGo := hold(dir)
	return dir, func() {
		os.RemoveAll(dir)
		letGo()
	}, nil
}

// removeStale removes this user's folders in parent, last changed before then,
// that no process holds.
func removeStale(parent string, then time.Time) {
	folders, _ := filepath.Glob(filepath.Join(parent, privatePrefix+"*"))
	for _, dir := range folders {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !info.ModTime().Before(then) || onlyMine(info) != nil || isHeld(dir) {
			continue
		}
		os.RemoveAll(dir)
	}
}
