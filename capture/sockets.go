package capture

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// maxSockets bounds what is remembered of sockets and of connections; the
// kernel side's own map has room for as many.
const maxSockets = 131072

// socket is what is known of one socket of the kernel.
type socket struct {
	info   bpf.Socket
	told   bool   // the kernel side has told of it
	path   string // contract form, empty if it is not bound
	shared bool   // its address is a listener's too

	next    uint64   // offset after the last byte that was told of
	skipped uint64   // bytes that the filter dropped since
	lost    uint64   // bytes missing before those, or between them
	sent    *sentAll // in all, once it is closed, if anything was lost by then
	last    int64    // time of the last packet from its receive queue
	doubted uint64   // until when it is open which task sent on it
	left    uint64   // bytes that the kernel side has left out, as of the last unit
	queue   []*unit

	unsureUntil uint64 // boot time, ns, when the last unit was queued whose place stayed open

	reader     *pcapng.Endpoint              // who read it last, or has accepted it; nil: not known
	readers    [bpf.Readers]*pcapng.Endpoint // those with names, as the kernel side numbers them
	readerIs   uint32                        // the number of reader's process, 0: not known
	readersAre [bpf.Readers]uint32
	maker      *pcapng.Endpoint // who called connect on it, nil: not known
	lastUnit   uint64           // that was handed out before it was read
	awaited    uint64           // how many units it has had to read, of those that were handed out before
	readTo     uint64           // the last of these that it has read
	task       bpf.Task         // last sender, whose names are
	comm       string
	thread     string
	sends      []send // the last of each task that sends here
	oldest     int    // of these, where a further task's goes when there are maxSends
	peerComm   string
	peerPID    uint32 // whose name peerComm is
	peerIs     lookedUp
	peerAt     uint64     // boot time when the kernel side told of that pid
	user       processKey // who sent on it last, or did anything but read
	wanted     verdict
	nowhere    *socket // stands for receivers that are not known

	connecting *bpf.Life // a connect that has begun, of which no packet tells yet
	closing    *bpf.Life // its close, which waits for what it sent to be taken
	closed     bool      // and that has been told
	era        uint32    // of the sweep that found it in use, or before which it came

	older *older      // what was known of it before the capture
	talk  *connection // the one that it has, unless it sends datagrams
}

// elsewhere stands for the receivers of what s sends that are not known; it has
// the number 0.
func (s *socket) elsewhere() *socket {
	if s.nowhere == nil {
		s.nowhere = &socket{}
	}
	return s.nowhere
}

// nameless says that the kernel side has a number for a socket, and has not told of
// it, which it does before all else, or so long ago that it is forgotten.
func (s *socket) nameless() bool { return s.info.Socket != 0 && !s.told }

// verdict is what the path filter says of a socket.
type verdict uint8

const (
	undecided verdict = iota
	keep
	drop
)

// connection is two sockets that talk.
type connection struct {
	id     uint64
	server uint64 // number of the server's socket, 0 if unknown
}

// sockets knows all sockets that the kernel side told of.
type sockets struct {
	byNumber  *generations[uint64, *socket]
	closed    *generations[uint64, *socket] // those of which no more is expected
	pairs     *generations[[2]uint64, *connection]
	near      shortcut[uint64, *socket]        // into byNumber
	talking   shortcut[[2]uint64, *connection] // into pairs
	listeners *generations[listenAddress, processKey]
	nextConn  uint64 // id of the last connection
	nextSend  uint64
	comm      func(pid uint32) string // of a running process
	older     map[uint64]*older       // by inode: those that are older than the capture
	era       uint32                  // how many sweeps there were
}

func newSockets() *sockets {
	return &sockets{
		byNumber:  newGenerations[uint64, *socket](maxSockets),
		closed:    newGenerations[uint64, *socket](maxClosed),
		pairs:     newGenerations[[2]uint64, *connection](maxSockets),
		listeners: newGenerations[listenAddress, processKey](maxClosed),
		comm:      procComm,
	}
}

// connBits are those of a connection's id that count a capture's connections. What
// stands above them is the capture's, by chance, so that those of two captures in
// one file, as mergecap or several -r make it, are apart; both together are a number
// that JSON readers take exactly (2^53).
const connBits = 22

// firstConn is what connections are counted from.
func firstConn() uint64 { return rand.Uint64N(1<<(53-connBits)) << connBits }

// procComm asks /proc for a process's name; empty if it is gone.
func procComm(pid uint32) string {
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/comm")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSuffix(b, []byte("\n")))
}

// of gives the socket with a number, known or not.
func (t *sockets) of(number uint64) *socket {
	if s, ok := t.near.get(t.byNumber, number, number^number>>22); ok {
		return s
	}
	if s, ok := t.closed.get(number); ok {
		return s
	}
	s := &socket{era: t.era}
	s.info.Socket = number
	s.info.PeerUid, s.info.PeerGid = pcapng.Unknown, pcapng.Unknown
	t.byNumber.put(number, s)
	return s
}

// learn takes what the kernel side says of a socket.
func (t *sockets) learn(info *bpf.Socket) *socket {
	s := t.of(info.Socket)
	if info.Inode == 0 {
		info.Inode = s.info.Inode // closed since
	}
	if info.PeerPid != s.info.PeerPid {
		s.peerAt = info.Time
	}
	s.info, s.told = *info, true
	s.path = snapshot.Address(info.Address[:info.AddressLen])
	s.shared = info.AddressRefs > 1
	s.wanted = undecided
	t.recall(s)
	return s
}

// between gives the connection of two sockets, of which from sends first if
// it is new.
func (t *sockets) between(from, to *socket) *connection {
	c := t.pair(from, to)
	if c.server == 0 {
		c.server = server(from, to)
	}
	return c
}

// pair is between, but leaves open who offers the service.
func (t *sockets) pair(from, to *socket) *connection {
	if from != to && from.talk != nil && from.talk == to.talk {
		return from.talk
	}
	key := pairKey(from, to)
	c, ok := t.talking.get(t.pairs, key, key[0]^key[0]>>22)
	if !ok {
		if c = t.resume(from, to); c == nil {
			t.nextConn++
			c = &connection{id: t.nextConn}
		}
		t.pairs.put(key, c)
		if from.info.Type != uint8(pcapng.Datagram) && to.info.Socket != 0 {
			from.talk, to.talk = c, c
		}
	}
	return c
}

// pairKey is the same for both directions.
func pairKey(from, to *socket) [2]uint64 {
	return [2]uint64{min(from.info.Socket, to.info.Socket), max(from.info.Socket, to.info.Socket)}
}

// server tells which of two sockets offers the service, 0 if it can't be told.
func server(from, to *socket) uint64 {
	a, b := from.path != "", to.path != ""
	switch {
	case a && b && from.info.Type != uint8(pcapng.Datagram) && from.shared != to.shared:
		if from.shared {
			return from.info.Socket
		}
		return to.info.Socket
	case b:
		return to.info.Socket // of two bound datagram sockets, who receives first
	case a:
		return from.info.Socket
	case from.info.Inode == 0 || to.info.Inode == 0:
		return 0
	case from.info.Inode > to.info.Inode:
		return from.info.Socket // of a pair the lower inode is the client
	default:
		return to.info.Socket
	}
}

// send is a message by the kernel side's number and by ours.
type send struct{ raw, number uint64 }

// maxSends is of how many tasks that send on a socket the messages are told
// apart from one unit to the next.
const maxSends = 64

// message gives our number for the kernel side's number of a send, 0 if that is
// not known. A task sends one message after the other.
func (t *sockets) message(from *socket, raw uint64) uint64 {
	if raw == 0 {
		t.nextSend++
		return t.nextSend
	}
	s := from.sendOf(producer(raw))
	if s.raw != raw {
		t.nextSend++
		*s = send{raw, t.nextSend}
	}
	return s.number
}

// sendOf gives the place of a task's last message.
func (s *socket) sendOf(task uint32) *send {
	for i := range s.sends {
		if producer(s.sends[i].raw) == task {
			return &s.sends[i]
		}
	}
	if len(s.sends) < maxSends {
		s.sends = append(s.sends, send{})
		return &s.sends[len(s.sends)-1]
	}
	s.oldest = (s.oldest + 1) % maxSends
	return &s.sends[s.oldest]
}

// names keeps the strings of a sender's names while they stay the same.
func (s *socket) names(task *bpf.Task) (comm, thread string) {
	if task.Comm != s.task.Comm || task.Thread != s.task.Thread || s.comm == "" {
		s.comm, s.thread = cString(task.Comm[:]), cString(task.Thread[:])
		if s.thread == s.comm { // behind the NUL they may differ (v5.10)
			s.thread = ""
		}
	}
	s.task = *task
	return s.comm, s.thread
}

// cString is the text before the first NUL.
func cString(b []byte) string {
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b)
}

// isCString reports whether s, in which there is no NUL, is cString(b).
func isCString(b []byte, s string) bool {
	return len(s) <= len(b) && string(b[:len(s)]) == s && (len(s) == len(b) || b[len(s)] == 0)
}

// setPeer makes e the process at the other end of from, as best known: who read
// there last, else who accepted it, else who alone held that end when the
// capture began, else who made it.
func (t *sockets) setPeer(e *pcapng.Endpoint, from, to *socket) {
	if to.reader != nil {
		*e = *to.reader
		e.Inode = to.info.Inode
		return
	}
	if p := t.holder(from, to); p != nil {
		*e = pcapng.Endpoint{PID: p.PID, UID: p.UID, GID: p.GID, Comm: p.Comm, Inode: to.info.Inode}
		return
	}
	*e = pcapng.Endpoint{PID: from.info.PeerPid, UID: from.info.PeerUid, GID: from.info.PeerGid, Inode: to.info.Inode}
	switch m := to.maker; {
	case e.PID == 0:
	case m != nil && m.PID == e.PID:
		e.TID, e.Comm, e.Thread = m.TID, m.Comm, m.Thread
	default:
		if from.peerPID != e.PID {
			from.peerPID, from.peerComm = e.PID, t.comm(e.PID)
		}
		e.Comm = from.peerComm
	}
}

// made notes who connects with a socket.
func (s *socket) made(task *bpf.Task) {
	comm, thread := s.names(task)
	s.maker = &pcapng.Endpoint{PID: task.Pid, TID: task.Tid, UID: task.Uid, GID: task.Gid, Comm: comm, Thread: thread}
}
