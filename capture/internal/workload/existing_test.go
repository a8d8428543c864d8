package workload

import (
	"slices"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// older is a synthetic truth, both of whose sockets are older than the capture.
func older() *Truth {
	t := synthetic(pcapng.Stream)
	t.Existing = []Existing{
		{Inode: 11, Peer: 12, Type: pcapng.Stream, State: pcapng.StateConnected, Role: pcapng.RoleClient, Path: "/x", Conn: 1,
			PID: 100, Comm: "a", PeerPID: 200, PeerComm: "b"},
		{Inode: 12, Peer: 11, Type: pcapng.Stream, State: pcapng.StateConnected, Role: pcapng.RoleServer, Path: "/x", Conn: 1,
			PID: 200, Comm: "b", PeerPID: 100, PeerComm: "a"},
		{Inode: 10, Type: pcapng.Stream, State: pcapng.StateListening, Role: pcapng.RoleServer, Path: "/x", PID: 300, Comm: "c"},
	}
	t.Flows[0].Holder, t.Flows[0].HolderComm = 200, "b"
	t.Flows[1].Holder, t.Flows[1].HolderComm = 100, "a"
	return t
}

// TestCompareExisting: whatever is wrong about a snapshot is found, and a peer
// that is not named from the first record on.
func TestCompareExisting(t *testing.T) {
	truth := older()
	if r := Compare(truth, perfect(truth)); r.Verdict != Exact || len(r.Differences) > 0 {
		t.Fatalf("perfect capture: %v", r)
	}
	for name, spoil := range map[string]func(p []*pcapng.Packet) []*pcapng.Packet{
		"missing":         func(p []*pcapng.Packet) []*pcapng.Packet { return p[1:] },
		"listener's":      func(p []*pcapng.Packet) []*pcapng.Packet { return slices.Delete(p, 2, 3) },
		"twice":           func(p []*pcapng.Packet) []*pcapng.Packet { return slices.Insert(p, 0, p[0]) },
		"behind its data": func(p []*pcapng.Packet) []*pcapng.Packet { return append(p[1:], p[0]) },
		"of another socket": func(p []*pcapng.Packet) []*pcapng.Packet {
			truth.Flows = append(truth.Flows, Flow{From: 77})
			return slices.Insert(p, 0, &pcapng.Packet{Event: pcapng.EventSnapshot, Time: truth.Start, Sender: pcapng.Endpoint{Inode: 77}})
		},
		"state":        func(p []*pcapng.Packet) []*pcapng.Packet { p[0].State = pcapng.StateConnecting; return p },
		"role":         func(p []*pcapng.Packet) []*pcapng.Packet { p[1].Role = pcapng.RoleUnknown; return p },
		"path":         func(p []*pcapng.Packet) []*pcapng.Packet { p[2].Path = ""; return p },
		"peer":         func(p []*pcapng.Packet) []*pcapng.Packet { p[0].Peer.Inode = 10; return p },
		"holder":       func(p []*pcapng.Packet) []*pcapng.Packet { p[0].Sender.Comm = "b"; return p },
		"holders":      func(p []*pcapng.Packet) []*pcapng.Packet { p[0].Holders = make([]pcapng.Holder, 2); return p },
		"connection":   func(p []*pcapng.Packet) []*pcapng.Packet { p[0].ConnID = 2; return p },
		"none":         func(p []*pcapng.Packet) []*pcapng.Packet { p[0].ConnID = 0; return p },
		"data's peer":  func(p []*pcapng.Packet) []*pcapng.Packet { p[3].Peer.PID = 0; return p },
		"data's other": func(p []*pcapng.Packet) []*pcapng.Packet { p[3].Peer.Comm = "c"; return p },
	} {
		truth = older()
		if r := Compare(truth, spoil(perfect(truth))); r.Verdict != Wrong {
			t.Errorf("%s: %v, want wrong", name, r)
		}
	}
}
