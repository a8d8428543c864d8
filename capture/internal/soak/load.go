package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// load is what talks: connections on several sockets at once, one after the
// other on each, and one that stays.
type load struct {
	dir    string
	ledger *ledger
	stays  *lasting
}

// talkers is how many sockets there are, each with one connection at a time.
const talkers = 6

// limit is for what can only fail.
const limit = 2 * time.Minute

func newLoad(dir string, l *ledger) (*load, error) {
	stays, err := l.lasting(filepath.Join(dir, "stays"))
	if err != nil {
		return nil, err
	}
	go stays.run()
	return &load{dir: dir, ledger: l, stays: stays}, nil
}

// run talks until ctx is done, and until all that was begun by then has ended.
func (l *load) run(ctx context.Context, seed uint64) error {
	errs := make([]error, talkers)
	var all sync.WaitGroup
	for i := range talkers {
		t := newTalker(l.ledger, filepath.Join(l.dir, strconv.Itoa(i)), mix(seed+uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil && errs[i] == nil { // the socket file is made again
				errs[i] = t.connection(ctx)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// talker is who makes one connection after the other.
type talker struct {
	ledger *ledger
	random *rand.Rand
	path   string
}

func newTalker(l *ledger, path string, seed uint64) *talker {
	return &talker{ledger: l, random: rand.New(rand.NewPCG(seed, 0)), path: path}
}

// connection is one of any kind.
func (t *talker) connection(ctx context.Context) error {
	var err error
	kind := t.random.IntN(8)
	switch messages := 1 + t.random.IntN(2000); kind {
	case 0:
		err = t.conversation("unix", messages)
	case 1:
		err = t.conversation("unixpacket", messages)
	case 2:
		err = t.datagrams(messages)
	case 3:
		err = t.pair(messages)
	case 4:
		err = t.storm(ctx, 1+t.random.IntN(60))
	default:
		network := []string{"unix", "unixpacket"}[t.random.IntN(2)]
		err = t.child(network, messages, kind == 5)
	}
	if err != nil {
		return fmt.Errorf("talk of kind %d on %s: %w", kind, t.path, err)
	}
	return nil
}

func typeOf(network string) pcapng.SocketType {
	return map[string]pcapng.SocketType{"unix": pcapng.Stream, "unixpacket": pcapng.SeqPacket, "unixgram": pcapng.Datagram}[network]
}

func address(path, network string) *net.UnixAddr { return &net.UnixAddr{Name: path, Net: network} }

// conversation is a connection within this process: a question and an answer.
func (t *talker) conversation(network string, messages int) error {
	up := t.ledger.begin(t.path, typeOf(network))
	down := t.ledger.begin(t.path, typeOf(network))
	server, err := net.ListenUnix(network, address(t.path, network))
	if err != nil {
		return err
	}
	defer server.Close()
	client, err := net.DialUnix(network, nil, address(t.path, network))
	if err != nil {
		return err
	}
	accepted, err := server.AcceptUnix()
	if err != nil {
		return errors.Join(err, client.Close())
	}
	return t.talk(client, accepted, up, down, messages)
}

// pair is a connection without a name.
func (t *talker) pair(messages int) error {
	up, down := t.ledger.begin("", pcapng.Stream), t.ledger.begin("", pcapng.Stream)
	a, b, err := pair()
	if err != nil {
		return err
	}
	return t.talk(a, b, up, down, messages)
}

// talk says a up to b, then b some down to a, and closes both.
func (t *talker) talk(a, b *net.UnixConn, up, down *flow, messages int) error {
	defer a.Close()
	defer b.Close()
	err := errors.Join(t.from(up, a), t.from(down, b))
	said := make(chan error, 1)
	seed := t.random.Uint64()
	go func() {
		err := newSpeaker(up.id, 0).speak(a, messages, rand.New(rand.NewPCG(seed, 0)))
		said <- errors.Join(err, a.CloseWrite())
	}()
	err = errors.Join(err, t.ledger.listener(up).hear(b), <-said)
	if err != nil {
		return err
	}
	go func() {
		err := newSpeaker(down.id, 0).speak(b, messages/7, t.random)
		said <- errors.Join(err, b.Close())
	}()
	err = errors.Join(t.ledger.listener(down).hear(a), <-said, a.Close())
	t.ledger.end(up)
	t.ledger.end(down)
	return err
}

// from notes the sending socket of a flow.
func (t *talker) from(f *flow, conn *net.UnixConn) error {
	inode, err := inodeOf(conn)
	t.ledger.from(f, inode)
	return err
}

// child is a connection from a process of its own, which may be killed.
func (t *talker) child(network string, messages int, kill bool) error {
	f := t.ledger.begin(t.path, typeOf(network))
	server, err := net.ListenUnix(network, address(t.path, network))
	if err != nil {
		return err
	}
	defer server.Close()
	if kill {
		messages = 1 << 30
	}
	c, err := startChild(connectRole, f.id, t.random.Uint64(), messages, t.path, network)
	if err != nil {
		return err
	}
	t.ledger.from(f, c.inode)
	t.ledger.change(f, func(f *flow) { f.killed = kill })
	if err := c.goOn(); err != nil {
		return errors.Join(err, c.wait(false))
	}
	after := time.Duration(t.random.Int64N(int64(time.Second)))
	ended := make(chan error, 1)
	go func() {
		if kill {
			time.Sleep(after)
			c.cmd.Process.Kill()
		}
		ended <- c.wait(kill)
	}()
	err = server.SetDeadline(time.Now().Add(limit))
	conn, err2 := server.AcceptUnix()
	if err = errors.Join(err, err2); err != nil {
		return errors.Join(err, <-ended)
	}
	err = errors.Join(t.ledger.listener(f).hear(conn), <-ended, conn.Close())
	t.ledger.end(f)
	return err
}

// storm is many processes, one after the other, that say little to one socket.
func (t *talker) storm(ctx context.Context, processes int) error {
	server, err := net.ListenUnixgram("unixgram", address(t.path, "unixgram"))
	if err != nil {
		return err
	}
	defer os.Remove(t.path)
	defer server.Close()
	for range processes {
		if ctx.Err() != nil {
			break
		}
		f := t.ledger.begin(t.path, pcapng.Datagram)
		c, err := startChild(connectRole, f.id, 0, 3, t.path, "unixgram")
		if err != nil {
			return err
		}
		t.ledger.from(f, c.inode)
		if err := errors.Join(c.goOn(), c.wait(false), t.ledger.listener(f).drain(server)); err != nil {
			return err
		}
		t.ledger.end(f)
	}
	return nil
}

// datagrams are sent within this process; then the sending socket is passed to
// another process, which goes on.
func (t *talker) datagrams(messages int) error {
	server, err := net.ListenUnixgram("unixgram", address(t.path, "unixgram"))
	if err != nil {
		return err
	}
	defer os.Remove(t.path)
	defer server.Close()
	f, control := t.ledger.begin(t.path, pcapng.Datagram), t.ledger.begin("", pcapng.Stream)
	conn, err := net.DialUnix("unixgram", nil, address(t.path, "unixgram"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := t.from(f, conn); err != nil {
		return err
	}
	hears := t.ledger.listener(f)
	heard := make(chan error, 1)
	go func() { heard <- hears.hear(server) }()
	s := newSpeaker(f.id, 0)
	err = s.speak(conn, messages, t.random)
	err = errors.Join(err, t.pass(conn, s, control, 1+messages/3), server.SetReadDeadline(time.Now()), <-heard, hears.drain(server), conn.Close())
	t.ledger.end(f)
	return err
}

// pass passes a socket to a child, which says more on it.
func (t *talker) pass(conn *net.UnixConn, s *speaker, control *flow, messages int) error {
	file, err := conn.File()
	if err != nil {
		return err
	}
	defer file.Close()
	a, b, err := pair()
	if err != nil {
		return err
	}
	defer a.Close()
	if err := t.from(control, a); err != nil {
		return err
	}
	theirs, err := b.File()
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	c, err := startChildWith(theirs, passedRole, s.h.flow, s.h.seq, s.h.off, control.id, uint64(messages))
	if err = errors.Join(err, theirs.Close()); err != nil {
		return err
	}
	said := newSpeaker(control.id, 0).say(a, file)
	err = errors.Join(said, c.wait(false))
	if said == nil {
		t.ledger.heard(control) // by the child, who checks it
	}
	err = errors.Join(err, a.Close())
	t.ledger.end(control)
	return err
}

// pair makes a socketpair.
func pair() (a, b *net.UnixConn, err error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	conns := [2]*net.UnixConn{}
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		conn, err := net.FileConn(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, nil, err
		}
		conns[i] = conn.(*net.UnixConn)
	}
	return conns[0], conns[1], nil
}

// lasting is a connection that stays for all the time. What is said on it marks
// moments: in a capture, all that was sent before stands before it. It is said at
// a pace of its own, not when something was captured: sockcap takes who talks
// only when it writes for its own output.
type lasting struct {
	ledger *ledger
	f      *flow
	ends   [2]*net.UnixConn
}

const pace = 50 * time.Millisecond

func (l *ledger) lasting(path string) (*lasting, error) {
	f := l.begin(path, pcapng.Stream)
	server, err := net.ListenUnix("unix", address(path, "unix"))
	if err != nil {
		return nil, err
	}
	defer server.Close()
	client, err := net.DialUnix("unix", nil, address(path, "unix"))
	if err != nil {
		return nil, err
	}
	accepted, err := server.AcceptUnix()
	if err != nil {
		return nil, err
	}
	inode, err := inodeOf(client)
	l.from(f, inode)
	return &lasting{ledger: l, f: f, ends: [2]*net.UnixConn{client, accepted}}, err
}

// run talks until it is closed, and gives why it ended.
func (k *lasting) run() error {
	heard := make(chan error, 1)
	go func() { heard <- k.ledger.listener(k.f).hear(k.ends[1]) }()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for s := newSpeaker(k.f.id, 0); ; <-tick.C {
		if err := s.say(k.ends[0], nil); err != nil {
			return errors.Join(err, <-heard)
		}
	}
}

func (k *lasting) close() { _ = errors.Join(k.ends[0].Close(), k.ends[1].Close()) }
