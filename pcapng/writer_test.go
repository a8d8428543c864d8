package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// TestOrder: times never go back; a late packet keeps its own time, and one
// that already has one keeps that.
func TestOrder(t *testing.T) {
	at := func(n int) time.Time { return epoch.Add(time.Duration(n)) }
	written := []*Packet{
		{Time: at(7)}, {Time: at(7)}, {Time: at(5)}, {Time: at(6), OwnTime: at(1)}, {Time: at(8)}, {Time: at(7), Host: 1},
		{Time: at(9), OwnTime: at(2)}, {Time: time.Unix(-7, 0)}, {Time: time.Unix(math.MaxInt64, 0)},
	}
	want := []*Packet{
		{Time: at(7)}, {Time: at(7)}, {Time: at(7), OwnTime: at(5)}, {Time: at(7), OwnTime: at(1)}, {Time: at(8)},
		{Time: at(8), OwnTime: at(7), Host: 1}, {Time: at(9), OwnTime: at(2)}, {Time: at(9), OwnTime: time.Unix(0, 0)},
		{Time: time.Unix(lastSecond-1, 999_999_999)},
	}
	got, err := decode(encode(t, Options{}, written...))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
	if !written[2].Time.Equal(at(5)) || !written[2].OwnTime.IsZero() {
		t.Error("writing changed the packet")
	}
}

// TestHeaders: what is said of machine, program and hosts comes back.
func TestHeaders(t *testing.T) {
	var b bytes.Buffer
	long := strings.Repeat("ö", math.MaxUint16)
	w, err := NewWriter(&b, Options{Hardware: "x86_64", OS: long, Application: strings.Repeat("a", 1<<16), Host: "alpha", Hooks: "fentry"})
	if err != nil {
		t.Fatal(err)
	}
	if host, err := w.AddInterface(Interface{Name: "other", Description: "beta"}); host != 1 || err != nil {
		t.Errorf("host %d, %v", host, err)
	}
	p := small(1)
	p.Host = 3
	if err := w.WritePacket(p); err != nil {
		t.Fatal(err)
	}
	stats := &Stats{Host: 2, Start: epoch, End: epoch.Add(7), Received: 101, Accepted: 102, IfDropped: 103, OSDropped: 104, Comment: long}
	if err := w.WriteStats(*stats); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	for got, err := range r.Packets() {
		if err != nil || got.Host != 3 {
			t.Errorf("%v, host %d", err, got.Host)
		}
	}
	if want := (Section{"x86_64", long[:65534], strings.Repeat("a", 65535)}); r.Section() != want {
		t.Errorf("section %.200q", r.Section())
	}
	stats.Comment = long[:65534]
	unnamed := Interface{Name: "sockcap", Description: "Unix sockets"}
	want := []Interface{{Name: "sockcap", Description: "Unix sockets of alpha (fentry)"}, {Name: "other", Description: "beta"}, unnamed, unnamed}
	want[2].Stats = stats
	if d := diff(want, r.Interfaces()); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestManyHosts: no more than a reader takes.
func TestManyHosts(t *testing.T) {
	w, err := NewWriter(io.Discard, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := small(1)
	p.Host = maxInterfaces - 1
	if err := w.WritePacket(p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(Interface{}); !errors.Is(err, ErrPacket) {
		t.Errorf("%v, want %v", err, ErrPacket)
	}
}

// TestRefuse: what makes no record is refused, and nothing of it written.
func TestRefuse(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Packet{
		{Host: -1}, {Host: maxInterfaces},
		{Len: 1, Data: []byte("ab")},
		{Len: MaxPayload + 1, Data: make([]byte, MaxPayload+1)},
	} {
		if err := w.WritePacket(p); !errors.Is(err, ErrPacket) {
			t.Errorf("%v, want %v", err, ErrPacket)
		}
	}
	for _, host := range []int{-1, 1} {
		if err := w.WriteStats(Stats{Host: host}); !errors.Is(err, ErrPacket) {
			t.Errorf("statistics of host %d: %v, want %v", host, err, ErrPacket)
		}
	}
	if err := w.WritePacket(small(1)); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(b.Bytes(), encode(t, Options{}, small(1))) {
		t.Error("something of what was refused is in the file")
	}
}

// failing is a writer that keeps each Write, and fails after some of them.
type failing struct {
	writes [][]byte
	good   int // of them
	short  bool
}

var errDisk = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if len(f.writes) == f.good {
		if f.short {
			return len(p) - 1, nil
		}
		return 0, errDisk
	}
	f.writes = append(f.writes, bytes.Clone(p))
	return len(p), nil
}

// TestSticky: after a failed write every call fails for the same reason, and
// nothing more is written.
func TestSticky(t *testing.T) {
	for _, test := range []struct {
		short bool
		want  error
	}{{false, errDisk}, {true, io.ErrShortWrite}} {
		f := &failing{good: 1, short: test.short}
		w, err := NewWriter(f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Flush(), w.WritePacket(small(1))); err != nil {
			t.Fatal(err)
		}
		errs := []error{w.Flush(), w.WritePacket(small(1)), w.WriteStats(Stats{}), w.Flush(), w.Close(), w.Close()}
		for i, err := range errs {
			if !errors.Is(err, test.want) || err.Error() != errs[0].Error() {
				t.Errorf("call %d after the failed one: %v, want %v", i, err, test.want)
			}
		}
		if _, err := w.AddInterface(Interface{}); !errors.Is(err, test.want) {
			t.Errorf("interface after the failed write: %v, want %v", err, test.want)
		}
		if len(f.writes) != 1 {
			t.Errorf("%d writes, want 1", len(f.writes))
		}
	}
}

func TestClose(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Len() > 0 {
		t.Error("something is written before Flush")
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	n := b.Len()
	if n == 0 {
		t.Error("Close does not flush")
	}
	for _, err := range []error{w.WritePacket(small(1)), w.WriteStats(Stats{}), w.Flush()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want %v", err, ErrClosed)
		}
	}
	if b.Len() != n {
		t.Error("something is written after Close")
	}
}

// TestWholeBlocks: each Write hands on whole blocks, large ones and small.
func TestWholeBlocks(t *testing.T) {
	f := &failing{good: math.MaxInt}
	w, err := NewWriter(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4099 {
		p := small(n)
		if n%101 == 0 {
			p.Data = make([]byte, MaxPayload-n)
			p.Len = uint32(len(p.Data))
		}
		if err := w.WritePacket(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packets := 0
	for i, b := range f.writes {
		for len(b) > 0 {
			n := int(binary.LittleEndian.Uint32(b[4:]))
			if n > len(b) {
				t.Fatalf("write %d ends in a block", i)
			}
			if b[0] == blockPacket {
				packets++
			}
			b = b[n:]
		}
	}
	if packets != 4099 || len(f.writes) > 60 {
		t.Errorf("%d packets in %d writes", packets, len(f.writes))
	}
}

// TestLongNames: names of any length, in record and comments, leave the file
// readable, and the packets after them.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("\x00", math.MaxUint16+1)
	p := full()
	p.Sender.Comm, p.Sender.Thread, p.Path, p.Peer.Comm, p.Exe = long, long, long, long, long
	p.Time = epoch
	got, err := decode(encode(t, Options{Host: long, Hooks: long}, p, small(7)))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d packets, %v", len(got), err)
	}
	if d := diff(small(7), got[1]); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestWriteAllocs: writing a packet allocates nothing.
func TestWriteAllocs(t *testing.T) {
	w, err := NewWriter(io.Discard, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Packet{typical(), full()} {
		n := testing.AllocsPerRun(4099, func() {
			if err := w.WritePacket(p); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// TestSize: it counts what is in the buffer as it counts what was handed on.
func TestSize(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for i := range 101 {
		if err := w.WritePacket(&Packet{Time: time.Unix(1, 0), Event: EventData, Len: 4099, Data: make([]byte, 4099)}); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, w.Size())
		if i%7 == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if got := w.Size(); got != int64(file.Len()) || got != sizes[i] {
				t.Fatalf("after packet %d: size %d before Flush, %d after it, want %d", i, sizes[i], got, file.Len())
			}
		}
	}
	if err := w.Close(); err != nil || sizes[100] != int64(file.Len()) || w.Size() != sizes[100] {
		t.Errorf("%v; size %d, %d after Close, want %d", err, sizes[100], w.Size(), file.Len())
	}
}

// TestNewSection: each section can be read by itself, and all as one file.
func TestNewSection(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Options{Host: "alpha", Hooks: "fentry", OS: "Linux"})
	if err != nil {
		t.Fatal(err)
	}
	var begins []int
	for n := range 3 {
		if n > 0 {
			if err := w.NewSection(); err != nil {
				t.Fatal(err)
			}
		}
		begins = append(begins, b.Len())
		for range n {
			if err := w.WritePacket(&Packet{Time: time.Unix(int64(10-n), 0), Event: EventData, Len: 1, Data: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	begins = append(begins, b.Len())
	for n := range 3 {
		r, err := NewReader(bytes.NewReader(b.Bytes()[begins[n]:begins[n+1]]))
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for p, err := range r.Packets() {
			if err != nil || p.Host != 0 {
				t.Fatal(p, err)
			}
			count++
		}
		if all := r.Interfaces(); count != n || len(all) != 1 || !all[0].Of("alpha") || all[0].Of("alph") || all[0].Of("beta") || r.Section().OS != "Linux" {
			t.Errorf("section %d has %d packets of %+v", n, count, all)
		}
	}
	r, err := NewReader(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	last := time.Time{}
	for p, err := range r.Packets() {
		if err != nil || p.Time.Before(last) {
			t.Fatalf("%v at %v, after %v", err, p.Time, last)
		}
		last = p.Time
	}
	if len(r.Interfaces()) != 3 {
		t.Errorf("%d interfaces, want 3", len(r.Interfaces()))
	}
}
