package capture

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestUnwantedSenders: of what several processes write to one stream, in turn
// and with much of it unread, exactly what those have written is kept that the
// filter asks for, with its true sender and its place among all bytes.
func TestUnwantedSenders(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		if o.Senders == "exact" { // takes a socket on which its own process has connected for its own
			return
		}
		inParallel(t)
		for _, text := range []string{"src comm wanted and stream", "not src comm unwanted"} {
			t.Run(text, func(t *testing.T) {
				o := o
				var err error
				if o.Filter, err = filter.Parse(text, filter.Lookup{}); err != nil {
					t.Fatal(err)
				}
				unwantedSenders(t, o)
			})
		}
	})
}

// written is what the kept packets must say.
type written struct {
	text    string
	pid     int
	comm    string
	offset  uint64
	unsure  bool
	skipped uint64
}

func unwantedSenders(t *testing.T, o Options) {
	l := startLive(t, o, nil)
	p := &post{t: t, bob: newPuppet(t, workload.PuppetConfig{Comm: "bob"})}
	path := socketName(t, "stream")
	listener := p.bob.listen(unix.SOCK_STREAM, path)
	var err error
	if p.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p.fd)
	if err := unix.Connect(p.fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	server, err := p.bob.Accept(listener)
	p.bob.must(err)
	var want []written
	var offset, skipped uint64
	unread := ""
	// A capital is wanted, a dot reads all that there is.
	for i, kind := range "aaA.a.A.AaA.aaAAa.aaa.aA.aaaaaaaaaaaaA.Aa.a.AaA." {
		comm := "unwanted"
		switch kind {
		case '.':
			p.bob.receive(server, unread)
			unread = ""
			continue
		case 'A':
			comm = "wanted"
		}
		text := fmt.Sprintf("%s says %d.", comm, i)
		pid := p.run(&brief{name: append([]byte(comm), 0), text: []byte(text)})
		unread += text
		if kind == 'A' {
			want = append(want, written{text, pid, comm, offset, false, skipped})
			skipped = 0
		} else {
			skipped += uint64(len(text))
		}
		offset += uint64(len(text))
	}
	ours := func(p *pcapng.Packet) bool { return isData(p) && p.Path == path }
	l.wait("the last of it", func(all []*pcapng.Packet) bool {
		return len(kept(all, func(p *pcapng.Packet) bool { return ours(p) && string(p.Data) == want[len(want)-1].text })) > 0
	})
	all, _ := l.end()
	var got []written
	for _, packet := range kept(all, ours) {
		got = append(got, written{string(packet.Data), int(packet.Sender.PID), packet.Sender.Comm, packet.Offset,
			packet.Uncertain&pcapng.UncertainSender != 0, packet.Skipped})
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("kept    %+v\nwant %+v", got, want)
		}
	}
}
