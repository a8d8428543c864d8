package capture

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// unread is a client whose requests nobody reads, and what they must show.
type unread struct {
	name           string
	typ            int
	path           string
	client, server workload.End
	messages       []string
}

// TestWaiting: requests that nobody reads are seen while they wait, once; when
// they are read, only that is told; when they are thrown away, nothing.
func TestWaiting(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		l := startLive(t, Options{Hooks: set}, nil)
		if set == hooksTracepoint && l.s.progs.iter == nil {
			if !strings.HasPrefix(release(), "5.10.") {
				t.Fatal("no iterator over sockets: it came with 5.15")
			}
			t.Log("this kernel can't show what nobody reads")
			return
		}
		client := newPuppet(t, workload.PuppetConfig{Comm: "asks"})
		server := newPuppet(t, workload.PuppetConfig{Comm: "is-deaf"})
		cases := []*unread{
			{name: "stream", typ: unix.SOCK_STREAM}, {name: "dgram", typ: unix.SOCK_DGRAM}, {name: "seqpacket", typ: unix.SOCK_SEQPACKET},
		}
		before := time.Now()
		for i, u := range cases {
			u.send(t, client, server, uint64(i))
		}
		l.wait("what nobody reads", func(all []*pcapng.Packet) bool {
			for _, u := range cases {
				if len(bytesOf(kept(all, from(u.client)))) < len(strings.Join(u.messages, "")) {
					return false
				}
			}
			return true
		})
		for _, u := range cases { // read the first two, throw the others away
			server.receive(u.server, u.messages[0])
			server.receive(u.server, u.messages[1])
			server.must(server.CloseFD(u.server))
		}
		a, b := client.pair(unix.SOCK_STREAM)
		client.pass(a, b, "the end")
		l.wait("the last bytes", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) > 0 })
		all, stats := l.end()
		for _, u := range cases {
			u.check(t, set, all, client, server, before)
		}
		if stats.Dropped() != 0 {
			t.Errorf("lost: %+v", stats)
		}
	})
}

// send sends small and large messages that wait, one behind the other.
func (u *unread) send(t *testing.T, client, server puppet, seed uint64) {
	u.path = socketName(t, u.name)
	if u.typ == unix.SOCK_DGRAM {
		u.server, u.client = server.socket(u.typ), client.socket(u.typ)
		server.must(server.Bind(u.server, u.path))
		client.must(client.Connect(u.client, u.path))
	} else {
		l := server.listen(u.typ, u.path)
		u.client = client.socket(u.typ)
		client.must(client.Connect(u.client, u.path))
		var err error
		u.server, err = server.Accept(l)
		server.must(err)
	}
	for i, n := range []int{33, 5003, 1, 40_003, 12_345} { // beyond a page, and in page fragments
		m := string(workload.Pattern(seed<<32|uint64(i), n))
		u.messages = append(u.messages, m)
		client.send(u.client, m)
	}
}

// bytesOf joins what records have.
func bytesOf(records []*pcapng.Packet) string {
	var b strings.Builder
	for _, p := range records {
		b.Write(p.Data)
	}
	return b.String()
}

func (u *unread) check(t *testing.T, set string, all []*pcapng.Packet, client, server puppet, before time.Time) {
	data := kept(all, from(u.client))
	reads := kept(all, func(p *pcapng.Packet) bool { return p.Event == pcapng.EventRead && p.Sender.Inode == u.client.Inode })
	if got, want := bytesOf(data), strings.Join(u.messages, ""); got != want {
		t.Errorf("%s: %d bytes, want %d others:%s", u.name, len(got), len(want), showAll(data))
	}
	stamp := pcapng.StampQueued
	if set == hooksTracepoint {
		stamp = pcapng.StampWaiting
	}
	var offset uint64
	for i, p := range data {
		switch {
		case p.Stamp != stamp, p.Path != u.path, p.Peer.Inode != u.server.Inode, p.Lost != 0, p.Truncated:
			t.Errorf("%s: record %d: %s, want stamp %d, path %q", u.name, i, show(p), stamp, u.path)
		case p.Sender.PID != uint32(client.PID), p.Sender.Comm != client.Comm, p.Uncertain != 0:
			t.Errorf("%s: record %d: sent by %+v (uncertain %d), want %d", u.name, i, p.Sender, p.Uncertain, client.PID)
		case p.Offset != offset:
			t.Errorf("%s: record %d: offset %d, want %d", u.name, i, p.Offset, offset)
		case p.Time.Sub(before) < -time.Second, p.Time.Sub(before) > patience: // how fast depends on the load
			t.Errorf("%s: record %d was seen after %v", u.name, i, p.Time.Sub(before))
		case u.typ != unix.SOCK_STREAM && (i >= len(u.messages) || string(p.Data) != u.messages[i]):
			t.Errorf("%s: record %d is not message %d: %s", u.name, i, i, show(p))
		}
		offset += uint64(p.Len)
	}
	if set != hooksTracepoint {
		return
	}
	if len(reads) != 2 {
		t.Fatalf("%s: %d reads, want 2:%s", u.name, len(reads), showAll(reads))
	}
	for i, p := range reads {
		switch {
		case p.Message != data[i].Message:
			t.Errorf("%s: read %d is of message %d, want %d", u.name, i, p.Message, data[i].Message)
		case p.Reader == nil || p.Reader.PID != uint32(server.PID) || p.Reader.Comm != server.Comm:
			t.Errorf("%s: read %d: reader %+v, want %d", u.name, i, p.Reader, server.PID)
		case p.Len != 0 || len(p.Data) != 0 || p.Lost != 0:
			t.Errorf("%s: read %d has bytes: %s", u.name, i, show(p))
		case p.ConnID != data[i].ConnID || p.Path != u.path:
			t.Errorf("%s: read %d: connection %d, path %q, want %d, %q", u.name, i, p.ConnID, p.Path, data[i].ConnID, u.path)
		}
	}
}
