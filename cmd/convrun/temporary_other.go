//go:build !linux

package main

import (
	"errors"
	"os"
)

func newTemporary(dir string) (*os.File, string, error) { return namedTemporary(dir) }

func nameTemporary(*os.File, string) (string, error) { return "", errors.ErrUnsupported }
