package capture

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestSkipped: the kernel skips programs of fentry where a task is preempted
// inside one. Where that is the program at the begin of a send nothing is missing;
// where it is all that could tell of what is sent, the next packet says how much is.
func TestSkipped(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		if set == hooksKprobe || set == hooksFentry && preemptible() { // others are not skipped, nor attached twice (v5.10)
			skippedSends(t, set)
		}
	})
}

// placed is what a packet must say of its place.
type placed struct {
	text         string
	offset, lost uint64
}

func skippedSends(t *testing.T, set string) {
	p := newPuppet(t, workload.PuppetConfig{Comm: "skipped"})
	types := []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}
	var ends [][2]workload.End
	for _, typ := range types {
		a, b := p.pair(typ)
		ends = append(ends, [2]workload.End{a, b})
	}
	pass := func(texts ...string) {
		for _, e := range ends {
			for _, text := range texts {
				p.pass(e[0], e[1], text)
				p.pass(e[1], e[0], text)
			}
		}
	}
	l := startLive(t, Options{Hooks: set}, nil)
	pass("first")
	putBack := l.s.progs.takeAway(t, "_enter")
	pass("second", "third")
	putBack()
	if set == hooksFentry { // no other is skipped
		putBack = l.s.progs.takeAway(t, "_enter", "_queue", "_fill", "_filled", "_readable")
		pass("nobody sees this", "nor that")
		putBack()
		putBack = l.s.progs.takeAway(t, "_queue", "_filled")
		pass("half seen")
		putBack()
	}
	pass("fourth")
	of := func(all []*pcapng.Packet, e workload.End) (got []placed) {
		for _, x := range kept(all, isData) {
			if x.Sender.Inode == e.Inode {
				got = append(got, placed{string(x.Data), x.Offset, x.Lost})
			}
		}
		return got
	}
	l.wait("the last", func(all []*pcapng.Packet) bool { return len(of(all, ends[2][1])) == 4 })
	all, _ := l.end()
	for i, typ := range types {
		for _, e := range ends[i] {
			if got, want := of(all, e), wantPlaced(set, typ); !slices.Equal(got, want) {
				t.Errorf("type %d: captured %+v\nwant %+v", typ, got, want)
			}
		}
	}
	for _, x := range kept(all, isData) {
		if x.Sender.PID != uint32(p.PID) || x.Uncertain&pcapng.UncertainSender != 0 {
			t.Errorf("sent by another: %s", show(x))
		}
	}
}

// wantPlaced is what is to be captured of each end.
func wantPlaced(set string, typ int) []placed {
	want := []placed{{"first", 0, 0}, {"second", 5, 0}, {"third", 11, 0}, {"fourth", 16, 0}}
	if set != hooksFentry || typ == unix.SOCK_DGRAM { // which no place is told of
		return want
	}
	lost := uint64(len("half seen"))
	if typ == unix.SOCK_STREAM { // of others the end of a send does not tell whether anything was queued
		lost += uint64(len("nobody sees this" + "nor that"))
	}
	want[3].offset += lost
	want[3].lost = lost
	return want
}

// takeAway detaches the programs whose names end so, twins too, until putBack.
func (p *programs) takeAway(t *testing.T, names ...string) (putBack func()) {
	t.Helper()
	var gone []attached
	p.links = slices.DeleteFunc(p.links, func(l attached) bool {
		name := strings.TrimSuffix(l.program, twinSuffix)
		if !slices.ContainsFunc(names, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return false
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		gone = append(gone, l)
		return true
	})
	if len(gone) == 0 {
		t.Fatalf("no programs %q", names)
	}
	return func() {
		for _, l := range gone {
			again, err := attach(l.hook, p.coll.Programs[l.program])
			if err != nil {
				t.Fatal(err)
			}
			p.links = append(p.links, attached{again, l.hook})
		}
	}
}

// TestBegunBefore: of a send that waits for room when the capture starts, what it
// queues from then on is captured, and nothing is said to be missing.
func TestBegunBefore(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		bob := newPuppet(t, workload.PuppetConfig{Comm: "bob"})
		stream := newStream(t, bob)
		text := strings.Repeat("0123456789abcdef", 1<<16)
		done := make(chan error)
		go func() {
			_, err := stream.fork(&brief{name: []byte("early\x00"), text: []byte(text)})
			done <- err
		}()
		bob.receive(stream.server, text[:4096]) // it is inside
		l := startLive(t, Options{Hooks: set}, nil)
		for read := 4096; read < len(text); {
			piece, err := bob.Receive(stream.server, min(len(text)-read, 4096))
			bob.must(err)
			read += len(piece)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		end, _ := stream.write("late", 0)
		bob.receive(stream.server, end)
		l.wait("the end", func(all []*pcapng.Packet) bool {
			return len(kept(all, func(x *pcapng.Packet) bool { return isData(x) && x.Path == stream.path && string(x.Data) == end })) > 0
		})
		all, _ := l.end()
		var got strings.Builder
		for _, x := range kept(all, func(x *pcapng.Packet) bool { return isData(x) && x.Path == stream.path }) {
			got.Write(x.Data)
			if x.Lost > 0 {
				t.Errorf("missing before: %s", show(x))
			}
		}
		if !strings.HasSuffix(text+end, got.String()) || got.Len() < len(text)/2 {
			t.Errorf("captured %d bytes of %d", got.Len(), len(text+end))
		}
	})
}
