package workload

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// opRecv is io_uring's.
const opRecv = 27

// readCases are about how the other side reads, or does not.
func readCases() []Case {
	return []Case{
		{Name: "read-splice", About: "the reader splices from the socket into a pipe", run: readSplice},
		{Name: "read-uring", About: "the reader uses io_uring RECV", run: func(e *Env) { readUring(e, false) }},
		{Name: "read-uring-sqpoll", About: "the reader uses io_uring's polling thread", run: func(e *Env) { readUring(e, true) }},
		{Name: "read-vectors", About: "the reader uses readv, and recvmmsg", run: readVectors},
		{Name: "short-read", About: "messages cut by the reader's buffer", run: shortRead},
		{Name: "dgram-unread", About: "messages that are never read", run: dgramUnread},
		{Name: "dgram-reconnect", About: "unread messages purged because their receiver connects elsewhere", run: dgramReconnect},
		{Name: "peek-offset", About: "a reader that peeks on and on (SO_PEEK_OFF), then reads", run: peekOffset},
		{Name: "cycle-cross", About: "two pairs passed over each other and closed, data before and behind", run: cycleCross},
		{Name: "cycle", About: "sockets passed over themselves and closed, their data left to the garbage collector", run: cycle},
	}
}

func readSplice(e *Env) {
	c, pipe := e.connection(unix.SOCK_STREAM), e.pipe()
	p := make([]byte, 1<<16)
	for _, n := range spliceSizes() {
		e.main.put(c.client, n, write)
		r := e.main.account(c.server)
		for left := n; left > 0; {
			got, err := unix.Splice(c.server.fd, nil, pipe[1], nil, left, 0)
			check("splice", err)
			if got == 0 {
				fail("end of stream, %d bytes early", left)
			}
			left -= int(got)
			for got > 0 {
				n, err := unix.Read(pipe[0], p[:min(int(got), len(p))])
				check("read", err)
				r.add(p[:n])
				got -= int64(n)
			}
		}
	}
}

func readUring(e *Env, poll bool) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		c := e.pair(typ)
		ring := e.ring(c.server, poll)
		for _, n := range []int{1, 64, 4097, 32_769} {
			e.main.put(c.client, n, write)
			r := e.main.account(c.server)
			r.Worker = true
			p := make([]byte, n)
			var pin runtime.Pinner
			pin.Pin(&p[0])
			for at := 0; at < n; {
				got, err := ring.do(sqe{op: opRecv, flags: sqeFixedFile,
					addr: uint64(uintptr(unsafe.Pointer(&p[at]))), len: uint32(n - at)})
				check("io_uring recv", err)
				r.add(p[at : at+got])
				at += got
			}
			pin.Unpin()
		}
		check("close", ring.close())
	}
}

func readVectors(e *Env) {
	c, d := e.pair(unix.SOCK_STREAM), e.pair(unix.SOCK_DGRAM)
	for _, n := range []int{7, 4099, 40_001} {
		e.main.put(c.client, n, write)
		r := e.main.account(c.server)
		p := make([]byte, n)
		for at := 0; at < n; {
			v := vectors(p[at:], 5)
			got, _, errno := unix.Syscall(unix.SYS_READV, uintptr(c.server.fd), uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)))
			check("readv", errnoOf(errno))
			r.add(p[at : at+int(got)])
			at += int(got)
		}
		e.readMany(d, n)
	}
}

// readMany sends three messages and reads them by one recvmmsg.
func (e *Env) readMany(d *conn, n int) {
	const count = 3
	m := make([]mmsghdr, count)
	p := make([]byte, count*(n+count))
	for i := range m {
		e.main.put(d.client, n+i, write)
		m[i].hdr = *header(vectors(p[i*(n+count):(i+1)*(n+count)], 2), nil, nil)
	}
	r := e.main.account(d.server)
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(d.server.fd), uintptr(unsafe.Pointer(&m[0])), count, 0, 0, 0)
	check("recvmmsg", errnoOf(errno))
	for i := range int(got) {
		r.add(p[i*(n+count):][:m[i].n])
	}
}

func shortRead(e *Env) {
	for _, typ := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		for _, n := range []int{100, 4099, 70_001} {
			e.main.put(c.client, n, write)
			r := e.main.account(c.server)
			r.Short = true
			p := make([]byte, 33)
			r.add(p[:receive(c.server, p, 0)])
		}
	}
}

func dgramUnread(e *Env) {
	for _, typ := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		for _, n := range []int{5, 0, 333, 40_001} {
			e.main.put(c.client, n, send(0))
		}
		e.main.readMessages(c.server, 1)
		e.close(c.server)
	}
	r, s := e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient)
	for i := range 7 {
		e.main.put(s, 11*i+3, sendTo(r.bound))
	}
	e.close(s)
	e.close(r)
}

// dgramReconnect: unix_dgram_disconnected purges the queue of a socket that
// gets another peer.
func dgramReconnect(e *Env) {
	r, s, a, b := e.receiver(), e.socket(unix.SOCK_DGRAM), e.receiver(), e.receiver()
	e.datagrams(s, r, pcapng.RoleClient)
	check("connect", connect(r.fd, a.bound))
	check("connect", connect(a.fd, r.bound))
	e.datagrams(a, r, pcapng.RoleClient).Conn = e.newConn()
	for i := range 3 {
		e.main.put(a, 60+i, write)
	}
	check("connect", connect(r.fd, b.bound))
	empty(r)
	e.close(s)
}

func cycle(e *Env) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		c := e.pair(typ)
		c.up.Orphan = true
		e.main.put(c.client, 81, write)
		e.main.put(c.client, 82, sendMessage(1, nil, unix.UnixRights(c.client.fd, c.server.fd))).FDs = 2
		e.close(c.client, c.server)
	}
	c := e.pair(unix.SOCK_STREAM) // closing a socket starts the collector
	e.close(c.client, c.server)
}

// cycleCross: each of two pairs holds an end of the other, so that only the
// collector can free them; their data is thrown away unread.
func cycleCross(e *Env) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		a, b := e.pair(typ), e.pair(typ)
		for _, way := range [][2]*conn{{a, b}, {b, a}} {
			over, passed := way[0], way[1]
			over.up.Orphan = true
			e.main.put(over.client, 83, write)
			e.main.put(over.client, 40_001, write)
			e.main.put(over.client, 84, sendMessage(1, nil, unix.UnixRights(passed.server.fd))).FDs = 1
			e.main.put(over.client, 85, write)
		}
		e.close(a.client, a.server, b.client, b.server)
	}
	c := e.pair(unix.SOCK_STREAM) // closing a socket starts the collector
	e.close(c.client, c.server)
}

// peekOffset looks at each byte, or message, once, and reads them all then.
func peekOffset(e *Env) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		check("setsockopt", unix.SetsockoptInt(c.server.fd, unix.SOL_SOCKET, unix.SO_PEEK_OFF, 0))
		sizes := []int{7, 4099, 50_001}
		var want []byte
		for _, n := range sizes {
			want = append(want, e.main.content(e.main.put(c.client, n, write))...)
		}
		p := make([]byte, 3001)
		var seen []byte
		for len(seen) < len(want) && typ == unix.SOCK_STREAM {
			seen = append(seen, p[:receive(c.server, p, unix.MSG_PEEK)]...)
		}
		if typ == unix.SOCK_STREAM && string(seen) != string(want) {
			fail("peeked %d other bytes than were sent", len(seen))
		}
		if typ != unix.SOCK_STREAM {
			receive(c.server, p, unix.MSG_PEEK)
		}
		for _, n := range sizes {
			e.main.read(c.server, n, n)
		}
	}
}
