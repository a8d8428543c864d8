package capture

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
)

// TestStrangersNotLost: while the ring buffer is full, so that nothing can be told
// of sockets that are new, what the filter leaves out is not lost. (make soak counted
// some that nobody missed: they were other programs'.)
func TestStrangersNotLost(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		p, q := newPuppet(t, workload.PuppetConfig{Comm: "wanted"}), newPuppet(t, workload.PuppetConfig{Comm: "stranger"})
		a, b := p.pair(unix.SOCK_STREAM)
		e, err := filter.Parse(fmt.Sprint("inode ", a.Inode), filter.Lookup{})
		if err != nil {
			t.Fatal(err)
		}
		l, open := startStuck(t, Options{Hooks: set, BufferSize: 64 << 10, Immediate: true, NoSnapshot: true, Filter: e}, p, a, b)
		p.must(p.Flood(a, b, 77, 2003, []int{64}))
		lost := l.s.Stats().LostRing
		if lost == 0 {
			t.Fatal("nothing was lost: the test proves nothing")
		}
		c, d := q.pair(unix.SOCK_DGRAM) // which may send to any: each message is looked at
		q.must(q.Flood(c, d, 78, 101, []int{64}))
		c, d = q.socket(unix.SOCK_DGRAM), q.socket(unix.SOCK_DGRAM) // with names: it is to be seen which is the server
		q.must(q.Bind(c, "@"+socketName(t, "c")))
		name := "@" + socketName(t, "d")
		q.must(q.Bind(d, name))
		q.must(q.Connect(c, name))
		q.must(q.Flood(c, d, 79, 102, []int{64, 20000}))
		if n := l.s.Stats().LostRing - lost; n != 0 {
			t.Errorf("%d packets are lost by others, whom the filter leaves out", n)
		}
		open()
		l.end()
	})
}
