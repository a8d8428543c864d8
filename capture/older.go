package capture

import (
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
