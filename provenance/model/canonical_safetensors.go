package model

import (
	"cmp"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// readTensor is a tensor of safetensors, and where its file's data starts.
type readTensor struct {
	storedTensor
	file io.ReaderAt
	data int64
}

// canonicalSafetensors is the canonical digest of a file of safetensors,
// "safetensors" in docs/spec/canonical-digest-v1.md.
func canonicalSafetensors(path string) (checksum, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return checksum{}, err
	}
	defer file.Close()
	h, err := readSafetensors(file, size, filepath.Base(path))
	if err != nil {
		return checksum{}, err
	}
	tensors, err := h.readable(file, size)
	if err != nil {
		return checksum{}, err
	}
	return digestTensors(tensors)
}

// readable are the tensors of a file of this size, when they lie as they must.
func (h *safetensorsHeader) readable(file io.ReaderAt, size int64) (tensors []readTensor, err error) {
	if problems := h.problems(); len(problems) > 0 {
		return nil, notCanonical("%s", problems[0])
	}
	for _, t := range h.tensors {
		tensors = append(tensors, readTensor{t, file, size - h.data})
	}
	return tensors, nil
}

// canonicalSafetensorsIndex is the digest of all shards together, as if they
// were one file.
func canonicalSafetensorsIndex(path string) (checksum, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return checksum{}, err
	}
	defer file.Close()
	index, err := readSafetensorsIndex(file, size, filepath.Base(path))
	if err != nil {
		return checksum{}, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return checksum{}, err
	}
	defer root.Close()
	parts := partFiles{root: root}
	defer parts.close()
	var tensors []readTensor
	wanted := index.wanted()
	if len(wanted) > maxParts {
		return checksum{}, notCanonical("there are %d shards, and %d are read at most", len(wanted), maxParts)
	}
	for _, location := range slices.Sorted(maps.Keys(wanted)) {
		part, h := shard(root, location, wanted[location])
		if part.Problem != "" || h == nil {
			return checksum{}, notCanonical("shard %s: %s", quote(location), part.Problem)
		}
		of, err := h.readable(partReader{&parts, part.Name}, part.Size)
		if err != nil {
			return checksum{}, err
		}
		tensors = append(tensors, of...)
	}
	return digestTensors(tensors)
}

func digestTensors(tensors []readTensor) (checksum, error) {
	slices.SortFunc(tensors, func(a, b readTensor) int { return cmp.Compare(a.name, b.name) })
	l, through := newListing("safetensors"), newPassage(0)
	l.number(int64(len(tensors)))
	for i, t := range tensors {
		if i > 0 && tensors[i-1].name == t.name {
			return checksum{}, notCanonical("the tensor %s is there twice", quote(t.name))
		}
		l.text(t.name)
		l.text(t.kind)
		l.numbers(t.shape)
		through.left += t.len()
		if err := l.data(t.file, t.data+t.start, t.len(), through); err != nil {
			return checksum{}, err
		}
	}
	return l.sum(), nil
}
