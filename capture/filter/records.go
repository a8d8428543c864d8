package filter

import "github.com/sockcap/sockcap/pcapng"

// Records filters the packets of a capture file, in their order, and keeps its
// account of bytes right: what it leaves out of a connection is skipped before
// the next packet that it keeps, and what was lost before a packet that it
// leaves out was lost before the next one too. A Records is for one goroutine.
type Records struct {
	expr       *Expr
	young, old map[direction]gap
	drops      map[int]uint64 // packets lost, by host
}

// direction is a sending socket.
type direction struct {
	host   int
	connID uint64 // 0 for datagrams, whose offsets count through all receivers
	role   pcapng.Role
	inode  uint64
}

// gap is what is missing since the last packet of a direction that was kept.
type gap struct{ skipped, lost uint64 }

// maxGaps bounds how many directions Records remembers: those of which
// something was left out last, and at most as many more. Of others the bytes
// left out show as missing.
const maxGaps = 65536

// NewRecords returns a filter by e.
func NewRecords(e *Expr) *Records {
	return &Records{expr: e, young: make(map[direction]gap), drops: make(map[int]uint64)}
}

// Keep reports whether to keep p. If so it may add to p's Skipped, Lost and
// DropCount.
func (r *Records) Keep(p *pcapng.Packet) bool {
	switch {
	case r.expr.All():
		return true
	case !r.expr.Match(p):
		r.leaveOut(p)
		return false
	}
	if n := r.drops[p.Host]; n > 0 {
		p.DropCount += n
		delete(r.drops, p.Host)
	}
	if counts(p) {
		g := r.take(directionOf(p))
		p.Skipped += g.skipped
		p.Lost += g.lost
	}
	return true
}

func (r *Records) leaveOut(p *pcapng.Packet) {
	if p.DropCount > 0 {
		r.drops[p.Host] += p.DropCount
	}
	if !counts(p) || uint64(p.Len)|p.Skipped|p.Lost == 0 {
		return
	}
	d := directionOf(p)
	g := r.take(d)
	g.skipped += uint64(p.Len) + p.Skipped
	g.lost += p.Lost
	if len(r.young) >= maxGaps {
		r.old, r.young = r.young, make(map[direction]gap)
	}
	r.young[d] = g
}

// take removes what is known of d.
func (r *Records) take(d direction) gap {
	g, ok := r.young[d]
	if !ok {
		g = r.old[d]
	}
	delete(r.young, d)
	delete(r.old, d)
	return g
}

// counts reports whether p has a place in the bytes that its sender sent.
func counts(p *pcapng.Packet) bool {
	return p.Event == pcapng.EventData || p.Event == pcapng.EventLost
}

func directionOf(p *pcapng.Packet) direction {
	d := direction{p.Host, p.ConnID, p.Role, p.Sender.Inode}
	if p.Type == pcapng.Datagram && d.inode != 0 {
		d.connID, d.role = 0, pcapng.RoleUnknown
	}
	return d
}
