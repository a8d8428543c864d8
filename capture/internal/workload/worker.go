package workload

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Case is one piece of traffic.
type Case struct {
	Name  string
	About string
	Early bool // makes sockets before the capture begins

	run func(*Env)
}

// Config says what a [Worker] is started for.
type Config struct {
	Seed  uint64   // of the contents and sizes
	Dir   string   // where the case's folders are made; empty: os.TempDir
	Cases []string // which are to be run; none: all
}

// Worker is the process that runs the cases. It is used by one goroutine.
type Worker struct {
	p   *process
	dir string
}

// Start starts the worker, lets the early cases make their sockets, and waits
// until they have. When ctx ends the worker is killed.
func Start(ctx context.Context, c Config) (*Worker, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, opError("start worker", "", err)
	}
	dir, err := os.MkdirTemp(c.Dir, "wl")
	if err != nil {
		return nil, opError("start worker", "", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, opError("start worker", "", err)
	}
	cmd := exec.CommandContext(ctx, exe)
	p, err := launch(cmd, spec{Role: "worker", Comm: "wl-worker", Dir: dir, Seed: c.Seed, Cases: c.Cases}, nil)
	if err != nil {
		return nil, opError("start worker", "", errors.Join(err, os.RemoveAll(dir)))
	}
	w := &Worker{p: p, dir: dir}
	if _, err := w.hear(); err != nil {
		return nil, opError("start worker", "", errors.Join(err, w.Close()))
	}
	return w, nil
}

// PID is the worker's.
func (w *Worker) PID() int { return w.p.cmd.Process.Pid }

// Run runs one case and returns what is known of it. The capture must run, and
// run until it has had the time to see the end of it. Each case runs once.
func (w *Worker) Run(name string) (*Truth, error) {
	if _, err := io.WriteString(w.p.commands, name+"\n"); err != nil {
		return nil, opError("run", name, err)
	}
	m, err := w.hear()
	if err != nil {
		return nil, opError("run", name, err)
	}
	return m.Truth, nil
}

func (w *Worker) hear() (message, error) {
	var m message
	if err := w.p.messages.Decode(&m); err != nil {
		return m, fmt.Errorf("worker: %w", err)
	}
	return m, m.failure()
}

// Close ends the worker and removes its files.
func (w *Worker) Close() error {
	return opError("close worker", "", errors.Join(w.p.end(), os.RemoveAll(w.dir)))
}

// running is a case in the worker.
type running struct {
	e    *Env
	done chan message
}

// serve is the worker: it runs the case that each line names.
func serve(s spec, in io.Reader, out *gob.Encoder) error {
	early := make(map[string]*running)
	for i, c := range Cases() {
		if c.Early && (len(s.Cases) == 0 || slices.Contains(s.Cases, c.Name)) {
			r := launchCase(c, s, i)
			early[c.Name] = r
			select {
			case <-r.e.early:
			case m := <-r.done: // it failed before: told when it is asked for
				r.done <- m
			}
		}
	}
	if err := out.Encode(message{Text: "ready"}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		m := message{Err: "no such case"}
		for i, c := range Cases() {
			if c.Name != lines.Text() {
				continue
			}
			r := early[c.Name]
			if r == nil {
				r = launchCase(c, s, i)
			}
			close(r.e.begin)
			m = <-r.done
		}
		if err := out.Encode(m); err != nil {
			return err
		}
	}
	return nil
}

// launchCase starts the case c, the i-th, in a thread of its own.
func launchCase(c Case, s spec, i int) *running {
	e := &Env{
		dir:   filepath.Join(s.Dir, strconv.Itoa(i)),
		seed:  mix(s.Seed + uint64(i)),
		begin: make(chan struct{}),
		early: make(chan struct{}),
	}
	r := &running{e: e, done: make(chan message, 1)}
	go func() {
		runtime.LockOSThread()
		if !c.Early {
			<-e.begin
		}
		truth, err := e.runCase(c)
		m := message{Truth: truth}
		m.setFailure(err)
		r.done <- m
	}()
	return r
}

// runCase runs c and settles the account.
func (e *Env) runCase(c Case) (*Truth, error) {
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		return nil, err
	}
	t := &Truth{Case: c.Name, Seed: e.seed, Start: time.Now()}
	err := guard(func() {
		e.main = e.newTask("")
		e.main.Thread = "" // set below: the thread may be one that the runtime made earlier
		check("prctl", setThreadName("wl-worker"))
		c.run(e)
		e.wait()
		for _, k := range e.kids {
			if !k.ended {
				k.join()
			}
		}
	})
	err = errors.Join(err, e.closeAll())
	t.End = time.Now()
	if err != nil {
		return nil, err
	}
	recvs := t.merge(e.report(), nil)
	for _, k := range e.kids {
		for _, r := range append(k.past, k.report) {
			recvs = t.merge(k.translate(r), recvs)
		}
	}
	for _, f := range e.flows {
		t.Flows = append(t.Flows, *f)
	}
	t.Existing = e.existing
	t.Events = sortEvents(e.events)
	if e.resumed != 0 {
		t.Start = time.Unix(0, e.resumed)
	}
	return t, t.resolve(recvs)
}

// closeAll ends what the case left.
func (e *Env) closeAll() error {
	var errs []error
	for _, k := range e.kids {
		if !k.ended {
			errs = append(errs, k.cmd.Process.Kill())
			_ = k.end()
		}
	}
	for _, fd := range e.fds {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(append(errs, os.RemoveAll(e.dir))...)
}
