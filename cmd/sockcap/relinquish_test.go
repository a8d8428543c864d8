package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
)

// openDir is a directory of this mode and owner that others can reach.
func openDir(t *testing.T, mode os.FileMode, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sockcap") // not TempDir, which is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := errors.Join(os.Chown(dir, uid, uid), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRights: what a running capture has left, in each of its threads; and that
// it captures with that, rotates, and runs -z.
func TestRights(t *testing.T) {
	kept, _ := capture.Kept()
	override := uint64(1) << unix.CAP_DAC_OVERRIDE
	rotates := []string{"-C", "20k"}
	for _, c := range []struct {
		name  string
		args  []string
		sudo  bool
		dir   int // whose directory
		uid   int // who it becomes
		caps  uint64
		owner int // of the files
		setup []string
	}{
		{"root", nil, false, 0, nobody, kept, 0, nil},
		{"root rotates elsewhere", rotates, false, sudoer, 0, kept | override, 0, nil},
		{"sudo rotates", rotates, true, sudoer, sudoer, kept, sudoer, nil},
		{"sudo rotates elsewhere", rotates, true, 0, sudoer, kept | override, sudoer, nil},
		{"Z", []string{"-Z", "nobody"}, true, 0, nobody, kept, nobody, nil},
		{"root may not", nil, false, 0, 0, kept, 0, []string{"setpriv", "--bounding-set=-setuid,-setgid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t, 0o755, c.dir)
			p := prepareProcess(t, "none", append([]string{"-U", "-w", dir + "/out", fmt.Sprintf("pid %d", os.Getpid())}, c.args...)...)
			if c.sudo {
				p.Env = append(p.Env, fmt.Sprintf("SUDO_UID=%d", sudoer), fmt.Sprintf("SUDO_GID=%d", sudoer))
			}
			if c.setup != nil {
				setpriv, err := exec.LookPath(c.setup[0])
				if err != nil {
					t.Fatal(err)
				}
				exe := filepath.Join(linkedSelf(t, p.Path), "sockcap")
				p.Path, p.Args = setpriv, append(append(c.setup[:len(c.setup):len(c.setup)], exe), p.Args[1:]...)
			}
			p.start()
			p.expect(p.stderr, "listening on")
			want := fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d CapInh:\t%016[2]x CapPrm:\t%016[3]x CapEff:\t%016[3]x CapBnd:\t%016[2]x NoNewPrivs:\t1 Seccomp:\t2", c.uid, 0, c.caps)
			awaitStatus(t, p.Process.Pid, want)
			name := dir + "/out"
			if c.args != nil && c.args[0] == "-C" {
				name += "1"
			}
			sendUntil(t, func() bool { info, err := os.Stat(name); return err == nil && info.Size() > 1000 })
			p.signal(unix.SIGINT)
			if _, stderr := p.end(0); strings.Contains(stderr, "error") {
				t.Error(stderr)
			}
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := uidOf(info); got != c.owner || info.Mode() != 0o600 {
				t.Errorf("%s: %v of %d, want -rw------- of %d", name, info.Mode(), got, c.owner)
			}
		})
	}
}

// TestRightsOfFile: with the capabilities that a file may have in place of root
// it captures, rotates, and keeps those that it keeps of root's; files are made
// with the user's own rights.
func TestRightsOfFile(t *testing.T) {
	kept, _ := capture.Kept()
	kept &^= 1 << unix.CAP_SYS_PTRACE // was not given
	in, dir := newInstallation(t), openDir(t, 0o755, nobody)
	p := prepareProcess(t, "none", "-U", "-w", dir+"/out", "-C", "20k", fmt.Sprintf("pid %d", os.Getpid()))
	p.Path, p.Dir = filepath.Join(in.dir, "bin/sockcap"), "/"
	p.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYSLOG, unix.CAP_DAC_READ_SEARCH},
	}
	p.start()
	p.expect(p.stderr, "listening on")
	_, bound, _ := strings.Cut(statusLines(t, "/proc/self/status"), "CapBnd:\t") // only root may change it
	bound, _, _ = strings.Cut(bound, " ")
	awaitStatus(t, p.Process.Pid, fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d CapInh:\t%016[2]x CapPrm:\t%016[3]x CapEff:\t%016[3]x CapBnd:\t%[4]s NoNewPrivs:\t1 Seccomp:\t2",
		nobody, 0, kept, bound))
	sendUntil(t, func() bool { info, err := os.Stat(dir + "/out1"); return err == nil && info.Size() > 1000 })
	p.signal(unix.SIGINT)
	p.end(0)
}

// TestRightsOfAfter: what -z runs is the user who called sudo, without any
// capability, and may write where that user may.
func TestRightsOfAfter(t *testing.T) {
	dir, elsewhere := openDir(t, 0o755, sudoer), openDir(t, 0o777, 0)
	after := filepath.Join(dir, "after")
	script := "#!/bin/sh\n{ id -u; grep -E '^(CapPrm|CapEff|NoNewPrivs)' /proc/self/status; wc -c <\"$1\"; } >" + elsewhere + "/new && mv " + elsewhere + "/new " + elsewhere + "/said\n"
	syscall.ForkLock.RLock() // see installation.write
	err := os.WriteFile(after, []byte(script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	p := prepareProcess(t, "none", "-U", "-w", dir+"/out", "-C", "20k", "-z", after, fmt.Sprintf("pid %d", os.Getpid()))
	p.Env = append(p.Env, fmt.Sprintf("SUDO_UID=%d", sudoer), fmt.Sprintf("SUDO_GID=%d", sudoer))
	p.start()
	p.expect(p.stderr, "listening on")
	sendUntil(t, func() bool { _, err := os.Stat(elsewhere + "/said"); return err == nil })
	p.signal(unix.SIGINT)
	p.end(0)
	said, err := os.ReadFile(elsewhere + "/said")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d\nCapPrm:\t%016[2]x\nCapEff:\t%016[2]x\nNoNewPrivs:\t1\n2", sudoer, 0)
	if !strings.HasPrefix(string(said), want) { // a file of 20,000 bytes or a little more
		t.Errorf("%q, want %q before the rest", said, want)
	}
}

// TestRightsOfRoot: -Z root keeps everything.
func TestRightsOfRoot(t *testing.T) {
	p := prepareProcess(t, "none", "-Z", "root", "-w", openDir(t, 0o755, 0)+"/out")
	p.start()
	p.expect(p.stderr, "listening on")
	of := func(pid string) string {
		return statusLines(t, "/proc/"+pid+"/status")
	}
	if got, want := of(strconv.Itoa(p.Process.Pid)), of("self"); got != want {
		t.Errorf("%s, want as this process: %s", got, want)
	}
	p.signal(unix.SIGINT)
	p.end(0)
}

// awaitStatus waits until all threads of a process have these rights, which is
// once the older sockets are known.
func awaitStatus(t *testing.T, pid int, want string) {
	t.Helper()
	var last string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(tasks) == 0 {
			t.Fatal(tasks, err)
		}
		same := true
		for _, task := range tasks {
			if s := statusLines(t, task); s != "" && s != want {
				last, same = s, false
			}
		}
		if same {
			return
		}
	}
	t.Fatalf("a thread has\n%s\nwant\n%s", last, want)
}

// statusLines are the lines about rights of proc_pid_status(5), empty for a
// thread that has ended.
func statusLines(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp":
			all = append(all, strings.TrimSpace(line))
		}
	}
	return strings.Join(all, " ")
}

// sendUntil sends on a pair of sockets until it is seen.
func sendUntil(t *testing.T, seen func() bool) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	data := make([]byte, 1000)
	for end := time.Now().Add(time.Minute); !seen(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was sent was not seen")
		}
		if _, err := unix.Write(fds[0], data); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Read(fds[1], data); err != nil {
			t.Fatal(err)
		}
	}
}

// givesUpName is a process that gives up rights and then tries what is left.
const givesUpName = "gives-up"

func givesUp(args []string) int {
	dir, other, network := args[0], args[1], args[2] == "network"
	kept, _ := capture.Kept()
	kept |= 1 << unix.CAP_BPF // so that it is not for the lack of it that there are no maps
	r := &rights{who: &account{uid: sudoer, gid: sudoer}, toEnd: capabilities(kept), dir: dir, confine: true, network: network}
	if err := errors.Join(r.relinquish(testHost()), r.rest(nil)); err != nil {
		fmt.Println(err)
		return 1
	}
	write := func(name string) error { return os.WriteFile(name, nil, 0o600) }
	read := func(name string) error { _, err := os.ReadFile(name); return err }
	for _, try := range []struct {
		what string
		err  error
	}{
		{"make a file in the directory", write(dir + "/new")},
		{"make a file elsewhere", write(other + "/new")},
		{"write a file elsewhere", write(other + "/old")},
		{"take away a file elsewhere", os.Remove(other + "/old")},
		{"read a file of others", read(other + "/old")},
		{"see the program of another process", func() error { _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", os.Getppid())); return err }()},
		{"make a socket", func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); return err }()},
		{"become root", unix.Setresuid(0, 0, 0)},
		{"trace a process", unix.PtraceSeize(os.Getppid())},
		{"run a program", unix.Exec("/bin/true", []string{"true"}, nil)},
		{"make a namespace", unix.Unshare(unix.CLONE_NEWUSER)},
		{"make a map", bpfCommand(unix.BPF_MAP_CREATE)},
		{"read a map", bpfCommand(unix.BPF_MAP_LOOKUP_ELEM)},
	} {
		if errno := syscall.Errno(0); errors.As(try.err, &errno) {
			try.err = errno
		}
		fmt.Printf("%s: %v\n", try.what, try.err)
	}
	return 0
}

// bpfCommand is one about a map that there can't be.
func bpfCommand(command uintptr) error {
	attr := [128]byte{0xff, 0xff, 0xff, 0x7f}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(&attr)), uintptr(len(attr))); errno != 0 {
		return errno
	}
	return nil
}

// TestGivesUp: what a capture can still do, and what it can't.
func TestGivesUp(t *testing.T) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || abi < 4 {
		t.Skipf("this kernel's Landlock has version %d (%v), and not all that is tried here", int(abi), errno)
	}
	dir, other := openDir(t, 0o755, sudoer), openDir(t, 0o777, 0)
	if err := os.WriteFile(other+"/old", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(other+"/old", sudoer, sudoer); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(network string) string {
		cmd := exec.Command(exe)
		cmd.Args = []string{givesUpName, dir, other, network}
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return string(out)
	}
	const want = `make a file in the directory: <nil>
make a file elsewhere: permission denied
write a file elsewhere: permission denied
take away a file elsewhere: permission denied
read a file of others: <nil>
see the program of another process: permission denied
make a socket: operation not permitted
become root: operation not permitted
trace a process: operation not permitted
run a program: operation not permitted
make a namespace: operation not permitted
make a map: operation not permitted
read a map: bad file descriptor
`
	if out := run(""); out != want {
		t.Errorf("%s\nwant %s", out, want)
	}
	if out := run("network"); !strings.Contains(out, "\nmake a socket: <nil>\n") {
		t.Errorf("with the network: %s", out)
	}
}
