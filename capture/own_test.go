package capture

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestOwnOutput: what this process writes to a socket that another
// reads, as its own output may go, is not captured.
func TestOwnOutput(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		l := startLive(t, Options{Hooks: set}, nil)
		p := newPuppet(t, workload.PuppetConfig{Comm: "journal"})
		path := socketName(t, "journal")
		listener := p.listen(unix.SOCK_STREAM, path)
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		server, err := p.Accept(listener)
		p.must(err)
		if _, err := c.Write([]byte("our output")); err != nil {
			t.Fatal(err)
		}
		p.receive(server, "our output")
		a, b := p.pair(unix.SOCK_STREAM)
		p.pass(a, b, "the end")
		l.wait("the end", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) > 0 })
		all, _ := l.end()
		for _, r := range all {
			if string(r.Data) == "our output" {
				t.Errorf("captured %s", show(r))
			}
		}
	})
}
