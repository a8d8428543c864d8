package main

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// input is a capture file that is being read, whose reading ends with ctx
// even while it waits for a pipe.
type input struct {
	file *os.File
	ctx  context.Context
	ours bool // not standard input: we close it
	wake [2]*os.File
	stop func() bool
}

// openInput opens name for reading; "-" is standard input. It does not wait
// for a fifo's writer, reading does.
func openInput(ctx context.Context, h *host, name string) (*input, error) {
	in := &input{file: h.stdin, ctx: ctx}
	if n, ok := descriptor(name); ok {
		if err := checkInherited(n, name); err != nil {
			return nil, err
		}
	}
	if !isStdin(name) {
		err := asCaller(func() (err error) {
			in.file, err = os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
			return err
		})
		if err != nil {
			return nil, err
		}
		in.ours = true
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	in.wake = [2]*os.File{r, w}
	in.stop = context.AfterFunc(ctx, func() { w.Close() })
	return in, nil
}

// isStdin reports whether name stands for standard input.
func isStdin(name string) bool { return name == "-" || name == "/dev/stdin" }

// Read reads, or fails with ctx's error once that is done.
func (in *input) Read(p []byte) (int, error) {
	if err := in.wait(); err != nil {
		return 0, err
	}
	return in.file.Read(p)
}

// wait waits for something to read or the end of ctx.
func (in *input) wait() error {
	for {
		fds := []unix.PollFd{
			{Fd: int32(in.file.Fd()), Events: unix.POLLIN},
			{Fd: int32(in.wake[0].Fd()), Events: unix.POLLIN},
		}
		_, err := unix.Poll(fds, -1)
		switch {
		case in.ctx.Err() != nil:
			return context.Cause(in.ctx)
		case err == unix.EINTR:
			continue
		}
		return err
	}
}

// Close closes the file.
func (in *input) Close() error {
	in.stop()
	in.wake[0].Close()
	in.wake[1].Close()
	if !in.ours {
		return nil
	}
	return in.file.Close()
}
