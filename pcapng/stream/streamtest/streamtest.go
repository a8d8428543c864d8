// Package streamtest runs NATS servers for tests and demonstrations: each a
// process of its own, which is this program under another name, so that one can
// be killed as a machine's power would.
package streamtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ServerName is os.Args[0] of a server's process.
const ServerName = "sockcap-nats-server"

// patience is with a server that starts or a cluster that settles. It can only
// fail.
const patience = 2 * time.Minute

// IsServer reports whether this process is to be a server, by Main. Whoever
// uses Start asks for it first of all.
func IsServer() bool { return os.Args[0] == ServerName }

// Main runs a server with the configuration file that the one argument names,
// until standard input ends: with whoever started it.
func Main() int {
	o, err := server.ProcessConfigFile(os.Args[1])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	o.NoSigs = true
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		fmt.Println("not ready")
		return 1
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	return 0
}

// Cluster is some servers with JetStream.
type Cluster struct{ servers []*process }

// process is one of them, running or not.
type process struct {
	name   string
	port   int
	config string // file
	cmd    *exec.Cmd
	stdin  io.Closer
}

// Start starts n servers whose data is in dir and whose configuration has these
// further lines. It takes ports that are free at that moment, and waits until
// the servers take streams, unless those lines may not let us ask.
func Start(dir string, n int, more string) (*Cluster, error) {
	var c *Cluster
	err := fmt.Errorf("no server")
	for range 5 { // a port may have been taken meanwhile
		if c, err = start(dir, n, more); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func start(dir string, n int, more string) (*Cluster, error) {
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	var routes []string
	for _, port := range ports[n:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	c := new(Cluster)
	for i := range n {
		p := &process{name: fmt.Sprintf("server%d", i+1), port: ports[i]}
		p.config = filepath.Join(dir, p.name+".conf")
		text := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:%d\"\njetstream { store_dir: %q }\n%s\n",
			p.name, p.port, filepath.Join(dir, p.name), more)
		if n > 1 {
			text += fmt.Sprintf("cluster { name: test, listen: \"127.0.0.1:%d\", routes: [%s] }\n", ports[n+i], strings.Join(routes, ", "))
		}
		if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		c.servers = append(c.servers, p)
	}
	for i := range n {
		if err := c.Restart(i); err != nil {
			c.Close()
			return nil, err
		}
	}
	if more != "" {
		return c, nil
	}
	if err := c.settle(n); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// settle waits until n servers take streams.
func (c *Cluster) settle(n int) error {
	nc, err := nats.Connect("nats://" + c.Hosts())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		asking, cancel := context.WithTimeout(ctx, time.Second) // before there is a leader, nobody answers
		_, err := js.CreateStream(asking, jetstream.StreamConfig{Name: "settle", Replicas: n, Storage: jetstream.MemoryStorage})
		cancel()
		if err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return js.DeleteStream(ctx, "settle")
		}
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePorts are n that nobody has at this moment.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are found, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Restart starts the i-th server, if it does not run.
func (c *Cluster) Restart(i int) error {
	p := c.servers[i]
	if p.cmd != nil {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: exe, Args: []string{ServerName, p.config}, Env: os.Environ()}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.stdin = cmd, stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		c.Kill(i)
		return fmt.Errorf("%s: %s %v", p.name, strings.TrimSpace(line), err)
	}
	return nil
}

// Kill ends the i-th server by SIGKILL.
func (c *Cluster) Kill(i int) {
	p := c.servers[i]
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.stdin.Close()
	p.cmd = nil
}

// Close ends all servers.
func (c *Cluster) Close() {
	for i := range c.servers {
		c.Kill(i)
	}
}

// Hosts are the servers' addresses, as in nats://HOSTS/STREAM.
func (c *Cluster) Hosts() string {
	var all []string
	for _, p := range c.servers {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", p.port))
	}
	return strings.Join(all, ",")
}

// Leader is the number of the server that leads a stream.
func (c *Cluster) Leader(ctx context.Context, stream string) (int, error) {
	nc, err := nats.Connect("nats://" + c.Hosts())
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	for i, p := range c.servers {
		if cluster := s.CachedInfo().Cluster; cluster != nil && cluster.Leader == p.name {
			return i, nil
		}
	}
	return 0, errors.New("nobody leads " + stream)
}
