package capture

import (
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// orderWindow is how long packets are held so that those of other CPUs can
// take their place before them.
const orderWindow = 50 * time.Millisecond

// order gives packets of all connections by time.
type order struct {
	items    ordered
	window   int64 // ns
	seq      uint64
	free     []*pcapng.Packet
	given    orderedPacket // the last one
	readings []*reading    // to be used again
	last     int64         // time of the last that was given
}

type orderedPacket struct {
	time   int64 // boot time, ns
	seq    uint64
	sender uint64 // the kernel side's number of the sending socket
	packet *pcapng.Packet
	unread *reading // what it is a packet of, nil: nothing that is to be read
}

// ordered is a binary heap, the first packet at its root. (container/heap
// would box every packet.)
type ordered []orderedPacket

func (o ordered) less(i, j int) bool {
	if o[i].time != o[j].time {
		return o[i].time < o[j].time
	}
	return o[i].seq < o[j].seq
}

func (o *ordered) push(p orderedPacket) {
	*o = append(*o, p)
	h := *o
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (o *ordered) pop() orderedPacket {
	h := *o
	last := len(h) - 1
	first := h[0]
	h[0], h[last] = h[last], orderedPacket{}
	h = h[:last]
	*o = h
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if child+1 < last && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return first
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// put adds a copy of p, its bytes too.
func (o *order) put(t int64, sender uint64, p *pcapng.Packet) { o.hold(t, sender, p, nil) }

// hold is put of a packet that may still learn who reads it.
func (o *order) hold(t int64, sender uint64, p *pcapng.Packet, unread *reading) {
	var held *pcapng.Packet
	if n := len(o.free); n > 0 {
		held, o.free = o.free[n-1], o.free[:n-1]
	} else {
		held = &pcapng.Packet{}
	}
	data := append(held.Data[:0], p.Data...)
	*held = *p
	held.Data = data
	o.seq++
	o.items.push(orderedPacket{t, o.seq, sender, held, unread})
	if unread != nil {
		unread.packets = append(unread.packets, held)
		unread.left++
	}
}

// next takes the first packet whose time has come; nil if there is none yet.
// It is valid until the next call.
func (o *order) next(now int64, all bool) *pcapng.Packet {
	o.reuse()
	if len(o.items) == 0 || (!all && o.items[0].time > now-o.window) {
		return nil
	}
	first := o.items.pop()
	p := first.packet
	o.last = max(o.last, first.time)
	o.given = first
	if first.unread != nil {
		first.unread.out = true
	}
	return p
}

// reuse takes back the packet that was given last, unless more is to be said of
// it.
func (o *order) reuse() {
	p, r := o.given.packet, o.given.unread
	o.given = orderedPacket{}
	if p == nil {
		return
	}
	if r == nil {
		o.recycle(p)
		return
	}
	r.left--
	if !r.done && p == r.packets[0] {
		p.Data, p.FDs, r.kept = nil, nil, p
	} else {
		o.recycle(p)
	}
	o.settle(r)
}

func (o *order) recycle(p *pcapng.Packet) {
	if cap(p.Data) <= keepBuffer && len(o.free) < keepBuffers {
		o.free = append(o.free, p)
	}
}

// forget says that nothing more is to be said of a unit's packets.
func (o *order) forget(r *reading) {
	r.done = true
	if r.kept != nil {
		o.recycle(r.kept)
		r.kept = nil
	}
	o.settle(r)
}

// settle takes back what nobody needs any more.
func (o *order) settle(r *reading) {
	if r.done && r.left == 0 && len(o.readings) < keepBuffers {
		o.readings = append(o.readings, r)
	}
}

// reading is an empty one.
func (o *order) reading() *reading {
	if n := len(o.readings); n > 0 {
		r := o.readings[n-1]
		o.readings = o.readings[:n-1]
		*r = reading{packets: r.packets[:0]}
		return r
	}
	return &reading{}
}

// drop notes on the first packet since a boot time that n were lost before it;
// false if there is none.
func (o *order) drop(since int64, n uint64) bool {
	first := -1
	for i, held := range o.items {
		if held.time >= since && (first < 0 || o.items.less(i, first)) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	o.items[first].packet.DropCount += n
	return true
}

// doubt marks the data of a sender as of an uncertain task, and gives how many
// units were not marked before.
func (o *order) doubt(sender uint64) (n uint64) {
	for _, held := range o.items {
		p := held.packet
		if held.sender != sender || p.Event != pcapng.EventData || p.Uncertain&pcapng.UncertainSender != 0 {
			continue
		}
		p.Uncertain |= pcapng.UncertainSender
		if !p.Continued {
			n++
		}
	}
	return n
}
