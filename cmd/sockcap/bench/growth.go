package main

import (
	"context"
	"errors"
	"fmt"
)

// growth is what becomes of cost and memory with more connections, more parts
// of a message, more processors.
func (b *bench) growth(ctx context.Context) error {
	small := traffic{Shape: pingPong, Type: "stream", Size: 64, Messages: 40000, Pinned: true}
	t := newTable(fmt.Sprintf("growth: ping-pong, stream, beside sockcap -w /dev/null: ratio to bare (min median max of %d rounds)", b.rounds),
		"", "ns a message, bare", "ratio", "sockcap's anonymous memory")
	for _, n := range [...]int{1, 10, 100, 1000, 9900} {
		over := small
		over.Connections = n
		if err := b.grow(ctx, t, fmt.Sprint(n, " connections in turn"), over); err != nil {
			return err
		}
	}
	for _, n := range [...]int{1, 32, 1024} {
		of := small
		of.Size, of.Iovecs, of.Messages = 4096, n, 10000
		if err := b.grow(ctx, t, fmt.Sprint("4 KiB of ", n, " iovecs"), of); err != nil {
			return err
		}
	}
	free := small
	free.Pinned = false
	return errors.Join(b.grow(ctx, t, "on all processors", free), t.end())
}

// grow measures one of these.
func (b *bench) grow(ctx context.Context, t table, name string, what traffic) error {
	var bare, ratio spread
	var memory int64
	for range b.rounds {
		alone, err := what.run(ctx)
		if err != nil {
			return err
		}
		watch, err := watcher{argv: []string{b.sockcap, "-w", "/dev/null"}, ready: listening}.begin(ctx)
		if err != nil {
			return err
		}
		watched, err := what.run(ctx)
		if err != nil {
			return err
		}
		s, err := watch.end("")
		if err != nil {
			return err
		}
		bare = append(bare, alone.perMessage())
		ratio = append(ratio, watched.perMessage()/alone.perMessage())
		memory = max(memory, s.anonymous)
	}
	t.row(name, ns(bare.median()), ratio.String(), formatBytes(memory))
	return nil
}
