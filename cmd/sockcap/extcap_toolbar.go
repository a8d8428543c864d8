package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/wireshark"
)

// toolbar is what Wireshark's window shows of us: buttons, a log, the status
// bar. Without control pipes, as under tshark, it swallows all. Its methods may
// be called from any goroutine until close.
type toolbar struct {
	out int      // file descriptor, -1 if there is none
	in  *os.File // nil if there is none

	mu      sync.Mutex
	session session // nil before it began
	logged  bool    // something, in this capture
	lost    uint64  // packets, as far as told

	done    chan struct{}
	running sync.WaitGroup
}

// lookForLosses is how often new losses are looked for.
const lookForLosses = time.Second

// openToolbar opens the control pipes; an empty name is none.
func openToolbar(in, out string) (*toolbar, error) {
	b := &toolbar{out: -1, done: make(chan struct{})}
	if out != "" {
		fd, err := openControl(out)
		if err != nil {
			return nil, err
		}
		b.out = fd
	}
	if in != "" {
		fd, err := openControl(in)
		if err != nil {
			b.close()
			return nil, err
		}
		b.in = os.NewFile(uintptr(fd), in)
		b.running.Go(b.listen)
	}
	return b, nil
}

// host is h, but for words: Wireshark takes each on standard error for an
// error, so all that are none go to the log.
func (b *toolbar) host(h *host) *host {
	quiet := *h
	quiet.stderr = b
	quiet.start = func(ctx context.Context, o capture.Options) (session, error) {
		s, err := h.start(ctx, o)
		if err == nil {
			b.watch(s)
		}
		return s, err
	}
	return &quiet
}

// openControl opens a fifo without waiting for Wireshark, which opens its end
// only once the capture file has begun: who is reader and writer at once never
// waits, and what is written before is kept (fifo(7)).
func openControl(name string) (int, error) {
	fd := -1
	err := asCaller(func() (err error) {
		fd, err = unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NOCTTY, 0)
		return err
	})
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return -1, errNoFifo(name)
	}
	return fd, nil
}

// Write adds lines to the log.
func (b *toolbar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logLocked(string(p))
	return len(p), nil
}

func (b *toolbar) logLocked(lines string) {
	command := wireshark.ControlAdd
	if !b.logged {
		b.logged, command = true, wireshark.ControlSet // without the last capture's
	}
	b.sendLocked(wireshark.Control{Number: controlLog, Command: command, Payload: lines})
}

func (b *toolbar) statusLocked(text string) {
	b.sendLocked(wireshark.Control{Command: wireshark.ControlStatus, Payload: text})
}

// pipeBuf is PIPE_BUF of linux/limits.h: so much goes into a pipe whole or not
// at all.
const pipeBuf = 4096

// sendLocked sends a message, or drops it where nobody reads them: a capture
// does not wait for a window.
func (b *toolbar) sendLocked(c wireshark.Control) {
	if b.out < 0 {
		return
	}
	const room = pipeBuf - len("T___nc")
	c.Payload = strings.ToValidUTF8(c.Payload[:min(len(c.Payload), room)], "")
	unix.Write(b.out, wireshark.AppendControl(nil, c))
}

// watch tells of the session from now on.
func (b *toolbar) watch(s session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
	b.statusLocked(statusCapturing(s.Hooks()))
	b.running.Go(func() {
		tick := time.NewTicker(lookForLosses)
		defer tick.Stop()
		for {
			select {
			case <-b.done:
				return
			case <-tick.C:
				b.tellLosses()
			}
		}
	})
}

// tellLosses says when more has been lost.
func (b *toolbar) tellLosses() {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.session.Stats()
	if lost := s.Dropped() + s.Cut; lost > b.lost {
		b.lost = lost
		b.statusLocked(statusOf(s.Captured, s))
		b.logLocked(losses(s) + "\n")
	}
}

// listen does what the buttons say, until the pipe is closed.
func (b *toolbar) listen() {
	for {
		c, err := wireshark.ReadControl(b.in)
		if err != nil {
			return
		}
		if c.Number == controlStatistics && c.Command == wireshark.ControlSet {
			b.mu.Lock()
			if b.session != nil {
				s := b.session.Stats()
				b.statusLocked(statusOf(s.Captured, s))
				b.logLocked(strings.Join(summary(s.Captured, s), ", ") + "\n")
			}
			b.mu.Unlock()
		}
	}
}

// close says the last word, once the session has ended, and closes the pipes.
// What was lost is returned if there was no window to tell.
func (b *toolbar) close() (lost string) {
	close(b.done)
	if b.in != nil {
		b.in.Close()
	}
	b.running.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil {
		s := b.session.Stats()
		if b.out < 0 && s.Dropped()+s.Cut > 0 {
			lost = losses(s)
		}
		b.statusLocked(statusOf(s.Captured, s))
	}
	if b.out >= 0 {
		unix.Close(b.out)
		b.out = -1
	}
	return lost
}
