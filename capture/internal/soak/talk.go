package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// speaker sends the messages of a flow.
type speaker struct {
	h   head
	buf []byte
}

func newSpeaker(flow uint64, flags uint32) *speaker {
	return &speaker{h: head{flow: flow, pid: uint32(os.Getpid()), flags: flags}, buf: room()}
}

// say sends the next message, and a file with it if there is one.
func (s *speaker) say(conn *net.UnixConn, file *os.File) error {
	h, write := s.h, conn.Write
	if file != nil {
		h.flags |= passing
		write = func(b []byte) (int, error) {
			n, _, err := conn.WriteMsgUnix(b, unix.UnixRights(int(file.Fd())), nil)
			return n, err
		}
	}
	m := h.message(s.buf)
	if n, err := write(m); err != nil || n != len(m) {
		return fmt.Errorf("send %d of %d bytes: %w", n, len(m), err)
	}
	s.h.seq++
	s.h.off += uint64(len(m))
	return nil
}

// speak sends messages in bursts.
func (s *speaker) speak(conn *net.UnixConn, messages int, random *rand.Rand) error {
	for range messages {
		if err := s.say(conn, nil); err != nil {
			return err
		}
		if random.IntN(101) == 0 {
			time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		}
	}
	return nil
}

// listener reads the messages of a flow, and enters them in the ledger.
type listener struct {
	l    *ledger
	f    *flow
	seq  uint64
	off  uint64
	buf  []byte
	want []byte
	n    int // bytes in buf
}

func (l *ledger) listener(f *flow) *listener {
	return &listener{l: l, f: f, buf: make([]byte, 2*largest), want: room()}
}

// hear reads to the end, or to an error that is one of time.
func (h *listener) hear(conn *net.UnixConn) error {
	for {
		n, err := conn.Read(h.buf[h.n:])
		h.n += n
		if takes := h.take(); takes != nil {
			return takes
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), n == 0 && err == nil:
			return h.whole()
		case err != nil:
			return err
		}
	}
}

// drain reads what is there of a socket that has no end.
func (h *listener) drain(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed == nil {
			n, _, err := unix.Recvfrom(int(fd), h.buf[h.n:], unix.MSG_DONTWAIT)
			if err != nil {
				if !errors.Is(err, unix.EAGAIN) {
					failed = err
				}
				return
			}
			h.n += n
			failed = h.take()
		}
	})
	return errors.Join(err, failed, h.whole())
}

// take takes the messages that are whole.
func (h *listener) take() error {
	at := 0
	for h.n-at >= headSize {
		got, ok := headOf(h.buf[at:h.n])
		if !ok || got.flow != h.f.id || got.seq != h.seq || got.off != h.off {
			return fmt.Errorf("flow %d: the kernel gave %+v (%v) as message %d at %d", h.f.id, got, ok, h.seq, h.off)
		}
		n := sizeOf(got.flow, got.seq)
		if h.n-at < n {
			break
		}
		if !bytes.Equal(h.buf[at:at+n], got.message(h.want)) {
			return fmt.Errorf("flow %d: the kernel gave other bytes as message %d", h.f.id, h.seq)
		}
		h.seq++
		h.off += uint64(n)
		at += n
		h.l.heard(h.f)
	}
	copy(h.buf, h.buf[at:h.n])
	h.n -= at
	return nil
}

// whole says that there is no part of a message.
func (h *listener) whole() error {
	if h.n > 0 {
		return fmt.Errorf("flow %d: it ends with %d bytes of message %d", h.f.id, h.n, h.seq)
	}
	return nil
}

// inodeOf is the inode of a socket.
func inodeOf(conn *net.UnixConn) (inode uint64, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Fstat(int(fd), &st) })
	return st.Ino, errors.Join(err, failed)
}
