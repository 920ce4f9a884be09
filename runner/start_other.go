//go:build !linux

package runner

import (
	"errors"
	"os"

	"github.com/convrun/convrun/runner/trace"
)

func loadersOf(int) (loaders []string, known bool) { return nil, true }

func cannotStart(*trace.Event) bool { return false }

func ownProgram() (string, error) { return os.Executable() }

func canWork() error { return nil }

func openLoader(int, string) (*trace.Event, error) { return nil, errors.ErrUnsupported }

func losesRights(int, int) bool { return false }

func closeHandle(int) {}

func inherited() (events []*trace.Event, unseen []string) { return nil, nil }
