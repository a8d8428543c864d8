package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/filter"
)

// topFlags are what `sockcap top` takes besides an expression.
type topFlags struct {
	raw     raw // those that a capture has too
	view    topView
	by      string
	seconds string // -d
	delay   time.Duration
	batch   bool

	screens  int64 // -c
	counting bool
	values   [6][]string // by shorthands
}

// minDelay bounds how often screens come.
const minDelay = 100 * time.Millisecond

// topCommand is `sockcap top`: who says how much, live.
func topCommand(h *host) *cobra.Command {
	var f topFlags
	c := &cobra.Command{
		Use:   "top",
		Short: shortTop,
		Long:  helpTop,
		RunE: func(c *cobra.Command, args []string) error {
			f.counting, f.view.byPath = c.Flags().Changed("c"), f.by == "path"
			if err := f.check(); err != nil {
				return wrongUsage(c, err)
			}
			options, expr, err := f.options(c, args)
			if err != nil {
				return err
			}
			ctx, stop := h.untilSignal(c.Context())
			defer stop()
			return unlessEnded(ctx, h.top(ctx, &f, options, expr))
		},
	}
	s := c.Flags()
	s.SortFlags = false
	s.StringVarP(&f.seconds, "d", "d", "2", topDelayWords)
	s.Int64VarP(&f.screens, "c", "c", 0, topScreensWords)
	s.BoolVarP(&f.batch, "b", "b", false, topBatchWords)
	s.StringVar(&f.view.sort, "sort", topKeys[0], topSortWords)
	s.BoolVarP(&f.view.reverse, "r", "r", false, topReverseWords)
	s.StringVar(&f.by, "by", "connection", topByWords)
	s.IntVarP(&f.raw.buffer, "buffer-size", "B", 0, "")
	s.StringVarP(&f.raw.hooks, "interface", "i", "auto", "")
	s.StringVar(&f.raw.senders, "senders", "auto", "")
	for i, name := range shorthands {
		s.StringArrayVar(&f.values[i], name, nil, "")
	}
	for name, values := range map[string][]string{"sort": topKeys[:], "by": {"connection", "path"}, "d": nil} {
		c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return c
}

// options are the capture's, and what it keeps.
func (f *topFlags) options(c *cobra.Command, args []string) (capture.Options, *filter.Expr, error) {
	var flags flags
	if err := f.raw.setCapture(c.Flags(), &flags); err != nil {
		return capture.Options{}, nil, wrongUsage(c, err)
	}
	choice := rawFilter{direction: "inout", values: f.values}
	if err := choice.set(&flags, args); err != nil {
		return capture.Options{}, nil, wrongUsage(c, err)
	}
	flags.capture.Snaplen = 1 // payload is counted, not looked at
	return flags.capture, flags.filter, nil
}

// top captures, counts and shows until it is ended: by ctx, a key, -c, or
// because nobody reads what is printed.
func (h *host) top(ctx context.Context, f *topFlags, o capture.Options, expr *filter.Expr) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.Host = h.root
	s, err := h.start(ctx, o)
	if err != nil {
		return err
	}
	h.sayCounting(s.Hooks())
	nothing := nothingYet(h.unusedNow(expr))
	if nothing != "" {
		h.say("", "%s", nothing)
	}
	t := top{h: h, session: s, view: f.view, flows: newFlowCounter(), left: f.screens, before: h.now(), delay: f.delay}
	if !f.batch {
		if t.screen, err = openScreen(h); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if t.screen != nil { // which hides what has just been said
		t.nothing = nothing
	}
	defer t.screen.close() // after a panic, too
	stop := onSignals(func() { t.sayStats() }, func() {})
	counted := make(chan error, 1)
	go func() {
		defer t.screen.closeIfPanicking()
		counted <- t.count()
	}()
	err = t.run(ctx, counted)
	cancel()
	err = errors.Join(err, <-counted)
	stop()
	t.screen.close()
	err = errors.Join(err, s.Close())
	stats := s.Stats()
	h.saySummary(stats.Captured, stats)
	return err
}

// top is a running one.
type top struct {
	h       *host
	session session
	screen  *screen // nil: text
	view    topView
	flows   *flowCounter
	left    int64 // screens to show; 0 or less: any number
	delay   time.Duration
	before  time.Time // of the screen before
	dropped uint64    // packets lost by then
	last    topScreen
	nothing string // what a screen says as long as it has shown no row; empty: it does not
}

// count counts what is captured.
func (t *top) count() error {
	for p, err := range t.session.Packets() {
		if err != nil {
			return err
		}
		t.flows.count(p)
	}
	return nil
}

// run shows a screen at each tick, and again when a key asks for another view.
func (t *top) run(ctx context.Context, counted chan error) error {
	ticker := time.NewTicker(t.delay)
	defer ticker.Stop()
	if t.screen != nil {
		t.look()
		if err := t.show(); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-counted:
			counted <- err // for whoever waits
			return nil
		case <-ticker.C:
			t.look()
			err := t.show()
			if t.left--; err != nil || t.left == 0 {
				return err
			}
		case key := <-t.screen.keys():
			if t.press(key) {
				return nil
			}
			if err := t.show(); err != nil {
				return err
			}
		case s := <-t.screen.signals():
			t.screen.handle(s)
			if err := t.show(); err != nil {
				return err
			}
		}
	}
}

// look takes what was counted since it was called before.
func (t *top) look() {
	now, stats := t.h.now(), t.session.Stats()
	seconds := now.Sub(t.before).Seconds()
	if seconds <= 0 { // the clock was set
		seconds = t.delay.Seconds()
	}
	rows, rest := t.flows.take()
	if len(rows) > 0 {
		t.nothing = ""
	}
	t.last = topScreen{
		at: now.In(t.h.zone), seconds: seconds, hooks: t.session.Hooks(),
		rows: rows, rest: rest, nothing: t.nothing, stats: stats, lost: stats.Dropped() - t.dropped,
	}
	t.before, t.dropped = now, stats.Dropped()
}

// show prints what was taken last.
func (t *top) show() error {
	if t.screen != nil {
		return t.screen.show(&t.last, &t.view)
	}
	_, err := t.h.stdout.Write(append(t.last.append(nil, &t.view, 0, 0), '\n'))
	return err
}

// press does what a key means, and reports whether to end.
func (t *top) press(key byte) (quit bool) {
	switch key {
	case 'q', 'Q', 0x03, 0x04: // and Ctrl-C, Ctrl-D, where these are no signals
		return true
	case 'b':
		t.view.sort = "bytes"
	case 'm':
		t.view.sort = "messages"
	case 'l':
		t.view.sort = "latency"
	case 't':
		t.view.sort = "total"
	case 'p':
		t.view.sort = "path"
	case 'i':
		t.view.sort = "pid"
	case 'r':
		t.view.reverse = !t.view.reverse
	case 'g':
		t.view.byPath = !t.view.byPath
	case ' ':
		t.look()
	}
	return false
}

// sayStats answers SIGUSR1, unless a screen stands where the answer would go.
func (t *top) sayStats() {
	if t.screen == nil {
		stats := t.session.Stats()
		t.h.sayStats(stats.Captured, stats)
	}
}
