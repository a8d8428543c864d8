package workload

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// Event is something that happened to a socket besides data.
type Event struct {
	Event pcapng.Event
	Task  Task // who did it; a TID of 0 is not checked
	Type  pcapng.SocketType
	Sock  uint64 // inode of the socket that it happened to
	Peer  uint64 // inode of the other end, 0: not checked
	Path  string // as Packet.Path must have it
	Role  pcapng.Role
	Errno uint32 // of refused
	Conn  int    // as Flow.Conn; 0: of no connection
	Begin int64  // wall clock before and after, nanoseconds since 1970
	End   int64
}

// events is a task's account of what it does besides sending and reading.
type events struct {
	e *Env
	t *task
}

// during does what the event x is, and notes when.
func (v *events) during(x Event, do func()) *Event {
	if x.Task.PID == 0 {
		x.Task = v.t.Task
	}
	v.e.mu.Lock()
	v.e.events = append(v.e.events, &x)
	v.e.mu.Unlock()
	x.Begin = now()
	do()
	x.End = now()
	return &x
}

// diary keeps account of what a task does.
func (e *Env) diary(t *task) *events { return &events{e: e, t: t} }

func (v *events) listen(s *sock, backlog int) {
	v.during(Event{Event: pcapng.EventListen, Type: pcapng.SocketType(s.typ), Sock: s.inode,
		Path: contractPath(s.bound), Role: pcapng.RoleServer},
		func() { check("listen", unix.Listen(s.fd, backlog)) })
}

// listener is a new one on a fresh path.
func (v *events) listener(typ, backlog int) *sock {
	s := v.e.bind(v.e.socket(typ), fileAddress(v.e.name()))
	v.listen(s, backlog)
	return s
}

// dial connects a new socket.
func (v *events) dial(l *sock) *conn {
	s := v.e.socket(l.typ)
	c := &conn{client: s}
	c.up = v.e.flow(Flow{Name: "client to server", Type: pcapng.SocketType(l.typ), From: s.inode,
		Path: contractPath(l.bound), Role: pcapng.RoleClient, Conn: v.e.newConn()})
	v.during(Event{Event: pcapng.EventConnect, Type: c.up.Type, Sock: s.inode, Path: c.up.Path, Role: pcapng.RoleClient, Conn: c.up.Conn},
		func() { check("connect", connect(s.fd, l.bound)) })
	return c
}

func (v *events) accept(l *sock, c *conn) {
	x := v.during(Event{Event: pcapng.EventAccept, Type: c.up.Type, Peer: c.client.inode, Path: c.up.Path, Role: pcapng.RoleServer, Conn: c.up.Conn},
		func() {
			fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
			check("accept", err)
			c.server = v.e.adopt(fd, l.typ)
		})
	x.Sock = c.server.inode
	v.e.accepted(c, c.server.inode)
}

// refuse connects s to a, which must fail with want.
func (v *events) refuse(s *sock, a address, want unix.Errno) {
	v.during(Event{Event: pcapng.EventRefused, Type: pcapng.SocketType(s.typ), Sock: s.inode, Path: contractPath(a),
		Role: pcapng.RoleClient, Errno: uint32(want)},
		func() {
			if err := connect(s.fd, a); err != want {
				fail("connect to %q: %v, want %v", contractPath(a), err, want)
			}
		})
}

// of is an event of one end of a connection.
func (c *conn) of(event pcapng.Event, s *sock) Event {
	f := c.up
	if s == c.server {
		f = c.down
	}
	return Event{Event: event, Type: f.Type, Sock: f.From, Peer: f.To, Path: f.Path, Role: f.Role, Conn: f.Conn}
}

func (v *events) shutdown(c *conn, s *sock, how int) {
	v.during(c.of(pcapng.EventShutdown, s), func() { check("shutdown", unix.Shutdown(s.fd, how)) })
}

func (v *events) close(c *conn, s *sock) {
	v.during(c.of(pcapng.EventClose, s), func() { v.e.closeFD(s.fd) })
}

// closeAlone closes a socket that has no other end.
func (v *events) closeAlone(s *sock) {
	v.during(Event{Event: pcapng.EventClose, Type: pcapng.SocketType(s.typ), Sock: s.inode, Path: contractPath(s.bound), Role: pcapng.RoleServer},
		func() { v.e.closeFD(s.fd) })
}

// isLife reports whether an event is one that CompareEvents looks at.
func isLife(e pcapng.Event) bool { return e >= pcapng.EventConnect && e <= pcapng.EventRefused }

// CompareEvents puts the events of a capture beside those of a case, and gives
// what differs. What the end of a case closes is not asked for, but may be told.
func CompareEvents(truth *Truth, packets []*pcapng.Packet) []string {
	c := &eventCheck{truth: truth, conns: make(map[int]uint64)}
	ours := truth.sockets()
	for _, x := range truth.Events {
		ours[x.Sock] = true
	}
	for at, p := range packets {
		if ours[p.Sender.Inode] && (isLife(p.Event) || p.Event == pcapng.EventData) {
			c.found = append(c.found, found{p, at})
		}
	}
	for i := range truth.Events {
		c.check(&truth.Events[i])
	}
	for _, f := range c.found {
		if f.p.Event != pcapng.EventData && !c.mayEnd(f.p) {
			c.differ("%s: this did not happen", describeEvent(f.p))
		}
	}
	return c.differences
}

// found is a packet and its place in the capture.
type found struct {
	p  *pcapng.Packet
	at int
}

type eventCheck struct {
	truth       *Truth
	found       []found
	conns       map[int]uint64 // connection to its number in the capture
	differences []string
}

func (c *eventCheck) differ(format string, args ...any) {
	c.differences = append(c.differences, c.truth.Case+": "+fmt.Sprintf(format, args...))
}

func describeEvent(p *pcapng.Packet) string {
	return fmt.Sprintf("%v of %d to %d by %s[%d] %q, errno %d, connection %d, role %v", p.Event, p.Sender.Inode, p.Peer.Inode,
		p.Sender.Comm, p.Sender.PID, p.Path, p.Errno, p.ConnID, p.Role)
}

// check finds the packet of x, the first of its kind that is left, and takes it.
func (c *eventCheck) check(x *Event) {
	i := slices.IndexFunc(c.found, func(f found) bool { return f.p.Event == x.Event && f.p.Sender.Inode == x.Sock })
	if i < 0 {
		c.differ("%v of %d by %s[%d] %q is not there", x.Event, x.Sock, x.Task.Comm, x.Task.PID, x.Path)
		return
	}
	f := c.found[i]
	c.checkFacts(x, f.p)
	c.checkPlace(x, f)
	c.found = slices.Delete(c.found, i, i+1)
}

func (c *eventCheck) checkFacts(x *Event, p *pcapng.Packet) {
	e := &p.Sender
	switch {
	case e.PID != x.Task.PID, x.Task.TID != 0 && e.TID != x.Task.TID, e.UID != x.Task.UID, e.GID != x.Task.GID,
		x.Task.TID != 0 && e.Thread != x.Task.Thread, e.Comm != x.Task.Comm:
		c.differ("%s: who is %+v, want %+v", describeEvent(p), *e, x.Task)
	case p.Type != x.Type, p.Path != x.Path, p.Role != x.Role, p.Errno != x.Errno, x.Peer != 0 && p.Peer.Inode != x.Peer:
		c.differ("%s: want %+v", describeEvent(p), *x)
	case p.Len != 0, len(p.Data) != 0:
		c.differ("%s: has %d bytes", describeEvent(p), p.Len)
	}
	c.checkClient(x, p)
	may := int64(slack + c.truth.Stepped)
	t := p.Time
	if !p.OwnTime.IsZero() {
		t = p.OwnTime
	}
	if at := t.UnixNano(); at < x.Begin-may || at > x.End+may {
		c.differ("%s: at %v, want %v to %v", describeEvent(p), t, time.Unix(0, x.Begin), time.Unix(0, x.End))
	}
	if known := c.conns[x.Conn]; x.Conn != 0 && known == 0 {
		c.conns[x.Conn] = p.ConnID
	}
	if x.Conn == 0 != (p.ConnID == 0) || p.ConnID != c.conns[x.Conn] {
		c.differ("%s: connection %d of the case is %d", describeEvent(p), x.Conn, c.conns[x.Conn])
	}
}

// checkClient: an accept names its client as the connect did.
func (c *eventCheck) checkClient(x *Event, p *pcapng.Packet) {
	i := slices.IndexFunc(c.truth.Events, func(y Event) bool { return y.Event == pcapng.EventConnect && y.Conn == x.Conn })
	if x.Event != pcapng.EventAccept || i < 0 {
		return
	}
	want := c.truth.Events[i].Task
	if e := &p.Peer; e.PID != want.PID || e.UID != want.UID || e.GID != want.GID || e.Comm != want.Comm ||
		want.TID != 0 && (e.TID != want.TID || e.Thread != want.Thread) {
		c.differ("%s: the client is %+v, want %+v", describeEvent(p), *e, want)
	}
}

// checkPlace: a connect is before all else of its connection, an accept before
// what the server sends; a shutdown or close behind what its socket sent.
func (c *eventCheck) checkPlace(x *Event, f found) {
	for _, other := range c.found {
		if other.p.Event != pcapng.EventData || other.p.ConnID != f.p.ConnID || other.p.ConnID == 0 {
			continue
		}
		mine := other.p.Sender.Inode == x.Sock
		switch {
		case x.Event == pcapng.EventConnect && x.Type != pcapng.Datagram && other.at < f.at, // those connect again
			x.Event == pcapng.EventAccept && mine && other.at < f.at,
			(x.Event == pcapng.EventClose || x.Event == pcapng.EventShutdown) && mine && other.at > f.at:
			c.differ("%s: packet %d, but data of %d is packet %d", describeEvent(f.p), f.at, other.p.Sender.Inode, other.at)
			return
		}
	}
}

// mayEnd reports whether p is the close of a socket that the case left open.
func (c *eventCheck) mayEnd(p *pcapng.Packet) bool {
	closed := slices.ContainsFunc(c.truth.Events, func(x Event) bool { return x.Event == pcapng.EventClose && x.Sock == p.Sender.Inode })
	return p.Event == pcapng.EventClose && !closed
}

// sortEvents puts them in the order in which they began.
func sortEvents(list []*Event) []Event {
	events := make([]Event, 0, len(list))
	for _, x := range list {
		events = append(events, *x)
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Begin, b.Begin) })
	return events
}
