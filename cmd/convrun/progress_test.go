package main

import (
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := progress{to: &out}
	p.show(0, 4e9)
	p.show(1e9, 4e9)
	p.clear()
	if out.Len() > 0 {
		t.Errorf("%q before it takes long", out.String())
	}
	p.begun = p.begun.Add(-patience - time.Second)
	p.show(0, 0)
	p.show(1e9, 4e9)
	p.clear()
	if want := "\rconvrun: hashing: 25 % of 4.0 GB\x1b[K\r\x1b[K"; out.String() != want {
		t.Errorf("%q, wanted %q", out.String(), want)
	}
}
