package capture

import (
	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// older is a socket that is older than the capture, as a snapshot found it.
// What the kernel side tells of the same socket is joined with it by the inode,
// so that its connection has one number from the snapshot on, and the peer of
// its first message a name. It is forgotten when the socket is closed, or found
// to be another one.
type older struct {
	typ     pcapng.SocketType
	role    pcapng.Role
	address string
	peer    uint64 // inode of the other end, 0 if there is none, or none yet
	path    string // the service's
	conn    uint64 // connection id, 0: it has none

	holder *snapshot.Process // who alone holds it; nil: nobody that is seen, or several
	other  *snapshot.Process // who alone holds the other end
}

// connected reports whether it has but one other end for as long as it lives.
func (o *older) connected() bool { return o.typ != pcapng.Datagram && o.conn != 0 }

// recall finds what was known of a socket before the kernel side told of it.
func (t *sockets) recall(s *socket) {
	if s.older != nil || s.info.Inode == 0 {
		return
	}
	o := t.older[s.info.Inode]
	switch {
	case o == nil:
	case uint8(o.typ) != s.info.Type, o.address != "" && o.address != s.path:
		delete(t.older, s.info.Inode) // its number is another's by now
	default:
		s.older = o
	}
}

// forget is told that a socket is closed.
func (t *sockets) forget(s *socket) { delete(t.older, s.info.Inode) }

// resume gives the connection that two sockets had before the capture, nil if
// that is not known.
func (t *sockets) resume(from, to *socket) *connection {
	of, other := from, to
	if !of.resumes(other) {
		if of, other = to, from; !of.resumes(other) {
			return nil
		}
	}
	c := &connection{id: of.older.conn}
	switch of.older.role {
	case pcapng.RoleServer:
		c.server = of.info.Socket
	case pcapng.RoleClient:
		c.server = other.info.Socket
	}
	return c
}

// resumes reports whether s has talked to the other before the capture.
func (s *socket) resumes(other *socket) bool {
	o := s.older
	if o == nil || o.conn == 0 {
		return false
	}
	return o.typ != pcapng.Datagram || o.peer != 0 && o.peer == other.info.Inode
}

// holder is who alone held the other end of from when the capture began, nil if
// that is not known.
func (t *sockets) holder(from, to *socket) *snapshot.Process {
	if to.older != nil {
		return to.older.holder
	}
	if o := from.older; o != nil && (o.connected() || to.info.Socket == 0) {
		return o.other
	}
	return nil
}

// complete adds to a packet of from, whose receiver is not known, what is known
// from before.
func (s *socket) complete(p *pcapng.Packet) {
	o := s.older
	if o == nil || !o.connected() {
		return
	}
	p.Peer.Inode = o.peer
	if p.Role == pcapng.RoleUnknown && p.Path == "" {
		p.Role, p.Path = o.role, o.path
	}
}

// joiner makes older sockets of a snapshot's.
type joiner struct {
	t     *sockets
	known map[uint64]*socket // by inode: what the kernel side has told of so far
	left  func(*snapshot.Socket) bool
	blind bool // the snapshot does not know which sockets are connected
}

// newJoiner joins with the sockets in t. left reports which are no older
// sockets.
func (t *sockets) newJoiner(left func(*snapshot.Socket) bool) *joiner {
	j := &joiner{t: t, left: left, known: make(map[uint64]*socket)}
	t.byNumber.each(func(s *socket) {
		if s.info.Inode != 0 {
			j.known[s.info.Inode] = s
		}
	})
	t.older = make(map[uint64]*older)
	return j
}

// found is an older socket, its socket in the snapshot and that of the other
// end, nil if there is none.
type found struct {
	*older
	self, other *snapshot.Socket
	state       pcapng.State
}

// join remembers the ends of a link, and gives them.
func (j *joiner) join(l *snapshot.Link) []found {
	both := l.Client != nil && l.Server != nil
	mutual := both && l.Client.Peer == l.Server.Inode && l.Server.Peer == l.Client.Inode && l.Client != l.Server
	ends := []found{{self: l.Any()}}
	switch {
	case mutual:
		ends = []found{{self: l.Client, other: l.Server}, {self: l.Server, other: l.Client}}
	case both: // a datagram socket that is connected one way, or a client that waits
		ends = []found{{self: l.Client, other: l.Server}}
	}
	for i := range ends {
		e := &ends[i]
		e.state = stateOf(l.State)
		e.older = newOlder(e.self, e.other, l)
	}
	j.number(ends)
	kept := ends[:0]
	for _, e := range ends {
		if j.left(e.self) {
			continue
		}
		kept = append(kept, e)
		if len(j.t.older) < maxSockets {
			j.t.older[e.self.Inode] = e.older
		}
		if s := j.known[e.self.Inode]; s != nil {
			j.t.recall(s)
		}
	}
	return kept
}

// newOlder describes one end of a link.
func newOlder(self, other *snapshot.Socket, l *snapshot.Link) *older {
	o := &older{typ: self.Type, address: self.Address, path: l.Address(), holder: onlyHolder(self)}
	switch {
	case self == l.Server:
		o.role = pcapng.RoleServer
	case l.Server != nil || l.State == snapshot.LinkPending: // else it may be of a pair
		o.role = pcapng.RoleClient
	}
	if other == nil {
		o.peer = self.Peer
		return o
	}
	o.other = onlyHolder(other)
	if l.State != snapshot.LinkPending { // the listener is but the way to its peer
		o.peer = other.Inode
	}
	if self.Type == pcapng.Datagram && self.Address != "" && other.Address != "" {
		o.role, o.path = pcapng.RoleUnknown, other.Address // who receives first is the server
	}
	return o
}

// number gives the ends of a link the number of their connection: the one that
// it has already, or a new one.
func (j *joiner) number(ends []found) {
	first := &ends[0]
	switch first.state {
	case pcapng.StateListening, pcapng.StateUnconnected, 0:
		return
	}
	if j.blind || first.typ == pcapng.Datagram && first.other == nil {
		return // with whom it talks is hidden, or gone
	}
	c := j.connection(ends)
	if c == nil {
		j.t.nextConn++
		c = &connection{id: j.t.nextConn}
	}
	for i := range ends {
		e := &ends[i]
		e.conn = c.id
		if s := j.known[e.self.Inode]; s != nil && c.server != 0 {
			e.role = pcapng.RoleClient
			if c.server == s.info.Socket {
				e.role = pcapng.RoleServer
			}
		}
	}
}

// connection is that of a link, if the kernel side has told of it already.
func (j *joiner) connection(ends []found) *connection {
	for i := range ends {
		s := j.known[ends[i].self.Inode]
		if s == nil {
			continue
		}
		if s.talk != nil {
			return s.talk
		}
		if other := ends[i].other; other != nil && j.known[other.Inode] != nil {
			if c, ok := j.t.pairs.get(pairKey(s, j.known[other.Inode])); ok {
				return c
			}
		}
	}
	return nil
}

func stateOf(s snapshot.LinkState) pcapng.State {
	switch s {
	case snapshot.LinkListening:
		return pcapng.StateListening
	case snapshot.LinkEstablished:
		return pcapng.StateConnected
	case snapshot.LinkPending:
		return pcapng.StateConnecting
	case snapshot.LinkClosed:
		return pcapng.StateDisconnected
	case snapshot.LinkUnconnected:
		return pcapng.StateUnconnected
	}
	return 0
}

// onlyHolder is the one process that holds a socket, nil if there are several,
// or none that is seen.
func onlyHolder(s *snapshot.Socket) *snapshot.Process {
	if len(s.Holders) == 0 {
		return nil
	}
	first := s.Holders[0].Process
	for _, h := range s.Holders {
		if h.Process != first {
			return nil
		}
	}
	return first
}

// arrivals are the sockets that have come and gone since the capture began, as
// far as the kernel side has told before the snapshot was joined.
type arrivals struct {
	sockets map[uint64]arrived // by number
	born    map[uint64]bool    // by inode: connected, accepted or made to listen since
	closed  map[uint64]bool    // by inode: and this has been told of
}

type arrived struct {
	inode uint64
	typ   uint8
}

func newArrivals() arrivals {
	return arrivals{sockets: make(map[uint64]arrived), born: make(map[uint64]bool), closed: make(map[uint64]bool)}
}

// note takes what the kernel side tells; told says that it goes out at once.
func (a *arrivals) note(e *bpf.Event, told bool) {
	switch e.Kind {
	case bpf.KindSocket:
		if len(a.sockets) < maxSockets && e.Socket.Inode != 0 {
			a.sockets[e.Socket.Socket] = arrived{e.Socket.Inode, e.Socket.Type}
		}
	case bpf.KindLife:
		s, ok := a.sockets[e.Life.Socket]
		if !ok {
			return
		}
		switch e.Life.What {
		case bpf.LifeAccept, bpf.LifeListen:
			a.born[s.inode] = true
		case bpf.LifeConnect:
			if s.typ != uint8(pcapng.Datagram) { // which connects time and again
				a.born[s.inode] = true
			}
		case bpf.LifeClose, bpf.LifeCloseUnread:
			if told {
				a.closed[s.inode] = true
			}
		}
	}
}

// has reports whether a socket is none that is older than the capture and was
// there when the snapshot was joined.
func (a *arrivals) has(s *snapshot.Socket) bool { return a.born[s.Inode] || a.closed[s.Inode] }
