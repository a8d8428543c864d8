package workload

import (
	"context"
	"encoding/gob"
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Puppet is a process that makes one system call after the other as it is
// told, for tests that decide themselves what happens when. It is used by one
// goroutine. Its methods return when the call has; the error of a failed one
// is a unix.Errno.
type Puppet struct {
	PID   int // as seen from here
	Comm  string
	p     *process
	calls *gob.Encoder
}

// PuppetConfig says how a Puppet is started.
type PuppetConfig struct {
	Comm  string  // its name, at most 15 bytes
	Dir   string  // its working directory; empty: ours
	Clone uintptr // flags such as unix.CLONE_NEWNS
	UID   uint32  // and gid; 0: ours
}

// puppetCall is one call, puppetResult what came of it.
type puppetCall struct {
	Op          string
	FD, To      int
	Type, Flags int
	Address     []byte
	Data        []byte
	Text, Other string
	Sizes       []int
	Count       int
	Seed        uint64
}

type puppetResult struct {
	FDs    []int
	Inodes []uint64
	N      int
	Data   []byte
	Errno  unix.Errno
}

// NewPuppet starts a puppet. When ctx ends it is killed.
func NewPuppet(ctx context.Context, c PuppetConfig) (*Puppet, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe") // another user can't reach our own path
	cmd.Dir = c.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: c.Clone}
	if c.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.UID}
	}
	p, err := launch(cmd, spec{Role: "puppet", Comm: c.Comm}, nil)
	if err != nil {
		return nil, opError("start puppet", c.Comm, err)
	}
	return &Puppet{PID: cmd.Process.Pid, Comm: c.Comm, p: p, calls: gob.NewEncoder(p.commands)}, nil
}

// Close ends it, and with it closes its sockets. It is idempotent.
func (p *Puppet) Close() error {
	if p.p == nil {
		return nil
	}
	err := p.p.commands.Close()
	var last message
	for err == nil && !last.End {
		last = message{}
		err = p.p.messages.Decode(&last)
	}
	err = errors.Join(err, last.failure(), p.p.pipe.Close(), p.p.cmd.Wait())
	p.p = nil
	return opError("end puppet", p.Comm, err)
}

func (p *Puppet) call(c puppetCall) (puppetResult, error) {
	var m message
	if err := p.calls.Encode(c); err != nil {
		return puppetResult{}, opError("tell puppet", c.Op, err)
	}
	if err := p.p.messages.Decode(&m); err != nil {
		return puppetResult{}, opError("hear puppet", c.Op, err)
	}
	if m.Result == nil {
		return puppetResult{}, opError("hear puppet", c.Op, errors.Join(m.failure(), errors.New("it has ended")))
	}
	if m.Result.Errno != 0 {
		return *m.Result, opError("puppet", c.Op, m.Result.Errno)
	}
	return *m.Result, nil
}

// End is a descriptor of a puppet's, and the inode behind it.
type End struct {
	FD    int
	Inode uint64
}

func (p *Puppet) ends(c puppetCall) ([]End, error) {
	r, err := p.call(c)
	var ends []End
	for i := range r.FDs {
		ends = append(ends, End{r.FDs[i], r.Inodes[i]})
	}
	return ends, err
}

func (p *Puppet) end(c puppetCall) (End, error) {
	ends, err := p.ends(c)
	if err != nil {
		return End{}, err
	}
	return ends[0], nil
}

// Socket makes a socket of a type.
func (p *Puppet) Socket(typ int) (End, error) {
	return p.end(puppetCall{Op: "socket", Type: typ})
}

// Pair makes a socketpair.
func (p *Puppet) Pair(typ int) ([]End, error) { return p.ends(puppetCall{Op: "pair", Type: typ}) }

// Crowd makes count socketpairs: the ends of the first, of the second, and so on.
// The limit of open files is the hard one, which Go's runtime sets.
func (p *Puppet) Crowd(typ, count int) ([]End, error) {
	return p.ends(puppetCall{Op: "crowd", Type: typ, Count: count})
}

// Accept accepts a connection.
func (p *Puppet) Accept(s End) (End, error) { return p.end(puppetCall{Op: "accept", FD: s.FD}) }

// Bind binds to a path as the contract writes it: "@name" is abstract.
func (p *Puppet) Bind(s End, path string) error {
	_, err := p.call(puppetCall{Op: "bind", FD: s.FD, Address: pathAddress(path)})
	return err
}

// Connect connects to a path.
func (p *Puppet) Connect(s End, path string) error {
	_, err := p.call(puppetCall{Op: "connect", FD: s.FD, Address: pathAddress(path)})
	return err
}

// Listen listens.
func (p *Puppet) Listen(s End) error {
	_, err := p.call(puppetCall{Op: "listen", FD: s.FD})
	return err
}

// CloseFD closes a descriptor.
func (p *Puppet) CloseFD(s End) error {
	_, err := p.call(puppetCall{Op: "close", FD: s.FD})
	return err
}

// Send sends data, to path if that is not empty.
func (p *Puppet) Send(s End, data []byte, path string) (int, error) {
	r, err := p.call(puppetCall{Op: "send", FD: s.FD, Data: data, Address: pathAddress(path)})
	return r.N, err
}

// SendWith sends data and passes descriptors along.
func (p *Puppet) SendWith(s End, data []byte, passed ...End) (int, error) {
	c := puppetCall{Op: "send with", FD: s.FD, Data: data}
	for _, e := range passed {
		c.Sizes = append(c.Sizes, e.FD)
	}
	r, err := p.call(c)
	return r.N, err
}

// Receive reads at most n bytes, or one message.
func (p *Puppet) Receive(s End, n int) ([]byte, error) {
	r, err := p.call(puppetCall{Op: "receive", FD: s.FD, Count: n})
	return r.Data, err
}

// SetInt sets an option of SOL_SOCKET.
func (p *Puppet) SetInt(s End, option, value int) error {
	_, err := p.call(puppetCall{Op: "setsockopt", FD: s.FD, Flags: option, Count: value})
	return err
}

// BindMount binds, in the puppet's mount namespace, what is at from onto to.
func (p *Puppet) BindMount(from, to string) error {
	_, err := p.call(puppetCall{Op: "mount", Text: from, Other: to})
	return err
}

// Flood sends count messages as fast as it can, of the given sizes in turn,
// which a thread of its own reads at to, and returns when all are read. Their
// bytes, all in a row, are Pattern(seed, all of their sizes).
func (p *Puppet) Flood(s, to End, seed uint64, count int, sizes []int) error {
	_, err := p.call(puppetCall{Op: "flood", FD: s.FD, To: to.FD, Seed: seed, Count: count, Sizes: sizes})
	return err
}

// Pattern is n bytes that depend on the seed and the place.
func Pattern(seed uint64, n int) []byte { return content(seed, 1, n) }

// Spawn starts this program as a child of the puppet, with args in its
// environment, as the variable name, and sockets as descriptors from 3 on. The
// caller need not wait for it.
func (p *Puppet) Spawn(name, args string, sockets ...End) (pid int, err error) {
	c := puppetCall{Op: "spawn", Text: name, Other: args}
	for _, s := range sockets {
		c.Sizes = append(c.Sizes, s.FD)
	}
	r, err := p.call(c)
	return r.N, err
}

// Wait waits until a child has ended, and gives its exit status.
func (p *Puppet) Wait(pid int) (status int, err error) {
	r, err := p.call(puppetCall{Op: "wait", Count: pid})
	return r.N, err
}

// Name has the puppet take another name.
func (p *Puppet) Name(comm string) error {
	_, err := p.call(puppetCall{Op: "name", Text: comm})
	return err
}

// pathAddress is the address that the contract writes as path.
func pathAddress(path string) address {
	switch {
	case path == "":
		return nil
	case path[0] == '@':
		return abstractAddress(path[1:])
	}
	return fileAddress(path)
}
