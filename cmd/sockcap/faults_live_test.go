package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// TestStopped: more is sent than the ring buffer holds, while sockcap is
// stopped. What is missing then is counted and stands where it is missing, and
// what is there is in order.
func TestStopped(t *testing.T) {
	dir := t.TempDir()
	path, name := filepath.Join(dir, "sock"), filepath.Join(dir, "out.pcapng")
	p := prepareProcess(t, "none", "-B", "1024", "-w", name, path)
	p.start()
	p.expect(p.stderr, "listening on")
	k := newTalk(t, path)
	k.send(t, 1)
	p.signal(unix.SIGSTOP)
	for !strings.Contains(processStatus(t, p), "\nState:\tT") {
		time.Sleep(time.Millisecond)
	}
	k.send(t, faultMessages)
	p.signal(unix.SIGCONT)
	k.sendUntil(t, func() []byte { return readFile(t, name) })
	p.signal(unix.SIGINT)
	_, stderr := p.end(0)
	k.check(t, decode(t, readFile(t, name)), stderr)
}

// TestSlowReader: the same while nobody reads what sockcap writes into a pipe;
// memory is bounded.
func TestSlowReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	p := prepareProcess(t, "none", "-B", "1024", "-w", "-", path)
	p.start()
	p.expect(p.stderr, "listening on")
	k := newTalk(t, path)
	k.send(t, 1)
	before := resident(t, p)
	k.send(t, faultMessages)
	if more := resident(t, p) - before; more > 64<<10 {
		t.Errorf("%d KiB more are in memory than before", more)
	}
	var mu sync.Mutex
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := p.stdout.Read(b)
			mu.Lock()
			out.Write(b[:n])
			mu.Unlock()
			if err != nil {
				done <- err
				return
			}
		}
	}()
	k.sendUntil(t, func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(out.Bytes())
	})
	p.signal(unix.SIGINT)
	if err := <-done; err != io.EOF {
		t.Fatal(err)
	}
	_, stderr := p.end(0)
	k.check(t, decode(t, out.Bytes()), stderr)
}

// TestSocketAgain: a socket file that is removed and made again is captured
// again, as another connection.
func TestSocketAgain(t *testing.T) {
	dir := t.TempDir()
	path, name := filepath.Join(dir, "sock"), filepath.Join(dir, "out.pcapng")
	p := prepareProcess(t, "none", "-w", name, path)
	p.start()
	p.expect(p.stderr, "listening on")
	for range 3 { // each makes it anew
		k := newTalk(t, path)
		k.send(t, 7)
		k.client.Close()
	}
	newTalk(t, path).sendUntil(t, func() []byte { return readFile(t, name) })
	p.signal(unix.SIGINT)
	p.end(0)
	said := make(map[uint64][]byte)
	var order []uint64
	for _, packet := range decode(t, readFile(t, name)) {
		if packet.Event == pcapng.EventData && !bytes.Contains(packet.Data, []byte(faultEnd)) {
			if said[packet.ConnID] == nil {
				order = append(order, packet.ConnID)
			}
			said[packet.ConnID] = append(said[packet.ConnID], packet.Data...)
		}
	}
	var want []byte
	for n := range 7 {
		want = append(want, faultMessage(n)...)
	}
	if len(order) != 3 {
		t.Errorf("%d connections, want 3", len(order))
	}
	for _, c := range order {
		if !bytes.Equal(said[c], want) {
			t.Errorf("connection %d: %d bytes, want the %d that were sent", c, len(said[c]), len(want))
		}
	}
}

const (
	faultMessages = 4099 // more than a ring buffer of 1 MiB holds
	faultEnd      = "after all"
)

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func processStatus(t *testing.T, p *process) string {
	t.Helper()
	return string(readFile(t, fmt.Sprintf("/proc/%d/status", p.Process.Pid)))
}

// resident is a process's memory that is not shared, in KiB.
func resident(t *testing.T, p *process) int {
	return number(t, processStatus(t, p), `RssAnon:\s+(\d+) kB`)
}

// talk is messages that are numbered, and read one by one.
type talk struct {
	client, server *net.UnixConn
	sent           int
	bytes          uint64
}

func newTalk(t *testing.T, path string) *talk {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // removes the file
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return &talk{client: c, server: s}
}

// faultMessage is one, 1,024 bytes long.
func faultMessage(n int) []byte {
	return append(bytes.Repeat([]byte("."), 1014), fmt.Sprintf("%09d\n", n)...)
}

func (k *talk) pass(t *testing.T, b []byte) {
	t.Helper()
	if _, err := k.client.Write(b); err != nil {
		t.Fatal(err)
	}
	k.sent++
	k.bytes += uint64(len(b))
	if _, err := io.ReadFull(k.server, make([]byte, len(b))); err != nil {
		t.Fatal(err)
	}
}

// send sends so many more.
func (k *talk) send(t *testing.T, count int) {
	t.Helper()
	for range count {
		k.pass(t, faultMessage(k.sent))
	}
}

// sendUntil sends what comes after all, again and again, until it is in a file.
func (k *talk) sendUntil(t *testing.T, file func() []byte) {
	t.Helper()
	for limit := time.Now().Add(2 * time.Minute); !bytes.Contains(file(), []byte(faultEnd)); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("two minutes later it is not there")
		}
		k.pass(t, []byte(faultEnd))
	}
}

// check compares what was captured with what was sent: captured and lost are
// all, each loss stands before the first packet that came after it.
func (k *talk) check(t *testing.T, got []pcapng.Packet, stderr string) {
	t.Helper()
	var captured, lost, bytesLost uint64
	next := uint64(0)
	for _, p := range got {
		lost += p.DropCount
		bytesLost += p.Lost
		if p.Event == pcapng.EventLost { // at the end
			next += p.Lost
		}
		if p.Event != pcapng.EventData {
			continue
		}
		captured++
		if p.Offset != next+p.Lost {
			t.Fatalf("at %d of the stream %d bytes are lost, and the packet begins at %d", next, p.Lost, p.Offset)
		}
		next = p.Offset + uint64(p.Len)
		if n := p.Offset / 1024; n < faultMessages && !bytes.Equal(p.Data, faultMessage(int(n))) {
			t.Fatalf("at %d stands %.20q", p.Offset, p.Data)
		}
	}
	t.Logf("%d sent, %d captured, %d lost", k.sent, captured, lost)
	// Of others a few may be lost too: what they are about is not known then.
	if sent := uint64(k.sent); bytesLost == 0 || next != k.bytes || captured >= sent || lost < sent-captured {
		t.Errorf("%d sent, of %d bytes, %d captured, up to byte %d, %d lost in the file, of %d bytes", k.sent, k.bytes, captured, next, lost, bytesLost)
	}
	if dropped := number(t, stderr, `(\d+) packets? dropped by kernel`); lost != uint64(dropped) {
		t.Errorf("the file tells of %d lost packets, sockcap of %d", lost, dropped)
	}
}
