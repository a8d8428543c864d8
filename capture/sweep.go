package capture

import (
	"math"

	"github.com/sockcap/sockcap/bpf"
)

// Most sockets are forgotten when their close is told (see closed.go). Where that
// word is lost, or there is none, as for a client that nobody has accepted, what
// is known of the socket, of its connection and of what was sent to it would stay
// until so many others push it out that they take hundreds of MiB. So, when more
// is remembered than twice what was left of it the last time, the kernel side's
// own map is asked, some sockets at a time: who is not in it, or is closed there,
// has closed as soon as all is told that was said before. Whoever is open is in
// that map, and is not touched.

// sweeping finds the sockets that are gone without a word. It goes by steps: wait
// until there is enough to find, ask the kernel side, wait for all that it had
// said by then.
type sweeping struct {
	ask      func() register
	lost     func() uint64       // units, of all sockets
	due      int                 // with how many entries it is asked next
	next     func(left int) int  // what is due next, by how many entries are left
	asked    register            // nil: it is not being asked
	answered bool                // it was; that is not dealt with yet
	at       int64               // boot time when it had answered
	lostAt   uint64              // how many units were lost by then
	closed   map[*socket]sentAll // of which that was not told
	final    bool                // of what a closed socket has sent all has been told by then, but for what was lost
}

// register is the kernel side's map of sockets: see census.
type register interface {
	next(each func(registered)) (done bool, err error)
}

// sweepFrom is for how many entries more it is worth while to ask.
const sweepFrom = 4096

func newSweeping(p *programs) sweeping {
	return sweeping{
		ask: func() register { return p.census() }, lost: p.lostUnits,
		due: sweepFrom, next: func(left int) int { return 2*left + sweepFrom },
		final: p.set != hooksTracepoint || p.iter != nil, // else what nobody reads is not told of
	}
}

// sweep goes a step on. It is called again and again.
func (s *Session) sweep() {
	w := &s.sweeping
	switch {
	case w.asked != nil:
		s.askOn()
	case w.answered:
		if s.until >= w.at+int64(holdTime) {
			s.losses.carry += s.losses.by(w.lostAt)
			s.bury()
			s.forgetGone()
			w.answered, w.closed, w.due = false, nil, w.next(s.remembered())
		}
	case s.remembered() >= w.due:
		s.sockets.era++
		w.asked, w.closed = w.ask(), make(map[*socket]sentAll)
	}
}

// remembered is how many entries there are that sockets may leave behind.
func (s *Session) remembered() int {
	return s.sockets.byNumber.len() + s.sockets.pairs.len() + s.unread.len()
}

// askOn asks for some more sockets. Those that are open are of the present era
// then, as those that come meanwhile.
func (s *Session) askOn() {
	w, t := &s.sweeping, s.sockets
	done, err := w.asked.next(func(r registered) {
		of := t.byNumber.peek(r.number)
		switch {
		case of == nil:
		case !r.closed:
			of.era = t.era
		case !of.closed:
			w.closed[of] = r.sent
		}
	})
	switch {
	case err != nil: // then only the tables' own bounds hold
		w.asked, w.closed, w.due = nil, nil, math.MaxInt
	case done:
		w.asked, w.answered, w.at, w.lostAt = nil, true, s.units.now(), w.lost()
	}
}

// bury ends the sockets that are gone, behind all that they have sent; those that
// are known to be closed are only forgotten with their other end.
func (s *Session) bury() {
	t := s.sockets
	var gone []*socket
	t.byNumber.each(func(of *socket) {
		if of.era == t.era || of.closing != nil {
			return
		}
		if other := t.byNumber.peek(of.info.Peer); !of.closed || other == nil || other.closed {
			of.era = t.era // once
			gone = append(gone, of)
		}
	})
	w := &s.sweeping
	for _, of := range gone {
		if sent, ok := w.closed[of]; ok {
			t.forget(of)
			if w.final && w.lostAt > 0 {
				of.sent = &sent
			}
		}
		to := t.byNumber.peek(of.info.Peer)
		if to == nil {
			to = of.nowhere
		}
		if to == nil {
			to = &socket{}
		}
		s.units.behind(&bpf.Life{What: lifeGone, Time: uint64(w.at), Socket: of.info.Socket}, of, to)
	}
}

// forgetGone forgets what gone sockets have left behind: their connections, where
// they are not known any more themselves, and what waits to be read by them.
func (s *Session) forgetGone() {
	t := s.sockets
	forgotten := func(number uint64) bool {
		return number != 0 && t.byNumber.peek(number) == nil && t.closed.peek(number) == nil
	}
	t.pairs.removeIf(func(ends [2]uint64, _ *connection) bool { return forgotten(ends[0]) || forgotten(ends[1]) })
	s.unread.removeIf(func(_ uint64, r *reading) bool {
		if !r.isOver(t.era) {
			return false
		}
		s.order.forget(r)
		return true
	})
}
