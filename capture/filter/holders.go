package filter

import "github.com/sockcap/sockcap/pcapng"

// holds reports whether one of several processes that hold an end of p, a
// snapshot, is asked for.
func holds(p *pcapng.Packet, end End, is func(*pcapng.Holder) bool) bool {
	for i := range p.Holders {
		h := &p.Holders[i]
		if (end == Either || (end == Dst) == h.Peer) && is(h) {
			return true
		}
	}
	return false
}
