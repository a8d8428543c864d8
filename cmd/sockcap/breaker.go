package main

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// breaker finds the connections that sockcap's own output keeps busy and that
// echo does not know: it comes back in other words (in hexadecimal, as a drawing,
// as another sockcap's lines), and each packet of it makes another.
//
// It finds them by experiment. While a connection talks on and on, output is
// held back now and then, for a random time. What is captured then is written
// later, so nothing is lost by it. Whoever talks for reasons of his own goes on,
// and that connection is let alone. One that falls silent each time, and each
// time talks again when there is output again, is left out from then on. That
// takes trialRounds times, and each time a process that has nothing to do with
// our output has to hit the right moments by chance.
//
// Its methods may be called from any goroutine.
type breaker struct {
	mu     sync.Mutex
	now    func() time.Time // as packets are stamped
	random *rand.Rand
	valve  valve
	losses func() uint64        // packets for which the ring buffer had no room
	timer  *time.Timer          // calls tick while there is a trial; nil: the test does
	found  func(*pcapng.Packet) // is told of each connection that is left out

	since   time.Time      // when the present window began
	packets map[uint64]int // in it, by connection
	talking map[uint64]int // for how many windows in a row a connection has talked
	trial   *trial         // nil: there is none
	trials  int            // so far
	rest    time.Time      // no trial before
	resting time.Duration  // how long after the next one

	cut  leftOut
	left atomic.Uint64 // data packets that were
}

// valve holds output back. Neither method fails: what can't be written is an
// error of the output.
type valve interface {
	hold()
	release()
	held() int       // bytes
	overflows() bool // more was to be written than is held back
}

const (
	// breakerWindow is how long a window is, in which who talks on and on says
	// at least breakerTalk things.
	breakerWindow = time.Second
	breakerTalk   = 2

	// talkedLong is for how many windows; as many more, by chance, lest two
	// sockcaps that hear each other begin their trials together.
	talkedLong = 3

	minRest = 5 * time.Second // between trials; doubled after each that finds nothing
	maxRest = 5 * time.Minute

	// backlog is the age by which a packet has lain in the ring buffer.
	backlog = time.Second

	maxSeed = 64 << 10 // bytes of what is held back that suspects may add to

	maxWatched  = 4096 // connections that are looked at in a window
	maxSuspects = 64   // in a trial
)

func newBreaker(now func() time.Time, losses func() uint64, v valve, found func(*pcapng.Packet)) *breaker {
	return &breaker{
		now: now, losses: losses, valve: v, found: found, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		packets: make(map[uint64]int), talking: make(map[uint64]int), resting: minRest,
	}
}

// startBreaker is newBreaker with a timer.
func startBreaker(now func() time.Time, losses func() uint64, v valve, found func(*pcapng.Packet)) *breaker {
	b := newBreaker(now, losses, v, found)
	b.timer = time.AfterFunc(time.Hour, b.tick)
	b.timer.Stop()
	return b
}

// carries reports whether p is to be left out, and counts it.
func (b *breaker) carries(p *pcapng.Packet) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut.has(p.ConnID) {
		if p.Event == pcapng.EventData {
			b.left.Add(1)
		}
		return true
	}
	if p.Event != pcapng.EventData || p.ConnID == 0 {
		return false
	}
	if b.trial == nil {
		b.watch(p)
		return false
	}
	now := b.now()
	s := b.trial.note(p, now)
	if s == nil {
		return false
	}
	if b.tooMuch(s, p, now) {
		s.left++
		b.left.Add(1)
		return true
	}
	p.DropCount += s.left
	s.left = 0
	return false
}

// tooMuch reports whether what a suspect says while output is held back is left
// out rather than held. A loop that has run away comes back from the whole ring
// buffer, and would begin anew with all of that. So it is done only to who was
// silent in a round before, or where it lies in the ring since before and the
// ring buffer is full: packets are being lost there anyhow.
func (b *breaker) tooMuch(s *suspect, p *pcapng.Packet, now time.Time) bool {
	t := b.trial
	if t.phase == trialOpen || b.valve.held() < maxSeed {
		return false
	}
	return s.rounds > 0 || t.losing && now.Sub(p.Time) > backlog
}

// watch looks for who talks on and on, and begins a trial.
func (b *breaker) watch(p *pcapng.Packet) {
	if b.since.IsZero() {
		b.since = p.Time
	}
	if past := p.Time.Sub(b.since); past >= breakerWindow {
		b.endWindow(past < 2*breakerWindow)
		b.since = p.Time
		if b.trial != nil {
			return
		}
	}
	if _, ok := b.packets[p.ConnID]; ok || len(b.packets) < maxWatched {
		b.packets[p.ConnID]++
	}
}

// endWindow ends one; next says that the next follows on it.
func (b *breaker) endWindow(next bool) {
	talking := make(map[uint64]int)
	var suspects []uint64
	for c, n := range b.packets {
		if n < breakerTalk || !next {
			continue
		}
		talking[c] = b.talking[c] + 1
		if talking[c] >= talkedLong+b.random.IntN(talkedLong) {
			suspects = append(suspects, c)
		}
	}
	b.talking = talking
	clear(b.packets)
	if now := b.now(); len(suspects) > 0 && !now.Before(b.rest) {
		b.trial = newTrial(suspects[:min(len(suspects), maxSuspects)], minSettle<<(b.trials%settleSteps), now, b.random)
		b.trials++
		b.trial.losses = b.losses()
		b.wake()
	}
}

// wake has tick called soon.
func (b *breaker) wake() {
	if b.timer != nil {
		b.timer.Reset(breakerTick)
	}
}

// breakerTick is how often a trial is looked after.
const breakerTick = 25 * time.Millisecond

// tick goes on with the trial, if there is one.
func (b *breaker) tick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.trial
	if t == nil {
		return
	}
	if t.phase != trialOpen && b.valve.overflows() {
		t.suspects = nil // an echo says no more than it hears
	}
	t.losing = b.losses() > t.losses
	switch t.step(b.now()) {
	case stepHold:
		b.valve.hold() // may wait for who reads slowly
		t.held(b.now())
	case stepRelease:
		b.valve.release()
	case stepEnd:
		b.end()
		return
	}
	for c, s := range t.suspects {
		if s.rounds >= trialRounds {
			b.cut.add(c)
			b.resting = minRest
			b.found(s.first)
			delete(t.suspects, c)
		}
	}
	b.wake()
}

// end ends the trial, and gives the output a rest.
func (b *breaker) end() {
	b.valve.release()
	b.trial = nil
	clear(b.packets)
	clear(b.talking)
	b.since = time.Time{}
	b.rest = b.now().Add(b.resting/2 + time.Duration(b.random.Int64N(int64(b.resting))))
	b.resting = min(2*b.resting, maxRest)
}

// stop ends all trials: what is held back goes out.
func (b *breaker) stop() {
	if b == nil {
		return
	}
	if b.timer != nil {
		b.timer.Stop()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial != nil {
		b.end()
	}
	b.timer = nil
	b.rest = b.now().Add(1 << 62)
}

// leftOut is how many data packets were left out.
func (b *breaker) leftOut() uint64 {
	if b == nil {
		return 0
	}
	return b.left.Load()
}
