// Command hosts is make demo-hosts: three captures publish to a stream on three
// NATS servers, the one that leads the stream is killed while they do, and what
// is read back is compared with what was said.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sockcap/sockcap/pcapng/stream/streamtest"
)

const (
	messages = 300                   // that each host's program sends
	pause    = 10 * time.Millisecond // from one to the next
)

func main() {
	if streamtest.IsServer() {
		os.Exit(streamtest.Main())
	}
	sockcap := flag.String("sockcap", "./sockcap", "the binary")
	flag.Parse()
	if err := demonstrate(*sockcap); err != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

// demo is what runs.
type demo struct {
	sockcap, dir, stream string
	cluster              *streamtest.Cluster
	hosts                []*machine
}

// machine stands for a host: a socket of its own, and a capture of it.
type machine struct {
	name, path string
	capture    *exec.Cmd
	words      bytes.Buffer // of the capture, once it has ended
	read       sync.WaitGroup
}

func demonstrate(sockcap string) (err error) {
	dir, err := os.MkdirTemp("", "demo-hosts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	heading("three servers, one cluster")
	c, err := streamtest.Start(dir, 3, "")
	if err != nil {
		return err
	}
	defer c.Close()
	d := &demo{sockcap: sockcap, dir: dir, cluster: c, stream: "nats://" + c.Hosts() + "/DEMO"}
	fmt.Println(d.stream)
	for _, name := range []string{"alpha", "beta", "gamma"} {
		d.hosts = append(d.hosts, &machine{name: name, path: filepath.Join(dir, name+".sock")})
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	for _, step := range []func() error{d.captureAll, d.talk, d.stop, d.show, d.compare} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func heading(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }

// captureAll starts a capture for each host, and waits until it listens.
func (d *demo) captureAll() error {
	heading("a capture on each of three hosts, which here are one machine")
	for _, m := range d.hosts {
		args := []string{"--host", m.name, "-w", d.stream, m.path}
		fmt.Println("# sockcap", strings.Join(args, " "))
		m.capture = exec.Command(d.sockcap, args...)
		stderr, err := m.capture.StderrPipe()
		if err != nil {
			return err
		}
		if err := m.capture.Start(); err != nil {
			m.capture = nil
			return err
		}
		r := bufio.NewReader(stderr)
		for listening := false; !listening; {
			line, err := r.ReadString('\n')
			fmt.Print(line)
			if err != nil {
				return fmt.Errorf("the capture on %s has not begun", m.name)
			}
			listening = strings.Contains(line, "listening on")
		}
		m.read.Go(func() { io.Copy(&m.words, r) })
	}
	return nil
}

// talk has a program of each host talk to another, and meanwhile kills the
// server that leads the stream.
func (d *demo) talk() error {
	heading("each host's program sends %d messages; meanwhile the stream's leader is killed", messages)
	errs := make(chan error, len(d.hosts))
	for _, m := range d.hosts {
		go func() { errs <- m.talk() }()
	}
	time.Sleep(messages * pause / 2)
	leader, err := d.cluster.Leader(context.Background(), "DEMO")
	if err == nil {
		d.cluster.Kill(leader)
		fmt.Printf("killed server%d\n", leader+1)
	}
	for range d.hosts {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (m *machine) talk() error {
	l, err := net.Listen("unix", m.path)
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.Copy(io.Discard, conn)
		}
	}()
	conn, err := net.Dial("unix", m.path)
	if err != nil {
		return err
	}
	defer conn.Close()
	for n := range messages {
		if _, err := fmt.Fprintf(conn, "%s says %d\n", m.name, n); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

// stop ends the captures as Ctrl-C does.
func (d *demo) stop() error {
	var errs []error
	for _, m := range d.hosts {
		if m.capture == nil {
			continue
		}
		m.capture.Process.Signal(syscall.SIGINT)
		m.read.Wait()
		err := m.capture.Wait()
		m.capture = nil
		fmt.Printf("%s:\n%s", m.name, m.words.String())
		if err != nil {
			errs = append(errs, fmt.Errorf("the capture on %s: %w", m.name, err))
		}
	}
	return errors.Join(errs...)
}

// show prints the beginning of the merged capture.
func (d *demo) show() error {
	heading("all hosts as one capture: its first 12 messages")
	args := []string{"-r", d.stream, "--since", "all", "--until", "now", "-c", "12"}
	fmt.Println("$ sockcap", strings.Join(args, " "))
	show := exec.Command(d.sockcap, args...)
	show.Stdout, show.Stderr = os.Stdout, os.Stderr
	return show.Run()
}

// compare reads everything back and looks for each message once.
func (d *demo) compare() error {
	heading("all that is stored, compared with what was said")
	read := exec.Command(d.sockcap, "-r", d.stream, "--since", "all", "--until", "now", "--json", "data")
	read.Stderr = os.Stderr
	out, err := read.Output()
	if err != nil {
		return err
	}
	next := make(map[string]int)
	for line := range bytes.Lines(out) {
		var p struct{ Host, Text string }
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		if want := fmt.Sprintf("%s says %d\n", p.Host, next[p.Host]); p.Text != want {
			return fmt.Errorf("%s: %q, want %q", p.Host, p.Text, want)
		}
		next[p.Host]++
	}
	for _, m := range d.hosts {
		fmt.Printf("%-5s  %d messages of %d, in their order, none twice\n", m.name, next[m.name], messages)
		if next[m.name] != messages {
			err = errors.New("messages are missing")
		}
	}
	return err
}
