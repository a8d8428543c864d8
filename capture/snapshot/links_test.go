package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// show is links in short, by inode: "CLIENT>SERVER STATE".
func show(links []Link) []string {
	inode := func(s *Socket) uint64 {
		if s == nil {
			return 0
		}
		return s.Inode
	}
	var all []string
	for _, l := range links {
		all = append(all, fmt.Sprintf("%d>%d %d", inode(l.Client), inode(l.Server), l.State))
	}
	return all
}

func TestLinks(t *testing.T) {
	const stream, dgram = pcapng.Stream, pcapng.Datagram
	at := func(inode uint64, kind pcapng.SocketType, state State, address string) *Socket {
		return &Socket{Inode: inode, Type: kind, State: state, Address: address}
	}
	to := func(s *Socket, peer uint64) *Socket {
		s.Connected, s.Peer = true, peer
		return s
	}
	closed := func(s *Socket) *Socket {
		s.Shutdown = 3
		return to(s, 0)
	}
	listens := at(1, stream, Listening, "/l")
	listens.Pending = []uint64{30, 0}
	for _, c := range []struct {
		name    string
		sockets []*Socket
		want    []string
	}{
		{"accepted", []*Socket{listens, to(at(2, stream, Established, ""), 3), to(at(3, stream, Established, "/l"), 2)}, []string{"0>1 5", "2>3 1"}},
		{"accepted first", []*Socket{listens, to(at(2, stream, Established, "/l"), 3), to(at(3, stream, Established, ""), 2)}, []string{"0>1 5", "3>2 1"}},
		{"client is bound", []*Socket{listens, to(at(2, stream, Established, "/l"), 3), to(at(3, stream, Established, "/c"), 2)}, []string{"0>1 5", "3>2 1"}},
		{"no listener, both bound", []*Socket{to(at(2, stream, Established, "/b"), 3), to(at(3, stream, Established, "/a"), 2)}, []string{"2>3 1"}},
		{"pair", []*Socket{to(at(8, dgram, Established, ""), 9), to(at(9, dgram, Established, ""), 8)}, []string{"8>9 1"}},
		{"pending", []*Socket{listens, to(at(30, stream, Established, ""), 0)}, []string{"0>1 5", "30>1 2"}},
		{"pending at a hidden listener", []*Socket{to(at(30, stream, Established, ""), 0)}, []string{"30>0 2"}},
		{"closed", []*Socket{closed(at(4, stream, Established, "")), closed(at(5, stream, Established, "/l"))}, []string{"4>0 3", "0>5 3"}},
		{"datagrams", []*Socket{at(1, dgram, Established, "/d"), to(at(2, dgram, Established, ""), 1), to(at(3, dgram, Established, "/c"), 1)}, []string{"0>1 4", "2>1 1", "3>1 1"}},
		{"datagram, peer is gone", []*Socket{to(at(2, dgram, Established, ""), 0)}, []string{"2>0 3"}},
		{"unconnected", []*Socket{at(2, stream, Unconnected, ""), at(3, dgram, Unconnected, "@a")}, []string{"2>0 4", "0>3 4"}},
		{"hidden", []*Socket{to(at(2, stream, Established, ""), 77)}, []string{"2>0 1"}},
		{"odd", []*Socket{at(2, stream, 3, ""), to(at(4, dgram, Established, ""), 4)}, []string{"2>0 0", "4>4 1"}},
	} {
		s := Snapshot{Sockets: c.sockets}
		if diff := cmp.Diff(c.want, show(s.Links())); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.name, diff)
		}
	}
}

// TestSharedName: abstract names of two network namespaces, and files of one
// name in two mount namespaces, are not one.
func TestSharedName(t *testing.T) {
	listen := &Socket{Inode: 1, Type: pcapng.Stream, State: Listening, Address: "@a", NetNS: 101}
	client := &Socket{Inode: 2, Type: pcapng.Stream, State: Established, Address: "@a", NetNS: 7, Connected: true, Peer: 3}
	server := &Socket{Inode: 3, Type: pcapng.Stream, State: Established, Address: "@b", NetNS: 7, Connected: true, Peer: 2}
	s := Snapshot{Sockets: []*Socket{listen, client, server}}
	if got := strings.Join(show(s.Links()), ", "); got != "0>1 5, 2>3 1" {
		t.Error(got)
	}
	listen.File, client.File = 9, 10
	if got := strings.Join(show(s.Links()), ", "); got != "0>1 5, 2>3 1" {
		t.Error(got)
	}
	client.NetNS = 101
	client.File = 9
	if got := show(s.Links()); !slices.Contains(got, "3>2 1") {
		t.Errorf("%q: the listener's file decides", got)
	}
}
