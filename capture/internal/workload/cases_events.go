package workload

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// eventCases are those whose events are known; see CompareEvents.
func eventCases() []Case {
	return []Case{
		{Name: "life-stream", About: "listen, connect, accept, talk, shutdown and close of a stream", run: lifeStream},
		{Name: "life-seqpacket", About: "the same of a seqpacket socket", run: lifeSeqPacket},
		{Name: "life-unread", About: "sockets closed while what they sent is unread", run: lifeUnread},
		{Name: "life-refused", About: "connects that fail for each reason, and then succeed", run: lifeRefused},
		{Name: "life-blocked", About: "a connect that waits for room in the backlog", run: lifeBlocked},
		{Name: "life-greeting", About: "servers that write before connect has returned", run: lifeGreeting},
		{Name: "life-dgram", About: "datagram sockets that connect, are refused, let go and close", run: lifeDatagram},
		{Name: "life-copies", About: "descriptors that are duplicated, replaced and inherited: the last one closes", run: lifeCopies},
		{Name: "life-end", About: "sockets that the end of a process closes, by exit and by SIGKILL", run: lifeEnd},
	}
}

func lifeStream(e *Env) { e.life(unix.SOCK_STREAM, e.main.read) }
func lifeSeqPacket(e *Env) {
	e.life(unix.SOCK_SEQPACKET, func(s *sock, _, _ int) { e.main.readMessages(s, 1) })
}

func (e *Env) life(typ int, read func(s *sock, n, buffer int)) {
	v := e.diary(e.main)
	l := v.listener(typ, 8)
	for range 3 {
		c := v.dial(l)
		v.accept(l, c)
		e.main.put(c.client, 301, write)
		read(c.server, 301, 301)
		e.main.put(c.server, 302, write)
		read(c.client, 302, 302)
		v.shutdown(c, c.client, unix.SHUT_WR)
		v.close(c, c.client)
		v.close(c, c.server)
	}
	v.closeAlone(l)
}

func lifeUnread(e *Env) {
	v := e.diary(e.main)
	l := v.listener(unix.SOCK_STREAM, 8)
	for _, n := range []int{1, 7} {
		c := v.dial(l)
		for i := range n { // before it is accepted
			e.main.put(c.client, 200+i, write).PreAccept = true
		}
		v.accept(l, c)
		v.close(c, c.client)
		e.main.read(c.server, n*200+n*(n-1)/2, 150) // read by and by
		v.close(c, c.server)
	}
}

func lifeRefused(e *Env) {
	v := e.diary(e.main)
	s, d := e.socket(unix.SOCK_STREAM), e.socket(unix.SOCK_DGRAM)
	missing, stale := fileAddress(e.name()), fileAddress(e.name())
	v.refuse(s, missing, unix.ENOENT)
	v.refuse(s, abstractAddress("wl\x00\x1b nobody"), unix.ECONNREFUSED)
	e.close(e.bind(e.socket(unix.SOCK_STREAM), stale)) // leaves its file
	v.refuse(s, stale, unix.ECONNREFUSED)
	v.refuse(s, e.receiver().bound, unix.EPROTOTYPE)
	v.refuse(d, missing, unix.ENOENT)
	v.refuse(d, stale, unix.ECONNREFUSED)

	l := v.listener(unix.SOCK_STREAM, 0) // one may wait
	v.refuse(d, l.bound, unix.EPROTOTYPE)
	waiting := v.dial(l)
	check("fcntl", unix.SetNonblock(s.fd, true))
	v.refuse(s, l.bound, unix.EAGAIN)
	v.accept(l, waiting)
	e.main.put(waiting.client, 31, write)
	e.main.read(waiting.server, 31, 31)

	check("chmod", os.Chmod(contractPath(l.bound), 0o600))
	e.thread("", func(t *task) {
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 12345, 12345, 12345) // of this thread alone, which ends
		check("setresuid", errnoOf(errno))
		t.UID = 12345
		e.diary(t).refuse(e.socket(unix.SOCK_STREAM), l.bound, unix.EACCES)
	})
	e.wait()
}

// awaitConnect waits until a thread of ours sleeps in connect.
func awaitConnect(tid int) {
	within := fmt.Sprintf("%d ", unix.SYS_CONNECT)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		call, err := readLine(fmt.Sprintf("/proc/self/task/%d/syscall", tid))
		check("read", err)
		if strings.HasPrefix(call, within) {
			return
		}
	}
	fail("connect does not wait")
}

func lifeBlocked(e *Env) {
	v := e.diary(e.main)
	l := v.listener(unix.SOCK_STREAM, 0)
	first := v.dial(l)
	about, dialed := make(chan int), make(chan *conn, 1)
	e.thread("", func(t *task) {
		about <- unix.Gettid()
		c := e.diary(t).dial(l)
		dialed <- c
		t.put(c.client, 77, write).PreAccept = true // it may be
	})
	awaitConnect(<-about)
	v.accept(l, first)
	second := <-dialed
	v.accept(l, second)
	e.wait()
	e.main.read(second.server, 77, 77)
}

// lifeGreeting: of each connection the server's greeting may be queued before
// the client knows that it is connected.
func lifeGreeting(e *Env) {
	v := e.diary(e.main)
	l := v.listener(unix.SOCK_STREAM, 8)
	const rounds, size = 30, 55
	type greeting struct {
		accept *Event
		server *sock
	}
	greetings := make(chan greeting, 1)
	e.thread("", func(t *task) {
		v := e.diary(t)
		for range rounds {
			g := greeting{}
			g.accept = v.during(Event{Event: pcapng.EventAccept, Type: pcapng.Stream, Path: contractPath(l.bound), Role: pcapng.RoleServer}, func() {
				fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
				check("accept", err)
				g.server = &sock{fd: fd, typ: l.typ}
			})
			e.addFD(g.server.fd)
			inode, err := inodeOf(g.server.fd)
			check("fstat", err)
			g.server.inode = inode
			t.put(g.server, size, write)
			greetings <- g
		}
	})
	for range rounds {
		c := v.dial(l)
		g := <-greetings
		c.server = g.server
		g.accept.Sock, g.accept.Peer, g.accept.Conn = g.server.inode, c.client.inode, c.up.Conn
		e.accepted(c, g.server.inode)
		e.main.read(c.client, size, size)
		v.close(c, c.client)
		v.close(c, c.server)
	}
	e.wait()
}

func lifeDatagram(e *Env) {
	v := e.diary(e.main)
	r, s := e.receiver(), e.socket(unix.SOCK_DGRAM)
	flow := e.datagrams(s, r, pcapng.RoleClient)
	flow.Conn = e.newConn()
	c := &conn{client: s, server: r, up: flow, down: &Flow{}}
	v.during(Event{Event: pcapng.EventConnect, Type: pcapng.Datagram, Sock: s.inode, Peer: r.inode, Path: flow.Path, Role: pcapng.RoleClient, Conn: flow.Conn},
		func() { check("connect", connect(s.fd, r.bound)) })
	e.main.put(s, 64, write)
	e.main.readMessages(r, 1)
	check("disconnect", connect(s.fd, address{0, 0})) // AF_UNSPEC: no event
	v.during(Event{Event: pcapng.EventConnect, Type: pcapng.Datagram, Sock: s.inode, Peer: r.inode, Path: flow.Path, Role: pcapng.RoleClient, Conn: flow.Conn},
		func() { check("connect", connect(s.fd, r.bound)) })
	v.close(c, s)
	v.closeAlone(r)
}

// lifeCopies closes descriptors of which only the last is the socket's close.
func lifeCopies(e *Env) {
	v := e.diary(e.main)
	l := v.listener(unix.SOCK_STREAM, 8)
	c := v.dial(l)
	v.accept(l, c)
	copied, err := unix.Dup(c.client.fd)
	check("dup", err)
	check("close", unix.Close(copied))
	e.main.put(c.client, 12, write)
	e.main.read(c.server, 12, 12)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check("open", err)
	check("dup3", unix.Dup3(c.client.fd, null, unix.O_CLOEXEC))
	e.closeFD(c.client.fd) // null is the socket now
	e.main.put(&sock{fd: null, inode: c.client.inode, typ: c.client.typ}, 13, write)
	e.main.read(c.server, 13, 13)
	other, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check("open", err)
	v.during(c.of(pcapng.EventClose, c.client), func() { check("dup3", unix.Dup3(other, null, unix.O_CLOEXEC)) })
	check("close", unix.Close(other))
	check("close", unix.Close(null))
	k := e.spawn("hold", nil, c.server)
	k.hear()
	e.closeFD(c.server.fd) // the child has it still
	x := c.of(pcapng.EventClose, c.server)
	x.Task = Task{PID: uint32(k.cmd.Process.Pid), Comm: "wl-hold"}
	v.during(x, func() {
		k.tell()
		k.join()
	})
	v.closeAlone(l)
}

func lifeEnd(e *Env) {
	v := e.diary(e.main)
	l := v.listener(unix.SOCK_STREAM, 8)
	for _, end := range []func(*kid){func(k *kid) { k.tell(); k.join() }, (*kid).kill} {
		c := v.dial(l)
		v.accept(l, c)
		e.main.put(c.client, 21, write)
		e.main.read(c.server, 21, 21)
		k := e.spawn("hold", nil, c.client)
		k.hear()
		e.closeFD(c.client.fd)
		x := c.of(pcapng.EventClose, c.client)
		x.Task = Task{PID: uint32(k.cmd.Process.Pid), Comm: "wl-hold"}
		v.during(x, func() { end(k) })
		v.close(c, c.server)
	}
}
