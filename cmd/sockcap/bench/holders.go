package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// holderRole makes a process of this program one that holds connections.
const holderRole = "hold"

// holdMost is how many connections one process holds, both ends: no machine
// that lets a process have many descriptors has less room.
const holdMost = 4000

// A helper is a process of this program that does something until its input
// ends, and has said in a line that it has begun.
type helper struct {
	cmd  *exec.Cmd
	stop io.Closer
	out  *bufio.Reader
}

func newHelper(ctx context.Context, args ...string) (*helper, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	stop, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	h := &helper{cmd: cmd, stop: stop, out: bufio.NewReader(out)}
	if _, err := h.out.ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not begin: %w", args[0], err), h.end())
	}
	return h, nil
}

// end ends it, when all that it said has been read.
func (h *helper) end() error {
	h.stop.Close() // it may have been closed before
	return h.cmd.Wait()
}

// hold lets processes hold so many connections, at most so many each, over which
// something was said in either direction.
func hold(ctx context.Context, dir string, connections, each int) (end func() error, err error) {
	var all []*helper
	end = func() error {
		var err error
		for _, h := range all {
			err = errors.Join(err, h.end())
		}
		return err
	}
	for i := 0; connections > 0; i++ {
		n := min(connections, each)
		connections -= n
		h, err := newHelper(ctx, holderRole, filepath.Join(dir, fmt.Sprint("held-", i)), strconv.Itoa(n))
		if err != nil {
			return nil, errors.Join(err, end())
		}
		all = append(all, h)
	}
	return end, nil
}

// holderMain holds connections at a path until its input ends.
func holderMain(args []string) error {
	if len(args) != 2 {
		return errors.New("hold wants a path and a number")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if err := openMany(); err != nil {
		return err
	}
	listener, err := listenAt(args[0])
	if err != nil {
		return err
	}
	defer os.Remove(args[0])
	for range n {
		near, far, err := connection(listener, args[0])
		if err != nil {
			return err
		}
		for _, fds := range [...][2]int{{near, far}, {far, near}} {
			if err := sendAll(fds[0], []byte("held")); err != nil {
				return err
			}
			if err := (traffic{Size: 4}).receive(fds[1], make([]byte, 4)); err != nil {
				return err
			}
		}
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func listenAt(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0, err
	}
	return fd, unix.Listen(fd, 64)
}

// connection makes one with a listener of this process.
func connection(listener int, path string) (near, far int, err error) {
	if near, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, 0, err
	}
	if err := unix.Connect(near, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0, 0, err
	}
	far, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	return near, far, err
}
