package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// untilSignal returns a context that ends with the first SIGINT, SIGTERM or
// SIGHUP. As in tcpdump, SIGHUP stays ignored if it was when we were started,
// as under nohup(1); SIGINT does not, which a script's shell lets us ignore in
// the background, and then sends us. A while later those signals kill again, so
// that one more Ctrl-C gets rid of a sockcap that cannot end because nobody
// reads what it writes.
func (h *host) untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ends := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(parent, ends...)
	context.AfterFunc(ctx, func() { time.AfterFunc(h.sameSignal, stop) })
	return ctx, func() {
		if ctx.Err() == nil { // else the same signal may come again until we have exited
			stop()
		}
	}
}

// onSignals calls usr1 and usr2 when those signals come, one call at a time,
// until the returned function is called; that one waits for a running call.
func onSignals(usr1, usr2 func()) (stop func()) {
	signals := make(chan os.Signal, 16) // a full channel drops signals
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		defer close(done)
		for s := range signals {
			if s == syscall.SIGUSR1 {
				usr1()
			} else {
				usr2()
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// catchPipes lets writes to a pipe that nobody reads fail with EPIPE, where Go
// would otherwise end the program for standard output. The signal is caught,
// not ignored: what we run must not inherit that.
func catchPipes() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGPIPE)
	return func() { signal.Stop(signals) }
}
