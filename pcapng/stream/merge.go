package stream

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// maxHosts is how many interfaces a capture file can have.
const maxHosts = 1 << 16

// maxAhead is how much later than the server's clock a packet may be.
const maxAhead = time.Second

// idBits is how many bits are left to an id below those of the host.
const idBits = 48

// merge puts what several hosts sent in the order of time. Packets of one host
// never change places.
type merge struct {
	window time.Duration
	most   int

	hosts  []Host
	runs   map[runKey]*run
	heads  heads // runs with packets that wait, by the first's time
	parts  []*part
	held   int       // bytes of the packets that wait, about
	latest time.Time // of the packets that were passed on
	counts ReadCounts
}

// runKey is a Publisher as messages name it.
type runKey struct{ host, run string }

// run is what is known of one.
type run struct {
	host   int
	number uint64 // of the last message
	before uint64 // packets in messages so far
	waits  []waiting
	warned bool // its clock is ahead
}

type waiting struct {
	*pcapng.Packet
	part *part
}

// part is a message of which packets wait.
type part struct {
	stored time.Time
	left   int
}

func (m *merge) begin(window time.Duration, most int) {
	m.window, m.most, m.runs = window, most, make(map[runKey]*run)
}

// Hosts returns those whose packets have come so far, in the order in which
// Packet.Host counts them.
func (m *merge) Hosts() []Host { return m.hosts }

// Counts are what came so far.
func (m *merge) Counts() ReadCounts { return m.counts }

// add takes a message in. It tells by how much the host's clock is ahead, once.
func (m *merge) add(d *decoded, size int) (ahead time.Duration, err error) {
	r, err := m.runOf(d)
	if err != nil {
		return 0, err
	}
	switch {
	case d.id.number <= r.number:
		m.counts.Twice++
		return 0, nil
	case d.id.before < r.before:
		return 0, fmt.Errorf("%w: %d packets before it, there were %d", ErrMessage, d.id.before, r.before)
	}
	m.counts.Messages++
	m.counts.Bytes += uint64(size)
	missing := d.id.before - r.before
	if r.number == 0 {
		missing = 0 // those are from before we began to read
	}
	m.counts.Missing += missing
	r.number, r.before = d.id.number, d.id.before+uint64(len(d.packets))
	if len(d.packets) == 0 {
		return 0, nil
	}
	d.packets[0].DropCount += missing
	ahead = m.enqueue(r, d)
	return ahead, nil
}

// runOf is who sent the message, known or new.
func (m *merge) runOf(d *decoded) (*run, error) {
	key := runKey{d.host, d.id.run}
	r := m.runs[key]
	if r == nil {
		if len(m.hosts) == maxHosts {
			return nil, fmt.Errorf("%w that there is room for: more than %d hosts", ErrMessage, maxHosts)
		}
		r = &run{host: len(m.hosts)}
		m.runs[key] = r
		m.hosts = append(m.hosts, Host{d.host, d.described})
	}
	return r, nil
}

// enqueue lets the message's packets wait.
func (m *merge) enqueue(r *run, d *decoded) (ahead time.Duration) {
	first := len(r.waits) == 0
	p := &part{d.stored, len(d.packets)}
	for _, packet := range d.packets {
		packet.Host = r.host
		packet.ConnID, packet.Message = unique(r.host, packet.ConnID), unique(r.host, packet.Message)
		if by := packet.Time.Sub(d.stored); by > maxAhead {
			if packet.OwnTime.IsZero() {
				packet.OwnTime = packet.Time
			}
			packet.Time = d.stored
			if !r.warned {
				r.warned, ahead = true, by
			}
		}
		r.waits = append(r.waits, waiting{packet, p})
		m.held += weight(packet)
	}
	m.parts = append(m.parts, p)
	if first {
		heap.Push(&m.heads, r)
	}
	return ahead
}

// unique is an id of a host's as it is among those of all.
func unique(host int, id uint64) uint64 {
	if id == 0 {
		return 0
	}
	return uint64(host)<<idBits | id&(1<<idBits-1)
}

// weight is what a packet takes in memory, about.
func weight(p *pcapng.Packet) int { return len(p.Data) + 1024 }

// nextDue is the server's time at which packets need wait no longer.
func (m *merge) nextDue() (time.Time, bool) {
	for len(m.parts) > 0 && m.parts[0].left == 0 {
		m.parts = m.parts[1:]
	}
	if len(m.parts) == 0 {
		return time.Time{}, false
	}
	return m.parts[0].stored.Add(m.window), true
}

// passOn yields, in order, all up to the last that has waited long enough, and
// what there is no room for. It reports whether more is wanted.
func (m *merge) passOn(clock time.Time, yield func(*pcapng.Packet, error) bool) bool {
	for {
		due, ok := m.nextDue()
		if !ok || due.After(clock) && m.held <= m.most {
			return true
		}
		if !m.passFirst(yield) {
			return false
		}
	}
}

// flush yields all that waits.
func (m *merge) flush(yield func(*pcapng.Packet, error) bool) bool {
	for len(m.heads) > 0 {
		if !m.passFirst(yield) {
			return false
		}
	}
	return true
}

func (m *merge) passFirst(yield func(*pcapng.Packet, error) bool) bool {
	r := m.heads[0]
	w := r.waits[0]
	r.waits[0] = waiting{}
	r.waits = r.waits[1:]
	if len(r.waits) == 0 {
		r.waits = nil
		heap.Pop(&m.heads)
	} else {
		heap.Fix(&m.heads, 0)
	}
	w.part.left--
	m.held -= weight(w.Packet)
	m.counts.Packets++
	if w.Time.Before(m.latest) {
		m.counts.Late++
	} else {
		m.latest = w.Time
	}
	return yield(w.Packet, nil)
}

// heads are runs by the time of their first packet, of the same time by who came
// first.
type heads []*run

func (h heads) Len() int { return len(h) }

func (h heads) Less(i, j int) bool {
	a, b := h[i], h[j]
	if at := a.waits[0].Time.Compare(b.waits[0].Time); at != 0 {
		return at < 0
	}
	return a.host < b.host
}

func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop are for container/heap.
func (h *heads) Push(r any) { *h = append(*h, r.(*run)) }

func (h *heads) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	*h = (*h)[:last]
	return r
}
