package capture

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestClosedSockets: of connections that come and go, only the last are
// remembered; those of which one end is open are, however many close after it.
func TestClosedSockets(t *testing.T) {
	for _, typ := range []pcapng.SocketType{pcapng.Stream, pcapng.SeqPacket, pcapng.Datagram} {
		s := newSockets()
		connect := func(n uint64) (client, server *socket, conn *connection) {
			told(s, n, n, typ, "", 1)
			told(s, n+1, n+1, typ, "/s", 2)
			client, server = s.of(n), s.of(n+1)
			return client, server, s.between(client, server)
		}
		client, server, first := connect(1)
		s.close(client, server)
		for n := uint64(11); n < 20*maxClosed; n += 2 {
			a, b, _ := connect(n)
			s.close(a, b)
			s.close(b, a)
		}
		n := 0
		s.each(func(*socket) { n++ })
		if n > 2*maxClosed+3 {
			t.Errorf("type %d: %d sockets are remembered", typ, n)
		}
		if typ == pcapng.Datagram {
			continue // it has no connection that lasts
		}
		if again := s.pair(s.of(2), s.of(1)); s.of(1) != client || again.id != first.id || again.server != 2 {
			t.Errorf("type %d: connection %d is %d with the server %d", typ, first.id, again.id, again.server)
		}
	}
}

// TestCloseNamesTheOther: the end that is closed last names the other one, which
// others were closed behind.
func TestCloseNamesTheOther(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		p := newPuppet(t, workload.PuppetConfig{Comm: "closes"})
		path := socketName(t, "s")
		l := startLive(t, Options{Hooks: set, Paths: []string{path}}, nil)
		listener := p.listen(unix.SOCK_STREAM, path)
		client, server := p.dial(listener, unix.SOCK_STREAM, path)
		p.pass(client, server, "first")
		p.must(p.CloseFD(client))
		for i := range 7 {
			p.talk(listener, path, fmt.Sprint("other ", i))
		}
		p.must(p.CloseFD(server))
		isClose := func(of workload.End) func(*pcapng.Packet) bool {
			return func(p *pcapng.Packet) bool { return p.Event == pcapng.EventClose && p.Sender.Inode == of.Inode }
		}
		all := l.wait("the close", func(all []*pcapng.Packet) bool { return len(kept(all, isClose(server))) > 0 })
		first, last := kept(all, from(client)), kept(all, isClose(server))
		if len(first) != 1 || last[0].ConnID != first[0].ConnID || last[0].Peer.Inode != client.Inode || last[0].Path != path {
			t.Errorf("%d packets; the last close has connection %d, peer %d, path %q", len(first), last[0].ConnID, last[0].Peer.Inode, last[0].Path)
		}
	})
}
