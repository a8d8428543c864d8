package capture

import (
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// release makes packets of a unit whose place in its receiver's order is known.
func (s *Session) release(u *unit) {
	from, to := u.from, u.to
	if u.life != nil {
		s.tellEnd(u.life, from, to)
		return
	}
	s.skip(u)
	if from.connecting != nil || to.connecting != nil {
		s.connectedBy(u)
	}
	from.lost += s.gap(u)
	dropped := s.losses.before(u)
	switch {
	case u.head.Task.Pid != 0 && u.head.Task.Pid == s.self:
		s.stats.self.Add(1)
	case s.unknown(u):
		from.lost += uint64(u.head.Total)
		s.units.dropped++
		s.losses.carry += dropped
		return
	case !s.paths.keeps(from) && !s.paths.keeps(to):
		s.stats.filtered.Add(1)
	default:
		s.losses.carry += s.makePackets(u, dropped)
		return
	}
	from.skipped += uint64(u.head.Total)
	s.losses.carry += dropped
}

// makePackets makes packets of a unit, of which the first that is kept says that
// so many units were dropped before it. It gives how many none says.
func (s *Session) makePackets(u *unit, dropped uint64) uint64 {
	p := s.order.packet()
	s.fill(p, u)
	t := s.stamp(p, u)
	var r *reading
	if u.awaits() {
		r = s.order.reading()
	}
	kept := false
	uncertain := p.Uncertain
	rest := remainder{data: u.data, offset: p.Offset, bytes: u.head.Total}
	for more := true; more; {
		rest.cut(p)
		more = p.More
		if !s.filter.keeps(p, u.from, u.to) {
			u.from.skipped += uint64(p.Len)
			if !more {
				s.order.recycle(p)
			}
			continue
		}
		kept = true
		s.sayMissing(p, u.from, dropped)
		dropped = 0
		next := p
		if more { // p becomes the next one
			next = s.order.copyOf(p)
		}
		s.order.hold(t, u.head.Sender, next, r)
	}
	if r != nil && kept {
		s.await(u, r)
	}
	s.count(u, uncertain, kept)
	return dropped
}

// stamp gives a unit's packet its time, and gives its place in boot time: the
// receiver's order goes before time, and time does not go back.
func (s *Session) stamp(p *pcapng.Packet, u *unit) int64 {
	t := int64(u.head.Time)
	p.Time = s.clock.wall(t)
	if last := max(u.to.last, s.order.last); t < last {
		p.OwnTime, t = p.Time, last
		p.Time = s.clock.wall(t)
	}
	u.to.last = t
	return t
}

// sayMissing says in a packet that is kept what is missing before it.
func (s *Session) sayMissing(p *pcapng.Packet, from *socket, dropped uint64) {
	p.Lost, p.Skipped, p.DropCount = from.lost, from.skipped, dropped
	if from.lost > 0 {
		s.stats.lostBytes.Add(from.lost)
	}
	from.lost, from.skipped = 0, 0
}

// unknown says that the kernel side had no room to tell of the sockets of a unit:
// nobody knows whether it is wanted, or who sent it to where, so it is lost.
func (s *Session) unknown(u *unit) bool {
	return (u.from.nameless() || u.to.nameless()) && (s.losses.notes > 0 || s.progs.counters()[bpf.LossNote] > 0)
}

// count counts a unit that is kept or left out.
func (s *Session) count(u *unit, uncertain pcapng.Uncertain, kept bool) {
	if !kept {
		s.stats.filtered.Add(1)
		return
	}
	s.tally.received++
	switch {
	case !u.cut:
	case u.head.Flags&bpf.DataUnreadable != 0:
		s.stats.unreadable.Add(1)
	default:
		s.stats.cut.Add(1)
	}
	if uncertain&pcapng.UncertainOrder != 0 {
		s.stats.orderUnsure.Add(1)
	}
	if uncertain&pcapng.UncertainSender != 0 {
		s.stats.senderUnsure.Add(1)
	}
}

// skip notes what the kernel side has left out of a sender's bytes since its
// last unit.
func (s *Session) skip(u *unit) {
	from, left := u.from, u.head.Skipped
	if left <= from.left {
		return
	}
	from.skipped += left - from.left
	from.next += left - from.left
	from.left = left
}

// gap notes the bytes of a unit and gives those missing before it. What the
// kernel side counted without a lock, datagrams and units whose order it did
// not know, goes by our own count, unless something was lost.
func (s *Session) gap(u *unit) uint64 {
	from, h := u.from, u.head
	if h.Offset != from.next && (u.placed || u.unsure ||
		h.Type == uint8(pcapng.Datagram) && s.progs.counters()[bpf.LossRing] == 0) {
		h.Offset = from.next
	}
	var lost uint64
	if h.Offset > from.next {
		lost = h.Offset - from.next
	}
	from.next = max(from.next, h.Offset+uint64(h.Total))
	return lost
}

// fill describes a unit in an empty packet, all but its time, bytes and losses.
func (s *Session) fill(p *pcapng.Packet, u *unit) {
	h, from, to := u.head, u.from, u.to
	conn := s.sockets.between(from, to)
	p.Event, p.Type, p.NetNS = pcapng.EventData, pcapng.SocketType(h.Type), from.info.Netns
	p.ConnID, p.Offset, p.Message, p.MessageLen = conn.id, h.Offset, s.sockets.message(from, h.Message), pcapng.Unknown
	if h.Flags&(bpf.DataNoSender|bpf.DataUnsureSender) != 0 || h.Time <= from.doubted {
		p.Uncertain |= pcapng.UncertainSender
	}
	if u.unsure || h.Flags&bpf.DataUnsureOrder != 0 {
		p.Uncertain |= pcapng.UncertainOrder
	}
	e := &p.Sender
	e.UID, e.GID, e.Inode = pcapng.Unknown, pcapng.Unknown, from.info.Inode
	if h.Flags&bpf.DataNoSender == 0 {
		e.PID, e.TID, e.UID, e.GID = h.Task.Pid, h.Task.Tid, h.Task.Uid, h.Task.Gid
		e.Comm, e.Thread = from.names(&h.Task)
	}
	if h.ReaderPid != 0 {
		p.Reader = to.readBy(h.ReaderPid, h.ReaderTid, readerPlace(h.Flags), func(uint32) string { return to.readerComm(h.ReaderComm[:]) })
		to.readerIs = h.ReaderProcess
	}
	s.sockets.setPeer(&p.Peer, from, to)
	if r := &u.read; r.Flags&bpf.DataRead != 0 {
		setReader(p, s.sockets.reader(to, r), waited(h.Time, r.Time))
	}
	if h.Flags&bpf.DataNoSender == 0 {
		from.user = processKey{h.Task.Pid, h.Task.Process}
	}
	s.identify(p, &h.Task, from, to)
	switch {
	case h.Flags&bpf.DataRead != 0:
		p.Stamp = pcapng.StampRead
	case h.Flags&bpf.DataWaiting != 0:
		p.Stamp = pcapng.StampWaiting
	}
	if h.Queued != 0 && h.Flags&bpf.DataRead != 0 && h.Time > h.Queued {
		p.Latency = time.Duration(h.Time - h.Queued)
	}
	if p.Type != pcapng.Stream {
		p.MessageLen, p.Path = h.Total, to.path
	}
	if p.Type != pcapng.Datagram {
		p.Path = from.path
		if conn.server == to.info.Socket {
			p.Path = to.path
		}
	}
	if to.info.Socket == 0 {
		from.complete(p)
	}
	if u.passed != nil || h.Flags&bpf.DataCredentials != 0 {
		s.fillPassed(p, u)
	}
	if conn.server != 0 {
		p.Role = pcapng.RoleClient
		if conn.server == from.info.Socket {
			p.Role = pcapng.RoleServer
		}
	}
}
