package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A watcher is a program that looks on while the traffic runs.
type watcher struct {
	name   string
	argv   []string // empty: nobody
	tracer bool     // it starts the traffic itself
	ready  string   // what it says on either output when it watches
	tcp    bool     // it sees TCP only
}

// watch is a watcher at work.
type watch struct {
	cmd   *exec.Cmd
	ended chan error // how it ended, once
	said  *transcript
	began usage
}

// seen is what a watcher cost and lost.
type seen struct {
	cpu       time.Duration // while the traffic ran
	anonymous int64         // bytes of its memory, without what it maps
	captured  uint64        // packets
	lost      uint64        // packets
	fileSize  int64
}

// listening is what begins the banner of tcpdump and of sockcap.
const listening = "listening on"

// watchers are those that the traffic is measured with. The first is nobody.
func (b *bench) watchers(file string) []watcher {
	return []watcher{
		{name: "bare"},
		{name: "sockcap -w FILE", argv: []string{b.sockcap, "-w", file}, ready: listening},
		{name: "sockcap -w /dev/null", argv: []string{b.sockcap, "-w", "/dev/null"}, ready: listening},
		{name: "sockcap, filtered out", argv: []string{b.sockcap, "-w", "/dev/null", "path", "/run/nobody/is.here"}, ready: listening},
	}
}

// others are what people use today.
func others(file string) []watcher {
	return []watcher{
		{name: "bpftrace, counting", argv: []string{"bpftrace", "-e",
			`BEGIN { printf("watching\n") } tracepoint:syscalls:sys_enter_write { @[comm] = count() } tracepoint:syscalls:sys_enter_read { @[comm] = count() }`}, ready: "watching"},
		{name: "strace -f", argv: []string{"strace", "-f", "-e", "trace=%network,read,write", "-o", "/dev/null"}, tracer: true},
		{name: "TCP, bare", tcp: true},
		{name: "TCP, tcpdump -w FILE", argv: []string{"tcpdump", "-i", "lo", "-w", file, "tcp"}, ready: listening, tcp: true},
	}
}

// transcript keeps what a program says and tells when it has said something.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
	want string
	done chan struct{} // closed when want has been said
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	if t.want != "" && strings.Contains(t.text.String(), t.want) {
		t.want = ""
		close(t.done)
	}
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// patience is how long a watcher may take until it watches.
const patience = 2 * time.Minute

// begin starts a watcher and waits until it watches.
func (w watcher) begin(ctx context.Context) (*watch, error) {
	if len(w.argv) == 0 || w.tracer {
		return nil, nil
	}
	said := &transcript{want: w.ready, done: make(chan struct{})}
	cmd := exec.CommandContext(ctx, w.argv[0], w.argv[1:]...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-said.done:
	case err := <-ended:
		return nil, fmt.Errorf("%s ends before it watches (%v): %s", w.argv[0], err, said)
	case <-time.After(patience):
		cmd.Process.Kill()
		<-ended
		return nil, fmt.Errorf("%s does not begin: %s", w.argv[0], said)
	}
	began, err := usageOf(cmd.Process.Pid)
	return &watch{cmd: cmd, ended: ended, said: said, began: began}, err
}

// end stops it. file is what it wrote, if it did.
func (w *watch) end(file string) (seen, error) {
	var s seen
	if w == nil {
		return s, nil
	}
	now, err := usageOf(w.cmd.Process.Pid)
	if err != nil {
		return s, err
	}
	s.cpu, s.anonymous = now.cpu-w.began.cpu, now.anonymous
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return s, err
	}
	if err := <-w.ended; err != nil {
		return s, fmt.Errorf("%w: %s", err, w.said)
	}
	s.captured, s.lost = counts(w.said.String())
	if info, err := os.Stat(file); err == nil {
		s.fileSize = info.Size()
	}
	return s, nil
}

var countLine = regexp.MustCompile(`(?m)^(\d+) packets? (captured|dropped by kernel)`)

// counts are packets captured and lost, of tcpdump's summary and ours.
func counts(said string) (captured, lost uint64) {
	for _, m := range countLine.FindAllStringSubmatch(said, -1) {
		n, _ := strconv.ParseUint(m[1], 10, 64)
		if m[2] == "captured" {
			captured = n
		} else {
			lost = n
		}
	}
	return captured, lost
}

// usage is what a process has used so far.
type usage struct {
	cpu       time.Duration
	anonymous int64
}

// clockTick is that of /proc/PID/stat (USER_HZ).
const clockTick = 10 * time.Millisecond

var errStat = errors.New("/proc/PID/stat is not as expected")

func usageOf(pid int) (usage, error) {
	var u usage
	proc := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return u, errStat
	}
	for _, f := range fields[11:13] { // utime, stime: proc(5), fields 14 and 15
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, errStat
		}
		u.cpu += time.Duration(n) * clockTick
	}
	status, err := os.Open(proc + "/status")
	if err != nil {
		return u, err
	}
	defer status.Close()
	u.anonymous, err = anonymous(status)
	return u, err
}

// anonymous is RssAnon of /proc/PID/status: neither the ring nor the program.
func anonymous(status io.Reader) (int64, error) {
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		var kib int64
		if _, err := fmt.Sscanf(lines.Text(), "RssAnon: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, lines.Err()
}
