package capture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// patience is how long a test waits for what must come; only a failure takes
// that long. The emulated processors of testdata/vm are slow.
const patience = 2 * time.Minute

// eachSet runs a test with each hook set that is to be tested.
func eachSet(t *testing.T, f func(t *testing.T, set string)) {
	for _, set := range liveSets(t) {
		t.Run(set, func(t *testing.T) { f(t, set) })
	}
}

// eachOptions calls f for each way to capture with one; in the slow machines of
// testdata/vm with one of the two that tracepoints have.
func eachOptions(t *testing.T, f func(t *testing.T, o Options)) {
	for _, set := range liveSets(t) {
		ways := liveOptions(t, set)
		if _, ok := ways[set+"-auto"]; ok && os.Getenv("SOCKCAP_VM_GUEST") != "" {
			delete(ways, set+"-exact")
		}
		for name, o := range ways {
			t.Run(name, func(t *testing.T) { f(t, o) })
		}
	}
}

// inParallel lets a test run beside others: hooks take their time to attach,
// and do nothing meanwhile. QEMU 7.2 emulates code that changes so badly that
// a machine of two processors hangs when both patch the kernel at once.
func inParallel(t *testing.T) {
	if os.Getenv("SOCKCAP_VM_GUEST") == "" {
		t.Parallel()
	}
}

// live is a running capture whose packets are gathered, and can be waited for.
type live struct {
	t      *testing.T
	s      *Session
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	packets []*pcapng.Packet
	err     error
	more    chan struct{} // has a token when something has come since
}

// startLive captures until the test ends, or end is called. The consumer calls
// each, if it is not nil, with every packet.
func startLive(t *testing.T, o Options, each func(*pcapng.Packet)) *live {
	t.Helper()
	s, cancel := begin(t, o)
	return gather(t, s, cancel, each)
}

// startBlind is startLive of a session that does not look for what others have
// left unread, of which there may be much on a machine, but all the time for
// sockets that are gone.
func startBlind(t *testing.T, o Options, each func(*pcapng.Packet)) *live {
	t.Helper()
	s, cancel := begin(t, o)
	if s.progs.iter != nil {
		if err := s.progs.iter.Close(); err != nil {
			t.Error(err)
		}
		s.progs.iter = nil
	}
	s.sweeping.due, s.sweeping.next = 0, func(int) int { return 0 }
	return gather(t, s, cancel, each)
}

func begin(t *testing.T, o Options) (*Session, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Start(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	return s, cancel
}

// gather gathers the packets of a session that has just begun.
func gather(t *testing.T, s *Session, cancel context.CancelFunc, each func(*pcapng.Packet)) *live {
	l := &live{t: t, s: s, cancel: cancel, done: make(chan struct{}), more: make(chan struct{}, 1)}
	go func() {
		defer close(l.done)
		for p, err := range s.Packets() {
			l.mu.Lock()
			if err != nil {
				l.err = err
			} else {
				l.packets = append(l.packets, p.Clone())
			}
			l.mu.Unlock()
			select {
			case l.more <- struct{}{}:
			default:
			}
			if p != nil && each != nil {
				each(p)
			}
		}
	}()
	t.Cleanup(func() {
		l.cancel()
		<-l.done
		s.Close()
	})
	return l
}

// all gives what has come so far.
func (l *live) all() []*pcapng.Packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.packets)
}

// wait waits until what has come fulfils the condition.
func (l *live) wait(what string, ok func(all []*pcapng.Packet) bool) []*pcapng.Packet {
	l.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		all := l.all()
		if ok(all) {
			return all
		}
		select {
		case <-l.more:
		case <-limit.C:
			l.t.Fatalf("waited in vain for %s; there are %d packets, stats %+v", what, len(all), l.s.Stats())
		}
	}
}

// end ends the capture and gives everything, as startCapture's function does.
func (l *live) end() ([]*pcapng.Packet, Stats) {
	l.t.Helper()
	l.cancel()
	<-l.done
	if l.err != nil {
		l.t.Error(l.err)
	}
	stats := l.s.Stats()
	if err := l.s.Close(); err != nil {
		l.t.Error(err)
	}
	return l.packets, stats
}

// kept gives those packets that f chooses.
func kept(all []*pcapng.Packet, f func(*pcapng.Packet) bool) []*pcapng.Packet {
	return slices.DeleteFunc(slices.Clone(all), func(p *pcapng.Packet) bool { return !f(p) })
}

// from chooses the data that a socket sent.
func from(e workload.End) func(*pcapng.Packet) bool {
	return func(p *pcapng.Packet) bool { return p.Event == pcapng.EventData && p.Sender.Inode == e.Inode }
}

func isData(p *pcapng.Packet) bool { return p.Event == pcapng.EventData }

// show is a packet in a failure's text.
func show(p *pcapng.Packet) string {
	return fmt.Sprintf("{event %d stamp %d message %d offset %d len %d lost %d skipped %d drops %d pid %d path %q %.20q}", p.Event, p.Stamp,
		p.Message, p.Offset, p.Len, p.Lost, p.Skipped, p.DropCount, p.Sender.PID, p.Path, p.Data)
}

func showAll(all []*pcapng.Packet) (s string) {
	for i, p := range all {
		if i == 20 {
			return s + fmt.Sprintf("\n  and %d more", len(all)-i)
		}
		s += "\n  " + show(p)
	}
	return s
}

// puppet is a workload.Puppet whose errors end the test.
type puppet struct {
	*workload.Puppet
	t *testing.T
}

func newPuppet(t *testing.T, c workload.PuppetConfig) puppet {
	t.Helper()
	if c.Comm == "" {
		c.Comm = "puppet"
	}
	p, err := workload.NewPuppet(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return puppet{p, t}
}

func (p puppet) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p puppet) pair(typ int) (a, b workload.End) {
	p.t.Helper()
	ends, err := p.Pair(typ)
	p.must(err)
	return ends[0], ends[1]
}

func (p puppet) socket(typ int) workload.End {
	p.t.Helper()
	e, err := p.Socket(typ)
	p.must(err)
	return e
}

func (p puppet) send(e workload.End, data string) {
	p.t.Helper()
	_, err := p.Send(e, []byte(data), "")
	p.must(err)
}

// receive reads exactly this.
func (p puppet) receive(e workload.End, want string) {
	p.t.Helper()
	got, err := p.Receive(e, len(want))
	p.must(err)
	if string(got) != want {
		p.t.Fatalf("received %.40q, want %.40q", got, want)
	}
}

// pass sends data from one end to the other and reads it.
func (p puppet) pass(from, to workload.End, data string) {
	p.t.Helper()
	p.send(from, data)
	p.receive(to, data)
}

// listen makes a listener at path.
func (p puppet) listen(typ int, path string) workload.End {
	p.t.Helper()
	l := p.socket(typ)
	p.must(p.Bind(l, path))
	p.must(p.Listen(l))
	return l
}

// dial connects to the listener l at path.
func (p puppet) dial(l workload.End, typ int, path string) (client, server workload.End) {
	p.t.Helper()
	client = p.socket(typ)
	p.must(p.Connect(client, path))
	server, err := p.Accept(l)
	p.must(err)
	return client, server
}

// exchange is a connection over path on which data is sent, and read.
func (p puppet) exchange(path, data string) {
	p.t.Helper()
	l := p.listen(unix.SOCK_STREAM, path)
	p.talk(l, path, data)
	p.must(p.CloseFD(l))
}

func (p puppet) talk(l workload.End, path, data string) {
	p.t.Helper()
	client, server := p.dial(l, unix.SOCK_STREAM, path)
	p.pass(client, server, data)
	p.must(p.CloseFD(client))
	p.must(p.CloseFD(server))
}

// socketName is a fresh path, short enough for sun_path.
func socketName(t *testing.T, name string) string {
	return filepath.Join(t.TempDir(), name)
}
