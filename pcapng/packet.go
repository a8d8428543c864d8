// Package pcapng is sockcap's capture file: what one event on a Unix domain
// socket looks like as a value ([Packet]), as a record (the payload of a
// pcapng Enhanced Packet Block of link type USER0, specified in FORMAT.md),
// and as a file ([Writer], [Reader]).
package pcapng

import "time"

// Event says what happened on a socket. The numbers are those of the record.
type Event uint8

// The events of the record, in FORMAT.md's order.
const (
	EventData     Event = 1  // bytes, or one datagram, were queued for a receiver
	EventRead     Event = 2  // a message told of earlier was read: that of the same Sender, Message and Offset
	EventConnect  Event = 3  // a connect call succeeded
	EventAccept   Event = 4  // a connection was accepted
	EventListen   Event = 5  // a socket began to listen
	EventShutdown Event = 6  // one side shut its sending or receiving down
	EventClose    Event = 7  // a socket was closed
	EventRefused  Event = 8  // a connect or send was refused, Errno says why
	EventSnapshot Event = 9  // a socket that existed before the capture
	EventLost     Event = 10 // bytes are missing and no later data tells of it
)

// SocketType is the type of a socket, numbered as SOCK_STREAM and its kin.
type SocketType uint8

// The socket types that AF_UNIX has.
const (
	Stream    SocketType = 1
	Datagram  SocketType = 2
	SeqPacket SocketType = 5
)

// Role is the sender's part in a connection. See DESIGN and FORMAT.md for who
// is the client of datagram sockets and of pairs.
type Role uint8

// The roles of the record.
const (
	RoleUnknown Role = 0
	RoleClient  Role = 1
	RoleServer  Role = 2
)

// Stamp says at which moment in a message's life Packet.Time was taken.
type Stamp uint8

// The stamps of the record.
const (
	StampQueued  Stamp = 0 // when the kernel queued it for the receiver
	StampRead    Stamp = 1 // when the receiver read it
	StampWaiting Stamp = 2 // when it was seen waiting, unread
)

// Uncertain is a set of facts about a packet that the kernel could not give
// for sure.
type Uncertain uint8

// The uncertain facts of the record.
const (
	UncertainSender Uncertain = 1 << 0 // which of the tasks inside a send on this socket wrote it
	UncertainOrder  Uncertain = 1 << 1 // its place among records of other tasks on this connection
)

// Unknown is a user id, group id, or message length that is not known.
const Unknown = 1<<32 - 1

// Endpoint is one end of a connection: a socket and the process behind it.
type Endpoint struct {
	PID    uint32 // in the initial pid namespace, 0 if unknown
	TID    uint32 // thread, 0 if unknown
	UID    uint32 // Unknown if unknown
	GID    uint32 // Unknown if unknown
	Inode  uint64 // of the socket (as in /proc/net/unix), 0 if it has none yet or is unknown
	Comm   string // the process's name, raw bytes as the kernel has them
	Thread string // the thread's name where it differs from Comm, else empty
}

// Place is where a process runs; what is unknown is empty.
type Place struct {
	Exe           string // path of its program
	Cgroup        string // path of its control group
	Container     string // id
	ContainerName string
	Pod           string // NAMESPACE/NAME, or its uid
	Unit          string // of systemd
}

// FDKind says what a passed descriptor refers to.
type FDKind uint8

// The kinds of passed descriptors of the record.
const (
	FDOther  FDKind = 0
	FDFile   FDKind = 1
	FDPipe   FDKind = 2
	FDSocket FDKind = 3
	FDMemfd  FDKind = 4
	FDDevice FDKind = 5
	FDPidfd  FDKind = 6
)

// FD is a descriptor passed by SCM_RIGHTS.
type FD struct {
	Num  uint32 // its number in the sender, Unknown if unknown
	Kind FDKind
	Name string // path, socket or pipe inode, memfd name, process of a pidfd; may be empty
}

// Cred is what SCM_CREDENTIALS passed, to a receiver that asked for it, or of
// others than the sender.
type Cred struct{ PID, UID, GID uint32 }

// Packet is one event on a Unix domain socket. Its strings hold raw bytes as
// the kernel gave them: they are hostile text, to be escaped where printed.
//
// A Packet yielded by a Reader or a capture Session, its Data, FDs and
// Holders included, is valid until the next iteration; Clone keeps one.
type Packet struct {
	Time    time.Time // wall clock; never goes back within a file
	OwnTime time.Time // its own time if Time was moved forward to keep order, else zero

	Event     Event
	Type      SocketType
	Role      Role // the sender's
	Stamp     Stamp
	Uncertain Uncertain
	Truncated bool // Data is shorter than Len
	Continued bool // a later piece of a unit whose first piece is an earlier record
	More      bool // further pieces of this unit follow

	Sender Endpoint
	Peer   Endpoint // the process at the other end, as best known

	// Path is the service's address: the listener's name for a connection
	// (both directions), the destination's for a datagram, empty where there
	// is none. As given to bind; an abstract name is "@" and its exact bytes;
	// a file name that itself starts with "@" is "./@...".
	Path string

	ConnID  uint64 // of one capture alone, in all probability, and never used again; 0 if unknown
	Offset  uint64 // bytes that the sending socket sent before this record's first
	Message uint64 // number of the send, unique in the capture; 0 if unknown

	Len        uint32 // bytes that this record stands for
	MessageLen uint32 // bytes of the whole send, Unknown if unknown

	Lost    uint64 // bytes missing just before this record
	Skipped uint64 // bytes just before this record that the filter dropped

	DropCount uint64 // epb_dropcount: packets lost between the packet before and this one

	Reader  *Endpoint     // who read it, if known (PID, TID, Comm): then it is the Peer, too
	Latency time.Duration // queued to read, 0 if unknown

	Errno   uint32 // of a refused event, 0 otherwise
	NetNS   uint32 // inode of the sender's network namespace, 0 if unknown
	FDCount uint32 // number of passed descriptors
	FDs     []FD   // those of them that could be resolved
	Cred    *Cred
	SecID   uint32 // security id of the sender, passed as SCM_SECURITY; 0 if none

	State   State    // of a snapshot, 0 otherwise
	Holders []Holder // of a snapshot: who holds an end, where several processes do

	Exe, Cgroup, Container, Pod, Unit string // of the sender, empty if unknown

	ContainerName string // of the sender's container
	NSPID         uint32 // the sender's pid in its own pid namespace, 0 if unknown or that is the initial one
	Cmdline       string // the sender's arguments, a NUL between two
	PeerPlace     Place  // of the peer

	Host int    // index of the host (Interface Description) that it was captured on
	Data []byte // at most Len bytes
}
