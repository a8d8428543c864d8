package streamtest_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
	"github.com/sockcap/sockcap/pcapng/stream/streamtest"
)

func TestMain(m *testing.M) {
	if streamtest.IsServer() {
		os.Exit(streamtest.Main())
	}
	os.Exit(m.Run())
}

// patience is with what has to happen. It can only fail.
const patience = 2 * time.Minute

// servers starts some, which end with the test.
func servers(t testing.TB, n int, more string) *streamtest.Cluster {
	t.Helper()
	c, err := streamtest.Start(t.TempDir(), n, more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// addressOf is the address of a stream of theirs.
func addressOf(t testing.TB, c *streamtest.Cluster, rest string) stream.Address {
	t.Helper()
	a, err := stream.ParseAddress("nats://" + c.Hosts() + "/" + rest)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// notices are what was told.
type notices struct {
	mu  sync.Mutex
	all []stream.Notice
}

func (n *notices) add(notice stream.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, notice)
}

func (n *notices) of(kind stream.NoticeKind) []stream.Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.all), func(o stream.Notice) bool { return o.Kind != kind })
}

// publisher publishes as host, and ends with the test.
func publisher(t testing.TB, o stream.PublishOptions, host string) *stream.Publisher {
	t.Helper()
	o.Host = host
	if o.Patience == 0 {
		o.Patience = patience
	}
	p, err := stream.Publish(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Begin(pcapng.Options{Hooks: "fentry", OS: "Linux 6.1"}); err != nil {
		t.Fatal(err)
	}
	return p
}

// began is when the test's packets begin.
func began() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

// packet is the n-th of a host, of its n-th microsecond.
func packet(host string, n int) *pcapng.Packet {
	data := fmt.Appendf(nil, "%s %d", host, n)
	return &pcapng.Packet{
		Time: began().Add(time.Duration(n) * time.Microsecond), Event: pcapng.EventData, Type: pcapng.Stream,
		Role: pcapng.RoleClient, Path: "/run/test.sock", ConnID: 7, Message: uint64(n + 1),
		Sender: pcapng.Endpoint{PID: 4099, UID: 1000, GID: 1000, Inode: 101, Comm: "talker"},
		Peer:   pcapng.Endpoint{PID: 4111, UID: pcapng.Unknown, GID: pcapng.Unknown, Comm: "listener"},
		Len:    uint32(len(data)), MessageLen: pcapng.Unknown, Data: data,
	}
}

func write(t testing.TB, p *stream.Publisher, all ...*pcapng.Packet) {
	t.Helper()
	for _, packet := range all {
		if err := p.WritePacket(packet); err != nil {
			t.Error(err)
		}
	}
}

// stored reads all that is stored.
func stored(t testing.TB, a stream.Address, n *notices) (*stream.Reader, []*pcapng.Packet) {
	t.Helper()
	if n == nil {
		n = new(notices)
	}
	r, err := stream.Open(t.Context(), stream.ReadOptions{Address: a, All: true, Until: time.Now(), Notify: n.add})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []*pcapng.Packet
	for p, err := range r.Packets(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if ctx.Err() != nil {
		t.Fatal("reading did not end")
	}
	return r, all
}

// first reads so many packets of what comes, in time.
func first(t testing.TB, r *stream.Reader, count int) (all []*pcapng.Packet) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for p, err := range r.Packets(ctx) {
		if err != nil {
			t.Error(err)
			break
		}
		if all = append(all, p); len(all) == count {
			break
		}
	}
	return all
}

// wholeCaptures compares what was read with packets 0 to count-1 of each host,
// each once and in its order.
func wholeCaptures(t testing.TB, r *stream.Reader, all []*pcapng.Packet, hosts []string, count int) {
	t.Helper()
	next := make(map[string]int)
	for _, p := range all {
		host := r.Hosts()[p.Host].Name
		if want := packet(host, next[host]); string(p.Data) != string(want.Data) || !p.Time.Equal(want.Time) {
			t.Fatalf("%s: %q at %v, want %q at %v", host, p.Data, p.Time, want.Data, want.Time)
		}
		next[host]++
	}
	for _, host := range hosts {
		if next[host] != count {
			t.Errorf("%s: %d packets, want %d", host, next[host], count)
		}
	}
	if len(next) != len(hosts) {
		t.Errorf("%d hosts, want %d", len(next), len(hosts))
	}
}

func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("in vain: waiting for ", what)
		}
	}
}

// connection is a plain one of NATS, past all that package stream does.
func connection(t testing.TB, c *streamtest.Cluster) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("nats://"+c.Hosts(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// closed closes and wants all stored.
func closed(t testing.TB, p *stream.Publisher) stream.PublishCounts {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return p.Counts()
}
