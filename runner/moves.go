package runner

import (
	"slices"

	"github.com/convrun/convrun/runner/trace"
)

// move is a folder, inode, that got another name. When exchanged is set, what
// had that name has the former one now.
type move struct {
	from, to  string
	inode     trace.Inode
	exchanged bool
}

// moves are the folders that were renamed, in order.
type moves struct {
	list []move
	// to has the places in list of the moves that made a folder what its name
	// means, in order.
	to map[string][]int
}

func (m *moves) add(moved move) {
	m.to[moved.to] = append(m.to[moved.to], len(m.list))
	if moved.exchanged {
		m.to[moved.from] = append(m.to[moved.from], len(m.list))
	}
	m.list = append(m.list, moved)
}

// isLast tells whether no later move gave the same folder the same name.
func (m *moves) isLast(i int) bool {
	moved := m.list[i]
	last := m.list[m.lastBefore(moved.to, len(m.list))]
	return last == moved || last.inode != moved.inode || moved.exchanged
}

// lastBefore is the place of the last move before the given one that made
// folder what it is, -1 when there is none.
func (m *moves) lastBefore(folder string, before int) int {
	all := m.to[folder]
	i, _ := slices.BinarySearch(all, before)
	if i == 0 {
		return -1
	}
	return all[i-1]
}

// origin is the name that what is at path had at the start, as far as renamed
// folders go.
func (m *moves) origin(path string) string {
	for before := len(m.list); before > 0; {
		before = m.lastAbove(path, before)
		if before >= 0 {
			path = m.list[before].undo(path)
		}
	}
	return path
}

// lastAbove is the last move before the given one of a folder that path lies
// in; -1 when there is none.
func (m *moves) lastAbove(path string, before int) int {
	last := -1
	for folder, ok := folderOf(path); ok; folder, ok = folderOf(folder) {
		last = max(last, m.lastBefore(folder, before))
	}
	return last
}

// undo is the path that a file had before the move.
func (m move) undo(path string) string {
	if isBelow(path, m.to) {
		return m.from + path[len(m.to):]
	}
	return m.to + path[len(m.from):]
}
