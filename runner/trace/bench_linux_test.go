//go:build amd64 || arm64

package trace

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this binary the command that the benchmarks run, too.
func TestMain(m *testing.M) {
	if count, err := strconv.Atoi(os.Getenv("TRACE_BENCH_COUNT")); err == nil {
		threads, _ := strconv.Atoi(os.Getenv("TRACE_BENCH_THREADS"))
		runtime.GOMAXPROCS(threads)
		var all sync.WaitGroup
		for range threads {
			all.Go(func() {
				runtime.LockOSThread()
				openMany(count/threads, os.Getenv("TRACE_BENCH_PATH"))
			})
		}
		all.Wait()
		os.Exit(0)
	}
	if status, asked := playRole(); asked {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

func openMany(count int, path string) {
	for range count {
		fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
		if err == nil {
			syscall.Close(fd)
		}
	}
}

// BenchmarkRatio runs each workload bare and watched, in turn, and reports how
// much longer the watched one took.
func BenchmarkRatio(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	const opens = 20000
	environ := func(path string, threads int) []string {
		return []string{"TRACE_BENCH_COUNT=" + strconv.Itoa(opens), "TRACE_BENCH_THREADS=" + strconv.Itoa(threads), "TRACE_BENCH_PATH=" + path}
	}
	for _, work := range []struct {
		name    string
		argv    []string
		environ []string
		calls   float64
	}{
		{"hot-open", []string{self}, environ("/etc/passwd", 1), opens},
		{"failing-open", []string{self}, environ("/etc/nothing-here", 1), opens},
		{"16-threads", []string{self}, environ("/etc/passwd", 16), opens},
		{"fork-exec", []string{"/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"}, nil, 200},
	} {
		for _, method := range []string{SeccompNotify, Ptrace, PtraceAll} {
			b.Run(work.name+"/"+method, func(b *testing.B) {
				var bare, watched time.Duration
				for range b.N {
					start := time.Now()
					command := exec.Command(work.argv[0], work.argv[1:]...)
					command.Env = work.environ
					if err := command.Run(); err != nil {
						b.Fatal(strings.Join(work.argv, " "), err)
					}
					bare += time.Since(start)
					watched += benchWatched(b, method, work.argv, work.environ)
				}
				b.ReportMetric(watched.Seconds()/bare.Seconds(), "watched/bare")
				b.ReportMetric((watched-bare).Seconds()*1e6/float64(b.N)/work.calls, "µs-more/call")
			})
		}
	}
}

func benchWatched(b *testing.B, method string, argv, environ []string) time.Duration {
	run, err := Prepare(Command{Argv: argv, Environ: environ}, method, func(*Event) {})
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
