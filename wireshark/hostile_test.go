package wireshark_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// raw writes records as they are, and checks that tshark reads them without
// Lua errors.
func (s *shark) raw(t *testing.T, name string, records ...[]byte) {
	t.Helper()
	var lens []uint32
	for _, r := range records {
		lens = append(lens, uint32(len(r)))
	}
	s.write(t, name, captureFile(records, lens, epoch))
	s.clean(t, name)
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"caf\u00e9 \u4e16\u754c \U0001f433":      "caf\u00e9 \u4e16\u754c \U0001f433",
		"a\x1b[31mb\nc\t\x07\x7f":                `a\x1b[31mb\x0ac\x09\x07\x7f`,
		"@\x00in\x00side\x00":                    `@\x00in\x00side\x00`,
		"\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80 x": `\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80 x`,
		"c1 \u009b31m":                           `c1 \xc2\x9b31m`,
		"right\u202eleft\u200b\u2066\ufeff":      `right\xe2\x80\xaeleft\xe2\x80\x8b\xe2\x81\xa6\xef\xbb\xbf`,
		"soft\u00ad arabic\u061c tag\U000e0041":  `soft\xc2\xad arabic\xd8\x9c tag\xf3\xa0\x81\x81`,
		"%s%n%d {x} \\x41":                       `%s%n%d {x} \x41`,
		"cut \xe4\xb8":                           `cut \xe4\xb8`,
		strings.Repeat("\x01", 4096):             strings.Repeat(`\x01`, 4096)[:4096*4],
	}
	var packets []pcapng.Packet
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p := full()
		p.Path, p.Sender.Comm, p.Peer.Comm, p.Sender.Thread, p.Exe, p.Unit = name, name, name, name, name, name
		p.Cmdline, p.ContainerName, p.PeerPlace.Exe, p.PeerPlace.Pod = name, name, name, name
		p.Peer.Thread, p.Reader.Comm, p.FDs[0].Name = name, name, name
		packets = append(packets, p)
	}
	s := newShark(t)
	s.capture(t, "names.pcapng", packets...)
	for i, got := range s.fields(t, "names.pcapng", "sockcap.") {
		name := packets[i].Path
		got["sockcap.fd.name"] = got["sockcap.fd.name"][:1]
		for _, field := range []string{"path", "comm", "peer.comm", "thread", "exe", "unit", "reader.comm", "fd.name"} {
			if d := cmp.Diff([]string{names[name]}, got["sockcap."+field]); d != "" {
				t.Errorf("%s of %q (-want +got):\n%s", field, name, d)
			}
		}
	}
	for _, args := range [][]string{{}, {"-V"}, {"-T", "fields", "-e", "sockcap.comm", "-e", "sockcap.path"}} {
		out := s.run(t, append([]string{"-r", s.path("names.pcapng")}, args...)...)
		if i := strings.IndexFunc(out, unsafeRune); i >= 0 || !utf8.ValidString(out) {
			t.Errorf("%q: unsafe bytes at %d: %.200q", args, i, out[max(0, i):])
		}
	}
}

func unsafeRune(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
}

func TestAnomaliesAreExperts(t *testing.T) {
	t.Parallel()
	p := full()
	p.Uncertain, p.Truncated, p.Continued, p.Lost, p.Skipped, p.Data = 0, false, false, 0, 0, []byte("12345")
	good := appendRecord(nil, &p)
	head := len(good) - len(p.Data)
	edit := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	put16 := func(at int, v uint16) []byte {
		return edit(func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], v); return b })
	}
	oddNamespace := append(append([]byte(nil), good[:88]...), 0, 12, 0, 3, 1, 2, 3)
	binary.BigEndian.PutUint16(oddNamespace[2:], uint16(len(oddNamespace)))
	binary.BigEndian.PutUint32(oddNamespace[80:], 0)
	cases := []struct{ expert, says, record string }{
		{"short", "87 of 88 bytes", string(good[:87])},
		{"short", "1 of 88 bytes", string(good[:1])},
		{"header_length", "header length 87", string(put16(2, 87))},
		{"header_length", fmt.Sprintf("header length %d", len(good)+1), string(put16(2, uint16(len(good)+1)))},
		{"version", "version 2", string(edit(func(b []byte) []byte { b[0] = 2; return b }))},
		{"event", "event 42", string(edit(func(b []byte) []byte { b[1] = 42; return b }))},
		{"option", "option 1 has 65535 bytes", string(put16(90, 65535))},
		{"option", "3 bytes left", string(put16(2, 91))},
		{"option", "Error: 3 bytes, should be 4", string(edit(func(b []byte) []byte {
			b = append(b[:88:88], 0, 11, 0, 3, 1, 2, 3)
			b[3], b[2] = 95, 0
			return b
		}))},
		{"option", "Network namespace: 3 bytes", string(oddNamespace)},
		{"option", "Network namespace: 3 bytes", string(oddNamespace)}, // seen before, and damaged still
		{"truncated", "4 of 5 bytes", string(good[:head+4])},
		{"truncated", "5 of 5 bytes", string(put16(6, 1))},
		{"length", "6 bytes of payload, the record stands for 5", string(good) + "6"},
		{"uncertain", "which task", string(put16(6, 2))},
		{"uncertain", "order", string(put16(6, 4))},
		{"continued", "later piece", string(put16(6, 8))},
	}
	s := newShark(t)
	records := [][]byte{good}
	for _, c := range cases {
		records = append(records, []byte(c.record))
	}
	s.raw(t, "odd.pcapng", records...)
	for i, got := range s.fields(t, "odd.pcapng", "") {
		if i == 0 {
			if d := cmp.Diff([]string{"3 passed"}, got["_ws.expert.message"]); d != "" { // its descriptors
				t.Errorf("experts for a record without fault (-want +got):\n%s", d)
			}
			continue
		}
		c := cases[i-1]
		if _, found := got["sockcap.expert."+c.expert]; !found {
			t.Errorf("record %d: no sockcap.expert.%s (%s)", i+1, c.expert, c.says)
		}
		if says := got["_ws.expert.message"]; !strings.Contains(strings.Join(says, "; "), c.says) {
			t.Errorf("record %d: %q, want %q", i+1, says, c.says)
		}
	}
}

func TestUnknownWordsShowTheirNumber(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	p := full()
	p.Event, p.Type, p.Role, p.Stamp, p.FDs[0].Kind = 42, 9, 7, 3, 200
	s.capture(t, "words.pcapng", p)
	got := s.fields(t, "words.pcapng", "sockcap.")[0]
	for name, want := range map[string]string{"event": "42", "type": "9", "role": "7", "stamp": "3", "fd.kind": "200"} {
		if v := got["sockcap."+name]; len(v) == 0 || v[0] != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
}

// An option that this dissector does not know is skipped, nothing else.
func TestUnknownOptionIsSkipped(t *testing.T) {
	t.Parallel()
	p := full()
	r := appendRecord(nil, &p)
	head := binary.BigEndian.Uint16(r[2:])
	options := append([]byte{0xff, 0xfe, 0, 3, 1, 2, 3, 0, 99, 0, 0}, r[88:]...)
	r = append(r[:88:88], options...)
	binary.BigEndian.PutUint16(r[2:], head+11)
	s := newShark(t)
	s.raw(t, "option.pcapng", r)
	got := s.fields(t, "option.pcapng", "sockcap.")[0]
	normalize(got)
	delete(got, "sockcap.stream") // not in the record
	if d := cmp.Diff(want(&p), got); d != "" {
		t.Errorf("fields (-Go +Wireshark):\n%s", d)
	}
}

// Wireshark breaks off at 500 dissectors in a packet.
func TestManyMessagesInOneRecord(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	var packets []pcapng.Packet
	for i, path := range []string{"/run/openvswitch/db.sock", "/run/dbus/system_bus_socket", "/tmp/ssh-x/agent.1"} {
		c := converse(path, uint64(i+1))
		c.send(client, bytes.Repeat([][]byte{[]byte("{}"), dbusCall(1, "Hello"), []byte("\x00\x00\x00\x01\x0b")}[i], 1009), large)
		packets = append(packets, c.packets...)
	}
	s.capture(t, "many.pcapng", packets...)
	s.run(t, "-r", s.path("many.pcapng"), "-V")
	for filter, want := range map[string]int{"json": 1, `dbus.member == "Hello"`: 1, "sockcap_ssh_agent": 1, "data": 2} {
		if n := s.count(t, "many.pcapng", filter); n != want {
			t.Errorf("%s: %d records, want %d", filter, n, want)
		}
	}
}

// The link type is for everybody's own use: who has said what it means to them
// keeps that, for all that can't be a record of ours.
func TestUserLinkTypeIsShared(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	s.raw(t, "other.pcapng", []byte(`{"a": 1}`+strings.Repeat(" ", 99)))
	const dlt = `uat:user_dlts:"User 0 (DLT=147)","json","0","","0",""`
	if out := s.run(t, "-r", s.path("other.pcapng"), "-o", dlt, "-Y", "json.key == \"a\""); out == "" {
		t.Errorf("not shown as what the user says:\n%s", s.run(t, "-r", s.path("other.pcapng"), "-o", dlt))
	}
}

// In a large pid namespace pids have 22 bits: two of them are more than fit
// exactly into Lua 5.2's numbers if one takes 32.
func TestLargePids(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	c := converse("/run/x", 1)
	for _, pid := range []uint32{1000, 1001, 1<<22 - 1, 1<<32 - 1} {
		c.client.PID, c.server.PID = 1<<22-1, pid
		c.send(client, []byte("x"), large)
	}
	s.capture(t, "pids.pcapng", c.packets...)
	var got []string
	for _, row := range s.columns(t, "pids.pcapng") {
		got = append(got, row[0]+" "+row[1])
	}
	want := []string{"docker[4194303] dockerd[1000]", "docker[4194303] dockerd[1001]", "docker[4194303] dockerd[4194303]",
		"docker[4194303] dockerd[4294967295]"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
}

// Any payload whatever is data to be shown, in pieces of any size.
func TestAnyPayloadIsDissected(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	var packets []pcapng.Packet
	for i, path := range []string{"/run/docker.sock", "/run/dbus/system_bus_socket", "/run/containerd/containerd.sock",
		"/run/postgresql/.s.PGSQL.5432", "/unknown"} {
		c := converse(path, uint64(i+1))
		c.send(client, noise(999), 7)
		c.send(server, noise(9999), 101)
		packets = append(packets, c.packets...)
	}
	s.capture(t, "noise.pcapng", packets...)
	if n := s.count(t, "noise.pcapng", "sockcap.data"); n != len(packets) {
		t.Errorf("%d records with data, want %d", n, len(packets))
	}
}
