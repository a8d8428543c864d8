package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// machine is another one, as far as ssh can tell: an sshd of our own, which
// every client starts for itself (ProxyCommand), so that no port is needed.
type machine struct {
	t       *testing.T
	home    string // of the clients, with their key
	proxy   string // the command that is the connection
	command string // captures the fake session http, until it is ended
	pid     string // a file: the process that does so
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("sshd lets in others than itself only as root")
	}
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	switch {
	case err != nil && os.Getenv("CI") == "":
		t.Skip("no sshd here; make test installs it in CI alone, for where it is installed it listens")
	case err != nil:
		t.Fatal(err)
	}
	// Debian's init makes it, and without it sshd does nothing.
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		t.Cleanup(func() { os.Remove("/run/sshd") })
	}
	dir := t.TempDir()
	m := &machine{t: t, home: filepath.Join(dir, "home"), pid: filepath.Join(dir, "pid")}
	if err := os.Mkdir(m.home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"home/key", "host"} {
		m.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(dir, key))
	}
	config := fmt.Sprintf("HostKey %s/host\nAuthorizedKeysFile %s/home/key.pub\nPermitRootLogin prohibit-password\n"+
		"StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n", dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m.proxy = fmt.Sprintf("%s -i -f %s/config", sshd, dir)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.kill)
	m.command = fmt.Sprintf("echo $$ >%s; SOCKCAP_FAKE=http exec %s/sockcap -w -", m.pid, linkedSelf(t, exe))
	return m
}

// start starts a client, as a user without settings.
func (m *machine) start(cmd *exec.Cmd) (words *bytes.Buffer) {
	m.t.Helper()
	words = &bytes.Buffer{}
	cmd.Stderr = words
	cmd.Env = append(os.Environ(), "HOME="+m.home, "SSH_AUTH_SOCK=")
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return words
}

// run runs a program to its end.
func (m *machine) run(name string, args ...string) {
	m.t.Helper()
	cmd := exec.CommandContext(canOnlyFail(m.t), name, args...)
	words := m.start(cmd)
	if err := cmd.Wait(); err != nil {
		m.t.Fatalf("%v: %v\n%s", cmd.Args, err, words)
	}
}

// waitForEnd waits until the other machine's sockcap has ended by itself.
func (m *machine) waitForEnd() {
	m.t.Helper()
	pid := m.started()
	if pid == 0 {
		m.t.Fatal("sockcap on the other machine has not begun")
	}
	for deadline := time.Now().Add(time.Minute); runs(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatal("sockcap on the other machine goes on")
		}
	}
	os.Remove(m.pid) // which soon is another's
}

// kill leaves nothing behind when a test has failed.
func (m *machine) kill() {
	if pid := m.started(); pid != 0 && runs(pid) {
		unix.Kill(pid, unix.SIGKILL)
	}
}

// started is the process that captures there, 0 if there was none.
func (m *machine) started() (pid int) {
	text, _ := os.ReadFile(m.pid)
	pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// runs reports whether a process has not ended, whoever waits for it.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}

// canOnlyFail is for programs that end by themselves.
func canOnlyFail(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// sameAsHTTP compares a file of another program with the fake session http.
func sameAsHTTP(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if d := cmp.Diff(httpPackets(), readHTTP(t, f), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-sent +received:\n%s", d)
	}
}

// readHTTP reads up to the end, or as many packets as the fake session
// http has.
func readHTTP(t *testing.T, f *os.File) []pcapng.Packet {
	t.Helper()
	return followPackets(t, f, func(n int) bool { return n < len(httpPackets()) })
}

// TestOverSSH: packets come while the capture goes on; without ssh it ends.
func TestOverSSH(t *testing.T) {
	m := newMachine(t)
	cmd := exec.CommandContext(canOnlyFail(t), "ssh", "-F", "none", "-i", filepath.Join(m.home, "key"), "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ProxyCommand="+m.proxy,
		"root@sockcap.invalid", m.command)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	words := m.start(cmd)
	w.Close()
	got := readHTTP(t, r)
	if d := cmp.Diff(httpPackets(), got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-sent +received:\n%s\nit said\n%s", d, words)
	}
	cmd.Process.Signal(unix.SIGTERM)
	cmd.Wait()
	m.waitForEnd()
}

// TestSSHDump: Wireshark's own extcap for ssh brings our file as it is, and
// ends the capture there when it ends here.
func TestSSHDump(t *testing.T) {
	m := newMachine(t)
	out := filepath.Join(t.TempDir(), "out.pcapng")
	args := []string{"-q", "-i", "sshdump", "-c", strconv.Itoa(len(httpPackets())), "-w", out}
	for name, value := range map[string]string{
		"remotehost": "sockcap.invalid", "remoteusername": "root", "sshkey": filepath.Join(m.home, "key"),
		"proxycommand": m.proxy, "remotecapturecommand": m.command,
	} {
		args = append(args, "-o", "extcap.sshdump."+name+":"+value)
	}
	m.run("tshark", args...)
	sameAsHTTP(t, out)
	m.waitForEnd()
}

// TestPCAPOverIP: so does TCP@ of dumpcap, which Wireshark and tshark call. When
// it closes its end, all end, in silence too.
func TestPCAPOverIP(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := prepareProcess(t, "http", "-w", "-")
	p.closeStdout()
	p.Stdout = w
	p.start()
	w.Close()
	socat := exec.CommandContext(canOnlyFail(t), "socat", "-d", "-d", "-", "TCP-LISTEN:0,bind=127.0.0.1")
	socat.Stdin = r
	stderr, err := socat.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := socat.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	words := bufio.NewReader(stderr)
	out := filepath.Join(t.TempDir(), "out.pcapng")
	dumpcap := exec.CommandContext(canOnlyFail(t), "dumpcap", "-q", "-i", "TCP@127.0.0.1:"+listening(t, words),
		"-c", strconv.Itoa(len(httpPackets())), "-w", out)
	if said, err := dumpcap.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", dumpcap.Args, err, said)
	}
	sameAsHTTP(t, out)
	p.end(0)
	io.Copy(io.Discard, words)
	socat.Wait() // with an error if there was something left to send
}

// listening is the port that socat says it listens on.
func listening(t *testing.T, words *bufio.Reader) string {
	t.Helper()
	pattern := regexp.MustCompile(`listening on AF=2 127\.0\.0\.1:([0-9]+)`)
	var all strings.Builder
	for {
		line, err := words.ReadString('\n')
		if found := pattern.FindStringSubmatch(line); found != nil {
			return found[1]
		}
		all.WriteString(line)
		if err != nil {
			t.Fatalf("socat does not listen: %s", all.String())
		}
	}
}
