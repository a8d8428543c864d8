// Command soak runs sockcap under load for a time, with faults at random, and
// compares what it captured with what was sent. It goes by rounds. In each, many
// connections come and go while harm is done. Then all is quiet, and the account
// has to be even:
//
//   - every message that was captured is as it was sent, in its order, once, with
//     its sender, its path and what was passed along;
//   - what is missing between two messages, or behind the last, is told to be
//     lost there, to the byte;
//   - as many messages are missing as packets are counted to be lost, not one
//     more or less. It is alone in a network namespace, so nothing of others is
//     among them.
//
// And sockcap's memory and descriptors stay what they were. A line says how each
// round was; the status is 1 if anything was wrong. The seed decides what is done
// when, as far as a machine does the same twice.
//
//	make soak soak_flags='-time 1h -seed 7'
//
// Beside it other sockcaps come in the middle of it and go, each in its way: they
// write files that are rotated, are killed, find their disk full.
//
// It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// insideName in the environment says that this process is alone in its network
// namespace.
const insideName = "SOAK_INSIDE"

func main() {
	is, err := childMain(os.Args)
	switch {
	case is:
	case os.Getenv(insideName) == "":
		err = goInside()
	default:
		err = soakMain()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// outside is the descriptor of the network namespace that goInside came from.
const outside = 3

// goInside does all in another process, alone in a network namespace.
func goInside() error {
	out, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideName+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, []*os.File{out}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread()      // for it to die with this thread is to die with this process
	signal.Ignore(os.Interrupt) // it gets that too
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		os.Exit(exit.ExitCode()) // it has said why
	}
	return err
}

func soakMain() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	syscall.CloseOnExec(outside)
	s := soak{out: os.Stdout, patience: 30 * time.Second, inside: true}
	flag.StringVar(&s.sockcap, "sockcap", "./sockcap", "the `program` to test")
	flag.DurationVar(&s.time, "time", 5*time.Minute, "how long")
	flag.DurationVar(&s.round, "round", 4*time.Second, "how long the load of a round")
	flag.BoolVar(&s.faults, "faults", true, "do harm at random")
	flag.IntVar(&s.buffer, "B", 4096, "sockcap's ring buffer in `KiB`")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "of what happens when")
	flag.Parse()
	return s.run(ctx)
}

// soak is one run.
type soak struct {
	sockcap     string
	time, round time.Duration
	seed        uint64
	faults      bool
	buffer      int
	out         io.Writer

	inside   bool          // it is alone in its network namespace
	env      []string      // for tests
	patience time.Duration // how long news may take, for what can only fail
}

// errWrong says that it has been said what was wrong.
var errWrong = errors.New("not all was right")

// run is the whole of it.
func (s *soak) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("/tmp", "soak") // a short path: it has to fit in the address of a socket
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(s.out, "seed %d\n", s.seed)
	l, err := newLoad(dir, newLedger())
	if err != nil {
		return err
	}
	defer l.stays.close()
	w, err := s.watch(l)
	if err != nil {
		return err
	}
	defer w.kill()
	b := &books{w: w, l: l, out: s.out, patience: s.patience}
	ctx, fail := context.WithCancel(ctx)
	defer fail()
	visitors, stop := context.WithCancel(ctx)
	defer stop()
	received := make(chan error, 1)
	go func() {
		var err error
		if s.faults {
			err = s.receive(visitors, b, dir, rand.New(rand.NewPCG(s.seed, talkers+1)))
		}
		if err != nil {
			fail()
		}
		received <- err
	}()
	fmt.Fprintln(s.out, header)
	random := rand.New(rand.NewPCG(s.seed, talkers))
	for end := time.Now().Add(s.time); time.Now().Before(end) && ctx.Err() == nil; {
		if err := s.oneRound(ctx, b, random); err != nil {
			return fmt.Errorf("%w; sockcap says: %s", err, w.words())
		}
	}
	stop()
	if err := errors.Join(<-received, w.end()); err != nil {
		return err
	}
	return b.close()
}

// oneRound is load, harm, and an account of both.
func (s *soak) oneRound(ctx context.Context, b *books, random *rand.Rand) error {
	seed, harm := random.Uint64(), rand.New(rand.NewPCG(random.Uint64(), 0))
	ctx, cancel := context.WithTimeout(ctx, s.round)
	defer cancel()
	harmed := make(chan int, 1)
	go func() {
		n := 0
		if s.faults {
			n = b.w.harm(ctx, harm)
		}
		harmed <- n
	}()
	err := b.l.run(ctx, seed)
	b.faults += <-harmed
	if err != nil {
		return err
	}
	return b.balance()
}
