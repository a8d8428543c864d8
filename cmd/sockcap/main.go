// Command sockcap captures what programs say to each other over Unix domain
// sockets, as tcpdump does for networks: see sockcap --help.
package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/user"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/pcapng"
)

// host is what the command finds around it. Tests put their own in place.
type host struct {
	stdin, stdout *os.File
	stderr        io.Writer

	getenv   func(string) string
	now      func() time.Time
	zone     *time.Location
	patience time.Duration // with a reader that reads nothing, once the end was asked for
	tick     time.Duration // from one progress line to the next
	start    func(context.Context, capture.Options) (session, error)
	sets     func() []capture.Set
	examine  func(context.Context) []capture.Check
	account  func(uid string) (*user.User, error)

	relinquish bool            // give up rights once a capture has begun
	root       *container.Root // the host's file system, nil: as ours
	owner      *account        // of files, nil: who called sudo, or we
	overrides  bool            // we may make files only by a capability

	proc       fs.FS           // /proc, for completions
	candidates func() []string // hook sets, as capture.Candidates

	// sameSignal is how long after a signal another one of them means no more
	// than the first: timeout(1) sends two, and so does Ctrl-C with some wrappers.
	sameSignal time.Duration
}

// session is a running capture: a *capture.Session, whose methods say more.
type session interface {
	Hooks() string
	Now() time.Time
	Packets() iter.Seq2[*pcapng.Packet, error]
	Stats() capture.Stats
	Close() error
}

func main() {
	if os.Args[0] == holdName {
		os.Exit(hold(os.Args[1:]))
	}
	if os.Args[0] == probeName {
		os.Exit(probe(os.Args[1:]))
	}
	h := &host{
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		getenv:   os.Getenv,
		now:      time.Now,
		zone:     time.Local,
		patience: 2 * time.Second,
		tick:     time.Second,
		start:    start,
		sets:     capture.Sets,
		examine:  examine,
		account:  user.LookupId,

		relinquish: true,

		proc:       os.DirFS("/proc"),
		candidates: capture.Candidates,
		sameSignal: time.Second,
	}
	h.root, _ = container.OpenHost() // who may not has none; doctor tells
	os.Exit(h.main(os.Args[1:]))
}

func start(ctx context.Context, o capture.Options) (session, error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(startGarbage)
		defer debug.SetGCPercent(garbage)
	}
	s, err := capture.Start(ctx, o)
	if err != nil {
		return nil, err // not s: a nil *Session is no nil session
	}
	return s, nil
}

// How much garbage there may be, in percent of what is used. To start a capture
// makes much of it once, and somebody waits for it. Packets make none, but
// sockets that come and go do: half of what Go allows costs no time that can be
// seen, and a quarter of memory less.
const (
	startGarbage = 400
	garbage      = 50
)

// main runs the command with these arguments and returns its exit status.
func (h *host) main(args []string) int {
	stop := catchPipes()
	defer stop()
	ctx := context.Background()
	if isExtcap(args) {
		return h.report(unlessEnded(ctx, h.extcap(ctx, args)))
	}
	return h.report(unlessEnded(ctx, execute(ctx, h, args)))
}

// isBrokenPipe reports whether whoever read our output went away: no error,
// as for head(1)'s sake.
func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
