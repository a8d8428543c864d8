package capture

import "github.com/sockcap/sockcap/bpf"

// losses finds where in a capture something was lost. Each unit says how many
// the kernel side lost before it; that a hook was skipped only shows between
// two looks at its counters.
type losses struct {
	told    uint64 // as of the last unit
	dropped uint64 // by skipped hooks, as of the last look
	notes   uint64
	looked  int64  // boot time of the last look
	carry   uint64 // lost, but no packet came since that could say so
}

// before gives how many were lost before a unit and after the one before it.
func (l *losses) before(u *unit) uint64 {
	n := int32(u.head.Lost - uint32(l.told)) // it has the low bits
	if n <= 0 {
		return 0
	}
	l.told += uint64(n)
	return uint64(n)
}

// by gives how many were lost by a moment of which that number is known, of those
// that no unit has told of. All units that were before it have come.
func (l *losses) by(lost uint64) uint64 {
	n := lost - min(lost, l.told)
	l.told += n
	return n
}

// look puts what skipped hooks lost since the last look before the first packet since
// then. It is called when the ring buffer has just been drained, and while
// packets are held for longer than from one look to the next.
func (s *Session) look() {
	now := bootTime()
	c := s.progs.counters()
	l := &s.losses
	dropped := s.progs.missed() + s.units.dropped
	s.stats.unconfirmed.Store(s.units.dropped)
	s.units.notesLost = c[bpf.LossNote] != l.notes
	l.notes = c[bpf.LossNote]
	l.carry += dropped - l.dropped
	l.dropped = dropped
	if l.carry > 0 && s.order.drop(l.looked, l.carry) {
		l.carry = 0
	}
	l.looked = now
}
