package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// said is one message of a busy talk, and what a filter may ask of it.
type said struct {
	text     string // each has its own
	from, to puppet
	paths    [2]string // of the sender's socket and the receiver's
	typ      int
	inode    uint64 // of the sender's socket
	offset   uint64 // in what that has sent
}

// busyTalk is a conversation of several processes over sockets of all kinds,
// while others talk too.
type busyTalk struct {
	t                        *testing.T
	dir                      string
	alice, bob, carol, noise puppet
	messages                 []said
	sent                     map[uint64]uint64 // by the sockets' inodes
}

// carolsUser is another than that of the rest.
const carolsUser = 12345

func newBusyTalk(t *testing.T) *busyTalk {
	return &busyTalk{
		t: t, dir: t.TempDir(),
		alice: newPuppet(t, workload.PuppetConfig{Comm: "alice"}),
		bob:   newPuppet(t, workload.PuppetConfig{Comm: "bob-the-server"}),
		carol: newPuppet(t, workload.PuppetConfig{Comm: "carol", UID: carolsUser}),
		noise: newPuppet(t, workload.PuppetConfig{Comm: "noise"}),
	}
}

func (b *busyTalk) in(name string) string { return filepath.Join(b.dir, name) }

func (b *busyTalk) abstract(name string) string { return "@" + b.dir + "\x00" + name }

// pass has one say so many bytes to the other, who reads them.
func (b *busyTalk) pass(m said, from, to workload.End, size int) {
	b.t.Helper()
	m.text = fmt.Sprintf("%d:", len(b.messages))
	m.text += strings.Repeat("x", size-len(m.text))
	m.inode, m.offset = from.Inode, b.sent[from.Inode]
	b.sent[from.Inode] += uint64(size)
	b.messages = append(b.messages, m)
	m.from.send(from, m.text)
	m.to.receive(to, m.text)
}

// dial is a connection on which both sides speak.
func (b *busyTalk) dial(client, server puppet, typ int, path string) {
	b.t.Helper()
	b.remove(path)
	l := server.listen(typ, path)
	c := client.socket(typ)
	client.must(client.Connect(c, path))
	s, err := server.Accept(l)
	server.must(err)
	for i := range 5 {
		b.pass(said{from: client, to: server, paths: [2]string{"", path}, typ: typ}, c, s, 20+i)
		b.pass(said{from: server, to: client, paths: [2]string{path, ""}, typ: typ}, s, c, 200+100*i)
	}
	client.must(client.CloseFD(c))
	server.must(server.CloseFD(s))
	server.must(server.CloseFD(l))
}

// remove makes room for a socket of the same name. Else the files stay: the
// next one would get the number of one that was removed, and be taken for it.
func (b *busyTalk) remove(path string) {
	if path[0] == '/' {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.t.Fatal(err)
		}
	}
}

// talk is the conversation; all sockets are made anew.
func (b *busyTalk) talk() {
	b.t.Helper()
	b.messages, b.sent = nil, make(map[uint64]uint64)
	b.dial(b.alice, b.bob, unix.SOCK_STREAM, b.in("one"))
	b.dial(b.alice, b.bob, unix.SOCK_SEQPACKET, b.in("two"))
	b.dial(b.carol, b.bob, unix.SOCK_STREAM, b.abstract("three"))
	b.dial(b.bob, b.carol, unix.SOCK_STREAM, b.abstract("four"))
	b.dial(b.bob, b.alice, unix.SOCK_STREAM, b.in("one"))
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		x, y := b.alice.pair(typ)
		for i := range 5 {
			b.pass(said{from: b.alice, to: b.alice, typ: typ}, x, y, 50+i)
			b.pass(said{from: b.alice, to: b.alice, typ: typ}, y, x, 150+i)
		}
		b.alice.must(b.alice.CloseFD(x))
		b.alice.must(b.alice.CloseFD(y))
	}
	b.remove(b.in("five"))
	r, s := b.bob.socket(unix.SOCK_DGRAM), b.alice.socket(unix.SOCK_DGRAM)
	b.bob.must(b.bob.Bind(r, b.in("five")))
	b.alice.must(b.alice.Connect(s, b.in("five")))
	for i := range 5 {
		b.pass(said{from: b.alice, to: b.bob, paths: [2]string{"", b.in("five")}, typ: unix.SOCK_DGRAM}, s, r, 90+5*i)
	}
	b.bob.must(b.bob.CloseFD(r))
	b.alice.must(b.alice.CloseFD(s))
}

type about = func(m said) bool

func not(f about) about { return func(m said) bool { return !f(m) } }

func and(fs ...about) about {
	return func(m said) bool { return !slices.ContainsFunc(fs, func(f about) bool { return !f(m) }) }
}

func or(fs ...about) about {
	return func(m said) bool { return slices.ContainsFunc(fs, func(f about) bool { return f(m) }) }
}

func never(said) bool { return false }

func atPath(p string) about { return or(atEnd(0, p), atEnd(1, p)) }

func atEnd(end int, p string) about { return func(m said) bool { return m.paths[end] == p } }

func sentBy(p puppet) about { return func(m said) bool { return m.from == p } }

func sentTo(p puppet) about { return func(m said) bool { return m.to == p } }

func ofType(typ int) about { return func(m said) bool { return m.typ == typ } }

func longer(n int) about { return func(m said) bool { return len(m.text) > n } }

// filters are expressions about the talk, and what they mean.
func (b *busyTalk) filters() map[string]about {
	one, three := b.in("one"), b.abstract("three")
	files := or(atPath(one), atPath(b.in("two")), atPath(b.in("five")))
	alice, bob, carol := or(sentBy(b.alice), sentTo(b.alice)), or(sentBy(b.bob), sentTo(b.bob)), or(sentBy(b.carol), sentTo(b.carol))
	alicesPID, bobsPID, carolsPID := fmt.Sprint(b.alice.PID), fmt.Sprint(b.bob.PID), fmt.Sprint(b.carol.PID)
	return map[string]about{
		"path " + one:                 atPath(one),
		one + " " + b.in("two"):       or(atPath(one), atPath(b.in("two"))),
		b.dir:                         files,
		b.in("o*"):                    atPath(one),
		fmt.Sprintf("path %q", three): atPath(three),
		"not " + b.dir:                not(files),
		"src path " + one:             atEnd(0, one),
		"dst path " + one:             atEnd(1, one),
		"comm alice":                  alice,
		"src comm alice":              sentBy(b.alice),
		"dst comm alice":              sentTo(b.alice),
		"not comm bob-the-server":     not(bob),
		"comm bob-the-serv*":          bob,
		"src comm c?rol":              sentBy(b.carol),
		"pid " + alicesPID:            alice,
		"src pid " + bobsPID:          sentBy(b.bob),
		"dst pid " + carolsPID:        sentTo(b.carol),
		"not src pid " + bobsPID:      not(sentBy(b.bob)),
		"pid " + alicesPID + " and pid " + bobsPID: and(alice, bob),
		"uid 12345":                             carol,
		"src uid 12345":                         sentBy(b.carol),
		"not src uid 12345":                     not(sentBy(b.carol)),
		"gid 12345 and src gid 0":               sentTo(b.carol),
		"stream":                                ofType(unix.SOCK_STREAM),
		"seqpacket":                             ofType(unix.SOCK_SEQPACKET),
		"dgram":                                 ofType(unix.SOCK_DGRAM),
		"not stream and not seqpacket":          ofType(unix.SOCK_DGRAM),
		"len > 100":                             longer(100),
		"less 100":                              not(longer(100)),
		"len > 100 and comm carol":              and(longer(100), carol),
		"data and not less 300":                 longer(300),
		"(comm carol or dgram) and len > 60":    and(or(carol, ofType(unix.SOCK_DGRAM)), longer(60)),
		one + " and src comm alice and less 22": and(atPath(one), sentBy(b.alice), not(longer(22))),
		"not (" + one + " or comm carol)":       not(or(atPath(one), carol)),
		"src uid 0 and dst pid " + carolsPID:    sentTo(b.carol),
		"inbound and " + one:                    atEnd(1, one),
		"connect or read":                       never,
		"path /nowhere/to.be/found":             never,
		`comm "*"`:                              never,
	}
}

// TestLiveFilters: over a busy talk, each of many expressions keeps what it
// means and nothing else; offsets and skipped bytes add up.
func TestLiveFilters(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		b := newBusyTalk(t)
		all := b.filters()
		texts := slices.Sorted(maps.Keys(all))
		if len(texts) < 30 {
			t.Fatalf("%d filters", len(texts))
		}
		several := 6 // captures at once
		if os.Getenv("SOCKCAP_VM_GUEST") != "" {
			// Attaching takes long there, and memory is short.
			texts, several = slices.Collect(everyFifth(texts)), 1
		}
		for texts := range slices.Chunk(texts, several) {
			lives := make([]*live, len(texts))
			for i, text := range texts {
				e, err := filter.Parse(b.among(text, all[text]), filter.Lookup{})
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				lives[i] = startLive(t, Options{Hooks: set, Filter: e, BufferSize: 8 << 20}, nil)
			}
			b.talkInNoise()
			for i, text := range texts {
				b.check(text, all[text], lives[i])
			}
		}
	})
}

// among adds to an expression that fits what others on this machine say too,
// however much that is, that it is about us.
func (b *busyTalk) among(text string, wants about) string {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		for _, text2 := range []string{"", strings.Repeat("x", 1009)} {
			if wants(said{text: text2, typ: typ}) {
				return fmt.Sprintf("(%s) and (pid %d or pid %d or pid %d)", text, b.alice.PID, b.bob.PID, b.carol.PID)
			}
		}
	}
	return text
}

func everyFifth(texts []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < len(texts) && yield(texts[i]); i += 5 {
		}
	}
}

func (b *busyTalk) talkInNoise() {
	b.t.Helper()
	x, y := b.noise.pair(unix.SOCK_STREAM)
	flooded := make(chan error)
	go func() { flooded <- b.noise.Flood(x, y, 7, 1009, []int{1, 63, 333}) }()
	b.talk()
	if err := <-flooded; err != nil {
		b.t.Error(err)
	}
}

// check ends a capture of the talk, and compares.
func (b *busyTalk) check(text string, wants about, l *live) {
	b.t.Helper()
	all, stats := l.end()
	var got, want []string
	place := make(map[string]said)
	for _, m := range b.messages {
		place[m.text] = m
		if wants(m) {
			want = append(want, m.text)
		}
	}
	next := make(map[uint64]uint64)
	for _, p := range all {
		m, ours := place[string(p.Data)]
		if p.Event != pcapng.EventData || !ours || m.inode != p.Sender.Inode {
			continue
		}
		got = append(got, m.text)
		if p.Offset != m.offset || p.Offset != next[m.inode]+p.Skipped || p.Lost != 0 {
			b.t.Errorf("%s: %s was sent at %d, the last one kept ended at %d", text, show(p), m.offset, next[m.inode])
		}
		next[m.inode] = p.Offset + uint64(p.Len)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.t.Errorf("%s: kept %.9q\nwant %.9q", text, got, want)
	}
	if left := uint64(len(b.messages) - len(want)); stats.Filtered < left {
		b.t.Errorf("%s: %d left out, at least %d were not wanted", text, stats.Filtered, left)
	}
	if stats.LostRing|stats.LostMap|stats.FilterFull != 0 {
		b.t.Errorf("%s: %+v", text, stats)
	}
}

// TestNothingCrosses: of what the kernel side can leave out no byte comes into
// the ring buffer; where the sockets alone decide, not a word.
func TestNothingCrosses(t *testing.T) {
	for text, words := range map[string]bool{
		"/nowhere/to.be/found": false, "stream and inode 1": false, "src comm nobody": true, "pid 4294967295 and stream": true, "len > 4294967294": true,
	} {
		eachSet(t, func(t *testing.T, set string) {
			p := newPuppet(t, workload.PuppetConfig{})
			r := startRecords(t, set, fmt.Sprintf("(%s) and pid %d", text, p.PID)) // none of what others say
			a, b := p.pair(unix.SOCK_STREAM)
			for range 101 {
				p.pass(a, b, "there")
				p.pass(b, a, "and back")
			}
			p.send(a, "read when its sender is gone")
			p.must(p.CloseFD(a))
			p.receive(b, "read when its sender is gone")
			r.end(a, b)
			if r.data != 0 || !words && r.words != 0 {
				t.Errorf("%s: %d records of data, %d of sockets", text, r.data, r.words)
			}
			if n := r.progs.counters()[bpf.CountFiltered]; n < 203 {
				t.Errorf("%s: only %d were counted", text, n)
			}
		})
	}
}

// TestNamesCross: of a listener at a path that is not asked for, what the first
// connection says comes up, until user space has judged the name; of others
// nothing does, but that a socket is there that connects to somewhere.
func TestNamesCross(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		path := socketName(t, "s")
		p := newPuppet(t, workload.PuppetConfig{})
		r := startRecords(t, set, fmt.Sprintf("%s-other and pid %d", path, p.PID))
		l := p.listen(unix.SOCK_STREAM, path)
		client, server := p.dial(l, unix.SOCK_STREAM, path)
		p.pass(client, server, "what is at this path?")
		r.read(client, server)
		if r.data == 0 || r.words == 0 {
			t.Errorf("%d records of data, %d of sockets", r.data, r.words)
		}
		names, err := newNameTable(r.progs)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.sockets {
			if s.AddressLen > 0 {
				if err := names.judge(names.number(&s), 0, &s); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.pass(client, server, "nothing that is asked for")
		again, other := p.dial(l, unix.SOCK_STREAM, path)
		p.pass(again, other, "the same")
		p.pass(other, again, "and back")
		before := r.data + r.words
		r.end(client, server, again, other)
		if n := r.data + r.words - before; n > 1 {
			t.Errorf("%d records came up: %+v", n, r.sockets)
		}
	})
}

// records reads the ring buffer itself.
type records struct {
	t       *testing.T
	progs   *programs
	data    int                   // records of data of sockets that are ours
	words   int                   // and of themselves
	sockets map[uint64]bpf.Socket // those, by their numbers
}

func startRecords(t *testing.T, set, text string) *records {
	t.Helper()
	e, err := filter.Parse(text, filter.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	r := &records{t: t, sockets: make(map[uint64]bpf.Socket)}
	if r.progs, err = attachBest(&Options{Hooks: set, Filter: e, BufferSize: 8 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.progs.close() })
	return r
}

// end reads all that came up, of these sockets.
func (r *records) end(ours ...workload.End) {
	r.t.Helper()
	if err := r.progs.detach(); err != nil {
		r.t.Fatal(err)
	}
	r.read(ours...)
	if c := r.progs.counters(); c[bpf.LossRing]+c[bpf.LossNote] != 0 {
		r.t.Errorf("the ring buffer was full: %v", c)
	}
}

func (r *records) read(ours ...workload.End) {
	r.t.Helper()
	var record ringbuf.Record
	var e bpf.Event
	r.progs.ring.SetDeadline(time.Now()) // it goes on to the end: what is there last may be no record (see fence)
	for {
		err := r.progs.ring.ReadInto(&record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if err := bpf.Decode(&e, record.RawSample); err != nil {
			r.t.Fatal(err)
		}
		switch e.Kind {
		case bpf.KindSocket:
			if slices.ContainsFunc(ours, func(end workload.End) bool { return end.Inode == e.Socket.Inode }) {
				r.sockets[e.Socket.Socket] = e.Socket
				r.words++
			}
		case bpf.KindData:
			if r.sockets[e.Data.Sender].Socket != 0 || r.sockets[e.Data.Receiver].Socket != 0 {
				r.data++
			}
		}
	}
}
