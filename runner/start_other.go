//go:build !linux

package runner

import (
	"errors"
	"os"

	"github.com/convrun/convrun/runner/trace"
)

func loadersOf(int) []string { return nil }

func ownProgram() (string, error) { return os.Executable() }

func openLoader(int, string) (*trace.Event, error) { return nil, errors.ErrUnsupported }

func closeHandle(int) {}

func unseenInput() string { return "" }

func inherited() []*trace.Event { return nil }
