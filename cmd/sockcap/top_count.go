package main

import (
	"sync"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// Bounds on what top remembers. What finds no room is counted in the row of
// the rest, so that sums are right.
const (
	maxFlows       = 16384
	idleScreens    = 5 // that a connection without traffic stays
	recentMessages = 8 // of which the packets of one direction may be mixed
)

// traffic is what passed in some time.
type traffic struct {
	bytes, messages uint64
	waited          time.Duration // of the packets whose latency is known
	waits           uint64        // how many these are
}

func (t *traffic) add(u traffic) {
	t.bytes += u.bytes
	t.messages += u.messages
	t.waited += u.waited
	t.waits += u.waits
}

// latency is the mean, 0 if unknown.
func (t *traffic) latency() time.Duration {
	if t.waits == 0 {
		return 0
	}
	return t.waited / time.Duration(t.waits)
}

// flow is one connection.
type flow struct {
	kind           pcapng.SocketType
	path           string
	client, server pcapng.Endpoint // PID and Comm
	now            traffic         // since the screen before
	total          uint64          // bytes since it was first seen
	idle           int             // screens without traffic
	recent         [2][recentMessages]uint64
	at             [2]int
}

// flowKey tells connections apart: by their number, or what else is known.
type flowKey struct {
	connID uint64
	host   int
	path   string // without a number
}

// flowCounter counts packets by connection. Its methods may be called from any
// goroutine.
type flowCounter struct {
	mu    sync.Mutex
	flows map[flowKey]*flow
	rest  flow // of connections for which there is no room, or that are gone
	full  bool // and nothing was found to be idle since the last screen
}

func newFlowCounter() *flowCounter { return &flowCounter{flows: make(map[flowKey]*flow)} }

// count takes a packet. A message that crosses in many counts once; that it was
// read counts when it is known, if not at once.
func (c *flowCounter) count(p *pcapng.Packet) {
	read := p.Event == pcapng.EventRead
	if p.Event != pcapng.EventData && !read {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.of(p)
	direction := 0
	if p.Role == pcapng.RoleServer {
		direction = 1
	}
	t := traffic{bytes: uint64(p.Len)}
	if !read && f.begins(p, direction) {
		t.messages = 1
	}
	if p.Latency > 0 {
		t.waited, t.waits = p.Latency, 1
	}
	f.now.add(t)
	f.total += uint64(p.Len)
	if f != &c.rest {
		f.learn(p, direction)
	}
}

// of is the flow of a packet.
func (c *flowCounter) of(p *pcapng.Packet) *flow {
	key := flowKey{p.ConnID, p.Host, ""}
	if p.ConnID == 0 {
		key.path = p.Path
	}
	if f, ok := c.flows[key]; ok {
		return f
	}
	if len(c.flows) >= maxFlows && !c.full {
		c.full = c.forget(1) == 0
	}
	if len(c.flows) >= maxFlows {
		return &c.rest
	}
	f := new(flow)
	c.flows[key] = f
	return f
}

// forget drops the flows without traffic for so many screens, of which this
// one is the first, and says how many these are.
func (c *flowCounter) forget(screens int) int {
	n := 0
	for key, f := range c.flows {
		if f.now == (traffic{}) && f.idle+1 >= screens {
			c.rest.total += f.total
			delete(c.flows, key)
			n++
		}
	}
	return n
}

// begins reports whether p is the first packet of its message.
func (f *flow) begins(p *pcapng.Packet, direction int) bool {
	if p.Message == 0 {
		return !p.Continued
	}
	seen := &f.recent[direction]
	for _, n := range seen {
		if n == p.Message {
			return false
		}
	}
	seen[f.at[direction]] = p.Message
	f.at[direction] = (f.at[direction] + 1) % recentMessages
	return true
}

// learn takes names: sockets are handed on, so the last ones are the best.
func (f *flow) learn(p *pcapng.Packet, direction int) {
	f.kind, f.path = p.Type, p.Path
	from, to := &f.client, &f.server
	if direction == 1 {
		from, to = to, from
	}
	if p.Sender.PID != 0 {
		*from = pcapng.Endpoint{PID: p.Sender.PID, Comm: p.Sender.Comm}
	}
	switch {
	case p.Reader != nil && p.Reader.PID != 0:
		*to = pcapng.Endpoint{PID: p.Reader.PID, Comm: p.Reader.Comm}
	case p.Peer.PID != 0:
		*to = pcapng.Endpoint{PID: p.Peer.PID, Comm: p.Peer.Comm}
	}
}

// topRow is a flow, or several, in the time of one screen.
type topRow struct {
	traffic
	kind           pcapng.SocketType
	path           string
	client, server pcapng.Endpoint
	total          uint64
	flows          int
}

// take gives what passed since the last take: a row for each connection, and
// the sum of those that have none. Their order is none.
func (c *flowCounter) take() (rows []topRow, rest topRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(idleScreens + 1)
	rows = make([]topRow, 0, len(c.flows))
	for _, f := range c.flows {
		rows = append(rows, topRow{f.now, f.kind, f.path, f.client, f.server, f.total, 1})
		f.idle++
		if f.now != (traffic{}) {
			f.idle = 0
		}
		f.now = traffic{}
	}
	rest = topRow{traffic: c.rest.now, total: c.rest.total}
	c.rest.now = traffic{}
	c.full = false
	return rows, rest
}
