package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// olderBench is a session without a kernel, whose snapshot is not there yet.
// Its socket of number N has inode 100 + N.
type olderBench struct {
	*Session
	t     *testing.T
	time  uint64
	unit  uint64
	lines []string
	begun []Beginning
}

func newOlderBench(t *testing.T, o Options, expr string) *olderBench {
	e, err := filter.Parse(expr, filter.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{sockets: newSockets(), processes: noProcesses(), options: o, paths: newPathFilter(filter.NewPaths(o.Paths), o.Paths, nil), filter: newExprFilter(e, nil), progs: &programs{}}
	s.sockets.comm = func(uint32) string { return "" }
	s.unread = newGenerations[uint64, *reading](maxUnread)
	s.units = newAssembler(s.sockets, 1<<32-1, bootTime, s.release)
	b := &olderBench{Session: s, t: t}
	s.options.Begun = func(n Beginning) { b.begun = append(b.begun, n) }
	s.begin = &beginning{at: bootTime(), found: make(chan *surroundings, 1), end: make(chan struct{}), arrivals: newArrivals()}
	b.time = uint64(s.begin.at)
	return b
}

// tell is what the kernel side tells, as it stands in the ring buffer.
func (b *olderBench) tell(record any) {
	b.t.Helper()
	var raw bytes.Buffer
	if err := binary.Write(&raw, binary.LittleEndian, record); err != nil {
		b.t.Fatal(err)
	}
	if d, ok := record.(bpf.Data); ok {
		raw.Write(bytes.Repeat([]byte("x"), int(d.Size)))
	}
	var e bpf.Event
	if err := bpf.Decode(&e, raw.Bytes()); err != nil {
		b.t.Fatal(err)
	}
	if err := b.receive(&e, raw.Bytes()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *olderBench) socket(number, peer, inode uint64, typ pcapng.SocketType, address string) {
	b.t.Helper()
	info := bpf.Socket{Kind: uint8(bpf.KindSocket), Type: uint8(typ), Socket: number, Peer: peer, Inode: inode, AddressRefs: 1, PeerPid: 9999}
	info.AddressLen = uint8(copy(info.Address[:], address))
	b.tell(info)
}

func (b *olderBench) happens(what uint8, number, peer uint64) {
	b.t.Helper()
	b.time += 1000
	b.tell(bpf.Life{Kind: uint8(bpf.KindLife), What: what, Time: b.time, Socket: number, Peer: peer})
}

func (b *olderBench) data(typ pcapng.SocketType, from, to uint64, size int) {
	b.t.Helper()
	b.time += 1000
	b.unit++
	b.tell(bpf.Data{Kind: uint8(bpf.KindData), Type: uint8(typ), Size: uint32(size), Total: uint32(size), Time: b.time,
		Unit: b.unit << 22, Sender: from, Receiver: to, Offset: b.sockets.of(from).next})
}

// found hands over the snapshot, and joins it.
func (b *olderBench) found(all ...*snapshot.Socket) {
	b.t.Helper()
	b.begin.found <- surround(func(snapshot.Options) (*snapshot.Snapshot, error) {
		return &snapshot.Snapshot{Sockets: all}, nil
	}, nil, b.paths.names, b.filter.expr, nil)
	b.joins()
}

func (b *olderBench) joins() {
	b.t.Helper()
	if ok, err := b.meet(b.take1, false); !ok || err != nil {
		b.t.Fatal(ok, err)
	}
}

// take1 takes a packet as a line: "event inode>inode path role connection peer's
// process, state".
func (b *olderBench) take1(p *pcapng.Packet, _ error) bool {
	line := fmt.Sprintf("%v %d>%d %s %v %d %s[%d]", p.Event, p.Sender.Inode, p.Peer.Inode, p.Path, p.Role, p.ConnID, p.Peer.Comm, p.Peer.PID)
	if p.Event == pcapng.EventSnapshot {
		line += " " + p.State.String()
	}
	b.lines = append(b.lines, line)
	return true
}

func (b *olderBench) want(want ...string) {
	b.t.Helper()
	b.hand(b.take1, bootTime(), true)
	if d := cmp.Diff(want, b.lines); d != "" {
		b.t.Errorf("-want +told:\n%s", d)
	}
	b.lines = nil
}

// heldSocket is a socket in a snapshot, of the number of its inode, less 100.
func heldSocket(inode, peer uint64, typ pcapng.SocketType, address string, pids ...uint32) *snapshot.Socket {
	s := &snapshot.Socket{Inode: inode, Type: typ, State: snapshot.Established, Connected: peer != 0, Peer: peer, Address: address, UID: 7}
	if peer == 0 {
		s.State = snapshot.Unconnected
	}
	for _, pid := range pids {
		s.Holders = append(s.Holders, snapshot.Holder{Process: &snapshot.Process{PID: pid, Comm: fmt.Sprintf("p%d", pid)}})
	}
	return s
}

func listening(s *snapshot.Socket) *snapshot.Socket {
	s.State = snapshot.Listening
	return s
}

// connection is one, with its listener: sockets 1 and 2, and 3.
func connectionBefore() []*snapshot.Socket {
	return []*snapshot.Socket{
		heldSocket(101, 102, pcapng.Stream, "", 11),
		heldSocket(102, 101, pcapng.Stream, "/s", 22),
		listening(heldSocket(103, 0, pcapng.Stream, "/s", 21, 22)),
	}
}

var toldBefore = []string{
	"snapshot 101>102 /s client 1 p22[22] connected",
	"snapshot 102>101 /s server 1 p11[11] connected",
	"snapshot 103>0 /s server 0 [0] listening",
}

// TestOlderFirst: the snapshot is there first; the server speaks first.
func TestOlderFirst(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	b.found(connectionBefore()...)
	b.want(toldBefore...)
	b.socket(2, 0, 102, pcapng.Stream, "/s")
	b.socket(1, 2, 101, pcapng.Stream, "")
	b.data(pcapng.Stream, 2, 1, 7)
	b.data(pcapng.Stream, 1, 2, 101)
	b.want("data 102>101 /s server 1 p11[11]", "data 101>102 /s client 1 p22[22]")
	if len(b.begun) != 1 || b.begun[0].Sockets != 3 || b.stats.existing.Load() != 3 {
		t.Errorf("begun %+v, %d existed", b.begun, b.stats.existing.Load())
	}
}

// TestHeldInTurn: what was sent before a socket got its name is not of that
// name, though both are known by the time that the snapshot is there. What the
// name leads to is looked up when the kernel side tells of it.
func TestHeldInTurn(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	file := link + ".sock"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	b := newOlderBench(t, Options{}, "path "+link)
	b.socket(1, 2, 101, pcapng.Stream, "")
	b.socket(2, 1, 102, pcapng.Stream, "")
	b.data(pcapng.Stream, 1, 2, 7)
	b.tell(bpf.Socket{Kind: uint8(bpf.KindSocket), Type: uint8(pcapng.Stream), Socket: 1, Peer: 2, Inode: 101, AddressLen: 1,
		Address: [bpf.AddressLen]byte{'n'}, File: st.Ino, Device: kernelDevice(st.Dev)})
	b.data(pcapng.Stream, 2, 1, 101)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	b.found()
	b.want("data 102>101  server 1 [9999]")
}

// TestOlderOwn: of our own sockets nothing is told, nor of their other ends.
func TestOlderOwn(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	b.self = 11
	b.found(connectionBefore()...)
	b.want(toldBefore[2])
}

// TestOlderHeld: the kernel side tells first, and waits for the snapshot.
func TestOlderHeld(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	b.socket(1, 0, 101, pcapng.Stream, "")
	b.socket(2, 1, 102, pcapng.Stream, "/s")
	b.data(pcapng.Stream, 1, 2, 7)
	b.joins() // too early
	b.happens(bpf.LifeClose, 1, 2)
	b.want()
	b.found(connectionBefore()...)
	b.want(append(toldBefore, "data 101>102 /s client 1 p22[22]", "close 101>102 /s client 1 p22[22]")...)
	if len(b.sockets.older) != 2 {
		t.Errorf("%d sockets are remembered", len(b.sockets.older))
	}
}

// TestOlderLate: what comes after the time to wait, or is more than can be
// held, goes out; the snapshot then takes over the connections that are known,
// and tells nothing of what is closed.
func TestOlderLate(t *testing.T) {
	for name, wait := range map[string]func(b *olderBench){
		"time": func(b *olderBench) { b.begin.at -= 2 * int64(holdBegin); b.joins() },
		"room": func(b *olderBench) {
			b.socket(5, 0, 105, pcapng.Stream, "")
			b.socket(6, 5, 106, pcapng.Stream, "")
			for b.begin.size+9000 < maxHeldBegin {
				b.data(pcapng.Stream, 5, 6, 8192)
			}
			b.hand(b.take1, bootTime(), true)
			if len(b.lines) > 0 {
				b.t.Errorf("%d went out", len(b.lines))
			}
			b.data(pcapng.Stream, 5, 6, 8192)
			b.hand(b.take1, bootTime(), true)
			b.lines = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newOlderBench(t, Options{}, "")
			wait(b)
			b.socket(1, 0, 101, pcapng.Stream, "")
			b.socket(2, 1, 102, pcapng.Stream, "/s")
			b.data(pcapng.Stream, 1, 2, 7)
			b.socket(4, 0, 104, pcapng.Stream, "\x00x")
			b.happens(bpf.LifeClose, 4, 0)
			b.hand(b.take1, bootTime(), true)
			first := b.sockets.of(1).talk.id
			b.want(fmt.Sprintf("data 101>102 /s client %d [9999]", first), "close 104>0 @x server 0 [0]")
			b.found(append(connectionBefore(), heldSocket(104, 0, pcapng.Stream, "@x", 4))...)
			b.want(fmt.Sprintf("snapshot 101>102 /s client %d p22[22] connected", first),
				fmt.Sprintf("snapshot 102>101 /s server %d p11[11] connected", first), toldBefore[2])
			b.data(pcapng.Stream, 2, 1, 7)
			b.want(fmt.Sprintf("data 102>101 /s server %d p11[11]", first))
		})
	}
}

// TestOlderBorn: sockets that are connected, accepted or made to listen since
// the start are no older ones, even if the snapshot has seen them.
func TestOlderBorn(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	b.socket(3, 0, 103, pcapng.Stream, "/s")
	b.happens(bpf.LifeListen, 3, 0)
	b.socket(1, 0, 101, pcapng.Stream, "")
	b.happens(bpf.LifeConnecting, 1, 0)
	b.socket(2, 1, 102, pcapng.Stream, "/s")
	b.happens(bpf.LifeConnect, 1, 2)
	b.happens(bpf.LifeAccept, 2, 1)
	b.found(connectionBefore()...)
	id := b.sockets.of(1).talk.id
	b.want("listen 103>0 /s server 0 [0]",
		fmt.Sprintf("connect 101>102 /s client %d [9999]", id), fmt.Sprintf("accept 102>101 /s server %d [9999]", id))
	if len(b.sockets.older) != 0 {
		t.Errorf("%d sockets are remembered", len(b.sockets.older))
	}
}

// TestOlderReused: the number of an older socket that was closed unseen may
// be another's.
func TestOlderReused(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	b.found(connectionBefore()...)
	b.want(toldBefore...)
	b.socket(2, 0, 102, pcapng.SeqPacket, "/s")
	b.socket(1, 2, 101, pcapng.SeqPacket, "")
	b.data(pcapng.SeqPacket, 1, 2, 7)
	b.want("data 101>102 /s client 2 [9999]")
	b.socket(3, 0, 103, pcapng.Stream, "/other")
	if len(b.sockets.older) != 0 {
		t.Errorf("%d sockets are remembered", len(b.sockets.older))
	}
}

// TestOlderPending: a client that waits for accept talks to a socket without
// an inode, until another process accepts it.
func TestOlderPending(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	client := heldSocket(101, 0, pcapng.Stream, "", 11)
	client.State, client.Connected = snapshot.Established, true
	listener := listening(heldSocket(103, 0, pcapng.Stream, "/s", 33))
	listener.Pending = []uint64{101}
	b.found(client, listener)
	b.want("snapshot 101>103 /s client 1 p33[33] connecting", "snapshot 103>0 /s server 0 [0] listening")
	b.socket(2, 0, 0, pcapng.Stream, "/s")
	b.socket(1, 2, 101, pcapng.Stream, "")
	b.data(pcapng.Stream, 1, 2, 7)
	b.want("data 101>0 /s client 1 p33[33]")
	b.socket(2, 1, 102, pcapng.Stream, "/s")
	b.happens(bpf.LifeAccept, 2, 1)
	b.data(pcapng.Stream, 2, 1, 7)
	b.want("accept 102>101 /s server 1 p11[11]", "data 102>101 /s server 1 p11[11]")
}

// TestOlderPair: of a pair, either end may be met first, and alone.
func TestOlderPair(t *testing.T) {
	for _, first := range []uint64{1, 2} {
		b := newOlderBench(t, Options{}, "")
		b.found(heldSocket(101, 102, pcapng.SeqPacket, "", 11), heldSocket(102, 101, pcapng.SeqPacket, "", 22, 23))
		b.want("snapshot 101>102  client 1 p22[22] connected", "snapshot 102>101  server 1 p11[11] connected")
		b.socket(first, 0, 100+first, pcapng.SeqPacket, "")
		b.data(pcapng.SeqPacket, first, 0, 7) // its receiver is not known
		line := map[uint64]string{1: "data 101>102  client 1 [9999]", 2: "data 102>101  server 1 p11[11]"}[first]
		b.want(line)
		b.socket(3-first, first, 103-first, pcapng.SeqPacket, "")
		b.data(pcapng.SeqPacket, first, 3-first, 7)
		b.want(line) // of the second end several processes hold: no name
	}
}

// TestOlderDatagrams: each of several senders has a connection of its own to
// one receiver; of two bound sockets, who receives first is the server.
func TestOlderDatagrams(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	b.found(
		heldSocket(101, 103, pcapng.Datagram, "", 11), heldSocket(102, 103, pcapng.Datagram, "", 12),
		heldSocket(103, 0, pcapng.Datagram, "/log", 33), heldSocket(104, 103, pcapng.Datagram, "/own", 14))
	b.want("snapshot 101>103 /log client 1 p33[33] connected", "snapshot 102>103 /log client 2 p33[33] connected",
		"snapshot 103>0 /log server 0 [0] unconnected", "snapshot 104>103 /log unknown 3 p33[33] connected")
	b.socket(3, 0, 103, pcapng.Datagram, "/log")
	for number := uint64(1); number <= 2; number++ {
		b.socket(number, 3, 100+number, pcapng.Datagram, "")
		b.data(pcapng.Datagram, number, 3, 7)
	}
	b.socket(4, 3, 104, pcapng.Datagram, "/own")
	b.data(pcapng.Datagram, 3, 4, 7) // by sendto, back
	b.socket(5, 0, 105, pcapng.Datagram, "")
	b.data(pcapng.Datagram, 5, 3, 7) // a new one
	b.want("data 101>103 /log client 1 p33[33]", "data 102>103 /log client 2 p33[33]",
		"data 103>104 /own client 3 p14[14]", "data 105>103 /log client 4 p33[33]")
}

// TestOlderKept: the filter is asked of both ends, and of all who hold them;
// names are those of the files.
func TestOlderKept(t *testing.T) {
	for expr, want := range map[string]int{
		"": 3, "snapshot": 3, "data": 0, "not snapshot": 0, "lost": 0, "pid 11": 2, "src pid 11": 1, "pid 21": 1, "comm p22": 3, "dst comm p22": 1,
		"not pid 11": 1, "path /s": 3, "src path /s": 2, "path /t": 0, "inode 101": 2, "stream": 3, "dgram": 0, "inbound": 1, "outbound": 2,
		"container " + fmt.Sprintf("%064d", 5): 2, "src container web": 1, "dst container web": 1, "container web": 2, "exe client": 2,
		"exe server": 2, "pod shop/*": 2, "unit x.service": 2, "cgroup /x": 2, "uid 7": 0, "len > 0": 0, "snapshot and comm p11": 2,
	} {
		b := newOlderBench(t, Options{}, expr)
		all := connectionBefore()
		client, server := all[0].Holders[0].Process, all[1].Holders[0].Process
		client.Container, client.ContainerName, client.Exe, client.Pod = fmt.Sprintf("%064d", 5), "web", "/bin/client", "shop/web-0"
		server.Exe, server.Unit, server.Cgroup = "/bin/server", "x.service", "/x/y"
		b.found(all...)
		b.hand(b.take1, bootTime(), true)
		if len(b.lines) != want {
			t.Errorf("%q keeps %d, want %d: %q", expr, len(b.lines), want, b.lines)
		}
	}
	b := newOlderBench(t, Options{Paths: []string{"/other"}}, "")
	b.found(connectionBefore()...)
	b.want()
	b.data(pcapng.Stream, 1, 2, 7)
	if len(b.sockets.older) != 3 {
		t.Errorf("%d are remembered: they may yet be asked for", len(b.sockets.older))
	}
}

// TestOlderNamesOnly: without sock_diag there are no peers, so that nothing is
// said of connections.
func TestOlderNamesOnly(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	all := connectionBefore()
	for _, s := range all {
		s.Peer = 0
	}
	b.begin.found <- surround(func(snapshot.Options) (*snapshot.Snapshot, error) {
		return &snapshot.Snapshot{Sockets: all, NoDiag: errors.New("no")}, nil
	}, nil, nil, nil, nil)
	b.joins()
	b.want("snapshot 101>0  unknown 0 [0] connected", "snapshot 102>0 /s server 0 [0] connected", "snapshot 103>0 /s server 0 [0] listening")
	b.socket(1, 0, 101, pcapng.Stream, "")
	b.socket(2, 1, 102, pcapng.Stream, "/s")
	b.data(pcapng.Stream, 1, 2, 7)
	b.want("data 101>102 /s client 1 p22[22]")
}

// TestOlderNothing: a capture goes on without a snapshot.
func TestOlderNothing(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	b.socket(1, 0, 101, pcapng.Stream, "")
	b.socket(2, 1, 102, pcapng.Stream, "/s")
	b.data(pcapng.Stream, 1, 2, 7)
	b.begin.found <- surround(func(snapshot.Options) (*snapshot.Snapshot, error) { return nil, errors.New("no") }, nil, nil, nil, nil)
	b.joins()
	b.want("data 101>102 /s client 1 [9999]")
	if len(b.begun) != 1 || b.begun[0].Err == nil {
		t.Errorf("begun: %+v", b.begun)
	}
}

func TestSnapshotLimits(t *testing.T) {
	if l := snapshotLimits(nil); l != nil {
		t.Errorf("%q, though all can be had", l)
	}
	if l := snapshotLimits(errors.New("no")); len(l) != 1 {
		t.Errorf("%q", l)
	}
}

// TestOlderMany: of more sockets than are remembered, all are told of.
func TestOlderMany(t *testing.T) {
	b := newOlderBench(t, Options{}, "")
	var all []*snapshot.Socket
	for i := range uint64(maxSockets + 101) {
		all = append(all, heldSocket(1000+i, 0, pcapng.Datagram, "/d"))
	}
	began := time.Now()
	b.found(all...)
	b.hand(b.take1, bootTime(), true)
	t.Logf("joined in %v", time.Since(began))
	if len(b.lines) != len(all) || len(b.sockets.older) != maxSockets {
		t.Errorf("%d told, %d remembered", len(b.lines), len(b.sockets.older))
	}
}
