package filter

import (
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// TestHolders: of a snapshot, each of several processes that hold an end is
// found, at the end that it holds.
func TestHolders(t *testing.T) {
	p := &pcapng.Packet{
		Event: pcapng.EventSnapshot, Type: pcapng.Stream,
		Sender: pcapng.Endpoint{PID: 1, UID: 0, Comm: "nginx"}, Peer: pcapng.Endpoint{PID: 9, UID: 1000, Comm: "curl"},
		Holders: []pcapng.Holder{
			{PID: 1, UID: 0, Comm: "nginx"}, {PID: 2, UID: 33, GID: 33, Comm: "worker"},
			{Peer: true, PID: 9, UID: 1000, Comm: "curl"}, {Peer: true, PID: 10, UID: 1001, Comm: "sh"},
		},
	}
	for expr, want := range map[string]bool{
		"pid 2": true, "src pid 2": true, "dst pid 2": false, "pid 10": true, "src pid 10": false, "dst pid 10": true, "pid 3": false,
		"comm work*": true, "dst comm worker": false, "dst comm sh": true, "not comm sh": false,
		"uid 33": true, "dst uid 33": false, "src gid 33": true, "uid 1001": true, "inode 2": false, "snapshot": true, "data": false,
	} {
		if got := parse(t, expr).Match(p); got != want {
			t.Errorf("%s: %v, want %v", expr, got, want)
		}
	}
	e := parse(t, "pid 3 or comm none or uid 5")
	if n := testing.AllocsPerRun(101, func() { e.Match(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
