package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// withSockets is the command "sockets COMMAND...", which makes sockets in the
// current directory, runs a command, and ends with its status:
//
//	l.sock    a listener of 7, with an accepted connection that has 101 unread
//	          bytes for the server, and one that waits
//	log       a datagram socket with 7 unread bytes from who is connected
//	q\n\xff   a listener (seqpacket)
func withSockets(command []string) int {
	if err := makeSockets(); err != nil {
		fmt.Fprintln(os.Stderr, "sockets:", err)
		return 1
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sockets:", err)
		return 1
	}
	return 0
}

func makeSockets() error {
	if err := os.WriteFile("/proc/self/comm", []byte("odd \x1b]"), 0); err != nil {
		return err
	}
	type end struct {
		kind    int
		connect bool
		name    string
		write   int
	}
	listener := -1
	for i, e := range []end{
		{unix.SOCK_STREAM, false, "l.sock", 0}, {unix.SOCK_STREAM, true, "l.sock", 101}, {unix.SOCK_STREAM, true, "l.sock", 0},
		{unix.SOCK_DGRAM, false, "log", 0}, {unix.SOCK_DGRAM, true, "log", 7}, {unix.SOCK_SEQPACKET, false, "q\n\xff", 0},
	} {
		fd, err := unix.Socket(unix.AF_UNIX, e.kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		address := &unix.SockaddrUnix{Name: e.name}
		if e.connect {
			err = unix.Connect(fd, address)
		} else {
			os.Remove(e.name) // of a run before
			err = unix.Bind(fd, address)
		}
		if err == nil && !e.connect && e.kind != unix.SOCK_DGRAM {
			err = unix.Listen(fd, 7)
		}
		if err == nil && e.write > 0 {
			_, err = unix.Write(fd, make([]byte, e.write))
		}
		if err != nil {
			return err
		}
		switch i {
		case 0:
			listener = fd
		case 1:
			if _, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC); err != nil {
				return err
			}
		}
	}
	return nil
}

// fixedSnapshot is one that is always the same.
func fixedSnapshot() *snapshot.Snapshot {
	id := strings.Repeat("0123456789abcdef", 4)
	process := func(pid uint32, comm string) *snapshot.Process {
		return &snapshot.Process{PID: pid, UID: 0, GID: 0, Comm: comm,
			Place: pcapng.Place{Cgroup: "/system.slice/x.service", Unit: "x.service"}}
	}
	var workers []snapshot.Holder
	for i := range uint32(101) {
		workers = append(workers, snapshot.Holder{Process: process(4099+i, fmt.Sprintf("worker %d", i)), FD: 3})
	}
	dockerd := process(7, "dockerd")
	odd := &snapshot.Process{PID: 4_000_000, UID: pcapng.Unknown, GID: pcapng.Unknown, Comm: "\x1b[2J\xff", Place: pcapng.Place{Container: id}}
	return &snapshot.Snapshot{Sockets: []*snapshot.Socket{
		{Inode: 1, NetNS: 9, Type: pcapng.Stream, State: snapshot.Listening, Address: "/run/docker.sock", Device: 254 << 20, File: 4099,
			Received: 1, Sent: 4096, Pending: []uint64{4}, UID: 0, Memory: snapshot.Memory{ReceiveMax: 212992, SendMax: 212992},
			Holders: []snapshot.Holder{{Process: dockerd, FD: 3}, {Process: dockerd, FD: 4}}},
		{Inode: 2, NetNS: 9, Type: pcapng.Stream, State: snapshot.Established, Connected: true, Peer: 3, UID: 1000, Received: 7,
			Holders: []snapshot.Holder{{Process: odd, FD: 5}}},
		{Inode: 3, NetNS: 9, Type: pcapng.Stream, State: snapshot.Established, Connected: true, Peer: 2, Received: 101, Sent: 4099,
			Address: "/run/docker.sock", Device: 254 << 20, File: 4099, Holders: []snapshot.Holder{{Process: dockerd, FD: 9}}},
		{Inode: 4, NetNS: 9, Type: pcapng.Stream, State: snapshot.Established, Connected: true, UID: pcapng.Unknown},
		{Inode: 5, NetNS: 9, Type: pcapng.SeqPacket, State: snapshot.Established, Connected: true, Shutdown: 3},
		{Inode: 6, NetNS: 8, Type: pcapng.Datagram, State: snapshot.Unconnected, Address: "@a\x00\n\u202e日本語 name that is long, as long as abstract names may be, and longer than columns are",
			Received: 11, Holders: workers},
		{Inode: 7, NetNS: 8, Type: pcapng.Datagram, State: snapshot.Established, Connected: true, Peer: 6, Address: "relative/../name", Holders: workers[:2]},
	}}
}

func listed(t *testing.T, s *snapshot.Snapshot, width int, ids bool, expression string) string {
	t.Helper()
	chosen, err := chooseSockets(expression, new([6][]string), nil)
	if err != nil {
		t.Fatal(err)
	}
	links := chosenLinks(s, chosen)
	var b strings.Builder
	writeTable(&b, linkTable(links, &userNames{numeric: true}, ids), width)
	return "\n" + b.String()
}

// TestListTable: the same sockets in a pipe, on terminals, and with -e.
func TestListTable(t *testing.T) {
	for _, c := range []struct {
		name       string
		width      int
		ids        bool
		expression string
		want       string
	}{
		{"80", 80, false, "", wantList80},
		{"200", 200, false, "", wantList200},
		{"narrow", 20, false, "dgram", wantListNarrow},
		{"pipe", 0, false, "not dgram", wantListPipe},
		{"-e", 0, true, "not dgram", wantListIDs},
		{"nothing", 80, false, "pid 1", "\nTYPE  STATE  QUEUE  USER  PATH  CLIENT  SERVER\n"},
	} {
		if d := cmp.Diff(c.want, listed(t, fixedSnapshot(), c.width, c.ids, c.expression)); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
	}
}

// TestListWidth: on a terminal no line is longer than that, unless all that can
// be cut is cut; in a pipe everything is there.
func TestListWidth(t *testing.T) {
	s := fixedSnapshot()
	for width := 80; width < 700; width++ {
		for line := range strings.Lines(listed(t, s, width, false, "")) {
			if got := textWidth(strings.TrimSuffix(line, "\n")); got > width {
				t.Fatalf("%d characters on a line of %d: %s", got, width, line)
			}
		}
	}
	whole := listed(t, s, 0, false, "dgram")
	if !strings.Contains(whole, `"worker 100"[4199]`+"\n") || strings.Contains(whole, ellipsis) {
		t.Errorf("not all is there: %s", whole)
	}
	for _, r := range whole {
		if r < ' ' && r != '\n' || r == '\u202e' {
			t.Fatalf("%q", whole)
		}
	}
}

// TestListChoice: an expression is asked of both ends, and of the path by each
// end's own address.
func TestListChoice(t *testing.T) {
	for expression, want := range map[string]int{
		"": 6, "/run": 3, "/run/docker.sock and pid 7": 3, "path docker.sock and not comm dockerd": 0, "/run/docker.sock and container 0123": 1,
		"pid 4000000": 1, "uid 1000": 1, "netns 8": 2, "inode 6": 2, "dgram or seqpacket": 3, "unit": -1, "not /run": 3,
		"path relative/../name": 1, "path name": 1, "comm worker*": 2, "pid 4199": 2, "cgroup x.service": 5, "uid 0 and seqpacket": 1,
	} {
		chosen, err := chooseSockets(expression, new([6][]string), nil)
		if err != nil {
			if want != -1 {
				t.Errorf("%s: %v", expression, err)
			}
			continue
		}
		if got := len(chosenLinks(fixedSnapshot(), chosen)); got != want {
			t.Errorf("%s: %d links, want %d", expression, got, want)
		}
	}
	chosen, err := chooseSockets("stream", &[6][]string{1: {"dockerd", "x"}, 2: {"4000000"}}, nil)
	if err != nil || len(chosenLinks(fixedSnapshot(), chosen)) != 1 {
		t.Errorf("shorthands: %v", err)
	}
}

// TestListJSON: JSON.md has the keys, bytes come back, lists are of one length.
func TestListJSON(t *testing.T) {
	printed := make(map[string]any)
	for _, l := range fixedSnapshot().Links() {
		fields := parseJSON(t, appendLinkJSON(nil, &l))
		for key, v := range fields {
			if list, ok := v.([]any); ok {
				end, _, _ := strings.Cut(key, ".")
				if pids := fields[end+".pid"].([]any); len(list) != len(pids) {
					t.Errorf("%s has %d elements, %s.pid %d", key, len(list), end, len(pids))
				}
			}
		}
		maps.Copy(printed, fields)
	}
	client := fixedSnapshot().Sockets[6]
	client.Device, client.File, client.Shutdown = 1, 1, 1
	client.Holders[0].Process.Container = "abc"
	server := fixedSnapshot().Sockets[1]
	server.Device, server.File, server.Shutdown = 1, 1, 1
	server.Address = "/x"
	server.Holders[0].Process.Cgroup, server.Holders[0].Process.Unit = "/x", "x"
	for _, p := range []*snapshot.Process{client.Holders[0].Process, server.Holders[0].Process} {
		p.Exe, p.ContainerName, p.Pod = "/bin/x", "web", "shop/web-0"
		if name := containerOf(&snapshot.Socket{Holders: []snapshot.Holder{{Process: p}}}); name != "web" {
			t.Errorf("container %q", name)
		}
	}
	odd := parseJSON(t, appendLinkJSON(nil, &snapshot.Link{Client: client, Server: server}))
	maps.Copy(printed, odd)
	expectDocumented(t, "# sockcap list --json", printed)
	if got := odd["server.comm_raw"].([]any)[0]; got != "G1sySv8=" {
		t.Errorf("comm_raw %v", got)
	}
	if got := odd["server.comm"].([]any)[0]; got != "\x1b[2J\\xff" {
		t.Errorf("comm %q", got)
	}
	if got := odd["server.euid"].([]any)[0]; got != nil {
		t.Errorf("euid %v", got)
	}
	if got := odd["client.fd"].([]any)[1]; got != json.Number("3") {
		t.Errorf("fd %v", got)
	}
}

// TestListCompletion: a shell is not offered what list refuses.
func TestListCompletion(t *testing.T) {
	offered := func(args ...string) string {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		h := testHost()
		h.stdout, h.proc = out, fstest.MapFS{"7/comm": {Data: []byte("data\n")}}
		if status := h.main(append([]string{"__complete"}, args...)); status != 0 {
			t.Fatalf("%q: status %d", args, status)
		}
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct {
		words    []string
		has, not string
	}{
		{[]string{"list", ""}, "stream", "src"}, {[]string{"list", "pid", "5", "and", "l"}, "", "len"}, {[]string{"top", "l"}, "len", "path"},
		{[]string{"list", "comm", ""}, "data", "stream"}, {[]string{"top", "--sort", ""}, "latency", "stream"},
	} {
		got := "\n" + offered(c.words...)
		if !strings.Contains(got, "\n"+c.has) || strings.Contains(got, "\n"+c.not+"\n") {
			t.Errorf("after %q: %q, want %s and no %s", c.words, got, c.has, c.not)
		}
	}
}

// TestListDetailsExplained: README and manual page explain all that -e adds.
func TestListDetailsExplained(t *testing.T) {
	keys := regexp.MustCompile(`  ([a-z]+=)`).FindAllStringSubmatch(wantListIDs, -1)
	if len(keys) == 0 {
		t.Fatal("-e adds nothing")
	}
	for name, quoted := range map[string]string{"../../README.md": "`%s", "sockcap.8": "\n.Ql %s"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if !strings.Contains(string(text), fmt.Sprintf(quoted, k[1])) {
				t.Errorf("%s does not have %s", name, k[1])
			}
		}
	}
}

// TestListHidden: what is hidden is said where it makes a difference.
func TestListHidden(t *testing.T) {
	for _, c := range []struct {
		hidden    snapshot.Hidden
		truncated bool
		holders   bool
		want      string
	}{
		{snapshot.Hidden{}, false, false, ""},
		{snapshot.Hidden{Processes: 7}, false, true, ""},
		{snapshot.Hidden{Processes: 7}, false, false, "sockcap: hidden are 7 processes of other users, who may hold the 1 socket without a process\nsockcap: hint: run as root, or grant it cap_sys_ptrace\n"},
		{snapshot.Hidden{Processes: 1, Namespaces: 2}, false, true, "sockcap: hidden are the sockets of 2 other network namespaces\nsockcap: hint: run as root, or grant it cap_sys_admin\n"},
		{snapshot.Hidden{}, true, false, "sockcap: warning: there are more than 1 socket, which is as many as are looked at\n"},
	} {
		socket := &snapshot.Socket{Inode: 1, Type: pcapng.Stream, State: snapshot.Listening}
		if c.holders {
			socket.Holders = []snapshot.Holder{{Process: &snapshot.Process{PID: 1}}}
		}
		s := &snapshot.Snapshot{Sockets: []*snapshot.Socket{socket}, Hidden: c.hidden, Truncated: c.truncated}
		var words bytes.Buffer
		h := &host{stderr: &words}
		h.sayHidden(s, s.Links())
		if d := cmp.Diff(c.want, words.String()); d != "" {
			t.Errorf("%+v: -want +got\n%s", c, d)
		}
	}
}

// TestListAsUser: without root, list shows all sockets of the namespace, and
// says that it cannot see who holds them.
func TestListAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root to become another user")
	}
	dir := publicSelf(t)
	exe, path := filepath.Join(dir, "sockcap"), filepath.Join(dir, "l")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 7)); err != nil {
		t.Fatal(err)
	}
	run := func(env []string, args ...string) (stdout, stderr string) {
		var out, words bytes.Buffer
		cmd := exec.Command(exe)
		cmd.Args = append([]string{"sockcap", "list"}, args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", env, &out, &words
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, words.String())
		}
		return out.String(), words.String()
	}
	stdout, stderr := run([]string{}, "-n", path)
	want := fmt.Sprintf("TYPE    STATE   QUEUE  USER  PATH%*s  CLIENT  SERVER\nstream  listen  0/7    0     %s  -       ?\n", len(path)-4, "", path)
	if d := cmp.Diff(want, stdout); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if !strings.HasPrefix(stderr, "sockcap: hidden are ") || !strings.HasSuffix(stderr, "cap_sys_ptrace\n") ||
		!strings.Contains(stderr, " of other users, who may hold the 1 socket without a process\nsockcap: hint: run as root, or grant it ") {
		t.Errorf("stderr %q", stderr)
	}
	if _, stderr := run([]string{}, "pid", "1"); !strings.HasPrefix(stderr, "sockcap: no socket matches\nsockcap: hidden are ") ||
		!strings.Contains(stderr, " of other users, whose sockets might\nsockcap: hint: run as root, or grant it cap_sys_ptrace\n") {
		t.Errorf("nothing is listed, stderr %q", stderr)
	}
	if _, stderr := run([]string{}, dir); !strings.HasPrefix(stderr, "sockcap: hidden are ") {
		t.Errorf("of a path, holders aside, nothing is hidden; stderr %q", stderr)
	}
}
