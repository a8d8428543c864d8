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
	held     held
	window   int64 // ns
	seq      uint64
	free     []*pcapng.Packet
	payloads payloads
	given    heldPacket // the last one
	readings []*reading // to be used again
	last     int64      // time of the last that was given
}

// packet gives an empty one, to be filled and given to hold.
func (o *order) packet() *pcapng.Packet {
	n := len(o.free)
	if n == 0 {
		return &pcapng.Packet{}
	}
	p := o.free[n-1]
	o.free = o.free[:n-1]
	*p = pcapng.Packet{}
	return p
}

// put adds a copy of p, its bytes too.
func (o *order) put(t int64, sender uint64, p *pcapng.Packet) { o.hold(t, sender, o.copyOf(p), nil) }

func (o *order) copyOf(p *pcapng.Packet) *pcapng.Packet {
	q := o.packet()
	*q = *p
	return q
}

// hold takes p, which is the order's from now on, but copies its bytes. If
// unread is not nil, p may still learn who reads it.
func (o *order) hold(t int64, sender uint64, p *pcapng.Packet, unread *reading) {
	o.seq++
	held := o.held.push(t, o.seq)
	held.sender, held.packet, held.unread = sender, p, unread
	p.Data, held.bytes = o.payloads.keep(p.Data)
	if unread != nil {
		unread.packets = append(unread.packets, p)
		unread.left++
	}
}

// next takes the first packet whose time has come; nil if there is none yet.
// It is valid until the next call.
func (o *order) next(now int64, all bool) *pcapng.Packet {
	o.reuse()
	first := o.held.first()
	if first == nil || (!all && first.time > now-o.window) {
		return nil
	}
	o.last = max(o.last, first.time)
	g := &o.given
	g.packet, g.bytes, g.unread = first.packet, first.bytes, first.unread
	o.held.pop()
	if g.unread != nil {
		g.unread.out = true
	}
	return g.packet
}

// reuse takes back the packet that was given last, unless more is to be said of
// it.
func (o *order) reuse() {
	p, r := o.given.packet, o.given.unread
	if p == nil {
		return
	}
	o.payloads.drop(o.given.bytes)
	o.given.packet = nil
	p.Data = nil
	if r == nil {
		o.recycle(p)
		return
	}
	r.left--
	if !r.done && p == r.packets[0] {
		p.FDs, r.kept = nil, p
	} else {
		o.recycle(p)
	}
	o.settle(r)
}

// keepPackets bounds what is kept for the next packets.
const keepPackets = 4096

func (o *order) recycle(p *pcapng.Packet) {
	if len(o.free) < keepPackets {
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
	if r.done && r.left == 0 && len(o.readings) < keepPackets {
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
	var first *heldPacket
	for p := range o.held.all() {
		if p.time >= since && (first == nil || p.before(first)) {
			first = p
		}
	}
	if first == nil {
		return false
	}
	first.packet.DropCount += n
	return true
}

// doubt marks the data of a sender as of an uncertain task, and gives how many
// units were not marked before.
func (o *order) doubt(sender uint64) (n uint64) {
	for held := range o.held.all() {
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
