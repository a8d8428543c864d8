package wireshark_test

import (
	"encoding/binary"
	"fmt"
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
	s.capture(t, "dgram.pcapng",
		datagram(pcapng.Datagram, "/dev/log", line),
		piece,
		datagram(pcapng.Datagram, "/run/systemd/notify", "READY=1\nSTATUS=up"),
		datagram(pcapng.SeqPacket, "/run/udev/control", "\x00\x01"),
		datagram(pcapng.Datagram, "/run/empty", ""),
		datagram(pcapng.Datagram, "/run/big", strings.Repeat("x", 200_000)),
	)
	want := [][]string{
		{"logger[5]", "/dev/log", "Syslog", "USER.NOTICE: Jan  2 03:04:05 host me[5]: a line"},
		{"logger[5]", "/dev/log", "sockcap", "/dev/log dgram length 38: " + line},
		{"logger[5]", "/run/systemd/notify", "sockcap", "/run/systemd/notify dgram length 17: READY=1"},
		{"logger[5]", "/run/udev/control", "sockcap", "/run/udev/control seqpacket length 2"},
		{"logger[5]", "/run/empty", "sockcap", "/run/empty dgram length 0"},
		{"logger[5]", "/run/big", "sockcap", "/run/big dgram length 200000: " + strings.Repeat("x", 80)},
	}
	got := s.columns(t, "dgram.pcapng")
	for i := range got { // the length of syslog's info differs by version
		got[i][3] = strings.TrimPrefix(got[i][3], " ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
	if n := s.count(t, "dgram.pcapng", "tcp || udp"); n != 0 {
		t.Errorf("%d datagrams became segments", n)
	}
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
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("info (-want +got):\n%s", d)
	}
}
