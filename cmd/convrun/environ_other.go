//go:build !linux

package main

import "os"

// rawEnviron is the environment as Go sees it.
func rawEnviron() []string { return os.Environ() }
