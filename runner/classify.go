package runner

import (
	"path/filepath"
	"slices"
	"strings"
)

// classifier decides by its path what a file that was only read is to a run.
type classifier struct {
	// prefixes are the installation folders of the interpreters that ran
	// ("/usr/local", "/home/u/.pyenv/versions/3.11.7"), without links.
	prefixes []string
}

// systemDirs hold what belongs to the operating system. /opt, /srv, /mnt, /tmp
// and the home folders are not among them: models lie there.
var systemDirs = []string{"/usr/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/bin/", "/sbin/", "/etc/", "/boot/", "/var/lib/", "/var/cache/", "/run/", "/nix/store/", "/System/", "/Library/"}

// managers are the folders of programs that choose an interpreter and start it
// through scripts of their own, and in them the folders of the interpreters.
var managers = []struct{ folder, installed string }{{"/.pyenv/", "versions/"}, {"/.asdf/", "installs/"}}

// notFiles are folders whose files are windows into the kernel, not data.
var notFiles = []string{"/proc/", "/sys/", "/dev/"}

// codeSuffixes name sources and loadable modules.
var codeSuffixes = []string{".py", ".pyc", ".pyi", ".pyx", ".so", ".pyd", ".sh", ".bash", ".zsh", ".pl", ".rb", ".js", ".mjs", ".cjs", ".ts", ".lua", ".r", ".R", ".jl", ".jar", ".class", ".ipynb", ".ksh", ".fish", ".ps1", ".bat", ".mk", ".cmake"}

// codeNames are those of files that make(1) and others look for.
var codeNames = []string{"Makefile", "makefile", "GNUmakefile", "Justfile", "Snakefile", "CMakeLists.txt", "Dockerfile"}

// ignored tells whether path is no file in the log's sense.
func ignored(path string) bool {
	return slices.ContainsFunc(notFiles, func(dir string) bool { return strings.HasPrefix(path, dir) }) &&
		!strings.HasPrefix(path, "/dev/shm/")
}

// addInterpreter learns an interpreter from its program file: bin/python3.11
// belongs to the installation that bin lies in.
func (c *classifier) addInterpreter(program string) {
	if !strings.HasPrefix(filepath.Base(program), "python") && !strings.HasPrefix(filepath.Base(program), "pypy") {
		return
	}
	if prefix := filepath.Dir(filepath.Dir(program)); prefix != "/" && !slices.Contains(c.prefixes, prefix) {
		c.prefixes = append(c.prefixes, prefix)
	}
}

func (c *classifier) class(path string, executed bool) Class {
	slashed := filepath.ToSlash(path)
	switch {
	case inPackages(slashed):
		return Package
	case c.inRuntime(slashed), inManager(slashed), filepath.Base(slashed) == "pyvenv.cfg":
		return Runtime
	case slices.ContainsFunc(systemDirs, func(dir string) bool { return strings.HasPrefix(slashed, dir) }):
		return System
	case executed, isCode(slashed):
		return Code
	}
	return Input
}

// isInstalled tells whether files of a class came by an installation.
func isInstalled(c Class) bool { return c == Package || c == Runtime || c == System }

// inPackages tells whether path lies in a folder that a package installer owns.
func inPackages(path string) bool {
	return strings.Contains(path, "/site-packages/") || strings.Contains(path, "/dist-packages/") || strings.Contains(path, "/node_modules/")
}

// inRuntime tells whether path belongs to an interpreter's installation: its
// programs, its libraries and its standard library.
func (c *classifier) inRuntime(path string) bool {
	for _, prefix := range c.prefixes {
		rest, ok := strings.CutPrefix(path, prefix+"/")
		if !ok {
			continue
		}
		top, _, _ := strings.Cut(rest, "/")
		switch top {
		case "bin", "lib", "lib64", "include", "DLLs", "Lib", "libs", "share":
			return true
		}
	}
	return false
}

func inManager(path string) bool {
	for _, manager := range managers {
		if _, rest, ok := strings.Cut(path, manager.folder); ok && !strings.HasPrefix(rest, manager.installed) {
			return true
		}
	}
	return false
}

func isCode(path string) bool {
	base := filepath.Base(path)
	return slices.ContainsFunc(codeSuffixes, func(suffix string) bool { return strings.HasSuffix(base, suffix) }) ||
		strings.Contains(base, ".so.") || slices.Contains(codeNames, base)
}

// isCache tells whether a written file is only there to make a later start
// faster.
func isCache(path string) bool {
	slashed := filepath.ToSlash(path)
	return strings.HasSuffix(slashed, ".pyc") || strings.Contains(slashed, "/__pycache__/")
}
