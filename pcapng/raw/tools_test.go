package raw

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// shark is tshark as it comes, without our dissector: the machine's, or that
// of the root directory TSHARK_ROOT, for other versions.
type shark struct{ root, dir string }

func newShark(t *testing.T, file []byte) shark {
	t.Helper()
	s := shark{root: os.Getenv("TSHARK_ROOT")}
	dir, err := os.MkdirTemp(filepath.Join(s.root, os.TempDir()), "sockcap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.dir = dir
	if err := os.WriteFile(filepath.Join(dir, "raw.pcapng"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs tshark, with all checksums verified, on the file.
func (s shark) run(t *testing.T, args ...string) string {
	t.Helper()
	dir := filepath.Join("/", strings.TrimPrefix(s.dir, s.root))
	args = append([]string{"-n", "-r", dir + "/raw.pcapng", "-o", "tcp.check_checksum:TRUE",
		"-o", "udp.check_checksum:TRUE"}, args...)
	exe := "tshark"
	if s.root != "" {
		exe = "/usr/bin/tshark"
	}
	cmd := exec.Command(exe, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + dir, "LC_ALL=C.UTF-8", "TZ=UTC", "PATH=/usr/bin:/bin"}
	if s.root != "" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.root}
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("tshark %q: %v\n%s", args, err, &complaint)
	}
	return out.String()
}

// rows are the fields of each packet that a filter keeps.
func (s shark) rows(t *testing.T, filter string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-2", "-Y", filter, "-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var rows [][]string
	for line := range strings.Lines(s.run(t, args...)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows
}

// quiet fails if tshark warns of anything in a packet that is not excepted.
func (s shark) quiet(t *testing.T, except ...string) {
	t.Helper()
	for _, filter := range []string{"_ws.expert.severity >= 6291456", "tcp.analysis.flags", "tcp.checksum.status != 1 || udp.checksum.status != 1"} {
		got := s.rows(t, filter, "frame.number", "_ws.expert.message")
		got = slices.DeleteFunc(got, func(row []string) bool { return slices.Contains(except, row[0]) })
		if len(got) > 0 {
			t.Errorf("%s: %q", filter, got)
		}
	}
}

// followed is what Follow Stream shows of the first conversation.
func (s shark) followed(t *testing.T) (fromClient, fromServer []byte) {
	t.Helper()
	for line := range strings.Lines(s.run(t, "-q", "-z", "follow,tcp,raw,0")) {
		text, indented := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t")
		b, err := hex.DecodeString(text)
		switch {
		case err != nil: // a line of the frame around it
		case indented:
			fromServer = append(fromServer, b...)
		default:
			fromClient = append(fromClient, b...)
		}
	}
	return fromClient, fromServer
}

// exchange is docker asking twice, the second time for a large answer.
func exchange() (packets []pcapng.Packet, fromClient, fromServer []byte) {
	c := converse("/run/docker.sock", 1<<40+7)
	c.event(pcapng.EventConnect, client)
	c.event(pcapng.EventAccept, server)
	asked := [][]byte{request("/_ping"), request("/v1.43/images/json")}
	answered := [][]byte{response([]byte("OK")), response(noise(300_000))}
	for i := range asked {
		c.send(client, asked[i], large)
		c.send(server, answered[i], large)
	}
	c.close()
	return c.packets, slices.Concat(asked...), slices.Concat(answered...)
}

// TestTshark: Wireshark without anything of ours shows HTTP as HTTP, all bytes,
// and who sent them.
func TestTshark(t *testing.T) {
	t.Parallel()
	packets, fromClient, fromServer := exchange()
	file, _ := encode(t, packets...)
	s := newShark(t, file)
	s.quiet(t)
	got := s.rows(t, "http", "http.request.method", "http.response.code", "http.content_length", "tcp.stream", "frame.comment")
	const docker = "pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd"
	const dockerd = "pid=2434 comm=dockerd path=/run/docker.sock peer.pid=27806 peer.comm=docker"
	want := [][]string{
		{"GET", "", "", "0", docker}, {"", "200", "2", "0", dockerd},
		{"GET", "", "", "0", docker}, {"", "200", "300000", "0", dockerd},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("http (-want +got):\n%s", d)
	}
	if n := len(s.rows(t, "http.time", "frame.number")); n != 2 {
		t.Errorf("%d responses with a time, want 2", n)
	}
	if n := len(s.rows(t, `frame.comment contains "comm=dockerd path" && tcp.len > 0`, "frame.number")); n != 6 {
		t.Errorf("%d segments with dockerd's comment, want 6", n)
	}
	gotClient, gotServer := s.followed(t)
	if !bytes.Equal(gotClient, fromClient) || !bytes.Equal(gotServer, fromServer) {
		t.Errorf("follow: %d and %d bytes, want %d and %d", len(gotClient), len(gotServer), len(fromClient), len(fromServer))
	}
}

// TestTsharkHard: what makes tcp dissectors complain, done right.
func TestTsharkHard(t *testing.T) {
	t.Parallel()
	var packets []pcapng.Packet
	for i, start := range []uint64{0, 77_000_321, 1<<32 - 5000, 1<<52 - 1} {
		c := converse("/run/docker.sock", uint64(i+1))
		c.lose(client, start)
		c.lose(server, start+99)
		if start == 0 {
			c.event(pcapng.EventConnect, client)
			c.sent[server] = 0
		}
		for n := range 7 {
			c.send(client, request(fmt.Sprint("/", n)), 1) // looks like keep-alives
			c.send(server, response(noise(4099)), 1000)
		}
		c.send(client, request("/a"), large) // both at once
		c.send(server, response(noise(4099))[:2000], large)
		c.send(client, request("/b"), large)
		c.send(server, response(noise(4099))[2000:], large)
		c.send(server, response(nil), large)
		c.close()
		packets = append(packets, c.packets...)
	}
	file, _ := encode(t, packets...)
	s := newShark(t, file)
	s.quiet(t)
	for filter, want := range map[string]int{"http.request": 36, "http.response": 36, "tcp.stream == 4": 0} {
		if n := len(s.rows(t, filter, "frame.number")); n != want {
			t.Errorf("%s: %d packets, want %d", filter, n, want)
		}
	}
}

// TestTsharkOrder: a capture on the receiving side has answers before their
// questions, and closes before bytes. None is lost to that.
func TestTsharkOrder(t *testing.T) {
	t.Parallel()
	early := converse("/run/docker.sock", 1)
	early.send(client, request("/"), large)
	early.send(server, response([]byte("OK")), large)
	early.packets[0], early.packets[1] = early.packets[1], early.packets[0]
	unread := converse("/run/docker.sock", 2)
	unread.send(client, request("/"), large)
	answer := response([]byte("OK"))
	unread.event(pcapng.EventClose, server).Offset = uint64(len(answer))
	unread.send(server, answer[:20], large)
	unread.event(pcapng.EventClose, client)
	unread.send(server, answer[20:], large)
	file, _ := encode(t, append(early.packets, unread.packets...)...)
	s := newShark(t, file)
	for filter, want := range map[string]int{
		"http.request": 2, "http.response": 2, `tcp.stream == 1 && http.file_data == "OK"`: 1,
	} {
		if n := len(s.rows(t, filter, "frame.number")); n != want {
			t.Errorf("%s: %d packets, want %d", filter, n, want)
		}
	}
}

// TestTsharkGaps: every missing byte is a gap, and nothing else is one.
func TestTsharkGaps(t *testing.T) {
	t.Parallel()
	c := converse("/run/docker.sock", 1)
	c.send(client, []byte("one"), large)
	c.lose(client, 1000)
	c.send(client, []byte("two"), large).Lost = 1000
	c.lose(client, 1<<33)
	c.send(client, []byte("three"), large).Skipped = 1 << 33
	c.send(client, make([]byte, 100), large).Data = nil
	cut := c.send(client, make([]byte, 100), large)
	cut.Data = cut.Data[:17]
	c.send(server, []byte("hello"), large)
	c.close()
	file, _ := encode(t, c.packets...)
	s := newShark(t, file)
	got := s.rows(t, "tcp.analysis.lost_segment", "frame.comment")
	want := []string{"lost before: 1000 bytes", "gap before of 8589934592 bytes, shown as 268435456",
		"not captured: 100 bytes", "event=close"}
	if len(got) != len(want) {
		t.Fatalf("%d gaps, want %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if !strings.Contains(got[i][0], want[i]) {
			t.Errorf("gap %d: %q, want %q", i, got[i][0], want[i])
		}
	}
	flags := s.rows(t, "tcp.analysis.flags && !tcp.analysis.lost_segment && !tcp.analysis.ack_lost_segment",
		"frame.number", "_ws.expert.message")
	if len(flags) > 0 {
		t.Errorf("tcp.analysis.flags: %q", flags)
	}
}

// TestTsharkDatagrams: of any length, jumbograms too.
func TestTsharkDatagrams(t *testing.T) {
	t.Parallel()
	c := converse("/dev/log", 9)
	c.kind = pcapng.Datagram
	c.datagram(client, []byte("<14>Nov 24 06:29:35 host me: hello\n"))
	sizes := []int{0, 1, maxUDP - 1, maxUDP, maxUDP + 1, 100_000, 200_001}
	d := converse("/run/x", 10)
	d.kind = pcapng.SeqPacket
	for _, n := range sizes {
		d.datagram(server, noise(n))
	}
	file, _ := encode(t, append(c.packets, d.packets...)...)
	s := newShark(t, file)
	s.quiet(t)
	if got := s.rows(t, "syslog", "syslog.facility", "syslog.level"); len(got) != 1 || got[0][0] != "1" || got[0][1] != "6" {
		t.Errorf("syslog: %q", got)
	}
	got := s.rows(t, "udp.srcport >= 42000 && udp.srcport < 44000", "data.len", "data.data")
	if len(got) != len(sizes) {
		t.Fatalf("%d datagrams, want %d", len(got), len(sizes))
	}
	for i, n := range sizes {
		if n > 0 && (got[i][0] != fmt.Sprint(n) || got[i][1] != hex.EncodeToString(noise(n))) {
			t.Errorf("datagram of %d bytes: %s, %d digits", n, got[i][0], len(got[i][1]))
		}
	}
}

// TestTcpflow: another program than Wireshark, which follows streams and
// writes each side's bytes into a file.
func TestTcpflow(t *testing.T) {
	t.Parallel()
	packets, fromClient, fromServer := exchange()
	middle := converse("/run/x", math.MaxUint64)
	middle.lose(client, 1<<32-5000)
	middle.send(client, noise(10_000), 1000)
	file, _ := encode(t, append(packets, middle.packets...)...)
	dir := t.TempDir()
	name := filepath.Join(dir, "raw.pcapng")
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tcpflow", "-o", filepath.Join(dir, "flows"), "-r", name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tcpflow: %v\n%s", err, out)
	}
	for pattern, want := range map[string][]byte{
		"fd00::c:0:100:0:7.*": fromClient, "fd00::5:0:100:0:7.*": fromServer, "fd00::c:ffff:ffff:ffff:ffff.*": noise(10_000),
	} {
		names, err := filepath.Glob(filepath.Join(dir, "flows", pattern))
		if err != nil || len(names) != 1 {
			all, _ := filepath.Glob(filepath.Join(dir, "flows", "*"))
			t.Errorf("%s: %q of %q", pattern, names, all)
			continue
		}
		got, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d", pattern, len(got), len(want))
		}
	}
}
