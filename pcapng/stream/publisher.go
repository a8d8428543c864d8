package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a PublishOptions leaves open.
const (
	defaultHeld     = 64 << 20
	defaultPatience = 10 * time.Second
)

// PublishOptions say where a capture goes, and whose it is.
type PublishOptions struct {
	Address  Address
	Host     string        // whose capture it is
	Held     int           // bytes that are held until the server has them; 0: 64 MiB
	Linger   time.Duration // that a packet waits for others to share a message with; 0: none
	Patience time.Duration // with the server at the end; 0: 10 s
	Notify   func(Notice)  // nil: nobody wants to know; called from goroutines, one at a time
}

// PublishCounts are what became of packets, of all events.
type PublishCounts struct {
	Stored   uint64 // the server has them
	Lost     uint64 // there was no room to hold them, or no server takes messages as long
	Messages uint64 // that were stored
	Again    uint64 // of these, those that the server already had when they came again
	Bytes    uint64 // of the bodies of messages that were stored
}

// Publisher sends the packets of one host to a stream. Its methods may be
// called from any goroutine; none but Close ever waits for a server.
type Publisher struct {
	address  Address
	subject  string
	patience time.Duration
	notify   func(Notice)
	nc       *nats.Conn
	js       jetstream.JetStream
	packed   *codec        // of pack
	back     chan struct{} // the connection is there again
	cancel   context.CancelFunc
	done     sync.WaitGroup

	ensured, away bool // of send: the stream is there; the server is not

	queue
}

// Publish connects to a server and makes the stream if there is none. It fails
// if a server does not let us in or the stream does not take what we send; if
// none answers, that is told, and it goes on trying. Begin comes next.
func Publish(ctx context.Context, o PublishOptions) (*Publisher, error) {
	if o.Host == "" || len(o.Host) > maxHost {
		return nil, &Error{Op: "publish to", Name: o.Address.String(), Err: ErrNoHost}
	}
	p := &Publisher{
		address: o.Address, subject: subjectOf(o.Address.Stream, o.Host), patience: o.Patience, notify: o.Notify,
		back: make(chan struct{}, 1),
	}
	if p.patience == 0 {
		p.patience = defaultPatience
	}
	if p.notify == nil {
		p.notify = func(Notice) {}
	}
	p.queue.init(o)
	var err error
	if p.packed, err = newEncoder(); err != nil {
		return nil, p.fail(err)
	}
	nc, away, err := o.Address.dial(true, nats.ReconnectHandler(func(*nats.Conn) { p.wakeSender() }), nats.ConnectHandler(func(*nats.Conn) { p.wakeSender() }))
	if err != nil {
		return nil, err
	}
	p.nc = nc
	if p.js, err = jetstream.New(nc); err != nil {
		nc.Close()
		return nil, p.fail(err)
	}
	switch {
	case away != nil:
		p.tellAway(away)
	default:
		if err := p.ensure(ctx); errors.Is(err, ErrSubjects) || errors.Is(err, context.Canceled) {
			nc.Close()
			return nil, p.fail(err)
		} else if err != nil {
			p.tellAway(p.fail(err))
		}
	}
	sending, cancel := context.WithCancel(context.Background()) // not ctx: that ends the capture, which is sent yet
	p.cancel = cancel
	p.done.Go(p.pack)
	p.done.Go(func() { p.send(sending) })
	return p, nil
}

// newRun is a random name for the messages of one Publisher.
func newRun() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func (p *Publisher) fail(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = ErrNoAnswer
	}
	return &Error{Op: "publish to", Name: p.address.String(), Err: err}
}

func (p *Publisher) wakeSender() {
	select {
	case p.back <- struct{}{}:
	default:
	}
}

func (p *Publisher) ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	replicas, err := ensure(ctx, p.js, p.address.Stream, p.subject)
	if err != nil {
		return err
	}
	p.ensured = true
	if replicas > 0 {
		p.notify(Notice{Kind: NoticeCreated, Replicas: replicas})
	}
	return nil
}

func (p *Publisher) tellAway(err error) {
	if !p.away {
		p.away = true
		p.notify(Notice{Kind: NoticeAway, Err: err})
	}
}

// pack makes messages of sections until all are made.
func (p *Publisher) pack() {
	for s := p.nextSection(); s != nil; s = p.nextSection() {
		p.putMessage(s, p.packed.body(s.bytes))
	}
}

// send sends messages, one at a time, until all are stored or ctx is done.
func (p *Publisher) send(ctx context.Context) {
	for m := p.nextMessage(); m != nil; m = p.nextMessage() {
		again, err := p.deliver(ctx, m)
		if ctx.Err() != nil {
			return
		}
		p.sent(m, again, err)
	}
}

// The time from one try to the next.
const (
	firstWait = 50 * time.Millisecond
	maxWait   = time.Second
)

// deliver sends a message until it is stored, and reports whether it had been
// before. An error is that no server takes one as long, or ctx's.
func (p *Publisher) deliver(ctx context.Context, m *message) (again bool, err error) {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		ack, err := p.try(ctx, m)
		if err == nil {
			if p.away {
				p.away = false
				p.notify(Notice{Kind: NoticeBack})
			}
			return ack.Duplicate, nil
		}
		if ctx.Err() != nil || isTooLong(err) {
			return false, err
		}
		p.ensured = false
		p.tellAway(p.fail(err))
		select {
		case <-ctx.Done():
		case <-p.back:
			wait = firstWait
		case <-time.After(wait):
		}
	}
}

func (p *Publisher) try(ctx context.Context, m *message) (*jetstream.PubAck, error) {
	if !p.ensured && p.nc.IsConnected() {
		if err := p.ensure(ctx); errors.Is(err, ErrSubjects) {
			return nil, err
		} // another error may be that we may not ask: what counts is whether it takes messages
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	msg := nats.NewMsg(p.subject)
	msg.Data = m.body
	return p.js.PublishMsg(ctx, msg, jetstream.WithMsgID(m.id.String()), jetstream.WithRetryAttempts(0))
}

// isTooLong reports whether a message is refused for its length.
func isTooLong(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum)
}

// Close sends what is held and waits for the server to have it, as long as
// Patience. ErrUndelivered, with the number of packets, is in the chain of its
// error if that does not do. Closing again does nothing.
func (p *Publisher) Close() error {
	if !p.queue.end() {
		return nil
	}
	timer := time.AfterFunc(p.patience, p.cancel)
	p.done.Wait()
	timer.Stop()
	p.cancel()
	p.nc.Close()
	if n := p.left(); n > 0 {
		return &Error{Op: "publish to", Name: p.address.String(), Packets: n, Err: ErrUndelivered}
	}
	return nil
}
