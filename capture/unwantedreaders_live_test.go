package capture

import (
	"slices"
	"testing"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// readStories are what happens on a stream each: a letter is written, a sign
// reads all that there is. A capital is written under the name that is wanted, "!"
// read under it. Of what waits when the account of who sends begins (quiet.h), and
// of that alone, the sender is not sure.
var readStories = []string{
	"a!", "a.a!", "a.a.a!a!", "a.aaa!aa!", "a.a.a.a!a.a!aA!A.", "aA.a!", "a.a.aA.", "a.a.aAa!a!", "a!a.a.a.a!", "a.a.a.a.aa!aaaa!",
}

// TestUnwantedReaders: a filter for who sends or reads keeps exactly what a wanted
// task has written or read of a stream on which others do too. Who sent it is
// told, and is marked where it can't be sure.
func TestUnwantedReaders(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		if o.Hooks != hooksTracepoint || o.Senders == "exact" { // those take what is sent before they know who reads
			return
		}
		inParallel(t)
		var err error
		if o.Filter, err = filter.Parse("comm wanted and stream", filter.Lookup{}); err != nil {
			t.Fatal(err)
		}
		l := startLive(t, o, nil)
		bob := newPuppet(t, workload.PuppetConfig{Comm: "bob"})
		want := make(map[string][]written)
		for _, story := range readStories {
			stream := newStream(t, bob)
			want[stream.path] = withoutGuesses(stream.overhear(story))
		}
		for path, all := range want {
			l.wait("the last of "+path, func(got []*pcapng.Packet) bool { return len(writtenTo(got, path)) >= len(all) })
		}
		all, _ := l.end()
		for path, want := range want {
			if got := withoutGuesses(writtenTo(all, path)); !slices.Equal(got, want) {
				t.Errorf("kept    %+v\nwant %+v", got, want)
			}
		}
	})
}

// as calls f while the puppet has a name.
func (p puppet) as(name string, f func()) {
	p.t.Helper()
	p.must(p.Name(name))
	f()
	p.must(p.Name(p.Comm))
}

// overhear has a story happen, and gives what is to be kept of it.
func (s *stream) overhear(story string) (kept []written) {
	s.t.Helper()
	var offset, skipped uint64
	var unread []written
	read, quiet, loud := false, false, false
	begin := func() { // of the account
		for i := range unread {
			unread[i].unsure = unread[i].unsure || quiet
		}
		quiet, loud = false, true
	}
	receive := func(wanted bool) {
		for _, w := range unread {
			s.bob.receive(s.server, w.text)
			if !wanted && w.comm == "unwanted" {
				skipped += uint64(len(w.text))
				continue
			}
			w.skipped, skipped = skipped, 0
			kept = append(kept, w)
		}
		unread, read = nil, true
	}
	for i, kind := range story {
		w := written{comm: "unwanted", offset: offset}
		switch kind {
		case '.':
			receive(false)
			continue
		case '!':
			begin()
			s.bob.as("wanted", func() { receive(true) })
			continue
		case 'A':
			begin()
			w.comm = "wanted"
		default:
			quiet = quiet || read && !loud && len(unread) == 0
		}
		w.text, w.pid = s.write(w.comm, i)
		unread = append(unread, w)
		offset += uint64(len(w.text))
	}
	return kept
}

// withoutGuesses are packets of which those that are marked name no sender but
// what it is called.
func withoutGuesses(all []written) []written {
	for i := range all {
		if all[i].unsure {
			all[i].pid = 0
		}
	}
	return all
}

// TestReaderOfLeftOut: who reads what a filter leaves out is known all the same, if
// the filter asks who reads what it does not leave out.
func TestReaderOfLeftOut(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		if o.Senders == "exact" { // see TestUnwantedSenders
			return
		}
		inParallel(t)
		var err error
		if o.Filter, err = filter.Parse("src comm wanted and dst comm hears and stream", filter.Lookup{}); err != nil {
			t.Fatal(err)
		}
		l := startLive(t, o, nil)
		bob := newPuppet(t, workload.PuppetConfig{Comm: "bob"})
		s := newStream(t, bob)
		read := func(reader, text string) { bob.as(reader, func() { bob.receive(s.server, text) }) }
		for i, reader := range []string{"deaf", "hears"} {
			text, _ := s.write("unwanted", i)
			read(reader, text)
		}
		want, _ := s.write("wanted", 2)
		read("hears", want)
		got := l.wait("what is wanted", func(got []*pcapng.Packet) bool { return len(writtenTo(got, s.path)) > 0 })
		if w := writtenTo(got, s.path); len(w) != 1 || w[0].text != want {
			t.Errorf("kept %+v, want %q", w, want)
		}
		l.end()
	})
}
