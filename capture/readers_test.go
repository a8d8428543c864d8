package capture

import (
	"testing"

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
