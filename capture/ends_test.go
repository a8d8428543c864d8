package capture

import (
	"testing"

	"github.com/cilium/ebpf/btf"

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

// TestStateLayout: what is read of struct socket_state is where it is read.
func TestStateLayout(t *testing.T) {
	types, err := bpf.Types()
	if err != nil {
		t.Fatal(err)
	}
	var state *btf.Struct
	if err := types.TypeByName("socket_state", &state); err != nil {
		t.Fatal(err)
	}
	if state.Size != stateSize {
		t.Errorf("it has %d bytes, read as %d", state.Size, stateSize)
	}
	want := map[string]uint32{"number": stateNumberAt, "inode": stateInodeAt, "closed": stateClosedAt, "sent": stateSentAt, "skipped": stateSkippedAt}
	for _, m := range state.Members {
		if at, ok := want[m.Name]; ok && m.Offset.Bytes() != at {
			t.Errorf("%s at %d, read at %d", m.Name, m.Offset.Bytes(), at)
		}
		delete(want, m.Name)
	}
	if len(want) > 0 {
		t.Errorf("no fields %v", want)
	}
}
