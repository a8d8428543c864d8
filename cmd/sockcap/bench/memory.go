package main

import (
	"context"
	"fmt"
)

// memory is what sockcap holds after very many messages, beside the ring and
// the program: once a process has talked for long, and once thousands have come
// and gone.
func (b *bench) memory(ctx context.Context) error {
	const messages = 10_000_000
	t := newTable(fmt.Sprintf("memory: sockcap -w /dev/null beside %d messages of 64 bytes", messages),
		"", "packets captured", "lost", "anonymous memory")
	turns := traffic{Shape: pingPong, Type: "stream", Size: 64, Messages: messages / 2, Pinned: true}
	many := turns
	many.Connections = 9900
	for _, c := range [...]struct {
		name string
		what traffic
	}{{"one connection", turns}, {"9,900 connections in turn", many}} {
		watch, err := watcher{argv: []string{b.sockcap, "-w", "/dev/null"}, ready: listening}.begin(ctx)
		if err != nil {
			return err
		}
		if _, err := c.what.run(ctx); err != nil {
			return err
		}
		s, err := watch.end("")
		if err != nil {
			return err
		}
		t.row(c.name, fmt.Sprint(s.captured), fmt.Sprint(s.lost), formatBytes(s.anonymous))
	}
	return t.end()
}
