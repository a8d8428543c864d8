package wireshark_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// conversation makes the packets of one stream connection and counts its
// offsets, as the kernel side does.
type conversation struct {
	path           string
	client, server pcapng.Endpoint
	id             uint64
	sent           map[pcapng.Role]uint64
	packets        []pcapng.Packet
}

func converse(path string, id uint64) *conversation {
	return &conversation{
		path:   path,
		client: pcapng.Endpoint{PID: 27806, TID: 27806, UID: 1000, GID: 1000, Inode: 1000 + id, Comm: "docker"},
		server: pcapng.Endpoint{PID: 2434, TID: 2440, Inode: 2000 + id, Comm: "dockerd"},
		id:     id,
		sent:   map[pcapng.Role]uint64{},
	}
}

func (c *conversation) event(e pcapng.Event, sender pcapng.Role) *pcapng.Packet {
	p := pcapng.Packet{
		Event: e, Type: pcapng.Stream, Role: sender, Sender: c.client, Peer: c.server, Path: c.path,
		ConnID: c.id, Offset: c.sent[sender], MessageLen: pcapng.Unknown,
	}
	if sender == pcapng.RoleServer {
		p.Sender, p.Peer = p.Peer, p.Sender
	}
	c.packets = append(c.packets, p)
	return &c.packets[len(c.packets)-1]
}

func (c *conversation) open() *conversation {
	c.event(pcapng.EventConnect, pcapng.RoleClient)
	c.event(pcapng.EventAccept, pcapng.RoleServer)
	return c
}

// send makes records of at most piece bytes.
func (c *conversation) send(sender pcapng.Role, data []byte, piece int) {
	for part := range slices.Chunk(data, piece) {
		p := c.event(pcapng.EventData, sender)
		p.Data, p.Len = part, uint32(len(part))
		c.sent[sender] += uint64(len(part))
	}
}

// lose counts bytes that no record has; the next record tells of them.
func (c *conversation) lose(sender pcapng.Role, n uint64) { c.sent[sender] += n }

func (c *conversation) close() {
	c.event(pcapng.EventClose, pcapng.RoleClient)
	c.event(pcapng.EventClose, pcapng.RoleServer)
}

const (
	client = pcapng.RoleClient
	server = pcapng.RoleServer
	large  = pcapng.MaxPayload // of a record
)

func httpRequest(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: docker\r\n\r\n")
}

func httpResponse(body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n",
		len(body)), body...)
}

func noise(n int) []byte {
	r, b := rand.New(rand.NewPCG(7, 7)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// quiet fails if the tcp dissector complains of anything.
func (s *shark) quiet(t *testing.T, name string) {
	t.Helper()
	if out := s.run(t, "-r", s.path(name), "-2", "-Y", "tcp.analysis.flags || _ws.malformed"); out != "" {
		t.Errorf("%s: tcp complains:\n%s", name, out)
	}
}

// followed gives what Follow Stream shows of the first stream: both sides.
func (s *shark) followed(t *testing.T, name string, args ...string) (fromClient, fromServer []byte) {
	t.Helper()
	out := s.run(t, append([]string{"-r", s.path(name), "-q", "-z", "follow,tcp,raw,0"}, args...)...)
	for line := range strings.Lines(out) {
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

func TestHTTPOverDockerSocket(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	c := converse("/run/docker.sock", 1<<40+7).open()
	request, response := httpRequest("/v1.43/images/json"), httpResponse(noise(300_000))
	ping, pong := httpRequest("/_ping"), httpResponse([]byte("OK"))
	c.send(client, ping, large)
	c.send(server, pong, large)
	c.send(client, request, large)
	c.send(server, response, large)
	c.close()
	s.capture(t, "http.pcapng", c.packets...)
	s.quiet(t, "http.pcapng")

	for _, pass := range [][]string{{}, {"-2"}} {
		got := s.rows(t, "http.pcapng", append(pass, "-Y", "http", "-T", "fields", "-e", "http.request.method",
			"-e", "http.response.code", "-e", "http.content_length", "-e", "tcp.stream", "-e", "sockcap.stream")...)
		want := [][]string{{"GET", "", "", "0", "0"}, {"", "200", "2", "0", "0"},
			{"GET", "", "", "0", "0"}, {"", "200", "300000", "0", "0"}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("http, %q (-want +got):\n%s", pass, d)
		}
		for _, row := range s.rows(t, "http.pcapng", append(pass, "-Y", "http.response", "-T", "fields", "-e", "http.time")...) {
			if row[0] == "" {
				t.Errorf("http, %q: a response without http.time", pass)
			}
		}
		fromClient, fromServer := s.followed(t, "http.pcapng", pass...)
		if !bytes.Equal(fromClient, slices.Concat(ping, request)) {
			t.Errorf("follow, %q: client sent %d bytes: %.100q", pass, len(fromClient), fromClient)
		}
		if !bytes.Equal(fromServer, slices.Concat(pong, response)) {
			t.Errorf("follow, %q: server sent %d bytes, want %d", pass, len(fromServer), len(pong)+len(response))
		}
	}
}

// A server behind no known path is known by what it says.
func TestHTTPOverUnknownSocket(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	c := converse("@some\x00thing", 3)
	c.send(client, httpRequest("/a"), large)
	c.send(server, httpResponse(noise(100_000)), 9999)
	s.capture(t, "guess.pcapng", c.packets...)
	s.quiet(t, "guess.pcapng")
	for _, pass := range [][]string{{}, {"-2"}} {
		got := s.rows(t, "guess.pcapng", append(pass, "-Y", "http.time", "-T", "fields", "-e", "frame.number",
			"-e", "http.request_in")...)
		if d := cmp.Diff([][]string{{"12", "1"}}, got); d != "" {
			t.Errorf("http, %q (-want +got):\n%s", pass, d)
		}
	}
}

// Segments of one byte are what TCP's keep-alives look like.
func TestSingleBytesAreQuiet(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	c := converse("/run/docker.sock", 1).open()
	request, response := httpRequest("/"), httpResponse([]byte("OK"))
	for i := range max(len(request), len(response)) { // both directions at once
		c.send(client, request[min(i, len(request)):min(i+1, len(request))], 1)
		c.send(server, response[min(i, len(response)):min(i+1, len(response))], 1)
	}
	c.close()
	s.capture(t, "single.pcapng", c.packets...)
	s.quiet(t, "single.pcapng")
	if n := s.count(t, "single.pcapng", "http"); n != 2 {
		t.Errorf("%d records with HTTP, want 2", n)
	}
}

// PEERS.md 8: source and destination swapped in the dissector.
func TestSourceAndDestination(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	c := converse("/run/app.sock", 5).open()
	c.send(client, []byte("question"), large)
	c.send(server, []byte("answer"), large)
	for _, unknown := range []pcapng.Role{client, server} {
		p := c.event(pcapng.EventData, unknown)
		p.Peer, p.Data, p.Len = bare().Peer, []byte("x"), 1
	}
	for _, unknown := range []pcapng.Role{client, server} {
		p := c.event(pcapng.EventData, unknown)
		p.Sender, p.Data, p.Len = bare().Sender, []byte("x"), 1
	}
	c.packets = slices.DeleteFunc(c.packets, func(p pcapng.Packet) bool { return p.Event == pcapng.EventAccept })
	s.capture(t, "sides.pcapng", c.packets...)
	for _, pass := range [][]string{{}, {"-2"}} {
		var got [][]string
		for _, row := range s.columns(t, "sides.pcapng", pass...) {
			got = append(got, row[:2])
		}
		want := [][]string{
			{"docker[27806]", "dockerd[2434]"}, // connect
			{"docker[27806]", "dockerd[2434]"},
			{"dockerd[2434]", "docker[27806]"},
			{"docker[27806]", "/run/app.sock"},
			{"dockerd[2434]", "?"},
			{"?", "dockerd[2434]"},
			{"/run/app.sock", "docker[27806]"},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("columns, %q (-want +got):\n%s", pass, d)
		}
	}
	if got, want := s.count(t, "sides.pcapng", "tcp.stream == 0"), len(c.packets); got != want {
		t.Errorf("%d records in the one conversation, want %d", got, want)
	}
	for i, row := range s.columns(t, "sides.pcapng", "-o", "sockcap.names:FALSE")[:3] {
		if want := []string{"fd00:0:0:c::5", "fd00:0:0:5::5"}; i == 2 && row[1] != want[0] || i < 2 && row[1] != want[1] {
			t.Errorf("columns without names: %q", row)
		}
	}
}

func TestMidStreamStartIsQuiet(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	var packets []pcapng.Packet
	for id, start := range []uint64{77_000_321, 1<<32 - 5000, 1 << 52} {
		c := converse("/run/docker.sock", uint64(id+1))
		c.lose(client, start)
		c.lose(server, start+99)
		for i := range 7 {
			c.send(client, httpRequest(fmt.Sprint("/", i)), 1000)
			c.send(server, httpResponse(noise(4099)), 1000)
		}
		c.close()
		packets = append(packets, c.packets...)
	}
	s.capture(t, "middle.pcapng", packets...)
	s.quiet(t, "middle.pcapng")
	if n := s.count(t, "middle.pcapng", "http.time"); n != 21 {
		t.Errorf("%d responses, want 21", n)
	}
}

// Where records are made on reading, events come before and after the bytes
// that they belong to: none of those is lost to that, and no second
// conversation begins.
func TestUnorderedEvents(t *testing.T) {
	t.Parallel()
	request, response := httpRequest("/"), httpResponse([]byte("OK"))
	exchange := func(c *conversation) {
		c.send(client, request, large)
		c.send(server, response, large)
	}
	late := converse("/run/docker.sock", 1)
	exchange(late)
	late.open()
	exchange(late)
	late.event(pcapng.EventShutdown, server)
	late.event(pcapng.EventClose, server).Offset = 0 // not known
	late.event(pcapng.EventClose, client)
	late.event(pcapng.EventClose, client)

	accepted := converse("/run/docker.sock", 2)
	accepted.event(pcapng.EventConnect, client)
	accepted.send(client, request, large)
	accepted.event(pcapng.EventAccept, server)
	accepted.send(server, response, large)

	unread := converse("/run/docker.sock", 3).open()
	unread.send(client, request, large)
	unread.event(pcapng.EventClose, server).Offset = uint64(len(response))
	unread.send(server, response[:20], large)
	unread.event(pcapng.EventClose, client)
	unread.send(server, response[20:], large)

	early := converse("/run/docker.sock", 4)
	exchange(early)
	early.packets[0], early.packets[1] = early.packets[1], early.packets[0]

	s := newShark(t)
	s.capture(t, "late.pcapng", slices.Concat(late.packets, accepted.packets, unread.packets, early.packets)...)
	for filter, want := range map[string]int{
		"http.request": 5, "http.response": 5,
		"tcp.stream == 0 && tcp.flags.syn == 1": 0, "tcp.stream == 0 && tcp.flags.fin == 1": 1,
		"tcp.stream == 1 && tcp.flags.syn == 1": 2, "tcp.stream == 2 && tcp.flags.fin == 1": 1,
		`tcp.stream == 2 && http.file_data == "OK"`: 1, "tcp.stream == 4": 0, "tcp.flags.ack == 1 && tcp.flags.syn == 0": 0,
	} {
		if n := s.count(t, "late.pcapng", filter); n != want {
			t.Errorf("%s: %d records, want %d", filter, n, want)
		}
	}
	s.quiet(t, "late.pcapng")
}

// A refused connect is a reset, of a conversation of its own.
func TestRefusedConnectIsReset(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	c := converse("/run/docker.sock", 0)
	c.event(pcapng.EventRefused, client).Errno = 111
	c.event(pcapng.EventRefused, client).Errno = 2
	c.packets[1].Role = pcapng.RoleUnknown
	c.id = 1
	c.event(pcapng.EventRefused, client).Errno = 11
	c.send(client, httpRequest("/"), large)
	c.event(pcapng.EventRefused, client).Errno = 32 // a send, of a connection that there is
	s.capture(t, "refused.pcapng", c.packets...)
	got := s.rows(t, "refused.pcapng", "-2", "-Y", "sockcap.expert.refused", "-T", "fields", "-e", "sockcap.errno",
		"-e", "tcp.flags.reset", "-e", "tcp.stream", "-e", "tcp.srcport")
	want := [][]string{{"111", "1", "0", "80"}, {"2", "1", "1", "80"}, {"11", "1", "2", "80"}, {"32", "", "", ""}}
	for i := range got { // 4.4 and later say True
		got[i][1] = strings.Replace(got[i][1], "True", "1", 1)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("refused (-want +got):\n%s", d)
	}
	if row := s.columns(t, "refused.pcapng")[1]; row[0] != "docker[27806]" || row[3] != "refused ENOENT /run/docker.sock" {
		t.Errorf("columns %q", row)
	}
}

func TestGapIsShown(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	c := converse("/run/docker.sock", 1).open()
	c.send(client, httpRequest("/1"), large)
	c.send(server, httpResponse(noise(1000)), 500)
	c.lose(server, 70_001)
	first := len(c.packets)
	c.send(server, httpResponse(noise(1000)), 500)
	c.packets[first].Lost = 70_001
	s.capture(t, "gap.pcapng", c.packets...)
	for _, filter := range []string{"sockcap.lost == 70001", "sockcap.expert.lost", "tcp.analysis.lost_segment"} {
		got := s.rows(t, "gap.pcapng", "-2", "-Y", filter, "-T", "fields", "-e", "frame.number")
		if d := cmp.Diff([][]string{{fmt.Sprint(first + 1)}}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", filter, d)
		}
	}
	if rows := s.columns(t, "gap.pcapng"); strings.Count(rows[first][3], "Previous segment") != 1 {
		t.Errorf("info of the record after the gap: %q", rows[first][3])
	}
}

// A gap of 2 GiB and more is none of TCP's: what follows is not old.
func TestLargeGaps(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	var packets []pcapng.Packet
	gaps := []uint64{1 << 30, 3 << 30, 5 << 30, 1 << 40}
	for i, gap := range gaps {
		c := converse("/run/docker.sock", uint64(i+1))
		for range 3 {
			c.send(client, httpRequest("/"), large)
			c.send(server, httpResponse([]byte("OK")), large)
			c.lose(server, gap)
			first := len(c.packets)
			c.send(server, httpResponse([]byte("OK")), large)
			c.packets[first].Skipped = gap
		}
		c.close()
		packets = append(packets, c.packets...)
	}
	s.capture(t, "large.pcapng", packets...)
	for filter, want := range map[string]int{
		"http.response": 6 * len(gaps), "tcp.analysis.lost_segment": 3 * len(gaps), "tcp.flags.fin == 1": 2 * len(gaps),
		"tcp.analysis.out_of_order || tcp.analysis.retransmission": 0,
	} {
		if got := s.count(t, "large.pcapng", filter); got != want {
			t.Errorf("%s: %d records, want %d", filter, got, want)
		}
	}
}

// From 64 segments on they are acknowledged; none of that may look like a
// fault; where bytes are missing, tcp says so of the next segment, and of the
// acknowledgment after it.
func TestLongConversations(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	quiet, cut := converse("/run/docker.sock", 1).open(), converse("/run/docker.sock", 2)
	for i := range 301 {
		quiet.send(client, httpRequest(fmt.Sprint("/", i)), 9)
		quiet.send(server, httpResponse([]byte("OK")), 9)
		cut.send(client, httpRequest(fmt.Sprint("/", i)), large)
		cut.send(server, httpResponse([]byte("OK")), large)
		if i%7 == 0 {
			p := &cut.packets[len(cut.packets)-1-i%2]
			p.Len, p.Truncated = p.Len+11, true
			cut.lose(p.Role, 11)
		}
	}
	quiet.close()
	s.capture(t, "quiet.pcapng", quiet.packets...)
	s.quiet(t, "quiet.pcapng")
	s.capture(t, "cut.pcapng", cut.packets...)
	for name, packets := range map[string]int{"quiet.pcapng": 602, "cut.pcapng": 602} {
		if n := s.count(t, name, "http"); n != packets {
			t.Errorf("%s: %d records with HTTP, want %d", name, n, packets)
		}
		if n := s.count(t, name, "tcp.flags.ack == 1 && tcp.flags.syn == 0"); n < 8 {
			t.Errorf("%s: %d acknowledgments", name, n)
		}
	}
	if n := s.count(t, "cut.pcapng", "tcp.analysis.out_of_order || tcp.analysis.retransmission"); n != 0 {
		t.Errorf("cut.pcapng: tcp complains of %d records", n)
	}
}

// Every connection is a conversation of its own, however close the ids.
func TestConnectionsDoNotMix(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	ids := []uint64{1, 2, 1 << 14, 1 << 16, 1 << 32, 1 << 62, 1<<62 + 1, 1<<64 - 1}
	var packets []pcapng.Packet
	for _, id := range ids {
		c := converse("/run/docker.sock", id)
		c.send(client, httpRequest(fmt.Sprint("/", id)), large)
		c.send(server, httpResponse([]byte("OK")), large)
		packets = append(packets, c.packets...)
	}
	s.capture(t, "many.pcapng", packets...)
	var want [][]string
	for i := range ids {
		for range 2 {
			want = append(want, []string{fmt.Sprint(i), fmt.Sprint(i)})
		}
	}
	got := s.rows(t, "many.pcapng", "-2", "-Y", "http", "-T", "fields", "-e", "tcp.stream", "-e", "sockcap.stream")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("streams (-want +got):\n%s", d)
	}
}
