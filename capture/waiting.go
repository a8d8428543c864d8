package capture

import (
	"io"
	"time"
)

// scanInterval is how often the kernel side looks for unread data. It shows
// what it finds a second after it has found it first.
const scanInterval = 400 * time.Millisecond

// waiting is when the kernel side looks next for what nobody reads.
type waiting struct {
	next int64 // boot time
}

// scan lets the kernel side walk all receive queues, if it is time and this
// kernel can.
func (s *Session) scan() {
	if s.progs.iter == nil {
		return
	}
	now := bootTime()
	if now < s.waiting.next {
		return
	}
	s.waiting.next = now + int64(scanInterval)
	s.walk()
}

// scanAll shows all that waits unread when the capture ends. It takes two
// walks: what is shown must have been there before.
func (s *Session) scanAll() {
	if s.progs.iter == nil || s.progs.coll.Variables["waiting_ns"].Set(uint64(0)) != nil {
		return
	}
	s.walk()
	s.walk()
}

// walk lets the kernel side walk all receive queues once.
func (s *Session) walk() {
	r, err := s.progs.iter.Open()
	if err != nil {
		return
	}
	defer r.Close()
	io.Copy(io.Discard, r)
}
