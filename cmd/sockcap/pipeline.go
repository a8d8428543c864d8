package main

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// run does what the flags say.
func run(ctx context.Context, h *host, f *flags) error {
	if f.list {
		return printSets(h.stdout, h.sets())
	}
	if f.listLink {
		return printLinkTypes(h.stdout)
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	if f.read != "" {
		return unlessEnded(ctx, readFile(ctx, h, f))
	}
	return unlessEnded(ctx, captureLive(ctx, h, f))
}

// captureLive captures until ctx is done, the count is reached or nobody reads
// what is written, and sums up.
func captureLive(ctx context.Context, h *host, f *flags) error {
	out, err := openOutput(ctx, h, f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := h.start(ctx, f.capture)
	if err != nil {
		out.abandon()
		return err
	}
	began := h.now()
	if err := out.begin(describeHost(s.Hooks()), cancel); err != nil {
		return errors.Join(err, s.Close(), out.close(nil))
	}
	h.sayListening(s.Hooks(), f.linkType, f.capture.Snaplen)

	c := copier{out: out, limit: f.count} // the session keeps to f.capture.Paths
	stop := onSignals(
		func() { h.sayStats(c.captured.Load(), s.Stats()) },
		func() { out.flush() }) // what fails here fails again in the copier
	err = c.copy(s.Packets())
	stop()
	if ctx.Err() != nil {
		h.sayBelow()
	}
	err = errors.Join(err, s.Close())
	stats := s.Stats()
	end := fileStats(stats, began, h.now())
	err = errors.Join(err, out.close(&end))
	h.sayLeftOut(out.leftOut())
	h.saySummary(c.captured.Load(), stats)
	return err
}

// readFile copies a capture file. It fails at damage, or where the file is
// cut off, after all packets before it.
func readFile(ctx context.Context, h *host, f *flags) error {
	in, err := openInput(ctx, h, f.read)
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := pcapng.NewReader(in)
	if err != nil {
		return errReading(f.read, err)
	}
	out, err := openOutput(ctx, h, f)
	if err != nil {
		return err
	}
	if out.writesTo(in.file) {
		out.abandon()
		return errSameFile(f.read)
	}
	if err := out.begin(describeFile(r), nil); err != nil {
		return errors.Join(err, out.close(nil))
	}
	h.sayReading(f.read, r.LinkType())
	c := copier{out: out, limit: f.count, paths: f.paths, done: ctx.Done(), from: r, name: f.read}
	err = errors.Join(c.copy(r.Packets()), out.close(nil))
	h.sayLeftOut(out.leftOut())
	return err
}

// copier takes packets from a capture or a file to the output.
type copier struct {
	out      *output
	limit    uint64 // of data packets; 0: none
	paths    filter.Paths
	done     <-chan struct{} // ends a file early
	from     *pcapng.Reader  // that file, nil for a capture
	name     string          // of that file
	captured atomic.Uint64   // data packets so far
}

func (c *copier) copy(packets iter.Seq2[*pcapng.Packet, error]) error {
	hosts := 1
	for p, err := range packets {
		switch {
		case err != nil && c.from != nil:
			return errReading(c.name, err)
		case err != nil:
			return err
		case isClosed(c.done):
			return nil
		case !c.paths.Match(p.Path):
			continue
		}
		if c.from != nil && p.Host >= hosts {
			hosts = p.Host + 1
			if err := c.out.addHosts(c.from.Interfaces()); err != nil {
				return err
			}
		}
		if err := c.out.write(p); err != nil {
			return err
		}
		if p.Event == pcapng.EventData && c.captured.Add(1) == c.limit {
			return nil
		}
	}
	return nil
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// unlessEnded leaves out of err what only says that the end was asked for, by
// a signal or by whoever read our output and went away.
func unlessEnded(ctx context.Context, err error) error {
	var errs []error
	for _, e := range flatten(err) {
		stopped := ctx.Err() != nil && errors.Is(e, context.Canceled)
		if !stopped && !isBrokenPipe(e) {
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// flatten is the errors that were joined to err, each text once: a full disk
// refuses a packet, and then refuses the file's end for the same reason.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var errs []error
	seen := make(map[string]bool)
	for _, e := range joined.Unwrap() {
		for _, e := range flatten(e) {
			if !seen[e.Error()] {
				seen[e.Error()] = true
				errs = append(errs, e)
			}
		}
	}
	return errs
}
