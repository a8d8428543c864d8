package streamtest_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// TestAway: no server at the start, and none in the middle; when one is there,
// all is stored, and the reader too goes on.
func TestAway(t *testing.T) {
	const count = 101
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	c.Kill(0)
	var told notices
	p := publisher(t, stream.PublishOptions{Address: a, Notify: told.add}, "a")
	if away := told.of(stream.NoticeAway); len(away) != 1 {
		t.Fatalf("told %+v, want that no server is there", told.all)
	}
	for n := range count {
		write(t, p, packet("a", n))
	}
	restart(t, c)
	waitFor(t, "what was held at the start", func() bool { return p.Counts().Stored == count })
	r, err := stream.Open(t.Context(), stream.ReadOptions{Address: a, All: true, Window: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := make(chan []*pcapng.Packet, 1)
	go func() { read <- first(t, r, 2*count) }()

	c.Kill(0)
	for n := range count {
		write(t, p, packet("a", count+n))
	}
	restart(t, c)
	if got := closed(t, p); got.Stored != 2*count || got.Lost != 0 {
		t.Errorf("%+v", got)
	}
	wholeCaptures(t, r, <-read, []string{"a"}, 2*count)
	if len(told.of(stream.NoticeBack)) == 0 {
		t.Errorf("told %+v, want that the server is back", told.all)
	}
}

// TestOverflow: what is more than can be held is lost and counted, and the
// packets that come after it tell so.
func TestOverflow(t *testing.T) {
	const count = 1009
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	p := publisher(t, stream.PublishOptions{Address: a, Held: 64 << 10}, "a")
	c.Kill(0)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range count {
		noise := packet("a", n)
		noise.Data = make([]byte, 1000)
		for i := range noise.Data {
			noise.Data[i] = byte(random.Uint32())
		}
		noise.Len = 1000
		write(t, p, noise)
	}
	lost := p.Counts().Lost
	if lost == 0 || lost == count {
		t.Fatalf("%d packets lost of %d", lost, count)
	}
	restart(t, c)
	waitFor(t, "what is held", func() bool { return p.Counts().Stored == count-lost })
	write(t, p, packet("a", count))
	if got := closed(t, p); got.Lost != lost || got.Stored != count-lost+1 {
		t.Errorf("%+v, want %d lost", got, lost)
	}
	_, all := stored(t, a, nil)
	var told uint64
	for _, p := range all {
		told += p.DropCount
	}
	if uint64(len(all)) != count-lost+1 || told != lost {
		t.Errorf("%d packets tell of %d lost, want %d and %d", len(all), told, count-lost+1, lost)
	}
}

// TestUndelivered: at the end, what no server takes is told.
func TestUndelivered(t *testing.T) {
	c := servers(t, 1, "")
	p := publisher(t, stream.PublishOptions{Address: addressOf(t, c, "CAPTURE"), Patience: time.Millisecond}, "a")
	c.Kill(0)
	for n := range 7 {
		write(t, p, packet("a", n))
	}
	err := p.Close()
	failed := (*stream.Error)(nil)
	if !errors.As(err, &failed) || !errors.Is(err, stream.ErrUndelivered) || failed.Packets != 7 {
		t.Errorf("%v of %+v, want 7 packets", err, failed)
	}
	if err := p.Close(); err != nil {
		t.Error("closed again:", err)
	}
	if err := p.WritePacket(packet("a", 8)); !errors.Is(err, stream.ErrClosed) {
		t.Error("written after the end:", err)
	}
}

// TestRetryOnce: a message that the server has stored, whose answer was lost on
// the way, is sent again and stored once.
func TestRetryOnce(t *testing.T) {
	c := servers(t, 1, "")
	js := connection(t, c)
	between := newProxy(t, c.Hosts())
	a, err := stream.ParseAddress("nats://" + between.listener.Addr().String() + "/CAPTURE")
	if err != nil {
		t.Fatal(err)
	}
	p := publisher(t, stream.PublishOptions{Address: a}, "a")
	write(t, p, packet("a", 0))
	waitFor(t, "the first message", func() bool { return p.Counts().Stored == 1 })
	between.mute(true)
	write(t, p, packet("a", 1))
	waitFor(t, "the second message in the stream", func() bool { return messages(t, js) == 2 })
	if p.Counts().Stored != 1 {
		t.Error("its answer has come through")
	}
	between.mute(false) // and those that are connected are cut off
	waitFor(t, "an answer", func() bool { return p.Counts().Stored == 2 })
	write(t, p, packet("a", 2))
	if got := closed(t, p); got.Again != 1 || got.Messages != 3 {
		t.Errorf("%+v, want 3 messages, one of them sent again", got)
	}
	if got := messages(t, js); got != 3 {
		t.Errorf("%d messages in the stream, want 3", got)
	}
}

// TestHostileMessages: what others put into the stream is counted and told of
// once, and what hosts have put there is read.
func TestHostileMessages(t *testing.T) {
	const count = 7
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	p := publisher(t, stream.PublishOptions{Address: a}, "a")
	for n := range count {
		write(t, p, packet("a", n))
	}
	waitFor(t, "messages", func() bool { return p.Counts().Stored == count })
	js := connection(t, c)
	s, err := js.Stream(t.Context(), "CAPTURE")
	if err != nil {
		t.Fatal(err)
	}
	honest, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		subject, id string
		body        []byte
	}{
		{"CAPTURE.a", "", []byte("garbage")},
		{"CAPTURE.a", "0123456789abcdef-1-0", []byte("garbage")},
		{"CAPTURE.b", "0123456789abcdef-2-0", honest.Data}, // b claims to be a
		{"CAPTURE.a%2e", "0123456789abcdef-3-0", honest.Data},
		{"CAPTURE.a", "another id", honest.Data},
		{"CAPTURE.a", "", nil},
		{"CAPTURE.a", "0123456789abcdef-4-0", make([]byte, 900<<10)},
	} {
		var options []jetstream.PublishOpt
		if m.id != "" {
			options = append(options, jetstream.WithMsgID(m.id))
		}
		if _, err := js.Publish(t.Context(), m.subject, m.body, options...); err != nil {
			t.Fatal(err)
		}
	}
	write(t, p, packet("a", count))
	closed(t, p)
	var told notices
	r, all := stored(t, a, &told)
	wholeCaptures(t, r, all, []string{"a"}, count+1)
	if got := r.Counts(); got.Unreadable != 7 || len(told.of(stream.NoticeMessage)) != 1 {
		t.Errorf("%+v, told %+v, want 7 messages left out, told once", got, told.all)
	}
}

// TestForeignStream: one of that name that does not take what is sent stays as
// it is.
func TestForeignStream(t *testing.T) {
	c := servers(t, 1, "")
	js := connection(t, c)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAPTURE", Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	_, err := stream.Publish(t.Context(), stream.PublishOptions{Address: addressOf(t, c, "CAPTURE"), Host: "a"})
	if !errors.Is(err, stream.ErrSubjects) || !strings.Contains(err.Error(), "CAPTURE.a") {
		t.Errorf("%v, want ErrSubjects", err)
	}
	if _, err := stream.Open(t.Context(), stream.ReadOptions{Address: addressOf(t, c, "OTHER")}); !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("%v, want ErrNoStream", err)
	}
}

// messages is how many are in the stream.
func messages(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), "CAPTURE")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func restart(t *testing.T, c interface{ Restart(int) error }) {
	t.Helper()
	if err := c.Restart(0); err != nil {
		t.Fatal(err)
	}
}

// proxy stands between clients and a server, whose answers it can hold back.
type proxy struct {
	listener net.Listener
	server   string
	mu       sync.Mutex
	muted    bool
	conns    []net.Conn
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server}
	t.Cleanup(func() {
		l.Close()
		p.mute(false)
	})
	go p.serve()
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		go io.Copy(server, client)
		go io.Copy(holding{client, p}, server)
	}
}

// mute holds back from now on what servers say, or cuts those off to whom that
// was done.
func (p *proxy) mute(muted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.muted = muted; !muted {
		for _, c := range p.conns {
			c.Close()
		}
		p.conns = nil
	}
}

// holding is a client who hears nothing while the proxy is muted.
type holding struct {
	net.Conn
	*proxy
}

func (h holding) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.muted {
		return len(b), nil // it will never hear of this
	}
	return h.Conn.Write(b)
}
