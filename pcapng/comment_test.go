package pcapng

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestComment(t *testing.T) {
	with := func(change func(*Packet)) *Packet {
		p := typical()
		change(p)
		return p
	}
	for _, test := range []struct {
		p    *Packet
		want string
	}{
		{typical(), `pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd`},
		{&Packet{Event: EventData}, `pid=0 comm="" path=""`},
		{with(func(p *Packet) { p.Sender.Thread = "tokio-runtime-w" }),
			`pid=27806 comm=docker path=/run/docker.sock thread=tokio-runtime-w peer.pid=2434 peer.comm=dockerd`},
		{with(func(p *Packet) { p.Sender.Comm, p.Path = "a b", "@\x00abstract" }),
			`pid=27806 comm="a b" path="@\x00abstract" peer.pid=2434 peer.comm=dockerd`},
		{with(func(p *Packet) { p.Path = "./@file" }),
			`pid=27806 comm=docker path=./@file peer.pid=2434 peer.comm=dockerd`},
		{with(func(p *Packet) { p.Reader = &Endpoint{PID: 2434, Comm: "dockerd"} }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd`},
		{with(func(p *Packet) { p.Reader = &Endpoint{PID: 2500, Comm: "worker"} }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd reader.pid=2500 reader.comm=worker`},
		{with(func(p *Packet) { p.Event, p.Errno, p.Peer = EventRefused, 111, Endpoint{} }),
			`pid=27806 comm=docker path=/run/docker.sock event=refused errno=111`},
		{with(func(p *Packet) { p.Event, p.State = EventSnapshot, StateConnected }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd event=snapshot state=connected`},
		{with(func(p *Packet) { p.Container, p.ContainerName = "c0ffee", "web 1" }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd container.name="web 1"`},
		{with(func(p *Packet) { p.FDCount, p.Container = 2, "c0ffee" }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd fd.count=2 container=c0ffee`},
		{with(func(p *Packet) {
			p.FDCount, p.FDs = 1, []FD{{Kind: FDMemfd, Name: "a b"}}
			p.Cred, p.SecID = &Cred{PID: 1, UID: 0, GID: 2}, 7
		}), `pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd fd.count=1 fd.kind=memfd fd.name="a b" ` +
			`cred.pid=1 cred.uid=0 cred.gid=2 secid=7`},
		{with(func(p *Packet) { p.FDCount, p.FDs = 2, []FD{{Kind: FDPipe, Name: "17"}, {Kind: FDPipe, Name: "17"}} }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd fd.count=2`},
		{with(func(p *Packet) { p.Cred = &Cred{PID: p.Sender.PID, UID: p.Sender.UID, GID: p.Sender.GID} }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd`},
		{with(func(p *Packet) { p.Peer.Comm = "\x1b[2J\u009b\u202e\xff\"=" }),
			`pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm="\x1b[2J\u009b\u202e\xff\"="`},
		{with(func(p *Packet) { p.Sender.Comm = strings.Repeat("ä", 128) }),
			`pid=27806 comm="` + strings.Repeat("ä", 127) + `" path=/run/docker.sock peer.pid=2434 peer.comm=dockerd`},
	} {
		if got := string(AppendComment(nil, test.p)); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// TestIsBare: by the rule of FORMAT.md, each byte.
func TestIsBare(t *testing.T) {
	const bare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@+,-"
	for c := range 256 {
		s := string([]byte{byte(c)})
		if got, want := isBare("a"+s+"z"), strings.Contains(bare, s); got != want {
			t.Errorf("%q: bare is %v, want %v", s, got, want)
		}
	}
	if isBare("") {
		t.Error("nothing is bare")
	}
}

func TestAnomaly(t *testing.T) {
	for _, test := range []struct {
		p    Packet
		want string
	}{
		{Packet{}, ""},
		{Packet{Skipped: 7, Len: 1, Data: []byte("x")}, ""},
		{Packet{Len: 100, Data: []byte("17 bytes of it...")}, "truncated: 17 of 100 bytes captured"},
		{Packet{Len: 1, Truncated: true}, "not captured: 1 byte"},
		{Packet{Lost: 1, DropCount: 1}, "lost before: 1 byte; not captured before: 1 packet"},
		{Packet{Lost: 4096, DropCount: 3}, "lost before: 4096 bytes; not captured before: 3 packets"},
		{Packet{Uncertain: UncertainSender}, "uncertain sender"},
		{Packet{Uncertain: UncertainSender | UncertainOrder, Lost: 2}, "lost before: 2 bytes; uncertain sender; uncertain order"},
	} {
		if got := string(AppendAnomaly(nil, &test.p)); got != test.want {
			t.Errorf("%+v: %q, want %q", test.p, got, test.want)
		}
	}
}

// TestCommentFits: names of any length make a comment that an option holds.
func TestCommentFits(t *testing.T) {
	for _, unit := range []string{"\x00", "a", "\xff", "\x80", "\u0085", "\U000e0001"} {
		s := strings.Repeat(unit, math.MaxUint16)
		p := full()
		p.Sender.Comm, p.Sender.Thread, p.Peer.Comm, p.Path, p.Reader.Comm, p.Container = s, s, s, s, s, s
		p.ContainerName = ""
		checkComment(t, p)
		p.ContainerName = s
		checkComment(t, p)
	}
}

// checkComment checks what every comment must be: pairs of known keys, each
// once, the first three in their order, every value the name or its beginning.
func checkComment(t *testing.T, p *Packet) {
	t.Helper()
	comment := string(AppendComment(nil, p))
	if len(comment) > math.MaxUint16 {
		t.Errorf("comment of %d bytes", len(comment))
	}
	for i, c := range comment {
		if !strconv.IsPrint(c) || c == utf8.RuneError && !strings.HasPrefix(comment[i:], "\ufffd") {
			t.Errorf("%q at %d of %q", c, i, comment)
		}
	}
	values, order := parseComment(t, comment)
	if len(order) < 3 || order[0] != "pid" || order[1] != "comm" || order[2] != "path" {
		t.Errorf("keys %q", order)
	}
	reader := p.Reader
	if reader == nil {
		reader = &Endpoint{}
	}
	var cred Cred
	if p.Cred != nil {
		cred = *p.Cred
	}
	var fd FD
	if len(p.FDs) == 1 {
		fd = p.FDs[0]
	}
	for key, name := range map[string]string{
		"comm": p.Sender.Comm, "path": p.Path, "thread": p.Sender.Thread, "peer.comm": p.Peer.Comm,
		"reader.comm": reader.Comm, "container": p.Container, "container.name": p.ContainerName,
		"fd.kind": fd.Kind.String(), "fd.name": fd.Name,
	} {
		got, ok := values[key]
		if ok && got != name && (len(name) <= maxCommentName || len(got) < maxCommentName-3 || !strings.HasPrefix(name, got)) {
			t.Errorf("%s is %q, want %q", key, got, name)
		}
		delete(values, key)
	}
	for key, number := range map[string]uint32{
		"pid": p.Sender.PID, "peer.pid": p.Peer.PID, "reader.pid": reader.PID, "errno": p.Errno, "fd.count": p.FDCount,
		"cred.pid": cred.PID, "cred.uid": cred.UID, "cred.gid": cred.GID, "secid": p.SecID,
	} {
		if got, ok := values[key]; ok && got != strconv.FormatUint(uint64(number), 10) {
			t.Errorf("%s is %s, want %d", key, got, number)
		}
		delete(values, key)
	}
	if event, ok := values["event"]; ok && event != p.Event.String() {
		t.Errorf("event is %s, want %s", event, p.Event)
	}
	delete(values, "event")
	if state, ok := values["state"]; ok && state != p.State.String() {
		t.Errorf("state is %s, want %s", state, p.State)
	}
	delete(values, "state")
	if len(values) > 0 {
		t.Errorf("forged: %q in %q", values, comment)
	}
}

// parseComment takes a comment apart as a careful person would.
func parseComment(t *testing.T, s string) (values map[string]string, order []string) {
	t.Helper()
	values = make(map[string]string)
	for s != "" {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			t.Fatalf("no key in %q", s)
		}
		value, _, _ := strings.Cut(rest, " ")
		rest = rest[len(value):]
		if strings.HasPrefix(value, `"`) {
			quoted, err := strconv.QuotedPrefix(value + rest)
			if err != nil {
				t.Fatalf("%v: %q", err, value+rest)
			}
			rest = (value + rest)[len(quoted):]
			value, _ = strconv.Unquote(quoted)
		}
		if rest != "" && !strings.HasPrefix(rest, " ") {
			t.Fatalf("no space after %s: %q", key, rest)
		}
		if _, twice := values[key]; twice {
			t.Fatalf("%s twice", key)
		}
		values[key] = value
		order = append(order, key)
		s = strings.TrimPrefix(rest, " ")
	}
	return values, order
}

func FuzzComment(f *testing.F) {
	f.Add("docker", "docker-thread", "/run/docker.sock", "dockerd", "c0ffee", uint32(27806), uint8(1))
	f.Add("a b", "", "@\x00x", "x\" pid=1 comm=\"y", "\x1b]0;t\x07", uint32(0), uint8(8))
	f.Add("x pid=1", "\u202e", "./@", "\xff\n", "\u0085", uint32(1), uint8(77))
	f.Fuzz(func(t *testing.T, comm, thread, path, peer, container string, number uint32, event uint8) {
		p := &Packet{
			Event: Event(event), Path: path, Container: container, Errno: number, FDCount: number >> 3,
			Sender: Endpoint{PID: number, Comm: comm, Thread: thread},
			Peer:   Endpoint{PID: number >> 1, Comm: peer},
			Reader: &Endpoint{PID: number >> 2, Comm: thread + comm},
		}
		checkComment(t, p)
	})
}
