package main

import (
	"slices"
	"testing"

	"github.com/convrun/convrun/provenance"
)

func TestExactVersions(t *testing.T) {
	var libraries []provenance.NativeLibrary
	for _, version := range []string{"13", "13.2", "13.2.86", "1", "130"} {
		libraries = append(libraries, provenance.NativeLibrary{Name: "CUDA runtime", Version: version})
	}
	libraries = append(libraries, provenance.NativeLibrary{Name: "cuDNN", Version: "13"})
	var got []string
	for _, library := range exact(libraries) {
		got = append(got, library.Name+" "+library.Version)
	}
	if want := []string{"CUDA runtime 13.2.86", "CUDA runtime 1", "CUDA runtime 130", "cuDNN 13"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
