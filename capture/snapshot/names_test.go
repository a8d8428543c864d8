package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/pcapng"
)

func TestNamed(t *testing.T) {
	for line, want := range map[string]*Socket{
		"Num       RefCount Protocol Flags    Type St Inode Path": nil,
		"": nil,
		"0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a b":                  {Inode: 12345, Type: pcapng.Stream, State: Listening, Address: "/run/a b", UID: pcapng.Unknown},
		"0000000000000000: 00000003 00000000 00000000 0001 03 12346 @/tmp/x":                   {Inode: 12346, Type: pcapng.Stream, State: Established, Connected: true, Address: "@/tmp/x", UID: pcapng.Unknown},
		"0000000000000000: 00000002 00000000 00000000 0002 01     7":                           {Inode: 7, Type: pcapng.Datagram, State: Unconnected, UID: pcapng.Unknown},
		"0000000000000000: 00000002 00000000 00010000 0005 01     0 /waits":                    nil,
		"0000000000000000: 00000002 00000000 00010000 000z 01     7 /odd":                      nil,
		"0000000000000000: 00000003 00000000 00000000 0005 03 4294967295 relative\x1b[2J/name": {Inode: 1<<32 - 1, Type: pcapng.SeqPacket, State: Established, Connected: true, Address: "relative\x1b[2J/name", UID: pcapng.Unknown},
	} {
		if d := cmp.Diff(want, named([]byte(line))); d != "" {
			t.Errorf("%q (-want +got):\n%s", line, d)
		}
	}
}

// TestNamesOnly: where sock_diag is refused, the sockets of /proc/net/unix are
// found, with their holders, if that will do.
func TestNamesOnly(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	var st unix.Stat_t
	if err := unix.Fstat(fds[0], &st); err != nil {
		t.Fatal(err)
	}
	refused := &Error{Op: "ask", Name: "sock_diag", Err: unix.EPERM}
	tk := taker{proc: "/proc", containers: container.NewNames(nil), options: Options{Holders: true}, dump: func(namespace, func(*Socket)) error { return refused }}
	if _, err := tk.take(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("without names: %v", err)
	}
	tk.options.Names = true
	s, err := tk.take()
	if err != nil || !errors.Is(s.NoDiag, refused) {
		t.Fatal(err, s)
	}
	for _, l := range s.Links() {
		if of := l.Any(); of.Inode == st.Ino {
			if l.State != LinkEstablished || len(of.Holders) != 1 || of.Holders[0].Process.PID != uint32(os.Getpid()) || of.NetNS == 0 {
				t.Errorf("ours: %+v, %+v", l, of)
			}
			return
		}
	}
	t.Errorf("socket %d is not among %d", st.Ino, len(s.Sockets))
}

// TestForgedName: a name that goes on as the line of another socket does gives
// that no other name.
func TestForgedName(t *testing.T) {
	bound := func(name string) (fd int, inode uint64) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		var st unix.Stat_t
		if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: name}), unix.Fstat(fd, &st)); err != nil {
			t.Fatal(err)
		}
		return fd, st.Ino
	}
	unique := fmt.Sprintf("@%d", os.Getpid())
	victims := make(map[uint64]string)
	for i := range 9 { // the order of the lines is that of a hash
		name := fmt.Sprintf("%s-v%d", unique, i)
		_, inode := bound(name)
		victims[inode] = name
		bound(fmt.Sprintf("%s-%d\n0: 2 0 10000 1 1 %d /run/docker.sock", unique, i, inode))
	}
	_, other := bound(unique)
	tk := taker{proc: "/proc", containers: container.NewNames(nil), options: Options{Names: true, MaxSockets: 1 << 20}, dump: func(namespace, func(*Socket)) error { return unix.EPERM }}
	s, err := tk.take()
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range s.Sockets {
		name, victim := victims[found.Inode]
		switch {
		case victim && found.Address != "" && found.Address != name:
			t.Errorf("%s is called %q", name, found.Address)
		case found.Inode == other && found.Address != unique:
			t.Errorf("%s is called %q", unique, found.Address)
		}
		delete(victims, found.Inode)
	}
	if len(victims) > 0 {
		t.Errorf("not found: %v", victims)
	}
}

// TestEnded: a snapshot that is ended early has what was found by then.
func TestEnded(t *testing.T) {
	end := make(chan struct{})
	close(end)
	if s, err := Take(Options{Holders: true, End: end}); err != nil || len(s.Sockets) > 0 {
		t.Errorf("%d sockets, %v", len(s.Sockets), err)
	}
	if err := Ask(); err != nil {
		t.Error(err)
	}
}

func TestLiteral(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{`a*`, `ab`, `a\`, `[x]`, `x`} {
		if err := unix.Mknod(dir+"/"+name, unix.S_IFSOCK|0o600, 0); err != nil { // bind(2) takes no long names
			t.Fatal(err)
		}
	}
	for _, name := range []string{`a*`, `a\`, `[x]`, `x`} {
		if f := FindFiles(nil, Literal(dir+"/"+name)); len(f.files) != 1 {
			t.Errorf("%s: %d files", name, len(f.files))
		}
	}
	if f := FindFiles(nil, dir+"/a*", dir+"/x"); len(f.files) != 4 {
		t.Errorf("two patterns: %d files", len(f.files))
	}
}

// TestFindFilesOfHost: files are looked for in the host's file system too.
func TestFindFilesOfHost(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/of-host", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := unix.Mknod(dir+"/of-host/"+name, unix.S_IFSOCK|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
	host, err := container.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	for glob, want := range map[string]int{"/of-host/a": 1, "/of-host": 2, "/of-hos[t]/b": 1, "/of-host/c": 0} {
		if f := FindFiles(host, glob); len(f.files) != want {
			t.Errorf("%s: %d files, want %d", glob, len(f.files), want)
		}
		if f := FindFiles(nil, glob); len(f.files) != 0 {
			t.Errorf("%s: %d files in our own", glob, len(f.files))
		}
	}
}
