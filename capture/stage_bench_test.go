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
	b.Run("packet", func(b *testing.B) {
		ringTo(b, func(*pcapng.Packet) error { return nil })
	})
}

// ringTo measures from the record to what is done with the packet.
func ringTo(b *testing.B, do func(*pcapng.Packet) error) {
	s := newTestSession()
	s.filter = newExprFilter((*filter.Expr)(nil))
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

// smallRecord is what the ring holds of 64 bytes that a socket sent to the
// other of two.
func smallRecord(sender uint64) []byte {
	d := bpf.Data{
		Kind: uint8(bpf.KindData), Type: uint8(pcapng.Stream), Size: 64, Total: 64,
		Sender: sender, Receiver: 3 - sender, ReaderPid: 30 + uint32(sender), ReaderTid: 30 + uint32(sender), Flags: bpf.DataRead,
	}
	d.Task.Pid, d.Task.Tid = 27806, 27806
	copy(d.Task.Comm[:], "docker")
	copy(d.Task.Thread[:], "docker")
	copy(d.ReaderComm[:], "dockerd")
	record, err := binary.Append(nil, binary.LittleEndian, &d)
	if err != nil {
		panic(err)
	}
	return append(record, "GET /v1.47/containers/json HTTP/1.1\r\nHost: api.moby.localhost\r\n"...)[:len(record)+64]
}
