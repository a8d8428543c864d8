package capture

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// checkPassed compares what a record says was passed along with sockets.
func checkPassed(t *testing.T, p *pcapng.Packet, want ...workload.End) {
	t.Helper()
	if int(p.FDCount) != len(want) || len(p.FDs) != len(want) {
		t.Errorf("%s passes %d descriptors, tells of %d, want %d", show(p), p.FDCount, len(p.FDs), len(want))
		return
	}
	for i, fd := range p.FDs {
		if fd.Kind != pcapng.FDSocket || fd.Name != strconv.FormatUint(want[i].Inode, 10) {
			t.Errorf("%s: descriptor %d is %s %q, want socket %d", show(p), i, fd.Kind, fd.Name, want[i].Inode)
		}
		if fd.Num != uint32(want[i].FD) && fd.Num != pcapng.Unknown {
			t.Errorf("%s: descriptor %d has the number %d, want %d", show(p), i, fd.Num, want[i].FD)
		}
	}
}

// TestWaitingPassed: what waits unread tells what it passes along, in its data
// record; its reading does not tell of it again.
func TestWaitingPassed(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		l := startLive(t, Options{Hooks: set}, nil)
		if set == hooksTracepoint && l.s.progs.iter == nil {
			t.Log("this kernel can't show what nobody reads")
			return
		}
		p := newPuppet(t, workload.PuppetConfig{Comm: "passes"})
		one, other := p.pair(unix.SOCK_DGRAM)
		messages := []string{"first", "second message", "the third one"}
		passed := [][]workload.End{{one}, nil, {other, one}}
		var senders, receivers []workload.End
		for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
			a, b := p.pair(typ)
			senders, receivers = append(senders, a), append(receivers, b)
			for i, m := range messages {
				_, err := p.SendWith(a, []byte(m), passed[i]...)
				p.must(err)
			}
		}
		l.wait("what nobody reads", func(all []*pcapng.Packet) bool {
			return !slices.ContainsFunc(senders, func(a workload.End) bool { return len(kept(all, from(a))) < len(messages) })
		})
		for _, b := range receivers {
			p.receive(b, messages[0])
			p.must(p.CloseFD(b)) // the others are thrown away
		}
		c, d := p.pair(unix.SOCK_STREAM)
		p.pass(c, d, "the end")
		l.wait("the last bytes", func(all []*pcapng.Packet) bool { return len(kept(all, from(c))) > 0 })
		all, stats := l.end()
		for _, a := range senders {
			data := kept(all, from(a))
			for i, r := range data {
				if i < len(messages) && string(r.Data) == messages[i] {
					checkPassed(t, r, passed[i]...)
				} else {
					t.Errorf("record %d of %d: %s", i, len(data), show(r))
				}
			}
			for _, r := range kept(all, func(p *pcapng.Packet) bool { return p.Sender.Inode == a.Inode && !isData(p) }) {
				checkPassed(t, r) // its reading, or its end
			}
		}
		if stats.Dropped()+stats.LostPassed != 0 {
			t.Errorf("lost: %+v", stats)
		}
	})
}

// TestLiveFDs: a live filter keeps what passes descriptors, and nothing else.
func TestLiveFDs(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		e, err := filter.Parse("fds", filter.Lookup{})
		if err != nil {
			t.Fatal(err)
		}
		l := startLive(t, Options{Hooks: set, Filter: e}, nil)
		p := newPuppet(t, workload.PuppetConfig{Comm: "passes"})
		a, b := p.pair(unix.SOCK_STREAM)
		const rounds = 7
		for i := range rounds {
			p.pass(a, b, "nothing is passed along")
			m := fmt.Sprintf("message %d", i)
			_, err := p.SendWith(a, []byte(m), b)
			p.must(err)
			p.receive(b, m)
		}
		l.wait("all that pass descriptors", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) >= rounds })
		all, stats := l.end()
		for i, r := range kept(all, from(a)) {
			if want := fmt.Sprintf("message %d", i); string(r.Data) != want || r.Skipped != uint64(len("nothing is passed along")) {
				t.Errorf("record %d: %s, want %q, and what was not kept before it skipped", i, show(r), want)
			}
			checkPassed(t, r, b)
		}
		for _, r := range all {
			if r.FDCount == 0 {
				t.Errorf("%s passes nothing", show(r))
			}
		}
		if stats.Dropped()+stats.LostPassed != 0 {
			t.Errorf("lost: %+v", stats)
		}
	})
}
