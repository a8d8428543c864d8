package workload

import (
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

func specialCases() []Case {
	return []Case{
		{Name: "scm-rights", About: "descriptors passed on stream, datagram and seqpacket", run: scmRights},
		{Name: "scm-credentials", About: "credentials passed, and added by SO_PASSCRED", run: scmCredentials},
		{Name: "oob-inline", About: "MSG_OOB, read in line", run: func(e *Env) { oob(e, true) }},
		{Name: "oob", About: "MSG_OOB, read by MSG_OOB at the mark", run: func(e *Env) { oob(e, false) }},
		{Name: "oob-unread", About: "MSG_OOB, the receiver closes before it reads", run: oobUnread},
		{Name: "peek", About: "readers that peek before they read", run: peek},
		{Name: "filter-drop", About: "receiver's SO_ATTACH_FILTER drops messages", run: func(e *Env) { filter(e, 0) }},
		{Name: "filter-trim", About: "receiver's SO_ATTACH_FILTER trims messages", run: func(e *Env) { filter(e, 33) }},
		{Name: "dgram-both-bound", About: "two bound datagram sockets talk", run: dgramBothBound},
		{Name: "early", About: "sockets of all types made, and used, before the capture", Early: true, run: early},
		{Name: "connections", About: "101 short connections in a row", run: connections},
		{Name: "flood", About: "2,003 messages of 64 bytes without a pause, stream and datagram", run: flood},
	}
}

func scmRights(e *Env) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		for i, fds := range [][]int{{0}, {1, c.client.fd, c.server.fd}, {0, 0, 0, 0, 0, 0, 0}} {
			e.main.put(c.client, 1+i*101, sendMessage(2, nil, unix.UnixRights(fds...))).FDs = len(fds)
			e.readControl(c.server, 1+i*101)
			e.main.put(c.client, 2, write).FDs = 0
			e.main.read(c.server, 2, 2)
		}
	}
}

// readControl reads n bytes with what was passed along, and closes that.
func (e *Env) readControl(s *sock, n int) {
	if e.readAnyControl(s, n) == 0 {
		fail("nothing was passed along")
	}
}

// readAnyControl is readControl where there may be nothing; it returns the bytes
// of control messages.
func (e *Env) readAnyControl(s *sock, n int) int {
	r := e.main.account(s)
	p, control := make([]byte, n), make([]byte, 4096)
	got, controlLen, _, _, err := unix.Recvmsg(s.fd, p, control, unix.MSG_CMSG_CLOEXEC)
	check("recvmsg", err)
	closePassed(control[:controlLen])
	r.add(p[:got])
	return controlLen
}

// closePassed closes the descriptors in control messages.
func closePassed(control []byte) {
	messages, err := unix.ParseSocketControlMessage(control)
	check("control message", err)
	for i := range messages {
		const scmPidfd = 4 // since v6.5: a pidfd of the sender
		if t := messages[i].Header.Type; t == scmPidfd {
			messages[i].Header.Type = unix.SCM_RIGHTS
		} else if t != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&messages[i])
		check("control message", err)
		for _, fd := range fds {
			check("close", unix.Close(fd))
		}
	}
}

func scmCredentials(e *Env) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		check("setsockopt", unix.SetsockoptInt(c.server.fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
		own := unix.Ucred{Pid: int32(unix.Getpid()), Uid: uint32(unix.Getuid()), Gid: uint32(unix.Getgid())}
		x := e.main.put(c.client, 61, sendMessage(1, nil, unix.UnixCredentials(&own)))
		x.Cred = &pcapng.Cred{PID: uint32(own.Pid), UID: own.Uid, GID: own.Gid}
		e.readControl(c.server, 61)
		e.main.put(c.client, 62, write)
		e.readControl(c.server, 62)
	}
}

// oob sends urgent bytes between others. Read out of line, everything before
// the mark is read, then the urgent byte, so that the order is that of the queue.
func oob(e *Env, inline bool) {
	c := e.connection(unix.SOCK_STREAM)
	if inline {
		check("setsockopt", unix.SetsockoptInt(c.server.fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1))
	}
	for _, n := range []int{1, 2, 101, 5003} {
		e.main.put(c.client, 17, write)
		x := e.main.try(c.client, n, send(unix.MSG_OOB))
		if x.Err == unix.EOPNOTSUPP.Error() {
			notPossible("MSG_OOB: %s", x.Err)
		}
		if x.Done != n {
			fail("MSG_OOB: %d of %d: %s", x.Done, n, x.Err)
		}
		if inline {
			e.main.read(c.server, 17+n, 8192)
			continue
		}
		r := e.main.account(c.server)
		for left := 16 + n; left > 0; {
			p := make([]byte, left)
			got := receive(c.server, p, 0)
			r.add(p[:got])
			left -= got
		}
		p := make([]byte, 1)
		r.Kept = append(r.Kept, len(r.Bounds))
		r.add(p[:receive(c.server, p, unix.MSG_OOB)])
	}
}

func oobUnread(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	e.main.put(c.client, 17, write)
	x := e.main.try(c.client, 18, send(unix.MSG_OOB))
	if x.Err == unix.EOPNOTSUPP.Error() {
		notPossible("MSG_OOB: %s", x.Err)
	}
	e.close(c.server)
}

func peek(e *Env) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		for _, n := range []int{7, 4099, 50_001} {
			x := e.main.put(c.client, n, write)
			for _, size := range []int{1, n / 2, n} {
				p := make([]byte, size)
				if got := receive(c.server, p, unix.MSG_PEEK); string(p[:got]) != string(e.main.content(x)[:got]) {
					fail("peeked %d other bytes than were sent", got)
				}
			}
			e.main.read(c.server, n, n)
		}
	}
}

// filter attaches to receivers a filter that passes messages below 100 bytes,
// drops those below 200, and keeps only the first bytes of longer ones.
func filter(e *Env, keep uint32) {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN},
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 200, Jt: 3},
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 100, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 30},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: keep},
	}
	for _, typ := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		check("setsockopt", unix.SetsockoptSockFprog(c.server.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog))
		for _, n := range []int{1, 99, 100, 101, 0, 199, 200, 201, 4096, 100_003, 5} {
			x := e.main.put(c.client, n, send(0))
			switch {
			case n >= 200 && keep > 0:
				x.Trim = int(keep)
			case n >= 100:
				x.Dropped = true
				continue
			}
			e.main.readMessages(c.server, 1)
		}
		empty(c.server)
	}
}

func dgramBothBound(e *Env) {
	a, b := e.receiver(), e.receiver()
	e.datagrams(a, b, pcapng.RoleClient)
	e.datagrams(b, a, pcapng.RoleServer)
	for i := range 7 {
		e.main.put(a, 5+i, sendTo(b.bound))
		e.main.readMessages(b, 1)
		e.main.put(b, 1005+i, sendMessage(2, a.bound, nil))
		e.main.readMessages(a, 1)
	}
}

func early(e *Env) {
	stream, packets, pair := e.connection(unix.SOCK_STREAM), e.connection(unix.SOCK_SEQPACKET), e.pair(unix.SOCK_STREAM)
	l := e.listen(unix.SOCK_STREAM, nil)
	waiting := e.dial(l, nil)
	r, s, connected := e.receiver(), e.socket(unix.SOCK_DGRAM), e.socket(unix.SOCK_DGRAM)
	check("connect", connect(connected.fd, r.bound))
	e.datagrams(s, r, pcapng.RoleClient)
	e.datagrams(connected, r, pcapng.RoleClient).Conn = e.newConn()
	talk := func() {
		for _, c := range []*conn{stream, packets, pair} {
			e.roundTrip(c.client, c.server, 71, write)
			e.roundTrip(c.server, c.client, 4098, write)
		}
		e.main.put(s, 72, sendTo(r.bound))
		e.main.put(connected, 73, write)
		e.main.readMessages(r, 2)
	}
	talk()
	e.captureBegins()
	talk()
	e.main.put(waiting.client, 74, write).PreAccept = true
	e.accept(l, waiting)
	e.main.read(waiting.server, 74, 100)
	e.roundTrip(waiting.server, waiting.client, 75, write)
}

func connections(e *Env) {
	l := e.listen(unix.SOCK_STREAM, nil)
	for i := range 101 {
		c := e.dial(l, nil)
		if i%3 == 0 {
			e.main.put(c.client, 8+i, write).PreAccept = true
		}
		e.accept(l, c)
		if i%3 == 0 {
			e.main.read(c.server, 8+i, 4096)
		}
		e.roundTrip(c.client, c.server, 100+i, write)
		e.roundTrip(c.server, c.client, 200+i, write)
		if i%5 == 0 {
			e.main.put(c.server, 9, write) // never read
		}
		e.close(c.client, c.server)
	}
}

func flood(e *Env) {
	const n = 2003
	c := e.connection(unix.SOCK_STREAM)
	e.thread("wl-reader", func(t *task) { t.readAll(c.server, 4096) })
	for range n {
		e.main.put(c.client, 64, write)
	}
	e.close(c.client)
	e.wait()
	d := e.pair(unix.SOCK_DGRAM)
	e.thread("wl-reader", func(t *task) { t.readMessages(d.server, n) })
	for range n {
		e.main.put(d.client, 64, write)
	}
}
