package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestSnaplen: a cut record has the first bytes, says that it is cut, and
// stands for as many bytes as were sent; 0 here is Redact, nothing of any.
func TestSnaplen(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		for _, snaplen := range []int{0, 65, 4097, 40_000} {
			t.Run(strconv.Itoa(snaplen), func(t *testing.T) { testSnaplen(t, set, snaplen) })
		}
	})
}

func testSnaplen(t *testing.T, set string, snaplen int) {
	inParallel(t)
	l := startLive(t, Options{Hooks: set, Snaplen: snaplen, Redact: snaplen == 0}, nil)
	p := newPuppet(t, workload.PuppetConfig{})
	var sockets []workload.End
	sizes := []int{1, 63, 64, 65, 4096, 4097, 33_000, 40_001, 100_003}
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		a, b := p.pair(typ)
		sockets = append(sockets, a)
		p.must(p.Flood(a, b, 5, len(sizes), sizes))
	}
	l.wait("all", func(all []*pcapng.Packet) bool {
		for _, a := range sockets {
			if lengthOf(kept(all, from(a))) < sum(sizes) {
				return false
			}
		}
		return true
	})
	all, stats := l.end()
	if stats.Dropped() != 0 || stats.LostBytes != 0 || stats.Unreadable != 0 {
		t.Errorf("lost: %+v", stats)
	}
	for _, a := range sockets {
		checkCut(t, kept(all, from(a)), snaplen, workload.Pattern(5, sum(sizes)))
	}
}

// checkCut checks records that have at most the first snaplen bytes of a unit.
func checkCut(t *testing.T, records []*pcapng.Packet, snaplen int, sent []byte) {
	t.Helper()
	var offset uint64
	cut := 0
	for i, p := range records {
		want := min(int(p.Len), snaplen)
		switch {
		case p.Offset != offset || p.Lost != 0:
			t.Fatalf("type %d, record %d: %s, want offset %d", p.Type, i, show(p), offset)
		case len(p.Data) != want || p.Truncated != (want < int(p.Len)):
			t.Fatalf("type %d, record %d: %d bytes of %d, truncated %v, want %d", p.Type, i, len(p.Data), p.Len, p.Truncated, want)
		case string(p.Data) != string(sent[p.Offset:][:want]):
			t.Fatalf("type %d, record %d: other bytes than were sent", p.Type, i)
		}
		if p.Truncated {
			cut++
		}
		offset += uint64(p.Len)
	}
	if offset != uint64(len(sent)) || cut == 0 && snaplen < 30_000 {
		t.Errorf("%d bytes of %d, %d records cut", offset, len(sent), cut)
	}
}

func lengthOf(records []*pcapng.Packet) (n int) {
	for _, p := range records {
		n += int(p.Len)
	}
	return n
}

func sum(n []int) (s int) {
	for _, x := range n {
		s += x
	}
	return s
}

// TestLargeUnits: what is larger than a record comes in pieces that say so.
func TestLargeUnits(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		l := startLive(t, Options{Hooks: set}, nil)
		p := newPuppet(t, workload.PuppetConfig{})
		sizes := []int{pcapng.MaxPayload - 1, pcapng.MaxPayload, pcapng.MaxPayload + 1, 2 * pcapng.MaxPayload, 1_000_003}
		var sockets []workload.End
		for _, typ := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_STREAM} {
			a, b := p.pair(typ)
			p.must(p.SetInt(a, unix.SO_SNDBUFFORCE, 4<<20))
			p.must(p.Flood(a, b, 9, len(sizes), sizes))
			sockets = append(sockets, a)
		}
		l.wait("all", func(all []*pcapng.Packet) bool {
			for _, a := range sockets {
				if lengthOf(kept(all, from(a))) < sum(sizes) {
					return false
				}
			}
			return true
		})
		all, stats := l.end()
		if stats.Unreadable+stats.Dropped() != 0 {
			t.Errorf("lost: %+v", stats)
		}
		for i, a := range sockets {
			records := kept(all, from(a))
			if got := bytesOf(records); got != string(workload.Pattern(9, sum(sizes))) {
				t.Errorf("socket %d: %d bytes, want %d others", i, len(got), sum(sizes))
			}
			if i < 2 {
				checkPieces(t, records, sizes)
			}
		}
	})
}

// checkPieces checks that the records are messages of these sizes, in pieces.
func checkPieces(t *testing.T, records []*pcapng.Packet, sizes []int) {
	t.Helper()
	var offset uint64
	for _, size := range sizes {
		var message uint64
		for left := size; left > 0; {
			if len(records) == 0 {
				t.Fatalf("records end %d bytes before a message of %d does", left, size)
			}
			p := records[0]
			n := min(left, pcapng.MaxPayload)
			if left == size {
				message = p.Message
			}
			if int(p.Len) != n || len(p.Data) != n || p.Offset != offset || p.Continued != (left < size) || p.More != (left > n) ||
				p.Truncated || int(p.MessageLen) != size || p.Message != message {
				t.Fatalf("message of %d, %d left: %s continued %v, more %v, truncated %v, message length %d; want offset %d, length %d",
					size, left, show(p), p.Continued, p.More, p.Truncated, p.MessageLen, offset, n)
			}
			offset += uint64(n)
			left -= n
			records = records[1:]
		}
	}
	if len(records) != 0 {
		t.Errorf("%d records too many", len(records))
	}
}

// TestSessions: two at once see the same, an end gives what was sent before,
// and an early end of Packets is no harm.
func TestSessions(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		p := newPuppet(t, workload.PuppetConfig{})
		a, b := p.pair(unix.SOCK_STREAM)
		early, late := startLive(t, Options{Hooks: set}, nil), startLive(t, Options{Hooks: set, Immediate: true}, nil)
		const n = 301
		want := ""
		for i := range n {
			m := fmt.Sprintf("message %d.", i)
			p.pass(a, b, m)
			want += m
		}
		first, _ := early.end() // at once: what is in the ring or in the window must come
		p.pass(a, b, "more")
		second, _ := late.end()
		if got := bytesOf(kept(first, from(a))); got != want {
			t.Errorf("first session: %d bytes, want %d", len(got), len(want))
		}
		if got := bytesOf(kept(second, from(a))); got != want+"more" {
			t.Errorf("second session: %d bytes, want %d", len(got), len(want)+4)
		}
	})
}

// TestBreak: the consumer may stop at any packet, and Close may be called
// again, also while Packets runs.
func TestBreak(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		p := newPuppet(t, workload.PuppetConfig{})
		a, b := p.pair(unix.SOCK_DGRAM)
		s, err := Start(t.Context(), Options{Hooks: set})
		if err != nil {
			t.Fatal(err)
		}
		for range 7 {
			p.pass(a, b, "x")
		}
		for c, err := range s.Packets() {
			if err != nil {
				t.Fatal(err)
			}
			if from(a)(c) {
				break
			}
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := s.Stats().Captured; got == 0 {
			t.Error("after the end nothing was captured")
		}
		s, err = Start(t.Context(), Options{Hooks: set})
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		for _, err := range s.Packets() {
			if err != nil {
				t.Error(err)
			}
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// TestImmediate: without a window a packet is there before any later one is
// sent; with it a later packet can't be waited for in vain either.
func TestImmediate(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		at, windowed := startLive(t, Options{Hooks: set, Immediate: true}, nil), startLive(t, Options{Hooks: set}, nil)
		p := newPuppet(t, workload.PuppetConfig{})
		a, b := p.pair(unix.SOCK_STREAM)
		slower := 0
		for i := range 21 {
			p.pass(a, b, "x")
			at.wait("a packet", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) == i+1 })
			if len(kept(windowed.all(), from(a))) <= i {
				slower++
			}
		}
		windowed.wait("the last packet", func(all []*pcapng.Packet) bool { return len(kept(all, from(a))) == 21 })
		if slower < 14 {
			t.Errorf("of 21 packets only %d were given out earlier without the window", slower)
		}
	})
}

// TestStartFails: what can't be had is said, with the cure where there is one.
func TestStartFails(t *testing.T) {
	for _, name := range []string{"no-such-set", "Tracepoint", "fentry,kprobe"} {
		s, err := Start(t.Context(), Options{Hooks: name})
		var e *Error
		if err == nil || !errors.As(err, &e) || !strings.Contains(err.Error(), fmt.Sprintf("no hook set %q", name)) {
			t.Errorf("hook set %q: %v, want an *Error that names it", name, err)
		}
		if s != nil {
			t.Errorf("hook set %q: there is a session beside the error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := Start(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Packets() {
		if err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestSets: every set is there, one of the usable ones is chosen, the others
// say why not.
func TestSets(t *testing.T) {
	names, chosen := "", 0
	for _, s := range Sets() {
		names += s.Name + " "
		if s.Chosen {
			chosen++
		}
		if s.Chosen && s.Err != nil || s.Err != nil && s.Err.Error() == "" {
			t.Errorf("%+v", s)
		}
	}
	if chosen != 1 || len(strings.Fields(names)) != 3 {
		t.Errorf("%d sets are chosen of %s", chosen, names)
	}
	for _, name := range []string{hooksFentry, hooksKprobe, hooksTracepoint} {
		if !strings.Contains(names, name) {
			t.Errorf("%s is not among %s", name, names)
		}
	}
}

// TestCandidates: a set is left out for what its kernel shows that it lacks.
func TestCandidates(t *testing.T) {
	const (
		btf      = "sys/kernel/btf/vmlinux"
		kprobe   = "sys/bus/event_source/devices/kprobe/type"
		ftrace   = "proc/sys/kernel/ftrace_enabled"
		lockdown = "sys/kernel/security/lockdown"
	)
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{btf: "", kprobe: "", ftrace: "", lockdown: "[none] integrity confidentiality\n"}, "fentry kprobe tracepoint"},
		{map[string]string{btf: "", kprobe: "", ftrace: ""}, "fentry kprobe tracepoint"},
		{map[string]string{btf: "", ftrace: ""}, "fentry tracepoint"},
		{map[string]string{btf: "", kprobe: ""}, "kprobe tracepoint"},
		{map[string]string{btf: "", kprobe: "", ftrace: "", lockdown: "none [integrity] confidentiality\n"}, "tracepoint"},
		{map[string]string{btf: "", kprobe: "", ftrace: "", lockdown: "none integrity [confidentiality]\n"}, "tracepoint"},
		{map[string]string{kprobe: "", ftrace: ""}, ""},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		got := strings.Join(candidates(root, []string{hooksFentry, hooksKprobe, hooksTracepoint}), " ")
		if got != c.want {
			t.Errorf("with %v: %q, want %q", c.files, got, c.want)
		}
	}
}

// TestCandidatesHere: a set that attaches is a candidate.
func TestCandidatesHere(t *testing.T) {
	candidates := Candidates()
	for _, s := range Sets() {
		if s.Err == nil && !slices.Contains(candidates, s.Name) {
			t.Errorf("%s attaches, and is not among %v", s.Name, candidates)
		}
	}
	if len(candidates) == 0 {
		t.Error("none")
	}
}

// asNobody is set where this binary runs again as another user.
const asNobody = "SOCKCAP_TEST_NOBODY"

// TestNotRoot: another user is told what is missing.
func TestNotRoot(t *testing.T) {
	if os.Getenv(asNobody) != "" {
		_, err := Start(t.Context(), Options{})
		var e *Error
		if errors.As(err, &e) {
			fmt.Printf("error: %v\nhint: %s\npermission: %v\n", err, e.Hint, errors.Is(err, fs.ErrPermission))
		}
		return
	}
	dir := publicDir(t)
	cmd := exec.Command(copyOfSelf(t, dir), "-test.run=^TestNotRoot$")
	cmd.Dir = dir
	cmd.Env = []string{asNobody + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"error: capture: permission denied", "hint: run as root, or grant it cap_bpf,cap_perfmon,cap_syslog,cap_dac_read_search\n", "permission: true"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got %s, want %q in it", out, want)
		}
	}
}

// publicDir is a directory that others may read: t.TempDir's parent is closed
// to them, and TMPDIR may lie anywhere.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyOfSelf copies this binary to where others may run it.
func copyOfSelf(t *testing.T, dir string) string {
	t.Helper()
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	name := filepath.Join(dir, "capture.test")
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.Chmod(0o755), out.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}
