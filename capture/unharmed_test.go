package capture

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestUnharmed: what calls give back to a program is the same without a capture
// and with one whose ring buffer is full and whose consumer takes nothing: also
// where addresses are bad, memory is not there yet, and sockets are full.
func TestUnharmed(t *testing.T) {
	names := []string{
		"stream-small", "stream-sizes", "stream-writev", "stream-efault", "dgram-errors", "dgram-full", "seqpacket", "scm-rights", "sendfile",
		"flood", "memory-absent", "memory-handed",
	}
	seed := uint64(time.Now().UnixNano())
	start := func(t *testing.T) *workload.Worker {
		w, err := workload.Start(t.Context(), workload.Config{Seed: seed, Cases: names})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	want := results(t, start(t), names)
	if len(want) < len(names) {
		t.Fatalf("%d sends", len(want))
	}
	eachOptions(t, func(t *testing.T, o Options) {
		w := start(t)
		o.Family, o.BufferSize, o.Immediate = &Family{PID: w.PID()}, 64<<10, true
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		l := startBlind(t, o, func(*pcapng.Packet) { <-gate })
		t.Cleanup(open) // before startBlind's own
		got := results(t, w, names)
		stats := l.s.Stats()
		open()
		l.end()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("sends, -without +with a capture:\n%s", d)
		}
		if stats.LostRing == 0 {
			t.Errorf("the ring buffer was never full: %+v", stats)
		}
	})
}

// results runs cases and gives what became of each send, by what it says.
func results(t *testing.T, w *workload.Worker, names []string) map[uint64]string {
	t.Helper()
	all := make(map[uint64]string)
	for _, truth := range runCases(t, w, names) {
		for _, x := range truth.Sends {
			all[x.ID] = fmt.Sprintf("%s: %d of %d taken %s", truth.Case, x.Done, x.Len, x.Err)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	return all
}
