package main

import (
	"sync"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// ledger is what was sent: the truth.
type ledger struct {
	mu    sync.Mutex
	flows map[uint64]*flow
	whose map[uint64]uint64 // the flow that a socket sends, by its inode
	last  uint64            // number of the last flow
}

// flow is one direction: what one socket sends. All but its number, path and type
// may change until it has ended.
type flow struct {
	id   uint64
	path string
	typ  pcapng.SocketType

	from   uint64 // inode of the sending socket
	sent   uint64 // messages, as who received them has seen
	begun  time.Time
	ended  time.Time // zero: goes on
	killed bool      // its sender was
}

func newLedger() *ledger {
	return &ledger{flows: make(map[uint64]*flow), whose: make(map[uint64]uint64)}
}

// begin begins a flow, before its socket is made.
func (l *ledger) begin(path string, typ pcapng.SocketType) *flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	f := &flow{id: l.last, path: path, typ: typ, begun: time.Now()}
	l.flows[f.id] = f
	return f
}

// change changes a flow.
func (l *ledger) change(f *flow, how func(*flow)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	how(f)
}

// from notes which socket sends a flow, before it does.
func (l *ledger) from(f *flow, inode uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.from = inode
	l.whose[inode] = f.id
}

// flowOf is the flow that a socket sends, 0 if none does.
func (l *ledger) flowOf(inode uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whose[inode]
}

// heard notes that a message was received.
func (l *ledger) heard(f *flow) { l.change(f, func(f *flow) { f.sent++ }) }

// end notes that all was received that there will be, and the socket is closed.
func (l *ledger) end(f *flow) { l.change(f, func(f *flow) { f.ended = time.Now() }) }

// all copies the flows from a number on, up to another, 0: to the end.
func (l *ledger) all(first, last uint64) []flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last == 0 {
		last = l.last
	}
	var all []flow
	for id := first; id <= last; id++ {
		if f := l.flows[id]; f != nil {
			all = append(all, *f)
		}
	}
	return all
}

// totals are counts of all flows.
type totals struct{ flows, sent, killed uint64 }

func (l *ledger) totals() (t totals) {
	for _, f := range l.all(1, 0) {
		t.flows++
		t.sent += f.sent
		if f.killed {
			t.killed++
		}
	}
	return t
}
