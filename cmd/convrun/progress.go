package main

import (
	"fmt"
	"io"
	"time"
)

// patience is how long hashing may last before it is shown.
const patience = 2 * time.Second

// progress is a line on a terminal that says how far something long is.
type progress struct {
	to    io.Writer
	begun time.Time
	shown bool
}

// show is told of the hashing, bytes each.
func (p *progress) show(done, total int64) {
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	if time.Since(p.begun) < patience || total <= 0 {
		return
	}
	p.shown = true
	fmt.Fprintf(p.to, "\rconvrun: hashing: %d %% of %.1f GB\x1b[K", 100*done/total, float64(total)/1e9)
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
