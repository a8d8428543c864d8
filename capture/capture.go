package capture

import (
	"context"
	"errors"
	"iter"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// Options say what to capture and how. The zero value captures everything
// with the best hook set that this kernel allows.
type Options struct {
	Hooks       string   // "", "auto", "fentry", "kprobe" or "tracepoint"
	Senders     string   // "", "auto" or "exact": how the tracepoint set learns who sent
	BufferSize  int      // bytes of the ring buffer, rounded up to a power of two; 0: from memory
	Snaplen     int      // bytes of payload a record; 0: all
	Redact      bool     // no payload at all: it does not leave the kernel
	Paths       []string // keep only sockets with these addresses; none: all
	Immediate   bool     // hand out each packet at once, where else later news could still put it in order, or mark it
	Family      *Family  // keep only what a process and its descendants say and hear; nil: all
	IncludeSelf bool     // keep what this process itself sends and does
	NoSnapshot  bool     // do not look for sockets that are older than the capture, which else are told of; a Family has none

	// Host is where else paths and the state of container engines are looked up:
	// the host's file system, for who runs in a container; nil: nowhere. It is
	// the caller's, for as long as the capture runs.
	Host *container.Root

	LookAhead bool // look at the processes that hold older sockets before Begun is called, not when one is a peer: who may not look later

	// Begun is called by Packets, at most once: when it is known which sockets
	// are older than the capture.
	Begun func(Beginning)

	// Filter keeps only packets that match, of the sockets that Paths keeps;
	// nil: all. Paths are looked for at both ends, by the identity of their
	// files too. What surely does not match, by what the kernel side knows, is
	// left out there, before its bytes are copied; the rest is asked again, on
	// each packet of its own.
	Filter *filter.Expr
}

// snaplen is how many bytes of a unit the kernel side hands over at most.
func (o *Options) snaplen() uint32 {
	switch {
	case o.Redact:
		return 0
	case o.Snaplen > 0:
		return uint32(min(o.Snaplen, math.MaxUint32))
	}
	return math.MaxUint32
}

// self is the process that is left out, 0 if none is.
func (o *Options) self() uint32 {
	if o.IncludeSelf {
		return 0
	}
	return uint32(os.Getpid())
}

// Stats counts what a session saw, in packets unless said otherwise. While
// Packets runs, Received and Captured may be a few packets behind.
type Stats struct {
	Received     uint64 // data packets that the kernel side handed over and Options kept
	Captured     uint64 // data packets handed out by Packets
	Filtered     uint64 // data packets that Options.Paths, Filter or Family left out, here or in the kernel
	FilterFull   uint64 // notes that the kernel side's filter had no room for: what they would have left out there was left out here
	Self         uint64 // data packets left out as sockcap's own
	Existing     uint64 // sockets that are older than the capture, of those that Options kept
	LostRing     uint64 // ring buffer full
	LostMissed   uint64 // hook not run by the kernel (recursion)
	LostMap      uint64 // kernel map full, or an entry not there in time
	LostEvents   uint64 // events that are no data (connect, close, ...) and words of who a process is: no room for them, or hook not run
	LostNotes    uint64 // words of who a socket is, or has read, that something was read, or of a doubt: no room for them
	LostPassed   uint64 // passed descriptors, or all that was passed along with a packet: no room for it, or hook not run
	Unreadable   uint64 // messages, as they were queued, with payload that could not be read
	Cut          uint64 // the same with payload of which not all found room in the ring buffer
	LostBytes    uint64 // bytes known to be missing from streams
	OrderUnsure  uint64 // packets marked UncertainOrder
	SenderUnsure uint64 // packets marked UncertainSender
}

// Dropped is the number of packets that were lost for any cause.
func (s Stats) Dropped() uint64 { return s.LostRing + s.LostMissed + s.LostMap }

// Session is a running capture.
type Session struct {
	ctx     context.Context
	progs   *programs
	ring    *ringbuf.Reader
	options Options
	paths   *pathFilter
	filter  exprFilter
	names   *nameTable // nil: the kernel side asks for no names
	appear  appearances
	clock   clock
	sockets *sockets

	processes *processes

	units   *assembler
	order   order
	newest  int64         // boot time of the newest data that was read, taken before its place in the ring
	until   int64         // boot time up to which all records have been read
	nap     time.Duration // while there is nothing to do
	stats   liveStats
	tally   tally
	waiting waiting
	unread  *generations[uint64, *reading] // by the unit's number
	losses  losses
	closing closing

	sweeping sweeping
	begin    *beginning // nil once the older sockets are known
	looking  *beginning // the same, to end it
	passed   passages

	self   uint32                // our process, 0: it is as any other
	last   atomic.Pointer[Stats] // when closed
	detach sync.Once
	close  sync.Once
	err    error
}

// liveStats are the Stats that the session counts itself.
type liveStats struct {
	received, captured, filtered, filterFull, lostBytes, orderUnsure, senderUnsure, unconfirmed, unreadable, cut, self, existing atomic.Uint64
}

// tally is what was counted of every packet and is not in the Stats yet: to
// add it there costs as much as a step of the work does, so that is done for
// many at once.
type tally struct{ received, captured uint64 }

// publishAt is with how many packets the Stats may be behind.
const publishAt = 64

// publish adds it to the Stats.
func (s *Session) publish() {
	s.stats.received.Add(s.tally.received)
	s.stats.captured.Add(s.tally.captured)
	s.tally = tally{}
}

// Start begins to capture. It needs root, or the capabilities BPF, PERFMON,
// SYSLOG and DAC_READ_SEARCH (before v5.11 SYS_RESOURCE too, and SYS_ADMIN where
// tracefs is not mounted); the error says what is missing and may carry a hint
// (see Error).
func Start(ctx context.Context, o Options) (*Session, error) {
	o.BufferSize = bufferSize(o.BufferSize)
	progs, err := attachBest(&o)
	if err != nil {
		return nil, err
	}
	s := &Session{
		ctx: ctx, progs: progs, ring: progs.ring, options: o,
		paths:  newPathFilter(filter.NewPaths(o.Paths), o.Paths, o.Host),
		filter: newExprFilter(o.Filter, o.Host),
		self:   o.self(),
		clock:  newClock(), sockets: newSockets(), processes: newProcesses(o.Host),
		unread: newGenerations[uint64, *reading](maxUnread), nap: sleepInterval,
	}
	if progs.filter.names() && progs.filter.keep != nil {
		if s.names, err = newNameTable(progs); err != nil {
			return nil, errors.Join(&Error{Op: "map names", Err: err}, progs.close())
		}
	}
	s.sockets.nextConn = firstConn()
	s.passed, s.sweeping = newPassages(), newSweeping(progs)
	s.units = newAssembler(s.sockets, o.snaplen(), bootTime, s.release)
	s.units.passed = s.passed.with
	if !o.Immediate {
		s.order.window = int64(orderWindow)
	}
	s.lookAround(snapshot.Take)
	return s, nil
}

// Hooks is the hook set in use: "fentry", "kprobe" or "tracepoint".
func (s *Session) Hooks() string { return s.progs.set }

// Now is the time that a packet would bear now. It may be called at any time,
// from any goroutine.
func (s *Session) Now() time.Time { return s.clock.wall(bootTime()) }

// pollInterval is how long what was sent may stay in the ring buffer. While there
// is nothing to do at all the next record wakes the reader, and the interval is
// sleepInterval: to look in vain costs half a millisecond, most of it for the
// threads of Go that come to look for work.
const (
	pollInterval  = 20 * time.Millisecond
	sleepInterval = 200 * time.Millisecond
)

// Packets yields what is captured, in order, until ctx is done and the ring
// is drained. A packet and its Data are valid until the next iteration. An
// error comes at most once, as the last pair. Packets may be called once.
func (s *Session) Packets() iter.Seq2[*pcapng.Packet, error] {
	return func(yield func(*pcapng.Packet, error) bool) {
		defer s.publish()
		defer context.AfterFunc(s.ctx, func() { s.ring.Flush() })() // it may be asleep
		for done := false; !done; {
			done = s.ctx.Err() != nil
			if done {
				s.scanAll()
				s.stop() // what follows is in the ring already
			}
			ok, err := s.drain(yield, done)
			if ok && err == nil {
				ok, err = s.meet(yield, done)
			}
			if !ok {
				return
			}
			if err == nil {
				err = s.lookAgain()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			s.look()
			s.units.expire(done)
			s.expireClosing(done)
			if done {
				s.lostAtEnd()
			} else {
				s.scan()
				s.sweep()
			}
			if !s.hand(yield, s.until, done) {
				return
			}
		}
	}
}

// drain reads the ring buffer until it is empty, waiting a little for more, or,
// unless all is wanted, long enough for other work to be due. It is false when
// the consumer wants no more.
func (s *Session) drain(yield func(*pcapng.Packet, error) bool, all bool) (bool, error) {
	var record ringbuf.Record
	var event bpf.Event
	var empty int64 // when it was, 0: not yet
	asleep := !all && s.sleep()
	if !asleep {
		s.ring.SetDeadline(time.Now().Add(pollInterval))
	}
	for n := 0; ; n++ {
		err := s.ring.ReadInto(&record)
		if asleep {
			s.progs.sleep(false)
			s.ring.SetDeadline(time.Now().Add(pollInterval))
			asleep = false
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ringbuf.ErrFlushed):
			if empty == 0 { // once more, without waiting: then what was there by now has been read
				empty = bootTime()
				s.ring.SetDeadline(time.Now())
				continue
			}
			s.until = empty
			return true, nil
		case errors.Is(err, os.ErrClosed):
			return false, nil
		case err != nil:
			return true, &Error{Op: "read ring buffer", Err: err}
		}
		if err := bpf.Decode(&event, record.RawSample); err != nil {
			return true, err
		}
		if err := s.receive(&event, record.RawSample); err != nil {
			return true, err
		}
		if s.options.Immediate || n%64 == 63 {
			if !s.hand(yield, s.newest, false) {
				return false, nil
			}
		}
		if n%65536 == 65535 && !all {
			s.until = max(s.until, s.newest)
			return true, nil // also under a flood: see to what has waited
		}
	}
}

// sleep lets the next record wake the reader, unless something waits for time to
// pass.
func (s *Session) sleep() bool {
	if s.begin != nil || s.order.held.len()+len(s.units.open)+len(s.units.making)+len(s.closing) > 0 || s.sweeping.asked != nil {
		return false
	}
	if !s.progs.sleep(true) {
		return false
	}
	s.ring.SetDeadline(time.Now().Add(s.nap))
	return true
}

// hand gives the consumer what is due, now that all records up to a boot time
// have been read.
func (s *Session) hand(yield func(*pcapng.Packet, error) bool, now int64, all bool) bool {
	defer s.publish()
	all = all || s.options.Immediate
	for p := s.order.next(now, all); p != nil; p = s.order.next(now, all) {
		if p.Event == pcapng.EventData {
			s.tally.captured++
		}
		if s.tally.captured >= publishAt {
			s.publish()
		}
		if !yield(p, nil) {
			return false
		}
	}
	return true
}

// take handles one record of the kernel side.
func (s *Session) take(e *bpf.Event) error {
	switch e.Kind {
	case bpf.KindData:
		s.newest = max(s.newest, int64(e.Data.Time))
		s.units.piece(&e.Data, e.Payload)
		if e.Data.Flags&bpf.DataDrained != 0 {
			s.drained(s.sockets.of(e.Data.Sender))
		}
	case bpf.KindSocket:
		return s.judge(s.sockets.learn(&e.Socket))
	case bpf.KindQueued:
		s.units.queued(&e.Unit)
	case bpf.KindCanceled:
		s.units.canceled(&e.Unit)
	case bpf.KindConsumed:
		s.wasRead(&e.Read)
	case bpf.KindReader:
		s.sockets.of(e.Reader.Receiver).named(&e.Reader)
	case bpf.KindDoubt:
		s.sockets.of(e.Doubt.Sender).doubted = e.Doubt.Time
		s.stats.senderUnsure.Add(s.order.doubt(e.Doubt.Sender))
	case bpf.KindSent:
		s.sockets.of(e.Sent.Socket).sent = &sentAll{e.Sent.Sent, e.Sent.Skipped}
	case bpf.KindProcess:
		s.processes.tell(&e.Process)
	case bpf.KindLife:
		s.live(&e.Life)
	case bpf.KindPassed:
		s.passed.learn(&e.Passed, e.Names)
	}
	return nil
}

// matches gives the paths that a socket matches, by the bits of a kernelFilter.
func (s *Session) matches(of *socket) uint64 {
	paths := s.filter.matches(s.progs.filter, of)
	if s.paths.keeps(of) {
		paths |= 1
	}
	return paths
}

// judge tells the kernel side what the filter finds of a socket's name.
func (s *Session) judge(of *socket) error {
	if s.names == nil || of.path == "" {
		return nil
	}
	name := s.names.number(&of.info)
	if s.names.knows(name) {
		return nil
	}
	if err := s.names.judge(name, s.matches(of), &of.info); err != nil {
		return &Error{Op: "judge name", Name: of.path, Err: err}
	}
	s.stats.filterFull.Store(s.names.refused)
	return nil
}

// stop detaches the programs: nothing new comes into the ring.
func (s *Session) stop() {
	s.detach.Do(func() {
		s.err = s.progs.detach()
	})
}

// Stats may be called at any time, from any goroutine, also after Close.
func (s *Session) Stats() Stats {
	if last := s.last.Load(); last != nil {
		return *last
	}
	c := s.progs.counters()
	return Stats{
		Received: s.stats.received.Load(), Captured: s.stats.captured.Load(),
		Filtered: c[bpf.CountFiltered] + s.stats.filtered.Load(), FilterFull: c[bpf.CountRefused] + s.stats.filterFull.Load(), Self: c[bpf.CountSelf] + s.stats.self.Load(),
		Existing: s.stats.existing.Load(),
		LostRing: c[bpf.LossRing] + s.stats.unconfirmed.Load(), LostMissed: s.progs.missed(), LostMap: c[bpf.LossMap],
		Unreadable: s.stats.unreadable.Load(), Cut: s.stats.cut.Load(), LostBytes: s.stats.lostBytes.Load(),
		LostEvents: c[bpf.LossLife] + s.progs.missedLife(), LostNotes: c[bpf.LossNote], LostPassed: c[bpf.LossPassed] + s.progs.missedCopy(),
		OrderUnsure: s.stats.orderUnsure.Load(), SenderUnsure: s.stats.senderUnsure.Load(),
	}
}

// Close detaches everything. It is idempotent.
func (s *Session) Close() error {
	s.close.Do(func() {
		s.stop()
		s.looking.stop()
		last := s.Stats()
		s.last.Store(&last)
		s.err = errors.Join(s.err, s.progs.close())
	})
	return s.err
}

// The bounds of the ring buffer's default size.
const (
	minBuffer = 8 << 20
	maxBuffer = 256 << 20
)

// bufferSize is the size wanted, or a 256th of memory, as a power of two.
func bufferSize(want int) int {
	if want <= 0 {
		want = min(max(memory()/256, minBuffer), maxBuffer)
	}
	size := os.Getpagesize()
	for size < want {
		size *= 2
	}
	return size
}

// Error is this package's error: the operation, what it was on, and the cause.
// Its text is one line, "op name: cause".
type Error struct {
	Op   string
	Name string
	Hint string // the cure, if known; for a second line "hint: ..."
	Err  error
}

func (e *Error) Error() string {
	s := e.Op
	if e.Name != "" {
		s += " " + e.Name
	}
	return s + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
