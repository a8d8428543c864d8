package capture

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// overload is a flood of a kind that the ring buffer can't hold.
type overload struct {
	name   string
	typ    int
	ring   int
	count  int
	sizes  []int
	pieces bool // the units are larger than the pieces that cross the ring
}

func overloads() []overload {
	return []overload{
		{"stream-64", unix.SOCK_STREAM, 64 << 10, 20_011, []int{64}, false},
		{"stream-odd", unix.SOCK_STREAM, 1 << 20, 4099, []int{1, 63, 4097, 333, 30_001}, true},
		{"dgram-64", unix.SOCK_DGRAM, 64 << 10, 20_011, []int{64}, false},
		{"dgram-odd", unix.SOCK_DGRAM, 1 << 20, 2003, []int{1, 4096, 100_003, 17}, true},
		{"seqpacket-odd", unix.SOCK_SEQPACKET, 256 << 10, 2003, []int{101, 4099, 33_001}, true},
	}
}

// TestOverload: a process sends at full speed while the consumer does not
// take anything. What was sent is what was captured and what was counted lost,
// exactly; the losses stand where they happened; no byte is wrong.
func TestOverload(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		for _, o := range overloads() {
			t.Run(o.name, func(t *testing.T) { o.run(t, set) })
		}
	})
}

// run floods and checks. The process is a family of its own: what is lost of
// others, who may talk meanwhile, is not known and must not count.
func (o *overload) run(t *testing.T, set string) {
	got, stats, sent, units := o.flood(t, set)
	o.check(t, got, stats, sent, units)
}

// flood gives what was captured of the units that were sent, and their bytes.
func (o *overload) flood(t *testing.T, set string) (got []*pcapng.Packet, stats Stats, sent []byte, units int) {
	p := newPuppet(t, workload.PuppetConfig{Comm: "flood"})
	a, b := p.pair(o.typ)
	only := &Family{PID: p.PID, Sockets: []uint64{a.Inode, b.Inode}}
	l, open := startStuck(t, Options{Hooks: set, BufferSize: o.ring, Immediate: true, Family: only}, p, a, b)
	const seed = 77
	sent = []byte("go")
	p.must(p.Flood(a, b, seed, o.count, o.sizes))
	total := 0
	for i := range o.count {
		total += o.sizes[i%len(o.sizes)]
	}
	sent = append(sent, workload.Pattern(seed, total)...)
	units = 1 + o.count
	open()
	l.wait("a trailer", func(all []*pcapng.Packet) bool {
		if slices.ContainsFunc(all, func(c *pcapng.Packet) bool { return from(a)(c) && string(c.Data) == "end." }) {
			return true
		}
		units++ // until one finds room
		sent = append(sent, "end."...)
		p.pass(a, b, "end.")
		return false
	})
	all, stats := l.end()
	return kept(all, func(c *pcapng.Packet) bool { // a trailer behind the one that was found may be lost
		return from(a)(c) || c.Event == pcapng.EventLost && c.Sender.Inode == a.Inode
	}), stats, sent, units
}

// startStuck is startBlind of a consumer that takes the "go" that a passes to b,
// and nothing more until open is called.
func startStuck(t *testing.T, o Options, p puppet, a, b workload.End) (l *live, open func()) {
	t.Helper()
	gate := make(chan struct{})
	open = sync.OnceFunc(func() { close(gate) })
	l = startBlind(t, o, func(c *pcapng.Packet) {
		if from(a)(c) {
			<-gate
		}
	})
	t.Cleanup(open) // before startBlind's own
	p.pass(a, b, "go")
	l.wait("the first message", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) > 0 })
	return l, open
}

// check compares what was captured of the units with what was sent.
func (o *overload) check(t *testing.T, got []*pcapng.Packet, stats Stats, sent []byte, units int) {
	t.Logf("%d units sent, %d records, %+v", units, len(got), stats)
	var captured, length, lost, drops, next uint64
	for i, p := range got {
		if p.Event == pcapng.EventData && !p.Continued {
			captured++
		}
		drops += p.DropCount
		lost += p.Lost
		length += uint64(p.Len)
		if p.Offset != next+p.Lost {
			t.Fatalf("record %d begins at %d, %d bytes lost behind %d", i, p.Offset, p.Lost, next)
		}
		next = p.Offset + uint64(p.Len)
		if next > uint64(len(sent)) || !bytes.Equal(p.Data, sent[p.Offset:][:len(p.Data)]) {
			t.Fatalf("record %d, at %d: other bytes than were sent: %s", i, p.Offset, show(p))
		}
		if len(p.Data) < int(p.Len) && (!p.Truncated || !o.pieces) {
			t.Fatalf("record %d has %d of %d bytes and says nothing of it", i, len(p.Data), p.Len)
		}
		if len(o.sizes) == 1 && lost/uint64(o.sizes[0]) > drops {
			t.Errorf("record %d: %d bytes were lost by now, and only %d packets", i, lost, drops)
		}
	}
	if stats.LostRing == 0 {
		t.Fatalf("nothing was lost: the test proves nothing")
	}
	if captured+stats.LostRing != uint64(units) {
		t.Errorf("%d units sent, %d captured, %d lost", units, captured, stats.LostRing)
	}
	if length+lost != uint64(len(sent)) {
		t.Errorf("%d bytes sent, %d captured, %d lost", len(sent), length, lost)
	}
	if drops != stats.LostRing {
		t.Errorf("the packets tell of %d lost ones, the statistics of %d", drops, stats.LostRing)
	}
	if stats.LostBytes != lost {
		t.Errorf("the packets tell of %d bytes lost, the statistics of %d", lost, stats.LostBytes)
	}
}
