package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// Env is what a case runs in. Its methods, and those of the tasks and sockets
// that it hands out, end the case on an error; so a case reads as a list of
// steps.
type Env struct {
	dir  string // short: its names fit in sun_path
	seed uint64

	begin chan struct{} // closed when the capture runs
	early chan struct{} // closed by the case when it waits for begin

	resumed int64 // when the capture had begun, nanoseconds since 1970; 0: before the case
	main    *task // the thread that runs the case

	mu       sync.Mutex
	nextTask uint64
	nextConn int
	nextName int
	tasks    []*task
	flows    []*Flow
	recvs    []*recv
	events   []*Event
	existing []Existing
	kids     []*kid
	threads  []chan error
	fds      []int
}

// stop is what a failing step panics with.
type stop struct{ err error }

// check ends the case if err is not nil.
func check(op string, err error) {
	if err != nil {
		panic(stop{opError(op, "", err)})
	}
}

// fail ends the case.
func fail(format string, args ...any) { panic(stop{fmt.Errorf(format, args...)}) }

// notPossible ends the case without calling it wrong.
func notPossible(format string, args ...any) {
	panic(stop{fmt.Errorf("%w: %s", ErrNotPossible, fmt.Sprintf(format, args...))})
}

// guard runs f and returns the error that ended it.
func guard(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stop:
			err = r.err
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// sock is an open socket of this process.
type sock struct {
	fd    int
	inode uint64
	typ   int
	bound address // nil: no name
}

// addFD closes fd at the end of the case.
func (e *Env) addFD(fd int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fds = append(e.fds, fd)
}

// closeFD closes fd now.
func (e *Env) closeFD(fd int) {
	e.mu.Lock()
	for i, other := range e.fds {
		if other == fd {
			e.fds = append(e.fds[:i], e.fds[i+1:]...)
			break
		}
	}
	e.mu.Unlock()
	check("close", unix.Close(fd))
}

func (e *Env) close(socks ...*sock) {
	for _, s := range socks {
		e.closeFD(s.fd)
	}
}

// adopt makes a sock of a descriptor.
func (e *Env) adopt(fd, typ int) *sock {
	e.addFD(fd)
	inode, err := inodeOf(fd)
	check("fstat", err)
	return &sock{fd: fd, inode: inode, typ: typ}
}

func (e *Env) socket(typ int) *sock {
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	check("socket", err)
	return e.adopt(fd, typ)
}

// name is a fresh path in the case's folder.
func (e *Env) name() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.nextName++
	return filepath.Join(e.dir, fmt.Sprintf("s%d", e.nextName))
}

func (e *Env) bind(s *sock, a address) *sock {
	check("bind", bind(s.fd, a))
	s.bound = a
	return s
}

// listen makes a listening socket; a nil address means a fresh path.
func (e *Env) listen(typ int, a address) *sock {
	if a == nil {
		a = fileAddress(e.name())
	}
	s := e.bind(e.socket(typ), a)
	check("listen", unix.Listen(s.fd, 64))
	return s
}

// conn is a connection: two sockets and the flows between them.
type conn struct {
	client, server *sock // server is nil while it is not accepted
	up, down       *Flow // client to server, server to client
}

// dial connects a new socket to the listener l, by the address a if not l's.
func (e *Env) dial(l *sock, a address) *conn {
	s := e.socket(l.typ)
	if a == nil {
		a = l.bound
	}
	check("connect", connect(s.fd, a))
	c := &conn{client: s}
	c.up = e.flow(Flow{Name: "client to server", Type: pcapng.SocketType(l.typ), From: s.inode,
		Path: contractPath(l.bound), Role: pcapng.RoleClient, Conn: e.newConn()})
	return c
}

// accept takes the next connection from l, which must be c.
func (e *Env) accept(l *sock, c *conn) {
	fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
	check("accept", err)
	c.server = e.adopt(fd, l.typ)
	e.accepted(c, c.server.inode)
}

// accepted notes that c was accepted, here or in a child, as inode.
func (e *Env) accepted(c *conn, inode uint64) {
	c.up.To = inode
	c.down = e.flow(Flow{Name: "server to client", Type: c.up.Type, From: inode, To: c.client.inode,
		Path: c.up.Path, Role: pcapng.RoleServer, Conn: c.up.Conn})
}

// connection is a listener, a dial and an accept.
func (e *Env) connection(typ int) *conn {
	l := e.listen(typ, nil)
	c := e.dial(l, nil)
	e.accept(l, c)
	return c
}

// newConn is the number of a new connection.
func (e *Env) newConn() int {
	e.nextConn++
	return e.nextConn
}

// pair is a socketpair.
func (e *Env) pair(typ int) *conn {
	fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	check("socketpair", err)
	c := &conn{client: e.adopt(fds[0], typ), server: e.adopt(fds[1], typ)}
	if c.client.inode > c.server.inode {
		c.client, c.server = c.server, c.client
	}
	n := e.newConn()
	c.up = e.flow(Flow{Name: "client to server", Type: pcapng.SocketType(typ), From: c.client.inode,
		To: c.server.inode, Role: pcapng.RoleClient, Conn: n})
	c.down = e.flow(Flow{Name: "server to client", Type: pcapng.SocketType(typ), From: c.server.inode,
		To: c.client.inode, Role: pcapng.RoleServer, Conn: n})
	return c
}

// datagrams declares the flow from s to the bound datagram socket r.
func (e *Env) datagrams(s, r *sock, role pcapng.Role) *Flow {
	return e.flow(Flow{Name: "datagrams", Type: pcapng.Datagram, From: s.inode, To: r.inode,
		Path: contractPath(r.bound), Role: role})
}

// receiver makes a bound datagram socket.
func (e *Env) receiver() *sock {
	return e.bind(e.socket(unix.SOCK_DGRAM), fileAddress(e.name()))
}

func (e *Env) flow(f Flow) *Flow {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flows = append(e.flows, &f)
	return &f
}

// captureBegins returns when the capture runs. What came before is no part of
// the truth, and must have been read.
func (e *Env) captureBegins() {
	close(e.early)
	<-e.begin
	e.resumed = now()
	e.recvs = nil
	for _, f := range e.flows {
		f.Before = true
	}
	for _, t := range e.tasks {
		t.sends = nil
	}
}

// newTask makes the calling thread a task; the goroutine must be locked to it.
func (e *Env) newTask(thread string) *task {
	if thread != "" {
		check("prctl", setThreadName(thread))
	}
	comm, err := readLine("/proc/self/comm")
	check("read", err)
	own, err := readLine("/proc/thread-self/comm")
	check("read", err)
	if own == comm {
		own = ""
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &task{e: e, num: e.nextTask,
		Task: Task{PID: uint32(unix.Getpid()), TID: uint32(unix.Gettid()),
			UID: uint32(unix.Getuid()), GID: uint32(unix.Getgid()), Comm: comm, Thread: own, Is: ownIdentity()}}
	e.nextTask++
	e.tasks = append(e.tasks, t)
	return t
}

// thread runs f in a thread of its own, named name if that is not empty. It
// ends with f; wait waits for all of them.
func (e *Env) thread(name string, f func(t *task)) {
	done := make(chan error, 1)
	e.threads = append(e.threads, done)
	ownThread(func() {
		done <- guard(func() { f(e.newTask(name)) })
	})
}

// ownThread runs f in a thread that ends with it, name and all; not in the
// process's first, whose name is the process's.
func ownThread(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked, a thread ends with its goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		begun := make(chan struct{})
		go func() {
			runtime.LockOSThread() // another, while we hold the first
			close(begun)
			f()
		}()
		<-begun
		runtime.UnlockOSThread()
	}()
}

// wait waits for the threads made so far.
func (e *Env) wait() {
	for _, done := range e.threads {
		if err := <-done; err != nil {
			panic(stop{err})
		}
	}
	e.threads = nil
}

func readLine(file string) (string, error) {
	b, err := os.ReadFile(file)
	return strings.TrimSuffix(string(b), "\n"), err
}

// setComm names this process, whichever of its threads calls.
func setComm(name string) error {
	return os.WriteFile("/proc/self/comm", []byte(name), 0)
}

func setThreadName(name string) error {
	return os.WriteFile("/proc/thread-self/comm", []byte(name), 0)
}

func now() int64 { return time.Now().UnixNano() }
