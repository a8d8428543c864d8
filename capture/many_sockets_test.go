package capture

import (
	"encoding/binary"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// TestManySockets has as many pairs of sockets open as SOCKCAP_SOCKETS says, more
// than are remembered (maxSockets): every message of each is captured or counted
// as lost, with its bytes and its sender, also those of pairs that were forgotten
// meanwhile, which are new ones then. It needs two descriptors each:
//
//	CGO_ENABLED=0 go test -c -o /tmp/capture.test ./capture
//	testdata/vm/run -k 6.1 -t 1800 -e SOCKCAP_SOCKETS=70000 /tmp/capture.test -test.run ManySockets -test.v
func TestManySockets(t *testing.T) {
	pairs, err := strconv.Atoi(os.Getenv("SOCKCAP_SOCKETS"))
	if err != nil {
		t.Skip("SOCKCAP_SOCKETS is not set: it takes minutes")
	}
	limit := unix.Rlimit{Cur: uint64(2*pairs + 1000), Max: uint64(2*pairs + 1000)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("%d descriptors: %v", limit.Cur, err)
	}
	eachSet(t, func(t *testing.T, set string) {
		captureMany(t, set, pairs)
	})
}

func captureMany(t *testing.T, set string, pairs int) {
	l := startBlind(t, Options{Hooks: set, NoSnapshot: true, IncludeSelf: true, BufferSize: 64 << 20}, nil)
	ends := make([][2]int, pairs)
	inodes := make(map[uint64]int)
	for i := range ends {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = fds
		defer unix.Close(fds[0])
		defer unix.Close(fds[1])
		var st unix.Stat_t
		if err := unix.Fstat(fds[0], &st); err != nil {
			t.Fatal(err)
		}
		inodes[st.Ino] = i
	}
	const rounds = 2
	for round := range rounds {
		for i, fds := range ends {
			m := binary.BigEndian.AppendUint64(nil, uint64(i)<<1|uint64(round))
			if _, err := unix.Write(fds[0], m); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Read(fds[1], m); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, stats := l.end()
	captured, wrong, again := 0, 0, 0
	seen := make(map[uint64]bool)
	conn := make(map[int]uint64)
	for _, p := range all {
		i, ours := inodes[p.Sender.Inode]
		if p.Event != pcapng.EventData || !ours {
			continue
		}
		captured++
		m := uint64(0)
		if len(p.Data) == 8 {
			m = binary.BigEndian.Uint64(p.Data)
		}
		if len(p.Data) != 8 || m>>1 != uint64(i) || seen[m] || p.Sender.PID != uint32(os.Getpid()) {
			if wrong++; wrong < 10 {
				t.Errorf("of pair %d: %s", i, show(p))
			}
		}
		seen[m] = true
		if conn[i] != 0 && conn[i] != p.ConnID {
			again++
		}
		conn[i] = p.ConnID
	}
	t.Logf("%d messages of %d pairs: %d captured, %d wrong; %d pairs were forgotten meanwhile; %+v", rounds*pairs, pairs, captured, wrong, again, stats)
	if lost := stats.Dropped(); uint64(captured)+lost < uint64(rounds*pairs) {
		t.Errorf("%d messages, %d captured, %d lost", rounds*pairs, captured, lost)
	}
}
