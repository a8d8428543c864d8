package stream

import (
	"sync"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// sectionSize is how long a section gets at least before the next one begins,
// if there is as much to send: with one more packet, which is shorter than 300
// KiB, that stays below the 1 MiB that a server takes by default.
const sectionSize = 512 << 10

// overhead is what a packet may take in a section, besides its payload.
const overhead = 4 << 10

// queue is what a Publisher holds until the server has it: packets that become
// a section, sections that become messages, messages.
type queue struct {
	mu   sync.Mutex
	wake *sync.Cond // any of the below has changed

	w       *pcapng.Writer // to open
	open    output         // the section that is being written
	packets uint64         // in it
	started bool           // there is something in it
	due     bool           // it waits for no more packets
	linger  time.Duration
	timer   *time.Timer // makes it due

	sections []*section
	messages []*message
	held     int // bytes of all of these
	most     int

	host   string
	run    string
	number uint64 // of messages so far
	before uint64 // packets in these
	lost   uint64 // packets since the last one that is held

	packing, ended bool // there will be messages; there will be no packets
	counts         PublishCounts
}

// output is what a writer has written.
type output []byte

func (o *output) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}

// section is a whole one, not compressed.
type section struct {
	bytes   []byte
	packets uint64
}

func (q *queue) init(o PublishOptions) {
	q.wake = sync.NewCond(&q.mu)
	q.run, q.most, q.linger, q.packing = newRun(), o.Held, o.Linger, true
	if q.most == 0 {
		q.most = defaultHeld
	}
	q.timer = time.AfterFunc(time.Hour, q.Expedite)
	q.timer.Stop()
	q.host = o.Host
}

// Begin says what is to be told of the machine and the program that captures,
// in each message. Packets come after it. Host is that of PublishOptions.
func (q *queue) Begin(meta pcapng.Options) (err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	meta.Host = q.host
	if q.w, err = pcapng.NewWriter(&q.open, meta); err != nil {
		return err
	}
	err = q.w.Flush()
	q.open = nil // each section begins with it
	return err
}

// WritePacket has p sent. It does not change p or keep it. Where there is no
// room for it, it is lost, counted, and the next one tells so.
func (q *queue) WritePacket(p *pcapng.Packet) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return &Error{Op: "publish", Name: "packet", Err: ErrClosed}
	}
	if q.held+len(p.Data)+overhead > q.most {
		q.lost++
		q.counts.Lost++
		return nil
	}
	if q.lost > 0 {
		told := *p
		told.DropCount += q.lost
		p = &told
	}
	return q.write(func() error {
		err := q.w.WritePacket(p)
		if err == nil {
			q.packets++
			q.lost = 0
		}
		return err
	})
}

// WriteStats has statistics sent.
func (q *queue) WriteStats(s pcapng.Stats) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return &Error{Op: "publish", Name: "statistics", Err: ErrClosed}
	}
	return q.write(func() error { return q.w.WriteStats(s) })
}

// write adds to the open section, or begins one.
func (q *queue) write(add func() error) error {
	size := q.w.Size()
	if !q.started {
		if err := q.w.NewSection(); err != nil {
			return err
		}
	}
	err := add()
	first := !q.started
	q.started = true
	q.held += int(q.w.Size() - size)
	switch {
	case err != nil:
		return err
	case q.openSize() >= sectionSize:
		return q.seal()
	case q.linger == 0:
		q.due = true
	case first:
		q.timer.Reset(q.linger)
	}
	if q.due {
		q.wake.Broadcast()
	}
	return nil
}

// openSize is how long the open section is at least: a Writer hands on 64 KiB at
// a time.
func (q *queue) openSize() int { return len(q.open) }

// seal ends the open section.
func (q *queue) seal() error {
	err := q.w.Flush()
	q.sections = append(q.sections, &section{q.open, q.packets})
	q.open, q.packets, q.started, q.due = nil, 0, false, false
	q.timer.Stop()
	q.wake.Broadcast()
	return err
}

// Expedite has what was written sent, without waiting for more.
func (q *queue) Expedite() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.started {
		q.due = true
		q.wake.Broadcast()
	}
}

// nextSection is the next one to become a message: one that is sealed, or the
// open one if it is due and nothing is being sent; nil after the last.
func (q *queue) nextSection() *section {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if len(q.sections) == 0 && q.started && (q.ended || q.due && len(q.messages) == 0) {
			q.seal() // into memory: cannot fail
		}
		switch {
		case len(q.sections) > 0:
			return q.sections[0]
		case q.ended:
			q.packing = false
			q.wake.Broadcast()
			return nil
		}
		q.wake.Wait()
	}
}

// putMessage puts a message in the place of the first section.
func (q *queue) putMessage(s *section, body []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sections = q.sections[1:]
	q.number++
	q.messages = append(q.messages, &message{id{q.run, q.number, q.before}, s.packets, body})
	q.before += s.packets
	q.held += len(body) - len(s.bytes)
	q.wake.Broadcast()
}

// nextMessage is the next one to send, nil after the last.
func (q *queue) nextMessage() *message {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case len(q.messages) > 0:
			return q.messages[0]
		case !q.packing:
			return nil
		}
		q.wake.Wait()
	}
}

// sent forgets the first message, which is stored, or will never be.
func (q *queue) sent(m *message, again bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = q.messages[1:]
	q.held -= len(m.body)
	if err != nil {
		q.counts.Lost += m.packets // of which the number of the next message tells
	} else {
		q.counts.Stored += m.packets
		q.counts.Messages++
		q.counts.Bytes += uint64(len(m.body))
		if again {
			q.counts.Again++
		}
	}
	q.wake.Broadcast()
}

// end lets nothing more be written. It reports whether that was news.
func (q *queue) end() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return false
	}
	q.ended = true
	q.timer.Stop()
	q.wake.Broadcast()
	return true
}

// left is how many packets the server does not have.
func (q *queue) left() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.packets
	for _, s := range q.sections {
		n += s.packets
	}
	for _, m := range q.messages {
		n += m.packets
	}
	return n
}

// Counts are what became of packets so far.
func (q *queue) Counts() PublishCounts {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts
}
