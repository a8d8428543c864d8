// Command bench measures what a capture costs: the traced program, sockcap
// itself, and the disk. It prints tables of ratios, each of a measurement to
// one of the same round without a capture, as the machines that it runs on are
// shared and noisy: minimum, median and maximum of all rounds.
//
//	make build && go run ./cmd/sockcap/bench -sockcap ./sockcap
//
// It needs root, and strace, bpftrace and tcpdump for the comparison with them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	play()
	exit(run())
}

// play makes this process one that another of this program has started, and
// returns if it is none.
func play() {
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case trafficRole:
		exit(trafficMain(os.Args[2:]))
	case holderRole:
		exit(holderMain(os.Args[2:]))
	case talkersRole:
		exit(talkersMain(os.Args[2:]))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is one run of all measurements.
type bench struct {
	sockcap string
	rounds  int
	long    bool
	dir     string // for captures
}

// sections are the tables, in the order in which they are printed.
var sections = [...]struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"cost", (*bench).cost},
	{"flood", (*bench).flood},
	{"bystander", (*bench).bystander},
	{"start", (*bench).start},
	{"growth", (*bench).growth},
	{"crowd", (*bench).crowd},
	{"memory", (*bench).memory},
	{"read", (*bench).read},
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var b bench
	flag.StringVar(&b.sockcap, "sockcap", "./sockcap", "the `program` to measure")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each is measured")
	flag.BoolVar(&b.long, "long", false, "a flood of 10 s, files of 2 GB")
	only := flag.String("only", "", "only sections that match this `expression`: cost flood bystander start growth crowd memory read")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "sockcap-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for _, s := range sections {
		if !chosen.MatchString(s.name) {
			continue
		}
		if err := s.run(&b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
