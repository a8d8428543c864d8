package capture

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestReaderFollows: where packets are handed out at once, and a child reads
// what its parent has accepted, the child is told of as the reader, once: by the
// packet or by a read event. What it answers goes to who asked.
func TestReaderFollows(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		l := startLive(t, Options{Hooks: set, Immediate: true}, nil)
		client := newPuppet(t, workload.PuppetConfig{Comm: "asks"})
		parent := newPuppet(t, workload.PuppetConfig{Comm: "accepts"})
		path := socketName(t, "s")
		listener := parent.listen(unix.SOCK_STREAM, path)
		asking := client.socket(unix.SOCK_STREAM)
		client.must(client.Connect(asking, path))
		accepted, err := parent.Accept(listener)
		parent.must(err)
		child, err := parent.Spawn(memberRole, "answers", accepted)
		parent.must(err)
		client.send(asking, "question")
		client.receive(asking, "answer")
		if status, err := parent.Wait(child); err != nil || status != 0 {
			t.Fatalf("the child ended with %d, %v", status, err)
		}
		reads := func(p *pcapng.Packet) bool {
			return p.Sender.Inode == asking.Inode && (p.Event == pcapng.EventData || p.Event == pcapng.EventRead) && p.Reader != nil
		}
		answers := from(accepted)
		all := l.wait("who read the question, and the answer", func(all []*pcapng.Packet) bool {
			return len(kept(all, reads)) > 0 && len(kept(all, answers)) > 0
		})
		if got := kept(all, reads); len(got) != 1 || got[0].Reader.PID != uint32(child) || got[0].Peer.PID != uint32(child) || got[0].Message == 0 {
			t.Errorf("read by %+v, want one reader, %d:%s", got[0].Reader, child, showAll(got))
		}
		question := kept(all, from(asking))
		if len(question) != 1 || question[0].Peer.PID != uint32(child) && question[0].Peer.PID != uint32(parent.PID) {
			t.Errorf("asked of %+v, want %d or %d:%s", question[0].Peer, child, parent.PID, showAll(question))
		}
		answer := kept(all, answers)[0]
		if answer.Sender.PID != uint32(child) || answer.Peer.PID != uint32(client.PID) || answer.Peer.Comm != client.Comm {
			t.Errorf("answered by %d to %+v, want %d to %d", answer.Sender.PID, answer.Peer, child, client.PID)
		}
	})
}

// TestLatencyOfMany: where more wait than the kernel side keeps times of, those
// of the last are not taken for those of the first.
func TestLatencyOfMany(t *testing.T) {
	o, ok := liveOptions(t, hooksTracepoint)[hooksTracepoint+"-auto"]
	if !ok {
		t.Skip("senders can't be counted on this kernel")
	}
	inParallel(t)
	const early, late = 8, 256 // as many as fit into a socket's buffer
	const pause = 200 * time.Millisecond
	l := startLive(t, o, nil)
	p := newPuppet(t, workload.PuppetConfig{Comm: "sends"})
	a, b := p.pair(unix.SOCK_SEQPACKET)
	for range early {
		p.send(a, "early")
	}
	time.Sleep(pause) // the time that they wait at least
	for range late {
		p.send(a, "late")
	}
	for range early {
		p.receive(b, "early")
	}
	for range late {
		p.receive(b, "late")
	}
	sent := l.wait("all", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) == early+late })
	for _, c := range kept(sent, from(a))[:early] {
		if c.Stamp == pcapng.StampRead && c.Latency != 0 && c.Latency < pause {
			t.Errorf("read after %v, want none or at least %v: %s", c.Latency, pause, show(c))
		}
	}
}
