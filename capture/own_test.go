package capture

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestOwnOutput: what this process writes to a socket that another
// reads, as its own output may go, is not captured, unless that is asked for.
func TestOwnOutput(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		t.Run("left out", func(t *testing.T) { ownOutput(t, Options{Hooks: set}) })
		t.Run("included", func(t *testing.T) { ownOutput(t, Options{Hooks: set, IncludeSelf: true}) })
	})
}

func ownOutput(t *testing.T, o Options) {
	l := startLive(t, o, nil)
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
	own := kept(all, func(r *pcapng.Packet) bool { return string(r.Data) == "our output" })
	for _, r := range own {
		if !o.IncludeSelf || r.Sender.PID != uint32(os.Getpid()) {
			t.Errorf("captured %s", show(r))
		}
	}
	if o.IncludeSelf && len(own) != 1 {
		t.Errorf("captured %d packets of our own, want 1", len(own))
	}
}
