package stream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// second is so many seconds after the test's beginning.
func second(s float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(s * float64(time.Second)))
}

// came is a message, stored then, of packets with these times.
func came(host string, number, before uint64, stored float64, times ...float64) *decoded {
	d := &decoded{host: host, id: id{"0123456789abcdef", number, before}, stored: second(stored)}
	for _, at := range times {
		d.packets = append(d.packets, &pcapng.Packet{Time: second(at), ConnID: 7, Message: 4099})
	}
	return d
}

// passed is what a merge passes on at this time, as "host seconds".
func passed(m *merge, clock float64) []string {
	var all []string
	m.passOn(second(clock), func(p *pcapng.Packet, _ error) bool {
		all = append(all, fmt.Sprintf("%s %.1f", m.hosts[p.Host].Name, p.Time.Sub(second(0)).Seconds()))
		return true
	})
	return all
}

func merging(t *testing.T, all ...*decoded) *merge {
	t.Helper()
	m := new(merge)
	m.begin(time.Second, 1<<20)
	for _, d := range all {
		if _, err := m.add(d, 1); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestMergeWindow: a packet waits for its neighbours as long as the window, and
// no longer for a host that says nothing.
func TestMergeWindow(t *testing.T) {
	m := merging(t, came("a", 1, 0, 5, 1, 3), came("b", 1, 0, 5.5, 2, 4, 5))
	if got := passed(m, 5.9); got != nil {
		t.Errorf("before the window: %q", got)
	}
	want := []string{"a 1.0", "b 2.0", "a 3.0"}
	if d := cmp.Diff(want, passed(m, 6)); d != "" {
		t.Error("with the first message's end (-want +got):", d)
	}
	if d := cmp.Diff([]string{"b 4.0", "b 5.0"}, passed(m, 7)); d != "" {
		t.Error("with the second's (-want +got):", d)
	}
	// Later than that: at once with the next that is due, and counted.
	if _, err := m.add(came("a", 2, 2, 8, 4.5), 1); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a 4.5"}, passed(m, 9)); d != "" {
		t.Error(d)
	}
	if m.counts.Late != 1 || m.held != 0 {
		t.Errorf("%+v, %d bytes held", m.counts, m.held)
	}
}

// TestMergeBound: what there is no room for is passed on before its time.
func TestMergeBound(t *testing.T) {
	m := merging(t, came("a", 1, 0, 5, 1, 3), came("b", 1, 0, 5, 2))
	m.most = 2500
	if d := cmp.Diff([]string{"a 1.0"}, passed(m, 5)); d != "" {
		t.Error(d)
	}
}

// TestMergeTwice: a message that comes twice counts once, and one that is
// missing is told by the next.
func TestMergeTwice(t *testing.T) {
	m := merging(t, came("a", 4, 100, 5, 1, 2), came("a", 4, 100, 5, 1, 2), came("a", 3, 99, 5, 1), came("a", 7, 109, 6, 3, 4))
	if m.counts.Twice != 2 || m.counts.Missing != 7 || m.counts.Messages != 2 {
		t.Errorf("%+v, want 2 messages, 2 that came twice, 7 packets missing", m.counts)
	}
	var drops []uint64
	m.flush(func(p *pcapng.Packet, _ error) bool {
		drops = append(drops, p.DropCount)
		return true
	})
	if d := cmp.Diff([]uint64{0, 0, 7, 0}, drops); d != "" {
		t.Error("packets lost before each (-want +got):", d)
	}
	if _, err := m.add(came("a", 8, 110, 6, 3), 1); !errors.Is(err, ErrMessage) {
		t.Errorf("packets that were counted before: %v, want ErrMessage", err)
	}
}

// TestMergeClock: a host whose clock is far ahead does not carry the time of
// all others away.
func TestMergeClock(t *testing.T) {
	m := new(merge)
	m.begin(time.Second, 1<<20)
	for number, want := range []time.Duration{3595 * time.Second, 0} {
		ahead, err := m.add(came("a", uint64(number+1), uint64(number), 5, 3600), 1)
		if err != nil || ahead != want {
			t.Errorf("ahead by %v (%v), want %v", ahead, err, want)
		}
	}
	m.flush(func(p *pcapng.Packet, _ error) bool {
		if !p.Time.Equal(second(5)) || !p.OwnTime.Equal(second(3600)) {
			t.Errorf("time %v, own %v", p.Time, p.OwnTime)
		}
		return true
	})
}

// TestMergeIDs: connections of two hosts, and of two captures on one, are never
// taken for one.
func TestMergeIDs(t *testing.T) {
	again := came("a", 1, 0, 5, 3)
	again.id.run = "fedcba9876543210"
	m := merging(t, came("a", 1, 0, 5, 1), came("b", 1, 0, 5, 2), again)
	seen := make(map[uint64]bool)
	m.flush(func(p *pcapng.Packet, _ error) bool {
		if seen[p.ConnID] || seen[p.Message] || p.ConnID&0xffff != 7 || p.Message&0xffff != 4099 {
			t.Errorf("connection %x, send %x", p.ConnID, p.Message)
		}
		seen[p.ConnID], seen[p.Message] = true, true
		return true
	})
	if len(m.hosts) != 3 {
		t.Errorf("%d hosts, want 3", len(m.hosts))
	}
}
