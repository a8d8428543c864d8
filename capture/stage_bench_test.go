package capture

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// BenchmarkRingToFile measures what user space does for a small packet once it
// is in the ring buffer: from the record to the bytes of the file, and the part
// of decoding. Two sockets talk, 64 bytes a message.
//
//	go test -run '^$' -bench RingToFile ./capture
func BenchmarkRingToFile(b *testing.B) {
	b.Run("decode", func(b *testing.B) {
		record := smallRecord(1)
		var e bpf.Event
		b.ReportAllocs()
		for b.Loop() {
			if err := bpf.Decode(&e, record); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		w, err := pcapng.NewWriter(io.Discard, pcapng.Options{})
		if err != nil {
			b.Fatal(err)
		}
		ringTo(b, w.WritePacket)
	})
	b.Run("identified", func(b *testing.B) {
		w, err := pcapng.NewWriter(io.Discard, pcapng.Options{})
		if err != nil {
			b.Fatal(err)
		}
		ringTo(b, w.WritePacket, identities()...)
	})
	b.Run("packet", func(b *testing.B) {
		ringTo(b, func(*pcapng.Packet) error { return nil })
	})
}

// ringTo measures from the record to what is done with the packet, once the
// session knows what is told first.
func ringTo(b *testing.B, do func(*pcapng.Packet) error, first ...bpf.Event) {
	s := newTestSession()
	for i := range first {
		if err := s.take(&first[i]); err != nil {
			b.Fatal(err)
		}
	}
	s.filter = newExprFilter((*filter.Expr)(nil), nil)
	records := [2][]byte{smallRecord(1), smallRecord(2)}
	var e bpf.Event
	n, written := uint64(0), 0
	begun := cpuTime()
	b.ReportAllocs()
	for b.Loop() {
		record := records[n&1]
		binary.LittleEndian.PutUint64(record[8:], n)        // time
		binary.LittleEndian.PutUint64(record[16:], n<<22|7) // unit
		binary.LittleEndian.PutUint64(record[48:], n/2*64)  // offset
		n++
		if err := bpf.Decode(&e, record); err != nil {
			b.Fatal(err)
		}
		if err := s.take(&e); err != nil {
			b.Fatal(err)
		}
		for p := s.order.next(0, true); p != nil; p = s.order.next(0, true) {
			if err := do(p); err != nil {
				b.Fatal(err)
			}
			written++
		}
	}
	b.ReportMetric(float64(cpuTime()-begun)/float64(n), "cpu-ns/op") // on a busy machine, the one that counts
	if written != int(n) {
		b.Fatalf("%d packets of %d records", written, n)
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// speaker is who sends on one of the two sockets, and reads the other.
type speaker struct {
	pid              uint32
	comm, exe, group string
	args             string
	address          string
}

// speakers are the two, by the numbers of their sockets.
func speakers() map[uint64]speaker {
	return map[uint64]speaker{
		1: {27806, "docker", "/usr/bin/docker", "/user.slice/user-1000.slice/session-1.scope", "docker\x00ps\x00--all\x00", ""},
		2: {2434, "dockerd", "/usr/bin/dockerd", "/system.slice/docker.service", "/usr/bin/dockerd\x00-H\x00fd://\x00", "/run/docker.sock"},
	}
}

// smallRecord is what the ring holds of 64 bytes that a socket sent to the
// other of two.
func smallRecord(sender uint64) []byte {
	from, to := speakers()[sender], speakers()[3-sender]
	d := bpf.Data{
		Kind: uint8(bpf.KindData), Type: uint8(pcapng.Stream), Size: 64, Total: 64, Flags: bpf.DataRead,
		Sender: sender, Receiver: 3 - sender, ReaderPid: to.pid, ReaderTid: to.pid, ReaderProcess: uint32(3 - sender),
	}
	d.Task.Pid, d.Task.Tid, d.Task.Process = from.pid, from.pid, uint32(sender)
	copy(d.Task.Comm[:], from.comm)
	copy(d.Task.Thread[:], from.comm)
	copy(d.ReaderComm[:], to.comm)
	record, err := binary.Append(nil, binary.LittleEndian, &d)
	if err != nil {
		panic(err)
	}
	return append(record, "GET /v1.47/containers/json HTTP/1.1\r\nHost: api.moby.localhost\r\n"...)[:len(record)+64]
}

// identities is what the ring holds before that, of the two sockets and of who
// uses them.
func identities() []bpf.Event {
	var events []bpf.Event
	for number, who := range speakers() {
		socket := bpf.Socket{
			Kind: uint8(bpf.KindSocket), Type: uint8(pcapng.Stream), Socket: number, Peer: 3 - number,
			Inode: 48122 + number, Netns: 4026531840, PeerPid: speakers()[3-number].pid,
		}
		socket.AddressLen = uint8(copy(socket.Address[:], who.address))
		process := toldOf(who.pid, uint32(number), who.exe, who.group)
		process.Args = []byte(who.args)
		events = append(events, bpf.Event{Kind: bpf.KindSocket, Socket: socket}, bpf.Event{Kind: bpf.KindProcess, Process: *process})
	}
	return events
}
