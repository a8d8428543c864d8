package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/pcapng"
)

// counted is what top counts of packets, and the rest.
func counted(packets ...pcapng.Packet) (topRow, topRow) {
	c := newFlowCounter()
	for i := range packets {
		c.count(&packets[i])
	}
	rows, rest := c.take()
	var all topRow
	for _, r := range rows {
		all.add(r.traffic)
		all.total += r.total
		all.flows += r.flows
	}
	return all, rest
}

// data is a packet of 101 bytes.
func data(connID, message uint64, role pcapng.Role) pcapng.Packet {
	p := pcapng.Packet{Event: pcapng.EventData, Type: pcapng.Stream, ConnID: connID, Message: message, Role: role, Len: 101, Path: "/a"}
	p.Sender, p.Peer = pcapng.Endpoint{PID: 7, Comm: "client"}, pcapng.Endpoint{PID: 8, Comm: "server"}
	if role == pcapng.RoleServer {
		p.Sender, p.Peer = p.Peer, p.Sender
	}
	return p
}

func TestTopMessages(t *testing.T) {
	const client, server = pcapng.RoleClient, pcapng.RoleServer
	part := func(message uint64, continued bool) pcapng.Packet {
		p := data(1, message, client)
		p.Continued = continued
		return p
	}
	closing := data(1, 9, client)
	closing.Event = pcapng.EventClose
	for _, c := range []struct {
		name    string
		packets []pcapng.Packet
		bytes   uint64
		want    uint64
	}{
		{"none", nil, 0, 0},
		{"three", []pcapng.Packet{data(1, 1, client), data(1, 2, client), data(1, 3, server)}, 303, 3},
		{"one in three", []pcapng.Packet{data(1, 1, client), data(1, 1, client), data(1, 1, client)}, 303, 1},
		{"two, mixed", []pcapng.Packet{data(1, 1, client), data(1, 2, client), data(1, 1, client), data(1, 2, client)}, 404, 2},
		{"numbers unknown", []pcapng.Packet{part(0, false), part(0, true), part(0, false)}, 303, 2},
		{"not data", []pcapng.Packet{closing}, 0, 0},
	} {
		got, rest := counted(c.packets...)
		if got.bytes != c.bytes || got.total != c.bytes || got.messages != c.want || rest.traffic != (traffic{}) {
			t.Errorf("%s: %+v, rest %+v, want %d messages", c.name, got, rest, c.want)
		}
	}
}

// TestTopBounds: beyond the bound connections are counted in the rest, until
// others are idle; nothing is counted twice, or lost.
func TestTopBounds(t *testing.T) {
	c := newFlowCounter()
	sums := func(rows []topRow, rest topRow) (now, total, flows uint64) {
		now, total = rest.bytes, rest.total
		for _, r := range rows {
			now += r.bytes
			total += r.total
		}
		return now, total, uint64(len(rows))
	}
	send := func(from, to uint64) {
		for id := from; id < to; id++ {
			p := data(id, id, pcapng.RoleClient)
			c.count(&p)
		}
	}
	expect := func(step string, bytes, sum, connections uint64) {
		t.Helper()
		if now, total, flows := sums(c.take()); now != bytes || total != sum || flows != connections {
			t.Errorf("%s: %d bytes of %d in %d connections, want %d of %d in %d", step, now, total, flows, bytes, sum, connections)
		}
	}
	send(1, maxFlows+1)
	send(maxFlows+1, maxFlows+8) // no room
	expect("more than there is room for", 101*(maxFlows+7), 101*(maxFlows+7), maxFlows)
	send(1, 8)
	send(maxFlows+1, maxFlows+8) // all but seven are idle
	expect("others are idle", 101*14, 101*(maxFlows+21), 14)
	for range idleScreens {
		expect("idle", 0, 101*(maxFlows+21), 14)
	}
	expect("gone", 0, 101*(maxFlows+21), 0)
	send(1, 2)
	expect("back", 101, 101*(maxFlows+22), 1)
}

// TestTopEnds: who is client, who is server, as the last packet has it.
func TestTopEnds(t *testing.T) {
	c := newFlowCounter()
	answer := data(1, 2, pcapng.RoleServer)
	answer.Reader = &pcapng.Endpoint{PID: 101, Comm: "reader"}
	answer.Latency = 2 * time.Millisecond
	for _, p := range []pcapng.Packet{data(1, 1, pcapng.RoleClient), answer} {
		c.count(&p)
	}
	again := data(1, 3, pcapng.RoleServer)
	again.Sender, again.Peer, again.Latency = pcapng.Endpoint{}, pcapng.Endpoint{}, 4*time.Millisecond
	c.count(&again)
	late := data(1, 1, pcapng.RoleClient)
	late.Event, late.Len, late.Data, late.Latency = pcapng.EventRead, 0, nil, 3*time.Millisecond
	late.Sender, late.Reader = pcapng.Endpoint{}, &pcapng.Endpoint{PID: 102, Comm: "worker"}
	c.count(&late)
	rows, _ := c.take()
	if len(rows) != 1 || rows[0].messages != 3 || rows[0].bytes != 303 || rows[0].client.Comm != "reader" || rows[0].server.Comm != "worker" || rows[0].latency() != 3*time.Millisecond {
		t.Errorf("rows %+v", rows)
	}
}

// fixedScreen is one that is always the same.
func fixedScreen() *topScreen {
	row := func(bytes, messages uint64, waited time.Duration, path, client string, clientPID uint32, total uint64) topRow {
		return topRow{
			traffic{bytes, messages, waited, min(uint64(waited), 1)}, pcapng.Stream, path,
			pcapng.Endpoint{PID: clientPID, Comm: client}, pcapng.Endpoint{PID: 2434, Comm: "dockerd"}, total, 1,
		}
	}
	dgram := row(7, 1, 0, "@\x1b[2J\n", "", 0, 7)
	dgram.kind = pcapng.Datagram
	return &topScreen{
		at: at(0), seconds: 2, hooks: "kprobe", stats: capture.Stats{LostRing: 4099, LostMissed: 1}, lost: 7,
		rows: []topRow{
			row(101, 4, 1300*time.Nanosecond, "/run/docker.sock", "docker", 27806, 4099),
			row(8_000_001, 350, 12*time.Millisecond, "/run/a/very/long/directory/with/many/parts/x.sock", "a long name of it", 4_000_000, 1<<40),
			row(0, 0, 0, "/run/docker.sock", "curl", 99, 1_000_000),
			dgram,
			row(1000, 2, 3*time.Second, "/run/docker.sock", "docker", 101, 1000),
		},
		rest: topRow{traffic: traffic{bytes: 500, messages: 5}, total: 500},
	}
}

func TestTopScreen(t *testing.T) {
	for _, c := range []struct {
		name        string
		view        topView
		width, rows int
		want        string
	}{
		{"text", topView{sort: "bytes"}, 0, 0, wantTopText},
		{"80", topView{sort: "messages"}, 80, 0, wantTop80},
		{"200, rows", topView{sort: "latency"}, 200, 3, wantTop200},
		{"by path", topView{sort: "total", byPath: true}, 100, 0, wantTopPaths},
		{"by pid, reverse", topView{sort: "pid", reverse: true}, 80, 1, wantTopOne},
	} {
		got := "\n" + string(fixedScreen().append(nil, &c.view, c.width, c.rows))
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
	}
}

// TestTopSums: whatever is shown, the rows' sum is that of all, and no more
// rows than there is room for.
func TestTopSums(t *testing.T) {
	for _, left := range []topRow{{}, {traffic: traffic{bytes: 500, messages: 5, waited: 7, waits: 1}, total: 501}} {
		s := fixedScreen()
		s.rest = left
		want, total := left.traffic, left.total
		for _, r := range s.rows {
			want.add(r.traffic)
			total += r.total
		}
		for most := range 9 {
			for _, byPath := range []bool{false, true} {
				rows, rest, hidden := s.fit(&topView{sort: "path", byPath: byPath}, most)
				got, gotTotal := rest.traffic, rest.total
				for _, r := range rows {
					got.add(r.traffic)
					gotTotal += r.total
				}
				lines := len(rows)
				if rest.traffic != (traffic{}) {
					lines++
				}
				if got != want || gotTotal != total || most > 0 && lines > most || hidden+len(rows) != len(s.fitAll(byPath)) {
					t.Errorf("%d rows, by path %v: %d and %d hidden with %+v of %d, want %+v of %d", most, byPath, len(rows), hidden, got, gotTotal, want, total)
				}
			}
		}
	}
}

func (s *topScreen) fitAll(byPath bool) []topRow {
	rows, _, _ := s.fit(&topView{byPath: byPath}, 0)
	return rows
}

func TestTopKeys(t *testing.T) {
	top := top{view: topView{sort: "bytes"}}
	for key, want := range map[byte]string{'m': "messages", 'l': "latency", 't': "total", 'p': "path", 'i': "pid", 'b': "bytes", 'x': "bytes", 0x1b: "bytes"} {
		top.view.sort = "bytes"
		if top.press(key) || top.view.sort != want {
			t.Errorf("%q: sort %s, want %s", key, top.view.sort, want)
		}
	}
	if top.press('r') || top.press('g') || !top.view.reverse || !top.view.byPath {
		t.Errorf("view %+v", top.view)
	}
	for _, key := range []byte{'q', 'Q', 3, 4} {
		if !top.press(key) {
			t.Errorf("%q does not end it", key)
		}
	}
}

func TestShortNumbers(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 7: "7", 101: "101", 0.5: "0.5", 9.94: "9.9", 9.96: "10", 999: "999", 999.4: "999", 999.5: "1.0k", 1000: "1.0k", 12345: "12k",
		999_499: "999k", 999_500: "1.0M", 4_099_000: "4.1M", 1e18: "1.0E",
	} {
		if got := shortNumber(n); got != want {
			t.Errorf("%g: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "-", 7: "7ns", 1300: "1.3µs", 101 * time.Microsecond: "101µs", 999_600: "1.0ms", 4099 * time.Microsecond: "4.1ms",
		999_600 * time.Microsecond: "1.0s", 12 * time.Second: "12s",
	} {
		if got := shortTime(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// totalOf is what top counts of httpPackets.
func totalOf(t *testing.T) string {
	all, _ := counted(httpPackets()...)
	if all.messages != 4 || all.flows != 1 {
		t.Fatalf("%+v", all)
	}
	return fmt.Sprintf("%6d  stream  /run/docker.sock  docker[27806]  dockerd[2434]\n", all.total)
}

// TestTopText: not on a terminal, screens are blocks of text, until a signal,
// or whoever reads is gone.
func TestTopText(t *testing.T) {
	p := startProcess(t, "http", "top", "-d", "0.1")
	p.expect(p.stderr, "sockcap: listening on tracepoint\n")
	p.expect(p.stdout, "06:29:35 tracepoint, 0 packets lost, ")
	p.expect(p.stdout, totalOf(t))
	p.expect(p.stdout, "BYTES/s  MSGS/s  LATENCY   TOTAL  TYPE")
	p.signal(unix.SIGUSR1)
	p.expect(p.stderr, "sockcap: 0 packets captured, 7 packets received by filter")
	p.signal(unix.SIGTERM)
	if stdout, stderr := p.end(0); strings.Contains(stdout, "\x1b") || !strings.HasSuffix(stderr, "\n0 packets dropped by kernel\n") {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	p = startProcess(t, "http", "top", "-b", "-d", "100ms")
	p.expect(p.stdout, "MSGS/s")
	p.closeStdout()
	if _, stderr := p.end(0); strings.Contains(stderr, "error") {
		t.Errorf("stderr %q", stderr)
	}
}

// terminalProcess is a sockcap on a terminal of its own.
type terminalProcess struct {
	*exec.Cmd
	t             *testing.T
	master, slave *os.File
	words         bytes.Buffer
	before        unix.Termios
	seen          string
}

func startOnTerminal(t *testing.T, fake string, columns, rows uint16, args ...string) *terminalProcess {
	t.Helper()
	p := &terminalProcess{t: t}
	p.master, p.slave = terminalEnds(t)
	p.resize(columns, rows)
	p.before = p.settings()
	p.Cmd = prepareProcess(t, fake, args...).Cmd
	p.Stdin, p.Stdout, p.Stderr = p.slave, p.slave, &p.words
	p.Env = append(p.Env, "TERM=xterm", "NO_COLOR=")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	return p
}

func (p *terminalProcess) resize(columns, rows uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *terminalProcess) settings() unix.Termios {
	p.t.Helper()
	had, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *had
}

// expect reads up to words, which it gives with what was before them.
func (p *terminalProcess) expect(words string) string {
	p.t.Helper()
	p.master.SetReadDeadline(time.Now().Add(time.Minute)) // can only fail
	b := make([]byte, 4096)
	for {
		if i := strings.Index(p.seen, words); i >= 0 {
			before := p.seen[:i+len(words)]
			p.seen = p.seen[len(before):]
			return before
		}
		n, err := p.master.Read(b)
		if err != nil {
			p.t.Fatalf("%v: no %q at the end of %q: %v\n%s", p.Args, words, p.seen[max(len(p.seen)-2000, 0):], err, p.words.String())
		}
		p.seen += string(b[:n])
	}
}

func (p *terminalProcess) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

func (p *terminalProcess) signal(s unix.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the end, after which the terminal must be as it was.
func (p *terminalProcess) end(status int) {
	p.t.Helper()
	p.expect(leaveScreen)
	err := p.Wait()
	if got := p.ProcessState.ExitCode(); got != status {
		p.t.Errorf("%v: %v, want status %d\n%s", p.Args, err, status, p.words.String())
	}
	if d := cmp.Diff(p.before, p.settings()); d != "" {
		p.t.Errorf("the terminal is left different: %s", d)
	}
}

// TestTopTerminal: a screen of the terminal's size, keys, a new size, a pause,
// and back.
func TestTopTerminal(t *testing.T) {
	p := startOnTerminal(t, "http", 100, 24, "top", "-d", "0.1")
	p.expect(enterScreen)
	p.expect(strings.TrimSuffix(totalOf(t), "\n"))
	p.expect(topKeyLine)
	if p.settings().Lflag&(unix.ICANON|unix.ECHO) != 0 {
		t.Error("keys are lines, or are shown")
	}
	p.press("g")
	p.expect("CONNS")
	p.press("xgp")
	p.resize(30, 4)
	p.signal(unix.SIGWINCH)
	p.expect(fitStart(topKeyLine, 30))
	frame := p.expect(drawBelow)
	for line := range strings.SplitSeq(strings.TrimPrefix(frame, drawHome), "\r\n") {
		for _, sequence := range []string{drawTitle, drawPlain, drawRest, drawBelow, drawHome, "\r"} {
			line = strings.ReplaceAll(line, sequence, "")
		}
		if textWidth(line) > 30 {
			t.Errorf("longer than the terminal is wide: %q", line)
		}
	}
	if n := strings.Count(frame, "\r\n"); n > 3 {
		t.Errorf("%d lines above the last one, of a terminal with 4: %q", n, frame)
	}
	p.signal(unix.SIGTSTP)
	p.expect(leaveScreen)
	p.stopped()
	if d := cmp.Diff(p.before, p.settings()); d != "" {
		t.Errorf("the terminal of a stopped top is different: %s", d)
	}
	p.signal(unix.SIGCONT)
	p.expect(enterScreen)
	p.expect(drawBelow)
	p.press("q")
	p.end(0)
	if words := p.words.String(); !strings.HasSuffix(words, "\n0 packets dropped by kernel\n") {
		t.Errorf("stderr %q", words)
	}
}

// stopped waits until the process is.
func (p *terminalProcess) stopped() {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
		if err != nil {
			p.t.Fatal(err)
		}
		if _, state, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(state, "T") {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("not stopped: %s", stat)
		}
	}
}

// TestTopEnd: the terminal is as before after signals, screens that were
// counted, an error, and a panic.
func TestTopEnd(t *testing.T) {
	for _, s := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		p := startOnTerminal(t, "http", 80, 24, "top", "-d", "0.1")
		p.expect(topKeyLine)
		p.signal(s)
		p.end(0)
	}
	p := startOnTerminal(t, "http", 80, 24, "top", "-d", "0.1", "-c", "2")
	p.end(0)
	p = startOnTerminal(t, "broken", 80, 24, "top", "-d", "100")
	p.end(1)
	if words := p.words.String(); !strings.Contains(words, "sockcap: error: read ring buffer: input/output error\n") {
		t.Errorf("stderr %q", words)
	}
	p = startOnTerminal(t, "panic", 80, 24, "top", "-d", "100")
	p.end(2)
	if words := p.words.String(); !strings.Contains(words, "a panic on purpose") {
		t.Errorf("stderr %q", words)
	}
}

// TestTopOptions: what is asked of the capture.
func TestTopOptions(t *testing.T) {
	var got capture.Options
	h := testHost()
	h.stderr = new(bytes.Buffer)
	h.start = func(_ context.Context, o capture.Options) (session, error) {
		got = o
		return nil, errors.New("enough")
	}
	if status := h.main([]string{"top", "-B", "101", "-i", "kprobe", "--senders", "exact", "/run/x"}); status != 1 {
		t.Fatalf("status %d", status)
	}
	want := capture.Options{Hooks: "kprobe", Senders: "exact", BufferSize: 101 << 10, Snaplen: 1, Paths: []string{"/run/x"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if status := h.main([]string{"top", "--comm", "x", "pid", "7"}); status != 1 || got.Filter.String() != "pid 7 and comm x" {
		t.Errorf("status %d, filter %s", status, got.Filter)
	}
}

// BenchmarkTopCount counts packets of 10,000 connections.
func BenchmarkTopCount(b *testing.B) {
	c := newFlowCounter()
	p := data(1, 1, pcapng.RoleClient)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		p.ConnID, p.Message = i%10_000+1, i
		c.count(&p)
	}
}
