package capture

import (
	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// What is lost of a socket's bytes, the next of its packets that is kept says
// (Lost). What is lost behind the last of them a packet of its own says
// (EventLost): when the socket is closed, or the capture ends. Bytes of units
// that no hook has seen are not known, so neither are they here.

// sentAll is how much a socket has sent in all, as the kernel side counts.
type sentAll struct{ bytes, skipped uint64 }

// tellLost tells what is missing of a direction that will have no more data, as
// of a boot time. known says that the kernel side has told how much it was.
func (s *Session) tellLost(from, to *socket, at int64, all sentAll, known bool) {
	if left := all.skipped; known && left > from.left { // as skip does
		from.skipped += left - from.left
		from.next += left - from.left
		from.left = left
	}
	if known && all.bytes > from.next {
		from.lost += all.bytes - from.next
		from.next = all.bytes
	}
	if from.lost == 0 || from.info.Inode == 0 || !s.paths.keeps(from) && !s.paths.keeps(to) {
		return
	}
	p := pcapng.Packet{
		Event: pcapng.EventLost, Type: pcapng.SocketType(from.info.Type), MessageLen: pcapng.Unknown, NetNS: from.info.Netns,
		Offset: from.next, Lost: from.lost, Skipped: from.skipped,
		Sender: pcapng.Endpoint{UID: pcapng.Unknown, GID: pcapng.Unknown, Inode: from.info.Inode},
		Peer:   pcapng.Endpoint{UID: pcapng.Unknown, GID: pcapng.Unknown},
	}
	if t := &from.task; t.Pid != 0 { // who sent before it
		p.Sender = pcapng.Endpoint{PID: t.Pid, TID: t.Tid, UID: t.Uid, GID: t.Gid, Inode: from.info.Inode, Comm: from.comm, Thread: from.thread}
		p.Uncertain = pcapng.UncertainSender
	}
	s.place(&p, from, to)
	t := max(at, to.last, s.order.last)
	p.Time = s.clock.wall(t)
	if t > at {
		p.OwnTime = s.clock.wall(at)
	}
	if !s.filter.keeps(&p, from, to) {
		return
	}
	to.last = t
	p.DropCount, s.losses.carry = s.losses.carry, 0
	s.stats.lostBytes.Add(from.lost)
	from.lost, from.skipped = 0, 0
	s.order.put(t, 0, &p)
}

// otherEnd is where a socket sends, as far as is known.
func (s *Session) otherEnd(from *socket) *socket {
	if number := from.info.Peer; number != 0 {
		return s.sockets.of(number)
	}
	return from.elsewhere()
}

// lostAtEnd tells what is missing when the capture ends. How much there was in
// all, the kernel side's own map has, which is not looked at unless something
// was lost.
func (s *Session) lostAtEnd() {
	all := make(map[uint64]sentAll)
	if lost := s.progs.lostUnits(); lost > 0 {
		all = s.progs.sent()
		s.losses.carry += s.losses.by(lost)
	}
	now := bootTime()
	s.sockets.each(func(from *socket) {
		sent, known := all[from.info.Socket]
		if known || from.lost > 0 {
			s.tellLost(from, s.otherEnd(from), now, sent, known)
		}
	})
}

// lostUnits is how many the kernel side knows to have lost.
func (p *programs) lostUnits() uint64 {
	c := p.counters()
	return c[bpf.LossRing] + c[bpf.LossMap]
}

// sent is how much sockets have sent, by their numbers.
func (p *programs) sent() map[uint64]sentAll {
	all := make(map[uint64]sentAll)
	c := p.census()
	for done := false; !done; {
		var err error
		if done, err = c.next(func(r registered) { all[r.number] = r.sent }); err != nil {
			break // then no more is known
		}
	}
	return all
}
