package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

func printAll(pr printer, packets []pcapng.Packet) string {
	pr.times.zone = time.UTC
	var text []byte
	for i := range packets {
		text = pr.append(text, &packets[i])
	}
	return string(text)
}

// maxLine is how long the default line can get: times, names and an excerpt of
// characters each of which is escaped.
const maxLine = 2000

// TestLongestLine: whatever is in a file, no line of text gets longer than a
// person can bear.
func TestLongestLine(t *testing.T) {
	evil := strings.Repeat("\x1b\U000e0001", 9_000)
	longest := 0
	for _, payload := range []string{
		evil, "GET /" + evil, strings.Repeat("word\x01", 9_000),
		"*1000\r\n" + strings.Repeat("$-1\r\n", 1000), strings.Repeat("*0\r\n", 1000), "*3\r\n$9000\r\n" + evil,
		"*1000\r\n" + strings.Repeat("$1\r\n\x1b\r\n", 1000), "~1000\r\n" + strings.Repeat("_\r\n", 1000),
		strings.Repeat(pg('S', ""), 1000), pg('Q', "select "+evil), pg('D', "\x03\xe8"+strings.Repeat("\xff\xff\xff\xff", 1000)),
		my(0, "\x03select "+evil), strings.Repeat(bus(1, 7, "\x05\x00\x00\x00\x1b[2J\x1b\x00", "\x01o/a", "\x02sa.b", "\x03sDo", "\x08gs"), 50),
	} {
		for role := range pcapng.RoleServer + 1 {
			p := pcapng.Packet{
				Event: pcapng.EventData, Type: 255, Role: role, Path: evil, Len: uint32(len(payload)), Data: []byte(payload),
				Sender: pcapng.Endpoint{PID: 1<<32 - 1, Comm: evil}, Peer: pcapng.Endpoint{PID: 1<<32 - 1, Comm: evil},
				DropCount: 1<<64 - 1, Lost: 1<<64 - 1, Skipped: 1<<64 - 1, FDCount: 1<<32 - 1, Truncated: true,
				Stamp: pcapng.StampWaiting, Uncertain: pcapng.UncertainSender | pcapng.UncertainOrder,
			}
			line := printAll(printer{format: formatText, numbers: true, times: timestamps{style: dateAndTime, digits: 9}}, []pcapng.Packet{p})
			if longest = max(longest, len(line)); len(line) > maxLine || strings.Count(line, "\n") != 1 {
				t.Errorf("%.40q of role %d: %d bytes in %d lines: %.400q", payload, role, len(line), strings.Count(line, "\n"), line)
			}
		}
	}
	t.Logf("the longest line has %d bytes", longest)
}

// TestLine holds the lines of everything odd, word for word.
func TestLine(t *testing.T) {
	const bus = "busctl[4099] > dbus-daemon[611] /run/dbus/system_bus_socket stream "
	const evil = `"x[1] > \x1b[2J"[666] > "x[1] > \x1b[2J"[666] "/tmp/a b\n06:29:35.824132 c > d" stream length 36: `
	want := []string{
		bus + "length 96: .. /org/freedesktop/DBus .. org.freedesktop.DBus .. Hello",
		bus + "length 4",
		bus + "length 10 [2 fds]: with files",
		bus + "length 100 [17 captured]: 01234567890123456",
		bus + "length 12 [3 packets lost before] [4096 bytes lost before]: after a hole",
		bus + "length 16 [101 bytes skipped before]: after the filter",
		"busctl[4099] > ? /run/dbus/system_bus_socket stream length 12 [waiting]: nobody reads",
		"?[4099] > dbus-daemon[?] /run/dbus/system_bus_socket stream length 10 [sender uncertain] [order uncertain]: who was it",
		bus + "length 207: " + strings.Repeat("ä", 80) + "...",
		evil + `{"a": "\n"}\ttab`,
		`busctl[4099] > dbus-daemon[611] "@\x00\x9babstract" stream length 25: .. [31mred .. [0m and  .. back`,
		"busctl[4099] > dbus-daemon[611] /run/systemd/journal/dev-log dgram length 30: <14>Nov 24 06:29:35 me: hello",
		"busctl[4099] > dbus-daemon[611] ./@here dgram length 0",
		"busctl[4099] > dbus-daemon[611] (unnamed) seqpacket length 4: pair",
		"busctl[4099] > ? /run/dbus/system_bus_socket stream refused ECONNREFUSED",
		"busctl[4099] > ? /run/dbus/system_bus_socket stream refused errno 9999",
		"",
	}
	got := strings.Split(printAll(printer{format: formatText, times: timestamps{style: noTime, digits: 6}}, oddPackets()), "\n")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("lines of oddPackets (-want +got):\n%s", d)
	}
}

func TestTimestamps(t *testing.T) {
	times := []time.Time{at(0), at(51), at(2_000_877), at(2_000_876), at(90_000_000_000)}
	for style, want := range map[timeStyle][]string{
		timeOfDay:     {"06:29:35.824123 ", "06:29:35.824174 ", "06:29:37.825000 ", "06:29:37.824999 ", "07:29:35.824123 "},
		noTime:        {"", "", "", "", ""},
		sinceEpoch:    {"1795501775.824123 ", "1795501775.824174 ", "1795501777.825000 ", "1795501777.824999 ", "1795591775.824123 "},
		sincePrevious: {" 00:00:00.000000 ", " 00:00:00.000051 ", " 00:00:02.000826 ", "-00:00:00.000001 ", " 24:59:57.999124 "},
		dateAndTime:   {"2026-11-24 06:29:35.824123 ", "2026-11-24 06:29:35.824174 ", "2026-11-24 06:29:37.825000 ", "2026-11-24 06:29:37.824999 ", "2026-11-25 07:29:35.824123 "},
		sinceFirst:    {" 00:00:00.000000 ", " 00:00:00.000051 ", " 00:00:02.000877 ", " 00:00:02.000876 ", " 25:00:00.000000 "},
	} {
		s := timestamps{style: style, zone: time.UTC, digits: 6}
		var got []string
		for _, tt := range times {
			got = append(got, string(s.append(nil, tt)))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("style %d (-want +got):\n%s", style, d)
		}
	}
	s := timestamps{zone: time.FixedZone("east", 5*3600+1800), digits: 3}
	if got, want := string(s.append(nil, at(999))), "11:59:35.825 "; got != want {
		t.Errorf("in another zone: %q, want %q", got, want)
	}
}

// TestHexLayouts compares with what tcpdump and sockdump print.
func TestHexLayouts(t *testing.T) {
	payload := []byte("HEAD /_ping HTTP/1.1\r\n\x7f")
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"tcpdump -x", appendHex(nil, payload, false),
			"\t0x0000:  4845 4144 202f 5f70 696e 6720 4854 5450\n\t0x0010:  2f31 2e31 0d0a 7f\n"},
		{"tcpdump -X", appendHex(nil, payload, true),
			"\t0x0000:  4845 4144 202f 5f70 696e 6720 4854 5450  HEAD./_ping.HTTP\n" +
				"\t0x0010:  2f31 2e31 0d0a 7f                        /1.1...\n"},
		{"sockdump hex", appendHexColumns(nil, payload),
			"0000  48 45 41 44 20 2f 5f 70  69 6e 67 20 48 54 54 50  HEAD /_ping HTTP\n" +
				"0010  2f 31 2e 31 0d 0a 7f                              /1.1...\n"},
		{"sockdump hexstring", appendHexString(nil, payload[:3]), `\x48\x45\x41` + "\n"},
		{"offset", appendOffset(nil, 0x3ffff), "3ffff"},
		{"tcpdump -A", appendDots(nil, []byte("a\r\nb\rc\x1b\n\xc3\xa4\xc3\u202e")), "a\nb.c.\n\xc3\xa4....\n"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, tt.got, tt.want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	for payload, want := range map[string]string{
		"":                                "",
		"\n\r\n":                          "",
		"\r\nchunk\r\n":                   ": chunk",
		"one\ntwo":                        ": one",
		"\xff\xfe\xfd":                    "",
		"*1\r\n$4\r\nPING\r\n":            ": *1",
		"Q\x00\x00\x00\x0dSELECT 1;\x00":  ": .. SELECT 1;",
		"\x00abc\x00abcd\x00":             ": .. abcd",
		"\x00" + strings.Repeat("x", 80):  ": .. " + strings.Repeat("x", 80),
		"\x00" + strings.Repeat("x", 81):  ": .. " + strings.Repeat("x", 80) + "...",
		strings.Repeat("y", 80) + "\n":    ": " + strings.Repeat("y", 80),
		strings.Repeat("y", 81):           ": " + strings.Repeat("y", 80) + "...",
		strings.Repeat("\U0001f600", 200): ": " + strings.Repeat("\U0001f600", 80) + "...",
		"\ufffd fine":                     ": \ufffd fine",
	} {
		if got := string(appendExcerpt(nil, []byte(payload))); got != want {
			t.Errorf("excerpt of %q = %q, want %q", payload, got, want)
		}
	}
}

// printers are all the ways to print.
func printers() map[string]printer {
	six, three := timestamps{digits: 6}, timestamps{digits: 3}
	return map[string]printer{
		"text":      {format: formatText, times: six},
		"quiet":     {format: formatText, times: six, quiet: true},
		"ascii":     {format: formatText, times: six, dump: dumpText},
		"hex":       {format: formatText, times: six, dump: dumpHex},
		"hextext":   {format: formatText, times: six, dump: dumpHexText},
		"record":    {format: formatText, times: six, dump: dumpHexText, record: true},
		"string":    {format: formatString, times: three},
		"dumphex":   {format: formatHex, times: three},
		"hexstring": {format: formatHexString, times: three},
		"json":      {format: formatJSON},
		"verbose":   {format: formatText, times: timestamps{digits: 9}, ids: true, verbose: 2, numbers: true},
	}
}

// FuzzPrint: whatever a packet holds, each format writes whole lines that no
// terminal acts on, and the default line keeps its words.
func FuzzPrint(f *testing.F) {
	for _, p := range oddPackets() {
		f.Add(uint8(p.Event), p.Sender.PID, p.Sender.Comm, p.Peer.Comm, p.Path, p.Data, p.Lost, p.Errno)
	}
	f.Fuzz(func(t *testing.T, event uint8, pid uint32, comm, peer, path string, data []byte, lost uint64, errno uint32) {
		p := message(0, endpoint(comm, pid), endpoint(peer, 8), path, string(data))
		p.Event, p.Lost, p.Errno = pcapng.Event(event), lost, errno
		for name, pr := range printers() {
			text := printAll(pr, []pcapng.Packet{p})
			if !safe(text, true) {
				t.Errorf("%s: %q is not safe", name, text)
			}
			if text != "" && !strings.HasSuffix(text, "\n") {
				t.Errorf("%s: %q does not end its line", name, text)
			}
			if (name == "text" || name == "quiet") && strings.Count(text, "\n") > 1 {
				t.Errorf("%s: %q is more than one line", name, text)
			}
			pr.color = true
			if got, ended := plain(printAll(pr, []pcapng.Packet{p})); got != text || !ended {
				t.Errorf("%s: with colors, which are ended: %v, it is %q, else %q", name, ended, got, text)
			}
			if name == "json" {
				parseJSON(t, []byte(text))
			}
		}
	})
}

func TestPrintDoesNotAllocate(t *testing.T) {
	packets := append(httpPackets(), oddPackets()...)
	for _, name := range []string{"dbus", "mariadb", "postgres", "redis"} {
		file, err := os.ReadFile("../../testdata/capture/" + name + ".pcapng")
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, decode(t, file)...)
	}
	for name, pr := range printers() {
		pr.times.zone = time.UTC
		dst := make([]byte, 0, 1<<20)
		n := testing.AllocsPerRun(7, func() {
			for i := range packets {
				pr.append(dst, &packets[i])
			}
		})
		if n != 0 {
			t.Errorf("%s: %d packets allocate %v times", name, len(packets), n)
		}
	}
}

func BenchmarkPrint(b *testing.B) {
	packets := httpPackets()
	for name, pr := range printers() {
		b.Run(name, func(b *testing.B) {
			pr.times.zone = time.Local
			dst := make([]byte, 0, 64<<10)
			b.ReportAllocs()
			for i := range b.N {
				dst = pr.append(dst[:0], &packets[i%len(packets)])
			}
		})
	}
}

// TestDetails holds what -vv says of a packet with every field.
func TestDetails(t *testing.T) {
	p := fullPacket()
	want := []string{
		`    server to client, connection 18446744073709551615, offset 10, message 11 of 1013 bytes, continued, more of it follows,` +
			` read by r[17] thread [18] after 3.000000041 s, own time 0.000002000 s before`,
		`    command "a  -b c \xfe\"", pid in its namespace 22`,
		`    descriptor 19 file "/\xfftc", descriptor ? memfd m, descriptor 0 99`,
		`    held by "h\xff"[22] and j[25], peer held by i[24]`,
		`    sender uid 3 gid 4 inode 9223372036854775808 thread "t\xfe"[2], exe "/bin/\xfe", cgroup "/c\xfe", container "d\xfe", container name "n\xfe", pod "p\xfe",` +
			` unit "u\xfe", netns 4026531840, time when read, credentials pid 20 uid 0 gid 21, security id 22`,
		`    peer uid 7 gid 8 inode 9 thread p[6], exe "/pe\xfe", cgroup "/pc\xfe", container "pd\xfe", container name "pn\xfe", pod "pp\xfe", unit "pu\xfe"`,
		"",
	}
	if d := cmp.Diff(want, strings.Split(string(appendDetails(nil, &p, true, true)), "\n")); d != "" {
		t.Errorf("-vv (-want +got):\n%s", d)
	}
	p = pcapng.Packet{Event: pcapng.EventSnapshot, Role: pcapng.RoleServer, State: pcapng.StateConnected, ConnID: 7, MessageLen: pcapng.Unknown}
	if got, want := string(appendDetails(nil, &p, true, false)), "    the server's socket, connection 7\n"; got != want {
		t.Errorf("-v of a snapshot: %q, want %q", got, want)
	}
	line := printer{format: formatText, times: timestamps{style: noTime}, verbose: 1}
	if got, want := string(line.appendLine(nil, &p)), "? > ? (unnamed) 0 snapshot connected\n"; got != want {
		t.Errorf("a snapshot: %q, want %q", got, want)
	}
	if line.verbose = 0; line.append(nil, &p) != nil {
		t.Error("a snapshot is shown without -v")
	}
	p = fullPacket()
	if got, want := string(appendIDs(nil, &p)), `uid 3 > 7 inode 9223372036854775808 > 9 thread "t\xfe"[2] > p[6] cgroup "/c\xfe" container "n\xfe" > "pn\xfe" `; got != want {
		t.Errorf("-e: %q, want %q", got, want)
	}
	p = pcapng.Packet{Event: pcapng.EventClose, Sender: pcapng.Endpoint{UID: pcapng.Unknown}}
	if got := string(appendDetails(nil, &p, true, true)); got != "" {
		t.Errorf("of a packet that says nothing: %q", got)
	}
}

// TestUTC: --utc, and without it the host's zone.
func TestUTC(t *testing.T) {
	for args, want := range map[string]string{
		"-tttt":       "2026-11-24 08:29:35.824123 docker[",
		"-tttt --utc": "2026-11-24 06:29:35.824123 docker[",
	} {
		h := testHost()
		h.zone = time.FixedZone("east", 2*3600)
		h.stderr = io.Discard
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		h.stdout = out
		if status := h.main(append(strings.Fields(args), "-r", "../../testdata/capture/http.pcapng")); status != 0 {
			t.Fatalf("%s: status %d", args, status)
		}
		if text, _ := os.ReadFile(out.Name()); !strings.HasPrefix(string(text), want) {
			t.Errorf("%s: %.60q, want %q...", args, text, want)
		}
	}
}

// TestCommandsOnce: what a process runs is told once, and again when that has
// changed, or its pid is another's in between; of very many they are forgotten.
func TestCommandsOnce(t *testing.T) {
	pr := printer{format: formatText, times: timestamps{style: noTime}, verbose: 1}
	says := func(pid uint32, cmdline string, nsPID uint32) bool {
		p := pcapng.Packet{Event: pcapng.EventData, Cmdline: cmdline, NSPID: nsPID, Sender: pcapng.Endpoint{PID: pid}}
		text := string(pr.append(nil, &p))
		return strings.Contains(text, "    command "+cmdline) || strings.Contains(text, "    pid in its namespace ")
	}
	for i, c := range []struct {
		pid     uint32
		cmdline string
		nsPID   uint32
		want    bool
	}{
		{7, "", 0, false}, {7, "one", 0, true}, {7, "one", 0, false}, {8, "one", 0, true}, {7, "two", 0, true}, {7, "two", 1, true},
		{7, "two", 1, false}, {8, "one", 0, false}, {7, "", 1, true}, {7, "one", 0, true},
	} {
		if got := says(c.pid, c.cmdline, c.nsPID); got != c.want {
			t.Errorf("%d: %+v: told %v", i, c, got)
		}
	}
	for pid := range uint32(3 * maxCommands) {
		if says(100+pid, "one", 0); len(pr.known.told) > maxCommands {
			t.Fatalf("%d are kept", len(pr.known.told))
		}
	}
	pr.verbose = 2
	for range 2 {
		if !says(7, "three", 0) {
			t.Error("-vv does not tell each time")
		}
	}
}
