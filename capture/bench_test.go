package capture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// pingPongMessages is how many messages go each way in one measurement.
const pingPongMessages = 20000

// BenchmarkPingPong measures what a capture costs the traced program: two
// processes exchange 64-byte messages, bare and captured in turn, and the
// ratio of the medians is what counts. Absolute times depend on the machine.
//
//	go test -run '^$' -bench PingPong -benchtime 5x ./capture
func BenchmarkPingPong(b *testing.B) {
	for _, set := range []Options{
		{Hooks: hooksFentry}, {Hooks: hooksKprobe},
		{Hooks: hooksTracepoint}, {Hooks: hooksTracepoint, Senders: "exact"},
	} {
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
	ctx, cancel := context.WithCancel(b.Context())
	s, err := Start(ctx, o)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan int)
	go func() {
		n := 0
		for p := range s.Packets() {
			if p != nil && p.Len == 64 {
				n++
			}
		}
		done <- n
	}()
	ns := pingPong(b)
	cancel()
	if n := <-done; n < 2*pingPongMessages || s.Stats().Dropped() > 0 {
		b.Errorf("%d messages of %d captured, %+v", n, 2*pingPongMessages, s.Stats())
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
