package workload

import (
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// existingCases are about sockets that are older than the capture, of which it
// must know everything from the first record on.
func existingCases() []Case {
	return []Case{{Name: "existing", Early: true, run: existing,
		About: "connections of all types between processes, made before the capture; either side speaks first, or waits for accept"}}
}

// Existing is a socket that is older than the capture, as its snapshot must
// tell of it.
type Existing struct {
	Inode, Peer uint64 // Peer: of the socket at the other end, or the listener at which it waits; 0: none
	Type        pcapng.SocketType
	State       pcapng.State
	Role        pcapng.Role
	Path        string
	Conn        int // as Flow.Conn; 0: it has no connection

	PID      uint32 // who alone holds it
	Comm     string
	PeerPID  uint32 // and the other end, 0 if there is none
	PeerComm string
}

// holder is a process that holds sockets.
type holder struct {
	pid  uint32
	comm string
}

func (e *Env) self() holder { return holder{e.main.PID, e.main.Comm} }

// give starts a child in a role, and gives it a socket of ours; it says when it
// has begun.
func (e *Env) give(s *sock, role string, arguments ...int) (*kid, holder) {
	k := e.spawn(role, args(arguments...), s)
	e.close(s)
	k.hear()
	return k, holder{uint32(k.cmd.Process.Pid), "wl-" + role}
}

// exists notes a socket that is alone.
func (e *Env) exists(s *sock, state pcapng.State, by holder) {
	x := Existing{Inode: s.inode, Type: pcapng.SocketType(s.typ), State: state, PID: by.pid, Comm: by.comm}
	if s.bound != nil {
		x.Path, x.Role = contractPath(s.bound), pcapng.RoleServer
	}
	e.existing = append(e.existing, x)
}

// connects notes that a socket is connected to another, of which the flow tells.
func (e *Env) connects(s, other *sock, f *Flow, state pcapng.State, by, to holder) {
	e.existing = append(e.existing, Existing{
		Inode: s.inode, Peer: other.inode, Type: f.Type, State: state, Role: f.Role, Path: f.Path, Conn: f.Conn,
		PID: by.pid, Comm: by.comm, PeerPID: to.pid, PeerComm: to.comm,
	})
	f.Holder, f.HolderComm = to.pid, to.comm
}

// connected notes both ends of a connection.
func (e *Env) connected(c *conn, client, server holder) {
	e.connects(c.client, c.server, c.up, pcapng.StateConnected, client, server)
	e.connects(c.server, c.client, c.down, pcapng.StateConnected, server, client)
}

func existing(e *Env) {
	const times, n = 3, 33
	var first, echoes []*conn // in which a child speaks first; in which it answers
	var speakers []*kid
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		l := e.listen(typ, nil)
		e.exists(l, pcapng.StateListening, e.self())
		dialed := func() *conn {
			c := e.dial(l, nil)
			e.accept(l, c)
			return c
		}
		for _, connected := range []func() *conn{dialed, func() *conn { return e.pair(typ) }} {
			server, client, writer := connected(), connected(), connected()
			_, by := e.give(server.server, "echo", times, n)
			e.connected(server, e.self(), by)
			_, by = e.give(client.client, "echo", times, n)
			e.connected(client, by, e.self())
			k, by := e.give(writer.server, "write", 1, times, n)
			e.connected(writer, e.self(), by)
			echoes, first, speakers = append(echoes, server, client), append(first, writer), append(speakers, k)
		}
	}
	waiting, l, client := e.waits()
	r := e.receiver()
	e.exists(r, pcapng.StateUnconnected, e.self())
	for range 3 {
		s := e.socket(unix.SOCK_DGRAM)
		check("connect", connect(s.fd, r.bound))
		f := e.datagrams(s, r, pcapng.RoleClient)
		f.Conn = e.newConn()
		k, by := e.give(s, "write", 1, times, n)
		e.connects(s, r, f, pcapng.StateConnected, by, e.self())
		speakers = append(speakers, k)
	}
	d := e.pair(unix.SOCK_DGRAM)
	k, by := e.give(d.client, "write", 1, times, n)
	e.connected(d, by, e.self())
	speakers = append(speakers, k)
	e.captureBegins()

	for _, c := range echoes {
		s := c.client // ours is the end that is open
		if c.down.Holder != e.self().pid {
			s = c.server
		}
		for range times {
			e.main.put(s, n, write)
			e.main.read(s, n, n)
		}
	}
	for _, k := range speakers {
		k.tell()
	}
	const all = times*n + times*(times-1)/2
	for _, c := range first {
		e.main.read(c.client, all, n+times)
	}
	e.main.readMessages(r, 3*times)
	e.main.readMessages(d.server, times)
	client.tell()
	client.hear() // it has sent
	e.accept(l, waiting)
	client.tell()
	e.main.read(waiting.server, 2*all, 4096)
}

// waits makes a client that is not accepted yet, of a child that sends before
// and after that.
func (e *Env) waits() (*conn, *sock, *kid) {
	l := e.listen(unix.SOCK_STREAM, nil)
	e.exists(l, pcapng.StateListening, e.self())
	c := e.dial(l, nil)
	c.up.Before = true
	k, by := e.give(c.client, "write", 2, 3, 33, 1)
	e.connects(c.client, l, c.up, pcapng.StateConnecting, by, e.self())
	return c, l, k
}
