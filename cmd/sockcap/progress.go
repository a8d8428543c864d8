package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/sockcap/sockcap/capture"
)

// minInterval is the shortest --stats-interval: more often, nobody reads it.
const minInterval = time.Millisecond

// parseInterval reads a duration in Go's syntax, or seconds.
func parseInterval(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	if seconds, e := strconv.ParseFloat(text, 64); e == nil {
		if !(seconds <= math.MaxInt32) {
			return 0, false
		}
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	return d, err == nil && d >= minInterval
}

// every calls f again and again, until the returned function is called, which
// waits for a running call.
func every(d time.Duration, f func()) (stop func()) {
	ticker, quit, done := time.NewTicker(d), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ticker.C:
				f()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(quit)
		<-done
	}
}

// statusLine is a terminal whose last line is told anew again and again. What
// is written goes above it. Its methods may be called from any goroutine.
type statusLine struct {
	mu       sync.Mutex
	terminal *os.File
	line     string // that stands there now
}

const clearLine = "\r\x1b[K" // to the beginning of the line, and erase it

// set replaces the line; an empty one takes it away. It is cut to the
// terminal's width, for what wraps can't be taken away.
func (l *statusLine) set(line string) {
	line = line[:min(len(line), widthOf(l.terminal))] // ASCII
	l.mu.Lock()
	defer l.mu.Unlock()
	if line != l.line {
		l.line = line
		io.WriteString(l.terminal, clearLine+line) // nobody is left to tell when that fails
	}
}

// widthOf is how many characters a line of a terminal takes without an effect
// on the next one; as many as there may be where it does not say.
func widthOf(terminal *os.File) int {
	if columns, _ := windowSize(terminal); columns > 0 {
		return columns - 1
	}
	return math.MaxInt
}

// Write writes p, whole lines, above the line.
func (l *statusLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line == "" {
		return l.terminal.Write(p)
	}
	if _, err := io.WriteString(l.terminal, clearLine+string(p)+l.line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// withProgress is h with a status line on standard error, if f and the terminal
// are for that: as tcpdump -v -w, but a pipe never gets one, nor does a terminal
// that a command has.
func (h *host) withProgress(f *flags) (*host, *statusLine) {
	tty, ok := h.stderr.(*os.File)
	if len(f.command) > 0 || f.write == "" || isStdout(f.write) || f.text && f.textFile == "" || !ok || !isTerminal(tty) {
		return h, nil
	}
	l := &statusLine{terminal: tty}
	with := *h
	with.stderr = l
	return &with, l
}

// tellProgress tells how far c is, on a status line if there is one and as
// often as f wants, until the returned function is called.
func (h *host) tellProgress(f *flags, status *statusLine, c *copier, stats func() capture.Stats) (stop func()) {
	stopStats, stopLine := func() {}, func() {}
	if f.stats > 0 {
		stopStats = every(f.stats, func() { h.sayStats(c.captured.Load(), stats()) })
	}
	if status != nil {
		p := progress{at: h.now()}
		stopLine = every(h.tick, func() {
			status.set(p.line(h.now(), c.captured.Load(), c.bytes.Load(), stats()))
		})
	}
	return func() {
		stopStats()
		stopLine()
		if status != nil {
			status.set("")
		}
	}
}

// isOnTerminal reports whether words go to one.
func (h *host) isOnTerminal() bool {
	switch w := h.stderr.(type) {
	case *statusLine:
		return true
	case *os.File:
		return isTerminal(w)
	}
	return false
}

// progress makes the status lines of a capture.
type progress struct {
	at       time.Time // of the line before
	captured uint64    // then
}

// line is how far the capture is at this time, and how fast since the line
// before.
func (p *progress) line(now time.Time, captured, bytes uint64, s capture.Stats) string {
	rate := 0.0
	if seconds := now.Sub(p.at).Seconds(); seconds > 0 {
		rate = float64(captured-p.captured) / seconds
	}
	p.at, p.captured = now, captured
	return progressLine(captured, bytes, s.Dropped(), rate)
}

// formatBytes is n bytes, in units of 1,000 with three or more digits.
func formatBytes(n uint64) string {
	value, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if n < 1000 {
			return count(n, "byte")
		}
		if value /= 1000; value < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
