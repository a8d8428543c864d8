package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is how long after a signal another one of them means no more than the
// first: timeout(1) sends two, and so does Ctrl-C with some wrappers.
const sameSignal = time.Second

// untilSignal returns a context that ends with the first SIGINT, SIGTERM or
// SIGHUP. A while later those signals kill again, so that one more Ctrl-C gets
// rid of a sockcap that cannot end because nobody reads what it writes.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	return ctx, stop
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
