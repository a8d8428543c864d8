package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// checker compares packets with what is said, as they come.
type checker struct {
	captured uint64 // data packets
	dropped  uint64 // packets that are counted as lost
	paths    map[string]*counted
	next     map[uint64]uint64 // where the next packet of a connection belongs
	last     time.Time
	wrong    []string // what was not right, the first of it
	mistakes int
}

// counted is bytes of a path.
type counted struct {
	there, lost uint64
	skipped     uint64 // left out by the filter, while the socket's name was not known
}

func (c *checker) say(format string, args ...any) {
	c.mistakes++
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}

// check takes one packet.
func (c *checker) check(p *pcapng.Packet) {
	if c.paths == nil {
		c.paths, c.next = make(map[string]*counted), make(map[uint64]uint64)
	}
	if p.Time.Before(c.last) {
		c.say("time goes back from %v to %v", c.last, p.Time)
	}
	c.last = p.Time
	c.dropped += p.DropCount
	if p.Event != pcapng.EventData && p.Event != pcapng.EventLost {
		return
	}
	of := c.paths[p.Path]
	if of == nil {
		of = new(counted)
		c.paths[p.Path] = of
	}
	of.lost += p.Lost
	of.skipped += p.Skipped
	if p.Event == pcapng.EventLost {
		return
	}
	c.captured++
	of.there += uint64(p.Len)
	if next := c.next[p.ConnID]; p.Offset != next+p.Lost+p.Skipped {
		c.say("connection %d: a packet at %d, where %d bytes are lost and %d skipped behind %d", p.ConnID, p.Offset, p.Lost, p.Skipped, next)
	}
	c.next[p.ConnID] = p.Offset + uint64(p.Len)
	if int(p.Len) != len(p.Data) {
		c.say("connection %d: %d of %d bytes at %d", p.ConnID, len(p.Data), p.Len, p.Offset)
	}
	for i, b := range p.Data {
		if b != said(p.Path, p.Offset+uint64(i)) {
			c.say("connection %d: another byte than was said at %d", p.ConnID, p.Offset+uint64(i))
			break
		}
	}
}

// slack is how many KiB of memory come and go: buffers that a load has needed
// once.
const slack = 128 << 10

const header = "   TIME  MESSAGES  CAPTURED      LOST  WRONG  CONNS  KILLED  FAULTS  RSS KiB  FDS"

// print prints a line: counts from the beginning on, and the present state.
func (s sample) print(out io.Writer, l *load, w *watch) {
	var conns, kills uint64
	for _, t := range l.sockets {
		conns += t.conns.Load()
		kills += t.kills.Load()
	}
	messages := l.messages()
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(out, "%s  %8d  %8d  %8d  %5d  %5d  %6d  %6d  %7d  %3d\n", time.Now().Format("15:04:05")[1:],
		messages, w.checker.captured, w.checker.dropped, w.checker.mistakes, conns, kills, w.faults, s.resident, s.files)
}

// judge says whether all was right.
func (w *watch) judge(out io.Writer, l *load, samples []sample) error {
	c := &w.checker
	var said, there, lost, skipped uint64
	for _, t := range l.sockets {
		got := c.paths[t.path]
		if got == nil {
			got = new(counted)
		}
		heard := t.heard.Load()
		if got.there+got.lost+got.skipped > heard {
			c.say("%s: %d bytes said, %d captured, %d counted as lost", t.path, heard, got.there, got.lost)
		}
		said, there, lost = said+heard, there+got.there, lost+got.lost
		skipped += (got.skipped + uint64(t.size) - 1) / uint64(t.size)
	}
	messages := l.messages()
	fmt.Fprintf(out, "%d messages, of %d bytes: %d captured, of %d bytes; %d counted as lost (others' too), of %d bytes that packets tell of; %d skipped\n",
		messages, said, c.captured, there, c.dropped, lost, skipped)
	// Of others more may be lost: where the ring buffer is full it is not known
	// what they are about.
	if c.captured+c.dropped+skipped < messages {
		c.say("%d messages, but %d captured, %d counted as lost, %d skipped", messages, c.captured, c.dropped, skipped)
	}
	if words := w.words(); strings.Contains(words, "leaving out") {
		c.say("sockcap leaves out: %s", words)
	}
	if n := len(samples); n >= 8 {
		early, late := most(samples[n/4:n/2]), least(samples[3*n/4:])
		if late.resident > early.resident*3/2+slack {
			c.say("memory has grown from %d to %d KiB", early.resident, late.resident)
		}
		if late.files > early.files+2 {
			c.say("descriptors have grown from %d to %d", early.files, late.files)
		}
	}
	for _, line := range c.wrong {
		fmt.Fprintln(out, "wrong:", line)
	}
	if c.mistakes > 0 {
		return errors.New("not all was right")
	}
	return nil
}

// least is the smallest of each.
func least(samples []sample) sample {
	m := samples[0]
	for _, s := range samples {
		m.resident, m.files = min(m.resident, s.resident), min(m.files, s.files)
	}
	return m
}

// most is the largest of each.
func most(samples []sample) (m sample) {
	for _, s := range samples {
		m.resident, m.files = max(m.resident, s.resident), max(m.files, s.files)
	}
	return m
}
