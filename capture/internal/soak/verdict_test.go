package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// story is a load of which all is known, and the packets of a capture of it.
type story struct {
	flows   []flow
	packets []*pcapng.Packet
}

// perfect is a capture in which nothing is wrong: two connections, of which one
// lost two messages in its middle and two at its end.
func perfect() *story {
	s := &story{flows: []flow{
		{id: 7, path: "/a", typ: pcapng.Stream, from: 70, sent: 9},
		{id: 9, path: "/b", typ: pcapng.SeqPacket, from: 90, sent: 8},
	}}
	for i := range s.flows {
		s.flows[i].begun, s.flows[i].ended = time.Unix(100, 0), time.Unix(200, 0)
	}
	for seq := range uint64(9) {
		s.add(0, seq)
		if seq < 6 && seq != 2 && seq != 3 {
			s.add(1, seq)
		}
	}
	s.of(9)[2].Lost, s.of(9)[2].DropCount = sizeOfAll(9, 2, 4), 1
	s.packets[8].DropCount++ // intervals are not those of one connection
	tail := sizeOfAll(9, 6, 8)
	s.packets = append(s.packets, &pcapng.Packet{Event: pcapng.EventLost, Time: time.Unix(99, 0), Path: "/b", Type: pcapng.SeqPacket,
		Sender: pcapng.Endpoint{Inode: 90}, Offset: sizeOfAll(9, 0, 8), Lost: tail, DropCount: 2})
	return s
}

// add adds a message of a flow.
func (s *story) add(flow int, seq uint64) {
	f := &s.flows[flow]
	h := head{flow: f.id, seq: seq, off: sizeOfAll(f.id, 0, seq), pid: uint32(f.id), flags: byChild}
	m := slices.Clone(h.message(room()))
	s.packets = append(s.packets, &pcapng.Packet{Event: pcapng.EventData, Time: time.Unix(int64(len(s.packets)), 0), Path: f.path, Type: f.typ,
		Sender: pcapng.Endpoint{PID: h.pid, Inode: f.from, Comm: commOf(f.id)}, Offset: h.off, Len: uint32(len(m)), Data: m})
}

// of gives the packets of a flow.
func (s *story) of(flow uint64) (of []*pcapng.Packet) {
	for _, p := range s.packets {
		if h, ok := headOf(p.Data); ok && h.flow == flow {
			of = append(of, p)
		}
	}
	return of
}

// verdict is what is found to be wrong.
func (s *story) verdict() string {
	c := newChecker()
	for _, p := range s.packets {
		c.check(p)
	}
	a := c.reconcile(s.flows, span{start: time.Unix(45, 0), from: time.Unix(50, 0)})
	wrong := append(c.wrong, a.wrong...)
	if a.missing != c.dropped {
		wrong = append(wrong, "uneven")
	}
	return strings.Join(wrong, "; ")
}

// TestVerdict: a capture in which all is right, or marked, is; whatever is wrong is
// found.
func TestVerdict(t *testing.T) {
	remove := func(s *story, p *pcapng.Packet) {
		i := slices.Index(s.packets, p)
		s.packets = slices.Delete(s.packets, i, i+1)
	}
	for _, c := range []struct {
		name  string
		spoil func(s *story)
		want  string // empty: nothing is wrong
	}{
		{"as it is", func(*story) {}, ""},
		{"the end is told of by counts only", func(s *story) {
			s.packets[len(s.packets)-1].Lost = 0
			s.packets[len(s.packets)-1].Event = pcapng.EventClose
		}, ""},
		{"cut, and marked", func(s *story) { p := s.of(7)[3]; p.Truncated, p.Data = true, p.Data[:headSize] }, ""},
		{"cut in its head, and marked", func(s *story) { p := s.of(7)[3]; p.Truncated, p.Data = true, p.Data[:11] }, ""},
		{"nothing left, and marked", func(s *story) { p := s.of(7)[3]; p.Truncated, p.Data = true, nil }, ""},
		{"an uncertain sender, marked", func(s *story) { p := s.of(7)[3]; p.Sender.PID, p.Uncertain = 8, pcapng.UncertainSender }, ""},
		{"a loss counted twice", func(s *story) { s.packets[4].DropCount++ }, "uneven"},
		{"a loss that is not counted", func(s *story) { s.packets[len(s.packets)-1].DropCount-- }, "uneven"},
		{"a message that is missing", func(s *story) { remove(s, s.of(7)[4]) }, "flow 7: message 5, sent at"},
		{"a message missing that is counted, but not where", func(s *story) { remove(s, s.of(7)[4]); s.packets[3].DropCount++ }, "with 0 bytes lost"},
		{"a last message that is missing", func(s *story) { remove(s, s.of(7)[8]) }, "uneven"},
		{"a message twice", func(s *story) { s.packets = slices.Insert(s.packets, 5, s.packets[4]) }, "comes behind"},
		{"two in another order", func(s *story) {
			a, b := s.of(7)[4], s.of(7)[5]
			*a, *b = *b, *a
			a.Time, b.Time = b.Time, a.Time
		}, "flow 7: message 4 comes behind 6"},
		{"another byte", func(s *story) { p := s.of(7)[3]; p.Data[len(p.Data)-1]++ }, "flow 7: message 3 has other bytes"},
		{"cut, and not marked", func(s *story) { p := s.of(7)[3]; p.Data = p.Data[:headSize] }, "flow 7: message 3 has other bytes"},
		{"cut, and another byte", func(s *story) { p := s.of(7)[3]; p.Truncated, p.Data[2], p.Data = true, 0, p.Data[:11] }, "flow 7: message 3 has other bytes"},
		{"a message that nobody sent", func(s *story) { p := s.of(7)[3]; p.Data[0]++ }, "nobody has sent this"},
		{"a message beyond the last", func(s *story) { s.flows[0].sent-- }, "8 messages were sent, number 8 is captured"},
		{"another sender", func(s *story) { s.of(7)[3].Sender.PID = 9 }, "flow 7: message 3 was sent by 7, says 9"},
		{"another's name", func(s *story) { s.of(7)[3].Sender.Comm = "s9" }, `flow 7: message 3 was sent by "s7", says "s9"`},
		{"another socket", func(s *story) { s.of(7)[3].Sender.Inode = 90 }, "flow 7: message 3 is of socket 90"},
		{"another path", func(s *story) { s.of(7)[3].Path = "/b" }, `to "/b", one before was of 70, 1, "/a"`},
		{"another socket throughout", func(s *story) {
			for _, p := range s.of(7) {
				p.Sender.Inode = 71
			}
		}, "flow 7, type 1, from socket 70"},
		{"fewer bytes lost than are missing", func(s *story) { s.of(9)[2].Lost-- }, "flow 9: message 4, sent at"},
		{"more bytes lost than are missing", func(s *story) { s.of(9)[2].Lost++ }, "flow 9: message 4, sent at"},
		{"lost bytes called skipped", func(s *story) { p := s.of(9)[2]; p.Lost, p.Skipped = 0, p.Lost }, "flow 9: message 4, sent at"},
		{"another place", func(s *story) { s.of(7)[8].Offset++ }, "flow 7: message 8, sent at"},
		{"a beginning that is missing", func(s *story) { remove(s, s.of(7)[0]) }, "flow 7"},
		{"fewer bytes lost at the end", func(s *story) { p := s.packets[len(s.packets)-1]; p.Lost--; p.Offset-- }, "are missing at its end"},
		{"data behind the end", func(s *story) {
			p := *s.packets[len(s.packets)-1]
			p.Sender.Inode, p.Offset, p.Lost, p.DropCount = 70, s.of(7)[5].Offset, 0, 0
			i := slices.Index(s.packets, s.of(7)[5])
			p.Time = s.packets[i].Time
			s.packets = slices.Insert(s.packets, i, &p)
		}, "behind what was said to be its end"},
		{"a flow that was over before", func(s *story) { s.flows[0].ended = time.Unix(40, 0) }, "flow 7 ended before the capture began"},
		{"all of a flow is missing", func(s *story) {
			for _, p := range s.of(7) {
				remove(s, p)
			}
		}, "uneven"},
		{"time that goes back", func(s *story) { s.packets[5].Time = time.Unix(1, 0) }, "time goes back"},
	} {
		s := perfect()
		c.spoil(s)
		switch got := s.verdict(); {
		case c.want == "" && got != "":
			t.Errorf("%s: %s", c.name, got)
		case !strings.Contains(got, c.want):
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestWholeFlowLost: all of a flow may be missing, if that is told and counted.
func TestWholeFlowLost(t *testing.T) {
	s := perfect()
	all := sizeOfAll(7, 0, 9)
	s.packets = slices.DeleteFunc(s.packets, func(p *pcapng.Packet) bool { return p.Sender.Inode == 70 })
	for i, want := range []string{"", "are missing at its end"} {
		end := &pcapng.Packet{Event: pcapng.EventLost, Time: time.Unix(300, 0), Path: "/a", Type: pcapng.Stream,
			Sender: pcapng.Endpoint{Inode: 70}, Offset: all, Lost: all - uint64(i), DropCount: 10}
		told := *s
		told.packets = append(slices.Clone(s.packets), end)
		if got := told.verdict(); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%d bytes told of %d: %q, want %q", end.Lost, all, got, want)
		}
	}
}

// TestPart: of a flow that is older than the capture, or outlives it, what was
// captured is without a gap that is not told; how much more may be missing is known.
func TestPart(t *testing.T) {
	s := perfect()
	s.flows[0].begun, s.flows[1].ended = time.Unix(40, 0), time.Time{}
	of := s.of(7)
	s.packets = slices.DeleteFunc(s.packets, func(p *pcapng.Packet) bool { return p == of[0] || p == of[1] || p.Event == pcapng.EventLost })
	for _, p := range of {
		p.Offset -= sizeOfAll(7, 0, 2) // what was sent before is not counted
		p.Sender.Inode = 0             // it was closed before
	}
	c := newChecker()
	for _, p := range s.packets {
		c.check(p)
	}
	a := c.reconcile(s.flows, span{start: time.Unix(45, 0), from: time.Unix(50, 0)})
	if len(c.wrong)+len(a.wrong) > 0 || a.missing != 2 || a.edges != 4 {
		t.Errorf("%q, %+v, want 2 missing and 4 at edges", c.wrong, a)
	}
}

// TestTorn: the file of a sockcap that was killed may end inside a block, and that
// of no other.
func TestTorn(t *testing.T) {
	var whole bytes.Buffer
	w, err := pcapng.NewWriter(&whole, pcapng.Options{})
	if err = errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	for _, torn := range []bool{true, false} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), whole.Bytes()[:whole.Len()-3], 0o600); err != nil {
			t.Fatal(err)
		}
		b := &books{l: &load{ledger: newLedger()}, out: io.Discard}
		if err := b.compare(&guest{name: "killed", torn: torn, cut: true}, dir, span{}); err != nil {
			t.Fatal(err)
		}
		if (b.wrong == 0) != torn {
			t.Errorf("torn %v: %d things are wrong", torn, b.wrong)
		}
	}
}

// TestGrown: what grows is found; what comes and goes, or grows until tables are
// full, is not, however long that takes.
func TestGrown(t *testing.T) {
	flat := func(i, flows int) sample { return sample{memory: 40<<10 + i%3*4000, files: 20 + i%2, flows: flows} }
	for _, c := range []struct {
		name   string
		rounds int
		pace   int // flows in a round
		at     func(i, flows int) sample
		want   string
	}{
		{"flat", 120, 400, flat, ""},
		{"fills its tables", 120, 400, func(i, flows int) sample { s := flat(i, flows); s.memory += min(flows, full) * 2; return s }, ""},
		{"fills them slowly", 700, 50, func(i, flows int) sample { s := flat(i, flows); s.memory += min(flows, full) * 2; return s }, ""},
		{"a peak", 120, 400, func(i, flows int) sample {
			s := flat(i, flows)
			if i%10 == 9 {
				s.memory, s.files = 4*s.memory, 4*s.files
			}
			return s
		}, ""},
		{"a leak of memory", 120, 400, func(i, flows int) sample { s := flat(i, flows); s.memory += flows; return s }, "memory has grown from "},
		{"a slow one", 700, 400, func(i, flows int) sample { s := flat(i, flows); s.memory += flows / 10; return s }, "memory has grown from "},
		{"one at a slow pace", 1500, 50, func(i, flows int) sample { s := flat(i, flows); s.memory += flows; return s }, "memory has grown from "},
		{"one that begins when the tables are full", 200, 400, func(i, flows int) sample { s := flat(i, flows); s.memory += max(flows, full) / 2; return s }, "memory has grown from "},
		{"a leak of descriptors", 120, 20, func(i, flows int) sample { s := flat(i, flows); s.files += i / 10; return s }, "descriptors have grown from "},
	} {
		var samples []sample
		for i := range c.rounds {
			samples = append(samples, c.at(i, i*c.pace))
		}
		got, judged := grown(samples)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" || !judged {
			t.Errorf("%s: %q, judged %v, want %q", c.name, got, judged, c.want)
		}
	}
	some := make([]sample, 1000)
	for i := range fewest - 1 {
		some[1000-1-i].flows = full
	}
	if got, judged := grown(some); got != "" || judged {
		t.Errorf("few samples of many flows: %q, judged %v", got, judged)
	}
}
