package workload

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func kernelCases() []Case {
	return []Case{
		{Name: "sendfile", About: "sendfile from a file, 1 to 200,001 bytes", run: sendfileCase},
		{Name: "sendfile-procs", About: "sendfile by two processes at once on one stream", run: sendfileProcs},
		{Name: "changing", About: "a thread changes the buffer while it is sent", run: changing},
		{Name: "splice", About: "splice from a pipe", run: spliceCase},
		{Name: "vmsplice", About: "vmsplice into a pipe, then splice", run: vmspliceCase},
		{Name: "splice-mixed", About: "splice and write on one stream in turn, before the reader looks", run: spliceMixed},
		{Name: "uring-send", About: "io_uring SEND, stream, datagram, seqpacket", run: func(e *Env) { uring(e, opSend, 0, false) }},
		{Name: "uring-writev", About: "io_uring WRITEV", run: func(e *Env) { uring(e, opWritev, 0, false) }},
		{Name: "uring-sendmsg", About: "io_uring SENDMSG", run: func(e *Env) { uring(e, opSendmsg, 0, false) }},
		{Name: "uring-async", About: "io_uring SEND by worker threads (IOSQE_ASYNC)", run: func(e *Env) { uring(e, opSend, sqeAsync, false) }},
		{Name: "uring-sqpoll", About: "io_uring SEND by the polling thread", run: func(e *Env) { uring(e, opSend, 0, true) }},
		{Name: "uring-procs", About: "io_uring SEND by one process, write by two others, on one stream at once", run: uringProcs},
		{Name: "uring-large", About: "io_uring SEND of more than fits, slow reader", run: uringLarge},
	}
}

// inPieces notes that the kernel cuts the send into pieces of its choice.
func (x *Send) inPieces() *Send {
	x.Pieces = true
	return x
}

func spliceSizes() []int { return []int{1, 4095, 4096, 4097, 30_001, 61_441} }

func sendfileCase(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	e.thread("wl-reader", func(t *task) { t.readAll(c.server, 33_333) })
	for _, n := range append(spliceSizes(), 200_001) {
		f, err := os.Create(filepath.Join(e.dir, "file"))
		check("create", err)
		e.main.put(c.client, n, sendFile(f)).inPieces()
		check("close", f.Close())
	}
	e.close(c.client)
}

// sendFile puts the bytes into f and sends them from there.
func sendFile(f *os.File) how {
	return func(fd int, p []byte) (int, error) {
		if _, err := f.WriteAt(p, 5); err != nil {
			return Failed, err
		}
		off, done := int64(5), 0
		for done < len(p) {
			n, err := unix.Sendfile(fd, int(f.Fd()), &off, len(p)-done)
			if err != nil || n == 0 {
				return done, err
			}
			done += n
		}
		return done, nil
	}
}

func sendfileProcs(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	const count, size = 23, 9001
	for range 2 {
		e.spawn("sendfile", args(count, size), c.client).hear()
	}
	for _, k := range e.kids {
		k.tell()
	}
	e.main.read(c.server, 2*(count*size+count*(count-1)/2), 4099)
}

// roleSendfile sends count files of size and more.
func roleSendfile(h *home) {
	h.say(message{Text: "ready"})
	h.await()
	for i := range h.number(0) {
		f, err := os.CreateTemp(h.e.dir, "file")
		check("create", err)
		h.t.put(h.socks[0], h.number(1)+i, sendFile(f)).inPieces()
		check("close", f.Close())
	}
}

// changing sends memory that another thread writes on meanwhile: what the
// reader got is what was sent.
func changing(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	memory, err := unix.Mmap(-1, 0, 1<<17, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	check("mmap", err)
	var done atomic.Bool
	defer done.Store(true)
	e.thread("wl-changes", func(*task) {
		for !done.Load() { // by a system call: in a loop of Go's nothing could stop the thread
			_, err := unix.Getrandom(memory, 0)
			check("getrandom", err)
		}
	})
	for _, n := range []int{64, 4096, 30_001, 60_003, 4097, 65_537} {
		x := e.main.put(c.client, n, func(fd int, p []byte) (int, error) { return write(fd, memory[:len(p)]) })
		e.main.read(c.server, n, n)
		read := e.recvs[len(e.recvs)-1].Data
		x.Data = read[len(read)-n:]
	}
	done.Store(true)
	e.wait()
	check("munmap", unix.Munmap(memory))
}

// pipe is a pipe of this process, read end first.
func (e *Env) pipe() [2]int {
	var p [2]int
	check("pipe", unix.Pipe2(p[:], unix.O_CLOEXEC))
	e.addFD(p[0])
	e.addFD(p[1])
	return p
}

// spliceFrom fills the pipe by fill and splices all of it on.
func spliceFrom(pipe [2]int, fill func(w int, p []byte) (int, error)) how {
	return func(fd int, p []byte) (int, error) {
		if n, err := fill(pipe[1], p); err != nil || n != len(p) {
			return Failed, errors.Join(err, errors.New("the pipe did not take all"))
		}
		done := 0
		for done < len(p) {
			n, err := unix.Splice(pipe[0], nil, fd, nil, len(p)-done, unix.SPLICE_F_MOVE)
			if err != nil || n == 0 {
				return done, err
			}
			done += int(n)
		}
		return done, nil
	}
}

func spliceCase(e *Env) {
	c, pipe := e.connection(unix.SOCK_STREAM), e.pipe()
	for _, n := range spliceSizes() {
		e.roundTrip(c.client, c.server, n, spliceFrom(pipe, unix.Write)).inPieces()
	}
}

func vmspliceCase(e *Env) {
	c, pipe := e.connection(unix.SOCK_STREAM), e.pipe()
	for _, n := range spliceSizes() {
		memory, err := unix.Mmap(-1, 0, 1<<17, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		check("mmap", err)
		e.roundTrip(c.client, c.server, n, spliceFrom(pipe, func(w int, p []byte) (int, error) {
			v := unix.Iovec{Base: &memory[0]}
			v.SetLen(copy(memory, p))
			n, _, errno := unix.Syscall6(unix.SYS_VMSPLICE, uintptr(w), uintptr(unsafe.Pointer(&v)), 1, 0, 0, 0)
			return count(n, errno)
		})).inPieces()
		check("munmap", unix.Munmap(memory))
	}
}

func spliceMixed(e *Env) {
	c, pipe := e.connection(unix.SOCK_STREAM), e.pipe()
	for i := range 7 {
		total := 0
		for _, n := range []int{100 + i, 3001, 5 + i, 9001} {
			e.main.put(c.client, n, spliceFrom(pipe, unix.Write)).inPieces()
			e.main.put(c.client, n+1, write)
			total += 2*n + 1
		}
		e.main.read(c.server, total, 4099)
	}
}

// ring makes a ring for sends on s, or ends the case.
func (e *Env) ring(s *sock, poll bool) *ring {
	r, err := newRing(poll, s.fd)
	if err != nil {
		notPossible("io_uring: %v", err)
	}
	return r
}

func uring(e *Env, op, flags uint8, poll bool) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		r := e.ring(c.client, poll)
		for _, n := range []int{1, 63, 64, 65, 4097, 32_769, 100_003} {
			x := e.main.try(c.client, n, r.send(op, flags))
			if x.Err == unix.EINVAL.Error() || x.Err == unix.EOPNOTSUPP.Error() {
				notPossible("io_uring operation %d: %s", op, x.Err)
			}
			if x.Done != n {
				fail("io_uring operation %d: %d of %d: %s", op, x.Done, n, x.Err)
			}
			x.Worker = poll || flags&sqeAsync != 0
			e.main.read(c.server, n, n)
		}
		check("close", r.close())
	}
}

func uringLarge(e *Env) {
	c := e.pair(unix.SOCK_STREAM)
	r := e.ring(c.client, false)
	e.thread("wl-slow-reader", func(t *task) { t.readAll(c.server, 10_007) })
	for sent := 0; sent < 2_000_003; {
		x := e.main.try(c.client, 900_001, r.send(opSend, 0)).inPieces()
		if x.Done <= 0 {
			fail("io_uring: %s", x.Err)
		}
		x.Worker = true
		sent += x.Done
	}
	check("close", r.close())
	e.close(c.client)
	e.wait()
}

// uringProcs lets the ring send alone first: from then on it is known that
// sends on this socket may come without a system call that names it.
func uringProcs(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	check("close", e.ring(c.client, false).close()) // possible here
	const rounds, count, size = 3, 47, 60
	ringer := e.spawn("uring", args(1+rounds, count, size), c.client)
	for range 2 {
		e.spawn("write", args(rounds, count, size), c.client)
	}
	each := count*size + count*(count-1)/2
	ringer.hear()
	ringer.tell()
	e.main.read(c.server, each, 4099)
	for range rounds {
		for _, k := range e.kids {
			k.hear()
		}
		for _, k := range e.kids {
			k.tell()
		}
		e.main.read(c.server, 3*each, 4099)
	}
}

// roleUring is roleWrite by io_uring.
func roleUring(h *home) {
	r := h.e.ring(h.socks[0], false)
	h.rounds(r.send(opSend, 0))
	check("close", r.close())
}
