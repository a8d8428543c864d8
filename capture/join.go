package capture

import (
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

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
	t.each(func(s *socket) {
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
