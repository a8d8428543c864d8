package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// guest is a way for a second sockcap to come in the middle of the load, where
// sockets are older than its capture, to write files, and to go.
type guest struct {
	name string
	args []string // before the name of the file
	file string
	full bool                 // the disk becomes full
	end  func(*program) error // has it end, and says if it ended otherwise than it should
	cut  bool                 // what it saw last may be missing, uncounted
	torn bool                 // its file may end inside a block: the kernel ends a write of who is killed
}

func guests() []guest {
	interrupt := func(p *program) error {
		p.signal(os.Interrupt)
		return p.cmd.Wait()
	}
	itself := func(p *program) error { return p.cmd.Wait() }
	return []guest{
		{name: "file", file: "f", end: interrupt},
		{name: "by size", args: []string{"-C", "4", "-z", "true"}, file: "f", end: interrupt},
		{name: "by time", args: []string{"-G", "1", "-z", "true"}, file: "f-%s", end: interrupt},
		{name: "count", args: []string{"-c", "999"}, file: "f", end: itself, cut: true},
		{name: "killed", args: []string{"-U"}, file: "f", end: func(p *program) error {
			p.kill()
			return nil
		}, cut: true, torn: true},
		{name: "full", file: "f", full: true, cut: true, end: func(p *program) error {
			if err := p.cmd.Wait(); p.cmd.ProcessState.ExitCode() != 1 {
				return fmt.Errorf("disk full, and it ended with %w", err)
			}
			return nil
		}},
	}
}

// receive has guests come and go until ctx is done. What was wrong is said.
func (s *soak) receive(ctx context.Context, b *books, dir string, random *rand.Rand) error {
	all := guests()
	for n := 0; ; n++ {
		if sleep(ctx, time.Duration(random.Int64N(int64(3*time.Second)))); ctx.Err() != nil {
			return nil
		}
		g := all[random.IntN(len(all))]
		if err := s.entertain(ctx, b, &g, filepath.Join(dir, fmt.Sprint("guest", n)), time.Duration(random.Int64N(int64(2*time.Second)))); err != nil {
			return fmt.Errorf("guest %d, %s: %w", n, g.name, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// entertain is one guest's visit.
func (s *soak) entertain(ctx context.Context, b *books, g *guest, dir string, stays time.Duration) (failed error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil { // it gives up its rights
		return err
	}
	if g.full {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=777"); err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	}
	p, err := s.newProgram(append(slices.Clone(g.args), "-w", filepath.Join(dir, g.file))...)
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	if err := p.listens(); err != nil {
		return err
	}
	during := p.span()
	sleep(ctx, stays)
	during.to = time.Now()
	if err := g.end(p); err != nil {
		return fmt.Errorf("%w: %s", err, p.words())
	}
	if g.cut {
		during.to = during.from
	}
	return b.compare(g, dir, during)
}

// compare compares a guest's files with what was sent.
func (b *books) compare(g *guest, dir string, during span) error {
	c := newChecker()
	c.whose = b.l.ledger.flowOf
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(x, y os.DirEntry) int {
		return cmp.Or(cmp.Compare(len(x.Name()), len(y.Name())), cmp.Compare(x.Name(), y.Name()))
	})
	for _, f := range files {
		if err := checkFile(c, filepath.Join(dir, f.Name())); err != nil && !(g.torn && errors.Is(err, pcapng.ErrCutOff)) {
			c.say("%s: %v", f.Name(), err)
		}
	}
	a := c.reconcile(b.l.ledger.all(1, 0), during)
	if c.dropped < a.missing && !g.cut || c.dropped > a.missing+a.edges {
		c.say("%d packets are counted as lost, at least %d are missing, at most %d", c.dropped, a.missing, a.missing+a.edges)
	}
	for _, text := range append(c.wrong, a.wrong...) {
		b.say(fmt.Sprintf("guest (%s): %s", g.name, text))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.guests.add(c, len(files))
	return nil
}

// checkFile checks the packets of one file.
func checkFile(c *checker, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := pcapng.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return err
	}
	for p, err := range r.Packets() {
		if err != nil {
			return err
		}
		c.check(p)
	}
	return nil
}

// visits are what guests captured.
type visits struct{ files, captured, dropped uint64 }

func (v *visits) add(c *checker, files int) {
	v.files += uint64(files)
	v.captured += c.captured
	v.dropped += c.dropped
}
