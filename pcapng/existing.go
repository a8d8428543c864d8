package pcapng

import (
	"encoding/binary"
	"strconv"
)

// State is what a socket was doing when a snapshot was taken of it.
type State uint8

// The states of the record, 0 where there is none.
const (
	StateListening    State = 1
	StateConnected    State = 2
	StateUnconnected  State = 3
	StateConnecting   State = 4 // connected, and not accepted yet
	StateDisconnected State = 5 // was connected, and the other end is closed
)

// String returns the state's word, or its number if it has none.
func (s State) String() string {
	switch s {
	case StateListening:
		return "listening"
	case StateConnected:
		return "connected"
	case StateUnconnected:
		return "unconnected"
	case StateConnecting:
		return "connecting"
	case StateDisconnected:
		return "disconnected"
	}
	return strconv.Itoa(int(s))
}

// Holder is one of several processes that hold a socket.
type Holder struct {
	Peer     bool   // holds the peer's socket, not the sender's
	PID      uint32 // in the initial pid namespace
	UID, GID uint32 // effective; Unknown if unknown
	Comm     string // raw bytes
}

// The fixed part of a holder: end 1, pid 4, uid 4, gid 4.
const holderLen = 13

// The ends of a holder.
const (
	holderOfSender = 1
	holderOfPeer   = 2
)

// appendExisting appends what only snapshots have.
func appendExisting(dst []byte, p *Packet) []byte {
	be := binary.BigEndian
	if p.State != 0 {
		dst = append(appendOptionHead(dst, optState, 1), byte(p.State))
	}
	for i := range p.Holders {
		h := &p.Holders[i]
		dst = appendOptionHead(dst, optHolder, holderLen+len(h.Comm))
		if h.Peer {
			dst = append(dst, holderOfPeer)
		} else {
			dst = append(dst, holderOfSender)
		}
		dst = be.AppendUint32(be.AppendUint32(be.AppendUint32(dst, h.PID), h.UID), h.GID)
		dst = append(dst, h.Comm...)
	}
	return dst
}

// decodeExisting decodes an option that only snapshots have. Of a holder of an
// end that is not known nothing is kept.
func decodeExisting(p *Packet, old *former, kind uint16, b []byte) error {
	if kind == optState {
		if len(b) != 1 {
			return damaged("state of %d bytes, should be 1", len(b))
		}
		p.State = State(b[0])
		return nil
	}
	if len(b) < holderLen {
		return damaged("holder of %d bytes, should be at least %d", len(b), holderLen)
	}
	if b[0] != holderOfSender && b[0] != holderOfPeer {
		return nil
	}
	var before string
	if n := len(p.Holders); n < len(old.holders) {
		before = old.holders[n].Comm
	}
	be := binary.BigEndian
	p.Holders = append(p.Holders, Holder{
		Peer: b[0] == holderOfPeer, PID: be.Uint32(b[1:]), UID: be.Uint32(b[5:]), GID: be.Uint32(b[9:]),
		Comm: name(b[holderLen:], before, ""),
	})
	return nil
}
