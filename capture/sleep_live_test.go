package capture

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestSleep: with nothing to do the reader sleeps, here without end, until a record
// wakes him, again and again, or the capture's end does.
func TestSleep(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		p := newPuppet(t, workload.PuppetConfig{Comm: "sleeper"})
		name := socketName(t, "s")
		server, client := p.socket(unix.SOCK_DGRAM), p.socket(unix.SOCK_DGRAM)
		p.must(p.Bind(server, "@"+name))
		p.must(p.Connect(client, "@"+name))
		s, cancel := begin(t, Options{Hooks: set, Paths: []string{"@" + name}, NoSnapshot: true})
		s.nap = time.Hour
		l := gather(t, s, cancel, nil)
		for n := range 5 {
			awaitSleep(t, s)
			p.pass(client, server, "wake up")
			l.wait("who sleeps", func(all []*pcapng.Packet) bool {
				return len(kept(all, func(p *pcapng.Packet) bool { return string(p.Data) == "wake up" })) > n
			})
		}
		awaitSleep(t, s)
		if all, stats := l.end(); stats.Dropped() > 0 {
			t.Errorf("%d packets, %+v", len(all), stats)
		}
	})
}

// awaitSleep waits until the next record would wake the reader.
func awaitSleep(t *testing.T, s *Session) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var sleeps bool
		if err := s.progs.coll.Variables["reader_sleeps"].Get(&sleeps); err != nil {
			t.Fatal(err)
		}
		if sleeps {
			return
		}
	}
	t.Fatal("the reader does not sleep")
}
