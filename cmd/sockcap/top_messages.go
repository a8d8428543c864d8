package main

// What `sockcap top` says, besides messages.go.

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const helpTop = `Usage: sockcap top [OPTION]... [EXPRESSION]
Show who says how much over Unix domain sockets, live (as root): bytes and
messages a second, and how long they waited to be read, by connection.

  -d SECONDS        from one screen to the next (2)
  -c COUNT          end after COUNT screens
  -b                blocks of text even on a terminal, as in a pipe
  --sort KEY        bytes, messages, latency, total, path or pid (of the client)
  -r                the other way round
  --by path         one row for all connections of a path
  -B KIB, -i HOOKS, --senders MODE    as in sockcap --help
  EXPRESSION        what to count, as in sockcap --help; and so are these:
  --path, --comm, --pid, --uid, --container, --cgroup
  -h, --help

On a terminal: b m l t p i sort by bytes, messages, latency, total, path, pid;
r turns the order round; g is --by path and back; space shows now; q ends.
What is sent at once is one message, but for -i tracepoint: there each piece
of up to 36 kB that a stream is queued in. LATENCY is the mean, as far as it is
known: with -i tracepoint not where many wait or several tasks send, unless with
--senders exact. The last row sums up what has no other.
`

// What a shell says of it.
const (
	shortTop        = "show who says how much, live"
	topDelayWords   = "seconds from one screen to the next"
	topScreensWords = "end after so many screens"
	topBatchWords   = "blocks of text even on a terminal"
	topSortWords    = "what rows are sorted by"
	topReverseWords = "the other way round"
	topByWords      = "what has a row: connection or path"
)

const topKeyLine = "sort: b bytes m msgs l latency t total p path i pid, r reverse, g paths, q quit"

// sayCounting is top's banner.
func (h *host) sayCounting(hooks string) { h.say("", "listening on %s", hooks) }

// nothingYet is for a top that shows addresses which no socket has.
func nothingYet(unused []unusedPath) string {
	if len(unused) == 0 {
		return ""
	}
	return "nothing to show yet" + unusedWords(unused)
}

// topRestName is the PATH of the last row.
func topRestName(rows int) string {
	if rows == 0 {
		return "(rest)"
	}
	return fmt.Sprintf("(%d more)", rows)
}

// topHeader sums a screen up.
func topHeader(s *topScreen, sum traffic, connections int) string {
	lost := count(s.stats.Dropped(), "packet") + " lost"
	if s.lost > 0 {
		lost += fmt.Sprintf(" (%d just now)", s.lost)
	}
	parts := []string{
		s.at.Format(time.TimeOnly) + " " + s.hooks,
		lost,
		count(uint64(connections), "connection"),
		shortNumber(float64(sum.bytes)/s.seconds) + " bytes/s",
		shortNumber(float64(sum.messages)/s.seconds) + " messages/s",
	}
	if l := sum.latency(); l > 0 {
		parts = append(parts, "latency "+shortTime(l))
	}
	return strings.Join(parts, ", ")
}

// shortNumber is n with about three digits and a unit of powers of 1,000.
func shortNumber(n float64) string {
	unit := ""
	for _, next := range []string{"k", "M", "G", "T", "P", "E"} {
		if n < 999.5 {
			break
		}
		n /= 1000
		unit = next
	}
	if n == 0 || n >= 9.95 || unit == "" && n == float64(int(n)) {
		return fmt.Sprintf("%.0f%s", n, unit)
	}
	return fmt.Sprintf("%.1f%s", n, unit)
}

// shortTime is a latency with two or three digits, "-" if it is not known.
func shortTime(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < time.Microsecond:
		return strconv.Itoa(int(d)) + "ns"
	case d < 999_500*time.Nanosecond:
		return shortNumber(float64(d)/1e3) + "µs"
	case d < 999_500*time.Microsecond:
		return shortNumber(float64(d)/1e6) + "ms"
	}
	return shortNumber(d.Seconds()) + "s"
}

// check finds what is wrong with top's own flags.
func (f *topFlags) check() error {
	switch {
	case !slices.Contains(topKeys[:], f.view.sort):
		return wrongChoice("--sort", f.view.sort, "bytes, messages, latency, total, path or pid")
	case f.by != "connection" && f.by != "path":
		return wrongChoice("--by", f.by, "connection or path")
	case f.counting && f.screens < 1:
		return outOfRange("-c", f.screens, 1, int64(1<<63-1))
	}
	var ok bool
	if f.delay, ok = parseInterval(f.seconds); !ok || f.delay < minDelay {
		return wrongChoice("-d", f.seconds, "seconds, 0.1 or more, or a time as 500ms or 1m30s")
	}
	return nil
}
