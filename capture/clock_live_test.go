package capture

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestClockSet: the wall clock is set, forward and back, during a capture. Its times
// go on as before: order and spans stay right, which tcpdump's do not. The next
// capture has the new time. It sets the clock, so it runs in a virtual machine
// only.
func TestClockSet(t *testing.T) {
	if os.Getenv("SOCKCAP_VM_GUEST") == "" {
		t.Skip("it sets the clock: make test-vm vm_tests=ClockSet")
	}
	eachSet(t, func(t *testing.T, set string) {
		begun, boot := time.Now().Round(0), bootTime()
		defer setClock(t, 0, begun, boot)
		first := captureSteps(t, set, func(by time.Duration) { setClock(t, by, begun, boot) })
		for i := 1; i < len(first); i++ {
			if d := first[i].Sub(first[i-1]); d < 0 || d > time.Hour {
				t.Errorf("message %d is stamped %v behind the one before, the clock having been set", i, d)
			}
		}
		if d := first[0].Sub(begun); d < -time.Minute || d > time.Hour {
			t.Errorf("the first message is stamped %v, %v behind the clock", first[0], d)
		}
		setClock(t, 50*time.Hour, begun, boot)
		next := captureSteps(t, set, func(time.Duration) {})
		if d := next[0].Sub(begun); d < 50*time.Hour || d > 51*time.Hour {
			t.Errorf("the next capture is stamped %v behind, want 50 hours and what the test took", d)
		}
	})
}

// setClock sets the wall clock to what it was once, what has passed since, and more.
func setClock(t *testing.T, by time.Duration, was time.Time, boot int64) {
	t.Helper()
	now := was.Add(time.Duration(bootTime()-boot) + by)
	tv := unix.NsecToTimeval(now.UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		t.Fatal(err)
	}
}

// captureSteps gives the times of messages, before and after the clock was set two
// hours forward, and five back.
func captureSteps(t *testing.T, hooks string, set func(by time.Duration)) (times []time.Time) {
	p := newPuppet(t, workload.PuppetConfig{Comm: "clock"})
	a, b := p.pair(unix.SOCK_STREAM)
	l := startBlind(t, Options{Hooks: hooks, NoSnapshot: true}, nil)
	for i, by := range []time.Duration{0, 2 * time.Hour, -3 * time.Hour} {
		set(by)
		p.pass(a, b, "tick")
		l.wait("a message", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) > i })
	}
	all, _ := l.end()
	for _, c := range kept(all, from(a)) {
		times = append(times, c.Time)
	}
	return times
}
