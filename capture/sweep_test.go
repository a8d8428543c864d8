package capture

import (
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// crowd is a session and the kernel's sockets, which come and go.
type crowd struct {
	*Session
	t       *testing.T
	numbers uint64
	units   uint64
	open    map[uint64]*registered // what the kernel side has in its map
	lasting [2]uint64              // a connection that stays
	said    int                    // on it
	server  uint64                 // a datagram socket that stays
	other   [2]uint64              // another connection that does
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{Session: newTestSession(), t: t, numbers: 100, open: make(map[uint64]*registered)}
	c.filter, c.passed, c.progs = newExprFilter(nil, nil), newPassages(), &programs{coll: &ebpf.Collection{}}
	c.Session.unread = newGenerations[uint64, *reading](maxUnread)
	c.sweeping = newSweeping(c.progs)
	c.sweeping.lost = func() uint64 { return 1 }
	c.sweeping.ask = func() register { return c.ask() }
	c.until = math.MaxInt64 // it has read all that was said
	c.lasting, c.other = c.connect(pcapng.Stream, "/lasts"), c.connect(pcapng.Stream, "/other")
	c.server = c.socket(pcapng.Datagram, "/log", 0)
	return c
}

// asked is the kernel side's map as it was, some of it at a time.
type asked struct{ left []registered }

func (c *crowd) ask() register {
	a := &asked{}
	for _, r := range c.open {
		a.left = append(a.left, *r)
	}
	return a
}

func (a *asked) next(each func(registered)) (done bool, err error) {
	n := min(len(a.left), 101)
	for _, r := range a.left[:n] {
		each(r)
	}
	a.left = a.left[n:]
	return len(a.left) == 0, nil
}

// socket is a new one.
func (c *crowd) socket(typ pcapng.SocketType, path string, peer uint64) uint64 {
	c.numbers++
	c.open[c.numbers] = &registered{number: c.numbers}
	e := bpf.Event{Kind: bpf.KindSocket, Socket: bpf.Socket{Type: uint8(typ), Socket: c.numbers, Inode: c.numbers, Peer: peer, AddressRefs: 2}}
	e.Socket.AddressLen = uint8(copy(e.Socket.Address[:], path))
	c.must(c.take(&e))
	return c.numbers
}

// connect is a connection to a service.
func (c *crowd) connect(typ pcapng.SocketType, path string) [2]uint64 {
	c.numbers++
	client := c.numbers
	server := c.socket(typ, path, client)
	c.open[client] = &registered{number: client}
	c.must(c.take(&bpf.Event{Kind: bpf.KindSocket, Socket: bpf.Socket{Type: uint8(typ), Socket: client, Inode: client, Peer: server}}))
	return [2]uint64{client, server}
}

// say sends something from one to another. It gives the number of the unit.
func (c *crowd) say(typ pcapng.SocketType, from, to uint64, flags uint16) uint64 {
	c.units++
	unit := c.units<<22 | 7
	sent := &c.open[from].sent.bytes
	c.must(c.take(&bpf.Event{Kind: bpf.KindData, Payload: []byte("something"), Data: bpf.Data{
		Type: uint8(typ), Flags: flags, Unit: unit, Sender: from, Receiver: to, Time: c.units, Offset: *sent, Total: 9, Size: 9,
		Task: bpf.Task{Pid: 7, Tid: 7, Comm: [bpf.CommLen]byte{'x'}},
	}}))
	*sent += 9
	return unit
}

// read says that a unit was read.
func (c *crowd) read(unit uint64) {
	c.must(c.take(&bpf.Event{Kind: bpf.KindConsumed, Read: bpf.Read{Unit: unit, Flags: bpf.DataRead, Pid: 8, Tid: 8, Time: c.units}}))
}

// closes closes a socket, and tells of it or not. Half of them stay in the kernel
// side's map.
func (c *crowd) closes(number, peer uint64, told bool) {
	if number%2 == 0 {
		c.open[number].closed = true
		if number > 200 {
			delete(c.open, number-64)
		}
	} else {
		delete(c.open, number)
	}
	if told {
		c.must(c.take(&bpf.Event{Kind: bpf.KindLife, Life: bpf.Life{What: bpf.LifeClose, Time: c.units, Socket: number, Peer: peer}}))
	}
}

func (c *crowd) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// goOn is what a session does between two looks at the ring buffer.
func (c *crowd) goOn() {
	c.say(pcapng.Stream, c.lasting[0], c.lasting[1], bpf.DataRead)
	c.sweep()
	for p := c.order.next(0, true); p != nil; p = c.order.next(0, true) {
		if p.Path != "/lasts" || p.Event != pcapng.EventData {
			continue
		}
		if want := uint64(9 * c.said); p.ConnID != c.sockets.of(c.lasting[0]).talk.id || p.Offset != want || p.Lost != 0 || p.Role != pcapng.RoleClient ||
			p.Sender.Inode != c.lasting[0] || p.Peer.Inode != c.lasting[1] {
			c.t.Fatalf("message %d of the connection that lasts: %+v", c.said, p)
		}
		c.said++
	}
}

// TestFlat: what is remembered of sockets that have come and gone has a bound far
// below that of the tables, though no word of their end, or of what they read,
// comes through; who is open is not forgotten.
func TestFlat(t *testing.T) {
	const lost, told = false, true
	stream := func(c *crowd, typ pcapng.SocketType, last bool) {
		ends := c.connect(typ, "/s")
		c.say(typ, ends[0], ends[1], bpf.DataRead)
		c.say(typ, ends[1], ends[0], bpf.DataRead)
		c.closes(ends[0], ends[1], lost)
		c.closes(ends[1], ends[0], last)
	}
	datagram := func(c *crowd, end bool) {
		from := c.socket(pcapng.Datagram, "", 0)
		c.say(pcapng.Datagram, from, c.server, bpf.DataRead)
		c.closes(from, 0, end)
	}
	for _, story := range []struct {
		name string
		once func(c *crowd)
	}{
		{"streams, no close told", func(c *crowd) { stream(c, pcapng.Stream, lost) }},
		{"streams, one end's close told", func(c *crowd) { stream(c, pcapng.Stream, told) }},
		{"seqpackets, no close told", func(c *crowd) { stream(c, pcapng.SeqPacket, lost) }},
		{"datagrams, all told", func(c *crowd) { datagram(c, told) }},
		{"datagrams, no close told", func(c *crowd) { datagram(c, lost) }},
		{"nothing told but data", func(c *crowd) {
			c.numbers += 2
			from, to := c.numbers-1, c.numbers
			c.open[from], c.open[to] = &registered{}, &registered{}
			c.say(pcapng.Stream, from, to, bpf.DataRead)
			c.closes(from, to, lost)
			c.closes(to, from, lost)
		}},
		{"readers that are gone", func(c *crowd) {
			ends := c.connect(pcapng.Stream, "/s")
			c.say(pcapng.Stream, ends[0], ends[1], 0)
			c.say(pcapng.Stream, ends[0], ends[1], 0)
			c.closes(ends[0], ends[1], lost)
			c.closes(ends[1], ends[0], lost)
		}},
		{"a reader that goes on", func(c *crowd) {
			unit := c.say(pcapng.Stream, c.other[0], c.other[1], 0)
			if c.units%3 == 0 {
				c.read(unit)
			}
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			c := newCrowd(t)
			var before, after runtime.MemStats
			most := 0
			some := func(stats *runtime.MemStats) {
				for range 5_000 {
					for range 4 {
						story.once(c)
						most = max(most, c.remembered())
					}
					c.goOn()
				}
				runtime.GC()
				runtime.ReadMemStats(stats)
			}
			some(&before)
			some(&after)
			grown := (int(after.HeapAlloc) - int(before.HeapAlloc)) >> 10
			t.Logf("%d remembered at most, of %d + %d sockets, %d pairs, %d unread; %d KiB, grown by %d", most,
				c.sockets.byNumber.len(), c.sockets.closed.len(), c.sockets.pairs.len(), c.Session.unread.len(), before.HeapAlloc>>10, grown)
			if most > 24_000 {
				t.Errorf("%d entries are remembered", most)
			}
			if grown > 8<<10 {
				t.Errorf("the heap has grown by %d KiB", grown)
			}
			for _, number := range append(c.lasting[:], c.server, c.other[0], c.other[1]) {
				if of := c.sockets.byNumber.peek(number); of == nil || of.closed || of.path == "" && number != c.lasting[0] && number != c.other[0] {
					t.Errorf("socket %d, which is open, is %+v", number, of)
				}
			}
			if c.said != 10_000 {
				t.Errorf("%d messages of the connection that lasts", c.said)
			}
		})
	}
}

var errRefused = errors.New("refused")

type refuses struct{}

func (refuses) next(func(registered)) (bool, error) { return false, errRefused }

// TestSweepRefused: where the kernel side can't be asked, that is not tried again
// and again, and nobody is taken for gone.
func TestSweepRefused(t *testing.T) {
	c := newCrowd(t)
	n := 0
	c.sweeping.ask = func() register { n++; return refuses{} }
	for range 3 * sweepFrom {
		c.connect(pcapng.Stream, "/s")
		c.goOn()
	}
	if n != 1 || c.sockets.byNumber.len() < 6*sweepFrom {
		t.Errorf("asked %d times, %d sockets left", n, c.sockets.byNumber.len())
	}
}

// TestSweepTellsLost: of a socket that is found to be gone it is said what was
// lost behind the last that was seen of it; its connection is that of its other
// end, until that is closed too.
func TestSweepTellsLost(t *testing.T) {
	b := newLifeBench(t, "")
	kernel := asked{left: []registered{{number: 1, closed: true, sent: sentAll{12, 3}}, {number: 2}}}
	b.sweeping, b.units.now = newSweeping(&programs{}), func() int64 { return int64(b.time) }
	b.sweeping.ask = func() register { now := kernel; return &now }
	b.sweeping.lost = func() uint64 { return 1 }
	b.data(1, 1, 2, 0, "hello", 0)
	told := func() {
		b.sweeping.due = 0
		for range 3 {
			b.until = int64(b.time) + 2*int64(holdTime)
			b.sweep()
		}
	}
	told()
	told()
	b.data(2, 2, 1, 0, "answer", 0)
	b.want("hello 101>102 /s client 1", "lost 101>102 /s client 1", "answer 102>101 /s server 1")
	if n := b.stats.lostBytes.Load(); n != 4 {
		t.Errorf("%d bytes are lost, want 4", n)
	}
	b.happens(bpf.LifeClose, 2, 1)
	b.want("close 102>101 /s server 1")
	if n := b.sockets.byNumber.len() + b.sockets.pairs.len(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// TestSweepWaits: of who is found to be closed nothing is taken for lost, and no
// end, before all is read that was said until then; nor is its close told twice.
func TestSweepWaits(t *testing.T) {
	b := newLifeBench(t, "")
	b.sweeping, b.units.now = newSweeping(&programs{}), func() int64 { return int64(b.time) }
	b.sweeping.ask = func() register {
		return &asked{left: []registered{{number: 1, closed: true, sent: sentAll{bytes: 11}}}}
	}
	b.sweeping.lost = func() uint64 { return 1 }
	b.sweeping.due = 0
	b.data(1, 1, 2, 0, "hello", 0)
	for range 9 {
		b.until = int64(b.time) + int64(holdTime)/2
		b.sweep()
	}
	b.data(2, 1, 2, 5, "second", 0)
	b.happens(bpf.LifeClose, 1, 2)
	b.happens(bpf.LifeClose, 2, 1)
	b.until = int64(b.time) + 2*int64(holdTime)
	b.sweep()
	b.want("hello 101>102 /s client 1", "second 101>102 /s client 1", "close 101>102 /s client 1", "close 102>101 /s server 1")
}
