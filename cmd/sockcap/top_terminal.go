package main

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// screen is a terminal that is drawn on as a whole. What stood there before
// comes back when it is closed, and so do the terminal's settings. A nil screen
// has no keys and no signals, and closing it does nothing.
type screen struct {
	out, in *os.File
	mu      sync.Mutex
	had     *unix.Termios // settings of in before, nil if it is no terminal
	shown   bool
	closed  bool
	pressed chan byte
	sent    chan os.Signal
	quit    *os.File // closing it ends the reading of keys
	done    chan struct{}
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the other screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	drawHome    = "\x1b[H"
	drawRest    = "\x1b[K" // erases the line's
	drawBelow   = "\x1b[J"
	drawTitle   = "\x1b[7m"
	drawPlain   = "\x1b[m"
)

// openScreen is nil where standard output is no terminal that can be drawn on.
func openScreen(h *host) (*screen, error) {
	if !isTerminal(h.stdout) || h.getenv("TERM") == "" || h.getenv("TERM") == "dumb" {
		return nil, nil
	}
	s := &screen{out: h.stdout, in: h.stdin, pressed: make(chan byte), sent: make(chan os.Signal, 4), done: make(chan struct{})}
	if isTerminal(h.stdin) {
		wait, quit, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		s.quit = quit
		go s.read(wait)
	} else {
		close(s.done)
	}
	if err := s.enter(); err != nil {
		s.close()
		return nil, err
	}
	signal.Notify(s.sent, unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT)
	return s, nil
}

// enter takes the terminal: keys come one by one and are not shown.
func (s *screen) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quit != nil && s.had == nil {
		had, err := unix.IoctlGetTermios(int(s.in.Fd()), unix.TCGETS)
		if err != nil {
			return err
		}
		wants := *had
		wants.Lflag &^= unix.ICANON | unix.ECHO
		wants.Cc[unix.VMIN], wants.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(int(s.in.Fd()), unix.TCSETSW, &wants); err != nil {
			return err
		}
		s.had = had
	}
	s.shown = true
	_, err := s.out.WriteString(enterScreen)
	return err
}

// leave gives the terminal back. Nobody is left to tell when that fails.
func (s *screen) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		s.out.WriteString(leaveScreen)
		s.shown = false
	}
	if s.had != nil {
		unix.IoctlSetTermios(int(s.in.Fd()), unix.TCSETSW, s.had)
		s.had = nil
	}
}

// close is idempotent.
func (s *screen) close() {
	if s == nil {
		return
	}
	s.leave()
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return
	}
	signal.Stop(s.sent)
	if s.quit != nil {
		s.quit.Close()
	}
	<-s.done
}

// closeIfPanicking is deferred in other goroutines than the one that closes: a
// panic there ends the program without running what is deferred here.
func (s *screen) closeIfPanicking() {
	if r := recover(); r != nil {
		if s != nil {
			s.leave()
		}
		panic(r)
	}
}

func (s *screen) keys() <-chan byte {
	if s == nil {
		return nil
	}
	return s.pressed
}

func (s *screen) signals() <-chan os.Signal {
	if s == nil {
		return nil
	}
	return s.sent
}

// read reads keys until wait is at its end, or standard input is.
func (s *screen) read(wait *os.File) {
	defer close(s.done)
	defer wait.Close()
	fds := []unix.PollFd{{Fd: int32(s.in.Fd()), Events: unix.POLLIN}, {Fd: int32(wait.Fd()), Events: unix.POLLIN}}
	key := make([]byte, 1)
	for {
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil || fds[1].Revents != 0 {
			return
		}
		n, err := unix.Read(int(s.in.Fd()), key)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case n < 1:
			return
		}
		if !s.hand(key[0], fds[1:]) {
			return
		}
	}
}

// hand hands a key on, unless the end is asked for meanwhile.
func (s *screen) hand(key byte, wait []unix.PollFd) bool {
	for {
		select {
		case s.pressed <- key:
			return true
		default:
		}
		if _, err := unix.Poll(wait, 10); err != unix.EINTR && (err != nil || wait[0].Revents != 0) {
			return false
		}
	}
}

// handle does what a signal asks for besides drawing anew.
func (s *screen) handle(sig os.Signal) {
	switch sig {
	case unix.SIGTSTP: // Ctrl-Z: the shell gets its terminal as it was
		s.leave()
		unix.Kill(os.Getpid(), unix.SIGSTOP)
	case unix.SIGCONT:
		s.enter() // an error stays, for show
	}
}

// show draws, unless the terminal is somebody else's at the time.
func (s *screen) show(t *topScreen, v *topView) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shown {
		return nil
	}
	columns, rows := windowSize(s.out)
	if columns == 0 || rows == 0 {
		columns, rows = 80, 24 // a terminal that does not say
	}
	const others = 3 // lines besides those of the table's rows
	text := t.append(nil, v, columns, max(rows-others, 1))
	frame := append([]byte(nil), drawHome...)
	line := 0
	for start := 0; start < len(text) && line < rows-1; line++ {
		end := start
		for text[end] != '\n' {
			end++
		}
		row := fitStart(string(text[start:end]), columns)
		if line == 1 {
			row = drawTitle + row + drawPlain
		}
		frame = append(append(append(frame, row...), drawRest...), '\r', '\n')
		start = end + 1
	}
	frame = append(append(frame, drawBelow...), fitStart(topKeyLine, columns)...)
	_, err := s.out.Write(frame)
	return err
}
