package capture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// taken gives what is due, as text.
func taken(o *order, now int64, all bool) (got []string) {
	for p := o.next(now, all); p != nil; p = o.next(now, all) {
		got = append(got, string(p.Data))
	}
	return got
}

func put(o *order, t int64, text string) {
	o.put(t, 0, &pcapng.Packet{Data: []byte(text)})
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name        string
		window, now int64
		all         bool
		times       []int64
		want        []string
	}{
		{"empty", 10, 100, true, nil, nil},
		{"by time", 10, 100, false, []int64{30, 10, 20}, []string{"1", "2", "0"}},
		{"ties as they came", 10, 100, false, []int64{20, 10, 20, 10, 20}, []string{"1", "3", "0", "2", "4"}},
		{"at the window's edge", 10, 100, false, []int64{90, 91, 89}, []string{"2", "0"}},
		{"the end", 10, 100, true, []int64{5000, 91, 89}, []string{"2", "1", "0"}},
		{"without a window", 0, 100, false, []int64{100, 99}, []string{"1", "0"}},
		{"without a window, from the future", 0, 100, false, []int64{101}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := order{window: c.window}
			for i, at := range c.times {
				put(&o, at, fmt.Sprint(i))
			}
			if diff := cmp.Diff(c.want, taken(&o, c.now, c.all)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestOrderLate: what comes after its time is handed out at once, not lost.
func TestOrderLate(t *testing.T) {
	o := order{window: 10}
	put(&o, 50, "a")
	if got := taken(&o, 100, false); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q", got)
	}
	put(&o, 20, "late")
	if got := taken(&o, 100, false); !slices.Equal(got, []string{"late"}) {
		t.Errorf("got %q", got)
	}
}

// TestOrderCopies: a packet is the order's own from put on, and the consumer's
// until the next.
func TestOrderCopies(t *testing.T) {
	o := order{}
	p := pcapng.Packet{Data: []byte("first"), Path: "/a", Len: 5}
	o.put(1, 0, &p)
	copy(p.Data, "XXXXX")
	p.Path, p.Len = "/b", 6
	p.Data = []byte("second")
	o.put(2, 0, &p)
	got := o.next(9, false)
	if string(got.Data) != "first" || got.Path != "/a" || got.Len != 5 {
		t.Fatalf("got %q %s %d", got.Data, got.Path, got.Len)
	}
	o.put(3, 0, &pcapng.Packet{Data: []byte("third")}) // while the consumer has the first
	if string(got.Data) != "first" {
		t.Fatalf("what the consumer has became %q", got.Data)
	}
	if rest := taken(&o, 9, false); !slices.Equal(rest, []string{"second", "third"}) {
		t.Errorf("got %q", rest)
	}
}

// TestOrderMany compares with a stable sort, and holds that memory is used
// again.
func TestOrderMany(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type timed struct {
		at   int64
		text string
	}
	o := order{window: 50}
	var held []timed
	for now := int64(0); now < 4000; now += 10 {
		for range random.IntN(8) {
			x := timed{now - random.Int64N(50), fmt.Sprint(random.IntN(1e9))}
			held = append(held, x)
			put(&o, x.at, x.text)
		}
		slices.SortStableFunc(held, func(x, y timed) int { return int(x.at - y.at) })
		n, _ := slices.BinarySearchFunc(held, now-50+1, func(x timed, at int64) int { return int(x.at - at) })
		var want []string
		for _, x := range held[:n] {
			want = append(want, x.text)
		}
		held = held[n:]
		if diff := cmp.Diff(want, taken(&o, now, false)); diff != "" {
			t.Fatalf("at %d, -want +got:\n%s", now, diff)
		}
	}
	if n := len(o.free) + o.held.len(); n > 100 {
		t.Errorf("%d packets are kept, at most 48 or so were held at once", n)
	}
}

// TestOrderReuses: a packet's memory is used again, so that none is allocated
// for each.
func TestOrderReuses(t *testing.T) {
	o := order{}
	seen := make(map[*pcapng.Packet]bool)
	for i := range int64(101) {
		put(&o, i, "x")
		seen[o.next(i, false)] = true
	}
	if len(seen) > 2 {
		t.Errorf("101 packets, of which one was held at a time, took %d", len(seen))
	}
}

// TestOrderDrop: a loss stands at the first packet since.
func TestOrderDrop(t *testing.T) {
	o := order{window: 1000}
	if o.drop(0, 3) {
		t.Error("noted on nothing")
	}
	for i, at := range []int64{30, 10, 20, 20} {
		put(&o, at, fmt.Sprint(i))
	}
	if !o.drop(15, 3) || !o.drop(20, 4) || o.drop(31, 9) {
		t.Error("drop found no packet, or one too early")
	}
	var got []string
	for p := o.next(0, true); p != nil; p = o.next(0, true) {
		got = append(got, fmt.Sprintf("%s:%d", p.Data, p.DropCount))
	}
	if want := []string{"1:0", "2:7", "3:0", "0:0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// newTestSession is a session without a kernel side.
func newTestSession(names ...string) *Session {
	s := &Session{
		paths: newPathFilter(filter.NewPaths(names), names, nil), sockets: newSockets(), processes: noProcesses(),
		unread: newGenerations[uint64, *reading](10),
	}
	s.sockets.comm = func(uint32) string { return "" }
	s.units = newAssembler(s.sockets, 1<<32-1, func() int64 { return 0 }, s.release)
	for n := uint64(1); n < 10; n++ {
		s.sockets.of(n).told = true
	}
	return s
}

// noProcesses is of a machine on which nothing runs.
func noProcesses() *processes {
	t := newProcesses(nil)
	t.started = func(uint32) time.Duration { return 0 }
	return t
}

// sends says that socket 1 sent text to another.
func (s *Session) sends(receiver uint64, at, offset int, text string, flags uint16) {
	s.take(&bpf.Event{Kind: bpf.KindData, Payload: []byte(text), Data: bpf.Data{
		Kind: uint8(bpf.KindData), Type: uint8(pcapng.Stream), Flags: flags, Unit: uint64(at)<<22 | 7, Sender: 1, Receiver: receiver,
		Time: uint64(at), Offset: uint64(offset), Total: uint32(len(text)), Size: uint32(len(text)),
	}})
}

// TestLossesAndSkips: bytes that are missing are told apart from bytes that
// the filter dropped.
func TestLossesAndSkips(t *testing.T) {
	s := newTestSession("/kept")
	named := func(number uint64, path string) {
		e := bpf.Event{Kind: bpf.KindSocket, Socket: bpf.Socket{Socket: number, Inode: number}}
		e.Socket.AddressLen = uint8(copy(e.Socket.Address[:], path))
		s.take(&e)
	}
	named(2, "/kept")
	named(3, "/other")
	s.sends(2, 1, 0, "abc", 0)
	s.sends(3, 2, 3, "dropped", 0)
	s.sends(2, 3, 10, "d", 0)
	s.sends(2, 4, 20, "e", 0)
	s.sends(3, 5, 21, "x", 0)
	s.sends(2, 6, 30, "f", 0)
	var got []string
	for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
		got = append(got, fmt.Sprintf("%s at %d, %d lost, %d skipped", p.Data, p.Offset, p.Lost, p.Skipped))
	}
	want := []string{
		"abc at 0, 0 lost, 0 skipped", "d at 10, 0 lost, 7 skipped",
		"e at 20, 9 lost, 0 skipped", "f at 30, 8 lost, 1 skipped",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := s.stats.filtered.Load(); n != 2 {
		t.Errorf("%d filtered, want 2", n)
	}
	if n := s.stats.lostBytes.Load(); n != 17 {
		t.Errorf("%d bytes lost, want 17", n)
	}
}

// TestNameless: where the word of who a socket is was lost, nobody knows whether the
// filter wants what it sends, or to where that goes: it is lost, in its place,
// neither left out nor told of without a path. (make soak found both.)
func TestNameless(t *testing.T) {
	e, err := filter.Parse("path /kept", filter.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Session{"paths": newTestSession("/kept"), "expression": newTestSession(), "all": newTestSession()} {
		if name == "expression" {
			s.filter = newExprFilter(e, nil)
		}
		s.losses.notes = 1
		s.sockets.of(2).told = false
		s.sends(2, 1, 0, "abc", 0)
		for _, n := range []uint64{1, 2} {
			info := bpf.Socket{Socket: n, Inode: n, Type: uint8(pcapng.Stream)}
			if n == 2 {
				info.AddressLen = uint8(copy(info.Address[:], "/kept"))
			}
			s.take(&bpf.Event{Kind: bpf.KindSocket, Socket: info})
		}
		s.sends(2, 2, 3, "d", 0)
		p := s.order.next(0, true)
		if p == nil || string(p.Data) != "d" || p.Lost != 3 || p.Skipped != 0 || s.units.dropped != 1 || s.stats.filtered.Load() != 0 {
			t.Errorf("%s: %+v, %d packets lost, %d left out, want 3 bytes and 1 packet lost", name, p, s.units.dropped, s.stats.filtered.Load())
		}
	}
}

// TestFilterAccounts: what the expression drops of a connection is skipped, and
// what was lost before it is told by the next packet that is kept; of a unit in
// pieces each piece is asked for itself.
func TestFilterAccounts(t *testing.T) {
	s := newTestSession()
	e, err := filter.Parse("len != 3 and less 258047", filter.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	s.filter = newExprFilter(e, nil)
	lost := 0
	sends := func(at, offset int, text string) {
		s.take(&bpf.Event{Kind: bpf.KindData, Payload: []byte(text), Data: bpf.Data{
			Kind: uint8(bpf.KindData), Type: uint8(pcapng.Stream), Unit: uint64(at)<<22 | 7, Sender: 1, Receiver: 2,
			Time: uint64(at), Offset: uint64(offset), Total: uint32(len(text)), Size: uint32(len(text)), Lost: uint32(lost),
		}})
	}
	sends(1, 0, "ab")
	sends(2, 2, "abc")
	lost = 5
	sends(3, 10, "xyz") // 5 bytes and packets are lost before it
	sends(4, 14, "d")   // and 1 byte before that
	lost = 7
	sends(5, 15, strings.Repeat("x", pcapng.MaxPayload)+"tail")
	var got []string
	for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
		got = append(got, fmt.Sprintf("%s at %d, %d lost, %d skipped, %d dropped", p.Data, p.Offset, p.Lost, p.Skipped, p.DropCount))
	}
	want := []string{
		"ab at 0, 0 lost, 0 skipped, 0 dropped", "d at 14, 6 lost, 6 skipped, 0 dropped",
		"tail at 258063, 0 lost, 258048 skipped, 2 dropped",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := s.losses.carry; n != 5 {
		t.Errorf("%d packets lost for the next one to tell, want 5", n)
	}
	s.publish()
	if n, m := s.stats.filtered.Load(), s.stats.received.Load(); n != 2 || m != 3 {
		t.Errorf("%d filtered, %d received, want 2 and 3", n, m)
	}
	if n := s.stats.lostBytes.Load(); n != 6 {
		t.Errorf("%d bytes lost, want 6", n)
	}
}

// TestReceiversOrder: what a receiver gets later never has an earlier time,
// and then says its own.
func TestReceiversOrder(t *testing.T) {
	s := newTestSession()
	s.sends(2, 100, 0, "a", 0)
	s.sends(2, 90, 1, "b", 0)
	s.sends(3, 95, 2, "c", 0)
	var got []string
	for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
		own := int64(0)
		if !p.OwnTime.IsZero() {
			own = p.OwnTime.UnixNano()
		}
		got = append(got, fmt.Sprintf("%s at %d, own %d", p.Data, p.Time.UnixNano(), own))
	}
	if diff := cmp.Diff([]string{"c at 95, own 0", "a at 100, own 0", "b at 100, own 90"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestLateData: a unit whose place was not known until others had gone out has
// their time, and says its own.
func TestLateData(t *testing.T) {
	s := newTestSession()
	s.order.window = window
	s.sends(2, 100, 0, "late", bpf.DataPending)
	s.sends(3, 200, 4, "other", 0)
	got := s.given(window + 200)
	s.take(&bpf.Event{Kind: bpf.KindQueued, Unit: bpf.Unit{Unit: 100<<22 | 7, Time: 110}})
	p := s.order.next(window+200, false)
	if len(got) != 1 || p == nil || p.Time.UnixNano() != 200 || p.OwnTime.UnixNano() != 110 || string(p.Data) != "late" {
		t.Errorf("%q, then %+v", got, p)
	}
}

// TestDoubt: what is still held of a sender is marked, and counted once; what
// others sent is not.
func TestDoubt(t *testing.T) {
	s := newTestSession()
	s.sends(2, 10, 0, "a", 0)
	s.sends(2, 20, 1, "b", bpf.DataUnsureSender)
	s.units.piece(&bpf.Data{Type: 1, Unit: 30<<22 | 7, Sender: 1, Receiver: 2, Offset: 2, Total: 2, Size: 1, Flags: bpf.DataPending}, []byte("c"))
	other := s.order.held.first().packet.Clone()
	other.Data = []byte("other")
	s.order.put(25, 3, other)
	s.take(&bpf.Event{Kind: bpf.KindDoubt, Doubt: bpf.Doubt{Sender: 1, Time: 35}})
	s.take(&bpf.Event{Kind: bpf.KindQueued, Unit: bpf.Unit{Unit: 30<<22 | 7, Time: 30, Offset: 2}})
	s.units.piece(&bpf.Data{Type: 1, Unit: 30<<22 | 7, Sender: 1, Receiver: 2, Total: 2, At: 1, Size: 1}, []byte("d"))
	s.sends(2, 40, 4, "e", 0)
	var got []string
	for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
		got = append(got, fmt.Sprintf("%s %t", p.Data, p.Uncertain&pcapng.UncertainSender != 0))
	}
	if diff := cmp.Diff([]string{"a true", "b true", "other false", "cd true", "e false"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := s.stats.senderUnsure.Load(); n != 3 {
		t.Errorf("%d packets counted as of an uncertain sender, want 3", n)
	}
}

// The other half of the 100 ms that a packet may take is package main's.
func TestOrderWindowBudget(t *testing.T) {
	if orderWindow > 50*time.Millisecond {
		t.Errorf("packets are held for %v", orderWindow)
	}
}
