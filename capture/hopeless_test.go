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

// TestHopeless: what was concluded of two sockets ends with what it was
// concluded from. One is bound while they are connected, and is at the path
// that was asked for, or no longer off it; others get the memory of those that
// were closed.
func TestHopeless(t *testing.T) {
	eachOptions(t, func(t *testing.T, o Options) {
		inParallel(t)
		o.BufferSize = 8 << 20
		path := socketName(t, "s")
		p := newPuppet(t, workload.PuppetConfig{Comm: "hopeless"})
		var captures []*live
		for _, text := range []string{path, fmt.Sprintf("not %s and src pid %d", path, p.PID)} {
			e, err := filter.Parse(text, filter.Lookup{})
			if err != nil {
				t.Fatal(err)
			}
			o.Filter = e
			captures = append(captures, startLive(t, o, nil))
		}
		var at, off []string // what is said at the path, and off it
		say := func(where *[]string, from, to workload.End) {
			text := "hopeless " + strconv.Itoa(len(at)+len(off))
			*where = append(*where, text)
			p.pass(from, to, text)
		}
		for i := range 7 {
			a, b := p.pair(unix.SOCK_STREAM)
			for range 3 {
				say(&off, a, b)
				say(&off, b, a)
			}
			bound := fmt.Sprintf("%s%d", path, i)
			if i == 3 {
				bound = path
			}
			p.must(p.Bind(a, bound))
			where := &off
			if i == 3 {
				where = &at
			}
			for range 3 {
				say(where, a, b)
				say(where, b, a)
			}
			p.must(p.CloseFD(a))
			p.must(p.CloseFD(b))
		}
		for i, want := range [][]string{at, off} {
			all, _ := captures[i].end()
			var got []string
			for _, c := range all {
				if c.Event != pcapng.EventData || !slices.Contains(at, string(c.Data)) && !slices.Contains(off, string(c.Data)) {
					continue
				}
				got = append(got, string(c.Data))
				if int(c.Sender.PID) != p.PID && c.Uncertain&pcapng.UncertainSender == 0 || c.Lost != 0 {
					t.Errorf("%s, sent by %d", show(c), p.PID)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("kept %q\nwant %q", got, want)
			}
		}
	})
}

// TestHopelessMemory: the memory of sockets that are closed is used for others
// at once, and what was concluded is not. All that others say is kept, and by
// whom it was said is known.
func TestHopelessMemory(t *testing.T) {
	eachOptions(t, func(t *testing.T, o Options) {
		inParallel(t)
		o.BufferSize = 8 << 20
		path := socketName(t, "s")
		o.Paths = []string{path}
		l := startLive(t, o, nil)
		p := newPuppet(t, workload.PuppetConfig{Comm: "memory"})
		listener := p.listen(unix.SOCK_STREAM, path)
		var want []string
		for i := range 101 {
			a, b := p.pair(unix.SOCK_STREAM)
			p.pass(a, b, "nobody wants this")
			p.must(p.CloseFD(a))
			p.must(p.CloseFD(b))
			client, server := p.dial(listener, unix.SOCK_STREAM, path)
			for range 2 {
				want = append(want, fmt.Sprintf("memory %d", len(want)))
				p.pass(client, server, want[len(want)-1])
				want = append(want, fmt.Sprintf("memory %d", len(want)))
				p.pass(server, client, want[len(want)-1])
			}
			p.must(p.CloseFD(client))
			p.must(p.CloseFD(server))
			if i%10 == 0 { // and the other way round
				a, b := p.pair(unix.SOCK_SEQPACKET)
				p.pass(a, b, "nor this")
				p.must(p.CloseFD(a))
				p.must(p.CloseFD(b))
			}
		}
		all, _ := l.end()
		sym, err := loadSymbols(kernelSymbols[:])
		if err != nil {
			t.Fatal(err)
		}
		skips := sym.has("trace_call_bpf_faultable") // programs that would tell who sends: see mayMark
		var got []string
		for _, c := range all {
			if c.Event != pcapng.EventData {
				continue
			}
			got = append(got, string(c.Data))
			if int(c.Sender.PID) != p.PID && !skips || c.Uncertain&pcapng.UncertainSender != 0 && !skips || c.Lost|c.Skipped != 0 || c.Path != path {
				t.Errorf("%s, sent by %d", show(c), p.PID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("kept %q\nwant %q", got, want)
		}
	})
}
