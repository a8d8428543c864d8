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
	is, err := childMain(os.Args)
	switch {
	case is:
		exitIf(err)
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
	signal.Notify(end, os.Interrupt, syscall.SIGUSR1, syscall.SIGUSR2)
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

// TestLoad: a round of the load runs to its end, what was sent is in the ledger,
// and a sockcap that captures nothing is found out.
func TestLoad(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	s := soak{sockcap: exe, time: time.Second, round: time.Second, seed: 7, faults: true, buffer: 4096, env: []string{deafName + "=1"}, out: &out, patience: time.Second}
	if err := s.run(t.Context()); err == nil || !strings.Contains(err.Error(), "sockcap captures nothing any more") {
		t.Errorf("error %v", err)
	}
	if want := "seed 7\n" + header + "\n"; out.String() != want {
		t.Errorf("output %q, want %q", out.String(), want)
	}
}

// TestKinds: each kind of connection is heard as it was sent, and its account is
// whole.
func TestKinds(t *testing.T) {
	l := newLedger()
	dir, err := os.MkdirTemp("/tmp", "soak") // a short path: it has to fit in the address of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, say := range map[string]func(*talker) error{
		"stream":    func(k *talker) error { return k.conversation("unix", 101) },
		"seqpacket": func(k *talker) error { return k.conversation("unixpacket", 101) },
		"datagrams": func(k *talker) error { return k.datagrams(101) },
		"pair":      func(k *talker) error { return k.pair(101) },
		"child":     func(k *talker) error { return k.child("unix", 101, false) },
		"killed":    func(k *talker) error { return k.child("unixpacket", 0, true) },
		"storm":     func(k *talker) error { return k.storm(t.Context(), 7) },
	} {
		if err := say(newTalker(l, dir+"/"+name, 7)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var sent, killed uint64
	for _, f := range l.all(1, 0) {
		if f.ended.IsZero() || f.from == 0 {
			t.Errorf("flow %+v", f)
		}
		if f.killed {
			killed++
		} else {
			sent += f.sent
		}
	}
	const want = 3*(101+101/7) + (101 + 1 + 101/3 + 1) + 101 + 7*3
	if killed != 1 || sent != want {
		t.Errorf("%d messages, want %d; %d killed", sent, want, killed)
	}
}
