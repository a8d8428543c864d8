package main

import "time"

// account is what a capture has of what was sent in a time.
type account struct {
	sent, missing uint64 // messages of flows that are captured from their beginning to their end
	untold        uint64 // of the missing ones, those at an end of which no packet tells the bytes
	edges         uint64 // at most so many more were sent while it ran: of flows that it saw in part
	wrong         []string
}

// span is when a capture ran: what began behind from, and ended before to, has to
// be in it; what ended before start must not be. A zero to is a capture that goes
// on.
type span struct{ start, from, to time.Time }

// reconcile compares what a capture has of flows with what was sent. It changes
// nothing: as long as news of an end may come, it can be asked again.
func (c *checker) reconcile(flows []flow, during span) account {
	var a account
	say := func(c2 *checker) { a.wrong = append(a.wrong, c2.wrong...) }
	for i := range flows {
		f := &flows[i]
		var k checker // of this flow
		switch s := c.seen[f.id]; {
		case !f.ended.IsZero() && f.ended.Before(during.start):
			if s != nil {
				k.say("flow %d ended before the capture began, and %d messages of it are captured", f.id, s.seq-s.first)
			}
		case f.begun.Before(during.from) || f.ended.IsZero() || !during.to.IsZero() && f.ended.After(during.to):
			a.part(&k, f, s, during)
		default:
			a.whole(&k, f, s, c.tails[f.from])
		}
		say(&k)
	}
	return a
}

// whole is a flow that has to be captured from its beginning to its end. tail is
// what is told to be lost of one of which nothing is captured.
func (a *account) whole(k *checker, f *flow, s *seen, tail uint64) {
	if s == nil {
		s = &seen{tail: tail, hasTail: tail > 0, inode: f.from, path: f.path, typ: f.typ}
	}
	a.same(k, f, s)
	if s.base != 0 || s.first != 0 {
		k.say("flow %d begins at %d, with message %d", f.id, s.base, s.first)
	}
	if s.seq > f.sent {
		k.say("flow %d: %d messages were sent, number %d is captured", f.id, f.sent, s.seq-1)
		return
	}
	rest := f.sent - s.seq
	a.sent += f.sent
	a.missing += s.lost + rest
	bytes := sizeOfAll(f.id, s.seq, f.sent)
	switch {
	case !s.hasTail:
		a.untold += rest
	case s.tail != bytes:
		k.say("flow %d: %d bytes are missing at its end, %d are told to be lost", f.id, bytes, s.tail)
	}
}

// part is a flow that began before the capture or outlives it.
func (a *account) part(k *checker, f *flow, s *seen, during span) {
	if s == nil {
		a.edges += f.sent
		return
	}
	if s.inode == 0 && f.begun.Before(during.from) {
		s.inode = f.from // it was closed before the capture could look at it
	}
	a.same(k, f, s)
	a.missing += s.lost
	if !f.ended.IsZero() && s.seq > f.sent {
		k.say("flow %d: %d messages were sent, number %d is captured", f.id, f.sent, s.seq-1)
		return
	}
	a.edges += s.first + max(f.sent, s.seq) - s.seq
}

// same compares the ends of a flow.
func (a *account) same(k *checker, f *flow, s *seen) {
	if s.path != f.path || s.typ != f.typ || f.from != 0 && s.inode != f.from {
		k.say("flow %d, type %d, from socket %d to %q, is captured as type %d, from socket %d to %q", f.id, f.typ, f.from, f.path, s.typ, s.inode, s.path)
	}
}

// forget forgets flows that are accounted for: what comes of them after that is
// of nobody.
func (c *checker) forget(flows []flow) {
	for i := range flows {
		if f := &flows[i]; !f.ended.IsZero() {
			if s := c.seen[f.id]; s != nil {
				delete(c.inode, s.inode)
			}
			delete(c.seen, f.id)
			delete(c.tails, f.from)
		}
	}
}
