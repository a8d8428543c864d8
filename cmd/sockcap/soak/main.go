// Command soak runs sockcap under load for a time, with faults at random, and
// compares what it captured with what was said: every byte is there once, in its
// place, or counted as lost where it is missing. It watches sockcap's memory and
// descriptors too. A line says how each interval was; the status is 1 if
// anything was wrong or has grown.
//
//	make build && go run ./cmd/sockcap/soak -sockcap ./sockcap -time 5m
//
// It needs root.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == senderRole {
		senderMain(os.Args[2:])
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s := soak{out: os.Stdout}
	flag.StringVar(&s.sockcap, "sockcap", "./sockcap", "the `program` to test")
	flag.DurationVar(&s.time, "time", 5*time.Minute, "how long")
	flag.DurationVar(&s.interval, "interval", 10*time.Second, "from line to line")
	flag.BoolVar(&s.faults, "faults", true, "do harm at random")
	flag.IntVar(&s.buffer, "B", 4096, "sockcap's ring buffer in `KiB`")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "of what happens when")
	flag.Parse()
	err := s.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak is one run.
type soak struct {
	sockcap        string
	time, interval time.Duration
	seed           uint64
	faults         bool
	buffer         int
	out            io.Writer

	env []string // for tests
}

// run is the whole of it. Its error says that something was wrong.
func (s *soak) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(s.out, "seed %d\n", s.seed)
	w, err := s.watch(dir)
	if err != nil {
		return err
	}
	defer w.kill()
	l := newLoad(dir, s.seed)
	ctx, cancel := context.WithTimeout(ctx, s.time)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	faults := make(chan struct{})
	go func() {
		defer close(faults)
		if s.faults {
			w.injectFaults(ctx, s.seed)
		}
	}()
	var samples []sample
	fmt.Fprintln(s.out, header)
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		now, err := w.sample()
		if err != nil {
			return fmt.Errorf("sockcap is gone: %w: %s", err, w.words())
		}
		samples = append(samples, now)
		now.print(s.out, l, w)
	}
	<-faults
	if err := <-ended; err != nil {
		return err
	}
	if err := w.end(); err != nil {
		return err
	}
	samples[len(samples)-1].print(s.out, l, w)
	return w.judge(s.out, l, samples)
}
