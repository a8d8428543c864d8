package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// trafficRole makes a process of this program the traced one.
const trafficRole = "traffic"

// traffic is what the traced program does: two processes, of which one
// measures.
type traffic struct {
	Shape    string // "ping-pong": the other sends each message back; "flood": it only reads
	Type     string // "stream", "dgram", "tcp"
	Size     int    // bytes a message
	Messages int    // that the one sends; 0: as many as Time allows
	Time     time.Duration
	Pinned   bool // both to one processor

	Connections int // over which messages go in turn, of a ping-pong; 0: 1
	Iovecs      int // of which a message is made; 0: 1
	Slice       int // messages, of a ping-pong whose processor time is wanted; a multiple of Connections
}

// result is what the traced program says.
type result struct {
	Messages int // that went either way
	Nanos    float64
	CPU      float64 // ns of processor time of a message, of both processes, in the slice that a tenth took less in
}

// perMessage is how long a message took.
func (r result) perMessage() float64 { return r.Nanos / float64(r.Messages) }

// command is a process that makes this traffic, run by a tracer if there is one.
func (t traffic) command(ctx context.Context, tracer ...string) (*exec.Cmd, error) {
	args, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	argv := append(tracer, "/proc/self/exe", trafficRole, string(args))
	if len(tracer) > 0 {
		self, err := os.Executable() // the tracer's /proc/self is its own
		if err != nil {
			return nil, err
		}
		argv[len(tracer)] = self
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// run makes the traffic and gives what it took.
func (t traffic) run(ctx context.Context, tracer ...string) (result, error) {
	var r result
	cmd, err := t.command(ctx, tracer...)
	if err != nil {
		return r, err
	}
	out, err := cmd.Output()
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

// trafficMain is the traced process, and the other one, which has descriptor 3.
func trafficMain(args []string) error {
	var t traffic
	if len(args) == 0 {
		return errors.New("no traffic is named")
	}
	if err := json.Unmarshal([]byte(args[0]), &t); err != nil {
		return err
	}
	if t.Pinned {
		var first unix.CPUSet
		first.Set(0)
		if err := unix.SchedSetaffinity(0, &first); err != nil {
			return err
		}
	}
	if err := openMany(); err != nil {
		return err
	}
	if len(args) > 1 {
		return t.other()
	}
	return t.measure(args[0])
}

// openMany lets this process have as many descriptors as it may.
func openMany() error {
	var most unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &most); err != nil {
		return err
	}
	most.Cur = most.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &most)
}

// measure starts the other process, makes the traffic and prints the result.
func (t traffic) measure(args string) error {
	other := exec.Command("/proc/self/exe", trafficRole, args, "other")
	other.Stderr = os.Stderr
	var near []int
	for range max(t.Connections, 1) {
		here, there, err := t.sockets()
		if err != nil {
			return err
		}
		near = append(near, here)
		other.ExtraFiles = append(other.ExtraFiles, os.NewFile(uintptr(there), "there"))
	}
	if err := other.Start(); err != nil {
		return err
	}
	for _, f := range other.ExtraFiles {
		f.Close()
	}
	if _, err := t.send(near, max(20, len(near)), 0); err != nil { // both are up and warm
		return err
	}
	begin := time.Now()
	var n int
	var cpu float64
	var err error
	if t.Slice > 0 {
		n, cpu, err = t.slices(near, other.Process.Pid)
	} else {
		n, err = t.send(near, t.Messages, t.Time)
	}
	if err != nil {
		return err
	}
	took := time.Since(begin)
	for _, fd := range near {
		if err := t.finish(fd); err != nil {
			return err
		}
	}
	if err := other.Wait(); err != nil {
		return err
	}
	if t.Shape == pingPong {
		n *= 2
	}
	return json.NewEncoder(os.Stdout).Encode(result{Messages: n, Nanos: float64(took.Nanoseconds()), CPU: cpu})
}

// slices sends for as long as Time says. What other programs of a machine, or
// other machines, do to caches only ever makes a message dearer, and they do not
// do it all the time: so the dear slices say little.
func (t traffic) slices(near []int, other int) (n int, cpu float64, err error) {
	var all spread
	begin := time.Now()
	for len(all) < 10 || time.Since(begin) < t.Time {
		before, err := processorTime(os.Getpid(), other)
		if err != nil {
			return n, 0, err
		}
		if _, err := t.send(near, t.Slice, 0); err != nil {
			return n, 0, err
		}
		after, err := processorTime(os.Getpid(), other)
		if err != nil {
			return n, 0, err
		}
		n += t.Slice
		all = append(all, float64(after-before)/float64(2*t.Slice))
	}
	slices.Sort(all)
	return n, all[len(all)/10], nil
}

// processorTime is what processes have used, by their clocks:
// clock_getcpuclockid(3).
func processorTime(pids ...int) (time.Duration, error) {
	var all time.Duration
	for _, pid := range pids {
		var used unix.Timespec
		if err := unix.ClockGettime(^int32(pid)<<3|2, &used); err != nil {
			return 0, err
		}
		all += time.Duration(used.Nano())
	}
	return all, nil
}

const (
	pingPong = "ping-pong"
	flood    = "flood"
)

// sockets makes the two ends.
func (t traffic) sockets() (near, far int, err error) {
	if t.Type == "tcp" {
		return tcpPair()
	}
	kind := unix.SOCK_STREAM
	if t.Type == "dgram" {
		kind = unix.SOCK_DGRAM
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	for _, fd := range fds { // the largest datagrams do not fit the default
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20); err != nil {
			return 0, 0, err
		}
	}
	return fds[0], fds[1], nil
}

func tcpPair() (near, far int, err error) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(listener)
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, err
	}
	if err := unix.Listen(listener, 1); err != nil {
		return 0, 0, err
	}
	to, err := unix.Getsockname(listener)
	if err != nil {
		return 0, 0, err
	}
	if near, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, 0, err
	}
	if err := unix.Connect(near, to); err != nil {
		return 0, 0, err
	}
	if far, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC); err != nil {
		return 0, 0, err
	}
	for _, fd := range [...]int{near, far} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return 0, 0, err
		}
	}
	return near, far, nil
}

// send sends n messages, or as many as a time allows, at least 64, and takes
// what comes back.
func (t traffic) send(fds []int, n int, during time.Duration) (sent int, err error) {
	message := make([]byte, t.Size)
	iovecs := split(message, t.Iovecs)
	begin := time.Now()
	for sent = 0; sent < n || n == 0; sent++ {
		if n == 0 && sent > 0 && sent%64 == 0 && time.Since(begin) > during {
			break
		}
		fd := fds[sent%len(fds)]
		if len(iovecs) > 1 {
			_, err = unix.Writev(fd, iovecs) // small: never in part
		} else {
			err = sendAll(fd, message)
		}
		if err != nil {
			return sent, fmt.Errorf("send %d bytes: %w", t.Size, err)
		}
		if t.Shape == pingPong {
			if err := t.receive(fd, message); err != nil {
				return sent, fmt.Errorf("receive: %w", err)
			}
		}
	}
	return sent, nil
}

// finish tells the other process that no more comes.
func (t traffic) finish(fd int) error {
	if t.Type == "dgram" {
		_, err := unix.Write(fd, nil)
		return err
	}
	return unix.Shutdown(fd, unix.SHUT_WR)
}

// split makes n parts of a message.
func split(message []byte, n int) [][]byte {
	var parts [][]byte
	for i := range max(n, 1) {
		parts = append(parts, message[i*len(message)/max(n, 1):(i+1)*len(message)/max(n, 1)])
	}
	return parts
}

func sendAll(fd int, message []byte) error {
	for len(message) > 0 {
		n, err := unix.Write(fd, message)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// errEnd says that the other process sends no more.
var errEnd = errors.New("the other end has closed")

// receive takes one message.
func (t traffic) receive(fd int, message []byte) error {
	for got := 0; got < t.Size; {
		n, err := unix.Read(fd, message[got:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return errEnd
		}
		got += n
	}
	return nil
}

// other is the other process: it sends messages back, or only reads them. Its
// sockets are descriptors 3 and up.
func (t traffic) other() error {
	message := make([]byte, t.Size)
	n := max(t.Connections, 1)
	// The first 20 messages, or one a connection, begin at the first again.
	warm := max(20, n)
	for i := 0; ; i++ {
		at := i
		if i >= warm {
			at = i - warm
		}
		fd := 3 + at%n
		switch err := t.receive(fd, message); {
		case err == errEnd:
			return nil
		case err != nil:
			return err
		}
		if t.Shape == pingPong {
			if err := sendAll(fd, message); err != nil {
				return err
			}
		}
	}
}
