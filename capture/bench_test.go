package capture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/sockcap/sockcap/capture/filter"
)

// pingPongMessages is how many messages go each way in one measurement.
const pingPongMessages = 20000

// BenchmarkPingPong measures what a capture costs the traced program: two
// processes exchange 64-byte messages, bare and captured in turn, and the
// ratio of the medians is what counts. Absolute times depend on the machine.
//
//	go test -run '^$' -bench PingPong -benchtime 5x ./capture
func BenchmarkPingPong(b *testing.B) {
	for _, set := range measuredWays() {
		name := set.Hooks
		if set.Senders != "" {
			name += "-" + set.Senders
		}
		b.Run(name, func(b *testing.B) {
			if s, err := Start(b.Context(), set); err != nil {
				b.Skip(err)
			} else {
				s.Close()
			}
			var bare, captured []float64
			for b.Loop() {
				bare = append(bare, pingPong(b))
				captured = append(captured, whileCapturing(b, set))
			}
			b.ReportMetric(median(bare), "bare-ns/msg")
			b.ReportMetric(median(captured), "captured-ns/msg")
			b.ReportMetric(median(captured)/median(bare), "ratio")
		})
	}
}

// whileCapturing measures while a capture runs that must see every message.
func whileCapturing(b *testing.B, o Options) float64 {
	return whileRunning(b, o, timed(b), func(packets []uint32, stats Stats) bool {
		messages := slices.DeleteFunc(packets, func(n uint32) bool { return n != 64 })
		return len(messages) >= 2*pingPongMessages && stats.Dropped() == 0
	})
}

// timed measures by the clock.
func timed(b *testing.B) func(*programs) float64 {
	return func(*programs) float64 { return pingPong(b) }
}

// whileRunning measures while a capture runs, of which ok says whether it was
// what it should be, by the lengths of its packets and its counts.
func whileRunning(b *testing.B, o Options, measure func(*programs) float64, ok func(packets []uint32, stats Stats) bool) float64 {
	ctx, cancel := context.WithCancel(b.Context())
	s, err := Start(ctx, o)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan []uint32)
	go func() {
		var packets []uint32
		for p := range s.Packets() {
			if p != nil {
				packets = append(packets, p.Len)
			}
		}
		done <- packets
	}()
	ns := measure(s.progs)
	cancel()
	if packets := <-done; !ok(packets, s.Stats()) {
		b.Errorf("%d packets, %+v", len(packets), s.Stats())
	}
	s.Close()
	return ns
}

// pingPong lets two other processes exchange messages; ns a message.
func pingPong(b *testing.B) float64 {
	cmd := exec.CommandContext(b.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), pingPongRole+"="+strconv.Itoa(pingPongMessages))
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(fmt.Errorf("%q: %w", out, err))
	}
	return ns
}

// BenchmarkFilteredOut measures what an event costs that the filter leaves
// out, against empty programs on the same hooks, in turn: the ratio is the
// filter's share. What is left out by the sockets alone should be near 1.
//
//	go test -run '^$' -bench FilteredOut -benchtime 11x ./capture
func BenchmarkFilteredOut(b *testing.B) {
	for _, set := range []Options{
		{Hooks: hooksFentry}, {Hooks: hooksKprobe},
		{Hooks: hooksTracepoint}, {Hooks: hooksTracepoint, Senders: "exact"},
	} {
		for by, text := range map[string]string{"path": "/run/nobody/is.here", "comm": "src comm nobody", "either": "comm nobody"} {
			name := set.Hooks + "-" + by
			if set.Senders != "" {
				name = set.Hooks + "-" + set.Senders + "-" + by
			}
			b.Run(name, func(b *testing.B) { filteredOut(b, set, text) })
		}
	}
}

// measuredWays are the ways to capture whose cost is measured, where they work.
func measuredWays() []Options {
	return []Options{
		{Hooks: hooksFentry}, {Hooks: hooksKprobe},
		{Hooks: hooksTracepoint}, {Hooks: hooksTracepoint, Senders: "exact"},
	}
}

// filterBy sets the filter, and ends the benchmark where one can't capture so.
func filterBy(b *testing.B, o *Options, text string) {
	b.Helper()
	var err error
	if o.Filter, err = filter.Parse(text, filter.Lookup{}); err != nil {
		b.Fatal(err)
	}
	s, err := Start(b.Context(), *o)
	if err != nil {
		b.Skip(err)
	}
	s.Close()
}

func filteredOut(b *testing.B, o Options, text string) {
	filterBy(b, &o, text)
	var empty, filtered, ratios []float64
	for b.Loop() {
		empty = append(empty, whileEmpty(b, o, timed(b)))
		filtered = append(filtered, whileFiltering(b, o))
		ratios = append(ratios, filtered[len(filtered)-1]/empty[len(empty)-1])
	}
	b.ReportMetric(median(empty), "empty-ns/msg")
	b.ReportMetric(median(filtered), "filtered-ns/msg")
	b.ReportMetric(slices.Min(ratios), "ratio-min")
	b.ReportMetric(median(ratios), "ratio-median")
	b.ReportMetric(slices.Max(ratios), "ratio-max")
}

// whileEmpty measures with programs in place that do nothing.
func whileEmpty(b *testing.B, o Options, measure func(*programs) float64) float64 {
	sym, err := loadSymbols(kernelSymbols[:])
	if err != nil {
		b.Fatal(err)
	}
	o.BufferSize = bufferSize(0)
	plan, err := newPlan(o.Hooks, &o, sym, o.Senders == "exact" || !countsSenders(sym))
	if err != nil {
		b.Fatal(err)
	}
	stock, err := plan.prepare()
	if err != nil {
		b.Fatal(err)
	}
	empty(stock.spec)
	p, err := plan.loadStock(stock)
	if err != nil {
		b.Fatal(err)
	}
	defer p.close()
	return measure(p)
}

// empty takes all out of the programs.
func empty(spec *ebpf.CollectionSpec) {
	for _, p := range spec.Programs {
		old := p.Instructions[0]
		first := asm.Mov.Imm(asm.R0, 0).WithSymbol(old.Symbol()).WithSource(old.Source())
		p.Instructions = asm.Instructions{btf.WithFuncMetadata(first, btf.FuncMetadata(&old)), asm.Return()}
	}
}

// whileFiltering measures while a capture runs that leaves all of it out.
func whileFiltering(b *testing.B, o Options) float64 {
	return whileRunning(b, o, timed(b), func(packets []uint32, stats Stats) bool {
		return len(packets) == 0 && stats.Filtered >= 2*pingPongMessages
	})
}
