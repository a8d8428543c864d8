package workload

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// envName is the environment variable that makes this binary a process of the
// generator: it holds a spec.
const envName = "SOCKCAP_WORKLOAD"

// The descriptors that such a process is born with; sockets follow.
const (
	fdCommands = 3 // read: one byte, go on
	fdMessages = 4 // write: message after message
	fdSockets  = 5
)

// spec tells a process of the generator what it is.
type spec struct {
	Role  string
	Comm  string
	Dir   string
	Seed  uint64
	Task  uint64 // number of its first task
	Args  []string
	Types []int // of the sockets that it is given
	Cases []string
}

// message is what a process tells the one that started it. It is sent as gob:
// names of sockets need not be UTF-8.
type message struct {
	Inodes      []uint64
	Text        string
	Report      *report
	Truth       *Truth
	Result      *puppetResult
	Err         string
	NotPossible bool
	End         bool
}

// failure is what m says went wrong, or nil.
func (m *message) failure() error {
	switch {
	case m.Err == "":
		return nil
	case m.NotPossible:
		return fmt.Errorf("%w: %s", ErrNotPossible, strings.TrimPrefix(m.Err, ErrNotPossible.Error()+": "))
	}
	return errors.New(m.Err)
}

// setFailure is the other direction.
func (m *message) setFailure(err error) {
	if err != nil {
		m.Err = err.Error()
		m.NotPossible = errors.Is(err, ErrNotPossible)
	}
}

// process is a started process of the generator, seen by who started it.
type process struct {
	cmd      *exec.Cmd
	commands *os.File
	messages *gob.Decoder
	pipe     *os.File
}

// launch makes cmd a process of the generator and starts it.
func launch(cmd *exec.Cmd, s spec, socks []*sock) (*process, error) {
	commandsR, commandsW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer commandsR.Close()
	messagesR, messagesW, err := os.Pipe()
	if err != nil {
		commandsW.Close()
		return nil, err
	}
	defer messagesW.Close()
	cmd.ExtraFiles = []*os.File{commandsR, messagesW}
	for _, x := range socks {
		s.Types = append(s.Types, x.typ)
		fd, err := unix.FcntlInt(uintptr(x.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	// No preemption signals: they would cut blocked sends short.
	cmd.Env = append(os.Environ(), envName+"="+string(text), "GODEBUG=asyncpreemptoff=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		commandsW.Close()
		messagesR.Close()
		return nil, err
	}
	return &process{cmd: cmd, commands: commandsW, messages: gob.NewDecoder(messagesR), pipe: messagesR}, nil
}

// end lets p go and waits until it has ended.
func (p *process) end() error {
	return errors.Join(p.commands.Close(), p.pipe.Close(), p.cmd.Wait())
}

// kid is a child process of a case.
type kid struct {
	*process
	report report            // the last that it sent
	past   []report          // the last of programs that it ran before
	ids    map[uint32]uint32 // its threads' ids to ours, if it has a pid namespace of its own
	ended  bool
}

// spawn starts a child in role, which gets the sockets socks.
func (e *Env) spawn(role string, args []string, socks ...*sock) *kid {
	return e.spawnIn(0, role, args, socks...)
}

// spawnIn starts one in new namespaces.
func (e *Env) spawnIn(namespaces uintptr, role string, args []string, socks ...*sock) *kid {
	exe, err := os.Executable()
	check("executable", err)
	e.mu.Lock()
	number := e.nextTask
	e.nextTask++
	e.mu.Unlock()
	cmd := exec.Command(exe)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	p, err := launch(cmd, spec{Role: role, Comm: "wl-" + role, Dir: e.dir, Seed: e.seed, Task: number, Args: args}, socks)
	check("exec", err)
	k := &kid{process: p}
	e.kids = append(e.kids, k)
	return k
}

// hear waits for the child's next message.
func (k *kid) hear() message {
	var m message
	check("hear child", k.messages.Decode(&m))
	if err := m.failure(); err != nil {
		panic(stop{err})
	}
	if m.Report != nil {
		k.report = *m.Report
	}
	return m
}

// tell lets a child that waits go on.
func (k *kid) tell() {
	_, err := k.commands.Write([]byte{'\n'})
	check("tell child", err)
}

// join waits for the child's last report and its end.
func (k *kid) join() {
	for !k.hear().End {
	}
	k.ended = true
	check("child", k.end())
}

// kill ends the child by SIGKILL.
func (k *kid) kill() {
	k.ended = true
	check("kill", k.cmd.Process.Kill())
	_ = k.end() // its status is "signal: killed"
}

// home is what a child process has: its way to talk to its parent, its one
// task and its sockets.
type home struct {
	e     *Env
	t     *task
	socks []*sock
	args  []string
	in    *os.File
	out   *gob.Encoder
}

func (h *home) say(m message) { check("tell parent", h.out.Encode(m)) }

// sayReport tells the account so far; the child may be killed from now on.
func (h *home) sayReport() {
	r := h.e.report()
	h.say(message{Report: &r})
}

// await waits until the parent tells.
func (h *home) await() {
	_, err := io.ReadFull(h.in, make([]byte, 1))
	check("hear parent", err)
}

// Main turns this process into a process of the generator if it was started
// as one, and then does not return. A program that uses [Start] calls it
// before anything else.
func Main() {
	text, ok := os.LookupEnv(envName)
	if !ok {
		return
	}
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(2)
	}
	os.Unsetenv(envName)
	unix.CloseOnExec(fdCommands)
	unix.CloseOnExec(fdMessages)
	in, out := os.NewFile(fdCommands, "commands"), gob.NewEncoder(os.NewFile(fdMessages, "messages"))
	runtime.LockOSThread()
	err := setComm(s.Comm)
	if err == nil {
		err = setThreadName(s.Comm)
	}
	switch {
	case err != nil:
	case s.Role == "worker":
		err = serve(s, in, out)
	default:
		err = serveKid(s, in, out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload:", s.Role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveKid(s spec, in *os.File, out *gob.Encoder) error {
	run := roles(s.Role)
	if run == nil {
		return fmt.Errorf("no role %q", s.Role)
	}
	e := &Env{dir: s.Dir, seed: s.Seed, nextTask: s.Task}
	last := message{End: true}
	last.setFailure(guard(func() {
		h := &home{e: e, args: s.Args, in: in, out: out, t: e.newTask("")}
		e.main = h.t
		for i, typ := range s.Types {
			unix.CloseOnExec(fdSockets + i)
			h.socks = append(h.socks, e.adopt(fdSockets+i, typ))
		}
		run(h)
	}))
	r := e.report()
	last.Report = &r
	return out.Encode(last)
}
