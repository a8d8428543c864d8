package wireshark_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// TestSnapshotsAreNoSegments: snapshots are of the conversation whose data they
// stand before, and nothing in its stream: what is put together behind them is
// whole.
func TestSnapshotsAreNoSegments(t *testing.T) {
	t.Parallel()
	c := converse("/run/docker.sock", 7)
	c.event(pcapng.EventSnapshot, client).State = pcapng.StateConnected
	c.event(pcapng.EventSnapshot, server).State = pcapng.StateConnected
	request, response := httpRequest("/_ping"), httpResponse([]byte("OK"))
	c.send(client, request, 33)
	c.send(server, response, 33)
	s := newShark(t)
	s.capture(t, "older.pcapng", c.packets...)
	s.quiet(t, "older.pcapng")
	up, down := s.followed(t, "older.pcapng")
	if string(up) != string(request) || string(down) != string(response) {
		t.Errorf("followed: %q and %q", up, down)
	}
	all := len(c.packets)
	for filter, want := range map[string]int{
		"sockcap.stream == 0": all, "sockcap.event == \"snapshot\" && !tcp.payload": 2, "sockcap.event == \"snapshot\" && tcp.len > 0": 0,
		"sockcap.state == \"connected\" && sockcap.connid == 7": 2, "http.request && http.request.uri == \"/_ping\"": 1, "http.response": 1,
	} {
		if got := s.count(t, "older.pcapng", filter); got != want {
			t.Errorf("%s: %d of %d records, want %d", filter, got, all, want)
		}
	}
	want := [][]string{
		{"docker[27806]", "dockerd[2434]", "sockcap", "snapshot connected /run/docker.sock"},
		{"dockerd[2434]", "docker[27806]", "sockcap", "snapshot connected /run/docker.sock"},
	}
	if d := cmp.Diff(want, s.columns(t, "older.pcapng")[:2]); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
}
