package wireshark_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// tables gives the cells of each line below the heads of tshark's tables.
func (s *shark) tables(t *testing.T, name string, args ...string) [][]string {
	t.Helper()
	var rows [][]string
	for line := range strings.Lines(s.run(t, append([]string{"-r", s.path(name), "-q"}, args...)...)) {
		if cells := strings.Fields(line); len(cells) > 0 && strings.Trim(cells[0], "0123456789") == "" {
			rows = append(rows, cells)
		}
	}
	return rows
}

// The packets are a millisecond apart: that is how long an answer takes.
func TestStatistics(t *testing.T) {
	t.Parallel()
	c := converse("/run/docker.sock", 1).open()
	for i := range 3 {
		for _, p := range []struct {
			from pcapng.Role
			n    int
		}{{client, 7}, {server, 500}, {server, 601}} {
			first := len(c.packets)
			c.send(p.from, noise(p.n), 250)
			for j := first; j < len(c.packets); j++ { // the pieces of one send
				c.packets[j].Message = uint64(100*i + p.n)
			}
		}
	}
	read := c.event(pcapng.EventRead, server)
	read.Reader, read.Latency = &pcapng.Endpoint{PID: 27807, Comm: "a b\x1b"}, 250*time.Millisecond
	read = c.event(pcapng.EventRead, server)
	read.Latency = 750 * time.Millisecond
	other := converse("", 2)
	other.send(client, noise(9), large)
	other.packets[0].Lost = 1<<64 - 1
	s := newShark(t)
	s.capture(t, "stat.pcapng", append(c.packets, other.packets...)...)

	got := s.tables(t, "stat.pcapng", "-z", "sockcap,path")
	want := [][]string{ // messages, bytes, lost, latency and its maximum, answer and its maximum, path
		{"9", "3324", "0", "0.500000", "0.750000", "0.001000", "0.001000", "/run/docker.sock"},
		{"1", "9", "18446744073709551616", "(none)"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("by path (-want +got):\n%s", d)
	}
	got = s.tables(t, "stat.pcapng", "-z", "sockcap,process")
	want = [][]string{ // as above, with the bytes received
		{"6", "3303", "30", "0", "0.001000", "0.001000", "dockerd[2434]"},
		{"4", "30", "3303", "18446744073709551616", "0.750000", "0.750000", "docker[27806]"},
		{"0", "0", "0", "0", "0.250000", "0.250000", `a`, `b\x1b[27807]`},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("by process (-want +got):\n%s", d)
	}

	got = s.tables(t, "stat.pcapng", "-z", "sockcap,path,sockcap.lost or sockcap.event == \"read\"")
	want = [][]string{{"1", "9", "18446744073709551616", "(none)"}, {"0", "0", "0", "0.500000", "0.750000", "/run/docker.sock"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("with a filter (-want +got):\n%s", d)
	}
}
