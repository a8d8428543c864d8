package pcapng

import (
	"slices"
	"strconv"
)

// String returns the event's word, or its number if it has none.
func (e Event) String() string {
	switch e {
	case EventData:
		return "data"
	case EventRead:
		return "read"
	case EventConnect:
		return "connect"
	case EventAccept:
		return "accept"
	case EventListen:
		return "listen"
	case EventShutdown:
		return "shutdown"
	case EventClose:
		return "close"
	case EventRefused:
		return "refused"
	case EventSnapshot:
		return "snapshot"
	case EventLost:
		return "lost"
	}
	return strconv.Itoa(int(e))
}

// String returns the type's word, or its number if it has none.
func (t SocketType) String() string {
	switch t {
	case Stream:
		return "stream"
	case Datagram:
		return "dgram"
	case SeqPacket:
		return "seqpacket"
	}
	return strconv.Itoa(int(t))
}

// String returns the role's word, or its number if it has none.
func (r Role) String() string {
	switch r {
	case RoleUnknown:
		return "unknown"
	case RoleClient:
		return "client"
	case RoleServer:
		return "server"
	}
	return strconv.Itoa(int(r))
}

// String returns the stamp's word, or its number if it has none.
func (s Stamp) String() string {
	switch s {
	case StampQueued:
		return "queued"
	case StampRead:
		return "read"
	case StampWaiting:
		return "waiting"
	}
	return strconv.Itoa(int(s))
}

// String returns the kind's word, or its number if it has none.
func (k FDKind) String() string {
	switch k {
	case FDOther:
		return "other"
	case FDFile:
		return "file"
	case FDPipe:
		return "pipe"
	case FDSocket:
		return "socket"
	case FDMemfd:
		return "memfd"
	case FDDevice:
		return "device"
	case FDPidfd:
		return "pidfd"
	}
	return strconv.Itoa(int(k))
}

// Words returns a word for each fact of the set, in the order of their bits.
func (u Uncertain) Words() []string {
	var words []string
	if u&UncertainSender != 0 {
		words = append(words, "sender")
	}
	if u&UncertainOrder != 0 {
		words = append(words, "order")
	}
	return words
}

// SenderPlace is where the sender runs.
func (p *Packet) SenderPlace() Place {
	return Place{p.Exe, p.Cgroup, p.Container, p.ContainerName, p.Pod, p.Unit}
}

// Clone returns a copy of p that shares no memory with it but that of strings,
// which never changes.
func (p *Packet) Clone() *Packet {
	q := *p
	q.Data = slices.Clone(p.Data)
	q.FDs = slices.Clone(p.FDs)
	q.Holders = slices.Clone(p.Holders)
	if p.Reader != nil {
		reader := *p.Reader
		q.Reader = &reader
	}
	if p.Cred != nil {
		cred := *p.Cred
		q.Cred = &cred
	}
	return &q
}

// cut reports whether p has fewer bytes than it stands for, or says so.
func (p *Packet) cut() bool {
	return p.Truncated || uint64(len(p.Data)) < uint64(p.Len)
}
