package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// TestRealEnds: in captures of real servers, most of which accept in another
// process than they answer in, who sends on an end of a connection is who the
// other end's records name as reader and peer.
func TestRealEnds(t *testing.T) {
	for _, name := range []string{"postgres", "php", "nginx", "gunicorn", "ssh_agent", "dbus", "redis"} {
		type end struct {
			conn uint64
			role pcapng.Role
		}
		sends, named := make(map[end]map[uint32]bool), make(map[end]map[uint32]bool)
		note := func(m map[end]map[uint32]bool, e end, pid uint32) {
			if m[e] == nil {
				m[e] = make(map[uint32]bool)
			}
			m[e][pid] = true
		}
		for _, p := range readPackets(t, filepath.Join("../../testdata/capture", name+".pcapng")) {
			if p.Event != pcapng.EventData {
				continue
			}
			other := pcapng.RoleClient + pcapng.RoleServer - p.Role
			note(sends, end{p.ConnID, p.Role}, p.Sender.PID)
			note(named, end{p.ConnID, other}, p.Peer.PID)
			if p.Reader != nil {
				note(named, end{p.ConnID, other}, p.Reader.PID)
			}
		}
		if len(sends) < 4 {
			t.Errorf("%s: %d ends send, want at least 4", name, len(sends))
		}
		for e, pids := range sends {
			got, want := slices.Sorted(maps.Keys(named[e])), slices.Sorted(maps.Keys(pids))
			if !slices.Equal(got, want) {
				t.Errorf("%s: connection %d, role %v: %d named as reader or peer, %d send", name, e.conn, e.role, got, want)
			}
		}
	}
}

// readPackets reads all packets of a file.
func readPackets(t *testing.T, name string) []pcapng.Packet {
	t.Helper()
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, file)
}
