package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// process is a running sockcap, whose words can be waited for.
type process struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr *bufio.Reader
	closeStdout    func() error
}

// startProcess starts sockcap with packets of the fake session's name.
func startProcess(t *testing.T, fake string, args ...string) *process {
	t.Helper()
	p := prepareProcess(t, fake, args...)
	p.start()
	return p
}

// start starts a prepared process, whose stderr can be read then.
func (p *process) start() {
	p.t.Helper()
	stderr, err := p.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.stderr = bufio.NewReader(stderr)
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// prepareProcess is startProcess without the start, and without stderr.
func prepareProcess(t *testing.T, fake string, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // can only fail
	t.Cleanup(cancel)
	p := &process{Cmd: exec.CommandContext(ctx, exe), t: t}
	p.Args = append([]string{"sockcap"}, args...)
	p.Env = append(os.Environ(), "SOCKCAP_FAKE="+fake, "SUDO_UID=", "SUDO_GID=")
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout, p.stderr = bufio.NewReader(stdout), bufio.NewReader(strings.NewReader(""))
	p.closeStdout = stdout.Close
	return p
}

// expect reads lines up to one that contains words.
func (p *process) expect(r *bufio.Reader, words string) {
	p.t.Helper()
	var before strings.Builder
	for {
		line, err := r.ReadString('\n')
		if strings.Contains(line, words) {
			return
		}
		before.WriteString(line)
		if err != nil {
			p.t.Fatalf("%v: no %q in\n%s", p.Args, words, before.String())
		}
	}
}

// end reads what is left and waits for the end with this status.
func (p *process) end(status int) (stdout, stderr string) {
	p.t.Helper()
	out, _ := io.ReadAll(p.stdout)
	words, _ := io.ReadAll(p.stderr)
	err := p.Wait()
	if got := p.ProcessState.ExitCode(); got != status {
		p.t.Fatalf("%v: %v, want status %d; it said\n%s", p.Args, err, status, words)
	}
	return string(out), string(words)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// TestSignalsEnd: each of them ends a capture as if all were done. That lines
// come at all says that none waits for others to fill a buffer.
func TestSignalsEnd(t *testing.T) {
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		p := startProcess(t, "http")
		p.expect(p.stderr, "sockcap: listening on tracepoint, link-type USER0 (sockcap), snapshot length 262144 bytes\n")
		p.expect(p.stdout, "docker[27806] > dockerd[2434] /run/docker.sock stream close\n")
		p.signal(s)
		stdout, stderr := p.end(0)
		if want := "4 packets captured\n7 packets received by filter\n0 packets dropped by kernel\n"; stderr != want || stdout != "" {
			t.Errorf("after %v: stdout %q, stderr %q, want %q", s, stdout, stderr, want)
		}
	}
}

// TestSignalTwice: a signal that comes again at once, as timeout(1) sends it,
// changes nothing.
func TestSignalTwice(t *testing.T) {
	p := startProcess(t, "nagged")
	p.expect(p.stdout, "stream close\n")
	p.signal(unix.SIGINT)
	if _, stderr := p.end(0); !strings.Contains(stderr, "\n4 packets captured\n") {
		t.Errorf("stderr %q", stderr)
	}
}

// TestSignalIgnored: under nohup(1), SIGHUP does not end a capture. SIGINT does
// even where it was ignored.
func TestSignalIgnored(t *testing.T) {
	p := prepareProcess(t, "http", "-l")
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(linkedSelf(t, p.Path), "sockcap")
	p.Path, p.Args = sh, []string{"sh", "-c", `trap '' HUP INT; exec "$0" -l`, exe}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewReader(stderr)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.expect(p.stdout, "stream close\n")
	if !ignores(t, p.Process.Pid, unix.SIGHUP) {
		t.Error("SIGHUP is not ignored any more")
	}
	p.signal(unix.SIGHUP)
	p.signal(unix.SIGINT)
	p.end(0)
}

// ignores reports whether a process ignores a signal: proc_pid_status(5).
func ignores(t *testing.T, pid int, s syscall.Signal) bool {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\nSigIgn:\t")
	digits, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask>>(s-1)&1 != 0
}

// linkedSelf is a directory in which this binary is called sockcap.
func linkedSelf(t *testing.T, exe string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(dir, "sockcap")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSignalsTell(t *testing.T) {
	p := startProcess(t, "http", "-l")
	p.expect(p.stdout, "stream close\n")
	p.signal(unix.SIGUSR1)
	p.expect(p.stderr, "sockcap: 4 packets captured, 7 packets received by filter, 0 packets dropped by kernel\n")
	p.signal(unix.SIGUSR2)
	p.signal(unix.SIGUSR1)
	p.expect(p.stderr, "sockcap: 4 packets captured")
	p.signal(unix.SIGTERM)
	p.end(0)
}

// TestReaderGone: a pipe that nobody reads any more is no error.
func TestReaderGone(t *testing.T) {
	p := startProcess(t, "flood")
	p.expect(p.stdout, "message 0\n")
	p.closeStdout()
	if _, stderr := p.end(0); strings.Contains(stderr, "error") {
		t.Errorf("stderr %q", stderr)
	}
}

// TestFifoReaderGone: so it is with a fifo, as when Wireshark is closed.
func TestFifoReaderGone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, "flood", "-w", name)
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if _, stderr := p.end(0); strings.Contains(stderr, "error") || !strings.Contains(stderr, "\n0 packets dropped by kernel\n") {
		t.Errorf("stderr %q", stderr)
	}
}

// TestReaderGoneInSilence: nor does it take another packet to notice, on a
// pipe, a fifo or a socket.
func TestReaderGoneInSilence(t *testing.T) {
	p := startProcess(t, "http", "-l")
	p.expect(p.stdout, "stream close\n")
	p.closeStdout()
	if _, stderr := p.end(0); strings.Contains(stderr, "error") || !strings.Contains(stderr, "\n4 packets captured\n") {
		t.Errorf("pipe: stderr %q", stderr)
	}

	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	p = startProcess(t, "http", "-w", name)
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	p.expect(p.stderr, "listening")
	in.Close()
	if _, stderr := p.end(0); strings.Contains(stderr, "error") {
		t.Errorf("fifo: stderr %q", stderr)
	}

	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var words bytes.Buffer
	h := testHost()
	h.stdout, h.stderr = os.NewFile(uintptr(ends[0]), "socket"), &words
	defer h.stdout.Close()
	h.start = startFake("http")
	ended := make(chan int, 1)
	go func() { ended <- h.main([]string{"-w", "-"}) }()
	if _, err := unix.Read(ends[1], make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	unix.Close(ends[1])
	select {
	case status := <-ended:
		if status != 0 || strings.Contains(words.String(), "error") {
			t.Errorf("socket: status %d, stderr %q", status, words.String())
		}
	case <-time.After(time.Minute): // can only fail
		t.Error("socket: does not end")
	}
}

// TestFifo: opening a fifo waits for its reader, who gets packets while the
// capture runs, and a whole file when it ends.
func TestFifo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, "http", "-w", name)
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got := followPackets(t, in, func(n int) bool {
		if n == len(httpPackets()) {
			p.signal(unix.SIGINT)
		}
		return true
	})
	if d := cmp.Diff(httpPackets(), got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("through the fifo (-sent +read):\n%s", d)
	}
	if stdout, _ := p.end(0); stdout != "" {
		t.Errorf("stdout %q", stdout)
	}
}

// followPackets reads a capture up to its end, or as long as more is wanted, which
// is asked after each packet with their number.
func followPackets(t *testing.T, in io.Reader, more func(n int) bool) (all []pcapng.Packet) {
	t.Helper()
	r, err := pcapng.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, *p.Clone()); !more(len(all)) {
			break
		}
	}
	return all
}

// TestFifoWithoutReader: opening it ends with the context, whether that is
// done before or during the wait.
func TestFifoWithoutReader(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	before, cancel := context.WithCancel(context.Background())
	cancel()
	during, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for _, ctx := range []context.Context{before, during} {
		if _, err := openDestination(ctx, testHost(), name); !errors.Is(err, ctx.Err()) || err == nil {
			t.Errorf("open: %v, want %v", err, ctx.Err())
		}
	}
}

// TestFifoStuck: a reader that reads nothing does not keep us from ending.
func TestFifoStuck(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithCancel(context.Background())
	h := testHost()
	h.patience = time.Millisecond
	d, err := openDestination(ctx, h, name)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	cancel()
	if _, err := d.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// terminal opens a new pseudo terminal.
func terminal(t *testing.T) *os.File {
	t.Helper()
	_, slave := terminalEnds(t)
	return slave
}

// terminalEnds is one with its other end.
func terminalEnds(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestTerminalRefused: a capture file never goes to a terminal.
func TestTerminalRefused(t *testing.T) {
	tty := terminal(t)
	for _, args := range [][]string{
		{"-w", "-"}, {"-w", "/dev/stdout"}, {"-w", tty.Name()}, {"--format", "pcapng"}, {"--format=pcap", "--output", "-"},
	} {
		var words bytes.Buffer
		h := testHost()
		h.stdout, h.stderr = tty, &words
		h.start = startFake("http")
		if got := h.main(args); got != 2 {
			t.Errorf("sockcap %v on a terminal: status %d, want 2", args, got)
		}
		if !strings.Contains(words.String(), "a capture file is not for a terminal\nsockcap: hint: ") {
			t.Errorf("sockcap %v on a terminal says %q", args, words.String())
		}
	}
}

// TestBlocksTakenBack: wherever writing ends, the end of the last whole block
// is known.
func TestBlocksTakenBack(t *testing.T) {
	block := func(n int) []byte {
		b := make([]byte, n)
		b[4], b[5] = byte(n), byte(n>>8)
		return b
	}
	file := bytes.Join([][]byte{block(12), block(300), block(16), block(1028)}, nil)
	for size := range len(file) + 1 {
		var w wholeBlocks
		for at := 0; at < size; at += 7 {
			w.follow(file[at:min(at+7, size)])
		}
		want := int64(0)
		for _, end := range []int64{12, 312, 328, 1356} {
			if end <= int64(size) {
				want = end
			}
		}
		if w.whole != want {
			t.Fatalf("after %d bytes the last whole block ends at %d, want %d", size, w.whole, want)
		}
	}
}
