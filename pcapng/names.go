package pcapng

import (
	"strconv"
	"unsafe"
)

// names are what a packet says of its two processes and of the address. They
// stay the same in most packets that one socket sends to another. The functions
// that write them see nothing else of a packet: the same names make the same
// bytes.
type names struct {
	pid, peerPID, nsPID uint32

	comm, thread, path, peerComm, peerThread string
	containerName, cmdline                   string
	exe, cgroup, container, pod, unit        string
	peer                                     Place
}

func (n *names) of(p *Packet) {
	n.pid, n.peerPID, n.nsPID = p.Sender.PID, p.Peer.PID, p.NSPID
	n.comm, n.thread, n.path, n.peerComm, n.peerThread = p.Sender.Comm, p.Sender.Thread, p.Path, p.Peer.Comm, p.Peer.Thread
	n.containerName, n.cmdline = p.ContainerName, p.Cmdline
	n.exe, n.cgroup, n.container, n.pod, n.unit = p.Exe, p.Cgroup, p.Container, p.Pod, p.Unit
	n.peer = p.PeerPlace
}

// are reports whether those of p are the same. Equal strings are mostly one, of
// which == needs to see no byte.
func (n *names) are(p *Packet) bool {
	return n.pid == p.Sender.PID && n.peerPID == p.Peer.PID && n.nsPID == p.NSPID &&
		same(n.comm, p.Sender.Comm) && same(n.path, p.Path) && same(n.peerComm, p.Peer.Comm) &&
		same(n.thread, p.Sender.Thread) && same(n.peerThread, p.Peer.Thread) &&
		same(n.containerName, p.ContainerName) && same(n.cmdline, p.Cmdline) &&
		same(n.exe, p.Exe) && same(n.cgroup, p.Cgroup) && same(n.container, p.Container) && same(n.pod, p.Pod) && same(n.unit, p.Unit) &&
		same(n.peer.Exe, p.PeerPlace.Exe) && same(n.peer.Cgroup, p.PeerPlace.Cgroup) && same(n.peer.Container, p.PeerPlace.Container) &&
		same(n.peer.ContainerName, p.PeerPlace.ContainerName) && same(n.peer.Pod, p.PeerPlace.Pod) && same(n.peer.Unit, p.PeerPlace.Unit)
}

// same is a == b, which of empty ones and of one and the same, as most are, asks
// no further function.
func same(a, b string) bool {
	return len(a) == len(b) && (len(a) == 0 || unsafe.StringData(a) == unsafe.StringData(b) || a == b)
}

// appendFirst appends the names that come first in a record.
func (n *names) appendFirst(dst []byte) []byte {
	dst = appendOptionString(dst, optComm, n.comm)
	dst = appendOptionString(dst, optThread, n.thread)
	dst = appendOptionString(dst, optPath, n.path)
	dst = appendOptionString(dst, optPeerComm, n.peerComm)
	dst = appendOptionString(dst, optPeerThread, n.peerThread)
	dst = appendOptionString(dst, optExe, n.exe)
	dst = appendOptionString(dst, optCgroup, n.cgroup)
	dst = appendOptionString(dst, optContainer, n.container)
	dst = appendOptionString(dst, optPod, n.pod)
	return appendOptionString(dst, optUnit, n.unit)
}

// appendLast appends the names that come last in a record, but for those of
// holders.
func (n *names) appendLast(dst []byte) []byte {
	dst = appendOptionString(dst, optContainerName, n.containerName)
	dst = appendOption32(dst, optNSPID, n.nsPID)
	dst = appendOptionString(dst, optCmdline, n.cmdline)
	dst = appendOptionString(dst, optPeerExe, n.peer.Exe)
	dst = appendOptionString(dst, optPeerCgroup, n.peer.Cgroup)
	dst = appendOptionString(dst, optPeerContainer, n.peer.Container)
	dst = appendOptionString(dst, optPeerContainerName, n.peer.ContainerName)
	dst = appendOptionString(dst, optPeerUnit, n.peer.Unit)
	return appendOptionString(dst, optPeerPod, n.peer.Pod)
}

// appendWho appends how a comment begins.
func (n *names) appendWho(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, "pid="...), uint64(n.pid), 10)
	dst = appendValue(append(dst, " comm="...), n.comm, maxCommentName)
	dst = appendValue(append(dst, " path="...), n.path, maxCommentPath)
	dst = appendKnownName(dst, " thread=", n.thread)
	dst = appendKnownNumber(dst, " peer.pid=", n.peerPID)
	return appendKnownName(dst, " peer.comm=", n.peerComm)
}

// appendWhere appends how a comment ends.
func (n *names) appendWhere(dst []byte) []byte {
	if n.containerName != "" {
		return appendKnownName(dst, " container.name=", n.containerName)
	}
	return appendKnownName(dst, " container=", n.container)
}

// written is how names are written.
type written struct {
	names
	bytes           []byte // one after the other
	last, who, ends int    // where in them those begin

	block template // the last plain packet's that had these names
}

// put makes w what is written of p's names.
func (w *written) put(p *Packet) {
	n := &w.names
	n.of(p)
	w.block.head = w.block.head[:0]
	w.bytes = n.appendFirst(w.bytes[:0])
	w.last = len(w.bytes)
	w.bytes = n.appendLast(w.bytes)
	w.who = len(w.bytes)
	w.bytes = n.appendWho(w.bytes)
	w.ends = len(w.bytes)
	w.bytes = n.appendWhere(w.bytes)
}

// record is what a record has of the names, at two places.
func (w *written) record() (first, last []byte) { return w.bytes[:w.last], w.bytes[w.last:w.who] }

// comment is how a comment begins and ends.
func (w *written) comment() (who, where []byte) { return w.bytes[w.who:w.ends], w.bytes[w.ends:] }

// The bounds of what is kept, in directions of connections and in bytes of one.
const (
	maxWritten     = 1024
	maxWrittenSize = 4096
)

// recent is what was written of names not long ago: in each place what came
// last of the directions that fall on it.
type recent struct {
	at    [maxWritten]*written
	spare *written // for the next
}

// of gives what is written of p's names. It is valid until the next call.
func (r *recent) of(p *Packet) *written {
	at := &r.at[(p.ConnID<<1+uint64(p.Role)+uint64(p.Sender.PID))%maxWritten]
	if *at != nil && (*at).are(p) {
		return *at
	}
	w := r.spare
	if w == nil || cap(w.bytes) > maxWrittenSize {
		w = &written{}
	}
	w.put(p)
	r.spare = w
	if len(w.bytes) <= maxWrittenSize {
		r.spare, *at = *at, w
	}
	return w
}
