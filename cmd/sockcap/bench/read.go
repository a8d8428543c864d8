package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// read is how fast files are read again, beside cat.
func (b *bench) read(ctx context.Context) error {
	sizes := []int64{10 << 20, 100 << 20, 1 << 30}
	if b.long {
		sizes = append(sizes, 2<<30)
	}
	t := newTable(fmt.Sprintf("reading a file from the page cache: CPU time as a ratio to cat's (min median max of %d rounds)", b.rounds),
		"file", "payload", "as", "events a second", "MB a second", "ratio to cat", "memory at most")
	for _, payload := range [...]int{64, 4 << 10} {
		for _, size := range sizes {
			if err := b.readOne(ctx, t, size, payload); err != nil {
				return err
			}
		}
	}
	return t.end()
}

// ways are what is made of a file that is read.
var ways = [...]struct {
	name string
	args []string
	most int64 // bytes of the file that this is measured with
}{
	{"-w /dev/null", []string{"-w", "/dev/null"}, 2 << 30},
	{"text", nil, 100 << 20},
	{"--json", []string{"--json"}, 100 << 20},
}

func (b *bench) readOne(ctx context.Context, t table, size int64, payload int) error {
	file := filepath.Join(b.dir, "big.pcapng")
	events, err := makeFile(file, size, payload)
	if err != nil {
		return err
	}
	for _, way := range ways {
		if size > way.most {
			continue
		}
		var seconds, ratio spread
		var memory int64
		for range b.rounds {
			floor, _, err := cpuOf(exec.CommandContext(ctx, "cat", file))
			if err != nil {
				return err
			}
			took, most, err := cpuOf(exec.CommandContext(ctx, b.sockcap, append([]string{"-r", file}, way.args...)...))
			if err != nil {
				return err
			}
			seconds = append(seconds, took.Seconds())
			ratio = append(ratio, took.Seconds()/floor.Seconds())
			memory = max(memory, most)
		}
		t.row(formatBytes(size), formatBytes(int64(payload)), way.name, fmt.Sprintf("%.2fM", float64(events)/seconds.median()/1e6),
			fmt.Sprintf("%.0f", float64(size)/seconds.median()/1e6), ratio.String(), formatBytes(memory))
	}
	return nil
}

// cpuOf runs a command, with its output going into a pipe that nobody looks
// at, and gives its CPU time and the most memory that it had.
func cpuOf(cmd *exec.Cmd) (time.Duration, int64, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		return 0, 0, err
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), used.Maxrss << 10, nil
}

// makeFile writes a capture of about a size, of packets with so much payload.
func makeFile(name string, size int64, payload int) (events int, err error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w, err := pcapng.NewWriter(f, pcapng.Options{})
	if err != nil {
		return 0, err
	}
	p := pcapng.Packet{
		Event: pcapng.EventData, Type: pcapng.Stream, Role: pcapng.RoleClient, Path: "/run/docker.sock",
		Sender: pcapng.Endpoint{PID: 27806, TID: 27806, UID: 1000, GID: 1000, Inode: 48123, Comm: "docker"},
		Peer:   pcapng.Endpoint{PID: 2434, TID: 2434, Inode: 48124, Comm: "dockerd"},
		ConnID: 7, Len: uint32(payload), MessageLen: uint32(payload), Data: make([]byte, payload),
	}
	copy(p.Data, "GET /v1.41/containers/json HTTP/1.1\r\nHost: docker\r\n")
	at := time.Unix(1764000000, 0)
	for written := int64(0); written < size; events++ {
		p.Time, p.Message = at.Add(time.Duration(events)*time.Microsecond), uint64(events+1)
		if err := w.WritePacket(&p); err != nil {
			return 0, err
		}
		p.Offset += uint64(payload)
		written += int64(payload) + 300 // about
	}
	return events, errors.Join(w.Close(), f.Close())
}
