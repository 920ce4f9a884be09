package runner

import (
	"slices"
	"strings"
)

// names finds files by path, and all below a folder without a look at others.
type names struct {
	files map[string]*record
	// folders has the paths right below each folder that lead to a file.
	folders map[string]map[string]bool
}

func newNames() names {
	return names{files: map[string]*record{}, folders: map[string]map[string]bool{}}
}

// at is the file at path, nil when there is none.
func (n names) at(path string) *record { return n.files[path] }

func (n names) set(path string, r *record) {
	n.files[path] = r
	for {
		folder, ok := folderOf(path)
		if !ok || n.folders[folder][path] {
			return
		}
		if n.folders[folder] == nil {
			n.folders[folder] = map[string]bool{}
		}
		n.folders[folder][path] = true
		path = folder
	}
}

func (n names) remove(path string) {
	delete(n.files, path)
	for n.files[path] == nil && len(n.folders[path]) == 0 {
		delete(n.folders, path)
		folder, ok := folderOf(path)
		if !ok {
			return
		}
		delete(n.folders[folder], path)
		path = folder
	}
}

// below are the paths of the files at path and below it, sorted.
func (n names) below(path string) []string {
	found := n.collect(nil, path)
	slices.Sort(found)
	return found
}

func (n names) collect(found []string, path string) []string {
	if n.files[path] != nil {
		found = append(found, path)
	}
	for next := range n.folders[path] {
		found = n.collect(found, next)
	}
	return found
}

// folderOf is the folder that path lies in, "" for the root.
func folderOf(path string) (folder string, ok bool) {
	end := strings.LastIndexByte(path, '/')
	return path[:max(end, 0)], end >= 0
}
