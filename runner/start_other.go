//go:build !linux

package runner

import (
	"errors"

	"github.com/convrun/convrun/runner/trace"
)

func loadersOf(int) (loaders []string, known bool) { return nil, true }

func cannotStart(*trace.Event) bool { return false }

func openLoader(int, string) (*trace.Event, error) { return nil, errors.ErrUnsupported }

func closeHandle(int) {}

func unseenInput() string { return "" }

func inherited() []*trace.Event { return nil }
