package main

import (
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// streams are the streams of -w and -r, and what is read of one.
type streams struct {
	stream     *stream.Address // -w, if that is one
	readStream *stream.Address // -r, if that is one
	host       string          // --host; empty: the machine's name
	since      time.Time       // --since; zero: what comes now
	all        bool            // --since all
	until      time.Time       // --until; zero: no end
}

// rawStreams holds their flags as they are parsed.
type rawStreams struct{ host, since, until string }

func (r *rawStreams) define(s *pflag.FlagSet) {
	s.StringVar(&r.since, "since", "", "")
	s.StringVar(&r.until, "until", "", "")
	s.StringVar(&r.host, "host", "", "")
}

// setStreams comes after all that settles -r and -w.
func (r *raw) setStreams(s *pflag.FlagSet, f *flags) error {
	if err := f.setReadStream(); err != nil {
		return err
	}
	if err := f.setWriteStream(s); err != nil {
		return err
	}
	switch {
	case s.Changed("host") && len(f.read) > 0:
		return notReading("--host")
	case s.Changed("host") && (r.streams.host == "" || len(r.streams.host) > 255):
		return usage("--host needs a name of up to 255 bytes")
	case (s.Changed("since") || s.Changed("until")) && f.readStream == nil:
		return usage("--since and --until are about a stream after -r, as nats://HOST/STREAM, and there is none")
	}
	f.host = r.streams.host
	return f.setSpan(s, r.streams, time.Now())
}

func (f *flags) setReadStream() error {
	if !slices.ContainsFunc(f.read, stream.IsAddress) {
		return nil
	}
	if len(f.read) > 1 {
		return usage("-r of a stream stands alone: it has no end at which it could be merged with files")
	}
	a, err := stream.ParseAddress(f.read[0])
	if err != nil {
		return wrongStream("-r", err)
	}
	f.readStream = &a
	return nil
}

// setWriteStream refuses what only files can be.
func (f *flags) setWriteStream(s *pflag.FlagSet) error {
	if !stream.IsAddress(f.write) {
		return nil
	}
	a, err := stream.ParseAddress(f.write)
	if err != nil {
		return wrongStream("-w", err)
	}
	switch {
	case len(f.read) > 0:
		return usage("-w %s: a stream takes captures as they are made, and -r is none", quoteName(a.String()))
	case f.rotation.on(), f.limits.fileSize > 0:
		return usage("-w %s: -C, -G and -a filesize are about files", quoteName(a.String()))
	case f.linkType == pcapng.LinkTypeRaw:
		return usage("-w %s: a stream holds records, -y RAW makes none; use it where the stream is read", quoteName(a.String()))
	}
	f.stream, f.write = &a, a.String() // which can be told
	return nil
}

// setSpan reads --since and --until.
func (f *flags) setSpan(s *pflag.FlagSet, r rawStreams, now time.Time) error {
	var ok bool
	if s.Changed("since") {
		if f.all = r.since == "all"; !f.all {
			if f.since, ok = parsePast(r.since, now); !ok {
				return wrongChoice("--since", r.since, "all, how long ago as 90s or 1h30m, or a time as 2026-11-29T12:00:00Z")
			}
		}
	}
	if s.Changed("until") {
		if f.until = now; r.until != "now" {
			if f.until, ok = parsePast(r.until, now); !ok {
				return wrongChoice("--until", r.until, "now, how long ago as 90s or 1h30m, or a time as 2026-11-29T12:00:00Z")
			}
		}
		if !f.all && (f.since.IsZero() && !f.until.After(now) || f.until.Before(f.since)) {
			return usage("--until %s is before --since, without which reading begins now", quoteName(r.until))
		}
	}
	return nil
}

// parsePast reads a time: how long ago, or in RFC 3339.
func parsePast(text string, now time.Time) (time.Time, bool) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), true
	}
	t, err := time.Parse(time.RFC3339, text)
	return t, err == nil && t.Year() >= 1970 && t.Year() < 2262
}
