package workload

import (
	"golang.org/x/sys/unix"
)

func streamCases() []Case {
	return []Case{
		{Name: "stream-small", About: "101 writes of 1 to 101 bytes, each answered", run: streamSmall},
		{Name: "stream-sizes", About: "writes of 1 byte to 3 MB on and beside the kernel's bounds, slow reader", run: streamSizes},
		{Name: "stream-writev", About: "writev of 1, 2, 9, 10, 11, 36, 64, 200 and 1024 iovecs", run: streamWritev},
		{Name: "stream-send", About: "send, sendto, sendmsg, sendmmsg on a connected stream", run: streamSend},
		{Name: "stream-before-accept", About: "data sent before accept", run: streamBeforeAccept},
		{Name: "stream-never-accepted", About: "listener closed with connections that carry data", run: streamNeverAccepted},
		{Name: "stream-pair", About: "socketpair, both directions", run: func(e *Env) { pairBothWays(e, unix.SOCK_STREAM) }},
		{Name: "stream-partial", About: "non-blocking writes cut short and refused by EAGAIN", run: streamPartial},
		{Name: "stream-epipe", About: "writes after the peer closed: EPIPE, ECONNRESET", run: streamEpipe},
		{Name: "stream-efault", About: "iovecs that fault at the start and in the middle", run: streamEfault},
		{Name: "stream-threads-small", About: "4 threads write 101 small messages each on one stream", run: func(e *Env) { streamThreads(e, 101, 64) }},
		{Name: "stream-threads-large", About: "4 threads write 100 kB at once on one stream", run: func(e *Env) { streamThreads(e, 7, 100_003) }},
		{Name: "stream-duplex", About: "both ends write 1 MB to each other at once", run: streamDuplex},
		{Name: "stream-unread", About: "the receiver closes with unread and with partly read data", run: streamUnread},
	}
}

// roundTrip writes n bytes and reads them.
func (e *Env) roundTrip(from, to *sock, n int, do how) *Send {
	x := e.main.put(from, n, do)
	e.main.read(to, n, n)
	return x
}

func streamSmall(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	for i := range 101 {
		e.roundTrip(c.client, c.server, i+1, write)
		e.roundTrip(c.server, c.client, 101-i, write)
	}
}

func streamSizes(e *Env) {
	sizes := []int{1, 2, 4095, 4096, 4097, 8191, 16383, 16384, 16385, 32767, 32768, 32769, 36864, 65535, 65536, 65537,
		131071, 212991, 212992, 212993, 262143, 262144, 262145, 1<<20 + 1, 3_000_017}
	c := e.connection(unix.SOCK_STREAM)
	e.thread("wl-slow-reader", func(t *task) { t.readAll(c.server, 30_011) })
	for _, n := range sizes {
		e.main.put(c.client, n, write)
	}
	e.close(c.client)
}

func streamWritev(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	for _, k := range []int{1, 2, 9, 10, 11, 36, 64, 200, 1024} {
		e.roundTrip(c.client, c.server, k, writeVectors(k))
		e.roundTrip(c.client, c.server, 7*k+3, writeVectors(k))
		e.roundTrip(c.client, c.server, 40_009+k, writeVectors(k))
	}
	e.roundTrip(c.client, c.server, 5, writeVectors(64)) // empty ones among them
}

func streamSend(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	for _, n := range []int{1, 63, 64, 65, 511, 513, 4099} {
		e.roundTrip(c.client, c.server, n, send(0))
		e.roundTrip(c.server, c.client, n, send(unix.MSG_DONTWAIT))
		e.roundTrip(c.client, c.server, n, sendMessage(3, nil, nil))
		e.main.putMany(c.client, nil, []int{n, 1, n + 7})
		e.main.read(c.server, 2*n+8, 2*n+8)
	}
}

func streamBeforeAccept(e *Env) {
	l := e.listen(unix.SOCK_STREAM, nil)
	c := e.dial(l, nil)
	for _, n := range []int{1, 101, 70_001} {
		e.main.put(c.client, n, write).PreAccept = true
	}
	e.accept(l, c)
	e.main.read(c.server, 70_103, 4099)
	e.roundTrip(c.client, c.server, 77, write)
}

func streamNeverAccepted(e *Env) {
	l := e.listen(unix.SOCK_STREAM, nil)
	for i := range 7 {
		c := e.dial(l, nil)
		e.main.put(c.client, 13*i+1, write)
		e.main.put(c.client, 5001, writeVectors(3))
	}
	e.close(l)
}

func pairBothWays(e *Env, typ int) {
	c := e.pair(typ)
	for i := range 33 {
		e.roundTrip(c.client, c.server, 3*i+1, write)
		e.roundTrip(c.server, c.client, 211*i+1, send(0))
	}
}

func streamPartial(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	for range 3 {
		got := 0
		for _, n := range []int{100, 700_001, 5, 999} {
			if x := e.main.try(c.client, n, send(unix.MSG_DONTWAIT)); x.Done > 0 {
				got += x.Done
			}
		}
		e.main.refuse(c.client, 401, unix.EAGAIN, send(unix.MSG_DONTWAIT))
		if got >= 700_001 {
			fail("the send of 700001 bytes was not cut short")
		}
		e.main.read(c.server, got, 65_537)
		empty(c.server)
	}
}

func streamEpipe(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	e.roundTrip(c.client, c.server, 99, write)
	e.close(c.server)
	e.main.refuse(c.client, 101, unix.EPIPE, send(0))
	e.main.refuse(c.client, 102, unix.EPIPE, writeVectors(3))

	c = e.connection(unix.SOCK_STREAM)
	check("shutdown", unix.Shutdown(c.client.fd, unix.SHUT_WR))
	e.main.refuse(c.client, 103, unix.EPIPE, send(0))
	e.roundTrip(c.server, c.client, 104, write)

	c = e.connection(unix.SOCK_STREAM)
	e.main.put(c.client, 105, write) // unread when the server closes
	e.close(c.server)
	e.main.refuse(c.client, 106, unix.EPIPE, send(0))
	var p [1]byte
	if _, err := receiveErr(c.client, p[:], 0); err != unix.ECONNRESET {
		fail("reading what was reset: %v", err)
	}
}

// fault is writev with a bad address after good bytes of p.
func fault(good int) how {
	return func(fd int, p []byte) (int, error) {
		v := vectors(p, 3)
		v[0].SetLen(good)
		v[1].Base = nil
		return writev(fd, v)
	}
}

func streamEfault(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	total := 0
	for _, n := range []int{300, 90_001, 400_007} {
		e.thread("wl-efault", func(t *task) {
			if x := t.try(c.client, n, fault(n/3)); x.Done > 0 {
				total += x.Done
			}
		})
		e.wait()
		e.main.read(c.server, total, 50_021)
		total = 0
		e.roundTrip(c.client, c.server, 41, write)
	}
}

func streamThreads(e *Env, times, size int) {
	c := e.connection(unix.SOCK_STREAM)
	total := 0
	for i := range 4 {
		for j := range times {
			total += size + i + j
		}
		e.thread("wl-writer-"+string(rune('0'+i)), func(t *task) {
			for j := range times {
				t.put(c.client, size+i+j, write)
			}
		})
	}
	e.main.read(c.server, total, 60_013)
	e.wait()
}

func streamDuplex(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	const times, n = 5, 200_003
	for _, end := range [][2]*sock{{c.client, c.server}, {c.server, c.client}} {
		e.thread("wl-up-or-down", func(t *task) {
			for range times {
				t.put(end[0], n, write)
			}
		})
		e.thread("wl-reader", func(t *task) { t.read(end[1], times*n, 40_009) })
	}
	e.wait()
}

func streamUnread(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	e.main.put(c.client, 333, write)
	e.main.put(c.client, 60_001, write)
	e.close(c.server)

	c = e.connection(unix.SOCK_STREAM)
	e.main.put(c.client, 40_001, write)
	e.main.put(c.client, 77, write)
	e.main.read(c.server, 12_345, 4096)
	e.close(c.server)

	c = e.connection(unix.SOCK_STREAM)
	e.main.put(c.client, 99, write)
	e.close(c.client)
	e.close(c.server)
}
