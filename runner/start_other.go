//go:build !linux

package runner

import (
	"errors"

	"github.com/convrun/convrun/runner/trace"
)

func canWork() error { return nil }

func loadersOf(int) []string { return nil }

func openLoader(int, string) (*trace.Event, error) { return nil, errors.ErrUnsupported }

func losesRights(int, int) bool { return false }

func closeHandle(int) {}

func unseenInput() string { return "" }

func inherited() []*trace.Event { return nil }
