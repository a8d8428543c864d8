package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// deafName in the environment makes the test binary a sockcap that captures
// nothing.
const deafName = "SOAK_DEAF"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == senderRole:
		senderMain(os.Args[2:])
	case os.Getenv(deafName) != "":
		exitIf(deaf())
	default:
		os.Exit(m.Run())
	}
}

func exitIf(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// deaf writes a file without packets.
func deaf() error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGUSR2)
	w, err := pcapng.NewWriter(os.Stdout, pcapng.Options{Application: "deaf"})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "listening on nothing")
	for s := range end {
		if s == os.Interrupt {
			break
		}
	}
	return w.Close()
}

// TestSoak: the load runs, the lines come, and a sockcap that captures nothing
// is found out.
func TestSoak(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	s := soak{sockcap: exe, time: 3 * time.Second, interval: time.Second, seed: 7, faults: true, buffer: 4096, env: []string{deafName + "=1"}, out: &out}
	if err := s.run(t.Context()); err == nil {
		t.Error("all was right")
	}
	for _, want := range []string{"seed 7\n", header + "\n", " messages, but 0 captured, 0 counted as lost, 0 skipped\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "\nwrong: "); n != 1 {
		t.Errorf("%d things are wrong, want 1:\n%s", n, out.String())
	}
}

// TestChecker: what is not as it was said is found, each in its way; a loss that
// is told is none.
func TestChecker(t *testing.T) {
	const path = "/tmp/3"
	at := func(conn, offset uint64, length int) *pcapng.Packet {
		p := &pcapng.Packet{Event: pcapng.EventData, Path: path, ConnID: conn, Offset: offset, Len: uint32(length), Data: make([]byte, length)}
		message(p.Data, path, offset)
		return p
	}
	lost := at(2, 300, 10)
	lost.Lost, lost.DropCount = 300, 3
	spoilt := at(1, 22, 7)
	spoilt.Data[6]++
	short := at(3, 0, 9)
	short.Data = short.Data[:8]
	back := at(5, 0, 1)
	back.Time = time.Unix(6, 0)
	late := at(6, 0, 1)
	late.Time = time.Unix(5, 0)
	for _, c := range []struct {
		packets []*pcapng.Packet
		want    string
	}{
		{[]*pcapng.Packet{at(1, 0, 10), at(2, 0, 5), at(1, 10, 12), {Event: pcapng.EventClose, Path: path, ConnID: 1}}, ""},
		{[]*pcapng.Packet{lost, at(2, 310, 1), {Event: pcapng.EventLost, Path: path, ConnID: 2, Lost: 7}}, ""},
		{[]*pcapng.Packet{at(1, 0, 10), at(1, 11, 12)}, "connection 1: a packet at 11, where 0 bytes are lost and 0 skipped behind 10"},
		{[]*pcapng.Packet{at(1, 0, 10), at(1, 0, 10)}, "connection 1: a packet at 0, where 0 bytes are lost and 0 skipped behind 10"},
		{[]*pcapng.Packet{at(1, 0, 22), spoilt}, "connection 1: another byte than was said at 28"},
		{[]*pcapng.Packet{short}, "connection 3: 8 of 9 bytes at 0"},
		{[]*pcapng.Packet{back, late}, "time goes back from " + time.Unix(6, 0).String() + " to " + time.Unix(5, 0).String()},
	} {
		var k checker
		for _, p := range c.packets {
			k.check(p)
		}
		if got := strings.Join(k.wrong, "; "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestGrowth: memory and descriptors that grow are found; those that come and go
// are not.
func TestGrowth(t *testing.T) {
	for name, want := range map[string]struct {
		resident, files [8]int
		wrong           string
	}{
		"flat":        {[8]int{1, 40, 41, 40, 41, 40, 41, 41}, [8]int{9, 9, 9, 9, 9, 9, 9, 9}, ""},
		"a peak":      {[8]int{1, 40, 40, 40, 40, 40, 999, 40}, [8]int{9, 9, 9, 9, 9, 9, 9, 9}, ""},
		"memory":      {[8]int{1, 40, 40, 80, 200, 250, 300, 350}, [8]int{9, 9, 9, 9, 9, 9, 9, 9}, "memory has grown from 81920 to 307200 KiB"},
		"descriptors": {[8]int{1, 1, 1, 1, 1, 1, 1, 1}, [8]int{9, 9, 9, 10, 11, 12, 13, 14}, "descriptors have grown from 10 to 13"},
	} {
		var samples []sample
		for i := range want.resident {
			samples = append(samples, sample{resident: want.resident[i] << 10, files: want.files[i]})
		}
		var out strings.Builder
		err := new(watch).judge(&out, newLoad("/tmp", 1), samples)
		if got := out.String(); (err != nil) != (want.wrong != "") || !strings.Contains(got, want.wrong) {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
}
