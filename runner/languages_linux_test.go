//go:build amd64 || arm64

package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// needProgram skips a test, unless nothing may be skipped.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// packagesOf are the packages of one type that a run used.
func packagesOf(o *Observation, kind string) (found []string) {
	for _, p := range o.Packages {
		if strings.HasPrefix(p.PURL, "pkg:"+kind+"/") || kind == "" && p.PURL == "" {
			found = append(found, fmt.Sprintf("%s %s, %d files: %s", p.PURL, p.Name, p.Files, p.Integrity))
		}
	}
	return found
}

func TestNodePackages(t *testing.T) {
	needTracing(t)
	needProgram(t, "node")
	dir := folder(t, map[string]string{"convert.js": "require('@acme/tfjs'); require('left').x\n"})
	for name, text := range map[string]string{
		"node_modules/@acme/tfjs/package.json":                   `{"name": "@acme/tfjs", "version": "4.22.0", "main": "lib/index.js"}`,
		"node_modules/@acme/tfjs/lib/index.js":                   "require('./other'); require('left')\n",
		"node_modules/@acme/tfjs/lib/other.js":                   "",
		"node_modules/@acme/tfjs/node_modules/left/package.json": `{"name": "left", "version": "1.0.0"}`,
		"node_modules/@acme/tfjs/node_modules/left/index.js":     "",
		"node_modules/left/package.json":                         `{"name": "left", "version": "2.0.0"}`,
		"node_modules/left/index.js":                             "exports.x = 1\n",
		"node_modules/unused/package.json":                       `{"name": "unused", "version": "3.0.0"}`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := observe(t, Command{Argv: []string{"node", "convert.js"}}, "")
	want := []string{
		"pkg:npm/%40acme/tfjs@4.22.0 @acme/tfjs, 3 files: unknown: npm keeps no digests of installed files",
		"pkg:npm/left@1.0.0 left, 2 files: unknown: npm keeps no digests of installed files",
		"pkg:npm/left@2.0.0 left, 2 files: unknown: npm keeps no digests of installed files",
	}
	if got := packagesOf(o, "npm"); o.ExitCode != 0 || !slices.Equal(got, want) {
		t.Errorf("exit %d, got %q, want %q", o.ExitCode, got, want)
	}
	for _, rest := range o.Unpackaged {
		if strings.HasPrefix(rest.Path, dir) {
			t.Errorf("%s is said to be of no package", rest.Path)
		}
	}
}

// TestJavaPackages runs a real JVM on archives that the JDK's own tools made.
func TestJavaPackages(t *testing.T) {
	if os.Getenv("CONVRUN_FULL") == "" {
		t.Skip("only with CONVRUN_FULL")
	}
	needTracing(t)
	for _, program := range []string{"java", "javac", "jar"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	folder(t, map[string]string{
		"Main.java":      "public class Main { public static void main(String[] a) { new Part(); } }",
		"Part.java":      "public class Part { }",
		"pom.properties": "#made by Maven\ngroupId=org.acme\nartifactId=part\nversion=1.4\n",
		"manifest":       "Main-Class: Main\nClass-Path: part.jar\nBundle-SymbolicName: org.acme.main;singleton:=true\nBundle-Version: 2.0.0\n",
	})
	for _, command := range [][]string{
		{"mkdir", "-p", "META-INF/maven/org.acme/part"}, {"mv", "pom.properties", "META-INF/maven/org.acme/part/"},
		{"javac", "Main.java", "Part.java"}, {"jar", "--create", "--file", "part.jar", "Part.class", "META-INF"}, {"jar", "--create", "--file", "main.jar", "--manifest", "manifest", "Main.class"},
		{"rm", "Part.class", "Main.class"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	o := observe(t, Command{Argv: []string{"java", "-jar", "main.jar"}}, "")
	if got, want := packagesOf(o, "maven"), []string{"pkg:maven/org.acme/part@1.4 org.acme:part, 1 files: unknown: a JAR file is not compared with a record"}; o.ExitCode != 0 || !slices.Equal(got, want) {
		t.Errorf("exit %d, got %q, want %q", o.ExitCode, got, want)
	}
	if got, want := packagesOf(o, ""), []string{" org.acme.main, 1 files: unknown: a JAR file is not compared with a record"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
