package capture

import (
	"testing"
	"time"
)

func TestClockWall(t *testing.T) {
	c := clock{offset: 1_700_000_000_000_000_000}
	for boot, want := range map[int64]string{
		0:             "2023-11-14T22:13:20Z",
		1:             "2023-11-14T22:13:20.000000001Z",
		1_999_999_999: "2023-11-14T22:13:21.999999999Z",
	} {
		if got := c.wall(boot).UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("boot time %d is %s, want %s", boot, got, want)
		}
	}
}

// TestClock: what the clock makes of boot time is the wall time. It is as
// exact as the comparison of the two that was interrupted least; a second is
// for machines that are interrupted always.
func TestClock(t *testing.T) {
	c := newClock()
	before := time.Now()
	got := c.wall(bootTime())
	after := time.Now()
	if got.Before(before.Add(-time.Second)) || got.After(after.Add(time.Second)) {
		t.Errorf("the clock says %v, between %v and %v", got, before, after)
	}
	if first, second := bootTime(), bootTime(); first <= 0 || second < first {
		t.Errorf("boot time goes from %d to %d", first, second)
	}
}
