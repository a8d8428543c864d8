package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == trafficRole {
		exit(trafficMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// Each kind of traffic carries as many messages as it says.
func TestTraffic(t *testing.T) {
	for _, tr := range []traffic{
		{Shape: pingPong, Type: "stream", Size: 64, Messages: 50, Pinned: true},
		{Shape: pingPong, Type: "stream", Size: 64, Messages: 50, Connections: 7},
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
		if got.Messages != want || got.Nanos <= 0 {
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
