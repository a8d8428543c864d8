package capture

import (
	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

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
