package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is harm that is done to a sockcap, for a while where it can be undone.
type fault struct {
	name string
	do   func(w *watch, hold func(most time.Duration))
}

func faults() []fault {
	return []fault{
		{"stop", func(w *watch, hold func(time.Duration)) {
			w.signal(syscall.SIGSTOP)
			hold(2 * time.Second)
			w.signal(syscall.SIGCONT)
		}},
		{"slow", func(w *watch, hold func(time.Duration)) {
			w.out.gate.Lock()
			hold(3 * time.Second)
			w.out.gate.Unlock()
		}},
		{"halting", func(w *watch, hold func(time.Duration)) {
			for range 20 {
				w.out.gate.Lock()
				hold(50 * time.Millisecond)
				w.out.gate.Unlock()
				hold(10 * time.Millisecond)
			}
		}},
		{"signals", func(w *watch, hold func(time.Duration)) {
			for range 20 {
				w.signal(syscall.SIGUSR1)
				hold(10 * time.Millisecond)
				w.signal(syscall.SIGUSR2)
			}
		}},
	}
}

// harm does harm at random until ctx is done; all is undone then. It gives how
// often it did.
func (w *watch) harm(ctx context.Context, random *rand.Rand) (n int) {
	hold := func(most time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(random.Int64N(int64(most)))):
		}
	}
	all := faults()
	for hold(2 * time.Second); ctx.Err() == nil; hold(2 * time.Second) {
		all[random.IntN(len(all))].do(w, hold)
		n++
	}
	return n
}
