package runner

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/runner/trace"
)

func id(inode uint64, changed int64) trace.FileID {
	return trace.FileID{Dev: 1, Ino: inode, Size: 10, MtimeNs: changed, CtimeNs: changed}
}

func opened(path string, access trace.Access, id trace.FileID) trace.Event {
	return trace.Event{Op: trace.Open, Path: path, Requested: path, Access: access, ID: id, Mode: typeRegular}
}

func named(op trace.Op, path, path2 string, id trace.FileID) trace.Event {
	return trace.Event{Op: op, Path: path, Path2: path2, Requested: path, ID: id, Mode: typeRegular}
}

func exchanged(path, path2 string, id, id2 trace.FileID, kind, kind2 uint32) trace.Event {
	return trace.Event{Op: trace.Exchange, Path: path, Path2: path2, Requested: path, ID: id, ID2: id2, Mode: kind, Mode2: kind2}
}

func folderMoved(path, path2 string) trace.Event {
	return trace.Event{Op: trace.Rename, Path: path, Path2: path2, ID: id(9, 1), Mode: typeDirectory}
}

const create = trace.Write | trace.Create | trace.Discard

// TestCollect gives events, and what is on disk at the end, and wants what the
// records say: "path: read written removed, was former, also alias".
func TestCollect(t *testing.T) {
	none := trace.FileID{}
	for _, c := range []struct {
		name   string
		events []trace.Event
		disk   map[string]trace.FileID
		want   []string
	}{
		{"read", []trace.Event{opened("/a", trace.Read, id(1, 1))}, map[string]trace.FileID{"/a": id(1, 1)}, []string{"/a: read"}},
		{"create", []trace.Event{opened("/a", create, none)}, map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: written"}},
		{"overwrite without reading", []trace.Event{opened("/a", create, id(1, 1))}, map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: written"}},
		{"truncation that was refused", []trace.Event{opened("/a", create, id(1, 1))}, map[string]trace.FileID{"/a": id(1, 1)}, []string{"/a:"}},
		{"append", []trace.Event{opened("/a", trace.Write, id(1, 1))}, map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: read written"}},
		{"append of nothing", []trace.Event{opened("/a", trace.Write, id(1, 1))}, map[string]trace.FileID{"/a": id(1, 1)}, []string{"/a:"}},
		{"opened for both, as a mapping needs", []trace.Event{opened("/a", trace.Read|trace.Write, id(1, 1))}, map[string]trace.FileID{"/a": id(1, 1)}, []string{"/a: read written"}},
		{"written, then read", []trace.Event{opened("/a", create, none), opened("/a", trace.Read, id(1, 2))}, map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: written"}},
		{"read, then written", []trace.Event{opened("/a", trace.Read, id(1, 1)), opened("/a", create, id(1, 1))}, map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: read written"}},
		{"temporary and rename", []trace.Event{
			opened("/t", create, none), named(trace.Rename, "/t", "/a", id(1, 2)),
		}, map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: written, was /t"}},
		{"rename that was refused", []trace.Event{
			named(trace.Rename, "/a", "/b", id(1, 1)),
		}, map[string]trace.FileID{"/a": id(1, 1)}, []string{"/a:"}},
		{"rename of what was there before", []trace.Event{
			named(trace.Rename, "/a", "/b", id(1, 1)),
		}, map[string]trace.FileID{"/b": id(1, 2)}, []string{"/b: read written, was /a"}},
		{"rename there and back", []trace.Event{
			named(trace.Rename, "/a", "/b", id(1, 1)), named(trace.Rename, "/b", "/a", id(1, 2)),
		}, map[string]trace.FileID{"/a": id(1, 3)}, []string{"/a:"}},
		{"temporary", []trace.Event{opened("/t", create, none), named(trace.Remove, "/t", "", id(1, 2))}, nil, []string{"/t: written removed"}},
		{"removal that was refused", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), named(trace.Remove, "/a", "", id(1, 1)), opened("/a", trace.Read, id(1, 1)),
		}, map[string]trace.FileID{"/a": id(1, 1)}, []string{"/a: read"}},
		{"removed, and made anew with the same inode", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), named(trace.Remove, "/a", "", id(1, 1)), opened("/a", create, none), opened("/a", trace.Read, id(1, 5)),
		}, map[string]trace.FileID{"/a": id(1, 5)}, []string{"/a: read removed", "/a: written"}},
		{"inode that another file gets", []trace.Event{
			opened("/a", create, none), named(trace.Remove, "/a", "", id(1, 1)), opened("/b", create, none), opened("/b", trace.Read, id(1, 3)),
		}, map[string]trace.FileID{"/b": id(1, 3)}, []string{"/a: written removed", "/b: written"}},
		{"hard link to an output", []trace.Event{
			opened("/a", create, none), named(trace.Link, "/a", "/b", id(1, 2)),
		}, map[string]trace.FileID{"/a": id(1, 2), "/b": id(1, 2)}, []string{"/a: written, also /b"}},
		{"hard link, then the first name goes", []trace.Event{
			opened("/a", create, none), named(trace.Link, "/a", "/b", id(1, 2)), named(trace.Remove, "/a", "", id(1, 2)),
		}, map[string]trace.FileID{"/b": id(1, 3)}, []string{"/b: written, was /a"}},
		{"hard link to an input", []trace.Event{named(trace.Link, "/a", "/b", id(1, 1))},
			map[string]trace.FileID{"/a": id(1, 2), "/b": id(1, 2)}, []string{"/a:, also /b"}},
		{"one input under two names", []trace.Event{opened("/a", trace.Read, id(1, 1)), opened("/b", trace.Read, id(1, 1))},
			map[string]trace.FileID{"/a": id(1, 1), "/b": id(1, 1)}, []string{"/a: read, also /b"}},
		{"rename over an input", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), opened("/t", create, none), named(trace.Rename, "/t", "/a", id(2, 2)),
		}, map[string]trace.FileID{"/a": id(2, 2)}, []string{"/a: read removed", "/a: written, was /t"}},
		{"exchange", []trace.Event{exchanged("/a", "/b", id(1, 1), id(2, 1), typeRegular, typeRegular)},
			map[string]trace.FileID{"/a": id(2, 2), "/b": id(1, 2)}, []string{"/b: read written, was /a", "/a: read written, was /b"}},
		{"renamed folder", []trace.Event{
			opened("/d/a", create, none), folderMoved("/d", "/e"), opened("/e/a", trace.Read, id(1, 2)),
		}, map[string]trace.FileID{"/e/a": id(1, 2)}, []string{"/e/a: written, was /d/a"}},
		{"renamed folder, refused", []trace.Event{
			opened("/d/a", create, none), folderMoved("/d", "/e"),
		}, map[string]trace.FileID{"/d/a": id(1, 2)}, []string{"/d/a: written, was /d/a"}},
		{"truncate", []trace.Event{named(trace.Truncate, "/a", "", id(1, 1))}, map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: read written"}},
		{"windows into the kernel", []trace.Event{opened("/proc/cpuinfo", trace.Read, id(1, 1)), opened("/sys/x", create, id(2, 1)), opened("/dev/shm/x", create, none)},
			map[string]trace.FileID{"/dev/shm/x": id(3, 1)}, []string{"/dev/shm/x: written"}},
		{"inode used again for a file that something else made", []trace.Event{
			opened("/x.tmp", create, none), named(trace.Rename, "/x.tmp", "/x", id(7, 1)),
			{Op: trace.Open, Path: "/y", Requested: "/y", Access: trace.Read, ID: id(7, 2), Mode: typeRegular, Links: 1},
		}, map[string]trace.FileID{"/x": id(8, 2), "/y": id(7, 2)}, []string{"/x: written, was /x.tmp", "/y: read"}},
		{"rename that was refused, then read", []trace.Event{
			opened("/a", create, none), named(trace.Rename, "/a", "/b", id(7, 1)),
			{Op: trace.Open, Path: "/a", Requested: "/a", Access: trace.Read, ID: id(7, 1), Mode: typeRegular, Links: 1},
		}, map[string]trace.FileID{"/a": id(7, 1)}, []string{"/a: written, was /a"}},
		{"rename there, written, and back", []trace.Event{
			named(trace.Rename, "/a", "/b", id(1, 1)), opened("/b", create, id(1, 2)), named(trace.Rename, "/b", "/a", id(1, 3)),
		}, map[string]trace.FileID{"/a": id(1, 4)}, []string{"/a: read written, was /a"}},
		{"chain of renames", []trace.Event{
			opened("/t", create, none), named(trace.Rename, "/t", "/u", id(1, 1)), named(trace.Rename, "/u", "/v", id(1, 2)), named(trace.Rename, "/v", "/a", id(1, 3)),
		}, map[string]trace.FileID{"/a": id(1, 4)}, []string{"/a: written, was /t"}},
		{"circle of renames", []trace.Event{
			named(trace.Rename, "/a", "/t", id(1, 1)), named(trace.Rename, "/b", "/a", id(2, 1)), named(trace.Rename, "/t", "/b", id(1, 2)),
		}, map[string]trace.FileID{"/a": id(2, 2), "/b": id(1, 3)}, []string{"/b: read written, was /a", "/a: read written, was /b"}},
		{"rename over an input that was refused", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), opened("/t", create, none), named(trace.Rename, "/t", "/a", id(2, 2)),
		}, map[string]trace.FileID{"/a": id(1, 1), "/t": id(2, 2)}, []string{"/a: read", "/t: written, was /t"}},
		{"link renamed over an input", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), {Op: trace.Rename, Path: "/l", Path2: "/a", ID: id(3, 1), Mode: 0o120000},
		}, nil, []string{"/a: read removed"}},
		{"exchange of folders", []trace.Event{
			opened("/d/a", create, none), opened("/e/b", create, none), exchanged("/d", "/e", id(8, 1), id(9, 1), typeDirectory, typeDirectory),
			opened("/d/b", trace.Read, id(2, 2)), opened("/e/c", trace.Read, id(3, 1)),
		}, map[string]trace.FileID{"/e/a": id(1, 2), "/d/b": id(2, 2), "/e/c": id(3, 1)}, []string{"/e/a: written, was /d/a", "/d/b: written, was /e/b", "/e/c: read written, from /d/c"}},
		{"exchange of a file and a folder", []trace.Event{
			opened("/d/o", create, none), exchanged("/a", "/d", id(1, 1), id(9, 1), typeRegular, typeDirectory),
		}, map[string]trace.FileID{"/a/o": id(2, 2), "/d": id(1, 2)}, []string{"/a/o: written, was /d/o", "/d: read written, was /a"}},
		{"exchange that was refused", []trace.Event{
			opened("/b", create, none), exchanged("/a", "/b", id(1, 1), id(2, 1), typeRegular, typeRegular),
		}, map[string]trace.FileID{"/a": id(1, 1), "/b": id(2, 1)}, []string{"/b: written, was /b", "/a:"}},
		{"in a folder that was renamed twice", []trace.Event{
			folderMoved("/d", "/e"), folderMoved("/e", "/f"), opened("/f/o", trace.Read, id(1, 1)),
		}, map[string]trace.FileID{"/f/o": id(1, 1)}, []string{"/f/o: read written, from /d/o"}},
		{"in a folder that was renamed there and back", []trace.Event{
			folderMoved("/d", "/e"), folderMoved("/e", "/d"), opened("/d/o", trace.Read, id(1, 1)),
		}, map[string]trace.FileID{"/d/o": id(1, 1)}, []string{"/d/o: read"}},
		{"moved out of a renamed folder", []trace.Event{
			folderMoved("/d", "/e"), named(trace.Rename, "/e/o", "/z", id(1, 1)),
		}, map[string]trace.FileID{"/z": id(1, 2)}, []string{"/z: read written, was /d/o"}},
		{"removed in a renamed folder", []trace.Event{
			folderMoved("/d", "/e"), named(trace.Remove, "/e/o", "", id(1, 1)),
		}, nil, []string{"/e/o: removed"}},
		{"made in a renamed folder's old place", []trace.Event{
			opened("/d/o", create, none), folderMoved("/d", "/e"), opened("/d/o", create, none),
		}, map[string]trace.FileID{"/e/o": id(1, 2), "/d/o": id(2, 2)}, []string{"/e/o: written, was /d/o", "/d/o: written"}},
		{"hard link to an input, written by the new name", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), named(trace.Link, "/a", "/q", id(1, 1)), opened("/q", create, id(1, 2)),
		}, map[string]trace.FileID{"/a": id(1, 3), "/q": id(1, 3)}, []string{"/a: read written, also /q"}},
		{"hard link in place of the first name", []trace.Event{
			named(trace.Link, "/a", "/q", id(1, 1)), named(trace.Remove, "/a", "", id(1, 2)),
		}, map[string]trace.FileID{"/q": id(1, 3)}, []string{"/q: read written, was /a"}},
		{"hard link that is removed again", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), named(trace.Link, "/a", "/q", id(1, 1)), named(trace.Remove, "/q", "", id(1, 2)),
		}, map[string]trace.FileID{"/a": id(1, 3)}, []string{"/a: read"}},
		{"hard link that is renamed", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), named(trace.Link, "/a", "/q", id(1, 1)), named(trace.Rename, "/q", "/z", id(1, 2)),
		}, map[string]trace.FileID{"/a": id(1, 3), "/z": id(1, 3)}, []string{"/a: read, also /z"}},
		{"one of two names removed", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), opened("/b", trace.Read, id(1, 1)), named(trace.Remove, "/a", "", id(1, 1)),
		}, map[string]trace.FileID{"/b": id(1, 2)}, []string{"/b: read", "/a: read removed"}},
		{"renamed over one of two names", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), opened("/b", trace.Read, id(1, 1)), opened("/t", create, none), named(trace.Rename, "/t", "/b", id(2, 1)),
		}, map[string]trace.FileID{"/a": id(1, 2), "/b": id(2, 2)}, []string{"/a: read", "/b: written, was /t"}},
		{"O_TMPFILE, linked twice", []trace.Event{
			named(trace.Link, "", "/a", id(1, 1)), named(trace.Link, "", "/b", id(1, 2)),
		}, map[string]trace.FileID{"/a": id(1, 3), "/b": id(1, 3)}, []string{"/a: written, also /b"}},
		{"O_TMPFILE with the inode of a removed file", []trace.Event{
			opened("/a", trace.Read, id(1, 1)), named(trace.Remove, "/a", "", id(1, 1)), named(trace.Link, "", "/b", id(1, 3)),
		}, map[string]trace.FileID{"/b": id(1, 4)}, []string{"/a: read removed", "/b: written"}},
		{"removed, and opened again by its descriptor", []trace.Event{
			named(trace.Remove, "/a", "", id(1, 1)), opened("", trace.Read, id(1, 1)),
		}, nil, []string{"/a: read removed"}},
		{"removed, and its inode opened as another file's", []trace.Event{
			named(trace.Remove, "/a", "", id(1, 1)), opened("", trace.Read, id(1, 5)),
		}, nil, []string{"/a: removed"}},
		{"without a name and not known", []trace.Event{opened("", trace.Read|trace.Write, id(1, 1))}, nil, nil},
		{"truncate to nothing", []trace.Event{{Op: trace.Truncate, Path: "/a", Access: trace.Discard, ID: id(1, 1), Mode: typeRegular}},
			map[string]trace.FileID{"/a": id(1, 2)}, []string{"/a: written"}},
		{"no regular file", []trace.Event{{Op: trace.Open, Path: "/fifo", Access: trace.Read, ID: id(1, 1), Mode: 0o010000}}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			collect := newCollector()
			for i := range c.events {
				collect.add(&c.events[i])
			}
			look := func(path string) (trace.FileID, bool) { id, ok := c.disk[path]; return id, ok }
			var got []string
			for _, r := range collect.records {
				collect.settle(r, look)
			}
			for _, r := range collect.records {
				got = append(got, describe(r))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got    %q\nwanted %q", got, c.want)
			}
		})
	}
}

func describe(r *record) string {
	line := r.path + ":"
	for _, is := range []struct {
		set  bool
		name string
	}{{r.read, "read"}, {r.written, "written"}, {r.removed, "removed"}} {
		if is.set {
			line += " " + is.name
		}
	}
	if len(r.former) > 0 && r.written {
		line += ", was " + r.first
	} else if r.first != r.path && r.written {
		line += ", from " + r.first
	}
	if len(r.aliases) > 0 {
		line += ", also " + strings.Join(r.aliases, " ")
	}
	return line
}

func TestSamePath(t *testing.T) {
	for _, c := range []struct {
		real, requested string
		want            bool
	}{
		{"/w/a", "/w/a", true}, {"/w/a", "a", true}, {"/w/a", "./a", true}, {"/w/a", "../w/a", true}, {"/w/d/a", "d//a", true},
		{"/w/a", "/link/a", false}, {"/w/a", "b", false}, {"/w/ba", "a", false}, {"/w/a", "../a", true},
	} {
		if got := samePath(c.real, c.requested); got != c.want {
			t.Errorf("samePath(%q, %q) = %v", c.real, c.requested, got)
		}
	}
}

func BenchmarkCollect(b *testing.B) {
	for range b.N {
		collect := newCollector()
		for i := range 100_000 {
			e := opened(fmt.Sprintf("/some/folder/of/the/run/file-%d", i), trace.Read, id(uint64(i+1), 1))
			collect.add(&e)
		}
	}
	b.ReportAllocs()
}
