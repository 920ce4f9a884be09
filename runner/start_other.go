//go:build !linux

package runner

import "github.com/convrun/convrun/runner/trace"

func loadersOf(int) []string { return nil }

func inherited() []*trace.Event { return nil }
