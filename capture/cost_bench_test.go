package capture

import (
	"maps"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BenchmarkPrograms measures how long the programs run for a message, by the
// kernel's account (BPF_STATS_RUN_TIME), beyond what empty ones on the same
// hooks do: other load shakes that less than the time of the whole. With -v each
// program's part is printed.
//
//	go test -run '^$' -bench Programs -benchtime 5x -v ./capture
func BenchmarkPrograms(b *testing.B) {
	for _, set := range measuredWays() {
		for _, text := range []string{"", "/run/nobody/is.here", "src comm nobody", "comm nobody"} {
			name := set.Hooks + set.Senders + "/" + text
			if text == "" {
				name += "all"
			}
			b.Run(name, func(b *testing.B) { programsCost(b, set, text) })
		}
	}
}

func programsCost(b *testing.B, o Options, text string) {
	filterBy(b, &o, text)
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Skip(err)
	}
	defer stats.Close()
	empty := make(map[string][]float64)
	whileEmpty(b, o, counted(b, empty))
	sum := 0.0
	each := make(map[string][]float64)
	whileRunning(b, o, counted(b, each), func([]uint32, Stats) bool { return true })
	for _, name := range slices.Sorted(maps.Keys(each)) {
		if len(each[name]) == 0 || len(empty[name]) == 0 {
			continue
		}
		ns := median(each[name]) - median(empty[name])
		sum += ns
		b.Logf("%-28s %6.0f ns", name, ns)
	}
	b.ReportMetric(sum, "programs-ns/msg")
}

// counted puts down, b.N times, how long a run took of each program that ran
// for every message.
func counted(b *testing.B, ns map[string][]float64) func(*programs) float64 {
	return func(p *programs) float64 {
		read := func() map[string]*ebpf.ProgramStats {
			all := make(map[string]*ebpf.ProgramStats)
			for name, program := range p.coll.Programs {
				var err error
				if all[name], err = program.Stats(); err != nil {
					b.Fatal(err)
				}
			}
			return all
		}
		for range b.N {
			before := read()
			pingPong(b)
			for name, after := range read() {
				if n := after.RunCount - before[name].RunCount; n >= 2*pingPongMessages {
					ns[name] = append(ns[name], float64((after.Runtime-before[name].Runtime).Nanoseconds())/float64(n))
				}
			}
		}
		return 0
	}
}
