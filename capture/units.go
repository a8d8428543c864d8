package capture

import (
	"cmp"
	"slices"
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// settleTime is how long a unit may wait for what decides its place: the rest
// of its pieces, word that it was queued, or the order of concurrent writers.
const settleTime = 100 * time.Millisecond

// maxPending is how long a task may take from filling an skb to queueing it,
// in which it takes a lock. After that the word of it has been lost.
const maxPending = int64(10 * time.Second)

// unit is one queued skb, on its way from the pieces that the kernel side
// sends to the packets that tell of it.
type unit struct {
	head     *bpf.Data // of the first piece
	data     []byte    // as far as it came without a hole
	end      uint32    // bytes of the unit that pieces told of
	cut      bool      // a hole or an unreadable piece ended data
	arrived  int64     // boot time, ns, if it had to wait
	from, to *socket
	place    place
	unsure   bool   // its place was not settled in time
	placed   bool   // its place was found by the order of reading
	noted    uint64 // boot time, ns, at which it was told of as pending; 0: never was
	settled  bool   // it has been handed out, or was canceled

	read   bpf.Read // who has read it while its place was open; Unit 0: not yet
	passed *passage // nil: nothing

	life *bpf.Life // no unit at all, but what happened to from behind all these
}

// place is where a unit stands in the receiver's queue, as far as is known.
type place uint8

const (
	placeFirst   place = iota // behind all that came before it
	placePending              // maybe nowhere: its send may still fail
	placeOpen                 // among others that were sent at the same time
	placeNone                 // canceled
)

// complete says whether all pieces have come that will.
func (u *unit) complete(snaplen uint32) bool {
	return u.end >= min(u.head.Total, snaplen)
}

// assembler makes units of pieces and puts them into the receivers' order.
type assembler struct {
	sockets *sockets
	snaplen uint32
	open    map[uint64]*unit               // by number: not complete, or not settled
	making  map[uint32]*unit               // by task that hands over its pieces: not complete
	gone    *generations[uint64, struct{}] // numbers of those given up
	free    []*unit
	kept    int                          // bytes of their buffers
	passed  func(number uint64) *passage // nil: not asked for
	through unit                         // the one that is handed out directly
	release func(*unit)                  // gets each unit, in each receiver's order; must not keep it
	now     func() int64
	dropped uint64 // units of which nobody knows whether they were queued

	notesLost bool // word of what became of a unit may be missing
}

func newAssembler(t *sockets, snaplen uint32, now func() int64, release func(*unit)) *assembler {
	return &assembler{
		sockets: t, snaplen: snaplen, now: now, release: release,
		open: make(map[uint64]*unit), making: make(map[uint32]*unit),
		gone: newGenerations[uint64, struct{}](maxGone),
	}
}

// piece takes one piece of a unit; payload is copied where it has to wait. Most
// units come in one piece and are settled at once: they are handed out directly.
// Nothing is noted of them, and no time asked for, which is a system call.
func (a *assembler) piece(d *bpf.Data, payload []byte) {
	u := a.opened(d.Unit)
	first := u == nil
	if first {
		if a.isGone(d.Unit) {
			return
		}
		if u = a.begin(d, payload); u == nil {
			return
		}
	}
	if d.At != u.end {
		u.cut = true // a piece in between was lost
	}
	if d.Flags&bpf.DataUnreadable != 0 {
		u.head.Flags |= bpf.DataUnreadable
		u.cut = true
	}
	if !u.cut {
		u.data = append(u.data, payload...)
	}
	u.end = d.At + d.Size
	if d.Size == 0 {
		u.end = d.Total
	}
	switch complete := u.complete(a.snaplen); {
	case !complete && first:
		a.making[producer(d.Unit)] = u
	case complete && !first:
		delete(a.making, producer(d.Unit))
	}
	a.settle(u)
	if first && !u.settled {
		u.arrived = a.now()
		a.open[d.Unit] = u
	}
}

// isWhole reports whether a piece is all that will come of its unit, which is in
// the queue.
func (a *assembler) isWhole(d *bpf.Data) bool {
	return d.At == 0 && d.Size >= min(d.Total, a.snaplen) && d.Flags&(bpf.DataPending|bpf.DataUnreadable) == 0
}

// maxGone bounds what is remembered of units that were given up.
const maxGone = 4096

// producer is the task that made a number, of the unit that it hands over or of
// the message that it sends: see unique in socket.h.
func producer(number uint64) uint32 { return uint32(number & (1<<22 - 1)) }

// begin makes a unit, at the end of its receiver's queue. One that is whole and
// has nothing before it is handed out: then there is none. A unit of the same
// task that still lacks pieces will not get them: a task hands over all pieces
// of a unit before it begins the next.
func (a *assembler) begin(d *bpf.Data, payload []byte) *unit {
	var passed *passage
	if a.passed != nil {
		passed = a.passed(d.Unit)
	}
	from, to := a.ends(d)
	a.interrupt(producer(d.Unit))
	if len(to.queue) == 0 && a.isWhole(d) {
		u := &a.through // what else a unit has, this one never gets
		u.head, u.data, u.from, u.to, u.passed, u.unsure = d, payload, from, to, passed, false
		to.doubtOrder(u)
		a.release(u)
		return nil
	}
	u := a.take()
	*u.head = *d
	u.from, u.to, u.passed = from, to, passed
	if d.Flags&bpf.DataPending != 0 {
		u.place, u.noted = placePending, d.Time
	}
	to.queue = append(to.queue, u)
	return u
}

// interrupt gives up the unit that a task has not handed over wholly.
func (a *assembler) interrupt(task uint32) {
	if len(a.making) == 0 {
		return
	}
	if u := a.making[task]; u != nil {
		a.abandon(u)
		a.settle(u)
	}
}

// opened is a unit that waits, nil if it is not known. Mostly none waits.
func (a *assembler) opened(number uint64) *unit {
	if len(a.open) == 0 {
		return nil
	}
	return a.open[number]
}

// isGone reports whether a unit was given up.
func (a *assembler) isGone(number uint64) bool {
	if a.gone.isEmpty() {
		return false
	}
	_, gone := a.gone.get(number)
	return gone
}

// ends are the sockets of a unit.
func (a *assembler) ends(d *bpf.Data) (from, to *socket) {
	from = a.sockets.of(d.Sender)
	if d.Receiver == 0 {
		return from, from.elsewhere()
	}
	return from, a.sockets.of(d.Receiver)
}

// The bounds of what is kept for the next units: their number, and the bytes of
// a buffer and of all of them. What a burst of large units took is given back.
const (
	keepUnits   = 4096
	keepBuffer  = 64 << 10
	keepBuffers = 4 << 20
)

// take gives an empty unit.
func (a *assembler) take() *unit {
	n := len(a.free)
	if n == 0 {
		return &unit{head: &bpf.Data{}}
	}
	u := a.free[n-1]
	a.free = a.free[:n-1]
	a.kept -= cap(u.data)
	*u = unit{head: u.head, data: u.data[:0]}
	*u.head = bpf.Data{}
	return u
}

// recycle takes back a unit that nobody needs any more.
func (a *assembler) recycle(u *unit) {
	if size := cap(u.data); len(a.free) < keepUnits && size <= keepBuffer && a.kept+size <= keepBuffers {
		a.kept += size
		a.free = append(a.free, u)
	}
}

// abandon gives up waiting for the rest of a unit.
func (a *assembler) abandon(u *unit) {
	u.end, u.cut = u.head.Total, true
	delete(a.making, producer(u.head.Unit))
	a.gone.put(u.head.Unit, struct{}{})
}

// queued notes that a pending unit is in the queue.
func (a *assembler) queued(e *bpf.Unit) {
	u := a.open[e.Unit]
	if u == nil || u.place != placePending {
		return
	}
	u.head.Offset, u.head.Skipped = e.Offset, e.Skipped
	u.head.Time = e.Time
	u.place = placeFirst
	if e.Flags&bpf.DataOverlap != 0 {
		u.place = placeOpen
		u.to.queuedLast(u)
	}
	a.settle(u)
}

// queuedLast puts a unit behind those with an open place whose word of being
// queued came before its own: word follows the queueing more closely than
// filling an skb goes before it, so this is the better guess until a reader
// tells.
func (s *socket) queuedLast(u *unit) {
	q := s.queue
	i := slices.Index(q, u)
	last := i
	for j := i + 1; j < len(q) && q[j].life == nil; j++ {
		if q[j].place == placeOpen {
			last = j
		}
	}
	copy(q[i:last], q[i+1:last+1])
	q[last] = u
}

// canceled notes that a pending unit never got into the queue.
func (a *assembler) canceled(e *bpf.Unit) {
	if u := a.open[e.Unit]; u != nil && u.place == placePending {
		u.place = placeNone
		a.abandon(u)
		a.settle(u)
	}
}

// consumed notes that the reader took a unit: of all that stand in its queue
// with an open place it was the first.
func (a *assembler) consumed(e *bpf.Read) {
	u := a.open[e.Unit]
	if u == nil || u.place == placeNone || u.place == placeFirst {
		return
	}
	if u.place == placePending {
		u.head.Time = e.Time
	}
	q := u.to.queue
	i := slices.Index(q, u)
	first := i
	for first > 0 && (q[first-1].place == placeOpen || q[first-1].place == placePending) {
		first--
	}
	copy(q[first+1:i+1], q[first:i])
	q[first] = u
	u.place, u.placed = placeFirst, true
	a.settle(u)
}

// settle hands out what stands at the front of u's queue and is decided.
func (a *assembler) settle(u *unit) {
	to := u.to
	n := 0
	for ; n < len(to.queue); n++ {
		u := to.queue[n]
		if u.place == placePending || u.place == placeOpen || !u.complete(a.snaplen) {
			break
		}
		if u.life == nil {
			delete(a.open, u.head.Unit)
		}
		u.settled = true
		to.doubtOrder(u)
		if u.place != placeNone {
			a.release(u)
		}
		a.recycle(u)
	}
	to.queue = slices.Delete(to.queue, 0, n)
}

// doubtOrder marks what may have been queued before a unit that was handed out
// with its place open: it may have been told of too late, with an offset that
// is too high.
func (s *socket) doubtOrder(u *unit) {
	switch {
	case u.unsure:
		s.unsureUntil = max(s.unsureUntil, u.head.Time)
	case u.noted != 0 && u.noted < s.unsureUntil:
		u.unsure = true
	}
}

// behind puts what happened to a socket behind all that it has sent to another.
func (a *assembler) behind(l *bpf.Life, from, to *socket) {
	u := a.take()
	u.life, u.from, u.to = l, from, to
	to.queue = append(to.queue, u)
	a.settle(u)
}

// expire settles what has waited too long; all says that nothing more comes.
func (a *assembler) expire(all bool) {
	if len(a.open) == 0 {
		return
	}
	limit := a.now() - int64(settleTime)
	var late []*unit
	for _, u := range a.open {
		if all || u.arrived < limit {
			late = append(late, u)
		}
	}
	slices.SortFunc(late, func(x, y *unit) int {
		return cmp.Or(cmp.Compare(x.arrived, y.arrived), cmp.Compare(x.head.Unit, y.head.Unit))
	})
	for _, u := range late {
		if a.open[u.head.Unit] != u {
			continue
		}
		if !u.complete(a.snaplen) {
			if !all && u.arrived > limit-9*int64(settleTime) {
				continue // its task may have been preempted: give it a second
			}
			a.abandon(u)
		}
		switch u.place {
		case placeOpen:
			u.place, u.unsure = placeFirst, true
		case placePending:
			switch {
			case all: // the capture ended inside this send
			case a.notesLost || u.arrived < limit-maxPending:
				a.dropped++ // if it was queued, the next offset shows it
			default:
				continue
			}
			u.place = placeNone
		}
		a.settle(u)
	}
}

// remainder is what is left of a unit while packets are made of it.
type remainder struct {
	data   []byte
	offset uint64
	bytes  uint32 // as it was sent, of which data may be but a part
	begun  bool
}

// cut makes p, which describes the unit, the next packet of it: p.More says
// whether others follow. They share the unit's bytes.
func (r *remainder) cut(p *pcapng.Packet) {
	n := min(r.bytes, pcapng.MaxPayload)
	p.Offset, p.Len, p.More = r.offset, n, r.bytes > n
	p.Data = r.data[:min(len(r.data), int(n))]
	p.Truncated = len(p.Data) < int(n)
	if r.begun {
		p.Continued, p.Lost, p.Skipped, p.DropCount = true, 0, 0, 0
		p.FDCount, p.FDs, p.Cred, p.SecID = 0, nil, nil, 0 // are passed with the first
	}
	r.data = r.data[len(p.Data):]
	r.offset += uint64(n)
	r.bytes -= n
	r.begun = true
}
