package capture

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestOlderCrowd: of 10,000 connections that are older than the capture every
// end is told of, once, and what is said on one of them at once is joined with
// it, whether it was held until the snapshot was there or not. They are
// forgotten when they are closed.
func TestOlderCrowd(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		const processes, each = 6, 1_701 // few enough for usual limits of open files
		const connections = processes * each
		var p puppet
		var ends []workload.End
		holder := make(map[uint64]uint32)
		for range processes {
			p = newPuppet(t, workload.PuppetConfig{Comm: "crowd"})
			some, err := p.Crowd(unix.SOCK_STREAM, each)
			p.must(err)
			for _, e := range some {
				holder[e.Inode] = uint32(p.PID)
			}
			ends = append(ends, some...)
		}
		only, err := filter.Parse("comm crowd", filter.Lookup{})
		if err != nil {
			t.Fatal(err)
		}
		begun := make(chan Beginning, 1)
		before := heap()
		l := startBlind(t, Options{Hooks: set, Filter: only, Begun: func(b Beginning) { begun <- b }}, nil)
		a, b := ends[len(ends)-102], ends[len(ends)-101]
		p.send(a, "first")
		p.receive(b, "first")
		began := time.Now()
		select {
		case n := <-begun:
			if n.Err != nil || n.NoDiag != nil || n.Sockets < 2*connections {
				t.Errorf("%+v", n)
			}
		case <-time.After(patience):
			t.Fatal("the older sockets are not known in time")
		}
		t.Logf("known after %v, %d KiB of memory more, with all packets", time.Since(began), (heap()-before)>>10)
		all := l.wait("what was said", func(all []*pcapng.Packet) bool {
			return len(all) > 2*connections && len(kept(all, from(a))) > 0
		})
		told := make(map[uint64]*pcapng.Packet)
		for _, c := range kept(all, func(c *pcapng.Packet) bool { return c.Event == pcapng.EventSnapshot }) {
			if told[c.Sender.Inode] != nil {
				t.Errorf("socket %d is told of twice", c.Sender.Inode)
			}
			told[c.Sender.Inode] = c
		}
		for i, e := range ends {
			c := told[e.Inode]
			if c == nil || c.Peer.Inode != ends[i^1].Inode || c.Sender.PID != holder[e.Inode] || c.State != pcapng.StateConnected {
				t.Fatalf("end %d: %+v", i, c)
			}
		}
		said := kept(all, from(a))[0]
		if c := told[a.Inode]; said.ConnID != c.ConnID || said.Role != c.Role || said.Peer.PID != uint32(p.PID) || said.Peer.Comm != "crowd" {
			t.Errorf("%+v was said, in the snapshot it is %+v", said, c)
		}
		for i := 1; i < len(all); i++ {
			if all[i].Time.Before(all[i-1].Time) {
				t.Fatalf("time goes back at %d", i)
			}
		}
	})
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestOlderForgotten: a socket that is closed is forgotten, one that is not
// closed is not.
func TestOlderForgotten(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		p := newPuppet(t, workload.PuppetConfig{})
		a, b := p.pair(unix.SOCK_STREAM)
		c, d := p.pair(unix.SOCK_STREAM)
		begun := make(chan Beginning, 1)
		l := startBlind(t, Options{Hooks: set, Begun: func(b Beginning) { begun <- b }}, nil)
		select {
		case <-begun:
		case <-time.After(patience):
			t.Fatal("the older sockets are not known in time")
		}
		p.must(p.CloseFD(a))
		p.must(p.CloseFD(b))
		p.pass(c, d, "last")
		l.wait("both closes", func(all []*pcapng.Packet) bool {
			return len(kept(all, func(x *pcapng.Packet) bool {
				return x.Event == pcapng.EventClose && (x.Sender.Inode == a.Inode || x.Sender.Inode == b.Inode)
			})) == 2 && len(kept(all, from(c))) == 1
		})
		l.end()
		known := func(e workload.End) bool { return l.s.sockets.older[e.Inode] != nil }
		if known(a) || known(b) || !known(c) || !known(d) {
			t.Errorf("known are %v %v, %v %v", known(a), known(b), known(c), known(d))
		}
	})
}
