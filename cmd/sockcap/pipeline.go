package main

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// run does what the flags say.
func run(ctx context.Context, h *host, f *flags) error {
	if f.explain {
		return explainFilter(h.stdout, f)
	}
	if f.list {
		return printSets(h.stdout, h.sets())
	}
	if f.listLink {
		return printLinkTypes(h.stdout)
	}
	if len(f.command) > 0 {
		return captureCommand(ctx, h, f)
	}
	ctx, stop := h.untilSignal(ctx)
	defer stop()
	if f.readStream != nil {
		return unlessEnded(ctx, readStream(ctx, h, f))
	}
	if len(f.read) > 0 {
		return unlessEnded(ctx, readFiles(ctx, h, f))
	}
	return unlessEnded(ctx, captureLive(ctx, h, f, nil))
}

// captureLive captures until ctx is done, the count is reached or nobody reads
// what is written, and sums up. A command, if there is one, begins when all is
// ready, and with it the capture ends.
func captureLive(ctx context.Context, h *host, f *flags, held *command) error {
	h, status := h.withProgress(f)
	rights, err := h.rightsFor(f)
	if err != nil {
		return err
	}
	if h, err = h.owning(f); err != nil {
		return err
	}
	out, err := openOutput(ctx, h, f, h.now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.capture.Begun = h.sayBegun
	f.capture.Host = h.root
	f.capture.LookAhead = rights != nil && rights.confine
	var confined error // that rights could not be given up
	if rights != nil {
		f.capture.Begun = func(b capture.Beginning) {
			h.sayBegun(b)
			if confined = rights.rest(h.root); confined != nil {
				cancel()
			}
		}
	}
	s, err := h.start(ctx, f.capture)
	if err != nil {
		out.abandon()
		return err
	}
	began := h.now()
	var cut *breaker
	if out.mayComeBack() && !f.capture.IncludeSelf {
		out.echo = newEcho(h.sayEcho)
		cut = startBreaker(s.Now, func() uint64 { return s.Stats().LostRing }, out, h.sayCut)
	}
	if err := out.begin(describeHost(f.host, s.Hooks()), cancel); err != nil {
		return errors.Join(err, s.Close(), out.close(nil))
	}
	h.sayListening(s.Hooks(), f.linkType, f.keep)
	stats := func() capture.Stats {
		stats := s.Stats()
		stats.Self += out.echo.leftOut() + cut.leftOut()
		return stats
	}
	out.stats = func() pcapng.Stats { return fileStats(stats(), began, h.now()) }
	if held != nil {
		if err := held.begin(f.command[0], cancel); err != nil {
			return errors.Join(err, s.Close(), out.takeBack())
		}
	}
	if err := rights.relinquish(h); err != nil {
		return errors.Join(errRelinquish(err), s.Close(), out.close(nil))
	}
	if held != nil { // there are no older sockets
		if err := rights.rest(h.root); err != nil {
			return errors.Join(errRelinquish(err), s.Close(), out.close(nil))
		}
	}
	if f.limits.duration > 0 {
		timer := time.AfterFunc(f.limits.duration, cancel)
		defer timer.Stop()
	}

	c := copier{out: out, cut: cut, limit: f.count, keep: f.keep, filter: filter.NewRecords(nil)} // the session has filtered
	stop := onSignals(
		func() { h.sayStats(c.captured.Load(), stats()) },
		func() { out.flush() }) // what fails here fails again in the copier
	stopTelling := h.tellProgress(f, status, &c, stats)
	err = c.copy(s.Packets())
	stop()
	stopTelling()
	cut.stop()
	if ctx.Err() != nil && held == nil {
		h.sayBelow()
	}
	if confined != nil {
		err = errors.Join(errRelinquish(confined), err)
	}
	err = errors.Join(err, s.Close())
	last := stats()
	end := fileStats(last, began, h.now())
	err = errors.Join(err, out.close(&end))
	h.sayLeftOut(out.leftOut())
	h.sayMissing(out)
	h.saySummary(c.captured.Load(), last)
	h.sayCutPackets(cut.leftOut())
	return err
}

// readFiles copies capture files as one. It fails where one is damaged or cut
// off, after all packets before that and all of the others.
func readFiles(ctx context.Context, h *host, f *flags) error {
	in, err := openSource(ctx, h, f.read)
	if err != nil {
		return err
	}
	defer in.close()
	if err := h.readAs(f.user); err != nil {
		return err
	}
	began := h.now()
	if f.rotation.seconds > 0 {
		began = in.begins(began)
	}
	out, err := openOutput(ctx, h, f, began)
	if err != nil {
		return err
	}
	for _, file := range in.files {
		if out.writesTo(file.in.file) {
			out.abandon()
			return errSameFile(file.name)
		}
		out.reading = append(out.reading, file.in.file)
	}
	out.clock = packetTime
	if err := errors.Join(out.begin(in.describe(), nil), out.addHosts(in.hosts)); err != nil {
		return errors.Join(err, out.close(nil))
	}
	for _, file := range in.files {
		h.sayReading(file.name, file.r.LinkType())
	}
	c := copier{
		out: out, limit: f.count, keep: f.keep, filter: filter.NewRecords(f.filter),
		done: ctx.Done(), hosts: func() []pcapng.Interface { return in.hosts }, duration: f.limits.duration,
	}
	err = errors.Join(c.copy(in.packets()), out.close(nil))
	h.sayLeftOut(out.leftOut())
	h.sayMissing(out)
	return err
}

// copier takes packets from a capture or a file to the output.
type copier struct {
	out      *output
	cut      *breaker // nil: nobody looks for what comes back
	limit    uint64   // of data packets; 0: none
	keep     int      // bytes of a packet's payload
	filter   *filter.Records
	done     <-chan struct{}           // ends a file early
	hosts    func() []pcapng.Interface // of what is read, so far; nil for a capture
	duration time.Duration             // from the first packet of files, 0: any
	captured atomic.Uint64             // data packets so far
	bytes    atomic.Uint64             // of their payload
}

func (c *copier) copy(packets iter.Seq2[*pcapng.Packet, error]) error {
	var end time.Time
	for p, err := range packets {
		switch {
		case err != nil:
			return err
		case isClosed(c.done):
			return nil
		case !c.filter.Keep(p), c.out.echo.carries(p), c.cut.carries(p):
			continue
		}
		cutPayload(p, c.keep)
		if c.hosts != nil {
			if err := c.out.addHosts(c.hosts()); err != nil {
				return err
			}
			if end.IsZero() {
				end = p.Time.Add(c.duration)
			}
			if c.duration > 0 && !p.Time.Before(end) {
				return nil
			}
		}
		switch err := c.out.write(p); {
		case errors.Is(err, errEnough):
			c.out.h.sayEnough(c.out.names.count)
			return nil
		case err != nil:
			return err
		}
		c.bytes.Add(uint64(len(p.Data)))
		if p.Event == pcapng.EventData && c.captured.Add(1) == c.limit || c.out.full() {
			return nil
		}
	}
	return nil
}

// cutPayload leaves the first bytes of p's payload, as many as are to be kept. The
// kernel side has done so for a capture; tcpdump leaves files as they are.
func cutPayload(p *pcapng.Packet, keep int) {
	if len(p.Data) > keep {
		p.Data, p.Truncated = p.Data[:keep], true
	}
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
