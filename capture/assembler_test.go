package capture

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// bench is an assembler with a clock that stands still, and what it released.
type bench struct {
	*assembler
	clock int64
	got   []string // "name:data", with "?" behind it if marked unsure, "/" if cut
	names map[uint64]string
	units map[string]uint64
}

func newBench(snaplen uint32) *bench {
	b := &bench{clock: int64(time.Hour), names: make(map[uint64]string), units: make(map[string]uint64)}
	b.assembler = newAssembler(newSockets(), snaplen, func() int64 { return b.clock }, b.note)
	return b
}

func (b *bench) note(u *unit) {
	s := b.names[u.head.Unit] + ":" + string(u.data)
	if u.cut {
		s += "/"
	}
	if u.unsure {
		s += "?"
	}
	b.got = append(b.got, s)
}

// number is the kernel side's number of the unit with a name: a count, and in
// the low 22 bits the task that hands it over.
func (b *bench) number(name string, task uint32) uint64 {
	n, ok := b.units[name]
	if !ok {
		n = uint64(len(b.units)+1)<<22 | uint64(task)
		b.units[name], b.names[n] = n, name
	}
	return n
}

// piece hands over what of a unit stands between the bars: "ab|cd|e" is its
// middle. Everything goes from socket 1 to socket 2.
func (b *bench) hand(name string, task uint32, text string, flags uint16) {
	b.handTo(2, name, task, text, flags)
}

func (b *bench) handTo(receiver uint64, name string, task uint32, text string, flags uint16) {
	before, rest, _ := strings.Cut(text, "|")
	middle, after, _ := strings.Cut(rest, "|")
	d := bpf.Data{
		Type: uint8(pcapng.Stream), Flags: flags, Unit: b.number(name, task), Sender: 1, Receiver: receiver, Time: uint64(b.clock),
		At: uint32(len(before)), Size: uint32(len(middle)), Total: uint32(len(before) + len(middle) + len(after)),
	}
	d.Task.Tid = task
	payload := []byte(middle)
	b.piece(&d, payload)
	clear(payload) // the ring's memory is used again
}

// pending is a whole unit that is in no queue yet.
func (b *bench) pending(name string, task uint32) {
	b.hand(name, task, "|"+name+"|", bpf.DataPending)
}

func (b *bench) tell(f func(*bpf.Unit), name string, flags uint16) {
	f(&bpf.Unit{Unit: b.units[name], Flags: flags, Time: uint64(b.clock), Offset: 77})
}

// read is consumed, told as the others are.
func (b *bench) read(e *bpf.Unit) { b.consumed(&bpf.Read{Unit: e.Unit, Time: e.Time}) }

func (b *bench) wait(d time.Duration) {
	b.clock += int64(d)
	b.expire(false)
}

func (b *bench) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, b.got, cmp.Transformer("nil", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		t.Errorf("released, -want +got:\n%s", diff)
	}
}

// idle holds that nothing is kept of what was released.
func (b *bench) idle(t *testing.T) {
	t.Helper()
	if n := len(b.open); n != 0 {
		t.Errorf("%d units are still open", n)
	}
	for _, number := range []uint64{1, 2, 3} {
		if n := len(b.sockets.of(number).queue); n != 0 {
			t.Errorf("%d units stand in the queue of socket %d", n, number)
		}
	}
}

func TestPieces(t *testing.T) {
	const unreadable = bpf.DataUnreadable
	type piece struct {
		name, text string
		flags      uint16
	}
	for _, c := range []struct {
		name    string
		snaplen uint32
		pieces  []piece
		want    []string
	}{
		{"one", 99, []piece{{"a", "|hello|", 0}}, []string{"a:hello"}},
		{"three", 99, []piece{{"a", "|he|llo", 0}, {"a", "he|l|lo", 0}, {"a", "hel|lo|", 0}}, []string{"a:hello"}},
		{"empty", 99, []piece{{"a", "||", 0}}, []string{"a:"}},
		{"two empty ones", 99, []piece{{"a", "||", 0}, {"b", "||", 0}}, []string{"a:", "b:"}},
		{"behind each other", 99, []piece{{"a", "|x|", 0}, {"b", "|y|", 0}}, []string{"a:x", "b:y"}},
		{"a hole", 99, []piece{{"a", "|he|llo", 0}, {"a", "hel|lo|", 0}}, []string{"a:he/"}},
		{"a hole in front", 99, []piece{{"a", "he|llo|", 0}}, []string{"a:/"}},
		{"no end", 99, []piece{{"a", "|he|llo", 0}}, nil},
		{"no end, then the task's next", 99, []piece{{"a", "|he|llo", 0}, {"b", "|x|", 0}}, []string{"a:he/", "b:x"}},
		{"unreadable", 99, []piece{{"a", "|hello|", unreadable}}, []string{"a:/"}},
		{"unreadable in the middle", 99, []piece{{"a", "|he|llo", 0}, {"a", "he|l|lo", unreadable}, {"a", "hel|lo|", 0}}, []string{"a:he/"}},
		{"snapped", 3, []piece{{"a", "|hel|lo", 0}, {"b", "|x|", 0}}, []string{"a:hel", "b:x"}},
		{"snapped, in pieces", 3, []piece{{"a", "|he|llo", 0}, {"a", "he|l|lo", 0}}, []string{"a:hel"}},
		{"snapped to its length", 5, []piece{{"a", "|hello|", 0}}, []string{"a:hello"}},
		{"shorter than what was before it", 99, []piece{{"a", "|hello|", 0}, {"b", "|x|", 0}, {"c", "||", 0}}, []string{"a:hello", "b:x", "c:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(c.snaplen)
			for _, p := range c.pieces {
				b.hand(p.name, 7, p.text, p.flags)
			}
			b.want(t, c.want...)
			if len(c.want) > 0 {
				b.idle(t)
			}
		})
	}
}

// TestPending: a unit is shown when it was queued, never when it was not, and
// those behind it wait for that.
func TestPending(t *testing.T) {
	b := newBench(99)
	b.pending("a", 7)
	b.hand("b", 8, "|b|", 0)
	b.handTo(3, "other receiver", 8, "|c|", 0)
	b.want(t, "other receiver:c")
	b.wait(settleTime + 1)
	b.want(t, "other receiver:c")
	b.tell(b.queued, "a", 0)
	b.want(t, "other receiver:c", "a:a", "b:b")
	b.idle(t)
}

func TestCanceled(t *testing.T) {
	b := newBench(99)
	b.pending("a", 7)
	b.hand("b", 8, "|b|", 0)
	b.tell(b.canceled, "a", 0)
	b.tell(b.canceled, "a", 0)
	b.want(t, "b:b")
	b.idle(t)
}

// TestCanceledEarly: of a unit that was canceled, the missing pieces are not
// waited for.
func TestCanceledEarly(t *testing.T) {
	b := newBench(99)
	b.hand("a", 7, "|a|a", bpf.DataPending)
	b.tell(b.canceled, "a", 0)
	b.hand("b", 8, "|b|", 0)
	b.want(t, "b:b")
	b.idle(t)
}

// TestQueuedTells: time and offset of a pending unit are those of queueing.
func TestQueuedTells(t *testing.T) {
	b := newBench(99)
	var head bpf.Data
	b.release = func(u *unit) { head = *u.head }
	b.pending("a", 7)
	b.clock += 1234
	b.tell(b.queued, "a", 0)
	if head.Offset != 77 || head.Time != uint64(b.clock) {
		t.Errorf("offset %d, time %d, want 77, %d", head.Offset, head.Time, b.clock)
	}
}

// TestUnknownUnits: word of a unit that is not known, or no more, is ignored.
func TestUnknownUnits(t *testing.T) {
	b := newBench(99)
	for range 2 {
		for _, f := range []func(*bpf.Unit){b.queued, b.canceled, b.read} {
			b.tell(f, "never seen", bpf.DataOverlap)
			b.tell(f, "a", bpf.DataOverlap)
		}
		if len(b.got) == 0 {
			b.hand("a", 7, "|a|", 0)
		}
	}
	b.want(t, "a:a")
	b.idle(t)
}

// TestOverlap: tasks that write one stream at the same time are put into the
// order in which the reader finds what they wrote.
func TestOverlap(t *testing.T) {
	const overlap = bpf.DataOverlap
	for _, c := range []struct {
		name string
		do   func(b *bench)
		want []string
	}{
		{"read in another order", func(b *bench) {
			b.tell(b.queued, "a", overlap)
			b.tell(b.queued, "b", overlap)
			b.tell(b.queued, "c", overlap)
			b.tell(b.read, "c", 0)
			b.tell(b.read, "a", 0)
			b.tell(b.read, "b", 0)
		}, []string{"c:c", "a:a", "b:b"}},
		{"read before the senders say that it is queued", func(b *bench) {
			b.tell(b.read, "b", 0)
			b.tell(b.read, "c", 0)
			b.tell(b.queued, "b", overlap)
			b.tell(b.queued, "c", 0)
			b.tell(b.queued, "a", 0)
		}, []string{"b:b", "c:c", "a:a"}},
		{"one fails", func(b *bench) {
			b.tell(b.queued, "b", overlap)
			b.tell(b.queued, "c", overlap)
			b.tell(b.read, "c", 0)
			b.tell(b.canceled, "a", 0)
			b.tell(b.read, "b", 0)
		}, []string{"c:c", "b:b"}},
		{"canceled, and its memory read as another's", func(b *bench) {
			b.tell(b.canceled, "a", 0)
			b.tell(b.read, "a", 0)
			b.tell(b.queued, "b", 0)
			b.tell(b.queued, "c", 0)
		}, []string{"b:b", "c:c"}},
		{"nobody reads", func(b *bench) {
			b.tell(b.queued, "c", overlap)
			b.tell(b.queued, "b", overlap)
			b.tell(b.queued, "a", overlap)
			b.wait(settleTime)
			if len(b.got) != 0 {
				b.got = append(b.got, "too early")
			}
			b.wait(1)
		}, []string{"c:c?", "b:b?", "a:a?"}},
		{"one is read in time", func(b *bench) {
			for _, name := range []string{"a", "b", "c"} {
				b.tell(b.queued, name, overlap)
			}
			b.tell(b.read, "b", 0)
			b.wait(settleTime + 1)
			b.tell(b.read, "c", 0) // too late
		}, []string{"b:b", "a:a?", "c:c?"}},
		{"the capture ends", func(b *bench) {
			b.tell(b.queued, "a", overlap)
			b.tell(b.queued, "b", 0)
			b.expire(true) // c's send may have failed
		}, []string{"a:a?", "b:b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(99)
			for i, name := range []string{"a", "b", "c"} {
				b.pending(name, uint32(i+1))
			}
			c.do(b)
			b.want(t, c.want...)
			b.idle(t)
		})
	}
}

// TestOverlapBehind: what was read first does not pass what stands before it
// for sure.
func TestOverlapBehind(t *testing.T) {
	b := newBench(99)
	b.hand("first", 9, "|1|2", 0) // lacks a piece
	b.pending("a", 1)
	b.pending("b", 2)
	b.tell(b.queued, "a", bpf.DataOverlap)
	b.tell(b.queued, "b", bpf.DataOverlap)
	b.tell(b.read, "b", 0)
	b.want(t)
	b.hand("first", 9, "1|2|", 0)
	b.want(t, "first:12", "b:b")
	b.tell(b.read, "a", 0)
	b.want(t, "first:12", "b:b", "a:a")
	b.idle(t)
}

// TestOverlapUnsettled: what may have been queued before a unit that was not
// placed in time is marked too, even if a reader tells of its own place; what
// was sent later is not.
func TestOverlapUnsettled(t *testing.T) {
	b := newBench(99)
	b.pending("a", 1)
	b.wait(settleTime / 2)
	b.pending("b", 2)
	b.pending("c", 3)
	b.wait(settleTime / 4)
	for _, name := range []string{"b", "c", "a"} {
		b.tell(b.queued, name, bpf.DataOverlap)
	}
	b.tell(b.read, "b", 0)
	b.wait(settleTime / 2)
	b.pending("d", 4)
	b.tell(b.queued, "d", 0)
	b.wait(settleTime)
	b.want(t, "b:b", "c:c?", "a:a?", "d:d")
	b.idle(t)

	b = newBench(99)
	b.pending("a", 1)
	b.wait(settleTime / 2)
	b.pending("b", 2)
	b.wait(1)
	b.tell(b.queued, "a", bpf.DataOverlap)
	b.wait(settleTime / 2)
	b.tell(b.queued, "b", bpf.DataOverlap)
	b.tell(b.read, "b", 0)
	b.want(t, "a:a?", "b:b?")
	b.idle(t)
}

// TestExpirePieces: the rest of a unit is waited for ten times as long as for
// its place, for the task that hands it over may have been preempted.
func TestExpirePieces(t *testing.T) {
	b := newBench(99)
	b.hand("a", 7, "|ab|c", 0)
	b.hand("b", 8, "|x|", 0)
	b.wait(10*settleTime - 1)
	b.want(t)
	b.wait(1)
	b.want(t, "a:ab/", "b:x")
	b.idle(t)
}

// TestEnd: at the end of a capture nothing is waited for.
func TestEnd(t *testing.T) {
	b := newBench(99)
	b.hand("a", 7, "|ab|c", 0)
	b.hand("b", 8, "|x|", 0)
	b.expire(true)
	b.want(t, "a:ab/", "b:x")
	b.idle(t)
}
