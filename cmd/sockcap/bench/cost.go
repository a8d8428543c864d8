package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// figures are what was measured of one watcher, a value a round.
type figures struct {
	nanos, ratio     spread
	cpu              spread // ns a message
	perByte          spread // bytes of file for a byte of payload
	captured, missed uint64
}

// compare runs the same traffic under each watcher in turn, beginning with
// another one in each round, and gives each one's ratio to nobody's.
func (b *bench) compare(ctx context.Context, t traffic, all []watcher, file string) ([]figures, error) {
	got := make([]figures, len(all))
	for round := range b.rounds {
		nanos := make([]float64, len(all))
		for i := range all {
			at := (i + round) % len(all)
			n, err := b.once(ctx, t, all[at], file, &got[at])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[at].name, err)
			}
			nanos[at] = n
		}
		for i, w := range all {
			got[i].ratio = append(got[i].ratio, nanos[i]/nanos[base(all, w)])
		}
	}
	return got, nil
}

// base is the watcher that w is compared with: nobody, of the same traffic.
func base(all []watcher, w watcher) int {
	for i := range all {
		if all[i].tcp == w.tcp && len(all[i].argv) == 0 {
			return i
		}
	}
	return 0
}

// settle is twice what sockcap takes at most to write what it has captured.
const settle = 200 * time.Millisecond

// once measures one watcher once; ns a message.
func (b *bench) once(ctx context.Context, t traffic, w watcher, file string, f *figures) (float64, error) {
	var tracer []string
	if w.tracer {
		tracer = w.argv
	}
	if w.tcp {
		t.Type = "tcp"
	}
	watch, err := w.begin(ctx)
	if err != nil {
		return 0, err
	}
	r, err := t.run(ctx, tracer...)
	if err != nil {
		return 0, err
	}
	// What the watcher does for the last messages is its CPU time too, and no
	// watcher says when it has done it. What is measured of the traffic is over.
	time.Sleep(settle)
	s, err := watch.end(file)
	if err != nil {
		return 0, err
	}
	f.nanos = append(f.nanos, r.perMessage())
	if watch != nil {
		f.cpu = append(f.cpu, float64(s.cpu.Nanoseconds())/float64(r.Messages))
		f.captured += s.captured
		f.missed += s.lost
		f.perByte = append(f.perByte, float64(s.fileSize)/float64(r.Messages*t.Size))
	}
	return r.perMessage(), nil
}

// sizes are what messages are measured at, and how many of each.
var sizes = [...]struct{ size, messages int }{
	{1, 20000}, {64, 20000}, {1 << 10, 20000}, {32 << 10, 4000}, {256 << 10, 500},
}

// cost is what a capture costs two processes that wait for each other.
func (b *bench) cost(ctx context.Context) error {
	for _, kind := range [...]string{"stream", "dgram"} {
		if err := b.costOf(ctx, pingPong, kind); err != nil {
			return err
		}
	}
	return nil
}

// flood is what it costs one that sends as fast as it can.
func (b *bench) flood(ctx context.Context) error {
	for _, kind := range [...]string{"stream", "dgram"} {
		if err := b.costOf(ctx, flood, kind); err != nil {
			return err
		}
	}
	return b.lossless(ctx)
}

func (b *bench) costOf(ctx context.Context, shape, kind string) error {
	file := filepath.Join(b.dir, "out.pcapng")
	t := newTable(fmt.Sprintf("%s, %s, both processes on one core: time of a message as a ratio to bare (min median max of %d rounds)", shape, kind, b.rounds),
		"size", "watched by", "ns a message", "ratio", "watcher's CPU, ns a message", "captured", "lost")
	for _, s := range sizes {
		all := b.watchers(file)
		if s.size == 64 || s.size == 32<<10 {
			all = append(all, others(file)...)
		}
		n := s.messages
		if shape == flood {
			n *= 4
		}
		got, err := b.compare(ctx, traffic{Shape: shape, Type: kind, Size: s.size, Messages: n, Pinned: true}, all, file)
		if err != nil {
			return err
		}
		for i, w := range all {
			f := &got[i]
			cells := []string{formatBytes(int64(s.size)), w.name, ns(f.nanos.median()), f.ratio.String(), "", "", ""}
			if len(f.cpu) > 0 {
				cells[4] = ns(f.cpu.median())
				cells[5], cells[6] = fmt.Sprint(f.captured), fmt.Sprint(f.missed)
			}
			t.row(cells...)
		}
	}
	return t.end()
}

// lossless is a flood on all processors, in which nothing may be lost.
func (b *bench) lossless(ctx context.Context) error {
	during := 2 * time.Second
	if b.long {
		during = 10 * time.Second
	}
	t := newTable(fmt.Sprintf("flood for %v, on all processors, default buffer", during),
		"type", "size", "messages", "captured", "lost", "file bytes a byte of payload")
	file := filepath.Join(b.dir, "flood.pcapng")
	for _, kind := range [...]string{"stream", "dgram"} {
		for _, size := range [...]int{64, 32 << 10} {
			w := watcher{argv: []string{b.sockcap, "-w", file}, ready: listening}
			watch, err := w.begin(ctx)
			if err != nil {
				return err
			}
			r, err := traffic{Shape: flood, Type: kind, Size: size, Time: during}.run(ctx)
			if err != nil {
				return err
			}
			s, err := watch.end(file)
			if err != nil {
				return err
			}
			t.row(kind, formatBytes(int64(size)), fmt.Sprint(r.Messages), fmt.Sprint(s.captured), fmt.Sprint(s.lost),
				fmt.Sprintf("%.2f", float64(s.fileSize)/float64(r.Messages*size)))
		}
	}
	return t.end()
}

// bystander is what a capture costs traffic that it has nothing to do with.
func (b *bench) bystander(ctx context.Context) error {
	t := newTable(fmt.Sprintf("ping-pong over TCP, 64 B, which no capture of Unix sockets sees: ratio to bare (min median max of %d rounds)", b.rounds),
		"beside", "ns a message", "ratio")
	all := b.watchers("/dev/null")[:2]
	all[1].argv = []string{b.sockcap, "-w", "/dev/null"}
	all = append(all, watcher{name: "sockcap --senders exact", argv: []string{b.sockcap, "--senders", "exact", "-w", "/dev/null"}, ready: listening})
	got, err := b.compare(ctx, traffic{Shape: pingPong, Type: "tcp", Size: 64, Messages: 20000, Pinned: true}, all, "")
	if err != nil {
		return err
	}
	all[1].name = "sockcap"
	for i, w := range all {
		t.row(w.name, ns(got[i].nanos.median()), got[i].ratio.String())
	}
	return t.end()
}
