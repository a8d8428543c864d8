package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sockcap/sockcap/pcapng"
)

// ReadOptions say what is read of a stream. Times are when the server stored a
// message, by its clock; a host's packets are older than that by as long as they
// were on their way.
type ReadOptions struct {
	Address Address
	All     bool          // from the first message that there is
	Since   time.Time     // or from what was stored since then; zero: from what comes now
	Until   time.Time     // end with what was stored by then; zero: no end
	Window  time.Duration // that a packet waits for earlier ones; 0: 1 s
	Held    int           // bytes that may wait; 0: 256 MiB
	Notify  func(Notice)  // nil: nobody wants to know; called from goroutines
}

// ReadCounts are what came so far.
type ReadCounts struct {
	Messages   uint64
	Bytes      uint64 // of their bodies
	Packets    uint64
	Twice      uint64 // messages that came before, and were left out
	Missing    uint64 // packets that expired, or no server took, as later messages tell
	Unreadable uint64 // messages that were not of sockcap, and were left out
	Late       uint64 // packets that came after later ones had been passed on
}

// Host is whose packets are in a stream: a host, or one more capture of it.
type Host struct {
	Name string
	pcapng.Interface
}

// Reader reads a stream as one capture. Its methods are for one goroutine at a
// time.
type Reader struct {
	o       ReadOptions
	nc      *nats.Conn
	it      jetstream.MessagesContext
	codec   *codec
	section pcapng.Section
	last    uint64    // number of the message in the stream to end with; 0: none is known
	ended   bool      // there is none to come
	ahead   time.Time // when the server's clock was last told, by ours
	server  time.Time // what it said
	current bool      // all that is stored has come
	told    bool      // of a message that cannot be read
	merge
}

const (
	defaultWindow = time.Second
	defaultWaits  = 256 << 20
)

// fetched is how many messages may be on their way to a Reader.
const fetched = 64

// Open connects to a server and begins to read. It fails if none answers, or
// with ErrNoStream.
func Open(ctx context.Context, o ReadOptions) (*Reader, error) {
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.Held == 0 {
		o.Held = defaultWaits
	}
	if o.Notify == nil {
		o.Notify = func(Notice) {}
	}
	r := &Reader{o: o}
	r.merge.begin(o.Window, o.Held)
	var err error
	if r.codec, err = newDecoder(); err != nil {
		return nil, r.fail(err)
	}
	r.nc, _, err = o.Address.dial(false,
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Notify(Notice{Kind: NoticeAway, Err: r.fail(err)})
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { o.Notify(Notice{Kind: NoticeBack}) }),
	)
	if err != nil {
		return nil, err
	}
	if err := r.begin(ctx); err != nil {
		r.Close()
		return nil, r.fail(err)
	}
	return r, nil
}

// begin settles where to begin, and begins.
func (r *Reader) begin(ctx context.Context) error {
	js, err := jetstream.New(r.nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := js.Stream(ctx, r.o.Address.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w", ErrNoStream)
	} else if err != nil {
		return err
	}
	stored := s.CachedInfo().State.LastSeq
	if !r.o.Until.IsZero() && !r.o.Until.After(time.Now()) {
		r.last, r.ended = stored, stored == 0
	}
	c := jetstream.OrderedConsumerConfig{}
	switch {
	case r.o.All:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case !r.o.Since.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.o.Since
	default: // not "new", which would be another one each time that the library begins anew
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, stored+1
	}
	consumer, err := js.OrderedConsumer(ctx, r.o.Address.Stream, c)
	if err != nil {
		return err
	}
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 {
		r.current = true
		r.ended = r.ended || r.last > 0
	}
	r.it, err = consumer.Messages(jetstream.PullMaxMessages(fetched), jetstream.PullExpiry(30*time.Second), jetstream.PullHeartbeat(2*time.Second))
	return err
}

func (r *Reader) fail(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = ErrNoAnswer
	}
	return &Error{Op: "read", Name: r.o.Address.String(), Err: err}
}

// Section is what the first message says of the machine.
func (r *Reader) Section() pcapng.Section { return r.section }

// Close ends reading. It may be called from any goroutine.
func (r *Reader) Close() error {
	if r.it != nil {
		r.it.Stop()
	}
	r.nc.Close()
	return nil
}

// arrival is a message, or why there is none.
type arrival struct {
	msg jetstream.Msg
	err error
}

// Packets yields the packets of all hosts in the order of time, up to Until, or
// until ctx is done: then those follow that were waiting. Host is the place in
// Hosts. The ids of connections and of sends are made unique in all, by the
// host in their upper 16 bits. An error comes at most once, as the last pair. A
// packet is valid until the next iteration.
func (r *Reader) Packets(ctx context.Context) iter.Seq2[*pcapng.Packet, error] {
	return func(yield func(*pcapng.Packet, error) bool) {
		reading, cancel := context.WithCancel(ctx)
		arrivals, done := make(chan arrival), make(chan struct{})
		go func() {
			defer close(done)
			r.fetch(reading, arrivals)
		}()
		defer func() {
			cancel()
			<-done
		}()
		err := r.copy(ctx, arrivals, yield)
		switch {
		case errors.Is(err, errStopped):
			return
		case !r.flush(yield):
			return
		case err != nil && ctx.Err() == nil:
			yield(nil, r.fail(err))
		}
	}
}

// fetch passes on what the server sends.
func (r *Reader) fetch(ctx context.Context, arrivals chan<- arrival) {
	stop := context.AfterFunc(ctx, r.it.Stop)
	defer stop()
	for {
		msg, err := r.it.Next(jetstream.NextContext(ctx))
		select {
		case arrivals <- arrival{msg, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// errStopped is that whoever takes the packets wants no more.
var errStopped = errors.New("stopped")

// copy takes messages and yields packets, until there are none to come.
func (r *Reader) copy(ctx context.Context, arrivals <-chan arrival, yield func(*pcapng.Packet, error) bool) error {
	for !r.ended {
		timer := time.NewTimer(r.wait())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case a := <-arrivals:
			timer.Stop()
			if a.err != nil {
				return a.err
			}
			if err := r.take(a.msg); err != nil {
				return err
			}
		case <-timer.C:
			r.ended = r.isOver(time.Now())
		}
		if !r.passOn(r.clock(), yield) {
			return errStopped
		}
	}
	return nil
}

// clock is the server's, as far as it is known: while messages come that were
// stored before, it is behind.
func (r *Reader) clock() time.Time {
	if r.current && !r.server.IsZero() {
		return r.server.Add(time.Since(r.ahead))
	}
	return r.server
}

// wait is until when nothing has to be done if nothing comes.
func (r *Reader) wait() time.Duration {
	wait := time.Second
	if at, ok := r.nextDue(); ok && r.current {
		wait = min(wait, max(at.Sub(r.clock()), time.Millisecond))
	}
	if !r.o.Until.IsZero() {
		wait = min(wait, max(time.Until(r.o.Until), 10*time.Millisecond))
	}
	return wait
}

// isOver reports whether no message that is to be read can come any more.
func (r *Reader) isOver(now time.Time) bool {
	return r.current && !r.o.Until.IsZero() && now.After(r.o.Until.Add(r.o.Window))
}

// take takes a message in.
func (r *Reader) take(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if r.last == 0 && !r.o.Until.IsZero() && meta.Timestamp.After(r.o.Until) {
		r.ended = true
		return nil
	}
	r.ended = r.last > 0 && (meta.Sequence.Stream >= r.last || meta.NumPending == 0)
	if r.last > 0 && (meta.Sequence.Stream > r.last || meta.Timestamp.After(r.o.Until)) {
		r.ended = true
		return nil
	}
	r.current = meta.NumPending == 0
	r.server, r.ahead = meta.Timestamp, time.Now()
	d, err := r.codec.decode(r.o.Address.Stream, msg.Subject(), msg.Headers().Get(nats.MsgIdHdr), msg.Data())
	if err == nil {
		d.stored = meta.Timestamp
		var ahead time.Duration
		if ahead, err = r.add(d, len(msg.Data())); ahead > 0 {
			r.o.Notify(Notice{Kind: NoticeClock, Host: d.host, Ahead: ahead})
		}
		if len(r.hosts) == 1 && r.section == (pcapng.Section{}) {
			r.section = d.section
		}
	}
	if err == nil {
		return nil
	}
	r.counts.Unreadable++
	if !r.told {
		r.told = true
		r.o.Notify(Notice{Kind: NoticeMessage, Err: r.fail(fmt.Errorf("message %d: %w", meta.Sequence.Stream, err))})
	}
	return nil
}
