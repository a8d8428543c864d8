package workload

import (
	"errors"

	"golang.org/x/sys/unix"
)

// task is a thread that sends and reads, and keeps the account of it. It is
// used by its own thread only.
type task struct {
	Task
	e     *Env
	num   uint64
	seq   uint64 // number of the last send
	sends []*Send
}

// how is a way to send p on a descriptor; it returns what the kernel took.
type how func(fd int, p []byte) (int, error)

// next makes the account of the next send from s, not yet done.
func (t *task) next(s *sock, n int) *Send {
	t.seq++
	x := &Send{ID: t.num<<32 | t.seq, From: s.inode, Len: n, Done: Failed, Trim: -1, FDs: -1}
	t.sends = append(t.sends, x)
	return x
}

func (t *task) content(x *Send) []byte { return content(t.e.seed, x.ID, x.Len) }

// try sends n bytes from s and keeps the account, whatever comes of it.
func (t *task) try(s *sock, n int, do how) *Send {
	x := t.next(s, n)
	p := t.content(x)
	x.Begin = now()
	done, err := do(s.fd, p)
	for err == unix.EINTR {
		done, err = do(s.fd, p)
	}
	x.Finish = now()
	x.Done = done
	if err != nil {
		x.Err = err.Error()
		if done <= 0 {
			x.Done = Failed
		}
	}
	return x
}

// put sends n bytes from s, all of which must be taken.
func (t *task) put(s *sock, n int, do how) *Send {
	x := t.try(s, n, do)
	if x.Err != "" || x.Done != n {
		fail("send of %d bytes: %d taken, %s", n, x.Done, x.Err)
	}
	return x
}

// refuse sends n bytes from s, which must fail with want.
func (t *task) refuse(s *sock, n int, want unix.Errno, do how) {
	if x := t.try(s, n, do); x.Done != Failed || x.Err != want.Error() {
		fail("send of %d bytes: %d taken, %q, want %q", n, x.Done, x.Err, want.Error())
	}
}

// to says which of the sender's flows a send belongs to.
func (x *Send) to(r *sock) *Send {
	x.To = r.inode
	return x
}

// The ways to send.

func write(fd int, p []byte) (int, error) {
	n, _, e := unix.Syscall(unix.SYS_WRITE, uintptr(fd), uintptr(start(p)), uintptr(len(p)))
	return count(n, e)
}

func send(flags int) how {
	return func(fd int, p []byte) (int, error) { return sendto(fd, p, flags|unix.MSG_NOSIGNAL, nil) }
}

func sendTo(a address) how {
	return func(fd int, p []byte) (int, error) { return sendto(fd, p, unix.MSG_NOSIGNAL, a) }
}

func writeVectors(k int) how {
	return func(fd int, p []byte) (int, error) { return writev(fd, vectors(p, k)) }
}

// sendMessage sends k vectors to a (nil: the peer) with control data.
func sendMessage(k int, a address, control []byte) how {
	return func(fd int, p []byte) (int, error) {
		return sendmsg(fd, header(vectors(p, k), a, control), unix.MSG_NOSIGNAL)
	}
}

// recv is what one task read from one socket.
type recv struct {
	Sock   uint64
	Task   int // index into the account's tasks
	Data   []byte
	Bounds []int   // bytes of each read, or of each message
	At     []int64 // wall clock after each
	Short  bool    // messages were cut by the reader's buffer
	Kept   []int   // reads that leave what they read in the queue, for a later one to free
	Worker bool    // a thread of the kernel may read
}

// account starts the account of t's reads from s.
func (t *task) account(s *sock) *recv {
	r := &recv{Sock: s.inode}
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	for i, other := range t.e.tasks {
		if other == t {
			r.Task = i
		}
	}
	t.e.recvs = append(t.e.recvs, r)
	return r
}

func (r *recv) add(p []byte) {
	r.Data = append(r.Data, p...)
	r.Bounds = append(r.Bounds, len(p))
	r.At = append(r.At, now())
}

// read reads exactly n bytes of a stream, at most buffer at once.
func (t *task) read(s *sock, n, buffer int) {
	r := t.account(s)
	p := make([]byte, buffer)
	for n > 0 {
		got := receive(s, p[:min(n, buffer)], 0)
		if got == 0 {
			fail("end of stream, %d bytes early", n)
		}
		r.add(p[:got])
		n -= got
	}
}

// readAll reads a stream to its end and returns how many bytes there were.
func (t *task) readAll(s *sock, buffer int) int {
	r := t.account(s)
	p := make([]byte, buffer)
	for {
		got, err := receiveErr(s, p, 0)
		if err == unix.ECONNRESET {
			return len(r.Data) // the peer closed with data unread
		}
		check("recv", err)
		if got == 0 {
			return len(r.Data)
		}
		r.add(p[:got])
	}
}

// readMessages reads n messages, each whole.
func (t *task) readMessages(s *sock, n int) {
	r := t.account(s)
	p := make([]byte, 1<<18)
	for range n {
		r.add(p[:receive(s, p, 0)])
	}
}

// receive is recv(2).
func receive(s *sock, p []byte, flags int) int {
	n, err := receiveErr(s, p, flags)
	check("recv", err)
	return n
}

func receiveErr(s *sock, p []byte, flags int) (int, error) {
	for {
		n, _, e := unix.Syscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(start(p)), uintptr(len(p)), uintptr(flags), 0, 0)
		if e != unix.EINTR {
			return count(n, e)
		}
	}
}

// empty ends the case unless s has nothing to read.
func empty(s *sock) {
	var p [1]byte
	n, err := receiveErr(s, p[:], unix.MSG_DONTWAIT|unix.MSG_PEEK)
	if !errors.Is(err, unix.EAGAIN) {
		fail("socket has %d bytes more than were expected, %v", n, err)
	}
}
