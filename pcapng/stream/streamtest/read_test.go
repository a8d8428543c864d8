package streamtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// TestLive: reading begins with what comes now, and what one host says comes
// though another is silent.
func TestLive(t *testing.T) {
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	busy, silent := publisher(t, stream.PublishOptions{Address: a}, "busy"), publisher(t, stream.PublishOptions{Address: a}, "silent")
	write(t, busy, packet("busy", 0))
	write(t, silent, packet("silent", 0))
	waitFor(t, "what is old", func() bool { return busy.Counts().Stored+silent.Counts().Stored == 2 })
	r, err := stream.Open(t.Context(), stream.ReadOptions{Address: a, Window: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 1
	write(t, busy, packet("busy", n))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for p, err := range r.Packets(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if want := packet("busy", n); string(p.Data) != string(want.Data) {
			t.Fatalf("%q, want %q", p.Data, want.Data)
		}
		if n++; n == 101 {
			break
		}
		write(t, busy, packet("busy", n)) // one at a time: each has to come before the next is said
	}
	if n != 101 {
		t.Errorf("%d packets have come, want 100", n-1)
	}
}

// TestSpan: since and until choose by when messages were stored.
func TestSpan(t *testing.T) {
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	p := publisher(t, stream.PublishOptions{Address: a}, "a")
	var marks []time.Time
	for n := range 3 {
		write(t, p, packet("a", n))
		waitFor(t, "a message", func() bool { return p.Counts().Stored == uint64(n+1) })
		marks = append(marks, time.Now())
	}
	for _, span := range []struct {
		all          bool
		since, until time.Time
		first, last  int
	}{
		{true, time.Time{}, marks[2], 0, 2},
		{true, time.Time{}, marks[1], 0, 1},
		{false, marks[0], marks[2], 1, 2},
		{false, marks[0], marks[1], 1, 1},
		{false, marks[2], time.Now(), 3, 2},
		{false, marks[0], marks[0], 1, 0},
		{false, marks[1], time.Now().Add(time.Second), 2, 2},
	} {
		r, err := stream.Open(t.Context(), stream.ReadOptions{Address: a, All: span.all, Since: span.since, Until: span.until, Window: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		n := span.first
		for p, err := range r.Packets(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if want := packet("a", n); string(p.Data) != string(want.Data) {
				t.Errorf("%+v: %q, want %q", span, p.Data, want.Data)
			}
			n++
		}
		if n != span.last+1 {
			t.Errorf("%+v: up to %d", span, n-1)
		}
		r.Close()
	}
}

// TestRestartedHost: two captures on one host are two interfaces, for their
// connections are not the same.
func TestRestartedHost(t *testing.T) {
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	for range 2 {
		p := publisher(t, stream.PublishOptions{Address: a}, "a")
		write(t, p, packet("a", 0))
		closed(t, p)
	}
	r, all := stored(t, a, nil)
	if len(all) != 2 || len(r.Hosts()) != 2 || r.Hosts()[0].Interface != (pcapng.Interface{Name: "sockcap", Description: "Unix sockets of a (fentry)"}) {
		t.Errorf("%d packets of %+v", len(all), r.Hosts())
	}
}
