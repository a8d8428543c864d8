package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// whenUnread calls gone once nobody can read any more what is written to f, if
// that is a pipe or a socket: whoever captures silent sockets would not notice
// before the next packet. stop ends the watch, and waits for a running call.
func whenUnread(f *os.File, gone func()) (stop func(), err error) {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return func() {}, err
	}
	fd := -1
	conn, err := f.SyscallConn() // not Fd, which would make writes wait for ever
	if err != nil {
		return nil, err
	}
	if e := conn.Control(func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 3) }); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if waitUnread(fd, int(r.Fd())) {
			gone()
		}
	}()
	return func() {
		w.Close()
		<-done
		r.Close()
		unix.Close(fd)
	}, nil
}

// waitUnread waits until fd has no reader, or wake is closed at its other end;
// it reports whether it was the former.
func waitUnread(fd, wake int) bool {
	fds := []unix.PollFd{{Fd: int32(fd)}, {Fd: int32(wake), Events: unix.POLLIN}}
	for {
		switch _, err := unix.Poll(fds, -1); {
		case err == unix.EINTR:
		case err != nil, fds[1].Revents != 0:
			return false
		case fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0:
			return true
		}
	}
}
