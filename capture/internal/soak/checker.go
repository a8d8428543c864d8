package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// checker compares the packets of one capture with what they say of themselves,
// as they come: every message is as it was sent, by whom, in its order, once, and
// what is missing between two is told as lost by the later one, to the byte. What
// was sent in all it is told by reconcile.
type checker struct {
	self  string           // comm of this process
	seen  map[uint64]*seen // by flow
	inode map[uint64]uint64
	tails map[uint64]uint64 // bytes lost at the end, by the sending socket, of which no message was captured
	last  time.Time
	whose func(inode uint64) uint64 // the flow that a socket sends, 0: none; nil: not known
	other func(*pcapng.Packet) bool // takes what is not of the flows, if it is known; nil: nothing is
	buf   []byte

	captured, bytes uint64
	dropped         uint64 // packets counted as lost
	marked          marked

	mistakes int
	wrong    []string // the first of them
}

// marked is what the packets themselves say is not as it should be.
type marked struct{ truncated, sender, order, nameless, unpassed uint64 }

func (m marked) String() string {
	return fmt.Sprintf("%d truncated, %d with uncertain sender, %d in uncertain order, %d without a name, %d without what was passed",
		m.truncated, m.sender, m.order, m.nameless, m.unpassed)
}

// seen is what was captured of a flow.
type seen struct {
	base    uint64 // what was sent before the capture counted
	off     uint64 // where the next message belongs, of all bytes
	seq     uint64 // and its number
	first   uint64 // number of the first one, or of the first that is told as lost
	lost    uint64 // messages that are missing before later ones
	tail    uint64 // bytes that are told as lost behind the last one
	hasTail bool

	inode uint64
	path  string
	typ   pcapng.SocketType
}

func newChecker() *checker {
	comm, _ := os.ReadFile("/proc/self/comm")
	return &checker{self: string(bytes.TrimSuffix(comm, []byte("\n"))), seen: make(map[uint64]*seen), inode: make(map[uint64]uint64), tails: make(map[uint64]uint64), buf: room()}
}

func (c *checker) say(format string, args ...any) {
	c.mistakes++
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}

// check takes one packet.
func (c *checker) check(p *pcapng.Packet) {
	if p.Time.Before(c.last) {
		c.say("time goes back from %v to %v", c.last, p.Time)
	}
	c.last = p.Time
	c.dropped += p.DropCount
	switch p.Event {
	case pcapng.EventLost:
		c.atEnd(p)
	case pcapng.EventData:
		h, ours := c.identify(p)
		if ours {
			c.captured++
			c.bytes += uint64(p.Len)
			c.data(p, &h)
		} else if c.other == nil || !c.other(p) {
			c.say("nobody has sent this: %d bytes from socket %d of %d to %q, at %d", p.Len, p.Sender.Inode, p.Sender.PID, p.Path, p.Offset)
		}
	}
}

// identify finds out which message a packet is. Of one that lacks its head, its
// place says it.
func (c *checker) identify(p *pcapng.Packet) (head, bool) {
	h, ok := headOf(p.Data)
	if ok || !p.Truncated || len(p.Data) >= headSize {
		return h, ok
	}
	h = head{flow: c.flowOf(p.Sender.Inode), flags: headless}
	at := p.Offset
	if s := c.seen[h.flow]; s != nil {
		h.seq, h.off = s.seq, s.off
		at += s.base
	}
	for h.off < at {
		h.off += uint64(sizeOf(h.flow, h.seq))
		h.seq++
	}
	return h, h.flow != 0
}

// flowOf is what a socket sends, 0 if nothing that is known.
func (c *checker) flowOf(inode uint64) uint64 {
	if id := c.inode[inode]; id != 0 || c.whose == nil {
		return id
	}
	return c.whose(inode)
}

// pidOf is the sender's pid as it knows it.
func pidOf(p *pcapng.Packet) uint32 {
	if p.NSPID != 0 {
		return p.NSPID
	}
	return p.Sender.PID
}

// data takes a message.
func (c *checker) data(p *pcapng.Packet, h *head) {
	s := c.seen[h.flow]
	if s == nil {
		s = c.begin(p, h)
	}
	switch {
	case h.seq < s.seq:
		c.say("flow %d: message %d comes behind %d", h.flow, h.seq, s.seq)
		return
	case s.hasTail:
		c.say("flow %d: message %d comes behind what was said to be its end", h.flow, h.seq)
	}
	lost := sizeOfAll(h.flow, s.seq, h.seq)
	if h.off != s.off+lost {
		c.say("flow %d: message %d says it is at %d, but is at %d", h.flow, h.seq, h.off, s.off+lost)
	}
	if p.Offset+s.base != h.off || p.Lost != lost || p.Skipped != 0 {
		c.say("flow %d: message %d, sent at %d behind %d missing bytes, is captured at %d with %d bytes lost and %d skipped before it",
			h.flow, h.seq, h.off-s.base, lost, p.Offset, p.Lost, p.Skipped)
	}
	s.lost += h.seq - s.seq
	s.seq, s.off = h.seq+1, h.off+uint64(sizeOf(h.flow, h.seq))
	c.content(p, h)
	c.names(p, h, s)
}

// begin begins to look at a flow. If it is older than the capture, its first
// packet tells how much was sent since.
func (c *checker) begin(p *pcapng.Packet, h *head) *seen {
	s := &seen{base: h.off - p.Offset, inode: p.Sender.Inode, path: p.Path, typ: p.Type}
	if h.off < p.Offset {
		c.say("flow %d: %d bytes are sent before message %d, says its packet: there were %d", h.flow, p.Offset, h.seq, h.off)
		s.base = 0
	}
	s.seq, s.off = h.seq, h.off
	for lost := p.Lost; lost > 0 && s.seq > 0; s.seq-- {
		n := min(lost, uint64(sizeOf(h.flow, s.seq-1)))
		lost -= n
		s.off -= n
	}
	s.first = s.seq
	c.seen[h.flow] = s
	if s.inode != 0 {
		c.inode[s.inode] = h.flow
	}
	return s
}

// content compares the bytes.
func (c *checker) content(p *pcapng.Packet, h *head) {
	want := h.message(c.buf)
	if int(p.Len) != len(want) || p.More || p.Continued {
		c.say("flow %d: message %d has %d bytes, is captured with %d", h.flow, h.seq, len(want), p.Len)
	}
	if p.Truncated {
		c.marked.truncated++
		want = want[:min(len(want), len(p.Data))]
	}
	if h.flags == headless { // who sent it, it does not say
		copy(want[min(len(want), 4):], p.Data[min(len(want), 4):min(len(want), 8)])
	}
	if !bytes.Equal(p.Data, want) {
		c.say("flow %d: message %d has other bytes than were sent", h.flow, h.seq)
	}
}

// names compares who sent it, to where.
func (c *checker) names(p *pcapng.Packet, h *head, s *seen) {
	if p.Uncertain&pcapng.UncertainOrder != 0 {
		c.marked.order++
	}
	if p.Sender.Inode != s.inode || p.Path != s.path || p.Type != s.typ {
		c.say("flow %d: message %d is of socket %d, type %d, to %q, one before was of %d, %d, %q",
			h.flow, h.seq, p.Sender.Inode, p.Type, p.Path, s.inode, s.typ, s.path)
	}
	if h.flags&passing != 0 && p.FDCount != 1 {
		c.marked.unpassed++
	}
	if p.Uncertain&pcapng.UncertainSender != 0 {
		c.marked.sender++
		return
	}
	if h.flags == headless {
		return
	}
	if pid := pidOf(p); pid != h.pid {
		c.say("flow %d: message %d was sent by %d, says %d", h.flow, h.seq, h.pid, pid)
	}
	want := c.self
	if h.flags&byChild != 0 {
		want = commOf(h.flow)
	}
	switch p.Sender.Comm {
	case want:
	case "":
		c.marked.nameless++
	default:
		c.say("flow %d: message %d was sent by %q, says %q", h.flow, h.seq, want, p.Sender.Comm)
	}
}

// atEnd takes what is told to be lost at the end of a flow.
func (c *checker) atEnd(p *pcapng.Packet) {
	id := c.flowOf(p.Sender.Inode)
	s := c.seen[id]
	if s == nil {
		c.tails[p.Sender.Inode] += p.Lost
		return
	}
	if p.Offset+s.base != s.off+p.Lost || p.Skipped != 0 || s.hasTail {
		c.say("flow %d: %d bytes are lost at its end at %d, %d skipped, which was at %d", id, p.Lost, p.Offset, p.Skipped, s.off-s.base)
	}
	s.tail, s.hasTail = p.Lost, true
}
