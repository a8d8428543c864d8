package capture

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestLostAtTheEnd: what no later data tells of, because the socket is closed or
// the capture ends, an event tells of: of each direction all bytes are there, or
// known to be missing.
func TestLostAtTheEnd(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		for _, c := range []struct {
			name string
			typ  int
			end  string
		}{
			{"stream ends", unix.SOCK_STREAM, ""}, {"stream is closed", unix.SOCK_STREAM, "told"},
			{"seqpacket ends", unix.SOCK_SEQPACKET, ""}, {"dgram is closed", unix.SOCK_DGRAM, "told"},
			{"stream is closed and nobody hears it", unix.SOCK_STREAM, "lost"},
		} {
			t.Run(c.name, func(t *testing.T) { lostAtTheEnd(t, set, c.typ, c.end) })
		}
	})
}

func lostAtTheEnd(t *testing.T, set string, typ int, end string) {
	const count, size = 9_001, 64
	p := newPuppet(t, workload.PuppetConfig{Comm: "flood"})
	a, b := p.pair(typ)
	c, d := p.pair(typ)
	l, open := startStuck(t, Options{Hooks: set, BufferSize: 64 << 10, Immediate: true,
		Family: &Family{PID: p.PID, Sockets: []uint64{a.Inode, b.Inode, c.Inode, d.Inode}}}, p, a, b)
	p.must(p.Flood(a, b, 7, count, []int{size}))
	if end == "lost" {
		for before := l.s.Stats().LostEvents; l.s.Stats().LostEvents == before; { // there may be room for a close still
			x, y := p.pair(typ)
			p.must(p.CloseFD(x))
			p.must(p.CloseFD(y))
		}
		p.must(p.CloseFD(a))
	}
	open()
	switch end {
	case "lost":
		l.wait("the end, which is found", func(all []*pcapng.Packet) bool {
			return !l.s.sweeping.final || len(kept(all, func(x *pcapng.Packet) bool { return x.Event == pcapng.EventLost && x.Sender.Inode == a.Inode })) > 0
		})
	case "told":
		l.wait("room in the ring buffer", func([]*pcapng.Packet) bool { // which the close needs, too
			lost := l.s.Stats().LostRing
			p.pass(c, d, "room?")
			return l.s.Stats().LostRing == lost
		})
		p.must(p.CloseFD(a))
		l.wait("the close", func(all []*pcapng.Packet) bool {
			return len(kept(all, func(x *pcapng.Packet) bool { return x.Event == pcapng.EventClose && x.Sender.Inode == a.Inode })) > 0
		})
	}
	all, stats := l.end()
	var captured, missing, drops, others uint64
	events, closed := 0, false
	for _, x := range all {
		drops += x.DropCount
		if x.Sender.Inode != a.Inode {
			others += x.Lost
			continue
		}
		missing += x.Lost
		switch x.Event {
		case pcapng.EventData:
			captured += uint64(x.Len)
		case pcapng.EventLost:
			events++
			if closed || x.Peer.Inode != b.Inode || x.ConnID == 0 || x.Offset != 2+count*size || x.Sender.PID != uint32(p.PID) {
				t.Errorf("behind the close %v: %+v", closed, x)
			}
		case pcapng.EventClose:
			closed = true
		}
	}
	if stats.LostRing == 0 {
		t.Fatal("nothing was lost: the test proves nothing")
	}
	if stats.LostMissed > 0 { // of bytes that no hook has seen nothing is known
		t.Logf("%d programs skipped: %+v", stats.LostMissed, stats)
		return
	}
	if captured+missing != 2+count*size || events != 1 || end != "lost" && closed != (end == "told") {
		t.Errorf("%d bytes were sent, %d captured, %d missing; %d events, closed %v; %+v", 2+count*size, captured, missing, events, closed, stats)
	}
	if stats.LostBytes != missing+others || drops != stats.LostRing {
		t.Errorf("the packets tell of %d bytes and %d packets, the statistics %+v", missing+others, drops, stats)
	}
}
