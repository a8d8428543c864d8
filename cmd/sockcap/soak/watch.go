package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// watch is sockcap at work, and what is read of its output.
type watch struct {
	cmd  *exec.Cmd
	out  *slowReader
	read chan error // how reading its output ended

	mu      sync.Mutex
	stderr  bytes.Buffer
	checker checker
	faults  int // that were injected
}

// Write takes what sockcap says.
func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stderr.Write(p)
}

func (w *watch) words() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stderr.String()
}

// watch starts sockcap and waits until it captures.
func (s *soak) watch(dir string) (*watch, error) {
	w := &watch{read: make(chan error, 1)}
	w.cmd = exec.Command(s.sockcap, "-B", strconv.Itoa(s.buffer), "-w", "-", dir)
	w.cmd.Env = append(os.Environ(), s.env...)
	w.cmd.Stderr = w
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = &slowReader{r: out}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { w.read <- w.readPackets() }()
	for limit := time.Now().Add(2 * time.Minute); !strings.Contains(w.words(), "listening on"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			w.kill()
			return nil, fmt.Errorf("sockcap does not listen: %s", w.words())
		}
	}
	return w, nil
}

func (w *watch) kill() {
	w.cmd.Process.Kill()
	w.cmd.Wait()
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
		w.mu.Lock()
		w.checker.check(p)
		w.mu.Unlock()
	}
	return nil
}

// end has sockcap end, and reads the rest.
func (w *watch) end() error {
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
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
	shut bool // for who pauses and resumes, which is one goroutine
}

func (s *slowReader) Read(p []byte) (int, error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	return s.r.Read(p)
}

// pause lets nothing be read up to resume.
func (s *slowReader) pause() {
	s.gate.Lock()
	s.shut = true
}

func (s *slowReader) resume() {
	if s.shut {
		s.shut = false
		s.gate.Unlock()
	}
}

// injectFaults does harm at random until ctx is done: sockcap is stopped, or its
// reader reads nothing, or many processes begin and end. (The load kills who
// sends, and removes sockets.)
func (w *watch) injectFaults(ctx context.Context, seed uint64) {
	random := rand.New(rand.NewPCG(seed, talkers))
	wait := func(most time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Duration(random.Int64N(int64(most)))):
			return true
		}
	}
	for wait(4 * time.Second) {
		w.mu.Lock()
		w.faults++
		w.mu.Unlock()
		switch random.IntN(4) {
		case 0:
			w.cmd.Process.Signal(syscall.SIGSTOP)
			wait(2 * time.Second)
			w.cmd.Process.Signal(syscall.SIGCONT)
		case 1:
			w.out.pause()
			wait(2 * time.Second)
			w.out.resume()
		case 2:
			for range 50 {
				exec.Command("/proc/self/exe", senderRole, "/nowhere", "unix", "1").Run()
			}
		case 3:
			w.cmd.Process.Signal(syscall.SIGUSR2)
		}
	}
}

// sample is how sockcap is at a moment.
type sample struct {
	resident int // KiB, without what it maps
	files    int
}

var anonymous = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

func (w *watch) sample() (sample, error) {
	dir := fmt.Sprintf("/proc/%d/", w.cmd.Process.Pid)
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
	return sample{resident: kib, files: len(files)}, err
}
