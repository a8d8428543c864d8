package bpf

import (
	"encoding/binary"
	"fmt"
)

// Kind says which struct of event.h a record of the ring buffer holds.
type Kind uint8

// The kinds of records, as enum event_kind.
const (
	KindData     Kind = 1
	KindSocket   Kind = 2
	KindQueued   Kind = 3
	KindCanceled Kind = 4
	KindConsumed Kind = 5
	KindReader   Kind = 6
	KindDoubt    Kind = 7
	KindLife     Kind = 8
	KindPassed   Kind = 9
	KindProcess  Kind = 10
	KindSent     Kind = 12
)

// The flags of a Data, as enum data_flags.
const (
	DataPending      = 1 << 0  // in no queue yet: a Queued or Canceled follows
	DataRead         = 1 << 1  // Time is that of reading, not of queueing
	DataWaiting      = 1 << 2  // seen waiting unread, or thrown away unread
	DataUnreadable   = 1 << 3  // these bytes could not be copied
	DataNoSender     = 1 << 4  // Task unknown
	DataOverlap      = 1 << 5  // another task was inside a send meanwhile
	DataUnsureSender = 1 << 6  // Task may be another
	DataUnsureOrder  = 1 << 7  // its place in the stream is not known
	DataDrained      = 1 << 8  // the last of a socket that was closed before
	DataJoined       = 1 << 9  // in one skb with the sender's last unit
	DataCredentials  = 1 << 10 // passed: the task's own
	DataUnasked      = 1 << 11 // left out: told of for who receives first
	DataNamed        = 1 << 13 // the reader has a place, from bit 14 on
	DataPlace        = 14
)

// The lengths of names in the kernel.
const (
	CommLen    = 16
	AddressLen = 108
)

// Task is struct task_id: a task in the initial pid namespace.
type Task struct {
	Pid, Tid, Uid, Gid uint32
	Comm               [CommLen]byte // of the thread group's leader
	Thread             [CommLen]byte // of the thread itself
	Process            uint32        // with Pid: of which [Process], 0 if unknown
}

// Data is struct data_event: a piece of one queued unit. Times are ns of
// CLOCK_BOOTTIME.
type Data struct {
	Kind       uint8
	Type       uint8
	Flags      uint16
	Size       uint32
	Time       uint64
	Unit       uint64
	Message    uint64
	Sender     uint64
	Receiver   uint64
	Offset     uint64
	Index      uint32
	Lost       uint32
	Queued     uint64
	Skipped    uint64
	Total      uint32
	At         uint32
	ReaderPid  uint32
	ReaderTid  uint32
	ReaderComm [CommLen]byte
	Task       Task

	ReaderProcess uint32 // as Task.Process
}

// Socket is struct socket_event: a socket seen for the first time, or anew
// since something about it changed.
type Socket struct {
	Kind        uint8
	Type        uint8
	State       uint8
	AddressLen  uint8
	AddressRefs uint32
	Time        uint64
	Socket      uint64
	Peer        uint64
	Inode       uint64
	File        uint64
	Device      uint32
	Netns       uint32
	PeerPid     uint32
	PeerUid     uint32
	PeerGid     uint32
	Address     [AddressLen]byte
}

// Unit is struct unit_event: what became of a unit.
type Unit struct {
	Kind     uint8
	Type     uint8
	Flags    uint16
	Pad      uint32
	Time     uint64
	Unit     uint64
	Receiver uint64
	Offset   uint64
	Skipped  uint64
}

// Read is struct read_event: a queued unit was read, or thrown away.
type Read struct {
	Kind  uint8
	Place uint8  // of the reader's names, Readers: not told
	Flags uint16 // DataRead, DataDrained
	Pid   uint32
	Time  uint64
	Unit  uint64
	Tid   uint32
	Pad   uint32
}

// Readers is READERS: how many readers of a socket are told apart by a number
// for their names.
const Readers = 4

// Reader is struct reader_event: another task than before reads a socket, or
// has accepted it.
type Reader struct {
	Kind     uint8
	Place    uint8
	Pad      uint16
	Pid      uint32
	Time     uint64
	Receiver uint64
	Tid      uint32
	Uid      uint32
	Gid      uint32
	Process  uint32        // as Task.Process
	Comm     [CommLen]byte // of the thread group's leader
	Thread   [CommLen]byte // of the thread itself
}

// Doubt is struct doubt_event: a task was inside a send unseen, so who sent
// what was just told of the sender is open.
type Doubt struct {
	Kind   uint8
	Pad    [7]uint8
	Time   uint64
	Sender uint64
}

// What a Life tells, as enum life_what.
const (
	LifeConnecting  = 1 // a connect begins; one of the next three follows
	LifeConnect     = 2
	LifeRefused     = 3 // or failed otherwise
	LifeQuit        = 4 // no connect to tell of: a signal, AF_UNSPEC, not asked for
	LifeAccept      = 5
	LifeListen      = 6
	LifeShutdown    = 7
	LifeClose       = 8
	LifeCloseUnread = 9  // some of what the socket sent has not been taken yet
	LifeDrained     = 10 // now it has, but the last of it is left out
)

// Life is struct life_event: what a task did to a socket besides sending and
// reading.
type Life struct {
	Kind       uint8
	Type       uint8
	What       uint8
	AddressLen uint8
	Error      uint32
	Time       uint64
	Socket     uint64
	Peer       uint64
	Task       Task
	Address    [AddressLen]byte
}

// Sent is struct sent_event: how much a socket has sent until it was closed.
type Sent struct {
	Kind    uint8
	Pad     [7]uint8
	Socket  uint64
	Sent    uint64
	Skipped uint64
}

// What a Passed tells, as enum passed_what.
const (
	PassedFile = 1 // a descriptor of a passage
	PassedUnit = 2 // the passage is that of a unit, whose Data follows
)

// The flags of a PassedUnit, as enum passed_flags.
const (
	PassedCred     = 1 << 0 // Pid, Uid, Gid
	PassedAsked    = 1 << 1 // the receiver gets these: it has asked
	PassedSecurity = 1 << 2 // Secid: it has asked for that
)

// Passed is struct passed_event: what is passed along with a unit, a passage.
type Passed struct {
	Kind    uint8
	What    uint8
	Flags   uint16 // of a file: as PathDeleted
	Count   uint32 // of a unit: descriptors
	Passage uint64
	Unit    uint64
	Inode   uint64
	Index   uint32 // place of a file in the passage
	Number  uint32 // descriptor in the sender, all ones: unknown
	Magic   uint32 // of the file system
	Mode    uint32 // i_mode
	Pid     uint32 // of a file: a pidfd's process, 0: it is none
	Uid     uint32
	Gid     uint32
	Secid   uint32
}

// The sizes of the structs above in event.h; the layout test holds them to
// the object's BTF.
const (
	dataSize   = 168
	socketSize = 176
	unitSize   = 48
	readSize   = 32
	readerSize = 72
	doubtSize  = 24
	lifeSize   = 192
	sentSize   = 32
	passedSize = 64
)

// Event is one decoded record; the field that Kind names is set, the others
// keep what they had.
type Event struct {
	Kind    Kind
	Data    Data
	Payload []byte // of Data; aliases the record
	Socket  Socket
	Unit    Unit
	Read    Read
	Reader  Reader
	Doubt   Doubt
	Life    Life
	Sent    Sent
	Passed  Passed
	Names   []byte // of a PassedFile, for PathOf; aliases the record
	Process Process
}

// Error is this package's error: a record that is none of ours.
type Error struct {
	Kind Kind
	Size int // of the record
	Want int // at least, 0: unknown kind
}

func (e *Error) Error() string {
	if e.Want == 0 {
		return fmt.Sprintf("decode event: unknown kind %d in %d bytes", e.Kind, e.Size)
	}
	return fmt.Sprintf("decode event of kind %d: %d bytes, want %d", e.Kind, e.Size, e.Want)
}

// Decode fills e from a record of the ring buffer. e.Payload and e.Names alias
// record.
func Decode(e *Event, record []byte) error {
	if len(record) == 0 {
		return &Error{Want: 1}
	}
	e.Kind = Kind(record[0])
	want := 0
	switch e.Kind {
	case KindData:
		want = dataSize
	case KindSocket:
		want = socketSize
	case KindQueued, KindCanceled:
		want = unitSize
	case KindConsumed:
		want = readSize
	case KindReader:
		want = readerSize
	case KindDoubt:
		want = doubtSize
	case KindLife:
		want = lifeSize
	case KindSent:
		want = sentSize
	case KindPassed:
		want = passedSize
	case KindProcess:
		want = processSize
	}
	if want == 0 || len(record) < want {
		return &Error{Kind: e.Kind, Size: len(record), Want: want}
	}
	if e.Kind == KindData {
		e.Data.decode((*[dataSize]byte)(record))
		payload := record[dataSize:]
		if uint64(len(payload)) < uint64(e.Data.Size) {
			return &Error{Kind: e.Kind, Size: len(record), Want: want + int(e.Data.Size)}
		}
		e.Payload = payload[:e.Data.Size]
		return nil
	}
	c := cursor{record}
	switch e.Kind {
	case KindSocket:
		e.Socket.decode(&c)
	case KindConsumed:
		e.Read.decode(&c)
	case KindReader:
		e.Reader.decode(&c)
	case KindDoubt:
		e.Doubt.decode(&c)
	case KindLife:
		e.Life.decode(&c)
	case KindSent:
		e.Sent.decode(&c)
	case KindPassed:
		e.Passed.decode(&c)
		e.Names = c.rest
	case KindProcess:
		return e.Process.decode(&c)
	default:
		e.Unit.decode(&c)
	}
	return nil
}

// cursor takes fields from the front of a record whose length was checked.
// Both architectures are little-endian.
type cursor struct{ rest []byte }

func (c *cursor) u8() uint8 {
	v := c.rest[0]
	c.rest = c.rest[1:]
	return v
}

func (c *cursor) u16() uint16 {
	v := binary.LittleEndian.Uint16(c.rest)
	c.rest = c.rest[2:]
	return v
}

func (c *cursor) u32() uint32 {
	v := binary.LittleEndian.Uint32(c.rest)
	c.rest = c.rest[4:]
	return v
}

func (c *cursor) u64() uint64 {
	v := binary.LittleEndian.Uint64(c.rest)
	c.rest = c.rest[8:]
	return v
}

func (c *cursor) bytes(dst []byte) { c.rest = c.rest[copy(dst, c.rest):] }

func (t *Task) decode(c *cursor) {
	t.Pid, t.Tid, t.Uid, t.Gid = c.u32(), c.u32(), c.u32(), c.u32()
	c.bytes(t.Comm[:])
	c.bytes(t.Thread[:])
	t.Process = c.u32()
}

// Every packet comes this way: of an array whose size is known, no place needs
// to be checked.
func (d *Data) decode(b *[dataSize]byte) {
	le := binary.LittleEndian
	d.Kind, d.Type, d.Flags, d.Size = b[0], b[1], le.Uint16(b[2:]), le.Uint32(b[4:])
	d.Time, d.Unit, d.Message = le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:])
	d.Sender, d.Receiver, d.Offset = le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])
	d.Index, d.Lost, d.Queued, d.Skipped = le.Uint32(b[56:]), le.Uint32(b[60:]), le.Uint64(b[64:]), le.Uint64(b[72:])
	d.Total, d.At, d.ReaderPid, d.ReaderTid = le.Uint32(b[80:]), le.Uint32(b[84:]), le.Uint32(b[88:]), le.Uint32(b[92:])
	d.ReaderComm = [CommLen]byte(b[96:112])
	d.Task.Pid, d.Task.Tid, d.Task.Uid, d.Task.Gid = le.Uint32(b[112:]), le.Uint32(b[116:]), le.Uint32(b[120:]), le.Uint32(b[124:])
	d.Task.Comm, d.Task.Thread, d.Task.Process = [CommLen]byte(b[128:144]), [CommLen]byte(b[144:160]), le.Uint32(b[160:])
	d.ReaderProcess = le.Uint32(b[164:])
}

func (s *Socket) decode(c *cursor) {
	s.Kind, s.Type, s.State, s.AddressLen, s.AddressRefs = c.u8(), c.u8(), c.u8(), c.u8(), c.u32()
	s.Time, s.Socket, s.Peer, s.Inode, s.File = c.u64(), c.u64(), c.u64(), c.u64(), c.u64()
	s.Device, s.Netns = c.u32(), c.u32()
	s.PeerPid, s.PeerUid, s.PeerGid = c.u32(), c.u32(), c.u32()
	c.bytes(s.Address[:])
	s.AddressLen = min(s.AddressLen, AddressLen)
}

func (u *Unit) decode(c *cursor) {
	u.Kind, u.Type, u.Flags, u.Pad = c.u8(), c.u8(), c.u16(), c.u32()
	u.Time, u.Unit, u.Receiver, u.Offset, u.Skipped = c.u64(), c.u64(), c.u64(), c.u64(), c.u64()
}

func (r *Reader) decode(c *cursor) {
	r.Kind, r.Place, r.Pad, r.Pid = c.u8(), c.u8(), c.u16(), c.u32()
	r.Time, r.Receiver, r.Tid = c.u64(), c.u64(), c.u32()
	r.Uid, r.Gid, r.Process = c.u32(), c.u32(), c.u32()
	c.bytes(r.Comm[:])
	c.bytes(r.Thread[:])
}

func (r *Read) decode(c *cursor) {
	r.Kind, r.Place, r.Flags, r.Pid = c.u8(), c.u8(), c.u16(), c.u32()
	r.Time, r.Unit, r.Tid, r.Pad = c.u64(), c.u64(), c.u32(), c.u32()
}

func (d *Doubt) decode(c *cursor) {
	d.Kind = c.u8()
	c.bytes(d.Pad[:])
	d.Time, d.Sender = c.u64(), c.u64()
}

func (l *Life) decode(c *cursor) {
	l.Kind, l.Type, l.What, l.AddressLen, l.Error = c.u8(), c.u8(), c.u8(), c.u8(), c.u32()
	l.Time, l.Socket, l.Peer = c.u64(), c.u64(), c.u64()
	l.Task.decode(c)
	c.bytes(l.Address[:])
	l.AddressLen = min(l.AddressLen, AddressLen)
}

func (s *Sent) decode(c *cursor) {
	s.Kind = c.u8()
	c.bytes(s.Pad[:])
	s.Socket, s.Sent, s.Skipped = c.u64(), c.u64(), c.u64()
}

func (p *Passed) decode(c *cursor) {
	p.Kind, p.What, p.Flags, p.Count = c.u8(), c.u8(), c.u16(), c.u32()
	p.Passage, p.Unit, p.Inode = c.u64(), c.u64(), c.u64()
	p.Index, p.Number, p.Magic, p.Mode = c.u32(), c.u32(), c.u32(), c.u32()
	p.Pid, p.Uid, p.Gid, p.Secid = c.u32(), c.u32(), c.u32(), c.u32()
}
