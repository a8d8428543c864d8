package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// said is what the line says of a payload, "" if that is not recognised.
func said(role pcapng.Role, payload string) string {
	p := pcapng.Packet{
		Event: pcapng.EventData, Type: pcapng.Stream, Role: role,
		Len: uint32(len(payload)), MessageLen: uint32(len(payload)), Data: []byte(payload),
	}
	text, ok := appendSaying(nil, &p)
	if !ok {
		if len(text) > 0 {
			panic("not recognised, but appended")
		}
		return ""
	}
	return strings.TrimPrefix(string(text), ": ")
}

// pg is a message of PostgreSQL.
func pg(letter byte, body string) string {
	n := len(body) + 4
	return string([]byte{letter, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
}

// my is a packet of MySQL.
func my(number byte, body string) string {
	n := len(body)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), number}) + body
}

// bus is a D-Bus message with this header, whose fields are of type byte, a
// signature in one byte, and a text.
func bus(kind byte, serial byte, body string, fields ...string) string {
	pad := func(s string, to int) string {
		return s + strings.Repeat("\x00", (to-len(s)%to)%to)
	}
	all := ""
	for _, f := range fields {
		code, sign, value := f[:1], f[1:2], f[2:]
		all = pad(all, 8) + code + "\x01" + sign + "\x00"
		switch sign {
		case "u":
			all += value + "\x00\x00\x00"
		case "g":
			all += string([]byte{byte(len(value))}) + value + "\x00"
		default:
			all += string([]byte{byte(len(value)), 0, 0, 0}) + value + "\x00"
		}
	}
	return pad("l"+string([]byte{kind, 0, 1, byte(len(body)), 0, 0, 0, serial, 0, 0, 0, byte(len(all)), 0, 0, 0})+all, 8) + body
}

// TestSaying: what is recognised, and beside each what is almost that.
func TestSaying(t *testing.T) {
	const client, server = pcapng.RoleClient, pcapng.RoleServer
	call := bus(1, 7, "\x05\x00\x00\x00org.x\x00", "\x01o/a", "\x02sa.b", "\x03sDo", "\x08gs")
	for _, tt := range []struct {
		role    pcapng.Role
		payload string
		want    string
	}{
		{client, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n", "SET a hello"},
		{client, "*2\r\n$3\r\nGET\r\n$7\r\na b\r\n\"\xff\r\n", `GET "a b\r\n\"\xff"`},
		{client, "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "PING; GET a"},
		{client, "\r\n*1\r\n$4\r\nPING\r\n", "PING"},
		{client, "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", `ECHO ""`},
		{client, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5000\r\n" + strings.Repeat("x", 100), "SET a " + strings.Repeat("x", 74) + "..."},
		{client, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$50", "SET a ..."},
		{server, "$5\r\nhello\r\n", "hello"},
		{server, "$-1\r\n", "(nil)"},
		{server, "*0\r\n", "(empty)"},
		{server, "%1\r\n+a\r\n*2\r\n:1\r\n#t\r\n$2\r\nok\r\n", "a 1 t; ok"},
		{client, "*3\r\n$3\r\nSET\r\n$2\r\na\r\n$5\r\nhello\r\n", ""},
		{client, "*3\r\nfoo\r\n", ""},
		{client, "*three\r\n", ""},
		{client, "*03\r\n$1\r\na\r\n", ""},
		{server, "$5\r\nhelloX\n", ""},
		{server, "$999999999999999999999\r\nx\r\n", ""},
		{client, "*3\r\n", ""},
		{server, "+OK\r\n", ""},

		{client, call, `call #7 a.b.Do("org.x") on /a`},
		{client, call + call, `call #7 a.b.Do("org.x") on /a; call #7 a.b.Do("org.x") on /a`},
		{client, call[:len(call)-4], `call #7 a.b.Do("or") on /a`},
		{client, bus(1, 7, "\x01\x00\x00\x00", "\x01o/a", "\x03sDo", "\x08gu"), "call #7 Do(..) on /a"},
		{server, bus(2, 7, "", "\x05u\x03"), "reply #3"},
		{server, bus(2, 7, "\x01\x00\x00\x00\"\x00", "\x05u\x03", "\x08gsu"), `reply #3 ("\"", ..)`},
		{server, bus(3, 7, "\x02\x00\x00\x00no\x00", "\x05u\x03", "\x04sa.Fault", "\x08gs"), "error #3 a.Fault: no"},
		{server, bus(4, 7, "", "\x01o/a", "\x02sa.b", "\x03sGone"), "signal a.b.Gone()"},
		{client, bus(1, 0, "", "\x01o/a", "\x03sDo"), ""},    // serial 0
		{client, bus(1, 7, "", "\x01oa", "\x03sDo"), ""},     // no path
		{client, bus(1, 7, "", "\x01o/a"), ""},               // no member
		{client, bus(1, 7, "", "\x01s/a", "\x03sDo"), ""},    // wrong type
		{client, bus(1, 7, "", "\x01o/a", "\x03sD\x1b"), ""}, // not printable
		{client, bus(5, 7, "", "\x01o/a", "\x03sDo"), ""},    // no such kind
		{client, call[:40], ""},                  // header cut off
		{client, "l\x01\x00\x02" + call[4:], ""}, // no such version
		{client, bus(1, 7, "\xff\x00\x00\x00a\x00", "\x01o/a", "\x03sDo", "\x08gs"), ""}, // longer than the body

		{client, pg('Q', "select 1\x00"), "query select 1"},
		{client, pg('Q', "select\n  1;\n\x00"), "query select 1"},
		{client, pg('Q', "\x1b[2J\x00"), `query \x1b[2J`},
		{client, pg('P', "s\x00begin;\x00\x00\x00") + pg('S', ""), "parse begin; sync"},
		{client, pg('B', "\x00s\x00\x00\x00\x00\x00\x00\x00") + pg('D', "P\x00") + pg('E', "\x00\x00\x00\x00\x00") + pg('S', ""),
			"bind; describe; execute; sync"},
		{client, pg('X', ""), "terminate"},
		{client, pg('p', "secret\x00"), "password"},
		{client, pg('Q', "select "+strings.Repeat("x", 101)+"\x00")[:50], "query select " + strings.Repeat("x", 38) + "..."},
		{client, "\x00\x00\x00\x08\x04\xd2\x16\x2f", "TLS wanted"},
		{client, "\x00\x00\x00\x1b\x00\x03\x00\x00user\x00ann\x00database\x00\x00\x00", ""}, // length
		{client, "\x00\x00\x00\x1c\x00\x03\x00\x00user\x00ann\x00database\x00\x00\x00", `startup user=ann database=""`},
		{server, pg('C', "SELECT 3\x00") + pg('Z', "I"), "SELECT 3"},
		{server, pg('D', "\x00\x03\x00\x00\x00\x011\xff\xff\xff\xff\x00\x00\x00\x02\n\xff"), `1||\n\xff`},
		{server, pg('E', "SERROR\x00C42P01\x00Mno such table\x00\x00") + pg('Z', "I"), "ERROR 42P01: no such table"},
		{server, pg('R', "\x00\x00\x00\x00") + pg('S', "TimeZone\x00UTC\x00"), "authenticated"},
		{server, pg('d', "1\ta\n") + pg('c', ""), `1\ta`},
		{server, pg('Q', "select 1\x00"), ""}, // the other side's
		{client, pg('C', "BEGIN\x00"), ""},
		{client, pg('Q', "select 1"), ""},
		{client, pg('Q', "select 1\x00") + "\x00", "query select 1..."},
		{client, pg('S', "")[:4] + "\x05", ""},
		{server, pg('D', "\x00\x02\x00\x00\x00\x011"), ""},
		{server, pg('Z', "I"), ""}, // says nothing

		{client, my(0, "\x03select 1"), "query select 1"},
		{client, my(0, "\x16SELECT ?"), "prepare SELECT ?"},
		{client, my(0, "\x03selected text"), ""},
		{client, my(1, "\x03select 1"), ""},
		{client, my(0, "\x03select 1") + "x", ""},
		{server, my(0, "\x03select 1"), ""},
		{server, my(1, "\xff\x7a\x04#42S02no\x1b"), ""},
		{server, my(1, "\xff\x7a\x04#42S02no such table"), "error 1146 (42S02): no such table"},
		{server, my(0, "\x0a10.11.2-MariaDB\x00"+strings.Repeat("x", 40)), "server version 10.11.2-MariaDB"},

		{client, "", ""},
		{client, "GET / HTTP/1.1\r\n", ""},
		{client, "Quite a lot of text, with its length at no place", ""},
	} {
		if got := said(tt.role, tt.payload); got != tt.want {
			t.Errorf("%s of %q:\ngot  %q\nwant %q", tt.role, tt.payload, got, tt.want)
		}
	}
}

// TestSayingRandom: what is not one of the protocols is not taken for one,
// even if it begins as they do.
func TestSayingRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 101))
	for range 200_000 {
		payload := make([]byte, 4+r.IntN(60))
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 {
			payload[0] = "*%~>$lBQPBEDCSHXpdcRKTZAN123nsIG"[r.IntN(31)]
		}
		for role := range pcapng.RoleServer + 1 {
			if got := said(role, string(payload)); got != "" {
				t.Fatalf("%s of %q is %q", role, payload, got)
			}
		}
	}
}

// TestSayingOthers: in the captures of real programs, a protocol is seen only
// where it is spoken.
func TestSayingOthers(t *testing.T) {
	speaks := []string{"dbus", "mariadb", "postgres", "redis"}
	files, err := filepath.Glob("../../testdata/capture/*.pcapng")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range decode(t, file) {
			text, ok := appendSaying(nil, &p)
			if !ok || p.Event != pcapng.EventData {
				continue
			}
			n++
			if n == 1 && !slices.Contains(speaks, strings.TrimSuffix(filepath.Base(name), ".pcapng")) {
				t.Errorf("%s: %s takes %.80q for %q", name, p.Sender.Comm, p.Data, text)
			}
		}
		if n == 0 && slices.Contains(speaks, strings.TrimSuffix(filepath.Base(name), ".pcapng")) {
			t.Errorf("%s: nothing was recognised", name)
		}
	}
}

// FuzzSaying: whatever a payload is, what is said of it is safe, short, and of
// one line.
func FuzzSaying(f *testing.F) {
	for _, s := range []string{
		"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n", pg('Q', "select 1\x00"), pg('D', "\x00\x01\x00\x00\x00\x011") + pg('C', "SELECT 1\x00"),
		my(0, "\x03select 1"), my(1, "\xff\x7a\x04#42S02no such table"), "\x00\x00\x00\x1c\x00\x03\x00\x00user\x00ann\x00database\x00\x00\x00",
		bus(1, 7, "\x05\x00\x00\x00org.x\x00", "\x01o/a", "\x02sa.b", "\x03sDo", "\x08gs"),
	} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, role uint8) {
		p := pcapng.Packet{Event: pcapng.EventData, Role: pcapng.Role(role % 3), Len: uint32(len(data)), Data: data}
		text, ok := appendSaying(nil, &p)
		if !ok && len(text) > 0 {
			t.Errorf("%q: not recognised, yet %q", data, text)
		}
		if !safe(string(text), false) {
			t.Errorf("%q: %q is not safe", data, text)
		}
		if len(text) > 20*excerptWidth {
			t.Errorf("%q: %d bytes", data, len(text))
		}
	})
}
