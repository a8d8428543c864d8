package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// breakerWorld is a machine on which sockcap runs with a breaker, in steps of
// 5 ms of a time of its own.
type breakerWorld struct {
	random  *rand.Rand
	t       time.Duration
	b       *breaker
	shut    bool
	back    int              // lines that are held back
	written int              // lines
	spoken  []*pcapng.Packet // not captured yet
	lines   map[uint64]int   // by connection
	found   []uint64
	speak   []func(w *breakerWorld) // what each process does in a step
	heard   []func(n int)           // who is told of lines that were written
}

const (
	worldStep = 5 * time.Millisecond
	worldLag  = 100 * time.Millisecond // from what is said to its line
)

func newBreakerWorld(seed uint64) *breakerWorld {
	w := &breakerWorld{random: rand.New(rand.NewPCG(seed, 1)), lines: make(map[uint64]int)}
	w.b = newBreaker(w.now, func() uint64 { return 0 }, w, func(p *pcapng.Packet) { w.found = append(w.found, p.ConnID) })
	w.b.random = rand.New(rand.NewPCG(seed, 2))
	return w
}

func (w *breakerWorld) now() time.Time { return at(0).Add(w.t) }

func (w *breakerWorld) hold() { w.shut = true }

func (w *breakerWorld) release() {
	w.shut = false
	n := w.back
	w.back = 0
	w.tell(n)
}

func (w *breakerWorld) held() int { return 100 * w.back }

func (w *breakerWorld) overflows() bool { return w.back > 100_000 }

func (w *breakerWorld) tell(n int) {
	w.written += n
	for _, f := range w.heard {
		f(n)
	}
}

// say has something said on a connection.
func (w *breakerWorld) say(conn uint64) {
	w.spoken = append(w.spoken, &pcapng.Packet{Event: pcapng.EventData, ConnID: conn, Time: w.now()})
}

func (w *breakerWorld) run(d time.Duration) {
	for end := w.t + d; w.t < end; w.t += worldStep {
		for _, f := range w.speak {
			f(w)
		}
		n := 0
		for len(w.spoken) > 0 && w.now().Sub(w.spoken[0].Time) >= worldLag {
			p := w.spoken[0]
			w.spoken = w.spoken[1:]
			if !w.b.carries(p) {
				w.lines[p.ConnID]++
				n++
			}
		}
		if w.shut {
			w.back += n
		} else if n > 0 {
			w.tell(n)
		}
		if w.t%breakerTick == 0 {
			w.b.tick()
		}
	}
}

// passesOn adds a connection on which each n lines that are written make m
// packets, after a time, and some that come at once make no more than most.
func (w *breakerWorld) passesOn(conn uint64, n, m, most int, after time.Duration) {
	var due []time.Duration
	left := 0
	w.heard = append(w.heard, func(lines int) {
		left += lines * m
		for range min(left/n, most) {
			due = append(due, w.t+after)
		}
		left %= n
	})
	w.speak = append(w.speak, func(w *breakerWorld) {
		for len(due) > 0 && due[0] <= w.t {
			due = due[1:]
			w.say(conn)
		}
	})
}

// talks adds a connection with a mind of its own.
func (w *breakerWorld) talks(conn uint64, next func(r *rand.Rand) time.Duration, burst int) {
	at := next(w.random)
	w.speak = append(w.speak, func(w *breakerWorld) {
		for ; at <= w.t; at += next(w.random) {
			for range burst {
				w.say(conn)
			}
		}
	})
}

// each is a period, with jitter.
func each(d time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return d + time.Duration(r.Int64N(int64(d/50)+1)) }
}

// about is random, with no memory.
func about(d time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(d)) }
}

// bursts is a talk for a while, then silence.
func bursts(gap, silence time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		if r.IntN(20) == 0 {
			return time.Duration(r.ExpFloat64() * float64(silence))
		}
		return time.Duration(r.ExpFloat64() * float64(gap))
	}
}

// TestBreakerCuts: whatever feeds on our own output is found, and nothing else
// beside it, and its growth ends there.
func TestBreakerCuts(t *testing.T) {
	for _, loop := range []struct {
		n, m, most int
		after      time.Duration
	}{
		{1, 1, 1, 0},                      // a line at a time, or all that came together in one
		{1, 1, 200, 5 * time.Millisecond}, // each line again
		{1, 3, 200, 0},                    // three for each: growth
		{2, 3, 200, 200 * time.Millisecond},
		{1, 8, 50, 400 * time.Millisecond},
	} {
		for beside := range 4 {
			for seed := range uint64(3) {
				w := newBreakerWorld(seed)
				w.passesOn(1, loop.n, loop.m, loop.most, loop.after)
				switch beside {
				case 0:
					w.speak = append(w.speak, func(w *breakerWorld) {
						if w.t == 0 {
							w.say(2) // sets it off
							w.say(2)
						}
					})
				case 1:
					w.talks(2, each(100*time.Millisecond), 1)
				case 2:
					w.talks(2, about(20*time.Millisecond), 2)
				case 3:
					w.talks(2, bursts(30*time.Millisecond, time.Second), 1)
				}
				what := fmt.Sprintf("loop %+v beside %d, seed %d", loop, beside, seed)
				w.run(4 * time.Minute)
				if fmt.Sprint(w.found) != "[1]" {
					t.Fatalf("%s: connections %v are left out, want [1]", what, w.found)
				}
				lines := w.lines[1]
				w.run(time.Minute)
				if w.lines[1] != lines || beside > 0 && w.b.leftOut() == 0 {
					t.Errorf("%s: %d lines of it after the end, %d packets left out", what, w.lines[1]-lines, w.b.leftOut())
				}
				w.b.stop()
				w.run(worldLag + worldStep)
				w.b.stop()
				if w.back > 0 {
					t.Errorf("%s: %d lines are held back for ever", what, w.back)
				}
			}
		}
	}
}

// TestBreakerHonest: who talks for his own reasons is never left out, however
// much it is and whatever its rhythm is, and output is held back rarely.
func TestBreakerHonest(t *testing.T) {
	type talk struct {
		next  func(*rand.Rand) time.Duration
		burst int
	}
	talks := map[string]talk{"flood": {about(500 * time.Microsecond), 1}}
	for _, ms := range []time.Duration{20, 100, 300, 500, 700, 1000, 1300, 1500, 1700, 1900, 2000, 2200, 2500, 2800, 3500} {
		talks[fmt.Sprintf("every %d ms", ms)] = talk{each(ms * time.Millisecond), 1 + int(ms)/200}
		talks[fmt.Sprintf("about %d ms", ms)] = talk{about(ms * time.Millisecond), 1 + int(ms)/200}
		talks[fmt.Sprintf("bursts %d ms", ms)] = talk{bursts(10*time.Millisecond, ms*time.Millisecond), 1}
	}
	for name, one := range talks {
		for seed := range uint64(2) {
			w := newBreakerWorld(seed)
			w.talks(1, one.next, one.burst)
			w.talks(2, one.next, one.burst)
			shut := time.Duration(0)
			w.speak = append(w.speak, func(w *breakerWorld) {
				if w.shut {
					shut += worldStep
				}
			})
			const length = 5 * time.Minute
			w.run(length)
			if len(w.found) > 0 {
				t.Errorf("%s, seed %d: connections %v are left out, with %d packets", name, seed, w.found, w.b.leftOut())
			}
			if shut > length/5 {
				t.Errorf("%s, seed %d: output is held back for %v of %v", name, seed, shut, length)
			}
		}
	}
}

// TestBreakerLate: however late it comes, what was said while output was held
// back speaks for who said it.
func TestBreakerLate(t *testing.T) {
	for lag := range 5 * time.Second / breakerTick {
		now := at(0)
		tr := newTrial([]uint64{1}, minSettle, now, rand.New(rand.NewPCG(uint64(lag), 1)))
		var said []time.Time
		for tr.rounds < trialMost && len(tr.suspects) > 0 {
			if s := tr.suspects[1]; s.rounds >= trialRounds {
				t.Errorf("lag %v: cut after %d rounds", lag*breakerTick, tr.rounds)
				break
			}
			if tr.phase != trialSettle {
				said = append(said, now)
			}
			now = now.Add(breakerTick)
			for len(said) > 0 && now.Sub(said[0]) >= lag*breakerTick {
				tr.note(&pcapng.Packet{ConnID: 1, Time: said[0]}, now)
				said = said[1:]
			}
			if tr.step(now) == stepHold {
				tr.held(now)
			}
		}
	}
}
