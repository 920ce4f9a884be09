//go:build !linux || !(amd64 || arm64)

// Package stage is empty on this system: there is no filter to install.
package stage
