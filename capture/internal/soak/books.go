package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// books are the account of a run so far.
type books struct {
	mu sync.Mutex // of wrong and guests

	w        *watch
	l        *load
	out      io.Writer
	patience time.Duration // how long news of what was captured or lost may take

	first   uint64  // the flow behind those that are settled
	settled account // of those
	surplus int     // of packets counted as lost, as was said
	told    int     // of the checker's mistakes, those that were printed
	more    int     // and those that it has no words for
	wrong   int
	faults  int
	guests  visits
	samples []sample
}

const header = "    TIME   FLOWS  KILLED  FAULTS      SENT  CAPTURED   MISSING      LOST  UNTOLD  WRONG  ANON KiB  FDS"

// balance waits until all that was sent is in the capture or counted as lost, and
// settles the account. An error says that it can't go on.
func (b *books) balance() error {
	var now standing
	for end := time.Now().Add(b.patience); ; {
		if err := b.mark(); err != nil {
			return err
		}
		if now = b.look(); now.surplus == b.surplus && len(now.ended.wrong)+len(now.stays.wrong) == 0 || time.Now().After(end) {
			break
		}
	}
	b.settle(&now)
	s, err := b.w.sample()
	if err != nil {
		return fmt.Errorf("sockcap is gone: %w", err)
	}
	t := b.l.ledger.totals()
	s.flows = int(t.flows)
	b.samples = append(b.samples, s)
	b.print(&now, &t, s)
	return nil
}

// mark waits until something is captured that is sent from now on.
func (b *books) mark() error {
	now := b.stays().sent
	for end := time.Now().Add(b.patience); !b.w.hasMark(now); time.Sleep(pace) {
		if time.Now().After(end) {
			return errors.New("sockcap captures nothing any more")
		}
	}
	return nil
}

// stays is the flow that lasts, as it is now.
func (b *books) stays() *flow {
	id := b.l.stays.f.id
	return &b.l.ledger.all(id, id)[0]
}

// standing is how things are at a moment at which nobody sends.
type standing struct {
	flows        []flow  // that are not settled, and have ended
	ended, stays account // of them, and of what stays
	captured     uint64
	dropped      uint64
	surplus      int // dropped less what is missing of all
}

func (b *books) look() (now standing) {
	stays := []flow{*b.stays()}
	now.flows = b.l.ledger.all(max(b.first, stays[0].id+1), 0)
	b.w.checking.Lock()
	defer b.w.checking.Unlock()
	c, during := b.w.checker, b.w.span()
	now.ended, now.stays = c.reconcile(now.flows, during), c.reconcile(stays, during)
	now.captured, now.dropped = c.captured, c.dropped
	now.surplus = int(now.dropped) - int(b.settled.missing+now.ended.missing+now.stays.missing)
	return now
}

// settle closes the account of the flows that have ended.
func (b *books) settle(now *standing) {
	if now.surplus != b.surplus {
		b.say(fmt.Sprintf("%+d packets are counted as lost that are not missing", now.surplus-b.surplus))
		b.surplus = now.surplus
	}
	for _, text := range append(now.ended.wrong, now.stays.wrong...) {
		b.say(text)
	}
	b.settled.sent += now.ended.sent
	b.settled.missing += now.ended.missing
	b.settled.untold += now.ended.untold
	for i := range now.flows {
		b.first = max(b.first, now.flows[i].id+1)
	}
	b.w.checking.Lock()
	defer b.w.checking.Unlock()
	c := b.w.checker
	c.forget(now.flows)
	b.hear(c)
}

// hear says what the checker has found.
func (b *books) hear(c *checker) {
	for ; b.told < len(c.wrong); b.told++ {
		b.say(c.wrong[b.told])
	}
	for ; b.more < c.mistakes-len(c.wrong); b.more++ {
		b.say("more, of which nothing is kept")
	}
}

func (b *books) say(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong++
	if b.wrong <= 20 {
		fmt.Fprintln(b.out, "wrong:", text)
	}
}

// print prints a line: counts from the beginning on, and the present state.
func (b *books) print(now *standing, t *totals, s sample) {
	fmt.Fprintf(b.out, "%s  %6d  %6d  %6d  %8d  %8d  %8d  %8d  %6d  %5d  %8d  %3d\n", time.Now().Format(time.TimeOnly), t.flows, t.killed, b.faults,
		b.settled.sent+b.stays().sent-now.stays.edges, now.captured, b.settled.missing+now.stays.missing, now.dropped, b.settled.untold, b.wrong, s.memory, s.files)
}

// close gives the verdict.
func (b *books) close() error {
	b.w.checking.Lock()
	defer b.w.checking.Unlock()
	c := b.w.checker
	b.hear(c)
	text, judged := grown(b.samples)
	if text != "" {
		b.say(text)
	}
	if words := b.w.words(); strings.Contains(words, "leaving out") {
		b.say("sockcap leaves out what is not its own: " + words)
	}
	stays := c.reconcile([]flow{*b.stays()}, b.w.span())
	fmt.Fprintf(b.out, "%d messages = %d captured, of %d bytes, + %d lost; of the captured ones %v\n",
		b.settled.sent+b.stays().sent-stays.edges, c.captured, c.bytes, c.dropped, c.marked)
	if !judged {
		fmt.Fprintf(b.out, "too few connections to tell whether memory grows: it takes %d, and %d rounds more\n", full, fewest)
	}
	fmt.Fprintf(b.out, "guests: %d files, %d messages captured, %d lost\n", b.guests.files, b.guests.captured, b.guests.dropped)
	for _, line := range summary(b.w.words()) {
		fmt.Fprintln(b.out, "sockcap:", line)
	}
	if b.wrong > 0 {
		return errWrong
	}
	return nil
}

// summary is the last of what sockcap says, without what it says when it is
// asked.
func summary(words string) []string {
	lines := strings.Split(strings.TrimSpace(words), "\n")
	return lines[max(0, len(lines)-10):]
}
