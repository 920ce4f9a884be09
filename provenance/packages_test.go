package provenance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/hub"
	"github.com/convrun/convrun/runner/installed"
	"github.com/convrun/convrun/runner/python"
)

// bareRun is a run of which nothing else is known.
func bareRun() *runner.Observation {
	return &runner.Observation{WorkingDirectory: "/work", InvocationID: "x", Argv: []string{"true"}}
}

func TestPackagesThatAreNotAsInstalled(t *testing.T) {
	o := bareRun()
	var many []string
	for i := range maxNamed + 3 {
		many = append(many, fmt.Sprintf("a/%03d.py", i))
	}
	o.Distributions = []python.Distribution{
		{Name: "a", Version: "1", Modified: []string{"a/x\xff.py"}, Extra: many, Missing: []string{"a/y.py"}, Shared: []string{"a/z.py (b 2)"}, DirectURL: "file:///a", Commit: "git 1", Installer: "pip"},
		{Name: "gone", Version: "2", Removed: true, Location: "/site"},
		{Name: "whole", Version: "3", Integrity: "matches"},
	}
	o.Packages = []installed.Package{{Name: "libc6", Version: "4", Modified: []string{"/usr/lib/libc.so.6"}}}
	p := New(o, nil, Meta{}).Predicate
	var found []string
	for _, f := range p.Findings {
		if strings.HasPrefix(f.ID, "CR-PACKAGE") {
			found = append(found, f.ID+" "+f.Severity+" "+f.Message+" | "+f.Evidence)
		}
	}
	want := []string{
		"CR-PACKAGE-EXTRA warning a 1 is not as it was installed: 53 files not in its list loaded from its folders | " + strings.Join(many[:maxNamed], ", ") + ", and 3 more",
		"CR-PACKAGE-MISSING warning a 1 is not as it was installed: 1 file missing | a/y.py",
		"CR-PACKAGE-MODIFIED warning a 1 is not as it was installed: 1 file changed | a/x%FF.py",
		"CR-PACKAGE-MODIFIED warning libc6 4 is not as it was installed: 1 file changed | /usr/lib/libc.so.6",
		"CR-PACKAGE-REMOVED warning gone 2 was loaded, and removed before the run ended: whether it was as installed is not known | /site",
		"CR-PACKAGE-SHARED note a 1 lists 1 file that another package lists too | a/z.py (b 2)",
	}
	if !slices.Equal(found, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
	if a := p.Packages[0]; a.DirectURL != "file:///a" || a.Commit != "git 1" || a.Installer != "pip" || len(a.Extra) != maxNamed+1 {
		t.Errorf("%+v", a)
	}
}

func TestUnpackagedFilesAreBounded(t *testing.T) {
	o := bareRun()
	for i := range maxUnpackaged + 7 {
		o.Unpackaged = append(o.Unpackaged,
			runner.Unpackaged{Path: fmt.Sprintf("/etc/%03d", i), Class: runner.System, SHA256: hash(1)},
			runner.Unpackaged{Path: fmt.Sprintf("/py/lib/%03d.py", i), Class: runner.Runtime, SHA256: hash(2)})
	}
	files := New(o, nil, Meta{}).Predicate.Unpackaged
	if len(files) != maxUnpackaged+2 || files[0].Name != "/etc/000" || files[maxUnpackaged].Name != "7 further files" || files[maxUnpackaged+1].Name != "107 files of interpreters and their standard libraries" {
		t.Errorf("%d files, %v", len(files), names(files))
	}
}

func TestNativeLibraries(t *testing.T) {
	o := bareRun()
	o.Libraries = []runner.Library{
		{Name: "OpenBLAS", Path: "/s/numpy.libs/libopenblas-1.so", Version: "0.3.30", Holders: []string{"numpy 2.4.0"}},
		{Name: "cuDNN", Path: "/s/libcudnn.so.9", Soname: "libcudnn.so.9", Version: "9", Holders: []string{"nvidia-cudnn-cu13 9.15.1.9"}},
		{Name: "cuDNN", Path: "/s/libcudnn_ops.so.9", Version: "9", Holders: []string{"nvidia-cudnn-cu13 9.15.1.9"}},
		{Name: "oneDNN", Path: "/s/libdnnl.so"},
	}
	o.Python.Frameworks = []python.Framework{{Name: "torch", Version: "2.15.0", Build: map[string]string{"cuda": "None", "mkl": "2026.1", "onednn": "v3.11.0"}}}
	var got []string
	for _, l := range New(o, nil, Meta{}).Predicate.NativeLibraries {
		got = append(got, l.Name+" "+l.Version+" | "+strings.Join(l.Evidence, "; "))
	}
	want := []string{
		"MKL 2026.1 | torch 2.15.0 was built with it, by its own word",
		"OpenBLAS 0.3.30 | /s/numpy.libs/libopenblas-1.so, of numpy 2.4.0",
		"cuDNN 9.15.1.9 | /s/libcudnn.so.9, soname libcudnn.so.9, of nvidia-cudnn-cu13 9.15.1.9; /s/libcudnn_ops.so.9, of nvidia-cudnn-cu13 9.15.1.9",
		"oneDNN unknown: neither the names of its files nor a package tell | /s/libdnnl.so",
		"oneDNN v3.11.0 | torch 2.15.0 was built with it, by its own word",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFloatingRevisions(t *testing.T) {
	o := bareRun()
	o.Hubs = []hub.Source{
		{Hub: "huggingface", Kind: "model", Repository: "a/b", Revision: "1", Pinned: new(true)},
		{Hub: "huggingface", Kind: "model", Repository: "a/c", Revision: "2", Ref: "main", Pinned: new(false), Reason: "main"},
		{Hub: "kaggle", Kind: "model", Repository: "a/d", Revision: "3", Reason: "none"},
	}
	var got []string
	for _, f := range New(o, nil, Meta{}).Predicate.Findings {
		if strings.HasPrefix(f.ID, "CR-HUB-") {
			got = append(got, f.Severity+" "+f.Message+" | "+f.Evidence)
		}
	}
	want := []string{
		"warning huggingface model of a/c at 2: the revision was not pinned | main",
		"note kaggle model of a/d at 3: whether the revision was pinned is not known | none",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
