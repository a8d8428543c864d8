package workload

import (
	"encoding/binary"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// Truth is what is known of the traffic of one case.
type Truth struct {
	Case       string
	Seed       uint64
	Start, End time.Time // wall clock; all sends and reads are between them
	Tasks      []Task
	Sends      []Send
	Flows      []Flow
	Existing   []Existing // that are older than the capture, of the cases that keep account of them
	Events     []Event    // of the cases that keep account of them, in the order in which they began

	// Stepped is by how much the wall clock was set during the capture, which
	// keeps the clock that it began with: who starts it finds out.
	Stepped time.Duration
}

// Task is a thread that sent or read.
type Task struct {
	PID, TID uint32
	UID, GID uint32
	Comm     string // of its process
	Thread   string // its own name if it differs from Comm, else empty
	Is       Identity
}

// Send is one send call, or one message of a sendmmsg call.
type Send struct {
	ID     uint64 // names its content; the number of its task is ID>>32
	Task   int    // index into Truth.Tasks
	From   uint64 // inode of the sending socket
	To     uint64 // inode of the receiving socket where From has several, else 0
	Len    int    // bytes asked for
	Done   int    // bytes that the kernel took: less than Len if cut short, Failed
	Err    string // of a failed or short send
	Begin  int64  // wall clock before and after the call, nanoseconds since 1970;
	Finish int64  // Finish is 0 if the task did not live to see it

	Trim      int  // bytes that the receiver's filter left, -1: all
	Dropped   bool // the call succeeded and nothing was queued: the receiver's filter, or writev of nothing
	Worker    bool // a kernel thread may have sent it: tid and thread are not known
	Pieces    bool // the kernel cuts this call into several sends (splice, retries)
	PreAccept bool // sent before the receiving socket was accepted

	Data []byte // what was sent where the seed does not tell (see Content): as it was received

	FDs    int          // descriptors passed with it, -1: not checked
	Passed []pcapng.FD  // what they are, nil: not checked
	Hidden bool         // they may be unseen: the reader splices, or the kernel had no room
	Cred   *pcapng.Cred // credentials passed with it, nil: not checked
	NoCred bool         // none are passed
}

// Failed is Send.Done of a send of which nothing was queued.
const Failed = -1

// unfinished is Send.Done of a send whose task was killed in it; how much was
// taken is found out from the reader.
const unfinished = -2

// Flow is one direction: what one sending socket sends to one receiving socket.
type Flow struct {
	Name string // for people: "client to server"
	Type pcapng.SocketType
	From uint64      // inode of the sending socket
	To   uint64      // inode of the receiving socket, 0 if it was never accepted
	Path string      // as Packet.Path must have it
	Role pcapng.Role // of the sender
	Conn int         // flows of one connection share it; 0: not connected

	Readers    []uint32 // pids that read it
	Reads      []Read   // who read what, in the order of the units
	Peers      []uint32 // pids that the receiving socket may be told to belong to; none: not checked
	Holder     uint32   // who alone held the receiving socket before the capture: every record must name it; 0: not checked
	HolderComm string
	Orphan     bool   // the collector throws its data away: its receiver may not be known any more
	Before     bool   // its sockets were made before the capture
	Units      []Unit // what must be captured, in order
}

// Unit is what a send put into a receiver's queue. In a stream it is a run of
// bytes of one send, as the receiver read them between bytes of other sends.
// Of a datagram it is the whole message.
type Unit struct {
	Send     int // index into Truth.Sends
	Off, Len int // which of the send's bytes
	Seq      int // place in the receiver's queue among all flows to it, from 1; 0 unknown
}

// Read is a part of a flow that one task read: bytes of a stream, or messages.
type Read struct {
	End    int   // where in the bytes, or messages, of the flow's units it ends
	Task   int   // index into Truth.Tasks, -1: nobody has read it, or it is not known who
	At     int64 // wall clock after the call, nanoseconds since 1970
	Worker bool  // a thread of the kernel may have read it
}

// Content returns the bytes of a send, all Len of them.
func (t *Truth) Content(s *Send) []byte {
	if s.Data != nil {
		return s.Data
	}
	return content(t.Seed, s.ID, s.Len)
}

// tagShift is where a byte's task number is: its top three bits.
const tagShift = 5

// content makes the bytes of the send id: in each, the task number modulo 8
// and five bits that depend on seed, id and place.
func content(seed, id uint64, n int) []byte {
	p := make([]byte, (n+7)&^7)
	tag := (id >> 32 & 7) << tagShift * 0x0101010101010101
	x := mix(seed ^ mix(id))
	for i := 0; i < n; i += 8 {
		x += 0x9e3779b97f4a7c15
		binary.LittleEndian.PutUint64(p[i:], mix(x)&0x1f1f1f1f1f1f1f1f|tag)
	}
	return p[:n:n]
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sockets returns the inodes of all sockets of the case.
func (t *Truth) sockets() map[uint64]bool {
	m := make(map[uint64]bool)
	for _, f := range t.Flows {
		m[f.From] = true
		if f.To != 0 {
			m[f.To] = true
		}
	}
	return m
}
