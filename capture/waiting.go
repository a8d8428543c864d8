package capture

import (
	"io"
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// scanInterval is how often the kernel side looks for unread data. It shows
// what it finds a second after it has found it first.
const scanInterval = 400 * time.Millisecond

// maxWaiting bounds what is remembered of units shown unread.
const maxWaiting = 65536

// waiting remembers the units that were shown while nobody read them, to tell
// of their reading later.
type waiting struct {
	next  int64 // boot time of the next scan
	shown *generations[uint64, shownUnit]
}

// shownUnit is a unit that was shown waiting, and its sockets.
type shownUnit struct {
	packet   pcapng.Packet
	from, to *socket
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

// wasRead tells that a unit that was shown waiting has been read.
func (s *Session) wasRead(e *bpf.Unit) {
	shown, ok := s.waiting.shown.get(e.Unit)
	p := shown.packet
	if !ok {
		return
	}
	s.waiting.shown.remove(e.Unit)
	if e.Flags&bpf.DataDrained != 0 {
		s.drained(shown.from)
	}
	if e.Flags&bpf.DataRead == 0 {
		return // thrown away unread
	}
	reader := s.sockets.of(e.Receiver)
	p.Event, p.Len, p.Data, p.Lost, p.Skipped = pcapng.EventRead, 0, nil, 0, 0
	p.FDCount, p.FDs, p.Cred, p.SecID = 0, nil, nil, 0
	p.Time, p.OwnTime = s.clock.wall(int64(e.Time)), time.Time{}
	p.Stamp, p.More, p.Continued, p.Truncated = pcapng.StampRead, false, false, false
	if reader.reader.Pid != e.Pid {
		reader.read(&bpf.Reader{Pid: e.Pid})
		reader.readerComm = s.sockets.comm(e.Pid)
	}
	p.Reader = &pcapng.Endpoint{PID: e.Pid, Comm: reader.readerComm}
	if s.filter.keeps(&p, shown.from, shown.to) {
		s.order.put(int64(e.Time), 0, &p)
	}
}
