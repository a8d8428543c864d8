package capture

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// told is a socket that the kernel side told of.
func told(t *sockets, number, inode uint64, typ pcapng.SocketType, address string, refs uint32) *socket {
	info := bpf.Socket{Socket: number, Inode: inode, Type: uint8(typ), AddressRefs: refs}
	info.AddressLen = uint8(copy(info.Address[:], address))
	t.learn(&info)
	return t.of(number)
}

func TestServer(t *testing.T) {
	type end struct {
		inode   uint64
		address string
		refs    uint32 // two: the address is a listener's too
	}
	for _, c := range []struct {
		name     string
		typ      pcapng.SocketType
		from, to end
		want     string // "from", "to" or none
	}{
		{"a request", pcapng.Stream, end{11, "", 0}, end{22, "/s", 2}, "to"},
		{"an answer", pcapng.Stream, end{22, "/s", 2}, end{11, "", 0}, "from"},
		{"an answer to a client with a name", pcapng.Stream, end{22, "/s", 2}, end{11, "/c", 1}, "from"},
		{"a request of a client with a name", pcapng.Stream, end{11, "/c", 1}, end{22, "/s", 2}, "to"},
		{"a client that binds itself, seqpacket", pcapng.SeqPacket, end{11, "\x000000a", 1}, end{22, "/s", 3}, "to"},
		{"not accepted yet", pcapng.Stream, end{11, "", 0}, end{0, "/s", 2}, "to"},
		{"a datagram", pcapng.Datagram, end{11, "", 0}, end{22, "/dev/log", 1}, "to"},
		{"from a bound datagram socket", pcapng.Datagram, end{22, "/dev/log", 1}, end{11, "", 0}, "from"},
		{"both bound: who receives first", pcapng.Datagram, end{11, "/a", 1}, end{22, "/b", 1}, "to"},
		{"both bound, an address in use twice", pcapng.Datagram, end{11, "/a", 2}, end{22, "/b", 1}, "to"},
		{"a pair, the lower sends", pcapng.Stream, end{11, "", 0}, end{12, "", 0}, "to"},
		{"a pair, the higher sends", pcapng.Stream, end{12, "", 0}, end{11, "", 0}, "from"},
		{"a pair of datagram sockets", pcapng.Datagram, end{12, "", 0}, end{11, "", 0}, "from"},
		{"nothing known of one", pcapng.Stream, end{12, "", 0}, end{0, "", 0}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSockets()
			from := told(s, 1, c.from.inode, c.typ, c.from.address, c.from.refs)
			to := told(s, 2, c.to.inode, c.typ, c.to.address, c.to.refs)
			got := map[uint64]string{1: "from", 2: "to", 0: ""}[s.between(from, to).server]
			if got != c.want {
				t.Errorf("the server is %q, want %q", got, c.want)
			}
			back := s.between(to, from)
			if again := map[uint64]string{1: "from", 2: "to", 0: ""}[back.server]; again != c.want {
				t.Errorf("for the way back the server is %q, want %q", again, c.want)
			}
		})
	}
}

// TestServerLater: who is the server is settled when enough is known, and
// then for good.
func TestServerLater(t *testing.T) {
	s := newSockets()
	a, b := s.of(1), s.of(2)
	if c := s.between(a, b); c.server != 0 {
		t.Errorf("the server is %d, nothing is known", c.server)
	}
	told(s, 2, 22, pcapng.Stream, "/s", 2)
	if c := s.between(a, b); c.server != 2 {
		t.Errorf("the server is %d, want 2", c.server)
	}
	told(s, 1, 11, pcapng.Stream, "/c", 2)
	if c := s.between(b, a); c.server != 2 {
		t.Errorf("the server became %d", c.server)
	}
}

func TestConnections(t *testing.T) {
	s := newSockets()
	ab, ba := s.between(s.of(1), s.of(2)), s.between(s.of(2), s.of(1))
	ac := s.between(s.of(1), s.of(3))
	if ab != ba || ab.id == 0 {
		t.Errorf("one connection is %d and %d", ab.id, ba.id)
	}
	if ac.id == ab.id || ac.id == 0 {
		t.Errorf("two connections are %d and %d", ab.id, ac.id)
	}
	if self := s.between(s.of(1), s.of(1)); self.id == ab.id || self.id == ac.id {
		t.Error("a datagram to oneself is on another connection")
	}
}

// TestLearn: what the kernel side tells later counts, but a closed socket
// keeps its inode.
func TestLearn(t *testing.T) {
	s := newSockets()
	told(s, 1, 0, pcapng.Stream, "", 0)
	got := told(s, 1, 11, pcapng.Stream, "/s", 2)
	if got.info.Inode != 11 || got.path != "/s" || !got.shared {
		t.Errorf("inode %d, path %q, shared %v", got.info.Inode, got.path, got.shared)
	}
	got.wanted = drop
	if again := told(s, 1, 0, pcapng.Stream, "/s", 1); again != got || got.info.Inode != 11 || got.shared {
		t.Errorf("closed: inode %d, shared %v", got.info.Inode, got.shared)
	}
	if got.wanted != undecided {
		t.Error("the filter is not asked again though the socket may have a name now")
	}
}

// TestMessageNumbers: records of one send have one number, others never.
func TestMessageNumbers(t *testing.T) {
	s := newSockets()
	a, b := s.of(1), s.of(2)
	first := s.message(a, 100)
	if first == 0 || s.message(a, 100) != first {
		t.Error("one send has two numbers, or none")
	}
	seen := map[uint64]bool{first: true}
	for i, n := range []uint64{s.message(a, 101), s.message(b, 102), s.message(a, 0), s.message(a, 0), s.message(b, 0)} {
		if n == 0 || seen[n] {
			t.Errorf("send %d has number %d, which is taken", i, n)
		}
		seen[n] = true
	}
	if s.message(a, 100) != first {
		t.Error("a send that goes on after another has a new number")
	}
}

func TestNames(t *testing.T) {
	task := func(comm, thread string) *bpf.Task {
		var task bpf.Task
		copy(task.Comm[:], comm)
		copy(task.Thread[:], thread)
		return &task
	}
	s := newSockets().of(1)
	for _, c := range []struct{ comm, thread, wantComm, wantThread string }{
		{"", "", "", ""},
		{"docker", "docker", "docker", ""},
		{"docker", "worker", "docker", "worker"},
		{"docker", "worker", "docker", "worker"},
		{"docker", "docker", "docker", ""},
		{"curl", "worker", "curl", "worker"},
		{"worker", "worker", "worker", ""},
		{"sixteen-bytes-xx", "a\xff b", "sixteen-bytes-xx", "a\xff b"},
		{"", "worker", "", "worker"},
	} {
		comm, thread := s.names(task(c.comm, c.thread))
		if comm != c.wantComm || thread != c.wantThread {
			t.Errorf("%q, %q: %q, %q, want %q, %q", c.comm, c.thread, comm, thread, c.wantComm, c.wantThread)
		}
	}
}

func name(text string) (b [bpf.CommLen]byte) {
	copy(b[:], text)
	return b
}

func peerOf(t *sockets, from, to *socket) (e pcapng.Endpoint) {
	t.setPeer(&e, from, to)
	return e
}

// TestPeer: the other end's process is who read there last, else who made it,
// of whom the name is asked for once.
func TestPeer(t *testing.T) {
	s := newSockets()
	var asked []uint32
	s.comm = func(pid uint32) string {
		asked = append(asked, pid)
		return "maker"
	}
	from, to := told(s, 1, 11, pcapng.Stream, "", 0), told(s, 2, 22, pcapng.Stream, "/s", 2)
	unknown := pcapng.Endpoint{UID: pcapng.Unknown, GID: pcapng.Unknown, Inode: 22}
	s.of(3) // nothing known
	if got := peerOf(s, s.of(3), to); got != unknown {
		t.Errorf("got %+v, want %+v", got, unknown)
	}
	from.info.PeerPid, from.info.PeerUid, from.info.PeerGid = 500, 1000, 1001
	want := pcapng.Endpoint{PID: 500, UID: 1000, GID: 1001, Inode: 22, Comm: "maker"}
	for range 2 {
		if got := peerOf(s, from, to); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if !slices.Equal(asked, []uint32{500}) {
		t.Errorf("asked for the names of %d", asked)
	}
	to.made(&bpf.Task{Pid: 500, Tid: 501, Comm: name("client"), Thread: name("of-it")})
	want = pcapng.Endpoint{PID: 500, TID: 501, UID: 1000, GID: 1001, Inode: 22, Comm: "client", Thread: "of-it"}
	if got := peerOf(s, from, to); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	to.named(&bpf.Reader{Pid: 600, Tid: 601, Uid: 7, Gid: 8, Comm: name("reader"), Thread: name("reader")})
	want = pcapng.Endpoint{PID: 600, TID: 601, UID: 7, GID: 8, Inode: 22, Comm: "reader"}
	if got := peerOf(s, from, to); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestGenerations: no more than two generations are kept, and what was used
// while fewer than limit other keys were is always among them.
func TestGenerations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, limit := range []int{1, 2, 3, 7, 101} {
		g := newGenerations[int, int](limit)
		since := make(map[int]map[int]bool) // by key: others that were used since it was
		used := func(k int) {
			for other, seen := range since {
				if other != k {
					seen[k] = true
				}
			}
			since[k] = make(map[int]bool)
		}
		for i := range 3000 {
			k := random.IntN(3*limit + 2)
			switch random.IntN(8) {
			case 0:
				g.remove(k)
				delete(since, k)
				if _, ok := g.get(k); ok {
					t.Fatalf("limit %d: %d is there though it was removed", limit, k)
				}
			case 1, 2, 3:
				g.put(k, k*10)
				used(k)
			default:
				v, ok := g.get(k)
				if ok && v != k*10 {
					t.Fatalf("limit %d: %d is %d", limit, k, v)
				}
				if others, put := since[k]; put && !ok && len(others) < limit {
					t.Fatalf("limit %d, step %d: %d is gone after %d others", limit, i, k, len(others))
				}
				if ok {
					used(k)
				} else {
					delete(since, k)
				}
			}
			if n := len(g.young) + len(g.old); n > 2*limit {
				t.Fatalf("limit %d: %d entries", limit, n)
			}
		}
	}
}

// TestGenerationsForget: what is not used goes, though nothing removes it.
func TestGenerationsForget(t *testing.T) {
	g := newGenerations[int, string](4)
	g.put(-1, "kept")
	g.put(-2, "left")
	for k := range 12 {
		g.put(k, "other")
		if v, _ := g.get(-1); v != "kept" {
			t.Fatalf("what is used went after %d others", k)
		}
	}
	if _, ok := g.get(-2); ok {
		t.Error("what was not used is still there after 12 others, the limit is 4")
	}
}

// TestForgottenSocket: a socket that was forgotten is a new one, of which
// nothing is known; no other's facts are given for it.
func TestForgottenSocket(t *testing.T) {
	s := newSockets()
	s.byNumber = newGenerations[uint64, *socket](2)
	told(s, 1, 11, pcapng.Stream, "/s", 2)
	for n := range uint64(9) {
		told(s, n+2, n, pcapng.Stream, "/other", 1)
	}
	got := s.of(1)
	want := bpf.Socket{Socket: 1, PeerUid: pcapng.Unknown, PeerGid: pcapng.Unknown}
	if diff := cmp.Diff(want, got.info); diff != "" || got.path != "" || got.shared {
		t.Errorf("path %q, shared %v, -want +got:\n%s", got.path, got.shared, diff)
	}
}

// TestFirstConn: the connections of two captures have ids of their own, which JSON
// readers take exactly.
func TestFirstConn(t *testing.T) {
	seen := make(map[uint64]bool)
	for range 100 {
		first := firstConn()
		if first&(1<<connBits-1) != 0 || first+1<<connBits > 1<<53 {
			t.Errorf("%#x is no capture's begin", first)
		}
		seen[first] = true
	}
	if len(seen) < 99 {
		t.Errorf("100 captures have %d begins", len(seen))
	}
}
