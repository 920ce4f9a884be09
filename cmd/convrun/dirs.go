package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// baseDir is convrun's folder of one kind, after the XDG Base Directory
// Specification 0.8; "" with a reason when there is no home to put it in.
func baseDir(variable, below string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "convrun"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", fmt.Errorf("neither $%s nor a home directory is set", variable)
	}
	if runtime.GOOS == "windows" {
		below = filepath.Join("AppData", "Local", below)
	}
	return filepath.Join(home, below, "convrun"), nil
}

func configDir() (string, error) { return baseDir("XDG_CONFIG_HOME", ".config") }

func cacheDir() (string, error) { return baseDir("XDG_CACHE_HOME", ".cache") }

func stateDir() (string, error) {
	return baseDir("XDG_STATE_HOME", filepath.Join(".local", "state"))
}
