package capture

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/bpf"
)

// TestLostWord: where word of what became of a unit was lost, what is behind it
// is not held back for ever, though the loss was seen only before the unit was
// late.
func TestLostWord(t *testing.T) {
	b := newBench(99)
	b.pending("a", 7)
	b.hand("b", 8, "|b|", 0)
	b.notesLost = true // as look() finds it, for this one look
	b.wait(20 * time.Millisecond)
	b.notesLost = false
	for range 600 {
		b.wait(20 * time.Millisecond)
	}
	b.want(t, "b:b")
	b.idle(t)
	if b.dropped != 1 {
		t.Errorf("%d units are counted as lost, want 1", b.dropped)
	}
}

// TestNextTellsOfPending: a task that begins its next unit is done
// with the one before it.
func TestNextTellsOfPending(t *testing.T) {
	b := newBench(99)
	b.pending("a", 7)
	b.pending("b", 7)
	b.tell(b.queued, "b", 0)
	b.wait(20 * time.Second)
	if len(b.got) == 0 || b.got[len(b.got)-1] != "b:b" {
		t.Errorf("got %q", b.got)
	}
	b.idle(t)
}

// TestLatePiece: a piece of a unit that was given up makes no
// second unit.
func TestLatePiece(t *testing.T) {
	b := newBench(99)
	b.hand("a", 7, "|ab|c", 0)
	b.wait(11 * settleTime)
	b.want(t, "a:ab/")
	b.hand("a", 7, "ab|c|", 0)
	b.want(t, "a:ab/")
	b.idle(t)
}

// TestOtherProducer: two tasks hand over units of one sender, as
// two readers, or a reader and the iterator, do on the receive side.
func TestOtherProducer(t *testing.T) {
	b := newBench(99)
	piece := func(name string, producer uint32, text string, at, total int) {
		d := bpf.Data{Unit: b.number(name, producer), Sender: 1, Receiver: 2, At: uint32(at), Size: uint32(len(text)), Total: uint32(total), Flags: bpf.DataRead}
		d.Task.Tid = 7 // who sent both
		b.piece(&d, []byte(text))
	}
	piece("a", 100, "a1", 0, 4)
	piece("b", 200, "b1", 0, 4)
	piece("a", 100, "a2", 2, 4)
	piece("b", 200, "b2", 2, 4)
	b.want(t, "a:a1a2", "b:b1b2")
	b.idle(t)
}

// TestUnknownReceivers: an incomplete unit does not hold back one
// of another sender only because the receivers of both are unknown.
func TestUnknownReceivers(t *testing.T) {
	b := newBench(99)
	d := bpf.Data{Unit: b.number("a", 100), Sender: 1, Size: 1, Total: 2, Flags: bpf.DataRead}
	b.piece(&d, []byte("a"))
	d = bpf.Data{Unit: b.number("b", 200), Sender: 9, Size: 1, Total: 1, Flags: bpf.DataRead}
	b.piece(&d, []byte("b"))
	b.want(t, "b:b")
}

// BenchmarkStalled: what stands behind a unit whose rest does not come costs as
// much as any other, so the time grows with the number, not with its square.
func BenchmarkStalled(b *testing.B) {
	for b.Loop() {
		x := newBench(99)
		x.hand("stalled", 1, "|a|b", 0)
		for i := range 100_000 {
			d := bpf.Data{Unit: uint64(i+10)<<22 | 2, Sender: 1, Receiver: 2, Size: 1, Total: 1}
			d.Task.Tid = 2
			x.piece(&d, []byte("x"))
		}
	}
}

// TestUnknownReader: who read some message whose receiver is not
// known is not the peer of others.
func TestUnknownReader(t *testing.T) {
	s := newTestSession()
	send := func(sender uint64, at int, reader uint32) {
		s.take(&bpf.Event{Kind: bpf.KindData, Payload: []byte("x"), Data: bpf.Data{
			Type: 2, Flags: bpf.DataRead, Unit: uint64(at)<<22 | 7, Sender: sender, Time: uint64(at), Total: 1, Size: 1, ReaderPid: reader,
		}})
	}
	send(1, 1, 555)
	send(2, 2, 0)
	s.order.next(0, true)
	if p := s.order.next(0, true); p.Peer.PID != 0 {
		t.Errorf("the peer of another sender is %d, who read something else", p.Peer.PID)
	}
}

// TestDatagramsOfTwo: two threads send on one datagram socket to
// two receivers, and read the same count. Nothing is lost.
func TestDatagramsOfTwo(t *testing.T) {
	s := newTestSession()
	s.progs = &programs{coll: &ebpf.Collection{}}
	dgram := func(receiver uint64, at, offset int) {
		s.take(&bpf.Event{Kind: bpf.KindData, Payload: make([]byte, 10), Data: bpf.Data{
			Type: 2, Unit: uint64(at)<<22 | 7, Sender: 1, Receiver: receiver, Time: uint64(at), Offset: uint64(offset), Total: 10, Size: 10,
		}})
	}
	dgram(2, 1, 0)
	dgram(2, 2, 10)
	dgram(3, 3, 10) // read before the other was added
	dgram(2, 4, 30)
	for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
		if p.Lost != 0 {
			t.Errorf("%d bytes lost before the one at %d", p.Lost, p.Offset)
		}
	}
}

// TestOffsetsOfUnsure: the order of two could not be told. No
// byte is missing, and what comes later is where it is.
func TestOffsetsOfUnsure(t *testing.T) {
	s := newTestSession()
	s.sends(2, 1, 0, "0123456789", bpf.DataPending)
	s.sends(2, 2, 0, "0123456789", bpf.DataPending)
	tell := func(kind bpf.Kind, at, offset int, flags uint16) {
		s.take(&bpf.Event{Kind: kind, Unit: bpf.Unit{Flags: flags, Time: 9, Unit: uint64(at)<<22 | 7, Receiver: 2, Offset: uint64(offset)}})
	}
	tell(bpf.KindQueued, 2, 0, bpf.DataOverlap)
	tell(bpf.KindQueued, 1, 10, bpf.DataOverlap)
	s.units.expire(true)
	s.sends(2, 3, 20, "x", bpf.DataPending)
	tell(bpf.KindQueued, 3, 20, 0)
	want := uint64(0)
	for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
		if p.Lost != 0 || p.Offset != want {
			t.Errorf("at %d with %d lost, want %d", p.Offset, p.Lost, want)
		}
		want = p.Offset + uint64(p.Len)
	}
}

// TestOffsetsOfPlaced: the reader told the order of two that the kernel side
// counted in another.
func TestOffsetsOfPlaced(t *testing.T) {
	s := newTestSession()
	s.sends(2, 1, 0, "first", bpf.DataPending)
	s.sends(2, 2, 0, "2nd", bpf.DataPending)
	tell := func(kind bpf.Kind, at, offset int, flags uint16) {
		s.take(&bpf.Event{Kind: kind, Unit: bpf.Unit{Flags: flags, Time: 9, Unit: uint64(at)<<22 | 7, Receiver: 2, Offset: uint64(offset)}})
	}
	tell(bpf.KindQueued, 1, 0, bpf.DataOverlap)
	tell(bpf.KindQueued, 2, 5, bpf.DataOverlap)
	for _, at := range []uint64{2, 1} {
		s.take(&bpf.Event{Kind: bpf.KindConsumed, Read: bpf.Read{Unit: at<<22 | 7, Time: 9}})
	}
	s.sends(2, 3, 8, "x", 0)
	var got []string
	for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
		got = append(got, fmt.Sprintf("%s at %d, %d lost, unsure %d", p.Data, p.Offset, p.Lost, p.Uncertain))
	}
	want := []string{"2nd at 0, 0 lost, unsure 0", "first at 3, 0 lost, unsure 0", "x at 8, 0 lost, unsure 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestCutCounted: units of which pieces found no room, and units that could not be
// read, are counted, once each; what the filter leaves out is not, nor what is
// whole, or shortened by choice.
func TestCutCounted(t *testing.T) {
	for _, c := range []struct {
		name            string
		pieces          [][3]uint32 // at, size, flags, of 9 bytes
		snaplen         uint32
		paths           string
		cut, unreadable uint64
	}{
		{name: "whole", pieces: [][3]uint32{{0, 4, 0}, {4, 5, 0}}},
		{name: "the end is missing", pieces: [][3]uint32{{0, 4, 0}}, cut: 1},
		{name: "the middle is missing", pieces: [][3]uint32{{0, 4, 0}, {7, 2, 0}}, cut: 1},
		{name: "the begin is missing", pieces: [][3]uint32{{4, 2, 0}, {7, 2, 0}}, cut: 1},
		{name: "unreadable", pieces: [][3]uint32{{0, 4, bpf.DataUnreadable}, {4, 5, bpf.DataUnreadable}}, unreadable: 1},
		{name: "by choice", pieces: [][3]uint32{{0, 4, 0}}, snaplen: 4},
		{name: "the end is missing of what the filter leaves out", pieces: [][3]uint32{{0, 4, 0}}, paths: "/no"},
	} {
		var names []string
		if c.paths != "" {
			names = []string{c.paths}
		}
		s := newTestSession(names...)
		if c.snaplen > 0 {
			s.units.snaplen = c.snaplen
		}
		for _, p := range c.pieces {
			s.take(&bpf.Event{Kind: bpf.KindData, Payload: make([]byte, p[1]), Data: bpf.Data{
				Flags: uint16(p[2]), Unit: 1<<22 | 7, Sender: 1, Receiver: 2, Total: 9, At: p[0], Size: p[1],
			}})
		}
		s.units.expire(true)
		if cut, unreadable := s.stats.cut.Load(), s.stats.unreadable.Load(); cut != c.cut || unreadable != c.unreadable {
			t.Errorf("%s: %d cut, %d unreadable, want %d and %d", c.name, cut, unreadable, c.cut, c.unreadable)
		}
	}
}
