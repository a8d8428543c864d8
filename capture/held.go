package capture

import (
	"iter"

	"github.com/sockcap/sockcap/pcapng"
)

// heldPacket is a packet that waits for those that go before it.
type heldPacket struct {
	time   int64 // boot time, ns
	seq    uint64
	sender uint64 // the kernel side's number of the sending socket
	packet *pcapng.Packet
	bytes  *payloadBlock // where its payload is
	unread *reading      // what it is a packet of, nil: nothing that is to be read
}

func (p *heldPacket) before(q *heldPacket) bool {
	if p.time != q.time {
		return p.time < q.time
	}
	return p.seq < q.seq
}

// held are packets in the order of time. Nearly all come in that order: they
// stand in a line, those that are late in a heap beside it.
type held struct {
	line []heldPacket
	gone int // of them
	late lateHeap
}

func (h *held) len() int { return len(h.line) - h.gone + len(h.late) }

// push makes a place for one that came after all others, and gives it, to be
// filled with the rest.
func (h *held) push(time int64, seq uint64) *heldPacket {
	n := len(h.line)
	if n > h.gone && time < h.line[n-1].time {
		return h.late.push(time, seq)
	}
	if n == cap(h.line) && h.gone > n/2 {
		n = copy(h.line, h.line[h.gone:])
		clear(h.line[n:])
		h.line, h.gone = h.line[:n], 0
	}
	h.line = append(h.line, heldPacket{})
	p := &h.line[n]
	p.time, p.seq = time, seq
	return p
}

// isLate reports whether the first of all is one that came late.
func (h *held) isLate() bool {
	return len(h.late) > 0 && (h.gone == len(h.line) || h.late[0].before(&h.line[h.gone]))
}

// first gives the first, nil if there is none. It is valid until the next push.
func (h *held) first() *heldPacket {
	switch {
	case h.isLate():
		return &h.late[0]
	case h.gone < len(h.line):
		return &h.line[h.gone]
	}
	return nil
}

// pop takes the first away; there is one.
func (h *held) pop() {
	if h.isLate() {
		h.late.pop()
		return
	}
	h.line[h.gone] = heldPacket{}
	if h.gone++; h.gone == len(h.line) {
		h.line, h.gone = h.line[:0], 0
	}
}

// all yields them in no order.
func (h *held) all() iter.Seq[*heldPacket] {
	return func(yield func(*heldPacket) bool) {
		for _, some := range [][]heldPacket{h.line[h.gone:], h.late} {
			for i := range some {
				if !yield(&some[i]) {
					return
				}
			}
		}
	}
}

// lateHeap is a binary heap, the first packet at its root. (container/heap
// would box every packet.)
type lateHeap []heldPacket

func (h *lateHeap) push(time int64, seq uint64) *heldPacket {
	*h = append(*h, heldPacket{time: time, seq: seq})
	all := *h
	i := len(all) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !all[i].before(&all[parent]) {
			break
		}
		all[i], all[parent] = all[parent], all[i]
		i = parent
	}
	return &all[i]
}

func (h *lateHeap) pop() {
	all := *h
	last := len(all) - 1
	all[0], all[last] = all[last], heldPacket{}
	all = all[:last]
	*h = all
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return
		}
		if child+1 < last && all[child+1].before(&all[child]) {
			child++
		}
		if !all[child].before(&all[i]) {
			return
		}
		all[i], all[child] = all[child], all[i]
		i = child
	}
}
