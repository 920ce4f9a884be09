package trace

import (
	"io/fs"
	"syscall"
)

// IDOf is the identity of the file that info describes.
func IDOf(info fs.FileInfo) FileID {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return FileID{Size: info.Size(), MtimeNs: info.ModTime().UnixNano()}
	}
	return FileID{
		Dev: uint64(stat.Dev), Ino: stat.Ino, Size: stat.Size,
		MtimeNs: stat.Mtim.Nano(), CtimeNs: stat.Ctim.Nano(),
	}
}
