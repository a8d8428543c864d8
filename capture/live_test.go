package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

func TestMain(m *testing.M) {
	workload.Main()
	pingPongMain()
	memberMain()
	os.Exit(m.Run())
}

// liveSets are the hook sets to test: those that SOCKCAP_HOOKS names, all of
// which must then work, or those that this kernel allows.
func liveSets(t *testing.T) []string {
	if names := os.Getenv("SOCKCAP_HOOKS"); names != "" {
		return strings.Split(names, ",")
	}
	var sets []string
	for _, s := range Sets() {
		if s.Err == nil {
			sets = append(sets, s.Name)
			continue
		}
		// Tracepoints are to be had everywhere, and what the verifier refuses is
		// a mistake of ours.
		if s.Name == hooksTracepoint || isVerifier(s.Err) {
			t.Fatalf("%s can't be used here: %v", s.Name, s.Err)
		}
		t.Logf("%s can't be used here: %v", s.Name, s.Err)
	}
	if len(sets) == 0 {
		t.Fatal("no hook set can be used here: run the tests as root")
	}
	return sets
}

// liveOptions are the ways to capture with a hook set: the tracepoint set has
// two ways to learn who sent, on kernels that allow the second.
func liveOptions(t *testing.T, set string) map[string]Options {
	if set != hooksTracepoint {
		return map[string]Options{set: {Hooks: set}}
	}
	ways := map[string]Options{set + "-exact": {Hooks: set, Senders: "exact"}}
	sym, err := loadSymbols(kernelSymbols[:])
	if err != nil {
		t.Fatal(err)
	}
	if countsSenders(sym) {
		ways[set+"-auto"] = Options{Hooks: set, Senders: "auto"}
	}
	return ways
}

// TestGroundTruth captures the workload with each hook set and compares what
// was captured with what was sent: nothing may be wrong that is not marked.
// SOCKCAP_ROUNDS repeats it, SOCKCAP_CASES chooses cases.
func TestGroundTruth(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("SOCKCAP_ROUNDS"))
	for _, set := range liveSets(t) {
		for name, o := range liveOptions(t, set) {
			for round := range max(rounds, 1) {
				seed := uint64(time.Now().UnixNano())
				t.Run(fmt.Sprintf("%s/%d", name, round+1), func(t *testing.T) {
					t.Logf("seed %d, kernel %s", seed, release())
					groundTruth(t, o, seed)
				})
			}
		}
	}
}

func release() string {
	var n unix.Utsname
	unix.Uname(&n)
	return unix.ByteSliceToString(n.Release[:]) + " " + unix.ByteSliceToString(n.Machine[:])
}

func groundTruth(t *testing.T, o Options, seed uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var names []string
	if s := os.Getenv("SOCKCAP_CASES"); s != "" {
		names = strings.Split(s, ",")
	}
	w, err := workload.Start(ctx, workload.Config{Seed: seed, Cases: names})
	if err != nil {
		t.Fatal(err)
	}
	before := newClock()
	known := make(chan struct{})
	o.Begun = func(Beginning) { close(known) }
	captured := startCapture(t, o)
	select {
	case <-known: // a process that is just being forked would be seen to hold what its parent does
	case <-time.After(patience):
		t.Error("the older sockets are not known in time")
	}
	truths := runCases(t, w, names)
	noteSteps(truths, before)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	packets, stats := captured()
	compareTruths(t, o, truths, packets, stats)
}

// noteSteps notes by how much the wall clock was set since before.
func noteSteps(truths []*workload.Truth, before clock) {
	for _, truth := range truths {
		truth.Stepped = time.Duration(newClock().offset - before.offset).Abs()
	}
}

// compareTruths compares what was captured with what was sent.
func compareTruths(t *testing.T, o Options, truths []*workload.Truth, packets []*pcapng.Packet, stats Stats) {
	t.Helper()
	// Where the kernel may skip both twins of an fentry program, what that
	// loses is counted, and only then may anything be missing.
	skipped := o.Hooks == hooksFentry && preemptible() && stats.LostMissed > 0
	var exact, marked, wrong, waits int
	for _, truth := range truths {
		r := workload.Compare(truth, packets)
		if r.Told > 0 {
			t.Logf("%s: %d told, %d unnumbered, %d unseen", r.Case, r.Told, r.Unnumbered, r.Unseen)
		}
		if why := passedWrong(o, r); why != "" && !skipped {
			t.Errorf("%s: %s", r.Case, why)
		}
		waits += r.Waits
		if r.Unread > 0 && !skipped {
			t.Errorf("unread: %v", r)
		}
		switch {
		case r.Verdict == workload.Exact:
			exact++
		case r.Verdict == workload.Marked && mayMark(t, o, truth, r):
			marked++
			t.Logf("marked: %v", r)
		case skipped:
			wrong++
			t.Logf("%d programs skipped: %v", stats.LostMissed, r)
		default:
			wrong++
			t.Errorf("wrong: %v", r)
		}
	}
	// Of many rounds and kernels these lines make the table.
	fmt.Printf("matrix: %s %s: %d exact, %d marked, %d wrong, %d packets, %d lost, %d waits\n",
		release(), t.Name(), exact, marked, wrong, len(packets), stats.Dropped(), waits)
	if o.Hooks == hooksTracepoint && len(truths) == len(workload.Cases()) && waits == 0 {
		t.Error("of no message it is known how long it waited")
	}
	if stats.LostRing+stats.LostMap != 0 {
		t.Errorf("lost: %+v", stats)
	}
}

// passedWrong says what a hook set leaves out of passed descriptors that it has
// to tell. The send side knows all of them and their numbers. The receive side
// sees none that the reader's splice drops, and learns numbers where it counts
// sends and the sender's memory can be read.
func passedWrong(o Options, r workload.Report) string {
	switch {
	case o.Hooks != hooksTracepoint && r.Unseen+r.Unnumbered > 0:
		return fmt.Sprintf("%d descriptors not seen, %d without numbers", r.Unseen, r.Unnumbered)
	case o.Hooks == hooksTracepoint && o.Senders == "auto" && r.Case == "passed-kinds" && r.Unnumbered == r.Told:
		return fmt.Sprintf("none of %d descriptors has its number", r.Told)
	}
	return ""
}

// mayMark says whether a hook set may mark what the report says is marked.
func mayMark(t *testing.T, o Options, truth *workload.Truth, r workload.Report) bool {
	t.Helper()
	sym, err := loadSymbols(kernelSymbols[:])
	if err != nil {
		t.Fatal(err)
	}
	tracepoint := o.Hooks == hooksTracepoint
	// Who sent, of several tasks that write one socket: when counting, and where
	// they append pages to one skb. What the kernel skips may be anybody's.
	sender := tracepoint && (o.Senders != "exact" || sym.has("unix_stream_sendpage")) &&
		(severalWriters(truth) || sym.has("trace_call_bpf_faultable"))
	// In which order: what the garbage collector frees up to v6.9; what is
	// written at once on kernels that tell the order only when it is read.
	order := tracepoint && !sym.hasStruct("unix_vertex") || !tracepoint && sym.hasStruct("unix_vertex")
	return (r.UnsureSender == 0 || sender) && (r.UnsureOrder == 0 || order) && r.Truncated == 0
}

// severalWriters says whether several tasks send on one of the sockets.
func severalWriters(truth *workload.Truth) bool {
	task := make(map[uint64]int)
	for _, x := range truth.Sends {
		if first, ok := task[x.From]; ok && first != x.Task {
			return true
		}
		task[x.From] = x.Task
	}
	return false
}

// runCases runs the workload's cases; those that this kernel can't do are only
// named.
func runCases(t *testing.T, w *workload.Worker, names []string) []*workload.Truth {
	var truths []*workload.Truth
	for _, c := range workload.Cases() {
		if len(names) > 0 && !slices.Contains(names, c.Name) {
			continue
		}
		truth, err := w.Run(c.Name)
		switch {
		case errors.Is(err, workload.ErrNotPossible):
			t.Logf("not possible: %v", err)
		case err != nil:
			t.Errorf("case %s: %v", c.Name, err)
		default:
			truths = append(truths, truth)
		}
	}
	return truths
}

// startCapture captures until the function that it returns is called, which
// gives all packets.
func startCapture(t *testing.T, o Options) func() ([]*pcapng.Packet, Stats) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	type result struct {
		packets []*pcapng.Packet
		err     error
	}
	done := make(chan result)
	go func() {
		var r result
		for p, err := range s.Packets() {
			if err != nil {
				r.err = err
				break
			}
			r.packets = append(r.packets, p.Clone())
		}
		done <- r
	}()
	return func() ([]*pcapng.Packet, Stats) {
		cancel()
		r := <-done
		if r.err != nil {
			t.Error(r.err)
		}
		stats := s.Stats()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return r.packets, stats
	}
}
