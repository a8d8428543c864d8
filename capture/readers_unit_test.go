package capture

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// window is the order window as a boot time.
const window = int64(orderWindow)

// given takes what is due at a boot time, as text.
func (s *Session) given(now int64) []string {
	var got []string
	for p := s.order.next(now, false); p != nil; p = s.order.next(now, false) {
		text := fmt.Sprintf("%d %.5q at %d", p.Event, p.Data, p.Time.UnixNano())
		if p.Event == pcapng.EventRead {
			text += fmt.Sprintf(" of message %d at %d", p.Message, p.Offset)
		}
		if r := p.Reader; r != nil {
			text += fmt.Sprintf(" by %d/%d %s:%s after %d", r.PID, r.TID, r.Comm, r.Thread, p.Latency)
			if p.Peer.PID != r.PID || p.Peer.TID != r.TID {
				text += fmt.Sprintf(", but its peer is %d/%d", p.Peer.PID, p.Peer.TID)
			}
		} else {
			text += fmt.Sprintf(" to %d", p.Peer.PID)
		}
		got = append(got, text)
	}
	return got
}

// reader says that another task reads socket 2.
func (s *Session) readerIs(place uint8, pid, tid uint32, comm, thread string) {
	s.take(&bpf.Event{Kind: bpf.KindReader, Reader: bpf.Reader{
		Place: place, Pid: pid, Tid: tid, Receiver: 2, Comm: name(comm), Thread: name(thread),
	}})
}

// reads says that the unit of that time was read at another.
func (s *Session) reads(unit, at int64, place uint8, pid, tid uint32) {
	s.take(&bpf.Event{Kind: bpf.KindConsumed, Read: bpf.Read{
		Unit: uint64(unit)<<22 | 7, Time: uint64(at), Flags: bpf.DataRead, Place: place, Pid: pid, Tid: tid,
	}})
}

func newReadSession() *Session {
	s := newTestSession()
	s.sockets.comm = func(pid uint32) string { return fmt.Sprint("comm-of-", pid) }
	s.order.window = window
	return s
}

// TestReadInTime: what is read before its packet goes out says so itself.
func TestReadInTime(t *testing.T) {
	s := newReadSession()
	s.sends(2, 100, 0, "a", 0)
	s.sends(2, 101, 1, "b", 0)
	s.sends(2, 102, 2, "c", bpf.DataPending)
	s.sends(2, 103, 3, "purged", 0)
	s.readerIs(0, 5, 6, "worker", "pool-1")
	s.reads(100, 110, 0, 5, 6)
	s.readerIs(1, 7, 7, "other", "other")
	s.reads(101, 120, 1, 7, 7)
	s.reads(102, 130, 0, 5, 6) // its word of being queued comes late
	s.take(&bpf.Event{Kind: bpf.KindQueued, Unit: bpf.Unit{Unit: 102<<22 | 7, Time: 125, Offset: 2}})
	s.take(&bpf.Event{Kind: bpf.KindConsumed, Read: bpf.Read{Unit: 103<<22 | 7, Time: 140}})
	for range 2 { // nor a second time
		s.reads(100, 150, 0, 5, 6)
	}
	want := []string{
		`1 "a" at 100 by 5/6 worker:pool-1 after 10`,
		`1 "b" at 101 by 7/7 other: after 19`,
		`1 "c" at 130 by 5/6 worker:pool-1 after 1`,
		`1 "purge" at 130 to 5`,
	}
	if diff := cmp.Diff(want, s.given(window+150)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestReadLate: what is read when its packet is gone is told, but not if the
// packet has named the reader and it did not wait. (That comes with -U.)
func TestReadLate(t *testing.T) {
	s := newReadSession()
	s.readerIs(0, 5, 5, "worker", "worker")
	for i, text := range []string{"a", "b", "c"} {
		s.sends(2, 100+i, i, text, 0)
	}
	s.sends(2, 103, 3, strings.Repeat("long", 70_000), 0) // two packets
	s.order.window = 0                                    // as with -U
	got := s.given(103)
	s.order.window = window
	s.reads(100, 200, 0, 5, 5)
	s.readerIs(1, 7, 7, "other", "other")
	s.reads(101, 201, 1, 7, 7)
	s.reads(102, 102+window, 0, 5, 5)
	s.reads(103, 204+window, 2, 9, 10) // a place that is not known
	got = append(got, s.given(1000+2*window)...)
	want := []string{
		`1 "a" at 100 to 5`, `1 "b" at 101 to 5`, `1 "c" at 102 to 5`, `1 "longl" at 103 to 5`, `1 "longl" at 103 to 5`,
		`2 "" at 201 of message 2 at 1 by 7/7 other: after 100`,
		fmt.Sprintf(`2 "" at %d of message 3 at 2 by 5/5 worker: after %d`, 102+window, window),
		fmt.Sprintf(`2 "" at %d of message 4 at 3 by 9/10 comm-of-9: after %d`, 204+window, 101+window),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestReadWaiting: of a unit that was shown waiting the reading is told, once,
// and nothing if it was thrown away.
func TestReadWaiting(t *testing.T) {
	const waiting = bpf.DataWaiting | bpf.DataPending
	s := newReadSession()
	s.sends(2, 10, 0, "read", waiting)
	s.sends(2, 20, 4, "purged", waiting)
	s.sends(2, 25, 10, "closed", bpf.DataWaiting) // thrown away before it was shown
	for _, at := range []uint64{10, 20} {
		s.take(&bpf.Event{Kind: bpf.KindQueued, Unit: bpf.Unit{Unit: at<<22 | 7, Time: at}})
	}
	got := s.given(window + 25)
	for range 2 {
		s.reads(10, 30, bpf.Readers, 5, 5)
		s.take(&bpf.Event{Kind: bpf.KindConsumed, Read: bpf.Read{Unit: 20<<22 | 7, Time: 40}})
	}
	got = append(got, s.given(window+40)...)
	want := []string{
		`1 "read" at 10 to 0`, `1 "purge" at 20 to 0`, `1 "close" at 25 to 0`,
		`2 "" at 30 of message 1 at 0 by 5/5 comm-of-5: after 0`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := len(s.unread.young); n != 0 {
		t.Errorf("%d units are still waited for", n)
	}
}

// TestReadJoined: units that share an skb are read as one, whether they have
// been handed out or not.
func TestReadJoined(t *testing.T) {
	s := newReadSession()
	s.sends(2, 100, 0, "a", 0)
	s.sends(2, 101, 1, "b", 0)
	s.sends(2, 1000, 2, "c", bpf.DataJoined)
	s.sends(2, 1001, 3, "d", bpf.DataJoined)
	got := s.given(window + 101)
	s.reads(1001, 2000, bpf.Readers, 5, 5)
	got = append(got, s.given(3*window)...)
	want := []string{
		`1 "a" at 100 to 0`, `1 "b" at 101 to 0`,
		`1 "c" at 1000 by 5/5 comm-of-5: after 0`, `1 "d" at 1001 by 5/5 comm-of-5: after 999`,
		`2 "" at 2000 of message 2 at 1 by 5/5 comm-of-5: after 0`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s.readerIs(0, 5, 5, "one", "one")
	s.readerIs(1, 5, 6, "one", "other")
	s.sends(2, 3000, 4, "e", 0)
	s.sends(2, 3001, 5, "f", bpf.DataJoined)
	s.reads(3001, 4000, 0, 5, 5)
	want = []string{`1 "e" at 3000 to 5`, `1 "f" at 3001 by 5/5 one: after 999`} // which of the two read e is not known
	if diff := cmp.Diff(want, s.given(6*window)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestReadingsReused: what is read in time costs no memory that grows.
func TestReadingsReused(t *testing.T) {
	s := newReadSession()
	s.readerIs(0, 5, 5, "worker", "worker")
	for at := range int64(1000) {
		s.sends(2, int(at), int(at), "x", 0)
		s.reads(at, at, 0, 5, 5)
		s.given(at + window - 10)
	}
	if n, m := len(s.order.readings), len(s.unread.young)+len(s.unread.old); n > 20 || m != 0 {
		t.Errorf("%d readings for use, %d units waited for", n, m)
	}
	if n := len(s.order.free); n > 20 {
		t.Errorf("%d packets for use", n)
	}
}

// TestTakeAllocates: a packet, from the record to the consumer, allocates
// nothing, also if its reader's names have no place.
func TestTakeAllocates(t *testing.T) {
	s := newTestSession()
	s.filter = newExprFilter(nil, nil)
	records, readers := [2][]byte{smallRecord(1), smallRecord(2)}, [2]string{"dockerd", "docker"}
	var e bpf.Event
	n := uint64(0)
	allocations := testing.AllocsPerRun(1001, func() {
		n++
		record := records[n&1]
		binary.LittleEndian.PutUint64(record[16:], n<<22|7) // unit
		if err := bpf.Decode(&e, record); err != nil {
			t.Fatal(err)
		}
		if err := s.take(&e); err != nil {
			t.Fatal(err)
		}
		for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
			if p.Reader == nil || p.Reader.Comm != readers[n&1] {
				t.Fatalf("read by %+v", p.Reader)
			}
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// TestReaderPlaces: a reader's names are those in the place that is said with
// each unit, and only if they are that task's.
func TestReaderPlaces(t *testing.T) {
	s := newReadSession()
	unknown := func(uint32) string { return "?" }
	to := s.sockets.of(2)
	for i := range uint32(6) {
		s.readerIs(uint8(i%bpf.Readers), 5, 10+i, "server", fmt.Sprint("thread-", i))
	}
	for _, c := range []struct {
		place uint8
		tid   uint32
		want  string
	}{
		{2, 12, "server thread-2"}, {0, 14, "server thread-4"}, {0, 10, "? "}, {bpf.Readers, 10, "? "}, {3, 13, "server thread-3"},
	} {
		r := to.readBy(5, c.tid, c.place, unknown)
		if got := r.Comm + " " + r.Thread; got != c.want || r.TID != c.tid || to.reader != r {
			t.Errorf("thread %d in place %d: %q of %d, want %q", c.tid, c.place, got, r.TID, c.want)
		}
	}
}

func TestWaited(t *testing.T) {
	for _, c := range []struct {
		queued, read uint64
		want         time.Duration
	}{{0, 5, 0}, {5, 7, 2}, {7, 7, 1}, {9, 7, 1}} {
		if got := waited(c.queued, c.read); got != c.want {
			t.Errorf("queued at %d, read at %d: %v, want %v", c.queued, c.read, got, c.want)
		}
	}
}
