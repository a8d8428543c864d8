package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/wireshark"
)

// window is a Wireshark that captures from sockcap as an extcap.
type window struct {
	*process
	file     *os.File // the capture file's fifo
	messages *os.File // from sockcap's control pipe, nil without
	buttons  *os.File // to it
}

// openWindow starts a capture of the fake session's name as Wireshark does:
// the pipes are made first, and the control pipes opened last.
func openWindow(t *testing.T, fake string, controls bool, args ...string) *window {
	t.Helper()
	dir := t.TempDir()
	name := func(pipe string) string { return filepath.Join(dir, pipe) }
	for _, pipe := range []string{"fifo", "messages", "buttons"} {
		if err := unix.Mkfifo(name(pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"--capture", "--extcap-interface", "sockcap", "--fifo", name("fifo")}
	if controls {
		all = append(all, "--extcap-control-out", name("messages"), "--extcap-control-in", name("buttons"))
	}
	w := &window{process: startProcess(t, fake, append(all, args...)...)}
	open := func(pipe string, flags int) *os.File {
		release := time.AfterFunc(time.Minute, func() {
			t.Errorf("nobody opens %s", pipe)
			if f, err := os.OpenFile(name(pipe), os.O_RDWR, 0); err == nil {
				f.Close()
			}
		})
		defer release.Stop()
		f, err := os.OpenFile(name(pipe), flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		f.SetReadDeadline(time.Now().Add(time.Minute)) // can only fail
		return f
	}
	w.file = open("fifo", os.O_RDONLY)
	if controls {
		w.messages = open("messages", os.O_RDONLY)
		w.buttons = open("buttons", os.O_WRONLY)
		w.press(wireshark.Control{Command: wireshark.ControlInitialized})
	}
	return w
}

func (w *window) press(c wireshark.Control) {
	w.t.Helper()
	if _, err := w.buttons.Write(wireshark.AppendControl(nil, c)); err != nil {
		w.t.Fatal(err)
	}
}

// next is the next control message, io.EOF when sockcap has ended.
func (w *window) next() (wireshark.Control, error) {
	w.t.Helper()
	c, err := wireshark.ReadControl(w.messages)
	if err != nil && err != io.EOF {
		w.t.Fatal(err)
	}
	return c, err
}

// TestExtcap: packets arrive while the capture runs, words by control message
// only, and SIGTERM ends it with a whole file.
func TestExtcap(t *testing.T) {
	w := openWindow(t, "http", true, "--snapshot-length", "0", "--buffer-size", "0", "--extcap-capture-filter", "/run")
	r, err := pcapng.NewReader(w.file)
	if err != nil {
		t.Fatal(err)
	}
	var got []pcapng.Packet
	var said []wireshark.Control
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, *p.Clone()); len(got) < len(httpPackets()) {
			continue
		}
		w.press(wireshark.Control{Number: controlHelp, Command: wireshark.ControlSet})
		w.press(wireshark.Control{Number: controlStatistics, Command: wireshark.ControlSet})
		for range 4 {
			c, err := w.next()
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, c)
		}
		w.signal(unix.SIGTERM)
	}
	if d := cmp.Diff(httpPackets(), got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("through the fifo (-sent +read):\n%s", d)
	}
	for {
		c, err := w.next()
		if err != nil {
			break
		}
		said = append(said, c)
	}
	const short = "sockcap: 0 captured, 0 dropped"
	const summed = "0 packets captured, 7 packets received by filter, 0 packets dropped by kernel"
	want := []wireshark.Control{
		{Command: wireshark.ControlStatus, Payload: "sockcap: capturing by tracepoint"},
		{Number: controlLog, Command: wireshark.ControlSet, Payload: "sockcap: listening on tracepoint, link-type USER0 (sockcap), snapshot length 262144 bytes\n"},
		{Command: wireshark.ControlStatus, Payload: short},
		{Number: controlLog, Command: wireshark.ControlAdd, Payload: summed + "\n"},
		{Number: controlLog, Command: wireshark.ControlAdd, Payload: "4 packets captured\n"},
		{Number: controlLog, Command: wireshark.ControlAdd, Payload: "7 packets received by filter\n"},
		{Number: controlLog, Command: wireshark.ControlAdd, Payload: "0 packets dropped by kernel\n"},
		{Command: wireshark.ControlStatus, Payload: short},
	}
	if d := cmp.Diff(want, said); d != "" {
		t.Errorf("control messages (-want +got):\n%s", d)
	}
	if stdout, stderr := w.end(0); stdout != "" || stderr != "" {
		t.Errorf("stdout %q, stderr %q: Wireshark takes that for an error", stdout, stderr)
	}
}

// TestExtcapClosed: Wireshark that goes away without a signal ends a capture,
// though nothing more is sent and nobody reads the messages.
func TestExtcapClosed(t *testing.T) {
	for _, controls := range []bool{false, true} {
		w := openWindow(t, "http", controls)
		if _, err := pcapng.NewReader(w.file); err != nil {
			t.Fatal(err)
		}
		w.file.Close()
		if controls {
			w.messages.Close()
			w.buttons.Close()
		}
		if stdout, stderr := w.end(0); stdout != "" || stderr != "" {
			t.Errorf("controls %v: stdout %q, stderr %q", controls, stdout, stderr)
		}
	}
}

// lossesOfOdd is what the session "odd" lost.
const lossesOfOdd = "6 packets dropped by kernel, " +
	"1 packet dropped because the ring buffer was full, 2 packets dropped because a hook did not run, " +
	"3 packets dropped because a kernel map was full, 4 events lost (connect, close and the like), 3 notes lost of sockets, and of who has read what, " +
	"2 notes lost of what was passed along, 4096 bytes missing from streams, 2 packets cut short because the ring buffer was full, 1 packet with unreadable payload, " +
	"1 packet with uncertain sender, 1 packet in uncertain order, 7 packets of sockcap itself left out" +
	" (a larger buffer makes room for more)"

// TestExtcapLosses: the window is told while the capture runs; where there is
// none, as in tshark, standard error at its end.
func TestExtcapLosses(t *testing.T) {
	w := openWindow(t, "odd", true)
	go io.Copy(io.Discard, w.file)
	for told := ""; told != "sockcap: 0 captured, 6 dropped"; {
		c, err := w.next()
		if err != nil {
			t.Fatalf("ends without a word of losses")
		}
		if c.Command == wireshark.ControlStatus {
			told = c.Payload
		}
	}
	if c, _ := w.next(); c.Payload != lossesOfOdd+"\n" || c.Number != controlLog {
		t.Errorf("the log has %+v", c)
	}
	w.signal(unix.SIGTERM)
	if _, stderr := w.end(0); stderr != "" {
		t.Errorf("stderr %q", stderr)
	}

	w = openWindow(t, "odd", false)
	if _, err := io.ReadFull(w.file, make([]byte, 12)); err != nil { // only a capture that has begun loses anything
		t.Fatal(err)
	}
	go io.Copy(io.Discard, w.file)
	w.signal(unix.SIGTERM)
	if _, stderr := w.end(0); stderr != "sockcap: warning: "+lossesOfOdd+"\n" {
		t.Errorf("stderr %q", stderr)
	}
}

// TestExtcapNoCapture: an error is said once, where Wireshark shows it, and
// Wireshark's fifo is opened and closed.
func TestExtcapNoCapture(t *testing.T) {
	for _, args := range [][]string{nil, {"--extcap-capture-filter", "docker.sock"}} {
		w := openWindow(t, "", false, args...)
		if b, err := io.ReadAll(w.file); len(b) != 0 || err != nil {
			t.Errorf("%d bytes in the fifo, %v", len(b), err)
		}
		status, want := 1, "sockcap: error: attach fentry/unix_stream_sendmsg: operation not permitted\nsockcap: hint: run as root"
		if args != nil {
			status, want = 2, "sockcap: error: column 1: \"docker.sock\" is no primitive\nsockcap:   docker.sock\nsockcap:   ^\nsockcap: hint: name the socket from the root"
		}
		if _, stderr := w.end(status); !strings.HasPrefix(stderr, want) {
			t.Errorf("%v: stderr %q, want %q", args, stderr, want)
		}
	}
}

// TestToolbarFull: nobody reads the messages, and nothing waits for that.
func TestToolbarFull(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := openToolbar("", name)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("é", 4099) + "\n"
	for range 101 {
		if n, err := io.WriteString(b, line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	r, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b.close()
	count := 0
	for {
		c, err := wireshark.ReadControl(r)
		if err != nil {
			if err != io.EOF {
				t.Errorf("after %d messages: %v", count, err)
			}
			break
		}
		if len(c.Payload) > pipeBuf || strings.Trim(c.Payload, "é") != "" {
			t.Errorf("message %d has %d bytes: %.40q", count, len(c.Payload), c.Payload)
		}
		count++
	}
	if count < 2 || count > 100 {
		t.Errorf("%d messages", count)
	}
}

// TestExtcapLive: tshark lists sockcap, captures real traffic from it, as a
// user who has but the capabilities, and tells such a user without them why not.
func TestExtcapLive(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Fatalf("%v: install tshark: make test does", err)
	}
	home, err := os.MkdirTemp("/tmp", "extcap") // t.TempDir's parent is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(home, "sockcap-binary")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".config/wireshark/extcap", ".local/lib/wireshark/extcap"} { // 4.0; later
		if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(exe, filepath.Join(home, dir, "sockcap")); err != nil {
			t.Fatal(err)
		}
	}
	const bpf, perfmon, syslog, read = unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYSLOG, unix.CAP_DAC_READ_SEARCH
	// Those of a process are inherited here, in place of those of a file.
	tshark := func(capabilities []uintptr, args ...string) (stdout, stderr string, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // can only fail
		defer cancel()
		cmd := exec.CommandContext(ctx, "tshark", args...)
		cmd.Dir = home
		cmd.Env = []string{"HOME=" + home, "TMPDIR=" + home, "LC_ALL=C.UTF-8", "PATH=" + os.Getenv("PATH"), "SOCKCAP_FAKE=none"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: capabilities}
		var out, words bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &words
		err = cmd.Run()
		return out.String(), words.String(), err
	}

	if out, words, err := tshark(nil, "-D"); err != nil || !strings.Contains(out, "sockcap (Unix domain sockets)\n") {
		t.Errorf("tshark -D: %v\n%s%s", err, out, words)
	}

	path := filepath.Join(home, "with blank")
	chat(t, path)
	out, words, err := tshark([]uintptr{bpf, perfmon, syslog, read}, "-l", "-n", "-i", "sockcap", "-f", `"`+path+`" and data`, "-o", "extcap.sockcap.snapshotlength:7",
		"-c", "3", "-T", "fields", "-E", "separator=|", "-e", "frame.cap_len", "-e", "frame.len", "-e", "frame.comment")
	if err != nil || strings.Contains(words, "rror") {
		t.Fatalf("tshark -i sockcap: %v\n%s%s", err, out, words)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	wantComm := "comm=" + string(appendName(nil, strings.TrimSuffix(string(comm), "\n")))
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for _, line := range lines {
		f := strings.SplitN(line, "|", 3)
		if len(f) != 3 || f[0] == f[1] || !strings.Contains(f[2], `path="`+path+`"`) || !strings.Contains(f[2], wantComm) {
			t.Errorf("tshark shows %q", line)
		}
	}
	if len(lines) != 3 {
		t.Errorf("%d packets, want 3", len(lines))
	}

	out, words, err = tshark([]uintptr{bpf, syslog, read}, "-i", "sockcap", "-c", "1")
	const want = "sockcap: error: capture: permission denied\nsockcap: hint: run as root, or grant it cap_perfmon\n"
	if err == nil || out != "" || !strings.Contains(words, want) {
		t.Errorf("without one capability: %v\n%s%s\nwant %q", err, out, words, want)
	}
}

// chat talks to itself over a socket at path until the test ends.
func chat(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		c.Close()
		s.Close()
	})
	go func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			if _, err := c.Write([]byte("seventeen letters")); err != nil {
				return
			}
			if _, err := io.ReadFull(s, make([]byte, 17)); err != nil {
				return
			}
		}
	}()
}

// TestWithoutUnknown: a flag's value is never taken for a flag.
func TestWithoutUnknown(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--extcap-reload-option --interface --path /x", "--extcap-reload-option --interface --path /x"},
		{"--path --extcap-x --extcap-y z --capture", "--path --extcap-x --capture"},
		{"--extcap-y --capture --extcap-y=z -i auto", "--capture -i auto"},
		{"--extcap-version --extcap-interfaces --extcap-y", "--extcap-version --extcap-interfaces"},
		{"--path", "--path"},
	} {
		var (
			r raw
			x extcapFlags
		)
		s := newFlagSet(&r, &x)
		if got := withoutUnknown(s, strings.Fields(c.args)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %q, want %q", c.args, got, c.want)
		}
	}
}

// FuzzCaptureFilter: no capture filter panics, and paths come back from what
// sockcap prints of them.
func FuzzCaptureFilter(f *testing.F) {
	for _, s := range []string{"/run/docker.sock @name", `"/a b" "\xff"`, `"`, ` "@\"" `, "/a  /b\t", "pid 5 and (comm x", "a*?[\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wrong := (*errUsage)(nil)
		if err := new(rawFilter).captureFilter(text); err != nil && !errors.As(err, &wrong) {
			t.Errorf("%q: %v", text, err)
		}
		name := path.Clean("/" + text)
		var got flags
		r := rawFilter{direction: "inout"}
		err := r.set(&got, []string{" " + string(appendName(nil, name)) + " @x"})
		if err != nil || !slices.Equal(got.capture.Paths, []string{name, "@x"}) {
			t.Errorf("%q: %q, %v", name, got.capture.Paths, err)
		}
	})
}
