package capture

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// blocked is how long a connect takes that had to wait. Its time is that of its
// end; else that of its begin, which is before all data of the connection.
const blocked = 10 * time.Millisecond

// live takes what the kernel side tells of a socket besides data.
func (s *Session) live(l *bpf.Life) {
	from := s.sockets.of(l.Socket)
	if l.What == bpf.LifeClose || l.What == bpf.LifeCloseUnread {
		s.sockets.forget(from)
	}
	if from.info.Type == 0 {
		from.info.Type = l.Type
	}
	if l.Task.Process != 0 && l.What != bpf.LifeClose && l.What != bpf.LifeCloseUnread {
		from.user = processKey{l.Task.Pid, l.Task.Process}
	}
	switch l.What {
	case bpf.LifeConnecting:
		begun := *l
		from.connecting = &begun
		from.made(&l.Task)
	case bpf.LifeQuit:
		from.connecting = nil
	case bpf.LifeConnect:
		if begun := from.connecting; begun != nil { // else data has told of it
			s.connected(begun, from, s.other(l, from), l.Time)
		}
	case bpf.LifeRefused:
		s.refused(l, from)
	case bpf.LifeAccept:
		to := s.other(l, from)
		if to.info.Socket != 0 {
			s.sockets.pair(from, to).server = from.info.Socket
		}
		s.tell(l, pcapng.EventAccept, from, to, 0)
	case bpf.LifeListen:
		s.sockets.listens(from)
		s.tell(l, pcapng.EventListen, from, from.elsewhere(), 0)
	case bpf.LifeShutdown, bpf.LifeClose:
		happened := *l
		s.units.behind(&happened, from, s.other(l, from))
	case bpf.LifeCloseUnread:
		s.hold(l, from)
	case bpf.LifeDrained:
		s.drained(from)
	}
}

// other is the socket at the other end of from.
func (s *Session) other(l *bpf.Life, from *socket) *socket {
	if l.Peer == 0 {
		return from.elsewhere()
	}
	return s.sockets.of(l.Peer)
}

// connected tells that a connect has succeeded by a boot time.
func (s *Session) connected(begun *bpf.Life, from, to *socket, by uint64) {
	from.connecting = nil
	if by > begun.Time+uint64(blocked) {
		begun.Time = by
		from.last, to.last = max(from.last, int64(by)), max(to.last, int64(by))
	}
	if to.info.Socket != 0 && from.info.Type != uint8(pcapng.Datagram) {
		s.sockets.pair(from, to).server = to.info.Socket
	}
	s.tell(begun, pcapng.EventConnect, from, to, 0)
}

// connectedBy tells that a connect has succeeded of which a unit is the first
// news: the other end may be faster than the task that connects.
func (s *Session) connectedBy(u *unit) {
	from, to := u.from, u.to
	if from.connecting == nil {
		from, to = to, from
	}
	if u.head.Type != uint8(pcapng.Datagram) {
		s.connected(from.connecting, from, to, u.head.Time)
	}
}

// refused tells that a connect has failed, and to where it was.
func (s *Session) refused(l *bpf.Life, from *socket) {
	happened := *l
	if begun := from.connecting; begun != nil && begun.AddressLen > 0 {
		happened.Address, happened.AddressLen = begun.Address, begun.AddressLen
	}
	from.connecting = nil
	to := &socket{path: snapshot.Address(happened.Address[:happened.AddressLen])}
	if !s.paths.paths.All() || len(s.filter.files) > 0 {
		to.lookUp()
	}
	s.tell(&happened, pcapng.EventRefused, from, to, l.Error)
}

// lookUp finds the file that a name leads to now.
func (s *socket) lookUp() {
	if !filepath.IsAbs(s.path) {
		return // the other process's folder, or no file at all
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.info.File, s.info.Device = st.Ino, kernelDevice(st.Dev)
	}
}

// lifeGone is the end of a socket of which the close was not told: see sweep.
const lifeGone = 255

// tellEnd tells of a shutdown or close, behind the last data.
func (s *Session) tellEnd(l *bpf.Life, from, to *socket) {
	event := pcapng.EventClose
	if l.What == bpf.LifeShutdown {
		event = pcapng.EventShutdown
	} else if from.sent != nil {
		s.tellLost(from, to, int64(l.Time), *from.sent, true)
	} else if from.lost > 0 {
		s.tellLost(from, to, int64(l.Time), sentAll{}, false)
	}
	if l.What != lifeGone {
		s.tell(l, event, from, to, 0)
	}
	if event == pcapng.EventClose {
		s.sockets.close(from, to)
	}
}

// tell hands out an event of from, if it is kept. to has the number 0 if there
// is no other end.
func (s *Session) tell(l *bpf.Life, event pcapng.Event, from, to *socket, errno uint32) {
	if !s.paths.keeps(from) && !s.paths.keeps(to) {
		return
	}
	comm, thread := from.names(&l.Task)
	p := pcapng.Packet{
		Event: event, Type: pcapng.SocketType(from.info.Type), Errno: errno,
		MessageLen: pcapng.Unknown, NetNS: from.info.Netns,
		Sender: pcapng.Endpoint{
			PID: l.Task.Pid, TID: l.Task.Tid, UID: l.Task.Uid, GID: l.Task.Gid,
			Inode: from.info.Inode, Comm: comm, Thread: thread,
		},
		Peer: pcapng.Endpoint{UID: pcapng.Unknown, GID: pcapng.Unknown},
	}
	s.place(&p, from, to)
	s.identify(&p, &l.Task, from, to)
	t := int64(l.Time)
	p.Time = s.clock.wall(t)
	if event == pcapng.EventShutdown || event == pcapng.EventClose {
		p.Offset = from.next
		t = max(t, to.last) // as data, behind what it stands behind
		to.last = t
	}
	if t = max(t, s.order.last); t > int64(l.Time) { // it was held back
		p.OwnTime, p.Time = p.Time, s.clock.wall(t)
	}
	if s.filter.keeps(&p, from, to) {
		s.order.put(t, 0, &p)
	}
}

// place says of which connection an event of from is, and of what service.
func (s *Session) place(p *pcapng.Packet, from, to *socket) {
	p.Path = from.path
	switch {
	case p.Event == pcapng.EventRefused:
		p.Path, p.Role = to.path, pcapng.RoleClient
	case to.info.Socket == 0:
		if from.path != "" {
			p.Role = pcapng.RoleServer
		}
	default:
		conn := s.sockets.pair(from, to)
		if conn.server == 0 && (p.Type != pcapng.Datagram || from.path == "" || to.path == "") {
			conn.server = server(from, to) // else it is who receives first
		}
		p.ConnID = conn.id
		s.sockets.setPeer(&p.Peer, from, to)
		switch conn.server {
		case 0:
			if p.Path == "" || p.Event == pcapng.EventConnect {
				p.Path = to.path
			}
		case from.info.Socket:
			p.Role = pcapng.RoleServer
		default:
			p.Role, p.Path = pcapng.RoleClient, to.path
		}
	}
}

// closing are the sockets that were closed while some of what they sent had not
// been taken, the first that was closed in front.
type closing []*socket

// holdTime is how long a close waits for that: until what nobody reads has been
// shown. maxClosing is how many wait.
const (
	holdTime   = 2500 * time.Millisecond
	maxClosing = 65536
)

// hold keeps back a close until what the socket sent has been told of.
func (s *Session) hold(l *bpf.Life, from *socket) {
	happened := *l
	from.closing = &happened
	s.closing = append(s.closing, from)
	if len(s.closing) > maxClosing {
		s.drained(s.closing[0])
		s.closing = slices.Delete(s.closing, 0, 1)
	}
}

// drained tells of a close that waited: the last that the socket sent has been
// taken.
func (s *Session) drained(from *socket) {
	if l := from.closing; l != nil {
		from.closing = nil
		s.units.behind(l, from, s.other(l, from))
	}
}

// expireClosing tells of what has waited too long; all says that nothing more
// comes.
func (s *Session) expireClosing(all bool) {
	limit := bootTime() - int64(holdTime)
	n := 0
	for _, from := range s.closing {
		if from.closing != nil && !all && int64(from.closing.Time) > limit {
			break
		}
		s.drained(from)
		n++
	}
	s.closing = slices.Delete(s.closing, 0, n)
}
