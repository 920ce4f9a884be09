package runner

import (
	"testing"
	"time"
)

// TestClockJump sets the clock during a run: the end still follows the start.
func TestClockJump(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	const elapsed = 90 * time.Second
	for _, c := range []struct {
		set  time.Duration
		want string
	}{
		{0, ""}, {400 * time.Millisecond, ""},
		{-time.Hour, "the machine's clock was set by -1h0m0s during the run, or the machine slept"},
		{2 * time.Second, "the machine's clock was set by 2s during the run, or the machine slept"},
	} {
		end, jump := finished(start, start.Add(elapsed+c.set), elapsed)
		if !end.Equal(start.Add(elapsed)) || jump != c.want {
			t.Errorf("set by %v: the end is %v, %q", c.set, end, jump)
		}
	}
}
