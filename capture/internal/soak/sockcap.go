package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// program is a running sockcap.
type program struct {
	cmd     *exec.Cmd
	inside  bool // this process is alone in its network namespace
	started time.Time
	begun   time.Time // it listened

	mu     sync.Mutex
	stderr bytes.Buffer
}

// Write takes what sockcap says.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *program) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// newProgram is one that captures all that is sent in this network namespace, as
// the kernel side knows it: what others do on the machine costs it nothing.
func (s *soak) newProgram(args ...string) (*program, error) {
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/net", &st); err != nil {
		return nil, err
	}
	p := &program{inside: s.inside}
	// Who talks for himself is found by holding output back for moments, which
	// proves nothing beside a load that pauses by itself and a sockcap that is
	// stopped: that is not asked for here.
	args = append(args, "--include-self", "-B", strconv.Itoa(s.buffer), "netns", strconv.FormatUint(st.Ino, 10))
	p.cmd = exec.Command(s.sockcap, args...)
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Stderr = p
	return p, nil
}

// start starts it, outside of this network namespace: it sends to itself to find
// out what works.
func (p *program) start() error {
	p.started = time.Now()
	if !p.inside {
		return p.cmd.Start()
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // a thread that can't come back ends
		err := errors.Join(unix.Setns(outside, unix.CLONE_NEWNET), p.cmd.Start())
		if back := setnsBack(); back == nil {
			runtime.UnlockOSThread()
		}
		failed <- err
	}()
	return <-failed
}

// setnsBack takes the calling thread to the namespace of this process.
func setnsBack() error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", os.Getpid()))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// span is that of a capture that goes on.
func (p *program) span() span { return span{start: p.started, from: p.begun} }

// listens waits until it captures.
func (p *program) listens() error {
	for end := time.Now().Add(limit); !strings.Contains(p.words(), "listening on"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.kill()
			return fmt.Errorf("sockcap does not listen: %s", p.words())
		}
	}
	p.begun = time.Now()
	return nil
}

func (p *program) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended: that shows

func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// watch is the sockcap that runs for all the time, and what is read of its
// output.
type watch struct {
	*program
	out  *slowReader
	read chan error // how reading its output ended

	checking sync.Mutex
	checker  *checker
	marks    uint64 // number of the next mark that is to come
	marked   uint64 // flow of the marks
}

// watch starts sockcap and waits until it captures.
func (s *soak) watch(l *load) (*watch, error) {
	p, err := s.newProgram("-w", "-")
	if err != nil {
		return nil, err
	}
	w := &watch{program: p, read: make(chan error, 1), checker: newChecker(), marked: l.stays.f.id}
	w.checker.whose = l.ledger.flowOf
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = &slowReader{r: out}
	if err := p.start(); err != nil {
		return nil, err
	}
	go func() { w.read <- w.readPackets() }()
	return w, p.listens()
}

func (w *watch) readPackets() error {
	r, err := pcapng.NewReader(w.out)
	if err != nil {
		return err
	}
	for p, err := range r.Packets() {
		if err != nil {
			return err
		}
		w.checking.Lock()
		w.checker.check(p)
		if s := w.checker.seen[w.marked]; s != nil {
			w.marks = s.seq
		}
		w.checking.Unlock()
	}
	return nil
}

// hasMark says whether a mark was captured.
func (w *watch) hasMark(seq uint64) bool {
	w.checking.Lock()
	defer w.checking.Unlock()
	return w.marks > seq
}

// end has sockcap end, and reads the rest.
func (w *watch) end() error {
	w.signal(os.Interrupt)
	if err := <-w.read; err != nil {
		return fmt.Errorf("read what sockcap wrote: %w", err)
	}
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("sockcap: %w: %s", err, w.words())
	}
	return nil
}

// slowReader is a reader that can be made to wait.
type slowReader struct {
	r    io.Reader
	gate sync.Mutex
}

func (s *slowReader) Read(p []byte) (int, error) {
	s.wait()
	return s.r.Read(p)
}

// wait waits while the gate is shut.
func (s *slowReader) wait() {
	s.gate.Lock()
	defer s.gate.Unlock()
}

// sample is how sockcap is at a moment.
type sample struct {
	memory int // KiB, without what it maps
	files  int
	flows  int // that had been by then
}

var anonymous = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

func (p *program) sample() (sample, error) {
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return sample{}, err
	}
	m := anonymous.FindSubmatch(status)
	if m == nil {
		return sample{}, errors.New("it has no memory")
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return sample{}, err
	}
	files, err := os.ReadDir(dir + "fd")
	return sample{memory: kib, files: len(files)}, err
}
