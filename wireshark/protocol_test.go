package wireshark_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// exchange is some packets of a protocol and what must come of them: a display
// filter and the number of records that it matches.
type exchange struct {
	name    string
	packets []pcapng.Packet
	filter  string
	count   int
}

// dbusCall is a method call: D-Bus specification, Message Format.
func dbusCall(serial uint32, member string) []byte {
	field := func(b []byte, code byte, kind string, value string) []byte {
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
		b = append(append(b, code, 1), kind+"\x00"...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
		return append(append(b, value...), 0)
	}
	var fields []byte
	fields = field(fields, 1, "o", "/org/freedesktop/DBus")
	fields = field(fields, 6, "s", "org.freedesktop.DBus")
	fields = field(fields, 3, "s", member)
	b := []byte{'l', 1, 0, 1, 0, 0, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(fields)))
	b = append(b, fields...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func pgMessage(kind string, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte(kind), uint32(len(body)+4))
	return append(b, body...)
}

func word(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }

// waylandMessage is a request or event: The Wayland Protocol, Wire Format.
func waylandMessage(object, opcode uint32, arguments string) string {
	return word(object) + word(uint32(8+len(arguments))<<16|opcode) + arguments
}

// protocolExchanges has one of each protocol that the dissector knows.
func protocolExchanges() []exchange {
	talk := func(path string, piece int, turns ...string) []pcapng.Packet {
		c := converse(path, 1)
		for i, turn := range turns {
			c.send([]pcapng.Role{client, server}[i%2], []byte(turn), piece)
		}
		return c.packets
	}
	hello := string(dbusCall(1, "Hello")) + string(dbusCall(2, "ListNames"))
	dbus := []string{"\x00AUTH EXTERNAL 30\r\n", "OK 1234deadbeef\r\n", "BEGIN\r\n" + hello}
	startup := string(pgMessage("", "\x00\x03\x00\x00user\x00me\x00\x00"))
	query := string(pgMessage("Q", "select 1\x00"))
	ready := string(pgMessage("R", "\x00\x00\x00\x00")) + string(pgMessage("Z", "I"))
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	fcgi := "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	mqtt := "\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me"
	mongo := "\x21\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x00"
	varlink := `{"method":"io.systemd.UserDatabase.GetUserRecord","parameters":{"error":"no","uid":7}}` + "\x00"
	varlinkReply := `{"error":"no.\"such","parameters":{}}` + "\x00"
	qmp := `{"execute": "query-status"}` + "\n"
	ovsdb := `{"method":"echo","params":["}\"{"],"id":"echo"}`
	ovsdb += ovsdb
	ttrpc := "\x00\x00\x00\x1d\x00\x00\x00\x01\x01\x00\x0a\x14containerd.task.v2.T\x12\x05State"
	wayland := waylandMessage(1, 1, word(2)) + waylandMessage(1, 0, word(3))
	waylandReply := waylandMessage(2, 0, word(7)+word(7)+"wl_shm\x00\x00"+word(1)) + waylandMessage(3, 0, word(7))
	waylandCall := waylandMessage(2, 0, word(7)+word(7)+"wl_shm\x00\x00"+word(1)+word(4)) + waylandMessage(4, 0, word(5)+word(4096))
	nbd := "\x25\x60\x95\x13\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + strings.Repeat("\x00", 11) + "\x20"
	nbdReply := "\x66\x8e\x33\xef\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x28" + strings.Repeat("\x00", 40)
	redis := "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
	return []exchange{
		{"http", talk("/run/docker.sock", large, string(httpRequest("/")), string(httpResponse([]byte("OK")))), "http", 2},
		{"http guessed", talk("", 9, string(httpRequest("/a")), string(httpResponse([]byte("OK")))), "http.time", 1},
		{"http2", talk("/run/containerd/containerd.sock", large, preface), "http2.type == 4", 1},
		{"http2 guessed", talk("/x", large, preface), "http2.type == 4", 1},
		{"pgsql", talk("/run/postgresql/.s.PGSQL.5432", large, startup, ready, query), "pgsql.query", 1},
		{"pgsql guessed", talk("/x", large, startup, ready, query), "pgsql.query", 1},
		{"redis", talk("/run/redis/redis.sock", large, redis, "$1\r\n1\r\n"), `frame.protocols contains "resp"`, 2},
		{"redis guessed", talk("/x", large, redis, "$1\r\n1\r\n"), `frame.protocols contains "resp"`, 2},
		{"dbus", talk("/run/dbus/system_bus_socket", large, dbus...), `dbus.member == "ListNames"`, 1},
		{"dbus in pieces", talk("/run/dbus/system_bus_socket", 7, dbus...), "dbus.member", 2},
		{"dbus guessed", talk("@/tmp/x", large, dbus...), `dbus.member == "Hello"`, 1},
		{"dbus line by line", talk("/run/dbus/system_bus_socket", large, "\x00AUTH EXTERNAL 30\r\n", "OK 1234deadbeef\r\n", "BEGIN\r\n", "", hello),
			`sockcap_dbus.sasl == "BEGIN" && !dbus`, 1},
		{"dbus begun before", talk("/run/user/1000/bus", large, hello), "dbus", 1},
		{"memcached", talk("/run/memcached.sock", large, "get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n"), "memcache", 2},
		{"fcgi", talk("/run/php/php8.2-fpm.sock", large, fcgi), "fcgi.id == 1", 1},
		{"fcgi guessed", talk("/x", large, fcgi), "fcgi.id == 1", 1},
		{"ldap", talk("/run/slapd/ldapi", large, "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"), "ldap.version == 3", 1},
		{"lmtp", talk("/run/dovecot/lmtp", large, "LHLO me\r\n", "250 you\r\n"), "smtp", 2},
		{"lmtp guessed", talk("/x", large, "LHLO me\r\n", "250 you\r\n"), "smtp", 2},
		{"mqtt", talk("/run/mosquitto/mqtt.sock", large, mqtt), `mqtt.clientid == "me"`, 1},
		{"mqtt guessed", talk("/x", large, mqtt), `mqtt.clientid == "me"`, 1},
		{"mongo", talk("/tmp/mongodb-27017.sock", large, mongo), "mongo.opcode == 2013", 1},
		{"varlink", talk("/run/systemd/userdb/io.systemd.DynamicUser", 7, varlink, varlinkReply),
			`sockcap_varlink.method == "io.systemd.UserDatabase.GetUserRecord" || sockcap_varlink.error contains "such"`, 2},
		{"varlink guessed", talk("/x", large, varlink, varlinkReply), `json.key == "parameters"`, 2},
		{"qmp", talk("/tmp/qmp.sock", 5, qmp, `{"QMP": {"version": {}}}`+"\r\n"+
			`{"return": {"a": [1, {}]}}`+"\r\n"+`{"event": "STOP"}`+"\r\n"),
			`sockcap_qmp.execute == "query-status" || sockcap_qmp.return || sockcap_qmp.event == "STOP"`, 3},
		{"qmp guessed", talk("/x", large, "", `{"QMP": {}}`+"\r\n", qmp), `sockcap_qmp.execute == "query-status"`, 1},
		{"nbd begun before, guessed", talk("/x", 30, "", nbdReply, nbd), "nbd.type == 0", 1},
		{"json without separators", talk("/run/openvswitch/db.sock", 9, ovsdb, ovsdb),
			`sockcap_json.method == "echo" && json.value.string contains "}"`, 4},
		{"milter", talk("/run/opendkim/milter.sock", 3, "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"+
			"\x00\x00\x00\x05Hme\x00\x00", "\x00\x00\x00\x01c"),
			`sockcap_milter.kind in {"Negotiate options", "HELO", "Continue"}`, 3},
		{"ssh-agent", talk("/tmp/ssh-XXXXabc/agent.17", large, "\x00\x00\x00\x01\x0b", "\x00\x00\x00\x05\x0c\x00\x00\x00\x00"),
			`sockcap_ssh_agent.kind in {"Request identities", "Identities answer"}`, 2},
		{"ssh-agent guessed", talk("/x", large, "\x00\x00\x00\x01\x0b", "\x00\x00\x00\x05\x0c\x00\x00\x00\x00"), "sockcap_ssh_agent", 2},
		{"ttrpc", talk("/run/containerd/s/0123abc", 4, ttrpc, "\x00\x00\x00\x02\x00\x00\x00\x01\x02\x00\x12\x00"),
			`sockcap_ttrpc.method == "State" || sockcap_ttrpc.kind == "Response"`, 2},
		{"wayland", talk("/run/user/1000/wayland-0", 5, wayland, waylandReply, waylandCall),
			`sockcap_wayland.argument == "\"wl_shm\"" || sockcap_wayland.call == "create_pool"`, 3},
		{"wayland begun before", talk("/run/user/1000/wayland-0", large, "\x07\x00\x00\x00\x02\x00\x08\x00"), "sockcap_wayland.opcode == 2", 1},
		{"pulse", talk("/run/user/1000/pulse/native", 6, "\x00\x00\x00\x0a\xff\xff\xff\xff"+strings.Repeat("\x00", 12)+"L\x00\x00\x00\x08L\x00\x00\x00\x07"+
			"\x00\x00\x00\x02\x00\x00\x00\x01"+strings.Repeat("\x00", 12)+"ab"),
			`(sockcap_pulse.command == "Auth" && sockcap_pulse.tag == 7) || sockcap_pulse.channel == 1`, 2},
		{"tls", talk("/x", large, "\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03"+strings.Repeat("r", 32)+"\x00\x00\x02\x13\x01\x01\x00\x00\x00"),
			"tls.handshake.type == 1", 1},
		{"unknown", talk("/x", large, "some line\nof text", "answer"), "tcp && data", 2},
	}
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	var packets []pcapng.Packet
	var filters []string
	want := map[string]int{}
	exchanges := protocolExchanges()
	for i, e := range exchanges {
		for _, p := range e.packets {
			p.ConnID = uint64(i + 1)
			packets = append(packets, p)
		}
		filters = append(filters, fmt.Sprintf("(sockcap.stream == %d && (%s))", i, e.filter))
		want[e.name] = e.count
	}
	s.capture(t, "protocols.pcapng", packets...)
	s.quiet(t, "protocols.pcapng")
	for _, pass := range [][]string{{}, {"-2"}} {
		got := map[string]int{}
		for _, row := range s.rows(t, "protocols.pcapng", append(pass, "-Y", strings.Join(filters, " || "),
			"-T", "fields", "-e", "sockcap.stream")...) {
			i, err := strconv.Atoi(row[0])
			if err != nil {
				t.Fatal(err)
			}
			got[exchanges[i].name]++
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("records of each protocol, %q (-want +got):\n%s%s", pass, d, s.run(t, "-r", s.path("protocols.pcapng")))
		}
	}
}

func datagram(kind pcapng.SocketType, path, payload string) pcapng.Packet {
	p := bare()
	p.Type, p.Path, p.Data, p.Len, p.ConnID = kind, path, []byte(payload), uint32(len(payload)), 9
	p.Sender.PID, p.Sender.Comm = 5, "logger"
	return p
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	line := "<13>Jan  2 03:04:05 host me[5]: a line"
	piece := datagram(pcapng.Datagram, "/dev/log", line)
	piece.Continued = true
	packets := []pcapng.Packet{
		datagram(pcapng.Datagram, "/dev/log", line),
		piece,
		datagram(pcapng.Datagram, "/run/systemd/notify", "READY=1\nSTATUS=up"),
		datagram(pcapng.Datagram, "/run/systemd/journal/socket",
			"SYSLOG_IDENTIFIER=me\nMESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\nPRIORITY=6\n"),
		datagram(pcapng.SeqPacket, "/run/udev/control", "\x00\x01"),
		datagram(pcapng.Datagram, "/run/empty", ""),
		datagram(pcapng.Datagram, "/run/big", strings.Repeat("x", 200_000)),
		datagram(pcapng.Datagram, "/run/other", line),
	}
	for i := range packets {
		packets[i].Role = client
		packets[i].ConnID = uint64(i + 1)
	}
	unknown := packets[0] // by whom, to whom
	unknown.Role, unknown.ConnID = pcapng.RoleUnknown, 0
	packets = append(packets, unknown)
	s.capture(t, "dgram.pcapng", packets...)
	syslog := "USER.NOTICE: Jan  2 03:04:05 host me[5]: a line"
	want := [][]string{
		{"logger[5]", "/dev/log", "Syslog", syslog},
		{"logger[5]", "/dev/log", "sockcap", "/dev/log dgram length 38: " + line},
		{"logger[5]", "/run/systemd/notify", "sd_notify", "READY=1 STATUS=up"},
		{"logger[5]", "/run/systemd/journal/socket", "Journal", `me: a\x0ab`},
		{"logger[5]", "/run/udev/control", "sockcap", "/run/udev/control seqpacket length 2"},
		{"logger[5]", "/run/empty", "sockcap", "/run/empty dgram length 0"},
		{"logger[5]", "/run/big", "sockcap", "/run/big dgram length 200000: " + strings.Repeat("x", 80)},
		{"logger[5]", "/run/other", "Syslog", syslog},
		{"logger[5]", "/dev/log", "Syslog", syslog},
	}
	got := s.columns(t, "dgram.pcapng")
	for i := range got { // the length of syslog's info differs by version
		got[i][3] = strings.TrimPrefix(got[i][3], " ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
	for filter, want := range map[string]int{
		"tcp": 0, "udp": len(packets) - 2, "_ws.expert.severity >= \"Warning\"": 0, // the piece and the unknown one
		`sockcap_journal.name == "PRIORITY" && sockcap_journal.value == "6"`: 1,
	} {
		if n := s.count(t, "dgram.pcapng", filter); n != want {
			t.Errorf("%s: %d records, want %d", filter, n, want)
		}
	}
	// The number of each datagram's conversation follows the records.
	out := s.run(t, "-r", s.path("dgram.pcapng"), "-q", "-z", "follow,udp,raw,5")
	if n := strings.Count(out, "78"); n != 200_000 {
		t.Errorf("follow: %d of 200000 bytes of the large one", n)
	}
}

// Which protocol a path means is the user's to say, for all paths at once by
// preference and for one by Decode As.
func TestProtocolsByPreference(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	var packets []pcapng.Packet
	for i, path := range []string{"/opt/a=b/app.sock", "/opt/c.sock", "/run/docker.sock", "@\x00odd", ""} {
		c := converse(path, uint64(i+1))
		c.send(client, []byte(`{"a":"b"}`), large)
		packets = append(packets, c.packets...)
	}
	s.capture(t, "chosen.pcapng", packets...)
	streams := func(args ...string) string {
		var got []string
		for _, row := range s.rows(t, "chosen.pcapng", append(args, "-T", "fields", "-e", "sockcap.stream")...) {
			got = append(got, row[0])
		}
		return strings.Join(got, " ")
	}
	prefer := "sockcap.protocols: /opt/a=b/*=data-text-lines ;*/c.sock=msgpack;/run/*.sock=json; nonsense ;/opt/?.sock=json;@*odd=x-y"
	for filter, want := range map[string]string{
		"data-text-lines": "0", `frame.protocols contains "msgpack"`: "1", "json": "2 3 4", "sockcap.expert.protocol": "3",
	} {
		if got := streams("-o", prefer, "-Y", filter); got != want {
			t.Errorf("%s: streams %q, want %q", filter, got, want)
		}
	}
	if got := streams("-Y", "json"); got != "0 1 3 4" {
		t.Errorf("without preference: json on streams %q", got)
	}
	port := s.rows(t, "chosen.pcapng", "-Y", "sockcap.stream == 1", "-T", "fields", "-e", "tcp.dstport")[0][0]
	if got := streams("-d", "tcp.port=="+port+",echo", "-Y", "echo"); got != "1" {
		t.Errorf("decode as, port %s: streams %q", port, got)
	}
}

// Connections of one path share a port: that nothing could be told of some says
// nothing of the others, be they open meanwhile or later, and Decode As has the
// last word on all.
func TestGuessingBeginsAndEnds(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	connection := func(id uint64) *conversation { return converse("/opt/app.sock", id) }
	var packets []pcapng.Packet
	say := func(c *conversation, what string, times int) {
		c.packets = nil
		for range times {
			c.send(client, []byte(what), large)
		}
		packets = append(packets, c.packets...)
	}
	ping := "*1\r\n$4\r\nPING\r\n" // which no heuristic of Wireshark's knows
	odd, early, later, last := connection(1), connection(2), connection(3), connection(4)
	say(odd, "nothing known", 7)
	say(early, ping, 1)
	say(odd, "nothing known", 20) // given up while early is open
	say(early, ping, 1)
	say(odd, ping, 1) // too late
	say(later, "nothing known", 20)
	say(later, ping, 1)
	say(last, ping, 2)
	s.capture(t, "guesses.pcapng", packets...)
	alone := connection(5)
	packets = nil
	say(alone, "nothing known", 20) // the port's only one: guess is gone
	say(connection(6), ping, 1)
	s.capture(t, "alone.pcapng", packets...)

	for _, pass := range [][]string{nil, {"-2"}} {
		streams := func(name string, args ...string) string {
			var got []string
			for _, row := range s.rows(t, name, slices.Concat(pass, args, []string{"-T", "fields", "-e", "sockcap.stream"})...) {
				got = append(got, row[0])
			}
			return strings.Join(got, " ")
		}
		if got := streams("guesses.pcapng", "-Y", `frame.protocols contains "resp"`); got != "1 1 3 3" {
			t.Errorf("%q: RESP on streams %q", pass, got)
		}
		if got := streams("alone.pcapng", "-Y", `frame.protocols contains "resp"`); got != "1" {
			t.Errorf("%q: RESP on streams %q after one that was given up", pass, got)
		}
		port := s.rows(t, "alone.pcapng", "-c", "1", "-T", "fields", "-e", "tcp.dstport")[0][0]
		want := strings.TrimSpace(strings.Repeat("0 ", 20) + "1")
		if got := streams("alone.pcapng", "-d", "tcp.port=="+port+",echo", "-Y", "echo"); got != want {
			t.Errorf("%q: echo, by Decode As, on streams %q", pass, got)
		}
	}
	s.quiet(t, "guesses.pcapng")
}

func TestEventsSayWhatHappened(t *testing.T) {
	t.Parallel()
	c := converse("/run/x.sock", 1)
	for e := pcapng.EventConnect; e <= pcapng.EventSnapshot; e++ {
		if e != pcapng.EventRefused {
			c.event(e, client)
		}
	}
	c.event(pcapng.EventRefused, client).Errno = 111
	c.event(pcapng.EventRefused, client).Errno = 4099
	read := c.event(pcapng.EventRead, client)
	read.Reader, read.Latency = &pcapng.Endpoint{PID: 99, Comm: "nginx"}, 1500000
	c.event(pcapng.EventLost, client).Lost = 4099
	c.event(pcapng.EventSnapshot, server).State = pcapng.StateConnecting
	c.event(pcapng.EventSnapshot, server).State = 77
	s := newShark(t)
	s.capture(t, "events.pcapng", c.packets...)
	var got []string
	for _, row := range s.columns(t, "events.pcapng") {
		if row[2] != "sockcap" {
			t.Errorf("protocol of %q is %q", row[3], row[2])
		}
		got = append(got, row[3])
	}
	want := []string{
		"connect /run/x.sock", "accept /run/x.sock", "listen /run/x.sock", "shutdown /run/x.sock",
		"close /run/x.sock", "snapshot /run/x.sock", "refused ECONNREFUSED /run/x.sock", "refused 4099 /run/x.sock",
		"read by nginx[99] after 0.001500 s /run/x.sock", "lost 4099 bytes /run/x.sock",
		"snapshot connecting /run/x.sock", "snapshot 77 /run/x.sock",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("info (-want +got):\n%s", d)
	}
}
