package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// start is how long it takes from the start of the program to the banner, after
// which nothing is missed, and what memory is needed by then.
func (b *bench) start(ctx context.Context) error {
	t := newTable(fmt.Sprintf("start: from exec to the banner, ms (min median max of %d)", b.rounds), "", "ms", "anonymous memory")
	for _, args := range [...][]string{{}, {"--senders", "exact"}, {"/run/nobody/is.here"}} {
		var took spread
		var memory int64
		for range b.rounds {
			w := watcher{argv: append([]string{b.sockcap, "-w", "/dev/null"}, args...), ready: listening}
			begin := time.Now()
			watch, err := w.begin(ctx)
			if err != nil {
				return err
			}
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
			s, err := watch.end("")
			if err != nil {
				return err
			}
			memory = max(memory, s.anonymous)
		}
		t.row(strings.Join(append([]string{"sockcap -w /dev/null"}, args...), " "), took.String(), formatBytes(memory))
	}
	return t.end()
}
