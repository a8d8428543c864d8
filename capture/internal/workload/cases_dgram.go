package workload

import (
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// datagramSizes are on and beside the bounds that the kernel has.
func datagramSizes() []int {
	return []int{0, 1, 0, 63, 64, 65, 4095, 4096, 4097, 16_384, 32_767, 32_768, 32_769, 65_537, 100_003, 150_000, 0, 7}
}

func datagramCases() []Case {
	return []Case{
		{Name: "dgram-sendto", About: "sendto on an unconnected socket, 0 to 150,000 bytes", run: dgramSendto},
		{Name: "dgram-connected", About: "every way to send on a connected datagram socket", run: dgramConnected},
		{Name: "dgram-other", About: "sendto elsewhere than the socket is connected to", run: dgramOther},
		{Name: "dgram-mmsg-short", About: "sendmmsg of which the third message fails", run: dgramShortMany},
		{Name: "dgram-pair", About: "datagram socketpair, both directions", run: func(e *Env) { pairBothWays(e, unix.SOCK_DGRAM) }},
		{Name: "dgram-errors", About: "EMSGSIZE, EAGAIN, ECONNREFUSED, EFAULT", run: dgramErrors},
		{Name: "dgram-full", About: "a full queue, filled again and again: EAGAIN, connected or not; ENOBUFS", run: dgramFull},
		{Name: "seqpacket", About: "seqpacket connection, 0 to 150,000 bytes, writev of up to 1024 iovecs", run: seqpacket},
		{Name: "seqpacket-pair", About: "seqpacket socketpair, both directions", run: func(e *Env) { pairBothWays(e, unix.SOCK_SEQPACKET) }},
	}
}

// putMany sends messages of the given sizes by one sendmmsg.
func (t *task) putMany(s *sock, a address, sizes []int) {
	for i, x := range t.tryMany(s, a, sizes, -1, nil) {
		if x.Done != x.Len {
			fail("sendmmsg: message %d: %d of %d", i, x.Done, x.Len)
		}
	}
}

// tryMany does so with a bad address in the message number bad, if not -1, and
// with control messages, if not nil.
func (t *task) tryMany(s *sock, a address, sizes []int, bad int, controls [][]byte) []*Send {
	m := make([]mmsghdr, len(sizes))
	out := make([]*Send, len(sizes))
	begin := now()
	for i, n := range sizes {
		out[i] = t.next(s, n)
		v := vectors(t.content(out[i]), 2)
		if i == bad {
			v[1].Base = nil
		}
		var control []byte
		if controls != nil {
			control = controls[i]
		}
		m[i].hdr = *header(v, a, control)
	}
	n, err := sendmmsg(s.fd, m)
	finish := now()
	check("sendmmsg", err)
	for i, x := range out {
		x.Begin, x.Finish = begin, finish
		if i < n {
			x.Done = int(m[i].n)
		} else {
			x.Err = "not reached by sendmmsg"
		}
	}
	return out
}

func dgramShortMany(e *Env) {
	c := e.pair(unix.SOCK_DGRAM)
	for range 3 {
		sends := e.main.tryMany(c.client, nil, []int{21, 22, 23, 24}, 2, nil)
		if sends[1].Done != 22 || sends[2].Done != Failed {
			fail("sendmmsg went past the bad address")
		}
		e.main.readMessages(c.server, 2)
		empty(c.server)
	}
}

func dgramSendto(e *Env) {
	r, s := e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient)
	for _, n := range datagramSizes() {
		e.main.put(s, n, sendTo(r.bound))
		e.main.readMessages(r, 1)
	}
}

func dgramConnected(e *Env) {
	r, s := e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient).Conn = e.newConn()
	check("connect", connect(s.fd, r.bound))
	for _, n := range []int{0, 1, 333, 40_001} {
		for _, do := range []how{writeVectors(3), writeVectors(1024)} {
			x := e.main.put(s, n, do)
			if n == 0 { // writev of nothing does not get as far as the socket
				x.Dropped = true
				continue
			}
			e.main.readMessages(r, 1)
		}
		for _, do := range []how{write, send(0), sendTo(r.bound), sendMessage(5, nil, nil), sendMessage(64, r.bound, nil)} {
			e.main.put(s, n, do)
			e.main.readMessages(r, 1)
		}
		e.main.putMany(s, nil, []int{n, 0, n + 1})
		e.main.readMessages(r, 3)
	}
}

func dgramOther(e *Env) {
	a, b, s := e.receiver(), e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, a, pcapng.RoleClient)
	e.datagrams(s, b, pcapng.RoleClient)
	check("connect", connect(s.fd, a.bound))
	for i := range 7 {
		e.main.put(s, 10+i, send(0)).to(a)
		e.main.put(s, 20+i, sendTo(b.bound)).to(b)
		e.main.put(s, 30+i, sendTo(a.bound)).to(a)
		e.main.readMessages(a, 2)
		e.main.readMessages(b, 1)
	}
}

func dgramErrors(e *Env) {
	r, s := e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient)
	e.main.refuse(s, 9_000_000, unix.EMSGSIZE, sendTo(r.bound))
	e.main.refuse(s, 100, unix.ECONNREFUSED, sendTo(e.deadAddress()))
	e.main.refuse(s, 100, unix.ENOENT, sendTo(fileAddress(e.name())))
	e.main.refuse(s, 100, unix.ENOTCONN, send(0))
	sent := 0
	for range 2000 {
		x := e.main.try(s, 999, func(fd int, p []byte) (int, error) { return sendto(fd, p, unix.MSG_DONTWAIT, r.bound) })
		if x.Done == Failed {
			break
		}
		sent++
	}
	e.main.readMessages(r, sent)
	empty(r)
	check("connect", connect(s.fd, r.bound))
	e.main.refuse(s, 300, unix.EFAULT, fault(100))
	e.main.put(s, 55, send(0))
	e.main.readMessages(r, 1)
	e.close(r)
	e.main.refuse(s, 56, unix.ECONNREFUSED, send(0))
}

// dgramFull fills receivers' queues to the brim: by number of messages, and by
// bytes of the sender's buffer.
func dgramFull(e *Env) {
	r := e.receiver()
	loose, connected := e.socket(unix.SOCK_DGRAM), e.socket(unix.SOCK_DGRAM)
	e.datagrams(loose, r, pcapng.RoleClient)
	e.datagrams(connected, r, pcapng.RoleClient).Conn = e.newConn()
	check("connect", connect(connected.fd, r.bound))
	small := e.pair(unix.SOCK_DGRAM)
	check("setsockopt", unix.SetsockoptInt(small.client.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 9000))
	now := send(unix.MSG_DONTWAIT)
	for round := range 3 {
		for _, s := range []*sock{loose, connected} {
			do := now
			if s == loose {
				do = func(fd int, p []byte) (int, error) { return sendto(fd, p, unix.MSG_DONTWAIT, r.bound) }
			}
			sent := e.main.fill(s, 40+round, do)
			e.main.refuse(s, 39, unix.EAGAIN, do)
			e.main.readMessages(r, sent)
		}
		sent := e.main.fill(small.client, 2000+round, now)
		e.main.refuse(small.client, 1, unix.EAGAIN, now)
		e.main.readMessages(small.server, sent)
	}
	e.main.refuse(loose, 77, unix.ENOBUFS, func(fd int, p []byte) (int, error) {
		m := header(vectors(p, 2), r.bound, make([]byte, 8))
		m.SetControllen(1 << 31)
		return sendmsg(fd, m, 0)
	})
	empty(r)
}

// fill sends until the queue takes no more, and returns how many it took.
func (t *task) fill(s *sock, n int, do how) int {
	for sent := 0; sent < 5000; sent++ {
		if x := t.try(s, n, do); x.Done == Failed {
			if x.Err != unix.EAGAIN.Error() {
				fail("a full queue gave %s", x.Err)
			}
			return sent
		}
	}
	fail("the queue took 5000 messages")
	return 0
}

// deadAddress is the name of a socket file that nobody has open.
func (e *Env) deadAddress() address {
	r := e.receiver()
	e.close(r)
	return r.bound
}

func seqpacket(e *Env) {
	c := e.connection(unix.SOCK_SEQPACKET)
	for _, n := range datagramSizes() {
		e.main.put(c.client, n, send(0))
		e.main.readMessages(c.server, 1)
		e.main.put(c.server, n, sendMessage(3, nil, nil))
		e.main.readMessages(c.client, 1)
	}
	for _, k := range []int{10, 11, 64, 200, 1024} {
		e.main.put(c.client, 11*k, writeVectors(k))
		e.main.readMessages(c.server, 1)
	}
	e.main.putMany(c.client, nil, []int{1, 0, 5, 70_001})
	e.main.readMessages(c.server, 4)
	e.main.refuse(c.client, 300, unix.EFAULT, fault(100))
	e.main.refuse(c.client, 9_000_000, unix.EMSGSIZE, send(0))
	e.close(c.server)
	e.main.refuse(c.client, 101, unix.EPIPE, send(0))
}
