package main

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
)

func TestInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10": 10 * time.Second, "0.5": time.Second / 2, "1m30s": 90 * time.Second, "7ms": 7 * time.Millisecond,
		"": 0, "0": 0, "-1": 0, "-1s": 0, "1x": 0, "NaN": 0, "Inf": 0, "1e10": 0, "1e-10": 0,
		"1ms": time.Millisecond, "0.001": time.Millisecond, "999us": 0, "1ns": 0, "0.0009": 0, "-1e10": 0, "9999999999h": 0, "2147483648": 0,
	} {
		if got, ok := parseInterval(text); ok != (want != 0) || ok && got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, ok, want)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 1049: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB",
		1_500_000: "1.5 MB", 7_000_000_000: "7.0 GB", math.MaxUint64: "18446744.1 TB",
	} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// TestProgressRate: it is of the time since the line before.
func TestProgressRate(t *testing.T) {
	p := progress{at: at(0)}
	for _, step := range []struct {
		at       int // ms
		captured uint64
		want     string
	}{
		{0, 0, "sockcap: 0 packets captured, 7 bytes, 3 dropped, 0 packets/s"},
		{1000, 101, "sockcap: 101 packets captured, 7 bytes, 3 dropped, 101 packets/s"},
		{3000, 105, "sockcap: 105 packets captured, 7 bytes, 3 dropped, 2 packets/s"},
		{3000, 106, "sockcap: 106 packets captured, 7 bytes, 3 dropped, 0 packets/s"},
	} {
		got := p.line(at(step.at*1000), step.captured, 7, capture.Stats{LostRing: 2, LostMap: 1})
		if got != step.want {
			t.Errorf("at %d ms: got %q, want %q", step.at, got, step.want)
		}
	}
}

// expectOn reads a terminal's other end up to words.
func expectOn(t *testing.T, master *os.File, words string) string {
	t.Helper()
	var got strings.Builder
	b := make([]byte, 4096)
	if err := master.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // can only fail
		t.Fatal(err)
	}
	for !strings.Contains(got.String(), words) {
		n, err := master.Read(b)
		got.Write(b[:n])
		if err != nil {
			t.Fatalf("no %q in %q: %v", words, got.String(), err)
		}
	}
	return got.String()
}

// TestProgress: with -w, a line on a terminal says how far it is; other words
// go above it, and it is gone when the closing lines come.
func TestProgress(t *testing.T) {
	master, slave := terminalEnds(t)
	p := prepareProcess(t, "http", "-w", filepath.Join(t.TempDir(), "out"))
	p.Stderr = slave
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	const line = "\r\x1b[Ksockcap: 4 packets captured, 247 bytes, 0 dropped, 0 packets/s"
	expectOn(t, master, line)
	p.signal(unix.SIGUSR1)
	expectOn(t, master, "\r\x1b[Ksockcap: 4 packets captured, 7 packets received by filter, 0 packets dropped by kernel\r\n"+
		strings.TrimPrefix(line, "\r\x1b[K"))
	p.signal(unix.SIGINT)
	end := expectOn(t, master, "0 packets dropped by kernel\r\n")
	if !strings.Contains(end, "\r\x1b[K\r\n4 packets captured\r\n") {
		t.Errorf("the end is %q", end)
	}
	p.end(0)
}

// TestProgressNarrow: the line is cut to one less than the terminal's width,
// which may change, and to nothing of it where there is no width at all.
func TestProgressNarrow(t *testing.T) {
	master, slave := terminalEnds(t)
	l := &statusLine{terminal: slave}
	for _, tt := range []struct {
		columns uint16
		want    string
	}{{30, "0123456789abcdefghijklmnopqrs"}, {7, "012345"}, {1, ""}, {80, "0123456789abcdefghijklmnopqrstuvwxyz"}, {0, "0123456789abcdefghijklmnopqrstuvwxyz"}} {
		if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: tt.columns}); err != nil {
			t.Fatal(err)
		}
		l.set("0123456789abcdefghijklmnopqrstuvwxyz")
		l.set("")
		io.WriteString(l, "|\n")
		want := "|\r\n"
		if tt.want != "" {
			want = clearLine + tt.want + clearLine + want
		}
		if got := expectOn(t, master, "|\r\n"); got != want {
			t.Errorf("%d columns: got %q, want %q", tt.columns, got, want)
		}
	}
}

// TestNoProgress: neither a pipe nor whoever has packets on the terminal gets
// the line.
func TestNoProgress(t *testing.T) {
	p := startProcess(t, "http", "-w", filepath.Join(t.TempDir(), "out"), "--stats-interval", "0.05")
	p.expect(p.stderr, "sockcap: 4 packets captured, 7 packets received") // the line would have come ten times
	p.signal(unix.SIGINT)
	if _, stderr := p.end(0); strings.Contains(stderr, "\r") || strings.Contains(stderr, "packets/s") {
		t.Errorf("a pipe gets %q", stderr)
	}
	master, slave := terminalEnds(t)
	for _, args := range [][]string{{"-q"}, {"-w", filepath.Join(t.TempDir(), "out"), "--print"}, {"-w", "-"}} {
		p := prepareProcess(t, "http", append(args, "--stats-interval", "30ms")...)
		p.Stderr = slave
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		got := expectOn(t, master, "0 packets dropped by kernel\r\n") // the line would have come six times
		p.signal(unix.SIGINT)
		p.end(0)
		if got += expectOn(t, master, "\n0 packets dropped by kernel\r\n"); strings.Contains(got, "\x1b") {
			t.Errorf("%v: the terminal gets %q", args, got)
		}
	}
}

// TestStatsInterval: the line of SIGUSR1, again and again.
func TestStatsInterval(t *testing.T) {
	p := startProcess(t, "http", "-w", filepath.Join(t.TempDir(), "out"), "--stats-interval", "5ms")
	for range 3 {
		p.expect(p.stderr, "sockcap: 4 packets captured, 7 packets received by filter, 0 packets dropped by kernel\n")
	}
	p.signal(unix.SIGINT)
	p.end(0)
	io.Copy(io.Discard, p.stdout)
}
