//go:build amd64 || arm64

package trace

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this binary the command that the benchmarks run, too.
func TestMain(m *testing.M) {
	if count, err := strconv.Atoi(os.Getenv("TRACE_BENCH_COUNT")); err == nil {
		for range count {
			fd, err := syscall.Open(os.Getenv("TRACE_BENCH_PATH"), syscall.O_RDONLY, 0)
			if err == nil {
				syscall.Close(fd)
			}
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// BenchmarkRatio runs each workload bare and watched, in turn, and reports how
// much longer the watched one took.
func BenchmarkRatio(b *testing.B) {
	const opens = "20000"
	for _, work := range []struct {
		name    string
		argv    []string
		environ []string
		calls   float64
	}{
		{"hot-open", []string{"/proc/self/exe"}, []string{"TRACE_BENCH_COUNT=" + opens, "TRACE_BENCH_PATH=/etc/passwd"}, 20000},
		{"failing-open", []string{"/proc/self/exe"}, []string{"TRACE_BENCH_COUNT=" + opens, "TRACE_BENCH_PATH=/etc/nothing-here"}, 20000},
		{"fork-exec", []string{"/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"}, nil, 200},
	} {
		b.Run(work.name, func(b *testing.B) {
			if work.argv[0] == "/proc/self/exe" {
				path, err := os.Executable()
				if err != nil {
					b.Fatal(err)
				}
				work.argv[0] = path
			}
			var bare, watched time.Duration
			for range b.N {
				start := time.Now()
				command := exec.Command(work.argv[0], work.argv[1:]...)
				command.Env = work.environ
				if err := command.Run(); err != nil {
					b.Fatal(strings.Join(work.argv, " "), err)
				}
				bare += time.Since(start)
				watched += benchWatched(b, work.argv, work.environ)
			}
			b.ReportMetric(watched.Seconds()/bare.Seconds(), "watched/bare")
			b.ReportMetric((watched-bare).Seconds()*1e6/float64(b.N)/work.calls, "µs-more/call")
		})
	}
}

func benchWatched(b *testing.B, argv, environ []string) time.Duration {
	run, err := Prepare(Command{Argv: argv, Environ: environ}, SeccompNotify, func(*Event) {})
	if err != nil {
		b.Skip(err)
	}
	start := time.Now()
	if err := run.Start(func(syscall.Signal) {}); err != nil {
		b.Fatal(err)
	}
	run.Wait()
	took := time.Since(start)
	if _, err := run.Finish(b.Context(), time.Second); err != nil {
		b.Fatal(err)
	}
	return took
}
