package snapshot

import "github.com/sockcap/sockcap/pcapng"

// LinkState is how two sockets are connected, or one is not.
type LinkState uint8

// The states of a link.
const (
	LinkOther       LinkState = iota // none that we know
	LinkEstablished                  // connected
	LinkPending                      // connected, and not accepted yet
	LinkClosed                       // was connected, and the other end is closed
	LinkUnconnected
	LinkListening
)

// Link is a connection with both its sockets, or a socket that has none. Who
// connected is the client; of a pair the lower inode. A listener, and a
// datagram socket that others connect to, stand alone as servers besides being
// ends of links.
type Link struct {
	State  LinkState
	Client *Socket // nil if there is none, or it can't be seen
	Server *Socket // nil likewise; never both
}

// Address is the service's.
func (l *Link) Address() string {
	if l.Server != nil && l.Server.Address != "" {
		return l.Server.Address
	}
	if l.Client != nil {
		return l.Client.Address
	}
	return ""
}

// Any is an end that is there.
func (l *Link) Any() *Socket {
	if l.Server != nil {
		return l.Server
	}
	return l.Client
}

// Links gives every socket, and each connection once.
func (s *Snapshot) Links() []Link {
	j := joiner{
		byInode: make(map[uint64]*Socket, len(s.Sockets)), pending: make(map[uint64]*Socket),
		listening: make(map[place]bool), blind: s.NoDiag != nil,
	}
	for _, socket := range s.Sockets {
		j.byInode[socket.Inode] = socket
		if socket.State == Listening {
			j.listening[placeOf(socket)] = true
		}
		for _, client := range socket.Pending {
			j.pending[client] = socket
		}
	}
	links := make([]Link, 0, len(s.Sockets))
	for _, socket := range s.Sockets {
		if l, ok := j.link(socket); ok {
			links = append(links, l)
		}
	}
	return links
}

// joiner finds the other ends.
type joiner struct {
	byInode   map[uint64]*Socket
	pending   map[uint64]*Socket // listener, by the client that waits
	listening map[place]bool
	blind     bool // to peers
}

// place is where a socket is bound.
type place struct {
	netns        uint32 // of abstract names
	device, file uint32 // of files
	address      string
}

func placeOf(s *Socket) place {
	if s.File != 0 {
		return place{device: s.Device, file: s.File}
	}
	return place{netns: s.NetNS, address: s.Address}
}

// link is that of s, unless it is told of with the other end.
func (j *joiner) link(s *Socket) (Link, bool) {
	switch {
	case s.State == Listening:
		return Link{State: LinkListening, Server: s}, true
	case !s.Connected && (s.State == Unconnected || s.Type == pcapng.Datagram): // to whose state others' connects do something
		return alone(LinkUnconnected, s), true
	case !s.Connected:
		return alone(LinkOther, s), true
	case j.blind:
		return alone(LinkEstablished, s), true
	}
	peer := j.byInode[s.Peer]
	listener := j.pending[s.Inode]
	switch {
	case peer != nil && peer.Peer == s.Inode:
		if peer.Inode < s.Inode {
			return Link{}, false
		}
		return j.pair(s, peer), true
	case peer != nil:
		return Link{LinkEstablished, s, peer}, true // datagrams, one way
	case s.Peer == 0 && listener != nil:
		return Link{LinkPending, s, listener}, true
	case s.Peer == 0 && (s.Shutdown != 0 || s.Type == pcapng.Datagram): // closing a stream shuts the peer down
		return alone(LinkClosed, s), true
	case s.Peer == 0:
		return Link{State: LinkPending, Client: s}, true // of a listener that is hidden
	}
	return alone(LinkEstablished, s), true // the other end is hidden
}

// pair decides who of two is the server: who has a listener's address, else
// who has one at all, else the higher inode, which is b's.
func (j *joiner) pair(a, b *Socket) Link {
	client, server := a, b
	aListens, bListens := a.Address != "" && j.listening[placeOf(a)], b.Address != "" && j.listening[placeOf(b)]
	if aListens != bListens && aListens || aListens == bListens && a.Address != "" && b.Address == "" {
		client, server = b, a
	}
	return Link{LinkEstablished, client, server}
}

// alone is a socket without another end: who is bound is a server.
func alone(state LinkState, s *Socket) Link {
	if s.Address != "" {
		return Link{State: state, Server: s}
	}
	return Link{State: state, Client: s}
}
