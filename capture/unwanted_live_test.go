package capture

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestUnwantedSenders: of what several processes write to one stream, in turn
// and with much of it unread, exactly what those have written is kept that the
// filter asks for, with its true sender and its place among all bytes.
func TestUnwantedSenders(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		if o.Senders == "exact" { // takes a socket on which its own process has connected for its own
			return
		}
		inParallel(t)
		for _, text := range []string{"src comm wanted and stream", "not src comm unwanted", "comm wanted and stream"} {
			t.Run(text, func(t *testing.T) {
				o := o
				var err error
				if o.Filter, err = filter.Parse(text, filter.Lookup{}); err != nil {
					t.Fatal(err)
				}
				unwantedSenders(t, o)
			})
		}
	})
}

// written is what the kept packets must say.
type written struct {
	text    string
	pid     int
	comm    string
	offset  uint64
	unsure  bool
	skipped uint64
}

// stories are what is written to a stream, one stream each: a capital is wanted,
// a dot reads all that there is. Most have a first wanted one behind others, read
// or not: the account of who sends begins with it (quiet.h).
var stories = []string{
	"aaA.a.A.AaA.aaAAa.aaa.aA.aaaaaaaaaaaaA.Aa.a.AaA.",
	"A.", "aA.", "a.A.", "a.aA.", "aaA.", "aa.aaaaaA.aA.", "a.a.a.aaAA.A.", "aaaaaaaaA.aA.",
}

func unwantedSenders(t *testing.T, o Options) {
	l := startLive(t, o, nil)
	bob := newPuppet(t, workload.PuppetConfig{Comm: "bob"})
	want := make(map[string][]written)
	for _, story := range stories {
		stream := newStream(t, bob)
		want[stream.path] = stream.tell(story)
	}
	for path, all := range want {
		l.wait("the last of "+path, func(got []*pcapng.Packet) bool { return len(writtenTo(got, path)) >= len(all) })
	}
	all, _ := l.end()
	for path, want := range want {
		if got := writtenTo(all, path); !slices.Equal(got, want) {
			t.Errorf("kept    %+v\nwant %+v", got, want)
		}
	}
}

// writtenTo is what the packets of a stream say.
func writtenTo(all []*pcapng.Packet, path string) (got []written) {
	for _, packet := range kept(all, func(p *pcapng.Packet) bool { return isData(p) && p.Path == path }) {
		got = append(got, written{string(packet.Data), int(packet.Sender.PID), packet.Sender.Comm, packet.Offset,
			packet.Uncertain&pcapng.UncertainSender != 0, packet.Skipped})
	}
	return got
}

// stream is one that children write to and bob reads.
type stream struct {
	*post
	server workload.End
}

func newStream(t *testing.T, bob puppet) *stream {
	t.Helper()
	s := &stream{post: &post{t: t, bob: bob, path: socketName(t, "stream")}}
	listener := bob.listen(unix.SOCK_STREAM, s.path)
	var err error
	if s.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	if err := unix.Connect(s.fd, &unix.SockaddrUnix{Name: s.path}); err != nil {
		t.Fatal(err)
	}
	s.server, err = bob.Accept(listener)
	bob.must(err)
	return s
}

// write has a child of this name write something of its own.
func (s *stream) write(comm string, i int) (text string, pid int) {
	s.t.Helper()
	text = fmt.Sprintf("%s says %d.", comm, i)
	pid, err := s.fork(&brief{name: append([]byte(comm), 0), text: []byte(text)})
	if err != nil {
		s.t.Error(err)
	}
	return text, pid
}

// tell writes and reads a story, and gives what is to be kept of it.
func (s *stream) tell(story string) (want []written) {
	s.t.Helper()
	var offset, skipped uint64
	unread := ""
	for i, kind := range story {
		comm := "unwanted"
		switch kind {
		case '.':
			s.bob.receive(s.server, unread)
			unread = ""
			continue
		case 'A':
			comm = "wanted"
		}
		text, pid := s.write(comm, i)
		unread += text
		if kind == 'A' {
			want = append(want, written{text, pid, comm, offset, false, skipped})
			skipped = 0
		} else {
			skipped += uint64(len(text))
		}
		offset += uint64(len(text))
	}
	return want
}

// TestUnwantedAtOnce: where a wanted task comes to a stream on which unwanted ones
// write at the same time, what is kept with another's name is marked, bytes left
// out are told, and all is exact again once nothing of it is unread.
func TestUnwantedAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		if o.Senders == "exact" { // as in TestUnwantedSenders
			return
		}
		inParallel(t)
		var err error
		if o.Filter, err = filter.Parse("src comm wanted and stream", filter.Lookup{}); err != nil {
			t.Fatal(err)
		}
		l := startLive(t, o, nil)
		bob := newPuppet(t, workload.PuppetConfig{Comm: "bob"})
		want := make(map[string]written)
		for range 4 {
			s := newStream(t, bob)
			want[s.path] = s.writeAtOnce()
		}
		for path, last := range want {
			l.wait("the last of "+path, func(got []*pcapng.Packet) bool {
				return slices.ContainsFunc(writtenTo(got, path), func(w written) bool { return w.text == last.text })
			})
		}
		all, _ := l.end()
		for path, last := range want {
			got := writtenTo(all, path)
			var at uint64
			for _, w := range got {
				if w.comm != "wanted" || !w.unsure && !strings.HasPrefix(w.text, "wanted says") {
					t.Errorf("kept as certain: %+v", w)
				}
				if w.offset != at+w.skipped {
					t.Errorf("%+v: %d bytes before it", w, at)
				}
				at = w.offset + uint64(len(w.text))
			}
			if w := got[len(got)-1]; w.text != last.text || w.pid != last.pid || w.offset != last.offset || w.unsure {
				t.Errorf("at the end %+v, want %+v", w, last)
			}
		}
	})
}

// writeAtOnce has children of both names write at the same time, and one more when
// all has been read, which it gives.
func (s *stream) writeAtOnce() written {
	s.t.Helper()
	const each = 20
	total := 0
	for i := range each {
		total += len(fmt.Sprintf("unwanted says %d.", i)) + len(fmt.Sprintf("wanted says %d.", i))
	}
	var done sync.WaitGroup
	done.Go(func() {
		for left := total; left > 0; {
			got, err := s.bob.Receive(s.server, left)
			if err != nil || len(got) == 0 {
				s.t.Errorf("%d bytes unread: %v", left, err)
				return
			}
			left -= len(got)
		}
	})
	for _, comm := range []string{"unwanted", "wanted"} {
		done.Go(func() {
			for i := range each {
				s.write(comm, i)
			}
		})
	}
	done.Wait()
	text, pid := s.write("wanted", each)
	s.bob.receive(s.server, text)
	return written{text: text, pid: pid, offset: uint64(total)}
}
