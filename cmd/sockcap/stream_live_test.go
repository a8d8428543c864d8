package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/pcapng/stream/streamtest"
)

// TestStreamLive: a capture that has given up its rights goes on sending to a
// stream, also when the server was away and it has to connect again.
func TestStreamLive(t *testing.T) {
	c, err := streamtest.Start(t.TempDir(), 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	address := "nats://" + c.Hosts() + "/CAPTURE"
	path := filepath.Join(t.TempDir(), "server.sock")
	answerAt(t, path, func(string) {})
	say := func(text string) {
		t.Helper()
		if _, err := ask(path, text); err != nil {
			t.Fatal(err)
		}
	}
	p := prepareProcess(t, "none", "--host", "web-1", "-w", address, path)
	p.start()
	p.expect(p.stderr, "listening on")
	kept, _ := capture.Kept()
	awaitStatus(t, p.Process.Pid, fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d CapInh:\t%016[2]x CapPrm:\t%016[3]x CapEff:\t%016[3]x CapBnd:\t%016[2]x NoNewPrivs:\t1 Seccomp:\t2",
		nobody, 0, kept))
	say("before")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(storedLines(t, address), "before"); {
		if time.Now().After(deadline) {
			t.Fatal("in vain: waiting for a message in the stream")
		}
	}
	c.Kill(0)
	say("while the server is away")
	p.expect(p.stderr, ": trying on")
	if err := c.Restart(0); err != nil {
		t.Fatal(err)
	}
	p.expect(p.stderr, "the stream's server is there again")
	say("after")
	p.signal(unix.SIGINT)
	p.end(0)
	var got []string
	for line := range strings.Lines(storedLines(t, address)) {
		host, _, _ := strings.Cut(line, " ")
		for _, said := range []string{"before", "while the server is away", "after"} {
			if strings.Contains(line, ": "+said) {
				got = append(got, host+" "+said)
			}
		}
	}
	if d := cmp.Diff([]string{"web-1 before", "web-1 while the server is away", "web-1 after"}, got); d != "" {
		t.Error("(-want +got):", d)
	}
}

// storedLines is what a stream has, as text without times.
func storedLines(t *testing.T, address string) string {
	t.Helper()
	p := startProcess(t, "http", "-r", address, "--since", "all", "--until", "now", "-t")
	stdout, _ := p.end(0)
	return stdout
}
