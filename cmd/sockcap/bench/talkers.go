package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// talkersRole makes a process of this program one that starts talkers.
const talkersRole = "talkers"

// A talker is a process that does not live long: a program of its own name,
// which says that name over a connection of its own, and ends.
type talker struct {
	PID  int
	Name string // of the program's file, without its folder; no other has it
}

// talked says who they were.
type talked struct {
	All   []talker
	Nanos float64 // from the first to the last
}

func (t talked) perSecond() float64 { return float64(len(t.All)) / t.Nanos * 1e9 }

// startTalkers has so many of them started a second, if the machine is as fast,
// until most have been, or that is ended.
func startTalkers(ctx context.Context, dir string, perSecond, most int) (*helper, error) {
	return newHelper(ctx, talkersRole, dir, strconv.Itoa(perSecond), strconv.Itoa(most))
}

// talkedTo says who they were, of a helper that may go on until then, or waits
// until all have been.
func talkedTo(h *helper, wait bool) (talked, error) {
	var all talked
	if !wait {
		h.stop.Close()
	}
	err := json.NewDecoder(h.out).Decode(&all)
	return all, errors.Join(err, h.end())
}

// talkersMain starts talkers until its input ends.
func talkersMain(args []string) error {
	var perSecond, most int
	if _, err := fmt.Sscan(strings.Join(args[min(len(args), 1):], " "), &perSecond, &most); err != nil {
		return err
	}
	runtime.LockOSThread() // all is done by it, on one processor
	s, err := newStage(args[0])
	if err != nil {
		return err
	}
	fmt.Println("begun")
	var ended atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	var all talked
	begin := time.Now()
	for len(all.All) < most && !ended.Load() {
		due := begin.Add(time.Duration(len(all.All)) * time.Second / time.Duration(perSecond))
		time.Sleep(time.Until(due))
		t, err := s.talk()
		if err != nil {
			return err
		}
		all.All = append(all.All, t)
	}
	all.Nanos = float64(time.Since(begin).Nanoseconds())
	return errors.Join(json.NewEncoder(os.Stdout).Encode(all), s.clear())
}

// stage is where talkers come from and speak.
type stage struct {
	dir      string
	listener int
	null     *os.File
	n        int // how many there were
}

// talkersPath is where talkers connect, echoProgram what they execute, by
// another name, in a folder.
const (
	talkersPath = "talkers"
	echoProgram = "echo" // echo(1): it says its arguments
)

func newStage(dir string) (*stage, error) {
	if err := lastProcessor(); err != nil {
		return nil, err
	}
	echo, err := exec.LookPath(echoProgram)
	if err != nil {
		return nil, err
	}
	code, err := os.ReadFile(echo)
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir}
	if err := os.WriteFile(s.in(echoProgram), code, 0o755); err != nil {
		return nil, err
	}
	if s.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	s.listener, err = listenAt(s.in(talkersPath))
	return s, err
}

func (s *stage) in(name string) string { return filepath.Join(s.dir, name) }

// clear lets another have the folder.
func (s *stage) clear() error {
	return errors.Join(os.Remove(s.in(talkersPath)), os.Remove(s.in(echoProgram)))
}

// lastProcessor lets this thread, and what it starts, run on that one: not on
// the first, which the traffic has.
func lastProcessor() error {
	var all, last unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	for cpu, left := 0, all.Count(); left > 0; cpu++ {
		if all.IsSet(cpu) {
			last.Zero()
			last.Set(cpu)
			left--
		}
	}
	return unix.SchedSetaffinity(0, &last)
}

// talk has one talker talk, and end.
func (s *stage) talk() (talker, error) {
	s.n++
	t := talker{Name: fmt.Sprintf("t%d-%d", os.Getpid(), s.n)}
	if err := os.Link(s.in(echoProgram), s.in(t.Name)); err != nil {
		return t, err
	}
	defer os.Remove(s.in(t.Name))
	near, far, err := connection(s.listener, s.in(talkersPath))
	if err != nil {
		return t, err
	}
	defer unix.Close(far)
	t.PID, err = syscall.ForkExec(s.in(t.Name), []string{t.Name, "-n", t.Name},
		&syscall.ProcAttr{Files: []uintptr{s.null.Fd(), uintptr(near), 2}})
	unix.Close(near)
	if err != nil {
		return t, err
	}
	said := make([]byte, len(t.Name))
	if err := (traffic{Size: len(said)}).receive(far, said); err != nil {
		return t, fmt.Errorf("%s: %w", t.Name, err)
	}
	for {
		if _, err := unix.Wait4(t.PID, nil, 0, nil); err != unix.EINTR {
			return t, err
		}
	}
}
