package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// readStream copies what hosts send to a stream, as one capture, until ctx is
// done, or all is read that was asked for, or nobody reads what is written.
func readStream(ctx context.Context, h *host, f *flags) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, err := stream.Open(ctx, stream.ReadOptions{
		Address: *f.readStream, All: f.all, Since: f.since, Until: f.until, Notify: h.sayNotice,
	})
	if err != nil {
		return err
	}
	defer in.Close()
	if err := h.readAs(f.user); err != nil {
		return err
	}
	out, err := openOutput(ctx, h, f, h.now())
	if err != nil {
		return err
	}
	out.clock = packetTime
	if err := out.watch(cancel); err != nil {
		return errors.Join(err, out.close(nil))
	}
	h.sayReadingStream(f.readStream)
	s := &streamSource{in: in, out: out, ended: cancel}
	f.printer.host = func(p *pcapng.Packet) string { return in.Hosts()[p.Host].Name }
	c := copier{out: out, limit: f.count, keep: f.keep, filter: filter.NewRecords(f.filter), hosts: s.hosts}
	if live := !f.all && f.since.IsZero(); live && f.limits.duration > 0 {
		timer := time.AfterFunc(f.limits.duration, cancel)
		defer timer.Stop()
	} else {
		c.duration = f.limits.duration
	}
	stop := onSignals(
		func() { h.sayReadSoFar(c.captured.Load()) },
		func() { out.flush() }) // what fails here fails again in the copier
	err = c.copy(s.packets(ctx))
	stop()
	err = errors.Join(err, s.begin(), out.close(nil))
	h.sayLeftOut(out.leftOut())
	h.sayMissing(out)
	h.sayRead(in.Counts())
	return err
}

// streamSource is a stream that is read to an output, which begins with the
// first packet: before that, nobody knows of a host.
type streamSource struct {
	in    *stream.Reader
	out   *output
	ended func() // is called when nobody reads what is written
	begun bool
	known []pcapng.Interface
}

func (s *streamSource) packets(ctx context.Context) iter.Seq2[*pcapng.Packet, error] {
	return func(yield func(*pcapng.Packet, error) bool) {
		for p, err := range s.in.Packets(ctx) {
			if err == nil {
				if begin := s.begin(); begin != nil {
					yield(nil, begin)
					return
				}
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// begin begins the output, once.
func (s *streamSource) begin() error {
	if s.begun {
		return nil
	}
	s.begun = true
	section := s.in.Section()
	meta := pcapng.Options{Hardware: section.Hardware, OS: section.OS, Application: section.Application}
	if hosts := s.hosts(); len(hosts) > 0 {
		meta.Description = hosts[0].Description
	}
	return errors.Join(s.out.begin(meta, s.ended), s.out.addHosts(s.hosts()))
}

// hosts are those whose packets have come.
func (s *streamSource) hosts() []pcapng.Interface {
	for _, host := range s.in.Hosts()[len(s.known):] {
		s.known = append(s.known, host.Interface)
	}
	return s.known
}
