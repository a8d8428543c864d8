package capture

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// lifeBench is a session without a kernel: client 1 and server 2, which listens
// on /s.
type lifeBench struct {
	*Session
	t    *testing.T
	time uint64
	last time.Time // of what was told
}

func newLifeBench(t *testing.T, expr string) *lifeBench {
	e, err := filter.Parse(expr, filter.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{sockets: newSockets(), processes: noProcesses(), paths: newPathFilter(filter.Paths{}, nil, nil), filter: newExprFilter(e, nil)}
	s.sockets.comm = func(uint32) string { return "" }
	s.unread = newGenerations[uint64, *reading](maxUnread)
	s.units = newAssembler(s.sockets, 1<<32-1, bootTime, s.release)
	b := &lifeBench{Session: s, t: t, time: uint64(bootTime())}
	b.socket(bpf.Socket{Socket: 1, Peer: 2, Inode: 101})
	b.socket(bpf.Socket{Socket: 2, Peer: 1, Inode: 102, AddressRefs: 2, AddressLen: 2, Address: [bpf.AddressLen]byte{'/', 's'}})
	return b
}

func (b *lifeBench) socket(info bpf.Socket) {
	info.Type = uint8(pcapng.Stream)
	b.take(&bpf.Event{Kind: bpf.KindSocket, Socket: info})
}

func (b *lifeBench) later(d time.Duration) { b.time += uint64(d) }

func (b *lifeBench) happens(what uint8, socket, peer uint64) {
	b.later(time.Microsecond)
	b.take(&bpf.Event{Kind: bpf.KindLife, Life: bpf.Life{What: what, Type: uint8(pcapng.Stream), Time: b.time, Socket: socket, Peer: peer,
		Task: bpf.Task{Pid: uint32(socket) * 10}}})
}

func (b *lifeBench) data(unit, from, to, offset uint64, text string, flags uint16) {
	b.later(time.Microsecond)
	d := bpf.Data{Type: uint8(pcapng.Stream), Flags: flags, Size: uint32(len(text)), Total: uint32(len(text)), Time: b.time,
		Unit: unit << 22, Sender: from, Receiver: to, Offset: offset}
	b.take(&bpf.Event{Kind: bpf.KindData, Data: d, Payload: []byte(text)})
}

// told gives what is handed out: "event sender>peer connection role".
func (b *lifeBench) told() []string {
	var all []string
	b.hand(func(p *pcapng.Packet, _ error) bool {
		what := p.Event.String()
		if p.Event == pcapng.EventData {
			what = string(p.Data)
		}
		all = append(all, fmt.Sprintf("%s %d>%d %s %v %d", what, p.Sender.Inode, p.Peer.Inode, p.Path, p.Role, p.ConnID))
		if p.Time.Before(b.last) {
			b.t.Errorf("%s: time goes back", all[len(all)-1])
		}
		b.last = p.Time
		return true
	}, bootTime(), true)
	return all
}

func (b *lifeBench) want(want ...string) {
	b.t.Helper()
	if d := cmp.Diff(want, b.told()); d != "" {
		b.t.Errorf("told (-want +got):\n%s", d)
	}
}

// TestConnectComesFirst: whatever a server is quick to say, connect is before it,
// also where its end was lost; after a signal there is none.
func TestConnectComesFirst(t *testing.T) {
	for _, end := range []uint8{bpf.LifeConnect, 0} {
		b := newLifeBench(t, "")
		b.happens(bpf.LifeConnecting, 1, 0)
		b.later(3 * blocked)
		b.data(1, 2, 1, 0, "hello", 0)
		if end != 0 {
			b.happens(end, 1, 2)
		}
		b.want("connect 101>102 /s client 1", "hello 102>101 /s server 1")
	}
	b := newLifeBench(t, "")
	b.happens(bpf.LifeConnecting, 1, 0)
	b.happens(bpf.LifeQuit, 1, 0)
	b.data(1, 2, 1, 0, "hello", 0)
	b.want("hello 102>101 /s server 1")
}

// TestBlockedConnect: a connect that waited has the time of its end.
func TestBlockedConnect(t *testing.T) {
	b := newLifeBench(t, "")
	b.happens(bpf.LifeConnecting, 1, 0)
	b.later(time.Second)
	b.happens(bpf.LifeListen, 2, 0)
	b.happens(bpf.LifeConnect, 1, 2)
	b.happens(bpf.LifeAccept, 2, 1)
	b.want("listen 102>0 /s server 0", "connect 101>102 /s client 1", "accept 102>101 /s server 1")
}

// TestCloseComesLast: a close is behind what its socket sent before, also where
// that is pending still, and before what the other end sends then.
func TestCloseComesLast(t *testing.T) {
	b := newLifeBench(t, "")
	b.data(1, 1, 2, 0, "one", bpf.DataPending)
	b.happens(bpf.LifeShutdown, 1, 2)
	b.happens(bpf.LifeClose, 1, 2)
	b.want()
	b.later(time.Microsecond)
	b.take(&bpf.Event{Kind: bpf.KindQueued, Unit: bpf.Unit{Kind: uint8(bpf.KindQueued), Unit: 1 << 22, Time: b.time}})
	b.data(2, 2, 1, 0, "two", 0)
	b.want("one 101>102 /s client 1", "shutdown 101>102 /s client 1", "close 101>102 /s client 1", "two 102>101 /s server 1")
}

// TestCloseWaits: where data is taken when it is read, a close waits for the
// last of it, or until that has been shown unread, or the end.
func TestCloseWaits(t *testing.T) {
	closed := "close 101>102 /s client 1"
	b := newLifeBench(t, "")
	b.happens(bpf.LifeCloseUnread, 1, 2)
	b.data(1, 1, 2, 0, "one", bpf.DataRead)
	b.expireClosing(false)
	b.want("one 101>102 /s client 1")
	b.data(2, 1, 2, 3, "two", bpf.DataRead|bpf.DataDrained)
	b.want("two 101>102 /s client 1", closed)
	b.expireClosing(true)
	b.want()

	b = newLifeBench(t, "")
	b.time -= uint64(holdTime) + uint64(time.Second)
	b.happens(bpf.LifeCloseUnread, 1, 2)
	b.expireClosing(false)
	b.want(closed)

	b = newLifeBench(t, "")
	b.happens(bpf.LifeCloseUnread, 1, 2)
	b.data(1, 2, 1, 0, "back", 0)
	b.want("back 102>101 /s server 1")
	b.expireClosing(true)
	b.want(closed)

	b = newLifeBench(t, "")
	for range maxClosing + 1 {
		b.happens(bpf.LifeCloseUnread, 1, 2)
	}
	b.want(closed)
	if len(b.closing) != maxClosing {
		t.Errorf("%d closes wait", len(b.closing))
	}
}

// TestRefusedConnect: it names the path that was asked for, and the filter asks
// for that.
func TestRefusedConnect(t *testing.T) {
	for expr, kept := range map[string]bool{
		"": true, "/gone": true, "refused": true, "refused and pid 30": true, "path /go*": true,
		"/s": false, "not refused": false, "connect": false, "close": false, "pid 7": false,
	} {
		b := newLifeBench(t, expr)
		b.socket(bpf.Socket{Socket: 3, Inode: 103})
		l := bpf.Life{Type: uint8(pcapng.Stream), Time: b.time, Socket: 3, Task: bpf.Task{Pid: 30}}
		l.What, l.AddressLen = bpf.LifeConnecting, uint8(copy(l.Address[:], "/gone\x00junk"))
		b.take(&bpf.Event{Kind: bpf.KindLife, Life: l})
		l = bpf.Life{What: bpf.LifeRefused, Error: uint32(unix.ENOENT), Time: b.time, Socket: 3, Task: l.Task}
		b.take(&bpf.Event{Kind: bpf.KindLife, Life: l})
		want := []string{"refused 103>0 /gone client 0"}
		if !kept {
			want = nil
		}
		if got := b.told(); !slices.Equal(got, want) {
			t.Errorf("%q: told %q, want %q", expr, got, want)
		}
	}
}
