package capture

import (
	"testing"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// TestLostAtClose: what a socket has sent behind its last packet is told as lost
// before its close; what the kernel side has left out of it is not.
func TestLostAtClose(t *testing.T) {
	for _, c := range []struct {
		sent, skipped, lost uint64
	}{{5, 0, 0}, {12, 0, 7}, {12, 7, 0}, {12, 3, 4}, {0, 0, 0}} {
		b := newLifeBench(t, "")
		b.data(1, 1, 2, 0, "hello", 0)
		if c.sent > 0 { // else nothing was lost, of nobody
			b.take(&bpf.Event{Kind: bpf.KindSent, Sent: bpf.Sent{Socket: 1, Sent: c.sent, Skipped: c.skipped}})
		}
		b.happens(bpf.LifeClose, 1, 2)
		var lost *pcapng.Packet
		for held := range b.order.held.all() {
			if held.packet.Event == pcapng.EventLost {
				lost = held.packet.Clone()
			}
		}
		if c.lost == 0 {
			b.want("hello 101>102 /s client 1", "close 101>102 /s client 1")
		} else {
			b.want("hello 101>102 /s client 1", "lost 101>102 /s client 1", "close 101>102 /s client 1")
		}
		if c.lost > 0 && (lost == nil || lost.Lost != c.lost || lost.Skipped != c.skipped || lost.Offset != c.sent || lost.Len != 0) ||
			c.lost == 0 && lost != nil || b.stats.lostBytes.Load() != c.lost {
			t.Errorf("%+v: %+v, %d bytes in the statistics", c, lost, b.stats.lostBytes.Load())
		}
	}
	b := newLifeBench(t, "not lost")
	b.data(1, 1, 2, 0, "hello", 0)
	b.take(&bpf.Event{Kind: bpf.KindSent, Sent: bpf.Sent{Socket: 1, Sent: 12}})
	b.happens(bpf.LifeClose, 1, 2)
	b.want("hello 101>102 /s client 1", "close 101>102 /s client 1")
}
