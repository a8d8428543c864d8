package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
)

// command is the command after --, from before its first instruction to its
// end. It is made as a process of this program that waits (see hold), so that
// a capture can begin with it in view.
type command struct {
	h       *host
	process *os.Process
	gate    *os.File     // a byte lets it begin; closed without one, it never does
	report  *os.File     // says why it can't; ends when it has begun
	state   atomic.Int32 // commandWaits, commandBegun, or the signal that came first
	signals chan os.Signal
	done    chan struct{} // closed when the process has ended
	status  int           // then
}

// What a command's state is, when it is no signal.
const (
	commandWaits = 0
	commandBegun = -1
)

// exitStatus is a command's, or what stands in its place. All has been said.
type exitStatus int

func (s exitStatus) Error() string { return "exit status " + strconv.Itoa(int(s)) }

// captureCommand runs the command in f and captures it and its descendants,
// until it ends. If the capture ends before, the command goes on without it.
func captureCommand(ctx context.Context, h *host, f *flags) error {
	c, err := holdCommand(h, f)
	if err != nil {
		return err
	}
	defer c.close()
	sockets, err := capture.Inherited()
	if err != nil {
		return err
	}
	f.capture.Family = &capture.Family{PID: c.process.Pid, Sockets: sockets}
	words := *h
	words.stdout = c.words() // the command has the other
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.handSignals(cancel)
	if status := h.report(unlessEnded(ctx, captureLive(ctx, &words, f, c))); status != 0 {
		c.wait()
		return exitStatus(status)
	}
	return exitStatus(c.wait())
}

// holdCommand starts the command up to its first instruction. Signals that are
// ignored here it will ignore too, so none is caught yet.
func holdCommand(h *host, f *flags) (*command, error) {
	who, err := h.commandUser(f.user)
	if err != nil {
		return nil, err
	}
	c := &command{h: h, signals: make(chan os.Signal, 16), done: make(chan struct{})}
	gate, opener, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	report, reporter, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, opener.Close())
	}
	defer reporter.Close()
	c.gate, c.report = opener, report
	if c.process, err = startHeld(h, c.words(), who, gate, reporter, f.command); err != nil {
		return nil, errors.Join(err, opener.Close(), report.Close())
	}
	reporter.Close()
	go c.watch()
	if err := c.hear(f.command[0]); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// startHeld starts this program as a process that waits to become the command.
// Its two descriptors have the numbers that they have here, as those that our
// caller gave us have: the command gets them all.
func startHeld(h *host, stderr *os.File, who *account, gate, report *os.File, words []string) (*os.Process, error) {
	args := []string{holdName}
	for _, f := range []*os.File{gate, report} {
		fd := f.Fd()
		if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil {
			return nil, err
		}
		args = append(args, strconv.Itoa(int(fd)))
	}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append(append(args, who.String()), words...), Env: who.environ(os.Environ()),
		Stdin: h.stdin, Stdout: h.stdout, Stderr: stderr,
	}
	err := cmd.Start()
	return cmd.Process, err
}

// words is the file that words go to.
func (c *command) words() *os.File {
	if f, ok := c.h.stderr.(*os.File); ok {
		return f
	}
	return os.Stderr
}

// hear reads the next word of the process that waits: that it does, or why it
// can't become the command.
func (c *command) hear(name string) error {
	status := make([]byte, 1)
	if _, err := io.ReadFull(c.report, status); err != nil {
		return nil // it has begun, or was killed
	}
	if status[0] == 0 {
		return nil
	}
	why, err := io.ReadAll(c.report)
	if err != nil {
		return err
	}
	return &errCommand{name: name, why: string(why), status: int(status[0])}
}

// begin lets the command run, unless a signal came before, and calls ended when
// it has ended. The error says that it could not be run after all.
func (c *command) begin(name string, ended func()) error {
	if !c.state.CompareAndSwap(commandWaits, commandBegun) {
		return nil
	}
	c.gate.Write([]byte{1}) // what was killed meanwhile has ended
	if err := c.hear(name); err != nil {
		return err
	}
	go func() {
		<-c.done
		ended()
	}()
	return nil
}

// watch waits for the process.
func (c *command) watch() {
	defer close(c.done)
	state, err := c.process.Wait()
	if err != nil {
		c.status = 1
		return
	}
	c.status = state.ExitCode()
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		c.status = signaled(w.Signal())
	}
}

// signaled is the exit status that a shell has for a signal.
func signaled(s syscall.Signal) int { return 128 + int(s) }

// wait waits for the command's end and gives its status; if it was never let
// begin, it is not waited for.
func (c *command) wait() int {
	switch s := c.state.Load(); s {
	case commandWaits:
		return 0
	case commandBegun:
		<-c.done
		return c.status
	default:
		return signaled(syscall.Signal(s))
	}
}

// close ends a process that still waits, and what is there for it.
func (c *command) close() {
	signal.Stop(c.signals)
	c.gate.Close()
	<-c.done
	c.report.Close()
}

// handSignals hands signals on to the command. One that comes before it has
// begun ends the capture. What the terminal sends, it sends to the command too.
// Which is ignored stays so as in untilSignal.
func (c *command) handSignals(end func()) {
	signal.Notify(c.signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c.signals, syscall.SIGHUP)
	}
	go func() {
		for {
			select {
			case <-c.done:
				return
			case s := <-c.signals:
				c.hand(s.(syscall.Signal), end)
			}
		}
	}()
}

func (c *command) hand(s syscall.Signal, end func()) {
	switch {
	case c.state.CompareAndSwap(commandWaits, int32(s)):
		end()
	case c.state.Load() != commandBegun: // it never will
	case (s == syscall.SIGINT || s == syscall.SIGQUIT) && inForeground():
	default:
		c.process.Signal(s) // or it has ended
	}
}

// inForeground reports whether our process group, which is the command's too,
// is the one that its terminal sends signals to.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false // we have no terminal
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
