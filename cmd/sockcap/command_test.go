package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// tellsName is what this binary is called as a command that tells which
// signals it gets, one a line, until SIGTERM, and then ends with status 5.
const tellsName = "tells"

func tells() int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP)
	fmt.Println("ready")
	for s := range signals {
		fmt.Println(s)
		if s == unix.SIGTERM {
			break
		}
	}
	return 5
}

// asCommand is this binary under the name of a command of the tests.
func asCommand(t *testing.T, name string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// startAlone is startProcess in a session of its own, without a terminal.
func startAlone(t *testing.T, fake string, args ...string) *process {
	t.Helper()
	p := prepareProcess(t, fake, args...)
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p.start()
	return p
}

// TestCommandSignals: what is sent to us is the command's to hear, and to act
// on; with its end the capture ends.
func TestCommandSignals(t *testing.T) {
	p := startAlone(t, "http", "--", asCommand(t, tellsName))
	p.expect(p.stdout, "ready\n")
	for _, s := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		p.signal(s)
		p.expect(p.stdout, s.String()+"\n")
	}
	stdout, stderr := p.end(5)
	if stdout != "" || !strings.HasSuffix(stderr, "\n4 packets captured\n7 packets received by filter\n0 packets dropped by kernel\n") {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

// TestCommandTells: SIGUSR1 and SIGUSR2 are for us.
func TestCommandTells(t *testing.T) {
	p := startAlone(t, "http", "--", asCommand(t, tellsName))
	p.expect(p.stdout, "ready\n")
	p.expect(p.stderr, "stream close\n")
	p.signal(unix.SIGUSR2)
	p.signal(unix.SIGUSR1)
	p.expect(p.stderr, "sockcap: 4 packets captured, ")
	p.signal(unix.SIGTERM)
	if stdout, _ := p.end(5); stdout != "terminated\n" {
		t.Errorf("the command tells %q", stdout)
	}
}

// TestCommandTerminal: what a terminal sends to all in its foreground reaches
// the command once, and does not end the capture.
func TestCommandTerminal(t *testing.T) {
	master, slave := terminalEnds(t)
	p := prepareProcess(t, "http", "-w", filepath.Join(t.TempDir(), "out.pcapng"), "--", asCommand(t, tellsName))
	p.Stdin, p.Stderr = slave, slave
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	next := func(want string) {
		t.Helper()
		if got, err := p.stdout.ReadString('\n'); got != want+"\n" || err != nil {
			t.Fatalf("the command tells %q (%v), want %q", got, err, want)
		}
	}
	next("ready")
	for _, c := range []struct{ key, want string }{{"\x03", "interrupt"}, {"\x1c", "quit"}, {"\x03", "interrupt"}} {
		if _, err := io.WriteString(master, c.key); err != nil {
			t.Fatal(err)
		}
		next(c.want)
	}
	p.signal(unix.SIGTERM)
	next("terminated")
	if stdout, _ := p.end(5); stdout != "" {
		t.Errorf("after its end the command tells %q", stdout)
	}
	words, _ := io.ReadAll(master) // EIO at the end
	if got := string(words); !strings.Contains(got, "4 packets captured\r\n") || strings.Contains(got, clearLine) {
		t.Errorf("the terminal shows %q", got)
	}
}

// TestCommandOutlives: a capture that has enough ends, and the command goes on.
func TestCommandOutlives(t *testing.T) {
	p := prepareProcess(t, "http", "-c", "2", "--", "sh", "-c", "read line; echo heard $line; exit 3")
	stdin, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewReader(stderr)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.expect(p.stderr, "0 packets dropped by kernel\n")
	if _, err := io.WriteString(stdin, "you\n"); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr := p.end(3); stdout != "heard you\n" || stderr != "" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

// TestCommandIgnores: what is ignored where we are called is ignored by the
// command, as nohup and shells want it; else it is not. The descriptors of our
// caller are the command's too, and no others.
func TestCommandIgnores(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const look = `sed -n 's/^SigIgn:[^1-9a-f]*\(.*\)/\1/p' /proc/self/status; cd /proc/self/fd; echo *`
	run := func(script string) string {
		t.Helper()
		c := exec.Command("sh", "-c", script, exe)
		c.Env = append(os.Environ(), "SOCKCAP_FAKE=http", "SUDO_UID=", "SUDO_GID=")
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return string(out)
	}
	for _, before := range []string{"", "trap '' HUP;", "trap '' INT;", "exec 3</dev/null 7>/dev/null;"} {
		bare := run(before + " exec sh -c \"" + look + "\"")
		link := asCommand(t, "sockcap")
		got := run(before + " exec " + link + " --output /dev/null -- sh -c \"" + look + "\"")
		if got != bare {
			t.Errorf("after %q a command has %q, ours has %q", before, bare, got)
		}
	}
}
