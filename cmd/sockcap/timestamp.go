package main

import (
	"strconv"
	"time"
)

// timeStyle is the number of -t flags.
type timeStyle int

const (
	timeOfDay     timeStyle = iota // 06:29:35.824123
	noTime                         // -t
	sinceEpoch                     // -tt: 1795501775.824123
	sincePrevious                  // -ttt: " 00:00:00.000051", from the line before
	dateAndTime                    // -tttt: 2026-11-24 06:29:35.824123
	sinceFirst                     // -ttttt: " 00:00:00.000051", from the first line
)

// timestamps writes the times of lines, as tcpdump would.
type timestamps struct {
	style  timeStyle
	zone   *time.Location
	utc    bool // not in zone
	digits int  // of the fraction: 3, 6 or 9

	first, previous time.Time // of the lines written so far
}

// append appends t and a space, or nothing without times.
func (s *timestamps) append(dst []byte, t time.Time) []byte {
	if s.first.IsZero() {
		s.first, s.previous = t, t
	}
	switch s.style {
	case noTime:
		return dst
	case sinceEpoch:
		dst = strconv.AppendInt(dst, t.Unix(), 10)
		dst = s.appendFraction(dst, t.Nanosecond())
	case sincePrevious:
		dst = s.appendDelta(dst, s.cut(t).Sub(s.cut(s.previous)))
		s.previous = t
	case sinceFirst:
		dst = s.appendDelta(dst, s.cut(t).Sub(s.cut(s.first)))
	case dateAndTime:
		dst = appendDate(dst, s.local(t), ' ')
		dst = s.appendFraction(dst, t.Nanosecond())
	default:
		dst = s.appendClock(dst, s.local(t))
	}
	return append(dst, ' ')
}

// local is t in the zone that was asked for.
func (s *timestamps) local(t time.Time) time.Time {
	if s.utc {
		return t.UTC()
	}
	return t.In(s.zone)
}

// cut is t without the digits that are not printed: tcpdump's deltas are those
// between the times that it prints.
func (s *timestamps) cut(t time.Time) time.Time {
	unit := time.Second
	for range s.digits {
		unit /= 10
	}
	return t.Truncate(unit)
}

func (s *timestamps) appendClock(dst []byte, t time.Time) []byte {
	hour, minute, second := t.Clock()
	return s.appendFraction(appendHMS(dst, hour, minute, second), t.Nanosecond())
}

// appendDelta appends d with a sign in front, a blank where it is positive.
// Times go back only between files or in a damaged one.
func (s *timestamps) appendDelta(dst []byte, d time.Duration) []byte {
	sign := byte(' ')
	if d < 0 {
		sign, d = '-', -d
	}
	seconds := int(d / time.Second)
	dst = append(dst, sign)
	dst = appendHMS(dst, seconds/3600, seconds/60%60, seconds%60)
	return s.appendFraction(dst, int(d%time.Second))
}

func (s *timestamps) appendFraction(dst []byte, nanoseconds int) []byte {
	return appendFraction(dst, nanoseconds, s.digits)
}

// appendFraction appends a point and the first digits of a second's fraction,
// not rounded.
func appendFraction(dst []byte, nanoseconds, digits int) []byte {
	dst = append(dst, '.')
	for scale := 100_000_000; digits > 0; digits-- {
		dst = append(dst, byte('0'+nanoseconds/scale%10))
		scale /= 10
	}
	return dst
}

// appendDate appends date and clock, without the fraction of the second.
func appendDate(dst []byte, t time.Time, between byte) []byte {
	year, month, day := t.Date()
	dst = strconv.AppendInt(dst, int64(year), 10)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	hour, minute, second := t.Clock()
	return appendHMS(append(dst, between), hour, minute, second)
}

func appendHMS(dst []byte, hour, minute, second int) []byte {
	dst = appendTwo(dst, hour)
	dst = appendTwo(append(dst, ':'), minute)
	return appendTwo(append(dst, ':'), second)
}

// appendTwo appends n with at least two digits.
func appendTwo(dst []byte, n int) []byte {
	if n < 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}
