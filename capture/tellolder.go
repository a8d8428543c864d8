package capture

import (
	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// tellBatch is how many older sockets are told of before the consumer gets them.
const tellBatch = 1024

// join joins a snapshot with what the kernel side has told, and tells of the
// sockets in it.
func (s *Session) join(a *surroundings, yield func(*pcapng.Packet, error) bool) (bool, error) {
	b := s.begin
	var e bpf.Event
	for _, record := range b.held {
		if err := bpf.Decode(&e, record); err != nil {
			return true, err
		}
		b.arrivals.note(&e, false)
	}
	j := s.sockets.newJoiner(b.arrivals.has)
	j.blind = a.beginning.NoDiag != nil
	n := 0
	for i := range a.links {
		// Our own are not told of.
		if heldBy(a.links[i].Client, s.self) || heldBy(a.links[i].Server, s.self) {
			continue
		}
		for _, f := range j.join(&a.links[i]) {
			if !s.tellOlder(a, &f, b.at) {
				continue
			}
			if n++; n%tellBatch == 0 && !s.hand(yield, max(b.at, s.order.last)+s.order.window, false) {
				return false, nil
			}
		}
	}
	return true, nil
}

func heldBy(s *snapshot.Socket, pid uint32) bool {
	if s == nil {
		return false
	}
	for _, h := range s.Holders {
		if h.Process.PID == pid {
			return true
		}
	}
	return false
}

// tellOlder hands out the record of an older socket, if it is kept.
func (s *Session) tellOlder(a *surroundings, f *found, at int64) bool {
	p := f.packet()
	if !a.keeps(s, &p, f) {
		return false
	}
	t := max(at, s.order.last)
	p.Time = s.clock.wall(t)
	if t > at {
		p.OwnTime = s.clock.wall(at)
	}
	s.order.put(t, 0, &p)
	s.stats.existing.Add(1)
	return true
}

// keeps reports whether the options keep a record of an older socket.
func (a *surroundings) keeps(s *Session, p *pcapng.Packet, f *found) bool {
	at := func(o *snapshot.Socket) bool {
		return o != nil && (s.paths.paths.Match(o.Address) || a.chosen.Has(o))
	}
	if !s.paths.paths.All() && !at(f.self) && !at(f.other) {
		return false
	}
	return s.filter.expr.All() || s.filter.expr.MatchAt(p, func(t *filter.Path) bool {
		has := func(o *snapshot.Socket) bool {
			return o != nil && o.Address != "" && (t.Match(o.Address) || a.files[t].Has(o))
		}
		return t.End != filter.Dst && has(f.self) || t.End != filter.Src && has(f.other)
	})
}

// maxHolders bounds how many processes are named that hold an end.
const maxHolders = 64

// packet is the record of an older socket, without its time.
func (f *found) packet() pcapng.Packet {
	p := pcapng.Packet{
		Event: pcapng.EventSnapshot, Type: f.self.Type, Role: f.role, State: f.state,
		Path: f.path, ConnID: f.conn, MessageLen: pcapng.Unknown, NetNS: f.self.NetNS,
		Sender: endOf(f.self), Peer: pcapng.Endpoint{UID: pcapng.Unknown, GID: pcapng.Unknown, Inode: f.self.Peer},
	}
	here := placeOfHolder(f.self)
	p.Exe, p.Cgroup, p.Container, p.ContainerName, p.Pod, p.Unit = here.Exe, here.Cgroup, here.Container, here.ContainerName, here.Pod, here.Unit
	if f.other != nil {
		p.Peer, p.PeerPlace = endOf(f.other), placeOfHolder(f.other)
	}
	p.Holders = appendHolders(appendHolders(nil, f.self, false), f.other, true)
	return p
}

// endOf describes a socket by who holds it: of several the one of the lowest
// number.
func endOf(s *snapshot.Socket) pcapng.Endpoint {
	if len(s.Holders) == 0 {
		return pcapng.Endpoint{UID: s.UID, GID: pcapng.Unknown, Inode: s.Inode}
	}
	p := s.Holders[0].Process
	return pcapng.Endpoint{PID: p.PID, UID: p.UID, GID: p.GID, Comm: p.Comm, Inode: s.Inode}
}

// placeOfHolder is where the process runs that endOf describes.
func placeOfHolder(s *snapshot.Socket) pcapng.Place {
	if len(s.Holders) == 0 {
		return pcapng.Place{}
	}
	return s.Holders[0].Process.Place
}

// appendHolders appends those who hold a socket, if they are several.
func appendHolders(dst []pcapng.Holder, s *snapshot.Socket, peer bool) []pcapng.Holder {
	if s == nil || len(s.Holders) == 0 || onlyHolder(s) != nil {
		return dst
	}
	n := 0
	for i, h := range s.Holders {
		if i > 0 && s.Holders[i-1].Process == h.Process || n == maxHolders {
			continue
		}
		n++
		p := h.Process
		dst = append(dst, pcapng.Holder{Peer: peer, PID: p.PID, UID: p.UID, GID: p.GID, Comm: p.Comm})
	}
	return dst
}
