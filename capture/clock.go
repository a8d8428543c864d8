package capture

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock maps the kernel's boot time, which no one can set, to wall time as it
// was when the capture began. So times in a capture neither jump nor repeat
// when the wall clock is stepped; slewing changes both clocks alike.
type clock struct{ offset int64 }

// newClock compares the two clocks several times and takes the comparison
// that was interrupted least.
func newClock() clock {
	var c clock
	best := int64(1 << 62)
	for range 16 {
		before := bootTime()
		wall := clockTime(unix.CLOCK_REALTIME)
		after := bootTime()
		if after-before < best {
			best = after - before
			c.offset = wall - (before + (after-before)/2)
		}
	}
	return c
}

func (c clock) wall(boot int64) time.Time { return time.Unix(0, boot+c.offset) }

// bootTime is CLOCK_BOOTTIME in ns, what bpf_ktime_get_boot_ns gives.
func bootTime() int64 { return clockTime(unix.CLOCK_BOOTTIME) }

func clockTime(id int32) int64 {
	var ts unix.Timespec
	if unix.ClockGettime(id, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
