//go:build amd64 || arm64

package runner

import (
	"os"
	"os/exec"
	"testing"

	"github.com/convrun/convrun/runner/trace"
)

// asMethod names the method by which this binary, and what it starts as
// convrun, watches where a test asks for none.
const asMethod = asConvrun + "_METHOD"

// watchedBy is the method that a test gets that asks for none.
func watchedBy() string {
	if method := os.Getenv(asMethod); method != "" {
		return method
	}
	return trace.SeccompNotify
}

// TestOtherMethods has the tests of this package run again, by ptrace, but for
// those that are long or name their methods themselves.
func TestOtherMethods(t *testing.T) {
	if os.Getenv(asMethod) != "" {
		t.Skip("this is such a run")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{trace.Ptrace, trace.PtraceAll} {
		t.Run(method, func(t *testing.T) {
			again := exec.Command(self, "-test.failfast",
				"-test.run", "Files|Folders|Descriptors|Daemon|Chroot|Path|Terminal|JobControl|Ends|Pipe|Signals|Grace", "-test.skip", "ManyFiles|Probes")
			again.Env = append(os.Environ(), asMethod+"="+method)
			if out, err := again.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
