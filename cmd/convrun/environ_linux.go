package main

import (
	"os"
	"strings"
)

// rawEnviron is the environment block as convrun got it: Go's own view drops
// entries without "=" and duplicate names.
func rawEnviron() []string {
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return os.Environ()
	}
	if len(block) == 0 {
		return []string{}
	}
	return strings.Split(strings.TrimSuffix(string(block), "\x00"), "\x00")
}
