package workload

import (
	"errors"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The parts of <linux/io_uring.h> that the cases use.
const (
	opWritev  = 2
	opSendmsg = 9
	opSend    = 26

	sqeFixedFile = 1 << 0
	sqeAsync     = 1 << 4

	setupSQPoll   = 1 << 1
	enterGetEvent = 1 << 0
	enterWakeup   = 1 << 1
	sqNeedWakeup  = 1 << 0
	registerFiles = 2

	offSQRing = 0
	offCQRing = 0x8000000
	offSQEs   = 0x10000000
)

type ringOffsets struct {
	head, tail, mask, entries uint32
	flags                     uint32 // of the submission ring; overflow of the completion ring
	dropped                   uint32 // cqes of the completion ring
	array                     uint32
	_                         uint32
	_                         uint64
}

type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq, cq                                               ringOffsets
}

type sqe struct {
	op, flags uint8
	ioprio    uint16
	fd        int32
	off       uint64
	addr      uint64
	len       uint32
	opFlags   uint32
	user      uint64
	_         [3]uint64
}

type cqe struct {
	user  uint64
	res   int32
	flags uint32
}

// ring is an io_uring for one operation at a time.
type ring struct {
	fd           int
	poll         bool
	p            ringParams
	sq, cq, sqes []byte
}

// newRing makes a ring; with poll a kernel thread picks the operations up, on
// the one registered file.
func newRing(poll bool, file int) (*ring, error) {
	r := &ring{poll: poll}
	r.p.idle = 1000 // ms
	if poll {
		r.p.flags = setupSQPoll
	}
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&r.p)), 0)
	if e != 0 {
		return nil, e
	}
	r.fd = int(fd)
	if err := r.share(file); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// share maps the ring's memory and registers the file.
func (r *ring) share(file int) error {
	for _, m := range []struct {
		b    *[]byte
		off  int64
		size uint32
	}{
		{&r.sq, offSQRing, r.p.sq.array + 4*r.p.sqEntries},
		{&r.cq, offCQRing, r.p.cq.dropped + r.p.cqEntries*uint32(unsafe.Sizeof(cqe{}))},
		{&r.sqes, offSQEs, r.p.sqEntries * uint32(unsafe.Sizeof(sqe{}))},
	} {
		var err error
		*m.b, err = unix.Mmap(r.fd, m.off, int(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return err
		}
	}
	files := []int32{int32(file)}
	_, _, e := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerFiles, uintptr(unsafe.Pointer(&files[0])), 1, 0, 0)
	return errnoOf(e)
}

func word(b []byte, off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[off])) }

// do runs one operation and returns its result. What q points to must be
// pinned.
func (r *ring) do(q sqe) (int, error) {
	tail := word(r.sq, r.p.sq.tail)
	i := *tail & *word(r.sq, r.p.sq.mask)
	*(*sqe)(unsafe.Pointer(&r.sqes[uintptr(i)*unsafe.Sizeof(q)])) = q
	*word(r.sq, r.p.sq.array+4*i) = i
	atomic.AddUint32(tail, 1)
	submit, flags := uintptr(1), uintptr(enterGetEvent)
	if r.poll {
		submit = 0
		if atomic.LoadUint32(word(r.sq, r.p.sq.flags))&sqNeedWakeup != 0 {
			flags |= enterWakeup
		}
	}
	head := word(r.cq, r.p.cq.head)
	for *head == atomic.LoadUint32(word(r.cq, r.p.cq.tail)) {
		_, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), submit, 1, flags, 0, 0)
		if e == 0 {
			submit = 0
		} else if e != unix.EINTR && e != unix.EAGAIN {
			return Failed, e
		}
	}
	i = *head & *word(r.cq, r.p.cq.mask)
	res := (*cqe)(unsafe.Pointer(&r.cq[uintptr(r.p.cq.dropped)+uintptr(i)*unsafe.Sizeof(cqe{})])).res
	atomic.AddUint32(head, 1)
	if res < 0 {
		return Failed, unix.Errno(-res)
	}
	return int(res), nil
}

// close is not idempotent.
func (r *ring) close() error {
	var errs []error
	for _, b := range [][]byte{r.sq, r.cq, r.sqes} {
		if b != nil {
			errs = append(errs, unix.Munmap(b))
		}
	}
	return errors.Join(append(errs, unix.Close(r.fd))...)
}

// send is the way to send by operation op, on the registered file.
func (r *ring) send(op uint8, flags uint8) how { return r.sendWith(nil, op, flags) }

// sendWith is the same with control data, for opSendmsg.
func (r *ring) sendWith(control []byte, op uint8, flags uint8) how {
	return func(_ int, p []byte) (int, error) {
		var pin runtime.Pinner
		defer pin.Unpin()
		q := sqe{op: op, flags: flags | sqeFixedFile}
		v := vectors(p, 7)
		if len(p) > 0 {
			pin.Pin(&p[0])
		}
		pin.Pin(&v[0])
		switch op {
		case opSend:
			q.addr, q.len = uint64(uintptr(start(p))), uint32(len(p))
		case opWritev:
			q.addr, q.len, q.off = uint64(uintptr(unsafe.Pointer(&v[0]))), uint32(len(v)), ^uint64(0)
		case opSendmsg:
			m := header(v, nil, control)
			pin.Pin(m)
			if control != nil {
				pin.Pin(&control[0])
			}
			q.addr, q.len = uint64(uintptr(unsafe.Pointer(m))), 1
		}
		return r.do(q)
	}
}
