package capture

import (
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// maxUnread bounds what is remembered of units that nobody has read yet. Of
// those beyond, the oldest, their reading is not told.
const maxUnread = 65536

// reading is a unit that was handed out, or is about to be, before it was read.
type reading struct {
	packets  []*pcapng.Packet // its own, held back by the order window
	from, to *socket
	place    uint64 // among all that to has had to read, 0 if that is not known
	queued   uint64 // boot time, 0 if unknown
	joined   uint64 // the unit before it in the same skb, read with it; 0: none
	left     int    // packets that were not handed out yet
	out      bool   // one was: of them only the first is kept, without payload and descriptors
	kept     *pcapng.Packet
	done     bool // it was read, or thrown away
}

// named takes who reads a socket, or has accepted it, with the names.
func (s *socket) named(r *bpf.Reader) {
	e := &pcapng.Endpoint{
		PID: r.Pid, TID: r.Tid, UID: r.Uid, GID: r.Gid,
		Comm: cString(r.Comm[:]), Thread: cString(r.Thread[:]),
	}
	if e.Thread == e.Comm {
		e.Thread = ""
	}
	s.readers[r.Place%bpf.Readers], s.reader = e, e
	s.readersAre[r.Place%bpf.Readers], s.readerIs = r.Process, r.Process
}

// hasOneReader reports whether one task alone has read a socket, as far as is
// remembered.
func (s *socket) hasOneReader() bool {
	first := s.reader
	for _, r := range s.readers {
		if r != nil && first != nil && (r.PID != first.PID || r.TID != first.TID) {
			return false
		}
	}
	return true
}

// readerPlace is where the names of a unit's reader are, by its flags.
func readerPlace(flags uint16) uint8 {
	if flags&bpf.DataNamed == 0 {
		return bpf.Readers
	}
	return uint8(flags >> bpf.DataPlace)
}

// readBy takes who has read a socket, named in place if that is below
// [bpf.Readers], else by comm. The result is not to be changed.
func (s *socket) readBy(pid, tid uint32, place uint8, comm func(pid uint32) string) *pcapng.Endpoint {
	if place < bpf.Readers {
		if r := s.readers[place]; r != nil && r.PID == pid && r.TID == tid {
			s.reader, s.readerIs = r, s.readersAre[place]
			return r
		}
	}
	name := comm(pid)
	if r := s.reader; r == nil || r.PID != pid || r.TID != tid || r.Comm != name {
		if r == nil || r.PID != pid {
			s.readerIs = 0
		}
		s.reader = &pcapng.Endpoint{PID: pid, TID: tid, UID: pcapng.Unknown, GID: pcapng.Unknown, Comm: name}
	}
	return s.reader
}

// readerComm is cString of a name, without a copy if the last reader has it too.
func (s *socket) readerComm(name []byte) string {
	if r := s.reader; r != nil && isCString(name, r.Comm) {
		return r.Comm
	}
	return cString(name)
}

// reader is who has read a unit, sent to a socket.
func (t *sockets) reader(to *socket, e *bpf.Read) *pcapng.Endpoint {
	return to.readBy(e.Pid, e.Tid, e.Place, func(pid uint32) string {
		if r := to.reader; r != nil && r.PID == pid {
			return r.Comm
		}
		return t.comm(pid)
	})
}

// awaits says whether a unit was handed over before it was read. (One that is
// no data of the send side and is not pending was thrown away unread.)
func (u *unit) awaits() bool {
	waiting := u.head.Flags&bpf.DataWaiting != 0
	return u.read.Unit == 0 && u.head.Flags&bpf.DataRead == 0 && (!waiting || u.head.Flags&bpf.DataPending != 0)
}

// await remembers a unit until it is read.
func (s *Session) await(u *unit, r *reading) {
	r.from, r.to, r.queued = u.from, u.to, u.head.Time
	if u.head.Flags&bpf.DataWaiting != 0 {
		r.queued = u.head.Queued
	}
	if r.to.info.Socket != 0 {
		r.to.awaited++
		r.place = r.to.awaited
	}
	if u.head.Flags&bpf.DataJoined != 0 {
		r.joined = u.from.lastUnit
	}
	u.from.lastUnit = u.head.Unit
	s.unread.put(u.head.Unit, r)
}

// wasRead takes word that a unit was read, or thrown away.
func (s *Session) wasRead(e *bpf.Read) {
	if u := s.units.open[e.Unit]; u != nil {
		from := u.from
		u.read = *e // its packets will say so
		s.units.consumed(e)
		if e.Flags&bpf.DataDrained != 0 {
			s.drained(from)
		}
		return
	}
	for unit, last := e.Unit, true; unit != 0; last = false {
		r, ok := s.unread.get(unit)
		if !ok {
			return
		}
		s.unread.remove(unit)
		r.to.readTo = max(r.to.readTo, r.place)
		if e.Flags&bpf.DataDrained != 0 {
			s.drained(r.from)
		}
		if e.Flags&bpf.DataRead != 0 && (last || r.to.hasOneReader()) {
			s.tellRead(r, e, last)
		}
		unit = r.joined
		s.order.forget(r)
	}
}

// readAhead is how much further than a unit that is unread its receiver may have
// read: by MSG_OOB, or where the order of what several have sent is not certain.
const readAhead = 4096

// isOver reports whether no word of the reading of a unit can come any more: its
// receiver was closed before an era, or has read on.
func (r *reading) isOver(era uint32) bool {
	return r.to.closed && r.to.era != era || r.place != 0 && r.place+readAhead < r.to.readTo
}

// tellRead says in a unit's packets who has read it, or by a packet of its own
// if they are gone and that is news. A unit that is not the last of its skb was
// read some time before that: how long it waited is not known.
func (s *Session) tellRead(r *reading, e *bpf.Read, last bool) {
	reader := s.sockets.reader(r.to, e)
	var latency time.Duration
	if last {
		latency = waited(r.queued, e.Time)
	}
	if !r.out {
		for _, p := range r.packets {
			setReader(p, reader, latency)
			s.identifyPeer(p, r.from, r.to)
		}
		return
	}
	p := r.packets[0]
	if reader.PID == p.Peer.PID && latency < orderWindow && p.Stamp == pcapng.StampQueued {
		return
	}
	p.Event, p.Len, p.Lost, p.Skipped, p.DropCount = pcapng.EventRead, 0, 0, 0, 0
	p.FDCount, p.FDs, p.Cred, p.SecID = 0, nil, nil, 0
	p.More, p.Continued, p.Truncated, p.Stamp = false, false, false, pcapng.StampRead
	setReader(p, reader, latency)
	s.identifyPeer(p, r.from, r.to)
	t := int64(e.Time)
	p.Time, p.OwnTime = s.clock.wall(t), time.Time{}
	if t < s.order.last { // as other packets that come late
		p.OwnTime, t = p.Time, s.order.last
		p.Time = s.clock.wall(t)
	}
	if s.filter.keeps(p, r.from, r.to) {
		s.order.put(t, 0, p)
	}
}

// setReader notes in a packet who has read it: that is its peer, too.
func setReader(p *pcapng.Packet, reader *pcapng.Endpoint, latency time.Duration) {
	inode := p.Peer.Inode
	p.Peer, p.Reader, p.Latency = *reader, reader, latency
	p.Peer.Inode = inode
}

// waited is the time from queueing to reading. What is read while its sender
// has not said yet that it is queued has not waited: as little as can be said.
func waited(queued, read uint64) time.Duration {
	if queued == 0 {
		return 0
	}
	return time.Duration(max(int64(read-queued), 1))
}
