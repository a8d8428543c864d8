package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

func TestMain(m *testing.M) {
	play()
	os.Exit(m.Run())
}

// Each kind of traffic carries as many messages as it says.
func TestTraffic(t *testing.T) {
	for _, tr := range []traffic{
		{Shape: pingPong, Type: "stream", Size: 64, Messages: 50, Pinned: true},
		{Shape: pingPong, Type: "stream", Size: 64, Messages: 50, Connections: 7},
		{Shape: pingPong, Type: "stream", Size: 64, Messages: 140, Connections: 7, Slice: 14},
		{Shape: pingPong, Type: "stream", Size: 4096, Messages: 5, Iovecs: 1024},
		{Shape: pingPong, Type: "dgram", Size: 256 << 10, Messages: 5},
		{Shape: pingPong, Type: "tcp", Size: 64, Messages: 50},
		{Shape: flood, Type: "stream", Size: 32 << 10, Messages: 50},
		{Shape: flood, Type: "dgram", Size: 1, Messages: 50},
	} {
		got, err := tr.run(t.Context())
		if err != nil {
			t.Errorf("%+v: %v", tr, err)
			continue
		}
		want := tr.Messages
		if tr.Shape == pingPong {
			want *= 2
		}
		if got.Messages != want || got.Nanos <= 0 || got.CPU > 0 != (tr.Slice > 0) {
			t.Errorf("%+v: %+v, want %d messages", tr, got, want)
		}
	}
}

func TestTrafficEnds(t *testing.T) {
	tr := traffic{Shape: flood, Type: "stream", Size: 64, Time: time.Millisecond}
	if got, err := tr.run(t.Context()); err != nil || got.Messages == 0 {
		t.Errorf("%+v, %v, want some messages", got, err)
	}
}

func TestCounts(t *testing.T) {
	captured, lost := counts("tcpdump: listening on lo\n12 packets captured\n24 packets received by filter\n1 packet dropped by kernel\n")
	if captured != 12 || lost != 1 {
		t.Errorf("%d captured, %d lost, want 12 and 1", captured, lost)
	}
}

// A watcher that ends at once is not waited for.
func TestBeginEnds(t *testing.T) {
	_, err := watcher{argv: []string{"sh", "-c", "echo no; exit 3"}, ready: listening}.begin(t.Context())
	if err == nil || err.Error() != "sh ends before it watches (exit status 3): no\n" {
		t.Errorf("%v", err)
	}
}

func TestAnonymous(t *testing.T) {
	n, err := anonymous(strings.NewReader("Name:\tx\nRssAnon:\t    3968 kB\nRssFile:\t 5 kB\n"))
	if err != nil || n != 3968<<10 {
		t.Errorf("%d, %v, want 3968 KiB", n, err)
	}
}

func TestSpread(t *testing.T) {
	if got := (spread{3, 1, 2}).String(); got != "1.00 2.00 3.00" {
		t.Errorf("%q", got)
	}
}

// What is measured over TCP is compared with TCP.
func TestBase(t *testing.T) {
	b := bench{sockcap: "sockcap"}
	all := append(b.watchers("f"), others("f")...)
	for i, w := range all {
		at := base(all, w)
		if len(all[at].argv) != 0 || all[at].tcp != w.tcp {
			t.Errorf("watcher %d (%s) is compared with %s", i, w.name, all[at].name)
		}
	}
}

// A crowd holds its connections until it is let go, and talkers are who they say.
func TestCrowd(t *testing.T) {
	dir := t.TempDir()
	leave, err := hold(t.Context(), dir, 17, 10)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob(filepath.Join(dir, "held-*")); err != nil || len(found) != 2 {
		t.Errorf("%q hold, %v, want 2", found, err)
	}
	h, err := startTalkers(t.Context(), dir, 1_000_000, 7)
	if err != nil {
		t.Fatal(err)
	}
	who, err := talkedTo(h, true)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, w := range who.All {
		names[w.Name] = w.PID > 0
	}
	if len(who.All) != 7 || len(names) != 7 || who.perSecond() <= 0 {
		t.Errorf("%+v", who)
	}
	if h, err = startTalkers(t.Context(), dir, 1, math.MaxInt); err != nil {
		t.Fatal(err)
	}
	if who, err = talkedTo(h, false); err != nil {
		t.Error(err)
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// What a capture says of talkers is told apart: all of it, not all, not true.
func TestNamesIn(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.pcapng")
	all := []talker{{7, "t1-1"}, {8, "t1-2"}, {9, "t1-3"}, {10, "t1-4"}, {11, "t1-5"}}
	var packets []pcapng.Packet
	for _, w := range all[:4] {
		s := w.spoken(dir)
		packets = append(packets, pcapng.Packet{Event: pcapng.EventData, Path: filepath.Join(dir, talkersPath), Data: []byte(w.Name), Len: uint32(len(w.Name)),
			Sender: pcapng.Endpoint{PID: uint32(s.pid), Comm: s.comm}, Exe: s.exe, Cmdline: s.cmdline})
	}
	packets[1].Exe = packets[0].Exe // another's
	packets[2].Exe = ""
	other := packets[0]
	other.Data = []byte("none")
	elsewhere := other
	elsewhere.Path = "/elsewhere"
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pcapng.NewWriter(f, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(packets, other, elsewhere) {
		if err := w.WritePacket(&p); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := namesIn(file, dir, all)
	if want := (named{right: 2, wrong: 2, missing: 2}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
