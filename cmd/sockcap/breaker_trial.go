package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// trial is one experiment: rounds of output that flows and output that is held
// back.
type trial struct {
	random   *rand.Rand
	suspects map[uint64]*suspect
	settle   time.Duration // silence
	phase    trialPhase
	from     time.Time // when the phase began
	to       time.Time // when it ends; of settling, at the latest
	quiet    time.Time // since when no suspect is heard
	newest   time.Time // of what they have said
	open     span      // when output flowed, in the round to be judged
	shut     span      // when suspects had to be silent in it
	judged   []span    // the same, of earlier rounds
	rounds   int
	losses   uint64 // of the ring buffer, when it began
	losing   bool   // there are more since then
}

type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

func (s span) seconds() float64 { return s.to.Sub(s.from).Seconds() }

// suspect is a connection in a trial.
type suspect struct {
	first      *pcapng.Packet
	last       time.Time // that it has talked
	open, shut int       // packets in the round to be judged
	next       int       // packets in the present time of flowing output
	after      int       // packets though output is held back, when it had time to settle
	rounds     int       // that speak against it
	left       uint64    // packets left out, of which the next one tells
}

type trialPhase int

const (
	trialOpen   trialPhase = iota // output flows
	trialSettle                   // it is held back; what is under way may come back yet
	trialShut                     // now an echo is silent
)

// step is what a trial wants next.
type step int

const (
	stepNone step = iota
	stepHold
	stepRelease
	stepEnd
)

const (
	trialRounds = 8  // so many have to speak against a suspect
	trialMost   = 40 // then it ends, for some say nothing

	minOpen, maxOpen = 300 * time.Millisecond, 800 * time.Millisecond
	minShut, maxShut = 500 * time.Millisecond, 2 * time.Second

	// minSettle is the silence by which a suspect has said what was under way,
	// doubled settleSteps - 1 times from trial to trial, for echoes from afar. Who
	// has not fallen silent maxSettle later goes on by himself.
	minSettle   = 250 * time.Millisecond
	settleSteps = 4
	maxSettle   = 1750 * time.Millisecond

	// maxBacklog is how long it may take to read what lies in the ring buffer
	// since before.
	maxBacklog = time.Minute

	// readerPause is how long a busy machine may keep us from reading it.
	readerPause = 3 * time.Second

	// contrast is how much less, in a time, an echo says when it hears nothing: a
	// terminal's cursor may blink.
	contrast = 16
)

func newTrial(suspects []uint64, settle time.Duration, now time.Time, random *rand.Rand) *trial {
	t := &trial{random: random, settle: settle, suspects: make(map[uint64]*suspect)}
	for _, c := range suspects {
		t.suspects[c] = new(suspect)
	}
	t.enter(trialOpen, now, minOpen, maxOpen)
	return t
}

func (t *trial) enter(p trialPhase, now time.Time, least, most time.Duration) {
	t.phase, t.from, t.to = p, now, now.Add(least+time.Duration(t.random.Int64N(int64(most-least))))
}

// note takes a packet, which may come here long after its time, and gives whose
// it is, if that is a suspect's.
func (t *trial) note(p *pcapng.Packet, now time.Time) *suspect {
	s := t.suspects[p.ConnID]
	if s == nil {
		return nil
	}
	t.quiet = now
	if s.first == nil {
		s.first = p.Clone()
	}
	if p.Time.After(s.last) {
		s.last = p.Time
	}
	if p.Time.After(t.newest) {
		t.newest = p.Time
	}
	switch at := p.Time; {
	case slices.ContainsFunc(t.judged, func(s span) bool { return s.has(at) }):
		if t.talked(s) { // it was not silent after all
			delete(t.suspects, p.ConnID)
		}
	case t.phase == trialOpen && !at.Before(t.from):
		s.next++
	case t.phase == trialShut && !at.Before(t.from), t.shut.has(at):
		s.shut++
	case t.open.has(at):
		s.open++
	case t.phase == trialSettle && !at.Before(t.open.to.Add(t.settle)):
		s.after++
	}
	return s
}

// step says what is to be done by now.
func (t *trial) step(now time.Time) step {
	if len(t.suspects) == 0 || t.rounds == trialMost {
		return stepEnd
	}
	switch t.phase {
	case trialOpen:
		if !now.Before(t.to) {
			t.judge()
			return stepHold
		}
	case trialSettle:
		t.acquitBusy(now)
		silence := t.settle
		if t.quiet.Sub(t.newest) > backlog {
			silence = max(silence, readerPause)
		}
		quiet := now.Sub(t.quiet) >= silence
		late := !now.Before(t.to) && (now.Sub(t.newest) < backlog || !now.Before(t.open.to.Add(maxBacklog)))
		if late {
			t.acquit(now.Add(-t.settle))
		}
		if late || quiet {
			t.enter(trialShut, now, minShut, maxShut)
		}
	case trialShut:
		if !now.Before(t.to) {
			t.shut = span{t.from, now}
			t.rounds++
			t.enter(trialOpen, now, minOpen, maxOpen)
			return stepRelease
		}
	}
	return stepNone
}

// held says that output is held back from now on.
func (t *trial) held(now time.Time) {
	t.open, t.shut = span{t.from, now}, span{}
	t.phase, t.from, t.to, t.quiet = trialSettle, now, now.Add(t.settle+maxSettle), now
	if t.newest.IsZero() {
		t.newest = now
	}
}

// talked reports whether a suspect is let go who was not silent. One who was in
// earlier rounds begins anew, with more time to fall silent: what is under way
// may be slow.
func (t *trial) talked(s *suspect) bool {
	if s.rounds == 0 || t.settle > maxSettle {
		return true
	}
	s.rounds, t.judged = 0, nil
	t.settle *= 2
	return false
}

// acquitBusy lets go of who goes on much as before, so that output is not held
// back for longer than it takes to see that.
func (t *trial) acquitBusy(now time.Time) {
	since := now.Sub(t.open.to) - t.settle
	if since < t.settle {
		return
	}
	maps.DeleteFunc(t.suspects, func(_ uint64, s *suspect) bool {
		busy := 2*float64(s.after)*t.open.seconds() >= float64(s.open)*since.Seconds()
		return s.after > 2 && busy && t.talked(s)
	})
}

// acquit lets go of who has talked since then, though no output has flowed for
// long.
func (t *trial) acquit(since time.Time) {
	maps.DeleteFunc(t.suspects, func(_ uint64, s *suspect) bool { return !s.last.Before(since) })
}

// judge looks back at the last round, after another time of flowing output: what
// was said in it has come here by now, or comes too late to be believed.
func (t *trial) judge() {
	if t.rounds > 0 {
		t.judged = append(t.judged, t.shut)
	}
	maps.DeleteFunc(t.suspects, func(_ uint64, s *suspect) bool {
		if float64(s.shut)*t.open.seconds()*contrast > float64(s.open)*t.shut.seconds() {
			if t.talked(s) {
				return true
			}
		} else if s.open > 0 {
			s.rounds++
		}
		s.open, s.shut, s.next, s.after = s.next, 0, 0, 0
		return false
	})
}
