package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// post is a datagram socket of a puppet's, and one that is connected to it,
// which processes that do not live long get.
type post struct {
	t    *testing.T
	path string
	fd   int
	to   workload.End
	bob  puppet
}

func newPost(t *testing.T) *post {
	t.Helper()
	p := &post{t: t, path: filepath.Join(t.TempDir(), "post"), bob: newPuppet(t, workload.PuppetConfig{Comm: "bob"})}
	p.to = p.bob.socket(unix.SOCK_DGRAM)
	p.bob.must(p.bob.Bind(p.to, p.path))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: p.path}); err != nil {
		t.Fatal(err)
	}
	p.fd = fd
	return p
}

// run forks a child, which ends before run returns.
func (p *post) run(b *brief) (pid int) {
	p.t.Helper()
	pid, err := p.fork(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return pid
}

// fork is run that gives the error with which nothing was forked.
func (p *post) fork(b *brief) (pid int, err error) {
	p.t.Helper()
	b.fd = uintptr(p.fd)
	if pid, err = forkBrief(b); err != nil {
		return 0, err
	}
	for {
		switch _, err := unix.Wait4(pid, nil, 0, nil); {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			p.t.Fatal(err)
		}
		return pid, nil
	}
}

// program is a brief that executes one in a role of a member.
func (p *post) program(exe, role string, args ...string) *brief {
	return &brief{
		program: append([]byte(exe), 0), argv: cStrings(p.t, append([]string{filepath.Base(exe)}, args...)...),
		envp: cStrings(p.t, memberRole+"="+role),
	}
}

// postman plays the roles that have a socket and write to it.
func postman(role, text string) (done bool, err error) {
	if n, ok := strings.CutPrefix(role, "post:"); ok {
		fd, err := strconv.Atoi(n)
		if err != nil {
			return true, err
		}
		_, err = unix.Write(fd, []byte(text))
		return true, err
	}
	n, ok := strings.CutPrefix(role, "twice:")
	if !ok {
		return false, nil
	}
	if _, err := postman("post:"+n, "before"); err != nil {
		return true, err
	}
	return true, syscall.Exec(text, []string{"again", text}, roleEnv("post:"+n+" after"))
}

// named is what a packet must say of its sender.
type named struct {
	pid                int
	comm, exe, cmdline string
}

func (p *post) check(text string, packet *pcapng.Packet, want named) {
	p.t.Helper()
	s := &packet.Sender
	if got := (named{int(s.PID), s.Comm, packet.Exe, packet.Cmdline}); got != want || packet.Uncertain&pcapng.UncertainSender != 0 {
		p.t.Errorf("%s: %+v, uncertain %v, want %+v", text, got, packet.Uncertain, want)
	}
}

// byText waits for so many messages, and gives them by what they say: of those
// that say the same, the last.
func (p *post) byText(l *live, n int) map[string]*pcapng.Packet {
	p.t.Helper()
	said := make(map[string]*pcapng.Packet)
	for _, packet := range l.wait(fmt.Sprint(n, " messages"), func(all []*pcapng.Packet) bool { return len(kept(all, isData)) >= n }) {
		if isData(packet) {
			said[string(packet.Data)] = packet
		}
	}
	return said
}

// eachWay runs a test with each way to capture that is to be tested.
func eachWay(t *testing.T, f func(t *testing.T, o Options)) {
	eachSet(t, func(t *testing.T, set string) {
		for name, o := range liveOptions(t, set) {
			t.Run(name, func(t *testing.T) { f(t, o) })
		}
	})
}

// TestShortLived: processes that send and end at once, and are gone when that is
// read, are all named; those that have executed a program too. There are as many
// as SOCKCAP_PROCESSES says.
func TestShortLived(t *testing.T) {
	const programs = 7
	forks := 101
	if n, err := strconv.Atoi(os.Getenv("SOCKCAP_PROCESSES")); err == nil {
		forks = n
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	cmdline, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	arguments := strings.TrimRight(string(cmdline[:min(len(cmdline), 1024)]), "\x00")
	eachWay(t, func(t *testing.T, o Options) {
		p := newPost(t)
		exe := copyOfSelf(t, publicDir(t))
		o.Paths = []string{p.path}
		l := startLive(t, o, nil)
		want := make(map[string]named)
		for i := range forks {
			text, comm := fmt.Sprint("fork ", i), fmt.Sprint("fork-", i)
			pid := p.run(&brief{name: append([]byte(comm), 0), text: []byte(text)})
			want[text] = named{pid, comm, self, arguments}
			p.bob.receive(p.to, text)
		}
		for i := range programs {
			text, link := fmt.Sprint("program ", i), fmt.Sprint(exe, "-", i)
			if err := os.Link(exe, link); err != nil {
				t.Fatal(err)
			}
			pid := p.run(p.program(link, fmt.Sprintf("post:%d %s", p.fd, text), "an argument", text))
			base := filepath.Base(link)
			want[text] = named{pid, base[:min(len(base), 15)], link, base + "\x00an argument\x00" + text}
			p.bob.receive(p.to, text)
		}
		said := p.byText(l, len(want))
		for text, w := range want {
			if said[text] == nil {
				t.Errorf("%s is missing", text)
				continue
			}
			p.check(text, said[text], w)
		}
	})
}

// TestExecutedSince: what a process sent before it executed a program is the
// former program's, also if it is read after what the other sent.
func TestExecutedSince(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		p := newPost(t)
		first := copyOfSelf(t, publicDir(t))
		second := copyOfSelf(t, publicDir(t))
		o.Paths = []string{p.path}
		l := startLive(t, o, nil)
		pid := p.run(p.program(first, fmt.Sprintf("twice:%d %s", p.fd, second), "first"))
		p.bob.receive(p.to, "before")
		p.bob.receive(p.to, "after")
		said := p.byText(l, 2)
		comm := filepath.Base(first)
		p.check("before", said["before"], named{pid, comm, first, comm + "\x00first"})
		p.check("after", said["after"], named{pid, comm, second, "again\x00" + second})
	})
}

// TestReusedPID: a process with the pid of one that has ended takes none of its
// names, nor does the other take this one's, though both their messages are
// read when both are gone.
func TestReusedPID(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		p := newPost(t)
		first := copyOfSelf(t, publicDir(t))
		second := copyOfSelf(t, publicDir(t))
		o.Paths = []string{p.path}
		l := startLive(t, o, nil)
		pid, n := p.reused(first, second)
		p.bob.receive(p.to, "one")
		p.bob.receive(p.to, "two")
		said := p.byText(l, n)
		comm := filepath.Base(first)
		p.check("one", said["one"], named{pid, comm, first, comm + "\x001"})
		p.check("two", said["two"], named{pid, comm, second, comm + "\x002"})
	})
}

// reused runs two programs one after the other under the same pid: the first
// says "one", the second "two". Another process of the machine may take the pid
// between them: then all is done again. It gives how many messages were sent, of
// which the last two are not read.
func (p *post) reused(first, second string) (pid, n int) {
	p.t.Helper()
	for n = 2; n < 101; n++ {
		pid = p.run(p.program(first, fmt.Sprintf("post:%d one", p.fd), "1"))
		b := p.program(second, fmt.Sprintf("post:%d two", p.fd), "2")
		b.pid = int32(pid)
		switch again, err := p.fork(b); {
		case errors.Is(err, unix.EEXIST):
			p.bob.receive(p.to, "one")
			continue
		case err != nil:
			p.t.Fatal(err)
		case again != pid:
			p.t.Fatalf("pid %d, want %d", again, pid)
		}
		return pid, n
	}
	p.t.Fatal("others take every pid at once")
	return 0, 0
}

// cgroups mounts the one hierarchy of version 2.
func cgroups(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestCgroupFilter: what a process in a control group says and hears is kept,
// with its name at the end that it is at, and nothing else; no longer, when it
// is in another group.
func TestCgroupFilter(t *testing.T) {
	root := cgroups(t)
	eachWay(t, func(t *testing.T, o Options) {
		alice, bob, carol := newPuppet(t, workload.PuppetConfig{Comm: "alice"}), newPuppet(t, workload.PuppetConfig{Comm: "bob"}), newPuppet(t, workload.PuppetConfig{Comm: "carol"})
		group := fmt.Sprintf("sockcap-test-%d", os.Getpid())
		join := func(name string, pid int) {
			if err := os.WriteFile(filepath.Join(root, name, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{group, group + "x"} {
			if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.Remove(filepath.Join(root, name)); err != nil {
					t.Error(err)
				}
			})
		}
		join(group, alice.PID)
		t.Cleanup(func() { join("", alice.PID) })
		path := filepath.Join(t.TempDir(), "s")
		expr, err := filter.Parse("data and "+path+" and cgroup "+group, filter.Lookup{})
		if err != nil {
			t.Fatal(err)
		}
		o.Filter = expr
		l := startLive(t, o, nil)
		b := bob.listen(unix.SOCK_STREAM, path)
		ask := func(client puppet, text string) {
			c := client.socket(unix.SOCK_STREAM)
			client.must(client.Connect(c, path))
			s, err := bob.Accept(b)
			bob.must(err)
			client.send(c, text)
			bob.receive(s, text)
			bob.send(s, text+" answered")
			client.receive(c, text+" answered")
			client.must(client.CloseFD(c))
			bob.must(bob.CloseFD(s))
		}
		ask(carol, "carol")
		ask(alice, "alice")
		join(group+"x", alice.PID)
		ask(alice, "elsewhere")
		join(group, alice.PID)
		ask(alice, "back")
		all := l.wait("all", func(all []*pcapng.Packet) bool { return len(all) >= 4 })
		want := []string{"alice", "alice answered", "back", "back answered"}
		for i, p := range all {
			if i >= len(want) || string(p.Data) != want[i] {
				t.Fatalf("%s", showAll(all))
			}
			at := p.Cgroup
			if strings.HasSuffix(want[i], "answered") {
				at = p.PeerPlace.Cgroup
			}
			if !strings.HasSuffix(at, "/"+group) || !expr.Match(p) {
				t.Errorf("%s: cgroup %q > %q", want[i], p.Cgroup, p.PeerPlace.Cgroup)
			}
		}
	})
}
