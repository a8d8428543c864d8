package workload

import (
	"encoding/gob"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// rolePuppet makes the calls that it is told, until there are no more.
func rolePuppet(h *home) {
	calls := gob.NewDecoder(h.in)
	for {
		var c puppetCall
		err := calls.Decode(&c)
		if errors.Is(err, io.EOF) {
			return
		}
		check("hear parent", err)
		r, err := c.do()
		if err != nil && !errors.As(err, &r.Errno) {
			check("puppet "+c.Op, err)
		}
		for _, fd := range r.FDs {
			inode, err := inodeOf(fd)
			check("fstat", err)
			r.Inodes = append(r.Inodes, inode)
		}
		h.say(message{Result: &r})
	}
}

// do makes one call.
func (c *puppetCall) do() (r puppetResult, err error) {
	var fd int
	switch c.Op {
	case "socket":
		fd, err = unix.Socket(unix.AF_UNIX, c.Type|unix.SOCK_CLOEXEC, 0)
		r.FDs = []int{fd}
	case "accept":
		fd, _, err = unix.Accept4(c.FD, unix.SOCK_CLOEXEC)
		r.FDs = []int{fd}
	case "pair":
		var fds [2]int
		fds, err = unix.Socketpair(unix.AF_UNIX, c.Type|unix.SOCK_CLOEXEC, 0)
		r.FDs = fds[:]
	case "crowd":
		r.FDs, err = crowd(c.Type, c.Count)
	case "bind":
		err = bind(c.FD, c.Address)
	case "connect":
		err = connect(c.FD, c.Address)
	case "listen":
		err = unix.Listen(c.FD, 64)
	case "close":
		err = unix.Close(c.FD)
	case "send":
		r.N, err = sendto(c.FD, c.Data, unix.MSG_NOSIGNAL, c.Address)
	case "send with":
		r.N, err = sendMessage(1, nil, unix.UnixRights(c.Sizes...))(c.FD, c.Data)
	case "receive":
		r.Data = make([]byte, c.Count)
		r.N, err = receiveErr(&sock{fd: c.FD}, r.Data, 0)
		r.Data = r.Data[:max(r.N, 0)]
	case "setsockopt":
		err = unix.SetsockoptInt(c.FD, unix.SOL_SOCKET, c.Flags, c.Count)
	case "mount":
		err = c.mount()
	case "name":
		err = errors.Join(setComm(c.Text), setThreadName(c.Text))
	case "spawn":
		r.N, err = c.spawn()
	case "wait":
		var status unix.WaitStatus
		_, err = unix.Wait4(c.Count, &status, 0, nil)
		r.N = status.ExitStatus()
	case "flood":
		err = c.flood()
	default:
		err = unix.ENOSYS
	}
	if err != nil {
		r.FDs = nil
	}
	return r, err
}

// crowd makes count socketpairs.
func crowd(typ, count int) ([]int, error) {
	var all []int
	for range count {
		fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, fds[:]...)
	}
	return all, nil
}

// mount binds Text onto Other, seen by nobody else.
func (c *puppetCall) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount(c.Text, c.Other, "", unix.MS_BIND, "")
}

// spawn starts a child.
func (c *puppetCall) spawn() (pid int, err error) {
	files := []uintptr{0, 1, 2}
	for _, fd := range c.Sizes {
		files = append(files, uintptr(fd))
	}
	return syscall.ForkExec("/proc/self/exe", []string{"child"}, &syscall.ProcAttr{
		Env: append(os.Environ(), c.Text+"="+c.Other), Files: files,
	})
}

// flood sends and reads at once.
func (c *puppetCall) flood() error {
	total := 0
	for i := range c.Count {
		total += c.Sizes[i%len(c.Sizes)]
	}
	read := make(chan error, 1)
	go func() {
		p := make([]byte, slices.Max(c.Sizes))
		for left := total; left > 0; {
			n, err := receiveErr(&sock{fd: c.To}, p, 0)
			if err != nil || n == 0 {
				read <- errors.Join(err, io.ErrUnexpectedEOF)
				return
			}
			left -= n
		}
		read <- nil
	}()
	for i, data := 0, Pattern(c.Seed, total); i < c.Count; i++ {
		n := c.Sizes[i%len(c.Sizes)]
		if _, err := write(c.FD, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return <-read
}
