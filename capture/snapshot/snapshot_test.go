package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/pcapng"
)

// socket makes one, bound to name if that is not empty, until the test ends.
func socket(t testing.TB, kind int, name string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if name != "" {
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

func connect(t testing.TB, kind int, name string) int {
	t.Helper()
	fd := socket(t, kind, "")
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func inodeOf(t testing.TB, fd int) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// find gives the links of sockets with these descriptors.
func find(t testing.TB, s *Snapshot, fds ...int) []Link {
	t.Helper()
	wanted := make(map[uint64]bool)
	for _, fd := range fds {
		wanted[inodeOf(t, fd)] = true
	}
	var found []Link
	for _, l := range s.Links() {
		if l.Client != nil && wanted[l.Client.Inode] || l.Server != nil && wanted[l.Server.Inode] {
			found = append(found, l)
		}
	}
	return found
}

// TestTake: every kind of connection that this test makes is there, with what
// waits in it, and this process.
func TestTake(t *testing.T) {
	dir := t.TempDir()
	path, log := filepath.Join(dir, "l"), filepath.Join(dir, "log")
	listening := socket(t, unix.SOCK_STREAM, path)
	if err := unix.Listen(listening, 7); err != nil {
		t.Fatal(err)
	}
	client := connect(t, unix.SOCK_STREAM, path)
	server, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	must[int](t)(unix.Write(client, make([]byte, 4099)))
	gone := connect(t, unix.SOCK_STREAM, path)
	left, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(left)
	waits := connect(t, unix.SOCK_STREAM, path)
	logs := socket(t, unix.SOCK_DGRAM, log)
	logger := connect(t, unix.SOCK_DGRAM, log)
	must[int](t)(unix.Write(logger, make([]byte, 101)))
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	alone := socket(t, unix.SOCK_STREAM, "")

	s, err := Take(Options{Holders: true})
	if err != nil {
		t.Fatal(err)
	}
	end := func(s *Socket) string {
		switch {
		case s == nil:
			return "-"
		case len(s.Holders) != 1:
			return fmt.Sprintf("%d: %d holders", s.Inode, len(s.Holders))
		}
		return strconv.Itoa(int(s.Holders[0].FD))
	}
	var got []string
	for _, l := range find(t, s, listening, client, server, gone, waits, logs, logger, pair[0], pair[1], alone) {
		received := l.Any().Received
		got = append(got, fmt.Sprintf("%s %s>%s state %d path %q received %d", l.Any().Type, end(l.Client), end(l.Server), l.State, l.Address(), received))
	}
	if inodeOf(t, pair[1]) < inodeOf(t, pair[0]) {
		pair[0], pair[1] = pair[1], pair[0] // the client has the lower inode
	}
	want := []string{
		fmt.Sprintf("stream ->%d state %d path %q received 1", listening, LinkListening, path),
		fmt.Sprintf("stream %d>%d state %d path %q received 4099", client, server, LinkEstablished, path),
		fmt.Sprintf("stream %d>- state %d path \"\" received 0", gone, LinkClosed),
		fmt.Sprintf("stream %d>%d state %d path %q received 1", waits, listening, LinkPending, path),
		fmt.Sprintf("dgram ->%d state %d path %q received 101", logs, LinkUnconnected, log),
		fmt.Sprintf("dgram %d>%d state %d path %q received 101", logger, logs, LinkEstablished, log),
		fmt.Sprintf("seqpacket %d>%d state %d path \"\" received 0", pair[0], pair[1], LinkEstablished),
		fmt.Sprintf("stream %d>- state %d path \"\" received 0", alone, LinkUnconnected),
	}
	slices.Sort(want) // each CPU numbers inodes from a range of its own, so they are in no order of making
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	l := find(t, s, listening)[0].Server
	p := *l.Holders[0].Process
	comm := must[[]byte](t)(os.ReadFile("/proc/self/comm"))
	if int(p.PID) != os.Getpid() || p.Comm+"\n" != string(comm) || int(p.UID) != os.Geteuid() || int(p.GID) != os.Getegid() {
		t.Errorf("process %+v", p)
	}
	if l.Sent != 7 || l.UID != uint32(os.Geteuid()) || l.Memory.ReceiveMax == 0 || len(l.Pending) != 1 || l.Pending[0] != inodeOf(t, waits) {
		t.Errorf("listener %+v", l)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	byName := map[string]*Files{}
	for _, glob := range []string{path, link, dir + "/*in?", dir, log, filepath.Join(dir, "none"), "", filepath.Dir(dir)} {
		byName[glob] = FindFiles(nil, glob)
		if got, want := byName[glob].Has(l), glob != log && glob != "" && !strings.HasSuffix(glob, "none"); got != want {
			t.Errorf("listener is at %q: %v, want %v", glob, got, want)
		}
	}
	if byName[path].Has(find(t, s, logs)[0].Server) || byName[path].Has(nil) || (*Files)(nil).Has(l) {
		t.Error("another socket, or none, is at the path")
	}
}

// TestBacklog: a listener with many who wait for accept hides no other socket,
// and each of them is there. Their inodes take more than the 3,776 bytes that a
// first message has with pages of 4 KiB; and less than 1,024 descriptors are
// open, as many as a process may have in the worst case.
func TestBacklog(t *testing.T) {
	const waiting = 971
	path := filepath.Join(t.TempDir(), "l")
	fds := []int{socket(t, unix.SOCK_STREAM, path)}
	if err := unix.Listen(fds[0], waiting); err != nil {
		t.Fatal(err)
	}
	for range waiting {
		fd := socket(t, unix.SOCK_STREAM, "")
		if err := errors.Join(unix.SetNonblock(fd, true), unix.Connect(fd, &unix.SockaddrUnix{Name: path})); err != nil {
			if errors.Is(err, unix.EAGAIN) {
				t.Fatalf("net.core.somaxconn is below %d here", waiting)
			}
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	// The kernel falls back to small messages while its memory is in pieces.
	diff := "none taken"
	for deadline := time.Now().Add(time.Minute); diff != "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		s, err := Take(Options{})
		if err != nil {
			t.Fatal(err)
		}
		states := make(map[LinkState]int)
		for _, l := range find(t, s, fds...) {
			if l.Server != nil && l.Server.Inode == inodeOf(t, fds[0]) {
				states[l.State]++
			}
		}
		diff = cmp.Diff(map[LinkState]int{LinkListening: 1, LinkPending: waiting}, states)
	}
	if diff != "" {
		t.Errorf("links of the listener: -want +got\n%s", diff)
	}
}

// TestNamespace: sockets of other network namespaces are there, and who is
// connected across.
func TestNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root to make a network namespace")
	}
	path := filepath.Join(t.TempDir(), "l")
	listening := socket(t, unix.SOCK_STREAM, path)
	if err := unix.Listen(listening, 1); err != nil {
		t.Fatal(err)
	}
	made, looked := make(chan error), make(chan bool)
	client := -1
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			client, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		}
		if err == nil {
			err = unix.Connect(client, &unix.SockaddrUnix{Name: path})
		}
		made <- err
		<-looked
	}()
	defer close(looked)
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	server, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	tk := taker{proc: "/proc", dump: dump}
	// /proc shows namespaces of processes; a thread's, as one.
	tk.proc = t.TempDir()
	self := fmt.Sprintf("/proc/%d/task/", os.Getpid())
	for i, entry := range must[[]os.DirEntry](t)(os.ReadDir(self)) {
		name := filepath.Join(tk.proc, strconv.Itoa(i+1))
		if err := os.Symlink(self+entry.Name(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/proc/thread-self", filepath.Join(tk.proc, "thread-self")); err != nil {
		t.Fatal(err)
	}
	s, err := tk.take()
	if err != nil {
		t.Fatal(err)
	}
	links := find(t, s, client, listening)
	slices.SortFunc(links, func(a, b Link) int { return int(b.State) - int(a.State) }) // inodes of two CPUs are in any order
	if len(links) != 2 || links[0].State != LinkListening || links[1].Server == nil || links[1].Server.Inode != inodeOf(t, server) {
		t.Fatalf("links %q", show(links))
	}
	listens, connects := links[0].Server, links[1].Client // what is accepted is in the client's namespace
	if listens.NetNS == connects.NetNS || connects.NetNS == 0 || links[1].Address() != path {
		t.Errorf("listener %+v, client %+v", listens, connects)
	}
}

// TestForeign: a process that can't be looked into is told of only if another
// user's.
func TestForeign(t *testing.T) {
	for _, c := range []struct {
		stat, uid string
		want      bool
	}{
		{"1 (a) b) c) S 0 1 1 0 -1 4194560 1 2", "4099", true},
		{"1 (a) S 0 1 1 0 -1 4194560 1 2", strconv.Itoa(os.Geteuid()), false},
		{"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0", "4099", false},
		{"", "4099", false},
		{"1 (a", "4099", false},
	} {
		name := t.TempDir()
		os.WriteFile(filepath.Join(name, "stat"), []byte(c.stat), 0o600)
		os.WriteFile(filepath.Join(name, "status"), []byte("Name:\ta\\nUid:\nUid:\t1\t"+c.uid+"\t2\t3\nGid:\t4\t5\n"), 0o600)
		dir := must[int](t)(unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
		if got := isForeign(dir); got != c.want {
			t.Errorf("%q of %s: %v, want %v", c.stat, c.uid, got, c.want)
		}
		unix.Close(dir)
	}
}

// TestProcesses: odd and vanishing processes of a /proc that this test makes.
func TestProcesses(t *testing.T) {
	proc := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "->"); ok {
			if err := os.Symlink(target, name); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("thread-self/ns/net", "->net:[9]")
	write("101/ns/net", "->net:[9]")
	write("101/fd/10", "->socket:[7]")
	write("101/fd/3", "->socket:[7]")
	write("101/fd/4", "->socket:[8]") // none of ours
	write("101/fd/5", "->socket:[18446744073709551616]")
	write("101/fd/6", "->socket:[7")
	write("101/fd/7", "->/tmp/socket:[7]")
	write("101/fd/x", "->socket:[7]")
	write("101/comm", "a\nb\xff\n")
	write("7/fd/0", "->socket:[7]") // nothing else of it can be read any more
	write("8/comm", "ended\n")
	write("self/fd/0", "->socket:[7]")
	write("4294967296/fd/0", "->socket:[7]")

	tk := taker{proc: proc, containers: container.NewNames(nil), options: Options{Holders: true, MaxSockets: 2}, dump: func(n namespace, found func(*Socket)) error {
		for _, inode := range []uint64{7, 7, 6, 5} {
			found(&Socket{Inode: inode, Address: fmt.Sprint(inode)})
		}
		return nil
	}}
	s, err := tk.take()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Sockets) != 2 || !s.Truncated || s.Sockets[0].Inode != 6 || s.Sockets[1].NetNS != 9 {
		t.Fatalf("sockets %+v, truncated %v", s.Sockets, s.Truncated)
	}
	odd := &Process{PID: 101, UID: pcapng.Unknown, GID: pcapng.Unknown, Comm: "a\nb\xff"}
	want := []Holder{{&Process{PID: 7, UID: pcapng.Unknown, GID: pcapng.Unknown}, 0}, {odd, 3}, {odd, 10}}
	if diff := cmp.Diff(want, s.Sockets[1].Holders); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if s.Hidden != (Hidden{}) {
		t.Errorf("hidden %+v", s.Hidden)
	}
}

// TestErrors: our own namespace must be had, others need not.
func TestErrors(t *testing.T) {
	tk := taker{proc: filepath.Join(t.TempDir(), "none")}
	if _, err := tk.take(); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "list processes: ") {
		t.Errorf("error %v", err)
	}
	proc := t.TempDir()
	for name, inode := range map[string]string{"thread-self": "9", "101": "10"} {
		os.MkdirAll(filepath.Join(proc, name, "ns"), 0o755)
		target := filepath.Join(proc, name, "net:["+inode+"]")
		os.WriteFile(target, nil, 0o600)
		os.Symlink(target, filepath.Join(proc, name, "ns/net"))
	}
	tk = taker{proc: proc, dump: func(n namespace, _ func(*Socket)) error { return &Error{Op: "ask", Name: "x", Err: unix.EPERM} }}
	if _, err := tk.take(); !errors.Is(err, os.ErrPermission) || err.Error() != "ask x: operation not permitted" {
		t.Errorf("error %v", err)
	}
}

// BenchmarkTake looks at 10,000 connected sockets of this process, and at
// whatever else the machine has.
func BenchmarkTake(b *testing.B) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	const pairs = 5000
	if limit.Cur < 2*pairs+64 {
		b.Skipf("no more than %d descriptors", limit.Cur)
	}
	for range pairs {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	}
	for _, holders := range []bool{false, true} {
		b.Run(fmt.Sprintf("holders=%v", holders), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := Take(Options{Holders: holders})
				if err != nil || len(s.Links()) < pairs {
					b.Fatal(err, len(s.Sockets))
				}
			}
		})
	}
}
