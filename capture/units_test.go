package capture

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// TestAnyOrder: tasks write one stream, at times several at once; whatever the
// order in which the kernel side's records come, each unit is released once,
// with its bytes, in the reader's order.
func TestAnyOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		b := newBench(99)
		var want []string
		var unread []string
		for batch := range 12 {
			tasks := random.Perm(1 + random.IntN(4))
			names := make([]string, len(tasks))
			for i, task := range tasks {
				names[i] = fmt.Sprintf("%c%d", 'a'+task, batch)
			}
			for _, order := range interleave(random, len(tasks), 2) {
				name, task := names[order[0]], uint32(tasks[order[0]]+1)
				b.hand(name, task, [...]string{"|" + name + "|-end", name + "|-end|"}[order[1]], bpf.DataPending)
			}
			flags := uint16(0)
			if len(tasks) > 1 {
				flags = bpf.DataOverlap
				unread = append(unread, names...)
			} else {
				for _, name := range unread { // read before anyone else writes
					b.tell(b.read, name, 0)
				}
				unread = nil
			}
			for _, i := range random.Perm(len(tasks)) {
				b.tell(b.queued, names[i], flags)
			}
			for _, name := range names {
				want = append(want, name+":"+name+"-end")
			}
			for len(unread) > 0 && random.IntN(3) > 0 {
				b.tell(b.read, unread[0], 0)
				unread = unread[1:]
			}
		}
		for _, name := range unread {
			b.tell(b.read, name, 0)
		}
		b.want(t, want...)
		b.idle(t)
		if t.Failed() {
			return
		}
	}
}

// interleave gives the steps of n tasks in any order that keeps each task's.
func interleave(random *rand.Rand, n, steps int) [][2]int {
	var all []int
	for i := range n {
		all = append(all, slices.Repeat([]int{i}, steps)...)
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	done := make([]int, n)
	var order [][2]int
	for _, i := range all {
		order = append(order, [2]int{i, done[i]})
		done[i]++
	}
	return order
}

// TestPackets: a unit is split where a record would become too large, and the
// records tell of each other.
func TestPackets(t *testing.T) {
	const most = pcapng.MaxPayload
	for _, c := range []struct {
		total, have int
		want        []string // offset+length, bytes had, continued, more, lost
	}{
		{0, 0, []string{"1000+0 0 false false 5"}},
		{1, 1, []string{"1000+1 1 false false 5"}},
		{most, most, []string{fmt.Sprintf("1000+%d %d false false 5", most, most)}},
		{most + 1, most + 1, []string{
			fmt.Sprintf("1000+%d %d false true 5", most, most),
			fmt.Sprintf("%d+1 1 true false 0", 1000+most),
		}},
		{2*most + 7, most + 3, []string{ // the rest was not captured
			fmt.Sprintf("1000+%d %d false true 5", most, most),
			fmt.Sprintf("%d+%d 3 true true 0", 1000+most, most),
			fmt.Sprintf("%d+7 0 true false 0", 1000+2*most),
		}},
	} {
		u := &unit{head: &bpf.Data{Total: uint32(c.total)}, data: make([]byte, c.have)}
		for i := range u.data {
			u.data[i] = byte(i * 7 >> 3)
		}
		var got []string
		var data []byte
		p := pcapng.Packet{Offset: 1000, Lost: 5, Skipped: 3, DropCount: 2}
		rest := remainder{data: u.data, offset: p.Offset, bytes: u.head.Total}
		for more := true; more; more = p.More {
			rest.cut(&p)
			got = append(got, fmt.Sprintf("%d+%d %d %v %v %d", p.Offset, p.Len, len(p.Data), p.Continued, p.More, p.Lost))
			data = append(data, p.Data...)
			if p.Truncated != (len(p.Data) < int(p.Len)) {
				t.Errorf("%d bytes of %d: truncated %v", len(p.Data), p.Len, p.Truncated)
			}
			if p.Continued == (p.Skipped != 0) || p.Continued == (p.DropCount != 0) {
				t.Errorf("skipped %d, dropped %d, continued %v", p.Skipped, p.DropCount, p.Continued)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d bytes, %d had, -want +got:\n%s", c.total, c.have, diff)
		}
		if !slices.Equal(data, u.data) {
			t.Errorf("%d bytes, %d had: other bytes", c.total, c.have)
		}
	}
}

// TestDirect: a unit that is handed out at once is told of as one that had to
// wait for its rest is, and not before what was there first.
func TestDirect(t *testing.T) {
	piece := func(a *assembler, unit, at int, text string, total int, flags uint16) {
		a.piece(&bpf.Data{
			Unit: uint64(unit)<<22 | 7, Sender: 1, Receiver: 2, Flags: flags,
			At: uint32(at), Size: uint32(len(text)), Total: uint32(total),
		}, []byte(text))
	}
	for _, snaplen := range []uint32{0, 3, math.MaxUint32} {
		var got []string
		a := newAssembler(newSockets(), snaplen, func() int64 { return 0 }, func(u *unit) { got = append(got, string(u.data)) })
		piece(a, 1, 0, "one"[:min(3, snaplen)], 3, 0)
		piece(a, 2, 0, "two"[:min(3, snaplen)], 3, bpf.DataPending)
		piece(a, 3, 0, "three"[:min(5, snaplen)], 5, 0) // waits for the second
		if len(got) != 1 {
			t.Errorf("at %d bytes: %q before the second was queued", snaplen, got)
		}
		a.queued(&bpf.Unit{Unit: 2<<22 | 7})
		piece(a, 4, 0, "", 4, bpf.DataUnreadable)
		piece(a, 5, 0, "", 0, 0)
		if snaplen > 3 {
			piece(a, 6, 0, "s", 3, 0)
			piece(a, 6, 1, "ix", 3, 0)
		}
		piece(a, 7, 0, "seven"[:min(5, snaplen)], 5, 0)
		want := map[uint32][]string{
			0: {"", "", "", "", "", ""}, 3: {"one", "two", "thr", "", "", "sev"},
			math.MaxUint32: {"one", "two", "three", "", "", "six", "seven"},
		}[snaplen]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at %d bytes, -want +got:\n%s", snaplen, diff)
		}
		if len(a.open)+len(a.making) > 0 {
			t.Errorf("at %d bytes: %d units are open, %d lack pieces", snaplen, len(a.open), len(a.making))
		}
	}
}

// TestUnitsKept: what large units took is given back.
func TestUnitsKept(t *testing.T) {
	a := newAssembler(newSockets(), math.MaxUint32, func() int64 { return 0 }, func(*unit) {})
	bytes := func() (n int) {
		for _, u := range a.free {
			n += cap(u.data)
		}
		return n
	}
	for i := range 300 {
		for range 2 {
			a.recycle(&unit{head: &bpf.Data{}, data: make([]byte, i<<8)})
		}
		if n := bytes(); n != a.kept || n > keepBuffers {
			t.Fatalf("%d bytes are kept, %d counted", n, a.kept)
		}
		a.take()
		if n := bytes(); n != a.kept {
			t.Fatalf("%d bytes are kept, %d counted", n, a.kept)
		}
	}
}
