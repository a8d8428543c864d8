package capture

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestListenerGone: who called listen and has ended is named as the peer of those
// that connect, by what it was then; never another process that got its pid.
func TestListenerGone(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		path := socketName(t, "s")
		l := startLive(t, Options{Hooks: set, Paths: []string{path}}, nil)
		maker := newPuppet(t, workload.PuppetConfig{Comm: "maker"})
		listener := maker.listen(unix.SOCK_STREAM, path)
		held := takeFD(t, maker.PID, listener.FD)
		maker.must(maker.Close())
		client := newPuppet(t, workload.PuppetConfig{Comm: "client"})
		c := client.socket(unix.SOCK_STREAM)
		client.must(client.Connect(c, path))
		connects := func(p *pcapng.Packet) bool { return p.Event == pcapng.EventConnect && p.Sender.Inode == c.Inode }
		all := kept(l.wait("the connect", func(all []*pcapng.Packet) bool { return len(kept(all, connects)) > 0 }), connects)
		if p := all[0]; p.Peer.PID != uint32(maker.PID) || p.Peer.Comm != "maker" || p.PeerPlace.Exe == "" || p.PeerPlace.Exe != p.Exe {
			t.Errorf("the peer is %+v, %+v", p.Peer, p.PeerPlace)
		}
		if err := unix.Close(held); err != nil {
			t.Error(err)
		}
	})
}

// takeFD gives a descriptor of our own for what a process has open.
func takeFD(t *testing.T, pid, fd int) int {
	t.Helper()
	of, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(of)
	own, err := unix.PidfdGetfd(of, fd, 0)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// TestListenerKnown: /proc is believed of who was started in time; else who
// listened is who was told of then, if it had that pid; at a name of that file.
func TestListenerKnown(t *testing.T) {
	ps, sockets := newProcesses(nil), newSockets()
	s := &Session{processes: ps, sockets: sockets}
	started := false
	ps.started = func(uint32) time.Duration {
		if started {
			return 1
		}
		return 0
	}
	ps.look = func(uint32) *process { return &process{comm: "running", start: 1} }
	sockets.comm = func(uint32) string { return "another" }
	gone := toldOf(7, 3, "/bin/gone", "/a.service")
	copy(gone.Comm[:], "gone")
	ps.tell(gone)
	told(sockets, 1, 11, pcapng.Stream, "/s", 2)
	sockets.of(1).user = processKey{7, 3}
	sockets.listens(sockets.of(1))
	for i, c := range []struct {
		path    string
		pid     uint32
		started bool
		want    string
	}{
		{"/s", 7, false, "gone"}, {"/s", 7, true, "another"}, {"/s", 8, false, ""}, {"/other", 7, false, ""}, {"", 7, false, ""},
	} {
		client, server := uint64(10*i+10), uint64(10*i+11)
		told(sockets, client, client, pcapng.Stream, "", 0)
		told(sockets, server, 0, pcapng.Stream, c.path, 2)
		from, to := sockets.of(client), sockets.of(server)
		from.info.PeerPid = c.pid
		from.peerAt = 100
		started = c.started
		var p pcapng.Packet
		sockets.setPeer(&p.Peer, from, to)
		s.identifyPeer(&p, from, to)
		if p.Peer.Comm != c.want {
			t.Errorf("at %q with pid %d: %q, want %q", c.path, c.pid, p.Peer.Comm, c.want)
		}
	}
}
