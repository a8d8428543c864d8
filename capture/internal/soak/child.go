package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The roles of a process of this program that is part of the load: the first of
// its arguments.
const (
	connectRole = "soak-connects"
	passedRole  = "soak-is-passed"
)

// child is such a process.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	words io.ReadCloser
	inode uint64 // of its socket
}

// startChild starts one that connects. It returns when the child has a socket.
func startChild(role string, flow, seed uint64, messages int, path, network string) (*child, error) {
	c, err := start(nil, append([]string{role}, append(decimal(flow, seed, uint64(messages)), path, network)...))
	if err != nil {
		return nil, err
	}
	line := make([]byte, 20)
	if _, err := io.ReadFull(c.words, line); err != nil {
		return nil, errors.Join(fmt.Errorf("child %d: %w", flow, err), c.wait(false))
	}
	c.inode, err = strconv.ParseUint(strings.TrimSpace(string(line)), 10, 64)
	return c, err
}

// startChildWith starts one that is passed a socket on another one.
func startChildWith(control *os.File, role string, numbers ...uint64) (*child, error) {
	return start(control, append([]string{role}, decimal(numbers...)...))
}

func start(control *os.File, args []string) (*child, error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	if control != nil {
		cmd.ExtraFiles = []*os.File{control}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	words, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &child{cmd: cmd, in: in, words: words}, cmd.Start()
}

// goOn has it send.
func (c *child) goOn() error { return c.in.Close() }

// wait waits for its end, which is an error unless it was killed.
func (c *child) wait(killed bool) error {
	err := c.cmd.Wait()
	if killed {
		return nil
	}
	return err
}

func decimal(numbers ...uint64) []string {
	var words []string
	for _, n := range numbers {
		words = append(words, strconv.FormatUint(n, 10))
	}
	return words
}

// childMain is what a child does, if this process is one.
func childMain(args []string) (is bool, err error) {
	if len(args) < 2 || args[1] != connectRole && args[1] != passedRole {
		return false, nil
	}
	var n []uint64
	for _, word := range args[2:] {
		number, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			break
		}
		n = append(n, number)
	}
	runtime.LockOSThread()
	if err := os.WriteFile("/proc/self/comm", []byte(commOf(n[0])), 0); err != nil {
		return true, err
	}
	if args[1] == connectRole {
		return true, connects(n, args[5], args[6])
	}
	return true, isPassed(n)
}

// connects says messages on a socket of its own: flow, seed, count.
func connects(n []uint64, path, network string) error {
	conn, err := net.DialUnix(network, nil, address(path, network))
	if err != nil {
		return err
	}
	inode, err := inodeOf(conn)
	if err != nil {
		return err
	}
	fmt.Printf("%20d", inode)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until it may
		return err
	}
	err = newSpeaker(n[0], byChild).speak(conn, int(n[2]), rand.New(rand.NewPCG(n[1], 1)))
	return errors.Join(err, conn.Close())
}

// isPassed goes on with a flow on the socket that it is passed: flow, message,
// offset; flow of the control socket; count.
func isPassed(n []uint64) error {
	b, rights := make([]byte, largest), make([]byte, unix.CmsgSpace(4))
	got, m, _, _, err := unix.Recvmsg(3, b, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	if h, ok := headOf(b[:got]); !ok || h.flow != n[3] || got != sizeOf(h.flow, h.seq) {
		return fmt.Errorf("the kernel gave %+v of flow %d", h, n[3])
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fds[0]), "passed")
	conn, err := net.FileConn(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	s := newSpeaker(n[0], byChild)
	s.h.seq, s.h.off = n[1], n[2]
	err = s.speak(conn.(*net.UnixConn), int(n[4]), rand.New(rand.NewPCG(n[0], 2)))
	return errors.Join(err, conn.Close())
}

func socketpair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
}
