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
	h := &u.head
	s.skip(u)
	if from.connecting != nil || to.connecting != nil {
		s.connectedBy(u)
	}
	from.lost += s.gap(u)
	dropped := s.losses.before(u)
	if h.Task.Pid != 0 && h.Task.Pid == s.self {
		from.skipped += uint64(h.Total)
		s.stats.self.Add(1)
		s.losses.carry += dropped
		return
	}
	if s.unknown(u) {
		from.lost += uint64(h.Total)
		s.units.dropped++
		s.losses.carry += dropped
		return
	}
	if !s.paths.keeps(from) && !s.paths.keeps(to) {
		from.skipped += uint64(h.Total)
		s.stats.filtered.Add(1)
		s.losses.carry += dropped
		return
	}
	p := s.order.packet()
	s.fill(p, u)
	if u.unsure || h.Flags&bpf.DataUnsureOrder != 0 {
		p.Uncertain |= pcapng.UncertainOrder
	}
	t := int64(h.Time)
	p.Time = s.clock.wall(t)
	if last := max(to.last, s.order.last); t < last { // the receiver's order goes before time, and time does not go back
		p.OwnTime, t = p.Time, last
		p.Time = s.clock.wall(t)
	}
	to.last = t
	var r *reading
	if u.awaits() {
		r = s.order.reading()
	}
	kept := false
	uncertain := p.Uncertain
	packets(p, u, func(p *pcapng.Packet) {
		p.Lost, p.Skipped, p.DropCount = 0, 0, 0
		if !s.filter.keeps(p, from, to) {
			from.skipped += uint64(p.Len)
			if !p.More {
				s.order.recycle(p)
			}
			return
		}
		p.Lost, p.Skipped, p.DropCount = from.lost, from.skipped, dropped
		if from.lost > 0 {
			s.stats.lostBytes.Add(from.lost)
		}
		from.lost, from.skipped, dropped = 0, 0, 0
		kept = true
		if p.More { // it becomes the next one
			p = s.order.copyOf(p)
		}
		s.order.hold(t, h.Sender, p, r)
	})
	if r != nil && kept {
		s.await(u, r)
	}
	s.losses.carry += dropped
	s.count(uncertain, kept)
}

// unknown says that the kernel side had no room to tell of the sockets of a unit:
// nobody knows whether it is wanted, or who sent it to where, so it is lost.
func (s *Session) unknown(u *unit) bool {
	return (u.from.nameless() || u.to.nameless()) && (s.losses.notes > 0 || s.progs.counters()[bpf.LossNote] > 0)
}

// count counts a unit that is kept or left out.
func (s *Session) count(uncertain pcapng.Uncertain, kept bool) {
	if !kept {
		s.stats.filtered.Add(1)
		return
	}
	s.stats.received.Add(1)
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
	from, h := u.from, &u.head
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
	h, from, to := &u.head, u.from, u.to
	conn := s.sockets.between(from, to)
	p.Event, p.Type, p.NetNS = pcapng.EventData, pcapng.SocketType(h.Type), from.info.Netns
	p.ConnID, p.Offset, p.Message, p.MessageLen = conn.id, h.Offset, s.sockets.message(from, h.Message), pcapng.Unknown
	if h.Flags&(bpf.DataNoSender|bpf.DataUnsureSender) != 0 || h.Time <= from.doubted {
		p.Uncertain |= pcapng.UncertainSender
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
