package filter

import (
	"math/rand/v2"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// TestRecords: whatever is left out, the offsets, lengths and options of what
// is kept add up as FORMAT.md says, skipped and lost told apart, and every
// packet that was lost is told of once.
func TestRecords(t *testing.T) {
	type sent struct{ next, lost uint64 }
	for seed := range uint64(31) {
		r := rand.New(rand.NewPCG(seed, 1))
		records := NewRecords(parse(t, "len < 7 or read"))
		var truth, told [2][3]sent // by type and sender
		var ends [2][3]uint64      // of what was kept
		var dropped, toldDrops uint64
		kept := 0
		for range 1009 {
			from, stream := r.IntN(3), r.IntN(2)
			p := &pcapng.Packet{Event: pcapng.EventData, Type: pcapng.Datagram, Len: uint32(r.IntN(13))}
			p.Sender.Inode = uint64(1 + from)
			p.ConnID = uint64(1 + r.IntN(3)) // a datagram socket sends to several
			if stream == 1 {
				p.Type, p.ConnID, p.Sender.Inode, p.Role = pcapng.Stream, uint64(7+from/2), 0, pcapng.Role(1+from%2)
			}
			now := &truth[stream][from]
			if r.IntN(5) == 0 {
				p.Lost = uint64(1 + r.IntN(9))
				p.Skipped = uint64(r.IntN(3))
			}
			if r.IntN(7) == 0 {
				p.DropCount = uint64(r.IntN(4))
			}
			p.Offset = now.next + p.Lost + p.Skipped
			now.next = p.Offset + uint64(p.Len)
			now.lost += p.Lost
			dropped += p.DropCount
			if r.IntN(9) == 0 { // tells of another message, and has no place of its own
				read := p.Clone()
				read.Event, read.Len, read.Lost, read.Skipped, read.DropCount = pcapng.EventRead, 0, 0, 0, 0
				if !records.Keep(read) || read.Lost|read.Skipped != 0 {
					t.Fatalf("a read event tells of %d lost, %d skipped", read.Lost, read.Skipped)
				}
				toldDrops += read.DropCount
			}
			if records.Keep(p) != (p.Len < 7) {
				t.Fatalf("kept %v", p.Len >= 7)
			}
			if p.Len >= 7 {
				continue
			}
			kept++
			end := &ends[stream][from]
			if p.Offset != *end+p.Lost+p.Skipped {
				t.Fatalf("seed %d: at %d, %d lost, %d skipped, the one before ended at %d", seed, p.Offset, p.Lost, p.Skipped, *end)
			}
			*end = p.Offset + uint64(p.Len)
			told[stream][from].lost += p.Lost
			if told[stream][from].lost != now.lost {
				t.Fatalf("seed %d: %d lost told, want %d", seed, told[stream][from].lost, now.lost)
			}
			toldDrops += p.DropCount
			if toldDrops != dropped {
				t.Fatalf("seed %d: %d dropped told, want %d", seed, toldDrops, dropped)
			}
		}
		if kept == 0 {
			t.Fatal("nothing was kept")
		}
	}
}

// TestRecordsHosts: each host has its own losses.
func TestRecordsHosts(t *testing.T) {
	r := NewRecords(parse(t, "len > 0"))
	for _, c := range []struct {
		host      int
		len       uint32
		drop, got uint64
	}{{0, 0, 3, 0}, {1, 1, 0, 0}, {0, 1, 2, 5}, {0, 1, 0, 0}} {
		p := &pcapng.Packet{Host: c.host, Event: pcapng.EventData, Len: c.len, DropCount: c.drop}
		if r.Keep(p) && p.DropCount != c.got {
			t.Errorf("host %d: %d dropped, want %d", c.host, p.DropCount, c.got)
		}
	}
}

// TestRecordsBound: what is remembered has a bound, and the latest is kept.
func TestRecordsBound(t *testing.T) {
	r := NewRecords(parse(t, "len = 1"))
	for id := range uint64(3*maxGaps + 7) {
		r.Keep(&pcapng.Packet{Event: pcapng.EventData, ConnID: id + 1, Len: 2})
	}
	if n := len(r.young) + len(r.old); n > 2*maxGaps {
		t.Errorf("%d remembered, want at most %d", n, 2*maxGaps)
	}
	last := &pcapng.Packet{Event: pcapng.EventData, ConnID: 3*maxGaps + 7, Len: 1}
	if r.Keep(last); last.Skipped != 2 {
		t.Errorf("%d skipped, want 2", last.Skipped)
	}
}
