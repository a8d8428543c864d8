package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// senderRole makes a process of this program one that sends until it is killed.
const senderRole = "sender"

// load is what is said, on several sockets at once.
type load struct {
	seed    uint64
	sockets []*talker
}

// talker is one socket, on which one connection follows the other. Each says
// the same from its beginning: see said.
type talker struct {
	path    string
	network string // "unix" or "unixpacket"
	size    int    // bytes a message

	heard atomic.Uint64 // bytes that were read, on all connections
	conns atomic.Uint64
	kills atomic.Uint64 // of them whose sender was killed
}

const talkers = 8

func newLoad(dir string, seed uint64) *load {
	l := &load{seed: seed}
	for i := range talkers {
		t := &talker{path: filepath.Join(dir, strconv.Itoa(i)), network: "unix", size: []int{16, 64, 1024, 4096}[i%4]}
		if i%2 == 1 {
			t.network = "unixpacket"
		}
		l.sockets = append(l.sockets, t)
	}
	return l
}

// said is the byte at a place of what is said on every connection of a path.
func said(path string, at uint64) byte {
	return byte(at) ^ byte(at>>8)*31 ^ byte(at>>16)*17 ^ path[len(path)-1]
}

// message is what comes next behind so many bytes.
func message(dst []byte, path string, at uint64) {
	for i := range dst {
		dst[i] = said(path, at+uint64(i))
	}
}

// run talks until ctx is done.
func (l *load) run(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, len(l.sockets))
	for i, t := range l.sockets {
		random := rand.New(rand.NewPCG(l.seed, uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = t.connection(ctx, random)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// connection is one, on a socket that is made anew for it. The sender is this
// process, or one of its own that is killed.
func (t *talker) connection(ctx context.Context, random *rand.Rand) error {
	listener, err := net.ListenUnix(t.network, &net.UnixAddr{Name: t.path, Net: t.network})
	if err != nil {
		return err
	}
	defer listener.Close()
	t.conns.Add(1)
	messages := 1 + random.IntN(5000)
	sent := make(chan error, 1)
	if random.IntN(4) == 0 {
		t.kills.Add(1)
		after := time.Duration(random.Int64N(int64(time.Second)))
		go func() { sent <- t.killed(after) }()
	} else {
		go func() { sent <- t.send(ctx, messages, random) }()
	}
	listener.SetDeadline(time.Now().Add(time.Minute)) // can only fail
	conn, err := listener.AcceptUnix()
	if err != nil {
		return errors.Join(err, <-sent)
	}
	defer conn.Close()
	if err := t.read(conn); err != nil {
		return err
	}
	return <-sent
}

// read reads to the end, and looks at what it gets.
func (t *talker) read(conn *net.UnixConn) error {
	b, want := make([]byte, t.size), make([]byte, t.size)
	at := uint64(0)
	for {
		n, err := conn.Read(b)
		if n == 0 || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		message(want[:n], t.path, at)
		if string(b[:n]) != string(want[:n]) {
			return fmt.Errorf("%s: the kernel gave other bytes at %d", t.path, at)
		}
		at += uint64(n)
		t.heard.Add(uint64(n))
	}
}

// send sends messages in bursts.
func (t *talker) send(ctx context.Context, messages int, random *rand.Rand) error {
	conn, err := net.DialUnix(t.network, nil, &net.UnixAddr{Name: t.path, Net: t.network})
	if err != nil {
		return err
	}
	defer conn.Close()
	b := make([]byte, t.size)
	for n := range messages {
		if ctx.Err() != nil {
			return nil
		}
		message(b, t.path, uint64(n*t.size))
		if _, err := conn.Write(b); err != nil {
			return err
		}
		if random.IntN(101) == 0 {
			time.Sleep(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
		}
	}
	return nil
}

// killed has a process send, which is killed in the midst of it.
func (t *talker) killed(after time.Duration) error {
	cmd := exec.Command("/proc/self/exe", senderRole, t.path, t.network, strconv.Itoa(t.size))
	cmd.Stderr = os.Stderr
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	io.ReadFull(ready, make([]byte, 1)) // what goes wrong shows where nobody connects
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait() // it says "killed"
	return nil
}

// senderMain sends until it is killed.
func senderMain(args []string) {
	size, _ := strconv.Atoi(args[2])
	conn, err := net.DialUnix(args[1], nil, &net.UnixAddr{Name: args[0], Net: args[1]})
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak: sender:", err)
		os.Exit(1)
	}
	os.Stdout.Write([]byte("."))
	b := make([]byte, size)
	for at := uint64(0); ; at += uint64(size) {
		message(b, args[0], at)
		if _, err := conn.Write(b); err != nil {
			os.Exit(1)
		}
		if at/uint64(size)%997 == 996 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// messages is how many were heard so far.
func (l *load) messages() (n uint64) {
	for _, t := range l.sockets {
		n += t.heard.Load() / uint64(t.size)
	}
	return n
}
