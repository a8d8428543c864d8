package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sockcap/sockcap/pcapng"
)

// fullPacket has every field, and no two numbers the same.
func fullPacket() pcapng.Packet {
	return pcapng.Packet{
		Time: at(101), OwnTime: at(99), Event: pcapng.EventData, Type: pcapng.SeqPacket, Role: pcapng.RoleServer,
		Stamp: pcapng.StampRead, Uncertain: pcapng.UncertainOrder, Truncated: true, Continued: true, More: true,
		Sender: pcapng.Endpoint{PID: 1, TID: 2, UID: 3, GID: 4, Inode: 1 << 63, Comm: "a\xffb", Thread: "t\xfe"},
		Peer:   pcapng.Endpoint{PID: 5, TID: 6, UID: 7, GID: 8, Inode: 9, Comm: "\xc3\xa4\U0001f600\\x", Thread: "p"},
		Path:   "@\x00\xff\u202e\U000e0001\"", ConnID: 1<<64 - 1, Offset: 10, Message: 11, Len: 1012, MessageLen: 1013,
		Lost: 14, Skipped: 15, DropCount: 16, Reader: &pcapng.Endpoint{PID: 17, TID: 18, Comm: "r"}, Latency: 3*time.Second + 41,
		Errno: 13, NetNS: 4026531840, FDCount: 4,
		FDs: []pcapng.FD{
			{Num: 19, Kind: pcapng.FDFile, Name: "/\xfftc"}, {Num: pcapng.Unknown, Kind: pcapng.FDMemfd, Name: "m"}, {Num: 0, Kind: 99},
		},
		Cred: &pcapng.Cred{PID: 20, UID: 0, GID: 21}, SecID: 22, State: pcapng.StateListening,
		Holders: []pcapng.Holder{{PID: 22, UID: 0, GID: 23, Comm: "h\xff"}, {PID: 25, UID: 26, GID: 27, Comm: "j"}, {Peer: true, PID: 24, UID: pcapng.Unknown, GID: pcapng.Unknown, Comm: "i"}},
		Exe:     "/bin/\xfe", Cgroup: "/c\xfe", Container: "d\xfe", Pod: "p\xfe", Unit: "u\xfe",
		ContainerName: "n\xfe", NSPID: 22, Cmdline: "a\x00\x00-b c\x00\xfe\"",
		PeerPlace: pcapng.Place{Exe: "/pe\xfe", Cgroup: "/pc\xfe", Container: "pd\xfe", ContainerName: "pn\xfe", Pod: "pp\xfe", Unit: "pu\xfe"},
		Data:      []byte("\x00\x1b\x7f\u009b\n"),
	}
}

// TestJSON: an independent parser gets out of a line all that was in the
// packet, of the odd packets and of what real programs say.
func TestJSON(t *testing.T) {
	packets := append(oddPackets(), fullPacket())
	files, err := filepath.Glob("../../testdata/capture/*.pcapng")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, decode(t, file)...)
	}
	known := new(printedJSONEnds) // of one packet for the next
	for i := range packets {
		p := &packets[i]
		line := appendJSON(nil, p, "", known)
		fields := parseJSON(t, line)
		got := packetOf(t, fields)
		if d := cmp.Diff(*p, got, cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)); d != "" {
			t.Fatalf("%s (-printed +parsed):\n%s", line, d)
		}
		if p.Event == pcapng.EventData && utf8.Valid(p.Data) != (fields["text"] != nil) {
			t.Errorf("%s: text is there if and only if the payload is UTF-8", line)
		}
		if text, ok := fields["text"].(string); ok && text != string(p.Data) {
			t.Errorf("text is %q, the payload %q", text, p.Data)
		}
	}
}

// parseJSON is a line's fields, numbers as json.Number. A key must not repeat.
func parseJSON(t *testing.T, line []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if n := strings.Count(string(line), "\n"); n != 1 || line[len(line)-1] != '\n' {
		t.Fatalf("%q is %d lines", line, n)
	}
	return fields
}

// packetOf builds the packet that fields tell of, by JSON.md.
func packetOf(t *testing.T, fields map[string]any) pcapng.Packet {
	t.Helper()
	left := maps.Clone(fields)
	take := func(key string) any { v := left[key]; delete(left, key); return v }
	number := func(key string, unknown uint64) uint64 {
		v, ok := take(key).(json.Number)
		if !ok {
			return unknown
		}
		n, err := strconv.ParseUint(v.String(), 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return n
	}
	number32 := func(key string, unknown uint32) uint32 { return uint32(number(key, uint64(unknown))) }
	bytes := func(v any) string {
		b, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	name := func(key string) string {
		text, _ := take(key).(string)
		if raw := take(key + "_raw"); raw != nil {
			return bytes(raw)
		}
		return text
	}
	arguments := func(key string) string {
		list, _ := take(key).([]any)
		raw, _ := take(key + "_raw").([]any)
		text := make([]string, len(list))
		for i, v := range list {
			if text[i] = v.(string); raw != nil && raw[i] != nil {
				text[i] = bytes(raw[i])
			}
		}
		return strings.Join(text, "\x00")
	}
	moment := func(key string) (tt time.Time) {
		if v := take(key); v != nil {
			var err error
			if tt, err = time.Parse("2006-01-02T15:04:05.000000000Z", v.(string)); err != nil {
				t.Fatal(err)
			}
		}
		return tt
	}
	is := func(key string) bool { return take(key) == true }
	endpoint := func(prefix string) pcapng.Endpoint {
		return pcapng.Endpoint{
			PID: number32(prefix+"pid", 0), TID: number32(prefix+"tid", 0),
			UID: number32(prefix+"uid", pcapng.Unknown), GID: number32(prefix+"gid", pcapng.Unknown),
			Inode: number(prefix+"inode", 0), Comm: name(prefix + "comm"), Thread: name(prefix + "thread"),
		}
	}
	p := pcapng.Packet{
		Time: moment("time"), OwnTime: moment("own_time"),
		Event: named[pcapng.Event](take("event")), Type: named[pcapng.SocketType](take("type")),
		Role: named[pcapng.Role](take("role")), Stamp: named[pcapng.Stamp](take("stamp")),
		Truncated: is("truncated"), Continued: is("continued"), More: is("more"),
		Sender: endpoint(""), Peer: endpoint("peer."), Path: name("path"),
		ConnID: number("connid", 0), Offset: number("offset", 0), Message: number("message", 0),
		Len: number32("len", 0), MessageLen: number32("message.len", pcapng.Unknown),
		Lost: number("lost", 0), Skipped: number("skipped", 0), DropCount: number("drop_count", 0),
		Errno: number32("errno", 0), NetNS: number32("netns", 0), FDCount: number32("fd.count", 0),
		Exe: name("exe"), Cgroup: name("cgroup"), Container: name("container"), Pod: name("pod"), Unit: name("unit"),
		ContainerName: name("container.name"), NSPID: number32("ns.pid", 0), Cmdline: arguments("cmdline"),
		PeerPlace: pcapng.Place{
			Exe: name("peer.exe"), Cgroup: name("peer.cgroup"), Container: name("peer.container"),
			ContainerName: name("peer.container.name"), Pod: name("peer.pod"), Unit: name("peer.unit"),
		},
	}
	if p.Event != pcapng.EventData {
		p.MessageLen = 0 // says nothing there
	}
	words, _ := take("uncertain").([]any)
	for _, w := range words {
		p.Uncertain |= map[any]pcapng.Uncertain{"sender": pcapng.UncertainSender, "order": pcapng.UncertainOrder}[w]
	}
	if r := (pcapng.Endpoint{PID: number32("reader.pid", 0), TID: number32("reader.tid", 0), Comm: name("reader.comm")}); r.PID != 0 {
		p.Reader = &r
	}
	if v, ok := take("latency").(json.Number); ok {
		var err error
		if p.Latency, err = time.ParseDuration(v.String() + "s"); err != nil {
			t.Fatal(err)
		}
	}
	if fields["cred.pid"] != nil {
		p.Cred = &pcapng.Cred{PID: number32("cred.pid", 0), UID: number32("cred.uid", 0), GID: number32("cred.gid", 0)}
	}
	p.SecID = number32("secid", 0)
	nums, _ := take("fd.num").([]any)
	kinds, _ := take("fd.kind").([]any)
	names, _ := take("fd.name").([]any)
	raws, _ := take("fd.name_raw").([]any)
	for i, n := range nums {
		fd := pcapng.FD{Num: pcapng.Unknown, Kind: named[pcapng.FDKind](kinds[i]), Name: names[i].(string)}
		if n != nil {
			i, _ := n.(json.Number).Int64()
			fd.Num = uint32(i)
		}
		if raws != nil && raws[i] != nil {
			fd.Name = bytes(raws[i])
		}
		p.FDs = append(p.FDs, fd)
	}
	if w := take("state"); w != nil {
		p.State = named[pcapng.State](w)
	}
	p.Holders = holdersOf(t, take)
	if data := take("data"); data != nil {
		p.Data = []byte(bytes(data))
	}
	if uint64(len(p.Data)) != number("caplen", 0) {
		t.Errorf("caplen is not that of %q", p.Data)
	}
	delete(left, "text")
	delete(left, "error")
	if len(left) > 0 {
		t.Errorf("keys that nobody expects: %v", left)
	}
	return p
}

// holdersOf builds the holders of a snapshot.
func holdersOf(t *testing.T, take func(string) any) (holders []pcapng.Holder) {
	t.Helper()
	list := make(map[string][]any)
	for _, key := range []string{"end", "pid", "uid", "gid", "comm", "comm_raw"} {
		list[key], _ = take("holder." + key).([]any)
	}
	id := func(v any) uint32 {
		if v == nil {
			return pcapng.Unknown
		}
		n, err := v.(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	for i, end := range list["end"] {
		h := pcapng.Holder{Peer: end == "peer", PID: id(list["pid"][i]), UID: id(list["uid"][i]), GID: id(list["gid"][i]), Comm: list["comm"][i].(string)}
		if raw := list["comm_raw"]; raw != nil && raw[i] != nil {
			b, err := base64.StdEncoding.DecodeString(raw[i].(string))
			if err != nil {
				t.Fatal(err)
			}
			h.Comm = string(b)
		}
		holders = append(holders, h)
	}
	return holders
}

// named is the number whose word is v.
func named[T interface {
	~uint8
	fmt.Stringer
}](v any) T {
	for n := range 256 {
		if T(n).String() == v {
			return T(n)
		}
	}
	return 0
}

// TestJSONDocument: JSON.md has the keys that there are, and no others.
func TestJSONDocument(t *testing.T) {
	p := fullPacket()
	printed := parseJSON(t, appendJSON(nil, &p, "web-1", new(printedJSONEnds)))
	p.Data = []byte("text")
	maps.Copy(printed, parseJSON(t, appendJSON(nil, &p, "", new(printedJSONEnds))))
	expectDocumented(t, "# sockcap --json", printed, "fd.name_raw", "holder.comm_raw", "cmdline_raw")
}

// expectDocumented compares the keys of an object with those in the tables of
// a chapter of JSON.md. Of _raw beside a name it knows without being told.
func expectDocumented(t *testing.T, chapter string, printed map[string]any, rawKeys ...string) {
	t.Helper()
	page, err := os.ReadFile("JSON.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut("\n"+string(page), "\n"+chapter+"\n")
	if !found {
		t.Fatalf("JSON.md has no chapter %q", chapter)
	}
	text, _, _ := strings.Cut(after, "\n# ")
	var want, got []string
	for key := range printed {
		if !strings.HasSuffix(key, "_raw") || slices.Contains(rawKeys, key) {
			want = append(want, key)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\**`[a-z].*?) \\|").FindAllStringSubmatch(text, -1) {
		for _, key := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			got = append(got, key[1])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys of %s (-printed +in JSON.md):\n%s", chapter, d)
	}
}

// TestJSONString: what encoding/json reads is what was written.
func TestJSONString(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `""`,
		"a \"b\" \\ /":           `"a \"b\" \\ /"`,
		"\n\r\t\x00\x1b\x7f":     `"\n\r\t\u0000\u001b\u007f"`,
		"ä\U0001f600":            `"ä` + "\U0001f600" + `"`,
		"\u009b\u202e\U000e0001": `"\u009b\u202e\udb40\udc01"`,
		"\U0010fffd":             `"\udbff\udffd"`,
		"\ufffd":                 "\"\ufffd\"",
	} {
		got := string(appendJSONString(nil, text))
		if got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != text {
			t.Errorf("%s reads %q, want %q (%v)", got, back, text, err)
		}
	}
	if got, want := string(appendJSONString(nil, "a\xff\xc3")), `"a\\xff\\xc3"`; got != want {
		t.Errorf("no UTF-8: %s, want %s", got, want)
	}
}
